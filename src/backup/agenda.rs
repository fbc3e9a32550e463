//! What is to be done for a subvolume now: a new backup, the rest of an interrupted one, or nothing.
//! Pure: listings and the time come in as values.

use super::names;
use super::retention::root;
use super::run::parents;
use super::schedule::{Due, Kind, Past, Schedule};
use crate::snapshot::{Listing, Snapshot, State, Uuid};
use crate::store::archive::stamp;
use jiff::{Timestamp, Zoned};
use std::collections::HashSet;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Agenda {
    /// A new snapshot, to be sent in this way, and why.
    New(Kind, String),
    /// The newest snapshot has not arrived yet; and why it is sent before there is a new one.
    Finish(Kind, String),
    /// The newest has not arrived at all destinations.
    Owed,
    /// Nothing before this moment, and what then.
    Later(Zoned, Kind),
}

/// What there is of an archive's newest chain.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The last full backup.
    pub last_full: Option<Timestamp>,
    /// The last backup.
    pub last: Option<Timestamp>,
    /// Its links: effective UUIDs.
    pub links: HashSet<Uuid>,
}

/// The newest snapshot here, if it has not arrived in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// When it was made.
    pub made: Timestamp,
    /// As its name says.
    pub kind: Kind,
    /// Parts of it are in the bucket.
    pub begun: bool,
}

impl Chain {
    /// The newest chain of what can be restored.
    pub fn newest(listing: &Listing) -> Chain {
        let sound = || listing.snapshots.iter().filter(|s| s.state == State::Ok);
        let parents = parents(&listing.offer);
        let made = |s: &Snapshot| Timestamp::from_second(s.created?).ok();
        let full = sound().filter(|s| !parents.contains_key(&s.id()));
        let Some(newest) = sound().max_by_key(|s| (s.created, &s.path)) else {
            return Chain::default();
        };
        let of = |s: &&Snapshot| root(s.id(), &parents) == root(newest.id(), &parents);
        Chain {
            last_full: full.filter_map(made).max(),
            last: made(newest),
            links: sound().filter(of).map(Snapshot::id).collect(),
        }
    }
}

/// The newest of our snapshots, if it is newer than the last backup and not in the bucket.
pub fn pending(ours: &[Snapshot], chain: &Chain, archive: &Listing) -> Option<Pending> {
    let newest = ours.last()?;
    let name = newest.path.to_str()?;
    let (_, made, kind) = names::scheduled_parts(name)?;
    if chain.links.contains(&newest.id()) || chain.last.is_some_and(|last| made <= last) {
        return None;
    }
    let stamp = stamp::stamp(made);
    let mut leftovers = archive
        .snapshots
        .iter()
        .filter(|s| s.state == State::Partial);
    let begun = leftovers.any(|s| s.path.to_string_lossy().contains(&stamp));
    Some(Pending { made, kind, begun })
}

/// Decides. `force` makes a backup in any case; `owed` says that a destination lacks the newest
/// snapshot.
pub fn decide(
    schedule: &Schedule,
    past: &Past,
    pending: Option<Pending>,
    owed: bool,
    now: &Zoned,
    force: bool,
) -> Agenda {
    let due = schedule.due(past, now, force);
    if let Some(pending) = pending {
        // An incremental one that has nothing to build on any more goes whole.
        let kind = match past.broken.is_some() || past.last_full.is_none() {
            true => Kind::Full,
            false => pending.kind,
        };
        if pending.begun {
            return Agenda::Finish(kind, "its upload was interrupted".to_owned());
        }
        if let (Due::Now(..), false) = (&due, force)
            && let Due::Later(..) = schedule.due(&counting(past, &pending), now, false)
        {
            return Agenda::Finish(kind, "it has not arrived yet".to_owned());
        }
    }
    match due {
        Due::Now(kind, why) => Agenda::New(kind, why),
        Due::Later(..) if owed => Agenda::Owed,
        Due::Later(at, kind) => Agenda::Later(at, kind),
    }
}

