//! Names of the snapshots that backups make, and what they tell. Knows calendars, and no files.

use crate::error::{Error, Result};
use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The name of a one-shot snapshot: a prefix and the local time.
pub fn oneshot(prefix: &OsStr, now: &Zoned) -> OsString {
    let mut name = prefix.as_bytes().to_vec();
    name.extend_from_slice(now.strftime("%Y%m%d-%H%M%S").to_string().as_bytes());
    OsString::from_vec(name)
}

/// The local time in the name of a one-shot snapshot with this prefix; `None` for other names. The
/// year may have two digits.
pub fn oneshot_time(prefix: &OsStr, name: &OsStr) -> Option<DateTime> {
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes())?;
    let (date, time) = std::str::from_utf8(rest).ok()?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(date) || !digits(time) || time.len() != 6 {
        return None;
    }
    let number = |text: &str| text.parse::<i16>().ok();
    let (year, date) = match date.len() {
        8 => (number(&date[..4])?, &date[4..]),
        6 => (2000 + number(&date[..2])?, &date[2..]),
        _ => return None,
    };
    let two = |text: &str, at: usize| text[at..at + 2].parse::<i8>().ok();
    let (month, day) = (two(date, 0)?, two(date, 2)?);
    let (hour, minute, second) = (two(time, 0)?, two(time, 2)?, two(time, 4)?);
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

/// When a one-shot snapshot was made, by its name. Of an hour that happens twice, the first.
pub fn oneshot_made(prefix: &OsStr, name: &OsStr, zone: &TimeZone) -> Option<Timestamp> {
    let time = oneshot_time(prefix, name)?;
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

/// The link beside the snapshots that names the last one that arrived everywhere.
pub fn link(prefix: &OsStr) -> OsString {
    let mut name = b".".to_vec();
    if !prefix.is_empty() {
        name.extend_from_slice(prefix.as_bytes());
        name.push(b'_');
    }
    name.extend_from_slice(b"latest");
    OsString::from_vec(name)
}

/// A prefix has to be the beginning of a file's name.
///
/// # Errors
/// If it cannot be one.
pub fn check_prefix(prefix: &OsStr) -> Result<()> {
    let bytes = prefix.as_bytes();
    let said = match bytes {
        _ if bytes.contains(&b'/') => {
            "a name has no slash; for another directory there is --snapshot-folder"
        }
        _ if bytes.len() > 200 => "it is longer than 200 bytes",
        _ => return Ok(()),
    };
    let doing = format!("cannot use the prefix '{}'", crate::snapshot::shown(prefix));
    Err(Error::usage(doing, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(prefix: &str, name: &str) -> Option<String> {
        oneshot_time(prefix.as_ref(), name.as_ref()).map(|time| time.to_string())
    }

    #[test]
    fn one_shot_names_there_and_back() {
        let now: Zoned = "2026-11-21T02:03:04[Europe/Berlin]".parse().unwrap();
        for prefix in ["", "home-", "20261121-"] {
            let name = oneshot(prefix.as_ref(), &now);
            assert_eq!(name.to_str().unwrap(), format!("{prefix}20261121-020304"));
            let made = oneshot_made(prefix.as_ref(), &name, now.time_zone());
            assert_eq!(made, Some(now.timestamp()));
        }
    }

    #[test]
    fn both_lengths_of_year_and_nothing_else() {
        let expected = Some("2026-11-21T02:03:04".to_owned());
        assert_eq!(time("", "20261121-020304"), expected);
        assert_eq!(time("", "261121-020304"), expected);
        assert_eq!(time("p", "p261121-020304"), expected);
        for other in [
            "",
            "-",
            "20261121",
            "20261121-0203",
            "20261321-020304",
            "20261121-250304",
            "20261121-020304x",
            "x20261121-020304",
            "2026112-020304",
            "+0261121-020304",
            "20261121-02030\u{e9}",
            "20261121-020304.part",
        ] {
            assert_eq!(time("", other), None, "{other}");
        }
        assert_eq!(time("home-", "20261121-020304"), None);
    }

    #[test]
    fn links_are_hidden_and_tell_prefixes_apart() {
        assert_eq!(link("".as_ref()), ".latest");
        assert_eq!(link("P".as_ref()), ".P_latest");
        assert!(check_prefix("a/".as_ref()).is_err());
        assert!(check_prefix("daily-".as_ref()).is_ok());
    }
}
