//! The SHA-256 tree hash of Amazon S3 Glacier: the SHA-256 of each MiB, then of each two of these
//! together, and so on until one is left; one that is left over goes up as it is. It says as much
//! as the SHA-256 of the whole, and its leaves can be hashed at once.

use super::Sha256;
use crate::sys::{Hash, LANES, Vectors};

/// Bytes of a leaf, but for the last.
pub(crate) const LEAF: usize = 1 << 20;

/// A tree hash that grows with its bytes.
pub(crate) type TreeHash = HashTree<LEAF>;

/// The hashes of leaves, of which only the last may be short.
pub(crate) fn leaves(bytes: &[u8]) -> Vec<Hash> {
    TreeHash::hashes(bytes)
}

/// A tree hash with leaves of so many bytes.
#[derive(Default)]
pub(crate) struct HashTree<const N: usize> {
    /// What waits for more: less than a leaf, if pieces are large enough to be hashed as they are.
    begun: Vec<u8>,
    /// How many leaves are hashed.
    leaves: u64,
    /// Roots of trees that are complete, each larger than the next.
    roots: Vec<Hash>,
}

impl<const N: usize> HashTree<N> {
    /// Bytes that are hashed at once, at most.
    const AT_ONCE: usize = LANES * N;
    /// From so many on it takes less time to hash them at once than one leaf after the other.
    const WORTHWHILE: usize = 3 * N;

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let end = match bytes.len() < Self::WORTHWHILE {
            true => Self::AT_ONCE,
            false => self.begun.len().next_multiple_of(N),
        };
        let missing = (end - self.begun.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(missing);
        self.begun.extend_from_slice(first);
        if self.begun.len() == end {
            self.add_begun();
        }
        let (leaves, rest) = rest.split_at(rest.len() / N * N);
        self.add_hashed(Self::hashes(leaves));
        self.begun.extend_from_slice(rest);
    }

    fn add_begun(&mut self) {
        let mut begun = std::mem::take(&mut self.begun);
        self.add_hashed(Self::hashes(&begun));
        begun.clear();
        self.begun = begun;
    }

    /// The next leaves, whose hashes are known, when all before them were whole.
    pub(crate) fn add_hashed(&mut self, hashes: Vec<Hash>) {
        debug_assert!(hashes.is_empty() || self.begun.is_empty());
        hashes.into_iter().for_each(|hash| self.add(hash));
    }

    /// The next leaf; trees of the same height become one.
    fn add(&mut self, leaf: Hash) {
        self.leaves += 1;
        let grown = self.leaves.trailing_zeros() as usize;
        let right = (0..grown).fold(leaf, |right, _| joined(self.roots.pop(), right));
        self.roots.push(right);
    }

    pub(crate) fn finish(mut self) -> Hash {
        self.add_begun();
        if self.leaves == 0 {
            self.add(Sha256::of(b""));
        }
        let last = self.roots.pop().unwrap_or_default();
        let root = self.roots.into_iter().rev();
        root.fold(last, |right, left| joined(Some(left), right))
    }

    fn hashes(leaves: &[u8]) -> Vec<Hash> {
        let at_once = leaves.chunks(Self::AT_ONCE);
        at_once.flat_map(Self::hashes_at_once).collect()
    }

    /// Of up to as many leaves as are hashed at once.
    fn hashes_at_once(leaves: &[u8]) -> Vec<Hash> {
        let whole = leaves.chunks_exact(N);
        let (count, rest) = (whole.len(), whole.remainder());
        let leaf = |lane: usize| whole.clone().nth(lane % count).unwrap_or_default();
        let at_once = match count * N < Self::WORTHWHILE {
            true => None,
            // Lanes that are left over do one again.
            false => Vectors::worthwhile()
                .and_then(|vectors| vectors.sha256_of_eight(&std::array::from_fn(leaf))),
        };
        let mut hashes = match at_once {
            Some(hashes) => hashes[..count].to_vec(),
            None => whole.map(Sha256::of).collect(),
        };
        hashes.extend((!rest.is_empty()).then(|| Sha256::of(rest)));
        hashes
    }
}

fn joined(left: Option<Hash>, right: Hash) -> Hash {
    left.map_or(right, |left| Sha256::of(&[left, right].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;

    const SMALL: usize = 128;

    /// As Amazon describes it, level by level.
    fn by_levels(bytes: &[u8]) -> Hash {
        let mut level: Vec<Hash> = bytes.chunks(SMALL).map(Sha256::of).collect();
        if level.is_empty() {
            level = vec![Sha256::of(b"")];
        }
        while level.len() > 1 {
            let pair = |pair: &[Hash]| match pair {
                [left, right] => Sha256::of(&[*left, *right].concat()),
                _ => pair[0],
            };
            level = level.chunks(2).map(pair).collect();
        }
        level[0]
    }

    #[test]
    fn any_length_in_any_pieces() {
        let bytes: Vec<u8> = (0..17 * SMALL + 5).map(|i| (i * 7 / 5) as u8).collect();
        for leaves in [0, 1, 2, 3, 5, 7, 8, 9, 16, 17] {
            for length in [leaves * SMALL, leaves * SMALL + 5] {
                let expected = by_levels(&bytes[..length]);
                for piece in [SMALL / 2 + 1, SMALL, 5 * SMALL + 7, 8 * SMALL, 20 * SMALL] {
                    let mut tree = HashTree::<SMALL>::default();
                    bytes[..length]
                        .chunks(piece)
                        .for_each(|piece| tree.update(piece));
                    assert_eq!(tree.finish(), expected, "{length} {piece}");
                }
            }
        }
    }

    #[test]
    fn two_leaves_of_zeros() {
        let mut tree = TreeHash::default();
        tree.update(&vec![0; 2 * LEAF]);
        assert_eq!(
            hex(&tree.finish()),
            "861890b487038d840e9d71d43bbc0fd4571453fb9d9b1f370caa3582a29b0ec7"
        );
    }
}
