//! What a backup compares and says at a destination before it plans: the snapshot that the next one is sent from, if its
//! generation moved, and what its snapshots are of.

use super::{Dest, Run};
use crate::error::Result;
use crate::snapshot::{Listing, Snapshot, Uuid};
use crate::sync;
use std::collections::HashSet;

impl Run<'_, '_> {
    /// What a destination has, when what it has not compared yet has been.
    pub(super) fn settled(&mut self, dest: &mut Dest, here: &Listing) -> Result<Listing> {
        let there = listed(dest, here)?;
        match (dest.compare, self.dry_run) {
            (false, _) => Ok(there),
            (true, true) => Ok(sync::as_if_settled(here, there)),
            (true, false) => sync::settle(here, there, self.store, dest.store()?, self.listener),
        }
    }

    /// The newest snapshot that both have is what the next is sent from: if its generation moved, it is compared.
    pub(super) fn look_at_moved(
        &mut self,
        dest: &mut Dest,
        here: Listing,
        there: Listing,
    ) -> Result<(Listing, Listing)> {
        let has: HashSet<Uuid> = there.ids().into_iter().collect();
        let named = |s: &&Snapshot| s.read_only && self.source.is_our_name(&s.path);
        let common = here.snapshots.iter().filter(named);
        let common = common.filter(|s| has.contains(&s.id()));
        let newest = common.max_by_key(|s| s.otransid).map(|s| s.uuid);
        let wanted = |s: &Snapshot| Some(s.uuid) == newest;
        let which: (&dyn Fn(&Snapshot) -> bool, bool) = (&wanted, !self.dry_run);
        let both = (here, there);
        sync::compare_moved(both, which, self.store, dest.store()?, self.listener)
    }

    /// Tells a destination what its snapshots are of, as far as both sides know it.
    pub(super) fn record(
        &mut self,
        dest: &mut Dest,
        there: &Listing,
        here: &Listing,
        ours: &[Snapshot],
    ) -> Result<()> {
        let origins = self.source.family(ours).recorded_as(here.origins(), there);
        dest.store()?.attribute(origins);
        there.notes.iter().for_each(|note| self.note(note));
        Ok(())
    }
}

/// What a destination has, told what there is here.
pub(super) fn listed(dest: &mut Dest, here: &Listing) -> Result<Listing> {
    let store = dest.store()?;
    store.attribute(here.origins());
    store.look_for(here.ids());
    store.list()
}
