//! Plans against a model that replays them, and against brute force.

use super::*;
use crate::snapshot::{Offer, Origin};
use std::collections::BTreeMap;

mod clones;
mod copies;
mod order;
mod stored;

fn uuid(n: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(n + 1).to_be_bytes());
    Uuid(bytes)
}

/// What is recorded of the snapshots of a subvolume.
fn of(subvolume: u64) -> Origin {
    Origin {
        subvolume: uuid(subvolume),
        ..Origin::default()
    }
}

/// Snapshot `n` of the live subvolume `family`.
fn snapshot(n: u64, family: u64) -> Snapshot {
    Snapshot {
        path: format!("s{n:04}").into(),
        uuid: uuid(n),
        parent_uuid: Some(uuid(1_000_000 + family)),
        ctransid: 10 + n,
        otransid: 10 + n,
        read_only: true,
        tree_bytes: 1 << 20,
        origin: Some(of(70)),
        ..Snapshot::default()
    }
}

/// The same, as it looks where it was received.
fn received(n: u64) -> Snapshot {
    Snapshot {
        uuid: uuid(n + 500_000),
        received_uuid: Some(uuid(n)),
        parent_uuid: None,
        stransid: 10 + n,
        origin: Some(of(70)),
        ..snapshot(n, 0)
    }
}

fn listing(snapshots: Vec<Snapshot>) -> Listing {
    Listing {
        location: "test".to_owned(),
        snapshots,
        ..Listing::default()
    }
}

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*seed >> 33) % below
}

/// Plans with sizes from `size`, as sync does; how many diffs were measured, too.
fn plan_measured(
    source: &Listing,
    dest: &Listing,
    wish: &Wish,
    size: &dyn Fn(Uuid, Option<Uuid>) -> u64,
) -> (Plan, usize) {
    let mut sizes = Sizes::new();
    loop {
        let plan = plan(source, dest, wish, &sizes).unwrap();
        let unknown = plan.unmeasured();
        if unknown.is_empty() {
            return (plan, sizes.len());
        }
        let measured = |d: &Diff| match (size(d.to, d.from), d.size) {
            (bytes, Size::Beyond(enough)) if bytes > enough => Size::Beyond(enough),
            (bytes, _) => Size::Exact(bytes),
        };
        sizes.extend(unknown.iter().map(|d| (d.key(), measured(d).into())));
    }
}

/// Carries a plan out on a set: every diff must find its parent. What is there afterwards.
fn replay(plan: &Plan, dest: &Listing) -> HashSet<Uuid> {
    let mut there: HashSet<Uuid> = dest.snapshots.iter().map(Snapshot::id).collect();
    for step in &plan.steps {
        match step.action {
            Action::Keep => assert!(there.contains(&step.to), "kept, and not there: {step:?}"),
            Action::Delete => assert!(there.remove(&step.to), "deleted, and not there: {step:?}"),
            _ => {
                assert!(
                    step.from.is_none_or(|from| there.contains(&from)),
                    "no parent: {step:?}"
                );
                assert!(there.insert(step.to), "sent, and there already: {step:?}");
            }
        }
    }
    there
}

#[test]
fn every_plan_yields_every_wished_snapshot() {
    let mut seed = 3;
    for round in 0..300 {
        let count = 1 + random(&mut seed, 12);
        let families = 1 + random(&mut seed, 3);
        let source = listing(
            (0..count)
                .map(|n| snapshot(n, random(&mut seed, families)))
                .collect(),
        );
        let there = (0..count + 3)
            .filter(|_| random(&mut seed, 3) == 0)
            .map(received)
            .collect();
        let dest = listing(there);
        let salt = random(&mut seed, 1000);
        let size = |to: Uuid, from: Option<Uuid>| {
            let mut mix =
                salt ^ u64::from(to.0[7]) << 8 ^ from.map_or(0, |f| u64::from(f.0[7]) << 16);
            200 + random(&mut mix, 1 << 20) + if from.is_none() { 1 << 20 } else { 0 }
        };
        let wish = Wish {
            delete: round % 2 == 0,
            ..Wish::default()
        };
        let (plan, _) = plan_measured(&source, &dest, &wish, &size);
        let after = replay(&plan, &dest);
        let wished: HashSet<Uuid> = source.snapshots.iter().map(Snapshot::id).collect();
        assert!(wished.is_subset(&after), "round {round}");
        assert!(!wish.delete || after == wished, "round {round}");
        assert!(plan.transfers().all(|step| step.size.is_exact()));
    }
}

/// What a diff counts in a plan: a tenth of its cost is lost by going against time.
fn weight(to: Uuid, from: Option<Uuid>, bytes: u64) -> u64 {
    match from.is_some_and(|from| from > to) {
        true => bytes + bytes / 9,
        false => bytes,
    }
}

