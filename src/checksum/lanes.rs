//! SHA-256 of several messages at once, one in each lane of the processor's vectors: where the
//! processor cannot compute SHA-256 itself, this is several times as fast as one after the other.
//! Written so that the compiler makes vector code of it; says nothing of the processor itself.

use crate::sys::wide;

/// Messages at once: as many 32-bit numbers as fit into a vector of AVX2.
pub(super) const LANES: usize = 8;

/// Bytes that are taken in at a time.
pub(super) const BLOCK: usize = 64;

/// The state of [`LANES`] computations: eight numbers each.
pub(super) type States = [[u32; LANES]; 8];

/// The state that every computation begins with: fractions of the square roots of primes.
pub(super) const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Fractions of the cube roots of the first 64 primes.
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Takes `count` blocks into each lane.
pub(super) fn compress(states: &mut States, messages: &[&[u8]; LANES], count: usize) {
    wide::with_avx2(Blocks {
        states,
        messages,
        count,
    });
}

struct Blocks<'b> {
    states: &'b mut States,
    messages: &'b [&'b [u8]; LANES],
    count: usize,
}

impl wide::Work for Blocks<'_> {
    #[inline(always)]
    fn run(self) {
        for at in 0..self.count {
            block(self.states, &schedule(self.messages, at * BLOCK));
        }
    }
}

/// The sixteen numbers of a block, of all lanes.
#[inline(always)]
fn schedule(messages: &[&[u8]; LANES], at: usize) -> [[u32; LANES]; 16] {
    let mut words = [[0; LANES]; 16];
    for lane in 0..LANES {
        let block = &messages[lane][at..][..BLOCK];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            word[lane] = u32::from_be_bytes(*bytes);
        }
    }
    words
}

#[inline(always)]
fn block(states: &mut States, first: &[[u32; LANES]; 16]) {
    let mut words = *first;
    let mut state = *states;
    for round in 0..64 {
        if round >= 16 {
            extend(&mut words, round);
        }
        let [a, b, c, d, e, f, g, h] = state;
        let (mut new_a, mut new_e) = ([0; LANES], [0; LANES]);
        for i in 0..LANES {
            let choice = g[i] ^ (e[i] & (f[i] ^ g[i]));
            let majority = (a[i] & b[i]) | (c[i] & (a[i] | b[i]));
            let from_e = e[i].rotate_right(6) ^ e[i].rotate_right(11) ^ e[i].rotate_right(25);
            let from_a = a[i].rotate_right(2) ^ a[i].rotate_right(13) ^ a[i].rotate_right(22);
            let input = words[round % 16][i].wrapping_add(ROUNDS[round]);
            let sum = h[i]
                .wrapping_add(from_e)
                .wrapping_add(choice)
                .wrapping_add(input);
            new_e[i] = d[i].wrapping_add(sum);
            new_a[i] = sum.wrapping_add(from_a).wrapping_add(majority);
        }
        state = [new_a, a, b, c, new_e, e, f, g];
    }
    for (old, new) in states.iter_mut().zip(state) {
        for i in 0..LANES {
            old[i] = old[i].wrapping_add(new[i]);
        }
    }
}

/// Replaces the number of sixteen rounds before by that of this one.
#[inline(always)]
fn extend(words: &mut [[u32; LANES]; 16], round: usize) {
    let before = words[round % 16];
    let middle = words[(round + 9) % 16];
    let (first, last) = (words[(round + 1) % 16], words[(round + 14) % 16]);
    for i in 0..LANES {
        let (x, y) = (first[i], last[i]);
        let from_x = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
        let from_y = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
        let sum = before[i].wrapping_add(middle[i]);
        words[round % 16][i] = sum.wrapping_add(from_x).wrapping_add(from_y);
    }
}

/// Appends what SHA-256 puts after a message of `total` bytes: `filled` bytes of the last piece
/// are in the buffer already, which has room for two blocks more. Returns the new length.
pub(super) fn pad(buffer: &mut [u8], filled: usize, total: u64) -> usize {
    let end = (filled + 9).next_multiple_of(BLOCK);
    buffer[filled..end].fill(0);
    buffer[filled] = 0x80;
    buffer[end - 8..end].copy_from_slice(&(total * 8).to_be_bytes());
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn every_length_in_every_lane_as_sha2_has_it() {
        for first in 0..130 {
            let plain: [Vec<u8>; LANES] =
                std::array::from_fn(|lane| (0..first).map(|i| (i * 7 + lane * 31) as u8).collect());
            let mut states = START.map(|number| [number; LANES]);
            let mut count = 0;
            let padded = plain.clone().map(|mut message| {
                message.resize(first + 2 * BLOCK, 0xff);
                count = pad(&mut message, first, first as u64) / BLOCK;
                message
            });
            compress(&mut states, &padded.each_ref().map(Vec::as_slice), count);
            for lane in 0..LANES {
                let ours: Vec<u8> = states.iter().flat_map(|s| s[lane].to_be_bytes()).collect();
                assert_eq!(
                    ours,
                    Sha256::digest(&plain[lane])[..],
                    "{first} bytes, lane {lane}"
                );
            }
        }
    }
}
