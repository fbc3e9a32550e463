//! What there is of the backups of one subvolume: every manifest, whether it can be restored, and
//! what belongs to nothing. Changes nothing.

use super::manifest::{self, Manifest, Pointer};
use super::owner;
use crate::archive::{BackupKind, Begun, Owner, Stamp};
use crate::digest::sha256;
use crate::error::{Error, Kind, Result};
use crate::objects::{FROZEN, Inventory, Object, Objects, Unfinished, Unread};
use crate::snapshot::{End, Origin, Uuid};
use crate::store::bucket::kept::{self, UnfinishedStream};
use crate::store::bucket::keys::{Archived, KeyPart, OWNER, is_path};
use crate::store::bucket::records::Records;
use crate::text::shown;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The backups of one subvolume.
#[derive(Clone, Debug, Default)]
pub struct ArchiveIndex {
    /// The name of the backups.
    pub name: String,
    /// What all their keys begin with.
    pub folder: String,
    /// The manifests, by their keys.
    pub manifests: BTreeMap<String, Manifest>,
    /// What the pointer names.
    pub current: Option<String>,
    /// The machine that makes the backups, if it said so.
    pub(super) owner: Option<Owner>,
    /// What cannot be restored, by key, and why.
    pub broken: BTreeMap<String, String>,
    /// Of these, what may be restored, since what could not be read is a manifest: its own or that of one
    /// which it builds on.
    pub unknown: BTreeSet<String>,
    /// Manifests, the pointer and others' folders that are there and could not be read; of what must be thawed, `true`.
    pub unread: BTreeMap<String, bool>,
    /// What a listing could not look at.
    hidden: Vec<Unread>,
    /// What runs left that did not end, by a name that `delete` takes.
    pub leftovers: BTreeMap<String, UnfinishedStream>,
    /// Objects that are no part of any backup, nor left by a run.
    pub strays: Vec<String>,
    /// All objects but manifests and pointer, by key.
    pub objects: HashMap<String, Object>,
    /// Which snapshots the backups are of, by key.
    pub(super) identities: HashMap<String, Identity>,
    /// When it was read, as manifests have it.
    read_at: Stamp,
    remarks: Vec<String>,
}

/// What a manifest and its stream say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The effective UUID of the snapshot.
    Known(Uuid),
    /// Nobody can tell before the chunks are thawed; until then this stands for it.
    Hidden(Uuid),
}

impl Identity {
    /// The UUID, whichever it is.
    fn uuid(self) -> Uuid {
        match self {
            Identity::Known(uuid) | Identity::Hidden(uuid) => uuid,
        }
    }
}

/// A UUID that depends on a text and on nothing else.
pub(super) fn stand_in(text: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(text.as_bytes())[..16]);
    Uuid(bytes)
}

/// As many bytes as the manifests of an archive may have together; one may have 64 MiB.
const MANIFESTS: usize = 1 << 30;

/// Reads the archive of a subvolume: all that a listing has in its folder.
pub(super) fn of(
    objects: &dyn Objects,
    prefix: &str,
    name: &str,
    found: Inventory,
) -> Result<ArchiveIndex> {
    let folder = manifest::folder(prefix, name);
    let mut archive = ArchiveIndex {
        name: name.to_owned(),
        folder: folder.clone(),
        read_at: Stamp::of(objects.now()),
        ..ArchiveIndex::default()
    };
    let mut keys = archive.hide(found.unread);
    for object in found.objects {
        match manifest::is_manifest(&folder, &object.key) {
            true => keys.push(object.key),
            false => drop(archive.objects.insert(object.key.clone(), object)),
        }
    }
    archive.read_manifests(objects, &keys)?;
    archive.read_pointer(objects)?;
    archive.read_owner(objects)?;
    archive.relocate();
    archive.judge();
    archive.remarks.extend(found.remark);
    archive.find_leftovers(found.uploads);
    let remarks = kept::look_at_all(archive.leftovers.values_mut(), objects)?;
    archive.remarks.extend(remarks);
    Ok(archive)
}

impl ArchiveIndex {
    /// Reads its manifests, as far as they can be read.
    fn read_manifests(&mut self, objects: &dyn Objects, keys: &[String]) -> Result<()> {
        let records = Records {
            what: "manifests",
            most: MANIFESTS,
            folder: &self.folder,
        };
        let parse = |key: &String, body: &[u8]| Manifest::parse(key, body);
        for (key, read) in keys.iter().zip(records.read(objects, keys, parse)) {
            match read {
                Ok(read) => self.take(key, read),
                Err(error) => {
                    let why = self.leave_out(key, error)?;
                    self.broken.insert(key.clone(), why);
                }
            }
        }
        Ok(())
    }

