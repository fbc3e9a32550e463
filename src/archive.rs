//! Archives as values: the backups of one subvolume, which of them is wanted, and whether they can
//! be read. Knows no bucket and no layout; does no input or output.

mod backups;
mod choose;
pub mod stamp;
mod thaw;

pub use backups::{Backup, Backups, ByHand, Owner, UnfinishedBackup};
pub use choose::Which;
pub use stamp::{Begun, Stamp};
pub use thaw::{Stored, Thaw, Thawing};

use crate::error::{Error, Result};
use crate::snapshot::shown;
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

/// A full backup, or the difference from the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// It builds on no other backup.
    Full,
    /// It builds on the backup before it.
    Incremental,
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            BackupKind::Full => "full",
            BackupKind::Incremental => "incremental",
        })
    }
}

impl BackupKind {
    /// Both kinds, the full one first.
    pub const ALL: [BackupKind; 2] = [BackupKind::Full, BackupKind::Incremental];

    /// As keys have it.
    pub fn parse(text: &str) -> Option<BackupKind> {
        let mut all = BackupKind::ALL.into_iter();
        all.find(|kind| kind.to_string() == text)
    }
}

/// How fast objects are thawed, and so for how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// Minutes; not for every class.
    Expedited,
    /// Hours.
    Standard,
    /// Half a day or more, for the least.
    Bulk,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tier::Expedited => "Expedited",
            Tier::Standard => "Standard",
            Tier::Bulk => "Bulk",
        })
    }
}

impl FromStr for Tier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Tier> {
        match text {
            "Expedited" => Ok(Tier::Expedited),
            "Standard" => Ok(Tier::Standard),
            "Bulk" => Ok(Tier::Bulk),
            _ => {
                let doing = format!("cannot use the tier '{}'", shown(text));
                Err(Error::usage(
                    doing,
                    "known are Standard, Bulk and Expedited",
                ))
            }
        }
    }
}

/// Whether something that is stored can be read, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ArchiveState {
    /// It can be read, and always could.
    Readable,
    /// It was thawed, and can be read until then, where that is known.
    Thawed(Option<Timestamp>),
    /// It was asked to be thawed, and cannot be read yet.
    Thawing,
    /// It has to be thawed first.
    Frozen,
}

impl ArchiveState {
    /// Whether it can be read now.
    pub fn is_readable(self) -> bool {
        matches!(self, ArchiveState::Readable | ArchiveState::Thawed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_by_name() {
        for tier in [Tier::Expedited, Tier::Standard, Tier::Bulk] {
            assert_eq!(tier.to_string().parse::<Tier>().unwrap(), tier);
        }
        assert_eq!("fast".parse::<Tier>().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_worst_is_last() {
        let [readable, thawed] = [ArchiveState::Readable, ArchiveState::Thawed(None)];
        assert!(readable < thawed && thawed < ArchiveState::Thawing);
        assert!(ArchiveState::Thawing < ArchiveState::Frozen);
        assert!(thawed.is_readable() && !ArchiveState::Thawing.is_readable());
    }
}
