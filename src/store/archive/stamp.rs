//! Times as keys have them, `20261121T020000Z`, and which of them a backup gets. Knows no clock.

use super::index::Archive;
use crate::error::{Error, Result};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

const FORM: &str = "%Y%m%dT%H%M%SZ";

/// A moment as a key has it.
pub fn stamp(at: Timestamp) -> String {
    at.strftime(FORM).to_string()
}

/// The moment that a key means.
pub fn moment(stamp: &str) -> Option<Timestamp> {
    let whole = stamp.len() == 16 && stamp.bytes().filter(u8::is_ascii_digit).count() == 14;
    let time = DateTime::strptime(FORM, stamp).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp()).filter(|_| whole)
}

/// Seconds since 1970.
pub(super) fn seconds(stamp: &str) -> Option<i64> {
    moment(stamp).map(Timestamp::as_second)
}

/// The time in the name of a snapshot that a run made, `NAME__STAMP__full`: the same whenever it
/// is sent, so that an interrupted upload is gone on with under the same keys.
pub(super) fn of_name(name: &str) -> Option<&str> {
    parts(name.rsplit('/').next().unwrap_or(name)).map(|(_, stamp, _)| stamp)
}

/// The name of the backups, the time and the kind, `full` or `inc`, in the name of a snapshot that
/// a run made.
pub fn parts(snapshot: &str) -> Option<(&str, &str, &str)> {
    let (rest, kind) = snapshot.rsplit_once("__")?;
    let (name, stamp) = rest.rsplit_once("__")?;
    let ours = !name.is_empty() && matches!(kind, "full" | "inc");
    (ours && moment(stamp).is_some()).then_some((name, stamp, kind))
}

/// The next second, from this one on, that no backup has.
pub(super) fn free(archive: &Archive, mut at: Timestamp) -> String {
    loop {
        let text = stamp(at);
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
    free(archive, moment(made).unwrap_or(now))
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
    if let Some(stamp) = of_name(name) {
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
        seconds(&leftover.stamp).is_some() && newest.is_none_or(|newest| leftover.stamp > *newest)
    });
    Ok(resumed.map_or_else(|| free(archive, now), |leftover| leftover.stamp.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_have_a_time() {
        let stamp = "20261121T020000Z";
        assert_eq!(of_name(&format!("data__{stamp}__full")), Some(stamp));
        assert_eq!(of_name(&format!("x/a__b__{stamp}__inc")), Some(stamp));
        for other in [
            "data".to_owned(),
            format!("data__{stamp}"),
            format!("__{stamp}__full"),
            format!("data__{stamp}__other"),
            "data__20261321T020000Z__full".to_owned(),
            "data__2026112T020000Z__full".to_owned(),
        ] {
            assert_eq!(of_name(&other), None, "{other}");
        }
        assert_eq!(seconds("19700101T000001Z"), Some(1));
    }
}
