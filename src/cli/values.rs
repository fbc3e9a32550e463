//! The values of options: words in, values out. Knows how values are written, and not what they are for.

use super::grammar::Given;
use crate::archive::Stamp;
use crate::backup::retention::{self, Policy};
use crate::error::{Error, Result};
use crate::snapshot::shown;
use crate::store::{Access, check_part};
use crate::text::size;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

/// Keeps a value; of several, the last.
pub(super) fn put<T>(slot: &mut Option<T>, value: Result<T>) -> Result<()> {
    value.map(|value| *slot = Some(value))
}

/// Keeps one value more.
pub(super) fn add<T>(slot: &mut Vec<T>, value: Result<T>) -> Result<()> {
    value.map(|value| slot.push(value))
}

impl Given {
    /// As it is: a path, or what goes to another program.
    pub(super) fn raw(self) -> Result<OsString> {
        Ok(self.value)
    }

    pub(super) fn path(self) -> Result<PathBuf> {
        Ok(self.value.into())
    }

    pub(super) fn text(self) -> Result<String> {
        text(&self.option, &self.value)
    }

    pub(super) fn parsed<T: FromStr<Err = Error>>(self) -> Result<T> {
        self.text()?.parse()
    }

    pub(super) fn number(self) -> Result<usize> {
        number(&self.option, &self.value)
    }

    /// A whole number from 1 to this one.
    pub(super) fn up_to(self, most: usize) -> Result<usize> {
        let number = number(&self.option, &self.value)?;
        match number <= most {
            true => Ok(number),
            false => {
                let doing = format!("cannot use {} {number}", self.option);
                Err(Error::usage(
                    doing,
                    format!("not a number from 1 to {most}"),
                ))
            }
        }
    }

    /// One of some words, each of which stands for a value.
    pub(super) fn one_of<T: Clone>(self, known: &[(&str, T)]) -> Result<T> {
        let text = text(&self.option, &self.value)?;
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
            return Ok(value.clone());
        }
        let doing = format!("cannot use {} {}", self.option, shown(&text));
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        Err(Error::usage(
            doing,
            format!("it is one of {}", words.join(", ")),
        ))
    }

    pub(super) fn access(self) -> Result<Access> {
        access(&self.value)
    }

    pub(super) fn rate(self) -> Result<u64> {
        rate(&self.value)
    }

    /// Bytes; also with a unit.
    pub(super) fn size(self) -> Result<u64> {
        let found = size(&self.value, 0);
        found.ok_or_else(|| {
            let doing = format!("cannot use {} {}", self.option, shown(&self.value));
            Error::usage(doing, "it is a number of bytes, or has a unit: 500G, 2T")
        })
    }

    pub(super) fn part_size(self) -> Result<u64> {
        part_size(&self.value)
    }

    pub(super) fn age(self) -> Result<SignedDuration> {
        age(&self.value)
    }

    pub(super) fn snapshot_age(self) -> Result<SignedDuration> {
        retention::snapshot_age(&self.value.to_string_lossy())
    }

    pub(super) fn policy(self) -> Result<Policy> {
        Policy::parse(&self.value.to_string_lossy())
    }

    pub(super) fn moment(self) -> Result<Timestamp> {
        moment(&self.value)
    }
}

/// The letter that `--mode` has.
fn access(letter: &OsStr) -> Result<Access> {
    let named = |mode: &Access| letter == OsStr::new(&mode.letter().to_string());
    Access::ALL.into_iter().find(named).ok_or_else(|| {
        let said = "it is r (read), p (put), a (append) or w (write)";
        Error::usage(format!("cannot use the mode '{}'", shown(letter)), said)
    })
}

/// Bytes in a second: KiB as a bare number, or with a unit K, M or G.
fn rate(text: &OsStr) -> Result<u64> {
    let wrong = || {
        let said = "it is a number of KiB per second, or has a unit: 500, 500K, 10M";
        Error::usage(format!("cannot use the rate '{}'", shown(text)), said)
    };
    size(text, 10).ok_or_else(wrong)
}

