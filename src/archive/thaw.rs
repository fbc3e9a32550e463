//! How what is frozen is thawed, and how far that is. Values only.

use super::{ArchiveState, Tier};
use std::time::Duration;

const DAY: u64 = 86_400;
/// Bytes in a second that a download is taken to manage at least.
const SLOW: u64 = 10 << 20;

/// An object that a backup is kept in, as far as cold goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// How long it is.
    pub bytes: u64,
    /// Its storage class.
    pub class: String,
    /// Whether it can be read.
    pub state: ArchiveState,
}

/// How frozen objects are thawed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thaw {
    /// How fast they are thawed, and so for how much.
    pub tier: Tier,
    /// Somebody chose the tier for this run, so what thaws already is asked to go faster.
    pub hurry: bool,
    /// Whether to wait for it.
    pub wait: bool,
    /// How long to wait for it.
    pub timeout: Duration,
}

impl Thaw {
    /// As long as one waits where nobody says how long.
    pub const PATIENCE: Duration = Duration::from_secs(3 * DAY);

    /// For how many days objects are to stay thawed: those that thaw first wait for the last ones,
    /// and for the download.
    pub fn days(&self, bytes: u64) -> u32 {
        let waiting = self.timeout.as_secs().div_ceil(DAY);
        let loading = bytes.div_ceil(SLOW).div_ceil(DAY);
        u32::try_from(waiting + loading).unwrap_or(u32::MAX).max(1)
    }
}

/// How far thawing is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Thawing {
    /// Something cannot be thawed, and the rest goes on.
    Refused(String),
    /// So many objects are asked for.
    Asked(usize),
    /// So many of all objects are still frozen after so long.
    Waiting(usize, usize, Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_last_for_waiting_and_download() {
        let how = |timeout| Thaw {
            tier: Tier::Standard,
            hurry: false,
            wait: true,
            timeout: Duration::from_secs(timeout),
        };
        assert_eq!(how(259_200).days(0), 3);
        assert_eq!(how(1).days(1), 2);
        assert_eq!(how(259_200).days(1 << 40), 5);
        assert_eq!(how(0).days(0), 1);
    }
}
