//! What there is to choose from where diffs are stored, and what is measured for it.

use super::*;

fn stored(diffs: &[(u64, Option<u64>, u64)]) -> Listing {
    let ids: BTreeMap<u64, ()> = diffs.iter().map(|d| (d.0, ())).collect();
    let diffs = diffs
        .iter()
        .map(|&(to, from, size)| Diff::new(uuid(to), from.map(uuid), Size::Exact(size)));
    let offer = Offer::Only(diffs.collect());
    Listing {
        offer,
        ..listing(
            ids.keys()
                .map(|&n| Snapshot {
                    ctransid: 0,
                    ..snapshot(n, 0)
                })
                .collect(),
        )
    }
}

#[test]
fn stored_diffs_lead_through_intermediates() {
    let source = stored(&[
        (0, None, 100),
        (1, Some(0), 10),
        (2, Some(1), 10),
        (3, Some(0), 50),
        (2, Some(3), 1),
    ]);
    let wish = Wish {
        only: Some(Path::new("s0002")),
        ..Wish::default()
    };
    let (plan, _) = plan_measured(&source, &listing(Vec::new()), &wish, &|_, _| unreachable!());
    let sent: Vec<_> = plan.transfers().map(|step| step.to).collect();
    assert_eq!(sent, [uuid(0), uuid(1), uuid(2)]);
    // What the destination has makes another way the cheapest.
    let (plan, _) = plan_measured(
        &source,
        &listing(vec![received(3)]),
        &wish,
        &|_, _| unreachable!(),
    );
    let sent: Vec<_> = plan.transfers().map(|step| (step.to, step.from)).collect();
    assert_eq!(sent, [(uuid(2), Some(uuid(3)))]);
}

#[test]
fn broken_chains_and_circles_are_named() {
    let source = stored(&[
        (0, None, 100),
        (1, Some(9), 10),
        (2, Some(3), 10),
        (3, Some(2), 10),
    ]);
    let (plan, _) = plan_measured(
        &source,
        &listing(Vec::new()),
        &Wish::default(),
        &|_, _| unreachable!(),
    );
    assert_eq!(plan.transfers().count(), 1);
    let words: Vec<_> = plan
        .obstacles
        .iter()
        .map(|o| (o.path.to_str().unwrap(), o.what.as_str()))
        .collect();
    assert_eq!(words.len(), 3, "{words:?}");
    assert!(words[0].1.contains(&uuid(9).to_string()), "{words:?}");
    assert!(
        words[1].1.contains("circle") && words[2].1.contains("circle"),
        "{words:?}"
    );
}

#[test]
fn chains_at_the_destination_stay_short() {
    let source = listing((0..40).map(|n| snapshot(n, 0)).collect());
    let dest = Listing {
        offer: Offer::Only(Vec::new()),
        ..listing(Vec::new())
    };
    let wish = Wish {
        max_chain: Some(10),
        ..Wish::default()
    };
    let size = |_, from: Option<Uuid>| if from.is_some() { 1000 } else { 1 << 30 };
    let (plan, _) = plan_measured(&source, &dest, &wish, &size);
    let from: HashMap<Uuid, Option<Uuid>> =
        plan.transfers().map(|step| (step.to, step.from)).collect();
    for &node in from.keys() {
        let (mut length, mut at) = (1, node);
        while let Some(Some(up)) = from.get(&at) {
            (length, at) = (length + 1, *up);
        }
        assert!(length <= 10, "{length}");
    }
    assert!(plan.transfers().filter(|step| step.from.is_none()).count() <= 5);
}

#[test]
fn only_what_matters_is_measured() {
    let source = listing(vec![snapshot(0, 0), snapshot(1, 0)]);
    let mut dest = listing(vec![received(0)]);
    let size = |_, from: Option<Uuid>| if from.is_some() { 1 << 20 } else { 1 << 30 };
    let known = Sizes::from([(
        (uuid(1), Some(uuid(0)), Vec::new()),
        Size::Exact(1 << 20).into(),
    )]);
    let asked = |dest: &Listing, wish: &Wish| {
        let plan = plan(&source, dest, wish, &known).unwrap();
        let asked = plan.unmeasured();
        asked.iter().map(|d| (d.from, d.size)).collect::<Vec<_>>()
    };
    let chosen = |dest: &Listing, wish: &Wish| {
        let (plan, _) = plan_measured(&source, dest, wish, &size);
        plan.transfers().map(Step::diff).collect::<Vec<_>>()
    };
    let wish = Wish::default();
    assert_eq!(asked(&dest, &wish), [(None, Size::Beyond(1 << 20))]);
    assert_eq!(chosen(&dest, &wish)[0].size, Size::Exact(1 << 20));
    // A chain that is too long leaves no choice; then the whole is measured to its end.
    dest.offer = Offer::Only(vec![Diff::new(uuid(0), None, Size::Exact(5))]);
    let wish = Wish {
        max_chain: Some(1),
        ..Wish::default()
    };
    assert_eq!(chosen(&dest, &wish)[0].size, Size::Exact(1 << 30));
}
