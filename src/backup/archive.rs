//! The archives of a configuration: how their bucket is reached, and how one is restored by hand.

use super::config::Config;
use crate::error::Result;
use crate::s3::{Client, S3Options};
use crate::store::archive::Settings;
use crate::store::archive::index::{self, Archive};
use crate::store::archive::manifest::Manifest;

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

/// Reads the archives of all subvolumes.
///
/// # Errors
/// If there are no credentials, or the bucket cannot be read.
pub fn read(config: &Config, options: S3Options) -> Result<Vec<Archive>> {
    let client = Client::new(&config.s3.bucket, options)?;
    let names = config.subvolumes.iter().map(|(name, _)| name);
    names
        .map(|name| index::read(&client, &config.s3.prefix, name))
        .collect()
}

/// How a backup is received by hand, after those that it builds on.
pub fn command(config: &Config, options: &S3Options, manifest: &Manifest) -> String {
    let mut aws = format!("aws --region {}", quoted(&config.s3.region));
    if let Some(url) = &options.endpoint_url {
        aws += &format!(" --endpoint-url {}", quoted(url));
    }
    let fetch = |key: &str| {
        format!(
            "{aws} s3 cp {} -",
            quoted(&format!("s3://{}/{key}", config.s3.bucket))
        )
    };
    let all: Vec<String> = manifest
        .chunks
        .iter()
        .map(|chunk| fetch(&chunk.key))
        .collect();
    match &all[..] {
        [one] => format!("{one} | btrfs receive ."),
        _ => format!("{{ {}; }} | btrfs receive .", all.join(" && ")),
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
