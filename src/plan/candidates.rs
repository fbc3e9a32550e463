//! Which diffs are worth a thought, which snapshots they can reach, and what an unmeasured one is
//! likely to cost. Thinks only.

use crate::snapshot::{Diff, End, Graph, Listing, Size, Sizes, Snapshot, State, Uuid, shown};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Candidate diffs; of diffs that cost the same the earlier is the better.
pub(super) fn all(
    source: &Listing,
    families: &Families,
    targets: &[&Snapshot],
    parents: &HashSet<Uuid>,
    sizes: &Sizes,
) -> Vec<Diff> {
    if let Some(diffs) = source.offer.stored() {
        return diffs.to_vec();
    }
    let diffs = related(targets, families, parents);
    let others = unrelated(&diffs, targets, families, parents, sizes);
    // Of what costs the same, relatives are the better.
    [diffs, others].concat()
}

/// Nobody looks further for less than this many bytes.
const WORTHWHILE: u64 = 16 << 20;
/// How many other families are tried.
const STRANGERS: usize = 4;

/// For targets whose best measured offer is large: the newest snapshots of other families. After a
/// rollback and a clean-up, what has nearly everything in common is no relative any more.
fn unrelated(
    offers: &[Diff],
    targets: &[&Snapshot],
    families: &Families,
    parents: &HashSet<Uuid>,
    sizes: &Sizes,
) -> Vec<Diff> {
    let mut best: HashMap<Uuid, u64> = HashMap::new();
    for diff in offers {
        let known = sizes.get(&diff.pair()).filter(|m| m.refused.is_none());
        if let Some(Size::Exact(bytes)) = known.map(|measured| measured.size) {
            let least = best.entry(diff.to).or_insert(bytes);
            *least = bytes.min(*least);
        }
    }
    let large = |s: &&&Snapshot| best.get(&s.id()).is_some_and(|bytes| *bytes > WORTHWHILE);
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let common = |s: &Snapshot| parents.contains(&s.id()) || coming.contains(&s.id());
    let newest = families.newest(|s| s.state != State::Altered && common(s));
    let mut diffs = Vec::new();
    for target in targets
        .iter()
        .filter(large)
        .filter(|s| s.state != State::Altered)
    {
        let others = newest.iter().filter(|s| !families.are_kin(s, target));
        diffs.extend(others.take(STRANGERS).map(|from| Diff {
            to: target.id(),
            from: Some(from.id()),
            size: Size::Unknown,
        }));
    }
    diffs
}

/// For each target: its nearest relatives on both sides in time, those that the destination has
/// first, and nothing at all.
fn related(targets: &[&Snapshot], families: &Families, parents: &HashSet<Uuid>) -> Vec<Diff> {
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let there = |s: &Snapshot| s.state != State::Altered && parents.contains(&s.id());
    let reachable =
        |s: &Snapshot| there(s) || (s.state != State::Altered && coming.contains(&s.id()));
    let mut diffs = Vec::new();
    for &target in targets {
        let mut from: Vec<Uuid> = Vec::new();
        if target.state != State::Altered {
            let kin = |s: &Snapshot| {
                reachable(s)
                    && (Some(s.uuid) == target.parent_uuid || s.parent_uuid == Some(target.uuid))
            };
            from.extend(families.nearest(target, there));
            from.extend(families.nearest(target, reachable));
            from.extend(families.nearest(target, kin));
        }
        let mut seen = HashSet::from([target.id()]);
        from.retain(|id| seen.insert(*id));
        let diff = |from| Diff {
            to: target.id(),
            from,
            size: Size::Unknown,
        };
        diffs.extend(from.into_iter().map(|from| diff(Some(from))));
        diffs.push(diff(None));
    }
    diffs
}

/// What tells the order in which the snapshots of a family were made.
#[derive(Clone, Copy)]
enum Clock {
    /// Generations of one filesystem: exact.
    Generation,
    /// Of several filesystems: only the recorded times can be compared.
    Time,
}

impl Clock {
    /// Generations are of one filesystem if all snapshots were made here, or all came from elsewhere.
    fn of(family: &[&Snapshot]) -> Clock {
        let all = |wanted: &dyn Fn(&Snapshot) -> bool| {
            let mut sound = family.iter().filter(|s| s.state != State::Partial);
            sound.all(|s| wanted(s))
        };
        let one = all(&|s| s.received_uuid.is_none()) || all(&|s| s.received_uuid.is_some());
        let counted = all(&|s| s.generation() != 0);
        match (one && counted) || !all(&|s| s.created.is_some()) {
            true => Clock::Generation,
            false => Clock::Time,
        }
    }

    fn age(self, snapshot: &Snapshot) -> (i128, u64, &Path) {
        let (time, generation) = (snapshot.created.unwrap_or(0), snapshot.generation());
        match self {
            Clock::Generation => (generation.into(), 0, &snapshot.path),
            Clock::Time => (time.into(), generation, &snapshot.path),
        }
    }
}

