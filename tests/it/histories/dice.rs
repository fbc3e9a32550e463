//! Random numbers that belong to one step of one history: leaving out a step changes no other.

use std::path::Path;

/// Numbers that follow from a seed and the index of a step.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, step: usize) -> Dice {
        Dice(mixed(mixed(seed) ^ step as u64))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A number from `start` to `last`.
    pub(crate) fn within(&mut self, start: usize, last: usize) -> usize {
        start + self.below(last + 1 - start)
    }

    /// True so many times of a hundred.
    pub(crate) fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One of those that are there. Which of two is preferred does not depend on a third.
    pub(crate) fn choose<'a, P: AsRef<Path>>(&mut self, from: &'a [P]) -> Option<&'a P> {
        let key = self.next();
        let rank = |path: &&P| {
            let bytes = path.as_ref().as_os_str().as_encoded_bytes();
            bytes
                .iter()
                .fold(key, |state, byte| mixed(state ^ u64::from(*byte)))
        };
        from.iter().min_by_key(rank)
    }

    /// Bytes of a file: noise, text that compresses well, or noise with a gap of zeros.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let seed = self.next();
        match self.below(8) {
            0 | 1 => b"0123456789abcde\n"
                .iter()
                .copied()
                .cycle()
                .skip(seed as usize % 16)
                .take(length)
                .collect(),
            2 => {
                let mut bytes = crate::streams::noise(seed, length);
                let (start, end) = (length / 3, length / 2);
                bytes[start..end].fill(0);
                bytes
            }
            _ => crate::streams::noise(seed, length),
        }
    }

    /// A length for a file, up to `blocks` blocks: mostly near the end of a block.
    pub(crate) fn length(&mut self, blocks: usize) -> usize {
        let whole = self.below(blocks + 1) * BLOCK;
        match self.below(8) {
            0 | 1 => whole,
            2 => whole + 1,
            3 => whole.saturating_sub(1),
            4 => whole + 208,
            5 | 6 => whole.saturating_sub(208),
            _ => whole + self.below(BLOCK),
        }
    }
}

pub(crate) const BLOCK: usize = 4096;

fn mixed(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}
