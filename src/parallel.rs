//! The same question about many things, asked on several threads at a time, and work that goes on beside
//! other work. A thread that panics is an error, and nobody waits for it for ever. Knows nothing of
//! what is asked.

use crate::error::{Error, Result};
use crate::sys;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, available_parallelism, scope};

/// How many processors there are to compute on.
pub fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The answers in the order of the items, from at most so many threads. `doing` says what a question
/// was about that panicked.
pub fn map<T: Sync, R: Send>(
    doing: &str,
    threads: usize,
    items: &[T],
    ask: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let all = Ask {
        doing,
        items,
        next: AtomicUsize::new(0),
        ends_early: false,
    };
    all.run(threads, ask, |_| {})
        .into_iter()
        .flatten()
        .collect()
}

/// The answers in the order of the items. After an error no more is asked. `heard` is told on this
/// thread of each item that was answered.
///
/// # Errors
/// The first, in the order of the items, of those that questions came to.
pub fn try_map<T: Sync, R: Send>(
    doing: &str,
    threads: usize,
    items: &[T],
    ask: impl Fn(&T) -> Result<R> + Sync,
    heard: impl FnMut(&T),
) -> Result<Vec<R>> {
    let all = Ask {
        doing,
        items,
        next: AtomicUsize::new(0),
        ends_early: true,
    };
    all.run(threads, ask, heard).into_iter().flatten().collect()
}

struct Ask<'a, T> {
    doing: &'a str,
    items: &'a [T],
    /// The place of the item that the next free thread takes.
    next: AtomicUsize,
    /// Whether no more is asked after an error.
    ends_early: bool,
}

impl<T: Sync> Ask<'_, T> {
    /// An answer for each item; `None` only behind an error that ended it.
    fn run<R: Send>(
        &self,
        threads: usize,
        ask: impl Fn(&T) -> Result<R> + Sync,
        mut heard: impl FnMut(&T),
    ) -> Vec<Option<Result<R>>> {
        let mut answers: Vec<_> = self.items.iter().map(|_| None).collect();
        scope(|scope| {
            let (tell, told) = channel();
            for _ in 0..threads.min(self.items.len()).max(1) {
                let (tell, ask) = (tell.clone(), &ask);
                scope.spawn(move || {
                    sys::quiet_thread();
                    // Who listens does so until all threads have ended.
                    self.work(ask, |at, answer| drop(tell.send((at, answer))));
                });
            }
            drop(tell);
            for (at, answer) in told {
                answers[at] = Some(answer);
                heard(&self.items[at]);
            }
        });
        answers
    }

    fn work<R>(&self, ask: impl Fn(&T) -> Result<R>, tell: impl Fn(usize, Result<R>)) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = self.items.get(at) else {
                return;
            };
            let answer = caught(self.doing, || ask(item));
            if answer.is_err() && self.ends_early {
                self.next.store(self.items.len(), Ordering::Relaxed);
            }
            tell(at, answer);
        }
    }
}

/// Runs `there` on a thread of its own while `here` runs on this one.
///
/// # Errors
/// If `there` panics.
pub fn beside<A: Send, B>(
    doing: &str,
    there: impl FnOnce() -> A + Send,
    here: impl FnOnce() -> B,
) -> Result<(A, B)> {
    scope(|scope| {
        let thread = scope.spawn(move || {
            sys::quiet_thread();
            there()
        });
        let here = here();
        thread
            .join()
            .map(|there| (there, here))
            .map_err(|_| panicked(doing))
    })
}

/// What a thread came to, when it has ended.
///
/// # Errors
/// If it panicked.
pub fn joined<T>(doing: &str, thread: JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| panicked(doing))
}

/// What something comes to that may panic.
///
/// # Errors
/// Its own, or that it panicked.
pub fn caught<T>(doing: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whoever catches it is told of the error, and uses nothing of what was half done.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(panicked(doing)))
}

/// What the panic said has been printed where it happened.
fn panicked(doing: &str) -> Error {
    Error::failed(doing, "a thread panicked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    fn answers(threads: usize, items: &[u32]) -> Vec<Option<u32>> {
        let ask = |item: &u32| match item {
            0 => panic!("as the test wants it"),
            7 => Err(Error::failed("asking", "no")),
            n => Ok(n * 2),
        };
        let all = map("cannot ask", threads, items, ask);
        all.into_iter().map(Result::ok).collect()
    }

    #[test]
    fn at_the_same_time_and_in_order() {
        let (here, changed) = (Mutex::new(0), Condvar::new());
        let ask = |item: &u32| {
            let mut count = here.lock().unwrap();
            *count += 1;
            changed.notify_all();
            let wait = Duration::from_secs(60);
            let (_count, waited) = changed
                .wait_timeout_while(count, wait, |count| *count < 3)
                .unwrap();
            assert!(!waited.timed_out(), "one after the other");
            Ok(item * 2)
        };
        let mut heard = 0;
        let answers = try_map("asking", 3, &[1, 2, 3, 4, 5], ask, |_| heard += 1);
        assert_eq!((answers.unwrap(), heard), (vec![2, 4, 6, 8, 10], 5));
    }

    #[test]
    fn an_error_ends_it_where_that_is_asked() {
        let asked = AtomicUsize::new(0);
        let ask = |_: &u32| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::failed("asking", "no")),
            _ => Ok(()),
        };
        let items: Vec<u32> = (0..1000).collect();
        let first = try_map("asking", 1, &items, ask, |_| {}).unwrap_err();
        assert_eq!(
            (first.said.as_str(), asked.load(Ordering::Relaxed)),
            ("no", 1)
        );
        assert_eq!(try_map("asking", 4, &[], ask, |_| {}).unwrap(), []);
        assert_eq!(answers(2, &[1, 7, 2]), [Some(2), None, Some(4)]);
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(answers(2, &[1, 0, 0, 2]), [Some(2), None, None, Some(4)]);
        let ask = |_: &u32| -> Result<()> { panic!("as the test wants it") };
        let error = try_map("cannot ask", 2, &[1, 2, 3], ask, |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cannot ask: a thread panicked");
        let error = beside("cannot ask", || panic!("as the test wants it"), || 1);
        assert_eq!(error.map(|((), n)| n).unwrap_err().doing, "cannot ask");
    }
}
