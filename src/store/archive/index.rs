//! What there is of the backups of one subvolume: every manifest, whether it can be restored, and
//! what belongs to nothing. Changes nothing.

use super::identity::Identity;
use super::manifest::{self, Manifest, Pointer};
use crate::archive::stamp;
use crate::error::{Error, Result};
use crate::s3::multipart::Unfinished;
use crate::s3::objects::{Inventory, Object};
use crate::s3::{Client, in_words};
use crate::snapshot::{Diff, Size, Uuid, shown};
use crate::store::keys::{Archived, Part, is_path};
use crate::sys;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The backups of one subvolume.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The name of the backups.
    pub name: String,
    /// What all their keys begin with.
    pub folder: String,
    /// By their keys.
    pub manifests: BTreeMap<String, Manifest>,
    /// What the pointer names.
    pub current: Option<String>,
    /// What cannot be restored, by key, and why.
    pub broken: BTreeMap<String, String>,
    /// What runs left that did not end, by a name that `delete` takes.
    pub leftovers: BTreeMap<String, Leftover>,
    /// Objects that are no part of any backup, nor left by a run.
    pub strays: Vec<String>,
    /// All objects but manifests and pointer, by key.
    pub objects: HashMap<String, Object>,
    /// Which snapshots the backups are of, by key.
    pub(super) identities: HashMap<String, Identity>,
    /// When it was read, as manifests have it.
    read_at: String,
    remarks: Vec<String>,
}

/// Chunks without a manifest, and uploads that were not finished, of one backup.
#[derive(Clone, Debug, Default)]
pub struct Leftover {
    /// `full` or `incremental`.
    pub kind: String,
    /// The time in its keys.
    pub stamp: String,
    /// Whole chunks.
    pub chunks: Vec<Object>,
    /// Uploads of chunks.
    pub uploads: Vec<Unfinished>,
    /// Bytes that are there.
    pub bytes: u64,
    /// When something last arrived.
    pub latest: Option<Timestamp>,
}

/// Reads the archive of a subvolume below a prefix.
///
/// # Errors
/// If the bucket cannot be read.
pub fn read(client: &Client, prefix: &str, name: &str) -> Result<Archive> {
    let found = client.inventory(&manifest::folder(prefix, name))?;
    of(client, prefix, name, found)
}

/// As many bytes as the manifests of an archive may have together; one may have 64 MiB.
const MANIFESTS: usize = 1 << 30;

/// The same, of all that a listing has in the folder of the archive.
pub(super) fn of(client: &Client, prefix: &str, name: &str, found: Inventory) -> Result<Archive> {
    let folder = manifest::folder(prefix, name);
    let mut archive = Archive {
        name: name.to_owned(),
        folder: folder.clone(),
        read_at: stamp::stamp((client.options.now)()),
        ..Archive::default()
    };
    let pointer = format!("{folder}current.json");
    let mut keys = Vec::new();
    for object in found.objects {
        match manifest::is_manifest(&folder, &object.key) {
            true => keys.push(object.key),
            false => drop(archive.objects.insert(object.key.clone(), object)),
        }
    }
    let total = AtomicUsize::new(0);
    let bodies = at_once(client, &keys, |key| {
        let body = client.small(key)?;
        let length = body.as_ref().map_or(0, Vec::len);
        match total.fetch_add(length, Ordering::Relaxed) + length > MANIFESTS {
            true => Err(Error::refused(
                format!("cannot read the manifests in {}", client.url(&folder)),
                "together they are longer than 1 GiB",
            )),
            false => Ok(body),
        }
    });
    for (key, body) in keys.iter().zip(bodies) {
        match body? {
            Some(body) => archive.take(key, &body),
            // Deleted meanwhile, or not to be had yet: whatever names it as its own stays.
            None => {
                let why = "it was listed, and is not there".to_owned();
                archive.broken.insert(key.clone(), why);
            }
        }
    }
    if archive.objects.remove(&pointer).is_some() {
        let body = client.small(&pointer)?.unwrap_or_default();
        let pointer: Option<Pointer> = serde_json::from_slice(&body).ok();
        archive.current = pointer.map(|pointer| pointer.manifest_key);
    }
    archive.relocate();
    archive.judge();
    archive.remarks.extend(found.remark);
    archive.find_leftovers(client, found.uploads)?;
    Ok(archive)
}

