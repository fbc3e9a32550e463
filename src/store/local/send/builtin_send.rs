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
/// subvolume with the number `parent`, and with data of these. No path is looked up again.
pub(super) fn command(parent: Option<u64>, clones: &[u64], compressed: bool) -> Command {
    // Also when the program was replaced since it was started.
    let mut command = Command::new("/proc/self/exe");
    let how = if compressed { COMPRESSED } else { "plain" };
    command.args([WORD, how]);
    let numbers = [&[parent.unwrap_or(NONE)], clones].concat();
    command.args(numbers.iter().map(u64::to_string));
    command
}

/// No subvolume has this number.
const NONE: u64 = 0;

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
    let number = |word: OsString| {
        let number = word.to_str().and_then(|word| word.parse().ok());
        number.ok_or_else(|| Error::usage(doing(), "subvolumes are numbers"))
    };
    let numbers: Vec<u64> = words.map(number).collect::<Result<_>>()?;
    let (parent, clones) = numbers.split_first().unwrap_or((&NONE, &[]));
    let parent = Some(*parent).filter(|&parent| parent != NONE);
    let snapshot = File::from(snapshot.as_fd().try_clone_to_owned().doing(doing)?);
    btrfs::send_stream(&snapshot, parent, clones, out, compressed).doing(doing)
}
