//! The archives of a configuration, and how their bucket is reached.

use super::config::Config;
use crate::error::Result;
use crate::s3::{Client, S3Options};
use crate::store::archive::index::{self, Archive};

/// Options of the client that belong to a configuration.
pub fn options(config: &Config, options: &S3Options) -> S3Options {
    S3Options {
        region: Some(config.s3.region.clone()),
        endpoint_url: config
            .s3
            .endpoint_url
            .clone()
            .or(options.endpoint_url.clone()),
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
