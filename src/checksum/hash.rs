//! The SHA-256 of every regular file of a tree, by several threads.

use super::Progress;
use super::lanes::{BLOCK, LANES, START, States, compress, pad};
use super::queue::{Job, Next, Queue};
use super::read::Quiet;
use super::walk::{Tree, Unread};
use crate::sys::wide;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// How much is read at a time: that of all lanes stays near the processor.
const BUFFER: usize = 64 << 10;

/// A file's SHA-256.
pub(super) type Sum = [u8; 32];

/// What [`hash_files`] found.
#[derive(Default)]
pub(super) struct Hashes {
    /// By number of the regular file; `None` for what could not be read.
    pub(super) sums: Vec<Option<Sum>>,
    pub(super) unread: Vec<Unread>,
}

/// Reads every regular file.
pub(super) fn hash_files(tree: &Tree, threads: usize, progress: &Progress) -> Hashes {
    let files = tree.indices().filter(|&index| tree.node(index).is_file());
    let queue = Queue::new(files.map(|index| job(tree, index, index)), progress);
    let hashes = Mutex::new(Hashes {
        sums: vec![None; tree.files],
        unread: Vec::new(),
    });
    let places = places().min(queue.for_each_of(threads));
    queue.share(threads, |next| {
        let done = |index, sum: io::Result<Sum>| {
            progress.files.fetch_add(1, Relaxed);
            let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            match sum {
                Ok(sum) => hashes.sums[tree.node(index).file_number()] = Some(sum),
                Err(error) => {
                    let unread = tree.unread("", &tree.relative(index), error);
                    hashes.unread.push(unread);
                }
            }
        };
        if places > 1 {
            Bench::new(tree, progress).work(places, next, &done);
        } else {
            one_by_one(tree, progress, next, &done);
        }
    });
    let mut hashes = hashes.into_inner().unwrap_or_else(PoisonError::into_inner);
    hashes.unread.sort_by(|a, b| a.path.cmp(&b.path));
    hashes
}

/// The file of a node, as a job that the queue calls `number`.
pub(super) fn job(tree: &Tree, index: u32, number: u32) -> Job {
    let stat = &tree.node(index).stat;
    Job {
        number,
        size: stat.size,
        dev: stat.dev,
        ino: stat.ino,
    }
}

/// How many files a thread computes on at once.
fn places() -> usize {
    if wide::has_avx2() && !wide::has_sha() {
        LANES
    } else {
        1
    }
}

/// Takes the hash of a file, or why there is none.
type Done<'d> = dyn Fn(u32, io::Result<Sum>) + 'd;

/// For a processor that computes SHA-256 itself, and for single files.
fn one_by_one(tree: &Tree, progress: &Progress, next: &Next<'_>, done: &Done<'_>) {
    let mut buffer = vec![0; BUFFER];
    while let Some(index) = next(0) {
        done(index, hash_file(tree, index, &mut buffer, progress));
    }
}

fn hash_file(tree: &Tree, index: u32, buffer: &mut [u8], progress: &Progress) -> io::Result<Sum> {
    let mut file = Quiet::open(tree, &tree.relative(index))?;
    let mut hasher = Sha256::new();
    loop {
        let length = file.fill(buffer)?;
        hasher.update(&buffer[..length]);
        progress.bytes.fetch_add(length as u64, Relaxed);
        if length < buffer.len() {
            return Ok(hasher.finalize().into());
        }
    }
}

/// A file that is computed on in one lane.
struct Open {
    index: u32,
    file: Quiet,
    /// What is left of the buffer to compute on: whole blocks.
    left: Range<usize>,
    total: u64,
    /// The end is in the buffer, with its padding.
    last: bool,
}

/// Several files side by side, one in each lane.
struct Bench<'t> {
    tree: &'t Tree,
    progress: &'t Progress,
    states: States,
    buffers: [Vec<u8>; LANES],
    files: [Option<Open>; LANES],
}

