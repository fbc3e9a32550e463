//! SHA-256 of eight messages at once. One message can only be hashed word after word; a processor
//! that has vectors takes eight in little more than the time of one.

/// How many messages are hashed at once.
pub const LANES: usize = 8;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The vectors of processors by which eight messages are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vectors {
    /// AVX2.
    Avx2,
    /// AVX-512, of which the instructions for rotation and for functions of three words count.
    Avx512,
}

impl Vectors {
    /// Those by which this processor hashes eight messages in less time than one after the other.
    ///
    /// Measured in MB/s on a processor that has everything: 380 one by one without SHA instructions,
    /// 1500 with them, 1200 by AVX2 and 2300 by AVX-512.
    pub fn worthwhile() -> Option<Vectors> {
        #[cfg(target_arch = "x86_64")]
        return match is_x86_feature_detected!("sha") {
            _ if Vectors::Avx512.are_here() => Some(Vectors::Avx512),
            false if Vectors::Avx2.are_here() => Some(Vectors::Avx2),
            _ => None,
        };
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Whether this processor has them.
    pub fn are_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Vectors::Avx2 => is_x86_feature_detected!("avx2"),
            Vectors::Avx512 => {
                let rotation = is_x86_feature_detected!("avx512f");
                rotation && is_x86_feature_detected!("avx512vl") && Vectors::Avx2.are_here()
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The SHA-256 of eight messages of one length, which is a multiple of 64 bytes. `None` if this
    /// processor does not have these vectors.
    pub fn sha256_of_eight(self, messages: &[&[u8]; LANES]) -> Option<[Hash; LANES]> {
        if !self.are_here() {
            return None;
        }
        // SAFETY: the processor has what the functions are compiled for.
        #[cfg(target_arch = "x86_64")]
        return Some(match self {
            Vectors::Avx2 => unsafe { x86::with_avx2(messages) },
            Vectors::Avx512 => unsafe { x86::with_avx512(messages) },
        });
        #[cfg(not(target_arch = "x86_64"))]
        return messages.is_empty().then_some([Hash::default(); LANES]);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Hash, LANES};
    use core::arch::x86_64::*;

    /// The first words of SHA-256, and those of its rounds (FIPS 180-4, 5.3.3 and 4.2.2).
    #[rustfmt::skip]
    const FIRST: [u32; 8] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ];
    #[rustfmt::skip]
    const ROUNDS: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    /// The same words for each kind of processor: where there are instructions for rotation and
    /// for functions of three words, the compiler finds them.
    macro_rules! hash_eight {
        ($name:ident, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(messages: &[&[u8]; LANES]) -> [Hash; LANES] {
                let mut state = FIRST.map(|word| _mm256_set1_epi32(word as i32));
                let length = messages[0].len();
                assert!(length % 64 == 0 && messages.iter().all(|m| m.len() == length));
                for at in (0..=length).step_by(64) {
                    let block = match at < length {
                        true => words!(messages, at),
                        false => last_words(length),
                    };
                    compress!(state, block);
                }
                hashes(&state)
            }
        };
    }

    /// The sixteen words of a block of each message.
    macro_rules! words {
        ($messages:ident, $at:ident) => {{
            let mut halves = [[_mm256_setzero_si256(); 8]; 2];
            for (lane, message) in $messages.iter().enumerate() {
                let block: &[u8; 64] = message[$at..].first_chunk().expect("whole blocks");
                let block = block.as_ptr().cast::<__m256i>();
                // SAFETY: the block has 64 bytes, and they need no alignment.
                halves[0][lane] = unsafe { _mm256_loadu_si256(block) };
                // SAFETY: as above.
                halves[1][lane] = unsafe { _mm256_loadu_si256(block.add(1)) };
            }
            [transposed!(halves[0]), transposed!(halves[1])]
        }};
    }

    /// Eight words of each of eight lanes become eight lanes of each word, with the bytes of the
    /// words in the processor's order.
    macro_rules! transposed {
        ($rows:expr) => {{
            let [a, b, c, d, e, f, g, h] = $rows;
            let (ab, ab2) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (cd, cd2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            let (ef, ef2) = (_mm256_unpacklo_epi32(e, f), _mm256_unpackhi_epi32(e, f));
            let (gh, gh2) = (_mm256_unpacklo_epi32(g, h), _mm256_unpackhi_epi32(g, h));
            let (s, t) = (_mm256_unpacklo_epi64(ab, cd), _mm256_unpacklo_epi64(ef, gh));
            let (u, v) = (_mm256_unpackhi_epi64(ab, cd), _mm256_unpackhi_epi64(ef, gh));
            let (w, x) = (
                _mm256_unpacklo_epi64(ab2, cd2),
                _mm256_unpacklo_epi64(ef2, gh2),
            );
            let (y, z) = (
                _mm256_unpackhi_epi64(ab2, cd2),
                _mm256_unpackhi_epi64(ef2, gh2),
            );
            let order = _mm256_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            );
            [
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x20>(s, t), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x20>(u, v), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x20>(w, x), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x20>(y, z), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x31>(s, t), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x31>(u, v), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x31>(w, x), order),
                _mm256_shuffle_epi8(_mm256_permute2x128_si256::<0x31>(y, z), order),
            ]
        }};
    }

