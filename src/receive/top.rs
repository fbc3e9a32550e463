//! The top of the tree that is being received: until all the rest is there, it is root's alone and
//! hands nothing down, and what is made in it does not count as a change of it.

use super::inherit::{absent_is_well, clear_flags, is_inherited, remove_inherited};
use crate::btrfs::{COMPRESSED_FLAGS, INHERITED_FLAGS, inode_flags, set_inode_flags};
use crate::sys::at::Thing;
use crate::sys::dir::Time;
use crate::sys::dir::{stat_at, times_at, xattrs_at};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

/// Attributes that the top will have in the end.
#[derive(Clone, Default, Debug)]
pub(super) struct Top {
    owner: (u32, u32),
    mode: u32,
    /// Of those that are handed down; `None` is to be removed.
    xattrs: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    flags: u64,
    times: Option<(Time, Time)>,
    /// An access list came after the permissions, and says them anew.
    list_last: bool,
}

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// No directory has more of them.
const MANY: usize = 32;

impl Top {
    /// Of a subvolume that was just made: a stream says all that it has.
    pub(super) fn of_new(dir: BorrowedFd) -> io::Result<Top> {
        guard(dir)?;
        Ok(Top {
            mode: 0o755,
            ..Top::default()
        })
    }

    /// Of a snapshot: as it is.
    pub(super) fn of_snapshot(dir: BorrowedFd) -> io::Result<Top> {
        let stat = stat_at(dir, b"")?;
        let xattrs = xattrs_at(dir, b".")?.into_iter();
        let xattrs = xattrs.filter(|(name, _)| is_inherited(name));
        let top = Top {
            owner: (stat.uid, stat.gid),
            mode: u32::from(stat.mode) & 0o7777,
            xattrs: xattrs.map(|(name, value)| (name, Some(value))).collect(),
            flags: inode_flags(dir)? & INHERITED_FLAGS,
            times: Some(times_at(dir)?),
            list_last: false,
        };
        guard(dir)?;
        Ok(top)
    }

    /// Of a snapshot of a top that is to get these attributes still.
    pub(super) fn handed_on(&self, dir: BorrowedFd) -> io::Result<Top> {
        let times = self.times.map_or_else(|| times_at(dir), Ok)?;
        Ok(Top {
            times: Some(times),
            ..self.clone()
        })
    }

    pub(super) fn chmod(&mut self, mode: u32) {
        (self.mode, self.list_last) = (mode, false);
    }

    pub(super) fn chown(&mut self, user: u32, group: u32) {
        self.owner = (user, group);
    }

    pub(super) fn set_times(&mut self, read: Time, changed: Time) {
        self.times = Some((read, changed));
    }

    /// Notes an attribute that is handed down.
    pub(super) fn set_xattr(&mut self, name: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if self.xattrs.len() >= MANY && !self.xattrs.contains_key(name) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.list_last |= name == ACCESS_LIST && value.is_some();
        self.xattrs.insert(name.to_vec(), value.map(<[u8]>::to_vec));
        Ok(())
    }

    /// Gives the top what it is to have; its times last.
    pub(super) fn settle(&self, dir: BorrowedFd) -> io::Result<()> {
        let thing = Thing::Open(dir);
        thing.chown(self.owner.0, self.owner.1)?;
        if self.list_last {
            thing.chmod(self.mode)?;
        }
        self.settle_xattrs(&thing)?;
        self.settle_flags(dir)?;
        if !self.list_last {
            thing.chmod(self.mode)?;
        }
        let times = self
            .times
            .map(|(read, changed)| thing.set_times(read, changed));
        times.unwrap_or(Ok(()))
    }

    fn settle_xattrs(&self, thing: &Thing) -> io::Result<()> {
        for (name, value) in &self.xattrs {
            match value {
                Some(value) => thing.set_xattr(name, value)?,
                None => absent_is_well(thing.remove_xattr(name))?,
            }
        }
        Ok(())
    }

    fn settle_flags(&self, dir: BorrowedFd) -> io::Result<()> {
        // The property has set its own flags.
        let property = self.xattrs.contains_key(&b"btrfs.compression"[..]);
        let flags = if property {
            self.flags & !COMPRESSED_FLAGS
        } else {
            self.flags
        };
        let now = inode_flags(dir)?;
        match now | flags {
            all if all != now => set_inode_flags(dir, all),
            _ => Ok(()),
        }
    }
}

/// Root's alone, and nothing is inherited from it.
fn guard(dir: BorrowedFd) -> io::Result<()> {
    let thing = Thing::Open(dir);
    thing.chown(0, 0)?;
    remove_inherited(&thing)?;
    clear_flags(dir)?;
    thing.chmod(0o700)
}
