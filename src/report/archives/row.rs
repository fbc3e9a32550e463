//! A backup as a row of a listing: its columns, its order among others, and what it builds on. Asks no store.

use crate::archive::{ArchiveState, Backup, Backups};
use crate::report::format::{BAR, Order};
use crate::report::table::{Bytes, Cell, Column, Formatted, Maybe, data};
use crate::report::tree::{bar, descent};
use crate::snapshot::shown;
use crate::text::{age, minute};
use jiff::Timestamp;

/// A backup, and what the others say of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) backup: Backup,
    /// Its place among those of its archive.
    pub(super) number: usize,
    /// Whether it can be restored, and whether it is what the pointer names.
    state: &'static str,
    /// The snapshot that it is the difference from.
    on: Option<String>,
    /// How many backups it takes to restore it; `None` if one of them is not there.
    chain: Option<usize>,
    /// The lines of the tree that lead to it.
    lead: String,
    /// Its share of the largest one.
    bar: String,
    now: i64,
}

type Field = Column<Row>;

/// What is left out first where not all fit: what a restore tells anyway.
pub(super) const COLUMNS: &[Field] = &[
    Field::json("manifest_key", |row| data(&row.backup.key)),
    Field::json("created_at", |row| data(&row.backup.created_at)),
    Field::json("made", |row| Box::new(Formatted(row.time(), row.made()))).shown(3, "CREATED"),
    Field::text(4, |row| Box::new(row.age()))
        .shown(4, "AGE")
        .right()
        .spare(4),
    Field::json("kind", |row| data(row.backup.kind)),
    Field::json("state", |row| Box::new(row.state))
        .shown(11, "STATE")
        .alarm(|row| row.backup.broken.is_some()),
    Field::json("why", |row| data(&row.backup.broken)),
    Field::json("snapshot", |row| {
        let name = &row.backup.snapshot;
        Box::new(Formatted(format!("{}{}", row.lead, shown(name)), name))
    })
    .shown(1, "NAME"),
    Field::text(2, |row| Box::new(row.bar.clone()))
        .shown(2, "BAR")
        .spare(6)
        .bare(),
    Field::json("uuid", |row| Box::new(Maybe(row.backup.id)))
        .shown(12, "UUID")
        .spare(10)
        .bare(),
    Field::json("parent_manifest", |row| data(&row.backup.parent)),
    Field::json("bytes", |row| size(Some(row.backup.bytes)))
        .shown(5, "STORED")
        .right()
        .spare(3),
    Field::text(6, |row| {
        Box::new(row.on.clone().unwrap_or_else(|| "whole".to_owned()))
    })
    .shown(6, "FROM")
    .spare(9),
    Field::json("chain", |row| Box::new(Maybe(row.chain)))
        .shown(7, "CHAIN")
        .right()
        .spare(7),
    Field::json("chain_bytes", |row| size(row.backup.chain_bytes))
        .shown(8, "TOTAL")
        .right()
        .spare(6),
    Field::json("chunks", |row| Box::new(row.backup.chunks.len()))
        .shown(9, "CHUNKS")
        .right()
        .spare(8),
    Field::json("storage_class", |row| {
        let state = row.thaw().map(|word| format!(", {word}"));
        let words = shown(&row.backup.class) + &state.unwrap_or_default();
        Box::new(Formatted(words, &row.backup.class))
    })
    .shown(10, "CLASS")
    .spare(5)
    .bare(),
    Field::json("thaw", |row| data(row.thaw())),
    Field::json("command", |row| {
        data(row.backup.command.as_ref().map(|hand| &hand.receive))
    })
    .optional(),
    Field::json("thaw_command", |row| {
        let hand = row.backup.command.as_ref();
        data(hand.and_then(|hand| hand.thaw.as_ref()))
    })
    .optional(),
];

fn size<'a>(bytes: Option<u64>) -> Cell<'a> {
    Box::new(Maybe(bytes.map(Bytes)))
}

