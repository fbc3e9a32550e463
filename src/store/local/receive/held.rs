//! What is whole in quarantine, and how one or several of them come to their places together. In this order, so that
//! a power cut at any moment leaves nothing under its own name that is not whole and known to be:
//!
//! 1. Each was applied in quarantine, read-write and its top root's alone, and is a snapshot of the parent that was
//!    meant, which may be there still itself.
//! 2. One `syncfs`: all that was written of all of them lasts, and each has a generation.
//! 3. Each moves to its directory under its unfinished name, gets its received UUID and its top's own attributes, and
//!    becomes read-only. Two of these calls commit a transaction each, and the kernel does one such call at a time.
//! 4. One `syncfs`. A tree search of each from its generation on finds nothing newer but the top.
//! 5. What will be their seals, in one write; the renames; one `syncfs`; their seals, in one write: `part` does that.
//!
//! What one of them meets is its own failure, and the others go on; what all of them meet is that of all.

use super::builtin_receive::Quarantined;
use super::parent::Exact;
use super::part::{PartialSnapshot, SealNote, publish_all};
use super::with_way_out;
use crate::btrfs;
use crate::error::{Doing, Error, Result};
use crate::log::{self, transactions};
use crate::receive::Received;
use crate::snapshot::{Snapshot, Uuid, shown};
use crate::store::local::Local;
use crate::store::local::paths::open_dir;
use crate::stream::Head;
use crate::sys;
use crate::sys::at::rename_at;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// A snapshot that is whole in quarantine. Dropped before it is published, it is removed.
pub(in crate::store::local) struct Held {
    /// What it was sent as.
    head: Head,
    /// Its own UUID, and that of its parent here.
    pub(super) uuid: Uuid,
    parent: Option<Uuid>,
    pub(super) received: Received,
    quarantine: File,
    name: String,
    part: PartialSnapshot,
    told: SealNote,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {}", self.head.uuid, self.name)
    }
}

impl Held {
    /// All of it has come.
    ///
    /// # Errors
    /// If its stream did not end, or it is not a snapshot of the parent that was meant.
    pub(super) fn new(
        mut quarantined: Quarantined,
        head: Head,
        part: PartialSnapshot,
        told: SealNote,
    ) -> Result<Held> {
        let (received, parent) = quarantined.finish()?;
        let now = btrfs::subvolume_of(received.top()).doing(|| part.doing())?;
        if now.parent_uuid != parent {
            let said = "it was made from another parent";
            return Err(Error::damaged(part.doing(), said));
        }
        let (quarantine, name) = quarantined.place();
        Ok(Held {
            head,
            uuid: now.uuid,
            parent,
            received,
            quarantine,
            name,
            part,
            told,
        })
    }

    /// What is worth a word, which is in the log as well.
    pub(super) fn notes(&self) -> Vec<String> {
        let name = shown(self.part.will_be());
        let notes = self.received.notes.clone();
        notes
            .iter()
            .for_each(|note| log::line(|| format!("{name}: {note}")));
        notes
    }

    /// What it is, for all time.
    pub(super) fn id(&self) -> Uuid {
        self.head.uuid
    }

    /// It as the parent of what is received next, by our own receive.
    pub(super) fn as_parent(&self) -> Exact {
        Exact {
            uuid: self.uuid,
            generation: 0,
            sealed: false,
            path: self.part.path(),
            found_by_received: false,
        }
    }

    /// From now on others may reach what is in it. The generation that it had before.
    fn come_out(&self) -> Result<u64> {
        let (top, doing) = (self.received.top(), || self.part.doing());
        let since = btrfs::subvolume_of(top).doing(doing)?.generation;
        let (dir, from) = (open_dir(&self.part.dir())?, self.quarantine.as_fd());
        let (name, part) = (self.name.as_bytes(), self.part.name().as_bytes());
        rename_at(from, name, dir.as_fd(), part, false).doing(doing)?;
        btrfs::set_received_of(top, self.head.uuid, self.head.ctransid).doing(doing)?;
        self.received.settle()?;
        btrfs::make_read_only(top).doing(doing)?;
        Ok(since)
    }

    /// Between the top's own rights and the flag somebody may have opened a file, and be writing to
    /// it still. That shows by the transaction; afterwards the seal's generation shows it.
    fn must_be_untouched(&self, since: u64) -> Result<()> {
        let doing = || self.part.doing();
        if btrfs::touched_since(self.received.top(), since).doing(doing)? {
            let said = "somebody changed it before it was read-only: run it again";
            return Err(Error::refused(doing(), said));
        }
        let Head { uuid, ctransid, .. } = self.head;
        self.part.check(uuid, ctransid, self.parent)
    }
}

/// Publishes all that is held by a store, and notes down what exists then.
///
/// # Errors
/// What all of them meet. What only one of them does is in the log, and it is gone.
pub(in crate::store::local) fn publish(local: &mut Local) -> Result<()> {
    let held = std::mem::take(&mut local.received.held);
    let place = |held: &Held| (shown(local.dir.join(held.part.will_be())), held.id());
    let places: Vec<(String, Uuid)> = held.iter().map(place).collect();
    let all = together(held).map_err(|error| with_way_out(error, &local.dir));
    let one = |at: usize| match &all {
        Ok(all) => all[at].clone(),
        Err(error) => Err(error.clone()),
    };
    for (at, (place, id)) in places.iter().enumerate() {
        if let Ok(snapshot) = transactions::change("receive", || format!("{place} {id}"), one(at)) {
            local.received.published.push(snapshot.id());
            local.arrived(snapshot);
        }
    }
    all.map(drop)
}

/// Publishes one, beside which nothing else may wait.
///
/// # Errors
/// If it cannot be published: then it is gone.
pub(super) fn publish_one(held: Held) -> Result<Snapshot> {
    let gone = Error::failed(held.part.doing(), "nothing was received");
    together(vec![held])?.pop().unwrap_or(Err(gone))
}

/// In the order that this file begins with; one outcome for each.
fn together(held: Vec<Held>) -> Result<Vec<Result<Snapshot>>> {
    let Some(first) = held.first() else {
        return Ok(Vec::new());
    };
    let (dir, doing) = (open_dir(&first.part.dir())?, first.part.doing());
    let sync = || sys::syncfs(dir.as_fd()).doing(|| doing.clone());
    sync()?;
    let out: Vec<Result<u64>> = held.iter().map(Held::come_out).collect();
    sync()?;
    let untouched = held.into_iter().zip(out).map(|(held, since)| {
        held.must_be_untouched(since?)?;
        Ok((held.part, held.told))
    });
    let mut whole = Vec::new();
    let outcomes: Vec<Result<()>> = untouched
        .map(|one| one.map(|one| whole.push(one)))
        .collect();
    let mut published = publish_all(whole)?.into_iter();
    let gone = || Error::failed(&doing, "nothing was received");
    let outcome = |one: Result<()>| one.and_then(|()| published.next().ok_or_else(gone)?);
    Ok(outcomes.into_iter().map(outcome).collect())
}
