//! Manifests and the pointer: what is written, copied and deleted, and in which order, so that a
//! failure in the middle leaves nothing that looks whole and is not.

use super::identity::Identity;
use super::index::{Archive, Leftover, at_once};
use super::manifest::{Chunk, Manifest, Pointer, text};
use super::{ArchiveStore, stamps};
use crate::error::{Error, Result};
use crate::process;
use crate::s3::objects::Object;
use crate::snapshot::{Diff, Origin, shown};
use crate::store::Access;
use std::collections::HashSet;

impl ArchiveStore {
    /// All chunks of a backup are there: what remains is what makes it one.
    pub(super) fn keep(&self, archive: &mut Archive, diff: Diff, manifest: Manifest) -> Result<()> {
        let key = archive.manifest_key(&manifest.kind, &manifest.created_at);
        self.look_again(&manifest)?;
        self.write(&key, &text(&manifest)?)?;
        archive.add(key.clone(), manifest, Identity::Known(diff.to));
        let (made, newest) = (archive.manifests.get(&key), archive.newest());
        // A backup that was made for a time before the newest one is not the newest.
        match made.zip(newest) {
            Some((made, (_, newest))) if newest.created_at <= made.created_at => {
                self.point(&key, made)?;
            }
            _ => return Ok(()),
        }
        archive.current = Some(key);
        Ok(())
    }

    /// Days may have passed since the first chunk arrived, and a rule of the bucket or another machine
    /// may have removed it.
    fn look_again(&self, manifest: &Manifest) -> Result<()> {
        let look = |chunk: &Chunk| {
            process::check("looking at chunks once more")?;
            let size = self.client.head(&chunk.key)?.map(|head| head.size);
            match size {
                Some(size) if size == chunk.size => Ok(()),
                _ => {
                    let said = "it arrived, and is not there any more: does a lifecycle rule, or another \
                                machine, remove what is below this prefix?";
                    let doing = format!("cannot find {}", self.client.url(&chunk.key));
                    Err(Error::failed(doing, said))
                }
            }
        };
        at_once(&self.client, &manifest.chunks, look)
            .into_iter()
            .collect()
    }

    fn write(&self, key: &str, text: &str) -> Result<()> {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(class) = &self.settings.class_manifest {
            headers.push(("x-amz-storage-class", class.clone()));
        }
        self.client.put(key, text.as_bytes(), headers)?;
        Ok(())
    }

    fn pointer(&self) -> String {
        format!("{}current.json", self.folder)
    }

    fn point(&self, key: &str, manifest: &Manifest) -> Result<()> {
        let pointer = Pointer {
            manifest_key: key.to_owned(),
            kind: manifest.kind.clone(),
            created_at: manifest.created_at.clone(),
        };
        self.write(&self.pointer(), &text(&pointer)?)
    }

    /// A run that ended between manifest and pointer left a pointer to an older backup. Whoever may
    /// write sets it right; a remark if somebody did.
    pub(super) fn repaired_pointer(&mut self) -> Result<Vec<String>> {
        let may = self.access >= Access::Append;
        let archive = self.reading()?;
        let Some((newest, manifest)) = archive.newest() else {
            return Ok(Vec::new());
        };
        let (newest, manifest) = (newest.clone(), manifest.clone());
        let named = archive.current.as_ref();
        let named = named.and_then(|named| archive.manifests.get(named));
        if named.is_some_and(|named| named.created_at >= manifest.created_at) {
            return Ok(Vec::new());
        }
        let (url, name) = (self.client.url(&self.pointer()), shown(&newest));
        if !may {
            return Ok(vec![format!(
                "{url} does not name the newest backup, {name}"
            )]);
        }
        self.point(&newest, &manifest)?;
        self.reading()?.current = Some(newest);
        Ok(vec![format!("{url} now names the newest backup, {name}")])
    }

