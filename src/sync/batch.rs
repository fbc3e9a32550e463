//! Small snapshots that the destination makes durable together: which, and when. What became of each is told once
//! it exists.

use crate::error::Error;
use crate::event::{Event, Listener};
use crate::plan::{Action, Plan, Step, Wish};
use crate::snapshot::Uuid;
use crate::store::{Receipt, Store};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// How many snapshots wait at most, and how long the first of them.
const MANY: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a stream that is small: all that wait have 256 MiB at most.
const SMALL: u64 = (256 << 20) / MANY as u64;

/// What waits at the destination.
#[derive(Default)]
pub(super) struct Batch {
    /// Each snapshot for itself.
    off: bool,
    waiting: Vec<Waiting>,
    since: Option<Instant>,
    /// What was lost with others, and is tried by itself.
    alone: HashSet<Uuid>,
}

/// A step that is done but for being durable, and how long it took.
pub(super) struct Waiting {
    pub(super) step: Step,
    pub(super) receipt: Receipt,
    took: Duration,
}

impl Batch {
    /// What is compared counts by itself, and so does everything if that is wished.
    pub(super) fn new(plan: &Plan, wish: &Wish) -> Batch {
        Batch {
            off: wish.one_by_one || plan.compare,
            ..Batch::default()
        }
    }

    /// Whether what a step brings may wait for others.
    pub(super) fn takes(&self, step: &Step) -> bool {
        let small = step.size.bytes().is_some_and(|bytes| bytes <= SMALL);
        step.action == Action::Transfer && small && !self.off && !self.alone.contains(&step.to)
    }

    /// A step has brought something, and it waits.
    pub(super) fn add(&mut self, step: Step, receipt: Receipt, began: Instant) {
        self.since.get_or_insert(began);
        self.waiting.push(Waiting {
            step,
            receipt,
            took: began.elapsed(),
        });
    }

    /// Whether what waits is to wait no longer, if these are the next steps.
    pub(super) fn is_due(&self, next: &VecDeque<Step>) -> bool {
        let goes_on = |step: &Step| step.action == Action::Keep || self.takes(step);
        let late = self.since.is_some_and(|since| since.elapsed() >= PATIENCE);
        let full = self.waiting.len() >= MANY || late || !next.front().is_some_and(goes_on);
        full && !self.waiting.is_empty()
    }

    /// Whether something waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Makes it durable. What exists then, and what does not: with the error of all, or to be sent again by itself.
    pub(super) fn publish(&mut self, dest: &mut dyn Store) -> Published {
        let waiting = std::mem::take(&mut self.waiting);
        self.since = None;
        match dest.publish() {
            Ok(there) => {
                let there: HashSet<Uuid> = there.into_iter().collect();
                let (there, lost) = waiting
                    .into_iter()
                    .partition::<Vec<_>, _>(|one| there.contains(&one.step.to));
                self.alone.extend(lost.iter().map(|one| one.step.to));
                Published {
                    there,
                    again: lost.into_iter().map(|one| one.step).collect(),
                    failed: None,
                }
            }
            Err(error) => Published {
                failed: Some((error, waiting.into_iter().map(|one| one.step).collect())),
                ..Published::default()
            },
        }
    }
}

/// What came of what waited.
#[derive(Default)]
pub(super) struct Published {
    pub(super) there: Vec<Waiting>,
    pub(super) again: Vec<Step>,
    pub(super) failed: Option<(Error, Vec<Step>)>,
}

impl Waiting {
    /// It exists.
    pub(super) fn tell(&self, listener: &mut Listener) {
        listener(Event::arrived(&self.step, self.receipt.clone(), self.took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Mended, Size};

    fn step(n: u8, action: Action, size: Size) -> Step {
        Step {
            action,
            path: format!("s{n}").into(),
            to: Uuid([n; 16]),
            from: None,
            clones: Vec::new(),
            size,
            mended: Mended::default(),
            original: None,
            why: String::new(),
        }
    }

    #[test]
    fn small_ones_wait_until_there_are_enough_or_something_else_comes() {
        let small = |n| step(n, Action::Transfer, Size::Exact(SMALL));
        let mut batch = Batch::default();
        let now = Instant::now();
        let next = |step: Step| VecDeque::from([step]);
        assert!(!batch.is_due(&VecDeque::new()), "nothing waits");
        for n in 0..63 {
            batch.add(small(n), Receipt::of(1), now + PATIENCE);
            assert!(!batch.is_due(&next(small(99))));
            assert!(!batch.is_due(&next(step(99, Action::Keep, Size::Unknown))));
            assert!(batch.is_due(&VecDeque::new()), "there is no more");
        }
        for other in [
            step(99, Action::Transfer, Size::Exact(SMALL + 1)),
            step(99, Action::Transfer, Size::Unknown),
            step(99, Action::Delete, Size::Exact(0)),
            step(99, Action::Copy, Size::Exact(0)),
        ] {
            assert!(batch.is_due(&next(other)));
        }
        batch.add(small(63), Receipt::of(1), now + PATIENCE);
        assert!(batch.is_due(&next(small(99))), "enough wait");
    }

    #[test]
    fn nothing_waits_for_long() {
        let small = |n| step(n, Action::Transfer, Size::Exact(SMALL));
        let mut batch = Batch::default();
        let Some(long_ago) = Instant::now().checked_sub(PATIENCE) else {
            return;
        };
        batch.add(small(1), Receipt::of(1), long_ago);
        assert!(batch.is_due(&VecDeque::from([small(2)])));
    }

    #[test]
    fn each_for_itself_where_it_is_compared_or_wished() {
        let small = step(1, Action::Transfer, Size::Exact(1));
        let takes = |one_by_one, compare| {
            let plan = Plan {
                compare,
                ..Plan::default()
            };
            let wish = Wish {
                one_by_one,
                ..Wish::default()
            };
            Batch::new(&plan, &wish).takes(&small)
        };
        assert!(takes(false, false) && !takes(true, false) && !takes(false, true));
    }
}
