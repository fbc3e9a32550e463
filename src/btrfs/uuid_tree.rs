//! Which subvolumes say that they were received from a UUID: the kernel keeps an index of that, so that
//! nobody needs to look at all there are. Knows numbers of subvolumes, and nothing else of them.

use super::abi;
use super::search::{ItemKey, Search, SearchBuffer};
use crate::snapshot::Uuid;
use std::io;
use std::os::fd::BorrowedFd;

/// The numbers of the subvolumes of a filesystem whose received UUID is this one.
///
/// # Errors
/// What the kernel says: EPERM to who is not root, ENOENT where there is no index.
pub fn received_from(filesystem: BorrowedFd, uuid: Uuid) -> io::Result<Vec<u64>> {
    let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let key = ItemKey {
        objectid: half(&uuid.0[..8]),
        kind: abi::UUID_RECEIVED,
        offset: half(&uuid.0[8..]),
    };
    let mut buffer = SearchBuffer::new();
    let mut search = Search::new(filesystem, &mut buffer, abi::UUID_TREE, key, key);
    let found = search.next()?.map(|item| item.data.chunks_exact(8));
    Ok(found.map_or_else(Vec::new, |numbers| numbers.map(half).collect()))
}
