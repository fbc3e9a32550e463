//! What a store is, and what those above see of stores. Knows the kinds of store by name only; how
//! each works is its own business.

mod absent;
mod access;
mod archives;
pub mod bucket;
pub mod file_digests;
pub mod local;
mod location;
mod open;
mod options;
mod receipt;
pub(crate) mod wire;

pub mod remote;
pub mod serve;

use crate::archive::{ByHand, Thaw, Thawing};
use crate::error::{Error, Result};
use crate::limiter::Limiter;
use crate::proof::{Depth, Finding, Verdict, Watched};
use crate::snapshot::{Diff, Listing, Origin, Origins, Sizes, Snapshot, Uuid, shown};
pub use access::Access;
pub(crate) use access::Right;
pub use archives::{Archive, ArchiveSettings, Chain};
pub use bucket::lifecycle::BucketRemark;
pub use bucket::refuse_folder;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use bucket::{fuzz_hints, fuzz_keys, fuzz_names};
pub use file_digests::Rejected;
use file_digests::{Digest, Looking};
pub use local::{ReceiveWith, RestoreTarget, Scratch, builtin_send};
pub use location::{Address, Location, Place};
pub use open::{
    StoreAndArchives, Terms, bucket_remarks, open, open_all, open_archive, serve_directory,
    try_writing,
};
pub use options::{
    BucketOptions, Checksum, Concurrency, LocalOptions, Sse, SshOptions, StoreOptions, check_part,
};
pub use receipt::{Parts, Receipt};
pub use serve::{Grant, Quota};
use std::io::{Read, Write};
use std::path::Path;
pub use wire::Hello;

/// What is recorded on this machine's filesystems, for who looks at them without a store.
pub mod records {
    pub use super::local::{STATE, origins, states};
}

/// Something that holds snapshots: a directory of a btrfs filesystem, a prefix of a bucket, a
/// directory at the other end of a pipe.
pub trait Store {
    /// Everything that is there, in one reading.
    ///
    /// # Errors
    /// If it cannot be read. What could be read only in part is a note in the listing.
    fn list(&mut self) -> Result<Listing>;

    /// The exact stream lengths of diffs between listed snapshots, and which of them nobody can receive.
    ///
    /// Of a diff that is asked about as [`crate::snapshot::Size::Beyond`] it is enough to know whether it is.
    ///
    /// # Errors
    /// If one of them cannot be measured.
    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes>;

    /// About how many bytes the stream of a diff between listed snapshots has, where it is certain without measuring
    /// it that the whole stream of the same snapshot has more.
    ///
    /// # Errors
    /// If it cannot be looked at.
    fn less_than_whole(&mut self, _diff: &Diff) -> Result<Option<u64>> {
        Ok(None)
    }

    /// The stream of a diff between listed snapshots. End of stream means complete: reading
    /// returns `Ok(0)` only when every byte was delivered and its producer succeeded.
    ///
    /// # Errors
    /// If it cannot be started. Later errors come from reading.
    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>>;

    /// What will be sent next, in this order, and what may be begun already; nothing else may stay begun. Nothing
    /// is promised by it: what cannot be begun says so when it is sent.
    fn expect(&mut self, _next: &[Diff]) {}

    /// What streams from and to it move at, where it does not see to that itself.
    fn limiter(&self) -> Option<Limiter> {
        None
    }

    /// Tells whether what is going to be received is compared with its source before it counts as sent:
    /// until [`Store::settle`] says how that went, it is [`crate::snapshot::State::Uncompared`].
    fn will_compare(&mut self, _compare: bool) {}

    /// Tells what is going to be brought here, so that [`Store::list`] says which of it lies elsewhere on
    /// the filesystem and can be copied: [`Listing::elsewhere`].
    fn look_for(&mut self, _ids: Vec<Uuid>) {}

    /// Tells what the snapshots that are going to be received are of, so that it is recorded of them.
    fn attribute(&mut self, _origins: Origins) {}

    /// Whether the stream of a diff is of a sender that mends, whether or not there is anything to mend.
    ///
    /// # Errors
    /// If what is stored cannot be asked.
    fn mends(&mut self, _diff: &Diff) -> Result<bool> {
        Ok(false)
    }

    /// The same as the kernel makes it, with its faults, to be held against what an earlier version
    /// stored. Stores that keep streams have one kind only.
    ///
    /// # Errors
    /// As [`Store::send`] says.
    fn send_unmended(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.send(diff)
    }

    /// Somewhere to write a diff's stream so that its snapshot appears at `path`, durably, when
    /// the sink is finished, and not before.
    ///
    /// # Errors
    /// If the name is taken, the parent is missing or altered, space is short, or it cannot start.
    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>>;

    /// Tells whether what is received from now on may wait for others, to be made durable together with them: what
    /// does so is [`Receipt::held`].
    fn hold(&mut self, _hold: bool) {}

    /// Makes all exist that is held, durably: what exists now, by effective UUIDs. Other than that nothing is
    /// held any more, and it has to be sent again.
    ///
    /// # Errors
    /// If nobody knows what exists, or nothing can be made to.
    fn publish(&mut self) -> Result<Vec<Uuid>> {
        Ok(Vec::new())
    }

    /// Makes a second copy of a snapshot under another name, without moving data through us: a read-only
    /// snapshot of one that is listed, here or as [`Listing::elsewhere`].
    ///
    /// # Errors
    /// If `from` is missing, `to` is taken, or the store refuses.
    fn copy(&mut self, from: &Path, to: &Path) -> Result<()>;

    /// What it takes to receive these diffs, where that is more than their bytes.
    fn effort(&self, _diffs: &[Diff]) -> Option<Effort> {
        None
    }

