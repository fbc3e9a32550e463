//! What there is of a subvolume, here and where its backups go, and what is due. What is decided from that
//! is `agenda`'s; changes nothing.

use super::destinations::{self, BackupCost};
use super::subvolume::{SubvolumeBackup, Todo};
use super::{RunContext, Work};
use crate::backup::agenda::{self, Agenda, NewestChain, Pending};
use crate::backup::config::SubvolumeConfig;
use crate::backup::names::{self, Naming};
use crate::backup::schedule::{BackupKind, Past};
use crate::backup::source::BackupSource;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::machine;
use crate::snapshot::{Listing, Snapshot, shown};
use crate::store::{Location, Place};
use std::path::Path;

const NOTHING_HERE: &str = "no snapshot of the chain in the bucket is here any more";

/// What there is of a subvolume, here and in its bucket.
pub(super) struct Found {
    pub(super) source: BackupSource,
    pub(super) ours: Vec<Snapshot>,
    /// What the bucket has, if it was asked and could be read.
    pub(super) there: Option<There>,
    /// Why it could not be.
    pub(super) unread: Option<Error>,
}

/// What the bucket has of a subvolume.
#[derive(Default)]
pub(super) struct There {
    pub(super) chain: NewestChain,
    pub(super) pending: Option<Pending>,
    pub(super) backups: Vec<BackupCost>,
    /// What nobody goes on with, in words.
    abandoned: Vec<String>,
    /// Why not all of it could be read.
    pub(super) missed: Option<Error>,
}

impl RunContext<'_, '_> {
    /// Lists the snapshots here, and asks the bucket.
    pub(super) fn find(&mut self, subject: &mut SubvolumeBackup) -> Result<Found> {
        let of = subject.of;
        let naming = Naming::Scheduled(of.name.clone(), BackupKind::Full);
        let source = BackupSource::open(&of.path, &subject.folder, naming, false)?;
        let here = match source.folder.is_dir() {
            true => self.folders.store(&subject.folder)?.list()?,
            false => Listing::default(),
        };
        let ours: Vec<Snapshot> = source.ours(&here).into_iter().cloned().collect();
        let (there, unread) = match self.ask(subject, &source, &ours) {
            Ok(there) => (there, None),
            Err(error) if !self.has_others(of) => return Err(error),
            Err(error) => (None, Some(error)),
        };
        Ok(Found {
            source,
            ours,
            there,
            unread,
        })
    }

    /// What is to be done for a subvolume; `None` if nothing is, which is said.
    pub(super) fn look(&mut self, subject: &mut SubvolumeBackup) -> Result<Option<Todo>> {
        let of = subject.of;
        let Found {
            source,
            ours,
            there,
            unread,
        } = self.find(subject)?;
        if self.order.work == Work::Send && ours.is_empty() {
            let doing = format!("cannot send snapshots of {}", shown(&of.path));
            let said = format!("there is none in {}", shown(subject.folder.join("")));
            return Err(Error::failed(doing, said).hint("buttersink snapshot makes one"));
        }
        let (agenda, dests) = self.decide(of, &ours, there.as_ref());
        let there = there.unwrap_or_default();
        let words = self.words(&agenda, &dests);
        (self.listener)(Event::Due {
            subvolume: of.path.clone(),
            what: words,
            due: !matches!(agenda, Agenda::Later(..) | Agenda::Idle),
        });
        let missed = there.missed;
        match (&agenda, unread.as_ref().or(missed.as_ref())) {
            (Agenda::Later(..) | Agenda::Idle, None) => return Ok(None),
            (Agenda::Later(..) | Agenda::Idle, Some(error)) => return Err(error.clone()),
            _ => there.abandoned.into_iter().for_each(|note| self.note(note)),
        }
        let mut todo = Todo {
            agenda,
            dests,
            source,
            ours,
            chain: there.chain,
            backups: there.backups,
            unread,
            all_read: missed.map_or(Ok(()), Err),
        };
        if let Some(error) = todo.unread.clone().filter(|_| !todo.is_for_archive()) {
            todo.all_read = Err(error);
        }
        Ok(Some(todo))
    }