/// Snapshots by the subvolume that they descend from, each family by age. Only relatives share
/// extents, so only between them is a diff smaller than the whole.
#[derive(Default)]
pub(super) struct Families<'a> {
    families: Vec<Vec<&'a Snapshot>>,
    /// By effective UUID: which family, and where in it.
    place: HashMap<Uuid, (usize, usize)>,
}

impl<'a> Families<'a> {
    pub(super) fn new(snapshots: &'a [Snapshot]) -> Families<'a> {
        // What was copied or received is known by its origin where what it was made from is gone.
        let of = |s: &Snapshot| {
            let origin = s.origin.as_ref().filter(|_| s.received_uuid.is_some())?;
            Uuid::set(origin.subvolume.0)
        };
        let edges = |s: &'a Snapshot| [(s.uuid, s.parent_uuid), (s.uuid, of(s))];
        let lineage: Graph = snapshots.iter().flat_map(edges).collect();
        let numbers = lineage.families();
        let mut all = Families::default();
        for snapshot in snapshots {
            let number = numbers[&snapshot.uuid];
            all.families
                .resize(all.families.len().max(number + 1), Vec::new());
            all.families[number].push(snapshot);
        }
        for (number, family) in all.families.iter_mut().enumerate() {
            let clock = Clock::of(family);
            family.sort_by_key(|s| clock.age(s));
            let places = family.iter().enumerate();
            all.place
                .extend(places.map(|(at, s)| (s.id(), (number, at))));
        }
        all
    }

    /// The relatives of a snapshot, and itself.
    pub(super) fn of(&self, snapshot: &Snapshot) -> &[&'a Snapshot] {
        self.place
            .get(&snapshot.id())
            .map_or(&[], |&(number, _)| &self.families[number])
    }

    /// The relatives older than a snapshot and those that are newer, each the nearest first.
    fn around(
        &self,
        snapshot: &Snapshot,
    ) -> (
        impl Iterator<Item = &'a Snapshot>,
        impl Iterator<Item = &'a Snapshot>,
    ) {
        let at = self.place.get(&snapshot.id()).map_or(0, |&(_, at)| at);
        let (older, newer) = self.of(snapshot).split_at(at);
        let id = snapshot.id();
        let other = move |s: &&Snapshot| s.id() != id;
        (
            older.iter().rev().copied().filter(other),
            newer.iter().copied().filter(other),
        )
    }

    /// The relatives next to the target in age, one older and one newer, for which `wanted` holds.
    fn nearest(&self, target: &Snapshot, wanted: impl Fn(&Snapshot) -> bool) -> Vec<Uuid> {
        let (mut older, mut newer) = self.around(target);
        let older = older.find(|s| wanted(s));
        let newer = newer.find(|s| wanted(s));
        older.into_iter().chain(newer).map(Snapshot::id).collect()
    }

    /// The newest of each family for which `wanted` holds, the newest of all first.
    fn newest(&self, wanted: impl Fn(&Snapshot) -> bool) -> Vec<&'a Snapshot> {
        let newest = |family: &Vec<&'a Snapshot>| family.iter().rev().copied().find(|s| wanted(s));
        let mut all: Vec<&Snapshot> = self.families.iter().filter_map(newest).collect();
        all.sort_by_key(|s| std::cmp::Reverse((s.created, s.generation())));
        all
    }

    fn are_kin(&self, one: &Snapshot, other: &Snapshot) -> bool {
        let family = |s: &Snapshot| self.place.get(&s.id()).map(|(family, _)| *family);
        family(one) == family(other)
    }

    /// The nearest older relative: what people expect a snapshot to be sent from.
    pub(super) fn natural_parent(&self, target: &Snapshot) -> Option<&'a Snapshot> {
        let (mut older, _) = self.around(target);
        older.find(|s| s.state != State::Partial)
    }

    /// Whether a diff is from a snapshot of another family.
    pub(super) fn is_from_stranger(&self, diff: &Diff) -> bool {
        let place = |id| self.place.get(&id).map(|(family, _)| *family);
        let from = diff.from.and_then(place);
        from.is_some_and(|from| place(diff.to).is_some_and(|to| to != from))
    }

    /// Whether a diff goes back in time; false where nobody knows.
    pub(super) fn is_against_time(&self, diff: &Diff) -> bool {
        let place = |id| self.place.get(&id);
        match (diff.from.and_then(place), place(diff.to)) {
            (Some((family, from)), Some((other, to))) => family == other && from > to,
            _ => false,
        }
    }
}

/// What diffs make, down to what is there already.
fn above<'a>(diffs: impl Iterator<Item = &'a Diff>, there: &HashSet<Uuid>) -> Graph {
    let coming = |from: &Uuid| !there.contains(from);
    diffs
        .map(|diff| (diff.to, diff.from.filter(coming)))
        .collect()
}