    /// Writes the manifests of a snapshot anew, with what it is of.
    pub(super) fn adopt_named(&mut self, name: &str, origin: &Origin) -> Result<()> {
        for (key, mut manifest) in self.reading()?.of(name) {
            manifest.snapshot.origin = Some(origin.clone());
            self.write(&key, &text(&manifest)?)?;
            self.reading()?.manifests.insert(key, manifest);
        }
        Ok(())
    }

    /// Another manifest for the same chunks, of the next free second.
    pub(super) fn copy_backups(&mut self, from: &str, to: &str, doing: &str) -> Result<()> {
        let now = (self.client.options.now)();
        let archive = self.reading()?;
        if archive.manifests.values().any(|m| m.snapshot.name == to) {
            return Err(Error::refused(doing, "that name is taken"));
        }
        let sources: Vec<(String, Manifest)> = archive.of(from);
        if sources.is_empty() {
            return Err(Error::failed(doing, "it is not there"));
        }
        for (key, mut manifest) in sources {
            let archive = self.reading()?;
            let Some(identity) = archive.identities.get(&key).copied() else {
                return Err(Error::damaged(doing, "it cannot be restored"));
            };
            manifest.created_at = stamps::after(archive, &manifest.created_at, now);
            manifest.snapshot.name = to.to_owned();
            let new = archive.manifest_key(&manifest.kind, &manifest.created_at);
            self.write(&new, &text(&manifest)?)?;
            self.reading()?.add(new, manifest, identity);
        }
        Ok(())
    }

    /// Removes a backup that no other builds on, or what a run left.
    pub(super) fn delete_named(&mut self, name: &str, doing: &str) -> Result<()> {
        let archive = self.reading()?;
        let going = archive.of(name);
        if going.is_empty() {
            return match archive.leftovers.get(name).cloned() {
                Some(leftover) => self.remove_leftover(name, &leftover, doing),
                None => Err(Error::failed(doing, "it is not there")),
            };
        }
        let ids: HashSet<_> = going.iter().map(|(key, _)| archive.id(key)).collect();
        if ids.len() > 1 {
            let said = "several snapshots have this name: remove manifests by hand";
            return Err(Error::refused(doing, said));
        }
        for (key, _) in &going {
            if let Some(child) = archive.child(key, name) {
                let said = format!("{} builds on it: delete that first", shown(child));
                return Err(Error::refused(doing, said));
            }
        }
        for (key, manifest) in going {
            process::check("cannot delete")?;
            self.delete_backup(&key, &manifest)?;
        }
        Ok(())
    }

