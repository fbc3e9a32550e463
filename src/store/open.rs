//! Which store stands behind a place: the only file that knows every kind of them.

use super::bucket::{ArchiveStore, DiffStore, attempt, lifecycle};
use super::local::Local;
use super::{
    Access, Archive, ArchiveSettings, Hello, Manner, Means, Place, ReceiveWith, Store, remote,
    serve,
};
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
    lifecycle::remarks(bucket, prefix, means.s3.clone())
}

/// Writes one small object below a prefix of a bucket, as chunks of this storage class are written, and removes
/// it again; what came of it, in words.
///
/// # Errors
/// If there are no credentials, it cannot be written, or it is not listed then.
pub fn try_writing(bucket: &str, prefix: &str, class: &str, means: &Means) -> Result<String> {
    attempt::at_s3(bucket, prefix, class, means.s3.clone())
}

/// What the command line of a server grants, and what it does not leave to the client.
pub struct Terms<'a> {
    /// What may be done there.
    pub access: Access,
    /// By which key of the server what comes comes; empty if that is not known.
    pub key: &'a str,
    /// How snapshots are received; where nothing is said, as the client wishes if that can be here.
    pub receive_with: Option<ReceiveWith>,
}

/// Serves a directory to the client at the other end of two pipes, in the manner that it wishes, as far
/// as the terms leave that open. The directory is looked for once the client has greeted, so that it
/// hears why there is none.
///
/// # Errors
/// As [`serve::serve`] says.
pub fn serve_directory(
    find: impl FnOnce() -> Result<PathBuf>,
    terms: &Terms,
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
            receive_with: terms
                .receive_with
                .or(client.receive_with.filter(|way| way.is_possible())),
        };
        let store = Local::open(&find()?, terms.access, manner)?;
        Ok(Box::new(store.walled().keyed(terms.key)))
    };
    let here = Hello {
        receive_with: terms.receive_with,
        ..Hello::here()
    };
    serve::serve_as(open, terms.access, here, reader, writer)
}
