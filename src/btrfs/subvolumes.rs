//! Which subvolumes there are, by one pass over the tree of tree roots, and what is recorded about
//! each. That is for root; what others may see is `walk`'s business.

use super::abi::{self, BackRef, RootItem};
use super::search::{Search, SearchBuffer, key};
use super::subvolume::{Coverage, Subvolume, Subvolumes, seconds};
use super::{Filesystem, lookup, sizes, walk};
use crate::error::{Doing, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

impl Filesystem {
    /// All subvolumes. Who is not root gets those below the directory that may be entered,
    /// without sizes and levels, and notes that say so.
    ///
    /// # Errors
    /// If the kernel refuses to tell even that.
    pub fn subvolumes(&self) -> Result<Subvolumes> {
        let doing = || format!("cannot list the subvolumes of {}", shown(self.dir()));
        let roots = match read_roots(self.fd()) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                return walk::below(self).doing(doing);
            }
            roots => roots.doing(doing)?,
        };
        let mut found = self.placed(&roots).doing(doing)?;
        sizes::fill_from_quotas(self.fd(), self.fsid()?, &mut found.all);
        Ok(found)
    }

    /// Whether the kernel has still to free subvolumes that were deleted.
    ///
    /// # Errors
    /// If it refuses to tell.
    pub fn is_cleaning(&self) -> io::Result<bool> {
        let from = key(abi::FIRST_FREE, abi::ROOT_ITEM, 0);
        let to = key(abi::LAST_FREE, abi::ROOT_ITEM, u64::MAX);
        let mut buffer = SearchBuffer::new();
        let mut search = Search::new(self.fd(), &mut buffer, abi::ROOT_TREE, from, to);
        while let Some(item) = search.next()? {
            let gone = |root: RootItem| root.refs == 0;
            if item.key.kind == abi::ROOT_ITEM && RootItem::parse(item.data).is_some_and(gone) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Commits what was changed and wakes the kernel's cleaner, which `syncfs` leaves asleep for up to half a
    /// minute (`BTRFS_IOC_SYNC`, fs/btrfs/ioctl.c).
    ///
    /// # Errors
    /// If the kernel cannot commit.
    pub fn commit(&self) -> io::Result<()> {
        sys::ioctl(self.fd(), &abi::SYNC, &mut 0)
    }

    /// Gives every subvolume its path.
    fn placed(&self, roots: &BTreeMap<u64, Root>) -> io::Result<Subvolumes> {
        let mut places = PathLookup::new(self.fd(), roots);
        let here = places.of_directory(super::root_id(self.fd())?, self.file.metadata()?.ino());
        // Nobody may take it for a directory without subvolumes.
        let here = here.ok_or_else(|| places.lost())?;
        let mut all = Vec::with_capacity(roots.len());
        for (&id, root) in roots {
            let Some(path) = places.of_subvolume(id) else {
                continue;
            };
            let below = path.strip_prefix(&here).ok();
            all.push(Subvolume {
                below: below.map(Path::to_owned),
                path,
                ..root.subvolume(id)
            });
        }
        Ok(Subvolumes {
            all,
            coverage: match places.notes.is_empty() {
                true => Coverage::Whole,
                false => Coverage::Part,
            },
            notes: places.notes,
        })
    }
}

/// What the tree of tree roots has about a subvolume.
#[derive(Default)]
struct Root {
    item: RootItem,
    /// The subvolume it is in, the inode of the directory there, and its name.
    home: Option<(u64, u64, Vec<u8>)>,
}

impl Root {
    fn subvolume(&self, id: u64) -> Subvolume {
        let item = &self.item;
        Subvolume {
            id,
            parent_id: self.home.as_ref().map_or(0, |home| home.0),
            generation: item.generation,
            ctransid: item.ctransid,
            otransid: item.otransid,
            stransid: item.stransid,
            rtransid: item.rtransid,
            created: seconds(item.otime),
            uuid: Uuid(item.uuid),
            parent_uuid: Uuid::set(item.parent_uuid),
            received_uuid: Uuid::set(item.received_uuid),
            read_only: item.flags & abi::ROOT_READ_ONLY != 0,
            tree_bytes: item.bytes_used,
            level: item.level,
            ..Subvolume::default()
        }
    }
}

/// One pass over the tree of tree roots. Subvolumes that are being deleted have no references
/// left, or no place.
fn read_roots(file: BorrowedFd) -> io::Result<BTreeMap<u64, Root>> {
    let mut roots: BTreeMap<u64, Root> = BTreeMap::new();
    let from = key(abi::TOP_SUBVOLUME, abi::ROOT_ITEM, 0);
    let to = key(abi::LAST_FREE, abi::ROOT_BACKREF, u64::MAX);
    let mut buffer = SearchBuffer::new();
    let mut search = Search::new(file, &mut buffer, abi::ROOT_TREE, from, to);
    while let Some(item) = search.next()? {
        let id = item.key.objectid;
        if id != abi::TOP_SUBVOLUME && id < abi::FIRST_FREE {
            continue;
        }
        match item.key.kind {
            abi::ROOT_ITEM => {
                if let Some(parsed) = RootItem::parse(item.data) {
                    roots.entry(id).or_default().item = parsed;
                }
            }
            abi::ROOT_BACKREF => {
                if let Some(back) = BackRef::parse(item.data) {
                    let home = (item.key.offset, back.dir, back.name.to_owned());
                    roots.entry(id).or_default().home = Some(home);
                }
            }
            _ => {}
        }
    }
    roots.retain(|&id, root| {
        root.item.refs > 0 && (root.home.is_some() || id == abi::TOP_SUBVOLUME)
    });
    Ok(roots)
}

/// Paths from the top of the filesystem, each looked up once.
struct PathLookup<'a> {
    file: BorrowedFd<'a>,
    roots: &'a BTreeMap<u64, Root>,
    subvolumes: HashMap<u64, Option<PathBuf>>,
    directories: HashMap<(u64, u64), Option<PathBuf>>,
    notes: Vec<String>,
}

