//! The same question about many things, asked on several threads at a time.

use crate::error::{Error, Result};
use crate::sys;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

/// The answers, in the order of the items; or the first error, after which no more is asked. `done`
/// hears of each item that was answered.
pub(super) fn abreast<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    ask: impl Fn(&T) -> Result<R> + Sync,
    mut done: impl FnMut(&T),
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work = |tell: Sender<(usize, Result<R>)>| {
        sys::quiet_thread();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let answer = ask(item);
            if answer.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            // Who listens does so until all threads have ended.
            let _ = tell.send((index, answer));
        }
    };
    let (mut found, mut failed) = (Vec::new(), None::<Error>);
    std::thread::scope(|scope| {
        let (tell, told) = channel();
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            let tell = tell.clone();
            scope.spawn(|| work(tell));
        }
        drop(tell);
        for (index, answer) in told {
            match answer {
                Ok(answer) => found.push((index, answer)),
                Err(error) => failed = failed.take().or(Some(error)),
            }
            done(&items[index]);
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

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
        let answers = abreast(3, &[1, 2, 3, 4, 5], ask, |_| heard += 1).unwrap();
        assert_eq!((answers, heard), (vec![2, 4, 6, 8, 10], 5));
    }

    #[test]
    fn an_error_ends_it() {
        let asked = AtomicUsize::new(0);
        let ask = |_: &u32| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::failed("asking", "no")),
            _ => Ok(()),
        };
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(abreast(1, &items, ask, |_| {}).unwrap_err().said, "no");
        assert!(asked.load(Ordering::Relaxed) < 1000);
        assert_eq!(abreast(4, &[], ask, |_| {}).unwrap(), Vec::<()>::new());
    }
}
