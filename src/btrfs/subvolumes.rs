//! Which subvolumes there are, by one pass over the tree of tree roots, and what is recorded about
//! each. That is for root; what others may see is `walk`'s business.

use super::abi::{self, BackRef, RootItem};
use super::search::{ItemKey, Search, SearchBuffer, key};
use super::subvolume::{Coverage, Subvolume, Subvolumes, UnreadSubvolume, seconds};
use super::{Filesystem, lookup, sizes, walk};
use crate::error::{Doing, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Directories above another one that are looked at: as many as nobody has.
const MOST_ABOVE: usize = 1 << 16;

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
    fn placed(&self, roots: &Roots) -> io::Result<Subvolumes> {
        let mut places = PathLookup::new(self.fd(), &roots.of);
        let dir = (super::root_id(self.fd())?, self.file.metadata()?.ino());
        // Nobody may take it for a directory without subvolumes.
        let Some(here) = places.of_directory(dir.0, dir.1) else {
            let why = places.lost.remove(&dir).map(io::Error::other);
            return Err(why.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
        };
        let (mut all, mut unread) = (Vec::with_capacity(roots.of.len()), Vec::new());
        for (&id, root) in &roots.of {
            let path = places.of_subvolume(id);
            if roots.malformed.contains(&id) {
                unread.push(UnreadSubvolume::malformed(id, path.as_deref(), &here));
                continue;
            }
            let Some(path) = path else {
                unread.extend(places.why_lost(id).map(|why| UnreadSubvolume {
                    malformed: false,
                    below: places.may_be_below(id, dir).then(PathBuf::new),
                    why: format!("the path of subvolume {id} {why}"),
                }));
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
            coverage: Coverage::Whole,
            notes: Vec::new(),
            unread,
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

/// What the tree of tree roots has, by the numbers of subvolumes.
#[derive(Default)]
struct Roots {
    of: BTreeMap<u64, Root>,
    /// Those of which a record is there that nobody can read.
    malformed: BTreeSet<u64>,
}

impl Roots {
    fn take(&mut self, key: ItemKey, data: &[u8]) {
        let id = key.objectid;
        let read = match key.kind {
            abi::ROOT_ITEM => RootItem::parse(data).map(|item| self.root(id).item = item),
            abi::ROOT_BACKREF => BackRef::parse(data).map(|back| {
                self.root(id).home = Some((key.offset, back.dir, back.name.to_owned()));
            }),
            _ => return,
        };
        if read.is_none() {
            self.root(id);
            self.malformed.insert(id);
        }
    }

    fn root(&mut self, id: u64) -> &mut Root {
        self.of.entry(id).or_default()
    }

    /// Subvolumes that are being deleted have no references left, or no place.
    fn without_deleted(mut self) -> Roots {
        self.of.retain(|id, root| {
            let placed = root.home.is_some() || *id == abi::TOP_SUBVOLUME;
            root.item.refs > 0 && placed || self.malformed.contains(id)
        });
        self
    }
}

/// One pass over the tree of tree roots.
fn read_roots(file: BorrowedFd) -> io::Result<Roots> {
    let mut roots = Roots::default();
    let from = key(abi::TOP_SUBVOLUME, abi::ROOT_ITEM, 0);
    let to = key(abi::LAST_FREE, abi::ROOT_BACKREF, u64::MAX);
    let mut buffer = SearchBuffer::new();
    let mut search = Search::new(file, &mut buffer, abi::ROOT_TREE, from, to);
    while let Some(item) = search.next()? {
        let id = item.key.objectid;
        if id == abi::TOP_SUBVOLUME || id >= abi::FIRST_FREE {
            roots.take(item.key, item.data);
        }
    }
    Ok(roots.without_deleted())
}

/// Paths from the top of the filesystem, each looked up once.
struct PathLookup<'a> {
    file: BorrowedFd<'a>,
    roots: &'a BTreeMap<u64, Root>,
    subvolumes: HashMap<u64, Option<PathBuf>>,
    directories: HashMap<(u64, u64), Option<PathBuf>>,
    /// Why the path of a directory cannot be had, though it is there.
    lost: HashMap<(u64, u64), String>,
}

impl<'a> PathLookup<'a> {
    fn new(file: BorrowedFd<'a>, roots: &'a BTreeMap<u64, Root>) -> Self {
        PathLookup {
            file,
            roots,
            subvolumes: HashMap::from([(abi::TOP_SUBVOLUME, Some(PathBuf::new()))]),
            directories: HashMap::new(),
            lost: HashMap::new(),
        }
    }

    /// Why a subvolume has no path; `None` if it is gone.
    fn why_lost(&self, id: u64) -> Option<String> {
        let mut homes = self.homes(id);
        homes.find_map(|home| self.lost.get(&home).cloned())
    }

    /// The directory that a subvolume is in, that which the subvolume of this one is in, and so on.
    fn homes(&self, id: u64) -> impl Iterator<Item = (u64, u64)> {
        let home = |tree: u64| {
            let (tree, dir, _) = self.roots.get(&tree)?.home.as_ref()?;
            Some((*tree, *dir))
        };
        // Damaged metadata could have a subvolume within itself.
        std::iter::successors(home(id), move |(tree, _)| home(*tree)).take(self.roots.len())
    }

    /// Whether a subvolume whose path is lost is below a directory, or nobody can tell: by the names that the
    /// directories above it have, which are no longer than others.
    fn may_be_below(&self, id: u64, dir: (u64, u64)) -> bool {
        let mut homes = self.homes(id);
        homes.any(|(tree, mut inode)| {
            for _ in 0..MOST_ABOVE {
                if (tree, inode) == dir {
                    return true;
                }
                if inode == abi::FIRST_FREE {
                    return false;
                }
                match above(self.file, tree, inode) {
                    Ok(Some(above)) => inode = above,
                    _ => return true,
                }
            }
            true
        })
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
            Some(libc::ENAMETOOLONG) => "is longer than the kernel can tell".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        self.lost.insert((tree, inode), why);
        None
    }
}

/// The directory that a directory is in, by inodes of a tree.
fn above(file: BorrowedFd, tree: u64, inode: u64) -> io::Result<Option<u64>> {
    let (from, to) = (
        key(inode, abi::INODE_REF, 0),
        key(inode, abi::INODE_REF, u64::MAX),
    );
    let mut buffer = SearchBuffer::new();
    let mut search = Search::new(file, &mut buffer, tree, from, to);
    Ok(search.next()?.map(|item| item.key.offset))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that checks its leaves hands out none of these.
    #[test]
    fn a_malformed_record_is_not_no_subvolume() {
        let mut roots = Roots::default();
        let mut item = [0; 439];
        item[216] = 1; // references
        let mut back = [0; 24];
        back[16] = 6;
        back[18..].copy_from_slice(b"winter");
        let mut deleted = item;
        deleted[216] = 0;
        roots.take(key(256, abi::ROOT_ITEM, 0), &item);
        roots.take(key(256, abi::ROOT_BACKREF, 5), &back);
        roots.take(key(257, abi::ROOT_ITEM, 0), &item[..200]);
        roots.take(key(257, abi::ROOT_BACKREF, 5), &back);
        roots.take(key(258, abi::ROOT_ITEM, 0), &item);
        roots.take(key(258, abi::ROOT_BACKREF, 5), &back[..20]);
        roots.take(key(259, abi::ROOT_ITEM, 0), &deleted);
        let roots = roots.without_deleted();
        assert_eq!(
            roots.of.keys().copied().collect::<Vec<_>>(),
            [256, 257, 258]
        );
        assert_eq!(roots.malformed, BTreeSet::from([257, 258]));
        let at = |path: Option<&str>, here: &str| {
            UnreadSubvolume::malformed(257, path.map(Path::new), Path::new(here))
        };
        let found = at(Some("a/s/winter"), "a/s");
        assert_eq!(found.below.as_deref(), Some(Path::new("winter")));
        assert!(found.why.contains("subvolume 257"), "{}", found.why);
        assert_eq!(at(Some("a/s/winter"), "b").below, None);
        assert_eq!(at(None, "b").below.as_deref(), Some(Path::new("")));
    }
}