/// Does the same with each, on as many threads as a transfer has. The results are in order.
pub(super) fn at_once<T: Sync, R: Send>(
    client: &Client,
    all: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let run = || {
        sys::quiet_thread();
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match all.get(at) {
                Some(one) => done.push((at, work(one))),
                None => return done,
            }
        }
    };
    let count = client.options.concurrency.clamp(1, 64).min(all.len());
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Archive {
    /// A manifest that cannot be understood leaves the others as they are.
    fn take(&mut self, key: &str, body: &[u8]) {
        let why = match Manifest::parse(key, body) {
            Ok(manifest) if is_path(&manifest.snapshot.name) => {
                self.manifests.insert(key.to_owned(), manifest);
                return;
            }
            Ok(_) => "the name of its snapshot leads elsewhere".to_owned(),
            Err(error) => error.said,
        };
        self.broken.insert(key.to_owned(), why);
    }

    /// An archive that was copied or moved has the keys of its old place in its manifests: what is not
    /// there is looked for beside them.
    fn relocate(&mut self) {
        let folder = self.folder.clone();
        let moved = |key: &str| manifest::relative(&folder, key);
        let known: HashSet<String> = self.manifests.keys().cloned().collect();
        let there =
            |key: &str| moved(key).filter(|new| !known.contains(key) && known.contains(new));
        for manifest in self.manifests.values_mut() {
            for chunk in &mut manifest.chunks {
                let here = |key: &String| {
                    let object = self.objects.get(key);
                    object.is_some_and(|object| object.size == chunk.size)
                };
                if !self.objects.contains_key(&chunk.key)
                    && let Some(new) = moved(&chunk.key).filter(here)
                {
                    chunk.key = new;
                }
            }
            let parent = manifest.parent_manifest.as_deref();
            if let Some(new) = parent.and_then(there) {
                manifest.parent_manifest = Some(new);
            }
        }
        if let Some(new) = self.current.as_deref().and_then(there) {
            self.current = Some(new);
        }
    }

    /// The times of backups that something speaks of: a manifest, though it may not be understood, the
    /// parent of one, the pointer. Chunks of these are no leftovers, whatever names them.
    fn implied(&self) -> HashSet<String> {
        let parents = self.manifests.values();
        let parents = parents.filter_map(|manifest| manifest.parent_manifest.as_ref());
        let keys = self.manifests.keys().chain(self.broken.keys());
        let keys = keys.chain(parents).chain(&self.current);
        let made = self.manifests.values().map(|m| m.created_at.as_str());
        let stamps = keys.filter_map(|key| manifest::stamp_of(key)).chain(made);
        stamps.map(str::to_owned).collect()
    }

    /// Finds out what cannot be restored.
    fn judge(&mut self) {
        let incomplete: HashMap<&str, String> = self
            .manifests
            .iter()
            .filter_map(|(key, manifest)| Some((key.as_str(), missing(manifest, &self.objects)?)))
            .collect();
        let mut wrong = Vec::new();
        for key in self.manifests.keys() {
            let why = match manifest::chain(&self.manifests, key) {
                Err(error) => Some(error.said),
                Ok(chain) => chain.iter().find_map(|link| incomplete.get(link).cloned()),
            };
            wrong.extend(why.map(|why| (key.clone(), why)));
        }
        self.broken.extend(wrong);
    }

    /// What makes one backup useless does so to all that build on it.
    pub(super) fn spoil(&mut self, key: &str, why: &str) {
        let builds = |other: &String| {
            let chain = manifest::chain(&self.manifests, other);
            chain.is_ok_and(|chain| chain.contains(&key))
        };
        let spoilt: Vec<String> = self
            .manifests
            .keys()
            .filter(|other| builds(other))
            .cloned()
            .collect();
        for other in spoilt {
            self.broken.entry(other).or_insert_with(|| why.to_owned());
        }
    }

    fn find_leftovers(&mut self, client: &Client, uploads: Vec<Unfinished>) -> Result<()> {
        let chunks = self.manifests.values().flat_map(|m| &m.chunks);
        let used: HashSet<&str> = chunks.map(|chunk| chunk.key.as_str()).collect();
        let unread = self
            .broken
            .keys()
            .any(|key| !self.manifests.contains_key(key));
        let implied = self.implied();
        let (mut strays, mut found) = (Vec::new(), BTreeMap::new());
        for (key, object) in &self.objects {
            match chunk_of(key) {
                _ if used.contains(key.as_str()) => {}
                // It may belong to a manifest that we do not understand.
                Some((kind, stamp)) if !unread && !implied.contains(stamp) => {
                    let leftover = entry(&mut found, kind, stamp);
                    leftover.bytes += object.size;
                    leftover.latest = leftover.latest.max(object.modified);
                    leftover.chunks.push(object.clone());
                }
                _ => strays.push(key.clone()),
            }
        }
        for upload in uploads {
            if let Some((kind, stamp)) = chunk_of(&upload.key) {
                let (bytes, latest) = client.arrived(&upload)?;
                let leftover = entry(&mut found, kind, stamp);
                leftover.bytes += bytes;
                leftover.latest = leftover.latest.max(latest).max(upload.started);
                leftover.uploads.push(upload);
            }
        }
        strays.sort();
        (self.strays, self.leftovers) = (strays, found);
        Ok(())
    }

    /// The backups in the order in which they were made.
    pub fn in_order(&self) -> Vec<(&String, &Manifest)> {
        let mut all: Vec<_> = self.manifests.iter().collect();
        all.sort_by_key(|(key, manifest)| (&manifest.created_at, *key));
        all
    }

    /// The newest backup that can be restored. What is dated in the future, for which some clock was
    /// wrong, is it only if there is no other.
    pub fn newest(&self) -> Option<(&String, &Manifest)> {
        let all = self.in_order().into_iter();
        let sound = all.filter(|(key, _)| !self.broken.contains_key(*key));
        sound.max_by_key(|(_, manifest)| manifest.created_at <= self.read_at)
    }

    /// The effective UUID of the snapshot of a backup, or what stands for it.
    pub fn id(&self, key: &str) -> Option<Uuid> {
        self.identities.get(key).map(|identity| identity.uuid())
    }

    /// Whether that is its real one, and not one that stands for it until its chunks are thawed.
    pub fn is_known(&self, key: &str) -> bool {
        matches!(self.identities.get(key), Some(Identity::Known(_)))
    }

    /// What a backup holds; `None` if it or what it builds on has no identity.
    pub(super) fn diff(&self, key: &str) -> Option<Diff> {
        let manifest = self.manifests.get(key)?;
        let from = match &manifest.parent_manifest {
            Some(parent) => Some(self.id(parent)?),
            None => None,
        };
        Some(Diff {
            to: self.id(key)?,
            from,
            size: Size::Exact(manifest.total_bytes),
        })
    }

    /// The key of the manifest of a kind of backup and a time.
    pub(super) fn manifest_key(&self, kind: &str, stamp: &str) -> String {
        format!("{}{kind}/manifest-{stamp}.json", self.folder)
    }

    /// Whether a backup, or what is left of one, has this time in its keys.
    pub(super) fn has_stamp(&self, stamp: &str) -> bool {
        let key = |kind| self.manifest_key(kind, stamp);
        let taken =
            |key: String| self.manifests.contains_key(&key) || self.broken.contains_key(&key);
        let left = self.leftovers.values().any(|left| left.stamp == stamp);
        left || taken(key("full")) || taken(key("incremental"))
    }

    /// What cannot be restored, in words.
    pub fn losses(&self) -> impl Iterator<Item = String> {
        let broken = self.broken.iter();
        broken.map(|(key, why)| format!("{} cannot be restored: {why}", shown(key)))
    }

    /// Remarks for a person.
    pub(super) fn notes(&self, now: Timestamp) -> Vec<String> {
        let mut notes = self.remarks.clone();
        notes.extend(self.losses());
        for (key, manifest) in self.in_order() {
            if let Some(Identity::Hidden(uuid)) = self.identities.get(key) {
                notes.push(format!(
                    "which snapshot {} is, is known only after thawing, since the program that made the \
                     backup did not write it down; {uuid} stands for it",
                    shown(&manifest.snapshot.name)
                ));
            }
        }
        for (name, leftover) in &self.leftovers {
            notes.push(format!("{}: {}", shown(name), leftover.words(now)));
        }
        let example = self.strays.first().map(shown);
        notes.extend(example.map(|example| match self.strays.len() {
            1 => format!("ignoring a key that belongs to no backup: {example}"),
            n => format!("ignoring {n} keys that belong to no backup, such as {example}"),
        }));
        notes
    }
}

