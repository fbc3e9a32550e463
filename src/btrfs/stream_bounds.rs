//! What can be told of the lengths of send streams by looking at trees alone: much less work than making the
//! streams, where there are many small files. Errs on one side only.

use super::abi;
use super::root_id;
use super::search::{Search, SearchBuffer};
use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;

/// The most bytes that the commands about one changed inode take beside its content, with paths of 256 bytes:
/// it is made or moved, and moved out of the way, gets its rights and its times, and so does its directory.
const MOST_ABOUT: u64 = 2500;
/// About how many they take mostly, and the least that those about a new one do.
const MOSTLY_ABOUT: u64 = 300;
const LEAST_ABOUT: u64 = 150;
/// Bytes of commands for each byte of a name: a further name is a command with two paths.
const FOR_A_NAME: u64 = 40;
/// How many extents are told apart at most.
const MOST_EXTENTS: usize = 1 << 19;

/// How long the stream of what changed in a snapshot is.
#[derive(Clone, Copy, Default)]
struct Change {
    most: u64,
    mostly: u64,
}

/// About how many bytes the stream of a snapshot has as what changed since another transaction, where it is
/// certain that its whole stream has more. What was deleted since then takes no more than `deleted` bytes.
///
/// # Errors
/// If the kernel refuses, as for who is not root.
pub fn less_than_whole(snapshot: BorrowedFd, since: u64, deleted: u64) -> io::Result<Option<u64>> {
    let tree = root_id(snapshot)?;
    let mut buffer = SearchBuffer::new();
    let changed = changed(
        Search::all(snapshot, &mut buffer, tree).since(since + 1),
        since,
    )?;
    let most = changed.most.saturating_add(deleted);
    let more = has_more(Search::all(snapshot, &mut buffer, tree), most)?;
    Ok(more.then_some(changed.mostly))
}

/// What changed, by the items that lie in leaves which were written since. Whatever changes of an inode changes
/// its own item, and that stands before the others. Of a changed file all may be sent, holes as zeros among it.
fn changed(mut search: Search, since: u64) -> io::Result<Change> {
    let (mut all, mut at) = (Change::default(), None);
    while let Some(item) = search.next()? {
        let length = item.data.len() as u64;
        match item.key.kind {
            abi::INODE_ITEM => {
                let changed = abi::inode_transid(item.data).is_none_or(|transid| transid > since);
                at = changed.then_some(item.key.objectid);
                if changed {
                    let size = abi::content_size(item.data).unwrap_or(u64::MAX);
                    all.add(size.saturating_add(size / 8), MOST_ABOUT);
                    all.mostly = all.mostly.saturating_add(size).saturating_add(MOSTLY_ABOUT);
                }
            }
            abi::INODE_REF | abi::INODE_EXTREF if at == Some(item.key.objectid) => {
                all.add(length.saturating_mul(FOR_A_NAME), 0);
            }
            abi::XATTR_ITEM if at == Some(item.key.objectid) => all.add(length, MOST_ABOUT),
            _ => {}
        }
    }
    Ok(all)
}

impl Change {
    fn add(&mut self, bytes: u64, about: u64) {
        self.most = self.most.saturating_add(bytes).saturating_add(about);
    }
}

/// Whether the whole stream has more bytes than that. Content that several files share may be sent once.
fn has_more(mut search: Search, bytes: u64) -> io::Result<bool> {
    let (mut least, mut seen) = (0_u64, HashSet::new());
    while let Some(item) = search.next()? {
        match item.key.kind {
            abi::INODE_ITEM => least += LEAST_ABOUT,
            abi::EXTENT_DATA => {
                let mut new = |address| address == 0 || seen.insert(address);
                let content = abi::content_extent(item.data);
                let content = content.filter(|extent| new(extent.address));
                least = least.saturating_add(content.map_or(0, |extent| extent.bytes));
            }
            _ => {}
        }
        if least > bytes || seen.len() > MOST_EXTENTS {
            return Ok(least > bytes);
        }
    }
    Ok(false)
}
