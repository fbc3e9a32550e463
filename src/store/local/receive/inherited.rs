//! What a new subvolume has before anything is received into it: it inherits properties, and with
//! some kernels a default ACL, from where it is made. Its source has none of that, and everything in it
//! would inherit it in turn.

use crate::btrfs;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::sys;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The inode of the top directory of every subvolume.
const TOP: u64 = 256;

/// The extended attributes that a subvolume made as `name` in `dir` inherits. Which those are differs from
/// kernel to kernel, so one is made to see, if there is anything to inherit.
pub(super) fn by_new_subvolume(dir: &Path, name: &OsStr) -> Result<Vec<Vec<u8>>> {
    if !may_leave_something(dir)? {
        return Ok(Vec::new());
    }
    btrfs::create_subvolume(dir, name)?;
    let made = dir.join(name);
    let id = btrfs::subvolume(&made)?.id;
    let found = inheritable(&made);
    btrfs::delete_subvolume(&made, id)?;
    found
}

/// Whether the directory, or one above it up to the top of its subvolume, has what can be inherited;
/// also if that top cannot be seen from here.
fn may_leave_something(dir: &Path) -> Result<bool> {
    let stat = |dir: &Path| {
        let metadata = dir.metadata();
        metadata.doing(|| format!("cannot read {}", shown(dir)))
    };
    let device = stat(dir)?.dev();
    for dir in dir.ancestors() {
        let here = stat(dir)?;
        if here.dev() != device || !inheritable(dir)?.is_empty() {
            return Ok(true);
        }
        if here.ino() == TOP {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Names of the extended attributes of a directory that are passed on to what is made in it.
fn inheritable(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let doing = || format!("cannot read the attributes of {}", shown(dir));
    let file = File::open(dir).doing(doing)?;
    let all = sys::dir::xattrs_at(file.as_fd(), b".").doing(doing)?;
    let names = all.into_iter().map(|(name, _)| name);
    Ok(names
        .filter(|name| name.starts_with(b"system.posix_acl_") || name.starts_with(b"btrfs."))
        .collect())
}
