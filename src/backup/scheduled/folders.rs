//! The directories of a run's snapshots, each opened once, whoever shares it. What is wrong with one keeps
//! nobody from another.

use super::ScheduledOrder;
use crate::backup::config::SubvolumeConfig;
use crate::backup::oneshot::{as_store, not_this_work};
use crate::backup::source::{check_folder, make_folder};
use crate::error::{Error, Result};
use crate::snapshot::shown;
use crate::store::{self, Access, Store, StoreOptions};
use std::path::{Path, PathBuf};

/// Directories of snapshots, and the stores in them, or why they could not be opened.
pub(super) struct Folders(Vec<(PathBuf, Result<Box<dyn Store>>)>);

impl Folders {
    /// Opens those of some subvolumes.
    ///
    /// # Errors
    /// Why the first one could not be opened, if none could.
    pub(super) fn open(
        order: &ScheduledOrder,
        subvolumes: &[&SubvolumeConfig],
        store_options: &StoreOptions,
    ) -> Result<Folders> {
        let mut all: Vec<(PathBuf, Vec<&Path>)> = Vec::new();
        for subvolume in subvolumes {
            let folder = subvolume.folder();
            match all.iter_mut().find(|(known, _)| *known == folder) {
                Some((_, of)) => of.push(&subvolume.path),
                None => all.push((folder, vec![&subvolume.path])),
            }
        }
        let open = |(folder, of): (PathBuf, Vec<&Path>)| {
            let store = open(&folder, &of, order.dry_run, store_options);
            (folder, store)
        };
        let opened: Vec<_> = all.into_iter().map(open).collect();
        let mut errors = opened.iter().map(|(_, store)| store.as_ref().err());
        match errors.next() {
            Some(Some(error)) if errors.all(|error| error.is_some()) => Err(error.clone()),
            _ => Ok(Folders(opened)),
        }
    }

    /// The store in one of them.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub(super) fn store(&mut self, folder: &Path) -> Result<&mut dyn Store> {
        let found = self.0.iter_mut().find(|(known, _)| known == folder);
        match found {
            Some((_, store)) => Ok(as_store(store)?),
            None => {
                let doing = format!("cannot open {}", shown(folder));
                Err(Error::failed(
                    doing,
                    "where its snapshots are changed meanwhile",
                ))
            }
        }
    }
}

/// The directory of the snapshots of some subvolumes. A dry run may find none; then the first of them
/// serves, in which there are none either.
fn open(
    folder: &Path,
    of: &[&Path],
    dry_run: bool,
    store_options: &StoreOptions,
) -> Result<Box<dyn Store>> {
    let access = if dry_run {
        Access::Read
    } else {
        let mut checks = of.iter().map(|path| check_folder(path, folder));
        // It may be wrong for one and right for others; nothing is made where it is of no use.
        if let Some(Err(error)) = checks.next()
            && checks.all(|check| check.is_err())
        {
            return Err(error);
        }
        make_folder(folder)?;
        Access::Write
    };
    let first = of.first().filter(|_| dry_run && !folder.is_dir());
    let place = first.map_or(folder, |path| path).to_owned();
    store::open(&place.into(), access, store_options).map_err(not_this_work)
}
