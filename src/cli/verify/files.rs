//! `verify --content`: whose files are compared, and by whom. Compares nothing itself.

use super::Other;
use crate::cli::means::open;
use crate::cli::options::Options;
use crate::error::{Error, Result};
use crate::event::Listener;
use crate::proof::Seen;
use crate::snapshot::{State, shown};
use crate::store::{Access, Location, Store};
use crate::verify::{self, Verification};
use std::path::{Path, PathBuf};

/// Two directories, of which the first is verified.
pub(super) type Directories<'a> = (&'a Path, &'a Path);

/// The directories, if both are on this machine. Streams have no files to compare.
pub(super) fn two_directories<'a>(
    ours: &'a Location,
    theirs: &'a Location,
) -> Result<Option<Directories<'a>>> {
    if ours.place.keeps_streams() || theirs.place.keeps_streams() {
        let said = "a bucket has streams and no files, so that there is nothing to compare with \
                    before a restore (restore --verify full compares then)";
        return Err(Error::usage("cannot compare the content", said));
    }
    Ok(ours.place.directory().zip(theirs.place.directory()))
}

/// Compares the files of both places: here, if the directories are, or each side its own.
pub(super) fn compare(
    report: &mut Verification,
    store: &mut dyn Store,
    other: &mut Other,
    here: Option<Directories>,
    changed: bool,
    listener: &mut Listener,
) -> Result<()> {
    if let Some((ours, theirs)) = here {
        return verify::content(report, ours, &other.listing, theirs, listener);
    }
    store.has_files()?;
    other.store.has_files()?;
    let (source, there) = (&mut *other.store, &other.listing);
    verify::files(report, store, there, source, changed, listener)
}

/// What a run brought and was ended before it compared it counts from now on, if it is the same.
pub(super) fn settle(report: &mut Verification, place: &Location, options: &Options) {
    let same = |path: &Path| {
        let mut findings = report.findings.iter();
        findings.any(|f| f.path == path && f.verdict.has(Seen::Same))
    };
    let all = report.listing.snapshots.iter();
    let waiting = all.filter(|s| s.state == State::Uncompared && same(&s.path));
    let waiting: Vec<PathBuf> = waiting.map(|s| s.path.clone()).collect();
    for path in &waiting {
        let name = shown(path);
        report
            .listing
            .notes
            .push(match record(path, place, options) {
                Ok(()) => format!("{name} was compared, and counts from now on"),
                Err(error) => {
                    format!("{name} is the same, and that could not be recorded: {error}")
                }
            });
    }
}

fn record(path: &Path, place: &Location, options: &Options) -> Result<()> {
    let mut store = open(place, Access::Append, options)?;
    store.list()?;
    store.settle(path)
}
