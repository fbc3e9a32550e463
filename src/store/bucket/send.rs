//! What is kept as one stream. The last bytes of an object are passed on only after all of it had the
//! digest that was recorded of it, if there is one.

use super::download::Download;
use super::kept::{Kept, Record};
use crate::digest::{Algorithm, Digests, Hasher};
use crate::error::{Error, Result};
use crate::objects::Objects;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

/// The stream of what is kept, as it was recorded.
pub(super) fn stream(objects: &Arc<dyn Objects>, kept: &Kept, record: Record) -> Box<dyn Read> {
    let binding = record.binding || record.is_of(kept);
    let whole = if binding {
        record.whole
    } else {
        Digests::default()
    };
    let download = Download::new(Arc::clone(objects), kept.objects.clone(), whole);
    if record.each.is_empty() {
        return Box::new(download);
    }
    let pieces = kept.objects.iter().zip(&record.each);
    let expected = pieces.map(|(object, digests)| {
        let (kind, digest) = digests.quickest().unwrap_or((Algorithm::Sha256, ""));
        ExpectedObject {
            from: objects.url(&object.key),
            size: object.size,
            kind,
            digest: digest.to_owned(),
        }
    });
    Box::new(Chunks::new(download, expected.collect()))
}

/// A stream that is being put together.
struct Chunks<R> {
    inner: R,
    /// What is still to come.
    ahead: VecDeque<ExpectedObject>,
    /// Bytes of the first one that were read, and their digest.
    taken: u64,
    sum: Hasher,
    /// Why no more comes. An error is never followed by bytes or an end.
    failed: Option<Error>,
}

/// An object as it was recorded.
struct ExpectedObject {
    from: String,
    size: u64,
    kind: Algorithm,
    digest: String,
}

fn begin(ahead: &VecDeque<ExpectedObject>) -> Hasher {
    Hasher::new(
        ahead.front().map_or(Algorithm::Sha256, |chunk| chunk.kind),
        None,
    )
}

impl<R: Read> Chunks<R> {
    fn new(inner: R, chunks: VecDeque<ExpectedObject>) -> Chunks<R> {
        Chunks {
            inner,
            sum: begin(&chunks),
            ahead: chunks,
            taken: 0,
            failed: None,
        }
    }

    /// Ends the chunks of which all was read.
    fn close(&mut self) -> Result<()> {
        while self
            .ahead
            .front()
            .is_some_and(|chunk| self.taken == chunk.size)
            && let Some(chunk) = self.ahead.pop_front()
        {
            let sum = std::mem::replace(&mut self.sum, begin(&self.ahead));
            let found = sum.hex();
            if !chunk.digest.eq_ignore_ascii_case(&found) {
                let (kind, recorded) = (chunk.kind.name(), chunk.digest);
                let said = format!("its {kind} is {found}, and its manifest says '{recorded}'");
                return Err(Error::damaged(format!("cannot use {}", chunk.from), said));
            }
            self.taken = 0;
        }
        Ok(())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.close()?;
        let Some(ExpectedObject { from, size, .. }) = self.ahead.front() else {
            // The reader below has an end of its own to check.
            let doing = "cannot use the backup";
            return match self.inner.read(buffer) {
                Ok(0) => Ok(0),
                Ok(_) => Err(Error::damaged(
                    doing,
                    "there is more than its manifest says",
                )),
                Err(error) => Err(Error::io(doing, error)),
            };
        };
        let want = buffer.len().min((size - self.taken) as usize);
        let doing = || format!("cannot use {from}");
        let count = loop {
            match self.inner.read(&mut buffer[..want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    crate::process::check(&doing())?;
                }
                read => break read.map_err(|error| Error::io(doing(), error))?,
            }
        };
        if count == 0 {
            return Err(Error::damaged(doing(), "it ends early"));
        }
        self.sum.update(&buffer[..count]);
        self.taken += count as u64;
        self.close()?;
        Ok(count)
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        self.next(buffer).map_err(|error| {
            self.failed = Some(error.clone());
            error.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(parts: &[&[u8]]) -> VecDeque<ExpectedObject> {
        let kinds = [Algorithm::Sha256, Algorithm::TreeHash].into_iter().cycle();
        let chunk = |(part, kind): (&&[u8], Algorithm)| {
            let mut sum = Hasher::new(kind, None);
            sum.update(part);
            ExpectedObject {
                from: "c".to_owned(),
                size: part.len() as u64,
                kind,
                digest: sum.hex(),
            }
        };
        parts.iter().zip(kinds).map(chunk).collect()
    }

    fn read(bytes: &[u8], parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let (mut all, mut small) = (Vec::new(), [0; 3]);
        let mut stream = Chunks::new(bytes, chunks(parts));
        loop {
            match stream.read(&mut small)? {
                0 => return Ok(all),
                n => all.extend_from_slice(&small[..n]),
            }
        }
    }

    #[test]
    fn all_or_an_error() {
        let parts: [&[u8]; 4] = [b"abcd", b"", b"efghi", b"j"];
        assert_eq!(read(b"abcdefghij", &parts).unwrap(), b"abcdefghij");
        for wrong in [
            &b"abcdefghi"[..],
            b"abcdefghijk",
            b"abXdefghij",
            b"abcdefghiX",
            b"",
        ] {
            read(wrong, &parts).unwrap_err();
        }
    }

    #[test]
    fn the_end_of_a_wrong_chunk_is_not_passed_on() {
        let mut stream = Chunks::new(&b"abXdefghi"[..], chunks(&[b"abcd", b"efghi"]));
        let mut given = 0;
        let mut byte = [0];
        while let Ok(n) = stream.read(&mut byte) {
            assert_ne!(n, 0);
            given += n;
        }
        assert_eq!(given, 3);
        stream.read(&mut byte).unwrap_err();
    }
}
