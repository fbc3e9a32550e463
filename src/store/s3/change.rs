//! Copying and deleting: what becomes of objects, and in which order, so that a failure in the
//! middle leaves nothing that looks whole and is not.

use super::S3Store;
use super::index::{Kept, Leftover, TRASH};
use super::layout::Name;
use crate::error::Result;
use crate::s3::download::Source;

impl S3Store {
    pub(super) fn remove_leftover(&mut self, name: &Name, leftover: &Leftover) -> Result<()> {
        for upload in &leftover.uploads {
            self.client.abort(&upload.key, &upload.id)?;
        }
        let keys: Vec<String> = leftover
            .pieces
            .iter()
            .map(|piece| piece.key.clone())
            .collect();
        self.client.remove(&keys)?;
        self.index()?.leftovers.remove(name);
        Ok(())
    }

    /// Moves objects to where ButterSink put what it removed. Everything is copied before
    /// anything goes, and what makes the rest valid goes first.
    pub(super) fn trash(&mut self, path: &str, kept: &[Kept]) -> Result<()> {
        let mut keys: Vec<String> = kept
            .iter()
            .flat_map(Kept::keys)
            .map(str::to_owned)
            .collect();
        if self.index()?.hints.contains(path) {
            keys.push(format!("{}{path}.bs", self.prefix));
        }
        for key in &keys {
            crate::process::check("cannot delete")?;
            let to = format!("{TRASH}{key}");
            if !self.is_copied(key, &to)? {
                self.client.copy(key, &to)?;
            }
        }
        let markers: Vec<String> = kept.iter().filter_map(|kept| kept.marker.clone()).collect();
        self.client.remove(&markers)?;
        self.client.remove(&keys)?;
        let index = self.index()?;
        index.kept.retain(|kept| kept.name.path != path);
        index.hints.remove(path);
        self.hints.remove(path);
        Ok(())
    }

    /// Whether an earlier run copied this object already, and could not remove it. The key of a stream
    /// names it, so that its length is enough; a copy may have another ETag.
    fn is_copied(&self, key: &str, to: &str) -> Result<bool> {
        let Some(copy) = self.client.head(to)? else {
            return Ok(false);
        };
        let Some(here) = self.client.head(key)? else {
            return Ok(false);
        };
        let stream = !key.ends_with(".bs");
        Ok(copy.size == here.size && (stream || copy.etag == here.etag))
    }

    /// Copies the objects of a diff, its marker last, and what is known about it.
    pub(super) fn copy_diff(&mut self, kept: &Kept, to: &str) -> Result<()> {
        crate::process::check("cannot copy")?;
        let recorded = self.recorded_all(kept)?;
        let origin = self.hints(&kept.name.path)?.origin(kept.name.to);
        self.coming
            .extend(origin.map(|origin| (kept.name.to, origin)));
        let name = Name {
            path: to.to_owned(),
            ..kept.name.clone()
        };
        let new = |key: &str| {
            let old = format!("{}{}", self.prefix, kept.name);
            let rest = key.strip_prefix(&old).unwrap_or_default();
            format!("{}{name}{rest}", self.prefix)
        };
        let mut copy = Kept {
            name: name.clone(),
            objects: Vec::new(),
            ..kept.clone()
        };
        for object in &kept.objects {
            let key = new(&object.key);
            let etag = self.client.copy(&object.key, &key)?;
            copy.objects.push(Source {
                key,
                size: object.size,
                etag,
            });
        }
        if let Some(marker) = &kept.marker {
            let key = new(marker);
            self.copy_marker(&key, kept, &copy)?;
            copy.marker = Some(key);
        }
        let etag = copy
            .objects
            .first()
            .map_or(String::new(), |object| object.etag.clone());
        let etag = if copy.marker.is_some() { "" } else { &etag };
        self.hint(to, &kept.diff(), kept.bytes(), etag, &recorded);
        self.index()?.kept.push(copy);
        Ok(())
    }
}
