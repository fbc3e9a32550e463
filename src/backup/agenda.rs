//! What is to be done for a subvolume now: a new backup, the rest of an interrupted one, or nothing.
//! Pure: listings and the time come in as values.

use super::names;
use super::run::own_chains;
use super::schedule::{BackupKind, Cycle, Due, Past, Schedule};
use crate::archive::{Begun, Stamp};
use crate::snapshot::{Listing, Origin, Snapshot, State, Uuid, shown};
use jiff::{Timestamp, Zoned};
use std::collections::HashSet;
use std::path::Path;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Agenda {
    /// A new snapshot, to be sent in this way, and why.
    New(BackupKind, String),
    /// This snapshot has not arrived yet; how it is sent, and why before there is a new one.
    Finish(Uuid, BackupKind, String),
    /// A snapshot that no archive waits for, and why.
    Snapshot(String),
    /// The newest has not arrived at all destinations.
    Owed,
    /// Nothing before this moment, and what then: a backup of this kind, or a snapshot only.
    Later(Zoned, Option<BackupKind>),
    /// Nothing is due, and every place has what there is.
    Idle,
}

/// What there is of an archive's newest chain.
#[derive(Clone, Debug, Default)]
pub struct NewestChain {
    /// The last full backup.
    pub last_full: Option<Timestamp>,
    /// The last backup.
    pub last: Option<Timestamp>,
    /// The effective UUIDs of its links.
    pub links: HashSet<Uuid>,
}

/// A snapshot that has not arrived in the bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingBackup {
    /// Its effective UUID.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made: Timestamp,
    /// As its name says.
    pub kind: BackupKind,
    /// Parts of it are in the bucket, as a backup of this kind.
    pub begun: Option<BackupKind>,
}

/// The latest of some times. A clock that was wrong for a while leaves times of the future, which
/// must not stand in the way until they come: such a one counts only if there is no other.
pub fn latest(times: impl Iterator<Item = Timestamp>, now: Timestamp) -> Option<Timestamp> {
    times.max_by_key(|time| order(*time, now))
}

fn order(time: Timestamp, now: Timestamp) -> (bool, Timestamp) {
    (time <= now, time)
}

impl NewestChain {
    /// Whether it is of another subvolume than this one, of which these snapshots are here.
    pub fn is_strange(&self, ours: &[Snapshot], archive: &Listing, subvolume: Uuid) -> bool {
        let own = own_chains(archive, ours, subvolume, true);
        let graph = archive.offer.graph();
        let mut roots = self.links.iter().map(|id| graph.root(*id));
        roots.next().is_some_and(|root| !own.contains(&root))
    }

    /// What it is of, if that is on another machine than this.
    pub fn of_another_machine(&self, archive: &Listing, machine: &str) -> Option<Origin> {
        let links = archive.snapshots.iter();
        let links = links.filter(|s| self.links.contains(&s.id()));
        let newest = links.max_by_key(|s| s.created)?;
        newest
            .origin
            .clone()
            .filter(|origin| origin.machine != machine)
    }

    /// The newest chain of what can be restored.
    pub fn newest(listing: &Listing, now: Timestamp) -> NewestChain {
        let sound = || listing.snapshots.iter().filter(|s| s.state == State::Ok);
        let graph = listing.offer.graph();
        let made = |s: &Snapshot| Timestamp::from_second(s.created?).ok();
        let full = sound().filter(|s| graph.needs(s.id()).next().is_none());
        let age = |s: &Snapshot| (made(s).map(|made| order(made, now)), s.path.clone());
        let Some(newest) = sound().max_by_key(|s| age(s)) else {
            return NewestChain::default();
        };
        let of = |s: &&Snapshot| graph.root(s.id()) == graph.root(newest.id());
        let last = made(newest);
        NewestChain {
            // A full one of the future is no later than what came after it.
            last_full: latest(full.filter_map(made), now)
                .map(|full| full.min(last.unwrap_or(full))),
            last,
            links: sound().filter(of).map(Snapshot::id).collect(),
        }
    }
}

