//! What of a snapshot is read ahead of `btrfs send`: what the diff has beyond its parent. Where that cannot be
//! told, nothing is.

use crate::btrfs::{self, SendPosition, SendScope};
use crate::error::{Doing, Result};
use crate::log;
use crate::process::Priority;
use crate::snapshot::{Diff, shown};
use crate::store::local::Local;
use crate::sys;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// A thread that reads ahead of a sender, and stops when it is dropped.
pub(super) struct ReadAhead {
    position: Arc<SendPosition>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Begins to read ahead for a diff. `None` where nothing would be won: with clone sources, most of what is not
    /// in the parent is not read either.
    pub(super) fn start(local: &Local, diff: &Diff) -> Option<ReadAhead> {
        let wanted = match diff.clones[..] {
            [] => wanted_for(local, diff),
            _ => Ok(None),
        };
        let wanted = wanted.unwrap_or_else(|error| {
            not_possible(&error);
            None
        })?;
        let polite = local.options.priority == Priority::Background;
        let position = Arc::new(SendPosition::default());
        let seen = Arc::clone(&position);
        let read = move || {
            sys::quiet_thread();
            if polite {
                sys::yield_to_others();
            }
            btrfs::read_ahead(&wanted, &seen).unwrap_or_else(|error| not_possible(&error));
        };
        let thread = Builder::new().name("read ahead".to_owned()).spawn(read);
        let thread = thread.map_err(|error| not_possible(&error)).ok();
        Some(ReadAhead { position, thread })
    }

    /// The sender has come to this byte of a file: an inode number and an offset.
    pub(super) fn reached(&self, place: (u64, u64)) {
        self.position.reach(place);
    }

    /// The sender needs nothing more: what was read is let go of while what was sent is made durable.
    pub(super) fn ended(&self) {
        self.position.end();
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.position.end();
        // A panic in it was printed, and nothing was lost but time.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What is not read ahead is read by `btrfs send` all the same.
fn not_possible(error: &dyn Display) {
    log::line(|| format!("nothing is read ahead: {error}"));
}

fn wanted_for(local: &Local, diff: &Diff) -> Result<Option<SendScope>> {
    let snapshot = local.open_listed(diff.to)?;
    let since = match diff.from {
        None => Some(0),
        Some(from) => {
            let doing = || format!("cannot look at {}", shown(&local.dir));
            let now = btrfs::subvolume_of(snapshot.as_fd()).doing(doing)?;
            let then = btrfs::subvolume_of(local.open_listed(from)?.as_fd()).doing(doing)?;
            last_shared(&now, &then)
        }
    };
    Ok(since.map(|since| SendScope {
        snapshot,
        since,
        compressed: local.sends_compressed(),
    }))
}

/// The last transaction of which both have all: the one before a snapshot of the other was made, or, of
/// snapshots of one subvolume, the one that made the first of them.
fn last_shared(now: &btrfs::Subvolume, then: &btrfs::Subvolume) -> Option<u64> {
    if now.parent_uuid == Some(then.uuid) {
        return now.otransid.checked_sub(1);
    }
    then.is_older_sibling(now).then_some(then.otransid)
}
