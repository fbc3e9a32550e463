//! Retention of a configuration by itself: each subvolume, here and wherever its snapshots go. Makes and sends
//! nothing.

use super::destinations::{self, InBucket};
use super::folders::Folders;
use super::look::{ArchiveContent, SubvolumeLook};
use super::subvolume::SubvolumeBackup;
use super::told::told_too;
use super::{RunContext, ScheduledOrder};
use crate::backup::run::{MakeWhen, Run};
use crate::backup::schedule::BackupKind;
use crate::backup::state::RunState;
use crate::error::{Kind, Result};
use crate::event::{Event, Listener, Overview};
use crate::process;
use crate::snapshot::{Snapshot, Uuid};
use crate::store::StoreOptions;
use jiff::Zoned;

/// Lets every place forget what the file does not keep there. Hooks do not run.
///
/// # Errors
/// [`Kind::Busy`] if another run is at work, [`Kind::Partly`] if some failed and others did not, or nobody
/// could be told.
pub fn prune(
    order: &ScheduledOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let _lock = order.lock(now)?;
    if order.dry_run {
        return let_go(order, store_options, now, listener);
    }
    let notify = order.notify();
    if let Err(error) = notify.begin() {
        listener(Event::note(error.to_string()));
    }
    let done = let_go(order, store_options, now, listener);
    let told = notify.end(true, &done, "");
    told_too(done, told, listener)
}

/// The same, without telling anybody how it went.
fn let_go(
    order: &ScheduledOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let selected = order.selected()?;
    let store_options = &store_options.at(order.config.places());
    let folders = Folders::open(order, &selected, store_options)?;
    let told = (&mut Overview::default(), listener);
    let mut round = RunContext::new(
        order,
        (store_options, now),
        RunState::default(),
        folders,
        told,
    );
    let mut errors = order.unmatched();
    let count = selected.len() + errors.len();
    for of in selected {
        process::check("deleting old snapshots")?;
        let done = SubvolumeBackup::new(of, order, store_options);
        match done.and_then(|mut subject| round.forget(&mut subject)) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => errors.push((of.path.clone(), error)),
        }
    }
    round.verdict(errors, count)
}

impl RunContext<'_, '_> {
    fn forget(&mut self, subject: &mut SubvolumeBackup) -> Result<()> {
        let of = subject.of;
        let found = self.find(subject)?;
        let at = self.order.config.destinations_of(of);
        self.open_others(&at);
        let mut dests = Vec::new();
        let config = &self.order.config;
        for (archive, there) in subject.archives.iter_mut().zip(&found.archives) {
            let (unread, nothing) = (there.as_ref().err(), ArchiveContent::default());
            let there = there.as_ref().unwrap_or(&nothing);
            let in_bucket = InBucket {
                finishes: None,
                links: &there.chain.links,
                backups: &there.backups,
                unread: unread.or(there.missed.as_ref()),
            };
            let kind = BackupKind::Incremental;
            dests.push(archive.dest(config, &in_bucket, kind, self.now));
        }
        let others = config.destinations.iter().zip(&mut self.others).enumerate();
        for (_, (dest, store)) in others.filter(|(number, _)| at.contains(number)) {
            if let Some(store) = store {
                dests.push(destinations::other(dest, store, &found.source));
            }
        }
        let mut run = Run {
            source: &found.source,
            store: self.folders.store(&of.folder())?,
            now: self.now,
            make: MakeWhen::No,
            keeps: of.keeps.clone(),
            dry_run: self.order.dry_run,
            max_chain: None,
            whole: false,
            pinned: needed(&found),
            pinned_names: of.pinned.clone(),
            lets_go: true,
            said: self.said.clone(),
            listener: self.listener,
        };
        run.forget(dests)?.verdict(&of.path)
    }
}

/// What archives still need of the snapshots here.
fn needed(found: &SubvolumeLook) -> Vec<(Uuid, String)> {
    let mut needed = Vec::new();
    for there in found.archives.iter().flatten() {
        let mut links = found.ours.iter().rev().map(Snapshot::id);
        if let Some(id) = links.find(|id| there.chain.links.contains(id)) {
            let why = "the next difference in the archive builds on it";
            needed.push((id, why.to_owned()));
        }
        if let Some(pending) = &there.pending {
            let why = "it has not arrived in the archive";
            needed.push((pending.id, why.to_owned()));
        }
    }
    needed
}
