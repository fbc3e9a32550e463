//! Archives for scripts: one line each; and what a clean-up did, a line for each thing it found.

use super::{VERSION, line};
use crate::report::archives::Shown;
use crate::snapshot::{Snapshot, Uuid, path_text};
use crate::store::archive::manifest::Manifest;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct ArchiveLine<'a> {
    version: u32,
    archive: &'a str,
    location: &'a str,
    backups: Vec<Backup<'a>>,
    broken: Vec<Broken<'a>>,
    leftovers: Vec<Leftover<'a>>,
    strays: &'a [String],
}

#[derive(Serialize)]
struct Backup<'a> {
    manifest_key: &'a str,
    created_at: &'a str,
    kind: &'a str,
    state: &'a str,
    why: Option<&'a str>,
    snapshot: &'a str,
    uuid: Option<Uuid>,
    parent_manifest: Option<&'a str>,
    bytes: u64,
    chain_bytes: Option<u64>,
    chunks: usize,
    storage_class: &'a str,
    /// `null` where chunks can be read at once.
    thaw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

#[derive(Serialize)]
struct Broken<'a> {
    key: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Leftover<'a> {
    name: &'a str,
    bytes: u64,
    latest: Option<i64>,
}

/// An archive.
pub fn archive(shown: &Shown) -> String {
    let archive = shown.archive;
    let broken = archive.broken.iter();
    let broken = broken.filter(|(key, _)| !archive.manifests.contains_key(*key));
    let leftovers = archive.leftovers.iter().map(|(name, leftover)| Leftover {
        name,
        bytes: leftover.bytes,
        latest: leftover.latest.map(jiff::Timestamp::as_second),
    });
    line(&ArchiveLine {
        version: VERSION,
        archive: &archive.name,
        location: &shown.location,
        backups: archive
            .in_order()
            .into_iter()
            .map(|(key, manifest)| backup(shown, key, manifest))
            .collect(),
        broken: broken.map(|(key, why)| Broken { key, why }).collect(),
        leftovers: leftovers.collect(),
        strays: &archive.strays,
    })
}

fn backup<'a>(shown: &'a Shown, key: &'a str, manifest: &'a Manifest) -> Backup<'a> {
    let archive = shown.archive;
    Backup {
        manifest_key: key,
        created_at: &manifest.created_at,
        kind: &manifest.kind,
        state: shown.state(key),
        why: archive.broken.get(key).map(String::as_str),
        snapshot: &manifest.snapshot.name,
        uuid: archive.id(key).filter(|_| archive.is_known(key)),
        parent_manifest: manifest.parent_manifest.as_deref(),
        bytes: manifest.total_bytes,
        chain_bytes: shown.chain_bytes(key),
        chunks: manifest.chunks.len(),
        storage_class: &manifest.s3.storage_class,
        thaw: shown.thawing(key),
        command: shown.command(manifest),
    }
}

#[derive(Serialize)]
struct LeftoverLine<'a> {
    version: u32,
    event: &'static str,
    location: &'a str,
    #[serde(serialize_with = "path_text::serialize")]
    path: &'a Path,
    bytes: Option<u64>,
    latest: Option<i64>,
    result: &'a str,
    error: Option<String>,
}

/// Something that a run left, and what was done about it: `removed`, `kept`, `failed` or, in a dry
/// run, `removable`.
pub fn leftover(location: &str, left: &Snapshot, result: &str, error: Option<String>) -> String {
    line(&LeftoverLine {
        version: VERSION,
        event: "leftover",
        location,
        path: &left.path,
        bytes: left.referenced,
        latest: left.created,
        result,
        error,
    })
}

#[derive(Serialize)]
struct DeletedLine<'a> {
    version: u32,
    event: &'static str,
    location: &'a str,
    created_at: &'a str,
    kind: &'a str,
    snapshot: &'a str,
    bytes: u64,
    result: &'a str,
}

/// A backup that was deleted on its own: `removed` or, in a dry run, `removable`.
pub fn deleted(location: &str, manifest: &Manifest, result: &str) -> String {
    line(&DeletedLine {
        version: VERSION,
        event: "backup",
        location,
        created_at: &manifest.created_at,
        kind: &manifest.kind,
        snapshot: &manifest.snapshot.name,
        bytes: manifest.total_bytes,
        result,
    })
}

#[derive(Serialize)]
struct CleanLine {
    version: u32,
    event: &'static str,
    removed: usize,
    kept: usize,
    failed: usize,
}

/// How a clean-up ended.
pub fn cleaned(removed: usize, kept: usize, failed: usize) -> String {
    let (version, event) = (VERSION, "summary");
    line(&CleanLine {
        version,
        event,
        removed,
        kept,
        failed,
    })
}
