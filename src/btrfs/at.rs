//! Subvolumes made, changed and deleted by open directories, whatever is at their paths by now. One
//! request each; what a refusal means is for whoever asked.

use super::abi::{self, zeroed};
use crate::snapshot::Uuid;
use crate::sys;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// Makes an empty subvolume in an open directory.
///
/// # Errors
/// What the kernel says.
pub fn create_subvolume_at(dir: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let name = field(name)?;
    sys::ioctl(dir, &abi::SUBVOL_CREATE, &mut abi::VolArgs { fd: 0, name })
}

/// Makes a read-write snapshot of an open subvolume in an open directory.
///
/// # Errors
/// What the kernel says: EXDEV between filesystems, ETXTBSY if a swap file in it is in use.
pub fn create_snapshot_at(source: BorrowedFd, dir: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let mut args = abi::VolArgs2 {
        fd: source.as_raw_fd().into(),
        name: field(name)?,
        ..zeroed()
    };
    sys::ioctl(dir, &abi::SNAP_CREATE_V2, &mut args)
}

/// Deletes a subvolume in an open directory.
///
/// # Errors
/// What the kernel says.
pub fn delete_subvolume_at(dir: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let name = field(name)?;
    sys::ioctl(dir, &abi::SNAP_DESTROY, &mut abi::VolArgs { fd: 0, name })
}

/// Records what an open subvolume, which is read-write still, was received from.
///
/// # Errors
/// What the kernel says.
pub fn set_received_of(subvolume: BorrowedFd, uuid: Uuid, stransid: u64) -> io::Result<()> {
    let mut args = abi::Received {
        uuid: uuid.0,
        stransid,
        ..zeroed()
    };
    sys::ioctl(subvolume, &abi::SET_RECEIVED_SUBVOL, &mut args)
}

/// Makes an open subvolume read-only.
///
/// # Errors
/// What the kernel says.
pub fn make_read_only(subvolume: BorrowedFd) -> io::Result<()> {
    let mut flags = 0;
    sys::ioctl(subvolume, &abi::SUBVOL_GETFLAGS, &mut flags)?;
    flags |= abi::SUBVOLUME_READ_ONLY;
    sys::ioctl(subvolume, &abi::SUBVOL_SETFLAGS, &mut flags)
}

fn field<const N: usize>(name: &OsStr) -> io::Result<[u8; N]> {
    abi::named(name.as_bytes()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
