//! The same snapshots in two directories of this machine, compared byte by byte. Changes nothing.

use super::files::with_heirs;
use super::{MOVED, Verification, copies_of, counts, is_sound};
use crate::checksum::{ChecksumOptions, TreeComparison, WorkCounters, compare_trees};
use crate::error::{Doing, Kind, Result};
use crate::event::{Event, Listener};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{Listing, State, shown};
use crate::sys::dir;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Compares the snapshots that are in two directories of this machine, byte by byte.
///
/// # Errors
/// If a signal asks to stop.
pub fn content(
    report: &mut Verification,
    dir: &Path,
    there: &Listing,
    other: &Path,
    listener: &mut Listener,
) -> Result<()> {
    let here = report.listing.snapshots.clone();
    for snapshot in here.iter().filter(|s| counts(s)) {
        process::check("verifying")?;
        let there = copies_of(snapshot, there).into_iter();
        let there: Vec<_> = there
            .map(|copy| (other.join(&copy.path), is_sound(copy)))
            .collect();
        let Some((any, sound)) = there.first() else {
            continue; // that it is missing or altered there has been said
        };
        listener(Event::verifying(shown(&snapshot.path)));
        let ours = dir.join(&snapshot.path);
        let verdict = match there.iter().find(|(theirs, _)| !is_itself(&ours, theirs)) {
            Some((theirs, _)) => copies(&ours, theirs, None)?,
            None => Verdict::Unverifiable(format!(
                "{} is this snapshot itself and no copy of it",
                shown(any)
            )),
        };
        let verdict = with_heirs(verdict, snapshot, &report.listing);
        match verdict.has(Seen::Same) {
            true if snapshot.state == State::Altered => {
                report.correct(snapshot, verdict.remarked(MOVED));
            }
            true if !sound => report.correct(snapshot, verdict.remarked(THEIRS_MOVED)),
            false if !sound => {} // that it was altered has been said
            _ => report.add(snapshot, verdict, true),
        }
    }
    Ok(())
}

const THEIRS_MOVED: &str = "the generation of that one moved, and its content did not, as where blocks are deduplicated \
                            (verifying that place against this one seals it)";

/// Whether two paths lead to one subvolume, which is always like itself.
fn is_itself(ours: &Path, theirs: &Path) -> bool {
    let place = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    matches!((place(ours), place(theirs)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// Compares two copies of one snapshot on this machine: everything, or with `sample` all names and
/// attributes but the contents of only so many files.
///
/// # Errors
/// If a signal asks to stop.
pub fn copies(ours: &Path, theirs: &Path, sample: Option<usize>) -> Result<Verdict> {
    let options = ChecksumOptions {
        xattrs: true,
        ignore_stubs: true,
        flags: sample.is_none(),
        sample,
        ..ChecksumOptions::default()
    };
    let outcome = tops(ours, theirs).and_then(|same| {
        // The copy is what may have changed.
        let outcome = compare_trees(theirs, ours, &options, &WorkCounters::default())?;
        Ok((same, outcome))
    });
    match outcome {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => Ok(Verdict::Unverifiable(error.to_string())),
        Ok((same, outcome)) => Ok(judged(same, &outcome, theirs, sample)),
    }
}

/// Whether the two top directories have one mode and owner, and the same extended attributes. Their
/// times may differ: btrfs receive works in there.
fn tops(ours: &Path, theirs: &Path) -> Result<bool> {
    let look = |path: &Path| {
        let top = File::open(path)?;
        let found = top.metadata()?;
        let xattrs = dir::xattrs_at(top.as_fd(), b".")?;
        Ok((found.mode(), found.uid(), found.gid(), xattrs))
    };
    let look = |path: &Path| look(path).doing(|| format!("cannot look at {}", shown(path)));
    Ok(look(ours)? == look(theirs)?)
}

/// What did not travel: the flags that chattr sets are in no stream.
fn but_flags(differ: &[(PathBuf, String)]) -> String {
    let name = |(path, letters): &(PathBuf, String)| match path.as_os_str().is_empty() {
        true => format!("its top ({letters})"),
        false => format!("{} ({letters})", shown(path)),
    };
    let names: Vec<String> = differ.iter().take(3).map(name).collect();
    let so = "flags that chattr sets, and that do not travel, are not the same";
    match (differ.len(), names.join(", ")) {
        (0, _) => String::new(),
        (1..=3, names) => format!(", but {so}: {names}"),
        (all, names) => format!(", but {so} of {all} files, such as {names}"),
    }
}

fn judged(
    same_top: bool,
    outcome: &TreeComparison,
    theirs: &Path,
    sample: Option<usize>,
) -> Verdict {
    let theirs = shown(theirs);
    match (&outcome.differences[..], &outcome.errors[..]) {
        ([], _) if !same_top => Verdict::Different(format!(
            "the mode, owner or extended attributes of its top are not those of {theirs}"
        )),
        ([], []) => Verdict::seen(
            Seen::Same,
            match sample {
                None => format!(
                    "byte by byte the same as {theirs}{}",
                    but_flags(&outcome.flags)
                ),
                Some(files) => format!(
                    "as {theirs} in all names and attributes, and in the contents of {files} files at most"
                ),
            },
        ),
        ([], [error, ..]) => Verdict::Unverifiable(error.to_string()),
        ([first, rest @ ..], _) => {
            let more = match rest.len() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            Verdict::Different(format!("unlike {theirs}: {first}{more}"))
        }
    }
}
