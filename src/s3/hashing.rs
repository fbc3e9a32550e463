//! Digests of a stream, computed on threads of their own: without instructions for SHA-256 a
//! processor hashes more slowly than it does anything else to a stream. And the buffers that
//! stream and hash share.

use super::sum::{Kind, Rolling};
use crate::error::{Error, Result};
use crate::sys;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// What is recorded of a stream's bytes, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// The SHA-256 of the whole.
    pub sha256: Option<String>,
    /// The SHA-256 tree hash, which says as much and takes less time.
    pub tree_hash: Option<String>,
}

impl Digests {
    /// Remembers a digest of the stream; other kinds are nothing to record.
    pub(super) fn set(&mut self, kind: Kind, sum: String) {
        match kind {
            Kind::Sha256 => self.sha256 = Some(sum),
            Kind::TreeHash => self.tree_hash = Some(sum),
            Kind::Md5 | Kind::Crc32c => {}
        }
    }

    /// The one that takes the least time to compute again.
    pub(crate) fn quickest(&self) -> Option<(Kind, &str)> {
        let tree_hash = self.tree_hash.as_deref().map(|sum| (Kind::TreeHash, sum));
        tree_hash.or(self.sha256.as_deref().map(|sum| (Kind::Sha256, sum)))
    }
}

/// All digests, on the thread that has the bytes.
pub(crate) struct Sums {
    sha256: Rolling,
    tree_hash: Rolling,
}

impl Sums {
    /// Of nothing yet.
    pub(crate) fn new() -> Sums {
        Sums {
            sha256: Rolling::new(Kind::Sha256, None),
            tree_hash: Rolling::new(Kind::TreeHash, None),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.tree_hash.update(bytes);
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: Some(self.sha256.hex()),
            tree_hash: Some(self.tree_hash.hex()),
        }
    }
}

/// Bytes of a stream that several threads look at. When the last is done with them, the memory goes
/// home, to be filled again.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl Buffer {
    pub(super) fn new(bytes: Vec<u8>, home: &Sender<Vec<u8>>) -> Arc<Buffer> {
        let home = home.clone();
        Arc::new(Buffer { bytes, home })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Whoever fills buffers may be gone already; then nobody needs it.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// A digest that is being computed. Dropped, it is given up.
pub(super) struct Hashing {
    work: SyncSender<Arc<Buffer>>,
    thread: JoinHandle<String>,
}

impl Hashing {
    /// A thread for which so many buffers may wait.
    pub(super) fn start(kind: Kind, waiting: usize) -> Hashing {
        let (work, buffers) = sync_channel(waiting);
        let thread = std::thread::spawn(move || digest(kind, &buffers));
        Hashing { work, thread }
    }

    /// Hashes the next bytes, when those before them are done.
    pub(super) fn add(&self, buffer: &Arc<Buffer>) -> Result<()> {
        let given = self.work.send(Arc::clone(buffer));
        given.map_err(|_| panicked())
    }

    /// In hexadecimal, when all is hashed.
    pub(super) fn finish(self) -> Result<String> {
        drop(self.work);
        self.thread.join().map_err(|_| panicked())
    }
}

fn digest(kind: Kind, buffers: &Receiver<Arc<Buffer>>) -> String {
    sys::quiet_thread();
    let mut rolling = Rolling::new(kind, None);
    for buffer in buffers {
        rolling.update(buffer.bytes());
    }
    rolling.hex()
}

fn panicked() -> Error {
    Error::failed("cannot hash the stream", "a thread panicked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn hashes_in_order_and_memory_comes_home() {
        let (home, spare) = channel();
        let hashing = Hashing::start(Kind::Sha256, 1);
        for piece in [&b"a"[..], b"", b"bc"] {
            let buffer = Buffer::new(piece.to_vec(), &home);
            hashing.add(&buffer).unwrap();
        }
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hashing.finish().unwrap(), abc);
        drop(home);
        let lengths: Vec<usize> = spare.iter().map(|bytes| bytes.len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 3);
        assert_eq!(lengths.len(), 3);
    }
}
