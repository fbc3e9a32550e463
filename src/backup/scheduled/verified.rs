//! What a verification of a configuration's archives found, remembered beside what its runs remember.
//! Verifies nothing.

use super::run_lock::lock;
use crate::archive::Stamp;
use crate::backup::config::Config;
use crate::backup::state::RunState;
use crate::error::{Error, Result};
use jiff::Timestamp;

/// What was found of the backups of a subvolume in an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundIn {
    /// What the backups are called.
    pub subvolume: String,
    /// What the archive is called, or where another destination is.
    pub archive: String,
    /// What was found, in words.
    pub verdict: String,
}

impl FoundIn {
    pub(super) fn note(self, state: &mut RunState, now: Timestamp) {
        let last = state.subvolumes.entry(self.subvolume).or_default();
        let there = last.destinations.entry(self.archive).or_default();
        there.verified_at = Some(Stamp::of(now));
        there.verdict = Some(self.verdict);
    }
}

/// Notes what was found.
///
/// # Errors
/// [`crate::error::Kind::Busy`] if a run is at work, which would not know of it; if it cannot be written.
pub fn note_verified(config: &Config, found: Vec<FoundIn>, now: Timestamp) -> Result<()> {
    let _lock = lock(&config.global.lock_path)?;
    let mut state = RunState::of(config);
    if let Some(why) = state.unread {
        let doing = "cannot add to what runs remembered";
        return Err(Error::failed(doing, why).hint("the next backup begins anew with it"));
    }
    found.into_iter().for_each(|one| one.note(&mut state, now));
    state.write(&config.global.state_path)
}
