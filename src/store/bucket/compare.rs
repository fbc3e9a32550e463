//! Whether what is stored is a stream that can be made again elsewhere: the stream's checksums are
//! computed as the service computed those of the parts, so that nothing needs to be fetched.

use super::Bucket;
use super::kept::{Kept, Record};
use super::layout::Layout;
use crate::digest::{Algorithm, Digests, Hasher};
use crate::error::{Error, Kind, Result};
use crate::objects::{Keeper, RemoteChecksum};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::snapshot::shown;
use std::io::{ErrorKind, Read};

/// Where the version of a stream stands in it.
const VERSION: std::ops::Range<usize> = 13..17;
const PIECE: usize = 1 << 20;

impl<L: Layout> Bucket<L> {
    pub(super) fn compare_with(&mut self, kept: &Kept, stream: &mut dyn Read) -> Result<Verdict> {
        let record = match self.layout.record(&self.reach, kept) {
            Err(error) if error.kind == Kind::Damaged => {
                return Ok(Verdict::Different(error.to_string()));
            }
            record => record?,
        };
        let mut begin = vec![0; VERSION.end];
        if fill(stream, &mut begin)? < begin.len() {
            let said = "the stream has no beginning";
            return Err(Error::damaged("cannot compare", said));
        }
        if let Some(verdict) = self.another_protocol(kept, begin[VERSION.start])? {
            return Ok(verdict);
        }
        let mut stream = begin.chain(stream);
        let (verdict, taken) = self.compare_objects(kept, &record, &mut stream)?;
        let (bytes, stored) = (taken + read(&mut stream, u64::MAX, |_| {})?, kept.bytes());
        let other = format!("the source makes a stream of {bytes} bytes, and {stored} are stored");
        Ok(match bytes == stored {
            true => verdict,
            false => Verdict::Different(other),
        })
    }

    /// A stream of another version is another stream, of the same snapshot.
    fn another_protocol(&self, kept: &Kept, version: u8) -> Result<Option<Verdict>> {
        let head = match kept.objects.first() {
            Some(object) => self.reach.objects.head(&object.key)?,
            None => None,
        };
        let Some(head) = head else {
            return Ok(Some(Verdict::Different("it is missing".to_owned())));
        };
        let stored = head.meta("protocol");
        let words = format!(
            "it was stored in protocol {stored}, and the source makes protocol {version}; \
             --compressed-data chooses 2"
        );
        let differs = !stored.is_empty() && stored != version.to_string();
        Ok(differs.then_some(Verdict::Unverifiable(words)))
    }

    /// Each object against what the service says and what was recorded of it; where that does not
    /// tell, all of them against what was recorded of the whole. And how many bytes there were.
    fn compare_objects(
        &self,
        kept: &Kept,
        record: &Record,
        stream: &mut dyn Read,
    ) -> Result<(Verdict, u64)> {
        let mut whole = Recomputed::of(&record.whole);
        let (mut verdict, mut bytes) = (None::<Verdict>, 0);
        let keeper = self.reach.objects.keeper();
        for (index, object) in kept.objects.iter().enumerate() {
            let told = self.reach.objects.remote_checksum(object)?;
            let mut each = record.each.get(index).and_then(Recomputed::of);
            let mut computed = told.as_ref().map(RemoteChecksum::hasher);
            bytes += read(stream, object.size, |piece| {
                let recorded = [&mut whole, &mut each].into_iter().flatten();
                let sums = recorded.map(|recorded| &mut recorded.sum);
                sums.chain(&mut computed).for_each(|sum| sum.update(piece));
            })?;
            let told = told.zip(computed);
            let told = told.map_or_else(
                || nothing_told(keeper),
                |(told, sum)| judge(keeper, &told, sum),
            );
            let unreplaced = record.etags.get(index) == Some(&object.etag);
            let next = match each {
                Some(each) => each.judge(keeper, &shown(&object.key), told, unreplaced),
                None => told,
            };
            verdict = Some(verdict.map_or(next.clone(), |so_far| so_far.and(next)));
        }
        let verdict = verdict.unwrap_or_else(|| Verdict::Different("it is empty".to_owned()));
        let verdict = match (whole, verdict) {
            (Some(whole), open @ Verdict::Unverifiable(_)) if record.is_of(kept) => {
                whole.judge(keeper, "the whole", open, true)
            }
            (_, verdict) => verdict,
        };
        Ok((verdict, bytes))
    }
}

/// What follows from the checksum that is told of an object, and was computed of the stream made again.
fn judge(keeper: Keeper, told: &RemoteChecksum, computed: Hasher) -> Verdict {
    let keeper = keeper.word();
    let (name, value, found) = (told.algorithm.name(), &told.value, told.written(computed));
    let of = match told.part {
        Some(part) => format!("{name}s of its parts of {part} bytes are those"),
        None => format!("{name} is that"),
    };
    match (found == *value, told.sure) {
        (true, _) => Verdict::seen(
            Seen::Regenerated,
            format!("the {keeper}'s {of} of the stream made again"),
        ),
        (false, true) => Verdict::Different(format!(
            "the {keeper}'s {name} is {value}, and that of the stream made again is {found}"
        )),
        (false, false) => Verdict::Unverifiable(
            "nobody tells how long its parts are, so their checksums cannot be computed; \
             --download reads it"
                .to_owned(),
        ),
    }
}

/// What is known of an object about which nothing is told.
fn nothing_told(keeper: Keeper) -> Verdict {
    let keeper = keeper.word();
    let words =
        format!("the {keeper} tells no checksum of it that can be computed; --download reads it");
    Verdict::Unverifiable(words)
}

/// A digest that was recorded, and is being computed of the stream made again.
struct Recomputed {
    kind: Algorithm,
    digest: String,
    sum: Hasher,
}

impl Recomputed {
    /// The one that takes the least time; `None` if none was recorded.
    fn of(digests: &Digests) -> Option<Recomputed> {
        digests.quickest().map(|(kind, digest)| Recomputed {
            kind,
            digest: digest.to_owned(),
            sum: Hasher::new(kind, None),
        })
    }

    /// What is known of `what`, together with what is `told` of it otherwise. That its ETag is still the
    /// recorded one says that its bytes are.
    fn judge(self, keeper: Keeper, what: &str, told: Verdict, unreplaced: bool) -> Verdict {
        let (kind, recorded, found) = (self.kind.name(), self.digest, self.sum.hex());
        if !recorded.eq_ignore_ascii_case(&found) {
            let words = format!(
                "the {kind} recorded of {what} is {recorded}, and that of the stream made again is {found}"
            );
            return Verdict::Different(words);
        }
        match told {
            Verdict::Unverifiable(_) if unreplaced => Verdict::seen(
                Seen::Regenerated,
                format!(
                    "its {} is unchanged, and the {kind} recorded with it is that of the stream made again",
                    keeper.etag()
                ),
            ),
            told => told,
        }
    }
}

/// Shows so many bytes of a stream to `each`, or all if there are fewer; how many there were.
pub(super) fn read(stream: &mut dyn Read, size: u64, mut each: impl FnMut(&[u8])) -> Result<u64> {
    let (mut piece, mut taken) = (vec![0; PIECE], 0);
    while taken < size {
        process::check("verifying")?;
        let want = piece
            .len()
            .min(usize::try_from(size - taken).unwrap_or(PIECE));
        match fill(stream, &mut piece[..want])? {
            0 => break,
            n => {
                each(&piece[..n]);
                taken += n as u64;
            }
        }
    }
    Ok(taken)
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match stream.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => process::check("verifying")?,
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        }
    }
    Ok(have)
}
