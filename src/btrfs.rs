//! btrfs at the kernel's boundary, typed and safe: filesystems, subvolumes, what changes them.
//! Knows nothing of stores, streams' content, or what is worth keeping.

mod abi;
mod at;
mod change;
mod content;
mod find_new;
mod mounts;
mod read_ahead;
mod search;
mod sizes;
mod stream_bounds;
mod subvolume;
mod subvolumes;
mod walk;

pub use abi::STAND_IN;
pub use at::{
    create_snapshot_at, create_subvolume_at, delete_subvolume_at, make_read_only, set_received_of,
};
pub use change::{
    create_snapshot, create_subvolume, delete_subvolume, is_read_only, send_metadata, send_stream,
    set_read_only, set_received,
};
pub use content::{
    COMPRESSED_FLAGS, INHERITED_FLAGS, clone_range, has_extent_from, inode_flags, set_inode_flags,
    write_encoded,
};
pub use find_new::{WrittenBytes, changed_since, touched_since, written};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use mounts::fuzz as fuzz_mounts;
pub use mounts::{Mount, Mounted, mount_point, mount_root, mounted, mounts_without, swap_files};
pub use read_ahead::{SendPosition, SendScope, read_ahead};
pub use sizes::{Usage, UsageByExtents};
pub use stream_bounds::less_than_whole;
pub use subvolume::{Coverage, Subvolume, Subvolumes, UnreadSubvolume, subvolume, subvolume_of};
pub use subvolumes::received_from;

use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use crate::sys::secure_open::Unopened;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory on btrfs, held open, and the filesystem that it is on.
#[derive(Debug)]
pub struct Filesystem {
    dir: PathBuf,
    file: File,
}

/// What a filesystem says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The UUID that `blkid` and `btrfs filesystem show` give.
    pub fsid: Uuid,
    /// The UUID in the metadata, if `btrfstune -m` made it differ from the other.
    pub metadata_uuid: Option<Uuid>,
    /// Bytes of one node of its trees.
    pub nodesize: u32,
    /// The last transaction; `None` from a kernel that does not tell.
    pub generation: Option<u64>,
    /// The devices it is made of.
    pub devices: Vec<Device>,
    /// Bytes of all devices.
    pub total: u64,
    /// Bytes of data and metadata, one copy of each; `None` where sysfs does not tell.
    pub used: Option<u64>,
    /// Bytes that a program may still write.
    pub free: u64,
}

/// One device of a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number in the filesystem.
    pub id: u64,
    /// Its path as the kernel knows it; empty if it is missing.
    pub path: PathBuf,
    /// Bytes that it has.
    pub total: u64,
    /// Bytes allocated on it.
    pub used: u64,
}

impl Filesystem {
    /// Opens a directory on btrfs.
    ///
    /// # Errors
    /// If it is missing, is not a directory, is not on btrfs, or may not be read.
    pub fn open(dir: &Path) -> Result<Filesystem> {
        let file = open_dir(dir)?;
        Ok(Filesystem {
            dir: dir.to_owned(),
            file,
        })
    }

    /// The directory, as it was given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The open directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// UUID, devices and sizes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn info(&self) -> Result<Info> {
        let read = || format!("cannot read about the filesystem of {}", shown(&self.dir));
        let fs: abi::FsInfo = self.fs_info().doing(read)?;
        let fsid = Uuid(fs.fsid);
        let devices = self.devices(fs.max_id).doing(read)?;
        let differs = fs.flags & abi::FS_INFO_METADATA_UUID != 0 && fs.metadata_uuid != fs.fsid;
        Ok(Info {
            fsid,
            metadata_uuid: differs.then_some(Uuid(fs.metadata_uuid)),
            nodesize: fs.nodesize,
            generation: generation(&fs),
            total: devices.iter().map(|device| device.total).sum(),
            devices,
            used: used_bytes(fsid),
            free: sys::free_bytes(self.fd()).doing(read)?,
        })
    }

    /// The UUID of the filesystem.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn fsid(&self) -> Result<Uuid> {
        let fs = self.fs_info();
        fs.map(|fs| Uuid(fs.fsid))
            .doing(|| format!("cannot read about the filesystem of {}", shown(&self.dir)))
    }

    /// The transaction that is under way; `None` before Linux 5.10.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn generation(&self) -> Result<Option<u64>> {
        let fs = self.fs_info();
        fs.map(|fs| generation(&fs))
            .doing(|| format!("cannot read about the filesystem of {}", shown(&self.dir)))
    }

    fn fs_info(&self) -> io::Result<abi::FsInfo> {
        let mut fs = abi::FsInfo {
            flags: abi::FS_INFO_METADATA_UUID | abi::FS_INFO_GENERATION,
            ..abi::zeroed()
        };
        sys::ioctl(self.fd(), &abi::FS_INFO, &mut fs)?;
        Ok(fs)
    }

    fn devices(&self, max_id: u64) -> io::Result<Vec<Device>> {
        let mut devices = Vec::new();
        for id in 0..=max_id {
            let mut device = abi::DevInfo {
                id,
                ..abi::zeroed()
            };
            match sys::ioctl(self.fd(), &abi::DEV_INFO, &mut device) {
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                answer => answer?,
            }
            devices.push(Device {
                id: device.id,
                path: OsStr::from_bytes(abi::text(&device.path)).into(),
                total: device.total,
                used: device.used,
            });
        }
        Ok(devices)
    }
}

