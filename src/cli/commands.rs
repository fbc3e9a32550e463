//! Listing and synchronising, from options to verdict.

use super::help::HELP;
use super::means::{means, open};
use super::options::Options;
use super::resend;
use super::slash;
use super::{Task, adopt, backup, clean, config, restore, scheduled, server, verify};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::glob;
use crate::log;
use crate::plan::{Plan, Step, Wish};
use crate::progress::Progress;
use crate::report;
use crate::snapshot::{Listing, Origins, shown};
use crate::store::{self, Access, Location, Store};
use crate::sync;
use crate::sys;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) fn run(task: &Task, options: &Options) -> Result<()> {
    sys::catch_signals();
    Options::environment()?;
    if let Some(path) = &options.logfile {
        log::open(path)?;
        log::line(|| {
            format!(
                "buttersink {}: {task:?} {options:?}",
                env!("CARGO_PKG_VERSION")
            )
        });
    }
    let result = match task {
        Task::Help => report::print(HELP),
        Task::Version => report::print(&format!("buttersink {}\n", env!("CARGO_PKG_VERSION"))),
        Task::List(place, commands) => list(place, *commands, options),
        Task::Clean(place, age) => clean::run(place, *age, options),
        Task::CleanBackup(task) => clean::backup::run(task, options),
        Task::Adopt(task) => adopt::run(task, options),
        Task::Sync(source, dest) => synchronise(source, dest, options),
        Task::Verify(task) => verify::run(task, options),
        Task::VerifyHelp => report::print(verify::HELP),
        Task::Serve(grant) => server::run(grant),
        Task::BackupHelp => report::print(backup::HELP),
        Task::RestoreHelp => report::print(restore::HELP),
        Task::Restore(task) => restore::run(task, options),
        Task::ListConfig(file, commands) => config::list(file, *commands, options),
        Task::CheckConfig(task) => config::check(task, options),
        Task::Backup(order) => backup::run(order, options),
        Task::Scheduled(request) => scheduled::run(request, options),
    };
    match &result {
        Ok(()) => log::line(|| "done".to_owned()),
        Err(error) => log::line(|| format!("exit {}: {error}", error.exit_code())),
    }
    result
}

fn list(place: &OsStr, commands: bool, options: &Options) -> Result<()> {
    let removing = options.delete && !options.dry_run;
    let access = if removing {
        Access::Write
    } else {
        Access::Read
    };
    let location = Location::directory(place)?;
    let means = means(options);
    let (mut store, archives) = store::open_all(&location.place, access, &means)?;
    let mut listing = store.list()?;
    let mut progress = Progress::new(options.verbosity, options.json);
    let mut failed = Ok(());
    if removing {
        let limit = clean::usual(&location.place);
        let all = clean::leftovers(&listing, &options.exclude);
        for leftover in all.filter(|left| clean::is_old(left, limit)) {
            let name = shown(&leftover.path);
            if let Err(error) = store.delete(&leftover.path) {
                let error = Error {
                    kind: match error.kind {
                        Kind::Interrupted | Kind::Busy => return Err(error),
                        _ => Kind::Partly,
                    },
                    ..error
                };
                progress.fail(&error);
                failed = failed.and(Err(error));
                continue;
            }
            progress.note(format!("removed {name}, left by an interrupted transfer"));
        }
        // What was said about them holds no more.
        listing = store.list()?;
    }
    listing
        .snapshots
        .retain(|snapshot| !excludes(&options.exclude, &snapshot.path));
    listing.notes.iter().for_each(|note| progress.note(note));
    progress.result(&report::Listed::from(&listing));
    for mut archive in archives {
        config::show(&mut *archive, commands, &mut progress)?;
    }
    failed.and(progress.close())
}

fn synchronise(source: &OsStr, dest: &OsStr, options: &Options) -> Result<()> {
    let (from, to) = (Location::source(source)?, Location::directory(dest)?);
    if options.delete && from.snapshot.is_some() {
        let said = format!(
            "SRC is one snapshot, so all others would go: for all of a directory, type {}/",
            shown(source)
        );
        return Err(Error::usage("cannot delete", said));
    }
    if !options.resend.is_empty() {
        return resend::run(&from, &to, options);
    }
    let access = match (options.dry_run, options.delete) {
        (true, _) => Access::Read,
        (false, false) => Access::Append,
        (false, true) => Access::Write,
    };
    let mut source_store =
        open(&from, Access::Read, options).map_err(|error| slash::hint(error, source, &from))?;
    let mut dest_store = open(&to, access, options)?;
    let mut progress = Progress::new(options.verbosity, options.json);
    // Buckets look up what their snapshots are of only for who needs it.
    if options.delete || !options.dry_run {
        source_store.attribute(Origins::new());
    }
    if options.delete {
        dest_store.attribute(Origins::new());
    }
    let (here, there) = (source_store.list()?, dest_store.list()?);
    here.notes.iter().for_each(|note| progress.note(note));
    if here.snapshots.is_empty() {
        slash::refuse_one_snapshot(source, &from)?;
        let place = &here.location;
        progress.note(format!(
            "there are no snapshots in {place} (buttersink backup makes them)"
        ));
    }
    let listener = &mut |event| progress.hear(&event);
    let there = match (options.compare, options.dry_run) {
        (false, _) => there,
        (true, true) => sync::as_if_settled(&here, there),
        (true, false) => {
            sync::settle(&here, there, &mut *source_store, &mut *dest_store, listener)?
        }
    };
    there.notes.iter().for_each(|note| progress.note(note));
    let excluded = |path: &Path| excludes(&options.exclude, path);
    let wish = Wish {
        only: from.snapshot.as_deref(),
        excluded: Some(&excluded),
        delete: options.delete,
        estimate: options.estimate,
        whole: options.whole,
        compare: options.compare,
        max_chain: Some(options.max_chain),
        ..Wish::default()
    };
    let listener = &mut |event| progress.hear(&event);
    let mut plan = sync::make_plan(&mut *source_store, &here, &there, &wish, listener)
        .map_err(|error| slash::hint(error, source, &from))?;
    sync::must_compare(&plan, &mut *source_store, &mut *dest_store)?;
    if options.dry_run {
        let diffs: Vec<_> = plan.transfers().map(Step::diff).collect();
        plan.effort = dest_store.effort(&diffs);
        progress.result(&plan);
        return progress.close();
    }
    let resumes = there.offer.keeps_diffs();
    dest_store.attribute(here.origins());
    carry_out(
        &plan,
        (&here, &wish),
        &mut *source_store,
        &mut *dest_store,
        resumes,
        progress,
    )
}

fn carry_out(
    plan: &Plan,
    (here, wish): (&Listing, &Wish),
    source: &mut dyn Store,
    dest: &mut dyn Store,
    resumes: bool,
    mut progress: Progress,
) -> Result<()> {
    progress.hear(&Event::planned("", plan, false));
    let listener = &mut |event| progress.hear(&event);
    let done = sync::carry_out(plan, here, wish, source, dest, listener);
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
                clean::leftovers(&listing, &[]).for_each(|leftover| {
                    let name = shown(&leftover.path);
                    let said = format!("{name} is left unfinished; the next run removes it");
                    progress.note(said);
                });
            }
            Err(error)
        }
    }
}

pub(super) fn excludes(patterns: &[std::ffi::OsString], path: &Path) -> bool {
    patterns
        .iter()
        .any(|pattern| glob::matches(pattern.as_bytes(), path))
}
