//! Planning with exact sizes: measures what a plan chose until all of it is known.

use crate::error::Result;
use crate::event::{Event, Listener};
use crate::log;
use crate::plan::{self, Plan, Wish};
use crate::process;
use crate::snapshot::{Diff, Listing, Measured, Size, Sizes, Snapshot, Uuid};
use crate::store::Store;
use std::collections::HashSet;
use std::slice;

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

/// A run does not measure what is certain to be chosen, and its stream begins while that is found out: both read the
/// same tree. What cannot be looked at is measured, which tells why.
fn forgo_measuring(plan: &mut Plan, source: &mut dyn Store) {
    let Some(diff) = plan.or_whole.take() else {
        return;
    };
    source.expect(slice::from_ref(&diff));
    let bytes = source.less_than_whole(&diff).unwrap_or_else(|error| {
        log::line(|| error.to_string());
        None
    });
    if bytes.is_none() {
        source.expect(&[]);
    }
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
    use crate::snapshot::Pair;
    use crate::sync::kit::Answers;

    fn measures(measures: fn(&[Diff]) -> Result<Sizes>) -> Answers {
        Answers {
            measures,
            ..Answers::default()
        }
    }

    fn planned(measures: fn(&[Diff]) -> Result<Sizes>) -> Result<Plan> {
        let mut source = self::measures(measures);
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

    /// Of two snapshots of one subvolume, the first is there.
    fn increment(bound: Option<u64>) -> (Plan, Vec<Pair>) {
        let exact = |diffs: &[Diff]| {
            let size = |diff: &Diff| (diff.key(), Size::Exact(7).into());
            Ok(diffs.iter().map(size).collect())
        };
        let mut source = Answers {
            bound,
            ..measures(exact)
        };
        let snapshot = |n: u8| Snapshot {
            path: n.to_string().into(),
            uuid: Uuid([n; 16]),
            parent_uuid: Some(Uuid([9; 16])),
            ctransid: n.into(),
            otransid: n.into(),
            read_only: true,
            tree_bytes: 16 << 20,
            ..Snapshot::default()
        };
        let listing = |snapshots| Listing {
            snapshots,
            used: Some(16 << 20),
            free: Some(1 << 30),
            ..Listing::default()
        };
        let here = listing(vec![snapshot(1), snapshot(2)]);
        let there = Snapshot {
            uuid: Uuid([3; 16]),
            received_uuid: Some(Uuid([1; 16])),
            stransid: 1,
            ..snapshot(1)
        };
        let wish = Wish {
            run: true,
            ..Wish::default()
        };
        let there = listing(vec![there]);
        let plan = make_plan(&mut source, &here, &there, &wish, &mut |_| {}).unwrap();
        (plan, source.begun)
    }

    #[test]
    fn what_is_certain_to_be_chosen_begins_while_that_is_found_out() {
        let pair = (Uuid([2; 16]), Some(Uuid([1; 16])));
        let (plan, begun) = increment(Some(5));
        let sent: Vec<Size> = plan.transfers().map(|step| step.size).collect();
        assert_eq!((sent, begun), (vec![Size::Estimate(5)], vec![pair]));
        let (plan, begun) = increment(None);
        let sent: Vec<Size> = plan.transfers().map(|step| step.size).collect();
        assert_eq!((sent, begun), (vec![Size::Exact(7)], vec![]));
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
