//! What can be asked of the files in a snapshot: page by page, so that neither side holds all of
//! them, and both can look at once. Knows no store.

use crate::checksum::SeenEntry;
use crate::error::Result;
use crate::snapshot::{Uuid, path_text};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How many paths a page has at most.
pub const PAGE: usize = 10_000;
/// How many bytes of paths a page has at most, but for the last path.
pub const PAGE_BYTES: usize = 2 << 20;

/// Which files of which snapshot are to be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// The effective UUID of the snapshot.
    pub id: Uuid,
    /// The one that is listed at this path, where several have the identity.
    #[serde(with = "path_text::optional", default)]
    pub path: Option<PathBuf>,
    /// Which of its files.
    pub extent: Extent,
    /// Clean pages are dropped before, so that the disk is read and not memory.
    pub from_disk: bool,
}

/// Which files of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Extent {
    /// The first page of all that differs from this snapshot, removed names too, or of everything.
    First(Option<Uuid>),
    /// The page after the last one; an empty one is the end.
    Next,
    /// These, relative to the top, whose own path is empty.
    These(#[serde(with = "path_text::list")] Vec<PathBuf>),
}

/// What was seen of the files, page by page.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    /// What was seen, in the order asked, or in that of the store.
    pub seen: Vec<SeenEntry>,
    /// More differs than can be kept in memory, so the pages go through everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
}

/// A store that is looking: what it sees, when that is asked for.
pub type Looking<'a> = Box<dyn FnOnce() -> Result<Page> + 'a>;

/// What became of a snapshot that is not what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejected {
    /// It is gone.
    Removed,
    /// It is there, and its seal says that it is not what was sent.
    Marked,
}
