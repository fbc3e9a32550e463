//! The archives of a configuration, and how their bucket is reached; makes the directory in which parts wait for it. Opens no store.

use super::config::{ARCHIVE, ArchiveConfig, Config, SubvolumeConfig};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::store::{ArchiveSettings, BucketOptions, StoreOptions};
use crate::sys;
use std::fs::{DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Where the backups of a subvolume lie in an archive and how they are written.
pub fn settings(config: &Config, archive: &ArchiveConfig, name: &str) -> ArchiveSettings {
    let spool = (
        config.global.spool_dir.clone(),
        config.global.spool_size_bytes,
    );
    let subvolume = config.subvolumes.iter().find(|s| s.name == name);
    let origin = subvolume.map_or_else(
        || config.snapshots.base_dir.clone(),
        SubvolumeConfig::folder,
    );
    ArchiveSettings {
        bucket: archive.bucket.clone(),
        prefix: archive.prefix.clone(),
        name: name.to_owned(),
        origin,
        chunk_size: archive.chunk_size_bytes,
        class_chunks: archive.storage_class_chunks.clone(),
        class_manifest: archive.storage_class_manifest.clone(),
        spool: archive.spool_enabled.then_some(spool),
    }
}

/// The archives that are meant: the one of a name, or all.
///
/// # Errors
/// If there is none.
pub fn meant<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a ArchiveConfig>> {
    let doing = "cannot look for an archive";
    let all = config.archives.iter();
    let found: Vec<_> = all
        .filter(|one| name.is_none_or(|name| one.name == name))
        .collect();
    match (found.is_empty(), name) {
        (false, _) => Ok(found),
        (true, Some(name)) => {
            let said = format!(
                "the file has none that is called {}{}",
                shown(name),
                known(config)
            );
            Err(Error::usage(doing, said))
        }
        (true, None) => {
            let said = "the file has none: what another [[destination]] holds is seen and restored by its \
                        location";
            Err(Error::usage(doing, said))
        }
    }
}

/// The archives that are meant, each with each of the subvolumes that go there.
///
/// # Errors
/// As [`meant`] says.
pub fn all<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<Vec<(&'a ArchiveConfig, &'a SubvolumeConfig)>> {
    let mut all = Vec::new();
    for archive in meant(config, name)? {
        let goes = |of: &&SubvolumeConfig| {
            let mut archives = config.archives_of(of).into_iter();
            archives.any(|one| one.name == archive.name)
        };
        let of = config.subvolumes.iter().filter(goes);
        all.extend(of.map(|of| (archive, of)));
    }
    Ok(all)
}

/// The one archive that is meant: that of a name, else `[s3]`, else the only one.
///
/// # Errors
/// If there is none, or it is not clear which.
pub fn one<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ArchiveConfig> {
    let found = meant(config, name)?;
    let usual = found.iter().find(|archive| archive.name == ARCHIVE);
    match (&found[..], usual) {
        ([only], _) | (_, Some(only)) => Ok(only),
        _ => {
            let said = format!(
                "the file has several{}: --destination NAME says which",
                known(config)
            );
            Err(Error::usage("cannot choose an archive", said))
        }
    }
}

fn known(config: &Config) -> String {
    let names: Vec<String> = config.archives.iter().map(|one| shown(&one.name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" ({})", names.join(", ")),
    }
}

/// The same for who only reads them: what says how they are written has no say.
pub fn readable(config: &Config, archive: &ArchiveConfig, name: &str) -> ArchiveSettings {
    ArchiveSettings {
        chunk_size: 1,
        class_chunks: None,
        class_manifest: None,
        spool: None,
        ..settings(config, archive, name)
    }
}

/// How an archive is reached. What the command line says comes first.
pub fn store_options(archive: &ArchiveConfig, store_options: &StoreOptions) -> StoreOptions {
    let region = Some(archive.region.clone()).filter(|region| !region.is_empty());
    let options = store_options.s3.clone();
    StoreOptions {
        s3: BucketOptions {
            region: options.region.or(region),
            endpoint_url: options
                .endpoint_url
                .or_else(|| archive.endpoint_url.clone()),
            profile: options.profile.or_else(|| archive.profile.clone()),
            part_size: options.part_size.or(archive.part_size_bytes),
            concurrency: archive.concurrency,
            sse: archive.sse.clone(),
            ..options
        },
        bwlimit: store_options.bwlimit.or(archive.bwlimit),
        ..store_options.clone()
    }
}

/// What may happen to the rest of this machine: parts that wait can fill the disk that everything is on.
pub fn spool_remark(config: &Config) -> Option<String> {
    let spools = config.archives.iter().any(|archive| archive.spool_enabled);
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
pub fn make_spool(config: &Config, archive: &ArchiveConfig, dry_run: bool) -> Result<()> {
    let dir = &config.global.spool_dir;
    match archive.spool_enabled && !dry_run {
        true => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing(|| format!("cannot spool in {} (global.spool_dir)", shown(dir))),
        false => Ok(()),
    }
}
