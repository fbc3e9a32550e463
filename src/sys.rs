//! System calls that std does not offer, and the processor's vectors: all the `unsafe` there is. What it
//! offers is safe, and knows nothing of btrfs. Here are ioctl, openat2 and statfs; `dir` reads
//! directories and `at` changes them, `secure_open` opens what others may have put there and `whole_file` writes
//! in its place, `child` is about signals and children, `confine` about what a child may reach, `ready` waits for
//! pipes, `page_cache` is about what lies in memory, and `lanes` hashes by vectors.

#![allow(unsafe_code)]

pub mod at;
mod child;
mod confine;
pub mod dir;
mod lanes;
pub mod page_cache;
mod ready;
pub mod secure_open;
pub mod whole_file;

pub use at::terminal_width;
pub use child::{
    catch_signals, interrupted, kill_group, prepare_child, prepare_companion, quiet_thread,
    yield_to_others,
};
pub use confine::confine;
pub use lanes::{Hash, LANES, Vectors};
pub use ready::{can_read, can_write, is_unread, stop_this_process};
pub use secure_open::{is_root, makes_for_root};

use dir::c_string;
use std::fs::{File, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Plain memory: no padding, no pointers, and every pattern of bits is a value.
///
/// # Safety
/// That is the promise of whoever implements it; `kernel_struct!` checks it field by field.
pub(crate) unsafe trait Plain: Copy + 'static {
    /// All bytes zero.
    fn zeroed() -> Self {
        // SAFETY: zero is a value of every `Plain` type.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: integers have no padding, and all their bit patterns are values; arrays are as their
// elements.
unsafe impl Plain for u8 {}
unsafe impl Plain for u16 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for i64 {}
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Declares a structure that the kernel reads and writes, with its size in bytes. It does not
/// compile if the size differs, if there is padding, or if a field is not [`Plain`].
macro_rules! kernel_struct {
    ($(#[$meta:meta])* $name:ident = $size:literal { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }

        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(0 $(+ size_of::<$type>())* == $size);

        // SAFETY: each field is plain, and by the second assertion nothing lies between them.
        #[allow(unsafe_code)]
        unsafe impl $crate::sys::Plain for $name where $($type: $crate::sys::Plain),* {}
    };
}
pub(crate) use kernel_struct;

/// An ioctl number that belongs to an argument of type `T`.
pub(crate) struct IoctlNumber<T> {
    number: u32,
    argument: PhantomData<T>,
}

impl<T: Plain> IoctlNumber<T> {
    /// `_IOW`: the kernel reads the argument.
    pub(crate) const fn write(magic: u8, nr: u8) -> Self {
        Self::numbered(1, magic, nr, size_of::<T>())
    }

    /// `_IOR`: the kernel fills in the argument.
    pub(crate) const fn read(magic: u8, nr: u8) -> Self {
        Self::numbered(2, magic, nr, size_of::<T>())
    }

    /// `_IOWR`: both.
    pub(crate) const fn both(magic: u8, nr: u8) -> Self {
        Self::numbered(3, magic, nr, size_of::<T>())
    }

    /// `_IO`: there is none; the kernel looks at nothing of what is given.
    pub(crate) const fn bare(magic: u8, nr: u8) -> Self {
        Self::numbered(0, magic, nr, 0)
    }

    /// `_IOC` of asm-generic, which x86, ARM, RISC-V and s390 share.
    const fn numbered(direction: u32, magic: u8, nr: u8, size: usize) -> Self {
        assert!(size < 1 << 14);
        let number = direction << 30 | (size as u32) << 16 | (magic as u32) << 8 | nr as u32;
        IoctlNumber {
            number,
            argument: PhantomData,
        }
    }

    /// What the kernel sees.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }
}

/// Performs a request on an open file. The argument must be the whole memory that the kernel
/// writes to; see [`ioctl_tail`] for the one request where it is not.
pub(crate) fn ioctl<T: Plain>(
    file: BorrowedFd,
    request: &IoctlNumber<T>,
    argument: &mut T,
) -> io::Result<()> {
    // SAFETY: the number carries the size of `T`, so the kernel stays within `argument`, and
    // whatever it writes there is a value of a plain type.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), request.number() as _, argument) };
    checked(answer).map(drop)
}

/// Performs a request whose argument is a head, the length of a buffer in bytes as a `u64`, and
/// that buffer. The head is copied to the front of `memory` and back; the buffer is the rest, and
/// the answer says where it starts (in words of eight bytes).
pub(crate) fn ioctl_tail<H: Plain, T: Plain>(
    file: BorrowedFd,
    request: &IoctlNumber<T>,
    head: &mut H,
    memory: &mut [u64],
) -> io::Result<usize> {
    const { assert!(size_of::<T>() == size_of::<H>() + 8 && size_of::<H>().is_multiple_of(8)) };
    let start = size_of::<T>() / 8;
    if memory.len() < start {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    memory[start - 1] = ((memory.len() - start) * 8) as u64;
    let front: *mut H = memory.as_mut_ptr().cast();
    // SAFETY: `memory` is at least as long as a head and as well aligned as any plain type, and
    // the length that the kernel is told is that of what follows the head and the length.
    let answer = unsafe {
        front.write(*head);
        let answer = libc::ioctl(file.as_raw_fd(), request.number() as _, front);
        *head = front.read();
        answer
    };
    checked(answer).map(|_| start)
}

/// The bytes of some words, in the order in which they lie in memory.
pub(crate) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: the same memory, for the same time, and any byte is a `u8`.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// -1 is an error, and errno says which.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// A number that nobody can foresee, from the kernel's random number generator.
///
/// # Errors
/// If the kernel has none.
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::getrandom(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes everything of the filesystem that `file` is on to its disks, and waits for it.
///
/// # Errors
/// What the kernel says, among it an earlier write that failed.
pub fn syncfs(file: BorrowedFd) -> io::Result<()> {
    // SAFETY: the call takes no memory.
    checked(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Takes the exclusive lock of an open file, for as long as the file is open; `false` if another
/// process has it.
///
/// # Errors
/// If the filesystem has no locks.
pub fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Asks for a pipe buffer of this many bytes. Best effort: there is a limit for ordinary users.
pub fn set_pipe_size(pipe: BorrowedFd, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: the call takes no memory.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// A pipe, its reading end first; children do not inherit it.
///
/// # Errors
/// If there are too many open files.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Opens `path` below `dir` with `open` flags, and refuses to leave `dir` on the way, be it by
/// `..`, by a symbolic link, by a magic link, or by what is mounted there. New files get mode 0600.
///
/// # Errors
/// `EXDEV` for a path that leaves `dir` or its mount; else what `open` says.
pub fn open_beneath(dir: BorrowedFd, path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let mode = if flags & libc::O_CREAT != 0 { 0o600 } else { 0 };
    let resolve = libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_XDEV;
    open_resolved(dir, path.as_os_str().as_bytes(), (flags, mode), resolve)
}

/// Opens `path` below `dir`, which it cannot leave, with further limits of `openat2`; close-on-exec is always set.
/// New files get `mode` without what the umask takes.
///
/// # Errors
/// Those of `openat2`.
fn open_resolved(
    dir: BorrowedFd<'_>,
    path: &[u8],
    (flags, mode): (i32, u32),
    resolve: u64,
) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: zero is a valid `open_how`.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = mode.into();
    how.resolve = libc::RESOLVE_BENEATH | resolve;
    // SAFETY: the path is NUL-terminated, and both live through the call.
    let fd = dir::checked(unsafe {
        let (dir, size) = (dir.as_raw_fd(), size_of::<libc::open_how>());
        libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const how, size)
    })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Bytes that a program may still write to the filesystem that `file` is on.
///
/// # Errors
/// What the kernel says.
pub fn free_bytes(file: BorrowedFd) -> io::Result<u64> {
    let stat = statvfs(file)?;
    Ok(stat.f_bavail as u64 * stat.f_frsize as u64)
}

/// Bytes that are taken on the filesystem that `file` is on.
///
/// # Errors
/// What the kernel says.
pub fn used_bytes(file: BorrowedFd) -> io::Result<u64> {
    let stat = statvfs(file)?;
    Ok(stat.f_blocks.saturating_sub(stat.f_bfree) as u64 * stat.f_frsize as u64)
}

/// Whether nothing can be written where `file` is, since it is mounted read-only.
///
/// # Errors
/// What the kernel says.
pub fn is_read_only(file: BorrowedFd) -> io::Result<bool> {
    Ok(statvfs(file)?.f_flag & libc::ST_RDONLY != 0)
}

fn statvfs(file: BorrowedFd) -> io::Result<libc::statvfs> {
    // SAFETY: zero is a valid `statvfs`, which the call fills in.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        checked(libc::fstatvfs(file.as_raw_fd(), &mut stat))?;
        Ok(stat)
    }
}

/// The magic number of the filesystem that `file` is on, as in `linux/magic.h`.
///
/// # Errors
/// What the kernel says.
pub fn filesystem_type(file: BorrowedFd) -> io::Result<u64> {
    // SAFETY: zero is a valid `statfs`, which the call fills in.
    let stat = unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        checked(libc::fstatfs(file.as_raw_fd(), &mut stat))?;
        stat
    };
    Ok(stat.f_type as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn scratch(name: &str) -> std::path::PathBuf {
        let unique = format!("buttersink-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = scratch("lock");
        let (one, two) = (
            File::create(dir.join("l")).unwrap(),
            File::open(dir.join("l")).unwrap(),
        );
        assert!(lock(&one).unwrap());
        assert!(!lock(&two).unwrap());
        // Not by closing it: a child that another test forks just now would hold it still.
        one.unlock().unwrap();
        assert!(lock(&two).unwrap());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_is_opened_outside_or_replaced() {
        let dir = scratch("beneath");
        std::fs::write(dir.join("a"), "a").unwrap();
        std::fs::write(dir.join("b"), "b").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("out")).unwrap();
        let file = File::open(&dir).unwrap();
        let open = |path: &str| open_beneath(file.as_fd(), Path::new(path), libc::O_RDONLY);
        let mut content = String::new();
        File::from(open("a").unwrap())
            .read_to_string(&mut content)
            .unwrap();
        assert_eq!(content, "a");
        for path in ["..", "../x", "/etc/passwd", "out"] {
            let error = open(path).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
        }
        let rename = |to: &[u8]| at::rename_at(file.as_fd(), b"a", file.as_fd(), to, false);
        let error = rename(b"b").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        rename(b"c").unwrap();
        assert!(dir.join("c").exists() && !dir.join("a").exists());
        assert!(free_bytes(file.as_fd()).unwrap() > 0);
        syncfs(file.as_fd()).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_pipe_can_be_large() {
        let (reader, writer) = pipe().unwrap();
        set_pipe_size(writer.as_fd(), 1 << 20);
        let mut writer = File::from(writer);
        // More than the usual 64 KiB go in without a reader.
        writer.write_all(&[7; 200_000]).unwrap();
        drop(writer);
        let mut all = Vec::new();
        File::from(reader).read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 200_000);
    }
}
