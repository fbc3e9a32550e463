//! A second name for the parent of what is being received, or a clone source. `btrfs receive` looks for the sources of CLONE
//! commands by received UUID alone, and takes the first subvolume that has it. Where that would not be
//! the parent, a snapshot of it with a received UUID of its own, that nobody else can know, is it.

use super::parent::Exact;
use super::part::PartialSnapshot;
use crate::btrfs;
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the kernel makes a new UUID for everybody who reads it.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Made when it is needed first; removed when it is dropped. It lies beside what is received, is recorded
/// as unfinished, and so goes with what a crash leaves.
pub(super) struct Alias {
    store: PathBuf,
    /// Relative to the store.
    path: PathBuf,
    parent: Exact,
    uuid: Uuid,
    made: Option<PartialSnapshot>,
}

impl Alias {
    /// Of the parent, or a clone source, of what is received at `path` of the store in this directory. Each
    /// has a number.
    pub(super) fn of(parent: &Exact, number: usize, store: &Path, path: &Path) -> Result<Alias> {
        let doing = || format!("cannot read {RANDOM}");
        let text = std::fs::read_to_string(RANDOM).doing(doing)?;
        let uuid = text.trim().parse();
        let mut name = OsString::from(path.file_name().unwrap_or_default());
        name.push("-parent");
        if number > 0 {
            name.push(number.to_string());
        }
        Ok(Alias {
            store: store.to_owned(),
            path: path.with_file_name(name),
            parent: parent.clone(),
            uuid: uuid.map_err(|said: String| Error::failed(doing(), said))?,
            made: None,
        })
    }

    /// The received UUID that it has once it is there.
    pub(super) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Makes it, if it is not there yet.
    pub(super) fn make(&mut self) -> Result<()> {
        if self.made.is_some() {
            return Ok(());
        }
        let part = self
            .made
            .insert(PartialSnapshot::claim(&self.store, &self.path)?);
        btrfs::create_snapshot(&self.parent.path, &part.dir(), part.name(), false)?;
        btrfs::set_received(&part.path(), self.uuid, self.parent.generation)?;
        btrfs::set_read_only(&part.path(), true)?;
        let of = btrfs::subvolume(&part.path())?.parent_uuid;
        match of == Some(self.parent.uuid) {
            true => Ok(()),
            false => Err(Error::refused(
                format!("cannot use {}", shown(&self.parent.path)),
                "it was replaced since it was listed: run it again",
            )),
        }
    }
}
