//! Reading the filesystem's trees: TREE_SEARCH_V2, one item after the other.
//! Knows keys and buffers; what an item says is `abi`'s business.

use super::abi::{FIRST_FREE, Fields, LAST_FREE, SearchKey, TREE_SEARCH_V2, zeroed};
use crate::sys;
use std::io;
use std::os::fd::BorrowedFd;

/// Bytes fetched at a time; more than the largest item (64 KiB nodes) with its header.
const BUFFER: usize = 256 << 10;
/// `btrfs_ioctl_search_header`
const HEADER: usize = 32;

/// The place of an item in a tree. Keys are ordered as written here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ItemKey {
    pub(super) objectid: u64,
    pub(super) kind: u32,
    pub(super) offset: u64,
}

/// The key with these three parts.
pub(super) const fn key(objectid: u64, kind: u32, offset: u64) -> ItemKey {
    ItemKey {
        objectid,
        kind,
        offset,
    }
}

impl ItemKey {
    /// The key after this one: a number of 64 + 8 + 64 bits, plus one. `None` after the last.
    fn next(self) -> Option<ItemKey> {
        if let Some(offset) = self.offset.checked_add(1) {
            return Some(ItemKey { offset, ..self });
        }
        Some(match self.kind {
            255 => key(self.objectid.checked_add(1)?, 0, 0),
            kind => key(self.objectid, kind + 1, 0),
        })
    }
}

/// An item as it lies in the buffer.
pub(super) struct Item<'a> {
    pub(super) key: ItemKey,
    pub(super) data: &'a [u8],
}

/// The buffer of searches, to be used again by the next one.
pub(super) struct SearchBuffer(Vec<u64>);

impl SearchBuffer {
    pub(super) fn new() -> SearchBuffer {
        SearchBuffer(vec![0; BUFFER / 8])
    }
}

/// All items of a tree from one key to another, both included, in order.
pub(super) struct Search<'a> {
    file: BorrowedFd<'a>,
    buffer: &'a mut SearchBuffer,
    /// What to ask for next; `None` when everything has been fetched.
    next: Option<SearchKey>,
    /// Items left in the buffer, and the byte at which the next one starts.
    left: u32,
    at: usize,
}

impl<'a> Search<'a> {
    /// All that the tree of a subvolume has.
    pub(super) fn all(file: BorrowedFd<'a>, buffer: &'a mut SearchBuffer, tree: u64) -> Search<'a> {
        let (from, to) = (key(FIRST_FREE, 0, 0), key(LAST_FREE, 0, u64::MAX));
        Search::new(file, buffer, tree, from, to)
    }

    pub(super) fn new(
        file: BorrowedFd<'a>,
        buffer: &'a mut SearchBuffer,
        tree: u64,
        from: ItemKey,
        to: ItemKey,
    ) -> Search<'a> {
        let key = SearchKey {
            tree,
            max_objectid: to.objectid,
            max_type: to.kind,
            max_offset: to.offset,
            max_transid: u64::MAX,
            ..zeroed()
        };
        Search {
            file,
            buffer,
            next: Some(starting(key, from)),
            left: 0,
            at: 0,
        }
    }

    /// Only what lies in nodes written by this transaction or a later one; older items may lie
    /// beside it.
    pub(super) fn since(mut self, transid: u64) -> Search<'a> {
        if let Some(key) = &mut self.next {
            key.min_transid = transid;
        }
        self
    }

    /// The next item; `None` after the last. The range is one of whole keys, so that items of
    /// other types lie in it too, and the caller picks.
    pub(super) fn next(&mut self) -> io::Result<Option<Item<'_>>> {
        if self.left == 0 && !self.fetch()? {
            return Ok(None);
        }
        let malformed = || io::Error::other("the kernel's answer to a tree search is malformed");
        let start = self.at;
        let (key, len) = self.header(start).ok_or_else(malformed)?;
        self.left -= 1;
        self.at = start + HEADER + len;
        if self.left == 0 {
            self.next = self
                .next
                .and_then(|asked| Some(starting(asked, key.next()?)));
        }
        let data = Fields(sys::bytes_of(&self.buffer.0)).bytes(start + HEADER, len);
        Ok(Some(Item {
            key,
            data: data.ok_or_else(malformed)?,
        }))
    }

    /// Key and length of the item at a place in the buffer.
    fn header(&self, at: usize) -> Option<(ItemKey, usize)> {
        let fields = Fields(sys::bytes_of(&self.buffer.0).get(at..)?);
        let key = key(fields.u64(8)?, fields.u32(24)?, fields.u64(16)?);
        Some((key, fields.u32(28)? as usize))
    }

    /// Fills the buffer; `false` if there is nothing more.
    fn fetch(&mut self) -> io::Result<bool> {
        let Some(mut key) = self.next else {
            return Ok(false);
        };
        key.items = u32::MAX;
        let start = sys::ioctl_tail(self.file, &TREE_SEARCH_V2, &mut key, &mut self.buffer.0)?;
        self.left = key.items;
        self.at = start * 8;
        if self.left == 0 {
            self.next = None;
        }
        Ok(self.left > 0)
    }
}

/// The same search, from another key on.
fn starting(key: SearchKey, from: ItemKey) -> SearchKey {
    SearchKey {
        min_objectid: from.objectid,
        min_type: from.kind,
        min_offset: from.offset,
        ..key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_carries_over() {
        const MAX: u64 = u64::MAX;
        assert_eq!(key(5, 132, 7).next(), Some(key(5, 132, 8)));
        assert_eq!(key(5, 132, MAX).next(), Some(key(5, 133, 0)));
        assert_eq!(key(5, 255, MAX).next(), Some(key(6, 0, 0)));
        assert_eq!(key(MAX, 255, MAX).next(), None);
        assert!(key(5, 132, 7) < key(5, 144, 0) && key(5, 144, 0) < key(6, 1, 0));
    }
}
