//! The vocabulary: snapshots, diffs, sizes and listings.
//! Does no input or output, and knows no store.

mod graph;
mod measured;
mod names;
mod origin;
pub mod path_text;
mod unlisted;

pub use crate::text::shown;
pub use graph::{End, Graph, Shortest};
pub use measured::{Fault, Key, Measured, Mend, Mended, Pair, Sizes};
pub use names::Names;
pub use origin::{CameBy, NO_KEY, Origin, Origins, Subject};
pub use unlisted::Unlisted;

use crate::text::{push_hex, unhex};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A btrfs UUID. Text form: lower case, with dashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// `None` for the all-zero UUID, which btrfs uses for "not set".
    pub fn set(bytes: [u8; 16]) -> Option<Uuid> {
        (bytes != [0; 16]).then_some(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once, not digit by digit: listings have thousands of them.
        let mut text = String::with_capacity(36);
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            push_hex(&mut text, &[*byte]);
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Uuid {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is not a UUID", text.escape_default());
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&i| bytes[i] != b'-') {
            return Err(wrong());
        }
        let bytes = unhex(&text.replace('-', "")).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Uuid).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Uuid {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> String {
        uuid.to_string()
    }
}

/// What is known about the soundness of a snapshot, in words that listings show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing speaks against it.
    #[default]
    Ok,
    /// A transfer that was not finished; ours to remove.
    Partial,
    /// Changed after it was made or received: not a parent.
    Altered,
    /// Received, but by another program or before a crash: there is no seal to compare with.
    Unsealed,
    /// Read-write and yet with a received UUID: a trap for later incrementals.
    RwReceived,
    /// There is no seal to compare with, and another subvolume of the filesystem has the same
    /// received UUID: nobody knows which of them is right.
    Duplicate,
    /// Received by a run that was to compare it with its source, and was ended before it could.
    Uncompared,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Ok => "ok",
            State::Partial => "partial",
            State::Altered => "altered",
            State::Unsealed => "unsealed",
            State::RwReceived => "rw-received",
            State::Duplicate => "duplicate",
            State::Uncompared => "uncompared",
        })
    }
}

/// A snapshot as a store lists it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Relative to the store's directory; never empty, absolute or with `..`.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The UUID of this copy. Equals [`Snapshot::id`] where a store keeps diffs.
    pub uuid: Uuid,
    /// The UUID it had where it was sent from, if it was received.
    pub received_uuid: Option<Uuid>,
    /// What it descends from in the same filesystem, past what can be written to.
    pub parent_uuid: Option<Uuid>,
    /// Generation of the last change to its content.
    pub ctransid: u64,
    /// Generation in which it was made.
    pub otransid: u64,
    /// The generation it had where it was sent from; 0 if it was not received.
    pub stransid: u64,
    /// Seconds since 1970 at which this copy was made; `None` where unknown.
    pub created: Option<i64>,
    /// No writing to it is possible.
    pub read_only: bool,
    /// What is known about its soundness.
    pub state: State,
    /// The UUID stands for another, which nobody can tell before it is thawed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stand_in: bool,
    /// Bytes it refers to, if a trustworthy source knows.
    pub referenced: Option<u64>,
    /// Bytes that only it refers to, likewise.
    pub exclusive: Option<u64>,
    /// Bytes of its tree in the metadata (`bytes_used`): a hint for plans; 0 if unknown.
    pub tree_bytes: u64,
    /// Subvolumes inside it, relative to it: they do not travel with it.
    #[serde(default)]
    pub nested: Vec<String>,
    /// The storage class of its objects, where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// What it is of, if that was recorded, or is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Snapshot {
    /// The effective UUID: the snapshot's name for all time, the same in every store.
    pub fn id(&self) -> Uuid {
        self.received_uuid.unwrap_or(self.uuid)
    }

    /// The effective generation, which belongs to [`Snapshot::id`].
    pub fn generation(&self) -> u64 {
        if self.received_uuid.is_some() {
            self.stransid
        } else {
            self.ctransid
        }
    }

    /// Whether this and a copy of it are of one state. One that was made here, and is known to be unaltered though
    /// its generation moved, is what it was when it was made. Stores that know no generations say 0.
    pub fn is_state_of(&self, copy: &Snapshot) -> bool {
        let was = |one: &Snapshot, generation| {
            let moved = one.ctransid > one.otransid && one.received_uuid.is_none();
            moved && one.state == State::Ok && generation <= one.otransid
        };
        match (self.generation(), copy.generation()) {
            (0, _) | (_, 0) => true,
            (ours, theirs) => ours == theirs || was(self, theirs) || was(copy, ours),
        }
    }

    /// Whether a diff may build on it.
    pub fn may_be_parent(&self) -> bool {
        self.read_only && matches!(self.state, State::Ok | State::Unsealed)
    }

    /// Whether it is a sound source, of whole streams and of diffs alike.
    pub fn may_be_source(&self) -> bool {
        self.may_be_parent() || self.state == State::Duplicate
    }

    /// For the soundest of those that have one identity: the least.
    pub fn rank(&self) -> (bool, bool) {
        (!self.may_be_parent(), !self.may_be_source())
    }
}

