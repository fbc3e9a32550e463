//! What a backup does, for scripts: the same kind of lines, with the location of each.

use super::{VERSION, line};
use crate::backup::retention::Verdict;
use crate::error::Error;
use crate::plan::{Obstacle, Plan, Step};
use crate::snapshot::{Uuid, path_text};
use crate::sync::Summary;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct SnapshotLine<'a> {
    version: u32,
    event: &'static str,
    #[serde(serialize_with = "path_text::serialize")]
    path: &'a Path,
    made: bool,
    why: Option<&'a str>,
}

/// A snapshot that was made, would be (not `made`), or is not needed (no reason).
pub fn snapshot(path: &Path, why: Option<&str>, made: bool) -> String {
    let (version, event) = (VERSION, "snapshot");
    line(&SnapshotLine {
        version,
        event,
        path,
        made,
        why,
    })
}

#[derive(Serialize)]
struct DueLine<'a> {
    version: u32,
    event: &'static str,
    #[serde(serialize_with = "path_text::serialize")]
    subvolume: &'a Path,
    what: &'a str,
}

/// What is due for a subvolume, in words.
pub fn due(subvolume: &Path, what: &str) -> String {
    let (version, event) = (VERSION, "due");
    line(&DueLine {
        version,
        event,
        subvolume,
        what,
    })
}

#[derive(Serialize)]
struct CostLine<'a> {
    version: u32,
    event: &'static str,
    destination: &'a str,
    estimate: &'a str,
}

/// What a plan takes and costs at a destination, in words.
pub fn cost(destination: &str, estimate: &str) -> String {
    let (version, event) = (VERSION, "cost");
    line(&CostLine {
        version,
        event,
        destination,
        estimate,
    })
}

#[derive(Serialize)]
struct PlanLine<'a> {
    version: u32,
    event: &'static str,
    destination: &'a str,
    steps: &'a [Step],
    obstacles: &'a [Obstacle],
    total_bytes: u64,
}

/// What a destination would get.
pub fn plan(destination: &str, plan: &Plan) -> String {
    line(&PlanLine {
        version: VERSION,
        event: "plan",
        destination,
        steps: &plan.steps,
        obstacles: &plan.obstacles,
        total_bytes: plan.total_bytes(),
    })
}

#[derive(Serialize)]
struct DestinationLine<'a> {
    version: u32,
    event: &'static str,
    destination: &'a str,
    result: &'static str,
    #[serde(flatten)]
    summary: Option<&'a Summary>,
    error: Option<String>,
}

/// A destination that has everything now.
pub fn arrived(destination: &str, summary: &Summary) -> String {
    line(&DestinationLine {
        version: VERSION,
        event: "destination",
        destination,
        result: "done",
        summary: Some(summary),
        error: None,
    })
}

/// A destination that has not.
pub fn failed(destination: &str, error: &Error) -> String {
    line(&DestinationLine {
        version: VERSION,
        event: "destination",
        destination,
        result: "failed",
        summary: None,
        error: Some(error.to_string()),
    })
}

#[derive(Serialize)]
struct RetentionLine<'a> {
    version: u32,
    event: &'static str,
    location: &'a str,
    snapshots: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "path_text::serialize")]
    path: &'a Path,
    id: Uuid,
    keep: bool,
    why: &'a str,
}

/// What stays at a location and what goes.
pub fn verdicts(location: &str, verdicts: &[Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| Row {
        path: &verdict.candidate.path,
        id: verdict.candidate.id,
        keep: verdict.keep,
        why: &verdict.why,
    });
    line(&RetentionLine {
        version: VERSION,
        event: "retention",
        location,
        snapshots: rows.collect(),
    })
}
