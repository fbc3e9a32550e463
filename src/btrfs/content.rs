//! What btrfs does to files that other filesystems cannot: shared extents, compressed ones as they are,
//! and the flags that new files get from their directory. Knows no stream
//! but the value of a compressed extent in one.

use super::abi::{self, zeroed};
use super::search::{Search, SearchBuffer, key};
use crate::stream::instruction::Encoded;
use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes `length` bytes of `file` from `offset` on the same extents as those of `source`.
///
/// # Errors
/// What the kernel says: EINVAL if the numbers fit no blocks, EXDEV between filesystems.
pub fn clone_range(
    file: BorrowedFd,
    offset: u64,
    source: BorrowedFd,
    source_offset: u64,
    length: u64,
) -> io::Result<()> {
    let mut args = abi::CloneRange {
        source: source.as_raw_fd().into(),
        source_offset,
        source_length: length,
        offset,
    };
    sys::ioctl(file, &abi::CLONE_RANGE, &mut args)
}

/// Writes a compressed extent as it is.
///
/// # Errors
/// What the kernel says: ENOTTY before Linux 6.0, EINVAL if the file cannot have it.
pub fn write_encoded(file: BorrowedFd, extent: &Encoded) -> io::Result<()> {
    if size_of::<usize>() != 8 {
        return Err(io::Error::from_raw_os_error(libc::ENOTTY));
    }
    // One `iovec`: an address and a length.
    let address = extent.data.as_ptr().expose_provenance() as u64;
    let piece = [address, extent.data.len() as u64];
    let mut args = abi::EncodedIo {
        pieces: piece.as_ptr().expose_provenance() as u64,
        count: 1,
        offset: extent.offset.cast_signed(),
        len: extent.len,
        unencoded_len: extent.unencoded_len,
        unencoded_offset: extent.unencoded_offset,
        compression: extent.compression,
        ..zeroed()
    };
    sys::ioctl(file, &abi::ENCODED_WRITE, &mut args)
}

/// The flags that a new file or directory gets from its directory: compressed, never compressed,
/// no copy on write (`FS_COMPR_FL`, `FS_NOCOMP_FL`, `FS_NOCOW_FL`).
pub const INHERITED_FLAGS: u64 = COMPRESSED_FLAGS | NOCOW_FLAG;
/// Those that also stand in the property `btrfs.compression`.
pub const COMPRESSED_FLAGS: u64 = 0x4 | 0x400;
const NOCOW_FLAG: u64 = 0x0080_0000;

/// The flags of a file or directory, as `lsattr` shows them.
///
/// # Errors
/// What the kernel says.
pub fn inode_flags(file: BorrowedFd) -> io::Result<u64> {
    let mut flags = 0;
    sys::ioctl(file, &abi::GET_FLAGS, &mut flags)?;
    Ok(flags & u64::from(u32::MAX))
}

/// Sets them.
///
/// # Errors
/// What the kernel says: EINVAL for flags that do not go together.
pub fn set_inode_flags(file: BorrowedFd, mut flags: u64) -> io::Result<()> {
    sys::ioctl(file, &abi::SET_FLAGS, &mut flags)
}

/// Whether a file of the subvolume that is open here has an extent that begins at `offset` bytes or later:
/// beyond its end, that is space that was reserved.
///
/// # Errors
/// What the kernel says: EPERM if we are not root.
pub fn has_extent_from(subvolume: BorrowedFd, ino: u64, offset: u64) -> io::Result<bool> {
    let key = |offset| key(ino, abi::EXTENT_DATA, offset);
    let mut buffer = SearchBuffer::new();
    // 0 is the tree of the subvolume itself.
    let mut search = Search::new(subvolume, &mut buffer, 0, key(offset), key(u64::MAX));
    search.next().map(|found| found.is_some())
}
