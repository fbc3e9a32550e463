//! What a snapshot is of: a subvolume of a filesystem of a machine. Knows no store, and asks nobody.

use super::{Listing, Uuid};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// What a snapshot is of, and when it was made there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// A digest of the machine's id; empty if it has none.
    #[serde(deserialize_with = "short")]
    pub machine: String,
    /// What the machine was called: for words only.
    #[serde(default, deserialize_with = "short")]
    pub host: String,
    /// The UUID of the filesystem.
    pub filesystem: Uuid,
    /// The UUID of the subvolume.
    pub subvolume: Uuid,
    /// Seconds since 1970 at which the snapshot was made there, if that is known.
    #[serde(default)]
    pub made: Option<i64>,
    /// By which way it came.
    #[serde(
        default,
        skip_serializing_if = "CameBy::is_own",
        deserialize_with = "short"
    )]
    pub by: CameBy,
}

/// By which way a snapshot came, as seen from who lists it. As text it is empty, `local`, or the key's name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CameBy {
    /// By the key of the server by which they list themselves; by none if they have none.
    #[default]
    OwnWay,
    /// By no key, and they list by one.
    NoKey,
    /// By another key of the server: its name.
    OtherKey(String),
}

/// As many bytes as a name in it has: it is written down where the records of many are, which must not grow by the
/// words of one.
const LONGEST: usize = 255;

fn short<'a, D: Deserializer<'a>, T: From<String>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    match text.len() > LONGEST {
        true => Err(Error::custom("a name in an origin is too long")),
        false => Ok(text.into()),
    }
}

/// What stands for having come by no key; no key is called so.
pub const NO_KEY: &str = "local";

impl CameBy {
    /// Whether it came as those who list would have sent it.
    pub fn is_own(&self) -> bool {
        *self == CameBy::OwnWay
    }
}

impl From<String> for CameBy {
    fn from(text: String) -> CameBy {
        match text.as_str() {
            "" => CameBy::OwnWay,
            NO_KEY => CameBy::NoKey,
            _ => CameBy::OtherKey(text),
        }
    }
}

impl From<CameBy> for String {
    fn from(by: CameBy) -> String {
        match by {
            CameBy::OwnWay => String::new(),
            CameBy::NoKey => NO_KEY.to_owned(),
            CameBy::OtherKey(name) => name,
        }
    }
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
    /// Whether its names are such as there are.
    pub fn is_short(&self) -> bool {
        self.machine.len().max(self.host.len()) <= LONGEST
    }

    /// Whether it says anything, or only that it came by our own key.
    pub fn is_known(&self) -> bool {
        self.says_what() || !self.by.is_own()
    }

    /// Whether it says which subvolume, and not only by which key it came.
    pub fn says_what(&self) -> bool {
        self.subvolume != Uuid::default()
    }

    /// Whether it is of one of these subvolumes, if that is known.
    pub fn is_of(&self, subjects: &HashSet<Subject>) -> Option<bool> {
        self.is_known()
            .then(|| self.by.is_own() && subjects.contains(&self.subject()))
    }

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
    /// What its snapshots are of, as far as it knows. By which key they came there says nothing elsewhere.
    pub fn origins(&self) -> Origins {
        let all = self.snapshots.iter();
        let known = all.filter_map(|s| Some((s.id(), s.origin.clone()?)));
        known
            .filter(|(_, origin)| origin.says_what())
            .map(|(id, origin)| {
                let by = CameBy::OwnWay;
                (id, Origin { by, ..origin })
            })
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
        match self.says_what() {
            true => write!(
                f,
                "subvolume {subvolume} of filesystem {filesystem} of {host}"
            )?,
            false => f.write_str("something unknown")?,
        }
        match &self.by {
            CameBy::OwnWay => Ok(()),
            CameBy::NoKey => f.write_str(", which came by no key of the server"),
            CameBy::OtherKey(name) => write!(f, ", which came by the key {}", super::shown(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They would be written down where the records of others are.
    #[test]
    fn words_of_others_make_no_record_long() {
        let id = Uuid([1; 16]);
        let parse = |name: &str, length: usize| {
            let text = format!(
                r#"{{"filesystem":"{id}","subvolume":"{id}","machine":"","{name}":"{}"}}"#,
                "x".repeat(length)
            );
            let text = match name {
                "machine" => text.replacen(r#""machine":"","#, "", 1),
                _ => text,
            };
            serde_json::from_str::<Origin>(&text).is_ok()
        };
        for name in ["machine", "host", "by"] {
            assert!(parse(name, LONGEST) && !parse(name, LONGEST + 1), "{name}");
        }
    }
}