/// The least total over all choices of a parent for each target, by trying every one: its
/// neighbours, the nearest that are there already, and none.
fn brute_force(count: u64, there: &[u64], size: &dyn Fn(Uuid, Option<Uuid>) -> u64) -> u64 {
    let targets: Vec<u64> = (0..count).filter(|n| !there.contains(n)).collect();
    let options = |at: u64| {
        let older = there.iter().filter(|&&n| n < at).max();
        let newer = there.iter().filter(|&&n| n > at).min();
        let next = Some(at + 1).filter(|&n| n < count);
        [
            None,
            at.checked_sub(1),
            next,
            older.copied(),
            newer.copied(),
        ]
    };
    let mut best = u64::MAX;
    for mut choice in 0..5u64.pow(targets.len() as u32) {
        let mut pick = |target| {
            let picked = options(target)[(choice % 5) as usize];
            choice /= 5;
            (target, picked)
        };
        let parents: HashMap<u64, Option<u64>> = targets.iter().map(|&t| pick(t)).collect();
        let grounded = |mut at: u64| {
            for _ in 0..=count {
                match parents.get(&at) {
                    None | Some(None) => return true,
                    Some(Some(up)) => at = *up,
                }
            }
            false
        };
        if targets.iter().all(|&target| grounded(target)) {
            let cost = targets
                .iter()
                .map(|&t| (uuid(t), parents[&t].map(uuid)))
                .map(|(to, from)| weight(to, from, size(to, from)))
                .sum();
            best = best.min(cost);
        }
    }
    best
}

#[test]
fn no_choice_of_parents_is_cheaper() {
    let mut seed = 11;
    for round in 0..60 {
        let count = 2 + random(&mut seed, 4);
        let source = listing((0..count).map(|n| snapshot(n, 0)).collect());
        let there: Vec<u64> = (0..count).filter(|_| random(&mut seed, 4) == 0).collect();
        let dest = listing(there.iter().map(|&n| received(n)).collect());
        let sizes: HashMap<(Uuid, Option<Uuid>), u64> = (0..count)
            .flat_map(|to| {
                (0..=count).map(move |from| (uuid(to), (from < count).then(|| uuid(from))))
            })
            .map(|key: (Uuid, Option<Uuid>)| match key.1 {
                // The snapshots' trees are alike, and so are their whole streams.
                None => (key, 290_000),
                Some(_) => (key, 100_000 + random(&mut seed, 180_000)),
            })
            .collect();
        let size = |to: Uuid, from: Option<Uuid>| {
            if from == Some(to) {
                u64::MAX >> 8
            } else {
                sizes[&(to, from)]
            }
        };
        let (plan, _) = plan_measured(&source, &dest, &Wish::default(), &size);
        let weights = plan.transfers().map(|step| {
            let bytes = step.size.bytes().unwrap();
            assert_eq!(bytes, size(step.to, step.from), "shown as it is");
            weight(step.to, step.from, bytes)
        });
        let total: u64 = weights.sum();
        assert_eq!(total, brute_force(count, &there, &size), "round {round}");
    }
}

#[test]
fn a_thousand_snapshots_in_chains() {
    let source = listing((0..1000).map(|n| snapshot(n, n % 5)).collect());
    let size = |to: Uuid, from: Option<Uuid>| match from {
        None => 50 << 20,
        Some(from) => {
            let number = |id: Uuid| u64::from_be_bytes(id.0[..8].try_into().unwrap());
            match number(to).abs_diff(number(from)) {
                apart if apart % 5 == 0 => 1000 + 700 * apart,
                _ => 51 << 20,
            }
        }
    };
    let (plan, measured) = plan_measured(&source, &listing(Vec::new()), &Wish::default(), &size);
    assert_eq!(
        plan.transfers().filter(|step| step.from.is_none()).count(),
        5
    );
    assert_eq!(replay(&plan, &listing(Vec::new())).len(), 1000);
    // Lazy: a few candidates for each, not a thousand.
    assert!(measured < 5000, "{measured} measured");
}

#[test]
fn candidates_grow_with_the_number_of_snapshots_and_not_with_its_square() {
    for count in [100, 3000] {
        let source = listing((0..count).map(|n| snapshot(n, n % 5)).collect());
        let dest = listing((0..count / 2).map(received).collect());
        let (wish, sizes) = (Wish::default(), Sizes::new());
        let mut planner = Planner::new(&source, &dest, &wish, &sizes);
        let targets = planner.targets(&planner.wished().unwrap());
        let families = &planner.families;
        let all = candidates::all(&source, families, &targets, &planner.parents, &sizes);
        assert!(
            all.len() as u64 <= 7 * count / 2,
            "{} of {count}",
            all.len()
        );
    }
}

