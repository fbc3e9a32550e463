//! `buttersink clean`: what runs left at a location, from options to verdict. What may be removed is
//! decided by the stores.

pub(super) mod backup;

use super::form::Form;
use super::grammar::{Command, Usage};
use super::leftovers::{age, is_old, leftovers, usual};
use super::options::Options;
use super::store_options::store_options;
use crate::error::{Error, Kind, Result};
use crate::event::{Cleaned, Event, Fate, Leftover};
use crate::process;
use crate::progress::Progress;
use crate::snapshot::Snapshot;
use crate::store::{self, Access, Archive, Location, Store};
use jiff::SignedDuration;
use std::ffi::OsString;

pub(super) const COMMAND: Command<Form> = Command {
    name: "clean",
    about: "removes what interrupted runs left, or one backup in a bucket",
    usages: &[
        Usage::of(Form::Clean, "[options] LOCATION", (1, 1)),
        Usage::when(
            "config",
            Form::CleanBackup,
            "[options] --config FILE --backup NAME/TIME",
            (0, 0),
        ),
    ],
    text: "\
In a directory that is what a record of ours names as unfinished; in a bucket unfinished uploads,
parts of split streams without their marker, and chunks without a manifest. A run that goes on with
it needs no cleaning before.
",
    examples: &[
        "buttersink clean -n --older-than 3d s3://bucket/",
        "buttersink clean --exclude 'important*' /mnt/backup/home/",
        "buttersink clean --config /etc/b.toml --backup home/20261121T020000Z",
    ],
    exit: &[],
};

/// One run over all the stores of a location.
struct Cleaning<'a> {
    age: SignedDuration,
    /// Patterns of what is left alone.
    exclude: &'a [OsString],
    dry_run: bool,
    progress: &'a mut Progress,
    count: Cleaned,
}

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let location = Location::directory(&words[0])?;
    let access = match options.dry_run {
        true => Access::Read,
        false => Access::Write,
    };
    let mut progress = Progress::new(options.verbosity(), options.json);
    let mut cleaning = Cleaning {
        age: options.older_than.unwrap_or(usual(&location.place)),
        exclude: &options.exclude,
        dry_run: options.dry_run,
        progress: &mut progress,
        count: Cleaned {
            dry_run: options.dry_run,
            ..Cleaned::default()
        },
    };
    let (mut store, archives) = store::open_all(&location.place, access, &store_options(options)?)?;
    let mut all_read = cleaning.clean(&mut *store)?;
    for mut archive in archives {
        match cleaning.clean_archive(&mut *archive)? {
            Err(error) if all_read.is_err() => cleaning.progress.fail(&error),
            read => all_read = all_read.and(read),
        }
    }
    let verdict = cleaning.verdict();
    verdict.and(all_read).and(progress.close())
}

impl Cleaning<'_> {
    /// What cannot be read of one archive keeps none of the others from being cleaned; a signal does.
    fn clean_archive(&mut self, archive: &mut dyn Archive) -> Result<Result<()>> {
        let done = self.clean(archive).and_then(|read| read);
        match done.and_then(|()| archive.backups()?.must_be_all_read()) {
            Err(error) if error.kind == Kind::Interrupted => Err(error),
            Err(error) => {
                let kind = Kind::Partly;
                Ok(Err(Error { kind, ..error }))
            }
            Ok(()) => Ok(Ok(())),
        }
    }

    /// Whether all that is there could be looked at, once what could be is cleaned.
    fn clean(&mut self, store: &mut dyn Store) -> Result<Result<()>> {
        let mut listing = store.list()?;
        listing.snapshots.extend(store.quarantined_for_others()?);
        for left in leftovers(&listing, self.exclude) {
            process::check("cleaning up")?;
            let (result, error) = match (is_old(left, self.age), self.dry_run) {
                (false, _) => (Fate::Kept, None),
                (true, true) => (Fate::Removable, None),
                (true, false) => match store.delete(&left.path) {
                    Ok(()) => (Fate::Removed, None),
                    Err(error) => (Fate::Failed, Some(error)),
                },
            };
            if let Some(Kind::Interrupted) = error.as_ref().map(|error| error.kind) {
                return error.map_or(Ok(Ok(())), Err);
            }
            self.tell(&listing.location, left, result, error);
        }
        Ok(listing.must_be_whole())
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
