//! Paths inside of a store, and what is done to what is at them.

use super::records::state_dir::{STATE, is_inside};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// The last component of a relative path that stays below where it starts.
pub(super) fn checked_name(path: &Path) -> Result<&OsStr> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let nul = path.as_os_str().as_bytes().contains(&0);
    let refused = |said| {
        Err(Error::refused(
            format!("cannot use the path {}", shown(path)),
            said,
        ))
    };
    match path.file_name() {
        Some(_) if is_inside(path) => refused("it is where seals are kept"),
        Some(_) if path.iter().any(is_record) => refused("it has the name of a record"),
        Some(name) if plain && !nul => Ok(name),
        _ => refused("it leads out of the directory"),
    }
}

/// Whether it is called as one that makes a directory the root of streams, or is of a drill.
fn is_record(part: &OsStr) -> bool {
    part.as_bytes().starts_with(format!("{STATE}-").as_bytes())
}

/// Opens a directory only to sync or rename in it.
pub(super) fn open_dir(dir: &Path) -> Result<File> {
    File::open(dir).doing(|| format!("cannot open {}", shown(dir)))
}

pub(super) fn sync(dir: &File, doing: impl FnOnce() -> String) -> Result<()> {
    sys::syncfs(dir.as_fd()).doing(doing)
}
