//! Manifests and the pointer: what is written, copied and deleted, and in which order, so that a
//! failure in the middle leaves nothing that looks whole and is not.

use super::index::{ArchiveIndex, Identity, chunk_of};
use super::manifest::{Manifest, Pointer, text};
use super::{Archives, Reach};
use crate::archive::{BackupKind, Begun, Stamp};
use crate::error::{Error, Result};
use crate::machine;
use crate::objects::{About, Object};
use crate::process;
use crate::snapshot::{Origin, Uuid, shown};
use crate::store::Right;
use crate::store::bucket::Bucket;
use std::collections::HashSet;

impl Bucket<Archives> {
    /// The key and the manifest of the backup of a time, if nothing builds on it or may do so.
    ///
    /// # Errors
    /// If there is none, or what builds on it.
    pub fn removable(&mut self, stamp: &Stamp) -> Result<(String, Manifest)> {
        let doing = format!("cannot delete {} in {}", shown(stamp), self.location());
        let archive = self.archive()?;
        let mut of = archive
            .manifests
            .iter()
            .filter(|(_, m)| m.created_at == *stamp);
        let (key, manifest) = match (of.next(), of.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) => return Err(Error::refused(doing, "there are several")),
            (None, _) => return Err(Error::failed(doing, "there is no backup of that time")),
        };
        let above = archive.on(key).map(|child| shown(&child.created_at));
        let above: Vec<String> = above.collect();
        if !above.is_empty() {
            let all = above.join(", ");
            let said = format!("built on it, and to be deleted before: {all}");
            return Err(Error::refused(doing, said));
        }
        let found = (key.clone(), manifest.clone());
        self.layout.must_be_understood(&doing)?;
        Ok(found)
    }

    /// Removes the backup with this key, which must be one that is [`ArchiveStore::removable`].
    ///
    /// [`ArchiveStore::removable`]: Bucket::removable
    ///
    /// # Errors
    /// If it is not there, or the bucket refuses.
    pub fn remove(&mut self, key: &str) -> Result<()> {
        let doing = format!("cannot delete {}", self.reach.objects.url(key));
        self.need(Right::Remove, &doing)?;
        match self.archive()?.manifests.contains_key(key) {
            true => self.layout.remove_backup(&self.reach, key),
            false => Err(Error::failed(doing, "it is not there")),
        }
    }
}

impl Archives {
    /// All chunks of a backup are there: what remains is what makes it one.
    pub(super) fn keep_backup(
        &mut self,
        reach: &Reach,
        to: Uuid,
        manifest: Manifest,
    ) -> Result<()> {
        let key = self
            .archive
            .manifest_key(manifest.kind, &manifest.created_at);
        look_again(reach, &manifest)?;
        self.must_still_be_ours(reach)?;
        self.write(reach, &key, &text(&manifest)?)?;
        self.add(key.clone(), manifest, Identity::Known(to));
        let archive = &self.archive;
        // A backup that was made for a time before the newest one is not the newest.
        if let Some((made, (_, newest))) = archive.manifests.get(&key).zip(archive.newest())
            && newest.created_at <= made.created_at
        {
            self.point(reach, &key, made)?;
            self.archive.current = Some(key);
        }
        Ok(())
    }

    fn write(&self, reach: &Reach, key: &str, text: &str) -> Result<()> {
        let about = About {
            content_type: "application/json",
            class: self.settings.class_manifest.clone(),
            ..About::default()
        };
        reach.objects.put(key, text.as_bytes(), &about)?;
        reach.must_be_listed(key, &[(key, text.len() as u64)])
    }

    fn pointer(&self) -> String {
        format!("{}current.json", self.folder)
    }

    fn point(&self, reach: &Reach, key: &str, manifest: &Manifest) -> Result<()> {
        let pointer = Pointer {
            manifest_key: key.to_owned(),
            kind: Some(manifest.kind),
            created_at: manifest.created_at.clone(),
        };
        self.write(reach, &self.pointer(), &text(&pointer)?)
    }