    macro_rules! sum {
        ($a:expr) => { $a };
        ($a:expr, $($rest:expr),+) => { _mm256_add_epi32($a, sum!($($rest),+)) };
    }

    macro_rules! xor3 {
        ($a:expr, $b:expr, $c:expr) => {
            _mm256_xor_si256($a, _mm256_xor_si256($b, $c))
        };
    }

    macro_rules! rotated {
        ($x:expr, $n:literal) => {
            _mm256_or_si256(
                _mm256_srli_epi32::<$n>($x),
                _mm256_slli_epi32::<{ 32 - $n }>($x),
            )
        };
    }

    /// A round; before it, from the seventeenth on, the next word of the message.
    macro_rules! round {
        ($first:expr, $w:ident, $j:literal,
         $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            if $first > 0 {
                let (near, far) = ($w[($j + 1) % 16], $w[($j + 14) % 16]);
                let near = xor3!(
                    rotated!(near, 7),
                    rotated!(near, 18),
                    _mm256_srli_epi32::<3>(near)
                );
                let far = xor3!(
                    rotated!(far, 17),
                    rotated!(far, 19),
                    _mm256_srli_epi32::<10>(far)
                );
                $w[$j] = sum!($w[$j], near, $w[($j + 9) % 16], far);
            }
            let choice = _mm256_xor_si256($g, _mm256_and_si256($e, _mm256_xor_si256($f, $g)));
            let mixed = xor3!(rotated!($e, 6), rotated!($e, 11), rotated!($e, 25));
            let constant = _mm256_set1_epi32(ROUNDS[$first + $j] as i32);
            let new = sum!(sum!($h, $w[$j], constant), choice, mixed);
            let most = _mm256_or_si256(
                _mm256_and_si256($a, $b),
                _mm256_and_si256($c, _mm256_or_si256($a, $b)),
            );
            let mixed = xor3!(rotated!($a, 2), rotated!($a, 13), rotated!($a, 22));
            $d = _mm256_add_epi32($d, new);
            $h = sum!(new, mixed, most);
        };
    }

    /// A block of each lane goes into the state (FIPS 180-4, 6.2.2).
    macro_rules! compress {
        ($state:ident, $halves:expr) => {{
            let [[w0, w1, w2, w3, w4, w5, w6, w7], [w8, w9, w10, w11, w12, w13, w14, w15]] = $halves;
            let mut w = [
                w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15,
            ];
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $state;
            for first in (0..64).step_by(16) {
                round!(first, w, 0, a b c d e f g h);
                round!(first, w, 1, h a b c d e f g);
                round!(first, w, 2, g h a b c d e f);
                round!(first, w, 3, f g h a b c d e);
                round!(first, w, 4, e f g h a b c d);
                round!(first, w, 5, d e f g h a b c);
                round!(first, w, 6, c d e f g h a b);
                round!(first, w, 7, b c d e f g h a);
                round!(first, w, 8, a b c d e f g h);
                round!(first, w, 9, h a b c d e f g);
                round!(first, w, 10, g h a b c d e f);
                round!(first, w, 11, f g h a b c d e);
                round!(first, w, 12, e f g h a b c d);
                round!(first, w, 13, d e f g h a b c);
                round!(first, w, 14, c d e f g h a b);
                round!(first, w, 15, b c d e f g h a);
            }
            let after = [a, b, c, d, e, f, g, h];
            for (word, after) in $state.iter_mut().zip(after) {
                *word = _mm256_add_epi32(*word, after);
            }
        }};
    }

    /// What follows a message of so many bytes, if these are whole blocks (FIPS 180-4, 5.1.1).
    #[target_feature(enable = "avx2")]
    fn last_words(length: usize) -> [[__m256i; 8]; 2] {
        let mut words = [[_mm256_setzero_si256(); 8]; 2];
        let bits = length as u64 * 8;
        words[0][0] = _mm256_set1_epi32(i32::MIN);
        words[1][6] = _mm256_set1_epi32((bits >> 32) as i32);
        words[1][7] = _mm256_set1_epi32(bits as i32);
        words
    }

    hash_eight!(with_avx512, "avx2,avx512f,avx512vl");
    hash_eight!(with_avx2, "avx2");

    fn hashes(state: &[__m256i; 8]) -> [Hash; LANES] {
        let mut hashes = [[0; 32]; LANES];
        for (word, lanes) in state.iter().enumerate() {
            // SAFETY: a vector is eight words, and all patterns of bits are words.
            let lanes: [u32; LANES] = unsafe { core::mem::transmute(*lanes) };
            for (hash, lane) in hashes.iter_mut().zip(lanes) {
                hash[word * 4..][..4].copy_from_slice(&lane.to_be_bytes());
            }
        }
        hashes
    }
}
