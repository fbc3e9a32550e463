//! What a place holds, as a table for people and as JSON. Asks no store, and no clock.

use super::format::{BAR, ListingFormat, Order};
use super::table::{Bytes, Column, Formatted, Maybe, Moment, Rows, data, fitted, titles};
use super::tree::{bar, descent};
use crate::snapshot::{Diff, Listing, Pair, Snapshot, State, Uuid, path_text, shown};
use crate::text::{age, counted, human, minute};
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;

/// A snapshot as it is shown.
#[derive(Clone, Debug)]
struct ListedSnapshot {
    s: Snapshot,
    /// The lines of the tree that lead to it.
    lead: String,
    /// Its share of the largest one.
    bar: String,
    now: i64,
    stored: Option<StoredDiff>,
}

/// What is kept of a snapshot where streams are kept.
#[derive(Clone, Debug)]
struct StoredDiff {
    bytes: u64,
    from: Option<Uuid>,
    /// What it is the difference from, by name.
    on: Option<String>,
    /// The streams that make it; `None` if one of them is not there.
    chain: Option<Chain>,
}

/// The streams that make a snapshot on the shortest way.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    links: usize,
    bytes: u64,
}

/// What the columns are called.
pub(super) fn columns() -> Vec<String> {
    titles(COLUMNS)
}

type Field = Column<ListedSnapshot>;

const COLUMNS: &[Field] = &[
    Field::json("id", |row| Box::new(row.s.id()))
        .shown(13, "UUID")
        .spare(9),
    Field::json("path", |row| {
        let name = format!("{}{}", row.lead, shown(&row.s.path));
        Box::new(Formatted(name, path_text::encode(&row.s.path)))
    })
    .shown(1, "NAME"),
    Field::text(2, |row| Box::new(row.bar.clone()))
        .shown(2, "BAR")
        .spare(5)
        .bare(),
    Field::json("uuid", |row| data(row.s.uuid)),
    Field::json("received_uuid", |row| data(row.s.received_uuid)),
    Field::json("parent_uuid", |row| data(row.s.parent_uuid)),
    Field::json("ctransid", |row| data(row.s.ctransid)),
    Field::json("otransid", |row| data(row.s.otransid)),
    Field::json("stransid", |row| data(row.s.stransid)),
    Field::json("created", |row| {
        Box::new(Formatted(row.time(), row.s.created.map(Moment)))
    })
    .shown(3, "CREATED"),
    Field::json("made", |row| data(row.made())).optional(),
    Field::text(4, |row| Box::new(row.age()))
        .shown(4, "AGE")
        .right()
        .spare(4),
    Field::json("read_only", |row| data(row.s.read_only)),
    Field::json("state", |row| Box::new(row.s.state))
        .shown(12, "STATE")
        .spare(2)
        .alarm(|row| row.s.state != State::Ok),
    Field::json("referenced", |row| {
        Box::new(Maybe(row.s.referenced.map(Bytes)))
    })
    .shown(5, "SIZE")
    .right()
    .spare(3)
    .bare(),
    Field::json("exclusive", |row| {
        Box::new(Maybe(row.s.exclusive.map(Bytes)))
    })
    .shown(6, "OWN")
    .right()
    .spare(6)
    .bare(),
    Field::json("tree_bytes", |row| data(row.s.tree_bytes)),
    Field::json("nested", |row| data(&row.s.nested)),
    Field::json("origin", |row| data(&row.s.origin)).optional(),
    Field::json("stored_bytes", |row| {
        Box::new(Maybe(row.stored.as_ref().map(|stored| Bytes(stored.bytes))))
    })
    .shown(7, "STORED")
    .right()
    .spare(3)
    .bare()
    .optional(),
    Field::json("from", |row| {
        let on = row.stored.as_ref().and_then(|stored| stored.from);
        Box::new(Formatted(row.on(), on))
    })
    .shown(8, "FROM")
    .spare(8)
    .bare()
    .optional(),
    Field::json("chain", |row| {
        Box::new(Maybe(row.chain().map(|chain| chain.links)))
    })
    .shown(9, "CHAIN")
    .right()
    .spare(7)
    .bare()
    .optional(),
    Field::json("chain_bytes", |row| {
        Box::new(Maybe(row.chain().map(|chain| Bytes(chain.bytes))))
    })
    .shown(10, "TOTAL")
    .right()
    .spare(7)
    .bare()
    .optional(),
    Field::json("storage_class", |row| {
        let class = row.s.storage_class.as_ref();
        Box::new(Formatted(class.map_or("-".to_owned(), shown), class))
    })
    .shown(11, "CLASS")
    .spare(6)
    .bare()
    .optional(),
];

