//! The kernel's structures and request numbers for btrfs, as in `linux/btrfs.h` and
//! `linux/btrfs_tree.h`. Knows sizes and places of fields; asks the kernel nothing.

use crate::sys::{IoctlNumber, Plain, kernel_struct};

/// `f_type` of statfs.
pub(super) const SUPER_MAGIC: u64 = 0x9123_683e;

/// The tree of tree roots.
pub(super) const ROOT_TREE: u64 = 1;
pub(super) const UUID_TREE: u64 = 9;
/// The subvolume at the top of every filesystem.
pub(super) const TOP_SUBVOLUME: u64 = 5;
/// The root directory's inode in every subvolume; also the first number for subvolumes.
pub(super) const FIRST_FREE: u64 = 256;
/// The inode of the empty directory in place of a nested subvolume (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
pub const STAND_IN: u64 = 2;
/// The last number for subvolumes and files.
pub(super) const LAST_FREE: u64 = -256_i64 as u64;

/// Key types of the items that we read.
pub(super) const INODE_ITEM: u32 = 1;
pub(super) const INODE_REF: u32 = 12;
pub(super) const INODE_EXTREF: u32 = 13;
pub(super) const XATTR_ITEM: u32 = 24;
pub(super) const EXTENT_DATA: u32 = 108;
pub(super) const ROOT_ITEM: u32 = 132;
pub(super) const ROOT_BACKREF: u32 = 144;
pub(super) const UUID_RECEIVED: u32 = 252;

/// The longest name of a subvolume, as of every file.
pub(super) const NAME_MAX: usize = 255;

pub(super) const SUBVOLUME_READ_ONLY: u64 = 1 << 1;
pub(super) const SUBVOLUME_BY_ID: u64 = 1 << 4;
/// The same in the flags of a root item.
pub(super) const ROOT_READ_ONLY: u64 = 1;
pub(super) const SEND_NO_FILE_DATA: u64 = 1;
pub(super) const SEND_VERSION: u64 = 8;
pub(super) const SEND_COMPRESSED: u64 = 16;
pub(super) const FS_INFO_GENERATION: u64 = 1 << 1;
pub(super) const FS_INFO_METADATA_UUID: u64 = 1 << 2;

