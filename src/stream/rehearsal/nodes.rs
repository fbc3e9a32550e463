//! The nodes of a rehearsal: what is known of one file or directory, and how commands change it.
//! Knows no names and no tree.

use crate::stream::tree::{DIRECTORY, REGULAR, SYMLINK, TYPE, TreeEntry};
use crate::sys::dir::Time;
use std::collections::BTreeMap;

pub(in crate::stream) const CAPABILITY: &[u8] = b"security.capability";
pub(in crate::stream) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;
const PERMISSIONS: u32 = 0o7777;

/// Whether what is made in a directory with this attribute gets it, or what follows from it.
pub(in crate::stream) fn is_inherited(xattr: &[u8]) -> bool {
    xattr == DEFAULT_ACL || xattr.starts_with(b"btrfs.")
}

/// What is known of the time of the last change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::stream) enum Mtime {
    /// That of the receipt.
    #[default]
    Moved,
    /// The parent's, or what the stream says.
    Set(Time),
}

/// One file or directory.
#[derive(Default)]
pub(in crate::stream) struct Inode {
    /// Its path in the parent, if the parent has it.
    pub(in crate::stream) base: Option<Vec<u8>>,
    pub(in crate::stream) ino: u64,
    pub(in crate::stream) mode: u32,
    /// Whether the permissions are known: what was made gets them later.
    permitted: bool,
    pub(in crate::stream) uid: u32,
    pub(in crate::stream) gid: u32,
    pub(in crate::stream) size: u64,
    pub(in crate::stream) rdev: u64,
    pub(in crate::stream) links: u64,
    pub(in crate::stream) mtime: Mtime,
    /// `None` as long as nobody asked.
    pub(in crate::stream) xattrs: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(in crate::stream) touched_xattrs: bool,
    pub(in crate::stream) lost_capability: bool,
    /// A directory and a name in it: the only one of a directory, the last one of a file.
    pub(in crate::stream) home: Option<(u32, Box<[u8]>)>,
    pub(in crate::stream) tail: Tail,
    /// Whether the stream changed anything of it but the names in it.
    pub(in crate::stream) touched: bool,
}

impl Inode {
    /// What the stream has just made.
    pub(in crate::stream) fn made(kind: u32, ino: u64) -> Inode {
        Inode {
            ino,
            mode: kind,
            touched: true,
            ..Inode::default()
        }
    }

    /// What the parent has.
    pub(in crate::stream) fn of(entry: &TreeEntry, base: Vec<u8>) -> Inode {
        Inode {
            base: Some(base),
            tail: Tail::of(entry),
            ..Inode::finished(entry)
        }
    }

    /// What is as it will be.
    pub(in crate::stream) fn finished(entry: &TreeEntry) -> Inode {
        Inode {
            ino: entry.ino,
            mode: entry.mode,
            permitted: true,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            rdev: entry.rdev,
            links: entry.links,
            mtime: Mtime::Set(entry.mtime),
            ..Inode::default()
        }
    }

    pub(in crate::stream) fn entry(&self) -> TreeEntry {
        TreeEntry {
            ino: self.ino,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            links: self.links,
            size: self.size,
            rdev: self.rdev,
            mtime: match self.mtime {
                Mtime::Set(time) => time,
                Mtime::Moved => (0, 0),
            },
            block: 4096,
            ..TreeEntry::default()
        }
    }

    pub(in crate::stream) fn permit(&mut self, mode: u32) {
        self.mode = self.mode & TYPE | mode & PERMISSIONS;
        self.permitted = true;
    }

    /// The permissions, if they are known.
    pub(in crate::stream) fn permissions(&self) -> Option<u32> {
        self.permitted.then_some(self.mode & PERMISSIONS)
    }

    /// A new owner takes set-user-ID away, and set-group-ID if the group may execute.
    pub(in crate::stream) fn lose_bits(&mut self) {
        if self.mode & TYPE != DIRECTORY {
            let group = self.mode & (SET_GROUP | GROUP_EXECUTES) == SET_GROUP | GROUP_EXECUTES;
            self.mode &= !(SET_USER | if group { SET_GROUP } else { 0 });
        }
    }

    /// An attribute was set; an access ACL is the permissions in another form.
    pub(in crate::stream) fn xattr_set(&mut self, name: &[u8], value: &[u8]) {
        self.touched_xattrs = true;
        if name == CAPABILITY {
            self.lost_capability = false;
        }
        if let Some(bits) = acl_mode(value).filter(|_| name == ACCESS_ACL && self.permitted) {
            self.mode = self.mode & !0o777 | bits;
        }
    }

