//! A stream becomes an object: by parts on several threads, going on where an earlier run stopped,
//! and checked at the end. Memory is a part for each thread and one more, whatever the length: the
//! threads that send a part also hash it.

mod begun;
mod sizing;
mod workers;

use crate::digest::{self, Digests};
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::objects::{About, Keeper, Meta, Object, Objects, Unfinished, UploadedPart};
use crate::snapshot::Size;
use begun::RecordedUpload;
use sizing::Sizing;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use workers::{Done, UploadingObject, WantedHashes, Workers};

/// What an upload is told before it begins.
pub struct UploadTarget {
    /// The key; a stream too long for one object goes to keys that end in `.1`, `.2` and so on.
    pub key: String,
    /// How long the stream is.
    pub size: Size,
    /// Uploads of this key, or of such keys, that were begun and not finished.
    pub unfinished: Vec<Unfinished>,
    /// Whether the SHA-256 is wanted, beside the tree hash, of a stream of several parts. It can only
    /// be computed one byte after the other.
    pub sha256: bool,
    /// Whether it must become one object, whose length is not exceeded then.
    pub single: bool,
}

/// What an upload made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the stream.
    pub bytes: u64,
    /// The digests of the stream.
    pub digests: Digests,
    /// The objects, in order.
    pub objects: Vec<Object>,
    /// Whether it was cut, so that the keys are not the one asked for.
    pub split: bool,
    /// How many parts it has, and how many of them an earlier run had sent.
    pub parts: u64,
    /// See `parts`.
    pub skipped: u64,
}

/// An upload under way. Dropped, it leaves the parts that arrived for the next run.
pub struct Upload {
    objects: Arc<dyn Objects>,
    key: String,
    sizing: Sizing,
    unfinished: Vec<Unfinished>,
    sha256: bool,
    meta: Meta,
    /// The part that is being filled.
    part: Vec<u8>,
    bytes: u64,
    workers: Option<Workers>,
    pieces: Vec<Arc<UploadingObject>>,
    /// Parts that were handed over.
    parts: u64,
}

impl Upload {
    /// Begins an upload. Asks nothing before the first part is full.
    pub fn new(objects: Arc<dyn Objects>, target: UploadTarget) -> Upload {
        let limits = objects.limits();
        let sizing = Sizing::of(target.size, &limits, target.single);
        log::line(|| {
            let (part, threads) = (sizing.part, limits.pieces(sizing.part));
            let memory = part * (threads as u64 + 1);
            let url = objects.url(&target.key);
            format!(
                "uploading {url}: parts of {part} bytes, {threads} threads, {memory} bytes of memory at most"
            )
        });
        Upload {
            part: Vec::with_capacity(sizing.first_buffer()),
            objects,
            key: target.key,
            sizing,
            unfinished: target.unfinished,
            sha256: target.sha256,
            meta: Meta::new(),
            bytes: 0,
            workers: None,
            pieces: Vec::new(),
            parts: 0,
        }
    }

    /// How many requests a stream of this length takes, and how many parts; `None` if its length is
    /// unknown, or nobody counts requests. Beside the parts, uploads are begun and completed, and what was
    /// made is looked at.
    pub fn effort(objects: &dyn Objects, size: Size) -> Option<(u64, u64)> {
        if objects.keeper() == Keeper::Directory {
            return None;
        }
        let sizing = Sizing::of(size, &objects.limits(), false);
        let parts = sizing.parts()?;
        let around = if parts > 1 { 2 * sizing.pieces } else { 0 };
        Some((parts + around + sizing.pieces, parts))
    }

    /// Bytes of the parts of a stream of this length.
    pub fn part_size(objects: &dyn Objects, size: Size) -> u64 {
        Sizing::of(size, &objects.limits(), false).part
    }

