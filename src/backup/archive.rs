//! The archives of a configuration, and how their bucket is reached.

use super::config::Config;
use crate::s3::S3Options;
use crate::store::archive::Settings;

/// Where the backups of a subvolume lie and how they are written.
pub fn settings(config: &Config, name: &str) -> Settings {
    let spool = (
        config.global.spool_dir.clone(),
        config.global.spool_size_bytes,
    );
    Settings {
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

/// Options of the client that belong to a configuration. What the command line says comes first.
pub fn options(config: &Config, options: &S3Options) -> S3Options {
    let s3 = &config.s3;
    S3Options {
        region: options.region.clone().or_else(|| Some(s3.region.clone())),
        endpoint_url: options
            .endpoint_url
            .clone()
            .or_else(|| s3.endpoint_url.clone()),
        part_size: options.part_size.or(s3.part_size_bytes),
        concurrency: usize::try_from(s3.concurrency).unwrap_or(usize::MAX),
        sse: s3.sse.clone(),
        ..options.clone()
    }
}
