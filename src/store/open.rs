//! Which store stands behind a place: the only file that knows every kind of them.

use super::bucket::lifecycle::{self, BucketRemark};
use super::bucket::{ArchiveStore, DiffStore, attempt, raw};
use super::local::Local;
use super::wire::Descriptors;
use super::{
    Access, Archive, ArchiveSettings, Grant, Hello, LocalOptions, Place, ReceiveWith, Right, Store,
    StoreOptions, remote, serve,
};
use crate::btrfs;
use crate::error::{Doing, Error, Kind, Result};
use crate::objects::directory::Directory;
use crate::process::Priority;
use crate::snapshot::{Origins, shown};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Opens the store at a place.
///
/// # Errors
/// If it is not there, may not be used so, or another run holds its lock.
pub fn open(place: &Place, access: Access, store_options: &StoreOptions) -> Result<Box<dyn Store>> {
    match place {
        Place::Local(dir) => {
            let local = Local::open(dir, access, store_options.local);
            let local = local.map_err(|error| other_form(error, dir, access, "raw:"))?;
            Ok(Box::new(local.limited(store_options.bwlimit)))
        }
        Place::S3 { bucket, prefix } => {
            let store = DiffStore::open(bucket, prefix, access, store_options.at_s3())?;
            Ok(Box::new(store))
        }
        Place::Raw(dir) => {
            let store = DiffStore::in_directory(dir, access, store_options.s3.part_size)?;
            Ok(Box::new(store.limited(store_options.bwlimit)))
        }
        Place::Ssh(address) => Ok(Box::new(remote::ssh::open(
            address,
            access,
            us(store_options),
            &store_options.ssh,
            store_options.bwlimit,
        )?)),
        Place::RawSsh(address) => {
            let us = Hello {
                raw: true,
                ..us(store_options)
            };
            Ok(Box::new(remote::ssh::open(
                address,
                access,
                us,
                &store_options.ssh,
                store_options.bwlimit,
            )?))
        }
    }
}

/// What a far side is told of us.
fn us(store_options: &StoreOptions) -> Hello {
    Hello {
        compressed: store_options.local.compressed,
        receive_with: store_options.local.receive_with,
        background: store_options.local.priority == Priority::Background,
        ..Hello::here()
    }
}

/// A directory that is not on btrfs may be one that keeps streams, or can become one.
fn other_form(error: Error, dir: &Path, access: Access, scheme: &str) -> Error {
    if error.kind != Kind::Failed || !matches!(btrfs::is_on(dir), Ok(false)) {
        return error;
    }
    let place = format!("{scheme}{}", shown(dir.join("")));
    if Directory::is_below_root(dir) {
        return error.hint(format!("{place} for the streams that are kept there"));
    }
    match access.grants(Right::Add) && Directory::is_empty(dir).unwrap_or(false) {
        true => error.hint(format!("{place} to keep streams there, as in a bucket")),
        false => error,
    }
}

/// What is at a place: a store, and the archives below it.
pub type StoreAndArchives = (Box<dyn Store>, Vec<Box<dyn Archive>>);

/// Opens the store at a place, and where that is in a bucket, the archives below it. All of a bucket
/// is listed once.
///
/// # Errors
/// As [`open`] says, and if the bucket cannot be listed.
pub fn open_all(
    place: &Place,
    access: Access,
    store_options: &StoreOptions,
) -> Result<StoreAndArchives> {
    let (mut store, bucket) = match place {
        Place::S3 { bucket, prefix } => {
            let store = DiffStore::open(bucket, prefix, access, store_options.at_s3())?;
            (store, bucket.clone())
        }
        Place::Raw(dir) => {
            let store = DiffStore::in_directory(dir, access, store_options.s3.part_size)?;
            (store.limited(store_options.bwlimit), place.to_string())
        }
        _ => return Ok((open(place, access, store_options)?, Vec::new())),
    };
    let top = store.prefix().to_owned();
    let found = store.inventory()?.clone();
    let archives = ArchiveStore::all_among(&found, (&bucket, &top), |settings| match place {
        Place::Raw(_) => store.archive(settings),
        _ => ArchiveStore::open(settings, access, store_options.at_s3()),
    })?;
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
    store_options: &StoreOptions,
) -> Result<Box<dyn Archive>> {
    let archive = match settings.bucket.starts_with(raw::SCHEME) {
        true => ArchiveStore::in_directory(settings, access, store_options.s3.part_size)?
            .limited(store_options.bwlimit),
        false => ArchiveStore::open(settings, access, store_options.at_s3())?,
    };
    Ok(Box::new(archive))
}

