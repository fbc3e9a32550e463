//! Manifests of archives: what a backup in chunks is made of, and what it builds on. Knows the
//! format, version 1, and where things lie below a prefix; does no input or output.

use crate::archive::{BackupKind, Begun, Stamp};
use crate::error::{Error, Result};
use crate::snapshot::{End, Graph, Uuid, shown};
use crate::store::bucket::keys::top;
use crate::store::bucket::upload::Made;
use crate::text::json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u64 = 1;
/// As many values as one has: a chunk of the longest has more text than that.
const VALUES: usize = 1 << 21;

/// One backup of a subvolume, full or incremental.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    version: u64,
    /// The name of the backups.
    pub subvolume: String,
    /// Whether it needs another.
    pub kind: BackupKind,
    /// Start of the run.
    pub created_at: Stamp,
    /// The snapshot that the stream makes.
    pub snapshot: SnapshotRecord,
    /// The key of the manifest that it builds on. The old program's empty text is none.
    #[serde(default, deserialize_with = "filled")]
    pub parent_manifest: Option<String>,
    /// The stream in pieces, in order.
    pub chunks: Vec<Chunk>,
    /// Bytes of the stream.
    pub total_bytes: u64,
    /// Bytes at which it was cut.
    pub chunk_size: u64,
    /// How it is stored.
    pub s3: Storage,
    /// The stream is of a sender that mends; the old program's never are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mended: bool,
}

/// A snapshot on the machine that was backed up. The old program leaves the UUIDs out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The name of the snapshot.
    pub name: String,
    /// The path at which it was.
    pub path: String,
    /// Its effective UUID.
    #[serde(default)]
    pub uuid: Option<Uuid>,
    /// That of its parent.
    #[serde(default)]
    pub parent_uuid: Option<Uuid>,
    /// That of the subvolume which it is a snapshot of, if somebody told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume_uuid: Option<Uuid>,
    /// Of which machine, too. Programs that do not know it pass over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<crate::snapshot::Origin>,
}

/// A piece of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// The whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of the chunk in hexadecimal digits.
    pub sha256: String,
    /// The SHA-256 tree hash, hexadecimal; the old program records none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_hash: Option<String>,
    /// As the service gave it.
    #[serde(default)]
    pub etag: Option<String>,
}

impl Chunk {
    /// What was just made of a piece of the stream.
    pub(super) fn of(made: Made) -> Result<Chunk> {
        match <[_; 1]>::try_from(made.objects) {
            Ok([object]) if !made.split => Ok(Chunk {
                key: object.key,
                size: object.size,
                sha256: made.digests.sha256.unwrap_or_default(),
                tree_hash: made.digests.tree_hash,
                etag: Some(object.etag).filter(|etag| !etag.is_empty()),
            }),
            _ => {
                let said = "it did not become one object";
                Err(Error::failed("cannot store a chunk", said))
            }
        }
    }
}

/// How chunks are stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Storage {
    /// The storage class of the chunks.
    pub storage_class: String,
}

/// What is the newest, as the pointer says. Of what it says beside the key nothing is believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pointer {
    /// The key of its manifest.
    pub manifest_key: String,
    /// Whether that needs another.
    #[serde(skip_deserializing)]
    pub kind: Option<BackupKind>,
    /// Start of the run.
    #[serde(skip_deserializing)]
    pub created_at: Stamp,
}

fn filled<'a, D: serde::Deserializer<'a>>(
    from: D,
) -> std::result::Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// What is written down of a new backup beside its chunks.
pub(super) struct Note {
    pub(super) subvolume: String,
    pub(super) begun: Begun,
    pub(super) snapshot: SnapshotRecord,
    pub(super) parent_manifest: Option<String>,
    pub(super) chunk_size: u64,
    /// The storage class of the chunks.
    pub(super) storage_class: String,
    /// The stream is of a sender that mends.
    pub(super) mended: bool,
}

