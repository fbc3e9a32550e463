//! Where a backup comes back to: the directory of the received snapshots, which of them are there
//! already, and the writable snapshot that is made at last.

use crate::btrfs::{self, Filesystem, Subvolume};
use crate::error::{Doing, Error, Result};
use crate::snapshot::{State, Uuid, shown};
use crate::store::local;
use crate::sys;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A target that does not exist yet.
#[derive(Debug)]
pub(super) struct Place {
    /// Without symbolic links.
    pub(super) target: PathBuf,
    parent: PathBuf,
    name: OsString,
    /// Where snapshots are received, read-only.
    pub(super) base: PathBuf,
    filesystem: Filesystem,
}

impl Place {
    /// Looks at a target. Snapshots are received in `base` if that is on its filesystem, and
    /// beside it otherwise.
    pub(super) fn find(target: &Path, base: &Path) -> Result<Place> {
        let doing = || format!("cannot restore to {}", shown(target));
        let wrong = |said: &str| Error::refused(doing(), said);
        let Some(name) = target.file_name() else {
            return Err(Error::usage(doing(), "it has no name"));
        };
        let parent = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(Error::usage(doing(), "it has no name")),
        };
        let parent = parent
            .canonicalize()
            .doing(|| format!("cannot open {}", shown(parent)))?;
        let whole = parent.join(name);
        if whole.symlink_metadata().is_ok() {
            return Err(wrong(
                "there is something of that name already: move it away, or give another --target",
            ));
        }
        let filesystem = Filesystem::open(&parent).map_err(|error| {
            let said = format!("{error}; --target has to be on btrfs");
            Error::new(error.kind, doing(), said)
        })?;
        let base = match Filesystem::open(base) {
            Ok(other) if other.fsid()? == filesystem.fsid()? => base
                .canonicalize()
                .doing(|| format!("cannot open {}", shown(base)))?,
            _ => parent.clone(),
        };
        Ok(Place {
            target: whole,
            filesystem: Filesystem::open(&base)?,
            name: name.to_owned(),
            parent,
            base,
        })
    }

    /// Refuses what is mounted read-only, before anything is paid for.
    pub(super) fn check_writable(&self) -> Result<()> {
        for dir in [&self.base, &self.parent] {
            let doing = || format!("cannot restore into {}", shown(dir));
            let filesystem = Filesystem::open(dir)?;
            if sys::is_read_only(filesystem.fd()).doing(doing)? {
                let said = "it is mounted read-only: remount it, or give another --target";
                return Err(Error::refused(doing(), said));
            }
        }
        Ok(())
    }

    /// Bytes that can be written there.
    pub(super) fn free(&self) -> Result<u64> {
        sys::free_bytes(self.filesystem.fd()).doing(|| format!("cannot read {}", shown(&self.base)))
    }

    /// Whether what is written there is compressed.
    pub(super) fn compresses(&self) -> bool {
        self.filesystem.compresses()
    }

    /// Where a snapshot is that `btrfs receive` can build on, for each of some UUIDs.
    pub(super) fn present(&self, ids: &[Option<Uuid>]) -> Result<Vec<Option<PathBuf>>> {
        let all = self.filesystem.subvolumes()?.all;
        let find = |id: &Option<Uuid>| {
            let Some(id) = id else { return Ok(None) };
            let same = all.iter().filter(|s| s.read_only && identity(s) == *id);
            for subvolume in same {
                if let Some(path) = self.path_of(subvolume)?
                    && is_sound(&path)?
                {
                    return Ok(Some(path));
                }
            }
            Ok(None)
        };
        ids.iter().map(find).collect()
    }

    /// A received copy on this filesystem of a snapshot that is to be received again: it cannot be
    /// built on, and yet `btrfs receive` may take it for the new one.
    pub(super) fn rival(&self, ids: &[Uuid]) -> Result<Option<PathBuf>> {
        let all = self.filesystem.subvolumes()?.all;
        let leftovers = local::leftovers(&self.base, &all)?;
        let mut rivals = all.into_iter().filter(|s| {
            let same = s.received_uuid.is_some_and(|id| ids.contains(&id));
            same && !leftovers.contains(&s.id)
        });
        Ok(rivals.next().map(|rival| rival.path))
    }

    /// The path of a subvolume through the mount that snapshots are received in, which is where
    /// `btrfs receive` looks for parents.
    fn path_of(&self, subvolume: &Subvolume) -> Result<Option<PathBuf>> {
        let Some(at) = btrfs::mount_point(&self.base)? else {
            return Ok(None);
        };
        let mounts = self.filesystem.mounts()?;
        let ours = mounts.iter().rev().find(|mount| mount.at == at);
        let path = ours.and_then(|mount| {
            let below = subvolume.path.strip_prefix(&mount.root).ok()?;
            Some(mount.at.join(below))
        });
        // Something else may be mounted above it.
        let is = |path: &PathBuf| btrfs::subvolume(path).is_ok_and(|s| s.uuid == subvolume.uuid);
        Ok(path.filter(is))
    }

    /// Makes the writable snapshot, all of it or nothing, and durably.
    pub(super) fn make_target(&self, from: &Path) -> Result<()> {
        btrfs::create_snapshot(from, &self.parent, &self.name, false)?;
        let doing = || format!("cannot write {}", shown(&self.target));
        let dir = Filesystem::open(&self.parent)?;
        sys::syncfs(dir.fd()).doing(doing)
    }
}

fn identity(subvolume: &Subvolume) -> Uuid {
    subvolume.received_uuid.unwrap_or(subvolume.uuid)
}

/// Whether a snapshot is what it was when it was made or received.
fn is_sound(path: &Path) -> Result<bool> {
    let id = btrfs::subvolume(path)?.id;
    Ok(matches!(
        local::state_at(path, id)?,
        Some(State::Ok | State::Unsealed)
    ))
}

/// The snapshot at a path, if it is the one with this UUID, and unaltered.
pub(super) fn original(path: &Path, id: Uuid) -> Result<bool> {
    match btrfs::subvolume(path) {
        Ok(found) if found.read_only && identity(&found) == id => is_sound(path),
        _ => Ok(false),
    }
}
