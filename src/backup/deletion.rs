//! Carries out what retention has decided: in an order in which nothing goes before what is built on it,
//! and one that cannot go keeps no other from going. Knows no store.

use super::retention::Decision;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Judged, Retention};
use crate::process;
use crate::snapshot::{Graph, Uuid};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::AddAssign;
use std::path::Path;

/// What could not be deleted.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<Error>);

impl Failures {
    /// The errors, one for each snapshot that could not be deleted.
    pub(super) fn all(&self) -> &[Error] {
        &self.0
    }

    /// The error that they come to at a place.
    pub(super) fn verdict(self, place: &str) -> Result<()> {
        let count = self.0.len();
        match self.0.first() {
            None => Ok(()),
            Some(first) => {
                let doing = format!("cannot delete all that is not kept in {place}");
                let said = format!("{count} could not be deleted, the first: {first}");
                Err(Error::new(Kind::Partly, doing, said))
            }
        }
    }
}

impl AddAssign for Failures {
    fn add_assign(&mut self, more: Failures) {
        self.0.extend(more.0);
    }
}

/// What was decided about a place, for people and programs.
pub(super) fn event(location: &str, decisions: &[Decision], dry_run: bool) -> Event {
    Event::Retention(Retention {
        location: location.to_owned(),
        snapshots: decisions.iter().map(judged).collect(),
        dry_run,
    })
}

/// Deletes what is not kept.
///
/// # Errors
/// If it was interrupted.
pub(super) fn delete(
    decisions: &[Decision],
    graph: &Graph,
    mut delete: impl FnMut(&Path) -> Result<()>,
) -> Result<Failures> {
    let mut failures = Failures::default();
    for decision in doomed(decisions, graph) {
        process::check("deleting old snapshots")?;
        match delete(&decision.candidate.path) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => failures.0.push(error),
        }
    }
    Ok(failures)
}

/// What is to go, in order: nothing before what is built on it, whatever the clock was when that was
/// made; else the newest first.
fn doomed<'a>(decisions: &'a [Decision], graph: &Graph) -> Vec<&'a Decision> {
    let mut doomed: Vec<&Decision> = decisions.iter().filter(|decision| !decision.keep).collect();
    let made: HashMap<Uuid, Timestamp> = doomed
        .iter()
        .map(|decision| (decision.candidate.id, decision.candidate.made))
        .collect();
    let order = graph.parents_first(|id| made.get(&id).copied());
    let place: HashMap<Uuid, usize> = order.into_iter().zip(0..).collect();
    doomed.sort_by_key(|decision| Reverse(place.get(&decision.candidate.id)));
    doomed
}

fn judged(decision: &Decision) -> Judged {
    Judged {
        path: decision.candidate.path.clone(),
        id: decision.candidate.id,
        keep: decision.keep,
        why: decision.why.clone(),
    }
}
