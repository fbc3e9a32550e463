//! A stream cut into chunks, each an object of its own. What an earlier run left of them is gone on with:
//! parts are compared by the upload, whole chunks here, by what is said of them where they are kept.

use super::kept::UnfinishedStream;
use super::must_be_listed;
use super::upload::{Made, Upload, UploadTarget};
use crate::digest::{DigestsHasher, Hasher};
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::machine;
use crate::objects::{Meta, Object, Objects, RemoteChecksum, Source, Unfinished};
use crate::snapshot::Size;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Cuts what is written to it. Dropped, it leaves what arrived for the next run.
pub struct Cutter {
    objects: Arc<dyn Objects>,
    /// Keys without the number and what follows it.
    stem: String,
    cut: u64,
    /// The size of the stream, as far as it is known.
    size: Size,
    meta: Meta,
    there: BTreeMap<String, Object>,
    uploads: Vec<Unfinished>,
    now: Option<Now>,
    /// Bytes in the chunk that is being made.
    filled: u64,
    done: Vec<Made>,
    bytes: u64,
}

/// What the bytes of the present chunk go to.
enum Now {
    Upload(Box<Upload>),
    /// It is there already, if it is the same.
    Compare(Box<Compare>),
}

struct Compare {
    object: Object,
    checksum: RemoteChecksum,
    hasher: Hasher,
    sums: DigestsHasher,
}

