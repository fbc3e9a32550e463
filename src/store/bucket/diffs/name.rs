//! How keys name diffs, and what other keys mean. Compatible with ButterSink; see
//! buttersink-s3(5). Knows text, and what it makes of it.

use crate::objects::Source;
use crate::snapshot::Uuid;
use crate::store::bucket::kept::Kept;
use crate::store::bucket::keys::is_path;
use std::fmt;

/// A diff's key below the prefix, `path/TO_FROM`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// The snapshot's path.
    pub(super) path: String,
    pub(super) to: Uuid,
    pub(super) from: Option<Uuid>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}_", self.path, self.to)?;
        match self.from {
            Some(from) => write!(f, "{from}"),
            None => f.write_str("None"),
        }
    }
}

/// What a key below the prefix is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A whole stream.
    Diff(Name),
    /// One of several objects that make a stream, counted from 1.
    Piece(Name, u64),
    /// Written when all the pieces are there: how many, and the bytes of all.
    Marker(Name, u64, u64),
    /// Hints about the snapshot of this path.
    Info(String),
    /// What some programs make to show a directory.
    Folder,
    /// Not ours.
    Foreign,
}

impl Key {
    /// Takes a key apart that stands below the prefix.
    pub(super) fn parse(key: &str) -> Key {
        if key.ends_with('/') || key.is_empty() {
            return Key::Folder;
        }
        if let Some(path) = key.strip_suffix(".bs").filter(|path| is_path(path)) {
            return Key::Info(path.to_owned());
        }
        Self::of_stream(key).unwrap_or(Key::Foreign)
    }

    fn of_stream(key: &str) -> Option<Key> {
        let (path, last) = key.rsplit_once('/')?;
        let (pair, rest) = match last.split_once('.') {
            Some((pair, rest)) => (pair, Some(rest)),
            None => (last, None),
        };
        let (to, from) = pair.split_once('_')?;
        let from = match from {
            "None" => None,
            uuid => Some(uuid.parse().ok()?),
        };
        let name = Name {
            path: Some(path).filter(|path| is_path(path))?.to_owned(),
            to: to.parse().ok()?,
            from,
        };
        Some(match rest {
            None => Key::Diff(name),
            Some(rest) => match rest.strip_prefix("all-") {
                Some(numbers) => {
                    let (count, bytes) = numbers.split_once('-')?;
                    Key::Marker(name, number(count)?, number(bytes)?)
                }
                None => Key::Piece(name, number(rest)?),
            },
        })
    }
}

impl Name {
    /// That of a stream that is kept.
    pub(super) fn of(kept: &Kept) -> Name {
        Name {
            path: kept.path.clone(),
            to: kept.to,
            from: kept.from,
        }
    }

    /// A stream of this name in these objects.
    pub(super) fn kept(&self, objects: Vec<Source>, created: Option<i64>) -> Kept {
        Kept {
            path: self.path.clone(),
            to: self.to,
            from: self.from,
            objects,
            name: self.to.to_string(),
            on: self.from.map(|from| from.to_string()),
            created,
            ..Kept::default()
        }
    }

    /// The key of the marker.
    pub(super) fn marker(&self, count: u64, bytes: u64) -> String {
        format!("{self}.all-{count}-{bytes}")
    }
}

/// A number as we write it, in one way only.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number)
}

#[cfg(any(test, feature = "fuzz"))]
/// The key of a stream says the same when it is written again, but for the case of its UUIDs.
pub(crate) fn fuzz(bytes: &[u8]) {
    let key = String::from_utf8_lossy(bytes);
    let again = match Key::parse(&key) {
        Key::Diff(name) => name.to_string(),
        Key::Piece(name, number) => format!("{name}.{number}"),
        Key::Marker(name, count, bytes) => name.marker(count, bytes),
        Key::Info(path) => format!("{path}.bs"),
        Key::Folder | Key::Foreign => return,
    };
    assert!(again.eq_ignore_ascii_case(&key), "{again}");
    assert_eq!(Key::parse(&again), Key::parse(&key));
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1";
    const B: &str = "1e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c2";

    fn name(from: Option<&str>) -> Name {
        Name {
            path: "home/2024 01".to_owned(),
            to: A.parse().unwrap(),
            from: from.map(|from| from.parse().unwrap()),
        }
    }

    #[test]
    fn there_and_back() {
        let full = name(None);
        assert_eq!(full.to_string(), format!("home/2024 01/{A}_None"));
        let diff = name(Some(B));
        for (text, key) in [
            (full.to_string(), Key::Diff(full.clone())),
            (diff.to_string(), Key::Diff(diff.clone())),
            (format!("{diff}.12"), Key::Piece(diff.clone(), 12)),
            (diff.marker(12, 3456), Key::Marker(diff.clone(), 12, 3456)),
            ("home/x.bs".to_owned(), Key::Info("home/x".to_owned())),
            ("home/".to_owned(), Key::Folder),
        ] {
            assert_eq!(Key::parse(&text), key, "{text}");
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for text in [
            &format!("{A}_None")[..],
            &format!("../x/{A}_None"),
            &format!("x//{A}_None"),
            &format!("/x/{A}_None"),
            &format!("x/{A}_none"),
            &format!("x/{A}_{B}.0"),
            &format!("x/{A}_{B}.01"),
            &format!("x/{A}_{B}.all-3"),
            &format!("x/{}_None", &A[1..]),
            "notes.txt",
            "../a.bs",
        ] {
            assert_eq!(Key::parse(text), Key::Foreign, "{text}");
        }
    }

    /// The old program's pattern allows no dot in the last component.
    #[test]
    fn the_old_program_ignores_pieces_and_markers() {
        for text in [format!("{}.1", name(None)), name(None).marker(2, 3)] {
            let last = text.rsplit('/').next().unwrap();
            assert!(
                !last
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            );
        }
    }
}
