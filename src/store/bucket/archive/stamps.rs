//! Which time the keys of a new backup have. Knows no clock.

use super::index::ArchiveIndex;
use crate::archive::stamp;
use crate::error::{Error, Result};
use jiff::{SignedDuration, Timestamp};

impl ArchiveIndex {
    /// The next second, from this one on, that no backup has.
    pub(super) fn free_stamp(&self, mut at: Timestamp) -> String {
        loop {
            let text = stamp::stamp(at);
            if !self.has_stamp(&text) {
                return text;
            }
            // At the end of time there is no backup.
            at = at
                .checked_add(SignedDuration::from_secs(1))
                .unwrap_or(Timestamp::MIN);
        }
    }

    /// The time that the keys of a new backup have: its snapshot's, else that of an unfinished upload
    /// that is newer than all backups and may be of this one, else now.
    pub(super) fn choose_stamp(
        &self,
        name: &str,
        kind: &str,
        now: Timestamp,
        doing: &str,
    ) -> Result<String> {
        if let Some(stamp) = stamp::of_name(name) {
            let key = self.manifest_key(kind, stamp);
            if self.manifests.contains_key(&key) || self.broken.contains_key(&key) {
                let said = format!("another backup has its key, {key}");
                return Err(Error::refused(doing, said));
            }
            return Ok(stamp.to_owned());
        }
        let newest = self.manifests.values().map(|m| m.created_at.as_str()).max();
        let mut begun = self.leftovers.keys().rev().filter_map(|left| {
            let stamp = left.strip_prefix(kind)?.strip_prefix("/chunk-")?;
            stamp::seconds(stamp).map(|_| stamp)
        });
        let resumed = begun.find(|stamp| newest.is_none_or(|newest| *stamp > newest));
        Ok(resumed.map_or_else(|| self.free_stamp(now), str::to_owned))
    }
}
