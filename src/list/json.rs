//! `btrfslist --json`: the document, as the man page describes it. Reads nothing.

use super::{COLUMNS, ShownSubvolume, View};
use crate::btrfs::{Device, Info};
use crate::error::{Error, Result};
use crate::report::Rows;
use crate::snapshot::{Uuid, path_text};
use serde::{Serialize, Serializer};
use std::path::Path;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    filesystem: AboutSubvolume<'a>,
    complete: bool,
    notes: &'a [String],
    sizes: Option<&'a str>,
    subvolumes: Rows<'a, ShownSubvolume>,
}

#[derive(Serialize)]
struct AboutSubvolume<'a> {
    uuid: Uuid,
    metadata_uuid: Option<Uuid>,
    generation: Option<u64>,
    node_bytes: u32,
    total_bytes: u64,
    used_bytes: Option<u64>,
    free_bytes: u64,
    devices: Vec<DocumentPart<'a>>,
}

#[derive(Serialize)]
struct DocumentPart<'a> {
    id: u64,
    #[serde(serialize_with = "path_or_null")]
    path: &'a Path,
    total_bytes: u64,
    used_bytes: u64,
}

impl View {
    /// One JSON object on one line.
    ///
    /// # Errors
    /// None that could be thought of: everything in the document can be written.
    pub fn json(&self) -> Result<String> {
        let all = self.subvolumes.all.iter();
        let entries: Vec<ShownSubvolume> = all.map(|s| self.entry(String::new(), s)).collect();
        let document = Document {
            version: crate::JSON_VERSION,
            filesystem: about(&self.info),
            complete: self.subvolumes.is_whole(),
            notes: &self.subvolumes.notes,
            sizes: self.sizes,
            subvolumes: Rows(COLUMNS, &entries),
        };
        serde_json::to_string(&document)
            .map_err(|error| Error::failed("cannot write JSON", error.to_string()))
    }
}

fn about(info: &Info) -> AboutSubvolume<'_> {
    AboutSubvolume {
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

fn part(device: &Device) -> DocumentPart<'_> {
    DocumentPart {
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
