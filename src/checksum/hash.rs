//! The SHA-256 of every regular file of a tree, by several threads.

use super::Progress;
use super::queue::{Job, Queue};
use super::read::Quiet;
use super::walk::{Tree, Unread};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// How much is read at a time; it stays in the processor's cache.
const BUFFER: usize = 128 << 10;

/// A file's SHA-256.
pub(super) type Sum = [u8; 32];

/// What [`hash_files`] found.
#[derive(Default)]
pub(super) struct Hashes {
    /// By number of the regular file; `None` for what could not be read.
    pub(super) sums: Vec<Option<Sum>>,
    pub(super) unread: Vec<Unread>,
}

/// Reads every regular file.
pub(super) fn hash_files(tree: &Tree, threads: usize, progress: &Progress) -> Hashes {
    let files = tree.indices().filter(|&index| tree.node(index).is_file());
    let queue = Queue::new(files.map(|index| job(tree, index, index)), progress);
    let hashes = Mutex::new(Hashes {
        sums: vec![None; tree.files],
        unread: Vec::new(),
    });
    queue.share(threads, |next| {
        let mut buffer = vec![0; BUFFER];
        while let Some(index) = next() {
            let path = tree.relative(index);
            let sum = hash_file(tree, &path, &mut buffer, progress);
            progress.files.fetch_add(1, Relaxed);
            let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            match sum {
                Ok(sum) => hashes.sums[tree.node(index).file_number()] = Some(sum),
                Err(error) => hashes.unread.push(tree.unread("", &path, error)),
            }
        }
    });
    let mut hashes = hashes.into_inner().unwrap_or_else(PoisonError::into_inner);
    hashes.unread.sort_by(|a, b| a.path.cmp(&b.path));
    hashes
}

/// The file of a node, as a job that the queue calls `number`.
pub(super) fn job(tree: &Tree, index: u32, number: u32) -> Job {
    let stat = &tree.node(index).stat;
    Job {
        number,
        size: stat.size,
        dev: stat.dev,
        ino: stat.ino,
    }
}

fn hash_file(tree: &Tree, path: &[u8], buffer: &mut [u8], progress: &Progress) -> io::Result<Sum> {
    let mut file = Quiet::open(tree, path)?;
    let mut hasher = Sha256::new();
    loop {
        let length = read(&mut file, buffer)?;
        if length == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..length]);
        progress.bytes.fetch_add(length as u64, Relaxed);
    }
}

/// One read that is not interrupted.
pub(super) fn read(file: &mut Quiet, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
