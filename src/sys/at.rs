//! What makes and changes the entries of directories, relative to open directories, and never
//! through a symbolic link. Names are bytes; what they mean is the caller's business.

use super::dir::{Time, by_descriptor, c_string, checked, grown, stat_at};
use super::open_resolved;
use std::ffi::CString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Opens `path` below `dir` with the flags of `open`, without leaving `dir`, without following a
/// symbolic link and without going over to another mount, also in the last part. An empty path is
/// `dir` itself. New files get `mode` without what the umask takes.
///
/// # Errors
/// `EXDEV` or `ELOOP` for a path that leads elsewhere; `ENOSYS` before Linux 5.6.
pub fn open_within(dir: BorrowedFd, path: &[u8], flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV;
    open_resolved(dir, path, (flags | libc::O_NOFOLLOW, mode), resolve)
}

/// Makes a directory.
///
/// # Errors
/// Those of `mkdirat`.
pub fn make_dir_at(dir: BorrowedFd, name: &[u8], mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the name ends in a zero byte and outlives the call.
    done(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) })
}

/// Makes a device node, a fifo or a socket; `device` as the kernel encodes it.
///
/// # Errors
/// Those of `mknodat`.
pub fn make_node_at(dir: BorrowedFd, name: &[u8], mode: u32, device: u64) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: as in `make_dir_at`.
    done(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device) })
}

/// Makes a symbolic link with this content.
///
/// # Errors
/// Those of `symlinkat`.
pub fn make_symlink_at(dir: BorrowedFd, name: &[u8], content: &[u8]) -> io::Result<()> {
    let (name, content) = (c_string(name)?, c_string(content)?);
    // SAFETY: both end in a zero byte and outlive the call.
    done(unsafe { libc::symlinkat(content.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })
}

/// Gives what has one name another one; a symbolic link is itself given it.
///
/// # Errors
/// Those of `linkat`.
pub fn link_at(from: BorrowedFd, name: &[u8], to: BorrowedFd, new_name: &[u8]) -> io::Result<()> {
    let (name, new_name) = (c_string(name)?, c_string(new_name)?);
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: as in `make_symlink_at`.
    done(unsafe { libc::linkat(from, name.as_ptr(), to, new_name.as_ptr(), 0) })
}

/// Moves; what has the new name is replaced only if that is wanted.
///
/// # Errors
/// Those of `renameat2`; `EEXIST` for a name that is taken.
pub fn rename_at(
    from: BorrowedFd,
    name: &[u8],
    to: BorrowedFd,
    new_name: &[u8],
    replace: bool,
) -> io::Result<()> {
    let flags = if replace { 0 } else { libc::RENAME_NOREPLACE };
    rename(from, name, to, new_name, flags)
}

/// Exchanges two names of a directory, in one step.
///
/// # Errors
/// Those of `renameat2`; `ENOENT` if one of them is missing.
pub fn exchange_at(dir: BorrowedFd, one: &[u8], other: &[u8]) -> io::Result<()> {
    rename(dir, one, dir, other, libc::RENAME_EXCHANGE)
}

fn rename(
    from: BorrowedFd,
    name: &[u8],
    to: BorrowedFd,
    new_name: &[u8],
    flags: u32,
) -> io::Result<()> {
    let (name, new_name) = (c_string(name)?, c_string(new_name)?);
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    let (name, new_name) = (name.as_ptr(), new_name.as_ptr());
    // SAFETY: as in `make_symlink_at`.
    checked(unsafe { libc::syscall(libc::SYS_renameat2, from, name, to, new_name, flags) })
        .map(drop)
}

/// Removes a name, or an empty directory.
///
/// # Errors
/// Those of `unlinkat`.
pub fn unlink_at(dir: BorrowedFd, name: &[u8], directory: bool) -> io::Result<()> {
    let name = c_string(name)?;
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: as in `make_dir_at`.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })
}

/// Writes all of these, one after the other, from `offset` on.
///
/// # Errors
/// Those of `pwritev`; some of it may have been written.
pub fn write_at(file: BorrowedFd, mut pieces: &mut [IoSlice], mut offset: u64) -> io::Result<()> {
    while !pieces.is_empty() {
        let count = pieces.len().min(1024) as i32;
        let (start, at) = (pieces.as_ptr().cast(), offset as i64);
        // SAFETY: an `IoSlice` is laid out as an `iovec`, and all of them outlive the call.
        let written = checked(unsafe { libc::pwritev(file.as_raw_fd(), start, count, at) } as i64);
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut pieces, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reserves, or gives back, space of a file; `mode` as `fallocate` has it.
///
/// # Errors
/// Those of `fallocate`.
pub fn allocate(file: BorrowedFd, mode: i32, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (offset as i64, length as i64);
    // SAFETY: only numbers are passed.
    done(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) })
}

/// How many characters a line of a terminal has; `None` if it is none, or does not tell.
pub fn terminal_width(file: BorrowedFd) -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel fills in the structure that the request is about.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }).ok()?;
    Some(size.ws_col.into()).filter(|&columns| columns > 0)
}

