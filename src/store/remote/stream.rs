//! The streams of a remote store, in both directions.
//! However one ends, the connection is afterwards either between two turns or gone.

use super::Remote;
use super::connection::Line;
use crate::error::{Error, Result};
use crate::log::transactions;
use crate::snapshot::Diff;
use crate::store::wire::{Failure, MAX_DATA, Request, Tag, again, strange};
use crate::store::{Receipt, Sink};
use std::io::{self, Read, Write};

/// What the two directions of a stream share: the line, or why it is no longer to be used.
struct RemoteStream<'a> {
    line: &'a mut Option<Line>,
    failed: Option<Error>,
}

impl<'a> RemoteStream<'a> {
    fn begin(line: &'a mut Option<Line>, diff: &Diff) -> Self {
        if let Some(line) = line {
            line.moved = Some((0, diff.size.bytes()));
        }
        RemoteStream { line, failed: None }
    }

    fn line(&mut self) -> Result<&mut Line> {
        match (&self.failed, self.line.as_mut()) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(line)) => Ok(line),
            (None, None) => Err(strange("the stream is over")),
        }
    }

    /// Remembers an error, so that nothing after it looks like a good end.
    fn fail(&mut self, error: Error, hang_up: bool) -> Error {
        self.over(hang_up);
        self.failed.insert(error).clone()
    }

    /// The turn is over, and perhaps the connection.
    fn over(&mut self, hang_up: bool) {
        if hang_up {
            *self.line = None;
        } else if let Some(line) = self.line {
            line.moved = None;
        }
    }
}

impl Remote {
    /// The stream of a diff.
    pub(super) fn incoming(
        &mut self,
        diff: &Diff,
        unmended: Option<bool>,
    ) -> Result<Box<dyn Read + '_>> {
        let request = Request::Send {
            diff: diff.clone(),
            unmended,
        };
        self.call::<()>(&request)?;
        Ok(Box::new(Incoming::begin(&mut self.line, diff)))
    }
}

/// A stream from the far side. Dropped before its end we hang up: the far side is talking, and
/// does not listen.
pub(super) struct Incoming<'a> {
    stream: RemoteStream<'a>,
    /// Bytes of the current frame that are still to be read.
    left: usize,
    complete: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn begin(line: &'a mut Option<Line>, diff: &Diff) -> Self {
        Incoming {
            stream: RemoteStream::begin(line, diff),
            left: 0,
            complete: false,
        }
    }

    /// Goes on to the next frame. The outer error is a broken connection.
    fn advance(&mut self) -> Result<Result<()>> {
        let line = self.stream.line()?;
        match line.head()? {
            (Tag::Data, length) => self.left = length,
            (Tag::End, length) => {
                let Receipt { bytes, .. } = line.body(length)?;
                let (moved, _) = line.moved.unwrap_or_default();
                if bytes != moved {
                    return Err(strange(&format!(
                        "{moved} bytes came of a stream of {bytes}"
                    )));
                }
                self.complete = true;
                self.stream.over(false);
            }
            (Tag::Fail, length) => match line.failure(length)? {
                (error, true) => return Err(error),
                (error, false) => return Ok(Err(error)),
            },
            _ => return Err(strange("it speaks out of turn")),
        }
        Ok(Ok(()))
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize> {
        let want = buf.len().min(self.left);
        let line = self.stream.line()?;
        loop {
            match line.wire.read(&mut buf[..want]) {
                Ok(0) => return Err(line.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => {
                    line.count(n);
                    self.left -= n;
                    return Ok(n);
                }
                Err(error) => again(error).map_err(|error| line.lost(error))?,
            }
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.complete {
            return Ok(0);
        }
        if let Some(error) = &self.stream.failed {
            return Err(error.clone().into());
        }
        if self.left == 0 {
            match self.advance() {
                Ok(Ok(())) if self.complete => return Ok(0),
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.stream.fail(error, false).into()),
                Err(error) => return Err(self.stream.fail(error, true).into()),
            }
        }
        let taken = self.take(buf);
        taken.map_err(|error| self.stream.fail(error, true).into())
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if !self.complete && self.stream.failed.is_none() {
            self.stream.over(true);
        }
    }
}

/// A stream to the far side. Dropped before it is finished it tells the far side to forget it.
pub(super) struct Outgoing<'a> {
    stream: RemoteStream<'a>,
    /// Where it goes, for people.
    place: String,
}

impl<'a> Outgoing<'a> {
    pub(super) fn begin(line: &'a mut Option<Line>, diff: &Diff, place: String) -> Self {
        Outgoing {
            place,
            stream: RemoteStream::begin(line, diff),
        }
    }
}

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = self.stream.line()?;
        let piece = &bytes[..bytes.len().min(MAX_DATA)];
        if piece.is_empty() {
            return Ok(0);
        }
        match line.wire.put(Tag::Data, piece) {
            Ok(()) => {
                line.count(piece.len());
                Ok(piece.len())
            }
            Err(error) => {
                let error = line.last_words(error);
                Err(self.stream.fail(error, true).into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Outgoing<'_> {
    fn finish(mut self: Box<Self>) -> Result<Receipt> {
        let done = self.end();
        let place = std::mem::take(&mut self.place);
        match done {
            // It is told of when it is published.
            Ok(receipt) if receipt.held => Ok(receipt),
            done => transactions::change("receive", || place, done),
        }
    }
}

impl Outgoing<'_> {
    /// Says that this is all, and hears what became of it.
    fn end(&mut self) -> Result<Receipt> {
        let line = self.stream.line()?;
        let (bytes, _) = line.moved.unwrap_or_default();
        let outcome = match line.wire.say(Tag::End, &Receipt::of(bytes)) {
            Ok(()) => line.answer(),
            Err(error) => Err(line.last_words(error)),
        };
        match outcome {
            Ok(answer) => {
                self.stream.over(false);
                answer
            }
            Err(broken) => Err(self.stream.fail(broken, true)),
        }
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        let Ok(line) = self.stream.line() else { return };
        if line.moved.take().is_none() {
            return;
        }
        let error = Error::failed("cannot send", "the stream was given up");
        let farewell = Failure {
            error,
            hangs_up: false,
        };
        match line.wire.say(Tag::Fail, &farewell) {
            Ok(()) => line.owed = true,
            // The far side sees the end of the connection instead, which means the same.
            Err(_) => self.stream.over(true),
        }
    }
}
