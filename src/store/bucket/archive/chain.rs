//! A backup and all that it builds on as a store that sends them, wherever in the bucket their manifests
//! lie. Nothing can be brought to it.

use super::identity;
use super::index::{ArchiveIndex as Index, stand_in};
use super::manifest::Manifest;
use super::stream;
use crate::archive::{Backup, Stored, Thaw, Thawing};
use crate::error::{Error, Kind, Result};
use crate::limiter::Limiter;
use crate::objects::Objects;
use crate::snapshot::{Diff, Listing, Offer, Size, Sizes, Snapshot, Uuid};
use crate::store::bucket::thawing;
use crate::store::{Chain, Sink, Store};
use crate::text::shown;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A chain of backups, the full one first.
#[derive(Debug)]
pub(super) struct Links {
    objects: Arc<dyn Objects>,
    all: Vec<ChainLink>,
    limiter: Option<Limiter>,
}

/// A backup that is needed.
#[derive(Debug)]
struct ChainLink {
    manifest: Manifest,
    value: Backup,
    /// The effective UUID of its snapshot. The old program left it out, and only the stream has it.
    id: Option<Uuid>,
}

impl ChainLink {
    /// The UUID, or what stands for it until it is known.
    fn id(&self) -> Uuid {
        self.id.unwrap_or_else(|| stand_in(&self.value.key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.value.chunks.iter().map(String::as_str)
    }

    /// Learns the UUID from the stream, if nobody wrote it down and it can be read.
    fn identify(&mut self, objects: &dyn Objects) -> Result<()> {
        if self.id.is_none() {
            let head = identity::head(objects, &self.manifest)?;
            self.id = head.map(|head| head.uuid);
        }
        Ok(())
    }
}

impl Links {
    /// The backups that it takes to restore the one with this key.
    ///
    /// # Errors
    /// If one is missing, or is of something else.
    pub(super) fn follow(objects: Arc<dyn Objects>, archive: &Index, key: &str) -> Result<Links> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut next = Some(key.to_owned());
        while let Some(key) = next {
            let wrong =
                |said: &str| Error::damaged(format!("cannot restore {}", shown(&key)), said);
            if !seen.insert(key.clone()) {
                return Err(wrong("it builds on itself"));
            }
            // One that somebody names may lie anywhere in the bucket.
            let manifest = match archive.manifests.get(&key) {
                Some(manifest) => manifest.clone(),
                None => match objects.get(&key)? {
                    Some(body) => Manifest::parse(&key, &body)?,
                    None => return Err(wrong("there is no such manifest in the bucket")),
                },
            };
            if manifest.subvolume != archive.name {
                let said = format!("it is a backup of {}", shown(&manifest.subvolume));
                return Err(wrong(&said));
            }
            next = manifest.parent_manifest.clone();
            all.push(ChainLink {
                value: archive.value(&key, &manifest),
                id: manifest.snapshot.uuid,
                manifest,
            });
        }
        all.reverse();
        for at in 1..all.len() {
            // What builds on a backup may know whose snapshot that is.
            let told = all[at].manifest.snapshot.parent_uuid;
            let before = &mut all[at - 1];
            before.id = before.id.or(told);
        }
        Ok(Links {
            objects,
            all,
            limiter: None,
        })
    }

    /// Its streams move at this rate.
    pub(super) fn limited(self, limiter: Option<Limiter>) -> Links {
        Links { limiter, ..self }
    }

    fn find(&self, id: Uuid) -> Result<&ChainLink> {
        let link = self.all.iter().find(|link| link.id() == id);
        link.ok_or_else(|| Error::failed(format!("cannot find {id}"), "no backup makes it"))
    }

    fn from(&self, first: usize) -> &[ChainLink] {
        self.all.get(first..).unwrap_or_default()
    }
}

impl Chain for Links {
    fn links(&self) -> Vec<Backup> {
        let value = |link: &ChainLink| Backup {
            id: Some(link.id()),
            ..link.value.clone()
        };
        self.all.iter().map(value).collect()
    }

    fn stored(&mut self) -> Result<Vec<Vec<Stored>>> {
        let keys: Vec<&str> = self.all.iter().flat_map(ChainLink::keys).collect();
        let cold = thawing::look(&*self.objects, &keys)?;
        let mut all = Vec::new();
        for link in &mut self.all {
            let objects = link.manifest.chunks.iter();
            let objects = objects.filter_map(|chunk| {
                let cold = cold.get(&chunk.key)?;
                Some(Stored {
                    bytes: chunk.size,
                    class: cold.class.clone(),
                    state: cold.state,
                })
            });
            let objects: Vec<Stored> = objects.collect();
            if objects
                .first()
                .is_some_and(|first| first.state.is_readable())
            {
                link.identify(&*self.objects)?;
            }
            all.push(objects);
        }
        Ok(all)
    }

    fn thaw(&mut self, first: usize, how: &Thaw, tell: &mut dyn FnMut(Thawing)) -> Result<()> {
        let links = self.from(first);
        let keys: Vec<&str> = links.iter().flat_map(ChainLink::keys).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let bytes = links.iter().map(|link| link.value.bytes);
        let days = how.days(bytes.fold(0, u64::saturating_add));
        thawing::thaw(&*self.objects, &keys, (how, days), tell)?;
        for link in self.all.iter_mut().skip(first) {
            link.identify(&*self.objects)?;
            if link.id.is_none() {
                let doing = format!("cannot restore {}", shown(link.value.received_as()));
                return Err(Error::damaged(doing, "nothing says which snapshot it is"));
            }
        }
        Ok(())
    }

    fn is_frozen(&mut self, link: usize) -> Result<bool> {
        let keys = self.all.get(link).map(|link| link.keys().collect());
        let keys: Vec<&str> = keys.unwrap_or_default();
        let cold = self.objects.cold(&keys)?;
        Ok(cold.values().any(|cold| !cold.state.is_readable()))
    }
}

impl Store for Links {
    fn list(&mut self) -> Result<Listing> {
        let snapshot = |link: &ChainLink| Snapshot {
            path: link.value.received_as(),
            uuid: link.id(),
            read_only: true,
            ..Snapshot::default()
        };
        let mut before = None;
        let diff = |link: &ChainLink| {
            Diff::new(
                link.id(),
                before.replace(link.id()),
                Size::Exact(link.value.bytes),
            )
        };
        Ok(Listing {
            location: self.objects.url(""),
            snapshots: self.all.iter().map(snapshot).collect(),
            offer: Offer::Only(self.all.iter().map(diff).collect()),
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let size = |diff: &Diff| {
            let size = Size::Exact(self.find(diff.to)?.value.bytes);
            Ok((diff.key(), size.into()))
        };
        diffs.iter().map(size).collect()
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let link = self.find(diff.to)?;
        Ok(Box::new(stream(&self.objects, &link.manifest)))
    }

    fn limiter(&self) -> Option<Limiter> {
        self.limiter.clone()
    }

    fn receive(&mut self, _diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        Err(refused("receive", path))
    }

    fn copy(&mut self, from: &Path, _to: &Path) -> Result<()> {
        Err(refused("copy", from))
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        Err(refused("delete", path))
    }
}

fn refused(what: &str, path: &Path) -> Error {
    let doing = format!("cannot {what} {}", shown(path));
    Error::new(Kind::Refused, doing, "a restore only reads")
}