/// Of our snapshots that are newer than the last backup and not in the bucket, the one to be sent:
/// the newest of those whose upload was begun, since days may be behind it, else the newest of all.
/// Backups that were `lost` there still have their names, so that they cannot be made again.
pub fn pending(
    ours: &[Snapshot],
    chain: &NewestChain,
    archive: &Listing,
    lost: &[String],
) -> Option<PendingBackup> {
    let begun: Vec<Begun> = leftovers(archive).filter_map(begun).collect();
    let broken = !ours.iter().any(|s| chain.links.contains(&s.id()));
    let newest = ours.last()?.id();
    let waiting = |s: &Snapshot| {
        let name = s.path.to_str()?;
        let (_, made, kind) = names::scheduled_parts(name)?;
        let known = chain.links.contains(&s.id()) || lost.iter().any(|lost| lost == name);
        if known || chain.last.is_some_and(|last| made <= last) {
            return None;
        }
        let stamp = Stamp::of(made);
        let begun = begun.iter().filter(|begun| begun.stamp == stamp);
        // A difference is of no use without what it was made from. The newest goes whole then.
        let serves = |kind: BackupKind| kind == BackupKind::Full || !broken || s.id() == newest;
        Some(PendingBackup {
            id: s.id(),
            name: name.to_owned(),
            made,
            kind,
            begun: begun.map(|begun| begun.kind).find(|kind| serves(*kind)),
        })
    };
    let all: Vec<PendingBackup> = ours.iter().filter_map(waiting).collect();
    let newest = all.last().filter(|last| last.id == newest).cloned();
    let interrupted = all.into_iter().rev().find(|p| p.begun.is_some());
    interrupted.or(newest)
}

/// What interrupted runs left in the bucket that no run will go on with, and why.
pub fn abandoned<'a>(
    ours: &[Snapshot],
    chain: &NewestChain,
    archive: &'a Listing,
    pending: Option<&PendingBackup>,
) -> Vec<(&'a Path, &'static str)> {
    let names = ours.iter().filter_map(|s| s.path.to_str());
    let here: HashSet<Timestamp> = names
        .filter_map(|name| Some(names::scheduled_parts(name)?.1))
        .collect();
    let why = |left: &'a Snapshot| {
        let Begun { kind, stamp } = begun(left).filter(|begun| begun.stamp.is_exact())?;
        let made = stamp.moment()?;
        match pending {
            Some(p) if p.made == made && p.begun == Some(kind) => None,
            _ if !here.contains(&made) => Some("its snapshot is not here any more"),
            _ if chain.last.is_some_and(|last| made <= last) => Some("a newer backup has arrived"),
            Some(p) if p.begun.is_some() => Some("a newer one is gone on with"),
            _ => Some("what it is the difference from is not here any more"),
        }
    };
    let all = leftovers(archive);
    all.filter_map(|left| Some((&*left.path, why(left)?)))
        .collect()
}

fn leftovers(archive: &Listing) -> impl Iterator<Item = &Snapshot> {
    let all = archive.snapshots.iter();
    all.filter(|s| s.state == State::Partial)
}

/// The backup of which something is left.
fn begun(left: &Snapshot) -> Option<Begun> {
    Begun::parse(left.path.to_str()?)
}

