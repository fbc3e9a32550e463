//! Looks at what is stored, without trusting that it was written well: each store holds its snapshots
//! against its records, and another place against its own. Changes nothing and prints nothing.

mod drill;
mod files;
mod identity;
mod streams;
mod trees;

use crate::error::{Error, Kind, Result};
use crate::event::{Counts, Event, Listener, Verified};
use crate::proof::{Depth, Finding, Seen, Verdict};
use crate::snapshot::{Listing, Snapshot, State};
use crate::store::Store;
pub use drill::{DrillOutcome, ReceiveTrial, RehearsalTrial, Sample, Trial, drill};
pub use files::files;
pub use identity::same_snapshots;
use std::path::{Path, PathBuf};
pub use streams::same_streams;
pub use trees::{content, copies};

/// What is altered by its record only.
const MOVED: &str =
    "its generation moved, and its content did not, as where blocks are deduplicated";

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// A verdict on each snapshot, and on each that another place has and this one lacks.
    pub findings: Vec<Finding>,
    /// What was verified; its notes say what could not be read.
    pub listing: Listing,
}

/// Holds what a store has against its own records.
///
/// # Errors
/// If the store cannot be read at all.
pub fn alone(store: &mut dyn Store, depth: Depth, listener: &mut Listener) -> Result<Verification> {
    let listing = store.list()?;
    let findings = store.inspect(depth, &mut |far| listener(Event::Verifying(far)))?;
    Ok(Verification { findings, listing })
}

/// What was found, for who asks how things stand.
pub fn in_words(findings: &[Finding]) -> String {
    let count = |rank| {
        findings
            .iter()
            .filter(|finding| finding.verdict.rank() == rank)
            .count()
    };
    match (count(1), count(2)) {
        (0, 0) => format!("{} in order", findings.len()),
        (unverifiable, 0) => format!("{unverifiable} of {} not verified", findings.len()),
        (_, different) => format!("{different} of {} differ", findings.len()),
    }
}

impl Verification {
    /// How many there are of each kind of finding.
    pub fn counts(&self) -> Counts {
        let count = |is: &dyn Fn(&Verdict) -> bool| {
            let verdicts = self.findings.iter().map(|finding| &finding.verdict);
            verdicts.filter(|verdict| is(verdict)).count()
        };
        Counts {
            seen: Seen::ALL
                .into_iter()
                .map(|seen| (seen, count(&|verdict| verdict.has(seen))))
                .collect(),
            unverifiable: count(&|verdict| verdict.rank() == 1),
            different: count(&|verdict| verdict.rank() == 2),
        }
    }

    /// What there is to say when all findings are told.
    pub fn summary(&self) -> Verified {
        Verified {
            location: self.listing.location.clone(),
            counts: self.counts(),
            snapshots: self.findings.len(),
        }
    }

    /// What it comes to as a whole. A difference weighs more than what could not be checked.
    ///
    /// # Errors
    /// [`Kind::Different`] if something differs, [`Kind::Partly`] if something could not be checked and
    /// other things could, [`Kind::Failed`] if nothing could, or there was nothing to check.
    pub fn verdict(&self) -> Result<()> {
        let place = &self.listing.location;
        let failure = |kind, said: String| Error::new(kind, format!("verifying {place}"), said);
        let error = |kind, said| Err(failure(kind, said));
        let counts = self.counts();
        match (counts.unverifiable, counts.different) {
            (0, 0) if self.findings.is_empty() => error(
                Kind::Failed,
                "there are no snapshots, so nothing was verified".into(),
            ),
            (0, 0) if self.listing.partial => {
                let said =
                    "there may be snapshots that could not be listed, and these are not verified";
                Err(failure(Kind::Failed, said.into()).hint("run it as root, who sees all"))
            }
            (0, 0) => Ok(()),
            (open, 0) if open < self.findings.len() => {
                error(Kind::Partly, format!("{open} could not be verified"))
            }
            (open, 0) => error(Kind::Failed, format!("{open} could not be verified")),
            (_, wrong) => error(Kind::Different, format!("{wrong} not as they should be")),
        }
    }

