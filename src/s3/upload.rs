//! A stream becomes an object: by parts on several threads, going on where an earlier run stopped,
//! and checked at the end. Memory is a part for each thread and one more, whatever the length: the
//! threads that send a part also hash it.

mod checksums;
mod sizing;
mod workers;

use super::listing::Unfinished;
use super::multipart::Part;
use super::request::borrowed;
use super::{Checksum, Client, Fault};
use crate::digest::{self, Digests, md5};
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::snapshot::Size;
use crate::text::hex;
use checksums::{Expected, PartChecksums, composite};
use sizing::Sizing;
pub use sizing::check_part;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use workers::{Done, Piece, Wanted, Workers};

/// Metadata of an object, by name without S3's prefix.
pub type Meta = Vec<(&'static str, String)>;

/// What an upload is told before it begins.
pub struct Target {
    /// The key; a stream too long for one object goes to keys that end in `.1`, `.2` and so on.
    pub key: String,
    /// How long the stream is.
    pub size: Size,
    /// Uploads of this key, or of such keys, that were begun and not finished.
    pub unfinished: Vec<Unfinished>,
    /// Whether the SHA-256 is wanted, beside the tree hash, of a stream of several parts. It can only
    /// be computed one byte after the other.
    pub sha256: bool,
}

/// What an upload made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the stream.
    pub bytes: u64,
    /// Of the stream.
    pub digests: Digests,
    /// The objects, in order: key, size and ETag.
    pub objects: Vec<(String, u64, String)>,
    /// Whether it was cut, so that the keys are not the one asked for.
    pub split: bool,
    /// How many parts it has, and how many of them an earlier run had sent.
    pub parts: u64,
    /// See `parts`.
    pub skipped: u64,
}

/// An upload under way. Dropped, it leaves the parts that arrived for the next run.
pub struct Upload {
    client: Arc<Client>,
    key: String,
    sizing: Sizing,
    unfinished: Vec<Unfinished>,
    sha256: bool,
    meta: Meta,
    /// The part that is being filled.
    part: Vec<u8>,
    bytes: u64,
    workers: Option<Workers>,
    pieces: Vec<Arc<Piece>>,
    /// Parts that were handed over.
    parts: u64,
}

impl Upload {
    /// Begins an upload. Asks the service nothing before the first part is full.
    ///
    /// # Errors
    /// If the part size cannot be used.
    pub fn new(client: Arc<Client>, target: Target) -> Result<Upload> {
        let sizing = Sizing::of(target.size, client.options.part_size, &client.quirks())?;
        log::line(|| {
            let (part, threads) = (sizing.part, client.options.concurrency as u64);
            let memory = part * (threads + 1);
            let url = client.url(&target.key);
            format!(
                "uploading {url}: parts of {part} bytes, {threads} threads, {memory} bytes of memory"
            )
        });
        Ok(Upload {
            part: Vec::with_capacity(sizing.first_buffer()),
            client,
            key: target.key,
            sizing,
            unfinished: target.unfinished,
            sha256: target.sha256,
            meta: Meta::new(),
            bytes: 0,
            workers: None,
            pieces: Vec::new(),
            parts: 0,
        })
    }

    /// How many requests a stream of this length takes, and how many parts; `None` if its length is
    /// unknown or the part size cannot be used. Beside the parts, multipart uploads are begun and
    /// completed, what was made is looked at, and its size is written down.
    pub fn effort(client: &Client, size: Size) -> Option<(u64, u64)> {
        let sizing = Sizing::of(size, client.options.part_size, &client.quirks()).ok()?;
        let parts = sizing.parts()?;
        let around = if parts > 1 { 2 * sizing.pieces } else { 0 };
        Some((parts + around + sizing.pieces + 1, parts))
    }

