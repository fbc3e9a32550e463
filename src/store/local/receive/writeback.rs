//! What is received goes to the disk while more of it arrives. Left alone, the kernel would keep
//! gigabytes of it in memory, and all of the writing would be waited for in the end.

use crate::error::Result;
use crate::parallel;
use crate::store::local::paths::sync;
use crate::sys;
use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes that make it worthwhile: each turn commits a transaction.
const STEP: u64 = 128 << 20;

/// Writes out a filesystem, again and again. Dropped, it waits until the turn under way is done.
pub(super) struct Writeback {
    turns: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
    since: u64,
}

impl Writeback {
    /// Of the filesystem of an open directory.
    pub(super) fn start(dir: File, doing: String) -> Writeback {
        // Nothing waits: whoever writes is not to be held up.
        let (turns, work) = sync_channel(0);
        Writeback {
            turns: Some(turns),
            thread: Some(std::thread::spawn(move || write_out(&dir, &doing, &work))),
            since: 0,
        }
    }

    /// So many more bytes were received.
    pub(super) fn passed(&mut self, bytes: u64) {
        self.since += bytes;
        let Some(turns) = self.turns.as_ref().filter(|_| self.since >= STEP) else {
            return;
        };
        // A turn that is under way may take its time; what it misses is for the next.
        if turns.try_send(()).is_ok() {
            self.since = 0;
        }
    }

    /// An error if a turn met one. The kernel tells it only once, so that a later sync is no proof.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.turns = None;
        let thread = self.thread.take();
        thread.map_or(Ok(()), |thread| {
            parallel::joined("cannot write out the filesystem", thread)?
        })
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        // What was received is being given up, and with it this error.
        let _ = self.finish();
    }
}

fn write_out(dir: &File, doing: &str, work: &Receiver<()>) -> Result<()> {
    sys::quiet_thread();
    for () in work {
        sync(dir, || doing.to_owned())?;
    }
    Ok(())
}