    /// Takes in what was found in a part of the same place, at this path below it.
    pub fn join(&mut self, part: Verification, at: &Path) {
        let below = |path: PathBuf| at.join(path);
        let findings = part.findings.into_iter().map(|finding| Finding {
            path: below(finding.path),
            ..finding
        });
        self.findings.extend(findings);
        let snapshots = part.listing.snapshots.into_iter().map(|snapshot| Snapshot {
            path: below(snapshot.path),
            ..snapshot
        });
        self.listing.snapshots.extend(snapshots);
        self.listing.notes.extend(part.listing.notes);
    }

    /// Adds a remark to what is known of a snapshot, which makes it no better.
    fn remark(&mut self, snapshot: &Snapshot, remark: &str) {
        match self.finding(snapshot) {
            Some(finding) => finding.verdict = finding.verdict.clone().remarked(remark),
            None => {
                let verdict = Verdict::Unverifiable(format!("{remark}, and nothing else is known"));
                self.findings.push(Finding::of(snapshot, verdict));
            }
        }
    }

    fn finding(&mut self, snapshot: &Snapshot) -> Option<&mut Finding> {
        let of = |f: &&mut Finding| f.path == snapshot.path && f.id == snapshot.id();
        self.findings.iter_mut().find(of)
    }

    /// What was seen of the content, in the place of what its record let one think.
    fn correct(&mut self, snapshot: &Snapshot, verdict: Verdict) {
        if let Some(finding) = self.finding(snapshot) {
            finding.verdict = verdict;
        }
    }

    /// Adds a verdict to what is known of a snapshot. Who has seen its content needs no records.
    fn add(&mut self, snapshot: &Snapshot, verdict: Verdict, has_seen_content: bool) {
        let Some(finding) = self.finding(snapshot) else {
            return self.findings.push(Finding::of(snapshot, verdict));
        };
        let before = finding.verdict.clone();
        finding.verdict = match has_seen_content && before.rank() == 1 && verdict.rank() == 0 {
            true => verdict,
            false => before.and(verdict),
        };
    }
}

/// Whether it is a snapshot, and no leftover or the like.
fn counts(snapshot: &Snapshot) -> bool {
    snapshot.read_only && snapshot.state != State::Partial
}

/// The copies of a snapshot at another place, of which one that is in no doubt is the first. Where this one is in no
/// doubt itself, one that looks altered may still be the same.
fn copies_of<'a>(snapshot: &Snapshot, there: &'a Listing) -> Vec<&'a Snapshot> {
    let same = |s: &&Snapshot| counts(s) && s.id() == snapshot.id();
    let mut copies: Vec<_> = there.snapshots.iter().filter(same).collect();
    copies.retain(|s| is_sound(s) || is_sound(snapshot));
    copies.sort_by_key(|s| !is_sound(s));
    copies
}

/// Whether it can be held against others: it is what it was.
fn is_sound(snapshot: &Snapshot) -> bool {
    counts(snapshot) && snapshot.state != State::Altered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;

    fn report(verdicts: &[Verdict]) -> Verification {
        let finding = |verdict: &Verdict| Finding {
            path: "s".into(),
            id: Uuid([1; 16]),
            verdict: verdict.clone(),
        };
        Verification {
            findings: verdicts.iter().map(finding).collect(),
            listing: Listing::default(),
        }
    }

    #[test]
    fn only_what_was_seen_is_success() {
        let (seen, open, wrong) = (
            Verdict::seen(Seen::Sealed, ""),
            Verdict::Unverifiable(String::new()),
            Verdict::Different(String::new()),
        );
        let code = |verdicts: &[Verdict]| {
            let verdict = report(verdicts).verdict();
            verdict.map_or_else(|error| error.exit_code(), |()| 0)
        };
        assert_eq!(code(&[]), 1);
        assert_eq!(code(std::slice::from_ref(&seen)), 0);
        assert_eq!(code(&[seen.clone(), open.clone()]), 10);
        assert_eq!(code(std::slice::from_ref(&open)), 1);
        assert_eq!(code(&[seen.clone(), open, wrong]), 4);
        let mut partial = report(&[seen]);
        partial.listing.notes.push("some remark".to_owned());
        assert!(partial.verdict().is_ok());
        partial.listing.partial = true;
        assert_eq!(partial.verdict().unwrap_err().exit_code(), 1);
    }
}
