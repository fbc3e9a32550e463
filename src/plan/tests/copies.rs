//! What the destination copies itself, and what it does not.

use super::*;

/// A copy of snapshot `n` elsewhere on the filesystem, that was received.
fn elsewhere(n: u64, state: State) -> Snapshot {
    Snapshot {
        path: format!("/other/s{n:04}").into(),
        state,
        ..received(n)
    }
}

#[test]
fn what_is_copied_is_known_to_be_it() {
    let source = listing(vec![snapshot(1, 0), snapshot(2, 0)]);
    let copied = |copy: Snapshot, wish: &Wish| {
        let dest = Listing {
            elsewhere: vec![copy],
            ..listing(Vec::new())
        };
        let plan = plan(&source, &dest, wish, &Sizes::new()).unwrap();
        let from = plan.copies().filter_map(|step| step.original.clone());
        (from.count(), plan.transfers().count())
    };
    let usual = Wish::default();
    assert_eq!(copied(elsewhere(1, State::Ok), &usual), (1, 1));
    assert_eq!(copied(elsewhere(1, State::Unsealed), &usual), (0, 2));
    assert_eq!(copied(elsewhere(1, State::Altered), &usual), (0, 2));
    let other_state = Snapshot {
        stransid: 99,
        ..elsewhere(1, State::Ok)
    };
    assert_eq!(copied(other_state, &usual), (0, 2));
    let itself = Snapshot {
        path: "/a/s".into(),
        ..snapshot(2, 0)
    };
    assert_eq!(copied(itself.clone(), &usual), (1, 1));
    let whole = Wish {
        whole: true,
        ..Wish::default()
    };
    assert_eq!(copied(itself, &whole), (0, 2));
}
