//! Archives for scripts: one line each; and what a clean-up did, a line for each thing it found.

use super::{VERSION, line};
use crate::archive::{self, Backups, Kind};
use crate::report::archives;
use crate::snapshot::{Snapshot, Uuid, path_text};
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
    kind: Kind,
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
    command: Option<&'a str>,
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
pub fn archive(archive: &Backups) -> String {
    let unread = archive.unread.iter();
    let leftovers = archive.leftovers.iter();
    line(&ArchiveLine {
        version: VERSION,
        archive: &archive.name,
        location: &archive.location,
        backups: archive.all.iter().map(|b| backup(archive, b)).collect(),
        broken: unread.map(|(key, why)| Broken { key, why }).collect(),
        leftovers: leftovers
            .map(|left| Leftover {
                name: &left.name,
                bytes: left.bytes,
                latest: left.latest.map(jiff::Timestamp::as_second),
            })
            .collect(),
        strays: &archive.strays,
    })
}

fn backup<'a>(archive: &Backups, backup: &'a archive::Backup) -> Backup<'a> {
    Backup {
        manifest_key: &backup.key,
        created_at: &backup.created_at,
        kind: backup.kind,
        state: archives::state(archive, backup),
        why: backup.broken.as_deref(),
        snapshot: &backup.snapshot,
        uuid: backup.id,
        parent_manifest: backup.parent.as_deref(),
        bytes: backup.bytes,
        chain_bytes: backup.chain_bytes,
        chunks: backup.chunks.len(),
        storage_class: &backup.class,
        thaw: archives::thaw(backup),
        command: backup.command.as_deref(),
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
    kind: Kind,
    snapshot: &'a str,
    bytes: u64,
    result: &'a str,
}

/// A backup that was deleted on its own: `removed` or, in a dry run, `removable`.
pub fn deleted(location: &str, backup: &archive::Backup, result: &str) -> String {
    line(&DeletedLine {
        version: VERSION,
        event: "backup",
        location,
        created_at: &backup.created_at,
        kind: backup.kind,
        snapshot: &backup.snapshot,
        bytes: backup.bytes,
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
