//! What differs between two trees, as values that can be shown and written as JSON. Looks at no tree.

use crate::snapshot::{path_text, shown};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// A path at which two trees differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Relative to both trees.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// How they differ there.
    #[serde(flatten)]
    pub what: What,
}

/// How two trees differ at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "what", content = "changes")]
pub enum What {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Removed,
    /// Both have it.
    Changed(Vec<Change>),
}

/// One attribute that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The aspect that differs.
    pub aspect: Aspect,
    /// In the first tree, as text; empty where there is nothing short to show.
    pub was: String,
    /// In the second tree, likewise.
    pub now: String,
}

/// What can differ between two entries of one path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// What kind of file it is; nothing else is compared then.
    Kind,
    /// The bytes of a regular file.
    Content,
    /// The length of the file.
    Size,
    /// Permissions.
    Mode,
    /// User or group.
    Owner,
    /// The time of the last change.
    Time,
    /// The number of names (hard links); not of directories, where it depends on the filesystem.
    Names,
    /// Where a symlink points.
    Target,
    /// Which device a device file stands for.
    Device,
    /// Which names a directory has in it.
    Entries,
    /// An extended attribute, of which access control lists and capabilities are two.
    Xattr,
}

impl Change {
    pub(super) fn new(aspect: Aspect, was: impl Into<String>, now: impl Into<String>) -> Change {
        Change {
            aspect,
            was: was.into(),
            now: now.into(),
        }
    }

    /// A change if the two texts differ.
    pub(super) fn between(aspect: Aspect, was: String, now: String) -> Option<Change> {
        (was != now).then_some(Change { aspect, was, now })
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Aspect::Kind => "kind",
            Aspect::Content => "content",
            Aspect::Size => "size",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
            Aspect::Time => "time",
            Aspect::Names => "names",
            Aspect::Target => "target",
            Aspect::Device => "device",
            Aspect::Entries => "entries",
            Aspect::Xattr => "xattr",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.aspect)?;
        if self.was.is_empty() && self.now.is_empty() {
            return Ok(());
        }
        write!(f, " {} -> {}", self.was, self.now)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match &self.what {
            What::Added => write!(f, "added    {path}"),
            What::Removed => write!(f, "removed  {path}"),
            What::Changed(changes) => {
                write!(f, "changed  {path}: ")?;
                for (i, change) in changes.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{change}")?;
                }
                Ok(())
            }
        }
    }
}
