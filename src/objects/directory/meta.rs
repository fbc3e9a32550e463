//! What is written down of an object, in the file beside it. Knows its text only.

use crate::digest::TreeHash;
use crate::objects::{About, UploadedPart};
use crate::text::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    version: u32,
    /// The whole key: names may have been cut.
    pub(super) key: String,
    /// Bytes that were written.
    pub(super) size: u64,
    /// The tree hash of the bytes in hexadecimal digits; of an object that came in parts that of the tree hashes of
    /// these, with their number behind a dash.
    pub(super) etag: String,
    /// Bytes of a part but the last, if it came in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part_size: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    content_type: String,
    /// What was written with it.
    #[serde(default)]
    pub(super) meta: BTreeMap<String, String>,
}

impl Meta {
    /// Of an object of unknown bytes.
    pub(super) fn new(key: &str, about: &About) -> Meta {
        let meta = about.meta.iter();
        Meta {
            version: VERSION,
            key: key.to_owned(),
            content_type: about.content_type.to_owned(),
            meta: meta.map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
            ..Meta::default()
        }
    }

    /// Of an object of these bytes.
    pub(super) fn of(key: &str, bytes: &[u8], about: &About) -> Meta {
        Meta {
            size: bytes.len() as u64,
            etag: digest(bytes),
            ..Meta::new(key, about)
        }
    }

    /// Of an object of these parts, all but the last of so many bytes; `None` if they are no parts of ours.
    pub(super) fn of_parts(self, parts: &[UploadedPart], part_size: u64) -> Option<Meta> {
        let mut tree = TreeHash::default();
        for part in parts {
            tree.update(&unhex(&part.etag)?);
        }
        Some(Meta {
            size: parts.iter().map(|part| part.size).sum(),
            etag: format!("{}-{}", hex(&tree.finish()), parts.len()),
            part_size: Some(part_size),
            ..self
        })
    }

    /// The same for a copy under another key.
    pub(super) fn moved(self, key: &str) -> Meta {
        let key = key.to_owned();
        Meta { key, ..self }
    }

    /// What a file says; `None` if it is not understood.
    pub(super) fn parse(text: &[u8]) -> Option<Meta> {
        let meta: Meta = serde_json::from_slice(text).ok()?;
        (meta.version == VERSION).then_some(meta)
    }

    /// What the file has.
    pub(super) fn text(&self) -> Vec<u8> {
        json(self)
    }
}

/// A document for people as well as for programs.
pub(super) fn json(of: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(of).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The tree hash of bytes that are at hand, in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut tree = TreeHash::default();
    tree.update(bytes);
    hex(&tree.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Hasher};

    #[test]
    fn a_digest_of_parts_is_what_a_hasher_makes_of_all() {
        let bytes: Vec<u8> = (0..2500).map(|n| (n % 251) as u8).collect();
        let part = |bytes: &[u8]| UploadedPart {
            size: bytes.len() as u64,
            etag: digest(bytes),
            ..UploadedPart::default()
        };
        let parts: Vec<UploadedPart> = bytes.chunks(1000).map(part).collect();
        let about = About::default();
        let meta = Meta::new("k", &about).of_parts(&parts, 1000).unwrap();
        let mut hasher = Hasher::new(Algorithm::TreeHash, Some(1000));
        hasher.update(&bytes);
        assert_eq!((meta.size, meta.etag.clone()), (2500, hasher.hex()));
        assert_eq!(Meta::parse(&meta.text()), Some(meta));
    }

    #[test]
    fn what_is_not_understood() {
        let known = r#"{"version": 1, "key": "k", "size": 1, "etag": "e", "later": [1]}"#;
        assert_eq!(Meta::parse(known.as_bytes()).unwrap().key, "k");
        for other in [known.replace('1', "2"), "{}".to_owned(), String::new()] {
            assert_eq!(Meta::parse(other.as_bytes()), None);
        }
    }
}
