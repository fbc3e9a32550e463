//! Whether an object holds a stream that can be made again elsewhere: the stream's checksums are
//! computed as the service computed those of the parts, so that nothing needs to be fetched.

use super::S3Store;
use super::index::Kept;
use super::inspect::parts_in;
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::proof::Verdict;
use crate::s3::download::Source;
use crate::s3::objects::Head;
use crate::s3::sum::{Kind as Sum, Rolling};
use std::io::{ErrorKind, Read};

/// Where the version of a stream stands in it.
const VERSION: std::ops::Range<usize> = 13..17;
const PIECE: usize = 1 << 20;

/// What the service says of an object, and how to compute the same.
struct Claim {
    sum: Sum,
    value: String,
    /// Bytes of a part; `None` if the value is of the whole.
    part: Option<u64>,
    /// The service told the length of the parts.
    sure: bool,
}

impl S3Store {
    pub(super) fn compare_with(&mut self, kept: &Kept, stream: &mut dyn Read) -> Result<Verdict> {
        let record = match self.record(kept) {
            Err(error) if error.kind == Kind::Damaged => {
                return Ok(Verdict::Different(error.to_string()));
            }
            record => record?,
        };
        let mut begin = vec![0; VERSION.end];
        if fill(stream, &mut begin)? < begin.len() {
            return Err(Error::damaged(
                "cannot compare",
                "the stream has no beginning",
            ));
        }
        if let Some(verdict) = self.another_protocol(kept, &begin)? {
            return Ok(verdict);
        }
        let mut stream = begin.chain(stream);
        let mut whole = Rolling::new(Sum::Sha256, None);
        let (mut verdict, mut bytes) = (None, 0);
        for object in &kept.objects {
            let claim = self.claim(object)?;
            let (found, taken) = digest(&mut stream, object.size, claim.as_ref(), &mut whole)?;
            bytes += taken;
            let next = judged(claim.as_ref(), &found);
            verdict = Some(verdict.map_or(next.clone(), |so_far: Verdict| so_far.and(next)));
        }
        bytes += rest(&mut stream)?;
        if bytes != kept.bytes() {
            let words = format!(
                "the source makes a stream of {bytes} bytes, and {} are stored",
                kept.bytes()
            );
            return Ok(Verdict::Different(words));
        }
        let unreplaced = record.etags.iter().eq(kept.objects.iter().map(|o| &o.etag));
        let verdict = verdict.unwrap_or_else(|| Verdict::Different("it is empty".to_owned()));
        Ok(match (verdict, record.sha256) {
            (Verdict::Unverifiable(_), Some(sha256)) if unreplaced => {
                by_record(&sha256, &whole.hex())
            }
            (verdict, _) => verdict,
        })
    }

    /// A stream of another version is another stream, of the same snapshot.
    fn another_protocol(&self, kept: &Kept, begin: &[u8]) -> Result<Option<Verdict>> {
        let head = match kept.objects.first() {
            Some(object) => self.client.head(&object.key)?,
            None => None,
        };
        let Some(head) = head else {
            return Ok(Some(Verdict::Different("it is missing".to_owned())));
        };
        let stored = head.meta("protocol");
        let version = u32::from(begin[VERSION.start]).to_string();
        let words = format!(
            "it was uploaded in protocol {stored}, and the source makes protocol {version}; \
             --compressed-data chooses 2"
        );
        let differs = !stored.is_empty() && stored != version;
        Ok(differs.then_some(Verdict::Unverifiable(words)))
    }

