//! What happens when people tidy up: what runs left is removed, a backup goes, snapshots are adopted.
//! Values that show themselves; knows nothing of who hears them.

use super::in_words;
use crate::archive::{BackupKind, Stamp};
use crate::error::Error;
use crate::snapshot::{Origin, Uuid, path_text, shown};
use crate::text::duration;
use crate::text::human;
use jiff::SignedDuration;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What became of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The step is done.
    Done,
    /// It could not be done.
    Failed,
    /// It was removed.
    Removed,
    /// It would be, but for the dry run.
    Removable,
    /// It stays, since it is young.
    Kept,
}

impl Fate {
    pub(super) fn of<T, E>(outcome: &Result<T, E>) -> Fate {
        match outcome {
            Ok(_) => Fate::Done,
            Err(_) => Fate::Failed,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fate::Done => "done",
            Fate::Failed => "failed",
            Fate::Removed => "removed",
            Fate::Removable => "removable",
            Fate::Kept => "kept",
        })
    }
}

/// Something that a run left, and what was done about it.
#[derive(Clone, Debug, Serialize)]
pub struct Leftover {
    /// Where.
    pub location: String,
    /// The path, relative to the location.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// How large it is.
    pub bytes: Option<u64>,
    /// When something of it last arrived.
    pub latest: Option<i64>,
    /// What became of it.
    pub result: Fate,
    /// Why it failed.
    #[serde(flatten, serialize_with = "in_words")]
    pub error: Option<Error>,
    /// How long ago the last of it arrived.
    #[serde(skip)]
    pub age: Option<SignedDuration>,
    /// How old what goes is at least.
    #[serde(skip)]
    pub limit: SignedDuration,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, location) = (shown(&self.path), &self.location);
        write!(f, "{}: {path} in {location}", self.result)?;
        if let Some(bytes) = self.bytes {
            write!(f, ", {}", human(bytes))?;
        }
        if let Some(age) = self.age {
            write!(f, ", the last {} ago", duration(age))?;
        }
        match self.result {
            Fate::Kept => write!(f, "; it is younger than {}", duration(self.limit)),
            _ => Ok(()),
        }
    }
}

/// A clean-up has ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cleaned {
    /// What is gone, or would be.
    pub removed: usize,
    /// What stays since it is young.
    pub kept: usize,
    /// What could not be removed.
    pub failed: usize,
    /// Nothing is gone; it would.
    #[serde(skip)]
    pub dry_run: bool,
}

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.dry_run { "to remove" } else { "removed" };
        write!(f, "{} {word}, {} kept", self.removed, self.kept)?;
        match self.failed {
            0 => Ok(()),
            n => write!(f, ", {n} failed"),
        }
    }
}

/// A backup was deleted on its own, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Deleted {
    /// Where.
    pub location: String,
    /// When it was made, as its manifest has it.
    pub created_at: Stamp,
    /// Whether it needed another.
    pub kind: BackupKind,
    /// The name of its snapshot.
    pub snapshot: String,
    /// Bytes of its stream.
    pub bytes: u64,
    /// Whether it is gone.
    pub result: Fate,
    /// What that costs, in words.
    pub cost: String,
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (made, kind, name) = (shown(&self.created_at), self.kind, shown(&self.snapshot));
        let (result, size, location) = (self.result, human(self.bytes), &self.location);
        writeln!(f, "{result}: {made}  {kind}  {size}  {name} in {location}")?;
        write!(f, "deleting: {}", self.cost)
    }
}

/// What a snapshot is of from now on, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Adopted {
    /// Where it is.
    pub location: String,
    /// Its effective UUID.
    pub id: Uuid,
    /// Relative to the location.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// What it was of.
    pub before: Option<Origin>,
    /// What it is of.
    pub origin: Origin,
    /// Whether it is recorded now; a dry run only says what would be.
    pub done: bool,
}

impl fmt::Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.done { "adopted" } else { "to adopt" };
        let known = self.before.as_ref().filter(|known| known.is_known());
        let from = known.map_or("nothing that is known".to_owned(), Origin::to_string);
        let (path, location) = (shown(&self.path), &self.location);
        write!(f, "{word}: {path} in {location}, of {from}")
    }
}
