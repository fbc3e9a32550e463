//! The directory in which what is remembered of a filesystem lies: found and reached by descriptors, so
//! that nobody but root has a say in it, and its files, read and written whole. Knows no record.

use crate::btrfs::{self, Filesystem};
use crate::digest::sha256;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys::dir::{Stat, open_at, stat_at};
use crate::sys::secure_open;
use crate::sys::whole_file;
use crate::text::hex;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// The name of the directory that holds what is remembered of a filesystem.
pub const STATE: &str = ".buttersink";
const DIRECTORY: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// As many bytes as a state file may have: the seals of half a million snapshots.
const LONGEST: u64 = 64 << 20;

/// A state directory, held open.
#[derive(Debug)]
pub(crate) struct StateDir {
    file: File,
    /// The path of the directory, for people.
    name: PathBuf,
}

impl StateDir {
    /// The path of a file in it, by its descriptor.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let fd = self.file.as_raw_fd();
        format!("/proc/self/fd/{fd}/{name}").into()
    }

    /// The directory itself.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// That path for people.
    pub(crate) fn shown(&self, name: &str) -> String {
        shown(self.place(name))
    }

    /// Where something in it is, by the way that it was found.
    pub(crate) fn place(&self, name: impl AsRef<Path>) -> PathBuf {
        self.name.join(name)
    }

    /// The state of the filesystem that `dir` is on, at the root of the mount by which it is reached,
    /// or in `dir` where others may write to that root. `None` if there is none and none is made.
    ///
    /// # Errors
    /// If there is no place that is root's alone, or it may not be read.
    pub(crate) fn of(dir: &Path, make: bool) -> Result<Option<StateDir>> {
        let doing = || format!("cannot open the state of {}", shown(dir));
        let file = File::open(dir).doing(doing)?;
        let root = btrfs::mount_root(file.as_fd()).filter(|(root, _)| is_roots(root.as_fd()));
        let (above, name) = match root {
            Some(root) => root,
            None if all_roots(dir).doing(doing)? => (file, dir.to_owned()),
            None if !make => return Ok(None),
            None => return Err(no_place(dir, file.as_fd())),
        };
        StateDir::in_directory(above.as_fd(), &name, make).map_err(|error| refused(error, doing()))
    }

    fn in_directory(above: BorrowedFd, name: &Path, make: bool) -> io::Result<Option<StateDir>> {
        let by_descriptor = format!("/proc/self/fd/{}/{STATE}", above.as_raw_fd());
        if make
            && let Err(error) = DirBuilder::new().mode(0o700).create(by_descriptor)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let file = match open_at(above, STATE.as_bytes(), DIRECTORY | libc::O_PATH) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.uid() != 0 {
            let said = format!("{} is not root's", shown(name.join(STATE)));
            return Err(io::Error::other(said));
        }
        let open = file.metadata()?.mode() & 0o077 != 0;
        let name = name.join(STATE);
        let state = StateDir { file, name };
        if make && open {
            std::fs::set_permissions(state.path("."), Permissions::from_mode(0o700))?;
        }
        Ok(Some(state))
    }

    /// The state directory that earlier releases had in every destination, if it is another than this
    /// one and nobody but root could write to it.
    pub(crate) fn old(dir: &Path, new: Option<&StateDir>) -> Option<StateDir> {
        let file = File::open(dir).ok()?;
        let file =
            File::from(open_at(file.as_fd(), STATE.as_bytes(), DIRECTORY | libc::O_PATH).ok()?);
        let place = |file: &File| Some((file.metadata().ok()?.dev(), file.metadata().ok()?.ino()));
        let same = new.is_some_and(|new| place(&new.file) == place(&file));
        let name = dir.join(STATE);
        (is_roots(file.as_fd()) && !same).then_some(StateDir { file, name })
    }

    /// Whether we may read what is in it.
    pub(crate) fn is_readable(&self) -> bool {
        let denied = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
        !std::fs::read_dir(self.path(".")).is_err_and(denied)
    }

    /// That of a directory, made if need be.
    pub(crate) fn made(dir: &Path) -> Result<StateDir> {
        let none = || {
            Error::failed(
                format!("cannot open the state of {}", shown(dir)),
                "it is gone",
            )
        };
        StateDir::of(dir, true)?.ok_or_else(none)
    }

    /// The text of a file in it; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>> {
        let content = || {
            let mut file = self.open(name, options().read(true))?;
            let bytes = secure_open::read_bounded(&mut file, LONGEST)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        match content() {
            Err::<String, std::io::Error>(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => text
                .map(Some)
                .doing(|| format!("cannot read {}", self.shown(name))),
        }
    }

    /// An ordinary file in it that is not longer than what is read of one.
    pub(crate) fn open(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        let file = options.open(self.path(name))?;
        let found = file.metadata()?;
        match (found.is_file(), found.len() > LONGEST) {
            (true, false) => Ok(file),
            (true, true) => Err(secure_open::too_long(LONGEST)),
            (false, _) => Err(secure_open::no_file()),
        }
    }

    /// Removes a file in it, if it is there.
    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).doing(|| format!("cannot remove {}", self.shown(name)))
            }
            _ => Ok(()),
        }
    }

    /// Gives a file in it new content, durably, and all of it or nothing.
    pub(crate) fn replace(&self, name: &str, text: &str) -> Result<()> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let written = whole_file::write_whole(&path, &new, 0o600, text.as_bytes());
        written.doing(|| format!("cannot write {}", self.shown(name)))
    }

    /// Removes it, if nothing is in it.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_dir(self.name)
    }
}

