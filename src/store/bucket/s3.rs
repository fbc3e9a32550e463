//! Buckets at S3: how the client is set up for each layout. Knows options, and nothing of keys.

use super::archive::{Archives, Settings, survey};
use super::diffs::Diffs;
use super::{ArchiveStore, Bucket, DiffStore};
use crate::error::Result;
use crate::objects::Inventory;
use crate::s3::{Client, S3Options};
use crate::store::Access;
use std::sync::Arc;

impl Bucket<Diffs> {
    /// Opens a prefix of a bucket at S3. Asks the bucket nothing yet.
    ///
    /// # Errors
    /// If there are no credentials, or the location or the configuration cannot be used.
    pub fn open(
        bucket: &str,
        prefix: &str,
        access: Access,
        options: S3Options,
    ) -> Result<DiffStore> {
        DiffStore::on(Arc::new(Client::new(bucket, options)?), prefix, access)
    }
}

impl Bucket<Archives> {
    /// Opens an archive in a bucket at S3. Asks the bucket nothing yet.
    ///
    /// # Errors
    /// If there are no credentials, or the settings cannot be used.
    pub fn open(settings: Settings, access: Access, options: S3Options) -> Result<ArchiveStore> {
        let options = S3Options {
            storage_class: settings.class_chunks.clone(),
            ..options
        };
        let mut client = Client::new(&settings.bucket, options)?;
        // Each chunk is one object, so that the parts asked for may be too short.
        let least = settings.chunk_size.div_ceil(client.quirks().max_parts);
        let wanted = client.options.part_size;
        client.options.part_size = wanted.map(|part| part.max(least.next_multiple_of(1 << 20)));
        ArchiveStore::on(Arc::new(client), settings, access)
    }

    /// The archives that a listing of a bucket has keys of, below what begins so, each opened by its settings.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub fn all_among(
        found: &Inventory,
        (bucket, top): (&str, &str),
        open: impl Fn(Settings) -> Result<ArchiveStore>,
    ) -> Result<Vec<ArchiveStore>> {
        let open = |(prefix, name)| {
            let archive = open(Settings {
                bucket: bucket.to_owned(),
                prefix,
                name,
                origin: "/".into(),
                chunk_size: 1,
                class_chunks: None,
                class_manifest: None,
                spool: None,
            })?;
            Ok(match archive.prefix().starts_with(top) {
                true => archive.among(found),
                // A part of one was listed.
                false => archive,
            })
        };
        survey::among(found).into_iter().map(open).collect()
    }
}
