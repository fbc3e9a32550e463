//! A part of an object that comes in parts: what is to be sent, and what has arrived.

use crate::digest::Hash;
use jiff::Timestamp;

/// A part of an upload that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Counted from 1.
    pub number: u64,
    /// All of it.
    pub bytes: &'a [u8],
    /// The hashes of its leaves in the SHA-256 tree hash, for who wants them too; `None` if nobody has hashed them.
    pub leaves: Option<&'a [Hash]>,
}

impl<'a> Part<'a> {
    /// A part of which nothing is known but its bytes.
    pub fn new(number: u64, bytes: &'a [u8]) -> Part<'a> {
        let leaves = None;
        Part {
            number,
            bytes,
            leaves,
        }
    }
}

/// A part of an upload that has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadedPart {
    /// Counted from 1.
    pub number: u64,
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// When it arrived.
    pub modified: Option<Timestamp>,
    /// In Base64; empty if it is not told.
    pub crc32c: String,
    /// In Base64; empty if it is not told.
    pub sha256: String,
}
