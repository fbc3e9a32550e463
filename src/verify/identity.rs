//! Whether two places hold the same snapshots, by their listings. Thinks only.

use super::{Verification, counts, is_sound};
use crate::proof::Verdict;
use crate::snapshot::{Listing, Snapshot, shown};

/// Adds to the report what the other place has to say, and what this place lacks.
pub fn same_snapshots(report: &mut Verification, there: &Listing) {
    let here = report.listing.snapshots.clone();
    let (newest_here, newest_there) = (
        newest(&here, &there.snapshots),
        newest(&there.snapshots, &here),
    );
    for snapshot in here.iter().filter(|s| counts(s)) {
        match held_against(snapshot, there, newest_here) {
            Ok(remark) => report.remark(snapshot, &remark),
            Err(verdict) => report.add(snapshot, verdict, false),
        }
    }
    let missing = |s: &&Snapshot| counts(s) && !here.iter().any(|h| counts(h) && h.id() == s.id());
    for snapshot in there.snapshots.iter().filter(missing) {
        let (theirs, ours) = (&there.location, &report.listing.location);
        let named = |h: &&Snapshot| h.stand_in && h.path.file_name() == snapshot.path.file_name();
        let verdict = match here.iter().find(named) {
            Some(perhaps) => may_be(&format!("{} in {ours}", shown(&perhaps.path))),
            None if is_older(snapshot, newest_there) => rotated(ours),
            None => missing_in(
                &report.listing,
                format!("{theirs} has it, and {ours} does not"),
            ),
        };
        report.add(snapshot, verdict, false);
    }
}

/// When the newest of these was made that the others are too.
fn newest(these: &[Snapshot], others: &[Snapshot]) -> Option<i64> {
    let common = |s: &&Snapshot| counts(s) && others.iter().any(|o| counts(o) && o.id() == s.id());
    these.iter().filter(common).filter_map(|s| s.created).max()
}

fn is_older(snapshot: &Snapshot, newest: Option<i64>) -> bool {
    matches!((snapshot.created, newest), (Some(made), Some(newest)) if made < newest)
}

/// What is older than others that are on both sides may have been let go: policies differ.
fn rotated(place: &str) -> Verdict {
    Verdict::Unverifiable(format!(
        "{place} does not have it, and has newer ones: it was let go there, or never brought"
    ))
}

/// What follows if nobody can tell before thawing which snapshot something is.
fn may_be(what: &str) -> Verdict {
    Verdict::Unverifiable(format!(
        "whether {what} is it can be told only when that is thawed: the program that stored it did not write \
         down its UUID"
    ))
}

/// What follows if a listing does not have a snapshot.
fn missing_in(listing: &Listing, words: String) -> Verdict {
    match listing.partial {
        false => Verdict::Different(words),
        true => Verdict::Unverifiable(format!("{words}, as far as it could be listed")),
    }
}