impl Cutter {
    /// For chunks with such keys, at this length, of a stream of this size.
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        stem: String,
        cut: u64,
        size: Size,
        left: UnfinishedStream,
    ) -> Cutter {
        let there = left.objects.into_iter();
        Cutter {
            objects,
            stem,
            cut,
            size,
            meta: Meta::new(),
            there: there.map(|object| (object.key.clone(), object)).collect(),
            uploads: left.uploads,
            now: None,
            filled: 0,
            done: Vec::new(),
            bytes: 0,
        }
    }

    /// Sets the metadata of the chunks; to be done before the first byte.
    pub(super) fn describe(&mut self, meta: Meta) {
        self.meta = meta;
    }

    /// Takes the next bytes of the stream.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = (self.cut - self.filled).min(bytes.len() as u64) as usize;
            let mut now = match self.now.take() {
                Some(now) => now,
                None => self.begin()?,
            };
            match &mut now {
                Now::Upload(upload) => upload.add(&bytes[..room])?,
                Now::Compare(compare) => compare.update(&bytes[..room]),
            }
            self.now = Some(now);
            self.filled += room as u64;
            self.bytes += room as u64;
            bytes = &bytes[room..];
            if self.filled == self.cut {
                self.close()?;
            }
        }
        Ok(())
    }

    /// Ends the last chunk; all of them, in order. Of what an earlier run of this machine left under such
    /// keys nothing stays; what another one may be uploading does.
    pub(super) fn finish(mut self) -> Result<Vec<Made>> {
        self.close()?;
        for upload in self.uploads.iter().filter(|u| !self.is_young(u.started)) {
            report(self.objects.abort(upload));
        }
        report(self.ours().and_then(|keys| match keys.is_empty() {
            true => Ok(()),
            false => self.objects.remove(&keys),
        }));
        Ok(self.done)
    }

    /// What is there still, and is ours to remove: by its metadata, or by its age.
    fn ours(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for object in self.there.values() {
            if self.is_ours(object)? {
                keys.push(object.key.clone());
            }
        }
        Ok(keys)
    }

    fn is_ours(&self, object: &Object) -> Result<bool> {
        let old = !self.is_young(object.modified);
        Ok(old || self.machine(object)?.as_deref() == Some(machine::id()))
    }

    /// Somebody may be uploading what it belongs to.
    fn is_young(&self, since: Option<Timestamp>) -> bool {
        let age = since.map(|since| self.objects.now().duration_since(since));
        age.is_none_or(|age| age < SignedDuration::from_hours(24))
    }

    /// The machine that uploaded a chunk, if its metadata tells.
    fn machine(&self, object: &Object) -> Result<Option<String>> {
        let head = self.objects.head(&object.key)?;
        let machine = head.map(|head| head.meta("machine").to_owned());
        Ok(machine.filter(|machine| !machine.is_empty()))
    }

    /// # Errors
    /// If another machine has uploaded it, not long ago: then it uploads a backup with the same keys.
    fn must_not_be_anothers(&self, object: &Object) -> Result<()> {
        let machine = self
            .machine(object)?
            .filter(|_| self.is_young(object.modified));
        match machine {
            Some(machine) if machine != machine::id() => {
                let doing = format!("cannot store {}", self.objects.url(&object.key));
                let said = "another machine is storing a backup with the same keys: give each machine a \
                            prefix of its own";
                Err(Error::refused(doing, said))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If it is young, and nothing says that this machine uploaded it.
    fn must_be_ours(&self, object: &Object) -> Result<()> {
        if self.is_ours(object)? {
            return Ok(());
        }
        let doing = format!("cannot replace {}", self.objects.url(&object.key));
        let said =
            "nothing says who stored it, less than a day ago: it may be part of a backup under way";
        let hint = "if no other program writes there, delete it, or try again after a day";
        Err(Error::refused(doing, said).hint(hint))
    }

    /// The length of the chunk that begins now, if it is known.
    fn length(&self) -> Option<u64> {
        match self.size {
            Size::Exact(total) if total > self.bytes => Some(self.cut.min(total - self.bytes)),
            _ => None,
        }
    }

    fn begin(&mut self) -> Result<Now> {
        let key = format!("{}{}.bin", self.stem, self.done.len());
        if let Some(object) = self.there.remove(&key) {
            self.must_not_be_anothers(&object)?;
            if let Some(compare) = self.comparable(&object)? {
                return Ok(Now::Compare(Box::new(compare)));
            }
            log::line(|| format!("{} cannot be this one", self.objects.url(&key)));
            self.must_be_ours(&object)?;
            self.objects.remove(std::slice::from_ref(&key))?;
        }
        // Nobody knows more of a stream of unknown length than that this may be a whole chunk. The
        // half, since a guess is doubled.
        let guess = Size::Estimate(self.cut.div_ceil(2));
        let mine = |upload: &Unfinished| upload.key == key;
        let (mine, others) = std::mem::take(&mut self.uploads)
            .into_iter()
            .partition(mine);
        self.uploads = others;
        let target = UploadTarget {
            size: self.length().map_or(guess, Size::Exact),
            unfinished: mine,
            key,
            // btrfs_to_s3 restores by it.
            sha256: true,
            single: true,
        };
        let mut upload = Upload::new(Arc::clone(&self.objects), target);
        upload.describe(self.meta.clone());
        Ok(Now::Upload(Box::new(upload)))
    }

    /// Whether a chunk that is there can be compared with bytes: it has the length and the storage
    /// class that it must have, and the service tells a checksum that can be computed.
    fn comparable(&self, object: &Object) -> Result<Option<Compare>> {
        if object.size != self.length().unwrap_or(self.cut) {
            return Ok(None);
        }
        let usual = |class: &str| match class {
            "" => "STANDARD".to_owned(),
            class => class.to_owned(),
        };
        let wanted = self.objects.limits().class;
        let head = self.objects.head(&object.key)?;
        let class = head.map(|head| usual(&head.class));
        if wanted.is_some_and(|wanted| class.is_none_or(|class| class != usual(&wanted))) {
            return Ok(None);
        }
        let source = Source {
            key: object.key.clone(),
            size: object.size,
            etag: object.etag.clone(),
        };
        let checksum = self.objects.remote_checksum(&source)?;
        Ok(checksum.map(|checksum| Compare {
            object: object.clone(),
            hasher: checksum.hasher(),
            checksum,
            sums: DigestsHasher::default(),
        }))
    }

    fn close(&mut self) -> Result<()> {
        let chunk = match self.now.take() {
            None => return Ok(()),
            Some(Now::Upload(upload)) => upload.finish()?,
            Some(Now::Compare(compare)) => self.compared(*compare)?,
        };
        self.filled = 0;
        self.done.push(chunk);
        match &self.done[..] {
            [only] => self.must_be_listed(only),
            _ => Ok(()),
        }
    }

    /// A service that keeps it under another key will do so with all, and days of work are in vain.
    fn must_be_listed(&self, made: &Made) -> Result<()> {
        let objects = made.objects.iter();
        let wanted: Vec<_> = objects.map(|o| (o.key.as_str(), o.size)).collect();
        must_be_listed(&*self.objects, &self.stem, &wanted)
    }

    /// What is not the same is removed with all that follows it, and made anew by the next try:
    /// its bytes have passed.
    fn compared(&self, compare: Compare) -> Result<Made> {
        let Compare {
            object,
            checksum,
            hasher,
            sums,
        } = compare;
        if self.filled == object.size && checksum.holds(hasher) {
            let part = checksum.part.unwrap_or(object.size).max(1);
            let parts = object.size.div_ceil(part).max(1);
            let skipped = &self.objects.counters().parts_skipped;
            skipped.fetch_add(parts, Ordering::Relaxed);
            log::line(|| format!("{} is there already", self.objects.url(&object.key)));
            return Ok(Made {
                bytes: object.size,
                digests: sums.finish(),
                objects: vec![object],
                split: false,
                parts,
                skipped: parts,
            });
        }
        self.must_be_ours(&object)?;
        let mut keys = self.ours()?;
        keys.push(object.key.clone());
        self.objects.remove(&keys)?;
        let doing = format!("cannot go on with {}", self.objects.url(&object.key));
        let said = "what an earlier run left is not of this stream; it was removed";
        Err(Error::new(Kind::Restarted, doing, said))
    }
}

impl Compare {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.sums.update(bytes);
    }
}

/// What cannot be removed stays listed as left by a run, and the backup is whole without that.
fn report(result: Result<()>) {
    if let Err(error) = result {
        log::line(|| error.to_string());
    }
}
