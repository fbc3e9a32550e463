//! The archives of a configuration, and how their bucket is reached; makes the directory in which parts wait for it. Opens no store.

use super::config::Config;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::store::{ArchiveSettings, BucketOptions, Means};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

/// Where the backups of a subvolume lie and how they are written.
pub fn settings(config: &Config, name: &str) -> ArchiveSettings {
    let spool = (
        config.global.spool_dir.clone(),
        config.global.spool_size_bytes,
    );
    ArchiveSettings {
        bucket: config.s3.bucket.clone(),
        prefix: config.s3.prefix.clone(),
        name: name.to_owned(),
        origin: config.snapshots.base_dir.clone(),
        chunk_size: config.s3.chunk_size_bytes,
        class_chunks: Some(config.s3.storage_class_chunks.clone()),
        class_manifest: Some(config.s3.storage_class_manifest.clone()),
        spool: config.s3.spool_enabled.then_some(spool),
    }
}

/// The same for who only reads them: what says how they are written has no say.
pub fn readable(config: &Config, name: &str) -> ArchiveSettings {
    ArchiveSettings {
        chunk_size: 1,
        class_chunks: None,
        class_manifest: None,
        spool: None,
        ..settings(config, name)
    }
}

/// The means by which the bucket of a configuration is reached. What the command line says comes first.
pub fn means(config: &Config, means: &Means) -> Means {
    let (s3, options) = (&config.s3, means.s3.clone());
    Means {
        s3: BucketOptions {
            region: options.region.or_else(|| Some(s3.region.clone())),
            endpoint_url: options.endpoint_url.or_else(|| s3.endpoint_url.clone()),
            part_size: options.part_size.or(s3.part_size_bytes),
            concurrency: usize::try_from(s3.concurrency).unwrap_or(usize::MAX),
            sse: s3.sse.clone(),
            ..options
        },
        ..means.clone()
    }
}

/// Better before there is a snapshot than when it is to be sent.
///
/// # Errors
/// If there is to be a spool, and its directory cannot be made.
pub fn make_spool(config: &Config, dry_run: bool) -> Result<()> {
    let dir = &config.global.spool_dir;
    match config.s3.spool_enabled && !dry_run {
        true => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing(|| format!("cannot spool in {} (global.spool_dir)", shown(dir))),
        false => Ok(()),
    }
}
