//! `buttersink sync`: the snapshots of one location brought to another, from options to verdict. What
//! goes which way is decided by `plan`.

pub(super) mod resend;
mod slash;

use super::form::{EXIT, Form};
use super::grammar::{Command, Usage};
use super::leftovers::leftovers;
use super::options::Options;
use super::store_options::store_options;
use crate::archive::{Thaw, Tier};
use crate::btrfs;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::glob;
use crate::plan::{Plan, Step, Wish};
use crate::progress::Progress;
use crate::snapshot::{Listing, Origins, Snapshot, shown};
use crate::store::{self, Access, Location, Store};
use crate::sync;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

pub(super) const COMMAND: Command<Form> = Command {
    name: "sync",
    about: "brings the snapshots of SRC to DST",
    usages: &[
        Usage::of(Form::Sync, "[options] SRC DST", (2, 2)),
        Usage::when(
            "resend",
            Form::Resend,
            "[options] --resend NAME SRC DST",
            (2, 2),
        ),
    ],
    text: "\
What DST has already is not sent again, whatever it is called there. With a slash at its end SRC is
a directory of snapshots, and without it one snapshot; DST is a directory.
",
    examples: &[
        "buttersink sync -n /home/.snapshots/ /mnt/backup/home/",
        "buttersink /home/.snapshots/monday ssh://store/backup/home/",
        "buttersink -d --exclude 'tmp-*' /home/.snapshots/ s3://bucket/home/",
    ],
    exit: EXIT,
};

/// Source and destination.
type Stores = (Box<dyn Store>, Box<dyn Store>);

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let source = words[0].as_os_str();
    let (from, to) = (Location::source(source)?, Location::directory(&words[1])?);
    if options.delete && from.snapshot.is_some() {
        return Err(would_empty(source));
    }
    if options.require_mount {
        must_be_mounted(&from)?;
        must_be_mounted(&to)?;
    }
    let mut stores = open_both(source, &from, &to, options)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    progress.goes_to(&to.place);
    let (here, there) = look(source, &from, &mut stores, options, &mut progress)?;
    let excluded = |path: &Path| glob::any(&options.exclude, path);
    let wish = Wish {
        only: from.snapshot.as_deref(),
        excluded: Some(&excluded),
        delete: options.delete,
        estimate: options.estimate,
        whole: options.whole,
        one_by_one: options.one_by_one,
        compare: options.compare,
        run: !options.dry_run,
        max_chain: Some(options.max_chain()),
        ..Wish::default()
    };
    let (source_store, dest_store) = (&mut *stores.0, &mut *stores.1);
    let listener = &mut |event| progress.hear(&event);
    let mut plan = sync::make_plan(source_store, &here, &there, &wish, listener)
        .map_err(|error| slash::hint(error, source, &from))?;
    sync::must_compare(&plan, source_store, dest_store)?;
    let diffs: Vec<_> = plan.transfers().map(Step::diff).collect();
    if options.dry_run {
        plan.effort = dest_store.effort(&diffs);
        progress.result(&plan);
        return progress.close();
    }
    let tell = &mut |how_far| progress.hear(&Event::thawing(how_far));
    source_store.thaw_diffs(&diffs, &thaw(options), tell)?;
    let resumes = there.offer.keeps_diffs();
    dest_store.attribute(here.origins());
    carry_out(&plan, (&here, &wish), stores, resumes, progress)
}

fn would_empty(source: &OsStr) -> Error {
    let said = format!(
        "SRC is one snapshot, so all others would go: for all of a directory, type {}/",
        shown(source)
    );
    Error::usage("cannot delete", said)
}

/// Opens both sides, with no more rights at the destination than the run needs.
fn open_both(source: &OsStr, from: &Location, to: &Location, options: &Options) -> Result<Stores> {
    let access = match (options.dry_run, options.delete) {
        (true, _) => Access::Read,
        (false, false) => Access::Append,
        (false, true) => Access::Write,
    };
    let mut store_options = store_options(options)?.at([&from.place, &to.place]);
    // Streams that this machine makes do no harm to it.
    store_options.local.unconfined |= from.place.directory().is_some();
    let source_store = store::open(&from.place, Access::Read, &store_options);
    let source_store = source_store.map_err(|error| slash::hint(error, source, from))?;
    if options.create && !options.dry_run {
        to.place.create()?;
    }
    let dest_store = store::open(&to.place, access, &store_options);
    let dest_store = dest_store.map_err(|error| to.place.way_to_make(error))?;
    Ok((source_store, dest_store))
}

