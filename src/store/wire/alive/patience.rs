//! How long one waits for the other side, and on which descriptors. Waits for nothing.

use crate::error::{Cause, Error};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Four numbers of milliseconds with blanks between, for tests; the last one may be left out.
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
    /// For 64 KiB, or the end, of a frame that has begun.
    pub(super) term: Duration,
}

impl Patience {
    /// A quarter of a minute, two minutes, an hour and ten minutes.
    fn usual() -> Patience {
        let said = std::env::var(VARIABLE).unwrap_or_default();
        let numbers: Vec<u64> = said.split(' ').flat_map(str::parse).collect();
        let [beat, silence, idle, term] = match numbers[..] {
            [beat, silence, idle] => [beat, silence, idle, 600_000],
            [beat, silence, idle, term] => [beat, silence, idle, term],
            _ => [15_000, 120_000, 3_600_000, 600_000],
        }
        .map(Duration::from_millis);
        Patience {
            beat,
            silence,
            idle,
            term,
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

/// The end of waiting.
pub(super) fn given_up(why: &str, after: Duration) -> io::Error {
    let said = format!("{why} for {} seconds", after.as_secs());
    let error = Error::failed("the connection was given up", said);
    error.cause(Cause::Connection).into()
}
