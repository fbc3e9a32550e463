//! Snapshots whose generations moved since they were made or received, while their contents may not have:
//! deduplicators write to read-only snapshots too. Compares them with their copies, and says what counts.

use super::check_copy;
use crate::error::{Kind, Result};
use crate::event::{Event, Listener};
use crate::log;
use crate::process;
use crate::snapshot::{Listing, Snapshot, State, shown};
use crate::store::Store;

/// A snapshot of the source, and its copy at the destination.
type Copies = (Snapshot, Snapshot);

/// The two listings, in which what moved and was found to be the same counts as unaltered: at the destination
/// it is sealed anew, if the run `seals`, at the source it counts in this run. Only what is `wanted` is compared,
/// and nothing where one side has no files.
///
/// # Errors
/// If a signal asks to stop. What could not be compared or sealed stays as it is, and the listener hears why.
pub fn compare_moved(
    (mut here, mut there): (Listing, Listing),
    (wanted, seals): (&dyn Fn(&Snapshot) -> bool, bool),
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Result<(Listing, Listing)> {
    let moved = moved(&here, &there, wanted, dest);
    let files = source.has_files().and_then(|()| dest.has_files());
    if moved.is_empty() || files.is_err() {
        return Ok((here, there));
    }
    for (ours, theirs) in &moved {
        process::check("comparing")?;
        let step = check_copy::waiting(theirs);
        match check_copy::look(&step, source, dest, listener) {
            None if theirs.state == State::Altered && seals => match dest.settle(&theirs.path) {
                Ok(()) => {}
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => {
                    listener(Event::Unsettled(error));
                    continue;
                }
            },
            None => {}
            Some(error) if error.kind == Kind::Interrupted => return Err(error),
            Some(error) if error.kind == Kind::Different => {
                log::line(|| error.to_string());
                continue;
            }
            Some(error) => {
                listener(Event::Unsettled(error));
                continue;
            }
        }
        let words = found(ours, theirs, (&here.location, &there.location));
        listener(Event::Note { words });
        count(&mut here, ours, theirs);
        let copies = there.snapshots.iter_mut();
        let altered = copies.filter(|s| s.uuid == theirs.uuid && s.state == State::Altered);
        altered.for_each(|s| s.state = State::Ok);
    }
    Ok((here, there))
}

/// What both have, one of them unaltered and the other by its content only, perhaps.
fn moved(
    here: &Listing,
    there: &Listing,
    wanted: &dyn Fn(&Snapshot) -> bool,
    dest: &mut dyn Store,
) -> Vec<Copies> {
    let made = |s: &Snapshot| s.read_only && s.received_uuid.is_none();
    let mut pair = |ours: &Snapshot| {
        let same = |s: &&Snapshot| s.id() == ours.id() && s.state != State::Partial;
        let theirs = there
            .snapshots
            .iter()
            .filter(same)
            .min_by_key(|s| s.rank())?;
        let at_source = made(ours)
            && (ours.state == State::Altered || !ours.is_state_of(theirs))
            && theirs.may_be_parent();
        let at_dest = theirs.state == State::Altered
            && theirs.received_uuid.is_some()
            && ours.may_be_source()
            && dest.may_seal(&theirs.path);
        (at_source || at_dest).then(|| (ours.clone(), theirs.clone()))
    };
    let all = here.snapshots.iter().filter(|s| wanted(s));
    all.filter_map(&mut pair).collect()
}

/// It counts as what the destination has.
fn count(here: &mut Listing, ours: &Snapshot, theirs: &Snapshot) {
    let same = here.snapshots.iter_mut().filter(|s| s.uuid == ours.uuid);
    for snapshot in same.filter(|s| s.received_uuid.is_none()) {
        snapshot.state = State::Ok;
        if theirs.generation() != 0 {
            snapshot.ctransid = theirs.generation();
        }
    }
}

/// What was found, and how it need not be found again.
fn found(ours: &Snapshot, theirs: &Snapshot, (here, there): (&str, &str)) -> String {
    let moved = "generation moved, and its content did not, as where blocks are deduplicated";
    match theirs.state {
        State::Altered => format!(
            "{}: the copy's {moved}: it was compared, and is sealed anew",
            shown(&theirs.path)
        ),
        _ => format!(
            "{}: its {moved}: it was compared, and counts in this run (verify {here} --against {there} --content seals it)",
            shown(&ours.path)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;
    use crate::sync::kit::Answers;
    use std::path::PathBuf;

    fn listing(state: State) -> Listing {
        let snapshot = |number: u8| Snapshot {
            path: number.to_string().into(),
            uuid: Uuid([number; 16]),
            received_uuid: (state == State::Altered).then_some(Uuid([number; 16])),
            read_only: true,
            state,
            ..Snapshot::default()
        };
        Listing {
            snapshots: (1..=3).map(snapshot).collect(),
            ..Listing::default()
        }
    }

    #[test]
    fn one_that_cannot_be_sealed_keeps_no_other_from_it() {
        let stores = || Answers {
            refuses: "2",
            ..Answers::default()
        };
        let (mut source, mut dest, mut told) = (stores(), stores(), Vec::new());
        let (_, there) = compare_moved(
            (listing(State::Ok), listing(State::Altered)),
            (&|_| true, true),
            &mut source,
            &mut dest,
            &mut |event| told.extend(matches!(event, Event::Unsettled(_)).then_some(event)),
        )
        .unwrap();
        assert_eq!(dest.sealed, ["1", "3"].map(PathBuf::from));
        let states: Vec<State> = there.snapshots.iter().map(|s| s.state).collect();
        assert_eq!(states, [State::Ok, State::Altered, State::Ok]);
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
