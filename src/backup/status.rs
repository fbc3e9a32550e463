//! How the backups of a configuration stand: what is newest where, what comes next, what is owed, and what is
//! late. Goes by what runs remembered and by the names of snapshots here; opens no destination.

mod prometheus;

use super::config::{ArchiveConfig, Config, SubvolumeConfig};
use super::names;
use super::room::{RoomHistory, RoomSeen};
use super::schedule::Due;
use super::state::{AtDestination, RunState};
use crate::archive::Stamp;
use crate::error::{Doing, Error, Kind, Result};
use crate::snapshot::shown;
use crate::sys;
use crate::sys::secure_open::Unopened;
use crate::text::{counted, duration, human};
use jiff::{SignedDuration, Timestamp, Zoned};
pub use prometheus::write as write_metrics;
use serde::{Serialize, Serializer};
use std::fmt;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

/// How the backups of a configuration stand.
#[derive(Clone, Debug)]
pub struct Status {
    /// The configuration.
    pub file: String,
    /// When the last run was.
    pub last_run: Option<Timestamp>,
    /// Subvolume by subvolume: its snapshots here, and then its destinations.
    pub lines: Vec<StatusLine>,
    /// Why not all of it could be looked at, if so.
    pub unread: Option<Error>,
}

/// The snapshots of a subvolume at one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StatusLine {
    /// Always `status`.
    pub event: &'static str,
    /// What its backups are called.
    pub subvolume: String,
    /// What the place is called; null for the snapshots here.
    pub destination: Option<String>,
    /// Where the place is.
    pub location: String,
    /// When the newest was made that is there.
    #[serde(serialize_with = "in_utc")]
    pub newest: Option<Timestamp>,
    /// Seconds since then.
    pub age_seconds: Option<i64>,
    /// Seconds that it may be old.
    pub max_age_seconds: Option<i64>,
    /// Older than it may be, or not there at all.
    pub late: bool,
    /// When something is due there; null for whenever there is a snapshot.
    #[serde(serialize_with = "in_utc")]
    pub next: Option<Timestamp>,
    /// It lacks what it was to have.
    pub owed: bool,
    /// Why, or what went wrong the last time.
    pub error: Option<String>,
    /// When somebody last looked at it again.
    #[serde(serialize_with = "in_utc")]
    pub verified: Option<Timestamp>,
    /// What that look found.
    pub verdict: Option<String>,
    /// Bytes that are free there: now, or as far as it cannot be seen from here, when a run last was there.
    pub free_bytes: Option<u64>,
    /// How many more that gets in a day, by what runs saw; less than 0 where it fills.
    pub free_bytes_per_day: Option<i64>,
    /// Days until nothing is free, if it goes on so.
    pub full_in_days: Option<u64>,
    /// What is there could not be looked at.
    #[serde(skip)]
    unknown: bool,
}

impl Status {
    /// Looks at it. A place that cannot be looked at has a line that says so.
    pub fn of(file: &Path, config: &Config, state: &RunState, now: &Zoned) -> Status {
        let remembered = |why: &String| Error::failed("cannot tell what runs did", why.clone());
        let (mut lines, mut unread) = (Vec::new(), state.unread.as_ref().map(remembered));
        for (path, why) in &config.unmatched {
            let error = Error::failed(format!("{} is not backed up", shown(path)), why.clone());
            unread.get_or_insert(error);
        }
        for of in &config.subvolumes {
            lines.push(here(config, of, state, now, &mut unread));
            let archives = config.archives_of(of).into_iter();
            lines.extend(archives.map(|archive| in_archive(archive, of, state, now)));
            for at in config.destinations_of(of) {
                lines.push(destination(config, of, at, state, now, &mut unread));
            }
        }
        Status {
            file: shown(file),
            last_run: state.last_run_at.as_ref().and_then(Stamp::moment),
            lines,
            unread,
        }
    }

    /// What it comes to.
    ///
    /// # Errors
    /// [`Kind::Different`] if something is later than its limit, else [`Kind::Partly`] if not all could be looked
    /// at, [`Kind::Failed`] if nothing could.
    pub fn verdict(&self) -> Result<()> {
        let late = self.lines.iter().filter(|line| line.late).count();
        match (late, &self.unread) {
            (0, None) => Ok(()),
            (0, Some(error)) => Err(Error {
                kind: match self.lines.is_empty() {
                    true => Kind::Failed,
                    false => Kind::Partly,
                },
                ..error.clone()
            }),
            _ => {
                let said = format!("{late} of {} are later than their limit", self.lines.len());
                let doing = format!("looking at the backups of {}", self.file);
                Err(Error::new(Kind::Different, doing, said))
            }
        }
    }
}

