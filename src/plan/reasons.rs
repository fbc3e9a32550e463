//! Why a snapshot is sent the way it is, in words: what it is made of, and if that is not what anybody
//! would expect, why not. Thinks only, and changes no plan.

use super::{Planner, candidates, conflicting};
use crate::snapshot::{Diff, Graph, Snapshot, State, Uuid, shown};
use std::collections::HashMap;

/// The diffs that were chosen.
pub(super) struct Chosen {
    /// By what they make.
    by: HashMap<Uuid, Diff>,
    /// What they make out of each other: what is made out of what is there already has nothing below it.
    pub(super) graph: Graph,
}

impl Chosen {
    pub(super) fn new(diffs: impl Iterator<Item = Diff>) -> Chosen {
        let by: HashMap<Uuid, Diff> = diffs.map(|diff| (diff.to, diff)).collect();
        let coming = |from: &Uuid| by.contains_key(from);
        let pairs = by.values().map(|diff| (diff.to, diff.from.filter(coming)));
        let graph = pairs.collect();
        Chosen { by, graph }
    }

    pub(super) fn get(&self, to: Uuid) -> Option<&Diff> {
        self.by.get(&to)
    }
}

impl Planner<'_> {
    /// Why this diff was chosen. `forced`: its chain of diffs would have got too long.
    pub(super) fn why(&self, diff: &Diff, chosen: &Chosen, forced: bool) -> String {
        let Some(parent) = diff.from else {
            return format!("whole{}", self.why_whole(diff, chosen, forced));
        };
        let name = candidates::name(&self.by_id, parent);
        let there = match self.parents.contains(&parent) {
            true => format!("from {name}, which the destination has"),
            false => format!("from {name}, sent before it"),
        };
        let natural = self.natural_parent(diff).filter(|s| s.id() != parent);
        match natural.and_then(|natural| self.unfit(natural, diff, chosen)) {
            Some(why) => format!("{there}; not from {why}"),
            None => there,
        }
    }

    fn why_whole(&self, diff: &Diff, chosen: &Chosen, forced: bool) -> String {
        if self.source.offer.keeps_diffs() {
            return ", as it is stored".to_owned();
        }
        if self.wish.whole {
            return ", as it was asked for".to_owned();
        }
        if forced {
            return ": its chain of diffs would get too long".to_owned();
        }
        if self
            .by_id
            .get(&diff.to)
            .is_some_and(|s| s.state == State::Altered)
        {
            return ": it was altered after it was made".to_owned();
        }
        let Some(natural) = self.natural_parent(diff) else {
            return ": nothing older is related to it".to_owned();
        };
        match self.unfit(natural, diff, chosen) {
            Some(why) => format!(": not from {why}"),
            None if chosen.graph.way_down(natural.id()).0.contains(&diff.to) => format!(
                ": {} is made from it, which costs less in all",
                shown(&natural.path)
            ),
            None => ": no smaller diff from a related snapshot".to_owned(),
        }
    }

    /// What people expect a snapshot to be sent from.
    fn natural_parent(&self, diff: &Diff) -> Option<&Snapshot> {
        let target = self.by_id.get(&diff.to)?;
        self.families.natural_parent(target)
    }

    /// What kept a snapshot from being the parent, with its name; `None` if that was only its cost.
    fn unfit(&self, parent: &Snapshot, diff: &Diff, chosen: &Chosen) -> Option<String> {
        let pair = Diff {
            from: Some(parent.id()),
            ..diff.clone()
        };
        let why = self
            .unsound(parent)
            .map(str::to_owned)
            .or_else(|| self.refusal(&pair).map(|why| format!("because {why}")))
            .or_else(|| self.not_there(parent, chosen).map(str::to_owned))?;
        Some(format!("{}, {why}", shown(&parent.path)))
    }

    /// Why nobody can receive a diff, or read it.
    pub(super) fn refusal(&self, diff: &Diff) -> Option<&str> {
        self.sizes.get(&diff.key())?.refused.as_deref()
    }

    /// What is wrong with it at the source.
    fn unsound(&self, parent: &Snapshot) -> Option<&'static str> {
        let best = self.by_id.get(&parent.id()).copied().unwrap_or(parent);
        match best.state {
            _ if !best.read_only || best.state == State::RwReceived => Some("which is read-write"),
            State::Altered => Some("which was altered"),
            State::Uncompared => Some("which is still to be compared with its own source"),
            _ => None,
        }
    }

    /// What is wrong with it at the destination.
    fn not_there(&self, parent: &Snapshot, chosen: &Chosen) -> Option<&'static str> {
        let id = parent.id();
        if self.parents.contains(&id) || chosen.get(id).is_some() {
            return None;
        }
        let Some(there) = self.there.get(&id) else {
            return Some("which is not at the destination");
        };
        Some(match there.state {
            _ if conflicting(parent, there) => "of which the destination has another state",
            State::Altered => "which was altered at the destination",
            State::Uncompared => "which is still to be compared at the destination",
            State::RwReceived => "which is read-write at the destination",
            State::Partial => "which is unfinished at the destination",
            _ => "which is more than once at the destination, without a seal",
        })
    }
}
