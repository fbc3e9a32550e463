//! Which time the keys of a new backup have. Knows no clock.

use super::index::ArchiveIndex;
use crate::archive::{BackupKind, Begun, Stamp, stamp};
use crate::error::{Error, Result};
use jiff::{SignedDuration, Timestamp};

impl ArchiveIndex {
    /// The next second, from this one on, that no backup has.
    pub(super) fn free_stamp(&self, mut at: Timestamp) -> Stamp {
        loop {
            let text = Stamp::of(at);
            if !self.has_stamp(&text) {
                return text;
            }
            // At the end of time there is no backup.
            at = at
                .checked_add(SignedDuration::from_secs(1))
                .unwrap_or(Timestamp::MIN);
        }
    }

    /// What the keys of a new backup begin with. Their time is its snapshot's, else that of an unfinished upload
    /// that is newer than all backups and may be of this one, else now.
    pub(super) fn choose(
        &self,
        name: &str,
        kind: BackupKind,
        now: Timestamp,
        doing: &str,
    ) -> Result<Begun> {
        if let Some(stamp) = stamp::of_snapshot(name) {
            let new = Begun { kind, stamp };
            return match self.has_manifest(&new) {
                Some(key) => {
                    let said = format!("another backup has its key, {key}");
                    Err(Error::refused(doing, said))
                }
                None => Ok(new),
            };
        }
        let newest = self.manifests.values().map(|m| &m.created_at).max();
        let begun = self.leftovers.keys().rev();
        let mut begun = begun.filter_map(|left| Begun::parse(left));
        let resumed = begun.find(|left| {
            let newer = newest.is_none_or(|newest| left.stamp > *newest);
            left.kind == kind && newer && left.stamp.is_exact()
        });
        Ok(resumed.unwrap_or_else(|| Begun {
            kind,
            stamp: self.free_stamp(now),
        }))
    }
}
