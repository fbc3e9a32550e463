//! The threads that send parts, and hash the leaves of the tree hash in them; what needs all bytes
//! in their order has a thread beside them. Each sends one part at a time; the first error stops
//! them all. There are so many threads as the gauge allows, and one buffer more, so who fills them waits
//! for the slowest.

use super::super::gauge::Gauge;
use crate::digest::{self, Algorithm, Background, Buffer, Digests, Hash, TreeHash};
use crate::error::{Error, Result};
use crate::log;
use crate::objects::{Objects, Part, Unfinished, UploadedPart};
use crate::sys;
use crate::text::hex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

/// An object that is being made.
pub(super) struct UploadingObject {
    pub(super) index: usize,
    pub(super) upload: Unfinished,
    /// What an earlier run sent of it.
    pub(super) known: Vec<UploadedPart>,
}

struct PartJob {
    piece: Arc<UploadingObject>,
    number: u64,
    data: Arc<Buffer>,
}

/// A part that arrived, and which object it belongs to.
type Sent = (usize, UploadedPart);

/// What is computed of the whole stream.
#[derive(Clone, Copy)]
pub(super) struct WantedHashes {
    /// Its SHA-256.
    pub(super) sha256: bool,
    /// Whether all parts but the last are whole leaves of the tree hash.
    pub(super) leaves: bool,
}

/// What there is when all parts have arrived.
pub(super) struct Done {
    pub(super) parts: Vec<Sent>,
    /// The digests of the stream.
    pub(super) digests: Digests,
    /// How many parts were there already.
    pub(super) skipped: u64,
}

struct SharedUpload {
    objects: Arc<dyn Objects>,
    gauge: Gauge,
    /// Whether who sends a part hashes its leaves.
    leaves: bool,
    sent: Mutex<Vec<(Sent, Vec<Hash>)>>,
    skipped: AtomicU64,
    error: Mutex<Option<Error>>,
    stop: AtomicBool,
}

