//! Backups of a subvolume in a bucket, in chunks under the keys that btrfs_to_s3 reads and wrote:
//! chunks, then the manifest that names them, then the pointer to the newest.
//! Knows the layout; how bytes come and go is the client's business.

mod change;
mod chunks;
mod identity;
pub mod index;
mod inspect;
pub mod manifest;
mod send;
mod sink;
mod spool;
mod stamps;
pub(super) mod survey;

use super::keys::path_text;
use super::{Access, Effort, Sink, Store};
use crate::archive::{ArchiveState, stamp};
use crate::error::{Error, Result};
use crate::log;
use crate::proof::{Depth, Finding, Verdict};
use crate::s3::download::{Download, Source};
use crate::s3::objects::Inventory;
use crate::s3::upload::Upload;
use crate::s3::{Client, S3Options};
use crate::snapshot::{
    Diff, Listing, Offer, Origin, Origins, Size, Sizes, Snapshot, State, Uuid, shown,
};
use index::Archive;
use manifest::Manifest;
use send::{Chunks, Expected};
use sink::ArchiveSink;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the backups of a subvolume lie and how they are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with, with or without a slash at its end; `/` for nothing.
    pub prefix: String,
    /// The name of the backups: the last component of the subvolume's path.
    pub name: String,
    /// The directory of the snapshots on the machine that is backed up.
    pub origin: PathBuf,
    /// Bytes at which streams are cut.
    pub chunk_size: u64,
    /// The storage class of chunks; `None` leaves it to the bucket.
    pub class_chunks: Option<String>,
    /// That of manifests and of the pointer.
    pub class_manifest: Option<String>,
    /// A directory in which so many bytes of a stream may wait for the network.
    pub spool: Option<(PathBuf, u64)>,
}

/// The backups of one subvolume.
#[derive(Debug)]
pub struct ArchiveStore {
    client: Arc<Client>,
    settings: Settings,
    /// What the keys of all the objects begin with.
    folder: String,
    access: Access,
    reading: Option<Archive>,
    /// A listing that was made for this and other stores, until it is used.
    found: Option<Inventory>,
    /// UUIDs of snapshots by their names, as far as somebody told.
    known: HashMap<String, Uuid>,
    /// What new backups are of, if somebody told.
    subvolume: Option<Uuid>,
    /// The same with the machine.
    coming: Origins,
}

impl ArchiveStore {
    /// Opens an archive. Asks the bucket nothing yet.
    ///
    /// # Errors
    /// If there are no credentials, or the settings cannot be used.
    pub fn open(settings: Settings, access: Access, options: S3Options) -> Result<ArchiveStore> {
        let folder = manifest::folder(&settings.prefix, &settings.name);
        let options = S3Options {
            storage_class: settings.class_chunks.clone(),
            ..options
        };
        let mut client = Client::new(&settings.bucket, options)?;
        let quirks = client.quirks();
        if !(1..=quirks.max_object).contains(&settings.chunk_size) {
            let doing = format!("cannot use chunks of {} bytes", settings.chunk_size);
            let said = format!(
                "an object may have 1 to {} bytes at {}",
                quirks.max_object, quirks.name
            );
            return Err(Error::usage(doing, said));
        }
        // Each chunk is one object, so that the parts asked for may be too short.
        let least = settings.chunk_size.div_ceil(quirks.max_parts);
        let wanted = client.options.part_size;
        client.options.part_size = wanted.map(|part| part.max(least.next_multiple_of(1 << 20)));
        Ok(ArchiveStore {
            client: Arc::new(client),
            settings,
            folder,
            access,
            reading: None,
            found: None,
            known: HashMap::new(),
            subvolume: None,
            coming: Origins::new(),
        })
    }

