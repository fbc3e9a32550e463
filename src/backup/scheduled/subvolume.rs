//! One subvolume of a configuration and its backup, once it is known what is due. How a step is carried
//! out is `run`'s business.

use super::destinations::{self, BackupCost, InBucket};
use super::tally::Tally;
use super::{RunContext, ScheduledOrder, Work};
use crate::archive::{Backup as Archived, Owner, Stamp};
use crate::backup::agenda::{Agenda, NewestChain};
use crate::backup::archive;
use crate::backup::config::{ARCHIVE, Config, SubvolumeConfig};
use crate::backup::names::Naming;
use crate::backup::oneshot::access;
use crate::backup::run::{Dest, MakeWhen, Run, RunOutcome};
use crate::backup::schedule::BackupKind;
use crate::backup::source::BackupSource;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::snapshot::{Listing, Snapshot, Uuid, shown};
use crate::store::{self, Archive, Means};
use jiff::Zoned;
use std::collections::HashSet;
use std::path::PathBuf;

/// A subvolume, and where its backups are.
pub(super) struct SubvolumeBackup<'a> {
    pub(super) of: &'a SubvolumeConfig,
    pub(super) folder: PathBuf,
    /// `None` if there is none, or it is left alone.
    archive: Option<Box<dyn Archive>>,
}

/// What is to be done for a subvolume, and from where.
pub(super) struct Todo {
    pub(super) agenda: Agenda,
    /// The further destinations that get something, by their places in the file.
    pub(super) dests: Vec<usize>,
    pub(super) source: BackupSource,
    pub(super) ours: Vec<Snapshot>,
    pub(super) chain: NewestChain,
    /// What there is in the bucket.
    pub(super) backups: Vec<BackupCost>,
    /// Why the bucket could not be read.
    pub(super) unread: Option<Error>,
    /// Why not all that it has could be, if so.
    pub(super) all_read: Result<()>,
}

impl Todo {
    /// The snapshot that was made before and is to arrive now.
    pub(super) fn finishes(&self) -> Option<Uuid> {
        match self.agenda {
            Agenda::Finish(id, ..) => Some(id),
            _ => None,
        }
    }

    /// Whether the archive gets something.
    pub(super) fn is_for_archive(&self) -> bool {
        matches!(self.agenda, Agenda::New(..) | Agenda::Finish(..))
    }
}

