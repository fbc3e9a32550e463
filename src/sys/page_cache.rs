//! What of a file lies in memory, shall lie there soon, or need not any longer. All of it is advice to the
//! kernel: content never changes.

use std::os::fd::{AsRawFd, BorrowedFd};

/// How many pages of a range are in the page cache; `None` where the kernel does not tell
/// (before Linux 6.5, or for somebody else's file).
pub fn cached_pages(file: BorrowedFd<'_>, offset: u64, length: u64) -> Option<u64> {
    const CACHESTAT: libc::c_long = 451; // the same on every architecture
    let range = [offset, length];
    let mut counts = [0_u64; 5]; // cached, dirty, in writeback, evicted, recently evicted
    // SAFETY: the two arrays have the layout of the kernel's structures and outlive the call.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            counts.as_mut_ptr(),
            0,
        )
    };
    (result == 0).then_some(counts[0])
}

/// Tells the kernel how a range of a file will be used (`POSIX_FADV_…`). It is advice: whether
/// it is taken changes no result, so there is no error to handle.
pub fn advise(file: BorrowedFd<'_>, offset: u64, length: u64, advice: i32) {
    // SAFETY: only numbers are passed.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset as i64, length as i64, advice) };
}
