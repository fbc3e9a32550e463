//! Planning with exact sizes: measures what a plan chose until all of it is known.

use crate::error::Result;
use crate::event::{Event, Listener};
use crate::log;
use crate::plan::{self, Plan, Wish};
use crate::process;
use crate::snapshot::{Diff, Listing, Measured, Size, Sizes, Snapshot, Uuid};
use crate::store::Store;
use std::collections::HashSet;

/// Plans with exact sizes: plans, measures what was chosen, and plans again until all is known.
///
/// # Errors
/// If nothing can be measured, or as [`plan::plan`] says. What is wrong with one diff is its own:
/// it is no candidate.
pub fn make_plan(
    source: &mut dyn Store,
    from: &Listing,
    dest: &Listing,
    wish: &Wish,
    listener: &mut Listener,
) -> Result<Plan> {
    plan_from(Sizes::new(), source, from, dest, wish, listener)
}

/// Likewise, with what is known already.
pub(super) fn plan_from(
    mut sizes: Sizes,
    source: &mut dyn Store,
    from: &Listing,
    dest: &Listing,
    wish: &Wish,
    listener: &mut Listener,
) -> Result<Plan> {
    let mut rounds = 0;
    loop {
        let wish = Wish {
            settled: rounds >= ROUNDS,
            ..*wish
        };
        let mut plan = plan::plan(from, dest, &wish, &sizes)?;
        forgo_measuring(&mut plan, source);
        let unknown = plan.unmeasured();
        if unknown.is_empty() || wish.estimate {
            if wish.estimate {
                forget_guesses(&mut plan, from);
            }
            plan.measured = sizes;
            return Ok(plan);
        }
        process::check("planning")?;
        let diffs = unknown.len();
        listener(Event::Measuring { diffs });
        let mut measured = source.measure(&unknown)?;
        sizes.extend(unknown.iter().map(|diff| {
            let found = measured.remove(&diff.key());
            (
                diff.key(),
                found
                    .filter(|m| answers(diff, m))
                    .unwrap_or_else(unmeasured),
            )
        }));
        rounds += 1;
    }
}

/// A run does not measure what is certain to be chosen. What cannot be looked at is measured, which tells why.
fn forgo_measuring(plan: &mut Plan, source: &mut dyn Store) {
    let Some(diff) = plan.or_whole.take() else {
        return;
    };
    let bytes = source.less_than_whole(&diff).unwrap_or_else(|error| {
        log::line(|| error.to_string());
        None
    });
    let steps = plan.steps.iter_mut();
    for step in steps.filter(|step| step.diff().pair() == diff.pair()) {
        step.size = bytes.map_or(step.size, Size::Estimate);
    }
}

/// A file tree says next to nothing of how much its files hold: what is guessed from it alone is good enough
/// to choose by, and is told to nobody.
fn forget_guesses(plan: &mut Plan, from: &Listing) {
    let counted = from.snapshots.iter().filter(|s| s.referenced.is_some());
    let counted: HashSet<Uuid> = counted.map(Snapshot::id).collect();
    for step in &mut plan.steps {
        if matches!(step.size, Size::Estimate(_)) && !counted.contains(&step.to) {
            step.size = Size::Unknown;
        }
    }
}

/// How often to look for something cheaper than what was measured before settling for it.
const ROUNDS: usize = 8;

/// Whether what was measured is what was asked; else it would be asked again, for ever.
fn answers(asked: &Diff, measured: &Measured) -> bool {
    match (asked.size, measured.size) {
        _ if measured.refused.is_some() => true,
        (Size::Beyond(enough), Size::Beyond(counted)) => counted >= enough,
        (_, found) => found.bytes().is_some(),
    }
}

fn unmeasured() -> Measured {
    Measured {
        refused: Some("it could not be measured".to_owned()),
        ..Measured::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;
    use crate::sync::kit::Answers;

    fn planned(measures: fn(&[Diff]) -> Result<Sizes>) -> Result<Plan> {
        let mut source = Answers {
            measures,
            ..Answers::default()
        };
        let here = source.list()?;
        let (there, wish) = (Listing::default(), Wish::default());
        make_plan(&mut source, &here, &there, &wish, &mut |_| {})
    }

    #[test]
    fn what_is_not_answered_is_not_asked_for_ever() {
        let plan = planned(|_| Ok(Sizes::new())).unwrap();
        assert!(plan.is_blocked() && plan.steps.is_empty());
        assert!(plan.obstacles[0].what.contains("could not be measured"));
    }

    #[test]
    fn a_run_measures_only_where_there_is_a_choice() {
        let mut source = Answers::default();
        let mut here = source.list().unwrap();
        here.snapshots[0].tree_bytes = 1000;
        here.used = Some(1000);
        let there = Listing {
            free: Some(1000),
            ..Listing::default()
        };
        let wish = Wish {
            run: true,
            ..Wish::default()
        };
        let plan = make_plan(&mut source, &here, &there, &wish, &mut |_| {}).unwrap();
        assert_eq!(plan.steps[0].size, Size::Estimate(1000));
    }

    #[test]
    fn a_panic_while_measuring_is_an_error() {
        let error = planned(|diffs| {
            let one = |_: &Diff| -> Result<Measured> { panic!("as the test wants it") };
            let sizes = parallel::try_map("cannot measure", 2, diffs, one, |_| {})?;
            Ok(diffs.iter().map(Diff::key).zip(sizes).collect())
        });
        assert_eq!(error.unwrap_err().doing, "cannot measure");
    }
}