impl Note {
    /// The manifest, when all chunks are there.
    pub(super) fn with(self, chunks: Vec<Chunk>) -> Manifest {
        Manifest {
            version: VERSION,
            subvolume: self.subvolume,
            kind: self.begun.kind,
            created_at: self.begun.stamp,
            snapshot: self.snapshot,
            parent_manifest: self.parent_manifest,
            total_bytes: chunks.iter().map(|chunk| chunk.size).sum(),
            chunks,
            chunk_size: self.chunk_size,
            s3: Storage {
                storage_class: self.storage_class,
            },
            mended: self.mended,
        }
    }
}

/// As the old program wrote them: keys in order, two spaces to indent.
pub(super) fn text(value: &impl Serialize) -> Result<String> {
    let doing = "cannot write a manifest";
    let sorted = serde_json::to_value(value);
    let text = sorted.and_then(|sorted| serde_json::to_string_pretty(&sorted));
    text.map_err(|error| Error::failed(doing, error.to_string()))
}

impl Manifest {
    /// Understands the object with this key.
    ///
    /// # Errors
    /// If it is no manifest of a known version, or contradicts itself.
    pub fn parse(key: &str, body: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let wrong =
            |said: String| Error::damaged(format!("cannot use the manifest {}", shown(key)), said);
        let found: Versioned = serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))?;
        if found.version != VERSION {
            let said = format!(
                "its version is {}, and only {VERSION} is known: a newer program wrote it",
                found.version
            );
            return Err(wrong(said));
        }
        let manifest: Manifest = json::read(body, VALUES).map_err(|e| wrong(e.to_string()))?;
        let sum = manifest
            .chunks
            .iter()
            .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.size));
        match sum {
            _ if manifest.chunks.is_empty() => Err(wrong("it names no chunks".to_owned())),
            Some(sum) if sum == manifest.total_bytes => Ok(manifest),
            _ => Err(wrong("its chunks do not add up to its total".to_owned())),
        }
    }
}

/// Where the backups of a subvolume lie.
pub fn folder(prefix: &str, name: &str) -> String {
    format!("{}subvol/{name}/", top(prefix))
}

/// The key that the last parts of another one have in a folder: what was copied or moved there still
/// has the keys of the old place.
pub(super) fn relative(folder: &str, key: &str) -> Option<String> {
    let mut parts = key.rsplitn(3, '/');
    let (file, kind) = (parts.next()?, parts.next()?);
    Some(format!("{folder}{kind}/{file}"))
}

/// The time in the key of a manifest.
pub(super) fn stamp_of(key: &str) -> Option<Stamp> {
    let stamp = key.rsplit_once("/manifest-")?.1.strip_suffix(".json");
    stamp.map(Stamp::from)
}

/// Whether a key below a folder is that of a manifest.
pub fn is_manifest(folder: &str, key: &str) -> bool {
    let rest = key
        .strip_prefix(folder)
        .and_then(|rest| rest.split_once("/manifest-"));
    rest.is_some_and(|(kind, name)| {
        BackupKind::parse(kind).is_some() && name.ends_with(".json") && !name.contains('/')
    })
}

/// The keys of the manifests that it takes to restore one, the full one first.
///
/// # Errors
/// If one of them is missing, or they build on each other in a circle.
pub fn chain<'a>(all: &'a BTreeMap<String, Manifest>, newest: &'a str) -> Result<Vec<&'a str>> {
    way_down(&graph(all), newest)
}

/// Which manifests build on which others, by their keys.
pub(super) fn graph(all: &BTreeMap<String, Manifest>) -> Graph<&str> {
    let pairs = all.iter();
    pairs
        .map(|(key, manifest)| (key.as_str(), manifest.parent_manifest.as_deref()))
        .collect()
}

