//! Which time the keys of a new backup have. Knows no clock.

use super::index::Archive;
use crate::archive::stamp;
use crate::error::{Error, Result};
use jiff::{SignedDuration, Timestamp};

/// The next second, from this one on, that no backup has.
pub(super) fn free(archive: &Archive, mut at: Timestamp) -> String {
    loop {
        let text = stamp::stamp(at);
        if !archive.has_stamp(&text) {
            return text;
        }
        // At the end of time there is no backup.
        at = at
            .checked_add(SignedDuration::from_secs(1))
            .unwrap_or(Timestamp::MIN);
    }
}

/// The next free second after that of a backup.
pub(super) fn after(archive: &Archive, made: &str, now: Timestamp) -> String {
    free(archive, stamp::moment(made).unwrap_or(now))
}

/// The time that the keys of a new backup have: its snapshot's, else that of an unfinished upload
/// that is newer than all backups and may be of this one, else now.
pub(super) fn choose(
    archive: &Archive,
    name: &str,
    kind: &str,
    now: Timestamp,
    doing: &str,
) -> Result<String> {
    if let Some(stamp) = stamp::of_name(name) {
        let key = archive.manifest_key(kind, stamp);
        if archive.manifests.contains_key(&key) || archive.broken.contains_key(&key) {
            let said = format!("another backup has its key, {key}");
            return Err(Error::refused(doing, said));
        }
        return Ok(stamp.to_owned());
    }
    let newest = archive.manifests.values().map(|m| &m.created_at).max();
    let begun = archive.leftovers.values().rev();
    let mut begun = begun.filter(|leftover| leftover.kind == kind);
    let resumed = begun.find(|leftover| {
        stamp::seconds(&leftover.stamp).is_some()
            && newest.is_none_or(|newest| leftover.stamp > *newest)
    });
    Ok(resumed.map_or_else(|| free(archive, now), |leftover| leftover.stamp.clone()))
}