/// What is the same for every place.
fn line(of: &SubvolumeConfig, location: String, limit: Option<SignedDuration>) -> StatusLine {
    StatusLine {
        event: "status",
        subvolume: of.name.clone(),
        destination: None,
        location,
        newest: None,
        age_seconds: None,
        max_age_seconds: limit.map(|limit| limit.as_secs()),
        late: false,
        next: None,
        owed: false,
        error: None,
        verified: None,
        verdict: None,
        free_bytes: None,
        free_bytes_per_day: None,
        full_in_days: None,
        unknown: false,
    }
}

impl StatusLine {
    /// Counts from the newest, as far as there is one.
    fn aged(mut self, newest: Option<Timestamp>, now: &Zoned) -> StatusLine {
        self.newest = newest;
        self.age_seconds = newest.map(|newest| now.timestamp().duration_since(newest).as_secs());
        let limit = self.max_age_seconds;
        self.late = limit.is_some_and(|limit| self.age_seconds.is_none_or(|age| age > limit));
        self
    }

    /// The same of what only runs know.
    fn remembered(self, state: &RunState, newest: Option<Timestamp>, now: &Zoned) -> StatusLine {
        match state.unread {
            Some(_) => StatusLine {
                unknown: true,
                ..self
            },
            None => self.aged(newest, now),
        }
    }

    /// What is free now, if that is seen from here, and how that changed.
    fn with_room(mut self, state: &RunState, free: Option<u64>, now: &Zoned) -> StatusLine {
        let known = state.room.get(&self.location);
        let seen = free.map(|free| RoomSeen::new(now.timestamp(), free));
        let trend = known.and_then(|known| known.trend(seen.as_ref()));
        self.free_bytes = free.or(known.and_then(RoomHistory::newest));
        self.free_bytes_per_day = trend.map(|trend| trend.bytes_per_day);
        self.full_in_days = trend.and_then(|trend| trend.full_in_days);
        self
    }

    fn remembering(mut self, there: Option<&AtDestination>) -> StatusLine {
        if let Some(there) = there {
            self.error.clone_from(&there.error);
            self.verified = there.verified_at.as_ref().and_then(Stamp::moment);
            self.verdict.clone_from(&there.verdict);
        }
        self
    }
}

/// What was found; what could not be looked at is told by its line, and by all.
fn found<T>(
    looked: Result<Option<T>>,
    why: &mut Option<String>,
    all: &mut Option<Error>,
) -> Option<T> {
    looked.unwrap_or_else(|error| {
        why.get_or_insert(error.to_string());
        all.get_or_insert(error);
        None
    })
}

/// The snapshots here.
fn here(
    config: &Config,
    of: &SubvolumeConfig,
    state: &RunState,
    now: &Zoned,
    unread: &mut Option<Error>,
) -> StatusLine {
    let (folder, mut why) = (of.folder(), None);
    let newest = found(newest_in(&folder, &of.name), &mut why, unread);
    let unknown = why.is_some();
    let free = found(free(&folder), &mut why, unread);
    let next = config
        .cycle_of(of)
        .map(|cycle| match cycle.due(newest, now) {
            Ok(_) => now.timestamp(),
            Err(at) => at.timestamp(),
        });
    let last = state.subvolumes.get(&of.name);
    let line = line(of, shown(folder.join("")), of.max_age);
    let line = match unknown {
        true => StatusLine { unknown, ..line },
        false => line.aged(newest, now),
    };
    StatusLine {
        next: next.filter(|_| !of.noauto && !unknown),
        error: why.or(last.and_then(|last| last.error.clone())),
        ..line.with_room(state, free, now)
    }
}

/// The newest snapshot of a subvolume in a directory, by the names there.
fn newest_in(folder: &Path, name: &str) -> Result<Option<Timestamp>> {
    let doing = || format!("cannot list {}", shown(folder));
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.doing(doing)?,
    };
    let mut newest = None;
    for entry in entries {
        let entry = entry.doing(doing)?.file_name();
        let parts = entry.to_str().and_then(names::scheduled_parts);
        let made = parts
            .filter(|(ours, ..)| *ours == name)
            .map(|(_, made, _)| made);
        newest = newest.max(made);
    }
    Ok(newest)
}

