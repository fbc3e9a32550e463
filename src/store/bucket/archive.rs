//! The layout of backups of a subvolume, in chunks under the keys that btrfs_to_s3 reads and wrote:
//! chunks, then the manifest that names them, then the pointer to the newest.

mod backups;
mod chain;
mod change;
mod facet;
mod identity;
pub mod index;
pub mod manifest;
mod owner;
mod stamps;
pub(super) mod survey;

pub use crate::store::ArchiveSettings as Settings;

use super::cutter::Cutter;
use super::kept::{Kept, Record, UnfinishedStream};
use super::keys::refuse_folder;
use super::layout::{Layout, Words};
use super::out::Out;
use super::spool::Spool;
use super::upload::{Made, Upload};
use super::{ArchiveStore, Bucket, Reach};
use crate::archive::{ArchiveState, BackupKind, Begun};
use crate::error::{Error, Result};
use crate::machine;
use crate::objects::{Inventory, Meta, Objects};
use crate::proof::{Finding, Verdict};
use crate::snapshot::{Diff, Origin, Size, Uuid};
use crate::store::{Access, Right};
use crate::stream::Head;
use index::ArchiveIndex;
use manifest::{Manifest, Note};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// The backups of one subvolume.
#[derive(Debug)]
pub struct Archives {
    pub(super) settings: Settings,
    /// What the keys of all the objects begin with.
    folder: String,
    archive: ArchiveIndex,
    /// The same, as other layouts have it.
    kept: Vec<Kept>,
    /// UUIDs of snapshots by their names, as far as somebody told.
    known: HashMap<String, Uuid>,
    /// What new backups are of, if somebody told.
    subvolume: Option<Uuid>,
    /// What this run said that the archive is of.
    claimed: Option<Origin>,
}

/// A backup that is coming.
pub struct BackupDraft {
    to: Uuid,
    note: Note,
}

impl Bucket<Archives> {
    /// An archive in a bucket that is made of these objects. Asks them nothing yet.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn on(
        objects: Arc<dyn Objects>,
        settings: Settings,
        access: Access,
    ) -> Result<ArchiveStore> {
        let most = objects.limits().max_object;
        if !(1..=most).contains(&settings.chunk_size) {
            let doing = format!("cannot use chunks of {} bytes", settings.chunk_size);
            let url = objects.url("");
            let said = format!("an object may have 1 to {most} bytes in {url}");
            return Err(Error::usage(doing, said));
        }
        let folder = manifest::folder(&settings.prefix, &settings.name);
        if let Some(said) = refuse_folder(&folder) {
            let doing = format!("cannot use {}", objects.url(&folder));
            return Err(Error::usage(doing, said));
        }
        let layout = Archives {
            folder,
            settings,
            archive: ArchiveIndex::default(),
            kept: Vec::new(),
            known: HashMap::new(),
            subvolume: None,
            claimed: None,
        };
        Ok(Bucket::of(objects, access, layout))
    }

    /// What there is: the reading that `list` made, or a new one.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn archive(&mut self) -> Result<&ArchiveIndex> {
        Ok(&self.known()?.archive)
    }

    /// The bucket, and what the keys begin with that are the archive's and others' beside it.
    pub fn place(&self) -> (String, String) {
        let settings = &self.layout.settings;
        let (rest, folder) = (format!("subvol/{}/", settings.name), self.prefix());
        let prefix = folder.strip_suffix(&rest).unwrap_or(folder);
        (settings.bucket.clone(), prefix.to_owned())
    }

    /// Whether the chunks of each backup that can be restored can be read at once, by the keys of
    /// manifests; those in a class that is never frozen are left out.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn states(&mut self) -> Result<HashMap<String, ArchiveState>> {
        self.known()?;
        let archive = &self.layout.archive;
        let sound = |key: &String| !archive.broken.contains_key(key);
        let backups = archive.manifests.iter();
        let objects = &*self.reach.objects;
        survey::states(objects, backups.filter(|(key, _)| sound(key)))
    }

    /// Bytes of memory that a transfer takes at most: a part for each request under way and one
    /// that is being filled.
    pub fn memory(&self) -> u64 {
        let objects = &*self.reach.objects;
        let size = Size::Exact(self.layout.settings.chunk_size);
        let part = Upload::part_size(objects, size);
        (objects.limits().pieces(part) as u64 + 1) * part
    }
}

