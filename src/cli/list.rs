//! `buttersink list`: the snapshots at a location, and the backups that are in archives there or that a
//! configuration file names. Changes nothing.

use super::form::{Form, with_config};
use super::grammar::{Command, Usage, usage};
use super::leftovers::{is_old, leftovers, usual};
use super::options::Options;
use super::store_options::{self, store_options};
use crate::backup::archive;
use crate::backup::config::Config;
use crate::error::{Error, Kind, Result};
use crate::glob;
use crate::progress::Progress;
use crate::report::archives::Shown;
use crate::report::{self, ListingFormat, Screen};
use crate::snapshot::{Listing, Origins, Snapshot, shown};
use crate::store::{self, Access, Archive, Location, Place, Store};
use jiff::Timestamp;
use std::ffi::OsString;

pub(super) const COMMAND: Command<Form> = Command {
    name: "list",
    about: "shows the snapshots at a location, and the backups in archives there",
    usages: &[
        Usage::of(Form::List, "[options] LOCATION", (1, 1)),
        with_config(Form::ListConfig),
    ],
    text: "",
    examples: &[
        "buttersink list /mnt/backup/home/",
        "buttersink list -d --exclude 'important*' /mnt/backup/home/",
        "buttersink list --config /etc/b.toml --commands",
    ],
    exit: &[],
};

/// How the options want a listing to look.
fn look(options: &Options) -> Result<ListingFormat> {
    let columns = options.columns.iter().flat_map(|list| list.split(','));
    let look = ListingFormat {
        screen: Screen::output(),
        now: Timestamp::now().as_second(),
        sort: options.sort.clone(),
        tree: options.tree,
        columns: columns.map(str::to_lowercase).collect(),
    };
    if options.json && (look.tree || !look.columns.is_empty()) {
        let said = "--tree and -o are for people; with --json everything is there";
        return Err(usage("buttersink list", said));
    }
    report::check_look(&look).map(|()| look)
}

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let look = look(options)?;
    let removing = options.delete && !options.dry_run;
    let access = match removing {
        true => Access::Write,
        false => Access::Read,
    };
    let location = Location::directory(&words[0])?;
    let store_options = store_options(options)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let (mut store, archives) = store::open_all(&location.place, access, &store_options)?;
    // What they are of tells when they were made.
    store.attribute(Origins::new());
    let mut listing = store.list()?;
    let mut failed = Ok(());
    if removing {
        let limit = usual(&location.place);
        let all = leftovers(&listing, &options.exclude);
        for leftover in all.filter(|left| is_old(left, limit)) {
            remove(&mut *store, leftover, &mut failed, &mut progress)?;
        }
        // What was said about them holds no more.
        listing = store.list()?;
    }
    listing
        .snapshots
        .retain(|snapshot| !glob::any(&options.exclude, &snapshot.path));
    listing.notes.iter().for_each(|note| progress.note(note));
    // Where there are archives, and nothing else, a person need not be told that nothing else is there.
    if options.json || archives.is_empty() || !listing.snapshots.is_empty() {
        progress.result(&report::Listed::of(&listing, &look));
    }
    go_on(listing.must_be_whole(), &mut failed, &mut progress)?;
    if options.commands {
        let place = &location.place;
        by_hand(&mut *store, place, &listing, &mut failed, &mut progress)?;
    }
    for mut archive in archives {
        let shown = show(&mut *archive, (options, &look), &mut progress);
        go_on(shown, &mut failed, &mut progress)?;
    }
    failed.and(progress.close())
}

/// One that cannot be removed keeps none of the others from it.
fn remove(
    store: &mut dyn Store,
    leftover: &Snapshot,
    failed: &mut Result<()>,
    progress: &mut Progress,
) -> Result<()> {
    let error = match store.delete(&leftover.path) {
        Ok(()) => {
            let name = shown(&leftover.path);
            progress.note(format!("removed {name}, left by an interrupted transfer"));
            return Ok(());
        }
        Err(error) if matches!(error.kind, Kind::Interrupted | Kind::Busy) => return Err(error),
        Err(error) => error,
    };
    let kind = Kind::Partly;
    let error = Error { kind, ..error };
    progress.fail(&error);
    if failed.is_ok() {
        *failed = Err(error);
    }
    Ok(())
}

/// Shows how the streams that are kept at a place are received without us.
fn by_hand(
    store: &mut dyn Store,
    place: &Place,
    listing: &Listing,
    failed: &mut Result<()>,
    progress: &mut Progress,
) -> Result<()> {
    if listing.offer.stored().unwrap_or_default().is_empty() {
        return Ok(());
    }
    if let Some((host, there)) = place.elsewhere() {
        let host = shown(host.login());
        progress.note(format!(
            "on {host}, buttersink list --commands {there} prints how they are received by hand"
        ));
        return Ok(());
    }
    let streams = report::Streams::of(listing, |diff| match store.by_hand(diff) {
        Ok(how) => Ok(how),
        Err(error) => go_on(Err(error), failed, progress).map(|()| None),
    })?;
    progress.result(&streams);
    Ok(())
}

/// What cannot be read of one archive keeps none of the others from being shown; a signal does. The first
/// such error is what the command ends with.
pub(super) fn go_on(
    shown: Result<()>,
    failed: &mut Result<()>,
    progress: &mut Progress,
) -> Result<()> {
    match shown {
        Err(error) if error.kind == Kind::Interrupted => return Err(error),
        Err(error) if failed.is_ok() => {
            let kind = Kind::Partly;
            *failed = Err(Error { kind, ..error });
        }
        Err(error) => progress.fail(&error),
        Ok(()) => {}
    }
    Ok(())
}

/// Shows the archives of a configuration.
pub(super) fn config(options: &Options) -> Result<()> {
    let look = look(options)?;
    let config = Config::read(options.file()?)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let (mut failed, mut closed, mut some) = (Ok(()), Vec::new(), false);
    for (of, subvolume) in archive::all(&config, options.destination.as_deref())? {
        // Of a bucket that cannot be read at all, once is enough.
        if closed.iter().any(|(name, _)| *name == &of.name) {
            continue;
        }
        let settings = archive::settings(&config, of, &subvolume.name);
        let opened = store_options::of_archive(options, of)
            .and_then(|store_options| store::open_archive(settings, Access::Read, &store_options));
        let shown =
            opened.and_then(|mut archive| show(&mut *archive, (options, &look), &mut progress));
        match &shown {
            Err(error) if error.kind != Kind::Partly => closed.push((&of.name, error.clone())),
            _ => some = true,
        }
        go_on(shown, &mut failed, &mut progress)?;
    }
    match closed.into_iter().next() {
        Some((_, error)) if !some => Err(error),
        _ => failed.and(progress.close()),
    }
}

/// Shows an archive, with the commands that restore it by hand if they are wanted.
fn show(
    store: &mut dyn Archive,
    (options, look): (&Options, &ListingFormat),
    progress: &mut Progress,
) -> Result<()> {
    let states = store.states();
    let mut backups = store.backups()?;
    let all_read = backups
        .must_be_all_read()
        .and(states.as_ref().map(drop).map_err(Error::clone));
    if let Ok(states) = states {
        backups = backups.with(&states);
    }
    for backup in backups.all.iter_mut().filter(|_| options.commands) {
        backup.command = Some(store.command(backup));
    }
    progress.result(&Shown::of(&backups, look));
    all_read
}
