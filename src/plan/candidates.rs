//! Which diffs are worth a thought, which snapshots they can reach, and what an unmeasured one is
//! likely to cost. Thinks only.

use super::families::Families;
use crate::snapshot::{Diff, End, Graph, Listing, Size, Sizes, Snapshot, State, Uuid, shown};
use std::collections::{HashMap, HashSet};

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
pub(super) const WORTHWHILE: u64 = 16 << 20;
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
        let known = sizes.get(&diff.key()).filter(|m| m.refused.is_none());
        if let Some(Size::Exact(bytes)) = known.map(|measured| measured.size) {
            let least = best.entry(diff.to).or_insert(bytes);
            *least = bytes.min(*least);
        }
    }
    let large = |s: &&&Snapshot| best.get(&s.id()).is_some_and(|bytes| *bytes > WORTHWHILE);
    let newest = newest_common(targets, families, parents);
    let mut diffs = Vec::new();
    for target in targets
        .iter()
        .filter(large)
        .filter(|s| s.state != State::Altered)
    {
        let others = newest.iter().filter(|s| !families.are_kin(s, target));
        diffs.extend(
            others
                .take(STRANGERS)
                .map(|from| Diff::new(target.id(), Some(from.id()), Size::Unknown)),
        );
    }
    diffs
}

/// The newest of each family of what the destination has or gets.
fn newest_common<'a>(
    targets: &[&Snapshot],
    families: &Families<'a>,
    parents: &HashSet<Uuid>,
) -> Vec<&'a Snapshot> {
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let common = |s: &Snapshot| parents.contains(&s.id()) || coming.contains(&s.id());
    families.newest(|s| s.state != State::Altered && common(s))
}

/// The only target, if nothing of another family can be the parent of it.
pub(super) fn only<'a>(
    families: &Families,
    targets: &[&'a Snapshot],
    parents: &HashSet<Uuid>,
) -> Option<&'a Snapshot> {
    let [target] = targets else {
        return None;
    };
    let newest = newest_common(targets, families, parents);
    let all_kin = newest.iter().all(|s| families.are_kin(s, target));
    all_kin.then_some(*target)
}

/// For each target: its nearest relatives on both sides in time, those that the destination has
/// first, and nothing at all.
fn related(targets: &[&Snapshot], families: &Families, parents: &HashSet<Uuid>) -> Vec<Diff> {
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let there = |s: &Snapshot| s.state != State::Altered && parents.contains(&s.id());
    let reachable =
        |s: &Snapshot| there(s) || (s.state != State::Altered && coming.contains(&s.id()));
    let places = [families.places(there), families.places(reachable)];
    let mut diffs = Vec::new();
    for &target in targets {
        let mut from: Vec<Uuid> = Vec::new();
        if target.state != State::Altered {
            let near = places.iter().map(|among| families.nearest(target, among));
            from.extend(near.flatten());
            from.extend(families.nearest_kin(target, reachable));
        }
        let mut seen = HashSet::from([target.id()]);
        from.retain(|id| seen.insert(*id));
        let diff = |from| Diff::new(target.id(), from, Size::Unknown);
        diffs.extend(from.into_iter().map(|from| diff(Some(from))));
        diffs.push(diff(None));
    }
    diffs
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
            let bytes = diff.size.bytes().unwrap_or(0).saturating_add(1);
            let Some(cost) = before.map(|cost: u64| cost.saturating_add(bytes)) else {
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
pub(super) fn at_least(target: Option<&Snapshot>, diff: &Diff, families: &Families) -> u64 {
    const SHORTEST: u64 = 100;
    const LEAF: u64 = 64 << 10;
    let Some(target) = target.filter(|_| diff.from.is_none()) else {
        return SHORTEST;
    };
    let sparse = SHORTEST + target.tree_bytes.saturating_sub(LEAF) / 8;
    families.as_dense(target).unwrap_or(0).max(sparse)
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
