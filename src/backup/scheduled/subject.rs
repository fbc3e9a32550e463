//! One subvolume of a configuration: what there is of it here and in the bucket, what is due, and
//! its backup.

use super::dests::{self, Backup};
use super::{Order, Round};
use crate::backup::agenda::{self, Agenda, Chain};
use crate::backup::archive;
use crate::backup::names::{self, Naming};
use crate::backup::oneshot::access;
use crate::backup::retention::Policy;
use crate::backup::run::{Event, Make, Outcome, Run};
use crate::backup::schedule::{Kind, Past};
use crate::backup::source::Source;
use crate::backup::state::moment;
use crate::error::{Error, Result};
use crate::snapshot::{Listing, Snapshot, Uuid, shown};
use crate::store::archive::ArchiveStore;
use crate::store::{Means, Store};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A subvolume, and where its backups are.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// `None` if the bucket is left alone.
    archive: Option<ArchiveStore>,
}

/// What is to be done for a subvolume, and from where.
pub(super) struct Todo {
    agenda: Agenda,
    source: Source,
    ours: Vec<Snapshot>,
    pub(super) chain: Chain,
    /// What there is in the bucket.
    pub(super) backups: Vec<Backup>,
    /// Why the bucket could not be read.
    pub(super) unread: Option<Error>,
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

impl Subject {
    pub(super) fn new(name: &str, path: &Path, order: &Order, means: &Means) -> Result<Subject> {
        let config = &order.config;
        let archive = match order.no_s3 {
            true => None,
            false => {
                let access = access(order.dry_run, config.s3.keeps.keeps_all());
                let settings = archive::settings(config, name);
                let options = archive::options(config, &means.s3);
                Some(ArchiveStore::open(settings, access, options)?)
            }
        };
        Ok(Subject {
            name: name.to_owned(),
            path: path.to_owned(),
            archive,
        })
    }

    /// What there is in the bucket, if it is asked at all.
    fn listing(&mut self, ours: &[Snapshot]) -> Option<Result<Listing>> {
        let archive = self.archive.as_mut()?;
        // What the old program did not write down is known as long as the snapshots are here.
        let known = ours
            .iter()
            .filter_map(|s| Some((s.path.to_str()?.to_owned(), s.id())));
        archive.know(known.collect());
        Some(archive.list())
    }
}

impl Round<'_, '_> {
    /// What is to be done for a subvolume; `None` if nothing is, which is said.
    pub(super) fn look(&mut self, subject: &mut Subject) -> Result<Option<Todo>> {
        let config = &self.order.config;
        let naming = Naming::Scheduled(subject.name.clone(), Kind::Full);
        let source = Source::open(&subject.path, &config.snapshots.base_dir, naming, false)?;
        let here = match source.folder.is_dir() {
            true => self.store.list()?,
            false => Listing::default(),
        };
        let ours: Vec<Snapshot> = source.ours(&here).into_iter().cloned().collect();
        let (mut chain, mut pending) = (Chain::default(), None);
        let (mut backups, mut unread, mut abandoned) = (Vec::new(), None, Vec::new());
        match subject.listing(&ours) {
            Some(Ok(there)) => {
                chain = Chain::newest(&there);
                pending = agenda::pending(&ours, &chain, &there);
                let left = agenda::abandoned(&ours, &chain, &there, pending.as_ref());
                let note = |(path, why): (&Path, _)| {
                    let place = &there.location;
                    format!("nobody goes on with {} in {place}: {why}", shown(path))
                };
                abandoned = left.into_iter().map(note).collect();
                backups = dests::backups(&there);
            }
            Some(Err(error)) if config.destinations.is_empty() => return Err(error),
            Some(Err(error)) => unread = Some(error),
            None => {}
        }
        let asked = subject.archive.is_some() && unread.is_none();
        let past = match asked {
            true => past(&chain, &ours),
            false => self.remembered(&subject.name, &ours),
        };
        let owed = asked && !self.owed(&subject.name).is_empty();
        let (schedule, once) = (&config.schedule, self.order.once);
        let agenda = agenda::decide(schedule, &past, pending, owed, self.now, once);
        let words = self.words(&agenda, &subject.name);
        (self.watch)(Event::Due(&subject.path, &words));
        if !matches!(agenda, Agenda::Later(..)) {
            abandoned
                .iter()
                .for_each(|note| (self.watch)(Event::Note(note)));
        }
        match (&agenda, unread) {
            (Agenda::Later(..), None) => Ok(None),
            (Agenda::Later(..), Some(error)) => Err(error),
            (_, unread) => Ok(Some(Todo {
                agenda,
                source,
                ours,
                chain,
                backups,
                unread,
            })),
        }
    }