impl ListedSnapshot {
    /// When the snapshot itself was made, if that is known.
    fn made(&self) -> Option<i64> {
        let recorded = self.s.origin.as_ref().and_then(|origin| origin.made);
        let made_here = self.stored.is_none() && self.s.received_uuid.is_none();
        recorded.or(self.s.created.filter(|_| made_here))
    }

    /// The best that is known of that.
    fn when(&self) -> Option<i64> {
        self.made().or(self.s.created)
    }

    /// Its time is only that at which it arrived.
    fn only_arrived(&self) -> bool {
        self.made().is_none() && self.s.created.is_some()
    }

    fn time(&self) -> String {
        let when = self.when().and_then(minute);
        let mark = if self.only_arrived() { "~" } else { "" };
        when.map_or("-".to_owned(), |when| when + mark)
    }

    fn age(&self) -> String {
        self.when()
            .map_or("-".to_owned(), |when| age(self.now - when))
    }

    fn on(&self) -> String {
        match &self.stored {
            None => "-".to_owned(),
            Some(StoredDiff { on: None, .. }) => "whole".to_owned(),
            Some(StoredDiff { on: Some(name), .. }) => name.clone(),
        }
    }

    fn chain(&self) -> Option<Chain> {
        self.stored.as_ref().and_then(|stored| stored.chain)
    }

    /// What is shown of it as a bar.
    fn bytes(&self) -> Option<u64> {
        let stored = self.stored.as_ref().map(|stored| stored.bytes);
        stored.or(self.s.referenced)
    }
}

/// A listing, to be shown.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    location: &'a str,
    #[serde(serialize_with = "rows")]
    snapshots: Vec<ListedSnapshot>,
    free_bytes: Option<u64>,
    partial: bool,
    notes: &'a [String],
    #[serde(skip)]
    look: &'a ListingFormat,
}

fn rows<S: Serializer>(snapshots: &[ListedSnapshot], to: S) -> Result<S::Ok, S::Error> {
    Rows(COLUMNS, snapshots).serialize(to)
}

impl<'a> Listed<'a> {
    /// What a place holds, as it is to look.
    pub fn of(listing: &'a Listing, look: &'a ListingFormat) -> Listed<'a> {
        let stored = stored(listing);
        let of = |s: &Snapshot| ListedSnapshot {
            stored: stored.get(&s.id()).cloned(),
            s: s.clone(),
            lead: String::new(),
            bar: String::new(),
            now: look.now,
        };
        let mut snapshots: Vec<ListedSnapshot> = listing.snapshots.iter().map(of).collect();
        if let Some(order) = look.order() {
            sort(&mut snapshots, order);
        }
        Listed {
            location: &listing.location,
            snapshots,
            free_bytes: listing.free,
            partial: listing.must_be_whole().is_err(),
            notes: &listing.notes,
            look,
        }
    }

    /// The rows in the order in which people see them.
    fn in_order(&self) -> Vec<ListedSnapshot> {
        let mut rows = self.snapshots.clone();
        if self.look.sort.is_none() {
            sort(&mut rows, Order::default());
        }
        match self.look.tree {
            true => nested(&rows),
            false => rows,
        }
    }
}

/// What is stored of each snapshot, by the shortest way to make it.
fn stored(listing: &Listing) -> HashMap<Uuid, StoredDiff> {
    let kept = listing.offer.stored().unwrap_or_default();
    let names = listing.snapshots.iter().map(|s| (s.id(), shown(&s.path)));
    let names: HashMap<Uuid, String> = names.collect();
    let name = |from: Uuid| {
        names
            .get(&from)
            .cloned()
            .unwrap_or_else(|| from.to_string())
    };
    let ways = ways(listing, kept);
    let mut all: HashMap<Uuid, StoredDiff> = HashMap::new();
    for diff in kept {
        let way = ways.get(&diff.to);
        // What no way leads to is not whole, and is there.
        let from = way.map_or(diff.from, |(from, _)| *from);
        let stored = all.entry(diff.to).or_insert_with(|| StoredDiff {
            bytes: 0,
            from,
            on: from.map(name),
            chain: way.map(|(_, chain)| *chain),
        });
        let bytes = diff.size.bytes().unwrap_or(0);
        stored.bytes = stored.bytes.saturating_add(bytes);
    }
    all
}

