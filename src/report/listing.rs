//! What a place holds, as a table for people and as JSON. Asks no store.

use super::table::{Bytes, Column, Maybe, Moment, Rows, data, path, table};
use crate::snapshot::{Listing, Snapshot};
use crate::text::{counted, human};
use serde::{Serialize, Serializer};
use std::fmt;

type Field = Column<Snapshot>;

const COLUMNS: &[Field] = &[
    Field::json("id", |s| Box::new(s.id())).shown(5, "UUID"),
    Field::json("path", |s| path(&s.path)).shown(6, "NAME"),
    Field::json("uuid", |s| data(s.uuid)),
    Field::json("received_uuid", |s| data(s.received_uuid)),
    Field::json("parent_uuid", |s| data(s.parent_uuid)),
    Field::json("ctransid", |s| data(s.ctransid)),
    Field::json("otransid", |s| data(s.otransid)),
    Field::json("stransid", |s| data(s.stransid)),
    Field::json("created", |s| Box::new(Maybe(s.created.map(Moment)))).shown(2, "CREATED"),
    Field::json("read_only", |s| data(s.read_only)),
    Field::json("state", |s| Box::new(s.state)).shown(1, "STATE"),
    Field::json("referenced", |s| Box::new(Maybe(s.referenced.map(Bytes)))).shown(3, "SIZE"),
    Field::json("exclusive", |s| Box::new(Maybe(s.exclusive.map(Bytes)))).shown(4, "OWN"),
    Field::json("tree_bytes", |s| data(s.tree_bytes)),
    Field::json("nested", |s| data(&s.nested)),
    Field::json("origin", |s| data(&s.origin)).optional(),
];

/// A listing, to be shown.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    location: &'a str,
    #[serde(serialize_with = "rows")]
    snapshots: &'a [Snapshot],
    free_bytes: Option<u64>,
    partial: bool,
    notes: &'a [String],
}

impl<'a> From<&'a Listing> for Listed<'a> {
    fn from(listing: &'a Listing) -> Listed<'a> {
        Listed {
            location: &listing.location,
            snapshots: &listing.snapshots,
            free_bytes: listing.free,
            partial: listing.partial,
            notes: &listing.notes,
        }
    }
}

fn rows<S: Serializer>(snapshots: &[Snapshot], to: S) -> Result<S::Ok, S::Error> {
    Rows(COLUMNS, snapshots).serialize(to)
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table(COLUMNS, self.snapshots))?;
        let count = counted(self.snapshots.len(), "snapshot");
        write!(f, "{count} in {}", self.location)?;
        match self.free_bytes {
            Some(free) => write!(f, ", {} free", human(free)),
            None => Ok(()),
        }
    }
}
