//! How locations are written: a place, and perhaps one snapshot in it. Knows words and slashes;
//! looks at the filesystem only to give `.` a name.

use crate::error::{Error, Result};
use crate::snapshot::shown;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

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

impl From<PathBuf> for Place {
    fn from(dir: PathBuf) -> Place {
        Place::Local(dir)
    }
}

impl Place {
    /// The directory, if it is one of this machine.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Place::Local(dir) => Some(dir),
            Place::S3(_) | Place::Ssh(_) => None,
        }
    }

    /// Whether what is kept there are streams, of which nobody can see the files.
    pub fn keeps_streams(&self) -> bool {
        match self {
            Place::S3(_) => true,
            Place::Local(_) | Place::Ssh(_) => false,
        }
    }

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