/// What is on both sides; what was still to be compared is, where that is asked for.
fn look(
    source: &OsStr,
    from: &Location,
    (source_store, dest_store): &mut Stores,
    options: &Options,
    progress: &mut Progress,
) -> Result<(Listing, Listing)> {
    // Buckets look up what their snapshots are of only for who needs it.
    if options.delete || !options.dry_run {
        source_store.attribute(Origins::new());
    }
    if options.delete {
        dest_store.attribute(Origins::new());
    }
    let here = source_store.list()?;
    dest_store.look_for(here.ids());
    let there = dest_store.list()?;
    here.notes.iter().for_each(|note| progress.note(note));
    if here.snapshots.is_empty() {
        slash::refuse_one_snapshot(source, from)?;
        must_be_allowed(&here, options)?;
    }
    let (source_store, dest_store) = (&mut **source_store, &mut **dest_store);
    let listener = &mut |event| progress.hear(&event);
    let there = match (options.compare, options.dry_run) {
        (false, _) => there,
        (true, true) => sync::as_if_settled(&here, there),
        (true, false) => sync::settle(&here, there, source_store, dest_store, listener)?,
    };
    let wanted = |s: &Snapshot| match &from.snapshot {
        Some(only) => s.path == *only,
        None => !glob::any(&options.exclude, &s.path),
    };
    let (both, listener) = ((here, there), &mut |event| progress.hear(&event));
    let which: (&dyn Fn(&Snapshot) -> bool, bool) = (&wanted, !options.dry_run);
    let (here, there) = sync::compare_moved(both, which, source_store, dest_store, listener)?;
    there.notes.iter().for_each(|note| progress.note(note));
    Ok((here, there))
}

/// How what is frozen in a bucket is thawed; what is not said is as with backups that are restored.
fn thaw(options: &Options) -> Thaw {
    let seconds = options.restore_timeout.map(|seconds| seconds as u64);
    Thaw {
        tier: options.restore_tier.unwrap_or(Tier::Standard),
        hurry: options.restore_tier.is_some(),
        wait: options.wait_restore.unwrap_or(true),
        timeout: seconds.map_or(Thaw::PATIENCE, Duration::from_secs),
    }
}

/// Where nothing is to be sent, somebody may have forgotten to mount it.
fn must_be_allowed(empty: &Listing, options: &Options) -> Result<()> {
    if options.allow_empty {
        return Ok(());
    }
    let doing = format!("cannot send what is in {}", empty.location);
    let said = "there are no snapshots in it, so nothing was done: is it mounted? \
                (buttersink backup makes snapshots)";
    let way = "--allow-empty, if that is as it should be";
    Err(Error::failed(doing, said).hint(way))
}

/// An unplugged disk is a directory of the disk that its mount point is on.
fn must_be_mounted(location: &Location) -> Result<()> {
    let Some(path) = location.place.nearest() else {
        return Ok(());
    };
    match btrfs::mount_point(path)? {
        Some(at) if at != Path::new("/") => Ok(()),
        _ => Err(Error::refused(
            format!("cannot use {}", shown(path)),
            "no filesystem is mounted for it: is the disk there? (--require-mount)",
        )),
    }
}

fn carry_out(
    plan: &Plan,
    (here, wish): (&Listing, &Wish),
    (mut source, mut dest): Stores,
    resumes: bool,
    mut progress: Progress,
) -> Result<()> {
    progress.hear(&Event::planned("", plan, false));
    let listener = &mut |event| progress.hear(&event);
    let done = sync::carry_out(plan, here, wish, &mut *source, &mut *dest, listener);
    match done {
        Ok(summary) => {
            let verdict = summary.verdict();
            progress.hear(&Event::Summary(summary));
            verdict.and(progress.close())
        }
        // A bucket keeps what arrived, and after a signal nothing more is asked of it.
        Err(error) if resumes => {
            progress.note("what arrived of a stream stays; the next run goes on with it");
            Err(error)
        }
        Err(error) => {
            if let Ok(listing) = dest.list() {
                leftovers(&listing, &[]).for_each(|leftover| {
                    let name = shown(&leftover.path);
                    let said = format!("{name} is left unfinished; the next run removes it");
                    progress.note(said);
                });
            }
            Err(error)
        }
    }
}
