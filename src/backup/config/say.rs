//! Keys as they are shown: which defaults change something in a file, so that only those are. Reads no file.

use super::{Config, SubvolumeConfig};

impl Config {
    /// Whether the default of a key changes anything in a file that has what this one has.
    pub(super) fn has_say(&self, key: &str) -> bool {
        let base_dir = Some(&self.snapshots.base_dir);
        let uses_it = |of: &SubvolumeConfig| of.snapshots.as_ref() == base_dir;
        match key {
            "snapshots.base_dir" => self.subvolumes.iter().any(uses_it),
            "schedule.full_every_days" | "global.spool_dir" | "global.spool_size_bytes" => {
                !self.archives.is_empty()
            }
            "restore.wait_for_restore"
            | "restore.restore_timeout_seconds"
            | "restore.restore_tier" => self.archives.iter().any(|one| !one.is_in_directory()),
            _ => true,
        }
    }
}