    /// A run that ended between manifest and pointer left a pointer to an older backup. Whoever may
    /// write sets it right; a remark if somebody did.
    pub(super) fn repaired_pointer(&mut self, reach: &Reach) -> Result<Vec<String>> {
        let archive = &self.archive;
        let Some((newest, manifest)) = archive.newest() else {
            return Ok(Vec::new());
        };
        let named = archive.current.as_ref();
        let named = named.and_then(|named| archive.manifests.get(named));
        if named.is_some_and(|named| named.created_at >= manifest.created_at)
            || archive.may_be_newer(&manifest.created_at)
        {
            return Ok(Vec::new());
        }
        let (url, name) = (reach.objects.url(&self.pointer()), shown(newest));
        let owner = archive.owner.as_ref();
        let anothers = owner.is_some_and(|owner| owner.origin.machine != machine::id());
        if anothers || !reach.access.grants(Right::Add) {
            let note = format!("{url} does not name the newest backup, {name}");
            return Ok(vec![note]);
        }
        self.point(reach, newest, manifest)?;
        self.archive.current = Some(newest.clone());
        Ok(vec![format!("{url} now names the newest backup, {name}")])
    }

    /// Writes the manifests of a snapshot anew, with what it is of.
    pub(super) fn adopt_backups(
        &mut self,
        reach: &Reach,
        name: &str,
        origin: &Origin,
    ) -> Result<()> {
        self.must_not_be_anothers(reach, origin)?;
        for key in self.archive.of(name) {
            let Some(mut manifest) = self.archive.manifests.get(&key).cloned() else {
                continue;
            };
            manifest.snapshot.origin = Some(origin.clone());
            self.write(reach, &key, &text(&manifest)?)?;
            self.archive.manifests.insert(key, manifest);
        }
        self.kept = self.archive.kept();
        Ok(())
    }

    /// Another manifest for the same chunks, of the next free second.
    pub(super) fn copy_backup(&mut self, reach: &Reach, key: &str, to: &str) -> Result<()> {
        let archive = &self.archive;
        let made = archive.manifests.get(key).cloned();
        let Some((mut manifest, identity)) = made.zip(archive.identities.get(key).copied()) else {
            let doing = format!("cannot copy {}", reach.objects.url(key));
            return Err(Error::damaged(doing, "it cannot be restored"));
        };
        let now = reach.objects.now();
        let at = manifest.created_at.moment().unwrap_or(now);
        manifest.created_at = archive.free_stamp(at);
        manifest.snapshot.name = to.to_owned();
        let new = archive.manifest_key(manifest.kind, &manifest.created_at);
        self.write(reach, &new, &text(&manifest)?)?;
        self.add(new, manifest, identity);
        Ok(())
    }

    /// Takes in a backup that was just made.
    fn add(&mut self, key: String, manifest: Manifest, identity: Identity) {
        for chunk in &manifest.chunks {
            let object = Object {
                key: chunk.key.clone(),
                size: chunk.size,
                etag: chunk.etag.clone().unwrap_or_default(),
                ..Object::default()
            };
            let objects = &mut self.archive.objects;
            objects.entry(chunk.key.clone()).or_insert(object);
        }
        self.archive.identities.insert(key.clone(), identity);
        self.archive.manifests.insert(key, manifest);
        self.kept = self.archive.kept();
    }

    /// Removes the backups of a snapshot, on which no other may build.
    pub(super) fn remove_backups(&mut self, reach: &Reach, name: &str, doing: &str) -> Result<()> {
        let going = self.archive.of(name);
        self.must_be_understood(doing)?;
        for key in &going {
            let mut children = self.archive.on(key).map(|child| &child.snapshot.name);
            if let Some(child) = children.find(|child| *child != name) {
                let said = format!("{} builds on it: delete that first", shown(child));
                return Err(Error::refused(doing, said));
            }
        }
        for key in going {
            process::check("cannot delete")?;
            self.remove_backup(reach, &key)?;
        }
        Ok(())
    }