/// The stream of the backup with this manifest, wherever that lies: every chunk is held against its
/// size and SHA-256 on the way.
fn stream(objects: &Arc<dyn Objects>, manifest: &Manifest) -> impl Read + use<> {
    // Without ETags: objects may have been thawed or moved to another class meanwhile.
    let kept = Kept {
        objects: backups::sources(manifest, &HashMap::new()),
        ..Kept::default()
    };
    super::send::stream(objects, &kept, backups::record(manifest))
}

impl Layout for Archives {
    const WORDS: Words = Words {
        piece: "chunk",
        links: "backups",
        files: "manifests",
    };
    const STRICT: bool = false;
    /// The manifest, the pointer, and looks at the listing for these, the first chunk and all chunks.
    const BESIDE: u64 = 6;
    type Draft = BackupDraft;

    fn folder(&self) -> &str {
        &self.folder
    }

    fn cut(&self) -> Option<u64> {
        Some(self.settings.chunk_size)
    }

    fn read(&mut self, reach: &Reach, found: Inventory) -> Result<()> {
        let (prefix, name) = (&self.settings.prefix, &self.settings.name);
        self.archive = index::of(&*reach.objects, prefix, name, found)?;
        self.must_be_readable(reach)?;
        self.archive.identify(&*reach.objects, &self.known)?;
        self.kept = self.archive.kept();
        Ok(())
    }

    fn kept(&self) -> &[Kept] {
        &self.kept
    }

    fn leftovers(&self) -> &BTreeMap<String, UnfinishedStream> {
        &self.archive.leftovers
    }

    fn is_part(&self) -> bool {
        !self.archive.unknown.is_empty()
    }

    fn notes(&mut self, reach: &Reach) -> Result<Vec<String>> {
        let mut notes = self.repaired_pointer(reach)?;
        notes.extend(self.archive.notes());
        Ok(notes)
    }

    fn record(&mut self, _reach: &Reach, kept: &Kept) -> Result<Record> {
        let manifest = self.archive.manifests.get(&kept.name);
        Ok(manifest.map(backups::record).unwrap_or_default())
    }

    fn is_mended(&mut self, _reach: &Reach, kept: &Kept) -> Result<bool> {
        let manifest = self.archive.manifests.get(&kept.name);
        Ok(manifest.is_some_and(|manifest| manifest.mended))
    }

    /// Manifests that cannot be understood.
    fn absent(&mut self, _reach: &Reach) -> Result<Vec<Finding>> {
        let archive = &self.archive;
        let broken = archive.broken.iter();
        let unread = broken.filter(|(key, _)| !archive.manifests.contains_key(*key));
        let finding = |(key, why): (&String, &String)| Finding {
            path: key.strip_prefix(&self.folder).unwrap_or(key).into(),
            id: Uuid::default(),
            verdict: match archive.unknown.contains(key) {
                true => Verdict::Unverifiable(why.clone()),
                false => Verdict::Different(why.clone()),
            },
        };
        Ok(unread.map(finding).collect())
    }

    fn draft(
        &mut self,
        reach: &Reach,
        diff: &Diff,
        path: &str,
        doing: &str,
    ) -> Result<(BackupDraft, Out)> {
        let parent = self.archive.allows(diff, path, doing)?;
        let kind = match diff.from {
            Some(_) => BackupKind::Incremental,
            None => BackupKind::Full,
        };
        let now = reach.objects.now();
        let begun = self.archive.choose(path, kind, now, doing)?;
        let stem = begun.to_string();
        let left = self.archive.leftovers.get(&stem).cloned();
        let out = self.out(reach, diff, &stem, left.unwrap_or_default())?;
        let note = self.note(reach, diff, path, begun, parent);
        Ok((BackupDraft { to: diff.to, note }, out))
    }

