//! The cheapest way to the targets, in an order in which it can be walked. Thinks only: sizes come in
//! as values.

use super::arborescence::{self, Edge};
use super::candidates;
use super::reasons::Chosen;
use super::{Action, Obstacle, Planner, Step};
use crate::snapshot::{Diff, Mended, Shortest, Size, Snapshot, Uuid};
use std::collections::{HashMap, HashSet};
use std::iter;

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
            self.is_lost(snapshot, why);
        }
        let foregone = self.foregone(targets);
        self.plan.or_whole = foregone.and_then(|(target, _)| self.or_whole(&candidates, target));
        let foregone = foregone.filter(|_| candidates.len() == 1);
        let foregone = foregone.map(|(_, used)| Size::Estimate(used));
        let mut choice = self.choice(nodes, candidates);
        let chosen = self.cheapest(&mut choice);
        let limits = self.limits(&choice);
        let wished: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
        for diff in in_order(&chosen, &self.by_id) {
            let mut why = self.why(&diff, &chosen, choice.full_only.contains(&diff.to));
            if !wished.contains(&diff.to) {
                why.push_str("; needed by what follows");
            }
            let diff = with_limit(diff, &limits);
            let size = foregone.filter(|_| diff.size == Size::Unknown);
            let size = size.unwrap_or(diff.size);
            self.plan.steps.push(self.step(&Diff { size, ..diff }, why));
        }
    }

    /// Nothing leads to a target.
    fn is_lost(&mut self, target: &Snapshot, why: String) {
        let whole = Diff::new(target.id(), None, Size::Unknown);
        let why = self.refusal(&whole).map_or(why, str::to_owned);
        self.obstacle(Obstacle::blocking(&target.path, why));
    }

    fn step(&self, diff: &Diff, why: String) -> Step {
        let target = self.by_id.get(&diff.to);
        Step {
            action: Action::Transfer,
            path: target.map(|s| s.path.clone()).unwrap_or_default(),
            to: diff.to,
            from: diff.from,
            clones: Vec::new(),
            size: diff.size,
            mended: Mended::default(),
            original: None,
            why,
        }
    }

    /// Says what the sender changes in the kernel's streams, as far as measuring found it.
    pub(super) fn mended(&mut self) {
        for step in &mut self.plan.steps {
            let known = self.sizes.get(&step.diff().key());
            let mended = known.map(|known| &known.mended);
            let sent = step.action == Action::Transfer;
            if let Some(mended) = mended.filter(|mended| sent && !mended.is_empty()) {
                step.why.push_str(&format!("; mended: {mended}"));
                step.mended = mended.clone();
            }
        }
    }

    /// What is sent without being measured: the only snapshot that is to come, which has at most as many bytes as
    /// its filesystem holds, and the destination has room for that. Measuring reads the tree, and takes about
    /// as long as sending where that is a large part of it, as with many small files; elsewhere it costs little,
    /// and tells how long it will take.
    fn foregone(&self, targets: &[&'a Snapshot]) -> Option<(&'a Snapshot, u64)> {
        const LARGE_PART: u64 = 16;
        if !self.wish.run || self.source.offer.keeps_diffs() || self.keeps_diffs() {
            return None;
        }
        let target = candidates::only(&self.families, targets, &self.parents)?;
        let used = self
            .source
            .used
            .filter(|used| *used <= target.tree_bytes.saturating_mul(LARGE_PART))?;
        self.dest.free.filter(|free| *free >= used)?;
        Some((target, used))
    }

    /// The diff, if the only other way is to send it whole, and that would take long to measure as well.
    fn or_whole(&self, candidates: &[Diff], target: &Snapshot) -> Option<Diff> {
        const MEASURED_AT_ONCE: u64 = 1 << 20;
        let [diff, whole] = candidates else {
            return None;
        };
        let unknown = |diff: &Diff| !self.sizes.contains_key(&diff.key());
        let two =
            diff.from.is_some() && whole.from.is_none() && target.tree_bytes > MEASURED_AT_ONCE;
        (two && unknown(diff) && unknown(whole) && self.at_hand(diff)).then(|| diff.clone())
    }

    fn choice(&self, nodes: Vec<Uuid>, candidates: Vec<Diff>) -> Choice {
        let numbers: HashMap<Uuid, usize> = (1..).zip(&nodes).map(|(n, id)| (*id, n)).collect();
        let edge = |(tag, diff): (usize, &Diff)| {
            let from = match diff.from.filter(|_| !self.at_hand(diff)) {
                Some(parent) => *numbers.get(&parent)?,
                None => 0,
            };
            let to = *numbers.get(&diff.to)?;
            let cost = self.cost(diff);
            Some(Edge {
                from,
                to,
                cost,
                tag,
            })
        };
        let edges = candidates.iter().enumerate().filter_map(edge).collect();
        let whole = candidates.iter().filter(|diff| diff.from.is_none());
        Choice {
            edges,
            whole: whole.map(|diff| diff.to).collect(),
            full_only: HashSet::new(),
            nodes,
            candidates,
        }
    }

    /// The minimum-cost arborescence over the candidates without chains that are too long.
    fn cheapest(&self, choice: &mut Choice) -> Chosen {
        let stored = self.dest.offer.graph().shortest();
        let picked = loop {
            let picked = arborescence::minimum(choice.nodes.len() + 1, &choice.edges);
            let long = self.too_long(choice, &picked, &stored);
            match long.filter(|to| choice.full_only.insert(*to)) {
                Some(to) => choice.must_be_whole(to),
                None => break picked,
            }
        };
        let sized = |diff: &Diff| Diff {
            size: self.size(diff),
            ..diff.clone()
        };
        Chosen::new(
            picked
                .iter()
                .map(|edge| sized(&choice.candidates[edge.tag])),
        )
    }

    /// Whether the destination has all that the diff builds on.
    fn at_hand(&self, diff: &Diff) -> bool {
        diff.from.is_none_or(|from| self.parents.contains(&from))
    }

    /// For each snapshot the least that it is known to cost out of what is at hand. Whatever else it is built
    /// on, if that costs more, this is the way that will be taken.
    fn limits(&self, choice: &Choice) -> HashMap<Uuid, u64> {
        let mut limits = HashMap::new();
        for edge in choice.edges.iter().filter(|edge| edge.from == 0) {
            let diff = &choice.candidates[edge.tag];
            if self.size(diff).is_exact() {
                let least = limits.entry(diff.to).or_insert(edge.cost);
                *least = edge.cost.min(*least);
            }
        }
        limits
    }

    fn size(&self, diff: &Diff) -> Size {
        match self.sizes.get(&diff.key()) {
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
                candidates::at_least(target, diff, &self.families)
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
            ..diff.clone()
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
    fn too_long(&self, choice: &Choice, picked: &[Edge], stored: &Shortest) -> Option<Uuid> {
        let limit = self.wish.max_chain.filter(|_| self.keeps_diffs())?;
        let lengths = choice.lengths(picked, |from| stored.depth(from).unwrap_or(1));
        let builds = |edge: &&Edge| choice.candidates[edge.tag].from.is_some();
        let long = picked.iter().filter(builds).map(|edge| edge.to - 1);
        let long = long.filter(|at| lengths[*at] > limit);
        long.min_by_key(|at| lengths[*at])
            .map(|at| choice.nodes[at])
    }
}

/// What there is to choose among.
struct Choice {
    /// What is to be made.
    nodes: Vec<Uuid>,
    candidates: Vec<Diff>,
    /// The candidates, by the numbers of nodes from 1 on, out of what is at hand and out of each other.
    edges: Vec<Edge>,
    /// What can be made out of nothing.
    whole: HashSet<Uuid>,
    /// What is made out of nothing since its chain of diffs would get too long, if there is that way.
    full_only: HashSet<Uuid>,
}

impl Choice {
    fn must_be_whole(&mut self, id: Uuid) {
        if self.whole.contains(&id) {
            let kept = |diff: &Diff| diff.to != id || diff.from.is_none();
            self.edges.retain(|edge| kept(&self.candidates[edge.tag]));
        }
    }

    /// How many diffs make each of the nodes; of what is at hand `depth` says how many made it.
    fn lengths(&self, picked: &[Edge], depth: impl Fn(Uuid) -> usize) -> Vec<usize> {
        let mut lengths = vec![0; self.nodes.len() + 1];
        let into: HashMap<usize, &Edge> = picked.iter().map(|edge| (edge.to, edge)).collect();
        for edge in picked {
            let up = |edge: &&Edge| into.get(&edge.from).copied();
            let way = iter::successors(Some(edge), up).take_while(|edge| lengths[edge.to] == 0);
            for edge in way.collect::<Vec<_>>().into_iter().rev() {
                let at_hand = self.candidates[edge.tag].from.filter(|_| edge.from == 0);
                lengths[edge.to] = 1 + lengths[edge.from] + at_hand.map_or(0, &depth);
            }
        }
        lengths.split_off(1)
    }
}

/// A diff that is not measured yet, and how much of it is worth to be.
fn with_limit(diff: Diff, limits: &HashMap<Uuid, u64>) -> Diff {
    let size = match (diff.size, limits.get(&diff.to)) {
        (Size::Unknown | Size::Beyond(_), Some(least)) => Size::Beyond(*least),
        (Size::Unknown | Size::Beyond(_), None) => Size::Unknown,
        (known, _) => known,
    };
    Diff { size, ..diff }
}

/// Parents first; otherwise by age.
fn in_order(chosen: &Chosen, by_id: &HashMap<Uuid, &Snapshot>) -> Vec<Diff> {
    let age = |id| by_id.get(&id).map(|s| (s.generation(), &s.path));
    let order = chosen.graph.parents_first(age).into_iter();
    order.filter_map(|id| chosen.get(id).cloned()).collect()
}
