//! What has to be sent, after what is there already and what stands in the way.

use super::{Action, Planner, Step, conflicting};
use crate::error::{Error, Result};
use crate::snapshot::{Mended, Size, Snapshot, State, Uuid, shown};
use std::collections::HashMap;
use std::path::Path;

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

    /// What has to be sent, after what is there and what cannot be sent.
    pub(super) fn targets(&mut self, wished: &[&'a Snapshot]) -> Vec<&'a Snapshot> {
        let (mut targets, mut seen): (Vec<&Snapshot>, HashMap<Uuid, &Path>) =
            (Vec::new(), HashMap::new());
        for &snapshot in wished {
            if !self.sendable(snapshot) {
                continue;
            }
            if let Some(twin) = seen.get(&snapshot.id()) {
                self.keep(snapshot, format!("same content as {}", shown(twin)));
                continue;
            }
            seen.insert(snapshot.id(), &snapshot.path);
            if !self.present(snapshot) && !self.unusable(snapshot) && !self.name_taken(snapshot) {
                targets.push(snapshot);
            }
        }
        targets
    }

    /// Whether a wished snapshot can be a source at all.
    fn sendable(&mut self, snapshot: &Snapshot) -> bool {
        let path = &snapshot.path;
        match snapshot.state {
            State::Partial => {
                self.obstacle(
                    path,
                    "an unfinished transfer lies at the source; it is not sent",
                    false,
                );
                return false;
            }
            State::RwReceived => {
                let what = "it is read-write: 'btrfs subvolume snapshot' it, make a read-only snapshot of that, and send that";
                self.obstacle(path, what, true);
                return false;
            }
            State::Altered if snapshot.received_uuid.is_some() => {
                let what = "it was altered after it was received, so it is no longer what its UUID says: make a \
                            writable snapshot of it, a read-only one of that, and send that";
                self.obstacle(path, what, true);
                return false;
            }
            State::Uncompared => {
                let what = "it was never compared with its own source, as the run that received it was \
                            ended: compare it first (verify --against SOURCE --content)";
                self.obstacle(path, what, true);
                return false;
            }
            State::Altered => {
                let what = "it was altered after it was made: sent whole, and never a parent";
                self.obstacle(path, what, false);
            }
            State::Duplicate => {
                let what = "other subvolumes of the source have the same received UUID";
                self.obstacle(path, what, false);
            }
            State::Ok | State::Unsealed => {}
        }
        if !snapshot.nested.is_empty() {
            let names = snapshot.nested.join(", ");
            self.obstacle(
                path,
                format!("subvolumes inside it will not travel: {names}"),
                false,
            );
        }
        true
    }

    /// Whether the destination has it; says so in the plan.
    fn present(&mut self, snapshot: &Snapshot) -> bool {
        let here = |s: &&Snapshot| s.id() == snapshot.id() && s.state != State::Partial;
        let Some(there) = self
            .dest
            .snapshots
            .iter()
            .filter(here)
            .min_by_key(|s| s.rank())
        else {
            return false;
        };
        let at = shown(&there.path);
        if conflicting(snapshot, there) {
            let what = format!(
                "the destination has another state of it as {at} (generation {} there, {} here): one of them was \
                 altered; remove that one",
                there.generation(),
                snapshot.generation()
            );
            self.obstacle(&snapshot.path, what, true);
            return true;
        }
        match there.state {
            // One that was not received has changed until it was sent from there: its generation tells.
            State::Altered if there.received_uuid.is_some() || snapshot.generation() == 0 => {
                let what = format!(
                    "the copy at the destination, {at}, was altered: remove it to have it sent again"
                );
                self.obstacle(&snapshot.path, what, true);
                return true;
            }
            State::Uncompared => {
                let what = format!(
                    "the copy at the destination, {at}, was not compared with its source, as the run that \
                     brought it was ended: --compare does that first, or 'buttersink verify DST --against SRC \
                     --content'; or remove it to have it sent again"
                );
                self.obstacle(&snapshot.path, what, true);
                return true;
            }
            State::RwReceived => {
                let what = format!(
                    "the copy at the destination, {at}, is read-write: if it is in use, use a \
                     'btrfs subvolume snapshot' of it instead; then remove it to have it sent again"
                );
                self.obstacle(&snapshot.path, what, true);
                return true;
            }
            State::Duplicate => {
                let what = format!(
                    "the destination has subvolumes with the same received UUID as {at}: not used as a parent"
                );
                self.obstacle(&snapshot.path, what, false);
            }
            _ => {}
        }
        let why = if there.path == snapshot.path {
            "the destination has it".to_owned()
        } else {
            format!("the destination has it as {at}")
        };
        self.keep(snapshot, why);
        true
    }

    fn keep(&mut self, snapshot: &Snapshot, why: String) {
        let (path, to) = (snapshot.path.clone(), snapshot.id());
        self.plan.steps.push(Step {
            action: Action::Keep,
            path,
            to,
            from: None,
            size: Size::Exact(0),
            mended: Mended::default(),
            original: None,
            why,
        });
    }

    /// Whether the destination can keep nothing under its name; says so in the plan.
    fn unusable(&mut self, snapshot: &Snapshot) -> bool {
        let why = self.dest.names.refuse(&snapshot.path);
        if let Some(why) = &why {
            let what = format!("the destination cannot keep it: {why}");
            self.obstacle(&snapshot.path, what, true);
        }
        why.is_some()
    }

    fn name_taken(&mut self, snapshot: &Snapshot) -> bool {
        let other = self
            .dest
            .snapshots
            .iter()
            .find(|s| s.path == snapshot.path && s.state != State::Partial);
        if let Some(other) = other {
            let what = format!(
                "another snapshot has its name at the destination ({}): rename or remove that one",
                other.id()
            );
            self.obstacle(&snapshot.path, what, true);
        }
        other.is_some()
    }
}
