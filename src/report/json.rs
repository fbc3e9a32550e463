//! Results for scripts: one JSON object a line, each with the version of its form. Integers are
//! integers, unknown is null.

pub mod archives;
pub mod backup;

use crate::plan::{Obstacle, Plan, Step};
use crate::snapshot::{Listing, Origin, Snapshot, Uuid};
use crate::store::{Effort, Parts, Receipt};
use crate::sync::Summary;
use serde::Serialize;

pub(super) use crate::JSON_VERSION as VERSION;

#[derive(Serialize)]
struct ListingLine<'a> {
    version: u32,
    location: &'a str,
    snapshots: Vec<Row<'a>>,
    free_bytes: Option<u64>,
    partial: bool,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    id: Uuid,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

/// A listing.
pub fn listing(listing: &Listing) -> String {
    let rows = listing.snapshots.iter().map(|snapshot| Row {
        id: snapshot.id(),
        snapshot,
    });
    line(&ListingLine {
        version: VERSION,
        location: &listing.location,
        snapshots: rows.collect(),
        free_bytes: listing.free,
        partial: listing.partial,
        notes: &listing.notes,
    })
}

#[derive(Serialize)]
struct Adopted<'a> {
    version: u32,
    event: &'static str,
    location: &'a str,
    id: Uuid,
    #[serde(with = "crate::snapshot::path_text")]
    path: &'a std::path::Path,
    before: &'a Option<Origin>,
    origin: &'a Origin,
    done: bool,
}

/// What a snapshot is of from now on, or would be.
pub fn adopted(location: &str, snapshot: &Snapshot, origin: &Origin, done: bool) -> String {
    line(&Adopted {
        version: VERSION,
        event: "adopted",
        location,
        id: snapshot.id(),
        path: &snapshot.path,
        before: &snapshot.origin,
        origin,
        done,
    })
}

#[derive(Serialize)]
struct PlanLine<'a> {
    version: u32,
    steps: &'a [Step],
    obstacles: &'a [Obstacle],
    total_bytes: u64,
    strangers: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compare: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Effort>,
}

/// A plan.
pub fn plan(plan: &Plan) -> String {
    line(&PlanLine {
        version: VERSION,
        steps: &plan.steps,
        obstacles: &plan.obstacles,
        total_bytes: plan.total_bytes(),
        strangers: plan.strangers,
        compare: plan.compare,
        effort: plan.effort,
    })
}

#[derive(Serialize)]
struct StepLine<'a> {
    version: u32,
    event: &'static str,
    #[serde(flatten)]
    step: &'a Step,
    result: &'static str,
    received_bytes: Option<u64>,
    parts: Option<Parts>,
    error: Option<String>,
}

/// A step that has ended, well or with an error.
pub fn step(step: &Step, result: Result<&Receipt, String>) -> String {
    line(&StepLine {
        version: VERSION,
        event: "step",
        step,
        result: if result.is_ok() { "done" } else { "failed" },
        received_bytes: result.as_ref().ok().map(|receipt| receipt.bytes),
        parts: result.as_ref().ok().and_then(|receipt| receipt.parts),
        error: result.err(),
    })
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    version: u32,
    event: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// How a run ended.
pub fn summary(summary: &Summary) -> String {
    line(&SummaryLine {
        version: VERSION,
        event: "summary",
        summary,
    })
}

/// Our own values always have a JSON form: their keys are strings.
pub(super) fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}
