//! Retention by itself: what the policies let go at each place, where nothing is made and nothing sent.
//! Decides nothing.

use super::look::listed;
use super::{BackupSelection, Dest, Run, RunOutcome, common};
use crate::error::Result;
use crate::event::Event;
use crate::process;
use crate::snapshot::{Listing, Snapshot, State, shown};

impl Run<'_, '_> {
    /// Lets every place forget what it does not keep. The source keeps what the next difference for each of
    /// them needs, and everything where one could not be asked, or lacks what it is to get.
    ///
    /// # Errors
    /// Whatever stops all of it. Destinations that failed are told of in the outcome.
    pub fn forget(&mut self, dests: Vec<Dest>) -> Result<RunOutcome> {
        (self.listener)(Event::Begins {
            subvolume: self.source.path.clone(),
        });
        let listing = self.listing()?;
        let ours: Vec<Snapshot> = self.source.ours(&listing).into_iter().cloned().collect();
        let mut outcome = RunOutcome {
            count: dests.len(),
            ..RunOutcome::default()
        };
        for mut dest in dests {
            match self.forget_at(&mut dest, &listing, &ours) {
                Ok(()) => outcome.arrived.push(dest.name),
                Err(error) => outcome.without(dest.name, error, self.listener)?,
            }
        }
        if let Some(newest) = ours.last() {
            outcome.newest = newest.clone();
            if outcome.failed.is_empty() && self.lets_go {
                self.tidy(&newest.path, None, &ours)?;
            }
        }
        Ok(outcome)
    }

    fn forget_at(&mut self, dest: &mut Dest, here: &Listing, ours: &[Snapshot]) -> Result<()> {
        process::check("deleting old snapshots")?;
        let there = listed(dest, here)?;
        self.record(dest, &there, here, ours)?;
        // Anybody can claim to be what is to arrive: only what is recorded has.
        let sure = |s: &Snapshot| s.read_only && s.state == State::Ok;
        let has = common(ours, &there, sure);
        if let Some(at) = has {
            let why = format!("the newest in {}", dest.name);
            self.pinned.push((ours[at].id(), why));
        }
        let newest = ours
            .last()
            .filter(|_| has.is_none_or(|at| at + 1 < ours.len()));
        if let (Some(newest), BackupSelection::Missing) = (newest, &dest.wants) {
            self.lets_go = false;
            let (place, name) = (&dest.name, shown(&newest.path));
            let lacks = match there.ids().contains(&newest.id()) {
                true => "has no record of",
                false => "lacks",
            };
            self.note(&format!(
                "nothing goes at the source: {place} {lacks} {name}"
            ));
        }
        match dest.keeps.all() {
            true => Ok(()),
            false => self.prune(dest, &there, None, ours),
        }
    }
}
