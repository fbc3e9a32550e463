//! What a store is, how a location is written, and which store stands behind it.
//! Knows the kinds of store by name only; how each works is its own business.

pub mod local;
pub mod s3;
mod wire;

pub mod remote;
pub mod serve;

use crate::error::{Error, Result};
use crate::process::Priority;
use crate::s3::S3Options;
use crate::snapshot::{Diff, Listing, Size, shown};
use local::{Local, Manner};
use s3::S3Store;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
pub use wire::Hello;

/// Something that holds snapshots: a directory of a btrfs filesystem, a prefix of a bucket, a
/// directory at the other end of a pipe.
pub trait Store {
    /// Everything that is there, in one reading.
    ///
    /// # Errors
    /// If it cannot be read. What could be read only in part is a note in the listing.
    fn list(&mut self) -> Result<Listing>;

    /// The exact stream lengths of diffs between listed snapshots, in the order asked.
    ///
    /// # Errors
    /// If one of them cannot be measured.
    fn measure(&mut self, diffs: &[Diff]) -> Result<Vec<Size>>;

    /// The stream of a diff between listed snapshots. End of stream means complete: reading
    /// returns `Ok(0)` only when every byte was delivered and its producer succeeded.
    ///
    /// # Errors
    /// If it cannot be started. Later errors come from reading.
    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>>;

    /// Somewhere to write a diff's stream so that its snapshot appears at `path`, durably, when
    /// the sink is finished, and not before.
    ///
    /// # Errors
    /// If the name is taken, the parent is missing or altered, space is short, or it cannot start.
    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>>;

    /// Makes a second copy of a snapshot under another name, without moving data through us.
    ///
    /// # Errors
    /// If `from` is missing, `to` is taken, or the store refuses.
    fn copy(&mut self, from: &Path, to: &Path) -> Result<()>;

    /// What it takes to receive these diffs, where that is more than their bytes.
    fn effort(&self, _diffs: &[Diff]) -> Option<Effort> {
        None
    }

    /// Removes a snapshot or a leftover.
    ///
    /// # Errors
    /// If it is missing or the store refuses.
    fn delete(&mut self, path: &Path) -> Result<()>;
}

/// Takes a stream. Drop means abort: what is written does not exist until [`Sink::finish`].
pub trait Sink: Write {
    /// Makes what was written exist, durably.
    ///
    /// # Errors
    /// If it is incomplete, damaged or cannot be kept. Then nothing exists.
    fn finish(self: Box<Self>) -> Result<Receipt>;
}

/// What a finished sink can say about what it kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// Bytes of the stream.
    pub bytes: u64,
}

/// What it takes to bring streams to a store that charges by the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Effort {
    /// Requests that write something.
    pub requests: u64,
    /// Parts of the streams among them.
    pub parts: u64,
}

/// What a run may do to a store; `--mode r|a|w` of a server.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List, measure, send.
    Read,
    /// Also receive what is new.
    Append,
    /// Also delete.
    Write,
}

/// Where a store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A directory on this machine.
    Local(PathBuf),
    /// What follows `s3://`.
    S3(OsString),
    /// What follows `ssh://`.
    Ssh(OsString),
}

/// A place, and perhaps one snapshot in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The directory of snapshots.
    pub place: Place,
    /// The one snapshot meant; `None` for all.
    pub snapshot: Option<PathBuf>,
}

impl Location {
    /// A directory of snapshots, with or without a slash at its end: every destination is one.
    ///
    /// # Errors
    /// If the text is empty or names an unknown kind of place.
    pub fn directory(text: &OsStr) -> Result<Location> {
        Ok(Location {
            place: Place::parse(text)?,
            snapshot: None,
        })
    }

    /// With a slash at its end a directory of snapshots, without it one snapshot.
    ///
    /// # Errors
    /// If the text is empty or names an unknown kind of place.
    pub fn source(text: &OsStr) -> Result<Location> {
        if text.as_bytes().ends_with(b"/") {
            return Location::directory(text);
        }
        Ok(match Place::parse(text)? {
            Place::Local(path) => {
                // `.` and `..` have a name only once they are looked up.
                let path = if path.file_name().is_none() || path.ends_with(".") {
                    path.canonicalize().unwrap_or(path)
                } else {
                    path
                };
                match (path.parent(), path.file_name()) {
                    (Some(dir), Some(name)) => {
                        let dir = if dir.as_os_str().is_empty() {
                            Path::new(".")
                        } else {
                            dir
                        };
                        Location {
                            place: Place::Local(dir.to_owned()),
                            snapshot: Some(name.into()),
                        }
                    }
                    _ => Location {
                        place: Place::Local(path),
                        snapshot: None,
                    },
                }
            }
            Place::S3(rest) => last_part(&rest, Place::S3),
            Place::Ssh(rest) => last_part(&rest, Place::Ssh),
        })
    }
}

