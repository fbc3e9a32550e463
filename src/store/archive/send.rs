//! The chunks of a backup as one stream. The last bytes of a chunk are passed on only after all of
//! it had the SHA-256 that its manifest says.

use crate::error::{Error, Result};
use crate::s3::upload::hex;
use ring::digest::{Context, SHA256};
use std::collections::VecDeque;
use std::io::{self, Read};

/// A stream that is being put together.
pub(super) struct Chunks<R> {
    inner: R,
    /// What is still to come: where each chunk is from, its size and its SHA-256.
    ahead: VecDeque<(String, u64, String)>,
    /// Bytes of the first one that were read.
    taken: u64,
    sum: Context,
    /// Why no more comes. An error is never followed by bytes or an end.
    failed: Option<Error>,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(inner: R, chunks: VecDeque<(String, u64, String)>) -> Chunks<R> {
        Chunks {
            inner,
            ahead: chunks,
            taken: 0,
            sum: Context::new(&SHA256),
            failed: None,
        }
    }

    /// Ends the chunks of which all was read.
    fn close(&mut self) -> Result<()> {
        while let Some((from, size, recorded)) = self.ahead.front() {
            if self.taken < *size {
                return Ok(());
            }
            let sum = std::mem::replace(&mut self.sum, Context::new(&SHA256));
            let found = hex(sum.finish().as_ref());
            if !recorded.eq_ignore_ascii_case(&found) {
                let said = format!("its SHA-256 is {found}, and its manifest says '{recorded}'");
                return Err(Error::damaged(format!("cannot use {from}"), said));
            }
            self.ahead.pop_front();
            self.taken = 0;
        }
        Ok(())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.close()?;
        let Some((from, size, _)) = self.ahead.front() else {
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

    fn chunks(parts: &[&[u8]]) -> VecDeque<(String, u64, String)> {
        let sum = |part: &&[u8]| hex(ring::digest::digest(&SHA256, part).as_ref());
        let chunk = |part: &&[u8]| ("c".to_owned(), part.len() as u64, sum(part));
        parts.iter().map(chunk).collect()
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
