//! Whether an object holds a stream that can be made again elsewhere: the stream's checksums are
//! computed as the service computed those of the parts, so that nothing needs to be fetched.

use super::S3Store;
use super::index::Kept;
use crate::digest::{Algorithm, Hasher};
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::s3::remote_checksum::{RemoteChecksum, no_remote_checksum};
use std::io::{ErrorKind, Read};

/// Where the version of a stream stands in it.
const VERSION: std::ops::Range<usize> = 13..17;
const PIECE: usize = 1 << 20;

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
        let kind = record.digests.quickest().map(|(kind, _)| kind);
        let mut whole = Hasher::new(kind.unwrap_or(Algorithm::Sha256), None);
        let (mut verdict, mut bytes) = (None, 0);
        for object in &kept.objects {
            let claim = self.client.remote_checksum(object)?;
            let (found, taken) = digest(&mut stream, object.size, claim.as_ref(), &mut whole)?;
            bytes += taken;
            let next = claim.map_or_else(no_remote_checksum, |claim| claim.judge(&found));
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
        Ok(match (verdict, record.digests.quickest()) {
            (Verdict::Unverifiable(_), Some((kind, recorded))) if unreplaced => {
                by_record(kind.name(), recorded, &whole.hex())
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
}

fn by_record(kind: &str, recorded: &str, found: &str) -> Verdict {
    match recorded.eq_ignore_ascii_case(found) {
        true => Verdict::seen(
            Seen::Regenerated,
            format!(
                "its ETag is unchanged, and the {kind} recorded with it is that of the stream made again"
            ),
        ),
        false => Verdict::Different(format!(
            "the {kind} recorded when it was uploaded is {recorded}, and that of the stream made again is {found}"
        )),
    }
}

/// The checksum of so many bytes, as the claim has it, and how many there were.
fn digest(
    stream: &mut dyn Read,
    size: u64,
    claim: Option<&RemoteChecksum>,
    whole: &mut Hasher,
) -> Result<(String, u64)> {
    let mut hasher = claim.map(RemoteChecksum::hasher);
    let (mut piece, mut taken) = (vec![0; PIECE], 0);
    while taken < size {
        process::check("verifying")?;
        let want = piece.len().min((size - taken) as usize);
        let got = fill(stream, &mut piece[..want])?;
        whole.update(&piece[..got]);
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece[..got]);
        }
        taken += got as u64;
        if got < want {
            break;
        }
    }
    let text = claim
        .zip(hasher)
        .map(|(claim, hasher)| claim.written(hasher));
    Ok((text.unwrap_or_default(), taken))
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
