//! Which of nearly equal plans is chosen, and what is said of it.

use super::*;

/// Which snapshot each is made from, by the numbers of the plan's own order.
fn parents(plan: &Plan) -> Vec<(Uuid, Option<Uuid>)> {
    plan.transfers().map(|step| (step.to, step.from)).collect()
}

#[test]
fn nearly_equal_plans_go_with_time() {
    let source = listing(vec![snapshot(0, 0), snapshot(1, 0)]);
    let chosen = |forward: u64, whole: u64| {
        let size = |to, from: Option<Uuid>| match from {
            Some(_) if to == uuid(0) => 9_000,
            Some(_) => forward,
            None if to == uuid(0) => 1_000_000,
            None => whole,
        };
        let (plan, _) = plan_measured(&source, &listing(Vec::new()), &Wish::default(), &size);
        parents(&plan)
    };
    let natural = [(uuid(0), None), (uuid(1), Some(uuid(0)))];
    let backward = [(uuid(1), None), (uuid(0), Some(uuid(1)))];
    assert_eq!(chosen(10_000, 1_000_000), natural);
    assert_eq!(chosen(10_001, 1_000_000), backward, "a tenth is worth it");
    assert_eq!(chosen(10_000, 999_999), backward);
}

#[test]
fn a_family_from_two_filesystems_goes_by_the_clock() {
    // Made here long ago, though its generation is high; the other came from elsewhere.
    let here = Snapshot {
        ctransid: 900,
        created: Some(1_000),
        ..snapshot(0, 0)
    };
    let there = Snapshot {
        parent_uuid: Some(uuid(0)),
        created: Some(2_000),
        ..received(1)
    };
    let source = listing(vec![here, there]);
    let size = |_, from: Option<Uuid>| if from.is_some() { 1000 } else { 100_000 };
    let (plan, _) = plan_measured(&source, &listing(Vec::new()), &Wish::default(), &size);
    assert_eq!(parents(&plan), [(uuid(0), None), (uuid(1), Some(uuid(0)))]);
}

#[test]
fn a_stored_link_is_as_dear_in_either_direction() {
    let source = listing(vec![snapshot(0, 0), snapshot(1, 0)]);
    let dest = Listing {
        offer: Offer::Only(Vec::new()),
        ..listing(Vec::new())
    };
    // The later one has three million bytes more; nothing else is different.
    let size = |to, from: Option<Uuid>| match from {
        Some(_) if to == uuid(0) => 1_000,
        Some(_) => 3_001_000,
        None if to == uuid(0) => 60_000_000,
        None => 63_000_000,
    };
    let (plan, _) = plan_measured(&source, &dest, &Wish::default(), &size);
    assert_eq!(parents(&plan), [(uuid(0), None), (uuid(1), Some(uuid(0)))]);
    // What hardly saves anything is not worth the link.
    let size = |_, from: Option<Uuid>| {
        if from.is_some() {
            59_000_000
        } else {
            60_000_000
        }
    };
    let (plan, _) = plan_measured(&source, &dest, &Wish::default(), &size);
    assert!(plan.transfers().all(|step| step.from.is_none()), "{plan:?}");
}

