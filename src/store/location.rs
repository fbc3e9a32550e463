//! Where stores are: a place, and perhaps one snapshot in it. Read once into values, which are equal when
//! they mean the same place; looks at the filesystem only to give `.` and links
//! a name, and for names with a colon.

mod address;

use crate::error::{Error, Result};
use crate::snapshot::shown;
pub use address::Address;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A directory on this machine.
    Local(PathBuf),
    /// What is below a prefix of a bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// Empty, or with a slash at its end and none at its beginning.
        prefix: String,
    },
    /// What is below a directory of any filesystem on this machine, as in a bucket.
    Raw(PathBuf),
    /// A directory on another machine.
    Ssh(Address),
    /// One there of any filesystem, as in a bucket.
    RawSsh(Address),
}

/// How what follows a scheme is read.
type Read = fn(&OsStr) -> Result<Place>;

/// How the kinds of place are written. What begins with none of these is a path.
const KINDS: &[(&str, Read)] = &[
    ("btrfs://", local),
    ("file://", local),
    ("ssh://", |rest| Address::parse(rest).map(Place::Ssh)),
    ("s3://", bucket),
    ("raw:", raw),
    ("raw+ssh://", |rest| Address::parse(rest).map(Place::RawSsh)),
];

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
    /// If the text is empty, names an unknown kind of place, or is none of that kind.
    pub fn directory(text: &OsStr) -> Result<Location> {
        let (_, read, rest) = kind(text)?;
        let (place, snapshot) = (read(rest)?, None);
        Ok(Location { place, snapshot })
    }

    /// With a slash at its end a directory of snapshots, without it one snapshot.
    ///
    /// # Errors
    /// As [`Location::directory`] says.
    pub fn source(text: &OsStr) -> Result<Location> {
        let whole = Location::directory(text)?;
        let bytes = text.as_bytes();
        let slash = bytes.iter().rposition(|&byte| byte == b'/');
        let (scheme, ..) = kind(text)?;
        match (whole.place, slash) {
            (Place::Local(path), at) if at != Some(bytes.len() - 1) => Ok(within(path)),
            (_, Some(at)) if at >= scheme.len() && at + 1 < bytes.len() => Ok(Location {
                snapshot: Some(OsStr::from_bytes(&bytes[at + 1..]).into()),
                ..Location::directory(OsStr::from_bytes(&bytes[..=at]))?
            }),
            (place, _) => Ok(Location {
                place,
                snapshot: None,
            }),
        }
    }
}

/// A snapshot in its directory.
fn within(path: PathBuf) -> Location {
    // `.` and `..` have a name only once they are looked up, and a link is what it leads to.
    let nameless = path.file_name().is_none() || path.ends_with(".");
    let path = match nameless || path.is_symlink() {
        true => path.canonicalize().unwrap_or(path),
        false => path,
    };
    let here = |dir: &Path| match dir.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => dir.to_owned(),
    };
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Location {
            place: Place::Local(here(dir)),
            snapshot: Some(name.into()),
        },
        _ => Location {
            place: Place::Local(path),
            snapshot: None,
        },
    }
}

/// The scheme of a location, how it is read, and what follows it.
fn kind(text: &OsStr) -> Result<(&'static str, Read, &OsStr)> {
    let bytes = text.as_bytes();
    for &(scheme, read) in KINDS {
        if let Some(rest) = bytes.strip_prefix(scheme.as_bytes()) {
            return Ok((scheme, read, OsStr::from_bytes(rest)));
        }
    }
    match bytes.windows(3).position(|w| w == b"://") {
        Some(at)
            if bytes[..at]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'+') =>
        {
            Err(unknown_kind(text, at))
        }
        _ => mistaken(text).map_or(Ok(("", local, text)), Err),
    }
}

fn unknown_kind(text: &OsStr, colon: usize) -> Error {
    let schemes = KINDS.iter().map(|(scheme, _)| *scheme);
    let schemes = schemes.collect::<Vec<_>>().join(", ");
    let said = format!("known kinds are {schemes} and paths; a path of this name begins with ./");
    let error = wrong(text, &said);
    let (name, rest) = text.as_bytes().split_at(colon);
    let small = [name.to_ascii_lowercase(), rest.to_vec()].concat();
    let known = |(scheme, _): &(&str, Read)| small.starts_with(scheme.as_bytes());
    match KINDS.iter().any(known) {
        true => error.hint(shown(OsStr::from_bytes(&small))),
        false => error,
    }
}

