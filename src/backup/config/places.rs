//! Where what is remembered of a configuration lies, and its lock, unless it says otherwise.

use crate::digest::sha256;
use crate::machine;
use crate::text::hex;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where state and lock of a file are that names no other places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnFiles {
    /// What is remembered of its runs.
    pub state: PathBuf,
    /// Its lock.
    pub lock: PathBuf,
    /// What btrfs_to_s3 remembered of all files.
    pub old_state: PathBuf,
}

impl OwnFiles {
    /// Those of a file, by its name and, as files in two directories may have one name, its path.
    pub fn of(file: &Path) -> OwnFiles {
        let digest = hex(&sha256(file.as_os_str().as_bytes())[..4]);
        let below = |dir: PathBuf, ending: &str| {
            let mut name = file.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{digest}{ending}"));
            dir.join(name)
        };
        let home = std::env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from);
        OwnFiles {
            state: below(machine::state_dir(), ".json"),
            lock: below(machine::run_dir(), ".lock"),
            old_state: home.join(".local/state/btrfs_to_s3/state.json"),
        }
    }
}
