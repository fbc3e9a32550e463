//! The slash at the end of a source: the commonest mistake there is, and what to type instead. Opens
//! nothing.

use crate::btrfs;
use crate::error::{Error, Kind, Result};
use crate::snapshot::shown;
use crate::store::Location;
use std::ffi::OsStr;

/// One snapshot with a slash after it: nothing in it is a snapshot, and it is itself what was meant.
pub(super) fn refuse_one_snapshot(typed: &OsStr, location: &Location) -> Result<()> {
    let Some(path) = location.place.directory() else {
        return Ok(());
    };
    match btrfs::subvolume(path) {
        Ok(subvolume) if subvolume.read_only => {
            let typed = shown(typed);
            let name = typed.trim_end_matches('/');
            let said = format!("it is a snapshot, and there are none in it: type {name}");
            Err(Error::usage(
                format!("cannot send what is in {typed}"),
                said,
            ))
        }
        _ => Ok(()),
    }
}

/// A source without its slash is the commonest mistake there is.
pub(super) fn hint(mut error: Error, typed: &OsStr, location: &Location) -> Error {
    // Elsewhere a failure is about the way there more often than about the slash.
    let mistyped = match location.place.directory() {
        Some(_) => matches!(error.kind, Kind::Usage | Kind::Failed),
        None => error.kind == Kind::Usage,
    };
    if let Some(said) = read_write(typed, location).filter(|_| error.kind == Kind::Usage) {
        error.said = said;
    } else if location.snapshot.is_some() && mistyped {
        error.kind = Kind::Usage;
        return error.hint(way(typed, location));
    }
    error
}

/// What was meant: all that is in a directory, or something else that is there.
fn way(typed: &OsStr, location: &Location) -> String {
    if let (Some(dir), Some(name)) = (location.place.directory(), &location.snapshot)
        && matches!(dir.join(name).try_exists(), Ok(false))
    {
        return format!("'buttersink list {}/' shows what is there", shown(dir));
    }
    let typed = shown(typed);
    format!("for all snapshots in a directory, end it with a slash: {typed}/")
}

/// What to do about a subvolume that is in use.
fn read_write(typed: &OsStr, location: &Location) -> Option<String> {
    let (Some(dir), Some(name)) = (location.place.directory(), &location.snapshot) else {
        return None;
    };
    let found = btrfs::subvolume(&dir.join(name)).ok()?;
    let typed = shown(typed);
    (!found.read_only).then(|| {
        format!(
            "it is read-write, and only snapshots that are not are sent: make one with \
             btrfs subvolume snapshot -r {typed} {typed}-snapshot, or use buttersink backup {typed}"
        )
    })
}
