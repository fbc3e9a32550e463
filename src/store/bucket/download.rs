//! Objects become a stream: ranges are fetched on several threads, and come in order. Memory is a
//! range for each thread, the one being read, and one that is still being hashed if that is not
//! done by the threads that fetch. The end of the stream comes only when all of it was there and its
//! checksum is right.

use super::gauge::Gauge;
use crate::digest::{self, Background, Buffer, Digests, Hash, TreeHash};
use crate::error::{Error, Result};
use crate::objects::{Objects, Source};
use crate::parallel;
use crate::sys;
use crate::text::hex;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// As many leaves of a tree hash as are hashed at once.
const RANGE: u64 = 8 << 20;
/// How many ranges may wait to be hashed.
const WAITING: usize = 0;

/// A stream that is being downloaded.
pub(super) struct Download {
    shared: Arc<SharedDownload>,
    threads: Vec<JoinHandle<()>>,
    range: Option<Arc<Buffer>>,
    at: usize,
    /// Where the memory of ranges goes that were read.
    home: Sender<Vec<u8>>,
    /// Only if there is something to compare it with.
    digest: Option<RecordedDigest>,
    /// What its digest must be, if one was recorded.
    recorded: Digests,
    /// Why no more comes. An error is never followed by bytes or an end.
    failed: Option<Error>,
}

/// What was recorded, computed again.
enum RecordedDigest {
    /// On a thread of its own, which sees all bytes in their order.
    InOrder(Background),
    /// Of leaves that were hashed as they came.
    Tree(TreeHash),
}

/// A part of the stream.
#[derive(Default)]
struct StreamRange {
    bytes: Vec<u8>,
    /// Their hashes, if [`SharedDownload::leaves`].
    leaves: Vec<Hash>,
}

struct SharedDownload {
    objects: Arc<dyn Objects>,
    sources: Vec<Source>,
    gauge: Gauge,
    /// Whether ranges are leaves of the tree hash that was recorded, and hashed by who fetches them.
    leaves: bool,
    state: Mutex<DownloadState>,
    changed: Condvar,
    stop: AtomicBool,
}

struct DownloadState {
    /// The next range to fetch, and the next to read.
    fetch: u64,
    read: u64,
    ready: BTreeMap<u64, Result<StreamRange>>,
    spare: Receiver<Vec<u8>>,
    /// The SHA-256 in the object's own metadata.
    told: Option<String>,
}

impl Download {
    /// Begins to fetch. The digest that is `recorded`, else the SHA-256 in the metadata of a
    /// single object, is compared at the end.
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        sources: Vec<Source>,
        recorded: Digests,
    ) -> Download {
        let (home, spare) = channel();
        let leaves = recorded.tree_hash.is_some() && are_leaves(&sources);
        let shared = Arc::new(SharedDownload {
            gauge: Gauge::new(&objects.limits(), RANGE),
            objects,
            sources,
            leaves,
            state: Mutex::new(DownloadState {
                fetch: 0,
                read: 0,
                ready: BTreeMap::new(),
                spare,
                told: None,
            }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        Download {
            threads: Vec::new(),
            shared,
            range: None,
            at: 0,
            home,
            digest: match leaves {
                true => Some(RecordedDigest::Tree(TreeHash::default())),
                false => in_order(&recorded),
            },
            recorded,
            failed: None,
        }
    }

    /// The next range in the place of the one that was read; false at the end.
    fn advance(&mut self) -> Result<bool> {
        (self.range, self.at) = (None, 0);
        self.spawn();
        let Some(StreamRange { bytes, leaves }) = self.shared.take()? else {
            return self.end().map(|()| false);
        };
        if self.digest.is_none() {
            self.recorded.sha256 = self.shared.state().told.take();
            // Told with the first range, so that nothing has passed unhashed.
            self.digest = in_order(&self.recorded);
        }
        let range = Buffer::new(bytes, &self.home);
        match &mut self.digest {
            Some(RecordedDigest::InOrder(hashing)) => hashing.add(&range)?,
            Some(RecordedDigest::Tree(tree)) => tree.add_hashed(leaves),
            None => {}
        }
        self.range = Some(range);
        Ok(true)
    }

    /// As many threads as are allowed by now, and have something to fetch.
    fn spawn(&mut self) {
        let wanted = self.shared.window().min(self.shared.count()) as usize;
        for _ in self.threads.len()..wanted {
            let shared = Arc::clone(&self.shared);
            self.threads.push(std::thread::spawn(move || shared.work()));
        }
    }

    fn end(&mut self) -> Result<()> {
        let found = match self.digest.take() {
            Some(RecordedDigest::InOrder(hashing)) => Some(hashing.finish()?),
            Some(RecordedDigest::Tree(tree)) => Some(hex(&tree.finish())),
            None => None,
        };
        match (self.recorded.quickest(), found) {
            (Some((algorithm, recorded)), Some(found))
                if !recorded.eq_ignore_ascii_case(&found) =>
            {
                let said = format!(
                    "its {} is {found}, and {recorded} was recorded when it was stored",
                    algorithm.name()
                );
                Err(Error::damaged(self.shared.doing(0), said))
            }
            _ => Ok(()),
        }
    }
}

fn in_order(recorded: &Digests) -> Option<RecordedDigest> {
    let (algorithm, _) = recorded.quickest()?;
    Some(RecordedDigest::InOrder(Background::start(
        algorithm, WAITING,
    )))
}

/// Whether no leaf of a tree hash is in two objects.
fn are_leaves(sources: &[Source]) -> bool {
    let (_, all_but_last) = sources.split_last().unzip();
    let mut others = all_but_last.into_iter().flatten();
    others.all(|source| source.size.is_multiple_of(digest::LEAF as u64))
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(error) = &self.failed {
                return Err(error.clone().into());
            }
            let range = self.range.as_deref().map_or(&[][..], Buffer::bytes);
            let count = buffer.len().min(range.len() - self.at);
            if count > 0 || buffer.is_empty() {
                buffer[..count].copy_from_slice(&range[self.at..self.at + count]);
                self.at += count;
                return Ok(count);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => self.failed = Some(error),
            }
        }
    }
}

