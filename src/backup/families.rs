//! Retention where backups arrive, by whoever owns the place: each origin is judged by itself, and what
//! came by different keys of a server apart. What did not arrive, and what no record attributes, is shown and
//! kept. Knows no source.

use super::deletion;
use super::retention::{self, Candidate, Holds, Policy};
use crate::error::Result;
use crate::event::{Event, Listener};
use crate::glob;
use crate::snapshot::{Listing, Origin, Snapshot, State, Subject, shown};
use crate::store::Store;
use jiff::{Timestamp, Zoned};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PruneOrder {
    /// What each family keeps.
    pub keeps: Policy,
    /// Patterns of what is neither judged nor deleted.
    pub exclude: Vec<OsString>,
    /// Nothing is deleted.
    pub dry_run: bool,
}

/// Lets each family in a store keep what the policy says.
///
/// # Errors
/// [`crate::error::Kind::Partly`] if something could not be deleted; whatever stops all of it.
pub fn prune(
    order: &PruneOrder,
    store: &mut dyn Store,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let listing = store.list()?;
    for note in &listing.notes {
        listener(Event::note(note.clone()));
    }
    let graph = listing.offer.graph();
    let mut failed = deletion::Failures::default();
    for (origin, snapshots) in families(&listing, order, listener) {
        let place = format!("{} ({origin})", listing.location);
        let candidates = snapshots.iter().map(|s| candidate(s, now)).collect();
        let bonds = Holds {
            graph: graph.clone(),
            ..Holds::default()
        };
        let decisions = retention::judge(candidates, &order.keeps, &bonds, now);
        listener(deletion::event(&place, &decisions, order.dry_run));
        if !order.dry_run {
            failed += deletion::delete(&decisions, &graph, |path| store.delete(path))?;
        }
    }
    for error in failed.all() {
        listener(Event::note(error.to_string()));
    }
    failed.verdict(&listing.location)
}

/// The snapshots of each origin that came by the same key, with one of the origins.
fn families<'a>(
    listing: &'a Listing,
    order: &PruneOrder,
    listener: &mut Listener,
) -> Vec<(&'a Origin, Vec<&'a Snapshot>)> {
    let meant = |s: &&Snapshot| {
        let bad = [
            State::Partial,
            State::Altered,
            State::Uncompared,
            State::Duplicate,
        ];
        let sound = !bad.contains(&s.state);
        s.read_only && sound && !glob::any(&order.exclude, &s.path)
    };
    let mut families: BTreeMap<(Subject, String), (&Origin, Vec<&Snapshot>)> = BTreeMap::new();
    let mut strangers = Vec::new();
    for snapshot in listing.snapshots.iter().filter(meant) {
        let arrived = listing.offer.keeps_diffs() || snapshot.received_uuid.is_some();
        let origin = snapshot.origin.as_ref().filter(|origin| origin.says_what());
        match origin.filter(|_| arrived) {
            Some(origin) => {
                let key = (origin.subject(), String::from(origin.by.clone()));
                let family = families.entry(key).or_insert((origin, Vec::new()));
                family.1.push(snapshot);
            }
            None => strangers.push(snapshot),
        }
    }
    if let Some(newest) = strangers.iter().max_by_key(|s| s.created) {
        let (count, name) = (strangers.len(), shown(&newest.path));
        let said = "made here, or of nothing that is known (buttersink adopt says of what)";
        listener(Event::note(format!(
            "neither counted nor deleted: {count}, the newest of them {name}, {said}"
        )));
    }
    families.into_values().collect()
}

/// It was made no later than it arrived.
fn candidate(snapshot: &Snapshot, now: &Zoned) -> Candidate {
    let second = |at: Option<i64>| at.and_then(|at| Timestamp::from_second(at).ok());
    let arrived = second(snapshot.created);
    let made = second(snapshot.origin.as_ref().and_then(|origin| origin.made));
    let times = [made, arrived].into_iter().flatten();
    Candidate {
        path: snapshot.path.clone(),
        id: snapshot.id(),
        made: times.min().unwrap_or(now.timestamp()),
        arrived,
        order: snapshot.otransid,
    }
}
