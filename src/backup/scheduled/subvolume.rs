//! One subvolume of a configuration: what there is of it here and in the bucket, what is due, and its
//! backup. What is due is decided by `agenda`; how a step is carried out, by `run`.

use super::destinations::{self, BackupCost, InBucket};
use super::{RunContext, ScheduledOrder};
use crate::archive::{Backup as Archived, Owner};
use crate::backup::agenda::{self, Agenda, NewestChain, Pending};
use crate::backup::archive;
use crate::backup::names::{self, Naming};
use crate::backup::oneshot::access;
use crate::backup::retention::Policy;
use crate::backup::run::{MakeWhen, Run, RunOutcome};
use crate::backup::schedule::{BackupKind, Past};
use crate::backup::source::BackupSource;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::machine;
use crate::snapshot::{Listing, Snapshot, Uuid, shown};
use crate::store::{self, Archive, Location, Means, Place};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const NOTHING_HERE: &str = "no snapshot of the chain in the bucket is here any more";

/// A subvolume, and where its backups are.
pub(super) struct SubvolumeBackup {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// `None` if the bucket is left alone.
    archive: Option<Box<dyn Archive>>,
}

/// What is to be done for a subvolume, and from where.
pub(super) struct Todo {
    agenda: Agenda,
    source: BackupSource,
    ours: Vec<Snapshot>,
    pub(super) chain: NewestChain,
    /// What there is in the bucket.
    pub(super) backups: Vec<BackupCost>,
    /// Why the bucket could not be read.
    pub(super) unread: Option<Error>,
    /// Why not all that it has could be, if so.
    all_read: Result<()>,
}

/// What the bucket has of a subvolume.
#[derive(Default)]
struct There {
    chain: NewestChain,
    pending: Option<Pending>,
    backups: Vec<BackupCost>,
    /// What nobody goes on with, in words.
    abandoned: Vec<String>,
    /// Why not all of it could be read.
    missed: Option<Error>,
}

impl Todo {
    /// The snapshot that was made before and is to arrive now.
    pub(super) fn finishes(&self) -> Option<Uuid> {
        match self.agenda {
            Agenda::Finish(id, ..) => Some(id),
            Agenda::New(..) | Agenda::Owed | Agenda::Later(..) => None,
        }
    }
}

impl SubvolumeBackup {
    pub(super) fn new(
        name: &str,
        path: &Path,
        order: &ScheduledOrder,
        means: &Means,
    ) -> Result<SubvolumeBackup> {
        let config = &order.config;
        let archive = match order.no_s3 {
            true => None,
            false => {
                archive::make_spool(config, order.dry_run)?;
                let access = access(order.dry_run, config.s3.keeps.keeps_all());
                let settings = archive::settings(config, name);
                let means = archive::means(config, means);
                Some(store::open_archive(settings, access, &means)?)
            }
        };
        Ok(SubvolumeBackup {
            name: name.to_owned(),
            path: path.to_owned(),
            archive,
        })
    }

    /// What there is in the bucket, if it is asked at all.
    fn listing(&mut self, source: &BackupSource, ours: &[Snapshot]) -> Result<Option<Listing>> {
        let Some(archive) = &mut self.archive else {
            return Ok(None);
        };
        // What the old program did not write down is known as long as the snapshots are here.
        let known = ours
            .iter()
            .filter_map(|s| Some((s.path.to_str()?.to_owned(), s.id())));
        archive.know(source.uuid(), known.collect());
        archive.list().map(Some)
    }

    /// What the last listing had, in words.
    pub(super) fn there(&mut self) -> Result<Option<String>> {
        let Some(archive) = &mut self.archive else {
            return Ok(None);
        };
        let place = archive.location();
        let backups = archive.backups()?;
        let words = match backups.newest() {
            Some(newest) => {
                let (count, made) = (backups.all.len(), shown(&newest.created_at));
                format!("backups in {place}: {count}, the newest {made}")
            }
            None => format!("no backup in {place}"),
        };
        Ok(Some(words))
    }

    /// The machine whose archive it is, as the last listing had it.
    fn owner(&mut self) -> Result<Option<Owner>> {
        let archive = self.archive.as_mut();
        archive.map_or(Ok(None), |archive| Ok(archive.backups()?.owner))
    }