/// Decides what an archive is to get. `force` makes a backup in any case.
pub fn decide(
    schedule: &Schedule,
    past: &Past,
    pending: Option<PendingBackup>,
    now: &Zoned,
    force: bool,
) -> Agenda {
    let due = schedule.due(past, now, force);
    if let Some(pending) = pending {
        // An incremental one that has nothing to build on any more goes whole.
        let kind = match past.broken.is_some() || past.last_full.is_none() {
            true => BackupKind::Full,
            false => pending.begun.unwrap_or(match due {
                // Its name may say what another archive got.
                Due::Now(BackupKind::Incremental, _) => BackupKind::Incremental,
                _ => pending.kind,
            }),
        };
        if pending.begun.is_some() {
            let why = format!("the transfer of {} was interrupted", shown(&pending.name));
            return Agenda::Finish(pending.id, kind, why);
        }
        if let (Due::Now(..), false) = (&due, force)
            && let Due::Later(..) = schedule.due(&counting(past, &pending), now, false)
        {
            return Agenda::Finish(pending.id, kind, "it has not arrived yet".to_owned());
        }
    }
    match due {
        Due::Now(kind, why) => Agenda::New(kind, why),
        Due::Later(at, kind) => Agenda::Later(at, Some(kind)),
    }
}

/// What a subvolume asks for by itself, beside what its archive does.
#[derive(Clone, Copy, Debug)]
pub struct SubvolumeWish {
    /// How often it has a snapshot; `None` for when its archive needs one.
    pub cycle: Option<Cycle>,
    /// When it last had one.
    pub last: Option<Timestamp>,
    /// It has one in any case, and why.
    pub force: Option<&'static str>,
}

/// What is to be done in all: what archives wait for comes first, a new snapshot before one that is there,
/// then a snapshot for itself, and then what destinations lack (`owed`).
pub fn decide_all(
    archives: impl IntoIterator<Item = Agenda>,
    wish: &SubvolumeWish,
    owed: bool,
    now: &Zoned,
) -> Agenda {
    let (later, first): (Vec<Agenda>, Vec<Agenda>) = archives
        .into_iter()
        .partition(|agenda| matches!(agenda, Agenda::Later(..) | Agenda::Idle));
    let is_full = |agenda: &Agenda| matches!(agenda, Agenda::New(BackupKind::Full, _));
    let is_new = |agenda: &Agenda| matches!(agenda, Agenda::New(..));
    let first = first
        .into_iter()
        .max_by_key(|agenda| (is_new(agenda), is_full(agenda)));
    if let Some(agenda) = first {
        return agenda;
    }
    let due = wish.cycle.map(|cycle| cycle.due(wish.last, now));
    let next = match (due, wish.force) {
        (Some(Ok(why)), _) => return Agenda::Snapshot(why),
        (_, Some(why)) => return Agenda::Snapshot(why.to_owned()),
        (Some(Err(next)), None) => Some((next, None)),
        (None, None) => None,
    };
    let later = later.into_iter().filter_map(|agenda| match agenda {
        Agenda::Later(at, kind) => Some((at, kind)),
        _ => None,
    });
    let first = later.chain(next).min_by_key(|(at, _)| at.timestamp());
    match first {
        Some((at, kind)) if !owed => Agenda::Later(at, kind),
        _ => Agenda::Owed,
    }
}

/// Where one archive gets a new snapshot, another one whose last did not even begin to arrive gets that too.
pub fn together(all: &mut [(Agenda, Option<PendingBackup>)]) {
    let makes = all
        .iter()
        .any(|(agenda, _)| matches!(agenda, Agenda::New(..)));
    for (agenda, pending) in all.iter_mut().filter(|_| makes) {
        if let Agenda::Finish(_, kind, _) = agenda
            && pending
                .as_ref()
                .is_none_or(|pending| pending.begun.is_none())
        {
            *agenda = Agenda::New(*kind, "another archive gets a new one".to_owned());
        }
    }
}

/// What an archive gets where no snapshot is made: what is there, in the place of a new one.
pub fn of_what_is_there(archive: Agenda, pending: Option<&PendingBackup>) -> Agenda {
    match (archive, pending) {
        (Agenda::Finish(id, kind, why), _) => Agenda::Finish(id, kind, why),
        (Agenda::New(kind, why), Some(pending)) => Agenda::Finish(pending.id, kind, why),
        _ => Agenda::Idle,
    }
}

