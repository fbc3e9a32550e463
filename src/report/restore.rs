//! A restore in words and as JSON lines: what it will take, how thawing goes, what came of it.

use super::human;
use super::json::{VERSION, line};
use crate::restore::{Plan, Row, thawing::Step};
use crate::snapshot::{path_text, shown};
use crate::text::counted;
use serde::Serialize;
use std::path::Path;

/// What a restore will do.
pub fn plan(plan: &Plan) -> String {
    let mut text = format!(
        "{} from {} ({})\n",
        shown(&plan.subvolume),
        shown(&plan.key),
        plan.why
    );
    plan.rows.iter().for_each(|row| text += &self::row(row));
    text += &fetch(plan);
    let base = shown(&plan.base);
    text += &match plan.bytes {
        0 => format!("writable at {}\n", shown(&plan.target)),
        _ => format!(
            "received read-only in {base}, then writable at {}\n",
            shown(&plan.target)
        ),
    };
    text
}

/// `  incremental  20260103T020000Z   1.2 GiB in 3  DEEP_ARCHIVE, 3 frozen  NAME`
fn row(row: &Row) -> String {
    let state = match (&row.present, row.needed, row.frozen) {
        (Some(path), false, _) => format!("is here: {}", shown(path)),
        (_, false, _) => "not needed".to_owned(),
        (_, true, 0) => row.classes.join(" "),
        (_, true, n) => format!("{}, {n} frozen", row.classes.join(" ")),
    };
    let (size, chunks) = (human(row.bytes), row.chunks);
    let [kind, made, name, state] = [&row.kind, &row.created_at, &row.name, &state].map(shown);
    format!("  {kind:<11}  {made}  {size:>10} in {chunks}  {state}  {name}\n")
}

fn fetch(plan: &Plan) -> String {
    if plan.bytes == 0 {
        return "nothing to fetch\n".to_owned();
    }
    let (size, objects) = (human(plan.bytes), plan.objects);
    let frozen = match plan.frozen {
        0 => String::new(),
        n => format!(", {n} of them frozen"),
    };
    let mut text = format!(
        "to fetch: {size} ({} bytes) in {}{frozen}\n",
        plan.bytes,
        counted(objects, "object")
    );
    for wait in &plan.waits {
        text += &format!("to wait for {wait}\n");
    }
    text + &format!("{}\n", plan.cost)
}

/// How thawing goes, in a line; and whether it is news.
pub fn thaw(step: &Step) -> (String, bool) {
    match step {
        Step::Asked(n) => (
            format!("asked for {n} objects to be thawed, all at once"),
            true,
        ),
        Step::Waiting(open, all, waited) => {
            let minutes = waited.as_secs() / 60;
            let time = format!("{}:{:02} h", minutes / 60, minutes % 60);
            (
                format!("{open} of {all} objects are frozen still, waited {time}"),
                false,
            )
        }
    }
}

/// The end of a restore.
pub fn done(snapshot: &Path, target: &Path) -> String {
    let (snapshot, target) = (shown(snapshot), shown(target));
    format!("restored to {target}, a writable snapshot of {snapshot}\n")
}

#[derive(Serialize)]
struct PlanLine<'a> {
    version: u32,
    event: &'static str,
    subvolume: &'a str,
    manifest_key: &'a str,
    why: &'a str,
    chain: &'a [Row],
    bytes: u64,
    objects: usize,
    frozen: usize,
    tier: String,
    cost_dollars: Option<f64>,
    cost: String,
    #[serde(serialize_with = "path_text::serialize")]
    received_in: &'a Path,
    #[serde(serialize_with = "path_text::serialize")]
    target: &'a Path,
}

/// The same for scripts.
pub fn plan_json(plan: &Plan) -> String {
    line(&PlanLine {
        version: VERSION,
        event: "plan",
        subvolume: &plan.subvolume,
        manifest_key: &plan.key,
        why: &plan.why,
        chain: &plan.rows,
        bytes: plan.bytes,
        objects: plan.objects,
        frozen: plan.frozen,
        tier: plan.tier.to_string(),
        cost_dollars: plan.cost.dollars(),
        cost: plan.cost.to_string(),
        received_in: &plan.base,
        target: &plan.target,
    })
}

#[derive(Serialize)]
struct WordsLine<'a> {
    version: u32,
    event: &'static str,
    words: &'a str,
}

/// What was compared, for scripts.
pub fn compared_json(words: &str) -> String {
    let (version, event) = (VERSION, "compared");
    line(&WordsLine {
        version,
        event,
        words,
    })
}

#[derive(Serialize)]
struct DoneLine {
    version: u32,
    event: &'static str,
    snapshot: String,
    target: String,
}

/// The end of a restore, for scripts.
pub fn done_json(snapshot: &Path, target: &Path) -> String {
    line(&DoneLine {
        version: VERSION,
        event: "restored",
        snapshot: path_text::encode(snapshot),
        target: path_text::encode(target),
    })
}
