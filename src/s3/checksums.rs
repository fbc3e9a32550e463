//! What says that bytes arrived: checksums of parts, and what follows from them for the whole. Sends
//! nothing.

use super::objects::HeadResponse;
use super::{Checksum, Client, Sse};
use crate::digest::{Sha256, crc32c, md5};
use crate::objects::UploadedPart;
use crate::text::{hex, unhex};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt;

/// The checksums of one part.
pub(super) struct PartChecksums {
    pub(super) md5: Option<[u8; 16]>,
    /// The header's name, the element's name in XML, the value.
    pub(super) checksum: Option<(&'static str, &'static str, String)>,
}

impl PartChecksums {
    /// What they say of a part.
    pub(super) fn of_part(&self) -> UploadedPart {
        let value = |wanted: &str| match &self.checksum {
            Some((_, element, value)) if *element == wanted => value.clone(),
            _ => String::new(),
        };
        UploadedPart {
            crc32c: value("ChecksumCRC32C"),
            sha256: value("ChecksumSHA256"),
            ..UploadedPart::default()
        }
    }

    pub(super) fn headers(&self) -> Vec<(String, String)> {
        match (&self.checksum, &self.md5) {
            (Some((header, _, value)), _) => vec![((*header).to_owned(), value.clone())],
            (None, Some(md5)) => vec![("content-md5".to_owned(), BASE64_STANDARD.encode(md5))],
            (None, None) => Vec::new(),
        }
    }
}

impl PartChecksums {
    pub(super) fn of(bytes: &[u8], checksum: Checksum) -> PartChecksums {
        let base64 = |sum: &[u8]| BASE64_STANDARD.encode(sum);
        let checksum = match checksum {
            Checksum::Md5 => {
                return PartChecksums {
                    md5: Some(md5(bytes)),
                    checksum: None,
                };
            }
            Checksum::Crc32c => (
                "x-amz-checksum-crc32c",
                "ChecksumCRC32C",
                base64(&crc32c(bytes).to_be_bytes()),
            ),
            Checksum::Sha256 => (
                "x-amz-checksum-sha256",
                "ChecksumSHA256",
                base64(&Sha256::of(bytes)),
            ),
        };
        PartChecksums {
            md5: None,
            checksum: Some(checksum),
        }
    }
}

impl Checksum {
    const ALL: [Checksum; 3] = [Checksum::Md5, Checksum::Crc32c, Checksum::Sha256];

    /// S3's name of it; none if it is the old header's.
    pub(super) fn algorithm(self) -> &'static str {
        match self {
            Checksum::Md5 => "",
            Checksum::Crc32c => "CRC32C",
            Checksum::Sha256 => "SHA256",
        }
    }

    /// By S3's name.
    pub(super) fn named(algorithm: &str) -> Option<Checksum> {
        let same = |checksum: &Checksum| checksum.algorithm() == algorithm;
        Checksum::ALL.into_iter().find(same)
    }
}

impl Client {
    /// What parts are verified by.
    pub(super) fn checksum(&self) -> Checksum {
        let usual = if self.quirks().checksums {
            Checksum::Crc32c
        } else {
            Checksum::Md5
        };
        self.options.checksum.unwrap_or(usual)
    }

    pub(crate) fn etags_are_md5(&self) -> bool {
        self.quirks().etag_md5 && !matches!(self.options.sse, Sse::Kms(_))
    }
}

/// What the service must have in the end.
pub(super) struct Expected {
    pub(super) size: u64,
    /// 0 for an object that was written at once.
    pub(super) parts: usize,
    /// `None` if the parts' ETags are not such that it follows from them.
    pub(super) etag: Option<String>,
}

impl Expected {
    pub(super) fn is_met(&self, head: &HeadResponse, md5: bool) -> bool {
        let etag = head.etag.to_ascii_lowercase();
        let (digest, parts) = match etag.split_once('-') {
            Some((digest, parts)) => (digest.to_owned(), parts.parse().ok()),
            None => (etag.clone(), Some(0)),
        };
        // An ETag of another form says nothing here.
        let comparable = md5 && is_md5(&digest) && parts.is_some() && self.etag.is_some();
        self.size == head.size
            && (!comparable || (parts == Some(self.parts) && self.etag.as_ref() == Some(&etag)))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let etag = self.etag.as_deref().unwrap_or("of any form");
        write!(
            f,
            "{} bytes in {} parts with ETag {etag}",
            self.size,
            self.parts.max(1)
        )
    }
}

/// The ETag of an object made of these parts: MD5 of their MD5s, and how many there are.
pub(super) fn composite(parts: &[UploadedPart]) -> Option<String> {
    let md5_of = |part: &UploadedPart| unhex(&part.etag).filter(|bytes| bytes.len() == 16);
    let all: Option<Vec<_>> = parts.iter().map(md5_of).collect();
    Some(format!("{}-{}", hex(&md5(&all?.concat())), parts.len()))
}

fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_follows_from_the_parts() {
        let part = |number, bytes: &[u8]| UploadedPart {
            number,
            size: bytes.len() as u64,
            etag: hex(&md5(bytes)),
            ..UploadedPart::default()
        };
        let parts = [part(1, b"a"), part(2, b"b")];
        let sums = [md5(b"a"), md5(b"b")].concat();
        let expected = format!("{}-2", hex(&md5(&sums)));
        assert_eq!(composite(&parts), Some(expected));
        let odd = UploadedPart {
            etag: "not-hex".to_owned(),
            ..part(3, b"c")
        };
        assert_eq!(composite(&[odd]), None);
    }
}
