//! Whether a diff is certain to be shorter than the whole, by what the kernel says of the two snapshots and by
//! what is in their trees. Makes no stream.

use crate::btrfs;
use crate::error::{Doing, Result};
use crate::snapshot::{Diff, shown};
use crate::store::local::Local;
use std::os::fd::AsFd;

/// About how many bytes a diff has that is certain to be shorter than the whole. Nothing is certain unless both
/// are snapshots of one subvolume, made here, the parent first: then the two share what is older than that.
pub(in crate::store::local) fn less_than_whole(local: &Local, diff: &Diff) -> Result<Option<u64>> {
    let Some(from) = diff.from else {
        return Ok(None);
    };
    let doing = || format!("cannot look at {}", shown(&local.dir));
    let (to, parent) = (local.open_listed(diff.to)?, local.open_listed(from)?);
    let now = btrfs::subvolume_of(to.as_fd()).doing(doing)?;
    let then = btrfs::subvolume_of(parent.as_fd()).doing(doing)?;
    // Whatever was deleted since took more in the parent's tree than it takes in a stream.
    let deleted = local.find(from)?.tree_bytes;
    if deleted == 0 || !then.is_older_sibling(&now) {
        return Ok(None);
    }
    btrfs::less_than_whole(to.as_fd(), then.otransid, deleted).doing(doing)
}
