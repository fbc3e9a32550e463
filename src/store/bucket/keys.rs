//! What more than one layout has to know about keys: which belong to archives, and what can be the
//! path of a snapshot. Knows text only.

use crate::archive::{BackupKind, Begun, Stamp};
use crate::error::{Error, Result};
use std::path::Path;

/// How the key of what says which machine an archive is of ends.
pub(super) const OWNER: &str = "owner.json";

/// A key of an archive, `{prefix}subvol/{name}/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archived<'a> {
    /// Empty, or ends in a slash.
    pub(super) prefix: &'a str,
    /// The name of the backups.
    pub(super) name: &'a str,
    pub(super) part: KeyPart,
}

/// What an object of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPart {
    /// `current.json`.
    Pointer,
    /// Says which machine makes the backups.
    Owner,
    /// The manifest of a kind of backup and a time.
    Manifest(BackupKind, Stamp),
    /// A piece of its stream, counted from 0.
    Chunk(Begun, u64),
}

impl<'a> Archived<'a> {
    /// Whether its key can be asked for: other programs may have written some that cannot.
    pub(super) fn is_found(&self) -> bool {
        refuse_folder(self.prefix).is_none() && refuse_folder(self.name).is_none()
    }

    /// Takes a key apart; `None` if it is no archive's.
    pub(super) fn parse(key: &'a str) -> Option<Archived<'a>> {
        let (folder, file) = key.rsplit_once('/')?;
        let (folder, part) = match file {
            "current.json" => (folder, KeyPart::Pointer),
            OWNER => (folder, KeyPart::Owner),
            _ => {
                let (folder, kind) = folder.rsplit_once('/')?;
                (folder, KeyPart::parse(kind, file)?)
            }
        };
        let (above, name) = folder.rsplit_once('/')?;
        let prefix = above.strip_suffix("subvol")?;
        let whole = prefix.is_empty() || prefix.ends_with('/');
        (whole && !name.is_empty()).then_some(Archived { prefix, name, part })
    }
}

impl KeyPart {
    fn parse(kind: &str, file: &str) -> Option<KeyPart> {
        let kind = BackupKind::parse(kind)?;
        if let Some(stamp) = file.strip_prefix("manifest-") {
            let stamp = stamp.strip_suffix(".json")?.into();
            return Some(KeyPart::Manifest(kind, stamp));
        }
        let rest = file.strip_prefix("chunk-")?.strip_suffix(".bin")?;
        let (stamp, number) = rest.rsplit_once('-')?;
        let index: u64 = number.parse().ok()?;
        let stamp = stamp.into();
        (index.to_string() == number).then_some(KeyPart::Chunk(Begun { kind, stamp }, index))
    }
}

/// A snapshot's path as text, for stores that write it into keys or documents.
pub(super) fn path_text(path: &Path, doing: String) -> Result<String> {
    match path.to_str() {
        Some(text) if is_path(text) => Ok(text.to_owned()),
        Some(_) => Err(Error::refused(doing, "it is not a plain relative path")),
        None => {
            let said = "a bucket's names are UTF-8 and this one is not: rename it";
            Err(Error::refused(doing, said))
        }
    }
}

/// Why nothing could be found again below a folder of this name; `None` if it can.
///
/// A slash at the beginning and empty parts are kept by most services, and what others make of them is seen
/// when what was written is looked for.
pub fn refuse_folder(folder: &str) -> Option<&'static str> {
    let dots = folder.split('/').any(|part| matches!(part, "." | ".."));
    dots.then_some(
        "no part of it may be '.' or '..': such parts are dropped from addresses on the way, and what is \
         written would be found nowhere, or elsewhere",
    )
}

/// A prefix as keys have it: empty, or with a slash at its end.
pub(super) fn top(prefix: &str) -> String {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{slash}")
}

/// Whether it is a key of an archive that can be opened.
pub(super) fn is_archived(key: &str) -> bool {
    Archived::parse(key).is_some_and(|archived| archived.is_found())
}

/// Whether it can be a snapshot's path: what comes from a bucket must not lead out of a directory.
pub(super) fn is_path(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

#[cfg(any(test, feature = "fuzz"))]
/// A key of an archive says the same when it is put together again.
pub(crate) fn fuzz(bytes: &[u8]) {
    let key = String::from_utf8_lossy(bytes);
    if let Some(Archived { prefix, name, part }) = Archived::parse(&key) {
        let end = match part {
            KeyPart::Pointer => "current.json".to_owned(),
            KeyPart::Owner => OWNER.to_owned(),
            KeyPart::Manifest(kind, stamp) => format!("{kind}/manifest-{stamp}.json"),
            KeyPart::Chunk(begun, index) => format!("{begun}-{index}.bin"),
        };
        assert_eq!(format!("{prefix}subvol/{name}/{end}"), key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_can_be_found_again() {
        for fine in [
            "",
            "a/b/",
            "/a/",
            "a//b/",
            "a.b/..c/",
            "trash/",
            "x/subvol/",
        ] {
            assert_eq!(refuse_folder(fine), None, "{fine}");
        }
        for lost in ["./x/", "x/./", "../x/", "a/../b/", ".."] {
            assert!(refuse_folder(lost).is_some(), "{lost:?}");
        }
    }

    #[test]
    fn keys_of_archives() {
        let chunk = Archived::parse("a/b/subvol/data/full/chunk-20260101T000000Z-12.bin").unwrap();
        assert_eq!((chunk.prefix, chunk.name), ("a/b/", "data"));
        let begun = Begun::parse("full/chunk-20260101T000000Z").unwrap();
        assert_eq!(chunk.part, KeyPart::Chunk(begun, 12));
        let manifest = Archived::parse("subvol/x/incremental/manifest-T.json").unwrap();
        assert_eq!(manifest.prefix, "");
        let part = KeyPart::Manifest(BackupKind::Incremental, "T".into());
        assert_eq!(manifest.part, part);
        let pointer = Archived::parse("/a/subvol/x/current.json").unwrap();
        assert_eq!((pointer.prefix, pointer.part), ("/a/", KeyPart::Pointer));
        for other in [
            "current.json",
            "subvol/current.json",
            "a/mysubvol/x/current.json",
            "subvol/x/other/manifest-T.json",
            "subvol/x/full/chunk-T-01.bin",
            "subvol/x/full/chunk-T.bin",
            "subvol/x/full/notes.txt",
        ] {
            assert_eq!(Archived::parse(other), None, "{other}");
        }
    }
}
