//! What a snapshot is of: a subvolume of a filesystem of a machine. Knows no store, and asks nobody.

use super::{Listing, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// What a snapshot is of, and when it was made there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// A digest of the machine's id; empty if it has none.
    pub machine: String,
    /// What the machine was called: for words only.
    #[serde(default)]
    pub host: String,
    /// The UUID of the filesystem.
    pub filesystem: Uuid,
    /// The UUID of the subvolume.
    pub subvolume: Uuid,
    /// Seconds since 1970 at which the snapshot was made there, if that is known.
    #[serde(default)]
    pub made: Option<i64>,
}

/// Origins by the effective UUIDs of snapshots.
pub type Origins = HashMap<Uuid, Origin>;

/// Which subvolume: what origins have in common.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Subject {
    /// See [`Origin::machine`].
    pub machine: String,
    /// See [`Origin::filesystem`].
    pub filesystem: Uuid,
    /// See [`Origin::subvolume`].
    pub subvolume: Uuid,
}

impl Origin {
    /// The subvolume.
    pub fn subject(&self) -> Subject {
        Subject {
            machine: self.machine.clone(),
            filesystem: self.filesystem,
            subvolume: self.subvolume,
        }
    }
}

impl Listing {
    /// What its snapshots are of, as far as it knows.
    pub fn origins(&self) -> Origins {
        let all = self.snapshots.iter();
        all.filter_map(|s| Some((s.id(), s.origin.clone()?)))
            .collect()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host.as_str() {
            "" => "an unknown machine".to_owned(),
            host => super::shown(host),
        };
        let (subvolume, filesystem) = (self.subvolume, self.filesystem);
        write!(
            f,
            "subvolume {subvolume} of filesystem {filesystem} of {host}"
        )
    }
}
