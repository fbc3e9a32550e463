//! What there is of the backups of one subvolume. Values that whoever keeps them fills in. Knows no
//! bucket and no file.

use super::{ArchiveState, BackupKind, Stamp};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Origin, Uuid};
use crate::text::shown;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

/// The backups of one subvolume, and what lies beside them.
#[derive(Clone, Debug, Default)]
pub struct Backups {
    /// What they are called.
    pub name: String,
    /// Where they are, with those of other subvolumes: `s3://bucket/prefix/`.
    pub location: String,
    /// The backups, in the order in which they were made.
    pub all: Vec<Backup>,
    /// The key of the newest that can be restored. What is dated in the future, for which some clock
    /// was wrong, is it only if there is no other.
    pub newest: Option<String>,
    /// The key of the one that the pointer names.
    pub current: Option<String>,
    /// Why manifests cannot be understood, by their keys.
    pub unread: BTreeMap<String, String>,
    /// Of what cannot be restored, what only could not be read: manifests, or those that they build on.
    pub unknown: BTreeSet<String>,
    /// What runs left that did not end.
    pub leftovers: Vec<UnfinishedBackup>,
    /// Keys that are no part of any backup, nor left by a run.
    pub strays: Vec<String>,
    /// The machine that makes them, if it said so.
    pub owner: Option<Owner>,
}

/// The machine whose archive it is, since it was the first to write there or took it over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// When that was, if it is known.
    #[serde(default)]
    pub since: Option<Stamp>,
    /// The machine, and the subvolume that it backed up then.
    pub origin: Origin,
}

impl Owner {
    /// Whether it is the machine of this origin. Those that have no id are told by their filesystems.
    pub fn is_of(&self, origin: &Origin) -> bool {
        let nameless = || self.origin.filesystem == origin.filesystem;
        self.origin.machine == origin.machine && (!origin.machine.is_empty() || nameless())
    }

    /// Why another machine leaves the archive at this place alone, and what can be done about it.
    pub fn refuses(&self, place: &str) -> Error {
        let said = format!("{self} makes backups there under the same prefix and name");
        let place = shown(place);
        Error::refused(format!("cannot write to {place}"), said).hint(format!(
            "give each machine an s3.prefix of its own; or, if this one takes the place of that one, \
             buttersink adopt --take-over --yes {place} --as SUBVOLUME"
        ))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin.host.as_str() {
            "" => f.write_str("another machine")?,
            host => write!(f, "another machine, {}", shown(host))?,
        }
        match &self.since {
            None => Ok(()),
            Some(since) => write!(f, ", since {}", shown(since)),
        }
    }
}

/// A backup of a subvolume.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The key of its manifest.
    pub key: String,
    /// A full one or a difference.
    pub kind: BackupKind,
    /// When the run began that made it, as the manifest has it.
    pub created_at: Stamp,
    /// The name of its snapshot.
    pub snapshot: String,
    /// The path at which the snapshot was.
    pub path: PathBuf,
    /// Its effective UUID, if that is known.
    pub id: Option<Uuid>,
    /// What it is of, if that was recorded.
    pub origin: Option<Origin>,
    /// The key of the manifest that it builds on.
    pub parent: Option<String>,
    /// Bytes of its stream.
    pub bytes: u64,
    /// Bytes of all the streams that it takes to restore it; `None` if one is missing.
    pub chain_bytes: Option<u64>,
    /// The keys of the objects that hold the stream, in order.
    pub chunks: Vec<String>,
    /// The storage class of the chunks.
    pub class: String,
    /// Why it cannot be restored.
    pub broken: Option<String>,
    /// Whether it can be read, the worst of its chunks; `None` where nobody asked.
    pub state: Option<ArchiveState>,
    /// How it is received by hand, if somebody asked for it.
    pub command: Option<ByHand>,
}

/// How a stream is received by hand, after those that it builds on: lines for a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ByHand {
    /// The one that has it thawed, where it is frozen.
    pub thaw: Option<String>,
    /// The one that receives it.
    pub receive: String,
}

/// What is left of a backup that was not finished.
#[derive(Clone, Debug)]
pub struct UnfinishedBackup {
    /// The name by which it is deleted.
    pub name: String,
    /// Bytes that are there.
    pub bytes: u64,
    /// When something last arrived.
    pub latest: Option<Timestamp>,
}

impl Backups {
    /// The backup with this key.
    pub fn get(&self, key: &str) -> Option<&Backup> {
        self.all.iter().find(|backup| backup.key == key)
    }

    /// The newest that can be restored.
    pub fn newest(&self) -> Option<&Backup> {
        self.get(self.newest.as_deref()?)
    }

    /// Why this key cannot be restored, if so.
    pub fn broken(&self, key: &str) -> Option<&str> {
        let known = self.get(key).and_then(|backup| backup.broken.as_ref());
        known.or(self.unread.get(key)).map(String::as_str)
    }

    /// Whether all that is there could be read.
    ///
    /// # Errors
    /// [`Kind::Partly`] if not; what could be is as good as ever.
    pub fn must_be_all_read(&self) -> Result<()> {
        let unread = self.unknown.iter();
        let mut unread = unread.filter_map(|key| Some((key, self.unread.get(key)?)));
        let Some((key, why)) = unread.next() else {
            return Ok(());
        };
        let doing = format!("cannot read all the backups of {}", shown(&self.name));
        let others = match unread.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let said = format!("{}: {why}{others}", shown(key));
        Err(Error::new(Kind::Partly, doing, said))
    }

    /// What cannot be restored, in words.
    pub fn losses(&self) -> Vec<String> {
        let broken = self.all.iter();
        let broken = broken.filter_map(|backup| Some((&backup.key, backup.broken.as_ref()?)));
        let all: BTreeMap<_, _> = broken.chain(&self.unread).collect();
        let words = all.iter();
        words.map(|(key, why)| cannot(key, why)).collect()
    }

    /// The same with what was found out of the state of each, by its key.
    #[must_use]
    pub fn with(mut self, states: &HashMap<String, ArchiveState>) -> Backups {
        for backup in &mut self.all {
            backup.state = states.get(&backup.key).copied();
        }
        self
    }
}

/// Why a backup cannot be restored, in words.
pub(super) fn cannot(key: &str, why: &str) -> String {
    format!("{} cannot be restored: {why}", shown(key))
}

impl Backup {
    /// The name that its stream gives the snapshot.
    pub fn received_as(&self) -> PathBuf {
        let name = self.path.file_name();
        name.map_or_else(|| PathBuf::from(&self.snapshot), PathBuf::from)
    }
}
