//! What a child says on its standard error: kept, cut to its end, and made fit to be shown.

use crate::error::{Error, Kind};
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
pub(super) struct Words {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Nothing is ever sent; it ends with the thread.
    end: Receiver<()>,
}

impl Words {
    pub(super) fn listen(stderr: ChildStderr) -> Words {
        let (ends, end) = channel();
        let words = Words {
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

/// Whether a child's failure is about what it was given, so that something else may do: not about
/// room, a broken disk, or a signal, which the next one would meet as well.
pub fn is_about_input(error: &Error) -> bool {
    const OUTSIDE: [&str; 6] = [
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
        "Input/output error",
        "Cannot allocate memory",
        "it ended with signal",
    ];
    error.kind == Kind::Failed && !OUTSIDE.iter().any(|words| error.said.contains(words))
}
