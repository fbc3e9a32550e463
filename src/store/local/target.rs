//! Where a backup comes back to: the directory of the received snapshots, which of them are there
//! already or elsewhere on its filesystem, and the writable snapshot that is made at last.

use super::listing::{adopted, leftovers, snapshot, state_at, states};
use super::{Local, LocalOptions};
use crate::btrfs::{self, Filesystem, Subvolume};
use crate::error::{Doing, Error, Result};
use crate::log::transactions;
use crate::snapshot::{Snapshot, State, Uuid, shown};
use crate::store::{Access, Store};
use crate::sys;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A target that does not exist yet.
#[derive(Debug)]
pub struct RestoreTarget {
    /// Without symbolic links.
    pub target: PathBuf,
    parent: PathBuf,
    name: OsString,
    /// Where snapshots are received, read-only.
    pub base: PathBuf,
    filesystem: Filesystem,
}

impl RestoreTarget {
    /// Looks at a target. Snapshots are received in `base` if that is on its filesystem, and
    /// beside it otherwise.
    pub fn find(target: &Path, base: &Path) -> Result<RestoreTarget> {
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
        Ok(RestoreTarget {
            target: whole,
            filesystem: Filesystem::open(&base)?,
            name: name.to_owned(),
            parent,
            base,
        })
    }

    /// Refuses what is mounted read-only, before anything is paid for.
    pub fn check_writable(&self) -> Result<()> {
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
    pub fn free(&self) -> Result<u64> {
        sys::free_bytes(self.filesystem.fd()).doing(|| format!("cannot read {}", shown(&self.base)))
    }

    /// Whether what is written there is compressed.
    pub fn compresses(&self) -> bool {
        self.filesystem.compresses()
    }

    /// The directory of the received snapshots as a store. Of these snapshots it lists copies elsewhere on
    /// the filesystem too, where diffs can build on them.
    ///
    /// # Errors
    /// If another run holds the lock, with more than read access.
    pub fn open(
        &self,
        access: Access,
        options: LocalOptions,
        ids: Vec<Uuid>,
    ) -> Result<Box<dyn Store>> {
        let mut local = Local::open(&self.base, access, options)?;
        local.run.wanted = ids;
        Ok(Box::new(local))
    }

    /// A received copy on this filesystem of a snapshot that is to be received again: it cannot be
    /// built on, and yet `btrfs receive` may take it for the new one.
    pub fn rival(&self, ids: &[Uuid]) -> Result<Option<PathBuf>> {
        let all = self.filesystem.subvolumes()?.all_read()?;
        let leftovers = leftovers(&self.base, &all);
        let mut rivals = all.into_iter().filter(|s| {
            let same = s.received_uuid.is_some_and(|id| ids.contains(&id));
            same && !leftovers.contains(&s.id)
        });
        Ok(rivals.next().map(|rival| rival.path))
    }

    /// Makes the writable snapshot, all of it or nothing, and durably.
    pub fn make(&self, from: &Path) -> Result<()> {
        let place = || format!("{} from {}", shown(&self.target), shown(from));
        transactions::change("restore", place, self.snapshot_of(from))
    }

    fn snapshot_of(&self, from: &Path) -> Result<()> {
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
        state_at(path, id)?,
        Some(State::Ok | State::Unsealed)
    ))
}

/// The snapshots that are wanted, sound and not among those that are listed, by their absolute paths
/// through the mount by which the directory is reached: that is where parents are looked for.
pub(super) fn elsewhere(
    local: &Local,
    all: &[Subvolume],
    listed: &[Snapshot],
    notes: &mut Vec<String>,
) -> Vec<Snapshot> {
    let sound = |id| listed.iter().any(|s| s.id() == id && s.may_be_parent());
    let mut found = Vec::new();
    for id in local.run.wanted.iter().filter(|id| !sound(**id)) {
        let same = all.iter().filter(|s| s.read_only && identity(s) == *id);
        for subvolume in same {
            match sound_copy(local, subvolume) {
                Ok(None) => {}
                Ok(Some(copy)) => {
                    found.push(copy);
                    break;
                }
                // There may be another one, and the rest of the listing does not hang on it.
                Err(error) => notes.push(error.to_string()),
            }
        }
    }
    found
}

fn sound_copy(local: &Local, subvolume: &Subvolume) -> Result<Option<Snapshot>> {
    match path_of(local, subvolume)? {
        Some(path) if is_sound(&path)? => adopted(&path).map(Some),
        _ => Ok(None),
    }
}

/// The snapshots that are sought, sound and outside of the store, by their absolute paths through any
/// mount of its filesystem. Whoever may only be in one directory sees none.
///
/// # Errors
/// If the mounts cannot be read.
pub(super) fn copies(local: &Local) -> Result<Vec<Snapshot>> {
    let mut sought: HashSet<Uuid> = local.run.sought.iter().copied().collect();
    let mut found = Vec::new();
    if local.caller.walled {
        return Ok(found);
    }
    for mount in local.filesystem.mounts()? {
        if sought.is_empty() {
            break;
        }
        // What is mounted over it, or may not be read, offers nothing.
        for copy in below(&mount.at, &sought).unwrap_or_default() {
            if !copy.path.starts_with(&local.dir) && sought.remove(&copy.id()) {
                found.push(copy);
            }
        }
    }
    Ok(found)
}

/// The sound ones of these snapshots below a mount point.
fn below(at: &Path, sought: &HashSet<Uuid>) -> Result<Vec<Snapshot>> {
    let all = Filesystem::open(at)?.subvolumes()?.all;
    let states = states(at, &all);
    let sound = |s: &&Subvolume| {
        let state = states.of.get(&s.id);
        let sound = matches!(state, Some(State::Ok | State::Unsealed));
        s.read_only && sound && sought.contains(&identity(s))
    };
    let here = all.iter().filter(sound).filter_map(|s| {
        let path = at.join(s.below.as_ref()?);
        let is = btrfs::subvolume(&path).is_ok_and(|now| now.uuid == s.uuid);
        is.then(|| snapshot(s, &path, states.of[&s.id]))
    });
    Ok(here.collect())
}

fn path_of(local: &Local, subvolume: &Subvolume) -> Result<Option<PathBuf>> {
    let Some(at) = btrfs::mount_point(&local.dir)? else {
        return Ok(None);
    };
    let mounts = local.filesystem.mounts()?;
    let ours = mounts.iter().rev().find(|mount| mount.at == at);
    let path = ours.and_then(|mount| {
        let below = subvolume.path.strip_prefix(&mount.root).ok()?;
        Some(mount.at.join(below))
    });
    // Something else may be mounted above it.
    let is = |path: &PathBuf| btrfs::subvolume(path).is_ok_and(|s| s.uuid == subvolume.uuid);
    Ok(path.filter(is))
}

impl RestoreTarget {
    /// Whether the snapshot at a path, wherever that is, is the one with this UUID, and unaltered.
    ///
    /// # Errors
    /// If what is recorded of it cannot be read.
    pub fn is_original(path: &Path, id: Uuid) -> Result<bool> {
        match btrfs::subvolume(path) {
            Ok(found) if found.read_only && identity(&found) == id => is_sound(path),
            _ => Ok(false),
        }
    }
}