#[test]
fn what_the_destination_has_is_preferred() {
    let source = listing((0..3).map(|n| snapshot(n, 0)).collect());
    let dest = listing(vec![received(1)]);
    let (plan, _) = plan_measured(&source, &dest, &Wish::default(), &|_, from| {
        if from.is_some() { 1000 } else { 9000 }
    });
    assert!(
        plan.transfers().all(|step| step.from == Some(uuid(1))),
        "{plan:?}"
    );
}

fn obstacles(source: Vec<Snapshot>, dest: Vec<Snapshot>) -> (Plan, Vec<(bool, String)>) {
    let (plan, _) = plan_measured(
        &listing(source),
        &listing(dest),
        &Wish::default(),
        &|_, _| 1000,
    );
    let list = plan
        .obstacles
        .iter()
        .map(|o| (o.blocks, o.what.clone()))
        .collect();
    (plan, list)
}

#[test]
fn what_is_in_the_way_is_said() {
    let altered = Snapshot {
        state: State::Altered,
        ..snapshot(0, 0)
    };
    let (plan, list) = obstacles(vec![altered, snapshot(1, 0)], vec![]);
    assert!(!list[0].0 && list[0].1.contains("altered"), "{list:?}");
    assert!(plan.transfers().all(|step| step.from != Some(uuid(0))));

    let altered = Snapshot {
        state: State::Altered,
        ..received(0)
    };
    let (plan, list) = obstacles(vec![altered.clone()], vec![]);
    assert!(list[0].0 && plan.transfers().count() == 0, "{list:?}");

    let (plan, list) = obstacles(vec![snapshot(0, 0), snapshot(1, 0)], vec![altered]);
    assert!(list[0].0 && list[0].1.contains("altered"), "{list:?}");
    assert!(plan.transfers().all(|step| step.from.is_none()), "{plan:?}");

    let other = Snapshot {
        path: "s0000".into(),
        ..received(9)
    };
    let (plan, list) = obstacles(vec![snapshot(0, 0)], vec![other]);
    assert!(
        list[0].0 && list[0].1.contains("another snapshot has its name"),
        "{list:?}"
    );
    assert_eq!(plan.transfers().count(), 0);

    let twin = Snapshot {
        state: State::Duplicate,
        ..received(0)
    };
    let (plan, list) = obstacles(vec![snapshot(0, 0), snapshot(1, 0)], vec![twin]);
    assert!(
        !list[0].0 && list[0].1.contains("same received UUID"),
        "{list:?}"
    );
    assert!(plan.transfers().all(|step| step.from.is_none()));

    let newer = Snapshot {
        stransid: 99,
        ..received(0)
    };
    let (_, list) = obstacles(vec![snapshot(0, 0)], vec![newer]);
    assert!(list[0].0 && list[0].1.contains("another state"), "{list:?}");

    let nest = Snapshot {
        nested: vec!["var/lib".to_owned()],
        ..snapshot(0, 0)
    };
    let (_, list) = obstacles(vec![nest], vec![]);
    assert!(!list[0].0 && list[0].1.contains("var/lib"), "{list:?}");
}

#[test]
fn a_name_that_cannot_be_kept_is_an_obstacle_and_no_parent() {
    let reserved = Snapshot {
        path: "trash".into(),
        ..snapshot(2, 0)
    };
    let source = listing(vec![snapshot(1, 0), reserved, snapshot(3, 0)]);
    let mut dest = listing(Vec::new());
    dest.names.reserved = vec!["trash".to_owned()];
    let (plan, _) = plan_measured(&source, &dest, &Wish::default(), &|_, _| 1000);
    let sent: Vec<Uuid> = plan.transfers().map(|step| step.to).collect();
    assert_eq!(sent, [uuid(1), uuid(3)]);
    assert!(plan.transfers().all(|step| step.from != Some(uuid(2))));
    let [obstacle] = &plan.obstacles[..] else {
        panic!("{:?}", plan.obstacles);
    };
    assert!(obstacle.blocks && obstacle.what.contains("reserved"));
}

#[test]
fn too_little_space_is_said() {
    let dest = Listing {
        free: Some(999),
        ..listing(Vec::new())
    };
    let (plan, _) = plan_measured(
        &listing(vec![snapshot(0, 0)]),
        &dest,
        &Wish::default(),
        &|_, _| 1000,
    );
    assert!(
        plan.obstacles[0].what.contains("too little space"),
        "{plan:?}"
    );
}