    /// Whose it is. Where that cannot be read it is somebody's, and that is a remark.
    fn read_owner(&mut self, objects: &dyn Objects) -> Result<()> {
        let key = format!("{}{OWNER}", self.folder);
        if self.objects.remove(&key).is_none() && self.hidden(&key).is_none() {
            return Ok(());
        }
        self.owner = match owner::read(objects, &key) {
            Ok(owner) => owner,
            Err(error) => {
                let why = self.leave_out(&key, error)?;
                let words = format!("{} is not read: {why}", shown(&key));
                self.remarks.push(words);
                Some(Owner {
                    since: None,
                    origin: Origin::default(),
                })
            }
        };
        Ok(())
    }

    /// Notes what a listing could not look at: in a folder there may be any manifest. Those that are known to be there,
    /// whose reading tells more.
    fn hide(&mut self, hidden: Vec<Unread>) -> Vec<String> {
        let folders = hidden
            .iter()
            .filter(|unread| unread.hides(&format!("{}/", unread.key)));
        for folder in folders {
            self.unread.insert(folder.key.clone(), false);
            self.broken.insert(folder.key.clone(), folder.why.clone());
        }
        let keys = hidden.iter().map(|unread| unread.key.clone());
        let manifests = keys.filter(|key| manifest::is_manifest(&self.folder, key));
        let manifests = manifests.collect();
        self.hidden = hidden;
        manifests
    }

    /// Why what has this key could not be looked at, if so.
    fn hidden(&self, key: &str) -> Option<&str> {
        let hides = |unread: &&Unread| unread.hides(key);
        self.hidden.iter().find(hides).map(|unread| &*unread.why)
    }

    /// Which backup is the newest, as the archive says. Where that cannot be read, that is a remark.
    fn read_pointer(&mut self, objects: &dyn Objects) -> Result<()> {
        let key = format!("{}current.json", self.folder);
        if self.objects.remove(&key).is_none() && self.hidden(&key).is_none() {
            return Ok(());
        }
        match objects.get(&key) {
            Ok(body) => {
                let pointer = serde_json::from_slice(&body.unwrap_or_default()).ok();
                self.current = pointer.map(|pointer: Pointer| pointer.manifest_key);
            }
            Err(error) => {
                let why = self.leave_out(&key, error)?;
                let words = format!("{} is not read: {why}", shown(&key));
                self.remarks.push(words);
            }
        }
        Ok(())
    }

    /// A manifest that cannot be understood leaves the others as they are.
    fn take(&mut self, key: &str, read: Option<Result<Manifest>>) {
        let why = match read {
            // Deleted meanwhile, or not to be had yet: whatever names it as its own stays.
            None => "it was listed, and is not there".to_owned(),
            Some(Ok(manifest)) if is_path(&manifest.snapshot.name) => {
                self.manifests.insert(key.to_owned(), manifest);
                return;
            }
            Some(Ok(_)) => "the name of its snapshot leads elsewhere".to_owned(),
            Some(Err(error)) => error.said,
        };
        self.broken.insert(key.to_owned(), why);
    }

