//! What changes subvolumes, and the metadata-only send stream.
//! Each function is one request; refusals are put into words here, where their causes are known.

use super::abi::{self, zeroed};
use super::{is_subvolume, open_dir, open_dir_to_change};
use crate::error::{Cause, Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes a snapshot of the subvolume `source` as `name` in the directory `dir`, on the same
/// filesystem. It is durable only after the next `syncfs`.
///
/// # Errors
/// If the name is taken or no name, `source` is no subvolume or on another filesystem, or a swap
/// file in it is in use.
pub fn create_snapshot(source: &Path, dir: &Path, name: &OsStr, read_only: bool) -> Result<()> {
    let doing = || {
        let to = shown(dir.join(name));
        format!("cannot make the snapshot {to} of {}", shown(source))
    };
    let source = open_subvolume(source)?;
    let mut args = abi::VolArgs2 {
        fd: source.as_raw_fd().into(),
        flags: if read_only {
            abi::SUBVOLUME_READ_ONLY
        } else {
            0
        },
        name: field(name, doing)?,
        ..zeroed()
    };
    let made = sys::ioctl(
        open_dir_to_change(dir)?.as_fd(),
        &abi::SNAP_CREATE_V2,
        &mut args,
    );
    explained(
        made,
        doing,
        &[
            (libc::EEXIST, "the name is taken", None),
            (libc::EXDEV, "it is on another filesystem", None),
            (
                libc::ETXTBSY,
                "it holds a swap file that is in use",
                Some("run swapoff for it first"),
            ),
            (libc::EPERM, "only its owner or root may", None),
            (libc::EROFS, "the directory is read-only", None),
        ],
    )
}

/// Makes an empty subvolume `name` in the directory `dir`.
///
/// # Errors
/// If the name is taken or no name, or the directory is read-only.
pub fn create_subvolume(dir: &Path, name: &OsStr) -> Result<()> {
    let doing = || format!("cannot make the subvolume {}", shown(dir.join(name)));
    let mut args = abi::VolArgs {
        fd: 0,
        name: field(name, doing)?,
    };
    let made = sys::ioctl(
        open_dir_to_change(dir)?.as_fd(),
        &abi::SUBVOL_CREATE,
        &mut args,
    );
    explained(
        made,
        doing,
        &[
            (libc::EEXIST, "the name is taken", None),
            (libc::EROFS, "the directory is read-only", None),
        ],
    )
}

/// Deletes the subvolume at `path`, which was looked at and has this number: whatever else has taken its
/// name meanwhile stays. The kernel frees its space later, and the deletion is durable only after the
/// next `syncfs`.
///
/// # Errors
/// If it is gone, other subvolumes are in it, it is the default subvolume, it is being sent, or something
/// is mounted on it.
pub fn delete_subvolume(path: &Path, id: u64) -> Result<()> {
    let doing = || format!("cannot delete the subvolume {}", shown(path));
    let dir = open_dir_to_change(path.parent().unwrap_or(path))?;
    let mut args = abi::VolById {
        flags: abi::SUBVOLUME_BY_ID,
        id,
        ..zeroed()
    };
    let deleted = match sys::ioctl(dir.as_fd(), &abi::SNAP_DESTROY_V2, &mut args) {
        // Before Linux 5.7 there are names only.
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {
            let name = path.file_name().unwrap_or_default();
            super::delete_subvolume_at(dir.as_fd(), name)
        }
        done => done,
    };
    explained(
        deleted,
        doing,
        &[
            (
                libc::EPERM,
                "not permitted: it is the filesystem's default subvolume, it is being sent, a swap file in it \
                 is in use, or we are not root",
                Some("btrfs subvolume get-default says which is the default"),
            ),
            (
                libc::ENOTEMPTY,
                "other subvolumes are in it",
                Some("delete them first"),
            ),
            (libc::EBUSY, "it is in use as a mount point", None),
            (libc::EINVAL, "it is not a subvolume", None),
            (libc::EROFS, "the directory is read-only", None),
        ],
    )
}

/// Whether a subvolume is read-only.
///
/// # Errors
/// If it is not a subvolume.
pub fn is_read_only(path: &Path) -> Result<bool> {
    let mut flags = 0;
    sys::ioctl(
        open_subvolume(path)?.as_fd(),
        &abi::SUBVOL_GETFLAGS,
        &mut flags,
    )
    .doing(|| format!("cannot read the flags of {}", shown(path)))?;
    Ok(flags & abi::SUBVOLUME_READ_ONLY != 0)
}

/// Makes a subvolume read-only or read-write.
///
/// # Errors
/// If it is not a subvolume, files in it are open for writing, or it is being sent.
pub fn set_read_only(path: &Path, read_only: bool) -> Result<()> {
    let how = if read_only { "read-only" } else { "read-write" };
    let doing = || format!("cannot make {} {how}", shown(path));
    let file = open_subvolume(path)?;
    let mut flags = 0;
    sys::ioctl(file.as_fd(), &abi::SUBVOL_GETFLAGS, &mut flags).doing(doing)?;
    flags &= !abi::SUBVOLUME_READ_ONLY;
    if read_only {
        flags |= abi::SUBVOLUME_READ_ONLY;
    }
    let set = sys::ioctl(file.as_fd(), &abi::SUBVOL_SETFLAGS, &mut flags);
    explained(
        set,
        doing,
        &[
            (
                libc::EPERM,
                "not permitted: it is being sent, or we are not its owner",
                None,
            ),
            (libc::EROFS, "the filesystem is mounted read-only", None),
        ],
    )
}

/// Records what a subvolume was received from; it must be read-write still.
///
/// # Errors
/// If it is not a subvolume, is read-only, or we are not root.
pub fn set_received(path: &Path, uuid: Uuid, stransid: u64) -> Result<()> {
    let mut args = abi::Received {
        uuid: uuid.0,
        stransid,
        ..zeroed()
    };
    let set = sys::ioctl(
        open_subvolume(path)?.as_fd(),
        &abi::SET_RECEIVED_SUBVOL,
        &mut args,
    );
    let doing = || format!("cannot set the received UUID of {}", shown(path));
    explained(
        set,
        doing,
        &[
            (libc::EROFS, "it is read-only already", None),
            (libc::EPERM, "only its owner or root may", None),
        ],
    )
}

/// Writes the send stream of a read-only subvolume without its data (`btrfs send --no-data`),
/// protocol 1, relative to the subvolume with the number `parent` if there is one, and with clones from
/// those with the numbers `clones` beside it. Blocks until the whole stream is in the pipe: the reader must be
/// another thread or process.
///
/// # Errors
/// What the kernel says: EPERM if we are not root or one of them is read-write.
pub fn send_metadata(
    snapshot: &File,
    parent: Option<u64>,
    clones: &[u64],
    out: BorrowedFd,
) -> io::Result<()> {
    send(snapshot, parent, clones, out, abi::SEND_NO_FILE_DATA, 0)
}

/// Writes the send stream as `btrfs send` does; with `compressed`, in protocol 2 and with extents as
/// they are. Blocks as [`send_metadata`] does.
///
/// # Errors
/// As there.
pub fn send_stream(
    snapshot: &File,
    parent: Option<u64>,
    clones: &[u64],
    out: BorrowedFd,
    compressed: bool,
) -> io::Result<()> {
    let (flags, version) = match compressed {
        true => (abi::SEND_VERSION | abi::SEND_COMPRESSED, 2),
        false => (0, 0),
    };
    send(snapshot, parent, clones, out, flags, version)
}

fn send(
    snapshot: &File,
    parent: Option<u64>,
    clones: &[u64],
    out: BorrowedFd,
    flags: u64,
    version: u32,
) -> io::Result<()> {
    // As `btrfs send -p` has it, the parent is also a clone source.
    let sources: Vec<u64> = parent.into_iter().chain(clones.iter().copied()).collect();
    let mut args = abi::Send {
        out: out.as_raw_fd().into(),
        clone_sources_count: sources.len() as u64,
        clone_sources: sources.as_ptr().expose_provenance() as u64,
        parent: parent.unwrap_or(0),
        flags,
        version,
        ..zeroed()
    };
    sys::ioctl(snapshot.as_fd(), &abi::SEND, &mut args)
}

/// Opens what must be a subvolume.
pub(super) fn open_subvolume(path: &Path) -> Result<File> {
    let file = open_dir(path)?;
    if is_subvolume(&file).doing(|| format!("cannot read {}", shown(path)))? {
        return Ok(file);
    }
    Err(Error::failed(shown(path), "is not a subvolume"))
}

/// One name, not a path, as a field of the kernel's structures.
fn field<const N: usize>(name: &OsStr, doing: impl FnOnce() -> String) -> Result<[u8; N]> {
    let name = name.as_bytes();
    let wrong = |said: &str| Err(Error::failed(doing(), said));
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return wrong("the last part of its path is not a name");
    }
    match abi::named(name) {
        Some(field) if name.len() <= abi::NAME_MAX => Ok(field),
        _ => wrong("the name is longer than 255 bytes, or contains a zero byte"),
    }
}

/// An error of the kernel in words that fit the request, each with the way out if there is one.
fn explained(
    answer: io::Result<()>,
    doing: impl FnOnce() -> String,
    words: &[(i32, &str, Option<&str>)],
) -> Result<()> {
    let Err(error) = answer else { return Ok(()) };
    let error = Error::io(doing(), error);
    let known = |(errno, ..): &&(i32, _, _)| error.cause == Some(Cause::Errno(*errno));
    Err(match words.iter().find(known) {
        Some((_, said, hint)) => Error {
            said: (*said).to_owned(),
            hint: hint.map(Box::from),
            ..error
        },
        None => error,
    })
}
