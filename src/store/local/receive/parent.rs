//! The subvolume that a diff is received onto: exactly the one that was listed, and unaltered.
//! `btrfs receive` looks a parent up by UUID over the whole filesystem, received UUIDs first, and
//! anybody may give a subvolume of theirs any received UUID. So it is told the parent's own UUID, which
//! the kernel gave it, and nobody else may claim that.

use crate::btrfs::{self, Subvolume};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Snapshot, State, Uuid, shown};
use crate::store::local::Local;
use crate::store::local::listing::{state_at, states};
use std::path::{Path, PathBuf};

/// The subvolume that a diff builds on.
#[derive(Clone, Debug)]
pub(crate) struct Exact {
    /// Its own UUID: that of nothing else.
    pub(super) uuid: Uuid,
    /// Its own generation.
    pub(super) generation: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is what is found by the received UUID that streams name it by.
    pub(super) found_by_received: bool,
}

/// A snapshot that claims to be a subvolume of this filesystem would be taken for it by whoever builds
/// on that; whoever may only be in one directory must not get in the way of others so.
///
/// # Errors
/// If there is a subvolume of that UUID.
pub(crate) fn must_claim_nothing(local: &Local, to: Uuid, path: &Path) -> Result<()> {
    if !local.walled {
        return Ok(());
    }
    let all = local.filesystem.subvolumes()?.all;
    match all.iter().any(|s| s.uuid == to) {
        false => Ok(()),
        true => Err(Error::refused(
            format!("cannot receive {}", shown(path)),
            format!("{to} is the UUID of a subvolume that was made here"),
        )),
    }
}

/// Of the listed subvolumes that are this snapshot, one that a diff can build on.
///
/// # Errors
/// [`Kind::Unreceivable`] if none of them can: what is wrong with the soundest.
pub(crate) fn find(local: &Local, parent: Uuid, path: &Path) -> Result<Exact> {
    if let Some(held) = local.held.iter().find(|held| held.id() == parent) {
        return Ok(held.as_parent());
    }
    if let Some(exact) = just_received(local, parent) {
        return Ok(exact);
    }
    let all = local.filesystem.subvolumes()?.all;
    let states = states(&local.dir, &all);
    let mut listed: Vec<&Snapshot> = local.known.iter().filter(|s| s.id() == parent).collect();
    listed.retain(|s| s.state != State::Partial);
    listed.sort_by_key(|s| (s.rank(), s.state == State::Unsealed));
    let mut wrong = format!("its parent {parent} is not in {}", shown(&local.dir));
    for (at, snapshot) in listed.into_iter().enumerate() {
        let now = all.iter().find(|s| s.uuid == snapshot.uuid);
        let state = match now {
            Some(now) if now.below.is_none() => state_at(&snapshot.path, now.id)?,
            Some(now) => states.of.get(&now.id).copied(),
            None => None,
        };
        match fit(snapshot, now, state, &all, local) {
            Ok(exact) => return Ok(exact),
            Err(said) if at == 0 => wrong = said,
            Err(_) => {}
        }
    }
    let doing = format!("cannot receive {}", shown(path));
    Err(Error::new(Kind::Unreceivable, doing, wrong))
}

/// What this run received itself is sound as long as it is as it was then and nobody claims to be it: in a long
/// chain nobody looks each time at all that there is. `None` where that does not tell.
fn just_received(local: &Local, parent: Uuid) -> Option<Exact> {
    let mut same = local.known.iter().filter(|s| s.id() == parent);
    let (listed, None) = (same.next()?, same.next()) else {
        return None;
    };
    let path = local.dir.join(&listed.path);
    let now = btrfs::subvolume(&path).ok()?;
    let received = |uuid| btrfs::received_from(local.filesystem.fd(), uuid).ok();
    let is_as_received = local.arrived.contains(&now.uuid)
        && listed.state == State::Ok
        && now.uuid == listed.uuid
        && now.read_only
        && now.ctransid == listed.ctransid;
    let unique = received(parent)? == [now.id] && received(now.uuid)?.is_empty();
    (is_as_received && unique).then_some(Exact {
        uuid: now.uuid,
        generation: now.ctransid,
        path,
        found_by_received: true,
    })
}

fn fit(
    listed: &Snapshot,
    now: Option<&Subvolume>,
    state: Option<State>,
    all: &[Subvolume],
    local: &Local,
) -> std::result::Result<Exact, String> {
    let name = shown(&listed.path);
    let Some(now) = now else {
        return Err(format!("its parent {name} is gone since it was listed"));
    };
    if let Some(claims) = all
        .iter()
        .find(|s| s.received_uuid == Some(now.uuid) && s.uuid != now.uuid)
    {
        // What lies elsewhere is nothing to whoever may only be here.
        let which = match &claims.below {
            None if local.walled => "a subvolume elsewhere".to_owned(),
            _ => format!("the subvolume {}", shown(&claims.path)),
        };
        return Err(format!(
            "{which} claims to be its parent {name}: its received UUID is {}; see who made it, and delete it",
            now.uuid
        ));
    }
    match state {
        _ if !now.read_only => Err(format!("its parent {name} is read-write")),
        Some(State::Ok | State::Unsealed) => Ok(Exact {
            uuid: now.uuid,
            generation: now.ctransid,
            path: local.dir.join(&listed.path),
            found_by_received: all
                .iter()
                .filter(|s| s.received_uuid == Some(listed.id()))
                .count()
                == 1
                && now.received_uuid.is_some(),
        }),
        Some(State::Duplicate) => Err(format!(
            "its parent {name} has no seal, and other subvolumes have its received UUID"
        )),
        Some(State::Uncompared) => Err(format!(
            "its parent {name} is still to be compared with its source"
        )),
        _ => Err(format!(
            "its parent {name} was altered, and would give a wrong snapshot"
        )),
    }
}
