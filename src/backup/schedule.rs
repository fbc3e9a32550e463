//! When a backup is due, and whether it is a full one. Pure: the time comes in as a value.

pub use super::retention::Every;
use super::retention::Period;
pub use crate::archive::BackupKind;
use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan, Zoned};

/// How often, and from what time of the day on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// From one full backup to the next.
    pub full_every: Every,
    /// From one backup to the next.
    pub incremental_every: Every,
    /// A backup is due from this local time on.
    pub run_at: Time,
}

/// How often something is done of which there is one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// From one to the next.
    pub every: Every,
    /// Of periods longer than hours, it is due from this local time on.
    pub at: Time,
}

impl Cycle {
    /// Why it is due, or the moment before which it is not. Whatever was missed is caught up by one.
    ///
    /// # Errors
    /// That moment.
    pub fn due(&self, last: Option<Timestamp>, now: &Zoned) -> Result<String, Zoned> {
        let Some(last) = last else {
            return Ok("there is none yet".to_owned());
        };
        // A clock that was wrong for a while must not stop anything until it is right.
        if last > now.timestamp() {
            return Ok("the last one is dated in the future".to_owned());
        }
        match moment(last, self.every, self.at, now) {
            next if *now < next => Err(next),
            _ => Ok(format!("the last one is {} old", age(last, now))),
        }
    }
}

/// What is known of earlier backups of a subvolume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past<'a> {
    /// The last full one.
    pub last_full: Option<Timestamp>,
    /// The last one of either kind.
    pub last: Option<Timestamp>,
    /// Why an incremental one has nothing to build on, if so.
    pub broken: Option<&'a str>,
}

/// What is to be done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// A backup, and why of this kind.
    Now(BackupKind, String),
    /// Nothing before this moment, and what then.
    Later(Zoned, BackupKind),
}

impl Schedule {
    /// How often there is a backup of either kind.
    pub fn cycle(&self) -> Cycle {
        Cycle {
            every: self.incremental_every,
            at: self.run_at,
        }
    }

    /// What is due. Whatever was missed is caught up by one backup, since only the days since the
    /// last one count. With `force` a backup is made in any case.
    pub fn due(&self, past: &Past, now: &Zoned, force: bool) -> Due {
        let Some(last_full) = past.last_full else {
            return Due::Now(BackupKind::Full, "there is no full backup yet".to_owned());
        };
        // A clock that was wrong for a while must not stop backups until it is right.
        let last = past.last.unwrap_or(last_full).max(last_full);
        let full_at = moment(last_full, self.full_every, self.run_at, now);
        let next_at = moment(last, self.incremental_every, self.run_at, now);
        if *now >= full_at {
            return Due::Now(
                BackupKind::Full,
                format!("the last full backup is {} old", age(last_full, now)),
            );
        }
        if !force && *now < next_at && last <= now.timestamp() {
            return later(full_at, next_at, past.broken.is_some());
        }
        match past.broken {
            Some(why) => Due::Now(
                BackupKind::Full,
                format!("the chain cannot be continued: {why}"),
            ),
            None if *now >= next_at => Due::Now(
                BackupKind::Incremental,
                format!("the last backup is {} old", age(last, now)),
            ),
            None if last > now.timestamp() => Due::Now(
                BackupKind::Incremental,
                "the last backup is dated in the future".to_owned(),
            ),
            None => Due::Now(BackupKind::Incremental, "it was asked for".to_owned()),
        }
    }
}

/// The moment at which there is to be another: of hours, so many after the beginning of the hour of the
/// last; of days and what is longer, so many after its local day, at the time of the day. Where the clocks
/// skip that time, it is the hour after; where it comes twice, the first.
fn moment(last: Timestamp, every: Every, at: Time, now: &Zoned) -> Zoned {
    let zone = now.time_zone().clone();
    let last = last.to_zoned(zone.clone());
    let count = i64::from(every.count);
    let span = match every.period {
        Period::Hour => {
            let passed = i64::from(last.minute()) * 60 + i64::from(last.second());
            let next = last.checked_add((count * 3600 - passed).seconds());
            return next.unwrap_or_else(|_| now.clone());
        }
        Period::Day => count.days(),
        Period::Week => count.weeks(),
        Period::Month => count.months(),
        Period::Year => count.years(),
    };
    let day = last.date().checked_add(span).unwrap_or(Date::MAX);
    // Only at the end of the calendar; due at once is the safe side.
    let moment = day.to_datetime(at).to_zoned(zone);
    moment.unwrap_or_else(|_| now.clone())
}

fn later(full_at: Zoned, next_at: Zoned, broken: bool) -> Due {
    match full_at <= next_at {
        true => Due::Later(full_at, BackupKind::Full),
        false if broken => Due::Later(next_at, BackupKind::Full),
        false => Due::Later(next_at, BackupKind::Incremental),
    }
}

fn age(then: Timestamp, now: &Zoned) -> String {
    let hours = now.timestamp().duration_since(then).as_hours();
    match hours {
        ..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests;