impl Leftover {
    /// What it is, and since when.
    pub fn words(&self, now: Timestamp) -> String {
        let age = self
            .latest
            .map(|latest| in_words(now.duration_since(latest)));
        let age = age.map_or(String::new(), |age| format!(", the last {age} ago"));
        let bytes = self.bytes;
        format!("left by a run that did not end: {bytes} bytes arrived{age}")
    }
}

/// Kind and time of the backup that a chunk is for.
fn chunk_of(key: &str) -> Option<(&str, &str)> {
    match Archived::parse(key)?.part {
        Part::Chunk(kind, stamp, _) => Some((kind, stamp)),
        _ => None,
    }
}

fn entry<'a>(all: &'a mut BTreeMap<String, Leftover>, kind: &str, stamp: &str) -> &'a mut Leftover {
    let name = format!("{kind}/chunk-{stamp}");
    all.entry(name).or_insert_with(|| Leftover {
        kind: kind.to_owned(),
        stamp: stamp.to_owned(),
        ..Leftover::default()
    })
}

/// The first chunk that is not there as the manifest says.
fn missing(manifest: &Manifest, objects: &HashMap<String, Object>) -> Option<String> {
    manifest.chunks.iter().find_map(|chunk| {
        match objects.get(&chunk.key).map(|object| object.size) {
            Some(size) if size == chunk.size => None,
            Some(size) => Some(format!(
                "{} has {size} bytes instead of {}",
                shown(&chunk.key),
                chunk.size
            )),
            None => Some(format!("{} is missing", shown(&chunk.key))),
        }
    })
}
