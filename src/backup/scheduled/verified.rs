//! What a verification of a configuration's archives found, remembered beside what its runs remember.
//! Verifies nothing.

use super::lock;
use crate::archive::Stamp;
use crate::backup::config::{ARCHIVE, Config};
use crate::backup::state::RunState;
use crate::error::Result;
use jiff::Timestamp;

/// Notes what was found of each archive, by the names of backups, in words.
///
/// # Errors
/// [`crate::error::Kind::Busy`] if a run is at work, which would not know of it; if it cannot be written.
pub fn note_verified(config: &Config, found: Vec<(String, String)>, now: Timestamp) -> Result<()> {
    let _lock = lock(&config.global.lock_path)?;
    let (mut state, _) = RunState::of(config);
    for (name, verdict) in found {
        let last = state.subvolumes.entry(name).or_default();
        let there = last.destinations.entry(ARCHIVE.to_owned()).or_default();
        there.verified_at = Some(Stamp::of(now));
        there.verdict = Some(verdict);
    }
    state.write(&config.global.state_path)
}