    /// In what it differs from what it should be, but for times and extended attributes.
    pub(in crate::stream) fn differs(&self, should: &TreeEntry) -> Option<&'static str> {
        let kind = self.mode & TYPE;
        let sized = kind == REGULAR || kind == SYMLINK;
        if kind != should.mode & TYPE {
            Some("type")
        } else if kind != SYMLINK && self.permissions() != Some(should.mode & PERMISSIONS) {
            Some("permissions")
        } else if (self.uid, self.gid) != (should.uid, should.gid) {
            Some("owner")
        } else if sized && self.size != should.size {
            Some("size")
        } else if kind != DIRECTORY && self.links != should.links {
            Some("number of names")
        } else if matches!(kind, 0o020_000 | 0o060_000) && self.rdev != should.rdev {
            Some("device")
        } else {
            None
        }
    }
}

/// The permissions that an access ACL stands for: owner, mask or group, others. Its form is the
/// kernel's `posix_acl_xattr.h`: a version of four bytes, then entries of tag, bits and number.
fn acl_mode(value: &[u8]) -> Option<u32> {
    const OWNER: u16 = 1;
    const GROUP: u16 = 4;
    const MASK: u16 = 16;
    const OTHERS: u16 = 32;
    let mut found = BTreeMap::new();
    for entry in value.get(4..)?.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        found.insert(tag, u32::from(u16::from_le_bytes([entry[2], entry[3]])) & 7);
    }
    let group = found.get(&MASK).or(found.get(&GROUP))?;
    Some(found.get(&OWNER)? << 6 | group << 3 | found.get(&OTHERS)?)
}

/// The end that a file has in the parent, and how far behind it the stream writes without a gap.
#[derive(Clone, Copy, Default)]
pub(in crate::stream) struct Tail {
    /// The size in the parent, or less if the file was cut.
    pub(in crate::stream) from: u64,
    pub(in crate::stream) covered: u64,
    /// Bytes of a block; 0 for what has no such end.
    pub(in crate::stream) block: u64,
}

impl Tail {
    fn of(entry: &TreeEntry) -> Tail {
        let block = match entry.mode & TYPE {
            REGULAR => entry.block,
            _ => 0,
        };
        Tail {
            from: entry.size,
            covered: entry.size,
            block,
        }
    }

    pub(in crate::stream) fn written(&mut self, from: u64, to: u64) {
        if from <= self.covered {
            self.covered = self.covered.max(to);
        }
    }

    pub(in crate::stream) fn cut(&mut self, size: u64) {
        if size < self.from {
            self.from = size;
        }
        self.covered = self.covered.min(size.max(self.from));
    }

    /// The range that the kernel does not send, in a file of this size; `None` if there is none.
    pub(in crate::stream) fn lost(&self, size: u64) -> Option<(u64, u64)> {
        if self.block == 0 || self.from >= size || self.from.is_multiple_of(self.block) {
            return None;
        }
        let end = self.from.next_multiple_of(self.block).min(size);
        (self.covered < end).then_some((self.from, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_not_lost() {
        let entry = TreeEntry {
            mode: REGULAR,
            size: 3888,
            block: 4096,
            ..TreeEntry::default()
        };
        let tail = Tail::of(&entry);
        assert_eq!(tail.lost(900_000), Some((3888, 4096)));
        assert_eq!(tail.lost(3900), Some((3888, 3900)));
        assert_eq!(tail.lost(3888), None);
        let mut after = tail;
        after.written(4096, 900_000);
        assert_eq!(after.lost(900_000), Some((3888, 4096)));
        after.written(0, 4096);
        assert_eq!(after.lost(900_000), None);
    }

    #[test]
    fn a_new_owner_takes_bits() {
        let after = |mode| {
            let mut node = Inode::made(mode & TYPE, 7);
            node.permit(mode);
            node.lose_bits();
            node.mode
        };
        assert_eq!(after(REGULAR | 0o6755), REGULAR | 0o755);
        assert_eq!(after(REGULAR | 0o2644), REGULAR | 0o2644);
        assert_eq!(after(DIRECTORY | 0o6755), DIRECTORY | 0o6755);
    }

    #[test]
    fn an_access_acl_is_a_mode() {
        let entry = |tag: u16, bits: u16| {
            let id = u32::MAX;
            [
                &tag.to_le_bytes()[..],
                &bits.to_le_bytes(),
                &id.to_le_bytes(),
            ]
            .concat()
        };
        let acl = [
            2u32.to_le_bytes().to_vec(),
            entry(1, 6),
            entry(2, 7),
            entry(4, 0),
            entry(16, 7),
            entry(32, 4),
        ]
        .concat();
        assert_eq!(acl_mode(&acl), Some(0o674));
        assert_eq!(acl_mode(b"x"), None);
    }
}