/// What scp and rsync would understand, or a scheme that lacks a slash, and nothing of this name is here.
fn mistaken(text: &OsStr) -> Option<Error> {
    let whole = text.to_str()?;
    let (first, _) = whole.split_once('/').unwrap_or((whole, ""));
    let (name, start) = first.split_once(':').filter(|(name, _)| !name.is_empty())?;
    if Path::new(first).symlink_metadata().is_ok() {
        return None;
    }
    let rest = &whole[name.len() + 1..];
    let scheme = format!("{name}://");
    let way = match KINDS.iter().any(|(known, _)| *known == scheme) {
        true if matches!(name, "btrfs" | "file") => format!("{scheme}{rest}"),
        true => format!("{scheme}{}", rest.trim_start_matches('/')),
        _ if start.is_empty() && rest.starts_with('/') => format!("ssh://{name}{rest}"),
        _ => format!("ssh://{name}/PATH/FROM/THE/ROOT/"),
    };
    let said = "there is no such path here; a path of this name begins with ./";
    Some(wrong(text, said).hint(shown(way)))
}

fn local(path: &OsStr) -> Result<Place> {
    match path.is_empty() {
        true => Err(wrong(path, "it has no path")),
        false => Ok(Place::Local(path.into())),
    }
}

fn raw(path: &OsStr) -> Result<Place> {
    match path.is_empty() {
        true => Err(wrong("raw:".as_ref(), "it has no path: raw:/path/")),
        false => match mistaken(path) {
            Some(error) => {
                let way = format!("raw+{}", error.hint.as_deref().unwrap_or_default());
                Err(error.hint(way))
            }
            None => Ok(Place::Raw(path.into())),
        },
    }
}

fn bucket(rest: &OsStr) -> Result<Place> {
    let refused = |said| Error::usage(format!("cannot use s3://{}", shown(rest)), said);
    let text = rest.to_str();
    let text = text.ok_or_else(|| refused("buckets and keys are UTF-8"))?;
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    if bucket.is_empty() {
        return Err(refused("it names no bucket: s3://BUCKET/PREFIX/"));
    }
    let mut prefix = prefix.trim_start_matches('/').to_owned();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    Ok(Place::S3 {
        bucket: bucket.to_owned(),
        prefix,
    })
}

fn wrong(text: &OsStr, said: &str) -> Error {
    Error::usage(format!("cannot use the location '{}'", shown(text)), said)
}

impl Place {
    /// The directory, if the place is one of this machine.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Place::Local(path) => Some(path),
            Place::S3 { .. } | Place::Raw(_) | Place::Ssh(_) | Place::RawSsh(_) => None,
        }
    }

    /// Whether streams are kept there, and not the files that they make.
    pub fn keeps_streams(&self) -> bool {
        match self {
            Place::S3 { .. } | Place::Raw(_) | Place::RawSsh(_) => true,
            Place::Local(_) | Place::Ssh(_) => false,
        }
    }

    /// Whether a service keeps it, with keys, a region and classes.
    pub fn is_at_a_service(&self) -> bool {
        match self {
            Place::S3 { .. } => true,
            Place::Local(_) | Place::Raw(_) | Place::Ssh(_) | Place::RawSsh(_) => false,
        }
    }

    /// The bucket, or the directory that stands for one, and how keys begin there; `None` where no archive can be.
    pub fn bucket(&self) -> Option<(String, String)> {
        match self {
            Place::S3 { bucket, prefix } => Some((bucket.clone(), prefix.clone())),
            Place::Raw(dir) => Some((format!("raw:{}", dir.display()), String::new())),
            Place::Local(_) | Place::Ssh(_) | Place::RawSsh(_) => None,
        }
    }

    /// The machine that has it, if that is another one, and what the place is called there.
    pub fn elsewhere(&self) -> Option<(&Address, Place)> {
        match self {
            Place::Ssh(address) => Some((address, Place::Local(address.dir().into()))),
            Place::RawSsh(address) => Some((address, Place::Raw(address.dir().into()))),
            Place::Local(_) | Place::S3 { .. } | Place::Raw(_) => None,
        }
    }

    /// Where on this machine it is, whether as a directory or in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Place::Local(path) | Place::Raw(path) => Some(path),
            Place::S3 { .. } | Place::Ssh(_) | Place::RawSsh(_) => None,
        }
    }
}