#[test]
fn the_reason_names_what_was_passed_over() {
    let why = |source: Vec<Snapshot>, dest: Vec<Snapshot>, wish: &Wish| {
        let size = |_, from: Option<Uuid>| if from.is_some() { 1000 } else { 9000 };
        let (plan, _) = plan_measured(&listing(source), &listing(dest), wish, &size);
        plan.transfers()
            .map(|step| step.why.clone())
            .next()
            .unwrap()
    };
    let two = || vec![snapshot(0, 0), snapshot(1, 0)];
    let state = |state, snapshot| Snapshot { state, ..snapshot };
    let wish = Wish::default();
    let expect = |said: String, words: &str| assert!(said.contains(words), "{said}");
    expect(why(two(), vec![], &wish), "whole: nothing older");
    let dest = vec![state(State::Altered, received(0))];
    expect(
        why(two(), dest, &wish),
        "whole: not from s0000, which was altered at the destination",
    );
    let dest = vec![Snapshot {
        stransid: 99,
        ..received(0)
    }];
    expect(
        why(two(), dest, &wish),
        "s0000, of which the destination has another state",
    );
    let source = vec![state(State::Altered, snapshot(0, 0)), snapshot(1, 0)];
    expect(
        why(source, vec![received(0)], &wish),
        "not from s0000, which was altered",
    );
    let excluded = |path: &Path| path == Path::new("s0000");
    let without = Wish {
        excluded: Some(&excluded),
        ..Wish::default()
    };
    expect(
        why(two(), vec![], &without),
        "not from s0000, which is not at the destination",
    );
    let whole = Wish {
        whole: true,
        ..Wish::default()
    };
    expect(
        why(two(), vec![received(0)], &whole),
        "whole, as it was asked for",
    );
    expect(
        why(two(), vec![received(0)], &wish),
        "from s0000, which the destination has",
    );
    // A parent that is not the natural one.
    let three = vec![snapshot(0, 0), snapshot(1, 0), snapshot(2, 0)];
    let dest = vec![received(0), state(State::RwReceived, received(1))];
    expect(
        why(three, dest, &wish),
        "from s0000, which the destination has; not from s0001, which is read-write at the destination",
    );
}

#[test]
fn what_is_refused_is_no_candidate() {
    let (source, dest) = (
        listing(vec![snapshot(0, 0), snapshot(1, 0), snapshot(2, 0)]),
        listing(vec![received(0)]),
    );
    let refused = |words: &str| crate::snapshot::Measured {
        refused: Some(words.to_owned()),
        ..Default::default()
    };
    let mut sizes = Sizes::from([
        (
            (uuid(1), Some(uuid(0)), Vec::new()),
            refused("it goes in a circle"),
        ),
        ((uuid(1), None, Vec::new()), Size::Exact(900).into()),
        (
            (uuid(1), Some(uuid(2)), Vec::new()),
            Size::Exact(800).into(),
        ),
        ((uuid(2), None, Vec::new()), Size::Exact(5000).into()),
        (
            (uuid(2), Some(uuid(0)), Vec::new()),
            Size::Exact(4000).into(),
        ),
        ((uuid(2), Some(uuid(1)), Vec::new()), Size::Exact(10).into()),
    ]);
    let plan_of = |sizes: &Sizes| plan(&source, &dest, &Wish::default(), sizes).unwrap();
    let chosen = plan_of(&sizes);
    assert_eq!(
        parents(&chosen),
        [(uuid(1), None), (uuid(2), Some(uuid(1)))]
    );
    let why = &chosen.transfers().next().unwrap().why;
    assert_eq!(why, "whole: not from s0000, because it goes in a circle");
    // With no way left it is one that fails, and the others go on without it.
    sizes.insert((uuid(1), None, Vec::new()), refused("it cannot be read"));
    sizes.insert(
        (uuid(1), Some(uuid(2)), Vec::new()),
        refused("it cannot be read"),
    );
    let chosen = plan_of(&sizes);
    assert_eq!(parents(&chosen), [(uuid(2), Some(uuid(0)))]);
    assert!(chosen.is_blocked() && chosen.obstacles[0].what == "it cannot be read");
}

/// As after a rollback and a clean-up: the newest of another family has nearly all of it.
#[test]
fn strangers_are_tried_where_much_would_be_sent() {
    let source = listing(vec![snapshot(0, 0), snapshot(1, 1), snapshot(2, 2)]);
    let dest = listing(vec![received(0), received(1)]);
    let chosen = |whole: u64, part: u64| {
        let size = |_, from: Option<Uuid>| match from {
            Some(from) if from == uuid(0) => part,
            Some(_) => whole + 1,
            None => whole,
        };
        parents(&plan_measured(&source, &dest, &Wish::default(), &size).0)
    };
    assert_eq!(chosen(42 << 20, 202), [(uuid(2), Some(uuid(0)))]);
    assert_eq!(chosen(42 << 20, 41 << 20), [(uuid(2), None)], "no gain");
    assert_eq!(
        chosen(16 << 20, 202),
        [(uuid(2), None)],
        "not worth looking"
    );
}