#[test]
fn an_empty_source_deletes_nothing() {
    let wish = Wish {
        delete: true,
        ..Wish::default()
    };
    let refused = plan(
        &listing(Vec::new()),
        &listing(vec![received(0)]),
        &wish,
        &Sizes::new(),
    )
    .unwrap_err();
    assert_eq!(refused.kind, crate::error::Kind::Refused);
    let part = Snapshot {
        state: State::Partial,
        ..snapshot(7, 0)
    };
    assert!(
        plan(
            &listing(vec![part]),
            &listing(vec![received(0)]),
            &wish,
            &Sizes::new()
        )
        .is_err()
    );
}

#[test]
fn excluded_snapshots_are_left_alone_on_both_sides() {
    let excluded = |path: &Path| path == Path::new("s0000") || path == Path::new("s0005");
    let wish = Wish {
        delete: true,
        excluded: Some(&excluded),
        ..Wish::default()
    };
    let (source, dest) = (
        listing(vec![snapshot(0, 0), snapshot(1, 0)]),
        listing(vec![received(5), received(6)]),
    );
    let (plan, _) = plan_measured(&source, &dest, &wish, &|_, _| 1000);
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| (step.action, step.to))
        .collect();
    assert_eq!(
        steps,
        [(Action::Transfer, uuid(1)), (Action::Delete, uuid(6))]
    );
}

#[test]
fn of_twins_the_one_that_was_asked_for_is_sent() {
    let twin = Snapshot {
        path: "z".into(),
        uuid: uuid(600_000),
        state: State::Duplicate,
        ..received(1)
    };
    let first = Snapshot {
        state: State::Duplicate,
        ..received(1)
    };
    let left = Snapshot {
        path: "s0001.part".into(),
        uuid: uuid(700_000),
        state: State::Partial,
        ..received(1)
    };
    let source = listing(vec![first, left, twin]);
    for name in ["s0001", "z"] {
        let wish = Wish {
            only: Some(Path::new(name)),
            ..Wish::default()
        };
        let plan = plan(&source, &listing(vec![]), &wish, &Sizes::new()).unwrap();
        let paths: Vec<_> = plan.transfers().map(|step| step.path.as_path()).collect();
        assert_eq!(paths, [Path::new(name)]);
    }
}

#[test]
fn what_may_be_missing_from_the_listing_only_deletes_nothing() {
    let (mut source, dest) = (
        listing(vec![snapshot(1, 0)]),
        listing(vec![received(1), received(2)]),
    );
    let wish = Wish {
        delete: true,
        ..Wish::default()
    };
    assert!(plan(&source, &dest, &wish, &Sizes::new()).is_ok());
    source.partial = true;
    let error = plan(&source, &dest, &wish, &Sizes::new()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn what_comes_back_to_where_it_was_made_is_there() {
    let made = Snapshot {
        otransid: 3,
        state: State::Altered,
        ..snapshot(1, 0)
    };
    let came_back = |dest: Snapshot| obstacles(vec![received(1)], vec![dest]).0;
    assert!(!came_back(made.clone()).is_blocked());
    let since = Snapshot {
        ctransid: 99,
        ..made
    };
    assert!(came_back(since).is_blocked());
    let altered = Snapshot {
        state: State::Altered,
        ..received(1)
    };
    assert!(came_back(altered).is_blocked());
}

#[test]
fn what_is_of_others_stays_and_what_it_is_built_on() {
    let another = Snapshot {
        origin: Some(of(80)),
        ..received(3)
    };
    let unknown = Snapshot {
        origin: None,
        ..received(4)
    };
    let source = listing(vec![received(1)]);
    let mut dest = listing(vec![
        received(1),
        received(2),
        another,
        unknown,
        received(5),
    ]);
    let wish = Wish {
        delete: true,
        ..Wish::default()
    };
    let deleted = |dest: &Listing| {
        let plan = plan(&source, dest, &wish, &Sizes::new()).unwrap();
        assert_eq!(plan.strangers, 2);
        let named = plan
            .obstacles
            .iter()
            .any(|o| o.what.contains(": 2, the newest"));
        assert!(named && !plan.is_blocked());
        let deleted = plan.steps.iter().filter(|s| s.action == Action::Delete);
        deleted.map(|step| step.to).collect::<Vec<_>>()
    };
    assert_eq!(deleted(&dest), [uuid(2), uuid(5)]);
    let diff = |to, from: Option<u64>| Diff::new(uuid(to), from.map(uuid), Size::Exact(1));
    let stored = [(1, None), (2, None), (3, Some(2)), (4, None), (5, None)];
    dest.offer = Offer::Only(stored.map(|(to, from)| diff(to, from)).into());
    assert_eq!(deleted(&dest), [uuid(5)]);
}
