//! An archive of one subvolume while a run has it open: what it has, what it is to get, and what is remembered
//! of it. Decides nothing.

use super::ScheduledOrder;
use super::destinations::{self, BackupCost, InBucket};
use crate::archive::{Backup as Archived, Owner, Stamp};
use crate::backup::agenda::{Agenda, NewestChain};
use crate::backup::archive;
use crate::backup::config::{ARCHIVE, ArchiveConfig, Config, SubvolumeConfig};
use crate::backup::oneshot::access;
use crate::backup::run::{Dest, RunOutcome};
use crate::backup::schedule::BackupKind;
use crate::backup::source::BackupSource;
use crate::backup::state::Last;
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Listing, Snapshot, Uuid, shown};
use crate::store::{self, Archive, StoreOptions};
use jiff::Zoned;

/// An archive of a subvolume.
pub(super) struct OpenArchive<'a> {
    pub(super) config: &'a ArchiveConfig,
    /// Or why it could not be opened.
    store: Result<Box<dyn Archive>>,
}

/// What is to be done for an archive, and what it has.
pub(super) struct ArchiveTodo {
    pub(super) agenda: Agenda,
    pub(super) chain: NewestChain,
    pub(super) backups: Vec<BackupCost>,
    /// Why it could not be read.
    pub(super) unread: Option<Error>,
}

impl ArchiveTodo {
    /// The snapshot that was made before and is to arrive now.
    pub(super) fn finishes(&self) -> Option<Uuid> {
        match self.agenda {
            Agenda::Finish(id, ..) => Some(id),
            _ => None,
        }
    }

    /// How it gets something, if it does.
    pub(super) fn gets(&self) -> Option<BackupKind> {
        match self.agenda {
            Agenda::New(kind, _) | Agenda::Finish(_, kind, _) => Some(kind),
            _ => None,
        }
    }

    pub(super) fn in_bucket(&self) -> InBucket<'_> {
        InBucket {
            finishes: self.finishes(),
            links: &self.chain.links,
            backups: &self.backups,
            unread: self.unread.as_ref(),
        }
    }
}

impl<'a> OpenArchive<'a> {
    /// # Errors
    /// Why it could not be opened, if there is nowhere else that snapshots go: there are none then. What is wrong
    /// with one of several keeps nobody from the others.
    pub(super) fn new(
        config: &'a ArchiveConfig,
        of: &SubvolumeConfig,
        order: &ScheduledOrder,
        store_options: &StoreOptions,
    ) -> Result<OpenArchive<'a>> {
        let access = access(order.dry_run, config.keeps.keeps_all());
        let settings = archive::settings(&order.config, config, &of.name);
        let spool = archive::make_spool(&order.config, config, order.dry_run);
        let open = |()| {
            store::open_archive(
                settings,
                access,
                &archive::store_options(config, store_options),
            )
        };
        match spool.and_then(open) {
            Err(error) if !order.has_others(of) || error.kind == Kind::Interrupted => Err(error),
            store => Ok(OpenArchive { config, store }),
        }
    }

    pub(super) fn store(&mut self) -> Result<&mut (dyn Archive + 'static)> {
        match &mut self.store {
            Ok(store) => Ok(&mut **store),
            Err(error) => Err(error.clone()),
        }
    }

    pub(super) fn place(&self) -> String {
        let opened = self.store.as_ref();
        opened.map_or_else(|_| self.config.location(), |store| store.location())
    }

    /// The archive as somewhere that snapshots go.
    pub(super) fn dest<'b>(
        &'b mut self,
        config: &'b Config,
        there: &InBucket,
        kind: BackupKind,
        now: &'b Zoned,
    ) -> Dest<'b> {
        match &mut self.store {
            Ok(store) => {
                destinations::bucket((config, self.config), &mut **store, there, kind, now)
            }
            Err(error) => destinations::unopened(self.config, error),
        }
    }

    /// Says that it is this machine's.
    pub(super) fn claim(&mut self, source: &BackupSource) -> Result<()> {
        self.store()?.claim(&source.origin()?, false)
    }

    /// What there is.
    pub(super) fn listing(&mut self, source: &BackupSource, ours: &[Snapshot]) -> Result<Listing> {
        // What the old program did not write down is known as long as the snapshots are here.
        let known = ours
            .iter()
            .filter_map(|s| Some((s.path.to_str()?.to_owned(), s.id())));
        let store = self.store()?;
        store.know(source.uuid(), known.collect());
        store.list()
    }

    /// What the last listing had, in words.
    pub(super) fn there(&mut self) -> Result<String> {
        let place = self.place();
        let backups = self.store()?.backups()?;
        Ok(match backups.newest() {
            Some(newest) => {
                let (count, made) = (backups.all.len(), shown(&newest.created_at));
                format!("backups in {place}: {count}, the newest {made}")
            }
            None if !backups.unread.is_empty() => {
                format!("no backup that can be read in {place}")
            }
            None => format!("no backup in {place}"),
        })
    }

    /// The machine whose archive it is, as the last listing had it.
    pub(super) fn owner(&mut self) -> Result<Option<Owner>> {
        Ok(self.store()?.backups()?.owner)
    }

    /// Whether all that the last listing had could be read.
    pub(super) fn must_be_all_read(&mut self) -> Result<()> {
        self.store()?.backups()?.must_be_all_read()
    }

    /// What the last listing had that cannot be restored: words, and names of snapshots.
    pub(super) fn losses(&mut self) -> Result<(Vec<String>, Vec<String>)> {
        let backups = self.store()?.backups()?;
        let broken = backups.all.iter().filter(|backup| backup.broken.is_some());
        let names = broken.map(|backup| backup.snapshot.clone());
        Ok((backups.losses(), names.collect()))
    }

    /// Notes what it has after a run.
    pub(super) fn note(&mut self, last: &mut Last, outcome: &RunOutcome, at: Stamp) -> Result<()> {
        let name = self.config.name.clone();
        if let Some(error) = outcome.why_not(&self.place()) {
            last.destinations.entry(name.clone()).or_default().error = Some(error);
            return Ok(());
        }
        last.has_all(name.clone(), at, &outcome.newest);
        let backups = self.store()?.backups()?;
        let is_full = |backup: &&Archived| backup.parent.is_none() && backup.broken.is_none();
        let full = backups.all.iter().rfind(is_full);
        let full = full.and_then(|full| full.created_at.moment());
        if name == ARCHIVE {
            if let Some(newest) = backups.newest() {
                last.arrived(newest.path.clone(), newest.key.clone(), full);
            }
        } else {
            let there = last.destinations.entry(name).or_default();
            there.full_at = full.map(Stamp::of);
        }
        Ok(())
    }
}
