//! Names of the snapshots that backups make, and what they tell. Knows calendars, and no files.

use super::schedule::BackupKind;
pub use crate::archive::stamp::{scheduled, scheduled_parts};
use crate::error::{Error, Result};
use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How the snapshots of a subvolume are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Naming {
    /// A prefix and the local time.
    OneShot(OsString),
    /// The name of scheduled backups, and the kind of the next one: `NAME__TIME__full` in UTC.
    Scheduled(String, BackupKind),
}

impl Naming {
    /// The name of a snapshot made now.
    pub fn name(&self, now: &Zoned) -> OsString {
        match self {
            Naming::OneShot(prefix) => oneshot(prefix, now),
            Naming::Scheduled(name, kind) => scheduled(name, now.timestamp(), *kind).into(),
        }
    }

    /// All names that something made now can have: two of one second would be one in a bucket.
    pub fn names(&self, now: &Zoned) -> Vec<OsString> {
        match self {
            Naming::OneShot(_) => vec![self.name(now)],
            Naming::Scheduled(name, _) => {
                let kinds = [BackupKind::Full, BackupKind::Incremental];
                let named = |kind| scheduled(name, now.timestamp(), kind).into();
                kinds.map(named).to_vec()
            }
        }
    }

    /// When a snapshot of this name was made; `None` for names that are not given so. Of a local
    /// hour that happens twice, the first.
    pub fn made(&self, name: &OsStr, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Naming::OneShot(prefix) => oneshot_made(prefix, name, zone),
            Naming::Scheduled(ours, _) => {
                let (theirs, made, _) = scheduled_parts(name.to_str()?)?;
                (theirs == ours).then_some(made)
            }
        }
    }

    /// The link to the latest snapshot, if there is one.
    pub fn link(&self) -> Option<OsString> {
        match self {
            Naming::OneShot(prefix) => Some(link(prefix)),
            Naming::Scheduled(..) => None,
        }
    }
}

/// When a scheduled snapshot was made, by the last part of its path.
pub fn scheduled_time(path: &Path) -> Option<Timestamp> {
    let (_, made, _) = scheduled_parts(path.file_name()?.to_str()?)?;
    Some(made)
}

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
        // With a prefix that ends so, the rest of a whole year would look like this.
        6 if !prefix.as_bytes().ends_with(b"20") => (2000 + number(&date[..2])?, &date[2..]),
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
    fn scheduled_names_there_and_back() {
        let now: Zoned = "2026-11-21T02:03:04[Europe/Berlin]".parse().unwrap();
        for (kind, ending) in [(BackupKind::Full, "full"), (BackupKind::Incremental, "inc")] {
            let naming = Naming::Scheduled("my__data".to_owned(), kind);
            let name = naming.name(&now);
            let text = format!("my__data__20261121T010304Z__{ending}");
            assert_eq!(name, *text);
            assert_eq!(
                scheduled_parts(&text),
                Some(("my__data", now.timestamp(), kind))
            );
            assert_eq!(naming.made(&name, now.time_zone()), Some(now.timestamp()));
            let other = Naming::Scheduled("data".to_owned(), kind);
            assert_eq!(other.made(&name, now.time_zone()), None);
        }
        for other in [
            "__20261121T010304Z__full",
            "a__20261121T010304Z__part",
            "a__20261321T010304Z__inc",
            "a__20261121T010304__inc",
            "a__2026112T0103040Z__inc",
            "a__20261121T010304Z__inc.part",
        ] {
            assert_eq!(scheduled_parts(other), None, "{other}");
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
        // A snapshot with the prefix `web` is none with the prefix `web20`.
        assert_eq!(time("web", "web20261121-020304"), expected);
        assert_eq!(time("web20", "web20261121-020304"), None);
        assert_eq!(time("web20", "web2020261121-020304"), expected);
    }

    #[test]
    fn links_are_hidden_and_tell_prefixes_apart() {
        assert_eq!(link("".as_ref()), ".latest");
        assert_eq!(link("P".as_ref()), ".P_latest");
        assert!(check_prefix("a/".as_ref()).is_err());
        assert!(check_prefix("daily-".as_ref()).is_ok());
    }
}
