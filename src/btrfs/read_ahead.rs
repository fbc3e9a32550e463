//! Reading the content of a snapshot into memory shortly before it is sent. `btrfs send` takes file after file,
//! in the order of their inode numbers, and waits for the first bytes of each; of small files that is most of
//! its time. Knows extents and where they stand; who sends them tells how far it has come.

use super::abi;
use super::root_id;
use super::search::{Search, SearchBuffer};
use crate::sys::{dir, page_cache};
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How far reading goes ahead: in bytes, and in pieces of files, each of which may hold a file open.
const AHEAD: u64 = 16 << 20;
const PIECES: usize = 256;
/// How many bytes of a file are asked for at a time.
const PIECE: u64 = 1 << 20;
/// How many extents are remembered, so that what several files share is read once, as it is sent once.
const REMEMBERED: usize = 1 << 13;
/// `FILEID_BTRFS_WITHOUT_PARENT`: an inode number, the number of its tree, and a generation, 0 for any.
const HANDLE: u32 = 0x4d;

/// A byte of a file: the inode number, and the offset.
type Position = (u64, u64);

/// What of a snapshot is sent, and so read.
pub struct SendScope {
    /// The snapshot, open.
    pub snapshot: OwnedFd,
    /// Only what was written after this transaction; 0 for all.
    pub since: u64,
    /// Compressed extents are sent as they are, past the memory for pages.
    pub compressed: bool,
}

/// How far a sender has come: it says so, and who reads ahead of it waits for that.
#[derive(Default)]
pub struct SendPosition {
    progress: Mutex<SendProgress>,
    moved: Condvar,
}

#[derive(Default)]
struct SendProgress {
    at: Position,
    ended: bool,
    /// What the reading thread waits for.
    awaited: Position,
}

impl SendPosition {
    fn lock(&self) -> MutexGuard<'_, SendProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sender has come to this byte of a file: an inode number and an offset.
    pub fn reach(&self, place: (u64, u64)) {
        let mut progress = self.lock();
        progress.at = progress.at.max(place);
        if progress.at >= progress.awaited {
            self.moved.notify_one();
        }
    }

    /// The sender needs nothing more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.moved.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits until the sender has come to a place, and says where it is then; `None` once it has ended.
    fn wait_for(&self, place: Position) -> Option<Position> {
        let mut progress = self.lock();
        progress.awaited = place;
        let waits = |progress: &mut SendProgress| !progress.ended && progress.at < place;
        let waited = self.moved.wait_while(progress, waits);
        progress = waited.unwrap_or_else(PoisonError::into_inner);
        progress.awaited = (u64::MAX, u64::MAX);
        (!progress.ended).then_some(progress.at)
    }
}

/// Reads all that is wanted, never further than 16 MiB before the sender, until that ends; then nothing of it stays
/// in memory.
///
/// # Errors
/// If the kernel refuses, as for who is not root.
pub fn read_ahead(wanted: &SendScope, sender: &SendPosition) -> io::Result<()> {
    let snapshot = wanted.snapshot.as_fd();
    let tree = root_id(snapshot)?;
    let mut buffer = SearchBuffer::new();
    let mut search = Search::all(snapshot, &mut buffer, tree).since(wanted.since + 1);
    let (mut window, mut seen) = (Window::default(), HashSet::new());
    while let Some(item) = search.next()? {
        // Who ends waits for this thread, and of a large tree there may be nothing to read for minutes.
        if sender.has_ended() {
            return Ok(());
        }
        let extent = Some(item.data).filter(|_| item.key.kind == abi::EXTENT_DATA);
        let extent = extent.and_then(abi::content_extent);
        let Some(extent) = extent.filter(|extent| wanted.has(extent)) else {
            continue;
        };
        if seen.len() == REMEMBERED {
            seen.clear();
        }
        if seen.insert(extent.address) {
            let place = (item.key.objectid, item.key.offset);
            let file = window.file(wanted, tree, place.0)?;
            if let Some(file) = file
                && !window.read(&file, place, extent.bytes, sender)
            {
                return Ok(());
            }
        }
    }
    window.pass(sender, (u64::MAX, u64::MAX));
    Ok(())
}

