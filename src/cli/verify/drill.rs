//! Where a drill is made, and that nothing of it stays.

use super::words::Drill;
use crate::cli::options::Options;
use crate::cli::store_options::store_options;
use crate::error::Result;
use crate::event::Listener;
use crate::snapshot::shown;
use crate::store::{Scratch, Store};
use crate::verify::{self, ReceiveTrial, RehearsalTrial, Sample, Verification};
use std::path::PathBuf;

/// A drill that goes on from one store of a location to the next.
pub(super) struct DrillRun {
    sample: Option<Sample>,
    scratch: Option<Scratch>,
}

impl DrillRun {
    pub(super) fn of(drill: &Drill, options: &Options) -> Result<DrillRun> {
        let make = |dir: &PathBuf| Scratch::make(dir, store_options(options)?.local);
        Ok(DrillRun {
            sample: drill.sample.map(Sample::Chains),
            scratch: drill.scratch.as_ref().map(make).transpose()?,
        })
    }

    /// Tries what a store holds. Which chains were drawn is a note.
    pub(super) fn try_all(
        &mut self,
        report: &mut Verification,
        store: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<()> {
        let drawn = match &mut self.scratch {
            None => verify::drill(
                report,
                store,
                &mut RehearsalTrial::default(),
                self.sample,
                listener,
            )?,
            Some(scratch) => {
                let place = shown(scratch.dir());
                let mut drill = ReceiveTrial::into(scratch.store()?, place);
                verify::drill(report, store, &mut drill, self.sample, listener)?
            }
        };
        if self.sample.is_some() && !drawn.is_empty() {
            let note = format!("drawn for the drill: {}", drawn.join(", "));
            report.listing.notes.push(note);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        self.scratch.map_or(Ok(()), Scratch::finish)
    }
}
