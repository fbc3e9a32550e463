//! What was made out of what, near and far, as a listing tells it.

use super::{Listing, Snapshot, Uuid};

impl Listing {
    /// What descends from the snapshot with this own UUID, near and far, in the order of the listing.
    pub fn built_on(&self, uuid: Uuid) -> Vec<&Snapshot> {
        let mut line = vec![uuid];
        let mut at = 0;
        while let Some(&parent) = line.get(at) {
            let children = self
                .snapshots
                .iter()
                .filter(|s| s.parent_uuid == Some(parent));
            let new: Vec<_> = children
                .map(|s| s.uuid)
                .filter(|uuid| !line.contains(uuid))
                .collect();
            line.extend(new);
            at += 1;
        }
        let descends = |s: &&Snapshot| s.uuid != uuid && line.contains(&s.uuid);
        self.snapshots.iter().filter(descends).collect()
    }
}
