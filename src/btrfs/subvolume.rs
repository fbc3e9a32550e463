//! A subvolume, and what its filesystem records about it. Knows no other than the one it is asked about.

use super::abi::{self, SubvolInfo, zeroed};
use super::change::open_subvolume;
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// A subvolume, and what its filesystem records about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number; 5 is the top of the filesystem.
    pub id: u64,
    /// The number of the subvolume that it is in; 0 for the top.
    pub parent_id: u64,
    /// From the top of the filesystem; empty for the top itself, and from [`subvolume`].
    pub path: PathBuf,
    /// Relative to the directory that the listing was made for, and empty if it is that
    /// directory; `None` if it is not below it.
    pub below: Option<PathBuf>,
    /// The last transaction that changed its tree.
    pub generation: u64,
    /// The last transaction that changed its content.
    pub ctransid: u64,
    /// The transaction that made it.
    pub otransid: u64,
    /// The generation of what it was received from; 0 if it was not received.
    pub stransid: u64,
    /// The transaction that received it; 0 if it was not received.
    pub rtransid: u64,
    /// Seconds since 1970 at which it was made.
    pub created: Option<i64>,
    /// Its own UUID; all zero for the top of a filesystem made before Linux 4.16.
    pub uuid: Uuid,
    /// What it is a snapshot of.
    pub parent_uuid: Option<Uuid>,
    /// What it was received from.
    pub received_uuid: Option<Uuid>,
    /// No writing to it is possible.
    pub read_only: bool,
    /// Bytes of its tree in the metadata; 0 if unknown, and then `level` is too.
    pub tree_bytes: u64,
    /// The height of its tree.
    pub level: u8,
    /// Bytes that it refers to, if quotas are kept and right.
    pub referenced: Option<u64>,
    /// Bytes that only it refers to, likewise.
    pub exclusive: Option<u64>,
}

impl Subvolume {
    /// Whether this and another are snapshots of one subvolume, made here, this one first: then they share what
    /// is older than it.
    pub fn is_older_sibling(&self, other: &Subvolume) -> bool {
        let siblings = self.parent_uuid.is_some() && self.parent_uuid == other.parent_uuid;
        let own = self.received_uuid.is_none() && other.received_uuid.is_none();
        siblings && own && self.otransid < other.otransid
    }
}

/// How many of a filesystem's subvolumes could be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// All of them could be seen.
    #[default]
    Whole,
    /// All below the directory it was opened by; who is not root sees no more.
    Below,
    /// Some below that directory may be missing.
    Part,
}

/// The subvolumes of a filesystem, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subvolumes {
    /// Every subvolume, the top included; without those being deleted.
    pub all: Vec<Subvolume>,
    /// Which ones these are.
    pub coverage: Coverage,
    /// What is missing, and other remarks for a person.
    pub notes: Vec<String>,
    /// Those that are there, and of which nothing could be read.
    pub unread: Vec<UnreadSubvolume>,
}

/// A subvolume whose records in the tree of tree roots make no sense, or whose path nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadSubvolume {
    /// Its records make no sense.
    pub malformed: bool,
    /// Its path below the directory that was asked about; empty if that is unknown, `None` if it is elsewhere.
    pub below: Option<PathBuf>,
    /// What is wrong, in words.
    pub why: String,
}

impl UnreadSubvolume {
    /// By its number and its path from the top of the filesystem, if that is known.
    pub(super) fn malformed(id: u64, path: Option<&Path>, here: &Path) -> UnreadSubvolume {
        UnreadSubvolume {
            malformed: true,
            below: match path {
                None => Some(PathBuf::new()),
                Some(path) => path.strip_prefix(here).ok().map(Path::to_owned),
            },
            why: format!("the filesystem's record of subvolume {id} is malformed"),
        }
    }
}

impl Subvolumes {
    /// Whether these are all that the filesystem has.
    pub fn is_whole(&self) -> bool {
        self.coverage == Coverage::Whole && self.unread.is_empty()
    }

    /// For whoever concludes something of what is not among them.
    ///
    /// # Errors
    /// If there are some of which nothing could be read.
    pub fn all_read(self) -> Result<Vec<Subvolume>> {
        match self.unread.into_iter().find(|unread| unread.malformed) {
            None => Ok(self.all),
            Some(unread) => Err(Error::damaged(
                "cannot tell what subvolumes there are",
                unread.why,
            )),
        }
    }
}

/// What the filesystem records about the subvolume at `path`, read afresh; `path`, `below`,
/// sizes and level are left empty.
///
/// # Errors
/// If it is missing or not a subvolume of btrfs.
pub fn subvolume(path: &Path) -> Result<Subvolume> {
    let file = open_subvolume(path)?;
    subvolume_of(file.as_fd()).doing(|| format!("cannot read about the subvolume {}", shown(path)))
}

/// Likewise for the subvolume that an open file is in.
///
/// # Errors
/// If it is not on btrfs.
pub fn subvolume_of(file: BorrowedFd) -> io::Result<Subvolume> {
    let mut info: SubvolInfo = zeroed();
    sys::ioctl(file, &abi::GET_SUBVOL_INFO, &mut info)?;
    Ok(Subvolume {
        id: info.tree,
        parent_id: info.parent,
        generation: info.generation,
        ctransid: info.ctransid,
        otransid: info.otransid,
        stransid: info.stransid,
        rtransid: info.rtransid,
        created: seconds(info.otime.seconds),
        uuid: Uuid(info.uuid),
        parent_uuid: Uuid::set(info.parent_uuid),
        received_uuid: Uuid::set(info.received_uuid),
        // These are the flags of the root item, not those of SUBVOL_GETFLAGS.
        read_only: info.flags & abi::ROOT_READ_ONLY != 0,
        ..Subvolume::default()
    })
}

/// Zero is "not recorded".
pub(super) fn seconds(time: u64) -> Option<i64> {
    i64::try_from(time).ok().filter(|&time| time != 0)
}
