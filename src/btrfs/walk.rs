//! Which subvolumes there are for somebody who is not root: down from a directory, subvolume by
//! subvolume. Knows what that cannot see, and says so.

use super::abi::{self, zeroed};
use super::subvolume::{Coverage, Subvolume, Subvolumes, subvolume_of};
use super::{Filesystem, as_path, is_subvolume, mounts};
use crate::snapshot::shown;
use crate::sys;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What somebody who is not root may see: from a directory downward, subvolume by subvolume.
struct Walk {
    /// The path of the directory from the top of the filesystem, as far as known.
    top: PathBuf,
    all: Vec<Subvolume>,
    /// Subvolumes that exist, and whose path the kernel would not tell.
    hidden: u64,
    /// Subvolumes whose path is known, and that may not be opened.
    closed: Vec<PathBuf>,
}

/// Everything below the directory that may be seen.
pub(super) fn below(filesystem: &Filesystem) -> io::Result<Subvolumes> {
    let top = mounts::path_from_top(filesystem.fd());
    let top_is_known = top.is_some();
    let mut walk = Walk {
        top: top.unwrap_or_default(),
        all: Vec::new(),
        hidden: 0,
        closed: Vec::new(),
    };
    if is_subvolume(&filesystem.file)? {
        let found = subvolume_of(filesystem.fd())?;
        walk.found(PathBuf::new(), found);
    }
    walk.enter(filesystem, &filesystem.file, Path::new(""))?;
    let mut notes = walk.notes(filesystem.dir());
    if !top_is_known {
        notes.push("the mount cannot be seen from here, so that paths start below it".to_owned());
    }
    let coverage = match walk.hidden == 0 && walk.closed.is_empty() {
        true => Coverage::Below,
        false => Coverage::Part,
    };
    let mut all = walk.all;
    all.sort_by_key(|subvolume| subvolume.id);
    Ok(Subvolumes {
        all,
        coverage,
        notes,
        unread: Vec::new(),
    })
}

impl Walk {
    /// Adds what is below an open directory, which is at `path` from where we started.
    fn enter(&mut self, filesystem: &Filesystem, dir: &File, path: &Path) -> io::Result<()> {
        for child in root_refs(dir.as_fd())? {
            match lookup_user(dir.as_fd(), child) {
                Ok(inside) => self.open(filesystem, child.tree, &path.join(inside))?,
                Err(error) if is_refusal(&error) => self.hidden += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds one subvolume and what is below it.
    fn open(&mut self, filesystem: &Filesystem, id: u64, path: &Path) -> io::Result<()> {
        let dir = match File::open(filesystem.dir().join(path)) {
            Ok(dir) => dir,
            Err(error) if is_refusal(&error) => {
                self.closed.push(path.to_owned());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Something else may be mounted over it.
        let found = subvolume_of(dir.as_fd()).ok();
        let Some(found) = found.filter(|found| found.id == id) else {
            self.closed.push(path.to_owned());
            return Ok(());
        };
        self.found(path.to_owned(), found);
        self.enter(filesystem, &dir, path)
    }

    fn found(&mut self, below: PathBuf, mut subvolume: Subvolume) {
        subvolume.path = self.top.clone();
        // Pushing an empty path would put a slash at the end.
        if !below.as_os_str().is_empty() {
            subvolume.path.push(&below);
        }
        subvolume.below = Some(below);
        self.all.push(subvolume);
    }

    fn notes(&self, dir: &Path) -> Vec<String> {
        let mut notes = vec![format!(
            "not run as root: only subvolumes below {} that may be entered are listed, without \
             sizes and levels; sudo shows all",
            shown(dir)
        )];
        if self.hidden > 0 {
            notes.push(format!(
                "not listed: subvolumes elsewhere or in directories that may not be entered, {}",
                self.hidden
            ));
        }
        if let Some(first) = self.closed.first() {
            notes.push(format!(
                "not listed: subvolumes that may not be read or that a mount hides, {}, such as {}",
                self.closed.len(),
                shown(first)
            ));
        }
        notes
    }
}

/// Somebody's permissions, somebody's removal, or a disk that does not give it: what is left is still worth
/// listing.
fn is_refusal(error: &io::Error) -> bool {
    let one_only = [libc::ENOENT, libc::ENOTDIR, libc::ENAMETOOLONG];
    let damaged = [libc::EIO, libc::EUCLEAN];
    let denied = [libc::EACCES, libc::EPERM];
    let known = one_only.iter().chain(&damaged).chain(&denied);
    error
        .raw_os_error()
        .is_some_and(|errno| known.into_iter().any(|one| *one == errno))
}

/// The subvolumes directly in the one that an open file is in.
fn root_refs(file: BorrowedFd) -> io::Result<Vec<abi::RootRef>> {
    let mut all = Vec::new();
    let mut args: abi::RootRefs = zeroed();
    loop {
        let answer = sys::ioctl(file, &abi::GET_SUBVOL_ROOTREF, &mut args);
        let found = args.refs.iter().take(args.items.into());
        match answer {
            Ok(()) => {
                all.extend(found);
                return Ok(all);
            }
            // There are more than fit; the answer is filled in all the same.
            Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => all.extend(found),
            Err(error) => return Err(error),
        }
        args.min_tree = all
            .last()
            .map_or(u64::MAX, |last: &abi::RootRef| last.tree + 1);
    }
}

/// The path of a subvolume relative to an open directory that it is somewhere below, with no
/// other subvolume between them.
fn lookup_user(dir: BorrowedFd, child: abi::RootRef) -> io::Result<PathBuf> {
    let mut args = abi::InoLookupUser {
        dir: child.dir,
        tree: child.tree,
        ..zeroed()
    };
    sys::ioctl(dir, &abi::INO_LOOKUP_USER, &mut args)?;
    let name = OsStr::from_bytes(abi::text(&args.name));
    Ok(as_path(abi::text(&args.path)).join(name))
}