impl From<PathBuf> for Place {
    fn from(dir: PathBuf) -> Place {
        Place::Local(dir)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Local(path) => f.write_str(&shown(path)),
            Place::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{}", shown(prefix)),
            Place::Raw(path) => write!(f, "raw:{}", shown(path)),
            Place::Ssh(address) => f.write_str(&address.url()),
            Place::RawSsh(address) => write!(f, "raw+{}", address.url()),
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

    fn place(text: &str) -> Place {
        Location::directory(OsStr::new(text)).unwrap().place
    }

    #[test]
    fn what_another_machine_has_is_called_otherwise_there() {
        let far = place("raw+ssh://me@h/a/b/");
        let (address, there) = far.elsewhere().unwrap();
        assert_eq!(
            (address.login(), there.to_string()),
            ("me@h".as_ref(), "raw:/a/b/".into())
        );
        for (text, service) in [("s3://b/", true), ("raw:/a", false), ("/a", false)] {
            let here = place(text);
            assert_eq!((here.elsewhere(), here.is_at_a_service()), (None, service));
        }
    }

    #[test]
    fn the_slash_decides() {
        let local = |dir: &str| Place::Local(dir.into());
        assert_eq!(source("/a/b/"), (local("/a/b/"), None));
        assert_eq!(source("/a/b"), (local("/a"), Some("b".into())));
        assert_eq!(source("b"), (local("."), Some("b".into())));
        assert_eq!(source("/"), (local("/"), None));
        assert_eq!(source("btrfs:///a/b"), (local("/a"), Some("b".into())));
        assert_eq!(source("file://x/y/"), (local("x/y/"), None));
        assert_eq!(source("./backup"), (local("."), Some("backup".into())));
        let b = place("s3://bucket/p/");
        assert_eq!(source("s3://bucket/p/x"), (b, Some("x".into())));
        assert_eq!(source("s3://bucket"), (place("s3://bucket/"), None));
        let at = place("ssh://u@h:2/p/");
        assert_eq!(source("ssh://u@h:2/p/"), (at.clone(), None));
        assert_eq!(source("ssh://u@h:2/p/x"), (at, Some("x".into())));
        let raw = place("raw:/a/b/");
        assert_eq!(raw, Place::Raw("/a/b".into()));
        assert_eq!(source("raw:/a/b/"), (raw.clone(), None));
        assert_eq!(source("raw:/a/b/x"), (raw, Some("x".into())));
        assert_eq!(source("raw:/x"), (place("raw:/"), Some("x".into())));
        let far = place("raw+ssh://u@h:2/p/");
        assert_eq!(far.to_string(), "raw+ssh://u@h:2/p/");
        assert_eq!(source("raw+ssh://u@h:2/p/x"), (far, Some("x".into())));
        for wrong in [
            "",
            "ftp://x/",
            "file://",
            "s3://",
            "s3:///x",
            "ssh://h",
            "ssh://",
            "raw:",
            "raw+ssh://h",
        ] {
            assert!(Location::source(OsStr::new(wrong)).is_err(), "{wrong}");
            assert!(Location::directory(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_equal_when_they_are_the_same() {
        for (one, other) in [
            ("/a//b/", "/a/b"),
            ("/a/./b", "/a/b/"),
            ("btrfs:///a/b", "file:///a/b/"),
            ("s3://b/p", "s3://b/p/"),
            ("s3://b", "s3://b/"),
            ("s3://b//p", "s3://b/p"),
            ("ssh://h/d", "ssh://h/d/"),
            ("ssh://u@h:22//d//e", "ssh://u@h:22/d/e/"),
        ] {
            assert_eq!(place(one), place(other));
        }
        for (one, other) in [
            ("/a/b", "/a/../b"),
            ("a", "/a"),
            ("s3://b/p", "s3://b/P"),
            ("s3://b/p/q", "s3://b/p//q"),
            ("ssh://h/d", "ssh://u@h/d"),
            ("ssh://h/d", "ssh://h:22/d"),
        ] {
            assert_ne!(place(one), place(other));
        }
        let shown = |text: &str| place(text).to_string();
        assert_eq!(shown("s3://b/p"), "s3://b/p/");
        assert_eq!(shown("ssh://u@[::1]:2/p"), "ssh://u@[::1]:2/p/");
        assert_eq!(shown("btrfs:///a//b/"), "/a//b/");
    }
}
