//! Backups as every layout's streams: what a manifest says of objects and digests. Changes nothing.

use super::index::ArchiveIndex;
use super::manifest::Manifest;
use crate::digest::Digests;
use crate::error::{Error, Result};
use crate::objects::{Object, Source, unquoted};
use crate::snapshot::{Diff, shown};
use crate::store::bucket::kept::{Kept, Record};
use jiff::Timestamp;
use std::collections::HashMap;

/// The chunks, with the ETags that they have in a listing.
pub(super) fn sources(manifest: &Manifest, listed: &HashMap<String, Object>) -> Vec<Source> {
    let source = |chunk: &super::manifest::Chunk| Source {
        key: chunk.key.clone(),
        size: chunk.size,
        etag: listed
            .get(&chunk.key)
            .map_or_else(String::new, |object| object.etag.clone()),
    };
    manifest.chunks.iter().map(source).collect()
}

/// What a manifest says of the bytes of its chunks.
pub(super) fn record(manifest: &Manifest) -> Record {
    let chunks = || manifest.chunks.iter();
    let digests = chunks().map(|chunk| Digests {
        sha256: Some(chunk.sha256.clone()),
        tree_hash: chunk.tree_hash.clone(),
    });
    let etag = |etag: Option<&str>| unquoted(etag.unwrap_or_default()).to_owned();
    Record {
        bytes: Some(manifest.total_bytes),
        whole: Digests::default(),
        each: digests.collect(),
        etags: chunks().map(|chunk| etag(chunk.etag.as_deref())).collect(),
        binding: true,
    }
}

impl ArchiveIndex {
    /// The backups, the oldest first.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let all = self.in_order().into_iter();
        all.map(|(key, manifest)| self.kept_backup(key, manifest))
            .collect()
    }

    fn kept_backup(&self, key: &str, manifest: &Manifest) -> Kept {
        let parent = manifest.parent_manifest.as_deref();
        Kept {
            path: manifest.snapshot.name.clone(),
            to: self.id(key).unwrap_or_default(),
            from: parent.and_then(|parent| self.id(parent)),
            stand_in: !self.is_known(key),
            hidden_parent: parent.is_some_and(|parent| !self.is_known(parent)),
            objects: sources(manifest, &self.objects),
            marker: Some(key.to_owned()),
            name: key.to_owned(),
            on: manifest.parent_manifest.clone(),
            broken: self.broken.get(key).cloned(),
            unknown: self.unknown.contains(key),
            created: manifest.created_at.moment().map(Timestamp::as_second),
            class: manifest.s3.storage_class.clone(),
            subvolume: manifest.snapshot.subvolume_uuid,
            origin: manifest.snapshot.origin.clone(),
        }
    }

    /// The manifest that a new backup builds on, or why it may not be made.
    pub(super) fn allows(&self, diff: &Diff, name: &str, doing: &str) -> Result<Option<String>> {
        let mut names = self.manifests.values().map(|m| &m.snapshot.name);
        if names.any(|other| other == name) {
            return Err(Error::refused(doing, "that name is taken"));
        }
        let Some(from) = diff.from else {
            return Ok(None);
        };
        let all = self.in_order().into_iter().rev();
        let mut parents = all.filter(|(key, _)| self.id(key) == Some(from));
        let Some(newest) = parents.clone().next() else {
            let said = format!("its parent {from} is not there");
            return Err(Error::refused(doing, said));
        };
        match parents.find(|(key, _)| !self.broken.contains_key(*key)) {
            Some((key, _)) => Ok(Some(key.clone())),
            None => {
                let said = format!("its parent {} cannot be restored", shown(newest.0));
                Err(Error::refused(doing, said))
            }
        }
    }
}
