//! Where the snapshots of a configuration go, and what that costs, in words. Sends nothing.

use crate::archive::Tier;
use crate::backup::config::{ArchiveConfig, Config, DestinationConfig};
use crate::backup::oneshot::{as_store, check_apart, check_mount};
use crate::backup::retention::Decision;
use crate::backup::run::{BackupSelection, Costed, Costs, Dest, Keeps};
use crate::backup::schedule::BackupKind;
use crate::backup::source::BackupSource;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::prices::{Estimate, Prices};
use crate::snapshot::{Listing, Uuid};
use crate::store::{Archive, Store};
use jiff::Zoned;
use std::collections::HashSet;

/// A backup in the bucket, as far as its costs go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BackupCost {
    id: Uuid,
    bytes: u64,
    /// When it was made, in seconds since 1970.
    made: i64,
}

/// What a listing of the bucket offers.
pub(super) fn backups(there: &Listing) -> Vec<BackupCost> {
    let made = |id| {
        let found = there.snapshots.iter().find(|s| s.id() == id);
        found.and_then(|s| s.created).unwrap_or(0)
    };
    let backup = |diff: &crate::snapshot::Diff| BackupCost {
        id: diff.to,
        bytes: diff.size.bytes().unwrap_or(0),
        made: made(diff.to),
    };
    let diffs = there.offer.stored().unwrap_or_default();
    diffs.iter().map(backup).collect()
}

/// What there is of a subvolume in the bucket, and what is to arrive there.
pub(super) struct InBucket<'a> {
    /// The snapshot that was made before and is to arrive now.
    pub(super) finishes: Option<Uuid>,
    /// What the next difference may build on.
    pub(super) links: &'a HashSet<Uuid>,
    /// The backups that are there.
    pub(super) backups: &'a [BackupCost],
    /// Why it could not be read.
    pub(super) unread: Option<&'a Error>,
}

/// The bucket of a configuration.
pub(super) fn bucket<'a>(
    (config, s3): (&'a Config, &'a ArchiveConfig),
    archive: &'a mut dyn Archive,
    there: &InBucket,
    kind: BackupKind,
    now: &'a Zoned,
) -> Dest<'a> {
    let parents = match kind {
        BackupKind::Full => HashSet::new(),
        BackupKind::Incremental => there.links.clone(),
    };
    let wants = BackupSelection::One(there.finishes, parents);
    let costs = costs((config, s3), archive, there, now);
    Dest {
        name: archive.location(),
        store: match there.unread {
            Some(error) => Err(error.clone()),
            None => Ok(archive),
        },
        wants,
        keeps: Keeps::Chains(s3.keeps),
        costs: Some(costs),
        compare: false,
    }
}

/// An archive that could not be opened.
pub(super) fn unopened<'a>(archive: &ArchiveConfig, error: &Error) -> Dest<'a> {
    Dest {
        name: archive.location(),
        store: Err(error.clone()),
        wants: BackupSelection::Newest,
        keeps: Keeps::Chains(archive.keeps),
        costs: None,
        compare: false,
    }
}

/// One of the further destinations.
pub(super) fn other<'a>(
    dest: &DestinationConfig,
    opened: &'a mut Result<Box<dyn Store>>,
    source: &BackupSource,
) -> Dest<'a> {
    let apart = check_apart(source, &dest.place);
    let mounted = match dest.require_mount {
        true => apart.and_then(|()| check_mount(&source.path, &dest.place)),
        false => apart,
    };
    Dest {
        name: dest.place.to_string(),
        store: mounted.and_then(|()| as_store(opened)),
        wants: match dest.cycle {
            Some(_) => BackupSelection::Newest,
            None => BackupSelection::Missing,
        },
        keeps: Keeps::Policy(dest.keeps.clone()),
        costs: None,
        compare: dest.compare,
    }
}

fn costs<'a>(
    (config, s3): (&'a Config, &'a ArchiveConfig),
    archive: &dyn Archive,
    there: &InBucket,
    now: &'a Zoned,
) -> Box<Costs<'a>> {
    let prices = archive.prices();
    let memory = archive.memory().div_ceil(1 << 20);
    let chain = there.links.clone();
    let backups = there.backups.to_vec();
    Box::new(move |of: Costed| match of {
        Costed::Plan(_) if prices == Prices::Free => Some(format!("memory: {memory} MiB at most")),
        Costed::Deletions(_) if prices == Prices::Free => None,
        Costed::Plan(plan) => {
            let class = s3.storage_class_chunks.as_deref().unwrap_or_default();
            let how = (class, config.restore.restore_tier);
            Some(plan_words(how, prices, memory, &chain, &backups, plan))
        }
        Costed::Deletions(verdicts) => deletion_words(s3, prices, &backups, verdicts, now),
    })
}

fn plan_words(
    (class, tier): (&str, Tier),
    prices: Prices,
    memory: u64,
    chain: &HashSet<Uuid>,
    backups: &[BackupCost],
    plan: &Plan,
) -> String {
    let new = plan.total_bytes();
    let whole = plan.transfers().any(|step| step.from.is_none());
    let links = backups.iter().filter(|b| !whole && chain.contains(&b.id));
    let all = links.map(|backup| backup.bytes);
    let all = all.fold(new, u64::saturating_add);
    let storing = prices.storing(new, class);
    let restoring = prices.restoring(all, class, tier);
    format!(
        "memory: {memory} MiB at most; storing {} MiB: {storing}; restoring the chain of {} MiB: {restoring}",
        new.div_ceil(1 << 20),
        all.div_ceil(1 << 20)
    )
}

fn deletion_words(
    s3: &ArchiveConfig,
    prices: Prices,
    backups: &[BackupCost],
    verdicts: &[Decision],
    now: &Zoned,
) -> Option<String> {
    let class = s3.storage_class_chunks.as_deref().unwrap_or_default();
    let gone = verdicts.iter().filter(|verdict| !verdict.keep);
    let gone = gone.filter_map(|v| backups.iter().find(|b| b.id == v.candidate.id));
    let cost = |backup: &BackupCost| {
        let seconds = now.timestamp().as_second().saturating_sub(backup.made);
        let days = u32::try_from(seconds / 86_400).unwrap_or(0);
        prices.deleting_early(backup.bytes, class, days)
    };
    let sum = gone.map(cost).reduce(Estimate::and)?;
    Some(format!("deleting: {sum}"))
}
