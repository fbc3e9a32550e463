//! Directories, files and their attributes relative to open directories, so that no path is too
//! long and no rename above us leads astray. Names are bytes.

use super::open_resolved;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// What `statx` tells of an entry, without following a symlink.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    /// Type and permissions, as `st_mode`.
    pub mode: u16,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes that it takes on the disk, in units of 512: fewer than its length if it has holes.
    pub blocks: u64,
    /// Inode number.
    pub ino: u64,
    /// Device it is on, major number in the upper half.
    pub dev: u64,
    /// Device it stands for, likewise.
    pub rdev: u64,
    /// Last change of the content, in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of the same moment.
    pub nsec: u32,
    /// Whether something is mounted here (Linux 5.8 and later know).
    pub mount: bool,
}

/// A time as `stat` has it: seconds since 1970 and nanoseconds.
pub type Time = (i64, u32);

/// Turns the `-1` of a system call into the error it stands for.
pub(super) fn checked(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

pub(super) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// Opens `path` below `dir`; close-on-exec is always set.
///
/// # Errors
/// Those of `openat`.
pub fn open_at(dir: BorrowedFd<'_>, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: the path is NUL-terminated and lives through the call.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC) };
    checked(fd.into())?;
    // SAFETY: the kernel has just given us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens `path` below `dir`, following no link on the way; close-on-exec is always set.
///
/// # Errors
/// `ELOOP` for a link; else those of `openat2`.
pub fn open_below(dir: BorrowedFd<'_>, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    open_resolved(dir, path, (flags, 0), libc::RESOLVE_NO_SYMLINKS)
}

/// The attributes of `path` below `dir`, or of `dir` itself if `path` is empty.
///
/// # Errors
/// Those of `statx`.
pub fn stat_at(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Stat> {
    let path = c_string(path)?;
    // SAFETY: all of it is plain numbers, for which zero is a value.
    let mut raw: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;
    // SAFETY: the path is NUL-terminated, and `raw` is a statx structure that outlives the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_statx,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            libc::STATX_BASIC_STATS,
            &raw mut raw,
        )
    })?;
    let pair = |major: u32, minor: u32| u64::from(major) << 32 | u64::from(minor);
    Ok(Stat {
        mode: raw.stx_mode,
        nlink: raw.stx_nlink,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        ino: raw.stx_ino,
        dev: pair(raw.stx_dev_major, raw.stx_dev_minor),
        rdev: pair(raw.stx_rdev_major, raw.stx_rdev_minor),
        mtime: raw.stx_mtime.tv_sec,
        nsec: raw.stx_mtime.tv_nsec,
        mount: raw.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0,
    })
}

/// When an open file was last read, and when its content last changed, to the nanosecond.
///
/// # Errors
/// Those of `fstat`.
pub fn times_at(file: BorrowedFd<'_>) -> io::Result<(Time, Time)> {
    // SAFETY: all of it is plain numbers, for which zero is a value.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` outlives the call.
    checked(unsafe { libc::fstat(file.as_raw_fd(), &raw mut raw) }.into())?;
    let time = |seconds, nanoseconds| (seconds, nanoseconds as u32);
    Ok((
        time(raw.st_atime, raw.st_atime_nsec),
        time(raw.st_mtime, raw.st_mtime_nsec),
    ))
}

/// Calls `each` with the inode number, the type (`DT_DIR` and the like) and the name of every entry
/// but `.` and `..`.
///
/// # Errors
/// Those of `getdents64`; entries before the error have been delivered.
pub fn read_dir(dir: BorrowedFd<'_>, mut each: impl FnMut(u64, u8, &[u8])) -> io::Result<()> {
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        // SAFETY: the kernel writes at most the length given into the buffer.
        let filled = checked(unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                dir.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        })?;
        if filled == 0 {
            return Ok(());
        }
        // An entry: inode 8 bytes, offset 8, its own length 2, type 1, name with NUL, padding.
        let mut rest = &buffer[..filled];
        while let [i0, i1, i2, i3, i4, i5, i6, i7, ..] = *rest {
            let inode = u64::from_ne_bytes([i0, i1, i2, i3, i4, i5, i6, i7]);
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[19..length])
                .map_err(|_| io::Error::other("a directory entry without an end"))?;
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(inode, rest[18], name.to_bytes());
            }
            rest = &rest[length..];
        }
    }
}

