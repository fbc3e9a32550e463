//! One subvolume of a configuration and its backup, once it is known what is due. How a step is carried
//! out is `run`'s business.

use super::destinations;
use super::open_archive::{ArchiveTodo, OpenArchive};
use super::tally::Tally;
use super::{Opened, RunContext, ScheduledOrder, Work};
use crate::archive::Stamp;
use crate::backup::agenda::Agenda;
use crate::backup::config::{ARCHIVE, Config, SubvolumeConfig};
use crate::backup::names::Naming;
use crate::backup::run::{Dest, MakeWhen, Run, RunOutcome};
use crate::backup::schedule::BackupKind;
use crate::backup::source::BackupSource;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::snapshot::{Snapshot, Uuid, shown};
use crate::store::StoreOptions;
use jiff::Zoned;
use std::collections::HashSet;
use std::path::PathBuf;

/// A subvolume, and where its backups are.
pub(super) struct SubvolumeBackup<'a> {
    pub(super) of: &'a SubvolumeConfig,
    pub(super) folder: PathBuf,
    /// None of them if they are left alone.
    pub(super) archives: Vec<OpenArchive<'a>>,
}

/// Subvolumes that cannot be backed up, by their paths, and why.
type Unopened = Vec<(PathBuf, Error)>;

/// What is to be done for a subvolume, and from where.
pub(super) struct Todo {
    pub(super) agenda: Agenda,
    /// The further destinations that get something, by their places in the file.
    pub(super) dests: Vec<usize>,
    pub(super) source: BackupSource,
    pub(super) ours: Vec<Snapshot>,
    /// In the order of the archives.
    pub(super) archives: Vec<ArchiveTodo>,
    /// Why not all that there is could be read, if so.
    pub(super) all_read: Result<()>,
}

impl Todo {
    /// Whether it makes a snapshot, and what kind of backup that is for.
    fn makes(&self, on_change: bool) -> (MakeWhen, BackupKind) {
        match self.agenda {
            Agenda::New(kind, ref why) => (MakeWhen::Always(why.clone()), kind),
            Agenda::Finish(_, kind, _) => (MakeWhen::No, kind),
            Agenda::Snapshot(_) if on_change => (MakeWhen::IfChanged, first(&self.ours)),
            Agenda::Snapshot(ref why) => (MakeWhen::Always(why.clone()), first(&self.ours)),
            Agenda::Owed | Agenda::Later(..) | Agenda::Idle => {
                (MakeWhen::No, BackupKind::Incremental)
            }
        }
    }

    /// What was made before and is to arrive now, archive by archive.
    fn finishes(&self) -> Vec<(usize, Uuid)> {
        let all = self.archives.iter().enumerate();
        all.filter_map(|(at, todo)| Some((at, todo.finishes()?)))
            .collect()
    }
}

impl<'a> SubvolumeBackup<'a> {
    pub(super) fn new(
        of: &'a SubvolumeConfig,
        order: &'a ScheduledOrder,
        store_options: &StoreOptions,
    ) -> Result<SubvolumeBackup<'a>> {
        let open = |config| OpenArchive::new(config, of, order, store_options);
        let archives = match order.work {
            Work::Snapshot => Vec::new(),
            Work::Backup | Work::Send | Work::Prune => order.config.archives_of(of),
        };
        Ok(SubvolumeBackup {
            folder: of.folder(),
            of,
            archives: archives.into_iter().map(open).collect::<Result<_>>()?,
        })
    }

    /// All of these; those whose archive cannot be opened, and there is nothing else, with the reason.
    ///
    /// # Errors
    /// Why the first could not be opened, if none could: without credentials for the only archive nothing is
    /// done at all.
    pub(super) fn all(
        selected: &[&'a SubvolumeConfig],
        order: &'a ScheduledOrder,
        store_options: &StoreOptions,
    ) -> Result<(Vec<SubvolumeBackup<'a>>, Unopened)> {
        let (mut subjects, mut unopened) = (Vec::new(), Unopened::new());
        for of in selected {
            match SubvolumeBackup::new(of, order, store_options) {
                Ok(subject) => subjects.push(subject),
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => unopened.push((of.path.clone(), error)),
            }
        }
        match unopened.first().filter(|_| subjects.is_empty()) {
            Some((_, error)) => Err(error.clone()),
            None => Ok((subjects, unopened)),
        }
    }

    /// What the last listing of each archive had, in words.
    pub(super) fn there(&mut self) -> Vec<Result<String>> {
        self.archives.iter_mut().map(OpenArchive::there).collect()
    }
}

