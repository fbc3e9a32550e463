//! What a run may do to a store: modes, and the rights that each has. Knows no store.

use crate::error::{Error, Result};

/// What a run may do to a store; `--mode r|p|a|w` of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List, measure, send.
    Read,
    /// List, and receive what is new; nothing of what is there can be read.
    Put,
    /// List, measure, send, and receive what is new.
    Append,
    /// As [`Access::Append`], and delete.
    Write,
}

/// Something that a mode may allow or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    /// To see which snapshots there are, and what is known of them.
    List,
    /// To read what is in them.
    Read,
    /// To add new ones.
    Add,
    /// To delete, exchange and attribute.
    Remove,
}

impl Access {
    /// All modes, those that allow less first.
    pub(crate) const ALL: [Access; 4] = [Access::Read, Access::Put, Access::Append, Access::Write];

    /// The rights of the mode.
    fn rights(self) -> &'static [Right] {
        match self {
            Access::Read => &[Right::List, Right::Read],
            Access::Put => &[Right::List, Right::Add],
            Access::Append => &[Right::List, Right::Read, Right::Add],
            Access::Write => &[Right::List, Right::Read, Right::Add, Right::Remove],
        }
    }

    /// Whether the mode has this right.
    pub(crate) fn grants(self, right: Right) -> bool {
        self.rights().contains(&right)
    }

    /// The right without which a run that asks for this mode is of no use. A run that reads may be
    /// content with a list, and hears of each thing that it may not read.
    pub(crate) fn purpose(self) -> Right {
        match self {
            Access::Read => Right::List,
            Access::Put | Access::Append => Right::Add,
            Access::Write => Right::Remove,
        }
    }

    /// The letter that stands for it on command lines.
    pub(crate) fn letter(self) -> char {
        match self {
            Access::Read => 'r',
            Access::Put => 'p',
            Access::Append => 'a',
            Access::Write => 'w',
        }
    }

    /// Refuses what a store was not opened for.
    pub(super) fn must_grant(self, right: Right, location: &str, doing: &str) -> Result<()> {
        match self.grants(right) {
            true => Ok(()),
            false => {
                let said = format!("{location} was opened for less than that");
                Err(Error::refused(doing, said))
            }
        }
    }
}
