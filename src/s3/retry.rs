//! When to try again, and how long to wait before.
//! Knows time and chance only.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    left: u32,
    done: u32,
    pause: Duration,
}

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(20);
/// A service may ask for more patience than we have by ourselves, but not for any.
const ASKED: u64 = 300;

impl Tries {
    pub(crate) fn new(retries: u32) -> Tries {
        Tries {
            left: retries,
            done: 1,
            pause: Duration::ZERO,
        }
    }

    /// Leaves no more than so many tries in all: what is so today is most likely so in a minute.
    pub(crate) fn at_most(&mut self, tries: u32) {
        self.left = self.left.min(tries.saturating_sub(self.done));
    }

    /// Whether the next try is the second repetition, so that one begins to wonder.
    pub(crate) fn is_long(&self) -> bool {
        self.done == 3
    }

    /// Once more without waiting, if any try is left.
    pub(crate) fn at_once(&mut self) -> bool {
        self.pause = Duration::ZERO;
        self.take()
    }

    /// Once more after a pause that doubles each time and is never shorter than was asked for.
    /// Chance keeps many clients from coming back at the same moment.
    pub(crate) fn later(&mut self, asked: Option<u64>) -> bool {
        let full = LONGEST.min(FIRST * 2u32.saturating_pow(self.done - 1));
        let asked = Duration::from_secs(asked.unwrap_or(0).min(ASKED));
        self.pause = asked + full.mul_f64(0.5 + 0.5 * chance());
        self.take()
    }

    fn take(&mut self) -> bool {
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.done += u32::from(some);
        some
    }

    /// Waits; false if it was stopped meanwhile.
    pub(crate) fn wait(&self, stopped: impl Fn() -> bool) -> bool {
        let end = Instant::now() + self.pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if stopped() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.done {
            1 => Ok(()),
            n => write!(f, " (tried {n} times)"),
        }
    }
}

/// Between 0 and 1. The standard library seeds its hashes from the system's randomness.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// How many repetitions all requests of a client may have together: a service that is down must
/// not be beaten by every thread, and one that is well earns trust again.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

const BUDGET: i64 = 200;

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicI64::new(BUDGET))
    }
}

impl Budget {
    pub(crate) fn spend(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 0
    }

    pub(crate) fn earn(&self) {
        let more = |left: i64| (left < BUDGET).then_some(left.max(0) + 1);
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut tries = Tries::new(3);
        let mut pauses = Vec::new();
        while tries.later(None) {
            pauses.push(tries.pause);
        }
        assert_eq!(pauses.len(), 3);
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST, "{pauses:?}");
        assert!(
            pauses[2] >= FIRST * 2 && pauses[2] <= FIRST * 4,
            "{pauses:?}"
        );
        assert_eq!(tries.to_string(), " (tried 4 times)");
        let mut tries = Tries::new(40);
        for _ in 0..40 {
            assert!(tries.later(Some(7)));
            assert!(tries.pause >= Duration::from_secs(7) && tries.pause <= LONGEST * 2);
        }
    }

    #[test]
    fn what_will_not_pass_is_given_up_sooner() {
        let mut tries = Tries::new(10);
        let mut count = 1;
        while tries.later(None) {
            tries.at_most(3);
            count += 1;
        }
        assert_eq!(
            (count, tries.to_string()),
            (3, " (tried 3 times)".to_owned())
        );
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let mut tries = Tries::new(1);
        assert!(tries.later(Some(300)));
        assert!(!tries.wait(|| true));
    }

    #[test]
    fn the_budget_is_shared_and_refilled() {
        let budget = Budget::default();
        assert_eq!((0..300).filter(|_| budget.spend()).count(), 200);
        budget.earn();
        assert!(budget.spend() && !budget.spend());
    }
}
