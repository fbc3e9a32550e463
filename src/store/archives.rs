//! What archives can do beside what every store can: say which backups there are, thaw them, and
//! take one away. Knows values; how they are kept is the business of whoever keeps them.

use super::Store;
use crate::archive::{ArchiveState, Backup, Backups, ByHand, Stamp, Stored, Thaw, Thawing};
use crate::error::Result;
use crate::prices::Prices;
use crate::snapshot::{Origin, Uuid};
use std::collections::HashMap;
use std::path::PathBuf;

/// Where the backups of a subvolume lie and how they are written.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with, with or without a slash at its end; `/` for nothing.
    pub prefix: String,
    /// The name of the backups: the last component of the subvolume's path.
    pub name: String,
    /// The directory of the snapshots on the machine that is backed up.
    pub origin: PathBuf,
    /// Bytes at which streams are cut.
    pub chunk_size: u64,
    /// The storage class of chunks; `None` leaves it to the bucket.
    pub class_chunks: Option<String>,
    /// That of manifests and of the pointer.
    pub class_manifest: Option<String>,
    /// A directory in which so many bytes of a stream may wait for the network.
    pub spool: Option<(PathBuf, u64)>,
}

/// A store that holds the backups of one subvolume for years.
pub trait Archive: Store {
    /// Where it is, for a person: `s3://bucket/prefix/subvol/NAME/`.
    fn location(&self) -> String;

    /// What its keys begin with: `prefix/subvol/NAME/`.
    fn folder(&self) -> &str;

    /// What there is: what the last listing had, or a new reading.
    ///
    /// # Errors
    /// If it cannot be read.
    fn backups(&mut self) -> Result<Backups>;

    /// Whether each backup that can be restored can be read at once, by its key; those that are never
    /// frozen are left out.
    ///
    /// # Errors
    /// If it cannot be read.
    fn states(&mut self) -> Result<HashMap<String, ArchiveState>>;

    /// Makes what says which backups there are readable, where that is frozen: waits until it is, having
    /// asked for it where need be.
    ///
    /// # Errors
    /// [`crate::error::Kind::Partly`] if it takes longer than one wants to wait.
    fn thaw_records(&mut self, how: &Thaw, tell: &mut dyn FnMut(Thawing)) -> Result<()>;

    /// Tells which subvolume new backups are of, so that they can be told from another's, and which
    /// UUIDs snapshots of these names have, for backups that do not tell themselves while they are frozen.
    fn know(&mut self, subvolume: Uuid, names: HashMap<String, Uuid>);

    /// Makes it the archive of what this origin's machine backs up, durably, before anything else is
    /// written; `over` takes it from another machine.
    ///
    /// # Errors
    /// If it is another machine's, or the store refuses.
    fn claim(&mut self, ours: &Origin, over: bool) -> Result<()>;

    /// What is paid for it.
    fn prices(&self) -> Prices;

    /// Bytes of memory that a transfer takes at most.
    fn memory(&self) -> u64;

    /// How a backup is received by hand, after those that it builds on.
    fn command(&self, backup: &Backup) -> ByHand;

    /// A backup and all that it builds on, wherever they lie.
    ///
    /// # Errors
    /// If one of them is missing, or is of something else.
    fn chain(&mut self, key: &str) -> Result<Box<dyn Chain>>;

    /// The backup of a time, if nothing builds on it or may do so.
    ///
    /// # Errors
    /// If there is none, or what builds on it.
    fn removable(&mut self, stamp: &Stamp) -> Result<Backup>;

    /// Removes the backup with this key, which must be one that is [`Archive::removable`].
    ///
    /// # Errors
    /// If it is not there, or the store refuses.
    fn remove(&mut self, key: &str) -> Result<()>;
}

/// A backup and all that it builds on, the full one first, as a store that sends them.
pub trait Chain: Store {
    /// The backups. What has no UUID yet has one that stands for it.
    fn links(&self) -> Vec<Backup>;

    /// What each of them is kept in. Those that can be read learn their UUIDs.
    ///
    /// # Errors
    /// If something is missing, or it cannot be read.
    fn stored(&mut self) -> Result<Vec<Vec<Stored>>>;

    /// Makes everything readable from this link on, all at once: waits until it is, having asked for it
    /// where need be.
    ///
    /// # Errors
    /// [`crate::error::Kind::Partly`] if it takes longer than one wants to wait.
    fn thaw(&mut self, first: usize, how: &Thaw, tell: &mut dyn FnMut(Thawing)) -> Result<()>;

    /// Whether a link cannot be read now: a copy that was thawed ran out, or somebody changed a storage
    /// class.
    ///
    /// # Errors
    /// If it cannot be asked.
    fn is_frozen(&mut self, link: usize) -> Result<bool>;
}
