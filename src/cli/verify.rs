//! `buttersink verify`: which stores are verified, and against what.

mod drill;
mod files;
mod one;
mod words;

use super::help;
use super::means::means;
use super::options::Options;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::progress::Progress;
use crate::proof::{Depth, Finding, Verdict};
use crate::snapshot::{Listing, Uuid};
use crate::store::{self, Access, Location};
use crate::verify::{self, Report};
use drill::Ground;
use one::{Other, add, alone};
use std::ffi::OsStr;
use std::path::Path;
use words::What;
pub(super) use words::{Task, is_meant, parse};

/// What `buttersink verify --help` prints.
pub(super) const HELP: &str = concat!(
    "\
buttersink verify looks at what is stored again, without trusting that it was written well.

usage: buttersink verify [options] LOCATION
       buttersink verify [options] --config FILE

Of each snapshot it says what was seen and how, what differs, or why it cannot be verified:
sealed (unaltered since it was received or made), intact (what is stored is what was sent),
applies (a drill could receive it), regenerated (the same stream comes out of the source now),
same (compared with another copy).
On btrfs, seals and generations tell what was altered; in a bucket, sizes, parts and checksums
are held against those recorded, and chains of diffs must be complete; backups in chunks below
LOCATION, or those that a configuration file names, are held against their manifests. The far side
of ssh verifies itself. Nothing is changed anywhere, but that --content records of what a run could
not compare that it is the same.

options:
      --quick            by what is recorded, without reading data (the default)
      --download         also read every object: each command's checksum, and the SHA-256
      --against OTHER    both have the same snapshots; if LOCATION is a bucket and OTHER is not,
                         make the streams of OTHER again and compare their checksums with those
                         that the service has, so that nothing need be downloaded
      --drill            rehearse what is stored in a bucket: whether it can be received
      --sample N         with --drill: only N chains that are drawn at random
      --scratch DIR      with --drill: receive it, in a subvolume that is removed again
      --config FILE      the backups in the bucket that a configuration file names
      --content          with --against, neither a bucket: compare the files of both, content and
                         metadata; over ssh each side reads its own
      --changed          with --content: only what each snapshot has other than its parent
",
    help::common!(),
    "      --compressed-data  the streams were uploaded with this option
      --bwlimit RATE     no faster than this: KiB per second, or with a unit: 500, 10M
      --ssh-command CMD, --ssh-option OPT, --remote-sudo CMD, --remote-command CMD
                         how far sides are reached; see buttersink(1)
      --endpoint-url URL, --region NAME, --profile NAME, --s3-quirks NAMES
                         how buckets are reached; see buttersink-s3(5)
  -j, --concurrency N    requests at the same time (4)
  -h, --help             show this help

exit status:
  0    nothing speaks against any, and something was seen of each
  1    failed, or something could not be verified
  2    usage or configuration
  4    verification found a difference
  130  interrupted
"
);

pub(super) fn run(task: &Task, options: &Options) -> Result<()> {
    let mut progress = Progress::new(options.verbosity, options.json);
    let report = match &task.what {
        What::Location(location) => verify_location(location, task, options, &mut progress)?,
        What::Config(file) => verify_config(file, task, options, &mut progress)?,
    };
    show(&report, progress)
}

fn verify_location(
    location: &OsStr,
    task: &Task,
    options: &Options,
    progress: &mut Progress,
) -> Result<Report> {
    let place = Location::directory(location)?;
    if task.depth == Depth::Download && place.place.directory().is_some() {
        let said = "--download is for buckets; here --against OTHER --content reads the data";
        return Err(Error::usage(format!("cannot verify {}", place.place), said));
    }
    if task.drill.is_some() && !place.place.keeps_streams() {
        let said =
            "a drill is for streams that are stored; here --against OTHER --content reads the data";
        return Err(Error::usage(format!("cannot verify {}", place.place), said));
    }
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
    let means = means(options);
    let (mut store, archives) = store::open_all(&place.place, Access::Read, &means)?;
    let opened = other.as_ref().map(|other| Other::open(other, options));
    let mut other = opened.transpose()?;
    let mut ground = ground(task, options)?;
    let listener = &mut |event| progress.hear(&event);
    let (with, depth) = (&mut (other.as_mut(), ground.as_mut()), task.depth);
    let mut report = alone(&mut *store, depth, with, listener)?;
    for mut archive in archives {
        add(&mut report, &mut *archive, depth, with, listener)?;
    }
    ground.map_or(Ok(()), Ground::finish)?;
    if let Some(mut other) = other {
        verify::same_snapshots(&mut report, &other.listing);
        if task.content {
            files::compare(
                &mut report,
                &mut *store,
                &mut other,
                dirs,
                task.changed,
                listener,
            )?;
            files::settle(&mut report, &place, options);
        }
        report.listing.notes.extend(other.listing.notes);
    }
    Ok(report)
}

/// All archives of a configuration. A subvolume without any is not passed over in silence.
fn verify_config(
    file: &Path,
    task: &Task,
    options: &Options,
    progress: &mut Progress,
) -> Result<Report> {
    let config = Config::read(file)?;
    let mut means = archive::means(&config, &means(options));
    if task.concurrency {
        means.s3.concurrency = options.s3.concurrency;
    }
    let mut ground = ground(task, options)?;
    let listener = &mut |event| progress.hear(&event);
    let mut report = Report {
        findings: Vec::new(),
        listing: Listing::default(),
    };
    for (name, _) in &config.subvolumes {
        let settings = archive::settings(&config, name);
        let mut archive = store::open_archive(settings, Access::Read, &means)?;
        report.listing.location = archive.backups()?.location;
        let before = report.findings.len();
        let with = &mut (None, ground.as_mut());
        add(&mut report, &mut *archive, task.depth, with, listener)?;
        if report.findings.len() == before {
            report.findings.push(Finding {
                path: format!("subvol/{name}").into(),
                id: Uuid::default(),
                verdict: Verdict::Unverifiable("there are no backups of it".to_owned()),
            });
        }
    }
    ground.map_or(Ok(()), Ground::finish)?;
    Ok(report)
}

fn ground(task: &Task, options: &Options) -> Result<Option<Ground>> {
    let drill = task.drill.as_ref();
    drill.map(|drill| Ground::of(drill, options)).transpose()
}

fn show(report: &Report, mut progress: Progress) -> Result<()> {
    let notes = &report.listing.notes;
    notes.iter().for_each(|note| progress.note(note));
    for finding in &report.findings {
        progress.hear(&Event::Finding(finding.clone()));
    }
    progress.hear(&Event::Verified(report.summary()));
    report.verdict().and(progress.close())
}
