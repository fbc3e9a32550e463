//! What earlier runs and releases left in a directory, and whether it may be written to at all. Removes
//! only what a mark of ours names.

use super::way_out::with_way_out;
use crate::btrfs::{self, Filesystem};
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Snapshot, State, shown};
use crate::store::Store;
use crate::store::local::Local;
use crate::store::local::records::seals::{self, Fact};
use crate::store::local::records::{self, marks, quarantine, state_dir};
use crate::store::local::{listing, lock};
use crate::sys;
use crate::sys::dir::is_there;
use std::fs::File;
use std::path::Path;

impl Local {
    /// Removes what earlier runs were receiving here when they were interrupted, before something new
    /// comes. Other subvolumes may be named like that, and be somebody's only copy.
    pub(crate) fn remove_leftovers(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.received.tidied, true) {
            return Ok(());
        }
        for path in records::begun(&self.dir) {
            let known = std::mem::take(&mut self.listed.known);
            let removed = self.remove_leftover(&path);
            self.listed.known = known;
            match removed {
                Ok(()) => self.listed.known.retain(|s| s.path != path),
                // It is in the way of its own name only.
                Err(error) => self
                    .listed
                    .notes
                    .push(with_way_out(error, &self.dir).to_string()),
            }
        }
        Ok(())
    }

    fn remove_leftover(&mut self, path: &Path) -> Result<()> {
        let unfinished = |s: &Snapshot| s.path == path && s.state == State::Partial;
        if self.list()?.snapshots.iter().any(unfinished) {
            self.delete(path)?;
            let name = shown(path);
            log::line(|| format!("removed the unfinished {name}"));
            self.listed
                .notes
                .push(format!("removed {name}, left by an interrupted transfer"));
        }
        marks::ended(&self.dir, path)
    }
}

impl Local {
    /// What runs left in quarantine for other directories of the filesystem, by where it is.
    pub(crate) fn quarantined_for_others(&self) -> Result<Vec<Snapshot>> {
        if self.caller.walled {
            return Ok(Vec::new());
        }
        let left = quarantine::left_for_others(&self.dir)?;
        Ok(left.iter().map(listing::quarantined_at).collect())
    }

    /// Removes it, under the lock of the directory that it is for.
    pub(crate) fn remove_for_others(&mut self, at: &Path) -> Result<()> {
        let doing = || format!("cannot delete {}", shown(at));
        let mut all = quarantine::left_for_others(&self.dir)?.into_iter();
        let left = all.find(|left| left.at == at && !self.caller.walled);
        let left = left.ok_or_else(|| Error::refused(doing(), "no record of ours names it"))?;
        let _lock = lock::lock_of(&left.key, at)?;
        let (key, path) = (left.key.clone(), left.path.clone());
        left.remove()?;
        sys::syncfs(self.filesystem.fd()).doing(doing)?;
        marks::ended_of(&self.dir, &key, &path)
    }
}

/// Forgets what a run did to its end but for saying so: it has its name.
///
/// # Errors
/// If the records cannot be read or changed.
fn forget_finished(dir: &Path) -> Result<()> {
    let in_quarantine = match quarantine::left(dir) {
        Ok(left) => left,
        // What its mark names may lie there.
        Err(error) => {
            log::line(|| error.to_string());
            return Ok(());
        }
    };
    for path in records::begun(dir) {
        let whole = dir.join(&path);
        let there = is_there(&whole).unwrap_or_else(|error| {
            // It is in the way of its own name only, and its mark stays.
            log::line(|| format!("cannot look at {}: {error}", shown(&whole)));
            true
        });
        if !there && in_quarantine.iter().all(|left| left.path != path) {
            marks::ended(dir, &path)?;
        }
    }
    Ok(())
}

/// Takes the lock of a directory that is to be written to, and settles what earlier runs and releases left.
///
/// # Errors
/// If it is read-only, or another run holds the lock.
pub(crate) fn lock_and_settle(dir: &Path, filesystem: &Filesystem) -> Result<File> {
    must_be_writable(dir, filesystem)?;
    let lock = lock::lock(dir)?;
    take_over(dir)?;
    seal_pending(dir, filesystem)?;
    forget_finished(dir)?;
    Ok(lock)
}

/// Nothing can be received where nothing can be written.
fn must_be_writable(dir: &Path, filesystem: &Filesystem) -> Result<()> {
    let doing = || format!("cannot write to {}", shown(dir));
    let subvolume = btrfs::subvolume_of(filesystem.fd()).doing(doing)?;
    match subvolume.read_only || sys::is_read_only(filesystem.fd()).doing(doing)? {
        true => Err(state_dir::read_only(doing())),
        false => Ok(()),
    }
}

/// Seals what has its name since a run that ended before it could do so. The name must last before
/// the seal does.
fn seal_pending(dir: &Path, filesystem: &Filesystem) -> Result<()> {
    let recorded = records::read(dir).unwrap_or_default();
    if recorded.is_settled() {
        return Ok(());
    }
    let due = recorded.due(&filesystem.subvolumes()?.all);
    sys::syncfs(filesystem.fd()).doing(|| format!("cannot write {}", shown(dir)))?;
    due.into_iter().try_for_each(|(uuid, seal)| {
        let fact = Fact {
            seal: Some(seal),
            ..Fact::default()
        };
        seals::add(dir, uuid, fact)
    })
}

/// Takes over what earlier releases remembered of a directory. Where nothing may be kept, that is
/// said when something is to be.
fn take_over(dir: &Path) -> Result<()> {
    match records::take_over(dir) {
        Err(error) if error.kind != Kind::Busy => {
            log::line(|| error.to_string());
            Ok(())
        }
        done => done,
    }
}
