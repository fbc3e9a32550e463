//! What a verification found, as lines for people and for scripts.

use super::json::VERSION;
use crate::proof::{Finding, Verdict};
use crate::snapshot::shown;
use crate::verify::Report;
use serde::Serialize;

/// A line about a snapshot.
pub fn line(finding: &Finding) -> String {
    let word = match finding.verdict {
        Verdict::Proved(_) => "proved",
        Verdict::Unverifiable(_) => "unverifiable",
        Verdict::Different(_) => "different",
    };
    let words = finding.verdict.words();
    format!("{word:12}  {}: {words}\n", shown(&finding.path))
}

/// How many there are of each kind.
pub fn summary(report: &Report) -> String {
    let [proved, open, different] = report.counts();
    let words = match report.findings.len() {
        1 => "snapshot",
        _ => "snapshots",
    };
    format!(
        "{} {words}: {proved} proved, {open} unverifiable, {different} different\n",
        report.findings.len()
    )
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
    proved: usize,
    unverifiable: usize,
    different: usize,
}

/// The same for scripts.
pub fn json_summary(report: &Report) -> String {
    let [proved, unverifiable, different] = report.counts();
    super::json::line(&Summary {
        version: VERSION,
        event: "summary",
        location: &report.listing.location,
        proved,
        unverifiable,
        different,
    })
}