/// A remark if they agree: listings say what snapshots claim to be, which is nothing seen of them.
fn held_against(
    snapshot: &Snapshot,
    there: &Listing,
    newest: Option<i64>,
) -> Result<String, Verdict> {
    let place = &there.location;
    let same = |s: &&Snapshot| counts(s) && s.id() == snapshot.id();
    let copies: Vec<_> = there.snapshots.iter().filter(same).collect();
    let Some(copy) = copies.iter().find(|s| is_sound(s)).or(copies.first()) else {
        return Err(match snapshot.stand_in {
            true => may_be(&format!("one of {place}")),
            false if is_older(snapshot, newest) => rotated(place),
            false => missing_in(there, format!("missing in {place}")),
        });
    };
    let name = shown(&copy.path);
    // Listings of buckets know no generations.
    let generations = (snapshot.generation(), copy.generation());
    match generations {
        _ if !is_sound(copy) => Err(Verdict::Different(format!(
            "its copy {name} in {place} was altered"
        ))),
        (0, _) | (_, 0) => Ok(format!("the same UUID as {name} in {place}")),
        (ours, theirs) if !snapshot.is_state_of(copy) => Err(Verdict::Different(format!(
            "its generation is {ours}, and that of {name} in {place} is {theirs}"
        ))),
        _ => Ok(format!("the same UUID and generation as {name} in {place}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{Finding, Seen};
    use crate::snapshot::{State, Uuid};

    fn snapshot(path: &str, id: u8, generation: u64) -> Snapshot {
        Snapshot {
            path: path.into(),
            uuid: Uuid([id; 16]),
            ctransid: generation,
            read_only: true,
            ..Snapshot::default()
        }
    }

    fn ranks(here: &[Snapshot], there: &[Snapshot]) -> Vec<(String, u8)> {
        let listing = |snapshots: &[Snapshot]| Listing {
            snapshots: snapshots.to_vec(),
            ..Listing::default()
        };
        let sealed = Verdict::seen(Seen::Sealed, "its seal is right");
        let mut report = Verification {
            findings: here
                .iter()
                .map(|s| Finding::of(s, sealed.clone()))
                .collect(),
            listing: listing(here),
        };
        same_snapshots(&mut report, &listing(there));
        let rank = |f: &Finding| (shown(&f.path), f.verdict.rank());
        report.findings.iter().map(rank).collect()
    }

    #[test]
    fn what_could_not_be_listed_is_not_missing() {
        let some = Listing {
            partial: true,
            ..Listing::default()
        };
        let missing = |there| held_against(&snapshot("a", 1, 7), there, None).unwrap_err();
        assert_eq!(missing(&some).rank(), 1);
        assert_eq!(missing(&Listing::default()).rank(), 2);
    }

    #[test]
    fn what_is_frozen_and_unnamed_is_not_missing() {
        let frozen = Snapshot {
            stand_in: true,
            ..snapshot("a", 9, 0)
        };
        let (a, b) = (snapshot("a", 1, 7), snapshot("b", 2, 7));
        let open = |name: &str, rank| (name.to_owned(), rank);
        let found = ranks(std::slice::from_ref(&frozen), &[a, b]);
        assert_eq!(found, [open("a", 1), open("a", 1), open("b", 2)]);
    }

    #[test]
    fn to_be_listed_alike_is_nothing_seen() {
        let a = snapshot("a", 1, 7);
        let there = Listing {
            snapshots: vec![a.clone()],
            ..Listing::default()
        };
        let mut report = Verification {
            findings: vec![Finding::of(
                &a,
                Verdict::seen(Seen::Sealed, "its seal is right"),
            )],
            listing: there.clone(),
        };
        same_snapshots(&mut report, &there);
        let verdict = &report.findings[0].verdict;
        assert_eq!(verdict.label(), "sealed");
        assert!(
            verdict.words().contains("same UUID and generation"),
            "{verdict:?}"
        );
        report.findings.clear();
        same_snapshots(&mut report, &there);
        assert_eq!(report.findings[0].verdict.rank(), 1);
    }

    /// What is older than a common one may have been let go; what is newer has not come.
    #[test]
    fn what_is_let_go_is_not_different() {
        let at = |name, id, created| Snapshot {
            created: Some(created),
            ..snapshot(name, id, 7)
        };
        let (old, mid, new) = (at("old", 1, 10), at("mid", 2, 20), at("new", 3, 30));
        let pair = |name: &str, rank| (name.to_owned(), rank);
        assert_eq!(
            ranks(
                std::slice::from_ref(&mid),
                &[old.clone(), mid.clone(), new.clone()]
            ),
            [pair("mid", 0), pair("old", 1), pair("new", 2)]
        );
        assert_eq!(
            ranks(&[old.clone(), mid.clone(), new], std::slice::from_ref(&mid)),
            [pair("old", 1), pair("mid", 0), pair("new", 2)]
        );
        // Where nothing is common, nothing says that they belong together.
        assert_eq!(ranks(&[old], &[mid]), [pair("old", 2), pair("mid", 2)]);
    }

    #[test]
    fn both_sides_must_have_the_same() {
        let (a, b) = (snapshot("a", 1, 7), snapshot("b", 2, 8));
        let pair = |name: &str, rank| (name.to_owned(), rank);
        assert_eq!(
            ranks(std::slice::from_ref(&a), &[snapshot("z", 1, 7)]),
            [pair("a", 0)]
        );
        assert_eq!(
            ranks(&[a.clone(), b.clone()], std::slice::from_ref(&b)),
            [pair("a", 2), pair("b", 0)]
        );
        assert_eq!(
            ranks(std::slice::from_ref(&b), &[a.clone(), b.clone()]),
            [pair("b", 0), pair("a", 2)]
        );
        assert_eq!(
            ranks(std::slice::from_ref(&a), &[snapshot("a", 1, 9)]),
            [pair("a", 2)]
        );
        assert_eq!(
            ranks(std::slice::from_ref(&a), &[snapshot("a", 1, 0)]),
            [pair("a", 0)]
        );
        let altered = Snapshot {
            state: State::Altered,
            ..a.clone()
        };
        assert_eq!(ranks(&[a], &[altered]), [pair("a", 2)]);
    }
}
