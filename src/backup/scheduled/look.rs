//! What there is of a subvolume, here and where its backups go, and what is due. What is decided from that
//! is `agenda`'s; changes nothing.

use super::destinations::{self, BackupCost};
use super::open_archive::{ArchiveTodo, OpenArchive};
use super::subvolume::{SubvolumeBackup, Todo};
use super::{RunContext, Work};
use crate::backup::agenda::{self, Agenda, NewestChain, PendingBackup};
use crate::backup::config::{ArchiveConfig, SubvolumeConfig};
use crate::backup::names::{self, Naming};
use crate::backup::schedule::{BackupKind, Past};
use crate::backup::source::BackupSource;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::machine;
use crate::snapshot::{Listing, Snapshot, shown};
use crate::store::{Location, Place};
use std::path::Path;

const NOTHING_HERE: &str = "no snapshot of the chain in the archive is here any more";

const UNREAD: &str = "the manifests of what it could build on cannot be read";

/// What there is of a subvolume, here and in its bucket.
pub(super) struct SubvolumeLook {
    pub(super) source: BackupSource,
    pub(super) ours: Vec<Snapshot>,
    /// What each archive has, or why it could not be read.
    pub(super) archives: Vec<Result<ArchiveContent>>,
}

/// What the bucket has of a subvolume.
#[derive(Default)]
pub(super) struct ArchiveContent {
    pub(super) chain: NewestChain,
    pub(super) pending: Option<PendingBackup>,
    pub(super) backups: Vec<BackupCost>,
    /// What nobody goes on with, in words.
    abandoned: Vec<String>,
    /// Why not all of it could be read.
    pub(super) missed: Option<Error>,
}

/// What is to be done in an archive; why not all of it was read, if so; and what nobody goes on with.
fn in_archive(
    there: Result<ArchiveContent>,
    agenda: Agenda,
) -> (ArchiveTodo, Option<Error>, Vec<String>) {
    let (there, unread) = match there {
        Ok(there) => (there, None),
        Err(error) => (ArchiveContent::default(), Some(error)),
    };
    let todo = ArchiveTodo {
        agenda,
        chain: there.chain,
        backups: there.backups,
        unread,
    };
    let unread = todo.unread.clone().filter(|_| todo.gets().is_none());
    (todo, unread.or(there.missed), there.abandoned)
}

/// The newest chain of an archive of which no record says whose it is must not be of something else.
fn must_be_ours(
    chain: &NewestChain,
    listing: &Listing,
    source: &BackupSource,
    ours: &[Snapshot],
) -> Result<()> {
    let whose = match chain.of_another_machine(listing, machine::id()) {
        Some(other) => format!("{other}: give each machine an s3.prefix of its own"),
        None if chain.is_strange(ours, listing, source.uuid()) => {
            "another subvolume, and none of their snapshots is here: give each machine, and each \
             subvolume of that name, an s3.prefix of its own"
                .to_owned()
        }
        None => return Ok(()),
    };
    let (path, place) = (shown(&source.path), &listing.location);
    let doing = format!("cannot back up {path} to {place}");
    let said = format!(
        "the newest backups there are of {whose}; if this one takes the place of that one, begin with \
         a full backup by --once"
    );
    Err(Error::refused(doing, said))
}

impl RunContext<'_, '_> {
    /// Lists the snapshots here, and asks the bucket.
    pub(super) fn find(&mut self, subject: &mut SubvolumeBackup) -> Result<SubvolumeLook> {
        let of = subject.of;
        let naming = Naming::Scheduled(of.name.clone(), BackupKind::Full);
        let source = BackupSource::open(&of.path, &subject.folder, naming, false)?;
        let here = match source.folder.is_dir() {
            true => self.folders.store(&subject.folder)?.list()?,
            false => Listing::default(),
        };
        let ours: Vec<Snapshot> = source.ours(&here).into_iter().cloned().collect();
        let mut archives = Vec::new();
        for archive in &mut subject.archives {
            match self.ask(archive, &source, &ours) {
                Err(error) if error.kind == Kind::Interrupted || !self.order.has_others(of) => {
                    return Err(error);
                }
                there => archives.push(there),
            }
        }
        Ok(SubvolumeLook {
            source,
            ours,
            archives,
        })
    }

    /// What is to be done for a subvolume; `None` if nothing is, which is said.
    pub(super) fn look(&mut self, subject: &mut SubvolumeBackup) -> Result<Option<Todo>> {
        let of = subject.of;
        let SubvolumeLook {
            source,
            ours,
            archives,
        } = self.find(subject)?;
        if self.order.work == Work::Send && ours.is_empty() {
            let doing = format!("cannot send snapshots of {}", shown(&of.path));
            let said = format!("there is none in {}", shown(subject.folder.join("")));
            return Err(Error::failed(doing, said).hint("buttersink snapshot makes one"));
        }
        let agendas = self.agendas(of, &ours, &archives);
        let (agenda, dests) = self.decide(of, &ours, &agendas);
        let idle = matches!(agenda, Agenda::Later(..) | Agenda::Idle);
        let what = self.words(of, &agenda, &agendas, &dests);
        (self.listener)(Event::Due {
            subvolume: of.path.clone(),
            what,
            due: !idle,
        });
        let (mut all_read, mut abandoned, mut todos) = (Ok(()), Vec::new(), Vec::new());
        for (there, agenda) in archives.into_iter().zip(agendas) {
            let (todo, missed, notes) = in_archive(there, agenda);
            all_read = all_read.and(missed.map_or(Ok(()), Err));
            abandoned.extend(notes);
            todos.push(todo);
        }
        if idle {
            return all_read.map(|()| None);
        }
        abandoned.into_iter().for_each(|note| self.note(note));
        Ok(Some(Todo {
            agenda,
            dests,
            source,
            ours,
            archives: todos,
            all_read,
        }))
    }

