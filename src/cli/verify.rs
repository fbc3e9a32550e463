//! `buttersink verify`: which stores are verified, and against what. Compares nothing itself.

mod drill;
mod files;
mod one;
mod words;

use super::form::{Form, with_config};
use super::grammar::{Command, Usage};
use super::options::Options;
use super::store_options::{self, store_options};
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::scheduled::{self, FoundIn};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::progress::Progress;
use crate::proof::{Depth, Finding, Verdict};
use crate::snapshot::{Listing, Uuid};
use crate::store::{self, Access, Archive, Location, Place};
use crate::verify::{self, Verification};
use drill::DrillRun;
use jiff::Timestamp;
use one::{CompareWith, Other, add, alone};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use words::VerifyTask;

pub(super) const COMMAND: Command<Form> = Command {
    name: "verify",
    about: "looks at what is stored again, without trusting that it was written well",
    usages: &[
        Usage::of(Form::Verify, "[options] LOCATION", (1, 1)),
        with_config(Form::VerifyConfig),
    ],
    text: "\
Of each snapshot it says what was seen and how, what differs, or why it cannot be verified:
sealed (unaltered since it was received or made), intact (what is stored is what was sent),
applies (a drill could receive it), regenerated (the same stream comes out of the source now),
same (compared with another copy).
On btrfs, seals and generations tell what was altered; in a bucket, sizes, parts and checksums
are held against those recorded, and chains of diffs must be complete; backups in chunks below
LOCATION, or those that a configuration file names, are held against their manifests. The far side
of ssh verifies itself. Nothing is changed anywhere, but that --content records of what a run could
not compare that it is the same.
",
    examples: &[
        "buttersink verify /mnt/backup/home/",
        "buttersink verify /mnt/backup/home/ --against /home/.snapshots/ --content",
        "buttersink verify --drill --sample 3 s3://bucket/home/",
    ],
    exit: &[
        (
            0,
            "nothing speaks against any, and something was seen of each",
        ),
        (1, "failed, or nothing could be verified"),
        (2, "usage or configuration"),
        (4, "verification found a difference"),
        (10, "some could not be verified, and others could"),
        (130, "interrupted"),
    ],
};

pub(super) fn location(words: &[OsString], options: &Options) -> Result<()> {
    let task = VerifyTask::of(options)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let report = verify_location(&words[0], &task, options, &mut progress)?;
    show(&report, progress)
}

/// All archives of a configuration.
pub(super) fn config(options: &Options) -> Result<()> {
    let task = VerifyTask::of(options)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let report = verify_config(options.file()?, &task, options, &mut progress)?;
    show(&report, progress)
}

fn verify_location(
    location: &OsStr,
    task: &VerifyTask,
    options: &Options,
    progress: &mut Progress,
) -> Result<Verification> {
    let place = Location::directory(location)?;
    must_make_sense(task, &place.place)?;
    let other = task
        .against
        .as_deref()
        .map(Location::directory)
        .transpose()?;
    let dirs = match &other {
        Some(other) if task.content => {
            files::two_directories(&place, other)?.filter(|_| !task.changed)
        }
        _ => None,
    };
    let store_options = store_options(options)?;
    let (mut store, archives) = store::open_all(&place.place, Access::Read, &store_options)?;
    let opened = other.as_ref().map(|other| Other::open(other, options));
    let mut other = opened.transpose()?;
    let mut drill = drill(task, options)?;
    let listener = &mut |event| progress.hear(&event);
    let (with, depth) = (&mut (other.as_mut(), drill.as_mut()), task.depth);
    let mut report = alone(&mut *store, depth, with, listener)?;
    for mut archive in archives {
        add(&mut report, &mut *archive, depth, with, listener)?;
    }
    drill.map_or(Ok(()), DrillRun::finish)?;
    let Some(mut other) = other else {
        return Ok(report);
    };
    verify::same_snapshots(&mut report, &other.listing);
    if task.content {
        let (store, changed) = (&mut *store, task.changed);
        files::compare(&mut report, store, &mut other, dirs, changed, listener)?;
        files::settle(&mut report, &place, options);
    }
    report.listing.notes.extend(other.listing.notes);
    Ok(report)
}

