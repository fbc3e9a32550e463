//! How long one waits for the other side, and on which descriptors. Waits for nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Three numbers of milliseconds with blanks between, for tests.
const VARIABLE: &str = "BUTTERSINK_PATIENCE";

/// How long one waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Patience {
    /// Having said nothing, before one says that one is there.
    pub(super) beat: Duration,
    /// For any byte, from who is to say that he is there.
    pub(super) silence: Duration,
    /// A server: for a request, or for more of a stream, whatever else comes.
    pub(super) idle: Duration,
}

impl Patience {
    /// A quarter of a minute, two minutes and an hour.
    fn usual() -> Patience {
        let said = std::env::var(VARIABLE).unwrap_or_default();
        let numbers: Vec<u64> = said.split(' ').flat_map(str::parse).collect();
        let [beat, silence, idle] = match numbers[..] {
            [beat, silence, idle] => [beat, silence, idle],
            _ => [15_000, 120_000, 3_600_000],
        }
        .map(Duration::from_millis);
        Patience {
            beat,
            silence,
            idle,
        }
    }
}

/// The two descriptors of a connection, to be waited for.
#[derive(Debug)]
pub(crate) struct Descriptors {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) patience: Patience,
}

impl Descriptors {
    /// Of what is read and what is written.
    ///
    /// # Errors
    /// If there are too many open files.
    pub(crate) fn of(input: &impl AsFd, output: &impl AsFd) -> io::Result<Descriptors> {
        Ok(Descriptors {
            input: input.as_fd().try_clone_to_owned()?,
            output: output.as_fd().try_clone_to_owned()?,
            patience: Patience::usual(),
        })
    }
}
