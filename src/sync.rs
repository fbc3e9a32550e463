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
//!         let found = all.find(|(_, kept, _)| kept.key() == diff.key());
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
//!             offer: Offer::Only(self.kept.iter().map(|(_, diff, _)| diff.clone()).collect()),
//!             ..Listing::default()
//!         };
//!         listing.snapshots.sort_by(|a, b| a.path.cmp(&b.path));
//!         Ok(listing)
//!     }
//!
//!     fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
//!         let size = |diff: &Diff| {
//!             let bytes = self.stream(diff)?.len() as u64;
//!             Ok((diff.key(), Size::Exact(bytes).into()))
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
//!             coming: (snapshot, diff.clone(), Vec::new()),
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
//!     clones: Vec::new(),
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
#[cfg(test)]
mod kit;
mod moved;
mod planning;
pub mod resend;
mod run;
mod step;
mod transfer;

use crate::error::Result;
use crate::event::{Event, Listener, Summary};
use crate::plan::{Action, Plan, Wish};
use crate::snapshot::Listing;
use crate::store::Store;
pub use check_copy::{as_if_settled, must_compare, settle};
pub use moved::compare_moved;
pub use planning::make_plan;
use run::Run;
use std::time::Instant;
use step::{not_deleted, orphan};
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
        let step = run.without_lost_clones(step);
        let began = Instant::now();
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
            _ => run.carry_out(plan, &step, source, dest, listener),
        };
        match result {
            Ok(receipt) if receipt.held => run.batch.add(step, receipt, began),
            Ok(receipt) => run.arrived(&step, receipt, listener),
            Err(error) => run.did_not(&step, error, source, dest, listener)?,
        }
    }
    source.expect(&[]);
    Ok(run.summary)
}
