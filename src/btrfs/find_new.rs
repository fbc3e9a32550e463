//! Whether anything in a subvolume changed since a transaction, and how much: tree searches, the first
//! of which visits only what did. Knows inodes by number; which of them count is the caller's business.

use super::abi;
use super::change::open_subvolume;
use super::root_id;
use super::search::{ItemKey, Search, SearchBuffer, key};
use super::subvolume::subvolume_of;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::sys;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Whether an inode of the subvolume was changed after its read-only snapshot was made, other than
/// by reading it, and other than those that `ignored` holds for.
///
/// The generations of the two do not tell: making a snapshot within the subvolume enters its name
/// there, in the very transaction that makes it, and whatever is noted beside it follows in the
/// next. Each inode records the transaction that changed it last; a removed one shows in its
/// directory.
///
/// # Errors
/// If one of them is not a subvolume, or we are not root.
pub fn changed_since(
    subvolume: &Path,
    snapshot: &Path,
    ignored: impl Fn(u64) -> bool,
) -> Result<bool> {
    let doing = || format!("cannot see what changed in {}", shown(subvolume));
    let (now, then) = (open_subvolume(subvolume)?, open_subvolume(snapshot)?);
    // What only memory knows has no transaction yet.
    sys::syncfs(now.as_fd()).doing(doing)?;
    let since = subvolume_of(then.as_fd()).doing(doing)?.otransid;
    if subvolume_of(now.as_fd()).doing(doing)?.generation <= since {
        return Ok(false);
    }
    any_inode(now.as_fd(), then.as_fd(), since, ignored).doing(doing)
}

/// Whether anything in an open subvolume but its top was changed, or read for the first time, after
/// that transaction. All of it must be on the disk.
///
/// # Errors
/// If the kernel refuses, as for who is not root.
pub fn touched_since(subvolume: BorrowedFd, since: u64) -> io::Result<bool> {
    let mut buffer = SearchBuffer::new();
    let (from, to) = (inode(abi::FIRST_FREE + 1), inode(abi::LAST_FREE));
    let mut search =
        Search::new(subvolume, &mut buffer, root_id(subvolume)?, from, to).since(since + 1);
    while let Some(item) = search.next()? {
        if item.key.kind == abi::INODE_ITEM
            && abi::inode_transid(item.data).is_none_or(|transid| transid > since)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn any_inode(
    now: BorrowedFd,
    then: BorrowedFd,
    since: u64,
    ignored: impl Fn(u64) -> bool,
) -> io::Result<bool> {
    let (mut buffer, mut other) = (SearchBuffer::new(), SearchBuffer::new());
    let (from, to) = (inode(abi::FIRST_FREE), inode(abi::LAST_FREE));
    let mut search = Search::new(now, &mut buffer, root_id(now)?, from, to).since(since + 1);
    let tree = root_id(then)?;
    while let Some(item) = search.next()? {
        let is_inode = item.key.kind == abi::INODE_ITEM && !ignored(item.key.objectid);
        if !is_inode || abi::inode_transid(item.data).is_none_or(|transid| transid <= since) {
            continue;
        }
        let at = item.key;
        let mut before = Search::new(then, &mut other, tree, at, at);
        let same = before
            .next()?
            .is_some_and(|before| only_read(before.data, item.data));
        if !same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn inode(number: u64) -> ItemKey {
    key(number, abi::INODE_ITEM, 0)
}

/// What a subvolume holds, by the generations in which it was written.
#[derive(Clone, Debug, Default)]
pub struct WrittenBytes(BTreeMap<u64, u64>);

/// Bytes that a new file takes in a send stream beside its content: its name and attributes.
const ABOUT_A_FILE: u64 = 300;

impl WrittenBytes {
    /// About how many bytes the send stream of a snapshot made now has, from one made in this
    /// generation; from 0, the whole stream.
    pub fn since(&self, generation: u64) -> u64 {
        self.0.range(generation + 1..).map(|(_, bytes)| bytes).sum()
    }

    fn add(&mut self, generation: u64, bytes: u64) {
        *self.0.entry(generation).or_default() += bytes;
    }
}

/// Reads what a subvolume holds: its inodes and extents, and nothing of their content.
///
/// # Errors
/// If it is not a subvolume, or we are not root.
pub fn written(subvolume: &Path) -> Result<WrittenBytes> {
    let doing = || format!("cannot see how much is in {}", shown(subvolume));
    let now = open_subvolume(subvolume)?;
    // What only memory knows has no extents yet.
    sys::syncfs(now.as_fd()).doing(doing)?;
    all_extents(now.as_fd()).doing(doing)
}

fn all_extents(now: BorrowedFd) -> io::Result<WrittenBytes> {
    let (mut written, mut buffer) = (WrittenBytes::default(), SearchBuffer::new());
    let (from, to) = (inode(abi::FIRST_FREE), inode(abi::LAST_FREE));
    let mut search = Search::new(now, &mut buffer, root_id(now)?, from, to);
    while let Some(item) = search.next()? {
        match item.key.kind {
            abi::INODE_ITEM => {
                let transid = abi::inode_transid(item.data).unwrap_or(0);
                written.add(transid, ABOUT_A_FILE);
            }
            abi::EXTENT_DATA => {
                if let Some((generation, bytes)) = abi::file_extent(item.data) {
                    written.add(generation, bytes);
                }
            }
            _ => {}
        }
    }
    Ok(written)
}

/// Whether an inode differs in nothing but the time of its last reading. Every other change, to
/// attributes and content too, sets the time of the last change, which nobody else can set.
fn only_read(before: &[u8], now: &[u8]) -> bool {
    let before = abi::inode_without_access(before);
    before.is_some() && before == abi::inode_without_access(now)
}