    /// One that cannot be read keeps nobody from the others; a signal does, and what is too much. Why, in
    /// words.
    fn leave_out(&mut self, key: &str, error: Error) -> Result<String> {
        if matches!(error.kind, Kind::Interrupted | Kind::Refused) {
            return Err(error);
        }
        let frozen = error.refusal() == FROZEN;
        self.unread.insert(key.to_owned(), frozen);
        Ok(match frozen {
            true => {
                "it is frozen: restore has it thawed, and a lifecycle rule that freezes manifests \
                     should leave them out (config check)"
                    .to_owned()
            }
            false => error.to_string(),
        })
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
    fn implied(&self) -> HashSet<Stamp> {
        let parents = self.manifests.values();
        let parents = parents.filter_map(|manifest| manifest.parent_manifest.as_ref());
        let keys = self.manifests.keys().chain(self.broken.keys());
        let keys = keys.chain(parents).chain(&self.current);
        let made = self.manifests.values().map(|m| m.created_at.clone());
        let stamps = keys.filter_map(|key| manifest::stamp_of(key));
        stamps.chain(made).collect()
    }

    /// Finds out what cannot be restored.
    fn judge(&mut self) {
        let all = self.manifests.iter();
        let incomplete = all.filter_map(|(key, made)| Some((key.as_str(), self.missing(made)?)));
        let incomplete: HashMap<&str, (String, bool)> = incomplete.collect();
        let (graph, mut wrong) = (manifest::graph(&self.manifests), Vec::new());
        let mut unknown: BTreeSet<String> = self.broken.keys().cloned().collect();
        unknown.retain(|key| self.unread.contains_key(key));
        for key in self.manifests.keys() {
            let unread = |end| self.unread.contains_key(end) || self.hidden(end).is_some();
            let why = match manifest::way_down(&graph, key) {
                Err(error) => {
                    let end = graph.way_down(key).1;
                    Some((error.said, matches!(end, End::Missing(end) if unread(end))))
                }
                Ok(chain) => chain.iter().find_map(|link| incomplete.get(link).cloned()),
            };
            if let Some((why, open)) = why {
                unknown.extend(open.then(|| key.clone()));
                wrong.push((key.clone(), why));
            }
        }
        self.broken.extend(wrong);
        self.unknown = unknown;
    }

    /// The first chunk that is not there as the manifest says, in words, and whether it may be there all the same.
    fn missing(&self, manifest: &Manifest) -> Option<(String, bool)> {
        manifest.chunks.iter().find_map(|chunk| {
            let key = shown(&chunk.key);
            match self.objects.get(&chunk.key).map(|object| object.size) {
                Some(size) if size == chunk.size => None,
                Some(size) => {
                    let words = format!("{key} has {size} bytes instead of {}", chunk.size);
                    Some((words, false))
                }
                None => Some(match self.hidden(&chunk.key) {
                    Some(why) => (why.to_owned(), true),
                    None => (format!("{key} is missing"), false),
                }),
            }
        })
    }

    /// What makes one backup useless does so to all that build on it.
    pub(super) fn spoil(&mut self, key: &str, why: &str) {
        let above = manifest::graph(&self.manifests).built_on(key);
        for spoilt in above.into_iter().chain([key]) {
            let spoilt = self.broken.entry(spoilt.to_owned());
            spoilt.or_insert_with(|| why.to_owned());
        }
    }

    fn find_leftovers(&mut self, uploads: Vec<Unfinished>) {
        let chunks = self.manifests.values().flat_map(|m| &m.chunks);
        let used: HashSet<&str> = chunks.map(|chunk| chunk.key.as_str()).collect();
        let mut broken = self.broken.keys();
        let unread = broken.any(|key| !self.manifests.contains_key(key));
        let implied = self.implied();
        let (mut strays, mut found) = (Vec::new(), BTreeMap::new());
        for (key, object) in &self.objects {
            match chunk_of(key) {
                _ if used.contains(key.as_str()) => {}
                // It may belong to a manifest that we do not understand.
                Some(begun) if !unread && !implied.contains(&begun.stamp) => {
                    entry(&mut found, &begun).add(object.clone());
                }
                _ => strays.push(key.clone()),
            }
        }
        for upload in uploads {
            if let Some(begun) = chunk_of(&upload.key) {
                entry(&mut found, &begun).uploads.push(upload);
            }
        }
        strays.sort();
        (self.strays, self.leftovers) = (strays, found);
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

    /// Whether a manifest that was not read is of a later time than this.
    pub(super) fn may_be_newer(&self, stamp: &Stamp) -> bool {
        let mut unread = self.unread.keys().filter_map(|key| manifest::stamp_of(key));
        let folder = |unread: &Unread| manifest::stamp_of(&unread.key).is_none();
        unread.any(|unread| unread > *stamp) || self.hidden.iter().any(folder)
    }

    /// The key of the manifest of a kind of backup and a time.
    pub(super) fn manifest_key(&self, kind: BackupKind, stamp: &Stamp) -> String {
        format!("{}{kind}/manifest-{stamp}.json", self.folder)
    }

    /// Whether a backup, or what is left of one, has this time in its keys.
    pub(super) fn has_stamp(&self, stamp: &Stamp) -> bool {
        BackupKind::ALL.into_iter().any(|kind| {
            let stamp = stamp.clone();
            let begun = Begun { kind, stamp };
            self.leftovers.contains_key(&begun.to_string()) || self.has_manifest(&begun).is_some()
        })
    }

    /// The key of the manifest of a backup, if there is one, sound or not.
    pub(super) fn has_manifest(&self, backup: &Begun) -> Option<String> {
        let key = self.manifest_key(backup.kind, &backup.stamp);
        let there = self.manifests.contains_key(&key) || self.broken.contains_key(&key);
        there.then_some(key)
    }

    /// What cannot be restored, in words.
    pub fn losses(&self) -> impl Iterator<Item = String> {
        let broken = self.broken.iter();
        broken.map(|(key, why)| format!("{} cannot be restored: {why}", shown(key)))
    }

    pub(super) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    /// Remarks for a person.
    pub(super) fn notes(&self) -> Vec<String> {
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
        let example = self.strays.first().map(shown);
        notes.extend(example.map(|example| match self.strays.len() {
            1 => format!("ignoring a key that belongs to no backup: {example}"),
            n => format!("ignoring {n} keys that belong to no backup, such as {example}"),
        }));
        notes
    }
}

/// The backup that a chunk is for.
pub(super) fn chunk_of(key: &str) -> Option<Begun> {
    match Archived::parse(key)?.part {
        KeyPart::Chunk(begun, _) => Some(begun),
        _ => None,
    }
}

fn entry<'a>(
    all: &'a mut BTreeMap<String, UnfinishedStream>,
    begun: &Begun,
) -> &'a mut UnfinishedStream {
    let name = begun.to_string();
    let id = stand_in(&name);
    let new = || UnfinishedStream {
        id,
        ..UnfinishedStream::default()
    };
    all.entry(name).or_insert_with(new)
}
