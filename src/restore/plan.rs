//! What a restore will take: which backups, how many bytes, what has to thaw, for how much and how
//! long. Looks at the bucket and the filesystem; changes nothing.

use super::chain::Link;
use super::links::Links;
use super::place::Place;
use super::thawing::{self, look};
use super::{Order, Which};
use crate::archive::{ArchiveState, Tier};
use crate::error::Result;
use crate::prices::{self, Estimate, Prices};
use crate::s3::thaw::Cold;
use crate::snapshot::path_text;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a restore will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name of the backups.
    pub subvolume: String,
    /// The key of the manifest that is restored.
    pub key: String,
    /// Why that one.
    pub why: String,
    /// Its chain, the full one first.
    pub rows: Vec<Row>,
    /// Bytes to fetch.
    pub bytes: u64,
    /// Objects to fetch, and how many of them cannot be read yet.
    pub objects: usize,
    /// See there.
    pub frozen: usize,
    /// How they are thawed.
    pub tier: Tier,
    /// How long that takes for each class that needs it, in words.
    pub waits: Vec<String>,
    /// What it costs.
    pub cost: Estimate,
    /// Where snapshots are received.
    pub base: PathBuf,
    /// What the writable snapshot will be.
    pub target: PathBuf,
    cold: Vec<Cold>,
}

/// A backup of the chain.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `full` or `incremental`.
    pub kind: String,
    /// When it was made, as the manifest has it.
    pub created_at: String,
    /// Its snapshot.
    pub name: String,
    /// Of its stream.
    pub bytes: u64,
    /// In how many objects.
    pub chunks: usize,
    /// Of how many of them have to thaw.
    pub frozen: usize,
    /// Their storage classes.
    pub classes: Vec<String>,
    /// Where it is already.
    #[serde(serialize_with = "maybe")]
    pub present: Option<PathBuf>,
    /// It, or one that builds on it, is there: it need not be fetched.
    pub needed: bool,
}

fn maybe<S: serde::Serializer>(
    path: &Option<PathBuf>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path_text::encode(path)),
        None => to.serialize_none(),
    }
}

/// Finds out what it will take. Links whose streams can be read learn their UUIDs.
pub(super) fn make(order: &Order, links: &mut Links, place: &Place) -> Result<Plan> {
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
) -> Plan {
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
    Plan {
        subvolume: order.subvolume.clone(),
        key: links
            .all
            .last()
            .map(|link| link.key.clone())
            .unwrap_or_default(),
        why: why(&order.which),
        bytes: needed.iter().map(|link| link.manifest.total_bytes).sum(),
        objects: needed.iter().map(|link| link.manifest.chunks.len()).sum(),
        frozen: frozen.len(),
        tier,
        waits: waits.collect::<BTreeSet<_>>().into_iter().collect(),
        cost,
        base: place.base.clone(),
        target: place.target.clone(),
        rows,
        cold: frozen,
    }
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
pub(super) fn check_tier(plan: &Plan, tier: Tier) -> Result<()> {
    let cold: Vec<&Cold> = plan.cold.iter().collect();
    thawing::check_tier(&cold, tier)
}
