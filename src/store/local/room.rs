//! Room on the filesystem: whether there is enough for what comes. What was deleted is free once a transaction
//! has been committed, and the kernel's cleaner has been there.

use super::Local;
use crate::btrfs::Filesystem;
use crate::error::{Cause, Doing, Error, Result};
use crate::process;
use crate::snapshot::{Size, shown};
use crate::sys;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for the cleaner at most.
const PATIENCE: Duration = Duration::from_secs(120);

impl Local {
    /// Whether there is room. What failed before, or was deleted, may still take some.
    pub(super) fn check_space(&mut self, size: Size, path: &Path) -> Result<()> {
        let doing = || format!("cannot receive {} into {}", shown(path), shown(&self.dir));
        if std::mem::replace(&mut self.received.failed, true) {
            wait(&self.filesystem)?;
        }
        let mut free = sys::free_bytes(self.filesystem.fd()).doing(doing)?;
        if size.bytes().is_some_and(|needed| needed > free) {
            wait(&self.filesystem)?;
            free = sys::free_bytes(self.filesystem.fd()).doing(doing)?;
        }
        let packed = self.options.compressed || self.filesystem.compresses();
        match size.bytes().filter(|_| size.is_exact() && !packed) {
            Some(needed) if needed > free => Err(Error::failed(
                doing(),
                format!("no space left on device (needs {needed} bytes, {free} are free)"),
            )
            .cause(Cause::Errno(libc::ENOSPC))),
            _ => Ok(()),
        }
    }
}

/// Waits until what was deleted is free.
///
/// # Errors
/// If the kernel refuses, or a signal asks to stop.
fn wait(filesystem: &Filesystem) -> Result<()> {
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