/// The size of a part: in MiB, or with a unit K, M, G or T; in bytes.
fn part_size(text: &OsStr) -> Result<u64> {
    let wrong = || {
        let said = "it is a number of MiB, or has a unit: 64, 64M, 1G";
        Error::usage(format!("cannot use the part size '{}'", shown(text)), said)
    };
    let part = size(text, 20).ok_or_else(wrong)?;
    check_part(part).map(|()| part)
}

/// A whole number from 1 up.
fn number(option: &str, value: &OsStr) -> Result<usize> {
    let number = text(option, value)?
        .parse()
        .ok()
        .filter(|&number| number > 0);
    number.ok_or_else(|| {
        let doing = format!("cannot use {option} {}", shown(value));
        Error::usage(doing, "it is a whole number from 1 up")
    })
}

/// A length of time: minutes, hours, days or weeks; or 0.
fn age(text: &OsStr) -> Result<SignedDuration> {
    retention::age(&text.to_string_lossy())
}

/// A moment: with its zone, or by the clock of this machine. A date is its end.
fn moment(word: &OsStr) -> Result<Timestamp> {
    let found = word.to_str().and_then(|text| {
        let zone = || TimeZone::try_system().unwrap_or(TimeZone::UTC);
        Stamp::from(text).moment().or_else(|| local(text, &zone()))
    });
    found.ok_or_else(|| {
        let said = "it is written as '2026-11-21', '2026-11-21 14:00', 2026-11-21T14:00:00Z or \
                    20261121T140000Z";
        Error::usage(format!("cannot use the time '{}'", shown(word)), said)
    })
}

fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let clock: DateTime = text.parse().ok()?;
    let clock = match text.contains(':') {
        true => clock,
        false => clock.date().to_datetime(Time::MAX),
    };
    Some(clock.to_zoned(zone.clone()).ok()?.timestamp())
}

/// A value that goes to a service, and so is UTF-8.
pub(super) fn text(option: &str, value: &OsStr) -> Result<String> {
    let text = value
        .to_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    text.ok_or_else(|| {
        let doing = format!("cannot use {option} '{}'", shown(value));
        Error::usage(doing, "it is a word in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_by_the_clock_here() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let at = |text: &str| local(text, &zone).map(|time| time.to_string());
        assert_eq!(
            at("2026-11-21 14:00").as_deref(),
            Some("2026-11-21T12:00:00Z")
        );
        assert_eq!(
            at("2026-11-21T14:00:30").as_deref(),
            Some("2026-11-21T12:00:30Z")
        );
        let end = at("2026-11-21").unwrap();
        assert!(end.starts_with("2026-11-21T21:59:59.9"), "{end}");
        assert_eq!(at("noon"), None);
    }

    #[test]
    fn rates_are_kibibytes() {
        let rate = |text: &str| rate(OsStr::new(text)).ok();
        assert_eq!(rate("500"), Some(500 << 10));
        assert_eq!(rate("10M"), Some(10 << 20));
        assert_eq!(rate("0"), None);
    }

    #[test]
    fn ages_have_a_unit() {
        let age = |text: &str| age(OsStr::new(text)).ok().map(|age| age.as_secs());
        assert_eq!(age("0"), Some(0));
        assert_eq!(age("90m"), Some(5400));
        assert_eq!((age("12h"), age("3d")), (Some(43_200), Some(259_200)));
        assert_eq!(age("2w"), Some(1_209_600));
        for wrong in [
            "",
            "5",
            "d",
            "-1d",
            "1y",
            "1.5h",
            "3 d",
            "d\u{e9}",
            "99999999999999w",
        ] {
            assert_eq!(age(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn part_sizes_are_mebibytes() {
        let size = |text: &str| part_size(OsStr::new(text)).ok();
        assert_eq!(size("64"), Some(64 << 20));
        assert_eq!(size("64M"), Some(64 << 20));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size("5120KiB"), Some(5 << 20));
        for wrong in ["", "0", "x", "-1", "1X", "99999999999T", "4", "1K", "6G"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
