//! The SHA-256 of every regular file of a tree, by several threads. Knows no list.

use super::queue::{Job, Queue};
use super::read::Quiet;
use super::walk::{UnreadEntry, WalkedTree};
use super::{WorkCounters, go_on};
use crate::digest::{Hash, Sha256};
use crate::error::Result;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// How much is read at a time: enough to make system calls cheap, and little enough to be still
/// near the processor when it is hashed.
const BUFFER: usize = 64 << 10;

/// What [`hash_files`] found.
#[derive(Default)]
pub(super) struct Hashes {
    /// By number of the regular file; `None` for what could not be read.
    pub(super) sums: Vec<Option<Hash>>,
    pub(super) unread: Vec<UnreadEntry>,
}

/// Reads every regular file.
///
/// # Errors
/// If a signal asks to stop. What cannot be read is told in [`Hashes::unread`].
pub(super) fn hash_files(
    tree: &WalkedTree,
    threads: usize,
    progress: &WorkCounters,
) -> Result<Hashes> {
    let files = tree.indices().filter(|&index| tree.node(index).is_file());
    let queue = Queue::new(files.map(|index| job(tree, index, index)), progress);
    let hashes = Mutex::new(Hashes {
        sums: vec![None; tree.files],
        unread: Vec::new(),
    });
    queue.share(threads, |next| {
        let mut buffer = vec![0; BUFFER];
        while let Some(index) = next() {
            let sum = hash_file(tree, index, &mut buffer, progress);
            progress.files.fetch_add(1, Relaxed);
            let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            match sum {
                Ok(sum) => hashes.sums[tree.node(index).file_number()] = Some(sum),
                Err(error) => {
                    let unread = tree.unread("", &tree.relative(index), error);
                    hashes.unread.push(unread);
                }
            }
        }
    });
    go_on("cannot read all files")?;
    let mut hashes = hashes.into_inner().unwrap_or_else(PoisonError::into_inner);
    hashes.unread.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(hashes)
}

/// The file of a node, as a job that the queue calls `number`.
pub(super) fn job(tree: &WalkedTree, index: u32, number: u32) -> Job {
    let stat = &tree.node(index).stat;
    Job {
        number,
        size: stat.size,
        dev: stat.dev,
        ino: stat.ino,
    }
}

fn hash_file(
    tree: &WalkedTree,
    index: u32,
    buffer: &mut [u8],
    progress: &WorkCounters,
) -> io::Result<Hash> {
    let mut file = Quiet::open(tree, index)?;
    let mut hasher = Sha256::default();
    loop {
        let length = file.fill(buffer)?;
        hasher.update(&buffer[..length]);
        progress.bytes.fetch_add(length as u64, Relaxed);
        if length < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::list;
    use super::super::walk::walk;
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Between the walk and the reading a user puts links, and other files, where his tree was.
    #[test]
    fn nothing_is_read_but_what_was_walked() {
        let name = format!("buttersink-hash-{}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let (tree, outside) = (top.join("tree"), top.join("outside"));
        fs::create_dir_all(tree.join("a/deep")).unwrap();
        fs::create_dir_all(outside.join("deep")).unwrap();
        for name in ["shadow", "deep/shadow", "kept"] {
            fs::write(tree.join("a").join(name), "own").unwrap();
            fs::write(outside.join(name), "secret").unwrap();
        }
        symlink("x", tree.join("a/link")).unwrap();
        symlink("secret", outside.join("link")).unwrap();
        fs::write(tree.join("f"), "own").unwrap();
        let progress = WorkCounters::default();
        let walked = walk(&tree, &progress).unwrap();
        fs::rename(tree.join("a"), top.join("was")).unwrap();
        symlink(&outside, tree.join("a")).unwrap();
        fs::rename(outside.join("kept"), tree.join("f")).unwrap();
        let hashes = hash_files(&walked, 2, &progress).unwrap();
        assert!(hashes.sums.iter().all(Option::is_none), "{:?}", hashes.sums);
        assert_eq!(hashes.unread.len(), 4);
        for path in [&b"a/link"[..], b"a/shadow"] {
            assert!(list::target(&walked, path).is_err());
            assert!(list::xattrs(&walked, path).is_err());
        }
        // All is as it was before.
        fs::remove_file(tree.join("a")).unwrap();
        fs::rename(top.join("was"), tree.join("a")).unwrap();
        let hashes = hash_files(&walked, 2, &progress).unwrap();
        assert_eq!(hashes.unread.len(), 1, "the file f");
        assert_eq!(list::target(&walked, b"a/link").unwrap(), b"x");
        fs::remove_dir_all(top).unwrap();
    }
}