/// Where the symlink `path` below `dir` points.
///
/// # Errors
/// Those of `readlinkat`.
pub fn read_link_at(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Vec<u8>> {
    let path = c_string(path)?;
    grown(|buffer| {
        // SAFETY: the path is NUL-terminated; the kernel writes at most the length given.
        let length = checked(unsafe {
            libc::readlinkat(
                dir.as_raw_fd(),
                path.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            ) as libc::c_long
        })?;
        // A full buffer may hold a cut target.
        if length == buffer.len() {
            return Err(io::Error::from_raw_os_error(libc::ERANGE));
        }
        Ok(length)
    })
}

/// Calls with a growing buffer until the answer fits.
pub(super) fn grown(mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
    loop {
        match call(&mut buffer) {
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) && buffer.len() < 1 << 20 => {
                buffer = vec![0; buffer.len() * 4];
            }
            Err(error) => return Err(error),
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }
}

/// There are no calls for extended attributes relative to a directory; this path stands for one.
pub(super) fn by_descriptor(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<CString> {
    let mut full = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    full.extend_from_slice(path);
    c_string(&full)
}

/// The extended attributes of `path` below `dir` that this user may see, sorted by name.
///
/// # Errors
/// Those of `llistxattr` and `lgetxattr`; a filesystem without attributes has none.
pub fn xattrs_at(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = by_descriptor(dir, path)?;
    let listed = grown(|buffer| {
        // SAFETY: the path is NUL-terminated; the kernel writes at most the length given.
        checked(unsafe {
            libc::llistxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
                as libc::c_long
        })
    });
    let names = match listed {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut attributes = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        attributes.push((name.to_vec(), xattr(&path, &c_string(name)?)?));
    }
    attributes.sort();
    Ok(attributes)
}

fn xattr(path: &CStr, name: &CStr) -> io::Result<Vec<u8>> {
    grown(|buffer| {
        // SAFETY: both strings are NUL-terminated; the kernel writes at most the length given.
        checked(unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            ) as libc::c_long
        })
    })
}

/// Where the next data begins, from this offset on, and where the hole after it does; `None` if
/// there is no more data. A filesystem that knows no holes has data everywhere.
///
/// # Errors
/// Those of `lseek`. The position of the file moves.
pub fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |offset: u64, whence| {
        // SAFETY: only numbers are passed.
        checked(unsafe { libc::lseek(file.as_raw_fd(), offset as i64, whence) } as libc::c_long)
    };
    match seek(offset, libc::SEEK_DATA) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
        Ok(data) => Ok(Some((
            data as u64,
            seek(data as u64, libc::SEEK_HOLE)? as u64,
        ))),
    }
}

/// Opens a file for reading by its handle, as `name_to_handle_at` gives them, on the filesystem of `mount`.
/// Reading it leaves no time of access.
///
/// # Errors
/// Those of `open_by_handle_at`: EPERM for who may not read everything, ESTALE if there is no such file.
pub fn open_by_handle(mount: BorrowedFd, kind: u32, handle: [u32; 5]) -> io::Result<OwnedFd> {
    // `struct file_handle`: how long the handle is, what kind of one, and the handle.
    let [a, b, c, d, e] = handle;
    let handle = [size_of_val(&handle) as u32, kind, a, b, c, d, e];
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOATIME | libc::O_NONBLOCK;
    let (mount, number) = (mount.as_raw_fd(), libc::SYS_open_by_handle_at);
    // Sound: the structure is as long as it says; a success is a new descriptor that nobody else owns.
    unsafe {
        let answer = libc::syscall(number, mount, handle.as_ptr(), flags);
        Ok(OwnedFd::from_raw_fd(checked(answer)? as i32))
    }
}

/// Whether anything has a name. What cannot be looked at is an error, and not nothing.
pub fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}
