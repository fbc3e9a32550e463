//! Renames within a directory that replace nothing, or exchange two names.

use super::{checked, text};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Renames within a directory; never replaces anything.
///
/// # Errors
/// `EEXIST` if `to` is there; else what `rename` says.
pub fn rename_noreplace(dir: BorrowedFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    rename_at(dir, from, to, libc::RENAME_NOREPLACE)
}

/// Exchanges two names of a directory, in one step.
///
/// # Errors
/// `ENOENT` if one of them is missing; else what `rename` says.
pub fn rename_exchange(dir: BorrowedFd, one: &OsStr, other: &OsStr) -> io::Result<()> {
    rename_at(dir, one, other, libc::RENAME_EXCHANGE)
}

fn rename_at(dir: BorrowedFd, from: &OsStr, to: &OsStr, flags: u32) -> io::Result<()> {
    let (from, to, dir) = (text(from)?, text(to)?, dir.as_raw_fd());
    let (from, to) = (from.as_ptr(), to.as_ptr());
    // Sound: both names end in a zero byte and outlive the call.
    let answer = unsafe { libc::syscall(libc::SYS_renameat2, dir, from, dir, to, flags) };
    checked(answer as libc::c_int).map(drop)
}
