//! Sending without the program `btrfs`: this program again, as a child, so that it can be killed, and
//! a stop of it noticed, as of the other. A thread would do neither.

use crate::btrfs;
use crate::error::{Doing, Error, Result};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;

/// The first word of the child's command line. People have no use for it.
pub const WORD: &str = "--send-standard-input";
const COMPRESSED: &str = "compressed";

/// The child that sends the snapshot that is its standard input, as what it has more than the
/// subvolume with the number `parent`. No path is looked up again.
pub(super) fn command(parent: Option<u64>, compressed: bool) -> Command {
    // Also when the program was replaced since it was started.
    let mut command = Command::new("/proc/self/exe");
    let how = if compressed { COMPRESSED } else { "plain" };
    command.args([WORD, how]);
    command.args(parent.map(|number| number.to_string()));
    command
}

/// What the child does with the words that follow the first: the stream of `snapshot` goes to `out`.
///
/// # Errors
/// What the kernel says.
pub fn main(
    words: impl IntoIterator<Item = OsString>,
    snapshot: BorrowedFd,
    out: BorrowedFd,
) -> Result<()> {
    let mut words = words.into_iter();
    let compressed = words.next().is_some_and(|word| word == COMPRESSED);
    let doing = || "cannot send".to_owned();
    let number = |word: OsString| word.to_str()?.parse().ok();
    let parent = match words.next() {
        None => None,
        Some(word) => {
            let strange = || Error::usage(doing(), "the parent is a number");
            Some(number(word).ok_or_else(strange)?)
        }
    };
    let snapshot = File::from(snapshot.as_fd().try_clone_to_owned().doing(doing)?);
    btrfs::send_stream(&snapshot, parent, out, compressed).doing(doing)
}