    /// Bytes of the parts of a stream of this length.
    pub fn part_size(client: &Client, size: Size) -> u64 {
        let sizing = Sizing::of(size, client.options.part_size, &client.quirks());
        sizing.map_or(0, |sizing| sizing.part)
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
            let parts: Vec<Part> = parts.map(|(_, part)| part.clone()).collect();
            objects.push(self.complete(piece, &parts)?);
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

    /// Sets the metadata. What comes after the first part is too late.
    pub fn describe(&mut self, meta: Meta) {
        self.meta = meta;
    }

    fn doing(&self) -> String {
        format!("cannot upload {}", self.client.url(&self.key))
    }

    /// Gives the full part to a thread, as soon as one is free.
    fn hand_over(&mut self) -> Result<&mut Workers> {
        let (index, number) = self.sizing.place(self.parts);
        if index == self.pieces.len() {
            let piece = self.begin(index)?;
            self.pieces.push(Arc::new(piece));
        }
        let piece = Arc::clone(&self.pieces[index]);
        let client = &self.client;
        let wanted = Wanted {
            sha256: self.sha256,
            leaves: self.sizing.part.is_multiple_of(digest::LEAF as u64),
        };
        let workers = self
            .workers
            .get_or_insert_with(|| Workers::new(Arc::clone(client), wanted));
        workers.hand_over(piece, number, std::mem::take(&mut self.part))?;
        self.parts += 1;
        Ok(workers)
    }

    /// The upload of a piece: an unfinished one if it can be used, else a new one.
    fn begin(&self, index: usize) -> Result<Piece> {
        if index as u64 >= self.sizing.pieces {
            let said = "the stream is longer than was estimated and does not fit into one object: \
                        measure it (without --estimate), or give a larger --part-size";
            return Err(Error::refused(self.doing(), said));
        }
        let key = self.sizing.key(&self.key, index);
        if let Some(piece) = self.resumed(&key, index)? {
            return Ok(piece);
        }
        let mut headers = self.headers();
        let part = self.sizing.part.to_string();
        headers.push(("x-amz-meta-part-size".to_owned(), part));
        let checksum = self.client.checksum();
        let algorithm = checksum.algorithm();
        if !algorithm.is_empty() && self.client.quirks().declared {
            headers.push(("x-amz-checksum-algorithm".to_owned(), algorithm.to_owned()));
        }
        let id = self.client.create(&key, borrowed(&headers))?;
        Ok(Piece {
            index,
            key,
            id,
            checksum,
            known: Vec::new(),
        })
    }

    /// Of several unfinished uploads the one with the most parts that may be ours. It goes on with
    /// the checksum that it was begun with, unless another is asked for.
    fn resumed(&self, key: &str, index: usize) -> Result<Option<Piece>> {
        let mut best: Option<(usize, Piece)> = None;
        for upload in self.unfinished.iter().filter(|upload| upload.key == key) {
            let options = &self.client.options;
            let class = options.storage_class.as_deref().unwrap_or(&upload.class);
            let Some(checksum) = self.checksum_of(upload).filter(|_| class == upload.class) else {
                continue;
            };
            let known = match self.client.parts(key, &upload.id) {
                Ok(known) => known,
                Err(fault) if fault.code == "NoSuchUpload" => continue,
                Err(fault) => return Err(fault.into()),
            };
            // Not every service lets a completion leave out parts that are there.
            if known
                .iter()
                .any(|part| !self.sizing.has(index, part.number))
            {
                continue;
            }
            let fits = |n: u64, size: u64| self.sizing.length(index, n).is_none_or(|l| l == size);
            let good = known
                .iter()
                .filter(|part| fits(part.number, part.size))
                .count();
            if best.as_ref().is_none_or(|(most, _)| good > *most) {
                let (key, id) = (key.to_owned(), upload.id.clone());
                best = Some((
                    good,
                    Piece {
                        index,
                        key,
                        id,
                        checksum,
                        known,
                    },
                ));
            }
        }
        Ok(best.map(|(_, piece)| piece))
    }

    /// What further parts of an unfinished upload must be verified by; `None` if it cannot be used.
    fn checksum_of(&self, upload: &Unfinished) -> Option<Checksum> {
        let wanted = self.client.options.checksum;
        match self.client.quirks().declared {
            true => Checksum::named(&upload.algorithm)
                .filter(|begun_with| wanted.is_none_or(|wanted| wanted == *begun_with)),
            false => Some(self.client.checksum()),
        }
    }

    /// What every object of ours is created with.
    fn headers(&self) -> Vec<(String, String)> {
        let meta = self.meta.iter();
        let mut headers: Vec<(String, String)> = meta
            .map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()))
            .collect();
        headers.push((
            "content-type".to_owned(),
            "application/octet-stream".to_owned(),
        ));
        if let Some(class) = &self.client.options.storage_class {
            headers.push(("x-amz-storage-class".to_owned(), class.clone()));
        }
        headers
    }

    fn complete(&self, piece: &Piece, parts: &[Part]) -> Result<(String, u64, String)> {
        let size = parts.iter().map(|part| part.size).sum();
        let expected = Expected {
            size,
            parts: parts.len(),
            etag: composite(parts),
        };
        let new = !self.sizing.split();
        for attempt in 0..=self.client.options.retries.min(5) {
            let fault = match self.client.complete(&piece.key, &piece.id, parts, new) {
                Ok(_) => return self.checked(&piece.key, &expected),
                Err(fault) => fault,
            };
            let taken = fault.code == "PreconditionFailed";
            let unclear = matches!(&fault.code[..], "" | "NoSuchUpload" | "InternalError");
            if !(taken || unclear) || fault.error.kind == Kind::Interrupted {
                return Err(fault.into());
            }
            // The answer was lost or is about a request whose answer was lost: look.
            match self.client.head(&piece.key)? {
                Some(head) if expected.is_met(&head, self.md5()) => {
                    return self.checked(&piece.key, &expected);
                }
                Some(_) if taken => return Err(self.taken(&piece.key)),
                _ => {}
            }
            if taken || self.client.parts(&piece.key, &piece.id).is_err() {
                return Err(fault.into());
            }
            std::thread::sleep(Duration::from_millis(200 << attempt));
        }
        Err(Error::failed(
            self.doing(),
            "its completion was not answered, again and again",
        ))
    }

    fn taken(&self, key: &str) -> Error {
        let said = format!(
            "{} exists with other content; another run wrote it",
            self.client.url(key)
        );
        Error::refused(self.doing(), said)
    }

    /// Whether ETags follow from MD5 here.
    fn md5(&self) -> bool {
        self.client.etags_are_md5()
    }

    fn checked(&self, key: &str, expected: &Expected) -> Result<(String, u64, String)> {
        let Some(head) = self.client.head(key)? else {
            let said = "the service took it, and does not have it";
            return Err(Error::damaged(self.doing(), said));
        };
        if !expected.is_met(&head, self.md5()) {
            let said = format!(
                "the service has {} bytes with ETag {}, and not {expected}",
                head.size, head.etag
            );
            return Err(Error::damaged(self.doing(), said));
        }
        Ok((key.to_owned(), head.size, head.etag))
    }

    /// The whole stream fits in one part, and so in one request.
    fn put_whole(mut self) -> Result<Made> {
        let digests = Digests::of(&self.part);
        let sha256 = digests.sha256.clone().unwrap_or_default();
        self.meta.push(("sha256", sha256.clone()));
        let mut headers = self.headers();
        headers.extend(PartChecksums::of(&self.part, self.client.checksum()).headers());
        if self.client.quirks().if_none_match {
            headers.push(("if-none-match".to_owned(), "*".to_owned()));
        }
        let etag = hex(&md5(&self.part));
        let expected = Expected {
            size: self.bytes,
            parts: 0,
            etag: Some(etag),
        };
        match self.client.put(&self.key, &self.part, borrowed(&headers)) {
            Ok(_) => {}
            Err(fault) if fault.code == "PreconditionFailed" => {
                let head = self.client.head(&self.key)?;
                if head.is_none_or(|head| head.meta("sha256") != sha256) {
                    return Err(self.taken(&self.key));
                }
            }
            Err(fault) => return Err(fault.into()),
        }
        let object = self.checked(&self.key, &expected)?;
        self.client
            .counters
            .parts_sent
            .fetch_add(1, Ordering::Relaxed);
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

    /// The object is there: what else was begun for its key is of no use any more. What cannot be
    /// aborted is no reason to call the object missing; it stays listed as unfinished.
    fn abort_others(&self) {
        for upload in &self.unfinished {
            if let Err(error) = self.client.abort(&upload.key, &upload.id) {
                log::line(|| error.to_string());
            }
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full part waits until it is known that another follows: alone it is no multipart.
        if self.part.len() as u64 == self.sizing.part {
            let part = self.sizing.part;
            self.part = self.hand_over()?.buffer(part)?;
        }
        let room = self.sizing.part as usize - self.part.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.part.extend_from_slice(taken);
        self.bytes += taken.len() as u64;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        fault.error.into()
    }
}
