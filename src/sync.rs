//! Carries out what a plan says: measures until every chosen diff is known, then one transfer
//! after the other. Knows stores only as what they promise, and prints nothing.
//!
//! # Example
//!
//! A new kind of store is an implementation of [`Store`] and of [`Sink`](crate::store::Sink). This one keeps
//! the streams themselves, in memory, and so offers just the diffs that it has; what is planned and carried
//! out with it is planned and carried out with every other.
//!
//! ```
//! use buttersink::error::{Error, Result};
//! use buttersink::event::Event;
//! use buttersink::plan::Wish;
//! use buttersink::snapshot::{Diff, Listing, Offer, Size, Sizes, Snapshot, Uuid};
//! use buttersink::store::{Receipt, Sink, Store};
//! use buttersink::sync::{carry_out, make_plan};
//! use std::io::{self, Read, Write};
//! use std::path::Path;
//!
//! #[derive(Default)]
//! struct Memory {
//!     kept: Vec<(Snapshot, Diff, Vec<u8>)>,
//! }
//!
//! impl Memory {
//!     fn stream(&self, diff: &Diff) -> Result<&[u8]> {
//!         let mut all = self.kept.iter();
//!         let found = all.find(|(_, kept, _)| kept.pair() == diff.pair());
//!         found
//!             .map(|(_, _, stream)| &stream[..])
//!             .ok_or_else(|| Error::failed("cannot send", "there is no such diff"))
//!     }
//! }
//!
//! impl Store for Memory {
//!     fn list(&mut self) -> Result<Listing> {
//!         let mut listing = Listing {
//!             location: "memory".to_owned(),
//!             snapshots: self.kept.iter().map(|(s, _, _)| s.clone()).collect(),
//!             offer: Offer::Only(self.kept.iter().map(|(_, diff, _)| *diff).collect()),
//!             ..Listing::default()
//!         };
//!         listing.snapshots.sort_by(|a, b| a.path.cmp(&b.path));
//!         Ok(listing)
//!     }
//!
//!     fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
//!         let size = |diff: &Diff| {
//!             let bytes = self.stream(diff)?.len() as u64;
//!             Ok((diff.pair(), Size::Exact(bytes).into()))
//!         };
//!         diffs.iter().map(size).collect()
//!     }
//!
//!     fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
//!         Ok(Box::new(self.stream(diff)?))
//!     }
//!
//!     fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
//!         let snapshot = Snapshot {
//!             path: path.to_owned(),
//!             uuid: diff.to,
//!             read_only: true,
//!             ..Snapshot::default()
//!         };
//!         Ok(Box::new(Receiving {
//!             memory: self,
//!             coming: (snapshot, *diff, Vec::new()),
//!         }))
//!     }
//!
//!     fn copy(&mut self, _from: &Path, _to: &Path) -> Result<()> {
//!         Err(Error::refused("cannot copy", "one name is enough here"))
//!     }
//!
//!     fn delete(&mut self, path: &Path) -> Result<()> {
//!         self.kept.retain(|(snapshot, _, _)| snapshot.path != path);
//!         Ok(())
//!     }
//! }
//!
//! /// Only `finish` makes what was written exist: a sink that is dropped leaves nothing.
//! struct Receiving<'a> {
//!     memory: &'a mut Memory,
//!     coming: (Snapshot, Diff, Vec<u8>),
//! }
//!
//! impl Write for Receiving<'_> {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         self.coming.2.write(bytes)
//!     }
//!
//!     fn flush(&mut self) -> io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! impl Sink for Receiving<'_> {
//!     fn finish(self: Box<Self>) -> Result<Receipt> {
//!         let bytes = self.coming.2.len() as u64;
//!         self.memory.kept.push(self.coming);
//!         Ok(Receipt::of(bytes))
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let (mut source, mut dest) = (Memory::default(), Memory::default());
//! let monday = Diff {
//!     to: Uuid([1; 16]),
//!     from: None,
//!     size: Size::Exact(11),
//! };
//! let mut sink = source.receive(&monday, Path::new("monday"))?;
//! sink.write_all(b"some stream").unwrap();
//! sink.finish()?;
//!
//! let (here, there) = (source.list()?, dest.list()?);
//! let wish = Wish::default();
//! let mut listener = |event: Event| println!("{event}");
//! let plan = make_plan(&mut source, &here, &there, &wish, &mut listener)?;
//! assert_eq!(plan.total_bytes(), 11);
//!
//! let summary = carry_out(&plan, &here, &wish, &mut source, &mut dest, &mut listener)?;
//! summary.verdict()?;
//! assert_eq!((summary.sent, summary.bytes), (1, 11));
//! assert_eq!(dest.list()?.snapshots, here.snapshots);
//! # Ok(())
//! # }
//! ```

