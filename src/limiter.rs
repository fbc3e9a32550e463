//! `--bwlimit`: bytes at no more than a given rate. Knows time and bytes, not what they are.

use crate::process;
use crate::sys;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What passes between two looks at the clock: a tenth of a second's worth at most, and no more
/// than this, so that a limit does not come in bursts.
const PIECE: usize = 64 << 10;
/// Whoever came late, as at idle priority on a busy machine, makes good for so much of it.
const CREDIT: Duration = Duration::from_secs(1);
/// How long a wait may take before somebody asks whether to go on.
const NAP: Duration = Duration::from_millis(100);

/// A rate that everything with the same `Limiter` shares.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Bytes in a second.
    rate: u64,
    /// When what has passed will have been paid for.
    paid: Arc<Mutex<Instant>>,
}

impl Limiter {
    /// So many bytes in a second, one at least.
    pub fn new(rate: u64) -> Limiter {
        let paid = Arc::new(Mutex::new(Instant::now()));
        let rate = rate.max(1);
        Limiter { rate, paid }
    }

    /// Waits until so many bytes more may have passed.
    ///
    /// # Errors
    /// If a signal asks us to stop.
    pub fn pass(&self, bytes: usize) -> io::Result<()> {
        self.pass_unless(bytes, sys::interrupted)
    }

    /// Waits until so many bytes more may have passed, or `stopped` says that nobody waits any longer.
    ///
    /// # Errors
    /// If `stopped` says so.
    pub fn pass_unless(&self, bytes: usize, stopped: impl Fn() -> bool) -> io::Result<()> {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            *paid = after(*paid, Instant::now(), cost);
            *paid
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if stopped() {
                return Err(process::interrupted("waiting for --bwlimit").into());
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// How many bytes may pass at once.
    pub(crate) fn piece(&self) -> usize {
        PIECE.min((self.rate / 10).max(1) as usize)
    }
}

/// When what costs this has been paid for, if all before has been at `paid`.
fn after(paid: Instant, now: Instant, cost: Duration) -> Instant {
    let since = now.checked_sub(CREDIT).unwrap_or(now);
    paid.max(since) + cost
}

/// What is read or written at a limited rate.
#[derive(Debug)]
pub struct Limited<T> {
    /// The reader or writer below.
    pub inner: T,
    /// What limits it.
    pub limiter: Limiter,
}

/// A stream, at a limited rate if there is one.
pub fn limited<'a>(stream: impl Read + 'a, limiter: Option<Limiter>) -> Box<dyn Read + 'a> {
    match limiter {
        None => Box::new(stream),
        Some(limiter) => Box::new(Limited {
            inner: stream,
            limiter,
        }),
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(self.limiter.piece());
        let n = self.inner.read(&mut buf[..want])?;
        self.limiter.pass(n)?;
        Ok(n)
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self
            .inner
            .write(&bytes[..bytes.len().min(self.limiter.piece())])?;
        self.limiter.pass(n)?;
        Ok(n)
    }

    fn write_vectored(&mut self, slices: &[IoSlice]) -> io::Result<usize> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Ok(0), |slice| self.write(slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_makes_good_for_a_second() {
        let ms = Duration::from_millis;
        let origin = Instant::now() + ms(10_000);
        let cost = ms(100);
        assert_eq!(after(origin, origin, cost), origin + ms(100));
        assert_eq!(after(origin, origin + ms(900), cost), origin + ms(100));
        assert_eq!(after(origin, origin + ms(5000), cost), origin + ms(4100));
        assert_eq!(after(origin + ms(50), origin, cost), origin + ms(150));
    }

    #[test]
    fn bytes_take_their_time() {
        let limiter = Limiter::new(1_000_000);
        let start = Instant::now();
        let mut from = Limited {
            inner: &[7; 100_000][..],
            limiter: limiter.clone(),
        };
        let mut to = Limited {
            inner: Vec::new(),
            limiter,
        };
        assert_eq!(io::copy(&mut from, &mut to).unwrap(), 100_000);
        assert_eq!(to.inner, [7; 100_000]);
        assert!(start.elapsed() >= Duration::from_millis(190));
    }
}
