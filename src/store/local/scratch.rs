//! A subvolume of our own in which streams are received to see whether they can be, and which goes
//! again with all that is in it. What is removed is what a record names, name and UUID; a record that
//! a crash left is gone through by the next one. Knows no streams.

use super::{Local, LocalOptions};
use crate::btrfs::{self, Filesystem};
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Uuid, shown};
use crate::store::{Access, Store};
use crate::sys;
use crate::sys::dir::is_there;
use crate::sys::secure_open::open_to_change;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The record, beside the subvolume that it names. Who holds its lock is at work.
const RECORD: &str = ".buttersink-drill";

/// A subvolume that goes when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    record: File,
    store: Option<Local>,
    ended: bool,
}

/// What the record says. There is no UUID before the subvolume was made.
struct Noted {
    name: String,
    uuid: Option<Uuid>,
}

impl Scratch {
    /// Makes a subvolume in a directory on btrfs, and removes what an earlier run left there.
    ///
    /// # Errors
    /// If the directory is not on btrfs or cannot be written to, or another drill is at work in it.
    pub fn make(dir: &Path, options: LocalOptions) -> Result<Scratch> {
        Filesystem::open(dir)?;
        let doing = || format!("cannot use {} for a drill", shown(dir));
        let dir = dir.canonicalize().doing(doing)?;
        let record = open_to_change(&dir.join(RECORD), true).doing(doing)?;
        let busy = || Error::new(Kind::Busy, doing(), "another drill is at work there");
        if !sys::lock(&record).doing(doing)? {
            return Err(busy());
        }
        let found = record.metadata().doing(doing)?;
        let us = Path::new("/proc/self").metadata().doing(doing)?.uid();
        match found.nlink() {
            // Who had the lock before is done, and has removed the record that we opened.
            0 => return Err(busy()),
            1 if found.uid() == us && found.mode() & 0o022 == 0 => {}
            _ => {
                let said = format!("{RECORD} in it is not ours alone: remove it");
                return Err(Error::refused(doing(), said));
            }
        }
        let mut scratch = Scratch {
            dir,
            record,
            store: None,
            ended: false,
        };
        scratch.remove()?;
        scratch.store = Some(scratch.create(options)?);
        Ok(scratch)
    }

    /// The store in it.
    ///
    /// # Errors
    /// None while it is there.
    pub fn store(&mut self) -> Result<&mut Local> {
        let gone = || Error::failed("cannot receive for a drill", "the subvolume is gone");
        self.store.as_mut().ok_or_else(gone)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes it, and says so if that fails.
    ///
    /// # Errors
    /// If something cannot be removed. The next drill in the directory tries again.
    pub fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.remove()?;
        let path = self.dir.join(RECORD);
        std::fs::remove_file(&path).doing(|| format!("cannot remove {}", shown(&path)))
    }

    fn create(&mut self, options: LocalOptions) -> Result<Local> {
        let random = sys::random().doing(|| "cannot find a name for a drill".to_owned())?;
        let name = format!("{RECORD}-{random:016x}");
        self.note(&format!("{name}\n"))?;
        btrfs::create_subvolume(&self.dir, OsStr::new(&name))?;
        let path = self.dir.join(&name);
        let uuid = btrfs::subvolume(&path)?.uuid;
        self.note(&format!("{name} {uuid}\n"))?;
        Local::open(&path, Access::Write, options)
    }

    fn note(&mut self, text: &str) -> Result<()> {
        let mut write = || {
            self.record.set_len(0)?;
            self.record.rewind()?;
            self.record.write_all(text.as_bytes())?;
            self.record.sync_all()
        };
        write().doing(|| format!("cannot write {}", shown(self.dir.join(RECORD))))
    }

    /// Removes what the record names, if it is that.
    fn remove(&mut self) -> Result<()> {
        if let Some(mut store) = self.store.take() {
            // The store forgets what it remembers of its snapshots. What it does not delete goes below.
            for snapshot in store.list().map_or(Vec::new(), |listing| listing.snapshots) {
                if let Err(error) = store.delete(&snapshot.path) {
                    log::line(|| error.to_string());
                }
            }
        }
        let mut text = String::new();
        self.record
            .rewind()
            .and_then(|()| self.record.read_to_string(&mut text))
            .doing(|| format!("cannot read {}", shown(self.dir.join(RECORD))))?;
        if let Some(noted) = Noted::parse(&text) {
            self.remove_noted(&noted)?;
        }
        self.note("")
    }

    fn remove_noted(&self, noted: &Noted) -> Result<()> {
        let path = self.dir.join(&noted.name);
        if !is_there(&path).doing(|| format!("cannot look at {}", shown(&path)))? {
            return Ok(());
        }
        let now = btrfs::subvolume(&path);
        let is_it = match noted.uuid {
            Some(uuid) => now.as_ref().is_ok_and(|now| now.uuid == uuid),
            // A crash came before the UUID was noted down: nothing can be in it.
            None => path.read_dir().is_ok_and(|mut all| all.next().is_none()),
        };
        if !is_it {
            let doing = format!("cannot remove {}", shown(&path));
            let said = "it is not the subvolume that a drill made there: look at it, and remove it";
            return Err(Error::refused(doing, said));
        }
        log::line(|| format!("removing {}", shown(&path)));
        let fs = Filesystem::open(&path)?;
        let all = fs.subvolumes()?.all.into_iter();
        let mut inside: Vec<(PathBuf, u64)> = all.filter_map(|s| Some((s.below?, s.id))).collect();
        inside.retain(|(below, _)| !below.as_os_str().is_empty());
        inside.sort_by_key(|(below, _)| std::cmp::Reverse(below.components().count()));
        for (below, id) in inside {
            btrfs::delete_subvolume(&path.join(below), id)?;
        }
        drop(fs);
        btrfs::delete_subvolume(&path, now?.id)
    }
}

/// Whatever went wrong, nothing of it stays.
impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::line(|| error.to_string());
        }
    }
}

impl Noted {
    /// `None` if the last drill removed what it made. A name that is not one of ours names nothing.
    fn parse(text: &str) -> Option<Noted> {
        let line = text.strip_suffix('\n')?;
        let (name, uuid) = match line.split_once(' ') {
            Some((name, uuid)) => (name, Some(uuid.parse().ok()?)),
            None => (line, None),
        };
        let random = name.strip_prefix(RECORD)?.strip_prefix('-')?;
        let is_ours = random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit());
        is_ours.then(|| Noted {
            name: name.to_owned(),
            uuid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_what_is_ours_and_nothing_else() {
        let uuid = Uuid([7; 16]);
        let name = ".buttersink-drill-0123456789abcdef";
        let whole = Noted::parse(&format!("{name} {uuid}\n")).unwrap();
        assert_eq!((&*whole.name, whole.uuid), (name, Some(uuid)));
        assert_eq!(Noted::parse(&format!("{name}\n")).unwrap().uuid, None);
        for wrong in [
            String::new(),
            name.to_owned(),
            format!("{name} {uuid}"),
            format!("{name} x\n"),
            format!("../{name} {uuid}\n"),
            format!("{name}/.. {uuid}\n"),
            format!("home {uuid}\n"),
        ] {
            assert!(Noted::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