    /// What each archive is to get; of those that are not asked, by what is remembered.
    fn agendas(
        &self,
        of: &SubvolumeConfig,
        ours: &[Snapshot],
        asked: &[Result<ArchiveContent>],
    ) -> Vec<Agenda> {
        let archives = self.order.config.archives_of(of).into_iter().enumerate();
        let agenda = |(at, archive): (usize, &ArchiveConfig)| {
            let there = asked.get(at).and_then(|there| there.as_ref().ok());
            let past = match there {
                Some(there) if there.missed.is_some() => {
                    unread_past(&there.chain, ours, self.remembered(of, archive, ours))
                }
                Some(there) => past(&there.chain, ours),
                None => self.remembered(of, archive, ours),
            };
            let pending = there.and_then(|there| there.pending.clone());
            let (schedule, once) = (&archive.schedule, self.order.once);
            let agenda = agenda::decide(schedule, &past, pending.clone(), self.now, once);
            match self.order.work {
                Work::Send => (agenda::of_what_is_there(agenda, pending.as_ref()), pending),
                Work::Backup | Work::Snapshot | Work::Prune => (agenda, pending),
            }
        };
        let mut all: Vec<_> = archives.map(agenda).collect();
        agenda::together(&mut all);
        all.into_iter().map(|(agenda, _)| agenda).collect()
    }

    /// What is due in all, and for which of the further destinations.
    fn decide(
        &self,
        of: &SubvolumeConfig,
        ours: &[Snapshot],
        archives: &[Agenda],
    ) -> (Agenda, Vec<usize>) {
        let agendas = archives.iter().cloned();
        if self.order.work == Work::Send {
            let dests = self.due_dests(of, true);
            return (agenda::without_snapshot(agendas, !dests.is_empty()), dests);
        }
        let force = match (self.order.once, of.always) {
            (true, _) if archives.is_empty() => Some("it was asked for"),
            (_, true) => Some("there is one in each run"),
            _ => None,
        };
        let made = ours.iter().filter_map(|s| names::scheduled_time(&s.path));
        let wish = agenda::SubvolumeWish {
            cycle: self.order.config.cycle_of(of),
            last: agenda::latest(made, self.now.timestamp()),
            force,
        };
        let owed = self.due_dests(of, false);
        let agenda = agenda::decide_all(agendas, &wish, !owed.is_empty(), self.now);
        match agenda {
            Agenda::Owed => (agenda, owed),
            _ => (agenda, self.due_dests(of, true)),
        }
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

    /// What an archive has of a subvolume. What was lost there is said, whether or not anything is due.
    fn ask(
        &mut self,
        archive: &mut OpenArchive,
        source: &BackupSource,
        ours: &[Snapshot],
    ) -> Result<ArchiveContent> {
        let listing = archive.listing(source, ours)?;
        let (losses, lost) = archive.losses()?;
        losses.into_iter().for_each(|loss| self.note(loss));
        let ours_by_record = match archive.owner()? {
            Some(owner) if !owner.is_of(&source.origin()?) => {
                return Err(owner.refuses(&listing.location));
            }
            owner => owner.is_some_and(|owner| owner.origin.subvolume == source.uuid()),
        };
        let chain = NewestChain::newest(&listing, self.now.timestamp());
        if !self.order.once && !ours_by_record {
            must_be_ours(&chain, &listing, source, ours)?;
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
        Ok(ArchiveContent {
            missed: archive.must_be_all_read().err(),
            abandoned: abandoned.into_iter().map(note).collect(),
            backups: destinations::backups(&listing),
            pending,
            chain,
        })
    }

    /// What is due, in words; of several archives for which.
    fn words(
        &self,
        of: &SubvolumeConfig,
        agenda: &Agenda,
        archives: &[Agenda],
        dests: &[usize],
    ) -> String {
        let all = self.order.config.archives_of(of).into_iter().zip(archives);
        let due = all.filter(|(_, agenda)| matches!(agenda, Agenda::New(..) | Agenda::Finish(..)));
        let named = |(archive, agenda): (&ArchiveConfig, &Agenda)| {
            format!("{}: {}", archive.name, self.word(agenda, dests))
        };
        let due: Vec<String> = due.map(named).collect();
        match archives.len() > 1 && !due.is_empty() {
            true => due.join("; "),
            false => self.word(agenda, dests),
        }
    }

    fn word(&self, agenda: &Agenda, dests: &[usize]) -> String {
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
    fn remembered(
        &self,
        of: &SubvolumeConfig,
        archive: &ArchiveConfig,
        ours: &[Snapshot],
    ) -> Past<'static> {
        let mut past = self.state.past_in(of, archive);
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

/// The same where some of the bucket cannot be read: what is remembered may be of that.
fn unread_past<'a>(chain: &NewestChain, ours: &[Snapshot], remembered: Past<'a>) -> Past<'a> {
    let read = past(chain, ours);
    Past {
        last_full: read.last_full.max(remembered.last_full),
        last: read.last.max(remembered.last),
        broken: read.broken.and(Some(UNREAD)),
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
