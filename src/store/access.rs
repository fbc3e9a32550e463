//! What a run may do to a store. Knows no store.

use crate::error::{Error, Result};

/// What a run may do to a store; `--mode r|a|w` of a server.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List, measure, send.
    Read,
    /// Also receive what is new.
    Append,
    /// Also delete.
    Write,
}

impl Access {
    /// Refuses what a store was opened for less than.
    pub(super) fn must_allow(self, needed: Access, location: &str, doing: &str) -> Result<()> {
        if self < needed {
            let said = format!("{location} was opened for less than that");
            return Err(Error::refused(doing, said));
        }
        Ok(())
    }
}
