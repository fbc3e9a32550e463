//! Files below an open directory: found, written durably, and given names that replace nothing. No link is
//! followed, and nothing is reached outside of the directory or on what is mounted in it. Knows names and
//! bytes; what they mean is the caller's business.

use crate::sys::at::{link_at, make_dir_at, open_within, rename_at, unlink_at};
use crate::sys::dir::{Stat, read_dir, stat_at};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that a record of ours has at most.
const LONGEST: u64 = 1 << 20;

/// A directory, and all that is below it on the same mount.
#[derive(Debug)]
pub(super) struct Files {
    top: File,
    /// Directories cannot be written out here.
    unsynced: AtomicBool,
    /// Names that differ only in case are one.
    pub(super) caseless: bool,
}

impl Files {
    /// Opens a directory.
    pub(super) fn open(dir: &Path) -> io::Result<Files> {
        // In its place may be a FIFO, which would be waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        Ok(Files {
            top: options.open(dir)?,
            unsynced: AtomicBool::new(false),
            caseless: false,
        })
    }

    pub(super) fn top(&self) -> &File {
        &self.top
    }

    /// Which filesystem and directory it is.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        stat_at(self.top.as_fd(), b"")
    }

    /// A file or a directory, open as the flags say; `None` if it is not there.
    pub(super) fn find(&self, path: &str, flags: i32) -> io::Result<Option<File>> {
        match open_within(self.top.as_fd(), path.as_bytes(), flags, 0) {
            Ok(found) => Ok(Some(found.into())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An ordinary file to be read; `None` if there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<File>> {
        match self.find(path, libc::O_RDONLY | libc::O_NONBLOCK) {
            Ok(Some(file)) if file.metadata()?.is_file() => Ok(Some(file)),
            Err(error) if !is_link(&error) => Err(error),
            _ => Ok(None),
        }
    }

    /// Its bytes; none of a file that is longer than any record of ours, and that nobody understands.
    pub(super) fn bytes(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.read(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        if file.metadata()?.len() <= LONGEST {
            file.take(LONGEST).read_to_end(&mut bytes)?;
        }
        Ok(Some(bytes))
    }

    /// A new file, to be read and written.
    pub(super) fn create(&self, path: &str) -> io::Result<File> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        open_within(self.top.as_fd(), path.as_bytes(), flags, 0o600).map(File::from)
    }

    /// A new file with this content, which is on the disk when this returns; its name may not be yet.
    pub(super) fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Names and types (`DT_DIR` and the like) in a directory, in the order of their names; nothing if it
    /// is not there.
    pub(super) fn names(&self, dir: &str) -> io::Result<Vec<(String, u8)>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let Some(dir) = self.find(dir, flags)? else {
            return Ok(Vec::new());
        };
        let (mut found, mut names) = (Vec::new(), Vec::new());
        read_dir(dir.as_fd(), |_, kind, name| {
            found.push((name.to_vec(), kind));
        })?;
        for (name, told) in found {
            let kind = kind(dir.as_fd(), &name, told);
            names.extend(kind.map(|kind| (String::from_utf8_lossy(&name).into_owned(), kind)));
        }
        names.sort();
        Ok(names)
    }

    /// Makes a directory and those above it, where they are missing.
    pub(super) fn make_dirs(&self, dir: &str) -> io::Result<()> {
        if dir.is_empty() || self.find(dir, libc::O_PATH | libc::O_DIRECTORY)?.is_some() {
            return Ok(());
        }
        let (above, name) = split(dir);
        self.make_dirs(above)?;
        let parent = self.dir(above)?;
        match make_dir_at(parent.as_fd(), name.as_bytes(), 0o700) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(above)
    }

    fn dir(&self, dir: &str) -> io::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        open_within(self.top.as_fd(), dir.as_bytes(), flags, 0)
    }

    /// Writes the names in a directory to the disk, where such a thing can be done.
    pub(super) fn sync_dir(&self, dir: &str) -> io::Result<()> {
        match File::from(self.dir(dir)?).sync_all() {
            Err(error) if cannot_sync(&error) => {
                self.unsynced.store(true, Ordering::Relaxed);
                Ok(())
            }
            done => done,
        }
    }

    /// Whether some directory could not be written out.
    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed)
    }

    /// Gives a file another name, in the place of what has it.
    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename(from, to, true)?;
        self.settle_rename(from, to)
    }

    /// The old name is gone from the disk before the new one is there for good: on FAT a file that had both
    /// would lose its bytes with either.
    fn settle_rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.sync_dir(split(from).0)?;
        self.sync_dir(split(to).0)
    }

    /// Gives a file another name, which nothing may have. Where the filesystem cannot rename so, by a
    /// second name, and where it has no such, after a look: only one run at a time writes here.
    pub(super) fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        match self.rename(from, to, false) {
            Err(error) if is_unable(&error) => self.publish_by_link(from, to)?,
            done => done?,
        }
        self.settle_rename(from, to)
    }

    fn publish_by_link(&self, from: &str, to: &str) -> io::Result<()> {
        match self.link(from, to) {
            Ok(()) => self.remove(from).map(drop),
            Err(error) if is_unable(&error) => match self.find(to, libc::O_PATH)? {
                Some(_) => Err(ErrorKind::AlreadyExists.into()),
                None => self.rename(from, to, true),
            },
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let ((from, name), (to, new)) = (split(from), split(to));
        let (from, to) = (self.dir(from)?, self.dir(to)?);
        let (name, new) = (name.as_bytes(), new.as_bytes());
        rename_at(from.as_fd(), name, to.as_fd(), new, replace)
    }

    /// Gives a file a second name, which nothing may have.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let ((from, name), (to, new)) = (split(from), split(to));
        let (from, to) = (self.dir(from)?, self.dir(to)?);
        link_at(from.as_fd(), name.as_bytes(), to.as_fd(), new.as_bytes())
    }

    /// Removes a file; whether it was there.
    pub(super) fn remove(&self, path: &str) -> io::Result<bool> {
        self.unlink(path, false)
    }

    /// Removes the files in a directory, and it with them, unless somebody else has put something there.
    pub(super) fn remove_dir(&self, dir: &str) -> io::Result<()> {
        for (name, kind) in self.names(dir)? {
            if kind != libc::DT_DIR {
                self.remove(&join(dir, &name))?;
            }
        }
        match self.unlink(dir, true) {
            Err(error) if is_full(&error) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Removes a directory, and those above it, as far as they are empty.
    pub(super) fn prune(&self, mut dir: &str) -> io::Result<()> {
        while !dir.is_empty() {
            match self.unlink(dir, true) {
                // Some filesystems say the one, and some the other.
                Err(error) if is_full(&error) => return Ok(()),
                done => drop(done?),
            }
            dir = split(dir).0;
        }
        Ok(())
    }

    fn unlink(&self, path: &str, directory: bool) -> io::Result<bool> {
        let (dir, name) = split(path);
        let Some(dir) = self.find(dir, libc::O_RDONLY | libc::O_DIRECTORY)? else {
            return Ok(false);
        };
        match unlink_at(dir.as_fd(), name.as_bytes(), directory) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is in the way of a name, if that differs from it only in case, and the directory cannot tell.
    pub(super) fn other_case(&self, path: &str) -> io::Result<Option<String>> {
        if !self.caseless || path.is_empty() {
            return Ok(None);
        }
        let (dir, name) = split(path);
        if let Some(other) = self.other_case(dir)? {
            return Ok(Some(other));
        }
        let names = self.names(dir)?;
        let mut same = names.iter().map(|(other, _)| other);
        let other = same.find(|other| *other != name && other.eq_ignore_ascii_case(name));
        Ok(other.map(|other| join(dir, other)))
    }

    /// Finds out whether case makes a difference, by a file that is there.
    pub(super) fn look_at_case(&mut self, known: &str) -> io::Result<()> {
        let other = known.to_ascii_uppercase();
        self.caseless = self.find(&other, libc::O_PATH)?.is_some();
        Ok(())
    }
}

/// A path below a directory.
/// The type of what has a name: not every filesystem tells. `None` if it is gone by now; what cannot be looked at
/// stays unknown.
fn kind(dir: BorrowedFd, name: &[u8], told: u8) -> Option<u8> {
    if told != libc::DT_UNKNOWN {
        return Some(told);
    }
    match stat_at(dir, name) {
        Ok(stat) => Some((stat.mode >> 12) as u8),
        Err(error) if is_absent(&error) => None,
        Err(_) => Some(told),
    }
}

pub(super) fn join(dir: &str, name: &str) -> String {
    match dir {
        "" => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}

/// The directory of a path, empty for the top, and the name in it.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn is(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|n| numbers.contains(&n))
}

/// There is nothing, or something else than a directory on the way.
fn is_absent(error: &io::Error) -> bool {
    is(error, &[libc::ENOENT, libc::ENOTDIR])
}

/// There is a link, which is no file of ours.
fn is_link(error: &io::Error) -> bool {
    is(error, &[libc::ELOOP])
}

/// The filesystem has no such call.
fn is_unable(error: &io::Error) -> bool {
    let unable = [
        libc::EINVAL,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::EPERM,
        libc::EMLINK,
    ];
    is(error, &unable)
}

/// Directories are no files there.
fn cannot_sync(error: &io::Error) -> bool {
    let cannot = [
        libc::EINVAL,
        libc::EBADF,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::EISDIR,
    ];
    is(error, &cannot)
}

fn is_full(error: &io::Error) -> bool {
    is(error, &[libc::ENOTEMPTY, libc::EEXIST, libc::EBUSY])
}
