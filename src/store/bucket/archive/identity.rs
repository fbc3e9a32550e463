//! Which snapshot a backup is of. The old program did not write it down; then a backup that builds
//! on it may know, else the beginning of its stream says it, or of one that builds on it, if that
//! can be read.

use super::index::{ArchiveIndex, Identity, stand_in};
use super::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::objects::Objects;
use crate::parallel::map;
use crate::snapshot::Uuid;
use crate::stream::{Head, Parsed};
use std::collections::HashMap;

/// More than the first command of any stream takes.
const BEGIN: u64 = 1024;

/// The key of a backup, and that of what it builds on.
type Link = (String, Option<String>);

impl ArchiveIndex {
    /// Finds out which snapshots the backups are of. Those whose stream is none are broken. Where
    /// nothing else tells, `known` does, by the names of snapshots.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub(super) fn identify(
        &mut self,
        objects: &dyn Objects,
        known: &HashMap<String, Uuid>,
    ) -> Result<()> {
        let mut open = Vec::new();
        for (key, manifest) in &self.manifests {
            let told = manifest.snapshot.uuid.or_else(|| self.told_by_child(key));
            match told {
                Some(uuid) => drop(self.identities.insert(key.clone(), Identity::Known(uuid))),
                None if self.broken.contains_key(key) => {}
                None => open.push((key.clone(), manifest)),
            }
        }
        let threads = objects.limits().concurrency.most;
        let ask = |(_, manifest): &(String, &Manifest)| head(objects, manifest);
        let found = map("reading the beginnings of streams", threads, &open, ask);
        let all: Vec<Link> = open
            .iter()
            .map(|(key, manifest)| (key.clone(), manifest.parent_manifest.clone()))
            .collect();
        self.note(all.into_iter().zip(found))?;
        for (key, manifest) in &self.manifests {
            if let Some(uuid) = known.get(&manifest.snapshot.name)
                && let Some(hidden @ Identity::Hidden(_)) = self.identities.get_mut(key)
            {
                *hidden = Identity::Known(*uuid);
            }
        }
        Ok(())
    }

    /// Writes down what the beginnings of streams said, of backups and of what these build on.
    fn note(&mut self, found: impl Iterator<Item = (Link, Result<Option<Head>>)>) -> Result<()> {
        let mut parents = Vec::new();
        for ((key, parent), head) in found {
            match head {
                Ok(Some(head)) => {
                    parents.extend(parent.zip(head.parent));
                    self.identities.insert(key, Identity::Known(head.uuid));
                }
                Ok(None) => {
                    let hidden = Identity::Hidden(stand_in(&key));
                    self.identities.insert(key, hidden);
                }
                Err(error) if error.kind == Kind::Damaged => self.spoil(&key, &error.to_string()),
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => {
                    let hidden = Identity::Hidden(stand_in(&key));
                    self.identities.insert(key, hidden);
                    self.remark(error.to_string());
                }
            }
        }
        for (key, (uuid, _)) in parents {
            if let Some(hidden @ Identity::Hidden(_)) = self.identities.get_mut(&key) {
                *hidden = Identity::Known(uuid);
            }
        }
        Ok(())
    }

    fn told_by_child(&self, key: &str) -> Option<Uuid> {
        let mut all = self.manifests.values();
        all.find_map(|child| {
            let builds = child.parent_manifest.as_deref() == Some(key);
            child.snapshot.parent_uuid.filter(|_| builds)
        })
    }
}

/// The beginning of the stream; `None` if it is frozen.
pub(super) fn head(objects: &dyn Objects, manifest: &Manifest) -> Result<Option<Head>> {
    let mut begin = Vec::new();
    for chunk in &manifest.chunks {
        let want = BEGIN.min(chunk.size);
        if want == 0 {
            continue;
        }
        match objects.beginning(&chunk.key, want)? {
            Some(bytes) => begin.extend(bytes),
            None => return Ok(None),
        }
        if let Parsed::Whole(head, _) = Head::parse(&begin)? {
            return Ok(Some(head));
        }
        if want == BEGIN {
            break;
        }
    }
    Err(Error::damaged(
        "its stream is damaged",
        "it has no beginning",
    ))
}