    /// The key and the manifest of the backup of a time, if nothing builds on it or may do so.
    ///
    /// # Errors
    /// If there is none, or what builds on it.
    pub fn removable(&mut self, stamp: &str) -> Result<(String, Manifest)> {
        let doing = format!("cannot delete {stamp} in {}", self.location());
        let archive = self.archive()?;
        let mut of = archive
            .manifests
            .iter()
            .filter(|(_, m)| m.created_at == stamp);
        let (key, manifest) = match (of.next(), of.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) => return Err(Error::refused(doing, "there are several")),
            (None, _) => return Err(Error::failed(doing, "there is no backup of that time")),
        };
        let builds = |m: &&Manifest| m.parent_manifest.as_deref() == Some(key);
        let above: Vec<String> = archive
            .manifests
            .values()
            .filter(builds)
            .map(|m| shown(&m.created_at))
            .collect();
        if !above.is_empty() {
            let said = format!(
                "built on it, and to be deleted before: {}",
                above.join(", ")
            );
            return Err(Error::refused(doing, said));
        }
        let mut broken = archive.broken.keys();
        match broken.find(|key| !archive.manifests.contains_key(*key)) {
            Some(unread) => {
                let said = format!("{} is not understood, and may build on it", shown(unread));
                Err(Error::refused(doing, said))
            }
            None => Ok((key.clone(), manifest.clone())),
        }
    }

    /// Removes the backup with this key, which must be one that is [`ArchiveStore::removable`].
    ///
    /// # Errors
    /// If it is not there, or the bucket refuses.
    pub fn remove(&mut self, key: &str) -> Result<()> {
        let doing = format!("cannot delete {}", self.client.url(key));
        self.need(Access::Write, &doing)?;
        match self.archive()?.manifests.get(key).cloned() {
            Some(manifest) => self.delete_backup(key, &manifest),
            None => Err(Error::failed(doing, "it is not there")),
        }
    }

    /// The pointer first, then the manifest, then chunks that no other manifest names.
    fn delete_backup(&mut self, key: &str, manifest: &Manifest) -> Result<()> {
        let pointer = self.pointer();
        self.reading()?;
        let archive = self.reading.get_or_insert_default();
        let mut after = archive.clone();
        after.manifests.remove(key);
        if archive.current.as_deref() == Some(key) {
            match after.newest() {
                Some((newest, manifest)) => self.point(newest, manifest)?,
                None => self.client.remove(&[pointer])?,
            }
            after.current = after.newest().map(|(key, _)| key.clone());
        }
        self.client.remove(&[key.to_owned()])?;
        let others = after.manifests.values().flat_map(|m| &m.chunks);
        let used: HashSet<&str> = others.map(|chunk| chunk.key.as_str()).collect();
        // What a manifest names elsewhere in the bucket is another archive's.
        let chunks = manifest.chunks.iter().map(|chunk| &chunk.key);
        let unused: Vec<String> = chunks
            .filter(|key| !used.contains(key.as_str()) && key.starts_with(&self.folder))
            .cloned()
            .collect();
        self.client.remove(&unused)?;
        for key in &unused {
            after.objects.remove(key);
        }
        after.broken.remove(key);
        after.identities.remove(key);
        self.reading = Some(after);
        Ok(())
    }

    /// What was left may have become a backup since it was listed.
    fn remove_leftover(&mut self, name: &str, leftover: &Leftover, doing: &str) -> Result<()> {
        let archive = self.reading()?.clone();
        let kinds = ["full", "incremental"];
        let keys = kinds.map(|kind| archive.manifest_key(kind, &leftover.stamp));
        for key in keys
            .iter()
            .filter(|key| !archive.manifests.contains_key(*key))
        {
            if self.client.head(key)?.is_some() {
                let said = "another run has finished it meanwhile";
                return Err(Error::refused(doing, said));
            }
        }
        for upload in &leftover.uploads {
            self.client.abort(&upload.key, &upload.id)?;
        }
        let keys = leftover.chunks.iter().map(|chunk| chunk.key.clone());
        self.client.remove(&keys.collect::<Vec<String>>())?;
        self.reading()?.leftovers.remove(name);
        Ok(())
    }
}

impl Archive {
    /// Takes in a backup that was just made.
    fn add(&mut self, key: String, manifest: Manifest, identity: Identity) {
        for chunk in &manifest.chunks {
            let object = Object {
                key: chunk.key.clone(),
                size: chunk.size,
                etag: chunk.etag.clone().unwrap_or_default(),
                modified: None,
            };
            self.objects.entry(chunk.key.clone()).or_insert(object);
        }
        self.identities.insert(key.clone(), identity);
        self.manifests.insert(key, manifest);
    }

    /// The backups of a snapshot's name.
    fn of(&self, name: &str) -> Vec<(String, Manifest)> {
        let all = self.manifests.iter();
        all.filter(|(_, manifest)| manifest.snapshot.name == name)
            .map(|(key, manifest)| (key.clone(), manifest.clone()))
            .collect()
    }

    /// The name of a snapshot whose backup builds on this one.
    fn child(&self, key: &str, name: &str) -> Option<&str> {
        let mut all = self.manifests.values();
        let child = all.find(|manifest| {
            manifest.parent_manifest.as_deref() == Some(key) && manifest.snapshot.name != name
        })?;
        Some(&child.snapshot.name)
    }
}
