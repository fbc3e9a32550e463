//! What has to be sent, after what is there already and what stands in the way. Thinks only: both
//! listings come in as values.

use super::{Action, Obstacle, Planner, Step, conflicting};
use crate::error::{Error, Result};
use crate::snapshot::{Snapshot, State, Uuid, shown};
use crate::text::counted_with;
use std::collections::HashMap;
use std::path::Path;

/// The way out for what is not what its UUID says.
const COPY_OF_COPY: &str = "make a writable snapshot of it ('btrfs subvolume snapshot'), a read-only one of that, \
                            and send that";

impl<'a> Planner<'a> {
    pub(super) fn wished(&self) -> Result<Vec<&'a Snapshot>> {
        let mut all = self.source.snapshots.iter();
        if let Some(path) = self.wish.only {
            let found = all.rfind(|s| s.path == path && s.state != State::Partial);
            return found.map(|s| vec![s]).ok_or_else(|| {
                Error::usage(
                    format!("cannot send {}", shown(path)),
                    format!("there is no such snapshot in {}", self.source.location),
                )
            });
        }
        Ok(all.filter(|s| !self.wish.excludes(&s.path)).collect())
    }

    /// What could not be listed does not arrive; who wants one snapshot has found it.
    pub(super) fn unlisted(&mut self) {
        let all = self.source.unlisted.iter();
        for unlisted in all.filter(|one| self.wish.only.is_none() && !self.wish.excludes(&one.path))
        {
            let what = format!("what is there could not be listed: {}", unlisted.why);
            self.plan
                .obstacles
                .push(Obstacle::blocking(&unlisted.path, what));
        }
    }

    /// What has to be sent, after what is there and what cannot be sent.
    pub(super) fn targets(&mut self, wished: &[&'a Snapshot]) -> Vec<&'a Snapshot> {
        let (mut targets, mut seen): (Vec<&Snapshot>, HashMap<Uuid, &Path>) =
            (Vec::new(), HashMap::new());
        let names = self.names();
        for &snapshot in wished {
            if !self.sendable(snapshot) {
                continue;
            }
            if let Some(twin) = seen.get(&snapshot.id()) {
                self.keep(snapshot, format!("same content as {}", shown(twin)));
                continue;
            }
            seen.insert(snapshot.id(), &snapshot.path);
            if !self.present(snapshot)
                && !self.unusable(snapshot)
                && !self.name_taken(snapshot, &names)
            {
                targets.push(snapshot);
            }
        }
        targets
    }

    /// Whether a wished snapshot can be a source at all.
    fn sendable(&mut self, snapshot: &Snapshot) -> bool {
        let path = &snapshot.path;
        let obstacle = match snapshot.state {
            State::Partial => Obstacle::note(
                path,
                "an unfinished transfer lies at the source; it is not sent",
            ),
            State::RwReceived => Obstacle::blocking(path, "it is read-write").hint(COPY_OF_COPY),
            State::Altered if snapshot.received_uuid.is_some() => {
                let what =
                    "it was altered after it was received, so it is no longer what its UUID says";
                Obstacle::blocking(path, what).hint(COPY_OF_COPY)
            }
            State::Uncompared => {
                let what = "it was never compared with its own source, as the run that received it was ended";
                Obstacle::blocking(path, what)
                    .hint("compare it first (verify --against SOURCE --content)")
            }
            State::Altered => Obstacle::note(
                path,
                "it was altered after it was made: sent whole, and never a parent",
            )
            .hint(
                "'buttersink verify SRC --against DST --content' seals it anew, if a copy has the same content still, \
                 as where blocks are deduplicated",
            ),
            State::Duplicate => Obstacle::note(
                path,
                "other subvolumes of the source have the same received UUID",
            ),
            State::Ok | State::Unsealed => return self.sends_without_nested(snapshot),
        };
        let stays = obstacle.blocks || snapshot.state == State::Partial;
        self.obstacle(obstacle);
        !stays && self.sends_without_nested(snapshot)
    }

    /// It can be sent, but for the subvolumes inside it.
    fn sends_without_nested(&mut self, snapshot: &Snapshot) -> bool {
        if let Some(first) = snapshot.nested.first() {
            let inside = counted_with(snapshot.nested.len(), first);
            let what = format!("subvolumes inside it will not travel: {inside}");
            self.obstacle(Obstacle::note(&snapshot.path, what));
        }
        true
    }

    /// Whether the destination has it; says so in the plan.
    fn present(&mut self, snapshot: &Snapshot) -> bool {
        let there = self.there.get(&snapshot.id()).copied();
        let Some(there) = there.filter(|s| s.state != State::Partial) else {
            return false;
        };
        if let Some(obstacle) = in_the_way(snapshot, there) {
            let blocks = obstacle.blocks;
            self.obstacle(obstacle);
            if blocks {
                return true;
            }
        }
        let at = shown(&there.path);
        let why = if there.path == snapshot.path {
            "the destination has it".to_owned()
        } else {
            format!("the destination has it as {at}")
        };
        self.keep(snapshot, why);
        true
    }

    fn keep(&mut self, snapshot: &Snapshot, why: String) {
        let step = Step::new(Action::Keep, snapshot, why);
        self.plan.steps.push(step);
    }

    /// Whether the destination can keep nothing under its name; says so in the plan.
    fn unusable(&mut self, snapshot: &Snapshot) -> bool {
        let why = self.dest.names.refuse(&snapshot.path);
        if let Some(why) = &why {
            let what = format!("the destination cannot keep it: {why}");
            self.obstacle(Obstacle::blocking(&snapshot.path, what));
        }
        why.is_some()
    }

    /// The names that are taken at the destination.
    fn names(&self) -> HashMap<&'a Path, &'a Snapshot> {
        let whole = self.dest.snapshots.iter();
        let whole = whole.filter(|s| s.state != State::Partial);
        whole.rev().map(|s| (s.path.as_path(), s)).collect()
    }

    fn name_taken(&mut self, snapshot: &Snapshot, names: &HashMap<&Path, &Snapshot>) -> bool {
        let other = names.get(snapshot.path.as_path());
        if let Some(other) = other {
            let what = format!(
                "another snapshot has its name at the destination ({})",
                other.id()
            );
            let obstacle = Obstacle::blocking(&snapshot.path, what);
            self.obstacle(obstacle.hint("rename or remove that one"));
        }
        other.is_some()
    }
}

/// What keeps a copy at the destination from being as good as its source.
fn in_the_way(snapshot: &Snapshot, there: &Snapshot) -> Option<Obstacle> {
    let (path, at) = (&snapshot.path, shown(&there.path));
    if conflicting(snapshot, there) {
        let what = format!(
            "the destination has another state of it as {at} (generation {} there, {} here): one of them was \
             altered",
            there.generation(),
            snapshot.generation()
        );
        return Some(Obstacle::blocking(path, what).hint("remove that one"));
    }
    let copy = format!("the copy at the destination, {at}, ");
    match there.state {
        // One that was not received has changed until it was sent from there: its generation tells.
        State::Altered if there.received_uuid.is_some() || snapshot.generation() == 0 => {
            let obstacle = Obstacle::blocking(path, copy + "was altered");
            Some(obstacle.hint(
                "'buttersink verify DST --against SRC --content' on the machine of DST, if it may be the same still, as \
                 where blocks are deduplicated; else remove it to have it sent again",
            ))
        }
        State::Uncompared => {
            let why = "was not compared with its source, as the run that brought it was ended";
            Some(Obstacle::blocking(path, copy + why).hint(
                "--compare does that first, or 'buttersink verify DST --against SRC --content'; or remove it to \
                 have it sent again",
            ))
        }
        State::RwReceived => Some(Obstacle::blocking(path, copy + "is read-write").hint(
            "if it is in use, use a 'btrfs subvolume snapshot' of it instead; then remove it to have it sent again",
        )),
        State::Duplicate => {
            let what = format!(
                "the destination has subvolumes with the same received UUID as {at}: not used as a parent"
            );
            Some(Obstacle::note(path, what))
        }
        _ => None,
    }
}