mod another_way;
mod batch;
mod check_copy;
mod planning;
pub mod resend;
mod step;
mod transfer;

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Instead, Listener, Summary};
use crate::plan::{Action, Plan, Step, Wish};
use crate::snapshot::{Listing, Measured, Sizes, Uuid};
use crate::store::Store;
use another_way::{another_may_do, must_be_about};
use batch::Batch;
pub use check_copy::{as_if_settled, must_compare, settle};
pub use planning::make_plan;
use planning::plan_from;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;
use step::{not_deleted, one_step, orphan};
pub use transfer::transfer;

/// Carries out a plan, which was made for `wish` from the source's listing `here`. A step that fails
/// takes with it only what builds on it, and all deletions; one deletion that fails takes nothing with it. A diff that cannot be received is planned
/// again at once without it: with another parent, in the end whole.
///
/// # Errors
/// If a signal asked us to stop, or the plan asks for a comparison that cannot be; other failures are
/// told to `listener` and counted.
pub fn carry_out(
    plan: &Plan,
    here: &Listing,
    wish: &Wish,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Result<Summary> {
    must_compare(plan, source, dest)?;
    dest.will_compare(plan.compare);
    let mut run = Run::new(plan, here, wish);
    loop {
        if run.batch.is_due(&run.todo) {
            run.publish(dest, listener)?;
        }
        let Some(step) = run.todo.pop_front() else {
            break;
        };
        let began = Instant::now();
        dest.hold(run.batch.takes(&step));
        let result = match step.action {
            Action::Keep => {
                run.summary.kept += 1;
                continue;
            }
            Action::Delete if run.blocked || !run.lost.is_empty() => {
                listener(Event::ended(&step, Err(&not_deleted(&step))));
                continue;
            }
            Action::Transfer if step.from.is_some_and(|from| run.lost.contains(&from)) => {
                Err(orphan(&step))
            }
            _ => one_step(&step, source, dest, listener).and_then(|receipt| {
                check_copy::hold(plan, &step, source, dest, &mut run.summary, listener)
                    .map(|()| receipt)
            }),
        };
        if result.is_err() && !run.batch.is_empty() {
            run.publish(dest, listener)?;
        }
        match result {
            Ok(receipt) if receipt.held => run.batch.add(step, receipt, began),
            Ok(receipt) => {
                run.summary.count(&step, &receipt);
                listener(Event::ended(&step, Ok(receipt)));
            }
            Err(error)
                if another_may_do(&step, &error)
                    && run.plan_again(&step, &error, source, dest, listener)? => {}
            Err(error) => run.failed(&step, error, listener)?,
        }
    }
    Ok(run.summary)
}

/// What is left of a plan, and what has become of the rest.
struct Run<'a> {
    here: &'a Listing,
    wish: &'a Wish<'a>,
    measured: Sizes,
    todo: VecDeque<Step>,
    /// Whether the plan could not bring something from the beginning.
    blocked: bool,
    /// What did not arrive, and under which paths it would have.
    lost: HashSet<Uuid>,
    lost_paths: HashSet<PathBuf>,
    /// What could not be copied within the destination's filesystem.
    uncopied: HashSet<Uuid>,
    batch: Batch,
    summary: Summary,
}

