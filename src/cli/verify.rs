//! `buttersink verify`: its words into values, and these into a verification.

use super::means::{means, open};
use super::options::Options;
use super::{wrong, wrong_words};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::proof::Depth;
use crate::report::findings;
use crate::snapshot::Listing;
use crate::store::archive::ArchiveStore;
use crate::store::{self, Access, Location, Place, Store};
use crate::verify::{self, Report};
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What `buttersink verify --help` prints.
pub(super) const HELP: &str = "\
buttersink verify proves what is stored, without trusting that it was written well.

usage: buttersink verify [options] LOCATION

Of each snapshot it says what was proved and how, what differs, or why it cannot be verified.
On btrfs, seals and generations tell what was altered; in a bucket, sizes, parts and checksums
are held against those recorded, and chains of diffs must be complete. The far side of ssh
verifies itself. Nothing is changed anywhere.

options:
      --quick            by what is recorded, without reading data (the default)
      --download         also read every object: each command's checksum, and the SHA-256
      --against OTHER    both have the same snapshots; if LOCATION is a bucket and OTHER is not,
                         make the streams of OTHER again and compare their checksums with those
                         that the service has, so that nothing need be downloaded
      --content          with --against, both on this machine: compare the trees byte by byte
      --json             results as JSON, one object a line
  -q, --quiet            once: no progress; twice: errors only
  -l, --logfile FILE     append a debug log to FILE
      --full-speed       do not yield to other programs
      --compressed-data  the streams were uploaded with this option
      --bwlimit RATE     no faster than this: KiB per second, or with a unit: 500, 10M
      --ssh-command CMD, --ssh-option OPT, --remote-sudo CMD, --remote-command CMD
                         how far sides are reached; see buttersink(1)
      --endpoint-url URL, --region NAME, --profile NAME, --s3-quirks NAMES
                         how buckets are reached; see buttersink-s3(5)
  -j, --concurrency N    requests at the same time (4)
  -h, --help             show this help

exit status:
  0    all proved
  1    failed, or something could not be verified
  2    usage or configuration
  4    verification found a difference
  130  interrupted
";

/// Options of other commands that mean the same here.
const SHARED: &[&str] = &[
    "--json",
    "-q",
    "--quiet",
    "-l",
    "--logfile",
    "--full-speed",
    "--compressed-data",
    "--bwlimit",
    "--ssh-command",
    "--ssh-option",
    "--remote-sudo",
    "--remote-command",
    "--endpoint-url",
    "--region",
    "--profile",
    "--s3-quirks",
    "-j",
    "--concurrency",
];

/// What is to be verified, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Task {
    location: OsString,
    depth: Depth,
    against: Option<OsString>,
    content: bool,
}

/// The words after `verify`; `None` if help was asked for.
pub(super) fn parse(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Option<Task>> {
    let (mut quick, mut download, mut content) = (false, false, false);
    let (mut against, mut locations) = (None, Vec::new());
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(word) => {
                locations.push(word);
                continue;
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "-h" | "--help" => return Ok(None),
            "--quick" => quick = true,
            "--download" => download = true,
            "--content" => content = true,
            "--against" => against = Some(parser.value().map_err(wrong)?),
            name if SHARED.contains(&name) => options.set(name, parser)?,
            name => return Err(wrong_words(&format!("'verify' has no option {name}"))),
        }
    }
    let (Some(location), true) = (locations.pop(), locations.is_empty()) else {
        return Err(wrong_words("'verify' takes one location"));
    };
    if quick && download {
        return Err(wrong_words("--quick and --download exclude each other"));
    }
    if content && against.is_none() {
        return Err(wrong_words("--content needs --against OTHER"));
    }
    let depth = match download {
        true => Depth::Download,
        false => Depth::Quick,
    };
    Ok(Some(Task {
        location,
        depth,
        against,
        content,
    }))
}

pub(super) fn run(task: &Task, options: &Options) -> Result<()> {
    let place = Location::directory(&task.location)?;
    if task.depth == Depth::Download && matches!(place.place, Place::Local(_)) {
        let said = "--download is for buckets; here --against OTHER --content reads the data";
        return Err(Error::usage(format!("cannot verify {}", place.place), said));
    }
    let other = task
        .against
        .as_deref()
        .map(Location::directory)
        .transpose()?;
    let dirs = match &other {
        Some(other) if task.content => Some(two_directories(&place, other)?),
        _ => None,
    };
    let mut progress = Progress::new(options.voice, options.json);
    let watch = &mut |name: &str| progress.draw(&format!("verifying {name}"));
    let mut other = match &other {
        Some(other) => Some(open(other, Access::Read, options)?),
        None => None,
    };
    let there = match &mut other {
        Some(other) => Some(other.list()?),
        None => None,
    };
    let against = other.as_deref_mut().zip(there.as_ref());
    let mut report = examine(&place, task.depth, against, options, watch)?;
    let mut notes = report.listing.notes.clone();
    if let Some(there) = there {
        verify::identities(&mut report, &there);
        if let Some((ours, theirs)) = dirs {
            verify::content(&mut report, ours, &there, theirs, watch)?;
        }
        notes.extend(there.notes);
    }
    notes.iter().for_each(|note| progress.note(note));
    for finding in &report.findings {
        progress.result(|| findings::line(finding), || findings::json(finding));
    }
    progress.result(
        || findings::summary(&report),
        || findings::json_summary(&report),
    );
    report.verdict().and(progress.close())
}

/// A location's store, and in a bucket the archives below it.
fn examine(
    place: &Location,
    depth: Depth,
    mut against: Option<(&mut (dyn Store + '_), &Listing)>,
    options: &Options,
    watch: &mut verify::Watch,
) -> Result<Report> {
    let mut one = |store: &mut dyn Store| -> Result<Report> {
        let mut report = verify::alone(store, depth, watch)?;
        if let Some((other, there)) = &mut against {
            verify::remade(&mut report, store, there, *other, watch)?;
        }
        Ok(report)
    };
    let mut report = one(&mut *open(place, Access::Read, options)?)?;
    let means = means(options);
    for settings in store::archives(&place.place, &means)? {
        let mut archive = ArchiveStore::open(settings, Access::Read, means.s3.clone())?;
        report.absorb(one(&mut archive)?);
    }
    Ok(report)
}

fn two_directories<'a>(ours: &'a Location, theirs: &'a Location) -> Result<(&'a Path, &'a Path)> {
    match (&ours.place, &theirs.place) {
        (Place::Local(ours), Place::Local(theirs)) => Ok((ours, theirs)),
        (Place::Local(_), other) | (other, _) => {
            let doing = format!("cannot compare the content of {other}");
            Err(Error::usage(
                doing,
                "both sides must be directories of this machine",
            ))
        }
    }
}

/// Whether these words are about this command.
pub(super) fn is_meant(word: &OsStr) -> bool {
    word == "verify"
}