pub(super) struct Workers {
    shared: Arc<SharedUpload>,
    jobs: Option<SyncSender<PartJob>>,
    /// Where threads take parts, as long as one of them lives: when none does, no part can be handed over.
    work: Weak<Mutex<Receiver<PartJob>>>,
    /// Digests that need all bytes in their order.
    hashing: Vec<(Algorithm, Background)>,
    /// Where buffers go when nobody needs them any more, to be filled again.
    home: Sender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
    /// How many buffers there are.
    made: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// For parts of so many bytes, but the first, whose buffer the caller has made.
    pub(super) fn new(objects: Arc<dyn Objects>, part: u64, wanted: WantedHashes) -> Workers {
        let gauge = Gauge::new(&objects.limits(), part);
        let waiting = gauge.most() + 1;
        let shared = Arc::new(SharedUpload {
            objects,
            gauge,
            leaves: wanted.leaves,
            sent: Mutex::default(),
            skipped: AtomicU64::new(0),
            error: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        // Nothing waits in the channel, so a part is held by us or by the thread that sends it.
        let (jobs, work) = sync_channel(0);
        let work = Arc::new(Mutex::new(work));
        let (home, spare) = channel();
        let sha256 = wanted.sha256.then_some(Algorithm::Sha256);
        let tree_hash = (!wanted.leaves).then_some(Algorithm::TreeHash);
        let hashing = |algorithm| (algorithm, Background::start(algorithm, waiting));
        let mut workers = Workers {
            shared,
            jobs: Some(jobs),
            work: Arc::downgrade(&work),
            hashing: sha256.into_iter().chain(tree_hash).map(hashing).collect(),
            home,
            spare,
            made: 1,
            threads: Vec::new(),
        };
        workers.spawn();
        workers
    }

    /// As many threads as are allowed by now.
    fn spawn(&mut self) {
        let Some(work) = self.work.upgrade() else {
            return;
        };
        for place in self.threads.len()..self.shared.gauge.allowed() {
            let (shared, work) = (Arc::clone(&self.shared), Arc::clone(&work));
            let thread = std::thread::spawn(move || shared.work(place, &work));
            self.threads.push(thread);
        }
    }

    /// Waits for a free thread and gives it the part.
    pub(super) fn hand_over(
        &mut self,
        piece: Arc<UploadingObject>,
        number: u64,
        data: Vec<u8>,
    ) -> Result<()> {
        self.spawn();
        let data = Buffer::new(data, &self.home);
        for (_, hashing) in &self.hashing {
            hashing.add(&data)?;
        }
        let job = PartJob {
            piece,
            number,
            data,
        };
        let given = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if !matches!(given, Some(Ok(()))) {
            // All threads ended, and there is one reason for it.
            return Err(self.shared.error());
        }
        Ok(())
    }

    /// An empty buffer for a part of so many bytes; waits for one if there are enough.
    pub(super) fn buffer(&mut self, part: u64) -> Result<Vec<u8>> {
        let mut buffer = match self.spare.try_recv() {
            Ok(spare) => spare,
            Err(_) if self.made <= self.shared.gauge.allowed() => {
                self.made += 1;
                Vec::new()
            }
            Err(_) => self.spare.recv().map_err(|_| self.shared.error())?,
        };
        buffer.clear();
        buffer.reserve_exact(part as usize);
        Ok(buffer)
    }

    /// Waits until all parts have arrived.
    pub(super) fn join(mut self) -> Result<Done> {
        self.end();
        if self.shared.stop.load(Ordering::Relaxed) {
            return Err(self.shared.error());
        }
        let mut digests = Digests::default();
        for (algorithm, hashing) in self.hashing.drain(..) {
            digests.set(algorithm, hashing.finish()?);
        }
        let mut sent = std::mem::take(&mut *self.shared.sent());
        sent.sort_by_key(|((piece, part), _)| (*piece, part.number));
        let (parts, leaves): (_, Vec<_>) = sent.into_iter().unzip();
        if self.shared.leaves {
            let mut tree = TreeHash::default();
            tree.add_hashed(leaves.concat());
            digests.set(Algorithm::TreeHash, hex(&tree.finish()));
        }
        Ok(Done {
            parts,
            digests,
            skipped: self.shared.skipped.load(Ordering::Relaxed),
        })
    }

    fn end(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared
                    .fail(Error::failed("cannot store", "a thread panicked"));
            }
        }
    }
}

/// Nobody waits for the parts any more.
impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.end();
    }
}

impl SharedUpload {
    /// What the thread in this place does, until there is no more to do, or too many do it.
    fn work(&self, place: usize, work: &Mutex<Receiver<PartJob>>) {
        sys::quiet_thread();
        while !self.stop.load(Ordering::Relaxed) && place < self.gauge.allowed() {
            let job = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let leaves = self.leaves.then(|| digest::leaves(job.data.bytes()));
            match self.deliver(&job, leaves.as_deref()) {
                Ok(part) => {
                    self.gauge.arrived(job.data.bytes().len());
                    let leaves = leaves.unwrap_or_default();
                    self.sent().push(((job.piece.index, part), leaves));
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    fn sent(&self) -> MutexGuard<'_, Vec<(Sent, Vec<Hash>)>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stop.swap(true, Ordering::Relaxed) {
            *first = Some(error);
        }
    }

    fn error(&self) -> Error {
        let error = self
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        error.unwrap_or_else(|| Error::failed("cannot store", "it was stopped"))
    }

    /// Sends a part, unless it is there.
    fn deliver(&self, job: &PartJob, leaves: Option<&[Hash]>) -> Result<UploadedPart> {
        let (piece, number) = (&*job.piece, job.number);
        let (objects, counters) = (&self.objects, self.objects.counters());
        let known = piece.known.iter().find(|part| part.number == number);
        let part = Part {
            number,
            bytes: job.data.bytes(),
            leaves,
        };
        let (part, there) = objects.send_part(&piece.upload, &part, known, &self.stop)?;
        let what = if there {
            counters.parts_skipped.fetch_add(1, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
            "is there already"
        } else {
            counters.parts_sent.fetch_add(1, Ordering::Relaxed);
            "arrived"
        };
        log::line(|| format!("part {number} of {} {what}", objects.url(&piece.upload.key)));
        Ok(part)
    }
}
