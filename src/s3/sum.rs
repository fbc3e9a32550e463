//! Checksums as services compute them: of a whole object, or of the checksums of its parts, with
//! the number of parts behind a dash.

use super::tree_hash::TreeHash;
use crate::text::hex;
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use ring::digest::{Context, SHA256};

/// Which checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Md5,
    Crc32c,
    Sha256,
    /// No service computes it; it is for what we record ourselves.
    TreeHash,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Md5 => "MD5",
            Kind::Crc32c => "CRC-32C",
            Kind::Sha256 => "SHA-256",
            Kind::TreeHash => "SHA-256 tree hash",
        }
    }
}

enum State {
    Md5(Md5),
    Crc32c(u32),
    Sha256(Box<Context>),
    TreeHash(TreeHash),
}

impl State {
    fn new(kind: Kind) -> State {
        match kind {
            Kind::Md5 => State::Md5(Md5::new()),
            Kind::Crc32c => State::Crc32c(0),
            Kind::Sha256 => State::Sha256(Box::new(Context::new(&SHA256))),
            Kind::TreeHash => State::TreeHash(TreeHash::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            State::Md5(md5) => md5.update(bytes),
            State::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            State::Sha256(sha) => sha.update(bytes),
            State::TreeHash(tree) => tree.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            State::Md5(md5) => md5.finalize().to_vec(),
            State::Crc32c(crc) => crc.to_be_bytes().to_vec(),
            State::Sha256(sha) => sha.finish().as_ref().to_vec(),
            State::TreeHash(tree) => tree.finish().to_vec(),
        }
    }
}

/// A checksum that grows with its bytes.
pub(crate) struct Rolling {
    kind: Kind,
    part: Option<u64>,
    now: State,
    in_part: u64,
    parts: State,
    count: u64,
}

impl Rolling {
    /// Of the whole, or of the checksums of parts of so many bytes.
    pub(crate) fn new(kind: Kind, part: Option<u64>) -> Rolling {
        Rolling {
            kind,
            part,
            now: State::new(kind),
            in_part: 0,
            parts: State::new(kind),
            count: 0,
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while let (Some(part), false) = (self.part, bytes.is_empty()) {
            let taken = bytes.len().min((part - self.in_part) as usize);
            self.now.update(&bytes[..taken]);
            self.in_part += taken as u64;
            if self.in_part == part {
                self.close_part();
            }
            bytes = &bytes[taken..];
        }
        self.now.update(bytes);
    }

    fn close_part(&mut self) {
        let done = std::mem::replace(&mut self.now, State::new(self.kind));
        self.parts.update(&done.finish());
        (self.in_part, self.count) = (0, self.count + 1);
    }

    fn finish(mut self, write: impl Fn(&[u8]) -> String) -> String {
        if self.part.is_none() {
            return write(&self.now.finish());
        }
        if self.in_part > 0 {
            self.close_part();
        }
        format!("{}-{}", write(&self.parts.finish()), self.count)
    }

    /// As ETags are written.
    pub(crate) fn hex(self) -> String {
        self.finish(hex)
    }

    /// As the headers of checksums are written.
    pub(crate) fn base64(self) -> String {
        self.finish(|bytes| BASE64_STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_do_not_depend_on_pieces() {
        let sums = [Md5::digest(b"abc"), Md5::digest(b"de")].concat();
        let expected = format!("{}-2", hex(&Md5::digest(sums)));
        for pieces in [
            &[&b"abcde"[..]][..],
            &[b"ab", b"cde"],
            &[b"abcd", b"", b"e"],
        ] {
            let mut rolling = Rolling::new(Kind::Md5, Some(3));
            pieces.iter().for_each(|piece| rolling.update(piece));
            assert_eq!(rolling.hex(), expected);
        }
    }

    #[test]
    fn a_whole_has_no_dash() {
        let mut rolling = Rolling::new(Kind::Crc32c, None);
        rolling.update(b"123456789");
        assert_eq!(
            rolling.base64(),
            BASE64_STANDARD.encode(0xe306_9283_u32.to_be_bytes())
        );
    }
}