fn last_part(rest: &OsStr, place: fn(OsString) -> Place) -> Location {
    let bytes = rest.as_bytes();
    let at = bytes
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(bytes.len(), |i| i + 1);
    let piece = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let snapshot = (at < bytes.len()).then(|| piece(&bytes[at..]).into());
    Location {
        place: place(piece(&bytes[..at])),
        snapshot,
    }
}

impl Place {
    fn parse(text: &OsStr) -> Result<Place> {
        let bytes = text.as_bytes();
        let rest = |scheme: &str| {
            bytes
                .strip_prefix(scheme.as_bytes())
                .map(|b| OsString::from_vec(b.to_vec()))
        };
        let wrong = |said: &str| {
            Err(Error::usage(
                format!("cannot use the location '{}'", shown(text)),
                said,
            ))
        };
        if let Some(path) = rest("btrfs://").or_else(|| rest("file://")) {
            return if path.is_empty() {
                wrong("it has no path")
            } else {
                Ok(Place::Local(path.into()))
            };
        }
        if let Some(rest) = rest("s3://") {
            return Ok(Place::S3(rest));
        }
        if let Some(rest) = rest("ssh://") {
            return Ok(Place::Ssh(rest));
        }
        match bytes.windows(3).position(|w| w == b"://") {
            _ if bytes.is_empty() => wrong("it is empty"),
            Some(at) if bytes[..at].iter().all(u8::is_ascii_alphanumeric) => wrong(
                "known kinds are btrfs://, file://, ssh://, s3:// and paths; a path of this name begins with ./",
            ),
            _ => Ok(Place::Local(text.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Local(path) => f.write_str(&shown(path)),
            Place::S3(rest) => write!(f, "s3://{}", shown(rest)),
            Place::Ssh(rest) => write!(f, "ssh://{}", shown(rest)),
        }
    }
}

/// By what means stores are reached and do their work.
#[derive(Clone, Debug)]
pub struct Means {
    /// How local stores, and those of far sides, work.
    pub manner: Manner,
    /// How far sides are reached.
    pub ssh: remote::ssh::Options,
    /// How buckets are reached and used.
    pub s3: S3Options,
}

/// Opens the store at a place.
///
/// # Errors
/// If it is not there, may not be used so, or another run holds its lock.
pub fn open(place: &Place, access: Access, means: &Means) -> Result<Box<dyn Store>> {
    match place {
        Place::Local(dir) => Ok(Box::new(Local::open(dir, access, means.manner)?)),
        Place::S3(rest) => {
            let (bucket, prefix) = bucket_and_prefix(rest)?;
            let store = S3Store::open(bucket, prefix, access, means.s3.clone())?;
            Ok(Box::new(store))
        }
        Place::Ssh(rest) => {
            let us = Hello {
                compressed: means.manner.compressed,
                background: means.manner.priority == Priority::Background,
                ..Hello::here()
            };
            Ok(Box::new(remote::ssh::open(rest, access, us, &means.ssh)?))
        }
    }
}

/// The two halves of what follows `s3://`.
fn bucket_and_prefix(rest: &OsStr) -> Result<(&str, &str)> {
    let wrong = |said| Error::usage(format!("cannot use s3://{}", shown(rest)), said);
    let text = rest
        .to_str()
        .ok_or_else(|| wrong("buckets and keys are UTF-8"))?;
    match text.split_once('/').unwrap_or((text, "")) {
        ("", _) => Err(wrong("it names no bucket: s3://BUCKET/PREFIX/")),
        halves => Ok(halves),
    }
}

/// Serves a place to the client at the other end of two pipes, in the manner that it wishes.
///
/// # Errors
/// As [`serve::serve`] says.
pub fn serve_place(
    place: &Place,
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
        };
        open(
            place,
            access,
            &Means {
                manner,
                ssh: remote::ssh::Options::default(),
                s3: S3Options::default(),
            },
        )
    };
    serve::serve(open, access, reader, writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> (Place, Option<PathBuf>) {
        let location = Location::source(OsStr::new(text)).unwrap();
        (location.place, location.snapshot)
    }

    #[test]
    fn the_slash_decides() {
        let local = |dir: &str| Place::Local(dir.into());
        assert_eq!(source("/a/b/"), (local("/a/b/"), None));
        assert_eq!(source("/a/b"), (local("/a"), Some("b".into())));
        assert_eq!(source("b"), (local("."), Some("b".into())));
        assert_eq!(source("btrfs:///a/b"), (local("/a"), Some("b".into())));
        assert_eq!(source("file://x/y/"), (local("x/y/"), None));
        assert_eq!(source("./backup"), (local("."), Some("backup".into())));
        assert_eq!(
            source("s3://bucket/p/x"),
            (Place::S3("bucket/p/".into()), Some("x".into()))
        );
        assert_eq!(
            source("ssh://u@h:2/p/"),
            (Place::Ssh("u@h:2/p/".into()), None)
        );
        assert!(Location::source(OsStr::new("ftp://x/")).is_err());
        assert!(Location::source(OsStr::new("")).is_err());
    }
}
