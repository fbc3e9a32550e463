//! What arrived, held against its source before it counts as sent. Decides what becomes of a copy
//! that is not the same.

use crate::compare::{self, ComparedPair};
use crate::error::{Error, Kind, Result};
use crate::event::{Compared, Event, Listener, Summary};
use crate::log;
use crate::plan::{Action, Plan, Step};
use crate::snapshot::{Listing, Snapshot, State, shown};
use crate::store::{Rejected, Store};

/// Compares what a step brought, if the plan asks for that.
///
/// # Errors
/// If it is not the same, or could not be compared. Then it was removed or marked. Of what came as a
/// diff or a copy and differs it is [`Kind::Unreceivable`]: there may be another way.
pub(super) fn hold(
    plan: &Plan,
    step: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    summary: &mut Summary,
    listener: &mut Listener,
) -> Result<()> {
    if !plan.compare || !matches!(step.action, Action::Transfer | Action::Copy) {
        return Ok(());
    }
    let error = match look(step, source, dest, listener) {
        None => match dest.settle(&step.path) {
            Ok(()) => {
                summary.compared += 1;
                return Ok(());
            }
            Err(error) => error,
        },
        Some(error) => error,
    };
    let is_diff = step.from.is_some() || !step.clones.is_empty();
    let kind = match is_diff || step.action == Action::Copy {
        true if error.kind == Kind::Different => Kind::Unreceivable,
        _ => error.kind,
    };
    let error = Error { kind, ..error };
    Err(rejected(step, dest, error))
}

/// What speaks against a copy: that it differs, or could not be compared.
pub(super) fn look(
    step: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Option<Error> {
    let pair = ComparedPair {
        id: step.to,
        source: None,
        copy: &step.path,
        since: step.from,
        from_disk: true,
        top_time: true,
    };
    let each = &mut |entries| {
        let path = step.path.clone();
        listener(Event::Comparing { path, entries });
    };
    each(0);
    match compare::copies(source, dest, &pair, each) {
        Ok(outcome) if outcome.is_same() => {
            listener(Event::Compared(Compared {
                path: step.path.clone(),
                everything: outcome.everything,
                words: outcome.praise(&step.path),
            }));
            None
        }
        Ok(outcome) => {
            for difference in &outcome.differences {
                log::line(|| format!("{}: {difference}", shown(&step.path)));
            }
            let doing = format!("cannot send {}", shown(&step.path));
            let said = format!("what arrived is not what was sent: {}", outcome.words());
            let kind = match outcome.different {
                0 => Kind::Failed,
                _ => Kind::Different,
            };
            Some(Error::new(kind, doing, said))
        }
        Err(error) => Some(error),
    }
}

/// Compares what an earlier run brought and was ended before it could compare: the destination's
/// listing after that. What differs is removed, so that it is sent again.
///
/// # Errors
/// If a signal asks to stop, or the destination cannot be listed. What could not be compared stays as
/// it is, and the listener hears why.
pub fn settle(
    here: &Listing,
    there: Listing,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Result<Listing> {
    let steps: Vec<Step> = pending(here, &there).map(waiting).collect();
    if steps.is_empty() {
        return Ok(there);
    }
    source.has_files().and_then(|()| dest.has_files())?;
    for step in &steps {
        let error = match look(step, source, dest, listener) {
            None => dest.settle(&step.path).err(),
            Some(error) if error.kind == Kind::Interrupted => return Err(error),
            Some(error) if error.kind == Kind::Different => Some(rejected(step, dest, error)),
            Some(error) => Some(error),
        };
        if let Some(error) = error {
            listener(Event::Unsettled(error));
        }
    }
    dest.list()
}

/// The destination's listing as it will be if all that an earlier run could not compare is the same.
pub fn as_if_settled(here: &Listing, mut there: Listing) -> Listing {
    let waiting: Vec<_> = pending(here, &there).map(|s| s.path.clone()).collect();
    for snapshot in &mut there.snapshots {
        if waiting.contains(&snapshot.path) {
            snapshot.state = State::Ok;
            let name = shown(&snapshot.path);
            let note = format!("{name} arrived and was not compared: the run does that first");
            there.notes.push(note);
        }
    }
    there
}

/// What is still to be compared, and can be.
fn pending<'a>(here: &'a Listing, there: &'a Listing) -> impl Iterator<Item = &'a Snapshot> {
    let ours = |id| {
        let mut sound = here.snapshots.iter().filter(|s| s.may_be_source());
        sound.any(|s| s.id() == id)
    };
    let waiting = there
        .snapshots
        .iter()
        .filter(|s| s.state == State::Uncompared);
    waiting.filter(move |s| ours(s.id()))
}

pub(super) fn waiting(snapshot: &Snapshot) -> Step {
    let why = "it was not compared when it came";
    Step::new(Action::Keep, snapshot, why)
}

/// Takes back what a step brought: the error, with what became of the copy.
pub(super) fn rejected(step: &Step, dest: &mut dyn Store, error: Error) -> Error {
    let name = shown(&step.path);
    let (became, goes) = match dest.reject(&step.path) {
        Ok(Rejected::Removed) => ("it was removed".to_owned(), true),
        Ok(Rejected::Marked) => {
            let words = "it is marked as altered, and nothing builds on it";
            (words.to_owned(), false)
        }
        Err(failed) => {
            let words = format!("{name} is still there, as nobody compared it ({failed})");
            (words, false)
        }
    };
    let said = format!("{}; {became}", error.said);
    let error = Error { said, ..error };
    match goes {
        true => error,
        false => error.hint(format!("delete {name}")),
    }
}

/// Whether both stores have files that can be compared, if the plan asks for that.
///
/// # Errors
/// If one has none: why.
pub fn must_compare(plan: &Plan, source: &mut dyn Store, dest: &mut dyn Store) -> Result<()> {
    match plan.compare {
        true => source.has_files().and_then(|()| dest.has_files()),
        false => Ok(()),
    }
}
