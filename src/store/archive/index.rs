//! What there is of the backups of one subvolume: every manifest, whether it can be restored, and
//! what belongs to nothing. Changes nothing.

use super::manifest::{self, Manifest, Pointer};
use crate::error::Result;
use crate::s3::Client;
use crate::snapshot::shown;
use std::collections::{BTreeMap, HashMap};

/// The backups of one subvolume.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The name of the backups.
    pub name: String,
    /// By their keys.
    pub manifests: BTreeMap<String, Manifest>,
    /// What the pointer names.
    pub current: Option<String>,
    /// What cannot be restored, by key, and why.
    pub broken: BTreeMap<String, String>,
    /// Objects that are no part of any backup.
    pub strays: Vec<String>,
}

/// Reads the archive of a subvolume below a prefix.
///
/// # Errors
/// If the bucket cannot be read.
pub fn read(client: &Client, prefix: &str, name: &str) -> Result<Archive> {
    let folder = manifest::folder(prefix, name);
    let mut archive = Archive {
        name: name.to_owned(),
        ..Archive::default()
    };
    let mut sizes: HashMap<String, u64> = HashMap::new();
    for object in client.list(&folder)? {
        if manifest::is_manifest(&folder, &object.key) {
            archive.take(client, &object.key)?;
        } else {
            sizes.insert(object.key, object.size);
        }
    }
    let pointer = format!("{folder}current.json");
    if sizes.remove(&pointer).is_some() {
        let body = client.small(&pointer)?.unwrap_or_default();
        let pointer: Option<Pointer> = serde_json::from_slice(&body).ok();
        archive.current = pointer.map(|pointer| pointer.manifest_key);
    }
    archive.judge(&sizes);
    Ok(archive)
}

impl Archive {
    /// A manifest that cannot be understood leaves the others as they are.
    fn take(&mut self, client: &Client, key: &str) -> Result<()> {
        let Some(body) = client.small(key)? else {
            return Ok(());
        };
        match Manifest::parse(key, &body) {
            Ok(manifest) => self
                .manifests
                .insert(key.to_owned(), manifest)
                .map_or((), drop),
            Err(error) => self
                .broken
                .insert(key.to_owned(), error.said)
                .map_or((), drop),
        }
        Ok(())
    }

    /// Finds out what cannot be restored, and what belongs to nothing.
    fn judge(&mut self, sizes: &HashMap<String, u64>) {
        let incomplete: HashMap<&str, String> = self
            .manifests
            .iter()
            .filter_map(|(key, manifest)| Some((key.as_str(), missing(manifest, sizes)?)))
            .collect();
        for key in self.manifests.keys() {
            let why = match manifest::chain(&self.manifests, key) {
                Err(error) => Some(error.said),
                Ok(chain) => chain.iter().find_map(|link| incomplete.get(link).cloned()),
            };
            if let Some(why) = why {
                self.broken.insert(key.clone(), why);
            }
        }
        let chunks = self
            .manifests
            .values()
            .flat_map(|manifest| &manifest.chunks);
        let used: HashMap<&str, ()> = chunks.map(|chunk| (chunk.key.as_str(), ())).collect();
        let strays = sizes.keys().filter(|key| !used.contains_key(key.as_str()));
        self.strays = strays.cloned().collect();
        self.strays.sort();
    }

    /// The backups in the order in which they were made.
    pub fn in_order(&self) -> Vec<(&String, &Manifest)> {
        let mut all: Vec<_> = self.manifests.iter().collect();
        all.sort_by_key(|(key, manifest)| (&manifest.created_at, *key));
        all
    }
}

/// The first chunk that is not there as the manifest says.
fn missing(manifest: &Manifest, sizes: &HashMap<String, u64>) -> Option<String> {
    manifest
        .chunks
        .iter()
        .find_map(|chunk| match sizes.get(&chunk.key) {
            Some(size) if *size == chunk.size => None,
            Some(size) => Some(format!(
                "{} has {size} bytes instead of {}",
                shown(&chunk.key),
                chunk.size
            )),
            None => Some(format!("{} is missing", shown(&chunk.key))),
        })
}