/// All that get something.
fn dests<'a>(
    config: &'a Config,
    (archives, others): (&'a mut [OpenArchive], &'a mut [Opened]),
    todo: &Todo,
    now: &'a Zoned,
) -> Vec<Dest<'a>> {
    let archives = archives.iter_mut().zip(&todo.archives);
    let archives = archives.filter_map(|(archive, what)| {
        let kind = what.gets()?;
        Some(archive.dest(config, &what.in_bucket(), kind, now))
    });
    let mut dests: Vec<Dest> = archives.collect();
    let others = config.destinations.iter().zip(others).enumerate();
    let others = others.filter(|(at, _)| todo.dests.contains(at));
    dests.extend(others.filter_map(|(_, (dest, store))| {
        Some(destinations::other(dest, store.as_mut()?, &todo.source))
    }));
    dests
}

impl RunContext<'_, '_> {
    /// Makes a backup, and what is due after it if that only finished an old one.
    pub(super) fn back_up(&mut self, subject: &mut SubvolumeBackup, todo: Todo) -> Result<()> {
        let mut next = Some(todo);
        let mut finished = HashSet::new();
        while let Some(todo) = next.take() {
            let finishes = todo.finishes();
            self.back_up_once(subject, todo)?;
            if self.order.dry_run || finishes.is_empty() {
                return Ok(());
            }
            finished.extend(finishes);
            next = self.look(subject)?.filter(|todo| match todo.agenda {
                Agenda::New(..) | Agenda::Snapshot(_) => true,
                Agenda::Finish(..) => todo.finishes().iter().any(|one| !finished.contains(one)),
                Agenda::Owed | Agenda::Later(..) | Agenda::Idle => false,
            });
        }
        Ok(())
    }

    /// Says that the archives are this machine's. Where one turns out to be another's, there is no snapshot
    /// for it; what else there is gets one.
    fn claim(&self, subject: &mut SubvolumeBackup, todo: &mut Todo) -> Result<()> {
        if self.order.dry_run {
            return Ok(());
        }
        let alone = !self.order.has_others(subject.of);
        for (archive, what) in subject.archives.iter_mut().zip(&mut todo.archives) {
            if what.unread.is_some() || what.gets().is_none() {
                continue;
            }
            match archive.claim(&todo.source) {
                Ok(()) => {}
                Err(error) if error.kind == Kind::Interrupted || alone => return Err(error),
                Err(error) => what.unread = Some(error),
            }
        }
        Ok(())
    }

    fn back_up_once(&mut self, subject: &mut SubvolumeBackup, mut todo: Todo) -> Result<()> {
        let of = subject.of;
        let (make, kind) = todo.makes(of.on_change);
        todo.source.naming = Naming::Scheduled(of.name.clone(), kind);
        self.claim(subject, &mut todo)?;
        self.open_others(&todo.dests);
        let (pinned, lets_go) = self.pinned(of, &todo);
        let folder = subject.folder.clone();
        let dests = dests(
            &self.order.config,
            (&mut subject.archives, &mut self.others),
            &todo,
            self.now,
        );
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
            self.note_outcome(subject, &outcome, &todo.archives)?;
        }
        outcome.verdict(&of.path).and(todo.all_read)
    }

    /// What the source keeps for who gets nothing in this run: what the next difference builds on there.
    /// Where that is not known, the source keeps everything.
    fn pinned(&self, of: &SubvolumeConfig, todo: &Todo) -> (Vec<(Uuid, String)>, bool) {
        let mut pinned = Vec::new();
        let mut lets_go = self.order.work != Work::Snapshot;
        for what in &todo.archives {
            lets_go &= what.unread.is_none() || what.gets().is_some();
            let of_use = |id: &Uuid| what.chain.links.contains(id) || what.finishes() == Some(*id);
            let mut links = todo.ours.iter().rev().map(Snapshot::id);
            if let Some(id) = links.find(of_use) {
                let why = "the next difference in the archive builds on it";
                pinned.push((id, why.to_owned()));
            }
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
        archives: &[ArchiveTodo],
    ) -> Result<()> {
        let config = &self.order.config;
        let now = || Stamp::of(self.now.timestamp());
        for (place, free) in &outcome.free {
            self.state.saw_room(place, self.now.timestamp(), *free);
        }
        let last = self.state.subvolumes.entry(subject.of.name.clone());
        let last = last.or_default();
        for dest in &config.destinations {
            let place = dest.place.to_string();
            if outcome.arrived.contains(&place) {
                last.owed.retain(|owed| *owed != place);
                last.has_all(place, now(), &outcome.newest);
            } else if let Some(error) = outcome.why_not(&place) {
                if !last.owed.contains(&place) {
                    last.owed.push(place.clone());
                }
                last.destinations.entry(place).or_default().error = Some(error);
            }
        }
        let mut all = config.archives_of(subject.of).into_iter();
        if all.all(|archive| archive.name != ARCHIVE) {
            last.last_snapshot = Some(subject.folder.join(&outcome.newest.path));
        }
        for (archive, what) in subject.archives.iter_mut().zip(archives) {
            if what.gets().is_some() {
                archive.note(last, outcome, now())?;
            }
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
