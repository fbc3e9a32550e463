//! Whether anything in a subvolume changed since a transaction: a tree search that visits only what
//! did. Knows inodes by number; which of them count is the caller's business.

use super::abi;
use super::change::open_subvolume;
use super::root_id;
use super::search::{Buffer, Key, Search};
use super::subvolume_of;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::sys;
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

fn any_inode(
    now: BorrowedFd,
    then: BorrowedFd,
    since: u64,
    ignored: impl Fn(u64) -> bool,
) -> io::Result<bool> {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    let (from, to) = (key(abi::FIRST_FREE), key(abi::LAST_FREE));
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

fn key(objectid: u64) -> Key {
    Key {
        objectid,
        kind: abi::INODE_ITEM,
        offset: 0,
    }
}

/// Whether an inode differs in nothing but the time of its last reading. Every other change, to
/// attributes and content too, sets the time of the last change, which nobody else can set.
fn only_read(before: &[u8], now: &[u8]) -> bool {
    let before = abi::inode_without_access(before);
    before.is_some() && before == abi::inode_without_access(now)
}