/// An archive of the subvolume.
fn in_archive(
    archive: &ArchiveConfig,
    of: &SubvolumeConfig,
    state: &RunState,
    now: &Zoned,
) -> StatusLine {
    let past = state.past_in(of, archive);
    let next = match archive.schedule.due(&past, now, false) {
        Due::Now(..) => now.timestamp(),
        Due::Later(at, _) => at.timestamp(),
    };
    let location = archive.location();
    let there = state.at(&of.name, &archive.name);
    let line = line(of, location, archive.max_age).remembered(state, past.last, now);
    StatusLine {
        destination: Some(archive.name.clone()),
        next: Some(next).filter(|_| !line.unknown),
        owed: there.is_some_and(|there| there.error.is_some()),
        ..line.remembering(there)
    }
}

fn destination(
    config: &Config,
    of: &SubvolumeConfig,
    at: usize,
    state: &RunState,
    now: &Zoned,
    unread: &mut Option<Error>,
) -> StatusLine {
    let dest = &config.destinations[at];
    let location = dest.place.to_string();
    let there = state.at(&of.name, &location);
    let newest = there.and_then(|there| names::scheduled_time(Path::new(there.snapshot.as_ref()?)));
    let last = there.and_then(|there| there.at.as_ref()?.moment());
    let next = dest.cycle.map(|cycle| match cycle.due(last, now) {
        Ok(_) => now.timestamp(),
        Err(at) => at.timestamp(),
    });
    let owed = state.subvolumes.get(&of.name).map(|last| &last.owed);
    let mut why = None;
    let free = found(dest.place.path().map_or(Ok(None), free), &mut why, unread);
    let owed = owed.is_some_and(|owed| owed.contains(&location));
    let line = line(of, location, dest.max_age)
        .remembered(state, newest, now)
        .remembering(there)
        .with_room(state, free, now);
    StatusLine {
        destination: Some(dest.title()),
        next: next.filter(|_| !line.unknown),
        owed,
        error: why.or(line.error.clone()),
        ..line
    }
}

/// What is free in a directory; nothing is known of one that is not there.
fn free(dir: &Path) -> Result<Option<u64>> {
    let doing = || format!("cannot look at {}", shown(dir));
    match Unopened::at(dir).and_then(|found| found.open_directory()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        dir => {
            let dir = dir.doing(doing)?;
            sys::free_bytes(dir.as_fd()).doing(doing).map(Some)
        }
    }
}

fn in_utc<S: Serializer>(at: &Option<Timestamp>, to: S) -> std::result::Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(to)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |line: &StatusLine| line.destination.clone().unwrap_or("snapshots".to_owned());
        let width = self
            .lines
            .iter()
            .map(|line| name(line).chars().count())
            .max();
        let (width, mut lead) = (width.unwrap_or(0), "");
        for line in &self.lines {
            if line.destination.is_none() {
                writeln!(f, "{lead}{}", shown(&line.subvolume))?;
            } else {
                f.write_str("\n")?;
            }
            write!(f, "  {:width$}  {line}", shown(name(line)))?;
            lead = "\n";
        }
        Ok(())
    }
}

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: &Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        match (&self.newest, self.age_seconds) {
            (Some(newest), Some(age)) => {
                let age = duration(SignedDuration::from_secs(age.max(0)));
                write!(f, "{}, {age} old", time(newest))?;
            }
            _ if self.unknown => f.write_str("unknown")?,
            _ => f.write_str("none")?,
        }
        if let (true, Some(limit)) = (self.late, self.max_age_seconds) {
            let limit = duration(SignedDuration::from_secs(limit));
            write!(f, "; LATE, the limit is {limit}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "; next from {}", time(next))?;
        }
        if self.owed {
            f.write_str("; lacks the last snapshot")?;
        }
        if let Some(error) = &self.error {
            write!(f, "; {error}")?;
        }
        if let (Some(at), Some(verdict)) = (&self.verified, &self.verdict) {
            write!(f, "; verified {}: {verdict}", time(at))?;
        }
        if let Some(free) = self.free_bytes {
            write!(f, "; {} free", human(free))?;
        }
        match self.free_bytes_per_day {
            None | Some(0) => {}
            Some(more @ 1..) => write!(f, ", {} more a day", human(more.unsigned_abs()))?,
            Some(less) => write!(f, ", {} less a day", human(less.unsigned_abs()))?,
        }
        match self.full_in_days {
            Some(days) => write!(f, ", full in {}", counted(days, "day")),
            None => Ok(()),
        }
    }
}