/// Something whose attributes are changed: what is open, or an entry of a directory, which is never
/// followed if it is a symbolic link.
#[derive(Clone, Copy, Debug)]
pub enum Thing<'a> {
    /// A file that is open, to write or to read.
    Open(BorrowedFd<'a>),
    /// An entry.
    Named(BorrowedFd<'a>, &'a [u8]),
}

impl Thing<'_> {
    /// Its permissions and type, as `st_mode`.
    ///
    /// # Errors
    /// Those of `statx`.
    pub fn mode(&self) -> io::Result<u32> {
        let stat = match self {
            Thing::Open(file) => stat_at(*file, b""),
            Thing::Named(dir, name) => stat_at(*dir, name),
        };
        stat.map(|stat| stat.mode.into())
    }

    /// Sets owner and group.
    ///
    /// # Errors
    /// Those of `fchownat`.
    pub fn chown(&self, user: u32, group: u32) -> io::Result<()> {
        let (dir, name, flags) = self.at()?;
        // SAFETY: the name ends in a zero byte and outlives the call.
        done(unsafe { libc::fchownat(dir, name.as_ptr(), user, group, flags) })
    }

    /// Sets the permissions.
    ///
    /// # Errors
    /// Those of `fchmod`; `EOPNOTSUPP` for a symbolic link.
    pub fn chmod(&self, mode: u32) -> io::Result<()> {
        let (dir, name) = match self {
            // SAFETY: only numbers are passed.
            Thing::Open(file) => return done(unsafe { libc::fchmod(file.as_raw_fd(), mode) }),
            Thing::Named(dir, name) => (*dir, *name),
        };
        // The kernel's own call that follows no links came with Linux 6.6.
        let file = open_within(dir, name, libc::O_PATH, 0)?;
        if u32::from(stat_at(file.as_fd(), b"")?.mode) & libc::S_IFMT == libc::S_IFLNK {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let path = c_string(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
        // SAFETY: as in `chown`.
        done(unsafe { libc::chmod(path.as_ptr(), mode) })
    }

    /// Sets the times of the last reading and of the last change of content.
    ///
    /// # Errors
    /// Those of `utimensat`.
    pub fn set_times(&self, read: Time, changed: Time) -> io::Result<()> {
        let times = [read, changed].map(|(seconds, nanoseconds)| libc::timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        });
        match self {
            // SAFETY: the array outlives the call.
            Thing::Open(file) => done(unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) }),
            Thing::Named(..) => {
                let (dir, name, flags) = self.at()?;
                // SAFETY: likewise, and as in `chown`.
                done(unsafe { libc::utimensat(dir, name.as_ptr(), times.as_ptr(), flags) })
            }
        }
    }

    /// Gives an extended attribute a value.
    ///
    /// # Errors
    /// Those of `lsetxattr`.
    pub fn set_xattr(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        let (name, data, length) = (c_string(name)?, value.as_ptr().cast(), value.len());
        // SAFETY: names and paths end in a zero byte, the value has the length that is told, and all
        // of them outlive the call.
        done(match self.path()? {
            None => unsafe { libc::fsetxattr(self.fd(), name.as_ptr(), data, length, 0) },
            Some(path) => unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), data, length, 0) },
        })
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// Those of `lremovexattr`; `ENODATA` if there is none.
    pub fn remove_xattr(&self, name: &[u8]) -> io::Result<()> {
        let name = c_string(name)?;
        // SAFETY: as in `set_xattr`.
        done(match self.path()? {
            None => unsafe { libc::fremovexattr(self.fd(), name.as_ptr()) },
            Some(path) => unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) },
        })
    }

    /// The names of its extended attributes.
    ///
    /// # Errors
    /// Those of `llistxattr`.
    pub fn xattr_names(&self) -> io::Result<Vec<Vec<u8>>> {
        let path = self.path()?;
        let names = grown(|buffer| {
            let (to, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: the kernel writes at most the length given.
            checked(match &path {
                None => unsafe { libc::flistxattr(self.fd(), to, length) },
                Some(path) => unsafe { libc::llistxattr(path.as_ptr(), to, length) },
            } as i64)
        })?;
        let names = names.split(|&byte| byte == 0);
        Ok(names
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }

    fn fd(&self) -> i32 {
        match self {
            Thing::Open(file) | Thing::Named(file, _) => file.as_raw_fd(),
        }
    }

    /// There are no calls for attributes relative to a directory; this path stands for one.
    fn path(&self) -> io::Result<Option<CString>> {
        match self {
            Thing::Open(_) => Ok(None),
            Thing::Named(dir, name) => by_descriptor(*dir, name).map(Some),
        }
    }

    /// As the calls that end in `at` have it.
    fn at(&self) -> io::Result<(i32, CString, i32)> {
        Ok(match self {
            Thing::Open(file) => (file.as_raw_fd(), c_string(b"")?, libc::AT_EMPTY_PATH),
            Thing::Named(dir, name) => {
                (dir.as_raw_fd(), c_string(name)?, libc::AT_SYMLINK_NOFOLLOW)
            }
        })
    }
}

fn done(answer: libc::c_int) -> io::Result<()> {
    checked(answer.into()).map(drop)
}
