//! What a run shows on standard output: listings and plans, here for people, in `json` for scripts.
//! Makes text out of values; decides nothing.

pub mod archives;
pub mod findings;
pub mod json;
pub mod restore;
mod table;

use crate::backup::retention::Verdict;
use crate::error::{Error, Result};
use crate::plan::{Action, Obstacle, Plan, Step};
use crate::snapshot::{Listing, Size, Snapshot, shown};
use crate::store::Effort;
use crate::sync::Summary;
use crate::text::{counted, human, human_or_dash, minute};
use std::io::{self, Write};
use table::table;

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure of ours.
///
/// # Errors
/// If it cannot be written, for instance to a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// A listing as a table.
pub fn listing(listing: &Listing) -> String {
    let mut rows = vec![["STATE", "CREATED", "SIZE", "OWN", "UUID", "NAME"].map(str::to_owned)];
    rows.extend(listing.snapshots.iter().map(row));
    let count = listing.snapshots.len();
    let mut text = table(&rows);
    text.push_str(&format!(
        "{} in {}",
        counted(count, "snapshot"),
        listing.location
    ));
    if let Some(free) = listing.free {
        text.push_str(&format!(", {} free", human(free)));
    }
    text.push('\n');
    text
}

fn row(snapshot: &Snapshot) -> [String; 6] {
    [
        snapshot.state.to_string(),
        snapshot
            .created
            .and_then(minute)
            .unwrap_or_else(|| "-".to_owned()),
        human_or_dash(snapshot.referenced),
        human_or_dash(snapshot.exclusive),
        snapshot.id().to_string(),
        shown(&snapshot.path),
    ]
}

/// A plan for people: each step with its size and its reason, what is in the way, and the total.
pub fn plan(plan: &Plan) -> String {
    let mut rows = Vec::new();
    for step in &plan.steps {
        let verb = match step.action {
            Action::Keep => "keep",
            Action::Transfer => "send",
            Action::Copy => "copy",
            Action::Delete => "delete",
        };
        let size = if step.action == Action::Transfer {
            size(step.size)
        } else {
            String::new()
        };
        rows.push([
            verb.to_owned(),
            size,
            format!("{}  ({})", shown(&step.path), step.why),
        ]);
    }
    let mut text = table(&rows);
    for obstacle in &plan.obstacles {
        text.push_str(&format!("{}\n", obstacle_line(obstacle)));
    }
    let (count, total) = (plan.transfers().count(), plan.total_bytes());
    let deletions = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Delete)
        .count();
    if let Some(effort) = plan.effort.filter(|_| count > 0) {
        let Effort { requests, parts } = effort;
        text.push_str(&format!("{requests} requests that write, {parts} parts\n"));
    }
    text.push_str(&match (count, deletions) {
        (0, 0) => "nothing to do\n".to_owned(),
        (n, 0) => format!("{n} to send, {} ({total} bytes)\n", human(total)),
        (n, d) => format!(
            "{n} to send, {} ({total} bytes); {d} to delete\n",
            human(total)
        ),
    });
    text
}

/// How a plan sends the snapshot that another one had another way for.
pub fn instead<'a>(step: &Step, plan: &'a Plan) -> &'a str {
    let other = plan.transfers().find(|other| other.to == step.to);
    let how = other.and_then(|other| other.why.split([':', ';', ',']).next());
    how.unwrap_or("another way")
}

/// What has been done to a snapshot.
pub fn done(action: Action) -> &'static str {
    match action {
        Action::Keep => "kept",
        Action::Transfer => "sent",
        Action::Copy => "copied",
        Action::Delete => "deleted",
    }
}

/// What is being done to a snapshot.
pub fn doing(action: Action) -> &'static str {
    match action {
        Action::Keep => "keeping",
        Action::Transfer => "sending",
        Action::Copy => "copying",
        Action::Delete => "deleting",
    }
}

/// A size in a plan: exact bytes, or a guess that is seen to be one.
fn size(size: Size) -> String {
    match size {
        Size::Exact(bytes) => format!("{bytes} bytes"),
        Size::Estimate(bytes) => format!("about {}", human(bytes)),
        Size::Beyond(_) | Size::Unknown => "-".to_owned(),
    }
}

/// What is in the way, for people.
pub fn obstacle_line(obstacle: &Obstacle) -> String {
    let word = if obstacle.blocks {
        "cannot send"
    } else {
        "note"
    };
    match obstacle.path.as_os_str().is_empty() {
        true => format!("{word}: {}", obstacle.what),
        false => format!("{word}: {}: {}", shown(&obstacle.path), obstacle.what),
    }
}

/// How a run ended, for people.
pub fn summary(summary: &Summary) -> String {
    let mut text = match summary.sent {
        0 => "nothing sent".to_owned(),
        n => format!("{} sent, {}", counted(n, "snapshot"), human(summary.bytes)),
    };
    match summary.compared {
        0 => {}
        n if n == summary.sent => text.push_str(", compared with the source"),
        n => text.push_str(&format!(", {n} of them compared with the source")),
    }
    if summary.kept > 0 {
        text.push_str(&format!("; {} already there", summary.kept));
    }
    if summary.deleted > 0 {
        text.push_str(&format!("; {} deleted", summary.deleted));
    }
    if summary.strangers > 0 {
        text.push_str(&format!("; {} of others kept", summary.strangers));
    }
    if summary.failed > 0 {
        text.push_str(&format!("; {} failed", summary.failed));
    }
    text.push('\n');
    text
}

/// What stays at a location and what goes: in a dry run everything, else what goes.
pub fn verdicts(location: &str, verdicts: &[Verdict], dry_run: bool) -> String {
    let mut text = String::new();
    for verdict in verdicts
        .iter()
        .rev()
        .filter(|verdict| dry_run || !verdict.keep)
    {
        let word = match (verdict.keep, dry_run) {
            (true, _) => "keep",
            (false, true) => "delete",
            (false, false) => "deleting",
        };
        let path = shown(&verdict.candidate.path);
        text += &format!("{location}: {word} {path} ({})\n", verdict.why);
    }
    text
}