/// For each snapshot what it is made out of on the shortest way, and how many streams that takes.
fn ways(listing: &Listing, kept: &[Diff]) -> HashMap<Uuid, (Option<Uuid>, Chain)> {
    let mut bytes: HashMap<Pair, u64> = HashMap::new();
    for diff in kept {
        let size = diff.size.bytes().unwrap_or(0);
        bytes.entry(diff.pair()).or_insert(size);
    }
    let mut found: HashMap<Uuid, (Option<Uuid>, Chain)> = HashMap::new();
    for (to, from) in listing.offer.graph().shortest().last_diffs() {
        let below = from.and_then(|from| found.get(&from));
        let below = below.map_or(Chain::default(), |(_, chain)| *chain);
        let chain = Chain {
            links: below.links + 1,
            bytes: below.bytes.saturating_add(bytes[&(to, from)]),
        };
        found.insert(to, (from, chain));
    }
    found
}

/// Orders rows as one of [`super::ORDERS`] has it; what is alike by time and name.
fn sort(rows: &mut [ListedSnapshot], order: Order) {
    rows.sort_by(|a, b| (a.when(), &a.s.path).cmp(&(b.when(), &b.s.path)));
    match order.by {
        "name" => rows.sort_by(|a, b| a.s.path.cmp(&b.s.path)),
        "size" => rows.sort_by_key(|row| row.s.referenced),
        "own" => rows.sort_by_key(|row| row.s.exclusive),
        "stored" => rows.sort_by_key(|row| row.stored.as_ref().map(|stored| stored.bytes)),
        "chain" => rows.sort_by_key(|row| row.chain().map(|chain| chain.links)),
        "total" => rows.sort_by_key(|row| row.chain().map(|chain| chain.bytes)),
        "class" => rows.sort_by(|a, b| a.s.storage_class.cmp(&b.s.storage_class)),
        "state" => rows.sort_by_key(|row| row.s.state.to_string()),
        _ => {}
    }
    if order.backwards {
        rows.reverse();
    }
}

/// Each below what it is stored as the difference from, or descends from, with bars of their sizes.
fn nested(rows: &[ListedSnapshot]) -> Vec<ListedSnapshot> {
    let nodes = rows.iter().map(|row| match &row.stored {
        Some(stored) => (row.s.id(), stored.from),
        None => (row.s.uuid, row.s.parent_uuid),
    });
    let nodes: Vec<_> = nodes.collect();
    let largest = rows.iter().filter_map(ListedSnapshot::bytes).max();
    let of = |(lead, place): (String, usize)| ListedSnapshot {
        lead,
        bar: bar(rows[place].bytes().unwrap_or(0), largest.unwrap_or(0), BAR),
        ..rows[place].clone()
    };
    descent(&nodes).into_iter().map(of).collect()
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, look) = (self.in_order(), self.look);
        f.write_str(&fitted(COLUMNS, &rows, &look.screen, &look.columns))?;
        if rows.iter().any(ListedSnapshot::only_arrived) {
            writeln!(f, "~ when it arrived here: its own time is not recorded")?;
        }
        let count = counted(rows.len(), "snapshot");
        write!(f, "{count} in {}", self.location)?;
        let stored = rows
            .iter()
            .filter_map(|row| Some(row.stored.as_ref()?.bytes));
        if let Some(total) = stored.reduce(u64::saturating_add) {
            write!(f, ", {} stored", human(total))?;
        }
        match self.free_bytes {
            Some(free) => write!(f, ", {} free", human(free)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Unlisted;

    /// A script need not read the notes to know.
    #[test]
    fn what_could_not_be_listed_makes_it_partial() {
        let unread = Unlisted {
            path: "2".into(),
            why: "its directory cannot be read".to_owned(),
        };
        for (unlisted, partial) in [(Vec::new(), false), (vec![unread], true)] {
            let listing = Listing {
                unlisted,
                ..Listing::default()
            };
            assert_eq!(
                Listed::of(&listing, &ListingFormat::default()).partial,
                partial
            );
        }
    }
}
