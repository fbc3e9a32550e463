//! The lock of a configuration, which one run at a time holds. Knows nothing of what is done under it.

use crate::error::{Doing, Error, Kind, Result};
use crate::machine;
use crate::snapshot::shown;
use crate::sys;
use crate::sys::secure_open::open_to_change;
use jiff::Timestamp;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

/// Whoever can open a lock can hold it, and keep every run out: in a directory for all he may even have made it.
fn must_be_ours(lock: &File) -> io::Result<()> {
    let found = lock.metadata()?;
    let us = std::fs::metadata("/proc/self")?.uid();
    if found.uid() != us {
        let said = format!(
            "user {} made it and can keep every run out: remove it, and leave global.lock_path out, or let it \
             name a place where only root can write",
            found.uid()
        );
        return Err(io::Error::other(said));
    }
    match found.mode() & 0o077 {
        0 => Ok(()),
        _ => lock.set_permissions(Permissions::from_mode(0o600)),
    }
}

/// Notes who holds it, and since when. What has other words in it is left as it is: a configuration may name any
/// file.
fn sign(mut lock: &File) -> io::Result<()> {
    let said = words(lock)?;
    if !said.is_empty() && process(&said).is_none() {
        return Ok(());
    }
    lock.rewind()?;
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    lock.set_modified(SystemTime::now())
}

/// Which process holds a lock, and since when; `None` of one that does not say it, as of an earlier version.
pub(super) fn holder(path: &Path) -> Option<(u32, Timestamp)> {
    let lock = open_to_change(path, false).ok()?;
    let since = lock.metadata().and_then(|found| found.modified()).ok()?;
    let holder = process(&words(&lock).ok()?)?;
    Some((holder, since.try_into().ok()?))
}

/// The beginning of what is in a lock, which is longer than a number only if it is something else.
fn words(lock: &File) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    lock.take(32).read_to_end(&mut said)?;
    Ok(said)
}

fn process(said: &[u8]) -> Option<u32> {
    let number = said.strip_suffix(b"\n")?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// One run at a time.
///
/// # Errors
/// [`Kind::Busy`] if another run is at work.
pub fn lock(path: &Path) -> Result<File> {
    let doing = || format!("cannot lock {}", shown(path));
    if path.parent() == Some(&machine::run_dir()) {
        machine::make_run_dir()?;
    } else if let Some(dir) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing(doing)?;
    }
    // In a directory for all, the kernel may open what others made only for who does not ask to make it.
    let there = open_to_change(path, false);
    let file = there.or_else(|_| open_to_change(path, true)).doing(doing)?;
    must_be_ours(&file).doing(doing)?;
    match sys::lock(&file).doing(doing)? {
        true => sign(&file).map(|()| file).doing(doing),
        false => Err(Error::new(
            Kind::Busy,
            doing(),
            "another run is at work; nothing was done",
        )),
    }
}
