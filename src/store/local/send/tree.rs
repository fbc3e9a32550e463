//! A snapshot on this machine as the tree that a rehearsal looks things up in: opened once, and
//! nothing outside of it is ever read.

use crate::btrfs::{self, STAND_IN};
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::stream::tree::{DIRECTORY, Files, TYPE, Tree, TreeEntry};
use crate::sys;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// A snapshot's tree.
#[derive(Debug)]
pub(super) struct SnapshotTree(File);

impl SnapshotTree {
    pub(super) fn open(snapshot: &Path) -> Result<SnapshotTree> {
        let file = File::open(snapshot).doing(|| format!("cannot open {}", shown(snapshot)))?;
        Ok(SnapshotTree(file))
    }

    fn open_path(&self, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | libc::O_NOFOLLOW;
        sys::open_beneath(self.0.as_fd(), Path::new(OsStr::from_bytes(path)), flags)
    }
}

impl Tree for SnapshotTree {
    fn look(&self, path: &[u8]) -> io::Result<Option<TreeEntry>> {
        let found = self.open_path(path, libc::O_PATH).map(File::from);
        let entry = match found.and_then(|file| file.metadata()) {
            Ok(found) => entry(&found),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let is_place = entry.ino == STAND_IN && entry.mode & TYPE == DIRECTORY;
        Ok((!is_place).then_some(entry))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let dir = self.open_path(path, libc::O_DIRECTORY)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        sys::dir::read_dir(dir.as_fd(), |_, _, name| names.push(name.to_vec()))?;
        let mut there = Vec::new();
        for name in names {
            if self
                .look(&crate::stream::tree::join(path, &name))?
                .is_some()
            {
                there.push(name);
            }
        }
        Ok(there)
    }

    fn xattrs(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        sys::dir::xattrs_at(self.0.as_fd(), path)
    }
}

impl Files for SnapshotTree {
    fn read_at(&self, path: &[u8], offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::from(self.open_path(path, libc::O_RDONLY | libc::O_NONBLOCK)?);
        let mut bytes = vec![0; length];
        let mut have = 0;
        while have < length {
            match file.read_at(&mut bytes[have..], offset + have as u64)? {
                0 => break,
                n => have += n,
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    fn has_extent_from(&self, ino: u64, offset: u64) -> io::Result<bool> {
        btrfs::has_extent_from(self.0.as_fd(), ino, offset)
    }
}

fn entry(found: &Metadata) -> TreeEntry {
    let time = |seconds, nanoseconds: i64| (seconds, nanoseconds as u32);
    TreeEntry {
        ino: found.ino(),
        mode: found.mode(),
        uid: found.uid(),
        gid: found.gid(),
        links: found.nlink(),
        size: found.size(),
        rdev: found.rdev(),
        atime: time(found.atime(), found.atime_nsec()),
        mtime: time(found.mtime(), found.mtime_nsec()),
        ctime: time(found.ctime(), found.ctime_nsec()),
        block: found.blksize(),
    }
}
