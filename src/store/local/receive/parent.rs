//! The subvolume that a diff is received onto, and its clone sources: exactly those that were listed, and
//! unaltered.
//! `btrfs receive` looks a parent up by UUID over the whole filesystem, received UUIDs first, and
//! anybody may give a subvolume of theirs any received UUID. So it is told the parent's own UUID, which
//! the kernel gave it, and nobody else may claim that.

use crate::btrfs::{self, Subvolume};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Diff, Snapshot, State, Uuid, shown};
use crate::store::local::Local;
use crate::store::local::listing::{States, state_at, states};
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
    /// Its generation is recorded, and does not move by itself any more.
    pub(super) sealed: bool,
    /// Whether it is what is found by the received UUID that streams name it by.
    pub(super) found_by_received: bool,
}

/// All that a diff needs of what is there.
#[derive(Debug)]
pub(crate) struct Needs {
    pub(super) parent: Option<Exact>,
    /// By the UUIDs that the stream names them by.
    pub(super) clones: Vec<(Uuid, Exact)>,
}

impl Needs {
    /// Whether a snapshot of it has nothing of what was there before this session.
    pub(super) fn are_brought(&self, local: &Local) -> bool {
        let clones = self.clones.iter().map(|(_, exact)| exact);
        let mut all = self.parent.iter().chain(clones);
        all.all(|exact| local.received.brought.contains(&exact.uuid))
    }

    /// A digest of a file that was there before, but for a byte, would tell which byte it is.
    ///
    /// # Errors
    /// If it will be compared, by who may not read, and is built on what was there before this session.
    pub(crate) fn must_be_comparable(&self, local: &Local, path: &Path) -> Result<()> {
        if !local.run.compares || local.caller.reads || self.are_brought(local) {
            return Ok(());
        }
        let said = "it builds on what was there before, and digests of it would tell what that is, which mode p \
                    does not grant";
        let refusal = Error::refused(
            format!("cannot receive {} and compare it", shown(path)),
            said,
        );
        Err(refusal.hint("without --compare, with --whole, or with mode a"))
    }
}

/// A snapshot that claims to be a subvolume of this filesystem would be taken for it by whoever builds
/// on that; whoever may only be in one directory must not get in the way of others so. What claims to be
/// nothing would be taken for what was made here, and count as no quota's.
///
/// # Errors
/// If there is a subvolume of that UUID, or it is none.
pub(crate) fn must_claim_nothing(local: &Local, to: Uuid, path: &Path) -> Result<()> {
    if Uuid::set(to.0).is_none() {
        let doing = format!("cannot receive {}", shown(path));
        return Err(Error::damaged(
            doing,
            format!("{to} is the UUID of nothing"),
        ));
    }
    if !local.caller.walled {
        return Ok(());
    }
    let all = local.filesystem.subvolumes()?.all_read()?;
    match all.iter().any(|s| s.uuid == to) {
        false => Ok(()),
        true => Err(Error::refused(
            format!("cannot receive {}", shown(path)),
            format!("{to} is the UUID of a subvolume that was made here"),
        )),
    }
}

/// Of the listed subvolumes that are its parent and its clone sources, those that a diff can build on.
///
/// # Errors
/// [`Kind::Unreceivable`] if there is none of one of them: what is wrong with the soundest.
pub(crate) fn find(local: &Local, diff: &Diff, path: &Path) -> Result<Needs> {
    let mut looked = None;
    let mut exact = |what: &str, id: Uuid| {
        if let Some(held) = local.received.held.iter().find(|held| held.id() == id) {
            return Ok(held.as_parent());
        }
        if let Some(exact) = just_received(local, id) {
            return Ok(exact);
        }
        let looked = match &looked {
            Some(looked) => looked,
            None => looked.insert(look(local)?),
        };
        let doing = || format!("cannot receive {}", shown(path));
        one(local, (what, id), looked)?
            .map_err(|said| Error::new(Kind::Unreceivable, doing(), said))
    };
    let parent = diff.from.map(|id| exact("its parent", id)).transpose()?;
    let clones = diff.clones.iter();
    let clones = clones.map(|&id| Ok((id, exact("its clone source", id)?)));
    let clones = clones.collect::<Result<_>>()?;
    Ok(Needs { parent, clones })
}

