//! A tree in memory, as compact as its names: one arena for them, and a fixed-size node for each
//! entry that knows its parent and nothing of its path.
//! Walks in inode order relative to open directories; reads no file.

use super::line::Escape;
use super::{WorkCounters, go_on};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys::dir::{self, Stat};
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// Paths are handed to the kernel in pieces shorter than this, below its limit of 4096 with room
/// for a prefix.
const LONGEST_PATH: usize = 4000;

/// One entry.
pub(super) struct WalkedEntry {
    parent: u32,
    name_length: u16,
    name_at: u64,
    /// Of a directory: its first child. Of a regular file: its number among those.
    first: u32,
    /// Of a directory: how many children it has, one after the other.
    count: u32,
    /// A directory that could not be read, or not to its end.
    pub(super) unread: bool,
    pub(super) stat: Stat,
}

impl WalkedEntry {
    fn is(&self, kind: u32) -> bool {
        u32::from(self.stat.mode) & libc::S_IFMT == kind
    }

    pub(super) fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    pub(super) fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    /// A directory that something is mounted on: what it looks like depends on what is mounted.
    pub(super) fn is_mount(&self) -> bool {
        self.stat.mount && self.is_dir()
    }

    /// The number of a regular file among the regular files.
    pub(super) fn file_number(&self) -> usize {
        self.first as usize
    }
}

/// A tree, as it was when [`walk`] saw it.
pub(super) struct WalkedTree {
    path: PathBuf,
    top: OwnedFd,
    nodes: Vec<WalkedEntry>,
    names: Vec<u8>,
    pub(super) files: usize,
    /// Whether a name has a newline, so that its line in `.ls` is more than one line.
    pub(super) newlines: bool,
    pub(super) unread: Vec<UnreadEntry>,
}

/// An entry that could not be read, and why: nothing is known about it or what is below it.
pub(super) struct UnreadEntry {
    /// Relative to the top.
    pub(super) path: Vec<u8>,
    pub(super) error: Error,
}

impl UnreadEntry {
    /// Whether nothing is known of `path` for this reason.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.path.as_slice())
            .is_some_and(|rest| rest.is_empty() || self.path.is_empty() || rest[0] == b'/')
    }
}

/// Reads all names and attributes below `path`.
///
/// # Errors
/// If `path` itself cannot be opened, or a signal asks to stop. What is missing below it is told in [`WalkedTree::unread`].
pub(super) fn walk(path: &Path, progress: &WorkCounters) -> Result<WalkedTree> {
    let doing = || format!("cannot read {}", shown(path));
    let flags = libc::O_DIRECTORY;
    let top = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let top = OwnedFd::from(top.doing(doing)?);
    let stat = dir::stat_at(top.as_fd(), b"").doing(doing)?;
    let mut tree = WalkedTree {
        path: path.to_owned(),
        top,
        nodes: Vec::new(),
        names: Vec::new(),
        files: 0,
        newlines: false,
        unread: Vec::new(),
    };
    tree.add(0, 0..0, stat);
    let mut found = Vec::new();
    let mut todo = vec![0];
    while let Some(index) = todo.pop() {
        go_on("cannot read all directories")?;
        tree.read_dir(index, &mut found)?;
        let children = tree.children(index);
        progress.entries.fetch_add(children.len() as u64, Relaxed);
        todo.extend(children.rev().filter(|&i| tree.node(i).is_dir()));
    }
    Ok(tree)
}

/// A name in the arena, with the inode number that the directory gives.
type NamedInode = (u64, Range<usize>);

impl WalkedTree {
    pub(super) fn node(&self, index: u32) -> &WalkedEntry {
        &self.nodes[index as usize]
    }

    /// Every node but the top.
    pub(super) fn indices(&self) -> Range<u32> {
        1..self.nodes.len() as u32
    }

    fn children(&self, index: u32) -> Range<u32> {
        let node = self.node(index);
        if node.is_dir() {
            node.first..node.first + node.count
        } else {
            0..0
        }
    }

    pub(super) fn name(&self, index: u32) -> &[u8] {
        let node = self.node(index);
        let start = node.name_at as usize;
        &self.names[start..start + usize::from(node.name_length)]
    }