    /// What is due, and for which of the further destinations.
    fn decide(
        &self,
        of: &SubvolumeConfig,
        ours: &[Snapshot],
        there: Option<&There>,
    ) -> (Agenda, Vec<usize>) {
        let config = &self.order.config;
        let pending = there.and_then(|there| there.pending.clone());
        let archive = config.archive_of(of).map(|_| {
            let past = match there {
                Some(there) => past(&there.chain, ours),
                None => self.remembered(&of.name, ours),
            };
            let pending = pending.clone();
            agenda::decide(&config.schedule, &past, pending, self.now, self.order.once)
        });
        if self.order.work == Work::Send {
            let dests = self.due_dests(of, !ours.is_empty());
            let any = !dests.is_empty();
            return (
                agenda::without_snapshot(archive, pending.as_ref(), any),
                dests,
            );
        }
        let force = match (self.order.once, of.always) {
            (true, _) if archive.is_none() => Some("it was asked for"),
            (_, true) => Some("there is one in each run"),
            _ => None,
        };
        let made = ours.iter().filter_map(|s| names::scheduled_time(&s.path));
        let wish = agenda::Wish {
            cycle: config.cycle_of(of),
            last: agenda::latest(made, self.now.timestamp()),
            force,
        };
        let owed = self.due_dests(of, false);
        let agenda = agenda::decide_all(archive, &wish, !owed.is_empty(), self.now);
        match agenda {
            Agenda::Owed => (agenda, owed),
            _ => (agenda, self.due_dests(of, true)),
        }
    }

    pub(super) fn has_others(&self, of: &SubvolumeConfig) -> bool {
        !self.order.config.destinations_of(of).is_empty()
    }

    /// The further destinations that are to get something now. Those without a schedule of their own get
    /// what is `new`.
    fn due_dests(&self, of: &SubvolumeConfig, new: bool) -> Vec<usize> {
        if self.order.work == Work::Snapshot {
            return Vec::new();
        }
        let config = &self.order.config;
        let owed = self.owed(&of.name);
        let is_due = |at: &usize| {
            let dest = &config.destinations[*at];
            let last = self.state.at(&of.name, &dest.place.to_string());
            let last = last.and_then(|last| last.at.as_ref()?.moment());
            let asked = self.order.work == Work::Send && self.order.once;
            let due = dest.cycle.filter(|_| !asked);
            let due = due.map(|cycle| cycle.due(last, self.now).is_ok());
            due.unwrap_or(new) || owed.contains(&dest.place)
        };
        config
            .destinations_of(of)
            .into_iter()
            .filter(is_due)
            .collect()
    }

    /// What the bucket has of a subvolume, if it is asked at all. What was lost there is said, whether
    /// or not anything is due.
    fn ask(
        &mut self,
        subject: &mut SubvolumeBackup,
        source: &BackupSource,
        ours: &[Snapshot],
    ) -> Result<Option<There>> {
        let Some(listing) = subject.listing(source, ours)? else {
            return Ok(None);
        };
        let (losses, lost) = subject.losses()?;
        losses.into_iter().for_each(|loss| self.note(loss));
        let ours_by_record = match subject.owner()? {
            Some(owner) if !owner.is_of(&source.origin()?) => {
                return Err(owner.refuses(&listing.location));
            }
            owner => owner.is_some_and(|owner| owner.origin.subvolume == source.uuid()),
        };
        let chain = NewestChain::newest(&listing, self.now.timestamp());
        let begins = self.order.once || ours_by_record;
        if !begins && let Some(other) = chain.of_another_machine(&listing, machine::id()) {
            let (path, place) = (shown(&source.path), &listing.location);
            let said = format!(
                "the newest backups there are of {other}: give each machine an s3.prefix of its own; if this \
                 one takes the place of that one, begin with a full backup by --once"
            );
            let doing = format!("cannot back up {path} to {place}");
            return Err(Error::refused(doing, said));
        }
        if !begins && chain.is_strange(ours, &listing, source.uuid()) {
            let (path, place) = (shown(&source.path), &listing.location);
            let said = "the newest backups there are of another subvolume, and none of their \
                        snapshots is here: give each machine, and each subvolume of that name, an \
                        s3.prefix of its own; if this one takes the place of that one, begin with \
                        a full backup by --once";
            let doing = format!("cannot back up {path} to {place}");
            return Err(Error::refused(doing, said));
        }
        let mut links = chain.links.iter();
        let none = links.len() > 0 && links.all(|id| ours.iter().all(|s| s.id() != *id));
        if none {
            let place = &listing.location;
            let so = "the next backup is a full one";
            self.note(format!("{NOTHING_HERE} ({place}): {so}"));
        }
        let pending = agenda::pending(ours, &chain, &listing, &lost);
        let abandoned = agenda::abandoned(ours, &chain, &listing, pending.as_ref());
        let note = |(path, why): (&Path, _)| {
            let place = &listing.location;
            format!("nobody goes on with {} in {place}: {why}", shown(path))
        };
        Ok(Some(There {
            missed: subject.must_be_all_read().err(),
            abandoned: abandoned.into_iter().map(note).collect(),
            backups: destinations::backups(&listing),
            pending,
            chain,
        }))
    }

