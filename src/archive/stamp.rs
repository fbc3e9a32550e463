//! Times as keys and names have them, `20261121T020000Z`. Knows no clock.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

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
pub fn seconds(stamp: &str) -> Option<i64> {
    moment(stamp).map(Timestamp::as_second)
}

/// The time in the name of a snapshot that a run made, `NAME__STAMP__full`: the same whenever it
/// is sent, so that an interrupted upload is gone on with under the same keys.
pub fn of_name(name: &str) -> Option<&str> {
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
