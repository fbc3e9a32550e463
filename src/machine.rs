//! Which machine this is: an id that stays, a name that people know, and where runs keep what is theirs. Knows
//! nothing else of it.

use crate::digest::sha256;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::text::hex;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::sync::OnceLock;

static ID: OnceLock<String> = OnceLock::new();

/// A digest of the machine's id, which itself should not leave it; empty if there is none. For tests,
/// `BUTTERSINK_MACHINE_ID` stands for what `/etc/machine-id` has.
pub fn id() -> &'static str {
    ID.get_or_init(|| {
        let other = std::env::var("BUTTERSINK_MACHINE_ID").ok();
        let id = other.or_else(|| std::fs::read_to_string("/etc/machine-id").ok());
        digest(id.unwrap_or_default().trim())
    })
}

fn digest(id: &str) -> String {
    if id.is_empty() || id == "uninitialized" {
        return String::new();
    }
    let digest = sha256(format!("buttersink {id}").as_bytes());
    hex(&digest[..16])
}

/// Where the machine keeps what it remembers of its runs.
pub fn state_dir() -> PathBuf {
    let dir = std::env::var_os("BUTTERSINK_STATE_DIR");
    dir.map_or_else(|| "/var/lib/buttersink".into(), PathBuf::from)
}

/// Where the machine keeps locks, and sockets of runs. It may not be there yet.
pub fn run_dir() -> PathBuf {
    let dir = std::env::var_os("BUTTERSINK_RUN_DIR");
    dir.map_or_else(|| "/run/buttersink".into(), PathBuf::from)
}

/// Where the machine keeps locks, and sockets of runs; made if need be.
///
/// # Errors
/// If it cannot be made, or others than root may write to it.
pub fn make_run_dir() -> Result<PathBuf> {
    let run = run_dir();
    let doing = || format!("cannot use {}", shown(&run));
    // A rescue system may begin without /run.
    if let Some(above) = run.parent() {
        let mut usual = DirBuilder::new();
        usual
            .recursive(true)
            .mode(0o755)
            .create(above)
            .doing(doing)?;
    }
    match DirBuilder::new().mode(0o700).create(&run) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).doing(doing),
        _ => {}
    }
    let found = run.symlink_metadata().doing(doing)?;
    if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
        let said = "it is not a directory that is root's alone: remove it";
        return Err(Error::refused(doing(), said));
    }
    Ok(run)
}

/// What the machine is called: for words only.
pub fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_leave_the_machine() {
        let id = "0123456789abcdef0123456789abcdef";
        let hashed = digest(id);
        assert!(hashed.len() == 32 && hashed != id);
        assert_ne!(hashed, digest("0123456789abcdef0123456789abcdee"));
        assert_eq!((digest(""), digest("uninitialized")), Default::default());
    }
}