kernel_struct! {
    /// `btrfs_ioctl_search_key`
    SearchKey = 104 {
        tree: u64,
        min_objectid: u64,
        max_objectid: u64,
        min_offset: u64,
        max_offset: u64,
        min_transid: u64,
        max_transid: u64,
        min_type: u32,
        max_type: u32,
        items: u32,
        unused: [u32; 9],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_search_args_v2` without the buffer that follows it.
    SearchArgs = 112 { key: SearchKey, buffer: u64 }
}

kernel_struct! {
    /// `btrfs_ioctl_vol_args`
    VolArgs = 4096 { fd: i64, name: [u8; 4088] }
}

kernel_struct! {
    /// `btrfs_ioctl_vol_args_v2`
    VolArgs2 = 4096 { fd: i64, transid: u64, flags: u64, unused: [u64; 4], name: [u8; 4040] }
}

kernel_struct! {
    /// `btrfs_ioctl_vol_args_v2` with [`SUBVOLUME_BY_ID`]
    VolById = 4096 { fd: i64, transid: u64, flags: u64, unused: [u64; 4], id: u64, rest: [u8; 4032] }
}

kernel_struct! {
    /// `btrfs_ioctl_ino_lookup_args`
    InoLookup = 4096 { tree: u64, objectid: u64, name: [u8; 4080] }
}

kernel_struct! {
    /// `btrfs_ioctl_ino_lookup_user_args`
    InoLookupUser = 4096 { dir: u64, tree: u64, name: [u8; 256], path: [u8; 3824] }
}

kernel_struct! {
    /// `btrfs_ioctl_dev_info_args`
    DevInfo = 4096 {
        id: u64,
        uuid: [u8; 16],
        used: u64,
        total: u64,
        unused: [u64; 379],
        path: [u8; 1024],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_fs_info_args`
    FsInfo = 1024 {
        max_id: u64,
        devices: u64,
        fsid: [u8; 16],
        nodesize: u32,
        sectorsize: u32,
        clone_alignment: u32,
        csum_type: u16,
        csum_size: u16,
        flags: u64,
        generation: u64,
        metadata_uuid: [u8; 16],
        reserved: [u8; 944],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_timespec`
    Time = 16 { seconds: u64, nanoseconds: u32, padding: u32 }
}

kernel_struct! {
    /// `btrfs_ioctl_get_subvol_info_args`
    SubvolInfo = 504 {
        tree: u64,
        name: [u8; 256],
        parent: u64,
        dir: u64,
        generation: u64,
        flags: u64,
        uuid: [u8; 16],
        parent_uuid: [u8; 16],
        received_uuid: [u8; 16],
        ctransid: u64,
        otransid: u64,
        stransid: u64,
        rtransid: u64,
        ctime: Time,
        otime: Time,
        stime: Time,
        rtime: Time,
        reserved: [u64; 8],
    }
}

kernel_struct! {
    /// One entry of [`RootRefs`]: a subvolume, and the inode of the directory that it is in.
    RootRef = 16 { tree: u64, dir: u64 }
}

kernel_struct! {
    /// `btrfs_ioctl_get_subvol_rootref_args`
    RootRefs = 4096 { min_tree: u64, refs: [RootRef; 255], items: u8, align: [u8; 7] }
}

kernel_struct! {
    /// `btrfs_ioctl_received_subvol_args`
    Received = 200 {
        uuid: [u8; 16],
        stransid: u64,
        rtransid: u64,
        stime: Time,
        rtime: Time,
        flags: u64,
        reserved: [u64; 16],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_send_args`. The kernel only reads the clone sources, so that their address is
    /// a number here.
    Send = 72 {
        out: i64,
        clone_sources_count: u64,
        clone_sources: u64,
        parent: u64,
        flags: u64,
        version: u32,
        reserved: [u8; 28],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_clone_range_args`
    CloneRange = 32 { source: i64, source_offset: u64, source_length: u64, offset: u64 }
}

kernel_struct! {
    /// `btrfs_ioctl_encoded_io_args`, as 64-bit programs have it. The kernel only reads what it
    /// writes to a file, so that the address is a number here.
    EncodedIo = 128 {
        pieces: u64,
        count: u64,
        offset: i64,
        flags: u64,
        len: u64,
        unencoded_len: u64,
        unencoded_offset: u64,
        compression: u32,
        encryption: u32,
        reserved: [u8; 64],
    }
}

kernel_struct! {
    /// `btrfs_ioctl_quota_rescan_args`
    QuotaRescan = 64 { running: u64, progress: u64, reserved: [u64; 6] }
}

const MAGIC: u8 = 0x94;

/// `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS`, whose numbers say `long` and whose argument is an `int`.
pub(super) const GET_FLAGS: IoctlNumber<u64> = IoctlNumber::read(b'f', 1);
pub(super) const SET_FLAGS: IoctlNumber<u64> = IoctlNumber::write(b'f', 2);
pub(super) const SYNC: IoctlNumber<u64> = IoctlNumber::bare(MAGIC, 8);
pub(super) const CLONE_RANGE: IoctlNumber<CloneRange> = IoctlNumber::write(MAGIC, 13);
pub(super) const SUBVOL_CREATE: IoctlNumber<VolArgs> = IoctlNumber::write(MAGIC, 14);
pub(super) const SNAP_DESTROY: IoctlNumber<VolArgs> = IoctlNumber::write(MAGIC, 15);
pub(super) const TREE_SEARCH_V2: IoctlNumber<SearchArgs> = IoctlNumber::both(MAGIC, 17);
pub(super) const INO_LOOKUP: IoctlNumber<InoLookup> = IoctlNumber::both(MAGIC, 18);
pub(super) const SNAP_CREATE_V2: IoctlNumber<VolArgs2> = IoctlNumber::write(MAGIC, 23);
pub(super) const SUBVOL_GETFLAGS: IoctlNumber<u64> = IoctlNumber::read(MAGIC, 25);
pub(super) const SUBVOL_SETFLAGS: IoctlNumber<u64> = IoctlNumber::write(MAGIC, 26);
pub(super) const DEV_INFO: IoctlNumber<DevInfo> = IoctlNumber::both(MAGIC, 30);
pub(super) const FS_INFO: IoctlNumber<FsInfo> = IoctlNumber::read(MAGIC, 31);
pub(super) const SET_RECEIVED_SUBVOL: IoctlNumber<Received> = IoctlNumber::both(MAGIC, 37);
pub(super) const SEND: IoctlNumber<Send> = IoctlNumber::write(MAGIC, 38);
pub(super) const QUOTA_RESCAN_STATUS: IoctlNumber<QuotaRescan> = IoctlNumber::read(MAGIC, 45);
pub(super) const GET_SUBVOL_INFO: IoctlNumber<SubvolInfo> = IoctlNumber::read(MAGIC, 60);
pub(super) const GET_SUBVOL_ROOTREF: IoctlNumber<RootRefs> = IoctlNumber::both(MAGIC, 61);
pub(super) const SNAP_DESTROY_V2: IoctlNumber<VolById> = IoctlNumber::write(MAGIC, 63);
pub(super) const ENCODED_WRITE: IoctlNumber<EncodedIo> = IoctlNumber::write(MAGIC, 64);
pub(super) const INO_LOOKUP_USER: IoctlNumber<InoLookupUser> = IoctlNumber::both(MAGIC, 62);

/// Reads little-endian fields out of an item of a tree, wherever they lie; `None` past its end.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(len)?)
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.bytes(at, N)?.try_into().ok()
    }

    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn uuid(self, at: usize) -> Option<[u8; 16]> {
        self.array(at)
    }
}

/// What we read of a `btrfs_root_item` (packed, 439 bytes; 239 before Linux 3.6).
#[derive(Clone, Copy, Default)]
pub(super) struct RootItem {
    pub(super) generation: u64,
    pub(super) bytes_used: u64,
    pub(super) flags: u64,
    pub(super) refs: u32,
    pub(super) level: u8,
    pub(super) uuid: [u8; 16],
    pub(super) parent_uuid: [u8; 16],
    pub(super) received_uuid: [u8; 16],
    pub(super) ctransid: u64,
    pub(super) otransid: u64,
    pub(super) stransid: u64,
    pub(super) rtransid: u64,
    pub(super) otime: u64,
}

impl RootItem {
    /// `None` if the item is too short to be one.
    pub(super) fn parse(item: &[u8]) -> Option<RootItem> {
        let item = Fields(item);
        let old = RootItem {
            generation: item.u64(160)?,
            bytes_used: item.u64(192)?,
            flags: item.u64(208)?,
            refs: item.u32(216)?,
            level: item.u8(238)?,
            ..RootItem::default()
        };
        // A kernel before 3.6 that wrote the item left the second copy of the generation, and
        // with it the newer fields, behind.
        if item.u64(239) != Some(old.generation) {
            return Some(old);
        }
        Some(RootItem {
            uuid: item.uuid(247)?,
            parent_uuid: item.uuid(263)?,
            received_uuid: item.uuid(279)?,
            ctransid: item.u64(295)?,
            otransid: item.u64(303)?,
            stransid: item.u64(311)?,
            rtransid: item.u64(319)?,
            otime: item.u64(339)?,
            ..old
        })
    }
}

/// A `btrfs_root_ref`: which directory a subvolume is in, and its name there.
pub(super) struct BackRef<'a> {
    pub(super) dir: u64,
    pub(super) name: &'a [u8],
}

impl<'a> BackRef<'a> {
    pub(super) fn parse(item: &'a [u8]) -> Option<BackRef<'a>> {
        let item = Fields(item);
        let len = item.u16(16)?.into();
        Some(BackRef {
            dir: item.u64(0)?,
            name: item.bytes(18, len)?,
        })
    }
}

/// The transaction that last changed an inode, from its `btrfs_inode_item`.
pub(super) fn inode_transid(item: &[u8]) -> Option<u64> {
    Fields(item).u64(8)
}

/// What a `btrfs_inode_item` has but its generations and the time of its last reading: sizes,
/// links, owners, mode, flags; times of change, modification and creation.
pub(super) fn inode_without_access(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let item = Fields(item);
    Some((item.bytes(16, 96)?, item.bytes(124, 36)?))
}

/// The extent on disk that a `btrfs_file_extent_item` points to: its address and its length.
/// `None` for holes and for inline data, which lies in the item.
pub(super) fn disk_extent(item: &[u8]) -> Option<(u64, u64)> {
    const INLINE: u8 = 0;
    let item = Fields(item);
    if item.u8(20)? == INLINE {
        return None;
    }
    let (address, len) = (item.u64(21)?, item.u64(29)?);
    (address != 0).then_some((address, len))
}

/// Of a file extent: the generation in which it was written, and the bytes of the file that it holds;
/// `None` for holes. (`btrfs_file_extent_item`)
pub(super) fn file_extent(item: &[u8]) -> Option<(u64, u64)> {
    const INLINE: u8 = 0;
    let item = Fields(item);
    let generation = item.u64(0)?;
    if item.u8(20)? == INLINE {
        return Some((generation, item.u64(8)?));
    }
    (item.u64(21)? != 0).then_some((generation, item.u64(45)?))
}

/// The bytes of a file or a symbolic link, from its `btrfs_inode_item`; of anything else 0.
pub(super) fn content_size(item: &[u8]) -> Option<u64> {
    let item = Fields(item);
    let kind = item.u32(52)? & libc::S_IFMT;
    let size = item.u64(16)?;
    Some(if matches!(kind, libc::S_IFREG | libc::S_IFLNK) {
        size
    } else {
        0
    })
}

/// Content that a `btrfs_file_extent_item` stands for.
#[derive(Clone, Copy)]
pub(super) struct ContentExtent {
    /// The transaction that wrote it.
    pub(super) generation: u64,
    pub(super) compressed: bool,
    /// Where it is on disk; 0 of what lies in the item.
    pub(super) address: u64,
    /// How many bytes of the file it is.
    pub(super) bytes: u64,
}

/// The content that an item stands for; `None` for holes and for space that is only reserved.
pub(super) fn content_extent(item: &[u8]) -> Option<ContentExtent> {
    const INLINE: u8 = 0;
    const REGULAR: u8 = 1;
    let fields = Fields(item);
    let (address, bytes) = match fields.u8(20)? {
        INLINE => (0, fields.u64(8)?),
        REGULAR => (fields.u64(21)?, fields.u64(45)?),
        _ => return None,
    };
    let extent = ContentExtent {
        generation: fields.u64(0)?,
        compressed: fields.u8(16)? != 0,
        address,
        bytes,
    };
    (address != 0 || fields.u8(20)? == INLINE).then_some(extent)
}

/// The text before the first zero byte.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Puts a name into a field, ending in a zero byte; `None` if it does not fit.
pub(super) fn named<const N: usize>(name: &[u8]) -> Option<[u8; N]> {
    let mut field = [0; N];
    if name.len() >= N || name.contains(&0) {
        return None;
    }
    field[..name.len()].copy_from_slice(name);
    Some(field)
}

/// All zeros.
pub(super) fn zeroed<T: Plain>() -> T {
    T::zeroed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gcc 12 computed from linux-libc-dev 6.1, x86-64.
    const GOLDEN: &str = "\
        GET_FLAGS 0x80086601\n\
        SET_FLAGS 0x40086602\n\
        SYNC 0x9408\n\
        CLONE_RANGE 0x4020940d\n\
        SUBVOL_CREATE 0x5000940e\n\
        SNAP_DESTROY 0x5000940f\n\
        TREE_SEARCH_V2 0xc0709411\n\
        INO_LOOKUP 0xd0009412\n\
        SNAP_CREATE_V2 0x50009417\n\
        SUBVOL_GETFLAGS 0x80089419\n\
        SUBVOL_SETFLAGS 0x4008941a\n\
        DEV_INFO 0xd000941e\n\
        FS_INFO 0x8400941f\n\
        SET_RECEIVED_SUBVOL 0xc0c89425\n\
        SEND 0x40489426\n\
        QUOTA_RESCAN_STATUS 0x8040942d\n\
        GET_SUBVOL_INFO 0x81f8943c\n\
        GET_SUBVOL_ROOTREF 0xd000943d\n\
        INO_LOOKUP_USER 0xd000943e\n\
        SNAP_DESTROY_V2 0x5000943f\n\
        ENCODED_WRITE 0x40809440";

    #[test]
    fn numbers_are_those_of_the_headers() {
        let ours = [
            ("GET_FLAGS", GET_FLAGS.number()),
            ("SET_FLAGS", SET_FLAGS.number()),
            ("SYNC", SYNC.number()),
            ("CLONE_RANGE", CLONE_RANGE.number()),
            ("SUBVOL_CREATE", SUBVOL_CREATE.number()),
            ("SNAP_DESTROY", SNAP_DESTROY.number()),
            ("TREE_SEARCH_V2", TREE_SEARCH_V2.number()),
            ("INO_LOOKUP", INO_LOOKUP.number()),
            ("SNAP_CREATE_V2", SNAP_CREATE_V2.number()),
            ("SUBVOL_GETFLAGS", SUBVOL_GETFLAGS.number()),
            ("SUBVOL_SETFLAGS", SUBVOL_SETFLAGS.number()),
            ("DEV_INFO", DEV_INFO.number()),
            ("FS_INFO", FS_INFO.number()),
            ("SET_RECEIVED_SUBVOL", SET_RECEIVED_SUBVOL.number()),
            ("SEND", SEND.number()),
            ("QUOTA_RESCAN_STATUS", QUOTA_RESCAN_STATUS.number()),
            ("GET_SUBVOL_INFO", GET_SUBVOL_INFO.number()),
            ("GET_SUBVOL_ROOTREF", GET_SUBVOL_ROOTREF.number()),
            ("INO_LOOKUP_USER", INO_LOOKUP_USER.number()),
            ("SNAP_DESTROY_V2", SNAP_DESTROY_V2.number()),
            ("ENCODED_WRITE", ENCODED_WRITE.number()),
        ];
        let golden: Vec<&str> = GOLDEN.lines().collect();
        let ours: Vec<String> = ours
            .iter()
            .map(|(name, n)| format!("{name} {n:#x}"))
            .collect();
        assert_eq!(ours, golden);
    }

    #[test]
    fn short_items_are_not_read_past_their_end() {
        assert!(RootItem::parse(&[0; 238]).is_none());
        assert!(BackRef::parse(&[255; 40]).is_none());
        assert!(disk_extent(&[1; 36]).is_none());
        assert_eq!(
            disk_extent(&[1; 37]),
            Some((0x0101_0101_0101_0101, 0x0101_0101_0101_0101))
        );
    }

    #[test]
    fn old_root_items_have_no_uuids() {
        let mut item = [7; 439];
        assert_eq!(RootItem::parse(&item).unwrap().uuid, [7; 16]);
        item[160] = 8; // the first copy of the generation
        let old = RootItem::parse(&item).unwrap();
        assert_eq!((old.uuid, old.ctransid, old.level), ([0; 16], 0, 7));
        assert_eq!(RootItem::parse(&item[..239]).unwrap().uuid, [0; 16]);
    }
}
