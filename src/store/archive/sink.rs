//! A stream on its way into an archive: looked at as it passes, cut into chunks, and written down.
//! Only whole commands with right checksums leave this machine, so that no chunk that is complete
//! holds a byte of a damaged stream.

use super::ArchiveStore;
use super::chunks::Cutter;
use super::index::{Archive, Leftover};
use super::manifest::{Chunk, Note, Origin};
use super::spool::Spool;
use super::stamps;
use crate::error::{Error, Result};
use crate::machine;
use crate::snapshot::{Diff, shown};
use crate::store::{Parts, Receipt, Sink};
use crate::stream::{Head, Watch};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) struct ArchiveSink<'a> {
    store: &'a mut ArchiveStore,
    /// The reading of the store, which holds no more if this is dropped.
    archive: Archive,
    diff: Diff,
    note: Note,
    doing: String,
    watch: Watch,
    /// Bytes that were looked at, and those of them that wait for the end of their command.
    fed: u64,
    waiting: Vec<u8>,
    out: Out,
    /// What the client had counted before.
    before: Parts,
}

/// Where the bytes go.
enum Out {
    Network(Box<Cutter>),
    Spool(Box<Spool>),
}

impl<'a> ArchiveSink<'a> {
    pub(super) fn new(
        store: &'a mut ArchiveStore,
        diff: &Diff,
        name: &str,
        doing: String,
    ) -> Result<ArchiveSink<'a>> {
        let mut archive = store.reading.take().unwrap_or_default();
        let parent = match allowed(&archive, diff, name, &doing) {
            Ok(parent) => parent,
            Err(error) => {
                store.reading = Some(archive);
                return Err(error);
            }
        };
        let kind = match diff.from {
            Some(_) => "incremental",
            None => "full",
        };
        let now = (store.client.options.now)();
        let stamp = stamps::choose(&archive, name, kind, now, &doing)?;
        let stem = format!("{kind}/chunk-{stamp}");
        let left = archive.leftovers.remove(&stem).unwrap_or_default();
        let note = note(store, diff, name, (kind, &stamp), parent);
        let out = out(store, diff, &stem, left)?;
        Ok(ArchiveSink {
            before: counted(store),
            store,
            archive,
            diff: *diff,
            note,
            doing,
            watch: Watch::default(),
            fed: 0,
            waiting: Vec::new(),
            out,
        })
    }

    /// The stream must be what was announced, and has the last word on its name.
    fn identify(&mut self, head: &Head) -> Result<()> {
        head.must_make(self.diff.to, self.diff.from, &self.doing)?;
        let name = Path::new(OsStr::from_bytes(&head.path));
        let path = Path::new(&self.note.snapshot.path).with_file_name(name);
        if let Some(path) = path.to_str() {
            self.note.snapshot.path = path.to_owned();
        }
        let mut meta = vec![
            ("protocol", head.version.to_string()),
            ("snapshot", head.uuid.to_string()),
            ("machine", machine::id().to_owned()),
        ];
        meta.retain(|(_, value)| !value.is_empty());
        if let Out::Network(cutter) = &mut self.out {
            cutter.describe(meta.clone());
        }
        if let Out::Spool(spool) = &mut self.out {
            spool.describe(meta);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(head) = self.watch.feed(bytes)? {
            self.identify(&head)?;
        }
        let begin = self.fed;
        self.fed += bytes.len() as u64;
        let sound = self.watch.sound();
        if sound <= begin {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (whole, rest) = bytes.split_at((sound - begin) as usize);
        self.out.write(&waiting)?;
        self.out.write(whole)?;
        self.waiting = waiting;
        self.waiting.clear();
        self.waiting.extend_from_slice(rest);
        Ok(())
    }
}

impl Out {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Out::Network(cutter) => cutter.write(bytes),
            Out::Spool(spool) => spool.write(bytes),
        }
    }

    fn finish(self) -> Result<Vec<Chunk>> {
        match self {
            Out::Network(cutter) => cutter.finish(),
            Out::Spool(spool) => spool.finish(),
        }
    }
}

/// The manifest that the new backup builds on, or why it may not be made.
fn allowed(archive: &Archive, diff: &Diff, name: &str, doing: &str) -> Result<Option<String>> {
    let mut names = archive.manifests.values().map(|m| &m.snapshot.name);
    if names.any(|other| other == name) {
        return Err(Error::refused(doing, "that name is taken"));
    }
    let Some(from) = diff.from else {
        return Ok(None);
    };
    let all = archive.in_order().into_iter().rev();
    let mut parents = all.filter(|(key, _)| archive.id(key) == Some(from));
    let Some(newest) = parents.clone().next() else {
        return Err(Error::refused(
            doing,
            format!("its parent {from} is not there"),
        ));
    };
    match parents.find(|(key, _)| !archive.broken.contains_key(*key)) {
        Some((key, _)) => Ok(Some(key.clone())),
        None => Err(Error::refused(
            doing,
            format!("its parent {} cannot be restored", shown(newest.0)),
        )),
    }
}

fn note(
    store: &ArchiveStore,
    diff: &Diff,
    name: &str,
    (kind, stamp): (&str, &str),
    parent: Option<String>,
) -> Note {
    let settings = &store.settings;
    let class = settings.class_chunks.as_deref().unwrap_or("STANDARD");
    Note {
        subvolume: settings.name.clone(),
        kind: kind.to_owned(),
        created_at: stamp.to_owned(),
        snapshot: Origin {
            name: name.to_owned(),
            path: settings.origin.join(name).to_string_lossy().into_owned(),
            uuid: Some(diff.to),
            parent_uuid: diff.from.filter(|_| parent.is_some()),
            subvolume_uuid: store.subvolume,
            origin: store.coming.get(&diff.to).cloned(),
        },
        parent_manifest: parent,
        chunk_size: settings.chunk_size,
        storage_class: class.to_owned(),
        mended: false,
    }
}

fn out(store: &ArchiveStore, diff: &Diff, stem: &str, left: Leftover) -> Result<Out> {
    let cutter = Cutter::new(
        Arc::clone(&store.client),
        format!("{}{stem}-", store.folder),
        store.settings.chunk_size,
        diff.size,
        left,
    );
    Ok(match &store.settings.spool {
        None => Out::Network(Box::new(cutter)),
        Some((dir, bytes)) => Out::Spool(Box::new(Spool::new(dir, *bytes, cutter)?)),
    })
}

impl Write for ArchiveSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Chunks, manifest, pointer: in this order, so that a manifest implies its chunks, and a pointer
/// its manifest.
impl Sink for ArchiveSink<'_> {
    fn is_mended(&mut self) {
        self.note.mended = true;
    }

    fn finish(self: Box<Self>) -> Result<Receipt> {
        self.watch.complete(&self.doing)?;
        let ArchiveSink {
            store,
            mut archive,
            diff,
            note,
            out,
            fed,
            before,
            ..
        } = *self;
        let manifest = note.with(out.finish()?);
        let after = counted(store);
        store.keep(&mut archive, diff, manifest)?;
        store.reading = Some(archive);
        let parts = Parts {
            sent: after.sent - before.sent,
            skipped: after.skipped - before.skipped,
        };
        Ok(Receipt {
            bytes: fed,
            parts: Some(parts),
        })
    }
}

fn counted(store: &ArchiveStore) -> Parts {
    let counters = &store.client.counters;
    Parts {
        sent: counters.parts_sent.load(Ordering::Relaxed),
        skipped: counters.parts_skipped.load(Ordering::Relaxed),
    }
}
