//! Digests: SHA-256, its tree hash, MD5 and CRC-32C, of bytes that are at hand, of bytes as they
//! come, and on threads beside. The only place that knows which packages compute them. Knows no file,
//! no stream and no service.

mod background;
mod hasher;
mod tree_hash;

pub(crate) use background::{Background, Buffer};
pub use hasher::{Algorithm, Hasher};
pub(crate) use tree_hash::{LEAF, TreeHash, leaves};

pub use crate::sys::Hash;

use crate::text::hex;
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest as _, Md5};
use ring::{digest, hmac};
use std::io;

/// The SHA-256 of bytes that are at hand.
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// The MD5 of bytes: no proof against malice, and what services that check nothing better compare.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The MD5 of bytes as the header `Content-MD5` has it.
pub(crate) fn content_md5(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(md5(bytes))
}

/// The CRC-32C (Castagnoli) of bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The CRC-32C of more bytes after those whose CRC-32C is given; that of nothing is 0.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// The HMAC of a message with SHA-256 (RFC 2104).
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// A SHA-256 of bytes as they come.
///
/// `ring` computes it in assembly (OpenSSL's), with the processor's SHA instructions where it has
/// them and its vectors where not.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Sha256 {
        Sha256(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes that were added.
    pub fn finish(self) -> Hash {
        let mut hash = Hash::default();
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is recorded of a stream's bytes, in hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// The SHA-256 of the whole.
    pub sha256: Option<String>,
    /// The SHA-256 tree hash, which says as much and takes less time.
    pub tree_hash: Option<String>,
}

impl Digests {
    /// Both digests of bytes that are at hand.
    pub(crate) fn of(bytes: &[u8]) -> Digests {
        let mut hasher = DigestsHasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Remembers a digest of the stream; the other algorithms are for nothing that is recorded.
    pub(crate) fn set(&mut self, algorithm: Algorithm, digest: String) {
        match algorithm {
            Algorithm::Sha256 => self.sha256 = Some(digest),
            Algorithm::TreeHash => self.tree_hash = Some(digest),
            Algorithm::Md5 | Algorithm::Crc32c => {}
        }
    }

    /// The recorded digest that takes the least time to compute again.
    pub(crate) fn quickest(&self) -> Option<(Algorithm, &str)> {
        let tree_hash = self.tree_hash.as_deref();
        let tree_hash = tree_hash.map(|digest| (Algorithm::TreeHash, digest));
        tree_hash.or(self
            .sha256
            .as_deref()
            .map(|digest| (Algorithm::Sha256, digest)))
    }
}

/// [`Digests`] of bytes as they come.
#[derive(Default)]
pub(crate) struct DigestsHasher {
    sha256: Sha256,
    tree_hash: TreeHash,
}

impl DigestsHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.tree_hash.update(bytes);
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: Some(hex(&self.sha256.finish())),
            tree_hash: Some(hex(&self.tree_hash.finish())),
        }
    }
}