/// The newest protocol of send streams that this kernel speaks.
pub fn highest_send_protocol() -> u32 {
    let version = std::fs::read_to_string("/sys/fs/btrfs/features/send_stream_version");
    version
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1)
}

/// The number of the subvolume that an open file is in.
///
/// # Errors
/// If the file is not on btrfs.
pub fn root_id(file: BorrowedFd) -> io::Result<u64> {
    lookup(file, 0, abi::FIRST_FREE).map(|(tree, _)| tree)
}

/// The subvolume (0 for that of the file), and the path in it of the directory with this inode:
/// empty for its top, else without a slash at the end.
fn lookup(file: BorrowedFd, tree: u64, directory: u64) -> io::Result<(u64, PathBuf)> {
    let mut args = abi::InoLookup {
        tree,
        objectid: directory,
        ..abi::zeroed()
    };
    sys::ioctl(file, &abi::INO_LOOKUP, &mut args)?;
    Ok((args.tree, as_path(abi::text(&args.name))))
}

/// The kernel's path of a directory, which may end in a slash.
fn as_path(text: &[u8]) -> PathBuf {
    OsStr::from_bytes(text.strip_suffix(b"/").unwrap_or(text)).into()
}

/// Whether a directory is on btrfs.
///
/// # Errors
/// If it is not there, or may not be read.
pub fn is_on(dir: &Path) -> Result<bool> {
    let open = || format!("cannot open {}", shown(dir));
    let file = File::open(dir).doing(open)?;
    Ok(sys::filesystem_type(file.as_fd()).doing(open)? == abi::SUPER_MAGIC)
}

/// Opens a directory that must be on btrfs.
fn open_dir(dir: &Path) -> Result<File> {
    checked_dir(Unopened::anywhere(dir), dir)
}

/// Opens a directory on btrfs to change what is in it: no link of others may lead there.
fn open_dir_to_change(dir: &Path) -> Result<File> {
    checked_dir(Unopened::at(dir), dir)
}

fn checked_dir(found: io::Result<Unopened>, dir: &Path) -> Result<File> {
    let open = || format!("cannot open {}", shown(dir));
    let file = match found.and_then(|found| found.open_directory()) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::failed(shown(dir), "is not a directory"));
        }
        file => file.doing(open)?,
    };
    if sys::filesystem_type(file.as_fd()).doing(open)? != abi::SUPER_MAGIC {
        let kind = mounts::of_file(file.as_fd()).map(|mount| mount.kind);
        let kind = kind.map_or(String::new(), |kind| format!(" (it is {})", shown(kind)));
        return Err(Error::failed(shown(dir), format!("is not on btrfs{kind}")));
    }
    not_a_stand_in(&file, dir)?;
    Ok(file)
}

/// Fails for the empty directory that a snapshot has where a subvolume was in its original: it
/// is on no filesystem that one could ask.
fn not_a_stand_in(file: &File, dir: &Path) -> Result<()> {
    let metadata = file
        .metadata()
        .doing(|| format!("cannot read {}", shown(dir)))?;
    if metadata.ino() != abi::STAND_IN {
        return Ok(());
    }
    let said = "is only the empty directory that a snapshot has in place of a subvolume";
    Err(Error::failed(shown(dir), said))
}

/// Whether an open directory is the top of a subvolume.
fn is_subvolume(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.ino() == abi::FIRST_FREE)
}

/// The kernel answers only to who asks, and only from Linux 5.10 on.
fn generation(fs: &abi::FsInfo) -> Option<u64> {
    (fs.flags & abi::FS_INFO_GENERATION != 0).then_some(fs.generation)
}

/// Data and metadata in use, as sysfs adds them up.
fn used_bytes(fsid: Uuid) -> Option<u64> {
    let dir = sysfs(fsid).join("allocation");
    let kinds = ["data", "metadata", "system", "mixed"].map(|kind| dir.join(kind));
    let kinds = kinds.iter().filter(|kind| kind.is_dir());
    let used: Option<Vec<u64>> = kinds.map(|kind| number(&kind.join("bytes_used"))).collect();
    used.filter(|used| !used.is_empty())
        .map(|used| used.iter().sum())
}

/// Where the kernel tells about a filesystem.
fn sysfs(fsid: Uuid) -> PathBuf {
    Path::new("/sys/fs/btrfs").join(fsid.to_string())
}

/// The number in a file of sysfs.
fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