/// Nobody wants the rest.
impl Drop for Download {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A panic there has been printed, and nobody waits for a result.
            let _ = thread.join();
        }
    }
}

impl SharedDownload {
    fn state(&self) -> MutexGuard<'_, DownloadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> u64 {
        self.gauge.allowed() as u64
    }

    /// The next range to read, when it has come; `None` at the end.
    fn take(&self) -> Result<Option<StreamRange>> {
        let mut state = self.state();
        if state.read == self.count() {
            return Ok(None);
        }
        let next = state.read;
        let found = loop {
            if let Some(found) = state.ready.remove(&next) {
                break found;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        state.read += 1;
        drop(state);
        self.changed.notify_all();
        found.map(Some)
    }

    fn stop(&self) {
        let state = self.state();
        self.stop.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// How many ranges there are. None crosses from one object into the next.
    fn count(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| source.size.div_ceil(RANGE))
            .sum()
    }

    fn doing(&self, index: usize) -> String {
        let key = self.sources.get(index).map_or("", |source| &source.key);
        format!("cannot download {}", self.objects.url(key))
    }

    /// The object of a range, where it begins there, and its length.
    fn place(&self, mut number: u64) -> Option<(usize, u64, u64)> {
        for (index, source) in self.sources.iter().enumerate() {
            let ranges = source.size.div_ceil(RANGE);
            if number < ranges {
                let start = number * RANGE;
                return Some((index, start, RANGE.min(source.size - start)));
            }
            number -= ranges;
        }
        None
    }

    fn work(&self) {
        sys::quiet_thread();
        while let Some((number, buffer)) = self.next() {
            let found = parallel::caught("cannot download", || self.fetch(number, buffer));
            let failed = found.is_err();
            self.state().ready.insert(number, found);
            self.changed.notify_all();
            if failed {
                return;
            }
        }
    }

    /// The next range to fetch, as soon as there is room for it.
    fn next(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = self.state();
        loop {
            let failed = state.ready.values().any(Result::is_err);
            if state.fetch == self.count() || self.stop.load(Ordering::Relaxed) || failed {
                return None;
            }
            if state.fetch < state.read + self.window() {
                state.fetch += 1;
                let number = state.fetch - 1;
                return Some((number, state.spare.try_recv().unwrap_or_default()));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fetch(&self, number: u64, buffer: Vec<u8>) -> Result<StreamRange> {
        let Some((index, start, length)) = self.place(number) else {
            return Err(Error::failed(self.doing(0), "a range beyond its end"));
        };
        let source = &self.sources[index];
        let objects = &self.objects;
        let found = objects.range(source, start, length, buffer, &self.stop)?;
        if self.sources.len() == 1 && number == 0 {
            self.state().told = found.sha256;
        }
        let bytes = found.bytes;
        self.gauge.arrived(bytes.len());
        let leaves = match self.leaves {
            true => digest::leaves(&bytes),
            false => Vec::new(),
        };
        Ok(StreamRange { bytes, leaves })
    }
}
