//! Which archives there are in a listing, and whether their backups can be read at once or must be
//! thawed first. Changes nothing.

use super::manifest::Manifest;
use crate::archive::ArchiveState;
use crate::error::Result;
use crate::objects::{Inventory, Objects};
use crate::prices::freezes;
use crate::store::bucket::keys::Archived;
use std::collections::{BTreeSet, HashMap};

/// Prefix and name of every archive that has a key there.
pub(in crate::store::bucket) fn among(found: &Inventory) -> BTreeSet<(String, String)> {
    let objects = found.objects.iter().map(|object| &object.key);
    let keys = objects.chain(found.uploads.iter().map(|upload| &upload.key));
    let archived = keys.filter_map(|key| Archived::parse(key));
    // What was deleted from elsewhere is no archive.
    let archived = archived.filter(|archived| !archived.prefix.starts_with("trash/"));
    archived
        .map(|archived| (archived.prefix.to_owned(), archived.name.to_owned()))
        .collect()
}

/// Whether the chunks of each of these backups can be read, the worst of each, by their keys.
/// Nothing is asked about classes that are never frozen.
pub(super) fn states<'a>(
    objects: &dyn Objects,
    backups: impl Iterator<Item = (&'a String, &'a Manifest)> + Clone,
) -> Result<HashMap<String, ArchiveState>> {
    let icy = |class: &str| freezes(class) || class == "INTELLIGENT_TIERING";
    let backups = backups.filter(|(_, manifest)| icy(&manifest.s3.storage_class));
    let chunks = backups.clone().flat_map(|(_, manifest)| &manifest.chunks);
    let keys: Vec<&str> = chunks.map(|chunk| chunk.key.as_str()).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let cold = objects.cold(&keys)?;
    let worst = |manifest: &Manifest| {
        let chunks = manifest.chunks.iter();
        let all = chunks.filter_map(|chunk| Some(cold.get(&chunk.key)?.state));
        all.max()
    };
    let found = backups.map(|(key, manifest)| (key.clone(), worst(manifest)));
    Ok(found
        .filter_map(|(key, state)| Some((key, state?)))
        .collect())
}
