//! The least pace at which something has to come: who hands it over byte by byte keeps nobody waiting.
//! Knows bytes and times, and looks at no clock.

use std::time::Duration;

/// What comes in a term at least, if not its end. In ten minutes that is a hundred bytes a second, which the
/// slowest line is above.
const LEAST: usize = 64 << 10;

/// How fast something comes.
#[derive(Debug)]
pub(crate) struct Pace {
    term: Duration,
    waited: Duration,
    came: usize,
}

impl Pace {
    /// Of something that begins now.
    pub(crate) fn new(term: Duration) -> Pace {
        Pace {
            term,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// So many bytes came after having been waited for; false if that is too slow.
    pub(crate) fn keeps(&mut self, came: usize, waited: Duration) -> bool {
        self.waited += waited;
        if self.waited > self.term {
            return false;
        }
        self.came += came;
        if self.came >= LEAST {
            *self = Pace::new(self.term);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drips_is_given_up_and_a_slow_line_is_not() {
        let kept = |bytes: usize, seconds: u64| {
            let mut pace = Pace::new(Duration::from_secs(600));
            (0..100_000).all(|_| pace.keeps(bytes, Duration::from_secs(seconds)))
        };
        assert!(!kept(1, 59) && !kept(1, 1) && !kept(100, 1));
        assert!(kept(120, 1) && kept(64 << 10, 599) && kept(1, 0));
    }
}
