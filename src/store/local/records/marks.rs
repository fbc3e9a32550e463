//! Marks: the names of what is being received, so that the next run removes what this one leaves.

use super::state_dir::{self, StateDir};
use crate::error::{Doing, Result};
use crate::snapshot::path_text;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory that holds them.
const MARKS: &str = "marks";

/// Records durably that the snapshot at `path` (relative to `dir`) is being received.
pub(crate) fn begin(dir: &Path, path: &Path) -> Result<()> {
    let state = StateDir::made(dir)?;
    match DirBuilder::new().mode(0o700).create(state.path(MARKS)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).doing(|| format!("cannot make {}", state.shown(MARKS)));
        }
        _ => {}
    }
    state.replace(&mark(dir, path)?, &path_text::encode(path))
}

/// The file that names what is being received at `path`, relative to `dir`.
fn mark(dir: &Path, path: &Path) -> Result<String> {
    Ok(mark_of(&state_dir::key(dir)?, path))
}

/// The same by the key of the directory.
fn mark_of(key: &str, path: &Path) -> String {
    let name = state_dir::digest(path.as_os_str().as_bytes());
    format!("{MARKS}/{key}-{name}")
}

/// Forgets it again: it has its name, or is gone. What others call so later is theirs.
pub(crate) fn ended(dir: &Path, path: &Path) -> Result<()> {
    ended_of(dir, &state_dir::key(dir)?, path)
}

/// The same of another directory of the filesystem, by its key.
pub(crate) fn ended_of(dir: &Path, key: &str, path: &Path) -> Result<()> {
    match StateDir::of(dir, false)? {
        Some(state) => state.unlink(&mark_of(key, path)),
        None => Ok(()),
    }
}

/// The marks of a filesystem: the key of a directory, and what is being received there, relative to it.
pub(super) fn all(state: &StateDir) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(state.path(MARKS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing(|| format!("cannot read {}", state.shown(MARKS)))?,
    };
    let mut all = Vec::new();
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let name = name.to_string_lossy();
        // One that was not written to its end marks nothing: no transfer began.
        let Some((key, _)) = name.split_once('-').filter(|_| !name.ends_with(".new")) else {
            continue;
        };
        let path = path_in(state, &format!("{MARKS}/{name}"))?;
        all.extend(path.map(|path| (key.to_owned(), path)));
    }
    Ok(all)
}

/// What a file says is being received.
pub(super) fn path_in(state: &StateDir, name: &str) -> Result<Option<PathBuf>> {
    let path = state.read(name)?.and_then(|text| path_text::decode(&text));
    Ok(path.filter(|path| !path.as_os_str().is_empty()))
}
