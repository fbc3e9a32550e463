//! What new entries get from their directory without being asked: a group, access lists, properties
//! of btrfs and its flags. A stream says all that an entry has, so all of that goes again.

use crate::btrfs::{INHERITED_FLAGS, inode_flags, set_inode_flags};
use crate::sys::at::{Thing, open_within};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Whether an extended attribute comes from, or goes to, what is made in a directory.
pub(super) fn is_inherited(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_") || name.starts_with(b"btrfs.")
}

/// Whether what is made in this directory gets nothing from it.
pub(super) fn is_plain(dir: BorrowedFd) -> io::Result<bool> {
    let thing = Thing::Open(dir);
    let plain = thing.mode()? & libc::S_ISGID == 0
        && inode_flags(dir)? & INHERITED_FLAGS == 0
        && !thing.xattr_names()?.iter().any(|name| is_inherited(name));
    Ok(plain)
}

/// Takes what it inherited from what was just made, and leaves it with these permissions, unless it
/// is a symbolic link, which has none.
pub(super) fn strip(
    dir: BorrowedFd,
    name: &[u8],
    mode: Option<u32>,
    flags: bool,
) -> io::Result<()> {
    let thing = Thing::Named(dir, name);
    thing.chown(0, 0)?;
    remove_inherited(&thing)?;
    if flags {
        clear_flags(open_within(dir, name, libc::O_RDONLY | libc::O_NONBLOCK, 0)?.as_fd())?;
    }
    mode.map_or(Ok(()), |mode| thing.chmod(mode))
}

/// Removes every attribute of that kind.
pub(super) fn remove_inherited(thing: &Thing) -> io::Result<()> {
    for name in thing
        .xattr_names()?
        .iter()
        .filter(|name| is_inherited(name))
    {
        // The flag of a compressed file goes with its attribute, and others may go likewise.
        absent_is_well(thing.remove_xattr(name))?;
    }
    Ok(())
}

/// Removes the flags that were inherited.
pub(super) fn clear_flags(file: BorrowedFd) -> io::Result<()> {
    match inode_flags(file)? {
        flags if flags & INHERITED_FLAGS != 0 => set_inode_flags(file, flags & !INHERITED_FLAGS),
        _ => Ok(()),
    }
}

/// An attribute that is to go and is not there is as it should be.
pub(super) fn absent_is_well(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(()),
        other => other,
    }
}