    /// What there is: the reading that `list` made, or a new one.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn archive(&mut self) -> Result<&Archive> {
        self.reading()?;
        Ok(self.reading.get_or_insert_default())
    }

    /// Whether all its keys begin so.
    pub fn is_below(&self, prefix: &str) -> bool {
        self.folder.starts_with(prefix)
    }

    /// Takes what a listing of the bucket has of it, which serves for the first reading.
    #[must_use]
    pub fn among(mut self, found: &Inventory) -> ArchiveStore {
        self.found = Some(found.below(&self.folder));
        self
    }

    /// Tells which UUIDs snapshots of these names have, for backups of the old program whose frozen
    /// chunks cannot tell.
    pub fn know(&mut self, names: HashMap<String, Uuid>) {
        self.known = names;
        self.reading = None;
    }

    /// Tells which subvolume new backups are of, so that they can be told from another's.
    pub fn is_of(&mut self, subvolume: Uuid) {
        self.subvolume = Some(subvolume);
    }

    /// The client, whose counters tell what was done.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The bucket, and what the keys begin with that are the archive's and others' beside it.
    pub fn place(&self) -> (String, String) {
        let rest = format!("subvol/{}/", self.settings.name);
        let prefix = self.folder.strip_suffix(&rest).unwrap_or(&self.folder);
        (self.settings.bucket.clone(), prefix.to_owned())
    }

    /// Whether the chunks of each backup that can be restored can be read at once, by the keys of
    /// manifests; those in a class that is never frozen are left out.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn states(&mut self) -> Result<HashMap<String, ArchiveState>> {
        self.reading()?;
        let archive = self.reading.get_or_insert_default();
        let sound = |key: &String| !archive.broken.contains_key(key);
        let backups = archive.manifests.iter();
        survey::states(&self.client, backups.filter(|(key, _)| sound(key)))
    }

    /// Bytes of memory that a transfer takes at most: a part for each request under way and one
    /// that is being filled.
    pub fn memory(&self) -> u64 {
        let threads = self.client.options.concurrency.max(1) as u64;
        (threads + 1) * Upload::part_size(&self.client, Size::Exact(self.settings.chunk_size))
    }

    fn reading(&mut self) -> Result<&mut Archive> {
        if self.reading.is_none() {
            let (prefix, name) = (&self.settings.prefix, &self.settings.name);
            let found = match self.found.take() {
                Some(found) => found,
                None => self.client.inventory(&self.folder)?,
            };
            let mut archive = index::of(&self.client, prefix, name, found)?;
            archive.identify(&self.client, &self.known)?;
            self.reading = Some(archive);
        }
        Ok(self.reading.get_or_insert_default())
    }

    /// `s3://bucket/prefix/subvol/NAME/`
    pub fn location(&self) -> String {
        self.client.url(&self.folder)
    }

    fn need(&self, access: Access, doing: &str) -> Result<()> {
        self.access.must_allow(access, &self.location(), doing)
    }

    /// A snapshot's path as manifests have it.
    fn name(&self, path: &Path) -> Result<String> {
        let doing = format!("cannot keep {} in {}", shown(path), self.location());
        path_text(path, doing)
    }

    /// The newest backup that holds this diff.
    fn find(&mut self, diff: &Diff) -> Result<Option<(String, Manifest)>> {
        let archive = self.reading()?;
        let all = archive.in_order().into_iter().rev();
        let mut sound = all.filter(|(key, _)| !archive.broken.contains_key(*key));
        let found = sound.find(|(key, _)| {
            let made = archive.diff(key);
            made.is_some_and(|made| (made.to, made.from) == (diff.to, diff.from))
        });
        Ok(found.map(|(key, manifest)| (key.clone(), manifest.clone())))
    }

    fn missing(&self, verb: &str, diff: &Diff) -> Error {
        let from = diff
            .from
            .map_or("nothing".to_owned(), |uuid| uuid.to_string());
        let doing = format!("cannot {verb} the diff from {from} to {}", diff.to);
        Error::failed(doing, format!("{} does not have it", self.location()))
    }

    /// The stream of a backup: every chunk is held against its size and SHA-256 on the way.
    fn stream(client: &Arc<Client>, manifest: &Manifest, archive: &Archive) -> Chunks<Download> {
        let source = |chunk: &manifest::Chunk| Source {
            key: chunk.key.clone(),
            size: chunk.size,
            etag: archive
                .objects
                .get(&chunk.key)
                .map_or(String::new(), |object| object.etag.clone()),
        };
        let sources = manifest.chunks.iter().map(source).collect();
        let download = Download::new(
            Arc::clone(client),
            sources,
            crate::digest::Digests::default(),
        );
        let expected = manifest.chunks.iter().map(|chunk| {
            let (kind, digest) = chunk.recorded();
            Expected {
                from: client.url(&chunk.key),
                size: chunk.size,
                kind,
                digest: digest.to_owned(),
            }
        });
        Chunks::new(download, expected.collect())
    }
}

/// The stream of the backup with this manifest, wherever that lies: every chunk is held against its
/// size and SHA-256 on the way.
pub fn stream(client: &Arc<Client>, manifest: &Manifest) -> impl Read + use<> {
    // Without ETags: objects may have been thawed or moved to another class meanwhile.
    ArchiveStore::stream(client, manifest, &Archive::default())
}

/// The effective UUID of the snapshot of a backup, as its stream has it; `None` while that is frozen.
///
/// # Errors
/// If it cannot be read, or is no stream.
pub fn identify(client: &Client, manifest: &Manifest) -> Result<Option<Uuid>> {
    let head = identity::head(client, manifest)?;
    Ok(head.map(|head| head.uuid))
}

