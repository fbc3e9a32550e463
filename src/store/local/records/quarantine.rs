//! Quarantine: the directory, root's alone, in which snapshots are received before anybody can see
//! them. Has one name for each directory that is received into, since that has one lock; what is there
//! under it is ours if a mark of that directory says that something is being received. Knows no streams.

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

/// Where the snapshot is that is being received into a directory, for people.
fn shown_place(state: &StateDir, name: &str) -> String {
    state.shown(&shown(Path::new(QUARANTINE).join(name)))
}

/// What is being received into a directory, or was when a run ended.
pub(crate) struct Left {
    /// The unfinished name that it was to have, relative to the directory: what the mark says.
    pub(crate) path: PathBuf,
    /// Where it is.
    pub(crate) at: PathBuf,
    pub(crate) subvolume: Subvolume,
    quarantine: OwnedFd,
    /// The key of the directory.
    pub(crate) name: String,
}

/// Nothing is there that no mark names: the next mark would make it ours.
pub(crate) fn must_be_free(store: &Path, doing: impl Fn() -> String) -> Result<()> {
    let Some(state) = StateDir::of(store, false)? else {
        return Ok(());
    };
    let name = state_dir::key(store)?;
    let path = Path::new(QUARANTINE).join(&name);
    match stat_at(state.fd(), path.as_os_str().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).doing(doing),
        Ok(_) => {
            let place = shown_place(&state, &name);
            let said = "no record of ours names what is there: look at it, and delete it";
            Err(Error::refused(doing(), format!("{place}: {said}")))
        }
    }
}

/// What lies in quarantine for a directory; `None` also where we may not look, and where no mark says
/// that it is ours.
pub(crate) fn left(store: &Path) -> Result<Option<Left>> {
    let Some((state, quarantine)) = opened(store) else {
        return Ok(None);
    };
    let free = |path: &PathBuf| store.join(path).symlink_metadata().is_err();
    under(&state, &quarantine, &state_dir::key(store)?, free)
}

/// What lies there for other directories of the filesystem, as far as marks say that it is ours.
pub(crate) fn left_for_others(store: &Path) -> Result<Vec<Left>> {
    let Some((state, quarantine)) = opened(store) else {
        return Ok(Vec::new());
    };
    let (marks, _) = marks::all(&state);
    let mut keys: Vec<String> = marks.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    let own = state_dir::key(store)?;
    let others = keys.iter().filter(|key| **key != own);
    let left = others.map(|key| under(&state, &quarantine, key, |_| true));
    left.filter_map(Result::transpose).collect()
}

/// The state of the filesystem and the quarantine in it, if they are there and we may look. What cannot be
/// opened holds nothing of ours; listings say why.
fn opened(store: &Path) -> Option<(StateDir, OwnedFd)> {
    let state = StateDir::of(store, false).ok().flatten();
    let state = state.filter(StateDir::is_readable)?;
    let quarantine = open_within(state.fd(), QUARANTINE.as_bytes(), DIRECTORY, 0);
    quarantine.ok().map(|quarantine| (state, quarantine))
}

/// What lies under the key of a directory. Of its marks one whose name is `free` is meant.
fn under(
    state: &StateDir,
    quarantine: &OwnedFd,
    key: &str,
    free: impl Fn(&PathBuf) -> bool,
) -> Result<Option<Left>> {
    let Ok(top) = open_within(quarantine.as_fd(), key.as_bytes(), DIRECTORY, 0) else {
        return Ok(None);
    };
    let at = state.place(Path::new(QUARANTINE).join(key));
    let doing = || format!("cannot read about {}", shown(&at));
    let subvolume = btrfs::subvolume_of(top.as_fd()).doing(doing)?;
    let quarantine = quarantine.try_clone().doing(doing)?;
    let ours = marks::all(state).0.into_iter();
    let ours = ours.filter_map(|(of, mark)| (of == key).then_some(mark.path));
    Ok(ours.max_by_key(free).map(|path| Left {
        path,
        at,
        subvolume,
        quarantine,
        name: key.to_owned(),
    }))
}

impl Left {
    /// Removes it.
    pub(crate) fn remove(self) -> Result<()> {
        let gone = btrfs::delete_subvolume_at(self.quarantine.as_fd(), self.name.as_ref());
        gone.doing(|| format!("cannot delete {}", shown(&self.at)))
    }
}

/// Removes what is in quarantine for a directory whose lock we hold, if there is something of ours.
pub(crate) fn remove(store: &Path) -> Result<()> {
    left(store)?.map_or(Ok(()), Left::remove)
}
