//! Reads a file once from start to end, without its holes, and leaves the page cache as it found it.

use super::walk::WalkedTree;
use crate::sys::{dir, interrupted, page_cache};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// How much is looked at and dropped at a time: well above what the kernel reads ahead, which on
/// btrfs is twice 4 MiB for a file that is read in sequence, with as much again under way.
const WINDOW: u64 = 32 << 20;

/// A regular file. Of each window none of which was in the page cache before, nothing is left
/// there: a proof of a large tree must not displace what the machine works with. Windows that
/// were cached, and files of others whose state the kernel does not tell, are left alone.
pub(super) struct Quiet {
    file: File,
    size: u64,
    position: u64,
    window: u64,
    /// Whether this window, and the next, were wholly uncached. The next is asked about before
    /// the kernel reads ahead into it.
    fresh: [bool; 2],
    /// Where the data at the position or after it begins and ends, as far as that is known: there
    /// are zeros before it. `None` for a file without holes.
    data: Option<(u64, u64)>,
}

/// How files are opened to be read.
pub(super) const FLAGS: i32 =
    libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOATIME;

impl Quiet {
    pub(super) fn open(tree: &WalkedTree, index: u32) -> io::Result<Quiet> {
        Quiet::new(tree.open(index, &tree.relative(index), FLAGS)?)
    }

    pub(super) fn new(fd: OwnedFd) -> io::Result<Quiet> {
        let stat = dir::stat_at(fd.as_fd(), b"")?;
        if u32::from(stat.mode) & libc::S_IFMT != libc::S_IFREG {
            return Err(io::Error::other("no longer a regular file"));
        }
        let mut quiet = Quiet {
            file: File::from(fd),
            size: stat.size,
            position: 0,
            window: 0,
            fresh: [false; 2],
            data: (stat.blocks < stat.size / 512).then_some((0, 0)),
        };
        quiet.fresh = [quiet.is_fresh(0), quiet.is_fresh(WINDOW)];
        if stat.size > 1 << 20 {
            page_cache::advise(quiet.file.as_fd(), 0, 0, libc::POSIX_FADV_SEQUENTIAL);
        }
        Ok(quiet)
    }

    fn is_fresh(&self, start: u64) -> bool {
        start < self.size && page_cache::cached_pages(self.file.as_fd(), start, WINDOW) == Some(0)
    }

    fn leave_window(&mut self) {
        if self.fresh[0] {
            let advice = libc::POSIX_FADV_DONTNEED;
            page_cache::advise(self.file.as_fd(), self.window, WINDOW, advice);
        }
        self.window += WINDOW;
        self.fresh = [self.fresh[1], self.is_fresh(self.window + WINDOW)];
    }
}

impl Quiet {
    /// Fills the buffer; less than that is in it only at the end of the file.
    ///
    /// # Errors
    /// Those of `read`, and that a signal asked to stop.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let hole = (self.data()? - self.position).min((buffer.len() - filled) as u64);
            if hole > 0 {
                buffer[filled..][..hole as usize].fill(0);
                self.position += hole;
                filled += hole as usize;
                continue;
            }
            match self.file.read_at(&mut buffer[filled..], self.position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => break,
                Ok(length) => {
                    self.position += length as u64;
                    filled += length;
                }
            }
        }
        self.leave_behind();
        Ok(filled)
    }

    /// Where the next data is: the position, or the end of the hole that it is in.
    ///
    /// # Errors
    /// Those of `lseek`.
    pub(super) fn data(&mut self) -> io::Result<u64> {
        let Some((_, end)) = self.data else {
            return Ok(self.position);
        };
        if self.position >= end && self.position < self.size {
            let found = dir::next_data(self.file.as_fd(), self.position)?;
            self.data = Some(found.unwrap_or((self.size, self.size)));
        }
        let start = self.data.map_or(0, |(start, _)| start);
        Ok(start.max(self.position))
    }

    /// Goes on from there, which is in the hole that the position is in, or at its end.
    pub(super) fn skip_to(&mut self, position: u64) {
        self.position = position;
        if position >= self.window + 2 * WINDOW {
            self.leave_window();
            self.window = position / WINDOW * WINDOW;
            self.fresh = [
                self.is_fresh(self.window),
                self.is_fresh(self.window + WINDOW),
            ];
        }
        self.leave_behind();
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn leave_behind(&mut self) {
        while self.position >= self.window + WINDOW {
            self.leave_window();
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.position > self.window {
            self.leave_window();
        }
    }
}
