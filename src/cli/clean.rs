//! `buttersink clean`: what runs left at a location, from options to verdict.

pub(super) mod backup;

use super::commands::excludes;
use super::means::means;
use super::options::Options;
use crate::error::{Error, Kind, Result};
use crate::event::{Cleaned, Event, Fate, Leftover};
use crate::process;
use crate::progress::Progress;
use crate::snapshot::{Listing, Snapshot, State};
use crate::store::{self, Access, Location, Place, Store};
use jiff::{SignedDuration, Timestamp};
use std::ffi::{OsStr, OsString};

/// The age from which what is left may go: another machine may be uploading right now, and nobody
/// here can see it; a directory has a lock.
pub(super) fn usual(place: &Place) -> SignedDuration {
    match place.keeps_streams() {
        true => SignedDuration::from_hours(24),
        false => SignedDuration::ZERO,
    }
}

/// One run over all the stores of a location.
struct Cleaning<'a> {
    age: SignedDuration,
    /// Patterns of what is left alone.
    exclude: &'a [OsString],
    dry_run: bool,
    progress: &'a mut Progress,
    count: Cleaned,
}

pub(super) fn run(place: &OsStr, age: Option<SignedDuration>, options: &Options) -> Result<()> {
    let location = Location::directory(place)?;
    let access = match options.dry_run {
        true => Access::Read,
        false => Access::Write,
    };
    let mut progress = Progress::new(options.verbosity, options.json);
    let mut cleaning = Cleaning {
        age: age.unwrap_or(usual(&location.place)),
        exclude: &options.exclude,
        dry_run: options.dry_run,
        progress: &mut progress,
        count: Cleaned {
            dry_run: options.dry_run,
            ..Cleaned::default()
        },
    };
    let (mut store, archives) = store::open_all(&location.place, access, &means(options))?;
    cleaning.clean(&mut *store)?;
    for mut archive in archives {
        cleaning.clean(&mut *archive)?;
    }
    let verdict = cleaning.verdict();
    verdict.and(progress.close())
}

impl Cleaning<'_> {
    fn clean(&mut self, store: &mut dyn Store) -> Result<()> {
        let listing = store.list()?;
        for left in leftovers(&listing, self.exclude) {
            process::check("cleaning up")?;
            let (result, error) = match (self.is_old(left), self.dry_run) {
                (false, _) => (Fate::Kept, None),
                (true, true) => (Fate::Removable, None),
                (true, false) => match store.delete(&left.path) {
                    Ok(()) => (Fate::Removed, None),
                    Err(error) => (Fate::Failed, Some(error)),
                },
            };
            if let Some(Kind::Interrupted) = error.as_ref().map(|error| error.kind) {
                return error.map_or(Ok(()), Err);
            }
            self.tell(&listing.location, left, result, error);
        }
        Ok(())
    }

    fn is_old(&self, left: &Snapshot) -> bool {
        is_old(left, self.age)
    }

    fn tell(&mut self, location: &str, left: &Snapshot, result: Fate, error: Option<Error>) {
        match result {
            Fate::Kept => self.count.kept += 1,
            Fate::Failed => self.count.failed += 1,
            _ => self.count.removed += 1,
        }
        if let Some(error) = &error {
            self.progress.fail(error);
        }
        self.progress.hear(&Event::Leftover(Box::new(Leftover {
            location: location.to_owned(),
            path: left.path.clone(),
            bytes: left.referenced,
            latest: left.created,
            result,
            error,
            age: age(left),
            limit: self.age,
        })));
    }

    fn verdict(&mut self) -> Result<()> {
        self.progress.hear(&Event::Cleaned(self.count));
        let Cleaned {
            removed, failed, ..
        } = self.count;
        let kind = match (failed, removed) {
            (0, _) => return Ok(()),
            (_, 0) => Kind::Failed,
            _ => Kind::Partly,
        };
        let said = format!("{failed} could not be removed");
        Err(Error::new(kind, "cannot clean up", said))
    }
}

/// What is left at a location, but for what somebody wants to be left alone.
pub(super) fn leftovers<'a>(
    listing: &'a Listing,
    exclude: &'a [OsString],
) -> impl Iterator<Item = &'a Snapshot> {
    let all = listing.snapshots.iter();
    all.filter(|s| s.state == State::Partial && !excludes(exclude, &s.path))
}

/// Of what nobody knows the age, any might be too young.
pub(super) fn is_old(left: &Snapshot, limit: SignedDuration) -> bool {
    limit.is_zero() || age(left).is_some_and(|age| age >= limit)
}

fn age(left: &Snapshot) -> Option<SignedDuration> {
    let latest = Timestamp::from_second(left.created?).ok()?;
    Some(Timestamp::now().duration_since(latest))
}
