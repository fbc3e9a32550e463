//! A tree below one open directory. Finds what paths name in it, and nothing outside; each path is
//! followed by the kernel, which refuses to leave the tree, to follow a link, and to go to another
//! mount. That a directory is in the tree's own subvolume is looked at here.

use super::inherit::is_plain;
use crate::sys::at::open_within;
use crate::sys::dir::stat_at;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Directories that are kept open.
const OPEN: usize = 128;

pub(super) struct OpenTree {
    top: File,
    /// That of the subvolume: each has its own.
    device: u64,
    dirs: HashMap<Vec<u8>, Rc<Dir>>,
}

/// A directory of the tree.
pub(super) struct Dir {
    file: OwnedFd,
    /// What is made in it inherits nothing.
    pub(super) plain: bool,
}

impl Dir {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl OpenTree {
    pub(super) fn new(top: File) -> io::Result<OpenTree> {
        Ok(OpenTree {
            device: stat_at(top.as_fd(), b"")?.dev,
            top,
            dirs: HashMap::new(),
        })
    }

    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    pub(super) fn into_top(self) -> File {
        self.top
    }

    /// The directory that something is in, and its name there.
    pub(super) fn place<'p>(&mut self, path: &'p [u8]) -> io::Result<(Rc<Dir>, &'p [u8])> {
        let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        Ok((self.dir(dir)?, name))
    }

    fn dir(&mut self, path: &[u8]) -> io::Result<Rc<Dir>> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(Rc::clone(dir));
        }
        let file = open_within(self.top(), path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        self.must_be_ours(stat_at(file.as_fd(), b"")?.dev)?;
        let plain = is_plain(file.as_fd())?;
        let dir = Rc::new(Dir { file, plain });
        if self.dirs.len() >= OPEN {
            self.dirs.clear();
        }
        self.dirs.insert(path.to_vec(), Rc::clone(&dir));
        Ok(dir)
    }

    fn must_be_ours(&self, device: u64) -> io::Result<()> {
        match device == self.device {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EXDEV)),
        }
    }

    /// What has this path was moved or is gone, and all below it.
    pub(super) fn forget(&mut self, path: &[u8]) {
        let below = |dir: &[u8]| {
            dir.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.dirs.retain(|dir, _| dir != path && !below(dir));
    }

    /// What it hands down may be other than it was.
    pub(super) fn changed(&mut self, path: &[u8]) {
        self.dirs.remove(path);
    }

    /// Opens a regular file to be written.
    pub(super) fn open(&mut self, path: &[u8]) -> io::Result<File> {
        let (dir, name) = self.place(path)?;
        self.regular(dir.fd(), name, libc::O_WRONLY)
    }

    /// Opens a regular file to be read.
    pub(super) fn source(&self, path: &[u8]) -> io::Result<File> {
        self.regular(self.top(), path, libc::O_RDONLY | libc::O_NOATIME)
    }

    /// Looks first at what it is: opening a device does something already. Between the two looks
    /// nobody but us changes anything.
    fn regular(&self, dir: BorrowedFd, path: &[u8], flags: i32) -> io::Result<File> {
        let look = open_within(dir, path, libc::O_PATH, 0)?;
        let stat = stat_at(look.as_fd(), b"")?;
        self.must_be_ours(stat.dev)?;
        match u32::from(stat.mode) & libc::S_IFMT {
            libc::S_IFREG => Ok(open_within(dir, path, flags | libc::O_NONBLOCK, 0)?.into()),
            libc::S_IFLNK => Err(io::Error::from_raw_os_error(libc::ELOOP)),
            _ => Err(io::Error::other("it is not a regular file")),
        }
    }
}
