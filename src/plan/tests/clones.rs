//! Clone sources: who gets them, which, and what they must save.

use super::*;

const MIB: u64 = 1 << 20;

/// Two filesystems: snapshots of many subvolumes, and which of them are there.
fn sides(count: u64, there: impl IntoIterator<Item = u64>) -> (Listing, Listing) {
    let clones = |listing| Listing {
        clones: true,
        ..listing
    };
    let source = (0..count).map(|n| snapshot(n, n)).collect();
    let dest = there.into_iter().map(received).collect();
    (clones(listing(source)), clones(listing(dest)))
}

/// Plans as sync does; all that was measured on the way, too.
fn planned(
    (source, dest): &(Listing, Listing),
    wish: &Wish,
    size: &dyn Fn(&Diff) -> u64,
) -> (Plan, Sizes) {
    let mut sizes = Sizes::new();
    loop {
        let plan = plan(source, dest, wish, &sizes).unwrap();
        let unknown = plan.unmeasured();
        if unknown.is_empty() {
            return (plan, sizes);
        }
        let measured = |d: &Diff| match (size(d), d.size) {
            (bytes, Size::Beyond(enough)) if bytes > enough => Size::Beyond(enough),
            (bytes, _) => Size::Exact(bytes),
        };
        sizes.extend(unknown.iter().map(|d| (d.key(), measured(d).into())));
    }
}

/// Everything has so many bytes, and little with clone sources.
fn shares(bytes: u64) -> impl Fn(&Diff) -> u64 {
    move |diff| match diff.clones.len() {
        0 => bytes,
        _ => 1000,
    }
}

fn last(plan: &Plan) -> &Step {
    plan.transfers().last().unwrap()
}

#[test]
fn the_newest_that_both_have_are_clone_sources() {
    let sides = sides(31, 0..30);
    let (plan, _) = planned(&sides, &Wish::default(), &shares(20 * MIB));
    let step = last(&plan);
    assert_eq!(step.size, Size::Exact(1000));
    assert_eq!(step.clones.len(), Diff::MOST_CLONES);
    let expected: Vec<Uuid> = (0..30).rev().map(uuid).collect();
    let expected = expected.into_iter().filter(|id| Some(*id) != step.from);
    assert!(expected.take(Diff::MOST_CLONES).eq(step.clones.clone()));
    assert!(
        step.why.contains(", with data of s0029 and 15 more"),
        "{}",
        step.why
    );
}

#[test]
fn what_comes_before_is_one() {
    let (plan, _) = planned(&sides(3, []), &Wish::default(), &shares(20 * MIB));
    let steps: Vec<&Step> = plan.transfers().collect();
    assert_eq!(steps[0].clones, []);
    let mut there: Vec<Uuid> = Vec::new();
    for step in &steps {
        let others = there.iter().rev().filter(|id| step.from != Some(**id));
        assert!(others.eq(&step.clones), "{step:?}");
        there.push(step.to);
    }
    assert!(steps.iter().any(|step| !step.clones.is_empty()));
}

#[test]
fn nobody_asks_where_it_does_not_matter() {
    let none = |sides: &(Listing, Listing), wish: &Wish, bytes| {
        let (plan, sizes) = planned(sides, wish, &shares(bytes));
        assert!(plan.transfers().all(|step| step.clones.is_empty()));
        assert!(sizes.keys().all(|(_, _, clones)| clones.is_empty()));
    };
    let usual = Wish::default();
    none(&sides(3, [0, 1]), &usual, 16 * MIB);
    let whole = Wish {
        whole: true,
        ..Wish::default()
    };
    none(&sides(3, [0, 1]), &whole, 20 * MIB);
    let failed = HashSet::from([uuid(2)]);
    let uncloned = Wish {
        uncloned: Some(&failed),
        ..Wish::default()
    };
    none(&sides(3, [0, 1]), &uncloned, 20 * MIB);
    none(&sides(1, []), &usual, 20 * MIB);
}

/// A key and a manifest name one parent, and older servers know no more.
#[test]
fn both_sides_must_know_them() {
    for (ours, theirs) in [(true, false), (false, true)] {
        let (mut source, mut dest) = sides(3, [0, 1]);
        (source.clones, dest.clones) = (ours, theirs);
        let (plan, _) = planned(&(source, dest), &Wish::default(), &shares(20 * MIB));
        assert_eq!(last(&plan).clones, []);
    }
}

#[test]
fn they_must_save_a_tenth() {
    let saves = |bytes| {
        let size = move |diff: &Diff| match diff.clones.len() {
            0 => 20 * MIB,
            _ => bytes,
        };
        let (plan, _) = planned(&sides(3, [0, 1]), &Wish::default(), &size);
        last(&plan).size
    };
    assert_eq!(saves(18 * MIB), Size::Exact(18 * MIB));
    assert_eq!(saves(19 * MIB), Size::Exact(20 * MIB));
}

#[test]
fn what_was_altered_is_none() {
    let (source, mut dest) = sides(4, [0, 1, 2]);
    dest.snapshots[1].state = State::Altered;
    let (plan, _) = planned(&(source.clone(), dest), &Wish::default(), &shares(20 * MIB));
    assert!(!last(&plan).clones.contains(&uuid(1)));
    let (mut source, dest) = sides(4, [0, 1, 2]);
    source.snapshots[1].state = State::Altered;
    let (plan, _) = planned(&(source, dest), &Wish::default(), &shares(20 * MIB));
    assert!(!last(&plan).clones.contains(&uuid(1)));
}