    /// What the service can be held to; `None` if it tells nothing that can be computed.
    fn claim(&self, object: &Source) -> Result<Option<Claim>> {
        let (whole, first) = (
            self.client.head(&object.key)?,
            self.client.head_of_part(&object.key)?,
        );
        let Some(head) = whole.filter(|head| head.etag == object.etag) else {
            return Ok(None);
        };
        let count = parts_in(&object.etag);
        let layout = count.and_then(|count| part_size(object.size, count, &head, first.as_ref()));
        let md5 = self.client.etags_are_md5() && !head.is_kms();
        if md5 && is_md5(&object.etag) && (count.is_none() || layout.is_some()) {
            return Ok(Some(Claim {
                sum: Sum::Md5,
                value: object.etag.to_ascii_lowercase(),
                part: layout.map(|(part, _)| part),
                sure: layout.is_none_or(|(_, sure)| sure),
            }));
        }
        let Some(first) = first else {
            return Ok(None);
        };
        let sums = [
            (Sum::Sha256, "x-amz-checksum-sha256"),
            (Sum::Crc32c, "x-amz-checksum-crc32c"),
        ];
        let told = sums.map(|(sum, header)| (sum, first.header(header).to_owned()));
        let told = told.into_iter().find(|(_, value)| !value.is_empty());
        // Of an object in parts this is the sum of the first one, or of all: only `-N` tells.
        let told = told.filter(|(_, value)| count.is_none() || value.contains('-'));
        Ok(told.and_then(|(sum, value)| {
            let part = layout.filter(|_| value.contains('-'));
            let computable = part.is_some() || !value.contains('-');
            computable.then_some(Claim {
                sum,
                value,
                part: part.map(|(part, _)| part),
                sure: part.is_none_or(|(_, sure)| sure),
            })
        }))
    }
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

fn judged(claim: Option<&Claim>, found: &str) -> Verdict {
    let Some(claim) = claim else {
        let words = "the service tells no checksum of it that can be computed; --download reads it";
        return Verdict::Unverifiable(words.to_owned());
    };
    let name = claim.sum.name();
    let of = match claim.part {
        Some(part) => format!("{name}s of its parts of {part} bytes are those"),
        None => format!("{name} is that"),
    };
    match (found == claim.value, claim.sure) {
        (true, _) => Verdict::Proved(format!("the service's {of} of the stream made again")),
        (false, true) => Verdict::Different(format!(
            "the service's {name} is {}, and that of the stream made again is {found}",
            claim.value
        )),
        (false, false) => Verdict::Unverifiable(
            "nobody tells how long its parts are, so their checksums cannot be computed; \
             --download reads it"
                .to_owned(),
        ),
    }
}

fn by_record(recorded: &str, found: &str) -> Verdict {
    match recorded.eq_ignore_ascii_case(found) {
        true => Verdict::Proved(
            "its ETag is unchanged, and the SHA-256 recorded with it is that of the stream made again"
                .to_owned(),
        ),
        false => Verdict::Different(format!(
            "the SHA-256 recorded when it was uploaded is {recorded}, and that of the stream made again is {found}"
        )),
    }
}

/// The checksum of so many bytes, as the claim has it, and how many there were.
fn digest(
    stream: &mut dyn Read,
    size: u64,
    claim: Option<&Claim>,
    whole: &mut Rolling,
) -> Result<(String, u64)> {
    let mut rolling = claim.map(|claim| Rolling::new(claim.sum, claim.part));
    let (mut piece, mut taken) = (vec![0; PIECE], 0);
    while taken < size {
        process::check("verifying")?;
        let want = piece.len().min((size - taken) as usize);
        let got = fill(stream, &mut piece[..want])?;
        whole.update(&piece[..got]);
        if let Some(rolling) = &mut rolling {
            rolling.update(&piece[..got]);
        }
        taken += got as u64;
        if got < want {
            break;
        }
    }
    let text = match (rolling, claim.map(|claim| claim.sum)) {
        (Some(rolling), Some(Sum::Md5)) => rolling.hex(),
        (Some(rolling), _) => rolling.base64(),
        (None, _) => String::new(),
    };
    Ok((text, taken))
}

/// How much more there is than was expected.
fn rest(stream: &mut dyn Read) -> Result<u64> {
    let (mut piece, mut bytes) = (vec![0; PIECE], 0);
    loop {
        process::check("verifying")?;
        match fill(stream, &mut piece)? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match stream.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                process::check("verifying")?;
            }
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        }
    }
    Ok(have)
}