    /// Whether all that the last listing had could be read.
    fn must_be_all_read(&mut self) -> Result<()> {
        match &mut self.archive {
            Some(archive) => archive.backups()?.must_be_all_read(),
            None => Ok(()),
        }
    }

    /// What the last listing had that cannot be restored: words, and names of snapshots.
    fn losses(&mut self) -> Result<(Vec<String>, Vec<String>)> {
        let Some(archive) = &mut self.archive else {
            return Ok(Default::default());
        };
        let backups = archive.backups()?;
        let broken = backups.all.iter().filter(|backup| backup.broken.is_some());
        let names = broken.map(|backup| backup.snapshot.clone());
        Ok((backups.losses(), names.collect()))
    }
}

impl RunContext<'_, '_> {
    /// What is to be done for a subvolume; `None` if nothing is, which is said.
    pub(super) fn look(&mut self, subject: &mut SubvolumeBackup) -> Result<Option<Todo>> {
        let config = &self.order.config;
        let naming = Naming::Scheduled(subject.name.clone(), BackupKind::Full);
        let source = BackupSource::open(&subject.path, &config.snapshots.base_dir, naming, false)?;
        let here = match source.folder.is_dir() {
            true => self.store.list()?,
            false => Listing::default(),
        };
        let ours: Vec<Snapshot> = source.ours(&here).into_iter().cloned().collect();
        let (there, unread) = match self.ask(subject, &source, &ours) {
            Ok(there) => (there, None),
            Err(error) if config.destinations.is_empty() => return Err(error),
            Err(error) => (None, Some(error)),
        };
        let past = match &there {
            Some(there) => past(&there.chain, &ours),
            None => self.remembered(&subject.name, &ours),
        };
        let owed = there.is_some() && !self.owed(&subject.name).is_empty();
        let there = there.unwrap_or_default();
        let (schedule, once) = (&config.schedule, self.order.once);
        let agenda = agenda::decide(schedule, &past, there.pending, owed, self.now, once);
        let words = self.words(&agenda, &subject.name);
        (self.listener)(Event::Due {
            subvolume: subject.path.clone(),
            what: words,
        });
        match (&agenda, unread.as_ref().or(there.missed.as_ref())) {
            (Agenda::Later(..), None) => return Ok(None),
            (Agenda::Later(..), Some(error)) => return Err(error.clone()),
            _ => there.abandoned.into_iter().for_each(|note| self.note(note)),
        }
        Ok(Some(Todo {
            agenda,
            source,
            ours,
            chain: there.chain,
            backups: there.backups,
            unread,
            all_read: there.missed.map_or(Ok(()), Err),
        }))
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

    fn words(&self, agenda: &Agenda, name: &str) -> String {
        match agenda {
            Agenda::New(kind, why) => format!("{kind} backup now ({why})"),
            Agenda::Finish(_, kind, why) => {
                format!("{kind} backup of the snapshot that is there ({why})")
            }
            Agenda::Owed => {
                let owed: Vec<String> = self.owed(name).iter().map(Place::to_string).collect();
                format!("the last snapshot for {}", owed.join(", "))
            }
            Agenda::Later(at, kind) => {
                let at = at.strftime("%Y-%m-%d %H:%M %Z");
                format!("nothing is due; {kind} backup from {at}")
            }
        }
    }

    /// Destinations that have not got the last snapshot, of those that there still are.
    fn owed(&self, name: &str) -> Vec<Place> {
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

    /// Makes a backup, and what is due after it if that only finished an old one.
    pub(super) fn back_up(&mut self, subject: &mut SubvolumeBackup, todo: Todo) -> Result<()> {
        let mut next = Some(todo);
        let mut finished = HashSet::new();
        while let Some(todo) = next.take() {
            let finishes = todo.finishes();
            self.back_up_once(subject, todo)?;
            let Some(id) = finishes.filter(|_| !self.order.dry_run) else {
                return Ok(());
            };
            finished.insert(id);
            next = self.look(subject)?.filter(|todo| match todo.agenda {
                Agenda::New(..) => true,
                Agenda::Finish(id, ..) => !finished.contains(&id),
                Agenda::Owed | Agenda::Later(..) => false,
            });
        }
        Ok(())
    }

    /// Says that the archive is this machine's. Where it turns out to be another's, there is no snapshot
    /// for it; what else there is gets one.
    fn claim(&self, subject: &mut SubvolumeBackup, todo: &mut Todo) -> Result<()> {
        if self.order.dry_run || todo.unread.is_some() {
            return Ok(());
        }
        let ours = || todo.source.origin();
        let archive = subject.archive.as_mut();
        match archive.map_or(Ok(()), |archive| archive.claim(&ours()?, false)) {
            Err(error)
                if error.kind != Kind::Interrupted
                    && !self.order.config.destinations.is_empty() =>
            {
                todo.unread = Some(error);
                Ok(())
            }
            done => done,
        }
    }

    fn back_up_once(&mut self, subject: &mut SubvolumeBackup, mut todo: Todo) -> Result<()> {
        let owed = matches!(todo.agenda, Agenda::Owed).then(|| self.owed(&subject.name));
        let (make, kind) = match todo.agenda {
            Agenda::New(kind, ref why) => (MakeWhen::Always(why.clone()), kind),
            Agenda::Finish(_, kind, _) | Agenda::Later(_, kind) => (MakeWhen::No, kind),
            Agenda::Owed => (MakeWhen::No, BackupKind::Incremental),
        };
        todo.source.naming = Naming::Scheduled(subject.name.clone(), kind);
        if owed.is_none() {
            self.claim(subject, &mut todo)?;
        }
        let config = &self.order.config;
        let mut dests = Vec::new();
        if let (Some(archive), None) = (&mut subject.archive, &owed) {
            let there = InBucket {
                finishes: todo.finishes(),
                links: &todo.chain.links,
                backups: &todo.backups,
                unread: todo.unread.as_ref(),
            };
            let archive = &mut **archive;
            let bucket = destinations::bucket(config, archive, &there, kind, self.now);
            dests.push(bucket);
        }
        for (dest, store) in config.destinations.iter().zip(&mut self.others) {
            if owed.as_ref().is_none_or(|owed| owed.contains(&dest.place)) {
                dests.push(destinations::other(dest, store, &todo.source));
            }
        }
        let mut links = todo.ours.iter().rev().map(Snapshot::id);
        let finishes = todo.finishes();
        let parent = links.find(|id| todo.chain.links.contains(id) || finishes == Some(*id));
        let why = "the next difference in the bucket builds on it";
        let keeps = Policy {
            newest: usize::try_from(config.snapshots.retain).ok(),
            ..Policy::default()
        };
        let outcome = Run {
            source: &todo.source,
            store: &mut *self.store,
            now: self.now,
            make,
            keeps,
            dry_run: self.order.dry_run,
            max_chain: None,
            whole: false,
            pinned: parent.map(|id| (id, why.to_owned())).into_iter().collect(),
            said: self.said.clone(),
            listener: self.listener,
        }
        .go(dests)?;
        if !self.order.dry_run {
            self.note_outcome(subject, &outcome, owed.is_some())?;
        }
        outcome.verdict(&subject.path).and(todo.all_read)
    }

    /// What the state remembers of it.
    fn note_outcome(
        &mut self,
        subject: &mut SubvolumeBackup,
        outcome: &RunOutcome,
        owed_only: bool,
    ) -> Result<()> {
        let last = self.state.subvolumes.entry(subject.name.clone());
        let last = last.or_default();
        let failed = |name: &String| outcome.failed.iter().any(|(other, _)| other == name);
        let places = self.order.config.destinations.iter();
        last.owed = places
            .map(|dest| dest.place.to_string())
            .filter(failed)
            .collect();
        let Some(archive) = subject.archive.as_mut().filter(|_| !owed_only) else {
            return Ok(());
        };
        if failed(&archive.location()) {
            return Ok(());
        }
        let backups = archive.backups()?;
        let is_full = |backup: &&Archived| backup.parent.is_none() && backup.broken.is_none();
        let full = backups.all.iter().rfind(is_full);
        if let Some(newest) = backups.newest() {
            let full = full.and_then(|full| full.created_at.moment());
            last.arrived(newest.path.clone(), newest.key.clone(), full);
        }
        Ok(())
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
