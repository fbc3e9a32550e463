//! Digests against another implementation, and by each kind of vectors that the processor has.

use crate::runner::Test;
use crate::support::skip;
use crate::tests;
use buttersink::digest::{Algorithm, Hasher, sha256};
use buttersink::sys::{LANES, Vectors};
use sha2::{Digest, Sha256};

pub(crate) const TESTS: &[Test] = tests![
    sha256_is_that_of_another_implementation,
    eight_at_once_by_avx2,
    eight_at_once_by_avx512,
];

fn message(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i * 31 / 7 + seed * 17) as u8)
        .collect()
}

fn sha256_is_that_of_another_implementation() {
    for length in [0, 1, 55, 56, 64, 65, 4096, 1_000_003] {
        let bytes = message(length, 1);
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(sha256(&bytes), expected, "{length}");
        let mut hasher = Hasher::new(Algorithm::Sha256, None);
        bytes.chunks(1000).for_each(|piece| hasher.update(piece));
        let digits: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hasher.hex(), digits, "{length}");
    }
}

fn eight_at_once_by_avx2() {
    eight_at_once(Vectors::Avx2);
}

fn eight_at_once_by_avx512() {
    eight_at_once(Vectors::Avx512);
}

fn eight_at_once(vectors: Vectors) {
    if !vectors.are_here() {
        skip(&format!("this processor has no {vectors:?}"));
    }
    for length in [0, 64, 128, 4096, 1 << 20] {
        let messages: Vec<Vec<u8>> = (0..LANES).map(|lane| message(length, lane)).collect();
        let given: [&[u8]; LANES] = std::array::from_fn(|lane| &messages[lane][..]);
        let found = vectors.sha256_of_eight(&given).unwrap();
        for (found, message) in found.iter().zip(given) {
            assert_eq!(found[..], Sha256::digest(message)[..], "{length}");
        }
    }
}
