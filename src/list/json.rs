//! `btrfslist --json`: the document, as the man page describes it.

use super::View;
use crate::btrfs::{Coverage, Device, Info, Subvolume};
use crate::error::{Error, Result};
use crate::snapshot::{State, Uuid, path_text};
use serde::{Serialize, Serializer};
use std::path::Path;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    filesystem: About<'a>,
    complete: bool,
    notes: &'a [String],
    sizes: Option<&'a str>,
    subvolumes: Vec<Entry>,
}

#[derive(Serialize)]
struct About<'a> {
    uuid: Uuid,
    metadata_uuid: Option<Uuid>,
    generation: Option<u64>,
    node_bytes: u32,
    total_bytes: u64,
    used_bytes: Option<u64>,
    free_bytes: u64,
    devices: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    id: u64,
    #[serde(serialize_with = "path_or_null")]
    path: &'a Path,
    total_bytes: u64,
    used_bytes: u64,
}

#[derive(Serialize)]
struct Entry {
    id: u64,
    parent_id: Option<u64>,
    path: String,
    below: Option<String>,
    level: Option<u8>,
    tree_bytes: Option<u64>,
    generation: u64,
    ctransid: u64,
    otransid: u64,
    stransid: Option<u64>,
    rtransid: Option<u64>,
    created: Option<i64>,
    total_bytes: Option<u64>,
    exclusive_bytes: Option<u64>,
    read_only: bool,
    state: Option<State>,
    uuid: Option<Uuid>,
    parent_uuid: Option<Uuid>,
    received_uuid: Option<Uuid>,
    mounts: Vec<String>,
}

impl View {
    /// One JSON object on one line.
    ///
    /// # Errors
    /// None that could be thought of: everything in the document can be written.
    pub fn json(&self) -> Result<String> {
        let document = Document {
            version: crate::JSON_VERSION,
            filesystem: about(&self.info),
            complete: self.subvolumes.coverage == Coverage::Whole,
            notes: &self.subvolumes.notes,
            sizes: self.sizes,
            subvolumes: self.subvolumes.all.iter().map(|s| self.entry(s)).collect(),
        };
        serde_json::to_string(&document)
            .map_err(|error| Error::failed("cannot write JSON", error.to_string()))
    }

    fn entry(&self, s: &Subvolume) -> Entry {
        let tree = s.tree_bytes != 0;
        let received = s.received_uuid.is_some();
        let mounts = self.mounted(s).map(|mount| path_text::encode(&mount.at));
        Entry {
            id: s.id,
            parent_id: (s.parent_id != 0).then_some(s.parent_id),
            path: path_text::encode(&s.path),
            below: s.below.as_deref().map(path_text::encode),
            level: tree.then_some(s.level),
            tree_bytes: tree.then_some(s.tree_bytes),
            generation: s.generation,
            ctransid: s.ctransid,
            otransid: s.otransid,
            stransid: received.then_some(s.stransid),
            rtransid: received.then_some(s.rtransid),
            created: s.created,
            total_bytes: s.referenced,
            exclusive_bytes: s.exclusive,
            read_only: s.read_only,
            state: self.states.get(&s.id).copied(),
            uuid: Uuid::set(s.uuid.0),
            parent_uuid: s.parent_uuid,
            received_uuid: s.received_uuid,
            mounts: mounts.collect(),
        }
    }
}

fn about(info: &Info) -> About<'_> {
    About {
        uuid: info.fsid,
        metadata_uuid: info.metadata_uuid,
        generation: info.generation,
        node_bytes: info.nodesize,
        total_bytes: info.total,
        used_bytes: info.used,
        free_bytes: info.free,
        devices: info.devices.iter().map(part).collect(),
    }
}

fn part(device: &Device) -> Part<'_> {
    Part {
        id: device.id,
        path: &device.path,
        total_bytes: device.total,
        used_bytes: device.used,
    }
}

/// A missing device has no path.
fn path_or_null<S: Serializer>(
    path: &&Path,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let path = (!path.as_os_str().is_empty()).then(|| path_text::encode(path));
    path.serialize(serializer)
}