/// What is asked for must be something that the place has.
fn must_make_sense(task: &VerifyTask, place: &Place) -> Result<()> {
    let what = match (task.depth, &task.drill) {
        (Depth::Download, _) if place.directory().is_some() => "--download is for buckets",
        (_, Some(_)) if !place.keeps_streams() => "a drill is for streams that are stored",
        _ => return Ok(()),
    };
    let said = format!("{what}; here --against OTHER --content reads the data");
    Err(Error::usage(format!("cannot verify {place}"), said))
}

/// A subvolume without any archive is not passed over in silence.
fn verify_config(
    file: &Path,
    task: &VerifyTask,
    options: &Options,
    progress: &mut Progress,
) -> Result<Verification> {
    let config = Config::read(file)?;
    let mut drill = drill(task, options)?;
    let listener = &mut |event| progress.hear(&event);
    let mut report = Verification {
        findings: Vec::new(),
        listing: Listing::default(),
    };
    let mut found = Vec::new();
    for (of, subvolume) in archive::all(&config, options.destination.as_deref())? {
        let name = &subvolume.name;
        let settings = archive::settings(&config, of, name);
        let opened = store_options::of_archive(options, of)
            .and_then(|store_options| store::open_archive(settings, Access::Read, &store_options));
        let with = &mut (None, drill.as_mut());
        let before = report.findings.len();
        let unseen = match opened {
            Ok(mut archive) => add_archive(&mut report, &mut *archive, task.depth, with, listener)?,
            Err(error) => Some(error.to_string()),
        };
        let unread = unseen.clone().map(|why| unread(name, why));
        report.findings.extend(unread);
        found.push(FoundIn {
            subvolume: name.clone(),
            archive: of.name.clone(),
            verdict: unseen.unwrap_or_else(|| verify::in_words(&report.findings[before..])),
        });
    }
    // Nobody must be able to write it only to look.
    if let Err(error) = scheduled::note_verified(&config, found, Timestamp::now()) {
        report
            .listing
            .notes
            .push(format!("not remembered: {error}"));
    }
    drill.map_or(Ok(()), DrillRun::finish)?;
    Ok(report)
}

/// Adds what is found of the backups in an archive; why there is nothing to be found, if so.
fn add_archive(
    report: &mut Verification,
    archive: &mut dyn Archive,
    depth: Depth,
    with: &mut CompareWith,
    listener: &mut Listener,
) -> Result<Option<String>> {
    let before = report.findings.len();
    match archive.backups() {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => Ok(Some(error.to_string())),
        Ok(backups) => {
            report.listing.location = backups.location;
            add(report, archive, depth, with, listener)?;
            let none = report.findings.len() == before;
            Ok(none.then(|| "there are no backups of it".to_owned()))
        }
    }
}

fn unread(subvolume: &str, why: String) -> Finding {
    Finding {
        path: format!("subvol/{subvolume}").into(),
        id: Uuid::default(),
        verdict: Verdict::Unverifiable(why),
    }
}

fn drill(task: &VerifyTask, options: &Options) -> Result<Option<DrillRun>> {
    let drill = task.drill.as_ref();
    drill.map(|drill| DrillRun::of(drill, options)).transpose()
}

fn show(report: &Verification, mut progress: Progress) -> Result<()> {
    let notes = &report.listing.notes;
    notes.iter().for_each(|note| progress.note(note));
    for finding in &report.findings {
        progress.hear(&Event::Finding(finding.clone()));
    }
    progress.hear(&Event::Verified(report.summary()));
    report.verdict().and(progress.close())
}
