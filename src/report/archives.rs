//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and
//! what runs left.

use super::table::{As, Bytes, Column, Rows, data, table};
use crate::archive::{self, ArchiveState, BackupKind, Backups, ByHand, Owner};
use crate::snapshot::{Uuid, shown};
use crate::text::{counted, human};
use serde::{Serialize, Serializer};
use std::fmt;

/// An archive, to be shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    archive: String,
    location: String,
    #[serde(serialize_with = "rows")]
    backups: Vec<Backup>,
    broken: Vec<Broken>,
    leftovers: Vec<Leftover>,
    strays: Vec<String>,
    owner: Option<Owner>,
}

/// A backup, its chain and how it can be had.
#[derive(Debug)]
struct Backup {
    manifest_key: String,
    created_at: String,
    kind: BackupKind,
    /// Whether it can be restored, and whether it is what the pointer names.
    state: &'static str,
    why: Option<String>,
    snapshot: String,
    uuid: Option<Uuid>,
    parent: Option<(String, Option<String>)>,
    bytes: u64,
    /// What it takes to restore it; `None` if its chain is broken.
    chain_bytes: Option<u64>,
    chunks: usize,
    storage_class: String,
    /// `None` where chunks can be read at once.
    thaw: Option<&'static str>,
    /// How it is received by hand, after those that it builds on.
    command: Option<ByHand>,
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

type Field = Column<Backup>;

/// `  newest       20261121T020000Z  incremental     1.2 GiB in 3  DEEP_ARCHIVE, frozen  NAME
/// (on 20261114T020000Z, 4.0 GiB in all)`
const COLUMNS: &[Field] = &[
    Field::text(1, |_| data("")).free(),
    Field::json("manifest_key", |b| data(&b.manifest_key)),
    Field::json("created_at", |b| {
        Box::new(As(shown(&b.created_at), &b.created_at))
    })
    .shown(3, ""),
    Field::json("kind", |b| Box::new(As(b.kind.to_string(), b.kind)))
        .shown(4, "")
        .wide(11),
    Field::json("state", |b| Box::new(b.state))
        .shown(2, "")
        .wide(11),
    Field::json("why", |b| data(&b.why)),
    Field::json("snapshot", |b| data(&b.snapshot)),
    Field::json("uuid", |b| data(b.uuid)),
    Field::json("parent_manifest", |b| {
        data(b.parent.as_ref().map(|(key, _)| key))
    }),
    Field::json("bytes", |b| data(b.bytes)),
    Field::json("chain_bytes", |b| data(b.chain_bytes)),
    Field::json("chunks", |b| data(b.chunks)),
    Field::text(5, |b| {
        let size = format!("{:>10}", Bytes(b.bytes));
        Box::new(format!("{size} in {}", b.chunks))
    })
    .free(),
    Field::json("storage_class", |b| data(&b.storage_class)),
    Field::json("thaw", |b| data(b.thaw)),
    Field::text(6, |b| {
        let state = b.thaw.map(|word| format!(", {word}")).unwrap_or_default();
        Box::new(format!("{}{state}", shown(&b.storage_class)))
    })
    .free(),
    Field::text(7, |b| {
        let lines = b
            .command
            .iter()
            .flat_map(|hand| [hand.thaw.as_deref(), Some(&hand.receive)]);
        let lines: String = lines
            .flatten()
            .map(|line| format!("\n    {line}"))
            .collect();
        Box::new(format!("{}{}{lines}", shown(&b.snapshot), b.remark()))
    }),
    Field::json("command", |b| {
        data(b.command.as_ref().map(|hand| &hand.receive))
    })
    .optional(),
    Field::json("thaw_command", |b| {
        data(b.command.as_ref().and_then(|hand| hand.thaw.as_ref()))
    })
    .optional(),
];

fn rows<S: Serializer>(backups: &[Backup], to: S) -> Result<S::Ok, S::Error> {
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
            backups: backups.map(|b| Backup::of(archive, b)).collect(),
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

impl Backup {
    fn of(archive: &Backups, backup: &archive::Backup) -> Backup {
        let made = |parent: &String| Some(archive.get(parent)?.created_at.clone());
        let parent = backup.parent.as_ref();
        Backup {
            manifest_key: backup.key.clone(),
            created_at: backup.created_at.clone(),
            kind: backup.kind,
            state: match &backup.broken {
                Some(_) => "broken",
                None if archive.current.as_ref() == Some(&backup.key) => "newest",
                None => "restorable",
            },
            why: backup.broken.clone(),
            snapshot: backup.snapshot.clone(),
            uuid: backup.id,
            parent: parent.map(|parent| (parent.clone(), made(parent))),
            bytes: backup.bytes,
            chain_bytes: backup.chain_bytes,
            chunks: backup.chunks.len(),
            storage_class: backup.class.clone(),
            thaw: backup.state.and_then(word),
            command: backup.command.clone(),
        }
    }

    fn remark(&self) -> String {
        match (&self.why, &self.parent) {
            (Some(why), _) => format!(" ({why})"),
            (None, Some((_, made))) => {
                let all = human(self.chain_bytes.unwrap_or(0));
                format!(
                    " (on {}, {all} in all)",
                    shown(made.as_deref().unwrap_or("-"))
                )
            }
            (None, None) => String::new(),
        }
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

/// Whether chunks can be read, in a word; none for what can be read as always.
fn word(state: ArchiveState) -> Option<&'static str> {
    match state {
        ArchiveState::Readable => None,
        ArchiveState::Frozen => Some("frozen"),
        ArchiveState::Thawing => Some("thawing"),
        ArchiveState::Thawed(_) => Some("thawed"),
    }
}
