//! Where the programs are that children run. Starts nothing.

use crate::error::{Cause, Error};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

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

/// Why a program could not be started, and which package has it.
pub(super) fn not_started(error: io::Error, command: &Command, doing: &str) -> Error {
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io(doing, error);
    }
    let program = command.get_program().to_string_lossy();
    let said = format!("there is no program '{program}' in PATH");
    let package = match &*program {
        "btrfs" => "btrfs-progs",
        other => other,
    };
    Error::failed(doing, said)
        .cause(Cause::Errno(libc::ENOENT))
        .hint(format!("install {package}"))
}
