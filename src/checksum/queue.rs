//! Files for threads to take: each thread takes the next when it is done with one, so no thread
//! waits, and nothing but file numbers is kept.

use super::WorkCounters;
use crate::sys::interrupted;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// From this size on, a file is read alone and early instead of in the order of the disk.
const LARGE: u64 = 8 << 20;

/// One file to read.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) number: u32,
    pub(super) size: u64,
    pub(super) dev: u64,
    pub(super) ino: u64,
}

/// Large files, the largest first so that none is left alone for the end, and small ones in the
/// order of their inodes, which is about that of the disk.
pub(super) struct Queue {
    large: OrderedJobs,
    small: OrderedJobs,
}

struct OrderedJobs {
    numbers: Vec<u32>,
    next: AtomicUsize,
}

impl OrderedJobs {
    fn new(mut jobs: Vec<Job>, order: impl FnMut(&Job) -> (u64, u64)) -> OrderedJobs {
        jobs.sort_by_cached_key(order);
        OrderedJobs {
            numbers: jobs.into_iter().map(|job| job.number).collect(),
            next: AtomicUsize::new(0),
        }
    }

    fn take(&self) -> Option<u32> {
        let at = self.next.fetch_add(1, Relaxed);
        self.numbers.get(at).copied()
    }
}

impl Queue {
    pub(super) fn new(jobs: impl Iterator<Item = Job>, progress: &WorkCounters) -> Queue {
        let jobs = jobs.inspect(|job| {
            progress.all_files.fetch_add(1, Relaxed);
            progress.all_bytes.fetch_add(job.size, Relaxed);
        });
        let (large, small) = jobs.partition(|job| job.size >= LARGE);
        Queue {
            large: OrderedJobs::new(large, |job| (u64::MAX - job.size, job.ino)),
            small: OrderedJobs::new(small, |job| (job.dev, job.ino)),
        }
    }

    /// The next file: a large or a small one as long as there are such, then any.
    pub(super) fn take(&self, large: bool) -> Option<u32> {
        let (first, second) = if large {
            (&self.large, &self.small)
        } else {
            (&self.small, &self.large)
        };
        first.take().or_else(|| second.take())
    }

    /// Runs `worker` in `threads` threads. What it is given takes the next file; every other
    /// thread begins with the large files, so that computing on them goes on beside waiting for
    /// small ones. After a signal to stop there are no more files.
    pub(super) fn share(&self, threads: usize, worker: impl Fn(&Next<'_>) + Sync) {
        let worker = &worker;
        std::thread::scope(|scope| {
            for thread in 0..threads.max(1) {
                let next = move || match interrupted() {
                    true => None,
                    false => self.take(thread % 2 == 0),
                };
                scope.spawn(move || worker(&next));
            }
        });
    }
}

/// Takes the next file.
pub(super) type Next<'n> = dyn Fn() -> Option<u32> + 'n;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_once_large_beside_small() {
        let job = |number: u32, size| Job {
            number,
            size,
            dev: 1,
            ino: u64::from(100 - number),
        };
        let sizes = [1, LARGE, 2, 3 * LARGE, 0];
        let queue = Queue::new(
            (0..).zip(sizes).map(|(n, size)| job(n, size)),
            &WorkCounters::default(),
        );
        assert_eq!(queue.take(true), Some(3));
        assert_eq!(queue.take(false), Some(4));
        assert_eq!(queue.take(true), Some(1));
        let rest: Vec<u32> = std::iter::from_fn(|| queue.take(true)).collect();
        assert_eq!(rest, [2, 0]);
    }
}