#[test]
fn where_there_is_no_choice_a_run_need_not_measure() {
    let source = |count, used| Listing {
        used: Some(used),
        ..listing((0..count).map(|n| snapshot(n, 0)).collect())
    };
    let dest = |free| Listing {
        free: Some(free),
        ..listing(Vec::new())
    };
    let size = |source: &Listing, dest: &Listing, run| {
        let wish = Wish {
            run,
            ..Wish::default()
        };
        let plan = plan(source, dest, &wish, &Sizes::new()).unwrap();
        assert_eq!(plan.unmeasured().is_empty(), plan.total_bytes() > 0);
        plan.transfers().next().unwrap().size
    };
    // Its tree is 1 MiB.
    let (small, room) = (16 << 20, 16 << 20);
    let (one, there) = (source(1, small), dest(room));
    assert_eq!(size(&one, &there, true), Size::Estimate(small));
    assert_eq!(size(&one, &there, false), Size::Unknown, "a plan is exact");
    let measured = |source, dest: &Listing| size(&source, dest, true) == Size::Unknown;
    assert!(measured(source(2, small), &there), "there is a choice");
    assert!(measured(source(1, small + 1), &there), "measuring is cheap");
    assert!(measured(source(1, small), &dest(room - 1)), "little room");
    let bucket = Listing {
        offer: Offer::Only(Vec::new()),
        ..dest(room)
    };
    assert!(measured(source(1, small), &bucket), "parts go by its size");
}

#[test]
fn of_another_family_there_is_a_choice() {
    let source = Listing {
        used: Some(1),
        ..listing(vec![snapshot(0, 0), snapshot(1, 1)])
    };
    let dest = Listing {
        free: Some(1 << 40),
        ..listing(vec![received(0)])
    };
    let wish = Wish {
        run: true,
        ..Wish::default()
    };
    let plan = plan(&source, &dest, &wish, &Sizes::new()).unwrap();
    assert_eq!(plan.unmeasured().len(), 1);
}

#[test]
fn a_run_may_ask_whether_a_diff_is_certain_to_be_the_shorter() {
    let large = |n| Snapshot {
        tree_bytes: 2 << 20,
        ..snapshot(n, 0)
    };
    let source = |used, snapshots| Listing {
        used: Some(used),
        ..listing(snapshots)
    };
    let there = |ids: &[u64], free| Listing {
        free: Some(free),
        ..listing(ids.iter().map(|n| received(*n)).collect())
    };
    let diff = |source: &Listing, dest: &Listing, run| {
        let wish = Wish {
            run,
            ..Wish::default()
        };
        let plan = plan(source, dest, &wish, &Sizes::new()).unwrap();
        assert_eq!(plan.unmeasured().len(), plan.transfers().count());
        plan.or_whole.map(|diff| diff.pair())
    };
    let two = source(32 << 20, vec![large(0), large(1)]);
    let first = there(&[0], 32 << 20);
    assert_eq!(diff(&two, &first, true), Some((uuid(1), Some(uuid(0)))));
    assert_eq!(diff(&two, &first, false), None, "a plan is exact");
    assert_eq!(diff(&two, &there(&[0], 1 << 20), true), None, "little room");
    let cheap = source(64 << 20, vec![large(0), large(1)]);
    assert_eq!(diff(&cheap, &first, true), None, "measuring is cheap");
    let small = source(16 << 20, vec![large(0), snapshot(1, 0)]);
    assert_eq!(diff(&small, &first, true), None, "and at once done");
    let three = source(32 << 20, vec![large(0), large(1), large(2)]);
    assert_eq!(diff(&three, &first, true), None, "several are to come");
    assert_eq!(
        diff(&three, &there(&[0, 2], 32 << 20), true),
        None,
        "there is another"
    );
}