    /// The stream has the last word on the name of its snapshot.
    fn describe(
        &self,
        _reach: &Reach,
        draft: &mut BackupDraft,
        head: &Head,
        _mended: bool,
    ) -> Meta {
        let name = Path::new(OsStr::from_bytes(&head.path));
        let path = Path::new(&draft.note.snapshot.path).with_file_name(name);
        if let Some(path) = path.to_str() {
            draft.note.snapshot.path = path.to_owned();
        }
        let mut meta = vec![
            ("protocol", head.version.to_string()),
            ("snapshot", head.uuid.to_string()),
            ("machine", machine::id().to_owned()),
        ];
        meta.retain(|(_, value)| !value.is_empty());
        meta
    }

    fn keep(
        &mut self,
        reach: &Reach,
        draft: BackupDraft,
        made: Vec<Made>,
        mended: bool,
    ) -> Result<()> {
        let BackupDraft { to, mut note } = draft;
        note.mended = mended;
        let stem = note.begun.to_string();
        let chunks = made.into_iter().map(manifest::Chunk::of);
        self.keep_backup(reach, to, note.with(chunks.collect::<Result<_>>()?))?;
        self.archive.leftovers.remove(&stem);
        Ok(())
    }

    fn copy(&mut self, reach: &Reach, kept: &Kept, to: &str) -> Result<()> {
        self.copy_backup(reach, &kept.name, to)
    }

    fn adopt(&mut self, reach: &Reach, path: &str, origin: &Origin) -> Result<()> {
        self.adopt_backups(reach, path, origin)
    }

    fn remove(&mut self, reach: &Reach, path: &str, doing: &str) -> Result<()> {
        self.remove_backups(reach, path, doing)
    }

    fn must_be_left(&self, reach: &Reach, path: &str, doing: &str) -> Result<()> {
        self.must_have_no_manifest(reach, path, doing)
    }

    fn forget_leftover(&mut self, path: &str) {
        self.archive.leftovers.remove(path);
    }
}

impl Archives {
    /// Who may read no manifest at all would make full backups for ever.
    fn must_be_readable(&self, reach: &Reach) -> Result<()> {
        let archive = &self.archive;
        let refused = archive.unread.values().any(|frozen| !frozen) && archive.manifests.is_empty();
        match archive.broken.first_key_value() {
            Some((key, why)) if refused && reach.access.grants(Right::Add) => {
                let doing = format!("cannot read {}", reach.objects.url(key));
                Err(Error::failed(doing, why.clone()))
            }
            _ => Ok(()),
        }
    }

    fn note(
        &self,
        reach: &Reach,
        diff: &Diff,
        name: &str,
        begun: Begun,
        parent: Option<String>,
    ) -> Note {
        let settings = &self.settings;
        let class = settings.class_chunks.as_deref().unwrap_or("STANDARD");
        Note {
            subvolume: settings.name.clone(),
            begun,
            snapshot: manifest::SnapshotRecord {
                name: name.to_owned(),
                path: settings.origin.join(name).to_string_lossy().into_owned(),
                uuid: Some(diff.to),
                parent_uuid: diff.from.filter(|_| parent.is_some()),
                subvolume_uuid: self.subvolume,
                origin: reach.coming.get(&diff.to).cloned(),
            },
            parent_manifest: parent,
            chunk_size: settings.chunk_size,
            storage_class: class.to_owned(),
            mended: false,
        }
    }

    fn out(&self, reach: &Reach, diff: &Diff, stem: &str, left: UnfinishedStream) -> Result<Out> {
        let cutter = Cutter::new(
            Arc::clone(&reach.objects),
            format!("{}{stem}-", self.folder),
            self.settings.chunk_size,
            diff.size,
            left,
        );
        Ok(match &self.settings.spool {
            None => Out::Chunks(Box::new(cutter)),
            Some((dir, bytes)) => Out::Spool(Box::new(Spool::new(dir, *bytes, cutter)?)),
        })
    }
}
