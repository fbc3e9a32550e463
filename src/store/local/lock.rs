//! Locks of directories: whoever may write to one holds its lock, by whichever path it got there. Knows
//! no snapshot.

use super::records::state_dir::{ancestors, key};
use crate::error::{Doing, Error, Kind, Result};
use crate::machine::{make_run_dir, run_dir};
use crate::snapshot::shown;
use crate::sys;
use crate::sys::secure_open::open_to_change;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Takes the lock of a directory, for as long as the file is open.
pub(super) fn lock(dir: &Path) -> Result<File> {
    lock_of(&key(dir)?, dir)
}

/// The same of the directory with this key; `shown_as` is for people.
pub(super) fn lock_of(key: &str, shown_as: &Path) -> Result<File> {
    let file = open_lock(key)?;
    let doing = || format!("cannot lock {}", shown(shown_as));
    match sys::lock(&file).doing(doing)? {
        true => Ok(file),
        false => Err(Error::new(
            Kind::Busy,
            doing(),
            "another run is at work there; nothing was done",
        )),
    }
}

/// Opens the lock file of the directory with this key, making it if need be.
fn open_lock(key: &str) -> Result<File> {
    make_run_dir().map_err(|error| Error {
        doing: format!("cannot open a lock in {}", shown(run_dir())),
        ..error
    })?;
    let place = lock_path(key);
    open_to_change(&place, true).doing(|| format!("cannot open {}", shown(&place)))
}

/// Where the lock of the directory with this key is, if it has one.
fn lock_path(key: &str) -> PathBuf {
    run_dir().join(format!("{key}.lock"))
}

/// Whether another run holds the lock of a directory above `path`, other than our own.
pub(super) fn is_held_above(path: &Path, ours: &Path) -> Result<bool> {
    for dir in ancestors(path.parent().unwrap_or(path)) {
        if dir == ours {
            continue;
        }
        let lock = lock_path(&key(dir)?);
        let doing = || format!("cannot lock {}", shown(&lock));
        let free = match open_to_change(&lock, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            file => sys::lock(&file.doing(doing)?).doing(doing)?,
        };
        if !free {
            return Ok(true);
        }
    }
    Ok(false)
}
