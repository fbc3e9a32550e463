//! The cheapest way to the targets, in an order in which it can be walked. Thinks only: sizes come in
//! as values.

use super::arborescence::{self, Edge};
use super::candidates;
use super::reasons::Chosen;
use super::{Action, Obstacle, Planner, Step};
use crate::snapshot::{Diff, Mended, Size, Snapshot, Uuid};
use std::collections::{HashMap, HashSet};

/// What a further link in a stored chain costs beside its bytes: a chain is as good as its
/// weakest link, and each is a request to make and an object to keep.
const LINK_PENALTY: u64 = 64 << 10;

/// Going back in time costs one part in so many of a diff's bytes: people expect the order in which
/// snapshots were made, and what is lost with one of them is then only what came after it.
const AGAINST_TIME: u64 = 9;

/// More than any stream that was measured: the way over it is taken only if there is no other.
const UNMEASURED: u64 = 1 << 50;

impl<'a> Planner<'a> {
    /// Finds the cheapest way to the targets, and makes steps of it.
    pub(super) fn route(&mut self, targets: &[&'a Snapshot]) {
        // Of twins, the one that was asked for.
        self.by_id.extend(targets.iter().map(|s| (s.id(), *s)));
        let mut candidates = candidates::all(
            self.source,
            &self.families,
            targets,
            &self.parents,
            self.sizes,
        );
        if self.wish.whole && !self.source.offer.keeps_diffs() {
            candidates.retain(|diff| diff.from.is_none());
        }
        candidates.retain(|diff| self.refusal(diff).is_none());
        let (nodes, lost) = candidates::reachable(&candidates, &self.parents, targets);
        for (snapshot, why) in lost {
            let whole = Diff {
                to: snapshot.id(),
                from: None,
                size: Size::Unknown,
            };
            let why = self.refusal(&whole).map_or(why, str::to_owned);
            self.obstacle(Obstacle::blocking(&snapshot.path, why));
        }
        let mut full_only = HashSet::new();
        let chosen = loop {
            let chosen = self.cheapest(&nodes, &candidates, &full_only);
            match self
                .too_long(&nodes, &chosen)
                .filter(|to| full_only.insert(*to))
            {
                Some(_) => {}
                None => break chosen,
            }
        };
        let wished: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
        for diff in in_order(&chosen, &self.by_id) {
            let path = self
                .by_id
                .get(&diff.to)
                .map(|s| s.path.clone())
                .unwrap_or_default();
            let mut why = self.why(&diff, &chosen, full_only.contains(&diff.to));
            if !wished.contains(&diff.to) {
                why.push_str("; needed by what follows");
            }
            let mended = self.mended(&diff);
            if !mended.is_empty() {
                why.push_str(&format!("; mended: {mended}"));
            }
            let Diff { to, from, size } = self.with_limit(diff, &candidates, &full_only);
            self.plan.steps.push(Step {
                action: Action::Transfer,
                path,
                to,
                from,
                size,
                mended,
                original: None,
                why,
            });
        }
    }

    /// What the sender changes in the kernel's stream, as far as measuring found it.
    fn mended(&self, diff: &Diff) -> Mended {
        let known = self.sizes.get(&diff.pair());
        known.map(|known| known.mended.clone()).unwrap_or_default()
    }

    /// The minimum-cost arborescence over the candidates.
    fn cheapest(&self, nodes: &[Uuid], candidates: &[Diff], full_only: &HashSet<Uuid>) -> Chosen {
        let index: HashMap<Uuid, usize> = nodes
            .iter()
            .enumerate()
            .map(|(i, &id)| (id, i + 1))
            .collect();
        let mut edges = Vec::new();
        for (rank, diff) in candidates.iter().enumerate() {
            let Some(&to) = index.get(&diff.to) else {
                continue;
            };
            let from = match diff.from {
                Some(parent) if !self.at_hand(diff) => index.get(&parent).copied(),
                _ => Some(0),
            };
            if let (Some(from), false) = (from, self.ruled_out(diff, candidates, full_only)) {
                edges.push(Edge {
                    from,
                    to,
                    cost: self.cost(diff),
                    tag: rank,
                });
            }
        }
        let picked = arborescence::minimum(nodes.len() + 1, &edges);
        let sized = |diff: &Diff| Diff {
            size: self.size(diff),
            ..*diff
        };
        Chosen::new(picked.into_iter().map(|tag| sized(&candidates[tag])))
    }

    /// Whether the destination has all that the diff builds on.
    fn at_hand(&self, diff: &Diff) -> bool {
        diff.from.is_none_or(|from| self.parents.contains(&from))
    }

    /// Whether the chain of diffs would get too long, and there is another way.
    fn ruled_out(&self, diff: &Diff, candidates: &[Diff], full_only: &HashSet<Uuid>) -> bool {
        let whole = |other: &Diff| other.to == diff.to && other.from.is_none();
        full_only.contains(&diff.to) && diff.from.is_some() && candidates.iter().any(whole)
    }

    /// A diff that is not measured yet, and how much of it is worth to be: whatever it builds on,
    /// if it costs more than one that the destination can take at once, that one will be taken.
    fn with_limit(&self, diff: Diff, candidates: &[Diff], full_only: &HashSet<Uuid>) -> Diff {
        let measured = candidates.iter().filter(|other| {
            other.to == diff.to
                && self.at_hand(other)
                && self.size(other).is_exact()
                && !self.ruled_out(other, candidates, full_only)
        });
        let least = measured.map(|other| self.cost(other)).min();
        let size = match (diff.size, least) {
            (Size::Unknown | Size::Beyond(_), Some(least)) => Size::Beyond(least),
            (Size::Unknown | Size::Beyond(_), None) => Size::Unknown,
            (known, _) => known,
        };
        Diff { size, ..diff }
    }

    fn size(&self, diff: &Diff) -> Size {
        match self.sizes.get(&diff.pair()) {
            Some(measured) => measured.size,
            None if diff.size == Size::Unknown && self.wish.estimate => self.estimate(diff),
            None => diff.size,
        }
    }

    fn estimate(&self, diff: &Diff) -> Size {
        let find = |id: Uuid| self.by_id.get(&id).copied();
        candidates::estimate(find(diff.to), diff.from.and_then(find), diff)
    }

    /// What a diff is worth to be avoided: its bytes, and more if it goes against time, is from another
    /// family or makes a stored chain longer. The arborescence goes by that, and sizes that are shown do not.
    fn cost(&self, diff: &Diff) -> u64 {
        let bytes = self.least_bytes(diff);
        let made = !self.source.offer.keeps_diffs();
        let strange = made && self.families.is_from_stranger(diff);
        let against = match strange || self.families.is_against_time(diff) {
            true => bytes / AGAINST_TIME,
            false => 0,
        };
        bytes + against + self.link(diff, bytes)
    }

    /// Bytes of the stream, or the least that they can be.
    fn least_bytes(&self, diff: &Diff) -> u64 {
        match self.size(diff) {
            Size::Exact(bytes) | Size::Estimate(bytes) => bytes,
            Size::Beyond(bytes) => bytes + 1,
            Size::Unknown if self.wish.settled => UNMEASURED,
            Size::Unknown => {
                let target = self.by_id.get(&diff.to).copied();
                candidates::at_least(target, diff, &self.families, self.sizes)
            }
        }
    }

    /// What a further link in a stored chain costs: an eighth of it too if it hardly saves anything.
    fn link(&self, diff: &Diff, bytes: u64) -> u64 {
        if !self.keeps_diffs() || diff.from.is_none() {
            return 0;
        }
        let whole = self.least_bytes(&Diff {
            from: None,
            size: Size::Unknown,
            ..*diff
        });
        let dear = LINK_PENALTY + bytes / 8;
        match bytes + dear < whole {
            true => LINK_PENALTY,
            false => dear,
        }
    }

    fn keeps_diffs(&self) -> bool {
        self.dest.offer.keeps_diffs()
    }

    /// A snapshot whose chain at the destination would get too long, the first on its chain.
    fn too_long(&self, nodes: &[Uuid], chosen: &Chosen) -> Option<Uuid> {
        let limit = self.wish.max_chain.filter(|_| self.keeps_diffs())?;
        let stored = self.dest.offer.graph().shortest();
        let length = |id: &Uuid| {
            let (way, _) = chosen.graph.way_down(*id);
            let first = way.last().and_then(|first| chosen.get(*first)?.from);
            way.len() + first.map_or(0, |there| stored.depth(there).unwrap_or(1))
        };
        let diffs = nodes.iter().filter(|id| chosen.parent(**id).is_some());
        let long = diffs
            .map(|id| (length(id), *id))
            .filter(|(length, _)| *length > limit);
        long.min_by_key(|(length, _)| *length).map(|(_, id)| id)
    }
}

/// Parents first; otherwise by age.
fn in_order(chosen: &Chosen, by_id: &HashMap<Uuid, &Snapshot>) -> Vec<Diff> {
    let age = |id| by_id.get(&id).map(|s| (s.generation(), &s.path));
    let order = chosen.graph.parents_first(age).into_iter();
    order.filter_map(|id| chosen.get(id).copied()).collect()
}
