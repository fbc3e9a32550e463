//! Where the programs are that children run.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The program of this name in `PATH`; `None` if there is none.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let executable = |file: &PathBuf| {
        let metadata = file.metadata();
        metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let mut files = std::env::split_paths(&path).map(|dir| dir.join(name));
    files.find(executable)
}
