//! Quarantine: the directory, root's alone, in which snapshots are received before anybody can see
//! them. What is there is called as its mark is, and is ours if there is that mark. Knows no streams.

use super::marks;
use super::state_dir::{self, StateDir};
use crate::btrfs::{self, Subvolume};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys::at::{make_dir_at, open_within};
use crate::sys::dir::stat_at;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Below the state directory.
const QUARANTINE: &str = "quarantine";
const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// Opens it, and makes it if need be.
pub(crate) fn open(state: &StateDir) -> io::Result<File> {
    match make_dir_at(state.fd(), QUARANTINE.as_bytes(), 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let dir = open_within(state.fd(), QUARANTINE.as_bytes(), DIRECTORY, 0)?;
    let stat = stat_at(dir.as_fd(), b"")?;
    match stat.uid == 0 && stat.mode & 0o077 == 0 {
        true => Ok(dir.into()),
        false => Err(io::Error::other(
            "the directory for what is being received is not root's alone",
        )),
    }
}

/// The name there of what is being received under the unfinished name `path` of a directory.
pub(crate) fn name(store: &Path, path: &Path) -> Result<String> {
    Ok(marks::name(&state_dir::key(store)?, path))
}

/// What is being received into a directory, or was when a run ended.
pub(crate) struct Left {
    /// The unfinished name that it was to have, relative to the directory: what the mark says.
    pub(crate) path: PathBuf,
    /// The path at which it lies.
    pub(crate) at: PathBuf,
    pub(crate) subvolume: Subvolume,
    quarantine: OwnedFd,
    name: String,
    /// The key of the directory.
    pub(crate) key: String,
}

/// Nothing is there that no mark names: the next mark would make it ours.
pub(crate) fn must_be_free(store: &Path, path: &Path, doing: impl Fn() -> String) -> Result<()> {
    let Some(state) = StateDir::of(store, false)? else {
        return Ok(());
    };
    let path = Path::new(QUARANTINE).join(name(store, path)?);
    match stat_at(state.fd(), path.as_os_str().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).doing(doing),
        Ok(_) => {
            let place = state.shown(&shown(path));
            let said = "no record of ours names what is there: look at it, and delete it";
            Err(Error::refused(doing(), format!("{place}: {said}")))
        }
    }
}

/// What lies in quarantine for a directory; nothing also where we may not look, and where no mark says
/// that it is ours.
///
/// # Errors
/// If it cannot be read: what nobody can read is not nothing.
pub(crate) fn left(store: &Path) -> Result<Vec<Left>> {
    let own = state_dir::key(store)?;
    marked(store, |key| key == own)
}

/// What lies there for other directories of the filesystem, as far as marks say that it is ours.
pub(crate) fn left_for_others(store: &Path) -> Result<Vec<Left>> {
    let own = state_dir::key(store)?;
    marked(store, |key| key != own)
}

/// What the marks of these directories name there.
fn marked(store: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Left>> {
    let Some((state, quarantine)) = opened(store)? else {
        return Ok(Vec::new());
    };
    let (marks, _) = marks::all(&state);
    let marks = marks.into_iter().filter(|(key, _)| wanted(key));
    let left = marks.map(|(key, mark)| under(&state, &quarantine, key, mark.path));
    left.filter_map(Result::transpose).collect()
}

/// The state of the filesystem and the quarantine in it, if they are there and we may look.
fn opened(store: &Path) -> Result<Option<(StateDir, OwnedFd)>> {
    // What is not root's holds nothing of ours; listings say why.
    let state = StateDir::of(store, false).ok().flatten();
    let Some(state) = state.filter(StateDir::is_readable) else {
        return Ok(None);
    };
    let found = there(open_within(state.fd(), QUARANTINE.as_bytes(), DIRECTORY, 0));
    let found = found.doing(|| format!("cannot open {}", state.shown(QUARANTINE)))?;
    Ok(found.map(|quarantine| (state, quarantine)))
}

/// What was opened; `None` if there is nothing of the name.
fn there(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// What lies under the name of one mark.
fn under(
    state: &StateDir,
    quarantine: &OwnedFd,
    key: String,
    path: PathBuf,
) -> Result<Option<Left>> {
    let name = marks::name(&key, &path);
    let at = state.place(Path::new(QUARANTINE).join(&name));
    let doing = || format!("cannot read about {}", shown(&at));
    let opened = open_within(quarantine.as_fd(), name.as_bytes(), DIRECTORY, 0);
    let Some(top) = there(opened).doing(doing)? else {
        return Ok(None);
    };
    Ok(Some(Left {
        subvolume: btrfs::subvolume_of(top.as_fd()).doing(doing)?,
        quarantine: quarantine.try_clone().doing(doing)?,
        path,
        at,
        name,
        key,
    }))
}

impl Left {
    /// Deletes the subvolume that lies there.
    pub(crate) fn remove(self) -> Result<()> {
        let gone = btrfs::delete_subvolume_at(self.quarantine.as_fd(), self.name.as_ref());
        gone.doing(|| format!("cannot delete {}", shown(&self.at)))
    }
}

/// Removes what is in quarantine under the unfinished name `path` of a directory whose lock we hold, if it is ours.
pub(crate) fn remove(store: &Path, path: &Path) -> Result<()> {
    let mut left = left(store)?.into_iter();
    left.find(|left| left.path == path)
        .map_or(Ok(()), Left::remove)
}
