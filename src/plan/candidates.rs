//! Which diffs are worth a thought, which snapshots they can reach, and what an unmeasured one
//! is likely to cost.

use crate::snapshot::{Diff, Listing, Offer, Size, Snapshot, State, Uuid, shown};
use std::collections::{HashMap, HashSet};

/// Candidate diffs; of diffs that cost the same the earlier is the better.
pub(super) fn all(source: &Listing, targets: &[&Snapshot], parents: &HashSet<Uuid>) -> Vec<Diff> {
    match &source.offer {
        Offer::Only(diffs) => diffs.clone(),
        Offer::AnyPair => related(source, targets, parents),
    }
}

/// For each target: its nearest relatives on both sides in time, those that the destination has
/// first, and nothing at all.
fn related(source: &Listing, targets: &[&Snapshot], parents: &HashSet<Uuid>) -> Vec<Diff> {
    let coming: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
    let sound = |s: &&&Snapshot| s.state != State::Altered;
    let families = families(&source.snapshots);
    let mut diffs = Vec::new();
    for &target in targets {
        let family = families
            .iter()
            .find(|family| family.iter().any(|s| s.path == target.path));
        let relatives: Vec<&Snapshot> = family
            .into_iter()
            .flatten()
            .filter(sound)
            .copied()
            .collect();
        let there = |s: &&Snapshot| parents.contains(&s.id());
        let reachable = |s: &&Snapshot| parents.contains(&s.id()) || coming.contains(&s.id());
        let mut from: Vec<Uuid> = Vec::new();
        if target.state != State::Altered {
            from.extend(nearest(target, &relatives, there, 1, 1));
            from.extend(nearest(target, &relatives, reachable, 2, 1));
            let kin = |s: &&Snapshot| {
                reachable(s)
                    && (Some(s.uuid) == target.parent_uuid || s.parent_uuid == Some(target.uuid))
            };
            from.extend(nearest(target, &relatives, kin, 1, 1));
        }
        let mut seen = HashSet::from([target.id()]);
        from.retain(|id| seen.insert(*id));
        let to = target.id();
        diffs.extend(from.into_iter().map(|from| Diff {
            to,
            from: Some(from),
            size: Size::Unknown,
        }));
        diffs.push(Diff {
            to,
            from: None,
            size: Size::Unknown,
        });
    }
    diffs
}

/// The `older` and `newer` relatives next to the target in age for which `wanted` holds.
fn nearest(
    target: &Snapshot,
    relatives: &[&Snapshot],
    wanted: impl Fn(&&Snapshot) -> bool,
    older: usize,
    newer: usize,
) -> Vec<Uuid> {
    let age = |s: &Snapshot| (s.generation(), s.path.clone());
    let at = relatives.partition_point(|s| age(s) < age(target));
    let before = relatives[..at]
        .iter()
        .rev()
        .filter(|s| wanted(s))
        .take(older);
    let after = relatives[at..]
        .iter()
        .filter(|s| s.id() != target.id() && wanted(s))
        .take(newer);
    before.chain(after).map(|s| s.id()).collect()
}

/// Snapshots that descend from one subvolume, by age. Only such share extents, so only between
/// such is a diff smaller than the whole.
fn families(snapshots: &[Snapshot]) -> Vec<Vec<&Snapshot>> {
    let mut leader: HashMap<Uuid, Uuid> = HashMap::new();
    fn find(leader: &mut HashMap<Uuid, Uuid>, mut at: Uuid) -> Uuid {
        while let Some(&up) = leader.get(&at).filter(|&&up| up != at) {
            // Halve the way for the next who asks.
            let higher = leader.get(&up).copied().unwrap_or(up);
            leader.insert(at, higher);
            at = higher;
        }
        at
    }
    for snapshot in snapshots {
        if let Some(parent) = snapshot.parent_uuid {
            let (a, b) = (find(&mut leader, snapshot.uuid), find(&mut leader, parent));
            leader.insert(a, b);
        }
    }
    let mut families: HashMap<Uuid, Vec<&Snapshot>> = HashMap::new();
    for snapshot in snapshots {
        families
            .entry(find(&mut leader, snapshot.uuid))
            .or_default()
            .push(snapshot);
    }
    let mut families: Vec<_> = families.into_values().collect();
    for family in &mut families {
        family.sort_by_key(|s| (s.generation(), s.path.clone()));
    }
    families
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
    let mut open: Vec<&Snapshot> = targets.to_vec();
    let mut nodes: Vec<Uuid> = Vec::new();
    // Most targets have a way that needs no intermediates: those first, in one go.
    loop {
        let coming: HashSet<Uuid> = open.iter().map(|s| s.id()).collect();
        let direct =
            |d: &&Diff| coming.contains(&d.to) && d.from.is_none_or(|from| tree.contains(&from));
        let found: HashSet<Uuid> = candidates.iter().filter(direct).map(|d| d.to).collect();
        if found.is_empty() {
            break;
        }
        open.retain(|s| !found.contains(&s.id()));
        tree.extend(&found);
        nodes.extend(found);
    }
    let mut lost = Vec::new();
    for target in open {
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
    let (mut at, mut seen) = (target, HashSet::new());
    loop {
        if !seen.insert(at) {
            return format!("its diffs lead in a circle, through {at}: it cannot be made");
        }
        let Some(diff) = candidates.iter().find(|d| d.to == at) else {
            return format!(
                "a chain of diffs is broken: nothing stored makes {at}, on which it builds"
            );
        };
        match diff.from.filter(|from| !tree.contains(from)) {
            Some(from) => at = from,
            None => return "it cannot be made from what is stored".to_owned(),
        }
    }
}

/// A bound from below for a stream that nobody has measured. No incremental is shorter than its
/// first and its last command; a whole one has most of what the file tree has, at half density.
pub(super) fn at_least(target: Option<&Snapshot>, diff: &Diff) -> u64 {
    const SHORTEST: u64 = 100;
    const LEAF: u64 = 64 << 10;
    match diff.from {
        Some(_) => SHORTEST,
        None => SHORTEST + target.map_or(0, |s| s.tree_bytes.saturating_sub(LEAF) / 8),
    }
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