impl Row {
    /// Those of an archive, in its order.
    pub(super) fn all(archive: &Backups, now: i64) -> Vec<Row> {
        let all = archive.all.iter().enumerate();
        let row = |(number, backup): (usize, &Backup)| Row {
            state: match &backup.broken {
                Some(_) => "broken",
                None if archive.current.as_ref() == Some(&backup.key) => "newest",
                None => "restorable",
            },
            on: backup.parent.as_ref().map(|key| {
                let parent = archive.get(key);
                shown(parent.map_or(key, |parent| &parent.snapshot))
            }),
            chain: chain(archive, backup),
            backup: backup.clone(),
            number,
            lead: String::new(),
            bar: String::new(),
            now,
        };
        all.map(row).collect()
    }

    /// When the snapshot was made, if that is recorded.
    fn made(&self) -> Option<i64> {
        self.backup.origin.as_ref().and_then(|origin| origin.made)
    }

    /// The best that is known of that.
    fn when(&self) -> Option<i64> {
        let begun = self.backup.created_at.moment();
        self.made().or(begun.map(Timestamp::as_second))
    }

    /// Its time is only that at which its backup began.
    pub(super) fn only_begun(&self) -> bool {
        self.made().is_none()
    }

    fn time(&self) -> String {
        let mark = if self.only_begun() { "~" } else { "" };
        let when = self.when().and_then(minute);
        when.unwrap_or_else(|| shown(&self.backup.created_at)) + mark
    }

    fn age(&self) -> String {
        let when = self.when();
        when.map_or("-".to_owned(), |when| age(self.now - when))
    }

    /// Whether its chunks can be read, in a word; none for what can be read as always.
    fn thaw(&self) -> Option<&'static str> {
        match self.backup.state? {
            ArchiveState::Readable => None,
            ArchiveState::Frozen => Some("frozen"),
            ArchiveState::Thawing => Some("thawing"),
            ArchiveState::Thawed(_) => Some("thawed"),
        }
    }

    /// How it is received by hand, after those that it builds on: a line for each command.
    pub(super) fn by_hand(&self) -> Option<String> {
        let hand = self.backup.command.as_ref()?;
        let on = match &self.on {
            None => "whole".to_owned(),
            Some(name) => format!("on {name}"),
        };
        let lines = hand.thaw.iter().chain([&hand.receive]);
        let lines = lines.map(|line| format!("\n    {line}"));
        let name = shown(&self.backup.snapshot);
        Some(format!("  {name} ({on}){}", lines.collect::<String>()))
    }
}

/// How many backups it takes to restore one, if all are there.
fn chain(archive: &Backups, backup: &Backup) -> Option<usize> {
    backup.chain_bytes?;
    let parent = |backup: &&Backup| backup.parent.as_ref().and_then(|key| archive.get(key));
    let links = std::iter::successors(Some(backup), parent);
    Some(links.take(archive.all.len()).count())
}

/// Orders rows as one of [`crate::report::ORDERS`] has it; what is alike by time.
pub(super) fn sort(rows: &mut [Row], order: Order) {
    rows.sort_by_key(|row| (row.when(), row.number));
    match order.by {
        "name" => rows.sort_by(|a, b| a.backup.snapshot.cmp(&b.backup.snapshot)),
        "stored" => rows.sort_by_key(|row| row.backup.bytes),
        "chain" => rows.sort_by_key(|row| row.chain),
        "total" => rows.sort_by_key(|row| row.backup.chain_bytes),
        "class" => rows.sort_by(|a, b| a.backup.class.cmp(&b.backup.class)),
        "state" => rows.sort_by_key(|row| row.state),
        _ => {}
    }
    if order.backwards {
        rows.reverse();
    }
}

/// Each below what it builds on, with bars of their sizes.
pub(super) fn nested(rows: &[Row]) -> Vec<Row> {
    let node = |row: &Row| (row.backup.key.clone(), row.backup.parent.clone());
    let keys: Vec<_> = rows.iter().map(node).collect();
    let nodes: Vec<_> = keys.iter().map(|(key, on)| (key, on.as_ref())).collect();
    let largest = rows.iter().map(|row| row.backup.bytes).max().unwrap_or(0);
    let of = |(lead, place): (String, usize)| Row {
        lead,
        bar: bar(rows[place].backup.bytes, largest, BAR),
        ..rows[place].clone()
    };
    descent(&nodes).into_iter().map(of).collect()
}
