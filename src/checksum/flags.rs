//! The flags of files and directories that people set with chattr. Knows their letters; what they do is the
//! kernel's business.

use crate::btrfs::inode_flags;
use std::io;
use std::os::fd::BorrowedFd;

/// `FS_…_FL` and what lsattr shows for it. That nothing is compressed (m) is not among them: the kernel sets it by
/// itself where compressing has gained nothing.
const LETTERS: [(u64, char); 8] = [
    (0x8, 'S'),
    (0x1_0000, 'D'),
    (0x10, 'i'),
    (0x20, 'a'),
    (0x40, 'd'),
    (0x80, 'A'),
    (0x4, 'c'),
    (0x80_0000, 'C'),
];

/// The flags of an open file or directory; none on filesystems that know no flags.
pub(super) fn of(file: BorrowedFd) -> io::Result<u64> {
    match inode_flags(file) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Ok(0),
        read => read,
    }
}

/// The letters of those that only one of two has.
pub(super) fn differing(a: u64, b: u64) -> String {
    let letters = LETTERS.iter().filter(|(flag, _)| (a ^ b) & flag != 0);
    letters.map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_sets_by_itself_is_no_difference() {
        assert_eq!(differing(0x80_0010, 0x400), "iC");
        assert_eq!(differing(0x400, 0), "");
    }
}