/// Which nodes a plan needs, intermediate ones among them, and which targets no diff can reach.
/// Where there is more than one way through intermediates, each target in turn takes the one
/// that is cheapest given those already chosen.
pub(super) fn reachable<'a>(
    candidates: &[Diff],
    parents: &HashSet<Uuid>,
    targets: &[&'a Snapshot],
) -> (Vec<Uuid>, Vec<(&'a Snapshot, String)>) {
    let mut tree = parents.clone();
    // Most targets have a way that needs no intermediates: those first, in one go.
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let direct = candidates.iter().filter(|d| coming.contains(&d.to));
    let mut nodes = above(direct, parents).shortest().order().to_vec();
    tree.extend(&nodes);
    let (open, mut lost) = (
        targets.iter().filter(|s| !tree.contains(&s.id())),
        Vec::new(),
    );
    for target in open.copied().collect::<Vec<_>>() {
        match cheapest_way(candidates, &tree, target.id()) {
            Some(way) => {
                let new: Vec<Uuid> = way.into_iter().filter(|id| tree.insert(*id)).collect();
                nodes.extend(new);
            }
            None if tree.contains(&target.id()) => {}
            None => lost.push((target, broken(candidates, &tree, target.id()))),
        }
    }
    nodes.sort();
    (nodes, lost)
}

/// The nodes on the cheapest way from what is there to `target`, it included (Bellman and Ford:
/// stored diffs are few, and their number is their depth).
fn cheapest_way(candidates: &[Diff], tree: &HashSet<Uuid>, target: Uuid) -> Option<Vec<Uuid>> {
    let mut best: HashMap<Uuid, (u64, Option<Uuid>)> = HashMap::new();
    let mut changed = true;
    while changed {
        changed = false;
        for diff in candidates.iter().filter(|d| !tree.contains(&d.to)) {
            let before = match diff.from {
                None => Some(0),
                Some(from) if tree.contains(&from) => Some(0),
                Some(from) => best.get(&from).map(|(cost, _)| *cost),
            };
            let Some(cost) = before.map(|cost| cost + diff.size.bytes().unwrap_or(0) + 1) else {
                continue;
            };
            if best.get(&diff.to).is_none_or(|(known, _)| cost < *known) {
                best.insert(diff.to, (cost, diff.from));
                changed = true;
            }
        }
    }
    let mut way = vec![target];
    let mut at = best.get(&target)?.1;
    while let Some(node) = at.filter(|node| !tree.contains(node)) {
        way.push(node);
        at = best.get(&node)?.1;
    }
    Some(way)
}

/// Why no diff makes this snapshot.
fn broken(candidates: &[Diff], tree: &HashSet<Uuid>, target: Uuid) -> String {
    match above(candidates.iter(), tree).way_down(target).1 {
        End::Circle(at) => format!("its diffs lead in a circle, through {at}: it cannot be made"),
        End::Missing(at) => {
            format!("a chain of diffs is broken: nothing stored makes {at}, on which it builds")
        }
        End::Whole => "it cannot be made from what is stored".to_owned(),
    }
}

/// The least that a stream can be that nobody has measured. No incremental is shorter than its
/// first and its last command. A whole stream has most of what the file tree has, even if the
/// tree's nodes are half empty; and in a large family, once one whole stream is known, the others
/// are taken to be as dense, or each would be measured in turn.
pub(super) fn at_least(
    target: Option<&Snapshot>,
    diff: &Diff,
    families: &Families,
    sizes: &Sizes,
) -> u64 {
    const SHORTEST: u64 = 100;
    const LEAF: u64 = 64 << 10;
    const LARGE: usize = 16;
    let Some(target) = target.filter(|_| diff.from.is_none()) else {
        return SHORTEST;
    };
    let relatives = families.of(target);
    let known = |s: &&Snapshot| Some((sizes.get(&(s.id(), None))?.size.bytes()?, s.tree_bytes));
    let like = |(size, tree): (u64, u64)| {
        (u128::from(size) * u128::from(target.tree_bytes) / u128::from(tree.max(1))) as u64
    };
    let dense = relatives.iter().filter_map(known).map(like).max();
    let dense = dense.filter(|_| relatives.len() > LARGE);
    let sparse = SHORTEST + target.tree_bytes.saturating_sub(LEAF) / 8;
    dense.unwrap_or(0).max(sparse)
}

/// A guess at a stream's length from a listing alone.
pub(super) fn estimate(target: Option<&Snapshot>, parent: Option<&Snapshot>, diff: &Diff) -> Size {
    let Some(target) = target else {
        return Size::Unknown;
    };
    let whole = target
        .referenced
        .unwrap_or(target.tree_bytes.saturating_mul(16))
        .max(1);
    let Some(parent) = parent.filter(|_| diff.from.is_some()) else {
        return Size::Estimate(whole);
    };
    let gap = target.generation().abs_diff(parent.generation()).max(1);
    let share = u128::from(whole) * u128::from(gap) / u128::from(target.generation().max(gap));
    // Going back in time costs a little more than going on.
    let back = if parent.generation() > target.generation() {
        share / 4
    } else {
        0
    };
    Size::Estimate(((share + back) as u64).min(whole.saturating_sub(1)))
}

/// For messages: the snapshot's path, or its UUID if nothing here has it.
pub(super) fn name(by_id: &HashMap<Uuid, &Snapshot>, id: Uuid) -> String {
    by_id
        .get(&id)
        .map_or_else(|| id.to_string(), |snapshot| shown(&snapshot.path))
}