    /// The path relative to the top; the top's own is empty.
    pub(super) fn relative(&self, mut index: u32) -> Vec<u8> {
        let mut parts = Vec::new();
        while index != 0 {
            parts.push(self.name(index));
            index = self.node(index).parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// The error of not having read `path`.
    pub(super) fn unread(&self, what: &str, path: &[u8], error: io::Error) -> UnreadEntry {
        let full = self.path.join(OsStr::from_bytes(path));
        UnreadEntry {
            path: path.to_vec(),
            error: Error::io(format!("cannot read {what}{}", shown(full)), error),
        }
    }

    fn not_read(&mut self, path: &[u8], error: io::Error) {
        let unread = self.unread("", path, error);
        self.unread.push(unread);
    }

    fn add(&mut self, parent: u32, name: Range<usize>, stat: Stat) {
        let mut node = WalkedEntry {
            parent,
            name_length: name.len() as u16,
            name_at: name.start as u64,
            first: 0,
            count: 0,
            unread: false,
            stat,
        };
        if node.is_file() {
            node.first = self.files as u32;
            self.files += 1;
        }
        self.nodes.push(node);
    }

    /// Adds what is in one directory. `found` is scratch space.
    fn read_dir(&mut self, index: u32, found: &mut Vec<NamedInode>) -> Result<()> {
        found.clear();
        let start = self.nodes.len();
        self.nodes[index as usize].first = start as u32;
        let relative = self.relative(index);
        if let Err(error) = self.try_read_dir(index, &relative, found) {
            self.nodes[index as usize].unread = true;
            self.not_read(&relative, error);
        }
        if self.nodes.len() > u32::MAX as usize {
            let doing = format!("cannot read {}", shown(&self.path));
            return Err(Error::failed(doing, "more than 4294967295 entries"));
        }
        self.nodes[index as usize].count = (self.nodes.len() - start) as u32;
        Ok(())
    }

    fn try_read_dir(
        &mut self,
        index: u32,
        path: &[u8],
        found: &mut Vec<NamedInode>,
    ) -> io::Result<()> {
        self.refuse_loop(index)?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NOATIME;
        let fd = self.open(index, path, flags)?;
        let names = &mut self.names;
        let result = dir::read_dir(fd.as_fd(), |inode, _, name| {
            let start = names.len();
            names.extend_from_slice(name);
            found.push((inode, start..names.len()));
        });
        found.sort_unstable_by_key(|(inode, _)| *inode);
        for (_, range) in found.drain(..) {
            let name = &self.names[range.clone()];
            self.newlines |= name.contains(&b'\n');
            match dir::stat_at(fd.as_fd(), name) {
                Ok(stat) => self.add(index, range, stat),
                Err(error) => {
                    let full = joined(path, name);
                    self.not_read(&full, error);
                }
            }
        }
        result
    }

    /// Only a mount can show a directory inside itself.
    fn refuse_loop(&self, index: u32) -> io::Result<()> {
        let here = self.node(index);
        let mut above = index;
        while here.stat.mount && above != 0 {
            above = self.node(above).parent;
            let stat = &self.node(above).stat;
            if (stat.dev, stat.ino) == (here.stat.dev, here.stat.ino) {
                let text = "mounted inside itself; not entered";
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }

    /// The directory that an entry is in, and its name there.
    ///
    /// # Errors
    /// If a directory on the way cannot be opened, or is a link by now.
    pub(super) fn holder<'p>(&self, relative: &'p [u8]) -> io::Result<(Holder<'_>, &'p [u8])> {
        let (place, rest) = self.place(relative)?;
        let Some(slash) = rest.iter().rposition(|&b| b == b'/') else {
            return Ok((place, rest));
        };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let holder = dir::open_below(place.fd(), &rest[..slash], flags)?;
        Ok((Holder::Below(holder), &rest[slash + 1..]))
    }

    /// A directory from which `relative` is short enough for the kernel, and the path from there.
    fn place<'p>(&self, relative: &'p [u8]) -> io::Result<(Holder<'_>, &'p [u8])> {
        let (mut place, mut rest) = (Holder::Top(self.top.as_fd()), relative);
        while rest.len() > LONGEST_PATH {
            let cut = rest[..LONGEST_PATH].iter().rposition(|&b| b == b'/');
            let cut = cut.ok_or_else(|| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            place = Holder::Below(dir::open_below(place.fd(), &rest[..cut], flags)?);
            rest = &rest[cut + 1..];
        }
        Ok((place, rest))
    }

    /// Opens an entry, without touching its access time where that is allowed: just what was walked, and
    /// nothing that has come into its place, or that a link leads to.
    ///
    /// # Errors
    /// Those of `openat2`, and if it was replaced.
    pub(super) fn open(&self, index: u32, relative: &[u8], flags: i32) -> io::Result<OwnedFd> {
        let (place, rest) = self.place(relative)?;
        let rest = if rest.is_empty() { b"." } else { rest };
        let opened = match dir::open_below(place.fd(), rest, flags) {
            Err(e) if e.raw_os_error() == Some(libc::EPERM) && flags & libc::O_NOATIME != 0 => {
                dir::open_below(place.fd(), rest, flags & !libc::O_NOATIME)
            }
            other => other,
        }?;
        let (was, now) = (&self.node(index).stat, dir::stat_at(opened.as_fd(), b"")?);
        match (was.dev, was.ino) == (now.dev, now.ino) {
            true => Ok(opened),
            false => Err(io::Error::other("it was replaced while the tree was read")),
        }
    }

    /// A directory's children, in the order of their plain names.
    pub(super) fn sorted_children(&self, index: u32) -> Vec<u32> {
        let mut children: Vec<u32> = self.children(index).collect();
        children.sort_unstable_by(|&a, &b| self.name(a).cmp(self.name(b)));
        children
    }

    /// Calls `each` with the plain path of every entry but the top, in the byte order of the
    /// paths as `escape` writes them.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(super) fn in_order(
        &self,
        escape: Escape,
        mut each: impl FnMut(&[u8], u32) -> Result<()>,
    ) -> Result<()> {
        let mut path = Vec::new();
        let mut stack = vec![(0, self.items(0, escape).into_iter())];
        while let Some((length, items)) = stack.last_mut() {
            let Some(item) = items.next() else {
                stack.pop();
                continue;
            };
            path.truncate(*length);
            path.extend_from_slice(self.name(item.index));
            if item.below {
                path.push(b'/');
                let items = self.items(item.index, escape);
                stack.push((path.len(), items.into_iter()));
            } else {
                each(&path, item.index)?;
            }
        }
        Ok(())
    }

    /// What a directory adds to the order: for each child itself and, if it has children, all
    /// that is below it. Paths with one prefix `name/` are neighbours in byte order, but `name-x`
    /// comes between `name` and them.
    fn items(&self, index: u32, escape: Escape) -> Vec<WalkItem> {
        let mut items = Vec::with_capacity(self.children(index).len());
        for index in self.children(index) {
            items.push(WalkItem {
                index,
                below: false,
            });
            if !self.children(index).is_empty() {
                items.push(WalkItem { index, below: true });
            }
        }
        items.sort_unstable_by(|a, b| self.compare(*a, *b, escape));
        items
    }

    fn compare(&self, a: WalkItem, b: WalkItem, escape: Escape) -> Ordering {
        let (a_name, b_name) = (
            escape.apply(self.name(a.index)),
            escape.apply(self.name(b.index)),
        );
        let common = a_name.len().min(b_name.len());
        let tail = |name: &[u8], item: WalkItem| match name.get(common) {
            Some(&byte) => Some(byte),
            None => item.below.then_some(b'/'),
        };
        a_name[..common]
            .cmp(&b_name[..common])
            .then_with(|| tail(&a_name, a).cmp(&tail(&b_name, b)))
    }
}

#[derive(Clone, Copy)]
struct WalkItem {
    index: u32,
    /// All that is below the entry, instead of the entry itself.
    below: bool,
}

/// An open directory on the way to an entry.
pub(super) enum Holder<'t> {
    Top(BorrowedFd<'t>),
    Below(OwnedFd),
}

impl Holder<'_> {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Holder::Top(fd) => *fd,
            Holder::Below(fd) => fd.as_fd(),
        }
    }
}

/// `path/name`, or the name alone below the top.
pub(super) fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return name.to_vec();
    }
    [path, b"/", name].concat()
}
