//! Exact stream lengths from the kernel's metadata-only streams, a few at a time; and whether a diff is certain
//! to be shorter than the whole, for which no stream is made.

use super::{mending, metadata, trees, what_is_damaged};
use crate::btrfs;
use crate::error::{Doing, Error, Kind, Result};
use crate::parallel;
use crate::process;
use crate::snapshot::{Diff, Measured, Uuid, shown};
use crate::store::local::Local;
use crate::stream;
use crate::sys;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A diff by paths.
pub(crate) struct DiffPaths {
    pub(crate) snapshot: PathBuf,
    pub(crate) parent: Option<PathBuf>,
    /// Clone sources, by their effective UUIDs.
    pub(crate) clones: Vec<(Uuid, PathBuf)>,
    /// How many bytes of it are worth to be counted.
    pub(crate) enough: Option<u64>,
}

/// Measures all, on as many threads as there are processors (four at most: it is the kernel that
/// works).
pub(crate) fn all(pairs: &[DiffPaths]) -> Result<Vec<Measured>> {
    let ask = |pair: &DiffPaths| match process::check("measuring").and_then(|()| one(pair)) {
        Err(stopped) if stopped.kind == Kind::Interrupted => Err(stopped),
        Err(error) if process::outside(&error) == Some(libc::EIO) => {
            let way = what_is_damaged(&pair.snapshot);
            let said = format!("{} ({way})", error.said);
            Ok(refused(Error { said, ..error }))
        }
        other => Ok(other.unwrap_or_else(refused)),
    };
    let threads = parallel::processors().min(4);
    parallel::try_map("cannot measure", threads, pairs, ask, |_| {})
}

/// What cannot be read, has paths that are too long, or can be received by nobody, is no candidate;
/// the others may be.
pub(crate) fn refused(error: Error) -> Measured {
    let said = error.said;
    Measured {
        refused: Some(match error.kind {
            Kind::Unreceivable => said,
            _ if !sys::is_root() => format!("it cannot be read by others than root: {said}"),
            _ => format!("it cannot be read: {said}"),
        }),
        ..Measured::default()
    }
}

fn one(pair: &DiffPaths) -> Result<Measured> {
    match once(pair) {
        // The kernel starts the stream afresh after a suspend; the second try is undisturbed.
        Err(error) if matches!(error.kind, Kind::Restarted | Kind::Damaged) => once(pair),
        other => other,
    }
}

fn once(pair: &DiffPaths) -> Result<Measured> {
    let (snapshot, parent) = (&pair.snapshot, pair.parent.as_deref());
    let trees = mending().then(|| trees(snapshot, parent, &pair.clones));
    let trees = trees.transpose()?;
    let doing = format!("cannot measure {}", shown(snapshot));
    let clones: Vec<&Path> = pair.clones.iter().map(|(_, path)| path.as_path()).collect();
    metadata::read(snapshot, parent, &clones, &doing, |stream| {
        stream::mended_size(stream, trees, pair.enough)
    })
}

/// About how many bytes a diff has that is certain to be shorter than the whole. Nothing is certain unless both
/// are snapshots of one subvolume, made here, the parent first: then the two share what is older than that.
pub(in crate::store::local) fn less_than_whole(local: &Local, diff: &Diff) -> Result<Option<u64>> {
    let Some(from) = diff.from else {
        return Ok(None);
    };
    let doing = || format!("cannot look at {}", shown(&local.dir));
    let (to, parent) = (local.open_listed(diff.to)?, local.open_listed(from)?);
    let now = btrfs::subvolume_of(to.as_fd()).doing(doing)?;
    let then = btrfs::subvolume_of(parent.as_fd()).doing(doing)?;
    // Whatever was deleted since took more in the parent's tree than it takes in a stream.
    let deleted = local.find(from)?.tree_bytes;
    if deleted == 0 || !then.is_older_sibling(&now) {
        return Ok(None);
    }
    btrfs::less_than_whole(to.as_fd(), then.otransid, deleted).doing(doing)
}
