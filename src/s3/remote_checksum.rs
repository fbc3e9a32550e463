//! What a service says of an object's bytes that can be computed from the bytes. Computes nothing.

use super::Client;
use super::objects::HeadResponse;
use crate::digest::Algorithm;
use crate::error::Result;
use crate::objects::{RemoteChecksum, Source};

impl Client {
    /// What the service can be held to; `None` if it tells nothing that can be computed.
    pub(crate) fn remote_checksum(&self, object: &Source) -> Result<Option<RemoteChecksum>> {
        let (whole, first) = (self.head(&object.key)?, self.head_of_part(&object.key)?);
        let Some(head) = whole.filter(|head| head.etag == object.etag) else {
            return Ok(None);
        };
        let count = parts_in(&object.etag);
        let layout = count.and_then(|count| part_size(object.size, count, &head, first.as_ref()));
        let md5 = self.etags_are_md5() && !head.is_kms();
        if md5 && is_md5(&object.etag) && (count.is_none() || layout.is_some()) {
            return Ok(Some(RemoteChecksum {
                algorithm: Algorithm::Md5,
                value: object.etag.to_ascii_lowercase(),
                part: layout.map(|(part, _)| part),
                sure: layout.is_none_or(|(_, sure)| sure),
            }));
        }
        let Some(first) = first else {
            return Ok(None);
        };
        let sums = [
            (Algorithm::Sha256, "x-amz-checksum-sha256"),
            (Algorithm::Crc32c, "x-amz-checksum-crc32c"),
        ];
        let told = sums.map(|(algorithm, header)| (algorithm, first.header(header).to_owned()));
        let told = told.into_iter().find(|(_, value)| !value.is_empty());
        // Of an object in parts this is the sum of the first one, or of all: only `-N` tells.
        let told = told.filter(|(_, value)| count.is_none() || value.contains('-'));
        Ok(told.and_then(|(algorithm, value)| {
            let part = layout.filter(|_| value.contains('-'));
            let computable = part.is_some() || !value.contains('-');
            computable.then_some(RemoteChecksum {
                algorithm,
                value,
                part: part.map(|(part, _)| part),
                sure: part.is_none_or(|(_, sure)| sure),
            })
        }))
    }
}

/// How many parts an ETag says that there are; `None` for an object that was written at once.
pub(crate) fn parts_in(etag: &str) -> Option<u64> {
    etag.rsplit_once('-')?.1.parse().ok()
}

/// The length of all parts but the last, and whether the service itself says so.
fn part_size(
    size: u64,
    count: u64,
    head: &HeadResponse,
    first: Option<&HeadResponse>,
) -> Option<(u64, bool)> {
    let fits = |part: &u64| *part > 0 && size.div_ceil(*part) == count;
    if count == 1 {
        return Some((size.max(1), true));
    }
    let told = first
        .filter(|first| first.size < size)
        .map(|first| first.size);
    let noted = head.meta("part-size").parse().ok();
    let told = told.filter(fits).map(|part| (part, true));
    told.or(noted.filter(fits).map(|part| (part, false)))
}

fn is_md5(etag: &str) -> bool {
    let digest = etag.split('-').next().unwrap_or_default();
    digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit())
}
