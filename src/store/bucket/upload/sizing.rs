//! How a stream is cut: how long its parts are, and how many objects it needs.
//! Pure arithmetic.

use crate::objects::Limits;
use crate::snapshot::Size;

const MIB: u64 = 1 << 20;
const SMALL: u64 = 16 * MIB;
const LARGE: u64 = 64 * MIB;
/// Up to so many parts the small ones are used: they keep all threads busy and cost less memory.
const FEW: u64 = 1000;
const MOST: u64 = 5 << 30;

/// Equal parts, but for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizing {
    /// Bytes of a part.
    pub(super) part: u64,
    /// Parts of an object.
    per_object: u64,
    /// How many objects may be used.
    pub(super) pieces: u64,
    /// The length of the stream, if it is known to the byte.
    total: Option<u64>,
}

impl Sizing {
    /// With `single` it must become one object. Otherwise a stream that is longer than somebody guessed goes
    /// on in the next.
    pub(super) fn of(size: Size, limits: &Limits, single: bool) -> Sizing {
        let total = match size {
            Size::Exact(bytes) => Some(bytes),
            Size::Estimate(_) | Size::Beyond(_) | Size::Unknown => None,
        };
        // An estimate may be wrong by a good deal.
        let likely = total.or(size.bytes().map(|bytes| bytes.saturating_mul(2)));
        let part = limits.part_size.unwrap_or_else(|| fitting(likely, limits));
        let per_object = limits.max_parts.min(limits.max_object / part).max(1);
        Sizing {
            part,
            per_object,
            pieces: match total {
                Some(bytes) => bytes.div_ceil(part * per_object).max(1),
                None if single => 1,
                None => u64::MAX,
            },
            total,
        }
    }

    /// Whether one object is not enough, or may not be.
    pub(super) fn split(&self) -> bool {
        self.pieces > 1
    }

    /// How many parts the stream has, if its length is known.
    pub(super) fn parts(&self) -> Option<u64> {
        self.total.map(|total| total.div_ceil(self.part).max(1))
    }

    /// The object and the number there of the part that so many others precede.
    pub(super) fn place(&self, before: u64) -> (usize, u64) {
        (
            (before / self.per_object) as usize,
            before % self.per_object + 1,
        )
    }

    /// The key of an object.
    pub(super) fn key(&self, key: &str, index: usize) -> String {
        match self.split() {
            true => format!("{key}.{}", index + 1),
            false => key.to_owned(),
        }
    }

    /// The length that a part must have; `None` if nobody knows.
    pub(super) fn length(&self, index: usize, number: u64) -> Option<u64> {
        let before = (index as u64 * self.per_object + number - 1) * self.part;
        self.total
            .map(|total| self.part.min(total.saturating_sub(before)))
    }

    /// Whether the object has a part of this number, as far as is known.
    pub(super) fn has(&self, index: usize, number: u64) -> bool {
        (1..=self.per_object).contains(&number) && self.length(index, number) != Some(0)
    }

    /// A stream that is shorter than a part needs no more memory than its length.
    pub(super) fn first_buffer(&self) -> usize {
        self.total.unwrap_or(self.part).min(self.part) as usize
    }
}

fn fitting(likely: Option<u64>, limits: &Limits) -> u64 {
    match likely {
        Some(bytes) if bytes <= SMALL * FEW.min(limits.max_parts) => SMALL,
        Some(bytes) => {
            let needed = bytes.min(limits.max_object).div_ceil(limits.max_parts);
            needed.next_multiple_of(MIB).clamp(LARGE, MOST)
        }
        None => LARGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Concurrency;

    const GIB: u64 = 1 << 30;

    fn limits(max_parts: u64, part_size: Option<u64>) -> Limits {
        Limits {
            max_parts,
            max_object: 5 * 1024 * GIB,
            part_size,
            concurrency: Concurrency::of(1),
            class: None,
        }
    }

    #[test]
    fn parts_follow_from_the_size() {
        let part = |size, most| Sizing::of(size, &limits(most, None), false).part;
        assert_eq!(part(Size::Exact(GIB), 10_000), 16 * MIB);
        assert_eq!(part(Size::Exact(100 * GIB), 10_000), 64 * MIB);
        assert_eq!(part(Size::Exact(5 * 1024 * GIB), 10_000), 525 * MIB);
        assert_eq!(part(Size::Exact(100 * GIB), 1000), 103 * MIB);
        assert_eq!(part(Size::Unknown, 10_000), 64 * MIB);
        assert_eq!(part(Size::Estimate(500 * GIB), 10_000), 103 * MIB);
    }

    #[test]
    fn what_nobody_measured_may_go_on_in_the_next_object() {
        let limits = limits(3, Some(5 * MIB));
        for size in [Size::Unknown, Size::Estimate(100), Size::Beyond(7)] {
            let cut = Sizing::of(size, &limits, false);
            assert_eq!((cut.place(3), cut.split()), ((1, 1), true));
            assert_eq!(cut.key("k", 1), "k.2");
            let one = Sizing::of(size, &limits, true);
            assert_eq!((one.pieces, one.key("k", 0)), (1, "k".to_owned()));
        }
    }

    #[test]
    fn no_object_is_too_long_and_no_byte_is_lost() {
        for (bytes, wanted, most) in [
            (0, None, 10_000),
            (10 * 1024 * GIB, None, 10_000),
            (5 * 1024 * GIB + 1, None, 1000),
            (52 * MIB, Some(5 * MIB), 3),
        ] {
            let limits = limits(most, wanted);
            let cut = Sizing::of(Size::Exact(bytes), &limits, false);
            assert!(cut.per_object <= limits.max_parts);
            assert!(cut.per_object * cut.part <= limits.max_object);
            let mut sum = 0;
            for before in 0..bytes.div_ceil(cut.part) {
                let (index, number) = cut.place(before);
                assert!((index as u64) < cut.pieces && cut.has(index, number));
                sum += cut.length(index, number).unwrap();
            }
            assert_eq!(sum, bytes);
            let (index, number) = cut.place(bytes.div_ceil(cut.part));
            assert!(!cut.has(index, number));
        }
    }
}