/// How long a diff's stream is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Measured, right to the byte.
    Exact(u64),
    /// Guessed from what a listing tells.
    Estimate(u64),
    /// More than so many bytes; how many more does not matter.
    Beyond(u64),
    /// Nobody has looked yet.
    #[default]
    Unknown,
}

impl Size {
    /// The number of bytes, however well known.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Size::Exact(n) | Size::Estimate(n) => Some(n),
            Size::Beyond(_) | Size::Unknown => None,
        }
    }

    /// Whether the size is right to the byte.
    pub fn is_exact(self) -> bool {
        matches!(self, Size::Exact(_))
    }
}

/// What makes the snapshot `to` out of `from`, or out of nothing. UUIDs are effective ones.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diff {
    /// The snapshot that it makes.
    pub to: Uuid,
    /// The parent that must be there; `None` for a full stream.
    pub from: Option<Uuid>,
    /// The length of its stream.
    pub size: Size,
    /// Its clone sources: snapshots beside the parent that must be there too, since it takes data of
    /// theirs. What is stored names one parent, and so has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clones: Vec<Uuid>,
}

/// Which diffs a store can send.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Offer {
    /// A filesystem: a diff between any two of its snapshots, and a full one of each.
    #[default]
    AnyPair,
    /// Stored diffs only.
    Only(Vec<Diff>),
}

/// Everything a store holds, in one reading.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Where, as a person would write it.
    pub location: String,
    /// Snapshots and leftovers, in the order of their paths; [`Snapshot::state`] tells them apart.
    pub snapshots: Vec<Snapshot>,
    /// What can be sent from here.
    pub offer: Offer,
    /// Bytes that can still be written here; `None` if there is no limit that we know.
    pub free: Option<u64>,
    /// Bytes that are taken on the filesystem that it is of, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Which names it can keep snapshots under.
    #[serde(default, skip_serializing_if = "Names::ask_nothing")]
    pub names: Names,
    /// Whether there may be more than it has: that something is missing in it means nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// What is known to be there, and could not be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Unlisted>,
    /// Whether its diffs, those that it sends and those that it receives, may have clone sources.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clones: bool,
    /// Of what was asked for: what lies outside of it and can be copied in. Paths are absolute.
    #[serde(skip)]
    pub elsewhere: Vec<Snapshot>,
    /// What could not be read, and other remarks for a person.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn uuid_text() {
        let text = "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert!("0e2cbe19".parse::<Uuid>().is_err());
        assert!(
            "0e2cbe1993d2-4d49-a0bb-4ea2e8a2a0c1-"
                .parse::<Uuid>()
                .is_err()
        );
    }

    #[test]
    fn every_path_survives_json() {
        let path = PathBuf::from(OsStr::from_bytes(b"100%/\xff\n\xc3\xa9"));
        assert_eq!(path_text::encode(&path), "100%25/%FF\n\u{e9}");
        assert_eq!(path_text::decode(&path_text::encode(&path)), Some(path));
        assert_eq!(path_text::decode("%f"), None);
    }
}
