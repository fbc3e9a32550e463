//! Which store stands behind a place: the only file that knows every kind of them.

use super::bucket::{ArchiveStore, DiffStore, archive};
use super::local::Local;
use super::{Access, Archive, ArchiveSettings, Hello, Manner, Means, Place, Store, remote, serve};
use crate::error::Result;
use crate::process::Priority;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Opens the store at a place.
///
/// # Errors
/// If it is not there, may not be used so, or another run holds its lock.
pub fn open(place: &Place, access: Access, means: &Means) -> Result<Box<dyn Store>> {
    match place {
        Place::Local(dir) => Ok(Box::new(Local::open(dir, access, means.manner)?)),
        Place::S3 { bucket, prefix } => {
            let store = DiffStore::open(bucket, prefix, access, means.s3.clone())?;
            Ok(Box::new(store))
        }
        Place::Ssh(address) => {
            let us = Hello {
                compressed: means.manner.compressed,
                receive_with: means.manner.receive_with,
                background: means.manner.priority == Priority::Background,
                ..Hello::here()
            };
            Ok(Box::new(remote::ssh::open(
                address, access, us, &means.ssh,
            )?))
        }
    }
}

/// What is at a place: a store, and the archives below it.
pub type StoreAndArchives = (Box<dyn Store>, Vec<Box<dyn Archive>>);

/// Opens the store at a place, and where that is in a bucket, the archives below it. All of a bucket
/// is listed once.
///
/// # Errors
/// As [`open`] says, and if the bucket cannot be listed.
pub fn open_all(place: &Place, access: Access, means: &Means) -> Result<StoreAndArchives> {
    let Place::S3 { bucket, prefix } = place else {
        return Ok((open(place, access, means)?, Vec::new()));
    };
    let mut store = DiffStore::open(bucket, prefix, access, means.s3.clone())?;
    let top = store.prefix().to_owned();
    let found = store.inventory()?;
    let archives = ArchiveStore::all_among(found, (bucket, &top), access, &means.s3)?;
    let boxed = |archive| Box::new(archive) as Box<dyn Archive>;
    Ok((Box::new(store), archives.into_iter().map(boxed).collect()))
}

/// Opens the archive of a subvolume. Asks nobody anything yet.
///
/// # Errors
/// If there are no credentials, or the settings cannot be used.
pub fn open_archive(
    settings: ArchiveSettings,
    access: Access,
    means: &Means,
) -> Result<Box<dyn Archive>> {
    let archive = ArchiveStore::open(settings, access, means.s3.clone())?;
    Ok(Box::new(archive))
}

/// How a bucket is reached, and what it does by itself with what is below a prefix, in words.
///
/// # Errors
/// If there are no credentials. What the bucket does not tell is a remark.
pub fn bucket_remarks(bucket: &str, prefix: &str, means: &Means) -> Result<Vec<String>> {
    archive::lifecycle::remarks(bucket, prefix, means.s3.clone())
}

/// Serves a directory to the client at the other end of two pipes, in the manner that it wishes. The
/// directory is looked for once the client has greeted, so that it hears why there is none. What comes is
/// recorded as having come by `key`, if that is not empty.
///
/// # Errors
/// As [`serve::serve`] says.
pub fn serve_directory(
    find: impl FnOnce() -> Result<PathBuf>,
    key: &str,
    access: Access,
    reader: impl Read,
    writer: impl Write,
) -> Result<()> {
    let open = |client: &Hello| {
        let priority = if client.background {
            Priority::Background
        } else {
            Priority::Normal
        };
        let manner = Manner {
            priority,
            compressed: client.compressed,
            receive_with: client.receive_with,
        };
        let store = Local::open(&find()?, access, manner)?;
        Ok(Box::new(store.walled().keyed(key)))
    };
    serve::serve(open, access, reader, writer)
}