    fn words(&self, agenda: &Agenda, name: &str) -> String {
        match agenda {
            Agenda::New(kind, why) => format!("{kind} backup now ({why})"),
            Agenda::Finish(_, kind, why) => {
                format!("{kind} backup of the snapshot that is there ({why})")
            }
            Agenda::Owed => format!("the last snapshot for {}", self.owed(name).join(", ")),
            Agenda::Later(at, kind) => {
                let at = at.strftime("%Y-%m-%d %H:%M %Z");
                format!("nothing is due; {kind} backup from {at}")
            }
        }
    }

    /// Destinations that have not got the last snapshot, of those that there still are.
    fn owed(&self, name: &str) -> Vec<String> {
        let known = |owed: &&String| {
            let mut all = self.order.config.destinations.iter();
            all.any(|dest| dest.place.to_string() == **owed)
        };
        let last = self.state.subvolumes.get(name);
        let owed = last.map_or(&[][..], |last| &last.owed);
        owed.iter().filter(known).cloned().collect()
    }

    /// Where the bucket is not asked, memory and the names of the snapshots have to do.
    fn remembered(&self, name: &str, ours: &[Snapshot]) -> Past<'static> {
        let mut past = self.state.past(name, Path::is_dir);
        past.broken = past.broken.filter(|_| ours.is_empty());
        for snapshot in ours {
            let path = snapshot.path.to_str();
            let Some((_, made, kind)) = path.and_then(names::scheduled_parts) else {
                continue;
            };
            past.last = past.last.max(Some(made));
            if kind == Kind::Full {
                past.last_full = past.last_full.max(Some(made));
            }
        }
        past
    }

    /// Makes a backup, and what is due after it if that only finished an old one.
    pub(super) fn back_up(&mut self, subject: &mut Subject, todo: Todo) -> Result<()> {
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

    fn back_up_once(&mut self, subject: &mut Subject, mut todo: Todo) -> Result<()> {
        let owed = matches!(todo.agenda, Agenda::Owed).then(|| self.owed(&subject.name));
        let (make, kind) = match todo.agenda {
            Agenda::New(kind, ref why) => (Make::Always(why.clone()), kind),
            Agenda::Finish(_, kind, _) | Agenda::Later(_, kind) => (Make::No, kind),
            Agenda::Owed => (Make::No, Kind::Incremental),
        };
        todo.source.naming = Naming::Scheduled(subject.name.clone(), kind);
        let config = &self.order.config;
        let mut dests = Vec::new();
        if let (Some(archive), None) = (&mut subject.archive, &owed) {
            dests.push(dests::bucket(config, archive, &todo, kind, self.now));
        }
        for (dest, store) in config.destinations.iter().zip(&mut self.others) {
            let name = dest.place.to_string();
            if owed.as_ref().is_none_or(|owed| owed.contains(&name)) {
                dests.push(dests::other(dest, store, &todo.source));
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
            pinned: parent.map(|id| (id, why.to_owned())).into_iter().collect(),
            said: HashSet::new(),
            watch: self.watch,
        }
        .go(dests)?;
        if !self.order.dry_run {
            self.note_outcome(subject, &outcome, owed.is_some())?;
        }
        outcome.verdict(&subject.path)
    }

    /// What the state remembers of it.
    fn note_outcome(
        &mut self,
        subject: &mut Subject,
        outcome: &Outcome,
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
        let archive = archive.archive()?;
        let mut newest_first = archive.in_order().into_iter().rev();
        let newest = newest_first.find(|(key, _)| !archive.broken.contains_key(*key));
        if let Some((key, manifest)) = newest {
            let made = moment(&manifest.created_at).unwrap_or_default();
            let kind = match manifest.parent_manifest {
                Some(_) => Kind::Incremental,
                None => Kind::Full,
            };
            last.arrived(
                manifest.snapshot.path.clone().into(),
                key.clone(),
                made,
                kind,
            );
        }
        Ok(())
    }
}

/// What the chain in the bucket and the snapshots here allow.
fn past(chain: &Chain, ours: &[Snapshot]) -> Past<'static> {
    let parent = ours.iter().any(|s| chain.links.contains(&s.id()));
    Past {
        last_full: chain.last_full,
        last: chain.last,
        broken: (!parent).then_some("no snapshot of the chain in the bucket is here any more"),
    }
}