impl SendScope {
    /// Whether an extent is read by the sender, and not from the item itself.
    fn has(&self, extent: &abi::ContentExtent) -> bool {
        let is_read = extent.address != 0 && !(self.compressed && extent.compressed);
        is_read && extent.generation > self.since
    }

    fn open(&self, tree: u64, ino: u64) -> io::Result<File> {
        let words = |number: u64| [number as u32, (number >> 32) as u32];
        let ([a, b], [c, d]) = (words(ino), words(tree));
        // The kernel reads the numbers as they lie in memory.
        let ([a, b], [c, d]) = match cfg!(target_endian = "big") {
            true => ([b, a], [d, c]),
            false => ([a, b], [c, d]),
        };
        let mount = self.snapshot.as_fd();
        dir::open_by_handle(mount, HANDLE, [a, b, c, d, 0]).map(File::from)
    }
}

/// What is read, and not sent yet.
#[derive(Default)]
struct Window {
    pieces: VecDeque<ReadPiece>,
    bytes: u64,
    /// The file at work, unless it lay in memory before: that is left alone, and stays there.
    file: Option<(u64, Option<Rc<File>>)>,
}

struct ReadPiece {
    file: Rc<File>,
    place: Position,
    length: u64,
}

impl Window {
    fn file(&mut self, wanted: &SendScope, tree: u64, ino: u64) -> io::Result<Option<Rc<File>>> {
        if let Some((at, file)) = &self.file
            && *at == ino
        {
            return Ok(file.clone());
        }
        let file = wanted.open(tree, ino)?;
        let there = page_cache::cached_pages(file.as_fd(), 0, 0);
        let file = (there.unwrap_or(0) == 0).then(|| Rc::new(file));
        self.file = Some((ino, file.clone()));
        Ok(file)
    }

    /// Reads an extent, in pieces, each when there is room for it; false once the sender has ended.
    fn read(
        &mut self,
        file: &Rc<File>,
        place: Position,
        bytes: u64,
        sender: &SendPosition,
    ) -> bool {
        let (ino, offset) = place;
        for start in (0..bytes).step_by(PIECE as usize) {
            let length = PIECE.min(bytes - start);
            if !self.make_room(sender) {
                return false;
            }
            let advice = libc::POSIX_FADV_WILLNEED;
            page_cache::advise(file.as_fd(), offset + start, length, advice);
            self.bytes += length;
            self.pieces.push_back(ReadPiece {
                file: Rc::clone(file),
                place: (ino, offset + start),
                length,
            });
        }
        true
    }

    /// Waits for the sender to be half way through what was read, where that is enough for now.
    fn make_room(&mut self, sender: &SendPosition) -> bool {
        if self.bytes < AHEAD && self.pieces.len() < PIECES {
            return true;
        }
        let half = self.pieces.get(self.pieces.len() / 2);
        half.map(|piece| piece.place)
            .is_none_or(|place| self.pass(sender, place))
    }

    /// Waits for the sender to come to a place, and lets go of what lies before it; false, and of all, once it
    /// has ended.
    fn pass(&mut self, sender: &SendPosition, place: Position) -> bool {
        let at = sender.wait_for(place);
        let passed = |piece: &ReadPiece| at.is_none_or(|at| piece.end() <= at);
        while self.pieces.front().is_some_and(passed)
            && let Some(piece) = self.pieces.pop_front()
        {
            self.bytes -= piece.length;
        }
        at.is_some()
    }
}

/// Nothing stays in memory, also when reading ahead ends early. The kernel keeps pages that are being read: where the
/// sender was faster, that is waited for.
impl Drop for ReadPiece {
    fn drop(&mut self) {
        let (file, (_, offset)) = (self.file.as_fd(), self.place);
        let forget = || page_cache::advise(file, offset, self.length, libc::POSIX_FADV_DONTNEED);
        forget();
        let left = page_cache::cached_pages(file, offset, self.length);
        if left.is_some_and(|pages| pages > 0) {
            // What cannot be read is in nobody's way.
            let _ = self
                .file
                .read_at(&mut vec![0; self.length as usize], offset);
            forget();
        }
    }
}

impl ReadPiece {
    fn end(&self) -> Position {
        let (ino, offset) = self.place;
        (ino, offset + self.length)
    }
}
