//! The archive as those above the stores see it: backups as values, and no manifest.

use super::chain::Links;
use super::index::ArchiveIndex as Index;
use super::manifest::{self, Manifest};
use crate::archive::{
    ArchiveState, Backup, Backups, ByHand, Stamp, Thaw, Thawing, UnfinishedBackup,
};
use crate::error::Result;
use crate::log::transactions;
use crate::objects::Keeper;
use crate::prices::Prices;
use crate::snapshot::{Origin, Uuid};
use crate::store::bucket::{ArchiveStore, by_hand, thawing};
use crate::store::{Archive, Chain, Right};
use std::collections::HashMap;
use std::sync::Arc;

impl Archive for ArchiveStore {
    fn location(&self) -> String {
        self.location()
    }

    fn folder(&self) -> &str {
        self.prefix()
    }

    fn backups(&mut self) -> Result<Backups> {
        let (_, prefix) = self.place();
        let location = self.reach.objects.url(&prefix);
        let classless = self.objects().keeper() == Keeper::Directory;
        let mut found = self.archive()?.values(location);
        for backup in found.all.iter_mut().filter(|_| classless) {
            // Manifests name a class in any case: btrfs_to_s3 reads it.
            backup.class.clear();
        }
        Ok(found)
    }

    fn states(&mut self) -> Result<HashMap<String, ArchiveState>> {
        self.states()
    }

    fn thaw_records(&mut self, how: &Thaw, tell: &mut dyn FnMut(Thawing)) -> Result<()> {
        let unread = self.archive()?.unread.iter();
        let frozen = unread.filter(|(_, frozen)| **frozen);
        let frozen: Vec<String> = frozen.map(|(key, _)| key.clone()).collect();
        let keys: Vec<&str> = frozen.iter().map(String::as_str).collect();
        if keys.is_empty() {
            return Ok(());
        }
        self.is_read = false;
        thawing::thaw(self.objects(), &keys, (how, how.days(0)), tell)
    }

    fn know(&mut self, subvolume: Uuid, names: HashMap<String, Uuid>) {
        self.layout.subvolume = Some(subvolume);
        self.layout.known = names;
        self.is_read = false;
    }

    fn claim(&mut self, ours: &Origin, over: bool) -> Result<()> {
        let doing = format!("cannot claim {}", self.location());
        self.need(Right::Add, &doing)?;
        self.known()?;
        self.layout.claim_for(&self.reach, ours, over)
    }

    fn prices(&self) -> Prices {
        self.objects().keeper().prices()
    }

    fn memory(&self) -> u64 {
        self.memory()
    }

    fn command(&self, backup: &Backup) -> ByHand {
        let frozen = backup.state == Some(ArchiveState::Frozen);
        by_hand::of(self.objects(), backup.chunks.iter(), frozen)
    }

    fn chain(&mut self, key: &str) -> Result<Box<dyn Chain>> {
        let objects = Arc::clone(&self.reach.objects);
        let limiter = self.reach.limiter.clone();
        let links = Links::follow(objects, self.archive()?, key)?;
        Ok(Box::new(links.limited(limiter)))
    }

    fn removable(&mut self, stamp: &Stamp) -> Result<Backup> {
        let (key, manifest) = self.removable(stamp)?;
        Ok(self.archive()?.value(&key, &manifest))
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        let place = self.objects().url(key);
        transactions::change("delete", || place, self.remove(key))
    }
}

impl Index {
    fn values(&self, location: String) -> Backups {
        let all = self.in_order().into_iter();
        let unread = self.broken.iter();
        let unread = unread.filter(|(key, _)| !self.manifests.contains_key(*key));
        let leftovers = self.leftovers.iter();
        Backups {
            name: self.name.clone(),
            location,
            all: all.map(|(key, made)| self.value(key, made)).collect(),
            newest: self.newest().map(|(key, _)| key.clone()),
            current: self.current.clone(),
            unread: unread
                .map(|(key, why)| (key.clone(), why.clone()))
                .collect(),
            unknown: self.unknown.clone(),
            leftovers: leftovers
                .map(|(name, left)| UnfinishedBackup {
                    name: name.clone(),
                    bytes: left.bytes,
                    latest: left.latest,
                })
                .collect(),
            strays: self.strays.clone(),
            owner: self.owner.clone(),
        }
    }

    /// A backup, with what is known of it beside its manifest.
    pub(super) fn value(&self, key: &str, made: &Manifest) -> Backup {
        Backup {
            key: key.to_owned(),
            kind: made.kind,
            created_at: made.created_at.clone(),
            snapshot: made.snapshot.name.clone(),
            path: made.snapshot.path.clone().into(),
            id: self.id(key).filter(|_| self.is_known(key)),
            origin: made.snapshot.origin.clone(),
            parent: made.parent_manifest.clone(),
            bytes: made.total_bytes,
            chain_bytes: self.chain_bytes(key),
            chunks: made.chunks.iter().map(|chunk| chunk.key.clone()).collect(),
            class: made.s3.storage_class.clone(),
            broken: self.broken.get(key).cloned(),
            state: None,
            command: None,
        }
    }

    fn chain_bytes(&self, key: &str) -> Option<u64> {
        let chain = manifest::chain(&self.manifests, key).ok()?;
        let links = chain.iter().filter_map(|link| self.manifests.get(*link));
        let bytes = links.map(|manifest| manifest.total_bytes);
        Some(bytes.fold(0, u64::saturating_add))
    }
}
