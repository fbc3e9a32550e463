//! The archives of a configuration, and how their bucket is reached; makes the directory in which parts wait for it. Opens no store.

use super::config::{BucketConfig, Config, SubvolumeConfig};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::store::{ArchiveSettings, BucketOptions, Means};
use crate::sys;
use std::fs::{DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Where the backups of a subvolume lie and how they are written.
///
/// # Errors
/// If the file has no archive.
pub fn settings(config: &Config, name: &str) -> Result<ArchiveSettings> {
    let s3 = bucket(config)?;
    let spool = (
        config.global.spool_dir.clone(),
        config.global.spool_size_bytes,
    );
    let subvolume = config.subvolumes.iter().find(|s| s.name == name);
    let origin = subvolume.map_or_else(
        || config.snapshots.base_dir.clone(),
        SubvolumeConfig::folder,
    );
    Ok(ArchiveSettings {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        name: name.to_owned(),
        origin,
        chunk_size: s3.chunk_size_bytes,
        class_chunks: Some(s3.storage_class_chunks.clone()),
        class_manifest: Some(s3.storage_class_manifest.clone()),
        spool: s3.spool_enabled.then_some(spool),
    })
}

/// The bucket of a configuration.
///
/// # Errors
/// If it has none.
pub fn bucket(config: &Config) -> Result<&BucketConfig> {
    config.s3.as_ref().ok_or_else(|| {
        let said = "the file has no [s3]: what a [[destination]] holds is seen and restored by its location";
        Error::usage("cannot look for an archive", said)
    })
}

/// The same for who only reads them: what says how they are written has no say.
///
/// # Errors
/// As [`settings`] says.
pub fn readable(config: &Config, name: &str) -> Result<ArchiveSettings> {
    Ok(ArchiveSettings {
        chunk_size: 1,
        class_chunks: None,
        class_manifest: None,
        spool: None,
        ..settings(config, name)?
    })
}

/// The means by which the bucket of a configuration is reached. What the command line says comes first.
pub fn means(config: &Config, means: &Means) -> Means {
    let Some(s3) = &config.s3 else {
        return means.clone();
    };
    let options = means.s3.clone();
    Means {
        s3: BucketOptions {
            region: options.region.or_else(|| Some(s3.region.clone())),
            endpoint_url: options.endpoint_url.or_else(|| s3.endpoint_url.clone()),
            part_size: options.part_size.or(s3.part_size_bytes),
            concurrency: s3.concurrency,
            sse: s3.sse.clone(),
            ..options
        },
        ..means.clone()
    }
}

/// What may happen to the rest of this machine: parts that wait can fill the disk that everything is on.
pub fn spool_remark(config: &Config) -> Option<String> {
    let spools = config.s3.as_ref().is_some_and(|s3| s3.spool_enabled);
    let (dir, most) = (&config.global.spool_dir, config.global.spool_size_bytes);
    let free = spools.then(|| free_beside_the_root(dir)).flatten()?;
    (free < most).then(|| {
        format!(
            "parts wait in {}, on the filesystem of /: {most} bytes of them may, and {free} are free \
             (global.spool_dir, global.spool_size_bytes)",
            shown(dir)
        )
    })
}

/// Bytes that are free where a directory is or will be, if that is on the filesystem of `/`.
fn free_beside_the_root(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find_map(|dir| File::open(dir).ok())?;
    let root = Path::new("/").metadata().ok()?.dev();
    let same = there.metadata().ok()?.dev() == root;
    sys::free_bytes(there.as_fd()).ok().filter(|_| same)
}

/// Better before there is a snapshot than when it is to be sent.
///
/// # Errors
/// If there is to be a spool, and its directory cannot be made.
pub fn make_spool(config: &Config, dry_run: bool) -> Result<()> {
    let dir = &config.global.spool_dir;
    let spools = config.s3.as_ref().is_some_and(|s3| s3.spool_enabled);
    match spools && !dry_run {
        true => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing(|| format!("cannot spool in {} (global.spool_dir)", shown(dir))),
        false => Ok(()),
    }
}