/// The past, had the pending snapshot arrived.
fn counting<'a>(past: &Past<'a>, pending: &Pending) -> Past<'a> {
    Past {
        last: Some(pending.made),
        last_full: match pending.kind {
            Kind::Full => Some(pending.made),
            Kind::Incremental => past.last_full,
        },
        broken: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Diff, Offer, Size};
    use jiff::civil::time;

    const SCHEDULE: Schedule = Schedule {
        full_every: 28,
        incremental_every: 7,
        run_at: time(2, 0, 0, 0),
    };

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}Z").parse().unwrap()
    }

    fn decided(past: &Past, pending: Option<Pending>, now: &str, force: bool) -> Agenda {
        let now = at(now).to_zoned(jiff::tz::TimeZone::UTC);
        decide(&SCHEDULE, past, pending, false, &now, force)
    }

    fn past() -> Past<'static> {
        Past {
            last_full: Some(at("03-01T02:00:00")),
            last: Some(at("03-08T02:00:00")),
            broken: None,
        }
    }

    fn pending(made: &str, begun: bool) -> Option<Pending> {
        Some(Pending {
            made: at(made),
            kind: Kind::Incremental,
            begun,
        })
    }

    #[test]
    fn what_was_interrupted_is_finished_first() {
        let finish = |kind: Kind, agenda: Agenda| match agenda {
            Agenda::Finish(found, _) => assert_eq!(found, kind),
            other => panic!("{other:?}"),
        };
        // Whenever that is, and even if a backup is asked for.
        let begun = pending("03-15T02:00:00", true);
        for now in ["03-15T03:00:00", "03-16T03:00:00", "06-01T00:00:00"] {
            finish(Kind::Incremental, decided(&past(), begun, now, false));
            finish(Kind::Incremental, decided(&past(), begun, now, true));
        }
        // Without its parent it goes whole.
        let broken = Past {
            broken: Some("gone"),
            ..past()
        };
        finish(Kind::Full, decided(&broken, begun, "03-15T03:00:00", false));
        let none = Past::default();
        finish(Kind::Full, decided(&none, begun, "03-15T03:00:00", false));
    }

    #[test]
    fn what_did_not_even_begin_serves_until_the_next_is_due() {
        let waiting = pending("03-15T02:00:00", false);
        let is_finish = |agenda: Agenda| matches!(agenda, Agenda::Finish(..));
        assert!(is_finish(decided(
            &past(),
            waiting,
            "03-16T03:00:00",
            false
        )));
        assert!(is_finish(decided(
            &past(),
            waiting,
            "03-21T03:00:00",
            false
        )));
        // A week later there has to be a new one, and whenever one is asked for.
        assert!(!is_finish(decided(
            &past(),
            waiting,
            "03-22T03:00:00",
            false
        )));
        assert!(!is_finish(decided(
            &past(),
            waiting,
            "03-16T03:00:00",
            true
        )));
        // It is none of our business before anything is due.
        let early = pending("03-09T02:00:00", false);
        let agenda = decided(&past(), early, "03-10T03:00:00", false);
        assert!(matches!(agenda, Agenda::Later(..)), "{agenda:?}");
    }

    #[test]
    fn destinations_that_lack_something_get_it_when_nothing_is_due() {
        let now = at("03-09T03:00:00").to_zoned(jiff::tz::TimeZone::UTC);
        let owed = |owed| decide(&SCHEDULE, &past(), None, owed, &now, false);
        assert_eq!(owed(true), Agenda::Owed);
        assert!(matches!(owed(false), Agenda::Later(..)));
        let later = at("03-15T03:00:00").to_zoned(jiff::tz::TimeZone::UTC);
        let due = decide(&SCHEDULE, &past(), None, true, &later, false);
        assert!(matches!(due, Agenda::New(Kind::Incremental, _)));
    }

    #[test]
    fn the_newest_chain_is_that_of_the_newest_backup() {
        let id = |n: u8| Uuid([n; 16]);
        let snapshot = |n: u8| Snapshot {
            path: n.to_string().into(),
            uuid: id(n),
            read_only: true,
            created: Some(i64::from(n) * 86_400),
            ..Snapshot::default()
        };
        let diff = |to, from: Option<u8>| Diff {
            to: id(to),
            from: from.map(id),
            size: Size::Exact(1),
        };
        let listing = Listing {
            snapshots: (1..=5).map(snapshot).collect(),
            offer: Offer::Only(vec![
                diff(1, None),
                diff(2, Some(1)),
                diff(3, None),
                diff(4, Some(3)),
                diff(5, Some(3)),
            ]),
            ..Listing::default()
        };
        let chain = Chain::newest(&listing);
        assert_eq!(chain.links, HashSet::from([id(3), id(4), id(5)]));
        assert_eq!(chain.last_full, Timestamp::from_second(3 * 86_400).ok());
        assert_eq!(chain.last, Timestamp::from_second(5 * 86_400).ok());
        assert!(Chain::newest(&Listing::default()).links.is_empty());
    }
}