/// What is to be done then in all: what is there goes to the archives, and else to the destinations that are
/// to get it, if there are any.
pub fn without_snapshot(
    archives: impl IntoIterator<Item = Agenda>,
    any_destination: bool,
) -> Agenda {
    let mut archives = archives.into_iter();
    match archives.find(|agenda| matches!(agenda, Agenda::Finish(..))) {
        Some(agenda) => agenda,
        None if any_destination => Agenda::Owed,
        None => Agenda::Idle,
    }
}

/// The past, had the pending snapshot arrived.
fn counting<'a>(past: &Past<'a>, pending: &PendingBackup) -> Past<'a> {
    Past {
        last: Some(pending.made),
        last_full: match pending.kind {
            BackupKind::Full => Some(pending.made),
            BackupKind::Incremental => past.last_full,
        },
        broken: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::schedule::Every;
    use crate::snapshot::{Diff, Offer, Size};
    use jiff::civil::time;

    const SCHEDULE: Schedule = Schedule {
        full_every: Every::days(28),
        incremental_every: Every::days(7),
        run_at: time(2, 0, 0, 0),
    };

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}Z").parse().unwrap()
    }

    fn decided(past: &Past, pending: Option<PendingBackup>, now: &str, force: bool) -> Agenda {
        let now = at(now).to_zoned(jiff::tz::TimeZone::UTC);
        decide(&SCHEDULE, past, pending, &now, force)
    }

    fn past() -> Past<'static> {
        Past {
            last_full: Some(at("03-01T02:00:00")),
            last: Some(at("03-08T02:00:00")),
            broken: None,
        }
    }

    fn waiting(made: &str, begun: Option<BackupKind>) -> Option<PendingBackup> {
        Some(PendingBackup {
            id: Uuid([7; 16]),
            name: "data__x__inc".to_owned(),
            made: at(made),
            kind: BackupKind::Incremental,
            begun,
        })
    }

    #[test]
    fn what_was_interrupted_is_finished_first() {
        let finish = |kind: BackupKind, agenda: Agenda| match agenda {
            Agenda::Finish(_, found, _) => assert_eq!(found, kind),
            other => panic!("{other:?}"),
        };
        // Whenever that is, and even if a backup is asked for.
        let begun = |kind| waiting("03-15T02:00:00", Some(kind));
        let difference = || begun(BackupKind::Incremental);
        for now in ["03-15T03:00:00", "03-16T03:00:00", "06-01T00:00:00"] {
            for force in [false, true] {
                let kind = BackupKind::Incremental;
                finish(kind, decided(&past(), difference(), now, force));
            }
        }
        // What was begun whole is finished whole.
        let now = "03-15T03:00:00";
        finish(
            BackupKind::Full,
            decided(&past(), begun(BackupKind::Full), now, false),
        );
        // Without its parent it goes whole.
        let broken = Past {
            broken: Some("gone"),
            ..past()
        };
        finish(BackupKind::Full, decided(&broken, difference(), now, false));
        finish(
            BackupKind::Full,
            decided(&Past::default(), difference(), now, false),
        );
    }

    #[test]
    fn archives_share_a_new_snapshot() {
        let finish = |begun| {
            let pending = waiting("03-15T02:00:00", begun);
            let agenda = Agenda::Finish(Uuid([7; 16]), BackupKind::Full, "x".to_owned());
            (agenda, pending)
        };
        let new = || (Agenda::New(BackupKind::Incremental, "x".to_owned()), None);
        let shared = |mut all: Vec<(Agenda, Option<PendingBackup>)>| {
            together(&mut all);
            all.into_iter()
                .map(|(agenda, _)| matches!(agenda, Agenda::New(..)))
        };
        let begun = Some(BackupKind::Full);
        assert!(shared(vec![finish(None), finish(None)]).all(|new| !new));
        assert!(shared(vec![finish(None), new()]).all(|new| new));
        assert!(shared(vec![finish(begun), new()]).eq([false, true]));
        // What one of them is due for says which kind, and not the name of what is there.
        let mut pending = waiting("03-15T02:00:00", None);
        for named in pending.iter_mut() {
            named.kind = BackupKind::Full;
        }
        let agenda = decided(&past(), pending, "03-16T03:00:00", false);
        assert!(
            matches!(agenda, Agenda::Finish(_, BackupKind::Incremental, _)),
            "{agenda:?}"
        );
    }

    #[test]
    fn without_a_snapshot_what_is_there_serves() {
        let pending = waiting("03-15T02:00:00", None);
        let decided = |now: &str, pending: &Option<PendingBackup>, any| {
            let agenda = decided(&past(), pending.clone(), now, false);
            without_snapshot([of_what_is_there(agenda, pending.as_ref())], any)
        };
        // A new one is due, and this one takes its place.
        let id = Uuid([7; 16]);
        for any in [false, true] {
            let due = decided("03-22T03:00:00", &pending, any);
            assert!(
                matches!(due, Agenda::Finish(found, BackupKind::Incremental, _) if found == id)
            );
        }
        assert_eq!(decided("03-22T03:00:00", &None, false), Agenda::Idle);
        assert_eq!(decided("03-22T03:00:00", &None, true), Agenda::Owed);
        assert_eq!(decided("03-10T03:00:00", &pending, false), Agenda::Idle);
        assert_eq!(without_snapshot([], true), Agenda::Owed);
    }

    #[test]
    fn what_did_not_even_begin_serves_until_the_next_is_due() {
        let pending = || waiting("03-15T02:00:00", None);
        let is_finish = |agenda: Agenda| matches!(agenda, Agenda::Finish(..));
        assert!(is_finish(decided(
            &past(),
            pending(),
            "03-16T03:00:00",
            false
        )));
        assert!(is_finish(decided(
            &past(),
            pending(),
            "03-21T03:00:00",
            false
        )));
        // A week later there has to be a new one, and whenever one is asked for.
        assert!(!is_finish(decided(
            &past(),
            pending(),
            "03-22T03:00:00",
            false
        )));
        assert!(!is_finish(decided(
            &past(),
            pending(),
            "03-16T03:00:00",
            true
        )));
        // It is none of our business before anything is due.
        let early = waiting("03-09T02:00:00", None);
        let agenda = decided(&past(), early, "03-10T03:00:00", false);
        assert!(matches!(agenda, Agenda::Later(..)), "{agenda:?}");
    }

    #[test]
    fn what_was_begun_is_found_though_it_is_not_the_newest() {
        let id = |n: u8| Uuid([n; 16]);
        let named = |n: u8, name: &str| Snapshot {
            path: name.into(),
            uuid: id(n),
            read_only: true,
            ..Snapshot::default()
        };
        let ours = [
            named(1, "data__20260308T020000Z__inc"),
            named(2, "data__20260315T020000Z__inc"),
            named(3, "data__20260322T020000Z__inc"),
        ];
        let chain = |links: &[u8]| NewestChain {
            last: past().last,
            last_full: past().last_full,
            links: links.iter().map(|n| id(*n)).collect(),
        };
        let left = |names: &[&str]| Listing {
            snapshots: names
                .iter()
                .map(|name| Snapshot {
                    path: name.into(),
                    state: State::Partial,
                    ..Snapshot::default()
                })
                .collect(),
            ..Listing::default()
        };
        let (sound, lost) = (chain(&[1]), chain(&[9]));
        let found = |chain: &NewestChain, names: &[&str]| {
            let left = left(names);
            let pending = pending(&ours, chain, &left, &[]).unwrap();
            let abandoned = abandoned(&ours, chain, &left, Some(&pending));
            let why = abandoned.iter().map(|(_, why)| *why).collect::<Vec<_>>();
            (pending.id.0[0], pending.begun, why.join(", "))
        };
        let (second, third) = (
            "incremental/chunk-20260315T020000Z",
            "full/chunk-20260322T020000Z",
        );
        assert_eq!(found(&sound, &[]), (3, None, String::new()));
        let kind = Some(BackupKind::Incremental);
        assert_eq!(found(&sound, &[second]), (2, kind, String::new()));
        let taken = ["data__20260322T020000Z__inc".to_owned()];
        assert_eq!(pending(&ours, &sound, &left(&[]), &taken), None);
        let (number, kind, why) = found(&sound, &[second, third]);
        assert_eq!((number, kind), (3, Some(BackupKind::Full)));
        assert_eq!(why, "a newer one is gone on with");
        let (number, kind, why) = found(&lost, &[second]);
        assert_eq!((number, kind), (3, None));
        assert!(why.contains("the difference from"), "{why}");
        let gone = found(&sound, &["full/chunk-20260301T020000Z"]).2;
        assert!(gone.contains("not here any more"), "{gone}");
        let old = found(&sound, &["full/chunk-20260308T020000Z"]).2;
        assert!(old.contains("newer backup"), "{old}");
    }

    #[test]
    fn destinations_that_lack_something_get_it_when_nothing_is_due() {
        let at = |text| at(text).to_zoned(jiff::tz::TimeZone::UTC);
        let wish = |last: &Zoned, every: &str| SubvolumeWish {
            cycle: Some(Cycle {
                every: Every::parse(every).unwrap(),
                at: time(2, 0, 0, 0),
            }),
            last: Some(last.timestamp()),
            force: None,
        };
        let now = at("03-09T03:00:00");
        let archive = |now| Some(decide(&SCHEDULE, &past(), None, now, false));
        let (quiet, hourly) = (wish(&now, "9y"), wish(&at("03-09T01:59:00"), "1h"));
        assert_eq!(decide_all(archive(&now), &quiet, true, &now), Agenda::Owed);
        let later = decide_all(archive(&now), &quiet, false, &now);
        let next = at("03-15T02:00:00");
        assert_eq!(later, Agenda::Later(next, Some(BackupKind::Incremental)));
        // What is due for itself does not wait for the archive, but what that waits for comes first.
        let own = decide_all(archive(&now), &hourly, true, &now);
        assert!(matches!(own, Agenda::Snapshot(_)), "{own:?}");
        let soon = decide_all(archive(&now), &wish(&now, "1h"), false, &now);
        assert_eq!(soon, Agenda::Later(at("03-09T04:00:00"), None));
        let due = at("03-15T03:00:00");
        let both = decide_all(archive(&due), &hourly, true, &due);
        assert!(matches!(both, Agenda::New(BackupKind::Incremental, _)));
        let asked = SubvolumeWish {
            force: Some("--once"),
            ..quiet
        };
        let asked = decide_all(None, &asked, false, &now);
        assert_eq!(asked, Agenda::Snapshot("--once".to_owned()));
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
        let diff = |to, from: Option<u8>| Diff::new(id(to), from.map(id), Size::Exact(1));
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
        let day = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let chain = NewestChain::newest(&listing, day(9));
        assert_eq!(chain.links, HashSet::from([id(3), id(4), id(5)]));
        assert_eq!(chain.last_full, Timestamp::from_second(3 * 86_400).ok());
        assert_eq!(chain.last, Timestamp::from_second(5 * 86_400).ok());
        // Seen from before, the later ones are of a clock that was wrong.
        let chain = NewestChain::newest(&listing, day(2));
        assert_eq!(chain.links, HashSet::from([id(1), id(2)]));
        assert_eq!((chain.last_full, chain.last), (Some(day(1)), Some(day(2))));
        let chain = NewestChain::newest(&listing, day(0));
        assert_eq!((chain.last_full, chain.last), (Some(day(3)), Some(day(5))));
        assert!(
            NewestChain::newest(&Listing::default(), day(9))
                .links
                .is_empty()
        );
    }
}
