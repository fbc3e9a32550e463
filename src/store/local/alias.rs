//! A second name for the parent of what is being received. `btrfs receive` looks for the sources of CLONE
//! commands by received UUID alone, and takes the first subvolume that has it. Where that would not be
//! the parent, a snapshot of it with a received UUID of its own, that nobody else can know, is it.

use super::home::{self, Home};
use super::parent::Exact;
use super::{remove, state};
use crate::btrfs;
use crate::error::{Doing, Error, Result};
use crate::log;
use crate::snapshot::{Uuid, shown};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Its name in the state directory, which is root's alone: a destination has one lock, so there is one
/// for each.
fn name(store: &Path) -> Result<OsString> {
    Ok(format!("parent-{}.part", home::key(store)?).into())
}

/// Where the kernel makes a new UUID for everybody who reads it.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Made when it is needed first; removed when it is dropped.
pub(super) struct Alias {
    home: Home,
    name: OsString,
    parent: Exact,
    uuid: Uuid,
    made: bool,
}

impl Alias {
    /// Of a parent, for a store in this directory.
    pub(super) fn of(parent: &Exact, store: &Path) -> Result<Alias> {
        let doing = || format!("cannot read {RANDOM}");
        let text = std::fs::read_to_string(RANDOM).doing(doing)?;
        let uuid = text.trim().parse();
        Ok(Alias {
            home: state::the_home(store)?,
            name: name(store)?,
            parent: parent.clone(),
            uuid: uuid.map_err(|said: String| Error::failed(doing(), said))?,
            made: false,
        })
    }

    /// The received UUID that it has once it is there.
    pub(super) fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn path(&self) -> PathBuf {
        self.home.path(".").join(&self.name)
    }

    /// Makes it, if it is not there yet.
    pub(super) fn make(&mut self) -> Result<()> {
        if self.made {
            return Ok(());
        }
        btrfs::create_snapshot(&self.parent.path, &self.home.path("."), &self.name, false)?;
        self.made = true;
        let path = self.path();
        btrfs::set_received(&path, self.uuid, self.parent.generation)?;
        btrfs::set_read_only(&path, true)?;
        let of = btrfs::subvolume(&path)?.parent_uuid;
        match of == Some(self.parent.uuid) {
            true => Ok(()),
            false => Err(Error::refused(
                format!("cannot use {}", shown(&self.parent.path)),
                "it was replaced since it was listed: run it again",
            )),
        }
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = remove(&self.path())
        {
            // The next run removes it.
            log::line(|| error.to_string());
        }
    }
}

/// Removes what an interrupted run left.
pub(super) fn remove_leftover(store: &Path) -> Result<()> {
    let home = state::the_home(store)?;
    let path = home.path(".").join(name(store)?);
    match path.symlink_metadata() {
        Ok(_) => remove(&path),
        Err(_) => Ok(()),
    }
}
