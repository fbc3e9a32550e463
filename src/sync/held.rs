//! What arrived, held against its source before it counts as sent. Decides what becomes of a copy
//! that is not the same.

use super::{Event, Summary, Watch};
use crate::compare::{self, Pair};
use crate::error::{Error, Result};
use crate::log;
use crate::plan::{Action, Plan, Step};
use crate::snapshot::shown;
use crate::store::{Rejected, Store};

/// Compares what a step brought, if the plan asks for that.
///
/// # Errors
/// If it is not the same, or could not be compared. Then it was removed or marked.
pub(super) fn hold(
    plan: &Plan,
    step: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    summary: &mut Summary,
    watch: &mut Watch,
) -> Result<()> {
    if !plan.compare || step.action != Action::Transfer {
        return Ok(());
    }
    watch(Event::Comparing(step, 0));
    let pair = Pair {
        id: step.to,
        source: None,
        copy: &step.path,
        since: step.from,
        from_disk: true,
        top_time: true,
    };
    let each = &mut |entries| watch(Event::Comparing(step, entries));
    let error = match compare::copies(source, dest, &pair, each) {
        Ok(outcome) if outcome.is_same() => {
            summary.compared += 1;
            watch(Event::Compared(step, &outcome));
            return Ok(());
        }
        Ok(outcome) => {
            for difference in &outcome.differences {
                log::line(|| format!("{}: {difference}", shown(&step.path)));
            }
            let doing = format!("cannot send {}", shown(&step.path));
            let said = format!("what arrived is not what was sent: {}", outcome.words());
            Error::damaged(doing, said)
        }
        Err(error) => error,
    };
    Err(rejected(step, dest, error))
}

/// Takes back what a step brought: the error, with what became of the copy.
pub(super) fn rejected(step: &Step, dest: &mut dyn Store, error: Error) -> Error {
    let became = match dest.reject(&step.path) {
        Ok(Rejected::Removed) => "it was removed".to_owned(),
        Ok(Rejected::Marked) => {
            "it is marked as altered, and nothing builds on it: delete it".to_owned()
        }
        Err(failed) => {
            let name = shown(&step.path);
            format!("{name} is still there, as nobody compared it: delete it ({failed})")
        }
    };
    let said = format!("{}; {became}", error.said);
    Error { said, ..error }
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
