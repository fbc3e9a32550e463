//! What is made out of what: diffs and lineages as a graph. Walks up and down in it, each of which comes
//! to an end in a circle too. Knows nothing of stores, and of diffs only what they make out of what.

use super::{Diff, Listing, Offer, Snapshot, Uuid};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Which things are made out of which others: snapshots by their UUIDs, or backups by their keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph<K: Eq + Hash = Uuid> {
    /// For each thing that something makes: out of what, one entry a diff; `None` is out of nothing.
    made_of: HashMap<K, Vec<Option<K>>>,
    made_into: HashMap<Option<K>, Vec<K>>,
    /// In the order in which they were added.
    made: Vec<K>,
}

/// Where a way down ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End<K> {
    /// At what is made out of nothing.
    Whole,
    /// At this, which nothing makes.
    Missing(K),
    /// It comes back to this.
    Circle(K),
}

impl<K: Copy + Eq + Hash> Default for Graph<K> {
    fn default() -> Self {
        Graph {
            made_of: HashMap::new(),
            made_into: HashMap::new(),
            made: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> FromIterator<(K, Option<K>)> for Graph<K> {
    fn from_iter<I: IntoIterator<Item = (K, Option<K>)>>(pairs: I) -> Self {
        let mut graph = Graph::default();
        pairs.into_iter().for_each(|(to, from)| graph.add(to, from));
        graph
    }
}

impl<K: Copy + Eq + Hash> Graph<K> {
    /// Adds a diff that makes `to` out of `from`, or out of nothing.
    pub fn add(&mut self, to: K, from: Option<K>) {
        let known = self.made_of.entry(to).or_insert_with(|| {
            self.made.push(to);
            Vec::new()
        });
        if !known.contains(&from) {
            known.push(from);
            self.made_into.entry(from).or_default().push(to);
        }
    }

    /// What a thing cannot be made without, one parent for each diff that makes it: nothing if it can
    /// be made out of nothing.
    pub fn needs(&self, at: K) -> impl Iterator<Item = K> {
        let parents = self.made_of.get(&at).map_or(&[][..], Vec::as_slice);
        let parents = if parents.contains(&None) {
            &[]
        } else {
            parents
        };
        parents.iter().copied().flatten()
    }

    /// What is made out of a thing, in one step.
    pub fn children(&self, at: K) -> &[K] {
        self.made_into.get(&Some(at)).map_or(&[], Vec::as_slice)
    }

    /// These, and all that they cannot be made without, near and far.
    pub fn needed_by(&self, kept: impl IntoIterator<Item = K>) -> HashSet<K> {
        let mut needed = HashSet::new();
        let mut open: Vec<K> = kept.into_iter().collect();
        while let Some(at) = open.pop() {
            if needed.insert(at) {
                open.extend(self.needs(at));
            }
        }
        needed
    }

    /// What is made out of a thing, near and far, without itself.
    pub fn built_on(&self, at: K) -> HashSet<K> {
        let (mut found, mut open) = (HashSet::from([at]), vec![at]);
        while let Some(at) = open.pop() {
            let new = self
                .children(at)
                .iter()
                .filter(|child| found.insert(**child));
            open.extend(new);
        }
        found.remove(&at);
        found
    }

    /// The way down from a thing, itself the first, by the first diff that makes each, and where that
    /// ends.
    pub fn way_down(&self, at: K) -> (Vec<K>, End<K>) {
        let (mut way, mut seen) = (vec![at], HashSet::from([at]));
        let mut at = at;
        loop {
            let Some(next) = self.needs(at).next() else {
                let whole = self.made_of.contains_key(&at);
                return (way, if whole { End::Whole } else { End::Missing(at) });
            };
            if !seen.insert(next) {
                return (way, End::Circle(next));
            }
            way.push(next);
            at = next;
        }
    }

    /// What a thing is made out of in the end.
    pub fn root(&self, at: K) -> K {
        self.way_down(at).0.last().copied().unwrap_or(at)
    }

    /// How each thing is made by as few diffs as possible.
    pub fn shortest(&self) -> Shortest<K> {
        let (mut by, mut order) = (HashMap::new(), Vec::new());
        let mut open = VecDeque::from([(None, 0)]);
        while let Some((from, depth)) = open.pop_front() {
            for &to in self.made_into.get(&from).into_iter().flatten() {
                if let Entry::Vacant(entry) = by.entry(to) {
                    entry.insert((from, depth + 1));
                    order.push(to);
                    open.push_back((Some(to), depth + 1));
                }
            }
        }
        Shortest { by, order }
    }

    /// All that can be made, each after something that it is made out of, and else by what `order` says.
    pub fn parents_first<O: Ord>(&self, order: impl Fn(K) -> O) -> Vec<K>
    where
        K: Ord,
    {
        let out_of = |at| self.made_into.get(&at).into_iter().flatten().copied();
        let mut open: BTreeSet<(O, K)> = out_of(None).map(|at| (order(at), at)).collect();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while let Some((_, at)) = open.pop_first() {
            if seen.insert(at) {
                found.push(at);
                open.extend(out_of(Some(at)).map(|at| (order(at), at)));
            }
        }
        found
    }

    /// The number of the family of each thing that is made or made out of: all that hangs together is one
    /// family. Families are numbered in the order in which they were added.
    pub fn families(&self) -> HashMap<K, usize> {
        let (mut families, mut count) = (HashMap::new(), 0);
        for &first in &self.made {
            let mut open = vec![first];
            while let Some(at) = open.pop() {
                if let Entry::Vacant(entry) = families.entry(at) {
                    entry.insert(count);
                    open.extend(self.children(at));
                    open.extend(self.made_of.get(&at).into_iter().flatten().flatten());
                }
            }
            count += usize::from(families.get(&first) == Some(&count));
        }
        families
    }
}

/// How each thing that can be made is made by as few diffs as possible.
#[derive(Clone, Debug)]
pub struct Shortest<K: Eq + Hash = Uuid> {
    /// Out of what, and how many diffs that takes in all.
    by: HashMap<K, (Option<K>, usize)>,
    /// What takes fewer diffs first.
    order: Vec<K>,
}

impl<K: Copy + Eq + Hash> Shortest<K> {
    /// All that can be made, each after what it is made out of.
    pub fn order(&self) -> &[K] {
        &self.order
    }

    /// The last of the diffs that each thing takes: what it makes, and out of what. Each comes after what it is
    /// made out of.
    pub fn last_diffs(&self) -> impl Iterator<Item = (K, Option<K>)> {
        self.order.iter().map(|at| (*at, self.by[at].0))
    }

    /// How many diffs it takes; `None` if it cannot be made.
    pub fn depth(&self, at: K) -> Option<usize> {
        self.by.get(&at).map(|(_, depth)| *depth)
    }

    /// The diffs that it takes, the whole one first; none if it cannot be made.
    pub fn chain(&self, at: K) -> Vec<(K, Option<K>)> {
        let step = |at: K| self.by.get(&at).map(|(from, _)| (at, *from));
        let mut chain: Vec<_> =
            std::iter::successors(step(at), |(_, from)| from.and_then(step)).collect();
        chain.reverse();
        chain
    }
}

/// An offer of stored diffs.
impl FromIterator<Diff> for Offer {
    fn from_iter<I: IntoIterator<Item = Diff>>(diffs: I) -> Self {
        Offer::Only(diffs.into_iter().collect())
    }
}

impl Offer {
    /// The diffs that are stored; `None` where diffs are made as they are asked for.
    pub fn stored(&self) -> Option<&[Diff]> {
        match self {
            Offer::AnyPair => None,
            Offer::Only(diffs) => Some(diffs),
        }
    }

    /// Whether diffs are stored, each of which is good only together with those that it builds on.
    pub fn keeps_diffs(&self) -> bool {
        self.stored().is_some()
    }

    /// What the stored diffs make out of what.
    pub fn graph(&self) -> Graph {
        self.stored()
            .unwrap_or_default()
            .iter()
            .map(Diff::pair)
            .collect()
    }
}

impl Listing {
    /// The effective UUIDs of its snapshots.
    pub fn ids(&self) -> Vec<Uuid> {
        self.snapshots.iter().map(Snapshot::id).collect()
    }

    /// What its snapshots descend from, by their own UUIDs.
    pub fn lineage(&self) -> Graph {
        let all = self.snapshots.iter();
        all.map(|s| (s.uuid, s.parent_uuid)).collect()
    }

    /// What descends from the snapshot with this own UUID, near and far, in the order of the listing.
    pub fn built_on(&self, uuid: Uuid) -> Vec<&Snapshot> {
        let line = self.lineage().built_on(uuid);
        let all = self.snapshots.iter();
        all.filter(|s| line.contains(&s.uuid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 whole; 2 and 3 one on the other; 4 whole or out of 3; 5 out of what is not there; 6 and 7 out of
    /// each other.
    fn graph() -> Graph<u8> {
        let pairs = [
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(3)),
            (4, None),
        ];
        let lost = [(5, Some(50)), (6, Some(7)), (7, Some(6))];
        pairs.into_iter().chain(lost).collect()
    }

    fn sorted(found: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let mut found: Vec<u8> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn what_is_needed_and_what_is_built_on_it() {
        let graph = graph();
        assert_eq!(sorted(graph.needed_by([3])), [1, 2, 3]);
        assert_eq!(sorted(graph.needed_by([4])), [4]);
        assert_eq!(sorted(graph.needed_by([5, 6])), [5, 6, 7, 50]);
        assert_eq!(sorted(graph.built_on(1)), [2, 3, 4]);
        assert_eq!(sorted(graph.built_on(6)), [7]);
    }

    #[test]
    fn every_way_down_ends() {
        let graph = graph();
        assert_eq!(graph.way_down(3), (vec![3, 2, 1], End::Whole));
        assert_eq!(graph.way_down(4), (vec![4], End::Whole));
        assert_eq!(graph.way_down(5), (vec![5, 50], End::Missing(50)));
        assert_eq!(graph.way_down(6), (vec![6, 7], End::Circle(6)));
        assert_eq!([3, 4, 5, 6, 9].map(|at| graph.root(at)), [1, 4, 50, 7, 9]);
    }

    #[test]
    fn as_few_diffs_as_possible() {
        let ways = graph().shortest();
        assert_eq!(ways.order(), [1, 4, 2, 3]);
        assert_eq!([1, 3, 4].map(|at| ways.depth(at)), [1, 3, 1].map(Some));
        assert_eq!(ways.chain(3), [(1, None), (2, Some(1)), (3, Some(2))]);
        assert_eq!((ways.depth(6), ways.chain(6)), (None, Vec::new()));
    }

    #[test]
    fn parents_come_first() {
        assert_eq!(graph().parents_first(|at| at), [1, 2, 3, 4]);
        assert_eq!(graph().parents_first(|at| 100 - at), [4, 1, 2, 3]);
    }

    #[test]
    fn relatives_are_one_family() {
        let families = graph().families();
        let numbers = [1, 2, 3, 4, 5, 50, 6, 7].map(|at| families[&at]);
        assert_eq!(numbers, [0, 0, 0, 0, 1, 1, 2, 2]);
    }
}
