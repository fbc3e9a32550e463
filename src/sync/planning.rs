//! Planning with exact sizes: measures what a plan chose until all of it is known.

use crate::error::Result;
use crate::event::{Event, Listener};
use crate::plan::{self, Plan, Wish};
use crate::process;
use crate::snapshot::{Diff, Listing, Measured, Size, Sizes};
use crate::store::Store;

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
        let unknown = plan.unmeasured();
        if unknown.is_empty() || wish.estimate {
            plan.measured = sizes;
            return Ok(plan);
        }
        process::check("planning")?;
        let diffs = unknown.len();
        listener(Event::Measuring { diffs });
        let mut measured = source.measure(&unknown)?;
        sizes.extend(unknown.iter().map(|diff| {
            let found = measured.remove(&diff.pair());
            (
                diff.pair(),
                found
                    .filter(|m| answers(diff, m))
                    .unwrap_or_else(unmeasured),
            )
        }));
        rounds += 1;
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