/// See [`chain`].
pub(super) fn way_down<'a>(graph: &Graph<&'a str>, newest: &'a str) -> Result<Vec<&'a str>> {
    let (mut keys, end) = graph.way_down(newest);
    let said = match end {
        End::Whole => {
            keys.reverse();
            return Ok(keys);
        }
        End::Missing(key) => {
            let key = shown(key);
            format!("it builds on {key}, which is not there or cannot be used")
        }
        End::Circle(key) => format!("{} builds on itself", shown(key)),
    };
    let doing = format!("cannot restore {}", shown(newest));
    Err(Error::damaged(doing, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn text(parent: &str, sizes: &[u64]) -> String {
        let chunk = |size: &u64| {
            format!(r#"{{"key": "k{size}", "size": {size}, "sha256": "00", "etag": null}}"#)
        };
        let chunks: Vec<String> = sizes.iter().map(chunk).collect();
        format!(
            r#"{{"chunk_size": 10, "chunks": [{}], "created_at": "20260101T000000Z", "kind": "full",
            "parent_manifest": {parent}, "s3": {{"storage_class": "STANDARD"}}, "snapshot": {{"name": "n",
            "parent_uuid": null, "path": "/s/n", "uuid": null}}, "subvolume": "data", "total_bytes": {},
            "version": 1, "later": true}}"#,
            chunks.join(","),
            sizes.iter().sum::<u64>()
        )
    }

    #[test]
    fn what_the_old_program_wrote() {
        let parse = |text: &str| Manifest::parse("m", text.as_bytes());
        let manifest = parse(&text("null", &[10, 3])).unwrap();
        assert_eq!((manifest.chunks.len(), manifest.total_bytes), (2, 13));
        assert_eq!(parse(&text("\"\"", &[1])).unwrap().parent_manifest, None);
        assert_eq!(
            parse(&text("\"p\"", &[1]))
                .unwrap()
                .parent_manifest
                .as_deref(),
            Some("p")
        );
        let newer = parse(&text("null", &[1]).replace("\"version\": 1", "\"version\": 2"));
        assert!(newer.unwrap_err().to_string().contains("a newer program"));
        assert!(parse(&text("null", &[])).is_err());
        assert!(
            parse(&text("null", &[4]).replace("\"total_bytes\": 4", "\"total_bytes\": 5")).is_err()
        );
        assert!(parse("{").is_err());
        let zeros = "0,".repeat(VALUES);
        let many = text("null", &[1]).replace("\"later\": true", &format!("\"later\": [{zeros}0]"));
        assert!(parse(&many).unwrap_err().said.contains("values"));
    }

    #[test]
    fn where_things_lie() {
        assert_eq!(folder("a/b", "data"), "a/b/subvol/data/");
        assert_eq!(folder("a/b/", "data"), "a/b/subvol/data/");
        assert_eq!(folder("/", "data"), "subvol/data/");
        assert_eq!(folder("/a", "data"), "/a/subvol/data/");
        let is = |key: &str| is_manifest("p/subvol/data/", key);
        assert!(is("p/subvol/data/full/manifest-1.json"));
        assert!(is("p/subvol/data/incremental/manifest-1.json"));
        assert!(!is("p/subvol/data/full/chunk-1-0.bin") && !is("p/subvol/data/current.json"));
        assert!(!is("p/subvol/data/other/manifest-1.json"));
    }

    #[test]
    fn chains_end_at_a_full_one() {
        let make = |parent: &str| Manifest::parse("m", text(parent, &[1]).as_bytes()).unwrap();
        let all = [
            ("a", "null"),
            ("b", "\"a\""),
            ("c", "\"a\""),
            ("d", "\"c\""),
            ("x", "\"y\""),
            ("y", "\"x\""),
            ("z", "\"gone\""),
        ];
        let all = all
            .map(|(key, parent)| (key.to_owned(), make(parent)))
            .into();
        assert_eq!(chain(&all, "d").unwrap(), ["a", "c", "d"]);
        assert_eq!(chain(&all, "b").unwrap(), ["a", "b"]);
        assert!(
            chain(&all, "x")
                .unwrap_err()
                .to_string()
                .contains("builds on itself")
        );
        assert!(chain(&all, "z").unwrap_err().to_string().contains("gone"));
    }
}
