//! Room on the filesystem: what was deleted is free once a transaction has been committed, and the kernel's
//! cleaner has been there.

use crate::btrfs::Filesystem;
use crate::error::{Doing, Result};
use crate::process;
use crate::snapshot::shown;
use std::time::{Duration, Instant};

/// How long to wait for the cleaner at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until what was deleted is free.
///
/// # Errors
/// If the kernel refuses, or a signal asks to stop.
pub(super) fn wait(filesystem: &Filesystem) -> Result<()> {
    let doing = || format!("cannot make room on {}", shown(filesystem.dir()));
    let end = Instant::now() + PATIENCE;
    filesystem.commit().doing(doing)?;
    while filesystem.is_cleaning().doing(doing)? && Instant::now() < end {
        process::check("waiting for room")?;
        std::thread::sleep(Duration::from_millis(50));
        filesystem.commit().doing(doing)?;
    }
    Ok(())
}
