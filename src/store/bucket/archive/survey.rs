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
    // What could not be looked at in a folder may be called so.
    let unread = found.unread.iter().map(|unread| &unread.key);
    let unread: Vec<String> = unread
        .flat_map(|key| [key.clone(), format!("{key}manifest-T.json")])
        .collect();
    let archived = keys.chain(&unread).filter_map(|key| Archived::parse(key));
    archived
        .filter(Archived::is_found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Object;

    /// Also where diffs are moved that are deleted.
    #[test]
    fn whatever_their_prefix_is() {
        let keys = [
            "subvol/a/current.json",
            "trash/subvol/b/full/manifest-T.json",
            "x/subvol/subvol/c/current.json",
            "/p//q/subvol/d/current.json",
            "./p/subvol/lost/current.json",
            "p/subvol/../current.json",
        ];
        let object = |key: &str| Object {
            key: key.to_owned(),
            ..Object::default()
        };
        let found = Inventory {
            objects: keys.map(object).to_vec(),
            ..Inventory::default()
        };
        let names: Vec<String> = among(&found).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "d", "b", "c"]);
    }
}