impl Store for ArchiveStore {
    fn list(&mut self) -> Result<Listing> {
        self.reading = None;
        self.reading()?;
        let mut notes = self.repaired_pointer()?;
        let now = (self.client.options.now)();
        let location = self.location();
        let archive = self.reading()?;
        notes.extend(archive.notes(now));
        Ok(Listing {
            location,
            snapshots: snapshots(archive),
            offer: Offer::Only(offer(archive)),
            free: None,
            partial: false,
            notes,
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let mut sizes = Sizes::new();
        for diff in diffs {
            let found = self.find(diff)?;
            let (_, manifest) = found.ok_or_else(|| self.missing("measure", diff))?;
            let size = Size::Exact(manifest.total_bytes);
            sizes.insert(diff.pair(), size.into());
        }
        Ok(sizes)
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let found = self.find(diff)?;
        let (key, manifest) = found.ok_or_else(|| self.missing("send", diff))?;
        log::line(|| format!("sending {}", self.client.url(&key)));
        let client = Arc::clone(&self.client);
        Ok(Box::new(Self::stream(&client, &manifest, self.reading()?)))
    }

    fn attribute(&mut self, origins: Origins) {
        self.coming = origins;
    }

    fn mends(&mut self, diff: &Diff) -> Result<bool> {
        let found = self.find(diff)?;
        Ok(found.is_some_and(|(_, manifest)| manifest.mended))
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let doing = format!("cannot receive {} into {}", shown(path), self.location());
        self.need(Access::Append, &doing)?;
        let name = self.name(path)?;
        self.reading()?;
        Ok(Box::new(ArchiveSink::new(self, diff, &name, doing)?))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let location = self.location();
        let doing = format!("cannot copy {} to {} in {location}", shown(from), shown(to));
        self.need(Access::Append, &doing)?;
        let (from, to) = (self.name(from)?, self.name(to)?);
        self.copy_backups(&from, &to, &doing)
    }

    /// Whole chunks of the longest kind, a shorter one, the manifest and the pointer.
    fn effort(&self, diffs: &[Diff]) -> Option<Effort> {
        let mut sum = Effort::default();
        for diff in diffs {
            let bytes = diff.size.bytes()?;
            let cut = self.settings.chunk_size;
            let last = [bytes % cut].into_iter().filter(|&rest| rest > 0);
            for (length, times) in last.map(|rest| (rest, 1)).chain([(cut, bytes / cut)]) {
                let (requests, parts) = Upload::effort(&self.client, Size::Exact(length))?;
                // An upload counts its place in a list of sizes, which a chunk has not.
                sum.requests += times * (requests - 1);
                sum.parts += times * parts;
            }
            sum.requests += 2;
        }
        Some(sum)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let doing = format!("cannot delete {} in {}", shown(path), self.location());
        self.need(Access::Write, &doing)?;
        let name = self.name(path)?;
        self.delete_named(&name, &doing)
    }

    fn adopt(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let doing = format!("cannot adopt {} in {}", shown(path), self.location());
        self.need(Access::Write, &doing)?;
        let name = self.name(path)?;
        self.adopt_named(&name, origin)
    }

    fn inspect(&mut self, depth: Depth, watch: &mut dyn FnMut(&str)) -> Result<Vec<Finding>> {
        self.inspect_all(depth, watch)
    }

    fn compare(
        &mut self,
        path: &Path,
        diff: &Diff,
        stream: &mut dyn Read,
    ) -> Result<Option<Verdict>> {
        let name = self.name(path)?;
        let found = self.find(diff)?;
        match found.filter(|(_, manifest)| manifest.snapshot.name == name) {
            Some((_, manifest)) => self.compare_with(&manifest, stream).map(Some),
            None => Ok(None),
        }
    }
}

/// One for each name and UUID that can be restored, then the leftovers, in the order of their paths.
fn snapshots(archive: &Archive) -> Vec<Snapshot> {
    let mut seen = BTreeSet::new();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let sound = |key: &String| !archive.broken.contains_key(key);
    for (key, manifest) in archive.in_order().into_iter().rev() {
        let name = &manifest.snapshot.name;
        let Some(uuid) = archive.id(key).filter(|_| sound(key)) else {
            continue;
        };
        if seen.insert((name, uuid)) {
            snapshots.push(Snapshot {
                path: name.into(),
                uuid,
                parent_uuid: manifest.snapshot.subvolume_uuid,
                origin: manifest.snapshot.origin.clone(),
                created: stamp::seconds(&manifest.created_at),
                read_only: true,
                ..Snapshot::default()
            });
        }
    }
    for (name, leftover) in &archive.leftovers {
        snapshots.push(Snapshot {
            path: name.into(),
            uuid: Uuid(identity::digest(name)),
            created: leftover.latest.map(jiff::Timestamp::as_second),
            state: State::Partial,
            referenced: Some(leftover.bytes),
            ..Snapshot::default()
        });
    }
    snapshots.sort_by(|a, b| (&a.path, a.uuid).cmp(&(&b.path, b.uuid)));
    snapshots
}

fn offer(archive: &Archive) -> Vec<Diff> {
    let sound = archive
        .manifests
        .keys()
        .filter(|key| !archive.broken.contains_key(*key));
    let mut diffs: Vec<Diff> = Vec::new();
    for diff in sound.filter_map(|key| archive.diff(key)) {
        let same = |other: &Diff| (other.to, other.from) == (diff.to, diff.from);
        if !diffs.iter().any(same) {
            diffs.push(diff);
        }
    }
    diffs
}
