//! How many pieces of a stream are on their way at a time: few at first, and twice as many as long as
//! the bytes come a tenth faster for it. A long line wants many; a short one is full with few, and
//! more would only cost memory. Knows neither requests nor threads.

use crate::objects::Limits;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What twice as many must gain, or they go again.
const WORTH: f64 = 1.1;

/// Watches the pieces of one transfer.
pub(super) struct Gauge {
    /// There are never more.
    most: usize,
    state: Mutex<GaugeState>,
}

struct GaugeState {
    allowed: usize,
    /// How many there were before, and the bytes per second that these brought.
    before: Option<(usize, f64)>,
    /// Whether more has been tried in vain.
    settled: bool,
    since: Instant,
    bytes: u64,
    pieces: usize,
}

impl Gauge {
    /// For pieces of so many bytes.
    pub(super) fn new(limits: &Limits, piece: u64) -> Gauge {
        let most = limits.pieces(piece);
        let allowed = limits.concurrency.first;
        Gauge {
            most,
            state: Mutex::new(GaugeState {
                allowed,
                before: None,
                settled: allowed >= most,
                since: Instant::now(),
                bytes: 0,
                pieces: 0,
            }),
        }
    }

    /// How many may be on their way now.
    pub(super) fn allowed(&self) -> usize {
        self.state().allowed
    }

    /// How many there may ever be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// One of so many bytes has arrived.
    pub(super) fn arrived(&self, bytes: usize) {
        self.state()
            .arrived(bytes as u64, Instant::now(), self.most);
    }

    fn state(&self) -> MutexGuard<'_, GaugeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GaugeState {
    fn arrived(&mut self, bytes: u64, now: Instant, most: usize) {
        (self.bytes, self.pieces) = (self.bytes + bytes, self.pieces + 1);
        // The first of them were on their way before there were so many.
        if self.settled || self.pieces < 2 * self.allowed {
            return;
        }
        let seconds = now.duration_since(self.since).as_secs_f64();
        self.judge(self.bytes as f64 / seconds.max(f64::EPSILON), most);
        (self.since, self.bytes, self.pieces) = (now, 0, 0);
    }

    /// What so many bytes per second say of the number that is allowed.
    fn judge(&mut self, rate: f64, most: usize) {
        match self.before {
            Some((fewer, slower)) if rate < slower * WORTH => {
                (self.allowed, self.settled) = (fewer, true);
            }
            _ => {
                self.before = Some((self.allowed, rate));
                self.settled = self.allowed == most;
                self.allowed = most.min(self.allowed * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::memory::Memory;
    use crate::objects::{Concurrency, Objects};
    use std::time::Duration;

    /// What is allowed in the end, where so many at a time bring so much.
    fn after(concurrency: Concurrency, piece: u64, rate: impl Fn(usize) -> f64) -> usize {
        let objects = Memory::new(piece).with(|limits| limits.concurrency = concurrency);
        let gauge = Gauge::new(&objects.limits(), piece);
        let mut now = Instant::now();
        for _ in 0..1000 {
            let mut state = gauge.state();
            now += Duration::from_secs_f64(piece as f64 / rate(state.allowed));
            state.arrived(piece, now, gauge.most);
        }
        gauge.allowed()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn as_many_as_bring_more() {
        // A line whose delay is all there is, one that is full, and one that eight of them fill.
        let each = |n: usize| n as f64 * 1e6;
        assert_eq!(after(Concurrency::AUTO, MIB, each), 32);
        assert_eq!(after(Concurrency::AUTO, MIB, |_| 1e8), 4);
        assert_eq!(after(Concurrency::AUTO, MIB, |n| each(n.min(8))), 8);
    }

    #[test]
    fn no_more_than_memory_has_room_for_and_as_many_as_somebody_chose() {
        let each = |n: usize| n as f64 * 1e6;
        assert_eq!(after(Concurrency::AUTO, 16 * MIB, each), 16);
        assert_eq!(after(Concurrency::AUTO, 100 * MIB, each), 4);
        assert_eq!(after(Concurrency::of(7), MIB, each), 7);
        assert_eq!(after(Concurrency::of(40), 64 * MIB, each), 40);
    }
}
