//! What a store is, how a location is written, and which store stands behind it.
//! Knows the kinds of store by name only; how each works is its own business.

pub mod s3;

use crate::error::Result;
use crate::snapshot::{Diff, Listing, Size};
use std::io::{Read, Write};
use std::path::Path;

/// Something that holds snapshots: a directory of a btrfs filesystem, a prefix of a bucket, a
/// directory at the other end of a pipe.
pub trait Store {
    /// Everything that is there, in one reading.
    ///
    /// # Errors
    /// If it cannot be read. What could be read only in part is a note in the listing.
    fn list(&mut self) -> Result<Listing>;

    /// The exact stream lengths of diffs between listed snapshots, in the order asked.
    ///
    /// # Errors
    /// If one of them cannot be measured.
    fn measure(&mut self, diffs: &[Diff]) -> Result<Vec<Size>>;

    /// The stream of a diff between listed snapshots. End of stream means complete: reading
    /// returns `Ok(0)` only when every byte was delivered and its producer succeeded.
    ///
    /// # Errors
    /// If it cannot be started. Later errors come from reading.
    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>>;

    /// Somewhere to write a diff's stream so that its snapshot appears at `path`, durably, when
    /// the sink is finished, and not before.
    ///
    /// # Errors
    /// If the name is taken, the parent is missing or altered, space is short, or it cannot start.
    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>>;

    /// Makes a second copy of a snapshot under another name, without moving data through us.
    ///
    /// # Errors
    /// If `from` is missing, `to` is taken, or the store refuses.
    fn copy(&mut self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a snapshot or a leftover.
    ///
    /// # Errors
    /// If it is missing or the store refuses.
    fn delete(&mut self, path: &Path) -> Result<()>;
}

/// Takes a stream. Drop means abort: what is written does not exist until [`Sink::finish`].
pub trait Sink: Write {
    /// Makes what was written exist, durably.
    ///
    /// # Errors
    /// If it is incomplete, damaged or cannot be kept. Then nothing exists.
    fn finish(self: Box<Self>) -> Result<Receipt>;
}

/// What a finished sink can say about what it kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// Bytes of the stream.
    pub bytes: u64,
}

/// What a run may do to a store; `--mode r|a|w` of a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// List, measure, send.
    Read,
    /// Also receive what is new.
    Append,
    /// Also delete.
    Write,
}
