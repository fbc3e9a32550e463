//! A second copy with the same identity, made by the filesystem itself: a read-only snapshot of one that
//! was listed, whether it lies here or elsewhere. What is copied is what was opened.

use super::part::{PartialSnapshot, SealNote, must_be_free};
use crate::btrfs::{self, Subvolume};
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Snapshot, State, shown};
use crate::store::local::Local;
use crate::store::local::listing::state_at;
use crate::store::local::paths::{checked_name, open_dir};
use crate::sys;
use crate::sys::secure_open::Unopened;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Copies a snapshot to a free name.
pub(in crate::store::local) fn copy(local: &mut Local, from: &Path, to: &Path) -> Result<()> {
    let name = checked_name(to)?;
    let doing = || format!("cannot copy {}", shown(local.dir.join(from)));
    let source = open(local, from)?;
    must_be_free(&local.parent_of(to)?.join(name))?;
    let original = btrfs::subvolume_of(source.as_fd()).doing(doing)?;
    let listed = listed(local, from, &original)?.cloned();
    let (id, generation) = match original.received_uuid {
        Some(uuid) => (uuid, original.stransid),
        None => (original.uuid, original.ctransid),
    };
    let part = PartialSnapshot::claim(&local.dir, to)?;
    let dir = open_dir(&part.dir())?;
    btrfs::create_snapshot_at(source.as_fd(), dir.as_fd(), part.name()).doing(doing)?;
    must_be_unaltered(&source, &original)?;
    btrfs::set_received(&part.path(), id, generation)?;
    btrfs::set_read_only(&part.path(), true)?;
    part.check(id, generation, Some(original.uuid))?;
    let known = listed.as_ref().and_then(|s| s.origin.clone());
    let origin = local.run.coming.get(&id).cloned().or(known);
    let pending = listed.is_some_and(|s| s.state == State::Uncompared);
    let uncompared = local.run.compares || pending;
    let snapshot = part.publish(SealNote {
        origin: local.signed(origin),
        uncompared,
        bytes: 0,
    })?;
    local.arrived(snapshot);
    Ok(())
}

/// Opens what is to be copied. A symbolic link, which a snapshot may well contain, leads nowhere else.
fn open(local: &Local, from: &Path) -> Result<File> {
    let doing = || format!("cannot copy {}", shown(local.dir.join(from)));
    if from.is_absolute() {
        let found = Unopened::at(from).and_then(|found| found.open_directory());
        return found.doing(doing);
    }
    checked_name(from)?;
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let opened = sys::open_beneath(local.filesystem.fd(), from, flags).doing(doing)?;
    Ok(opened.into())
}

/// What was listed of it. What lies elsewhere is copied only as it was listed, and if it still is sound.
fn listed<'a>(local: &'a Local, from: &Path, now: &Subvolume) -> Result<Option<&'a Snapshot>> {
    let same = |s: &&Snapshot| s.uuid == now.uuid;
    if !from.is_absolute() {
        return Ok(local.listed.known.iter().find(same));
    }
    let listed = local
        .listed
        .elsewhere
        .iter()
        .find(|s| same(s) && s.path == from);
    let state = state_at(from, now.id)?;
    match listed.filter(|s| s.ctransid == now.ctransid && Some(s.state) == state) {
        Some(listed) => Ok(Some(listed)),
        None => Err(altered(from)),
    }
}

/// Who can write to a subvolume may have made it read-write for a moment: then its generation moved.
fn must_be_unaltered(source: &File, before: &Subvolume) -> Result<()> {
    let path = PathBuf::from(&before.path);
    let now =
        btrfs::subvolume_of(source.as_fd()).doing(|| format!("cannot copy {}", shown(&path)))?;
    match now.read_only == before.read_only && now.ctransid == before.ctransid {
        true => Ok(()),
        false => Err(altered(&path)),
    }
}

fn altered(path: &Path) -> Error {
    let said = "it was renamed, replaced or altered since it was listed: run it again";
    Error::refused(format!("cannot copy {}", shown(path)), said)
}