/// How a bucket is reached, and what it does by itself with what is below a prefix, in words.
///
/// # Errors
/// If there are no credentials. What the bucket does not tell is a remark.
pub fn bucket_remarks(
    (bucket, prefix): (&str, &str),
    is_archive: bool,
    store_options: &StoreOptions,
) -> Result<Vec<BucketRemark>> {
    match bucket.strip_prefix(raw::SCHEME) {
        Some(dir) => {
            DiffStore::in_directory(Path::new(dir), Access::Read, None)?;
            Ok(vec![format!("{bucket}: a directory").into()])
        }
        None => lifecycle::remarks(bucket, prefix, is_archive, store_options.at_s3()),
    }
}

/// Writes one small object below a prefix of a bucket, as chunks of this storage class are written, and removes
/// it again; what came of it, in words. A directory has no classes.
///
/// # Errors
/// If there are no credentials, it cannot be written, or it is not listed then.
pub fn try_writing(
    bucket: &str,
    prefix: &str,
    class: Option<&str>,
    store_options: &StoreOptions,
) -> Result<String> {
    match bucket.strip_prefix(raw::SCHEME) {
        Some(dir) => attempt::in_directory(Path::new(dir), prefix),
        None => attempt::at_s3(bucket, prefix, class, store_options.at_s3()),
    }
}

/// What the command line of a server grants, and what it does not leave to the client.
pub struct Terms<'a> {
    /// What the client may do there.
    pub grant: Grant,
    /// The key of the server by which snapshots come; empty if that is not known.
    pub key: &'a str,
    /// How snapshots are received; where nothing is said, as the client wishes if that can be here.
    pub receive_with: Option<ReceiveWith>,
    /// See [`LocalOptions::unconfined`].
    pub unconfined: bool,
}

/// Serves a directory to the client at the other end of two pipes or sockets, in the manner that it wishes, as far
/// as the terms leave that open. The directory is looked for once the client has greeted, so that it
/// hears why there is none.
///
/// # Errors
/// As [`serve::serve`] says.
pub fn serve_directory(
    dir: &Path,
    check: &dyn Fn(&Path) -> Result<PathBuf>,
    terms: &Terms,
    reader: File,
    writer: File,
) -> Result<()> {
    let ends = Descriptors::of(&reader, &writer).doing(|| "cannot serve".to_owned())?;
    let open = |client: &Hello| {
        let priority = if client.background {
            Priority::Background
        } else {
            Priority::Normal
        };
        let options = LocalOptions {
            priority,
            compressed: client.compressed,
            receive_with: terms
                .receive_with
                .or(client.receive_with.filter(|way| way.is_possible())),
            unconfined: terms.unconfined,
        };
        if client.raw {
            let dir = checked_root(dir, check)?;
            return Ok(Box::new(served_raw(&dir, terms.grant.access)?) as Box<dyn Store>);
        }
        let dir = check(dir)?;
        let store = Local::open(&dir, terms.grant.access, options);
        let store =
            store.map_err(|error| other_form(error, &dir, terms.grant.access, "raw+ssh://HOST"))?;
        Ok(Box::new(store.walled().keyed(terms.key)) as Box<dyn Store>)
    };
    let here = Hello {
        receive_with: terms.receive_with,
        ..Hello::here()
    };
    serve::serve_as(open, terms.grant, here, (reader, writer), Some(ends))
}

/// A directory at or below a root, which alone must be there: what is below it is a prefix of keys.
fn checked_root(dir: &Path, check: &dyn Fn(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let root = Directory::root_of(dir).unwrap_or(dir);
    let below = dir.strip_prefix(root).unwrap_or(Path::new(""));
    Ok(check(root)?.join(below))
}

/// A directory for the streams of a client: one below a root, or one that may become a root, since it is empty
/// and nothing else is done there.
fn served_raw(dir: &Path, access: Access) -> Result<DiffStore> {
    let doing = || format!("cannot keep streams in {}", shown(dir));
    if !Directory::is_below_root(dir) && btrfs::is_on(dir)? {
        let said = "it is on btrfs, and no streams are kept there yet";
        let way = format!("ssh://HOST{}", shown(dir.join("")));
        return Err(Error::refused(doing(), said).hint(way));
    }
    let mut store = DiffStore::in_directory(dir, access, None)?;
    store.attribute(Origins::new());
    Ok(store)
}
