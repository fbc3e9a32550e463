//! What earlier runs and releases left in a directory, and whether it may be written to at all. Removes
//! only what a mark of ours names.

use crate::btrfs::{self, Filesystem};
use crate::error::{Doing, Kind, Result};
use crate::log;
use crate::snapshot::{Snapshot, State, shown};
use crate::store::Store;
use crate::store::local::Local;
use crate::store::local::records::seals::{self, Fact};
use crate::store::local::records::{self, marks, state_dir};
use crate::sys;
use std::path::Path;

impl Local {
    /// Removes what earlier runs were receiving here when they were interrupted, before something new
    /// comes. Other subvolumes may be named like that, and be somebody's only copy.
    pub(crate) fn remove_leftovers(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.tidied, true) {
            return Ok(());
        }
        for path in records::begun(&self.dir)? {
            let unfinished = |s: &Snapshot| s.path == path && s.state == State::Partial;
            let mut known = std::mem::take(&mut self.known);
            if self.list()?.snapshots.iter().any(unfinished) {
                self.delete(&path)?;
                known.retain(|s| s.path != path);
                let name = shown(&path);
                log::line(|| format!("removed the unfinished {name}"));
                self.notes
                    .push(format!("removed {name}, left by an interrupted transfer"));
            }
            self.known = known;
            marks::ended(&self.dir, &path)?;
        }
        Ok(())
    }
}

/// Nothing can be received where nothing can be written.
pub(crate) fn must_be_writable(dir: &Path, filesystem: &Filesystem) -> Result<()> {
    let doing = || format!("cannot write to {}", shown(dir));
    let subvolume = btrfs::subvolume_of(filesystem.fd()).doing(doing)?;
    match subvolume.read_only || sys::is_read_only(filesystem.fd()).doing(doing)? {
        true => Err(state_dir::read_only(doing())),
        false => Ok(()),
    }
}

/// Seals what has its name since a run that ended before it could do so. The name must last before
/// the seal does.
pub(crate) fn seal_pending(dir: &Path, filesystem: &Filesystem) -> Result<()> {
    let recorded = records::read(dir)?.unwrap_or_default();
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
pub(crate) fn take_over(dir: &Path) -> Result<()> {
    match records::take_over(dir) {
        Err(error) if error.kind != Kind::Busy => {
            log::line(|| error.to_string());
            Ok(())
        }
        done => done,
    }
}
