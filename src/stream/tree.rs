//! What a rehearsal asks of the trees that it knows: the parent's, and the snapshot's own. Paths
//! are relative to the tree's top, which is the empty path. Does no input or output itself.

use crate::sys::dir::Time;
use std::io;

/// A tree of files. Directories that only hold the place of a nested subvolume are not in it, since
/// they do not travel.
pub trait Tree {
    /// What is at a path; `None` if nothing is.
    ///
    /// # Errors
    /// If it cannot be read.
    fn look(&self, path: &[u8]) -> io::Result<Option<TreeEntry>>;

    /// The names in a directory.
    ///
    /// # Errors
    /// If it cannot be read.
    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>>;

    /// Names and values of the extended attributes of what is at a path.
    ///
    /// # Errors
    /// If they cannot be read.
    fn xattrs(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// A tree whose files can be read.
pub trait Files: Tree {
    /// The bytes of a file from an offset on; fewer at its end.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_at(&self, path: &[u8], offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Whether the file with this inode number has an extent that begins at an offset or later.
    ///
    /// # Errors
    /// If that cannot be read.
    fn has_extent_from(&self, ino: u64, offset: u64) -> io::Result<bool>;
}

/// What a tree says of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeEntry {
    /// Inode number.
    pub ino: u64,
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// The device that a node stands for.
    pub rdev: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
    /// Bytes of the filesystem's blocks.
    pub block: u64,
}

/// The bits of a mode that say the type.
pub const TYPE: u32 = 0o170_000;
/// A directory.
pub const DIRECTORY: u32 = 0o040_000;
/// A regular file.
pub const REGULAR: u32 = 0o100_000;
/// A symbolic link.
pub const SYMLINK: u32 = 0o120_000;

/// A path and a name below it.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        [] => name.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}

impl<T: Tree + ?Sized> Tree for &T {
    fn look(&self, path: &[u8]) -> io::Result<Option<TreeEntry>> {
        (**self).look(path)
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        (**self).names(path)
    }

    fn xattrs(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        (**self).xattrs(path)
    }
}
