//! What a child says on its standard error: kept, cut to its end, and made fit to be shown. Understands
//! none of it.

use crate::error::{Cause, Error, Kind};
use crate::sys;
use std::io::Read;
use std::process::ChildStderr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much of a child's standard error is kept: its last words.
const WORDS: usize = 4096;

/// How long to listen once the child has ended. What it left running, such as a shared ssh
/// connection or the daemon that a hook started, may keep its standard error open for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a child has said so far, and a thread that listens.
#[derive(Debug)]
pub(super) struct Complaints {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Nothing is ever sent; it ends with the thread.
    end: Receiver<()>,
}

impl Complaints {
    pub(super) fn listen(stderr: ChildStderr) -> Complaints {
        let (ends, end) = channel();
        let words = Complaints {
            kept: Arc::default(),
            end,
        };
        let kept = Arc::clone(&words.kept);
        std::thread::spawn(move || {
            keep(stderr, &kept);
            drop(ends);
        });
        words
    }

    /// The last lines of what a child said that has ended, as one line.
    pub(super) fn last(&self) -> String {
        // Whether it ends or time does: what was said is there.
        let _ = self.end.recv_timeout(PATIENCE);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !is_chatter(line));
        let lines: Vec<String> = lines.map(crate::snapshot::shown).collect();
        lines.join("; ")
    }
}

fn keep(mut stderr: impl Read, kept: &Mutex<Vec<u8>>) {
    sys::quiet_thread();
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stderr.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..n]);
        if kept.len() > 2 * WORDS {
            let old = kept.len() - WORDS;
            kept.drain(..old);
        }
    }
}

/// What btrfs-progs says when all is well.
fn is_chatter(line: &str) -> bool {
    ["At subvol ", "At snapshot "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// What the next try would meet as well: no room, a broken disk, no memory; and what children, which
/// have numbers in words only, say then in English.
const OUTSIDE: [(i32, &str); 5] = [
    (libc::ENOSPC, "No space left on device"),
    (libc::EDQUOT, "Disk quota exceeded"),
    (libc::EROFS, "Read-only file system"),
    (libc::EIO, "Input/output error"),
    (libc::ENOMEM, "Cannot allocate memory"),
];

/// The error of the system that an error came from, if it is one that has nothing to do with what
/// was received; if a child failed, as far as its words tell.
pub fn outside(error: &Error) -> Option<i32> {
    let is_it = |(number, words): &&(i32, &str)| match error.cause {
        Some(Cause::Errno(errno)) => errno == *number,
        Some(Cause::Exit(_)) => error.said.contains(words),
        _ => false,
    };
    OUTSIDE.iter().find(is_it).map(|(number, _)| *number)
}

/// Whether a child's failure is about what it was given, so that something else may do: not what is
/// [`outside`], and not a signal.
pub fn is_about_input(error: &Error) -> bool {
    let ended = matches!(error.cause, Some(Cause::Signal(_)));
    error.kind == Kind::Failed && !ended && outside(error).is_none()
}
