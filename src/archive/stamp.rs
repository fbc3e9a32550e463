//! Times as keys and names have them, `20261121T020000Z`, and what else such a name says. Knows no clock
//! and no file.

use super::BackupKind;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

const FORM: &str = "%Y%m%dT%H%M%SZ";

/// A time as a key or a document has it. What another program wrote in a form of its own is kept to the
/// letter, since keys are made of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(String);

impl Stamp {
    /// A moment as we write it.
    pub fn of(at: Timestamp) -> Stamp {
        Stamp(at.strftime(FORM).to_string())
    }

    /// Whether it is in our form.
    pub fn is_exact(&self) -> bool {
        exact(&self.0).is_some()
    }

    /// The moment that it means, in our form or as RFC 3339 has it.
    pub fn moment(&self) -> Option<Timestamp> {
        exact(&self.0).or_else(|| self.0.parse().ok())
    }
}

impl From<&str> for Stamp {
    fn from(text: &str) -> Stamp {
        Stamp(text.to_owned())
    }
}

/// As keys have it; `shown` makes it fit for people.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<Path> for Stamp {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

fn exact(text: &str) -> Option<Timestamp> {
    let whole = text.len() == 16 && text.bytes().filter(u8::is_ascii_digit).count() == 14;
    let time = DateTime::strptime(FORM, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp()).filter(|_| whole)
}

/// A backup whose upload was begun: `full/chunk-20261121T020000Z`. All keys of its stream begin with it,
/// and what is left of it is deleted by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begun {
    /// A full one or a difference.
    pub kind: BackupKind,
    /// The time in its keys.
    pub stamp: Stamp,
}

impl Begun {
    /// Takes the name of a leftover apart.
    pub fn parse(name: &str) -> Option<Begun> {
        let (kind, stamp) = name.split_once("/chunk-")?;
        Some(Begun {
            kind: BackupKind::parse(kind)?,
            stamp: Stamp::from(stamp),
        })
    }
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/chunk-{}", self.kind, self.stamp)
    }
}

const ENDINGS: [(BackupKind, &str); 2] =
    [(BackupKind::Full, "full"), (BackupKind::Incremental, "inc")];

/// The name of a scheduled snapshot, `NAME__20261121T020000Z__full`.
pub fn scheduled(name: &str, made: Timestamp, kind: BackupKind) -> String {
    let ending = ENDINGS.iter().find(|(of, _)| *of == kind);
    let ending = ending.map_or("", |(_, ending)| ending);
    format!("{name}__{}__{ending}", Stamp::of(made))
}

/// What the name of a scheduled snapshot says: whose it is, when it was made, and its kind.
pub fn scheduled_parts(snapshot: &str) -> Option<(&str, Timestamp, BackupKind)> {
    let (rest, ending) = snapshot.rsplit_once("__")?;
    let (name, stamp) = rest.rsplit_once("__")?;
    let (kind, _) = ENDINGS.iter().find(|(_, known)| *known == ending)?;
    let made = exact(stamp).filter(|_| !name.is_empty())?;
    Some((name, made, *kind))
}

/// The time in the name of a scheduled snapshot, wherever that lies: the same whenever it is sent, so
/// that an interrupted upload is gone on with under the same keys.
pub fn of_snapshot(path: &str) -> Option<Stamp> {
    let name = path.rsplit('/').next().unwrap_or(path);
    scheduled_parts(name).map(|(_, made, _)| Stamp::of(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_have_a_time() {
        let stamp = "20261121T020000Z";
        let of = |name: &str| of_snapshot(name).map(|stamp| stamp.to_string());
        for name in [
            format!("data__{stamp}__full"),
            format!("x/a__b__{stamp}__inc"),
        ] {
            assert_eq!(of(&name).as_deref(), Some(stamp), "{name}");
        }
        for other in [
            "data".to_owned(),
            format!("data__{stamp}"),
            format!("__{stamp}__full"),
            format!("data__{stamp}__other"),
            "data__20261321T020000Z__full".to_owned(),
            "data__2026112T020000Z__full".to_owned(),
        ] {
            assert_eq!(of(&other), None, "{other}");
        }
    }

    #[test]
    fn times_of_both_kinds() {
        let moment = |text: &str| Stamp::from(text).moment();
        assert_eq!(moment("20261121T020304Z"), moment("2026-11-21T02:03:04Z"));
        assert!(moment("20261121T020304Z").is_some());
        assert_eq!(moment("yesterday"), None);
        assert!(!Stamp::from("2026-11-21T02:03:04Z").is_exact());
        assert_eq!(Stamp::from("T").to_string(), "T");
    }

    #[test]
    fn what_was_begun_there_and_back() {
        let name = "incremental/chunk-20261121T020000Z";
        assert_eq!(Begun::parse(name).unwrap().to_string(), name);
        assert_eq!(Begun::parse("other/chunk-20261121T020000Z"), None);
    }
}
