//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and what
//! runs left. Asks no store.

use super::table::{As, Bytes, Column, Rows, data, table};
use crate::archive::{ArchiveState, Backup, Backups, Owner, Stamp};
use crate::snapshot::shown;
use crate::text::{counted, human};
use serde::{Serialize, Serializer};
use std::fmt;

/// An archive, to be shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    archive: String,
    location: String,
    #[serde(serialize_with = "rows")]
    backups: Vec<Row>,
    broken: Vec<Broken>,
    leftovers: Vec<Leftover>,
    strays: Vec<String>,
    owner: Option<Owner>,
}

/// A backup, and what the others say of it.
#[derive(Debug)]
struct Row {
    backup: Backup,
    /// Whether it can be restored, and whether it is what the pointer names.
    state: &'static str,
    /// When that was made on which it builds.
    parent_made: Option<Stamp>,
}

/// A manifest that cannot be read.
#[derive(Debug, Serialize)]
struct Broken {
    key: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Leftover {
    name: String,
    bytes: u64,
    latest: Option<i64>,
}

type Field = Column<Row>;

/// `  newest       20261121T020000Z  incremental     1.2 GiB in 3  DEEP_ARCHIVE, frozen  NAME
/// (on 20261114T020000Z, 4.0 GiB in all)`
const COLUMNS: &[Field] = &[
    Field::text(1, |_| data("")).free(),
    Field::json("manifest_key", |row| data(&row.backup.key)),
    Field::json("created_at", |row| {
        let made = &row.backup.created_at;
        Box::new(As(shown(made), made))
    })
    .shown(3, ""),
    Field::json("kind", |row| Box::new(row.backup.kind))
        .shown(4, "")
        .wide(11),
    Field::json("state", |row| Box::new(row.state))
        .shown(2, "")
        .wide(11),
    Field::json("why", |row| data(&row.backup.broken)),
    Field::json("snapshot", |row| data(&row.backup.snapshot)),
    Field::json("uuid", |row| data(row.backup.id)),
    Field::json("parent_manifest", |row| data(&row.backup.parent)),
    Field::json("bytes", |row| data(row.backup.bytes)),
    Field::json("chain_bytes", |row| data(row.backup.chain_bytes)),
    Field::json("chunks", |row| data(row.backup.chunks.len())),
    Field::text(5, |row| {
        let (size, chunks) = (Bytes(row.backup.bytes), row.backup.chunks.len());
        Box::new(format!("{size:>10} in {chunks}"))
    })
    .free(),
    Field::json("storage_class", |row| data(&row.backup.class)),
    Field::json("thaw", |row| data(row.thaw())),
    Field::text(6, |row| {
        let state = row.thaw().map(|word| format!(", {word}"));
        Box::new(shown(&row.backup.class) + &state.unwrap_or_default())
    })
    .free(),
    Field::text(7, |row| {
        let name = shown(&row.backup.snapshot);
        Box::new(format!("{name}{}{}", row.remark(), row.by_hand()))
    }),
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

fn rows<S: Serializer>(backups: &[Row], to: S) -> Result<S::Ok, S::Error> {
    Rows(COLUMNS, backups).serialize(to)
}

impl Shown {
    /// What there is in an archive.
    pub fn of(archive: &Backups) -> Shown {
        let unread = archive.unread.iter();
        let leftovers = archive.leftovers.iter().map(|left| Leftover {
            name: left.name.clone(),
            bytes: left.bytes,
            latest: left.latest.map(jiff::Timestamp::as_second),
        });
        let backups = archive.all.iter();
        Shown {
            archive: archive.name.clone(),
            location: archive.location.clone(),
            backups: backups.map(|b| Row::of(archive, b)).collect(),
            broken: unread
                .map(|(key, why)| Broken {
                    key: key.clone(),
                    why: why.clone(),
                })
                .collect(),
            leftovers: leftovers.collect(),
            strays: archive.strays.clone(),
            owner: archive.owner.clone(),
        }
    }
}

impl Row {
    fn of(archive: &Backups, backup: &Backup) -> Row {
        let parent = backup.parent.as_ref().and_then(|key| archive.get(key));
        Row {
            state: match &backup.broken {
                Some(_) => "broken",
                None if archive.current.as_ref() == Some(&backup.key) => "newest",
                None => "restorable",
            },
            parent_made: parent.map(|parent| parent.created_at.clone()),
            backup: backup.clone(),
        }
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

    fn remark(&self) -> String {
        match (&self.backup.broken, &self.backup.parent) {
            (Some(why), _) => format!(" ({why})"),
            (None, Some(_)) => {
                let all = human(self.backup.chain_bytes.unwrap_or(0));
                let made = self.parent_made.as_ref();
                let made = made.map_or_else(|| "-".to_owned(), shown);
                format!(" (on {made}, {all} in all)")
            }
            (None, None) => String::new(),
        }
    }

    /// How it is received by hand, after those that it builds on: a line for each command.
    fn by_hand(&self) -> String {
        let hand = self.backup.command.iter();
        let lines = hand.flat_map(|hand| hand.thaw.iter().chain([&hand.receive]));
        lines.map(|line| format!("\n    {line}")).collect()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = (shown(&self.archive), counted(self.backups.len(), "backup"));
        let mut text = format!("{name}: {count} in {}\n", self.location);
        text += &table(COLUMNS, &self.backups);
        for Broken { key, why } in &self.broken {
            text += &format!("  broken       {}: {why}\n", shown(key));
        }
        for left in &self.leftovers {
            let (name, size) = (shown(&left.name), human(left.bytes));
            text += &format!("  unfinished   {name}: {size} left by a run that did not end\n");
        }
        for key in &self.strays {
            text += &format!("  stray        {} belongs to no backup\n", shown(key));
        }
        f.write_str(text.trim_end_matches('\n'))
    }
}
