//! Marks: the names of what is being received, so that the next run removes what this one leaves.

use super::state_dir::{self, StateDir};
use crate::error::{Doing, Result};
use crate::snapshot::path_text;
use std::ffi::OsString;
use std::fs::{DirBuilder, DirEntry};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory that holds them.
const MARKS: &str = "marks";

/// What stands between a path and a transaction: no encoded path has it.
const SINCE: &str = "%@";

/// A mark: what is being received.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Relative to the directory.
    pub(crate) path: PathBuf,
    /// The transaction in which it was claimed; unknown to earlier releases.
    pub(crate) since: Option<u64>,
}

impl Mark {
    /// Whether a subvolume that was made by this transaction can be what is meant.
    pub(crate) fn can_mean(&self, otransid: u64) -> bool {
        self.since.is_none_or(|since| otransid >= since)
    }
}

/// Records durably that the snapshot at `path` (relative to `dir`) is being received. What was made before
/// the transaction `since` is not it.
pub(crate) fn begin(dir: &Path, path: &Path, since: Option<u64>) -> Result<()> {
    let state = StateDir::made(dir)?;
    match DirBuilder::new().mode(0o700).create(state.path(MARKS)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).doing(|| format!("cannot make {}", state.shown(MARKS)));
        }
        _ => {}
    }
    let since = since.map_or(String::new(), |since| format!("{SINCE}{since}"));
    state.replace(&mark(dir, path)?, &(path_text::encode(path) + &since))
}

/// The file that names what is being received at `path`, relative to `dir`.
fn mark(dir: &Path, path: &Path) -> Result<String> {
    Ok(mark_of(&state_dir::key(dir)?, path))
}

/// The same by the key of the directory.
fn mark_of(key: &str, path: &Path) -> String {
    format!("{MARKS}/{}", name(key, path))
}

/// What tells it from all else that is being received on the filesystem.
pub(super) fn name(key: &str, path: &Path) -> String {
    format!("{key}-{}", state_dir::digest(path.as_os_str().as_bytes()))
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

/// The marks of a filesystem, each with the key of a directory, and what could not be read, in words: what
/// no mark names is nobody's to remove.
pub(super) fn all(state: &StateDir) -> (Vec<(String, Mark)>, Vec<String>) {
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    let names = names(state).unwrap_or_else(|error| {
        unread.push(error.to_string());
        Vec::new()
    });
    for name in names {
        // One that was not written to its end marks nothing: no transfer began.
        let Some((key, _)) = name.split_once('-').filter(|_| !name.ends_with(".new")) else {
            continue;
        };
        match read(state, &format!("{MARKS}/{name}")) {
            Ok(mark) => all.extend(mark.map(|mark| (key.to_owned(), mark))),
            Err(error) => unread.push(error.to_string()),
        }
    }
    (all, unread)
}

fn names(state: &StateDir) -> Result<Vec<String>> {
    let doing = || format!("cannot read {}", state.shown(MARKS));
    let entries = match std::fs::read_dir(state.path(MARKS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing(doing)?,
    };
    let name = |entry: std::io::Result<DirEntry>| Ok(entry.doing(doing)?.file_name());
    let text = |name: Result<OsString>| Ok(name?.to_string_lossy().into_owned());
    entries.map(name).map(text).collect()
}

/// What a file says is being received.
pub(super) fn read(state: &StateDir, name: &str) -> Result<Option<Mark>> {
    Ok(state.read(name)?.and_then(|text| parse(&text)))
}

fn parse(text: &str) -> Option<Mark> {
    let (path, since) = match text.rsplit_once(SINCE) {
        Some((path, since)) => (path, Some(since.parse().ok()?)),
        None => (text, None),
    };
    let path = path_text::decode(path)?;
    (!path.as_os_str().is_empty()).then_some(Mark { path, since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_what_came_after_them() {
        let mark = parse("home/monday.part%@17").unwrap();
        assert_eq!(mark.path, Path::new("home/monday.part"));
        assert!(!mark.can_mean(16) && mark.can_mean(17) && mark.can_mean(18));
        assert!(parse("home/monday.part").unwrap().can_mean(1));
        for torn in ["", "home%@", "home%@x", "%@1", "home%"] {
            assert!(parse(torn).is_none(), "{torn}");
        }
    }
}
