//! What is known of diffs that were looked at: sizes, what the sender mends in them, and which of
//! them nobody can receive. Looks at nothing itself.

use super::{Diff, Size, Uuid};
use crate::text::{numbered, shown};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// The snapshot that a diff makes, and its parent; `None` for a whole stream.
pub type Pair = (Uuid, Option<Uuid>);

/// The snapshot that a diff makes, its parent, and its clone sources: what a stream depends on.
pub type Key = (Uuid, Option<Uuid>, Vec<Uuid>);

impl Diff {
    /// How many clone sources a diff has at most: the sender looks for each extent in each of them.
    pub const MOST_CLONES: usize = 16;

    /// One without clone sources.
    pub fn new(to: Uuid, from: Option<Uuid>, size: Size) -> Diff {
        Diff {
            to,
            from,
            size,
            clones: Vec::new(),
        }
    }

    /// What tells it from others: which snapshot it makes, and out of which.
    pub fn pair(&self) -> Pair {
        (self.to, self.from)
    }

    /// What its stream depends on: with clone sources it is another one.
    pub fn key(&self) -> Key {
        (self.to, self.from, self.clones.clone())
    }
}

/// What measuring found out of diffs.
pub type Sizes = HashMap<Key, Measured>;

/// What is known of a diff that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The length of its stream, as it is sent: mended.
    pub size: Size,
    /// What the sender changes in the kernel's stream.
    #[serde(default, skip_serializing_if = "Mended::is_empty")]
    pub mended: Mended,
    /// Why it is no candidate, if it is none: nobody can receive it, or it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl From<Size> for Measured {
    fn from(size: Size) -> Measured {
        Measured {
            size,
            ..Measured::default()
        }
    }
}

/// What a sender changed in the kernel's stream, so that what is received is what was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mended(pub Vec<Mend>);

/// Faults of one kind that were mended in a stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mend {
    /// What is wrong with the diff.
    pub fault: Fault,
    /// How often; bytes where bytes are missing.
    pub count: u64,
    /// The first path that it concerned, relative to the snapshot, as a person reads it.
    pub path: String,
}

/// What the kernel's streams get wrong and a command more or less mends. buttersink-kernel(7)
/// describes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Bytes behind the end that a file has in the parent are missing.
    LostBytes,
    /// A new owner takes set-user-ID and set-group-ID bits away.
    LostMode,
    /// An xattr that grows does not fit beside its old value.
    LargeXattr,
    /// Times of what is gone.
    StrayTimes,
    /// A directory that was deleted stays under a temporary name.
    LeftDirectory,
    /// What the top hands down to all that is made in it.
    Inherited,
    /// Times that a later command of the stream moves again, mostly those of the top.
    MovedTimes,
}

impl Mended {
    /// Whether the stream is as the kernel made it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a fault that was mended.
    pub fn add(&mut self, fault: Fault, count: u64, path: &Path) {
        match self.0.iter_mut().find(|mend| mend.fault == fault) {
            Some(mend) => mend.count += count,
            None => self.0.push(Mend {
                fault,
                count,
                path: shown(path),
            }),
        }
    }
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(Mend::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |one, many| numbered(self.count, one, many);
        let what = match self.fault {
            Fault::MovedTimes if self.count == 1 && self.path.is_empty() => {
                return f.write_str("the time of the top directory");
            }
            Fault::LostBytes => n("lost byte", "lost bytes"),
            Fault::LostMode => n("lost mode", "lost modes"),
            Fault::LargeXattr => n("large xattr", "large xattrs"),
            Fault::StrayTimes => n("time of what is gone", "times of what is gone"),
            Fault::LeftDirectory => n("directory left behind", "directories left behind"),
            Fault::Inherited => n("inherited attribute", "inherited attributes"),
            Fault::MovedTimes => n("moved time", "moved times"),
        };
        match self.path.as_str() {
            "" => f.write_str(&what),
            path => write!(f, "{what} ({path})"),
        }
    }
}
