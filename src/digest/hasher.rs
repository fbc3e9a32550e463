//! A digest by any of the algorithms, of a whole, or, as services compute it of objects that were
//! uploaded in parts, of the digests of its parts, with the number of parts behind a dash. Does no
//! input or output.

use super::tree_hash::TreeHash;
use super::{Sha256, crc32c_append};
use crate::text::hex;
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest as _, Md5};

/// How a digest is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5 (RFC 1321).
    Md5,
    /// CRC-32C (Castagnoli), most significant byte first.
    Crc32c,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// The SHA-256 tree hash. No service computes it; we record it ourselves.
    TreeHash,
}

impl Algorithm {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Crc32c => "CRC-32C",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::TreeHash => "SHA-256 tree hash",
        }
    }
}

/// A digest of bytes as they come.
pub struct Hasher {
    algorithm: Algorithm,
    /// The length of a part in bytes; `None` if the digest is of the whole.
    part: Option<u64>,
    /// Of the whole, or of the part that has begun.
    current: HasherState,
    /// How many bytes of that part there are.
    in_part: u64,
    /// Of the digests of the parts that are complete.
    parts: HasherState,
    count: u64,
}

impl Hasher {
    /// Of the whole, or of the digests of parts of so many bytes.
    pub fn new(algorithm: Algorithm, part: Option<u64>) -> Hasher {
        Hasher {
            algorithm,
            part,
            current: HasherState::new(algorithm),
            in_part: 0,
            parts: HasherState::new(algorithm),
            count: 0,
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let (Some(part), false) = (self.part, bytes.is_empty()) {
            let taken = bytes.len().min((part - self.in_part) as usize);
            self.current.update(&bytes[..taken]);
            self.in_part += taken as u64;
            if self.in_part == part {
                self.close_part();
            }
            bytes = &bytes[taken..];
        }
        self.current.update(bytes);
    }

    fn close_part(&mut self) {
        let done = std::mem::replace(&mut self.current, HasherState::new(self.algorithm));
        self.parts.update(&done.finish());
        (self.in_part, self.count) = (0, self.count + 1);
    }

    fn finish(mut self, write: impl Fn(&[u8]) -> String) -> String {
        if self.part.is_none() {
            return write(&self.current.finish());
        }
        if self.in_part > 0 {
            self.close_part();
        }
        format!("{}-{}", write(&self.parts.finish()), self.count)
    }

    /// The digest in hexadecimal digits, as ETags are written.
    pub fn hex(self) -> String {
        self.finish(hex)
    }

    /// The digest in base64, as the headers of checksums are written.
    pub fn base64(self) -> String {
        self.finish(|bytes| BASE64_STANDARD.encode(bytes))
    }
}

enum HasherState {
    Md5(Md5),
    Crc32c(u32),
    Sha256(Box<Sha256>),
    TreeHash(TreeHash),
}

impl HasherState {
    fn new(algorithm: Algorithm) -> HasherState {
        match algorithm {
            Algorithm::Md5 => HasherState::Md5(Md5::new()),
            Algorithm::Crc32c => HasherState::Crc32c(0),
            Algorithm::Sha256 => HasherState::Sha256(Box::default()),
            Algorithm::TreeHash => HasherState::TreeHash(TreeHash::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            HasherState::Md5(md5) => md5.update(bytes),
            HasherState::Crc32c(crc) => *crc = crc32c_append(*crc, bytes),
            HasherState::Sha256(sha256) => sha256.update(bytes),
            HasherState::TreeHash(tree) => tree.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            HasherState::Md5(md5) => md5.finalize().to_vec(),
            HasherState::Crc32c(crc) => crc.to_be_bytes().to_vec(),
            HasherState::Sha256(sha256) => sha256.finish().to_vec(),
            HasherState::TreeHash(tree) => tree.finish().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::md5;
    use super::*;

    #[test]
    fn digests_of_parts_do_not_depend_on_pieces() {
        let digests = [md5(b"abc"), md5(b"de")].concat();
        let expected = format!("{}-2", hex(&md5(&digests)));
        for pieces in [
            &[&b"abcde"[..]][..],
            &[b"ab", b"cde"],
            &[b"abcd", b"", b"e"],
        ] {
            let mut hasher = Hasher::new(Algorithm::Md5, Some(3));
            pieces.iter().for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.hex(), expected);
        }
    }

    #[test]
    fn a_whole_has_no_dash() {
        let mut hasher = Hasher::new(Algorithm::Crc32c, None);
        hasher.update(b"123456789");
        assert_eq!(
            hasher.base64(),
            BASE64_STANDARD.encode(0xe306_9283_u32.to_be_bytes())
        );
    }
}
