//! The same snapshots at two places, each of which looks at its own files: neither need be on this
//! machine.

use super::{MOVED, Verification, counts, is_sound};
use crate::compare::{self, ComparedPair};
use crate::error::{Kind, Result};
use crate::event::{Event, Listener};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{Listing, Snapshot, State, Uuid, shown};
use crate::store::Store;

/// Compares what both places have: everything, or what `changed` since the snapshot that each was
/// made from.
///
/// # Errors
/// If a signal asks to stop.
pub fn files(
    report: &mut Verification,
    store: &mut dyn Store,
    there: &Listing,
    other: &mut dyn Store,
    changed: bool,
    listener: &mut Listener,
) -> Result<()> {
    let here = report.listing.snapshots.clone();
    for snapshot in here.iter().filter(|s| counts(s)) {
        process::check("verifying")?;
        let same = |s: &&Snapshot| is_sound(s) && s.id() == snapshot.id();
        let copies: Vec<_> = there.snapshots.iter().filter(same).collect();
        let Some(any) = copies.first() else {
            continue; // that it is missing or altered there has been said
        };
        listener(Event::verifying(shown(&snapshot.path)));
        let Some(original) = copies.iter().find(|s| s.uuid != snapshot.uuid) else {
            let words = format!(
                "{} is this snapshot itself and no copy of it",
                shown(&any.path)
            );
            report.add(snapshot, Verdict::Unverifiable(words), false);
            continue;
        };
        let since = match changed {
            true => parent(snapshot, &here, there),
            false => None,
        };
        match one(snapshot, original, since, store, there, other, listener)? {
            Ok(remark) => report.remark(snapshot, &remark),
            Err(verdict) if verdict.has(Seen::Same) && snapshot.state == State::Altered => {
                report.correct(snapshot, verdict.remarked(MOVED));
            }
            Err(verdict) => {
                let verdict = with_heirs(verdict, snapshot, &report.listing);
                report.add(snapshot, verdict, true);
            }
        }
    }
    Ok(())
}

/// The snapshot that this one was made from, if the other place has it unaltered.
fn parent(snapshot: &Snapshot, here: &[Snapshot], there: &Listing) -> Option<Uuid> {
    let parent = here.iter().find(|s| snapshot.parent_uuid == Some(s.uuid))?;
    let has = |s: &Snapshot| is_sound(s) && s.id() == parent.id();
    there.snapshots.iter().any(has).then(|| parent.id())
}

/// A verdict; a remark if only a part was looked at and is the same, which says little of the rest.
fn one(
    snapshot: &Snapshot,
    original: &Snapshot,
    since: Option<Uuid>,
    store: &mut dyn Store,
    there: &Listing,
    other: &mut dyn Store,
    listener: &mut Listener,
) -> Result<std::result::Result<String, Verdict>> {
    let pair = ComparedPair {
        id: snapshot.id(),
        source: Some(&original.path),
        copy: &snapshot.path,
        since,
        from_disk: false,
        // Older releases left that of their own work.
        top_time: false,
    };
    let name = shown(&snapshot.path);
    let so_far = |entries| format!("{name}, {entries} entries so far");
    let each = &mut |entries| listener(Event::verifying(so_far(entries)));
    let theirs = format!("{} in {}", shown(&original.path), there.location);
    let verdict = match compare::copies(other, store, &pair, each) {
        Err(error) if error.kind == Kind::Interrupted => return Err(error),
        Err(error) => Verdict::Unverifiable(error.to_string()),
        Ok(outcome) if outcome.different > 0 => {
            Verdict::Different(format!("unlike {theirs}: {}", outcome.words()))
        }
        Ok(outcome) if !outcome.is_same() => Verdict::Unverifiable(outcome.words()),
        Ok(outcome) if since.is_some() && !outcome.everything => {
            return Ok(Ok(format!(
                "where it differs from its parent, the same as {theirs}"
            )));
        }
        Ok(_) => Verdict::seen(
            Seen::Same,
            format!(
                "in contents, modes, owners, times and extended attributes the same as {theirs}"
            ),
        ),
    };
    Ok(Err(verdict))
}

/// A wrong copy, and what was built on it: that may have the same wrong bytes.
pub(super) fn with_heirs(verdict: Verdict, snapshot: &Snapshot, here: &Listing) -> Verdict {
    let heirs: Vec<_> = here
        .built_on(snapshot.uuid)
        .iter()
        .map(|s| shown(&s.path))
        .collect();
    match verdict {
        Verdict::Different(words) if !heirs.is_empty() => {
            Verdict::Different(format!("{words}; built on it: {}", heirs.join(", ")))
        }
        other => other,
    }
}
