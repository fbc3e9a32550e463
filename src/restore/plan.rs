//! What a restore will take: which backups, how many bytes, what has to thaw, for how much and how
//! long. Looks at the bucket and the filesystem; changes nothing.

use super::chain::Link;
use super::links::Links;
use super::place::Place;
use super::thawing::{self, look};
use super::{Order, Which};
use crate::archive::{ArchiveState, Tier};
use crate::error::Result;
use crate::event::{Link as Row, Restoring};
use crate::prices::{self, Estimate, Prices};
use crate::s3::thaw::Cold;
use std::collections::{BTreeMap, BTreeSet};

/// Finds out what it will take, and what of it is cold. Links whose streams can be read learn their UUIDs.
pub(super) fn make(
    order: &Order,
    links: &mut Links,
    place: &Place,
) -> Result<(Restoring, Vec<Cold>)> {
    let keys: Vec<&str> = links.all.iter().flat_map(Link::keys).collect();
    let cold = look(&links.client, &keys)?;
    for number in 0..links.all.len() {
        let first = links.all[number]
            .keys()
            .next()
            .and_then(|key| cold.get(key));
        if first.is_some_and(|cold| cold.state.is_readable()) {
            links.identify(number)?;
        }
    }
    let ids: Vec<_> = links.all.iter().map(|link| link.id).collect();
    let present = place.present(&ids)?;
    let first = present
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |at| at + 1);
    let pairs = links.all.iter().zip(present).enumerate();
    let rows = pairs.map(|(number, (link, present))| {
        let manifest = &link.manifest;
        let cold: Vec<&Cold> = link.keys().filter_map(|key| cold.get(key)).collect();
        let classes: BTreeSet<&String> = cold.iter().map(|cold| &cold.class).collect();
        Row {
            kind: manifest.kind.clone(),
            created_at: manifest.created_at.clone(),
            name: manifest.snapshot.name.clone(),
            bytes: manifest.total_bytes,
            chunks: manifest.chunks.len(),
            frozen: cold.iter().filter(|cold| !cold.state.is_readable()).count(),
            classes: classes.into_iter().cloned().collect(),
            present,
            needed: number >= first,
        }
    });
    let rows: Vec<Row> = rows.collect();
    Ok(sum_up(order, links, place, rows, &cold, first))
}

fn sum_up(
    order: &Order,
    links: &Links,
    place: &Place,
    rows: Vec<Row>,
    cold: &BTreeMap<String, Cold>,
    first: usize,
) -> (Restoring, Vec<Cold>) {
    let tier = order.thaw.tier;
    let needed = &links.all[first.min(links.all.len())..];
    let prices = Prices::of(links.client.is_aws());
    // By class, and by whether it has to be thawed: the rest costs what reading costs.
    let mut bytes: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    let mut frozen = Vec::new();
    for chunk in needed.iter().flat_map(|link| &link.manifest.chunks) {
        if let Some(cold) = cold.get(&chunk.key) {
            let asks = cold.state == ArchiveState::Frozen;
            *bytes.entry((&cold.class, asks)).or_default() += chunk.size;
            frozen.extend((!cold.state.is_readable()).then(|| cold.clone()));
        }
    }
    let nothing = Estimate::Known(Vec::new());
    let cost = bytes.iter().fold(nothing, |sum, ((class, asks), bytes)| {
        // What is thawed already, or being thawed, is paid for, and reads as STANDARD does.
        let paid = crate::s3::thaw::freezes(class) && !asks;
        let class = if paid { "STANDARD" } else { class };
        sum.and(prices.restoring(*bytes, class, tier))
    });
    let waits = frozen.iter().map(|cold| waiting(&cold.class, tier));
    let plan = Restoring {
        subvolume: order.subvolume.clone(),
        manifest_key: links
            .all
            .last()
            .map(|link| link.key.clone())
            .unwrap_or_default(),
        why: why(&order.which),
        bytes: needed.iter().map(|link| link.manifest.total_bytes).sum(),
        objects: needed.iter().map(|link| link.manifest.chunks.len()).sum(),
        frozen: frozen.len(),
        tier: tier.to_string(),
        waits: waits.collect::<BTreeSet<_>>().into_iter().collect(),
        cost_dollars: cost.dollars(),
        cost: cost.to_string(),
        received_in: place.base.clone(),
        target: place.target.clone(),
        chain: rows,
    };
    (plan, frozen)
}

fn waiting(class: &str, tier: Tier) -> String {
    let time = prices::wait(class, tier).unwrap_or("nobody knows how long");
    format!("{class} by {tier}: {time}")
}

fn why(which: &Which) -> String {
    match which {
        Which::Newest => "the newest".to_owned(),
        Which::Key(_) => "by its key".to_owned(),
        Which::At(time) => format!("the newest at {time}"),
        Which::Snapshot(_) => "by its snapshot".to_owned(),
    }
}

/// The tier must be one that every frozen class has.
pub(super) fn check_tier(cold: &[Cold], tier: Tier) -> Result<()> {
    let cold: Vec<&Cold> = cold.iter().collect();
    thawing::check_tier(&cold, tier)
}