impl<'a> Run<'a> {
    fn new(plan: &Plan, here: &'a Listing, wish: &'a Wish<'a>) -> Run<'a> {
        let failed = plan.obstacles.iter().filter(|o| o.blocks).count();
        Run {
            here,
            wish,
            measured: plan.measured.clone(),
            todo: plan.steps.iter().cloned().collect(),
            blocked: failed > 0,
            lost: HashSet::new(),
            lost_paths: HashSet::new(),
            uncopied: HashSet::new(),
            batch: Batch::new(plan, wish),
            summary: Summary {
                failed,
                strangers: plan.strangers,
                ..Summary::default()
            },
        }
    }

    /// What waits is made durable, and told of.
    fn publish(&mut self, dest: &mut dyn Store, listener: &mut Listener) -> Result<()> {
        let published = self.batch.publish(dest);
        for done in &published.there {
            self.summary.count(&done.step, &done.receipt);
            done.tell(listener);
        }
        for step in published.again.into_iter().rev() {
            self.todo.push_front(step);
        }
        let Some((error, steps)) = published.failed else {
            return Ok(());
        };
        let mut failed = steps.iter();
        failed.try_for_each(|step| self.failed(step, error.clone(), listener))
    }

    fn failed(&mut self, step: &Step, error: Error, listener: &mut Listener) -> Result<()> {
        listener(Event::ended(step, Err(&error)));
        if error.kind == Kind::Interrupted {
            return Err(error);
        }
        if step.action != Action::Delete {
            self.lost.insert(step.to);
            self.lost_paths.insert(step.path.clone());
        }
        self.summary.failed += 1;
        Ok(())
    }

    /// Plans what is left without a diff that cannot be received; whether the step has another way.
    /// If it has none, the steps that would have built on it have.
    fn plan_again(
        &mut self,
        step: &Step,
        error: &Error,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<bool> {
        self.rule_out(step, error);
        let plan = match self.plan_rest(error, source, dest, listener) {
            Ok(plan) => plan,
            Err(stopped) if stopped.kind == Kind::Interrupted => return Err(stopped),
            // The error that we have says more than that the far side is gone.
            Err(_) => return Ok(false),
        };
        let another_way = plan.transfers().any(|other| other.to == step.to);
        if another_way {
            listener(Event::Instead(Box::new(Instead {
                step: step.clone(),
                error: error.clone(),
                plan: plan.clone(),
            })));
        }
        let dropped = self.take(plan);
        for other in dropped.iter().filter(|other| other.to != step.to) {
            self.failed(other, orphan(other), listener)?;
        }
        Ok(another_way)
    }

    /// What was tried is no candidate any more.
    fn rule_out(&mut self, step: &Step, error: &Error) {
        if step.action == Action::Copy {
            self.uncopied.insert(step.to);
            return;
        }
        let refused = Measured {
            refused: Some(error.said.trim_start_matches("ERROR: ").to_owned()),
            ..Measured::default()
        };
        self.measured.insert(step.diff().pair(), refused);
    }

    /// Goes by another plan from now on; the steps that it has no way for.
    fn take(&mut self, plan: Plan) -> Vec<Step> {
        let blocked = plan.obstacles.iter().filter(|o| o.blocks);
        let blocked: HashSet<PathBuf> = blocked.map(|o| o.path.clone()).collect();
        let old = std::mem::replace(&mut self.todo, plan.steps.into());
        self.todo.retain(|step| step.action != Action::Keep);
        self.measured = plan.measured;
        let sends = |step: &Step| step.action == Action::Transfer;
        old.into_iter()
            .filter(|step| sends(step) && blocked.contains(&step.path))
            .collect()
    }

    /// A plan for what is not there yet and has not failed.
    fn plan_rest(
        &self,
        error: &Error,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<Plan> {
        let mut there = dest.list()?;
        must_be_about(error, &there)?;
        there.elsewhere.retain(|s| !self.uncopied.contains(&s.id()));
        let excluded = |path: &Path| self.lost_paths.contains(path) || self.wish.excludes(path);
        let wish = Wish {
            excluded: Some(&excluded),
            ..*self.wish
        };
        let known = self.measured.clone();
        plan_from(known, source, self.here, &there, &wish, listener)
    }
}