/// No links are followed, and nothing waits for the other end of a pipe that lies where a file should.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

fn stat(file: BorrowedFd) -> io::Result<Stat> {
    stat_at(file, b"")
}

/// Nobody but root can make, rename or remove anything in it.
fn is_roots(dir: BorrowedFd) -> bool {
    stat(dir).is_ok_and(|stat| stat.uid == 0 && stat.mode & 0o022 == 0)
}

/// Nobody but root can put another directory in its place, either.
fn all_roots(dir: &Path) -> io::Result<bool> {
    let mut at = File::open("/")?;
    for part in dir.canonicalize()?.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        let above = stat(at.as_fd())?;
        // Where the sticky bit is set, what is root's stays.
        if above.uid != 0 || above.mode & 0o022 != 0 && above.mode & 0o1000 == 0 {
            return Ok(false);
        }
        at = open_at(at.as_fd(), name.as_bytes(), DIRECTORY)?.into();
    }
    Ok(is_roots(at.as_fd()))
}

fn no_place(dir: &Path, file: BorrowedFd) -> Error {
    let root = btrfs::mount_root(file).map(|(_, at)| at);
    let root = root.as_deref().unwrap_or(dir);
    let said = format!(
        "others than root can write to {}, and to {} or to a directory above it, so that seals could be \
         forged there: chown root and chmod go-w one of the two",
        shown(root),
        shown(dir)
    );
    Error::refused(format!("cannot keep the state of {}", shown(dir)), said)
}

/// Nothing can be received where nothing can be written.
fn refused(error: io::Error, doing: String) -> Error {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => read_only(doing),
        _ => Error::io(doing, error),
    }
}

/// A directory that nothing can be written to.
pub(crate) fn read_only(doing: String) -> Error {
    let said = "the directory is read-only: a snapshot, or on a filesystem that is mounted so (dmesg \
                tells if the kernel made it so after an error)";
    Error::failed(doing, said)
}

/// What a directory is called in names of locks and marks: the same by whichever mount it is reached,
/// and whatever is renamed above it.
///
/// # Errors
/// If it is no directory on btrfs.
pub(crate) fn key(dir: &Path) -> Result<String> {
    let doing = || format!("cannot read about {}", shown(dir));
    let filesystem = Filesystem::open(dir)?;
    let subvolume = btrfs::root_id(filesystem.fd()).doing(doing)?;
    let inode = stat(filesystem.fd()).doing(doing)?.ino;
    let text = format!("{} {subvolume} {inode}", filesystem.fsid()?);
    Ok(digest(text.as_bytes()))
}

/// Half of a SHA-256: enough to tell names apart.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    hex(&digest[..16])
}

/// The directories from the root of the mount to this one.
pub(crate) fn ancestors(dir: &Path) -> Vec<&Path> {
    let root = File::open(dir).ok();
    let root = root.and_then(|file| btrfs::mount_root(file.as_fd()));
    let inside = |above: &&Path| root.as_ref().is_none_or(|(_, at)| above.starts_with(at));
    dir.ancestors().filter(inside).collect()
}

/// Whether a path leads into a state directory.
pub(crate) fn is_inside(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == OsStr::new(STATE))
}