    /// Makes what is to be sent readable, where it is kept in a class from which it must be thawed: waits
    /// until it is, having asked for it where need be.
    ///
    /// # Errors
    /// [`crate::error::Kind::Partly`] if it takes longer than one wants to wait.
    fn thaw_diffs(
        &mut self,
        _diffs: &[Diff],
        _how: &Thaw,
        _tell: &mut dyn FnMut(Thawing),
    ) -> Result<()> {
        Ok(())
    }

    /// How the stream of a diff that is kept here is received by hand.
    ///
    /// # Errors
    /// If it is not there, or it cannot be asked whether it is frozen.
    fn by_hand(&mut self, _diff: &Diff) -> Result<Option<ByHand>> {
        Ok(None)
    }

    /// What interrupted runs left where only root enters, for other directories of the same filesystem:
    /// each under its absolute path, by which it is deleted.
    ///
    /// # Errors
    /// If the records cannot be read.
    fn quarantined_for_others(&mut self) -> Result<Vec<Snapshot>> {
        Ok(Vec::new())
    }

    /// Removes a snapshot or a leftover.
    ///
    /// # Errors
    /// If it is missing or the store refuses.
    fn delete(&mut self, path: &Path) -> Result<()>;

    /// Records what a snapshot that is there is of.
    ///
    /// # Errors
    /// If it is missing, or that cannot be recorded.
    fn adopt(&mut self, path: &Path, _origin: &Origin) -> Result<()> {
        let said = "what it is of is recorded where it lies: run buttersink adopt there";
        Err(Error::refused(
            format!("cannot adopt {}", shown(path)),
            said,
        ))
    }

    /// Bytes of the streams by which these snapshots came, as far as that was recorded.
    ///
    /// # Errors
    /// If the records cannot be read.
    fn came_by(&mut self, _snapshots: &[Uuid]) -> Result<u64> {
        Ok(0)
    }

    /// Holds every snapshot against what was recorded of it. `watch` hears what is looked at.
    ///
    /// # Errors
    /// If nothing can be checked. What cannot be checked of one snapshot is its verdict.
    fn inspect(&mut self, _depth: Depth, _watch: &mut dyn FnMut(Watched)) -> Result<Vec<Finding>> {
        let words = "nothing is recorded here to hold it against";
        let verdict = || Verdict::Unverifiable(words.to_owned());
        let snapshots = self.list()?.snapshots;
        Ok(snapshots
            .iter()
            .map(|s| Finding::of(s, verdict()))
            .collect())
    }

    /// Whether the files of its snapshots can be looked at: see [`Store::digest`].
    ///
    /// # Errors
    /// If not: why.
    fn has_files(&mut self) -> Result<()> {
        let said = "what is kept there are streams, and there is nothing to compare with before a \
                    restore (restore --verify full compares then)";
        Err(Error::refused("cannot compare", said))
    }

    /// Begins to look at files of a snapshot that was listed or received, so that what another
    /// store sees in its own can be held against them.
    ///
    /// # Errors
    /// If it cannot begin. What cannot be read of it is said in the page.
    fn digest(&mut self, _digest: &Digest) -> Result<Looking<'_>> {
        self.has_files()?;
        Err(Error::failed("cannot compare", "nobody looks at its files"))
    }

    /// What was received at this path is not what was sent: removes it if it came since the store
    /// was opened, or never counted, and otherwise, or if that fails, marks it, so that nothing builds on it.
    ///
    /// # Errors
    /// If neither can be done.
    fn reject(&mut self, path: &Path) -> Result<Rejected> {
        self.delete(path).map(|()| Rejected::Removed)
    }

    /// Whether what is at this path, and altered by its record only, can be sealed anew: see [`Store::settle`].
    fn may_seal(&mut self, _path: &Path) -> bool {
        false
    }

    /// What is at this path was compared with its source, and is the same.
    ///
    /// # Errors
    /// If it was not received there, or that cannot be recorded.
    fn settle(&mut self, _path: &Path) -> Result<()> {
        Ok(())
    }

    /// Gives the snapshot at `new` the name of the one at `old`, which has its identity and lies in
    /// the same directory, and removes that one.
    ///
    /// # Errors
    /// If one is missing, they are not copies of one snapshot, or the store cannot.
    fn exchange(&mut self, _new: &Path, old: &Path) -> Result<()> {
        let doing = format!("cannot replace {}", shown(old));
        Err(Error::refused(
            doing,
            "nothing is exchanged there: delete it, and send it again",
        ))
    }

    /// Whether what is kept of a listed diff at `path` is this stream, without fetching what is
    /// kept; `None` if no stream is kept there.
    ///
    /// # Errors
    /// If the stream fails, or the store cannot be asked.
    fn compare(
        &mut self,
        _path: &Path,
        _diff: &Diff,
        _stream: &mut dyn Read,
    ) -> Result<Option<Verdict>> {
        Ok(None)
    }
}

/// Takes a stream. Drop means abort: what is written does not exist until [`Sink::finish`].
pub trait Sink: Write {
    /// Hears, before the first byte, that the sender mends. Stores of streams write that down.
    fn is_mended(&mut self) {}

    /// Makes what was written exist, durably, or holds it so that [`Store::publish`] does.
    ///
    /// # Errors
    /// If it is incomplete, damaged or cannot be kept. Then nothing exists.
    fn finish(self: Box<Self>) -> Result<Receipt>;
}

/// What it takes to bring streams to a store that charges by the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Effort {
    /// Requests that write something.
    pub requests: u64,
    /// Parts of the streams among them.
    pub parts: u64,
}
