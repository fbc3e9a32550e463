//! Where what is remembered of a filesystem lies, and the locks of its directories: found and reached
//! by descriptors, so that nobody but root has a say in it. Knows no record.

use crate::btrfs::{self, Filesystem};
use crate::digest::sha256;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys::dir::{Stat, open_at, stat_at};
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
/// Where locks are, unless `BUTTERSINK_RUN_DIR` says otherwise.
const RUN: &str = "/run/buttersink";
const DIRECTORY: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// A state directory, held open.
#[derive(Debug)]
pub(super) struct Home {
    file: File,
    /// For people.
    name: PathBuf,
}

impl Home {
    /// The path of a file in it, by its descriptor.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let fd = self.file.as_raw_fd();
        format!("/proc/self/fd/{fd}/{name}").into()
    }

    /// The directory itself.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// That path for people.
    pub(super) fn shown(&self, name: &str) -> String {
        shown(self.name.join(name))
    }

    /// The state of the filesystem that `dir` is on, at the root of the mount by which it is reached,
    /// or in `dir` where others may write to that root. `None` if there is none and none is made.
    ///
    /// # Errors
    /// If there is no place that is root's alone, or it may not be read.
    pub(super) fn of(dir: &Path, make: bool) -> Result<Option<Home>> {
        let doing = || format!("cannot open the state of {}", shown(dir));
        let file = File::open(dir).doing(doing)?;
        let root = btrfs::mount_root(file.as_fd()).filter(|(root, _)| is_roots(root.as_fd()));
        let (above, name) = match root {
            Some(root) => root,
            None if all_roots(dir).doing(doing)? => (file, dir.to_owned()),
            None if !make => return Ok(None),
            None => return Err(no_place(dir, file.as_fd())),
        };
        Home::in_directory(above.as_fd(), &name, make).map_err(|error| refused(error, doing()))
    }

    fn in_directory(above: BorrowedFd, name: &Path, make: bool) -> io::Result<Option<Home>> {
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
        let home = Home { file, name };
        if make && open {
            std::fs::set_permissions(home.path("."), Permissions::from_mode(0o700))?;
        }
        Ok(Some(home))
    }

    /// The state directory that earlier releases had in every destination, if it is another than this
    /// one and nobody but root could write to it.
    pub(super) fn old(dir: &Path, new: Option<&Home>) -> Option<Home> {
        let file = File::open(dir).ok()?;
        let file =
            File::from(open_at(file.as_fd(), STATE.as_bytes(), DIRECTORY | libc::O_PATH).ok()?);
        let place = |file: &File| Some((file.metadata().ok()?.dev(), file.metadata().ok()?.ino()));
        let same = new.is_some_and(|new| place(&new.file) == place(&file));
        let name = dir.join(STATE);
        (is_roots(file.as_fd()) && !same).then_some(Home { file, name })
    }

    /// Whether we may read what is in it.
    pub(super) fn is_readable(&self) -> bool {
        let denied = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
        !std::fs::read_dir(self.path(".")).is_err_and(denied)
    }

    /// Removes it, if nothing is in it.
    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_dir(self.name)
    }
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
pub(super) fn read_only(doing: String) -> Error {
    let said = "the directory is read-only: a snapshot, or on a filesystem that is mounted so (dmesg \
                tells if the kernel made it so after an error)";
    Error::failed(doing, said)
}

/// What a directory is called in names of locks and marks: the same by whichever mount it is reached,
/// and whatever is renamed above it.
///
/// # Errors
/// If it is no directory on btrfs.
pub(super) fn key(dir: &Path) -> Result<String> {
    let doing = || format!("cannot read about {}", shown(dir));
    let filesystem = Filesystem::open(dir)?;
    let subvolume = btrfs::root_id(filesystem.fd()).doing(doing)?;
    let inode = stat(filesystem.fd()).doing(doing)?.ino;
    let text = format!("{} {subvolume} {inode}", filesystem.fsid()?);
    Ok(digest(text.as_bytes()))
}

/// Half of a SHA-256: enough to tell names apart.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    hex(&digest[..16])
}

/// Opens the lock file of a directory, making it if need be.
pub(super) fn open_lock(dir: &Path) -> Result<File> {
    let run = run_dir();
    let doing = || format!("cannot open a lock in {}", shown(&run));
    // A rescue system may begin without /run.
    if let Some(above) = run.parent() {
        let mut usual = DirBuilder::new();
        usual
            .recursive(true)
            .mode(0o755)
            .create(above)
            .doing(doing)?;
    }
    match DirBuilder::new().mode(0o700).create(&run) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).doing(doing),
        _ => {}
    }
    let found = run.symlink_metadata().doing(doing)?;
    if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
        let said = "it is not a directory that is root's alone: remove it";
        return Err(Error::refused(doing(), said));
    }
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.write(true).create(true).truncate(false);
    options.open(lock_path(dir)?).doing(doing)
}

/// Where the lock of a directory is, if it has one.
pub(super) fn lock_path(dir: &Path) -> Result<PathBuf> {
    Ok(run_dir().join(format!("{}.lock", key(dir)?)))
}

fn run_dir() -> PathBuf {
    let other = std::env::var_os("BUTTERSINK_RUN_DIR");
    other.map_or_else(|| RUN.into(), PathBuf::from)
}

/// The directories from the root of the mount to this one.
pub(super) fn ancestors(dir: &Path) -> Vec<&Path> {
    let root = File::open(dir).ok();
    let root = root.and_then(|file| btrfs::mount_root(file.as_fd()));
    let inside = |above: &&Path| root.as_ref().is_none_or(|(_, at)| above.starts_with(at));
    dir.ancestors().filter(inside).collect()
}

/// Whether a path leads into a state directory.
pub(super) fn is_inside(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == OsStr::new(STATE))
}
