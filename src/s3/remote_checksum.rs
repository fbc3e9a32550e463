//! What a service says of an object's bytes, and how to compute the same from the bytes, so that
//! nothing needs to be fetched to know whether they are there.

use super::Client;
use super::download::Source;
use super::objects::Head;
use crate::digest::{Algorithm, Hasher};
use crate::error::Result;
use crate::proof::{Seen, Verdict};

/// What the service says of an object, and how to compute the same.
pub(crate) struct RemoteChecksum {
    algorithm: Algorithm,
    value: String,
    /// Bytes of a part; `None` if the value is of the whole.
    part: Option<u64>,
    /// The service told the length of the parts.
    sure: bool,
}

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

impl RemoteChecksum {
    /// Bytes of a part; `None` if the checksum is of the whole.
    pub(crate) fn part(&self) -> Option<u64> {
        self.part
    }

    /// Grows with the bytes to what [`RemoteChecksum::written`] makes comparable.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm, self.part)
    }

    /// The checksum as the service writes it.
    pub(crate) fn written(&self, hasher: Hasher) -> String {
        match self.algorithm {
            Algorithm::Md5 => hasher.hex(),
            _ => hasher.base64(),
        }
    }

    /// Whether the service has these bytes, as far as it can be known.
    pub(crate) fn holds(&self, hasher: Hasher) -> bool {
        self.written(hasher) == self.value
    }

    /// What follows from the checksum that was computed.
    pub(crate) fn judge(&self, found: &str) -> Verdict {
        let name = self.algorithm.name();
        let of = match self.part {
            Some(part) => format!("{name}s of its parts of {part} bytes are those"),
            None => format!("{name} is that"),
        };
        match (found == self.value, self.sure) {
            (true, _) => Verdict::seen(
                Seen::Regenerated,
                format!("the service's {of} of the stream made again"),
            ),
            (false, true) => Verdict::Different(format!(
                "the service's {name} is {}, and that of the stream made again is {found}",
                self.value
            )),
            (false, false) => Verdict::Unverifiable(
                "nobody tells how long its parts are, so their checksums cannot be computed; \
                 --download reads it"
                    .to_owned(),
            ),
        }
    }
}

/// What is known of an object about which nothing is claimed.
pub(crate) fn no_remote_checksum() -> Verdict {
    let words = "the service tells no checksum of it that can be computed; --download reads it";
    Verdict::Unverifiable(words.to_owned())
}

/// How many parts an ETag says that there are; `None` for an object that was written at once.
pub(crate) fn parts_in(etag: &str) -> Option<u64> {
    etag.rsplit_once('-')?.1.parse().ok()
}

/// The length of all parts but the last, and whether the service itself says so.
fn part_size(size: u64, count: u64, head: &Head, first: Option<&Head>) -> Option<(u64, bool)> {
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
