//! What a verification found, as lines for people and for scripts.

use super::json::VERSION;
use crate::proof::Finding;
use crate::snapshot::shown;
use crate::text::counted;
use crate::verify::{Counts, Report};
use serde::Serialize;

/// A line about a snapshot.
pub fn line(finding: &Finding) -> String {
    let (word, words) = (finding.verdict.label(), finding.verdict.words());
    format!("{word:12}  {}: {words}\n", shown(&finding.path))
}

/// How many there are of each kind.
pub fn summary(report: &Report) -> String {
    let counts = report.counts();
    let mut text = counted(report.findings.len(), "snapshot") + ": ";
    for (seen, count) in counts.seen.iter().filter(|(_, count)| **count > 0) {
        text.push_str(&format!("{count} {}, ", seen.word()));
    }
    let (open, different) = (counts.unverifiable, counts.different);
    text + &format!("{open} unverifiable, {different} different\n")
}

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    event: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// The same for scripts.
pub fn json(finding: &Finding) -> String {
    super::json::line(&Line {
        version: VERSION,
        event: "finding",
        finding,
    })
}

#[derive(Serialize)]
struct Summary<'a> {
    version: u32,
    event: &'static str,
    location: &'a str,
    #[serde(flatten)]
    counts: Counts,
}

/// The same for scripts.
pub fn json_summary(report: &Report) -> String {
    super::json::line(&Summary {
        version: VERSION,
        event: "summary",
        location: &report.listing.location,
        counts: report.counts(),
    })
}
