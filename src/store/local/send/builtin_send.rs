//! Sending without the program `btrfs`: this program again, as a child, so that it can be killed, and
//! a stop of it noticed, as of the other. A thread would do neither.

use crate::btrfs;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::Command;

/// The first word of the child's command line. People have no use for it.
pub const WORD: &str = "--send-to-standard-output";
const COMPRESSED: &str = "compressed";

/// The child that sends a snapshot, as what it has more than its parent.
pub(super) fn command(snapshot: &Path, parent: Option<&Path>, compressed: bool) -> Command {
    // Also when the program was replaced since it was started.
    let mut command = Command::new("/proc/self/exe");
    let how = if compressed { COMPRESSED } else { "plain" };
    command.args([WORD, how]).arg(snapshot).args(parent);
    command
}

/// What the child does with the words that follow the first: the stream goes to `out`.
///
/// # Errors
/// What the kernel says.
pub fn main(words: impl IntoIterator<Item = OsString>, out: BorrowedFd) -> Result<()> {
    let mut words = words.into_iter();
    let compressed = words.next().is_some_and(|word| word == COMPRESSED);
    let snapshot = words.next().unwrap_or_default();
    let doing = || format!("cannot send {}", shown(&snapshot));
    let file = File::open(&snapshot).doing(doing)?;
    let number = |parent: OsString| btrfs::root_id(File::open(parent)?.as_fd());
    let parent = words.next().map(number).transpose().doing(doing)?;
    btrfs::send_stream(&file, parent, out, compressed).doing(doing)
}
