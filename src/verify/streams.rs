//! Stored streams against those that a filesystem makes now: by equal checksums the stored bytes
//! are those, and none is fetched.

use super::{Report, Watch, is_sound};
use crate::error::{Kind, Result};
use crate::process;
use crate::proof::Verdict;
use crate::snapshot::{Diff, Listing, Offer, Snapshot, Uuid, shown};
use crate::store::Store;
use std::collections::BTreeSet;

/// Adds to the report on a store whether another makes the streams that are stored there; nothing
/// unless the one stores streams and the other makes them.
///
/// # Errors
/// If a signal asks to stop.
pub fn same_streams(
    report: &mut Report,
    store: &mut dyn Store,
    there: &Listing,
    other: &mut dyn Store,
    watch: &mut Watch,
) -> Result<()> {
    let diffs = match (&report.listing.offer, &there.offer) {
        (Offer::Only(diffs), Offer::AnyPair) => diffs.clone(),
        _ => return Ok(()),
    };
    let here = report.listing.snapshots.clone();
    let mut verdicts: Vec<(&Snapshot, Verdict)> = Vec::new();
    for snapshot in here.iter().filter(|s| is_sound(s)) {
        let mut all: Option<Verdict> = None;
        for diff in diffs.iter().filter(|diff| diff.to == snapshot.id()) {
            process::check("verifying")?;
            watch(&shown(&snapshot.path));
            if let Some(verdict) = one(snapshot, diff, store, there, other)? {
                all = Some(all.map_or(verdict.clone(), |so_far| so_far.and(verdict)));
            }
        }
        verdicts.extend(all.map(|verdict| (snapshot, verdict)));
    }
    let good = restorable(&diffs, &verdicts);
    for (snapshot, verdict) in verdicts {
        report.add(snapshot, verdict, good.contains(&snapshot.id()));
    }
    Ok(())
}

/// One stored diff; `None` if it is not stored at this snapshot's path.
fn one(
    snapshot: &Snapshot,
    diff: &Diff,
    store: &mut dyn Store,
    there: &Listing,
    other: &mut dyn Store,
) -> Result<Option<Verdict>> {
    let has = |id: Uuid| there.snapshots.iter().any(|s| is_sound(s) && s.id() == id);
    for (what, id) in [("it", Some(diff.to)), ("its parent", diff.from)] {
        if let Some(id) = id.filter(|&id| !has(id)) {
            let words = format!(
                "{} does not have {what} ({id}) unaltered, so the stream cannot be made again; --download reads it",
                there.location
            );
            return Ok(Some(Verdict::Unverifiable(words)));
        }
    }
    let mut attempt = || {
        let mut stream = other.send(diff)?;
        store.compare(&snapshot.path, diff, &mut *stream)
    };
    let outcome = match attempt() {
        Err(error) if error.kind == Kind::Restarted => attempt(),
        outcome => outcome,
    };
    match outcome {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => Ok(Some(Verdict::Unverifiable(error.to_string()))),
        verdict => verdict,
    }
}

/// The snapshots that can be made of streams that were made again, alone.
fn restorable(diffs: &[Diff], verdicts: &[(&Snapshot, Verdict)]) -> BTreeSet<Uuid> {
    let bad: BTreeSet<Uuid> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.rank() > 0)
        .map(|(snapshot, _)| snapshot.id())
        .collect();
    let good: BTreeSet<Uuid> = verdicts.iter().map(|(snapshot, _)| snapshot.id()).collect();
    let mut made = BTreeSet::new();
    loop {
        let before = made.len();
        for diff in diffs {
            let is_good = good.contains(&diff.to) && !bad.contains(&diff.to);
            if is_good && diff.from.is_none_or(|from| made.contains(&from)) {
                made.insert(diff.to);
            }
        }
        if made.len() == before {
            return made;
        }
    }
}
