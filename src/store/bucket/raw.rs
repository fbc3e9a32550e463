//! Buckets in directories: how one is opened for each layout, and what is asked before. Knows directories, and
//! nothing of keys.

use super::archive::Archives;
use super::diffs::Diffs;
use super::{ArchiveStore, Bucket, DiffStore};
use crate::error::Result;
use crate::objects::Objects;
use crate::objects::directory::Directory;
use crate::store::{Access, ArchiveSettings, Right};
use std::path::Path;
use std::sync::Arc;

/// What stands before a directory that is named where a bucket can be.
pub(in crate::store) const SCHEME: &str = "raw:";

impl Bucket<Diffs> {
    /// Opens a directory, and with more than read access takes its lock. Parts have so many bytes, if somebody
    /// chose.
    ///
    /// # Errors
    /// If it is neither below a root nor empty, or another run writes to it.
    pub fn in_directory(dir: &Path, access: Access, part: Option<u64>) -> Result<DiffStore> {
        let (objects, prefix) = Directory::open(dir, access.grants(Right::Add), part)?;
        DiffStore::on(Arc::new(objects), &prefix, access)
    }

    /// An archive in the same objects.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn archive(&self, settings: ArchiveSettings) -> Result<ArchiveStore> {
        let objects = Arc::clone(&self.reach.objects);
        let mut archive = ArchiveStore::on(objects, settings, self.reach.access)?;
        archive.reach.limiter = self.reach.limiter.clone();
        Ok(archive)
    }
}

impl Bucket<Archives> {
    /// Opens an archive in the directory that its settings name as a bucket.
    ///
    /// # Errors
    /// As [`DiffStore::in_directory`] says, and if the settings cannot be used.
    pub fn in_directory(
        settings: ArchiveSettings,
        access: Access,
        part: Option<u64>,
    ) -> Result<ArchiveStore> {
        let dir = settings.bucket.strip_prefix(SCHEME).unwrap_or_default();
        let (objects, above) = Directory::open(Path::new(dir), access.grants(Right::Add), part)?;
        let most = objects.limits().max_object;
        let below = settings.prefix.trim_start_matches('/');
        let settings = ArchiveSettings {
            prefix: match above.is_empty() {
                true => settings.prefix.clone(),
                false => format!("{above}{below}"),
            },
            // A chunk is one object, and there are no storage classes.
            chunk_size: settings.chunk_size.min(most),
            class_chunks: None,
            class_manifest: None,
            ..settings
        };
        ArchiveStore::on(Arc::new(objects), settings, access)
    }
}