impl<'t> Bench<'t> {
    fn new(tree: &'t Tree, progress: &'t Progress) -> Self {
        Bench {
            tree,
            progress,
            states: [[0; LANES]; 8],
            buffers: std::array::from_fn(|_| vec![0; BUFFER + 2 * BLOCK]),
            files: std::array::from_fn(|_| None),
        }
    }

    fn work(&mut self, places: usize, next: &Next<'_>, done: &Done<'_>) {
        loop {
            (0..places).for_each(|lane| self.prepare(lane, next, done));
            let lefts = self.files.iter().flatten().map(|open| open.left.len());
            let Some(length) = lefts.min() else { return };
            self.compute(length / BLOCK);
            for open in self.files.iter_mut().flatten() {
                open.left.start += length;
            }
        }
    }

    /// Sees to it that a lane has something to compute on, unless there are no more files.
    fn prepare(&mut self, lane: usize, next: &Next<'_>, done: &Done<'_>) {
        loop {
            match &mut self.files[lane] {
                Some(open) if !open.left.is_empty() => return,
                Some(open) if open.last => {
                    done(open.index, Ok(self.sum(lane)));
                    self.files[lane] = None;
                }
                Some(open) => {
                    if let Err(error) = open.refill(&mut self.buffers[lane], self.progress) {
                        done(open.index, Err(error));
                        self.files[lane] = None;
                    }
                }
                None => {
                    let Some(index) = next(lane) else { return };
                    match Open::new(self.tree, index) {
                        Ok(open) => self.begin(lane, open),
                        Err(error) => done(index, Err(error)),
                    }
                }
            }
        }
    }

    fn begin(&mut self, lane: usize, open: Open) {
        for (state, start) in self.states.iter_mut().zip(START) {
            state[lane] = start;
        }
        self.files[lane] = Some(open);
    }

    fn sum(&self, lane: usize) -> Sum {
        let mut sum = [0; 32];
        for (bytes, state) in sum.as_chunks_mut::<4>().0.iter_mut().zip(&self.states) {
            *bytes = state[lane].to_be_bytes();
        }
        sum
    }

    /// Takes `count` blocks of each open file. A single one is faster without the other lanes.
    fn compute(&mut self, count: usize) {
        let open = |lane: &usize| self.files[*lane].is_some();
        let mut lanes = (0..LANES).filter(open);
        if let (Some(lane), None) = (lanes.next(), lanes.next()) {
            let blocks = self.blocks(lane).as_chunks::<BLOCK>().0;
            let mut state = self.states.map(|state| state[lane]);
            compress256(&mut state, &blocks[..count]);
            for (all, new) in self.states.iter_mut().zip(state) {
                all[lane] = new;
            }
            return;
        }
        let messages = std::array::from_fn(|lane| self.blocks(lane));
        let mut states = self.states;
        compress(&mut states, &messages, count);
        self.states = states;
    }

    /// What a lane is to compute on; of an empty one, whatever there is.
    fn blocks(&self, lane: usize) -> &[u8] {
        match &self.files[lane] {
            Some(open) => &self.buffers[lane][open.left.clone()],
            None => &self.buffers[lane],
        }
    }
}

impl Open {
    fn new(tree: &Tree, index: u32) -> io::Result<Open> {
        Ok(Open {
            index,
            file: Quiet::open(tree, &tree.relative(index))?,
            left: 0..0,
            total: 0,
            last: false,
        })
    }

    fn refill(&mut self, buffer: &mut [u8], progress: &Progress) -> io::Result<()> {
        let filled = self.file.fill(&mut buffer[..BUFFER])?;
        self.total += filled as u64;
        progress.bytes.fetch_add(filled as u64, Relaxed);
        self.last = filled < BUFFER;
        let end = if self.last {
            pad(buffer, filled, self.total)
        } else {
            filled
        };
        self.left = 0..end;
        Ok(())
    }
}
