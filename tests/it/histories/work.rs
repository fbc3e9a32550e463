//! A subvolume at work, its read-only snapshots, and what they live on. Knows how to find things in
//! it and how to go back, and nothing of what is done to it.

use super::dice::Dice;
use super::hands::Hands;
use crate::subvolumes::{snapshot, subvolume};
use crate::support::{mount_image, run};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) type Done = io::Result<()>;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    /// Another subvolume, or the place where one was when a snapshot was made.
    Nested,
    Other,
}

pub(crate) struct Work {
    /// Where its filesystem is mounted, below which image.
    pub(crate) fs: PathBuf,
    image: PathBuf,
    pub(crate) live: PathBuf,
    pub(crate) hands: Hands,
    /// Files that are held open; most have no name any more.
    pub(crate) open: Vec<File>,
    /// Steps after which there is a snapshot.
    pub(crate) snapshots: Vec<usize>,
    /// What was done, in words, a line a step.
    pub(crate) said: Vec<String>,
}

impl Work {
    /// An empty subvolume.
    pub(crate) fn new(fs: &Path, image: &Path) -> Work {
        let live = fs.join("live");
        subvolume(&live);
        std::fs::create_dir(fs.join("s")).expect("a place for snapshots");
        Work {
            fs: fs.to_owned(),
            image: image.to_owned(),
            live,
            hands: Hands::new(),
            open: Vec::new(),
            snapshots: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, what: &str) {
        let line = self.said.last_mut().expect("a step");
        line.push_str("; ");
        line.push_str(what);
    }

    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        match path.as_os_str().is_empty() {
            true => self.live.clone(),
            false => self.live.join(path),
        }
    }

    pub(crate) fn snapshot_path(&self, step: usize) -> PathBuf {
        self.fs.join(format!("s/{step}"))
    }

    pub(crate) fn snapshot(&mut self, step: usize) -> Done {
        self.say("snapshot");
        snapshot(&self.live, &self.snapshot_path(step));
        self.snapshots.push(step);
        Ok(())
    }

    /// All names of a kind; the top is none of them.
    pub(crate) fn all(&self, kind: Kind) -> Vec<PathBuf> {
        let (mut found, mut left) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(dir) = left.pop() {
            for entry in std::fs::read_dir(self.at(&dir)).expect("a directory") {
                let path = dir.join(entry.expect("an entry").file_name());
                let this = kind_of(&self.at(&path)).expect("a kind");
                if this == kind {
                    found.push(path.clone());
                }
                if this == Kind::Dir {
                    left.push(path);
                }
            }
        }
        found
    }

    pub(crate) fn one(&self, kind: Kind, dice: &mut Dice) -> io::Result<PathBuf> {
        let all = self.all(kind);
        dice.choose(&all).cloned().ok_or_else(nothing)
    }

    pub(crate) fn a_file(&self, dice: &mut Dice) -> io::Result<PathBuf> {
        self.one(Kind::File, dice)
    }

    /// A directory other than the top.
    pub(crate) fn a_dir(&self, dice: &mut Dice) -> io::Result<PathBuf> {
        self.one(Kind::Dir, dice)
    }

    /// A directory, often the top.
    pub(crate) fn a_place(&self, dice: &mut Dice) -> PathBuf {
        let top = dice.percent(35);
        let dir = self.a_dir(dice).unwrap_or_default();
        if top { PathBuf::new() } else { dir }
    }

    /// A name somewhere, taken or not: there are few, so that they come back.
    pub(crate) fn a_name(&self, dice: &mut Dice, letter: char) -> PathBuf {
        let place = self.a_place(dice);
        place.join(format!("{letter}{}", dice.below(9)))
    }

    /// A name that is free, which is not often asked for.
    pub(crate) fn a_free_name(&self, dice: &mut Dice, letter: char) -> io::Result<PathBuf> {
        let mut tries = (0..9).map(|_| self.a_name(dice, letter));
        tries
            .find(|path| self.at(path).symlink_metadata().is_err())
            .ok_or_else(nothing)
    }

    /// A file, a directory or anything else.
    pub(crate) fn anything(&self, dice: &mut Dice) -> io::Result<PathBuf> {
        let all = [Kind::File, Kind::Dir, Kind::Other].map(|kind| self.all(kind));
        dice.choose(&all.concat()).cloned().ok_or_else(nothing)
    }

    /// Removes whatever a name stands for, with the subvolumes in it.
    pub(crate) fn remove(&self, path: &Path) -> Done {
        let whole = self.at(path);
        match kind_of(&whole)? {
            Kind::Dir => {
                for entry in std::fs::read_dir(&whole)? {
                    self.remove(&path.join(entry?.file_name()))?;
                }
                std::fs::remove_dir(whole)
            }
            Kind::Nested if whole.metadata()?.ino() == 2 => std::fs::remove_dir(whole),
            Kind::Nested => {
                delete(&whole);
                Ok(())
            }
            Kind::File | Kind::Other => std::fs::remove_file(whole),
        }
    }

    /// Likewise, if there is anything.
    pub(crate) fn clear(&self, path: &Path) -> Done {
        match self.at(path).symlink_metadata() {
            Ok(_) => self.remove(path),
            Err(_) => Ok(()),
        }
    }

    /// The path of one of the snapshots; chosen by its name, so that it does not matter where all is.
    pub(crate) fn an_older_one(&self, dice: &mut Dice) -> io::Result<PathBuf> {
        let names: Vec<PathBuf> = self
            .snapshots
            .iter()
            .map(|step| step.to_string().into())
            .collect();
        let name = dice.choose(&names).ok_or_else(nothing)?;
        Ok(self.fs.join("s").join(name))
    }

    /// A writable snapshot of an older one takes the place of the subvolume.
    pub(crate) fn roll_back(&mut self, dice: &mut Dice) -> Done {
        let to = self.an_older_one(dice)?;
        self.say(&format!("roll back to {}", to.display()));
        for nested in self.all(Kind::Nested) {
            self.remove(&nested)?;
        }
        self.open.clear();
        delete(&self.live);
        let words = ["-q", "subvolume", "snapshot"].map(OsStr::new);
        run(
            "btrfs",
            words
                .into_iter()
                .chain([to.as_os_str(), self.live.as_os_str()]),
        );
        Ok(())
    }

    /// Unmounts and mounts: the kernel gives out inode numbers again that are no longer used.
    pub(crate) fn remount(&mut self) {
        self.say("unmount and mount");
        self.open.clear();
        run("umount", [&self.fs]);
        let name = self.fs.file_name().and_then(OsStr::to_str).expect("a name");
        mount_image(&self.image, name, "");
    }
}

pub(crate) fn delete(subvolume: &Path) {
    let words = ["-q", "subvolume", "delete"].map(OsStr::new);
    run("btrfs", words.into_iter().chain([subvolume.as_os_str()]));
}

pub(crate) fn nothing() -> io::Error {
    io::Error::other("there is nothing to do it to")
}

fn kind_of(path: &Path) -> io::Result<Kind> {
    let metadata = path.symlink_metadata()?;
    Ok(match metadata {
        m if m.is_file() => Kind::File,
        m if m.is_dir() && matches!(m.ino(), 2 | 256) => Kind::Nested,
        m if m.is_dir() => Kind::Dir,
        _ => Kind::Other,
    })
}