    fn words(&self, agenda: &Agenda, dests: &[usize]) -> String {
        match agenda {
            Agenda::New(kind, why) => format!("{kind} backup now ({why})"),
            Agenda::Finish(_, kind, why) => {
                format!("{kind} backup of the snapshot that is there ({why})")
            }
            Agenda::Snapshot(why) => format!("snapshot now ({why})"),
            Agenda::Idle => "there is nothing to send".to_owned(),
            Agenda::Owed => {
                let all = &self.order.config.destinations;
                let owed = dests.iter().map(|at| all[*at].place.to_string());
                format!(
                    "the last snapshot for {}",
                    owed.collect::<Vec<_>>().join(", ")
                )
            }
            Agenda::Later(at, kind) => {
                let at = at.strftime("%Y-%m-%d %H:%M %Z");
                let what = kind.map_or("snapshot".to_owned(), |kind| format!("{kind} backup"));
                format!("nothing is due; {what} from {at}")
            }
        }
    }

    /// Destinations that have not got the last snapshot, of those that there still are.
    pub(super) fn owed(&self, name: &str) -> Vec<Place> {
        let last = self.state.subvolumes.get(name);
        let owed = last.map_or(&[][..], |last| &last.owed).iter();
        // The file may have named the same place in another way then.
        let owed = owed.filter_map(|text| Some(Location::directory(text.as_ref()).ok()?.place));
        let owed: Vec<Place> = owed.collect();
        let all = self.order.config.destinations.iter();
        let all = all.map(|dest| &dest.place);
        all.filter(|place| owed.contains(place)).cloned().collect()
    }

    /// Where the bucket is not asked, memory and the names of the snapshots have to do.
    fn remembered(&self, name: &str, ours: &[Snapshot]) -> Past<'static> {
        let mut past = self.state.past(name, Path::is_dir);
        past.broken = past.broken.filter(|_| ours.is_empty());
        let names = ours.iter().filter_map(|s| s.path.to_str());
        let made: Vec<_> = names.filter_map(names::scheduled_parts).collect();
        let full = made.iter().filter(|(_, _, kind)| *kind == BackupKind::Full);
        let now = self.now.timestamp();
        let full = full.map(|(_, made, _)| *made).chain(past.last_full);
        past.last_full = agenda::latest(full, now);
        let all = made.iter().map(|(_, made, _)| *made).chain(past.last);
        past.last = agenda::latest(all, now);
        past
    }
}

/// What the chain in the bucket and the snapshots here allow.
fn past(chain: &NewestChain, ours: &[Snapshot]) -> Past<'static> {
    let parent = ours.iter().any(|s| chain.links.contains(&s.id()));
    Past {
        last_full: chain.last_full,
        last: chain.last,
        broken: (!parent).then_some(NOTHING_HERE),
    }
}