    /// What is not understood may build on any other, and name its chunks. A full one that is frozen, or
    /// cannot be read now, builds on none.
    fn must_be_understood(&self, doing: &str) -> Result<()> {
        let archive = &self.archive;
        let full =
            |key: &String| archive.unread.contains_key(key) && !key.contains("/incremental/");
        let mut open = archive.broken.keys().chain(archive.unread.keys());
        match open.find(|key| !archive.manifests.contains_key(*key) && !full(key)) {
            Some(unread) => {
                let said = format!("{} is not understood, and may build on it", shown(unread));
                Err(Error::refused(doing, said))
            }
            None => Ok(()),
        }
    }

    /// The pointer first, then the manifest, then chunks that no other manifest names.
    fn remove_backup(&mut self, reach: &Reach, key: &str) -> Result<()> {
        let mut after = self.archive.clone();
        let gone = after.manifests.remove(key);
        if after.current.as_deref() == Some(key) {
            after.current = after.newest().map(|(newest, _)| newest.clone());
            match after.newest() {
                Some((newest, manifest)) => self.point(reach, newest, manifest)?,
                None => reach.objects.remove(&[self.pointer()])?,
            }
        }
        reach.objects.remove(&[key.to_owned()])?;
        let others = after.manifests.values().flat_map(|m| &m.chunks);
        let used: HashSet<&str> = others.map(|chunk| chunk.key.as_str()).collect();
        // What a manifest names elsewhere in the bucket is another archive's, and what is no chunk is not its own.
        let own = |key: &str| key.starts_with(&self.folder) && chunk_of(key).is_some();
        let chunks = gone.iter().flat_map(|manifest| &manifest.chunks);
        let unused: Vec<String> = chunks
            .map(|chunk| &chunk.key)
            .filter(|key| !used.contains(key.as_str()) && own(key))
            .cloned()
            .collect();
        reach.objects.remove(&unused)?;
        after.objects.retain(|key, _| !unused.contains(key));
        after.broken.remove(key);
        after.identities.remove(key);
        self.kept = after.kept();
        self.archive = after;
        Ok(())
    }

    /// What was left may have become a backup since it was listed.
    pub(super) fn must_have_no_manifest(
        &self,
        reach: &Reach,
        left: &str,
        doing: &str,
    ) -> Result<()> {
        let Some(left) = Begun::parse(left) else {
            return Ok(());
        };
        for kind in BackupKind::ALL {
            let key = self.archive.manifest_key(kind, &left.stamp);
            let known = self.archive.manifests.contains_key(&key);
            if !known && reach.objects.head(&key)?.is_some() {
                let said = "another run has finished it meanwhile";
                return Err(Error::refused(doing, said));
            }
        }
        Ok(())
    }
}

/// Days may have passed since the first chunk arrived, and a rule of the bucket or another machine
/// may have removed it.
fn look_again(reach: &Reach, manifest: &Manifest) -> Result<()> {
    let chunks = manifest.chunks.iter();
    let wanted: Vec<(&str, u64)> = chunks.map(|chunk| (&*chunk.key, chunk.size)).collect();
    let first = manifest.chunks.first().map_or("", |chunk| &chunk.key);
    let stem = first.rsplit_once('-').map_or(first, |(stem, _)| stem);
    reach.must_be_listed(stem, &wanted)
}

impl ArchiveIndex {
    /// The keys of the backups of a snapshot's name.
    fn of(&self, name: &str) -> Vec<String> {
        let all = self.manifests.iter();
        all.filter(|(_, manifest)| manifest.snapshot.name == name)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The backups that build on this one.
    fn on(&self, key: &str) -> impl Iterator<Item = &Manifest> {
        let builds = move |m: &&Manifest| m.parent_manifest.as_deref() == Some(key);
        self.manifests.values().filter(builds)
    }
}
