//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and what
//! runs left. Asks no store.

mod row;

use super::format::ListingFormat;
use super::table::{Rows, fitted, titles};
use crate::archive::{Backups, Owner};
use crate::snapshot::shown;
use crate::text::{counted, human};
use row::{COLUMNS, Row, nested, sort};
use serde::{Serialize, Serializer};
use std::fmt;

/// An archive, to be shown.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    archive: String,
    location: String,
    #[serde(serialize_with = "rows")]
    backups: Vec<Row>,
    broken: Vec<Broken>,
    leftovers: Vec<Leftover>,
    strays: Vec<String>,
    owner: Option<Owner>,
    #[serde(skip)]
    look: &'a ListingFormat,
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

/// What the columns are called.
pub(super) fn columns() -> Vec<String> {
    titles(COLUMNS)
}

fn rows<S: Serializer>(backups: &[Row], to: S) -> Result<S::Ok, S::Error> {
    Rows(COLUMNS, backups).serialize(to)
}

impl<'a> Shown<'a> {
    /// What there is in an archive, as it is to look.
    pub fn of(archive: &Backups, look: &'a ListingFormat) -> Shown<'a> {
        let broken = archive.unread.iter().map(|(key, why)| Broken {
            key: key.clone(),
            why: why.clone(),
        });
        let leftovers = archive.leftovers.iter().map(|left| Leftover {
            name: left.name.clone(),
            bytes: left.bytes,
            latest: left.latest.map(jiff::Timestamp::as_second),
        });
        let mut backups = Row::all(archive, look.now);
        if let Some(order) = look.order() {
            sort(&mut backups, order);
        }
        Shown {
            archive: archive.name.clone(),
            location: archive.location.clone(),
            backups,
            broken: broken.collect(),
            leftovers: leftovers.collect(),
            strays: archive.strays.clone(),
            owner: archive.owner.clone(),
            look,
        }
    }

    fn heading(&self) -> String {
        let (name, count) = (shown(&self.archive), counted(self.backups.len(), "backup"));
        let stored = self.backups.iter().map(|row| row.backup.bytes);
        let stored = human(stored.fold(0, u64::saturating_add));
        format!("{name}: {count} in {}, {stored} stored\n", self.location)
    }

    fn table(&self) -> String {
        let (rows, look) = (&self.backups, self.look);
        if rows.is_empty() {
            return String::new();
        }
        let rows = match look.tree {
            true => nested(rows),
            false => rows.clone(),
        };
        let mut text = fitted(COLUMNS, &rows, &look.screen, &look.columns);
        if rows.iter().any(Row::only_begun) {
            text += "~ when its backup began: the snapshot's own time is not recorded\n";
        }
        text
    }

    /// What is to be known beside the backups, and of those that are broken why.
    fn remarks(&self) -> String {
        let mut text = String::new();
        let broken = self.backups.iter().map(|row| &row.backup);
        let broken = broken.filter_map(|backup| Some((&backup.snapshot, backup.broken.as_ref()?)));
        let unread = self.broken.iter().map(|broken| (&broken.key, &broken.why));
        for (name, why) in broken.chain(unread) {
            text += &format!("broken      {}: {why}\n", shown(name));
        }
        for left in &self.leftovers {
            let (name, size) = (shown(&left.name), human(left.bytes));
            text += &format!("unfinished  {name}: {size} left by a run that did not end\n");
        }
        for key in &self.strays {
            text += &format!("stray       {} belongs to no backup\n", shown(key));
        }
        text
    }

    /// How each is received by hand, after those that it builds on.
    fn by_hand(&self) -> String {
        let mut rows = self.backups.clone();
        rows.sort_by_key(|row| row.number);
        let lines: Vec<String> = rows.iter().filter_map(Row::by_hand).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!("by hand:\n{}\n", lines.join("\n")),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.heading() + &self.table() + &self.remarks() + &self.by_hand();
        f.write_str(text.trim_end_matches('\n'))
    }
}
