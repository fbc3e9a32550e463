//! Stores as the options want them reached. What the command line, the environment and a configuration
//! file say of that comes together here; decides nothing else.

use super::options::Options;
use crate::backup::archive;
use crate::backup::config::ArchiveConfig;
use crate::error::Result;
use crate::process::Priority;
use crate::store::{
    self, Access, BucketOptions, LocalOptions, Location, ReceiveWith, SshOptions, Store,
    StoreOptions,
};
use std::ffi::OsString;

pub(super) fn open(
    location: &Location,
    access: Access,
    options: &Options,
) -> Result<Box<dyn Store>> {
    store::open(&location.place, access, &store_options(options)?)
}

/// A place that gets what is at another: streams that this machine makes do no harm to it.
pub(super) fn open_for(
    source: &Location,
    location: &Location,
    access: Access,
    options: &Options,
) -> Result<Box<dyn Store>> {
    let mut store_options = store_options(options)?;
    store_options.local.unconfined |= source.place.directory().is_some();
    store::open(&location.place, access, &store_options)
}

/// What [`store_options`] says, for what sends snapshots of this machine.
pub(super) fn of_own(options: &Options) -> Result<StoreOptions> {
    let mut store_options = store_options(options)?;
    store_options.local.unconfined = true;
    Ok(store_options)
}

/// How the options want stores to be reached.
///
/// # Errors
/// If the environment says what cannot be.
pub(super) fn store_options(options: &Options) -> Result<StoreOptions> {
    let received = environment("BUTTERSINK_RECEIVE_WITH").map(|word| received(&word));
    Ok(StoreOptions {
        local: LocalOptions {
            priority: match options.full_speed {
                true => Priority::Normal,
                false => Priority::Background,
            },
            compressed: options.compressed_data,
            receive_with: options.receive_with.or(received.transpose()?),
            unconfined: options.receive_unconfined,
        },
        ssh: ssh(options),
        s3: s3(options),
        bwlimit: options.bwlimit,
    })
}

/// The same, and how an archive of a configuration file is reached. The command line comes first.
///
/// # Errors
/// As [`store_options`] says.
pub(super) fn of_archive(options: &Options, config: &ArchiveConfig) -> Result<StoreOptions> {
    let mut store_options = archive::store_options(config, &store_options(options)?);
    store_options.s3.concurrency = options.concurrency.unwrap_or(store_options.s3.concurrency);
    Ok(store_options)
}

fn received(word: &OsString) -> Result<ReceiveWith> {
    word.to_string_lossy().parse()
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|text| !text.is_empty())
}

fn ssh(options: &Options) -> SshOptions {
    let usual = SshOptions::default();
    let command = options.ssh_command.clone();
    SshOptions {
        command: command
            .or_else(|| environment("BUTTERSINK_SSH"))
            .unwrap_or(usual.command),
        options: options.ssh_option.clone(),
        sudo: options.remote_sudo.clone().unwrap_or(usual.sudo),
        remote: options.remote_command.clone().unwrap_or(usual.remote),
        ..usual
    }
}

fn s3(options: &Options) -> BucketOptions {
    let usual = BucketOptions::default();
    BucketOptions {
        endpoint_url: options.endpoint_url.clone(),
        region: options.region.clone(),
        profile: options.profile.clone(),
        part_size: options.part_size,
        concurrency: options.concurrency.unwrap_or(usual.concurrency),
        checksum: options.checksum,
        sse: options.sse.clone().unwrap_or(usual.sse),
        storage_class: options.storage_class.clone(),
        quirks: options.s3_quirks.clone(),
        ..usual
    }
}
