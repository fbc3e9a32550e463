//! What a child says on its standard error: kept, cut to its end, and made fit to be shown.

use crate::sys;
use std::io::Read;

/// How much of a child's standard error is kept: its last words.
const WORDS: usize = 4096;

/// The last lines of what a child says, as one line.
pub(super) fn last_words(mut stderr: impl Read) -> String {
    sys::quiet_thread();
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => kept.extend_from_slice(&buffer[..n]),
        }
        if kept.len() > 2 * WORDS {
            kept.drain(..kept.len() - WORDS);
        }
    }
    let text = String::from_utf8_lossy(&kept);
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_chatter(line));
    let lines: Vec<String> = lines.map(crate::snapshot::shown).collect();
    lines.join("; ")
}

/// What btrfs-progs says when all is well.
fn is_chatter(line: &str) -> bool {
    ["At subvol ", "At snapshot "]
        .iter()
        .any(|start| line.starts_with(start))
}
