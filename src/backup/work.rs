//! Which work of a configuration a command does. Does none of it.

use std::fmt;

/// Backups, or a part of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Work {
    /// Snapshots are made and sent, and old ones go.
    #[default]
    Backup,
    /// Snapshots are made, and nothing is sent.
    Snapshot,
    /// What is there is sent, and no snapshot is made.
    Send,
    /// Old snapshots go, and nothing is made or sent.
    Prune,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Backup => "backup",
            Work::Snapshot => "snapshot",
            Work::Send => "send",
            Work::Prune => "prune",
        })
    }
}
