//! What of a file lies in memory, shall lie there soon, or need not any longer. All of it is advice to the
//! kernel: content never changes.

use super::dir::checked;
use super::{Plain, kernel_struct};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

/// The number of `cachestat`, the same on all machines.
const CACHESTAT: libc::c_long = 451;

/// Opens a file for reading by its handle, as `name_to_handle_at` gives them, on the filesystem of `mount`.
/// Reading it leaves no time of access.
///
/// # Errors
/// Those of `open_by_handle_at`: EPERM for who may not read everything, ESTALE if there is no such file.
pub fn open_by_handle<const WORDS: usize>(
    mount: BorrowedFd,
    kind: i32,
    handle: [u32; WORDS],
) -> io::Result<File> {
    /// `struct file_handle`, whose last field is as long as it says.
    #[repr(C)]
    struct Handle<const WORDS: usize> {
        bytes: u32,
        kind: i32,
        handle: [u32; WORDS],
    }
    let bytes = size_of_val(&handle) as u32;
    let handle = Handle {
        bytes,
        kind,
        handle,
    };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOATIME | libc::O_NONBLOCK;
    let mount = mount.as_raw_fd();
    // Sound: the structure is as long as it says and outlives the call; a success is a new descriptor that
    // nobody else owns.
    unsafe {
        let answer = libc::syscall(libc::SYS_open_by_handle_at, mount, &raw const handle, flags);
        Ok(File::from_raw_fd(checked(answer)? as i32))
    }
}

kernel_struct! {
    /// `struct cachestat_range`
    Range = 16 { offset: u64, length: u64 }
}

kernel_struct! {
    /// `struct cachestat`: pages in memory, and how many of them are what.
    Pages = 40 { there: u64, dirty: u64, written: u64, gone: u64, gone_of_late: u64 }
}

/// Whether any of these bytes of a file lie in memory, or are being read; 0 is all from there on. Before Linux 6.5
/// the kernel cannot tell, and the answer is no.
pub fn is_in_memory(file: BorrowedFd, offset: u64, length: u64) -> bool {
    let range = Range { offset, length };
    let mut pages: Pages = Plain::zeroed();
    let (file, none) = (file.as_raw_fd(), 0);
    // Sound: both structures have the kernel's form and outlive the call.
    let answer = unsafe { libc::syscall(CACHESTAT, file, &raw const range, &raw mut pages, none) };
    answer == 0 && pages.there > 0
}

/// Asks for these bytes to be read into memory, and does not wait for them.
pub fn read_ahead(file: BorrowedFd, offset: u64, length: u64) {
    advise(file, offset, length, libc::POSIX_FADV_WILLNEED);
}

/// These bytes need not lie in memory any longer.
pub fn forget(file: BorrowedFd, offset: u64, length: u64) {
    advise(file, offset, length, libc::POSIX_FADV_DONTNEED);
}

/// Advice that cannot be taken changes nothing.
fn advise(file: BorrowedFd, offset: u64, length: u64, advice: libc::c_int) {
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // Sound: a plain system call.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, length, advice) };
}
