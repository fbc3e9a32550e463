//! What becomes of wrong copies. One that just came goes; one that was there is marked, or another
//! takes its place: two names of one directory are exchanged in one step, so that at every moment one
//! of the two has the name.

use super::Local;
use super::listing::states;
use super::paths::{checked_name, open_dir, sync};
use super::receive::held::Held;
use super::records::marks;
use super::records::seals::{self, Fact, Seal};
use crate::btrfs;
use crate::error::{Doing, Error, Result};
use crate::log;
use crate::snapshot::{Snapshot, State, Uuid, shown};
use crate::store::{Rejected, Store};
use crate::sys::at::exchange_at;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Local {
    /// It waits for others now.
    pub(super) fn held(&mut self, held: Held) {
        self.received.failed = false;
        self.received.held.push(held);
    }

    pub(super) fn arrived(&mut self, snapshot: Snapshot) {
        self.received.failed = false;
        self.received.arrived.push(snapshot.uuid);
        self.listed.known.push(snapshot);
    }
}

pub(super) fn reject(local: &mut Local, path: &Path) -> Result<Rejected> {
    let listed = local.listed.known.iter().find(|s| s.path == path);
    let uuid = listed.map_or(Uuid::default(), |s| s.uuid);
    let never_counted = listed.is_some_and(|s| s.state == State::Uncompared);
    let new = never_counted || local.received.arrived.contains(&uuid);
    if !new && local.caller.walled {
        let doing = format!("cannot mark {}", shown(local.dir.join(path)));
        let said = "it counts already, and came in another session: who may delete it deletes it";
        return Err(Error::refused(doing, said));
    }
    if new {
        match local.delete(path) {
            Ok(()) => return Ok(Rejected::Removed),
            Err(error) => log::line(|| error.to_string()),
        }
    }
    let whole = local.dir.join(path);
    let now = btrfs::subvolume(&whole)?;
    let Some(seal) = Seal::of(&now).filter(|_| now.uuid == uuid) else {
        let doing = format!("cannot mark {}", shown(&whole));
        return Err(Error::refused(doing, "it was not received here"));
    };
    let fact = Fact {
        seal: Some(seal.rejecting()),
        ..Fact::default()
    };
    seals::add(&local.dir, uuid, fact)?;
    let marked = local.listed.known.iter_mut().filter(|s| s.path == path);
    marked.for_each(|s| s.state = State::Altered);
    Ok(Rejected::Marked)
}

/// The crash that kept it from being compared may have kept it from being sealed as well. What another
/// program received has no seal, and that of what was deduplicated is not right any more; that they are what
/// they should be only this machine's own may say. What was compared and was another stays so.
pub(super) fn settle(local: &mut Local, path: &Path) -> Result<()> {
    let doing = || format!("cannot settle {}", shown(local.dir.join(path)));
    let now = btrfs::subvolume(&local.dir.join(path))?;
    let unchanged =
        |s: &&mut Snapshot| s.path == path && s.uuid == now.uuid && s.ctransid == now.ctransid;
    let listed = local.listed.known.iter_mut().find(unchanged);
    let seal = Seal::of(&now).unwrap_or_else(|| Seal::of_made(&now));
    let (Some(listed), true) = (listed, now.read_only) else {
        let said = "it was replaced or changed since it was listed";
        return Err(Error::refused(doing(), said));
    };
    let recorded = states(&local.dir, &local.filesystem.subvolumes()?.all);
    if let Some(unread) = recorded.unread {
        return Err(Error::refused(doing(), unread.to_string()));
    }
    let by_record = match listed.state {
        State::Altered => !recorded.rejected.contains(&now.uuid),
        state => state == State::Unsealed,
    };
    let unsealed = !local.caller.walled && by_record;
    if unsealed || listed.state == State::Uncompared {
        let fact = Fact {
            seal: Some(seal),
            uncompared: Some(false),
            ..Fact::default()
        };
        seals::add(&local.dir, now.uuid, fact)?;
        listed.state = State::Ok;
    }
    Ok(())
}

/// What was compared when it came, and was another, stays that.
pub(super) fn may_seal(local: &Local, path: &Path) -> bool {
    let rejected = || {
        let now = btrfs::subvolume(&local.dir.join(path)).ok()?;
        let all = local.filesystem.subvolumes().ok()?.all;
        let recorded = states(&local.dir, &all);
        let known = recorded.unread.is_none();
        known.then(|| recorded.rejected.contains(&now.uuid))
    };
    !local.caller.walled && rejected() == Some(false)
}

pub(super) fn exchange(local: &mut Local, new: &Path, old: &Path) -> Result<()> {
    let doing = || format!("cannot replace {}", shown(local.dir.join(old)));
    local.must_know(doing)?;
    let (new_name, old_name) = (checked_name(new)?, checked_name(old)?);
    if new.parent() != old.parent() || new == old {
        let said = "its replacement is not beside it, in the same directory";
        return Err(Error::refused(doing(), said));
    }
    let replaced = must_be_twins(local, new, old);
    let replaced = replaced.map_err(|said| Error::refused(doing(), said))?;
    // From the exchange on it is unfinished where it lies then.
    let fact = Fact {
        replaced: Some(true),
        ..Fact::default()
    };
    seals::add(&local.dir, replaced, fact)?;
    marks::begin(&local.dir, new, None)?;
    let dir = open_dir(&local.parent_of(old)?)?;
    exchange_at(dir.as_fd(), new_name.as_bytes(), old_name.as_bytes()).doing(doing)?;
    sync(&dir, doing)?;
    for snapshot in &mut local.listed.known {
        if snapshot.path == new {
            snapshot.path = old.to_owned();
        } else if snapshot.path == old {
            snapshot.path = new.to_owned();
        }
    }
    local.delete(new)
}

/// What was listed or received under the two names, and is there still, has one identity. The UUID of
/// the old one.
fn must_be_twins(local: &Local, new: &Path, old: &Path) -> std::result::Result<Uuid, String> {
    let known = |path: &Path| {
        let listed = local.listed.known.iter().find(|s| s.path == path);
        let listed = listed.ok_or_else(|| format!("{} was not listed", shown(path)))?;
        let now = btrfs::subvolume(&local.dir.join(path)).map_err(|error| error.to_string())?;
        match now.uuid == listed.uuid && now.read_only {
            true => Ok(listed),
            false => Err(format!("{} was replaced since it was listed", shown(path))),
        }
    };
    let (new, old) = (known(new)?, known(old)?);
    match new.id() == old.id() {
        true => Ok(old.uuid),
        false => Err("the two are not copies of one snapshot".to_owned()),
    }
}
