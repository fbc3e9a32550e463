//! What a restore will take: which backups, how many bytes, what has to thaw, for how much and how
//! long. Arithmetic over what was found out already. Asks no store.

use super::RestoreOrder;
use crate::archive::{ArchiveState, Backup, Stored, Tier};
use crate::error::{Error, Result};
use crate::event::{Link, Restoring};
use crate::plan::Plan;
use crate::prices::{self, Estimate, Prices};
use crate::snapshot::Listing;
use crate::store::RestoreTarget;
use crate::text::shown;
use std::collections::{BTreeMap, BTreeSet};

/// A chain of backups, what it is kept in, and how much of it is needed.
pub(super) struct FoundChain<'a> {
    pub(super) links: &'a [Backup],
    pub(super) stored: &'a [Vec<Stored>],
    /// What is where it comes back to.
    pub(super) there: &'a Listing,
    pub(super) plan: &'a Plan,
    pub(super) prices: Prices,
}

impl FoundChain<'_> {
    /// The first link that has to be fetched.
    pub(super) fn first(&self) -> usize {
        first(self.links, self.plan)
    }

    fn needed(&self) -> impl Iterator<Item = &Stored> {
        self.stored.iter().skip(self.first()).flatten()
    }

    /// Says what it will take.
    pub(super) fn preview(&self, order: &RestoreOrder, target: &RestoreTarget) -> Restoring {
        let tier = order.thaw.tier;
        let frozen = || self.needed().filter(|object| !object.state.is_readable());
        let waits = frozen().map(|object| waiting(&object.class, tier));
        let cost = self.cost(tier);
        let last = self.links.last();
        Restoring {
            subvolume: order.archive.name.clone(),
            manifest_key: last.map(|link| link.key.clone()).unwrap_or_default(),
            why: order.which.words(),
            bytes: self.plan.total_bytes(),
            objects: self.needed().count(),
            frozen: frozen().count(),
            tier: tier.to_string(),
            waits: waits.collect::<BTreeSet<_>>().into_iter().collect(),
            cost_dollars: cost.dollars(),
            cost: cost.to_string(),
            received_in: target.base.clone(),
            target: target.target.clone(),
            chain: self.rows(target),
        }
    }

    fn rows(&self, target: &RestoreTarget) -> Vec<Link> {
        let first = self.first();
        let pairs = self.links.iter().zip(self.stored).enumerate();
        let row = |(number, (link, stored)): (usize, (&Backup, &Vec<Stored>))| {
            let classes: BTreeSet<&String> = stored.iter().map(|object| &object.class).collect();
            let frozen = stored.iter().filter(|object| !object.state.is_readable());
            let mut there = self.there.snapshots.iter();
            let present = there.find(|s| Some(s.id()) == link.id);
            Link {
                backup: link.clone(),
                frozen: frozen.count(),
                classes: classes.into_iter().cloned().collect(),
                present: present.map(|s| target.base.join(&s.path)),
                needed: number >= first,
            }
        };
        pairs.map(row).collect()
    }

    /// By class, and by whether it has to be thawed: the rest costs what reading costs.
    fn cost(&self, tier: Tier) -> Estimate {
        let mut bytes: BTreeMap<(&str, bool), u64> = BTreeMap::new();
        for object in self.needed() {
            let asks = object.state == ArchiveState::Frozen;
            *bytes.entry((&object.class, asks)).or_default() += object.bytes;
        }
        let nothing = Estimate::Known(Vec::new());
        bytes.iter().fold(nothing, |sum, ((class, asks), bytes)| {
            // What is thawed already, or being thawed, is paid for, and reads as STANDARD does.
            let paid = prices::freezes(class) && !asks;
            let class = if paid { "STANDARD" } else { class };
            sum.and(self.prices.restoring(*bytes, class, tier))
        })
    }

    /// The tier must be one that every frozen class has.
    pub(super) fn check_tier(&self, tier: Tier) -> Result<()> {
        let mut frozen = self.needed().filter(|object| !object.state.is_readable());
        match frozen.find(|object| prices::lacks_tier(&object.class, tier)) {
            Some(object) => {
                let class = shown(&object.class);
                let said = format!("{class} has no such tier: use --restore-tier Standard or Bulk");
                Err(Error::usage(format!("cannot thaw by {tier}"), said))
            }
            None => Ok(()),
        }
    }
}

/// The first link that a plan fetches; what comes after it is fetched as well.
pub(super) fn first(links: &[Backup], plan: &Plan) -> usize {
    let fetched = |link: &Backup| plan.transfers().any(|step| Some(step.to) == link.id);
    links.iter().position(fetched).unwrap_or(links.len())
}

fn waiting(class: &str, tier: Tier) -> String {
    let time = prices::wait(class, tier).unwrap_or("nobody knows how long");
    format!("{class} by {tier}: {time}")
}
