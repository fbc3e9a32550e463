//! What stays, in the words of a configuration: the same keys in `[snapshots]`, `[[subvolume]]` and
//! `[[destination]]`. Judges nothing.

use super::reader::ConfigReader;
use crate::backup::retention::{self, Calendar, FOREVER, Policy};
use crate::error::{Error, Result};
use jiff::SignedDuration;
use jiff::civil::Weekday;

/// The keys of one section.
pub(super) struct PolicyKeys {
    keep: &'static str,
    retain: &'static str,
    keep_min: &'static str,
    keep_from: &'static str,
    week_starts: &'static str,
    keep_hour: &'static str,
}

macro_rules! keys {
    ($section:literal) => {
        PolicyKeys {
            keep: concat!($section, ".keep"),
            retain: concat!($section, ".retain"),
            keep_min: concat!($section, ".keep_min"),
            keep_from: concat!($section, ".keep_from"),
            week_starts: concat!($section, ".week_starts"),
            keep_hour: concat!($section, ".keep_hour"),
        }
    };
}

pub(super) const SNAPSHOTS: PolicyKeys = keys!("snapshots");
pub(super) const SUBVOLUME: PolicyKeys = keys!("subvolume");
pub(super) const DESTINATION: PolicyKeys = keys!("destination");

/// As a file writes them.
const DAYS: &[(&str, Weekday)] = &[
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl PolicyKeys {
    /// What the section says; what it does not is as usual. `keep` and `retain` are one thing: who says
    /// one of them has said which go.
    pub(super) fn read(&self, file: &mut ConfigReader, usual: &Policy) -> Result<Policy> {
        let wrong =
            |file: &ConfigReader, key, error: Error| file.wrong(key, &format!("is wrong: {error}"));
        let counted = match file.optional(self.keep)? {
            Some(text) => {
                Some(Policy::parse(&text).map_err(|error| wrong(file, self.keep, error))?)
            }
            None => None,
        };
        let newest = file.optional_number(self.retain, 1)?;
        let newest = newest.map(|newest| usize::try_from(newest).unwrap_or(usize::MAX));
        let own = counted.is_some() || newest.is_some();
        let mut policy = if own {
            counted.unwrap_or_default()
        } else {
            usual.clone()
        };
        policy.newest = if own { newest } else { usual.newest };
        policy.least = usual.least;
        if let Some(text) = file.optional(self.keep_min)? {
            policy.least = Some(least(&text).map_err(|error| wrong(file, self.keep_min, error))?);
            if policy.newest.is_none() && policy.periods.is_empty() && text != "all" {
                let what = format!("comes with {} or {}", self.keep, self.retain);
                return Err(file.wrong(self.keep_min, &what));
            }
        }
        policy.calendar = self.calendar(file, usual.calendar)?;
        Ok(policy)
    }

    fn calendar(&self, file: &mut ConfigReader, usual: Calendar) -> Result<Calendar> {
        const FROM: &[(&str, bool)] = &[("newest", false), ("first", true)];
        let hour = file.optional_number(self.keep_hour, 0)?;
        let hour = hour.map(|hour| i8::try_from(hour).ok().filter(|hour| *hour < 24));
        if hour == Some(None) {
            return Err(file.wrong(self.keep_hour, "must be an hour from 0 to 23"));
        }
        let first = file.optional_choice(self.keep_from, FROM)?;
        let starts = file.optional_choice(self.week_starts, DAYS)?;
        Ok(Calendar {
            first: first.unwrap_or(usual.first),
            week_starts: starts.unwrap_or(usual.week_starts),
            day_starts: hour.flatten().unwrap_or(usual.day_starts),
        })
    }
}

/// An age, if the file says it.
pub(super) fn age(file: &mut ConfigReader, key: &'static str) -> Result<Option<SignedDuration>> {
    let Some(text) = file.optional(key)? else {
        return Ok(None);
    };
    let age = retention::snapshot_age(&text);
    age.map(Some)
        .map_err(|error| file.wrong(key, &format!("is wrong: {error}")))
}

fn least(text: &str) -> Result<SignedDuration> {
    match text {
        "all" => Ok(FOREVER),
        _ => retention::snapshot_age(text),
    }
}
