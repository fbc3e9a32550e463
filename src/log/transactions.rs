//! The transaction log of `--transaction-log`: a line for each change of what is kept, done or failed. Off
//! unless somebody opened it. Knows nothing of what changes.

use super::Lines;
use crate::error::Result;
use crate::snapshot::shown;
use std::path::Path;
use std::sync::OnceLock;

static LOG: OnceLock<Lines> = OnceLock::new();

/// Appends the changes of this process to a file from now on.
///
/// # Errors
/// If the file cannot be opened.
pub fn open(path: &Path) -> Result<()> {
    // A second call keeps the first file; only `main` calls, once.
    let _ = LOG.set(Lines::open(path, "transaction log")?);
    Ok(())
}

/// Writes what was to be changed where, and what came of it: `2026-11-30T02:00:07.312Z done delete PLACE`.
/// What that came to passes through.
///
/// # Errors
/// The outcome's own. A log that cannot be written does not stop the work that it tells about.
pub fn change<T>(action: &str, place: impl FnOnce() -> String, outcome: Result<T>) -> Result<T> {
    if let Some(log) = LOG.get() {
        let place = place();
        log.write(&match &outcome {
            Ok(_) => format!("done {action} {place}"),
            Err(error) => format!("failed {action} {place}: {}", shown(error.to_string())),
        });
    }
    outcome
}