/// All subvolumes there are, and what those that were listed are worth.
fn look(local: &Local) -> Result<(Vec<Subvolume>, States)> {
    let all = local.filesystem.subvolumes()?.all;
    let states = states(&local.dir, &all);
    Ok((all, states))
}

/// One of those that are this snapshot; else what is wrong with the soundest.
fn one(
    local: &Local,
    (what, id): (&str, Uuid),
    (all, states): &(Vec<Subvolume>, States),
) -> Result<std::result::Result<Exact, String>> {
    let mut listed: Vec<&Snapshot> = local.listed.known.iter().filter(|s| s.id() == id).collect();
    listed.retain(|s| s.state != State::Partial);
    listed.sort_by_key(|s| (s.rank(), s.state == State::Unsealed));
    let mut wrong = format!("{what} {id} is not in {}", shown(&local.dir));
    for (at, snapshot) in listed.into_iter().enumerate() {
        let now = all.iter().find(|s| s.uuid == snapshot.uuid);
        let state = match now {
            Some(now) if now.below.is_none() => state_at(&snapshot.path, now.id)?,
            Some(now) => states.of.get(&now.id).copied(),
            None => None,
        };
        let name = format!("{what} {}", shown(&snapshot.path));
        match fit(snapshot, &name, now, state, all, local) {
            Ok(exact) => return Ok(Ok(exact)),
            Err(said) if at == 0 => wrong = said,
            Err(_) => {}
        }
    }
    Ok(Err(wrong))
}

/// What this run received itself is sound as long as it is as it was then and nobody claims to be it: in a long
/// chain nobody looks each time at all that there is. `None` where that does not tell.
fn just_received(local: &Local, parent: Uuid) -> Option<Exact> {
    let mut same = local.listed.known.iter().filter(|s| s.id() == parent);
    let (listed, None) = (same.next()?, same.next()) else {
        return None;
    };
    let path = local.dir.join(&listed.path);
    let now = btrfs::subvolume(&path).ok()?;
    let received = |uuid| btrfs::received_from(local.filesystem.fd(), uuid).ok();
    let is_as_received = local.received.arrived.contains(&now.uuid)
        && listed.state == State::Ok
        && now.uuid == listed.uuid
        && now.read_only
        && now.ctransid == listed.ctransid;
    let unique = received(parent)? == [now.id] && received(now.uuid)?.is_empty();
    (is_as_received && unique).then_some(Exact {
        uuid: now.uuid,
        generation: now.ctransid,
        sealed: true,
        path,
        found_by_received: true,
    })
}

fn must_be_the_only_one(
    name: &str,
    uuid: Uuid,
    all: &[Subvolume],
    local: &Local,
) -> std::result::Result<(), String> {
    let is_claim = |s: &&Subvolume| s.received_uuid == Some(uuid) && s.uuid != uuid;
    let Some(claims) = all.iter().find(is_claim) else {
        return Ok(());
    };
    // What lies elsewhere is nothing to whoever may only be here.
    let which = match &claims.below {
        None if local.caller.walled => "a subvolume elsewhere".to_owned(),
        _ => format!("the subvolume {}", shown(&claims.path)),
    };
    Err(format!(
        "{which} claims to be {name}: its received UUID is {uuid}; see who made it, and delete it"
    ))
}

fn fit(
    listed: &Snapshot,
    name: &str,
    now: Option<&Subvolume>,
    state: Option<State>,
    all: &[Subvolume],
    local: &Local,
) -> std::result::Result<Exact, String> {
    let Some(now) = now else {
        return Err(format!("{name} is gone since it was listed"));
    };
    must_be_the_only_one(name, now.uuid, all, local)?;
    match state {
        _ if !now.read_only => Err(format!("{name} is read-write")),
        Some(State::Ok | State::Unsealed) => Ok(Exact {
            uuid: now.uuid,
            generation: now.ctransid,
            sealed: state == Some(State::Ok),
            path: local.dir.join(&listed.path),
            found_by_received: all
                .iter()
                .filter(|s| s.received_uuid == Some(listed.id()))
                .count()
                == 1
                && now.received_uuid.is_some(),
        }),
        Some(State::Duplicate) => Err(format!(
            "{name} has no seal, and other subvolumes have its received UUID"
        )),
        Some(State::Uncompared) => Err(format!("{name} is still to be compared with its source")),
        _ => Err(format!(
            "{name} was altered, and would give a wrong snapshot"
        )),
    }
}
