//! Stored streams against those that a filesystem makes now: by equal checksums the stored bytes are
//! those, and none is fetched. Knows no layout.

use super::{Verification, is_sound};
use crate::error::{Kind, Result};
use crate::event::{Event, Listener};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{
    Diff, Fault, Graph, Listing, Measured, Mend, Mended, Size, Snapshot, Uuid, shown,
};
use crate::store::Store;
use std::collections::BTreeSet;
use std::path::Path;

/// Adds to the report on a store whether another makes the streams that are stored there; nothing
/// unless the one stores streams and the other makes them.
///
/// # Errors
/// If a signal asks to stop.
pub fn same_streams(
    report: &mut Verification,
    store: &mut dyn Store,
    there: &Listing,
    other: &mut dyn Store,
    listener: &mut Listener,
) -> Result<()> {
    let Some(diffs) = report.listing.offer.stored().map(<[Diff]>::to_vec) else {
        return Ok(());
    };
    if there.offer.keeps_diffs() {
        return Ok(());
    }
    let here = report.listing.snapshots.clone();
    let mut verdicts: Vec<(&Snapshot, Verdict)> = Vec::new();
    for snapshot in here.iter().filter(|s| is_sound(s)) {
        let mut all: Option<Verdict> = None;
        for diff in diffs.iter().filter(|diff| diff.to == snapshot.id()) {
            process::check("verifying")?;
            listener(Event::verifying(shown(&snapshot.path)));
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
    match made_again(&snapshot.path, diff, store, other) {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => Ok(Some(Verdict::Unverifiable(error.to_string()))),
        verdict => verdict,
    }
}

/// How a sender makes a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamForm {
    /// What the kernel's stream lacks is mended.
    Mended,
    /// As the kernel does.
    Plain,
}

/// The stream is made as the record says that it was. Without a record it is the kernel's own, of an
/// older sender; and if it is not that, its record may have been lost.
fn made_again(
    path: &Path,
    diff: &Diff,
    store: &mut dyn Store,
    other: &mut dyn Store,
) -> Result<Option<Verdict>> {
    let recorded = store.mends(diff)?;
    if recorded && !other.mends(diff)? {
        let words = "it was stored by a sender that mends, and this one does not";
        return Ok(Some(Verdict::Unverifiable(words.to_owned())));
    }
    if recorded {
        return held_against(path, diff, StreamForm::Mended, store, other);
    }
    let plain = held_against(path, diff, StreamForm::Plain, store, other)?;
    Ok(match plain {
        Some(verdict) if verdict.has(Seen::Regenerated) && other.mends(diff)? => {
            Some(as_the_kernel_does(diff, verdict, other)?)
        }
        Some(Verdict::Different(words)) if other.mends(diff)? => {
            let mended = held_against(path, diff, StreamForm::Mended, store, other)?;
            Some(match mended {
                Some(verdict) if verdict.has(Seen::Regenerated) => verdict,
                _ => Verdict::Different(words),
            })
        }
        other => other,
    })
}

fn held_against(
    path: &Path,
    diff: &Diff,
    manner: StreamForm,
    store: &mut dyn Store,
    other: &mut dyn Store,
) -> Result<Option<Verdict>> {
    let mut attempt = || {
        let mut stream = match manner {
            StreamForm::Mended => other.send(diff)?,
            StreamForm::Plain => other.send_unmended(diff)?,
        };
        store.compare(path, diff, &mut *stream)
    };
    match attempt() {
        Err(error) if error.kind == Kind::Restarted => attempt(),
        outcome => outcome,
    }
}

/// What is stored is the kernel's own stream: whether that makes the snapshot.
fn as_the_kernel_does(diff: &Diff, equal: Verdict, other: &mut dyn Store) -> Result<Verdict> {
    let asked = Diff {
        size: Size::Unknown,
        ..diff.clone()
    };
    let known = other.measure(&[asked])?.remove(&diff.key());
    Ok(match known {
        Some(Measured {
            refused: Some(why), ..
        }) => Verdict::Different(format!("nobody can receive it: {why}; send it again")),
        Some(Measured { mended, .. }) => judged(equal, mended),
        None => equal,
    })
}

/// The times of the top are no property of what is in it, and wrong in most old streams.
fn judged(equal: Verdict, mut mended: Mended) -> Verdict {
    let all = mended.0.len();
    let of_top = |mend: &Mend| mend.count == 1 && mend.path.is_empty();
    mended
        .0
        .retain(|mend| mend.fault != Fault::MovedTimes || !of_top(mend));
    match (mended.is_empty(), all) {
        (false, _) => Verdict::Different(lacks(&mended)),
        (true, 0) => equal,
        (true, _) => equal.remarked("received, its top directory has the time of the receipt"),
    }
}

/// What a stream that was not mended lacks.
fn lacks(mended: &Mended) -> String {
    let lost = mended.0.iter().find(|mend| mend.fault == Fault::LostBytes);
    match lost {
        Some(Mend { count, path, .. }) => {
            format!("stored without {count} bytes of {path}; send it again")
        }
        None => format!("stored as the kernel sends it, and not mended: {mended}; send it again"),
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
    let is_good = |diff: &&Diff| good.contains(&diff.to) && !bad.contains(&diff.to);
    let good: Graph = diffs.iter().filter(is_good).map(Diff::pair).collect();
    good.shortest().order().iter().copied().collect()
}
