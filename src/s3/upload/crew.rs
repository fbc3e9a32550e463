//! The threads that send parts. Each holds one part at a time; the first error stops them all.

use super::super::multipart::{Listed, Part};
use super::super::objects::unquoted;
use super::super::{Client, Request};
use super::sums::{Sums, hex};
use crate::error::{Error, Result};
use crate::log;
use crate::sys;
use md5::{Digest, Md5};
use rusty_s3::Method;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// An object that is being made.
pub(super) struct Piece {
    pub(super) index: usize,
    pub(super) key: String,
    pub(super) id: String,
    /// What an earlier run sent of it.
    pub(super) known: Vec<Listed>,
}

struct Job {
    piece: Arc<Piece>,
    number: u64,
    data: Vec<u8>,
}

/// A part that arrived, and which object it belongs to.
type Sent = (usize, Part);

struct Shared {
    client: Arc<Client>,
    sent: Mutex<Vec<Sent>>,
    error: Mutex<Option<Error>>,
    stop: AtomicBool,
}

pub(super) struct Crew {
    shared: Arc<Shared>,
    jobs: Option<SyncSender<Job>>,
    /// Buffers to be filled again.
    spare: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(super) fn new(client: Arc<Client>) -> Crew {
        let count = client.options.concurrency.max(1);
        let shared = Arc::new(Shared {
            client,
            sent: Mutex::default(),
            error: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        // Nothing waits in the channel, so a part is held by us or by the thread that sends it.
        let (jobs, work) = sync_channel(0);
        let (used, spare) = channel();
        let work = Arc::new(Mutex::new(work));
        let thread = |_| {
            let (shared, work, used) = (Arc::clone(&shared), Arc::clone(&work), used.clone());
            std::thread::spawn(move || shared.work(&work, &used))
        };
        let threads = (0..count).map(thread).collect();
        Crew {
            shared,
            jobs: Some(jobs),
            spare,
            threads,
        }
    }

    /// Waits for a free thread, gives it the part, and returns an empty buffer.
    pub(super) fn hand_over(
        &mut self,
        piece: Arc<Piece>,
        number: u64,
        data: Vec<u8>,
        part: u64,
    ) -> Result<Vec<u8>> {
        let job = Job {
            piece,
            number,
            data,
        };
        let given = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if !matches!(given, Some(Ok(()))) {
            // All threads ended, and there is one reason for it.
            return Err(self.shared.error());
        }
        let mut spare = self.spare.try_recv().unwrap_or_default();
        spare.clear();
        spare.reserve_exact(part as usize);
        Ok(spare)
    }

    /// Waits until all parts have arrived.
    pub(super) fn join(mut self) -> Result<Vec<Sent>> {
        self.end();
        if self.shared.stop.load(Ordering::Relaxed) {
            return Err(self.shared.error());
        }
        let mut sent = self
            .shared
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut sent))
    }

    fn end(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared
                    .fail(Error::failed("cannot upload", "a thread panicked"));
            }
        }
    }
}

/// Nobody waits for the parts any more.
impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.end();
    }
}

impl Shared {
    fn work(&self, work: &Mutex<Receiver<Job>>, used: &Sender<Vec<u8>>) {
        sys::quiet_thread();
        while !self.stop.load(Ordering::Relaxed) {
            let job = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            match self.deliver(&job) {
                Ok(part) => {
                    let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                    sent.push((job.piece.index, part));
                }
                Err(error) => return self.fail(error),
            }
            // The one who fills buffers may be gone already; then nobody needs it.
            let _ = used.send(job.data);
        }
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
        error.unwrap_or_else(|| Error::failed("cannot upload", "it was stopped"))
    }

    /// Sends a part, unless the service has it.
    fn deliver(&self, job: &Job) -> Result<Part> {
        let counters = &self.client.counters;
        let mut sums = self.client.checksums(&job.data);
        let known = job
            .piece
            .known
            .iter()
            .find(|part| part.number == job.number);
        if let Some(known) = known
            && self.is_same(known, job, &mut sums)
        {
            counters.parts_skipped.fetch_add(1, Ordering::Relaxed);
            self.log(job, "is there already");
            return Ok(part(job, &sums, known.etag.clone()));
        }
        let etag = self.send(job, &sums)?;
        counters.parts_sent.fetch_add(1, Ordering::Relaxed);
        self.log(job, "arrived");
        Ok(part(job, &sums, etag))
    }

    fn log(&self, job: &Job, what: &str) {
        let (number, key) = (job.number, &job.piece.key);
        log::line(|| format!("part {number} of {} {what}", self.client.url(key)));
    }

    /// Size, checksum and ETag must agree, as far as the service tells them; telling neither
    /// checksum nor ETag is not enough.
    fn is_same(&self, known: &Listed, job: &Job, sums: &mut Sums) -> bool {
        if known.size != job.data.len() as u64 {
            return false;
        }
        let mut proofs = Vec::new();
        if let Some((_, element, value)) = &sums.checksum {
            let there = match *element {
                "ChecksumCRC32C" => &known.crc32c,
                _ => &known.sha256,
            };
            proofs.extend((!there.is_empty()).then(|| there == value));
        }
        if self.client.etags_are_md5() {
            let md5 = sums
                .md5
                .get_or_insert_with(|| Md5::digest(&job.data).into());
            proofs.push(known.etag.eq_ignore_ascii_case(&hex(md5)));
        }
        !proofs.is_empty() && proofs.iter().all(|&same| same)
    }

    fn send(&self, job: &Job, sums: &Sums) -> Result<String> {
        let doing = format!("upload part {} of", job.number);
        let mut request = Request::new(Method::Put, &job.piece.key, &doing, "s3:PutObject");
        request.query = vec![
            ("partNumber", job.number.to_string()),
            ("uploadId", job.piece.id.clone()),
        ];
        let headers = sums.headers();
        request.headers = super::borrowed(&headers);
        request.body = &job.data;
        request.stop = Some(&self.stop);
        let response = self.client.request(request)?;
        Ok(unquoted(response.header("etag")).to_owned())
    }
}

fn part(job: &Job, sums: &Sums, etag: String) -> Part {
    let checksum = sums.checksum.as_ref();
    Part {
        number: job.number,
        size: job.data.len() as u64,
        etag,
        checksum: checksum.map(|(_, element, value)| (*element, value.clone())),
    }
}