impl<'a> PathLookup<'a> {
    fn new(file: BorrowedFd<'a>, roots: &'a BTreeMap<u64, Root>) -> Self {
        PathLookup {
            file,
            roots,
            subvolumes: HashMap::from([(abi::TOP_SUBVOLUME, Some(PathBuf::new()))]),
            directories: HashMap::new(),
            notes: Vec::new(),
        }
    }

    /// Why the directory that was asked about has no path.
    fn lost(&self) -> io::Error {
        match self.notes.last() {
            Some(note) => io::Error::other(note.clone()),
            None => io::ErrorKind::NotFound.into(),
        }
    }

    /// `None` if it went away meanwhile, or its path cannot be had.
    fn of_subvolume(&mut self, id: u64) -> Option<PathBuf> {
        if let Some(known) = self.subvolumes.get(&id) {
            return known.clone();
        }
        // Damaged metadata could have a subvolume within itself.
        self.subvolumes.insert(id, None);
        let roots = self.roots;
        let home = roots.get(&id).and_then(|root| root.home.as_ref());
        let (parent, dir, name) = home?;
        let dir = self.of_directory(*parent, *dir);
        let path = dir.map(|dir| dir.join(OsStr::from_bytes(name)));
        self.subvolumes.insert(id, path.clone());
        path
    }

    /// The path of the directory with an inode in a subvolume.
    fn of_directory(&mut self, tree: u64, inode: u64) -> Option<PathBuf> {
        let top = self.of_subvolume(tree)?;
        if inode == abi::FIRST_FREE {
            return Some(top);
        }
        if !self.directories.contains_key(&(tree, inode)) {
            let found = self.look_up(tree, inode);
            self.directories.insert((tree, inode), found);
        }
        let inside = self.directories.get(&(tree, inode))?.as_ref();
        inside.map(|inside| top.join(inside))
    }

    /// One directory whose path the kernel cannot tell, since it is too long or the disk no longer gives it,
    /// keeps nobody from what is elsewhere.
    fn look_up(&mut self, tree: u64, inode: u64) -> Option<PathBuf> {
        let error = match lookup(self.file, tree, inode) {
            Ok((_, path)) => return Some(path),
            Err(error) => error,
        };
        let why = match error.raw_os_error() {
            // Removed since we read the roots.
            Some(libc::ENOENT) => return None,
            Some(libc::ENAMETOOLONG) => "whose path is longer than the kernel can tell".to_owned(),
            _ => format!("whose path cannot be read: {error}"),
        };
        self.notes.push(format!(
            "not listed: subvolumes in one directory of subvolume {tree}, {why}"
        ));
        None
    }
}

/// The numbers of the subvolumes of a filesystem whose received UUID is this one: the kernel keeps an index of
/// that, so that nobody needs to look at all there are.
///
/// # Errors
/// What the kernel says: EPERM to who is not root, ENOENT where there is no index.
pub fn received_from(filesystem: BorrowedFd, uuid: Uuid) -> io::Result<Vec<u64>> {
    let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let key = key(half(&uuid.0[..8]), abi::UUID_RECEIVED, half(&uuid.0[8..]));
    let mut buffer = SearchBuffer::new();
    let mut search = Search::new(filesystem, &mut buffer, abi::UUID_TREE, key, key);
    let found = search.next()?.map(|item| item.data.chunks_exact(8));
    Ok(found.map_or_else(Vec::new, |numbers| numbers.map(half).collect()))
}