    /// Sends what is left, makes the object, and compares what the service has with what we sent.
    ///
    /// # Errors
    /// If a part could not be sent or the object is not as it should be. Then the parts that
    /// arrived stay for the next run.
    pub fn finish(mut self) -> Result<Made> {
        if !self.part.is_empty() && self.parts > 0 {
            self.hand_over()?;
        }
        let Some(workers) = self.workers.take() else {
            return self.put_whole();
        };
        let Done {
            parts: done,
            digests,
            skipped,
        } = workers.join()?;
        let mut objects = Vec::new();
        for (index, piece) in std::mem::take(&mut self.pieces).iter().enumerate() {
            let parts = done.iter().filter(|(piece, _)| *piece == index);
            let parts: Vec<UploadedPart> = parts.map(|(_, part)| part.clone()).collect();
            let new = !self.sizing.split();
            objects.push(self.objects.complete(&piece.upload, &parts, new)?);
            self.begun(&piece.upload).forget();
        }
        self.abort_others();
        Ok(Made {
            bytes: self.bytes,
            digests,
            objects,
            split: self.sizing.split(),
            parts: self.parts,
            skipped,
        })
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// If a part could not be sent.
    pub fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // A full part waits until it is known that another follows: alone it is no multipart.
            if self.part.len() as u64 == self.sizing.part {
                let part = self.sizing.part;
                self.part = self.hand_over()?.buffer(part)?;
            }
            let room = self.sizing.part as usize - self.part.len();
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(taken);
            self.bytes += taken.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Sets the metadata. What comes after the first part is too late.
    pub fn describe(&mut self, meta: Meta) {
        self.meta = meta;
    }

    fn doing(&self) -> String {
        format!("cannot store {}", self.objects.url(&self.key))
    }

    /// Gives the full part to a thread, as soon as one is free.
    fn hand_over(&mut self) -> Result<&mut Workers> {
        let (index, number) = self.sizing.place(self.parts);
        if index == self.pieces.len() {
            let piece = self.begin(index)?;
            self.pieces.push(Arc::new(piece));
        }
        let piece = Arc::clone(&self.pieces[index]);
        let objects = &self.objects;
        let wanted = WantedHashes {
            sha256: self.sha256,
            leaves: self.sizing.part.is_multiple_of(digest::LEAF as u64),
        };
        let workers = self
            .workers
            .get_or_insert_with(|| Workers::new(Arc::clone(objects), self.sizing.part, wanted));
        workers.hand_over(piece, number, std::mem::take(&mut self.part))?;
        self.parts += 1;
        Ok(workers)
    }

    /// The upload of a piece: an unfinished one if it can be used, else a new one.
    fn begin(&self, index: usize) -> Result<UploadingObject> {
        if index as u64 >= self.sizing.pieces {
            let said = "it does not fit into one object: give a larger --part-size";
            return Err(Error::refused(self.doing(), said));
        }
        let key = self.sizing.key(&self.key, index);
        if let Some(piece) = self.resumed(&key, index)? {
            return Ok(piece);
        }
        let about = self.about();
        let upload = self.objects.begin(&key, self.sizing.part, &about)?;
        self.begun(&upload).write(&self.version());
        Ok(UploadingObject {
            index,
            upload,
            known: Vec::new(),
        })
    }

    /// Of several unfinished uploads the one with the most parts that may be ours. What this machine did
    /// not begin, or would begin in another way by now, is not gone on with: the object would have the
    /// metadata of back then.
    fn resumed(&self, key: &str, index: usize) -> Result<Option<UploadingObject>> {
        let mut best = None::<(usize, UploadingObject)>;
        let mine = self.unfinished.iter().filter(|upload| upload.key == key);
        for upload in mine.filter(|upload| self.objects.goes_on(upload)) {
            let known = match self.parts_if_ours(upload) {
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                // It is in nobody's way: another is begun.
                Err(error) => {
                    log::line(|| format!("not going on with an upload: {error}"));
                    continue;
                }
                Ok(known) => known,
            };
            let Some(known) = known else { continue };
            // Not every service lets a completion leave out parts that are there.
            let mut numbers = known.iter().map(|part| part.number);
            if numbers.any(|number| !self.sizing.has(index, number)) {
                continue;
            }
            let fits = |n: u64, size: u64| self.sizing.length(index, n).is_none_or(|l| l == size);
            let good = known.iter().filter(|part| fits(part.number, part.size));
            let good = good.count();
            if best.as_ref().is_none_or(|(most, _)| good > *most) {
                let upload = upload.clone();
                let piece = UploadingObject {
                    index,
                    upload,
                    known,
                };
                best = Some((good, piece));
            }
        }
        Ok(best.map(|(_, piece)| piece))
    }

    /// The parts that have arrived, if it can be gone on with.
    fn parts_if_ours(&self, upload: &Unfinished) -> Result<Option<Vec<UploadedPart>>> {
        if self.was_begun_so(upload)? {
            return self.objects.parts(upload);
        }
        let url = self.objects.url(&upload.key);
        log::line(|| format!("not going on with an upload of {url} that was begun otherwise"));
        Ok(None)
    }

    /// Whether the object would have the metadata that it has to have.
    fn was_begun_so(&self, upload: &Unfinished) -> Result<bool> {
        let Some((part, mut meta)) = self.objects.begun_with(upload)? else {
            return Ok(self.begun(upload).is(&self.version()));
        };
        meta.remove("created");
        let ours = self.meta.iter().filter(|(name, _)| *name != "created");
        let ours: BTreeMap<String, String> =
            ours.map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        Ok(part == self.sizing.part && meta == ours)
    }

    /// What every object of ours is created with.
    fn about(&self) -> About {
        About {
            meta: self.meta.clone(),
            content_type: "application/octet-stream",
            class: self.objects.limits().class,
        }
    }

    /// What this machine remembers of an upload.
    fn begun(&self, upload: &Unfinished) -> RecordedUpload {
        RecordedUpload::of(&self.objects.url(&upload.key), &upload.id)
    }

    /// What an upload is begun with, but for the time.
    fn version(&self) -> String {
        let meta = self.meta.iter().filter(|(name, _)| *name != "created");
        let lines = meta.map(|(name, value)| format!("{name}={value}\n"));
        format!(
            "{}part-size={}\n",
            lines.collect::<String>(),
            self.sizing.part
        )
    }

    /// The whole stream fits in one part, and so in one request.
    fn put_whole(mut self) -> Result<Made> {
        let digests = Digests::of(&self.part);
        let sha256 = digests.sha256.clone().unwrap_or_default();
        self.meta.push(("sha256", sha256));
        let object = self.objects.create(&self.key, &self.part, &self.about())?;
        let counters = self.objects.counters();
        counters.parts_sent.fetch_add(1, Ordering::Relaxed);
        self.abort_others();
        Ok(Made {
            bytes: self.bytes,
            digests,
            objects: vec![object],
            split: false,
            parts: 1,
            skipped: 0,
        })
    }

    /// Nobody else is at work on an upload of which it is told how it was begun.
    fn is_told(&self, upload: &Unfinished) -> bool {
        matches!(self.objects.begun_with(upload), Ok(Some(_)))
    }

    /// The object is there: what else this machine began for its key is of no use any more. What another
    /// one began is left to its age. What cannot be aborted is no reason to call the object missing; it
    /// stays listed as unfinished.
    fn abort_others(&self) {
        for upload in &self.unfinished {
            let begun = self.begun(upload);
            let aborted = match begun.exists() || self.is_told(upload) {
                true => self.objects.abort(upload),
                false => continue,
            };
            match aborted {
                Ok(()) => begun.forget(),
                Err(error) => log::line(|| error.to_string()),
            }
        }
    }
}
