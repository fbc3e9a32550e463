//! `verify --content`: whose files are compared, and by whom. Compares nothing itself.

use super::Other;
use crate::cli::options::Options;
use crate::cli::store_options::open;
use crate::error::{Error, Result};
use crate::event::Listener;
use crate::proof::Seen;
use crate::snapshot::{Snapshot, State, shown};
use crate::store::{Access, Location, Store};
use crate::verify::{self, Verification};
use std::path::Path;

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

/// What a run brought and was ended before it compared it counts from now on, if it is the same. So does
/// what has no seal, or one that is not right any more, if all of it was compared, and where nobody else can say
/// so: on this machine.
pub(super) fn settle(report: &mut Verification, place: &Location, options: &Options) {
    let same = |path: &Path| {
        let mut findings = report.findings.iter();
        findings.any(|f| f.path == path && f.verdict.has(Seen::Same))
    };
    let whole = place.place.directory().is_some() && !options.changed;
    let waits = |state| {
        let by_record = matches!(state, State::Unsealed | State::Altered);
        state == State::Uncompared || whole && by_record
    };
    let all = report.listing.snapshots.iter().filter(|s| same(&s.path));
    let altered = all.clone().filter(|s| s.state == State::Altered);
    let altered = altered.map(|s| shown(&s.path)).collect::<Vec<_>>();
    let waiting: Vec<Snapshot> = all.filter(|s| waits(s.state)).cloned().collect();
    if let (false, Some((host, there))) = (altered.is_empty(), place.place.elsewhere()) {
        report.listing.notes.push(format!(
            "{} looks altered and is the same: its own machine alone can record that: on {}, buttersink verify \
             {there} --against SRC --content, where SRC may be ssh://HOST/DIR",
            altered.join(", "),
            shown(host.login())
        ));
    }
    for snapshot in &waiting {
        let name = shown(&snapshot.path);
        report
            .listing
            .notes
            .push(match record(snapshot, place, options) {
                Ok(()) => format!("{name} was compared, and counts from now on"),
                Err(error) => {
                    format!("{name} is the same, and that could not be recorded: {error}")
                }
            });
    }
}

fn record(compared: &Snapshot, place: &Location, options: &Options) -> Result<()> {
    let mut store = open(place, Access::Append, options)?;
    let listing = store.list()?;
    let known = |s: &Snapshot| (s.uuid, s.ctransid, s.state);
    let mut now = listing.snapshots.iter();
    match now.any(|s| s.path == compared.path && known(s) == known(compared)) {
        true => store.settle(&compared.path),
        false => {
            let doing = format!("cannot settle {}", shown(&compared.path));
            Err(Error::refused(doing, "it changed since it was compared"))
        }
    }
}
