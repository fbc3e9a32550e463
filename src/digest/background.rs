//! Digests that are computed on threads of their own: without instructions for SHA-256 a processor
//! hashes more slowly than it does anything else to a stream. And the buffers that both the stream
//! and the hashing thread look at.

use super::{Algorithm, Hasher};
use crate::error::{Error, Result};
use crate::parallel;
use crate::sys;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a stream that several threads look at. When the last of them is done, the memory goes back
/// to whoever fills buffers.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    spare: Sender<Vec<u8>>,
}

impl Buffer {
    pub(crate) fn new(bytes: Vec<u8>, spare: &Sender<Vec<u8>>) -> Arc<Buffer> {
        let spare = spare.clone();
        Arc::new(Buffer { bytes, spare })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Whoever fills buffers may be gone already; then nobody needs it.
        let _ = self.spare.send(std::mem::take(&mut self.bytes));
    }
}

const HASHING: &str = "cannot hash the stream";

/// A digest that is being computed. Dropped, it is given up.
pub(crate) struct Background {
    work: SyncSender<Arc<Buffer>>,
    thread: JoinHandle<String>,
}

impl Background {
    /// A thread for which so many buffers may wait.
    pub(crate) fn start(algorithm: Algorithm, waiting: usize) -> Background {
        let (work, buffers) = sync_channel(waiting);
        let thread = std::thread::spawn(move || digest(algorithm, &buffers));
        Background { work, thread }
    }

    /// Hashes the next bytes, when those before them are done.
    pub(crate) fn add(&self, buffer: &Arc<Buffer>) -> Result<()> {
        let given = self.work.send(Arc::clone(buffer));
        given.map_err(|_| Error::failed(HASHING, "a thread panicked"))
    }

    /// In hexadecimal, when all is hashed.
    pub(crate) fn finish(self) -> Result<String> {
        drop(self.work);
        parallel::joined(HASHING, self.thread)
    }
}

fn digest(algorithm: Algorithm, buffers: &Receiver<Arc<Buffer>>) -> String {
    sys::quiet_thread();
    let mut hasher = Hasher::new(algorithm, None);
    for buffer in buffers {
        hasher.update(buffer.bytes());
    }
    hasher.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn hashes_in_order_and_memory_comes_back() {
        let (spare, back) = channel();
        let hashing = Background::start(Algorithm::Sha256, 1);
        for piece in [&b"a"[..], b"", b"bc"] {
            let buffer = Buffer::new(piece.to_vec(), &spare);
            hashing.add(&buffer).unwrap();
        }
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hashing.finish().unwrap(), abc);
        drop(spare);
        let lengths: Vec<usize> = back.iter().map(|bytes| bytes.len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 3);
        assert_eq!(lengths.len(), 3);
    }
}
