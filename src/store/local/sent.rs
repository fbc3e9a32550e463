//! What `btrfs send` sends: that it is what was listed, and what its errors mean. Starts nothing.

use crate::error::{Error, Kind, Result};
use crate::snapshot::{Snapshot, Uuid, shown};
use std::io::{self, Read};

/// A name may have been given to another snapshot since it was listed, as by those who rotate
/// `daily.0` to `daily.1`. The kernel names the two that it really sends.
pub(super) fn must_be(listed: &Snapshot, uuid: Uuid, doing: &str) -> Result<()> {
    match uuid == listed.uuid || uuid == listed.id() {
        true => Ok(()),
        false => Err(not_as_listed(listed, doing)),
    }
}

/// The parent at the other side is what was listed. The generation of a received one moves with
/// the first sync after it came, and so tells nothing.
pub(super) fn unaltered(parent: &Snapshot, ctransid: u64, doing: &str) -> Result<()> {
    match parent.received_uuid.is_some() || ctransid == parent.ctransid {
        true => Ok(()),
        false => Err(not_as_listed(parent, doing)),
    }
}

pub(super) fn not_as_listed(listed: &Snapshot, doing: &str) -> Error {
    let name = shown(&listed.path);
    let said = format!("{name} was renamed, replaced or altered since it was listed: run it again");
    Error::refused(doing, said)
}

/// A stream from `btrfs send` on this machine, where damage can only mean that the kernel
/// started it afresh: a pipe loses nothing.
pub(super) struct FromKernel<R> {
    pub(super) stream: R,
    pub(super) doing: String,
}

impl<R: Read> Read for FromKernel<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream
            .read(buf)
            .map_err(|error| match error.downcast::<Error>() {
                Ok(ours) => restarted(ours, &self.doing).into(),
                Err(other) => other,
            })
    }
}

pub(super) fn restarted(error: Error, doing: &str) -> Error {
    match error.kind {
        Kind::Damaged | Kind::Restarted => {
            let said = format!(
                "the kernel started the stream afresh in the middle, as it does when btrfs send is stopped, frozen or \
                 suspended ({error})"
            );
            Error::new(Kind::Restarted, doing, said)
        }
        // What `btrfs send` cannot make, it may make out of another parent.
        Kind::Failed if !error.said.contains("it ended with signal") => Error {
            kind: Kind::Unreceivable,
            ..error
        },
        _ => error,
    }
}