impl<'a> SubvolumeBackup<'a> {
    pub(super) fn new(
        of: &'a SubvolumeConfig,
        order: &ScheduledOrder,
        means: &Means,
    ) -> Result<SubvolumeBackup<'a>> {
        let config = &order.config;
        let archive = match config
            .archive_of(of)
            .filter(|_| order.work != Work::Snapshot)
        {
            None => None,
            Some(s3) => {
                archive::make_spool(config, order.dry_run)?;
                let access = access(order.dry_run, s3.keeps.keeps_all());
                let settings = archive::settings(config, &of.name)?;
                let means = archive::means(config, means);
                Some(store::open_archive(settings, access, &means)?)
            }
        };
        Ok(SubvolumeBackup {
            folder: of.folder(),
            of,
            archive,
        })
    }

    /// The archive as somewhere that snapshots go, if there is one.
    pub(super) fn bucket<'b>(
        &'b mut self,
        config: &'b Config,
        there: &InBucket,
        kind: BackupKind,
        now: &'b Zoned,
    ) -> Option<Dest<'b>> {
        let s3 = config.archive_of(self.of)?;
        let archive = &mut **self.archive.as_mut()?;
        Some(destinations::bucket(
            (config, s3),
            archive,
            there,
            kind,
            now,
        ))
    }

    /// What there is in the bucket, if it is asked at all.
    pub(super) fn listing(
        &mut self,
        source: &BackupSource,
        ours: &[Snapshot],
    ) -> Result<Option<Listing>> {
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
    pub(super) fn owner(&mut self) -> Result<Option<Owner>> {
        let archive = self.archive.as_mut();
        archive.map_or(Ok(None), |archive| Ok(archive.backups()?.owner))
    }

    /// Whether all that the last listing had could be read.
    pub(super) fn must_be_all_read(&mut self) -> Result<()> {
        match &mut self.archive {
            Some(archive) => archive.backups()?.must_be_all_read(),
            None => Ok(()),
        }
    }

    /// What the last listing had that cannot be restored: words, and names of snapshots.
    pub(super) fn losses(&mut self) -> Result<(Vec<String>, Vec<String>)> {
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
                Agenda::New(..) | Agenda::Snapshot(_) => true,
                Agenda::Finish(id, ..) => !finished.contains(&id),
                Agenda::Owed | Agenda::Later(..) | Agenda::Idle => false,
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
            Err(error) if error.kind != Kind::Interrupted && self.has_others(subject.of) => {
                todo.unread = Some(error);
                Ok(())
            }
            done => done,
        }
    }

    fn back_up_once(&mut self, subject: &mut SubvolumeBackup, mut todo: Todo) -> Result<()> {
        let of = subject.of;
        let (make, kind) = match todo.agenda {
            Agenda::New(kind, ref why) => (MakeWhen::Always(why.clone()), kind),
            Agenda::Finish(_, kind, _) => (MakeWhen::No, kind),
            Agenda::Snapshot(_) if of.on_change => (MakeWhen::IfChanged, first(&todo.ours)),
            Agenda::Snapshot(ref why) => (MakeWhen::Always(why.clone()), first(&todo.ours)),
            Agenda::Owed | Agenda::Later(..) | Agenda::Idle => {
                (MakeWhen::No, BackupKind::Incremental)
            }
        };
        todo.source.naming = Naming::Scheduled(of.name.clone(), kind);
        if todo.is_for_archive() {
            self.claim(subject, &mut todo)?;
        }
        self.open_others(&todo.dests);
        let (pinned, lets_go) = self.pinned(of, &todo);
        let folder = subject.folder.clone();
        let (config, finishes, for_archive) =
            (&self.order.config, todo.finishes(), todo.is_for_archive());
        let mut dests = Vec::new();
        if for_archive {
            let there = InBucket {
                finishes,
                links: &todo.chain.links,
                backups: &todo.backups,
                unread: todo.unread.as_ref(),
            };
            dests.extend(subject.bucket(config, &there, kind, self.now));
        }
        let others = config.destinations.iter().zip(&mut self.others).enumerate();
        for (_, (dest, store)) in others.filter(|(at, _)| todo.dests.contains(at)) {
            if let Some(store) = store {
                dests.push(destinations::other(dest, store, &todo.source));
            }
        }
        let mut tally = Tally::new(&of.name, shown(todo.source.folder.join("")));
        let teller = &mut *self.listener;
        let mut listener = |event: Event| {
            tally.hear(&event);
            teller(event);
        };
        let outcome = Run {
            source: &todo.source,
            store: self.folders.store(&folder)?,
            now: self.now,
            make,
            keeps: of.keeps.clone(),
            dry_run: self.order.dry_run,
            max_chain: None,
            whole: false,
            pinned,
            pinned_names: of.pinned.clone(),
            lets_go,
            said: self.said.clone(),
            listener: &mut listener,
        }
        .go(dests)?;
        self.overview.lines.extend(tally.lines(&outcome));
        if !self.order.dry_run {
            self.note_outcome(subject, &outcome, for_archive)?;
        }
        outcome.verdict(&of.path).and(todo.all_read)
    }

    /// What the source keeps for who gets nothing in this run: what the next difference builds on there.
    /// Where that is not known, the source keeps everything.
    fn pinned(&self, of: &SubvolumeConfig, todo: &Todo) -> (Vec<(Uuid, String)>, bool) {
        let mut pinned = Vec::new();
        let mut lets_go =
            self.order.work != Work::Snapshot && (todo.unread.is_none() || todo.is_for_archive());
        let mut links = todo.ours.iter().rev().map(Snapshot::id);
        let finishes = todo.finishes();
        if let Some(id) = links.find(|id| todo.chain.links.contains(id) || finishes == Some(*id)) {
            pinned.push((
                id,
                "the next difference in the bucket builds on it".to_owned(),
            ));
        }
        let owed = self.owed(&of.name);
        for at in self.order.config.destinations_of(of) {
            let dest = &self.order.config.destinations[at];
            let last = self.state.at(&of.name, &dest.place.to_string());
            match last.and_then(|last| last.id) {
                _ if todo.dests.contains(&at) => {}
                Some(id) if !owed.contains(&dest.place) => {
                    pinned.push((id, format!("the newest in {}", dest.title())));
                }
                _ => lets_go = false,
            }
        }
        (pinned, lets_go)
    }

    /// What the state remembers of it.
    fn note_outcome(
        &mut self,
        subject: &mut SubvolumeBackup,
        outcome: &RunOutcome,
        for_archive: bool,
    ) -> Result<()> {
        for (place, free) in &outcome.free {
            self.state.saw_room(place, self.now.timestamp(), *free);
        }
        let last = self.state.subvolumes.entry(subject.of.name.clone());
        let last = last.or_default();
        let why = |name: &String| {
            let failed = outcome.failed.iter().find(|(other, _)| other == name);
            failed.map(|(_, error)| error.to_string())
        };
        for dest in &self.order.config.destinations {
            let place = dest.place.to_string();
            if outcome.arrived.contains(&place) {
                last.owed.retain(|owed| *owed != place);
                last.has_all(place, Stamp::of(self.now.timestamp()), &outcome.newest);
            } else if let Some(error) = why(&place) {
                if !last.owed.contains(&place) {
                    last.owed.push(place.clone());
                }
                last.destinations.entry(place).or_default().error = Some(error);
            }
        }
        let Some(archive) = &mut subject.archive else {
            if self.order.config.archive_of(subject.of).is_none() {
                last.last_snapshot = Some(subject.folder.join(&outcome.newest.path));
            }
            return Ok(());
        };
        if !for_archive {
            return Ok(());
        }
        if let Some(error) = why(&archive.location()) {
            last.destinations
                .entry(ARCHIVE.to_owned())
                .or_default()
                .error = Some(error);
            return Ok(());
        }
        let at = Stamp::of(self.now.timestamp());
        last.has_all(ARCHIVE.to_owned(), at, &outcome.newest);
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

/// The kind in the name of a snapshot that no archive waits for.
fn first(ours: &[Snapshot]) -> BackupKind {
    match ours.is_empty() {
        true => BackupKind::Full,
        false => BackupKind::Incremental,
    }
}
