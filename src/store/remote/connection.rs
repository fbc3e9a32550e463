//! A connection to a far side, between two turns: the greetings, a question and its answer, and
//! what is said when it breaks. Knows no store.

use crate::error::{Cause, Error, Kind, Result};
use crate::log;
use crate::process;
use crate::proof::Watched;
use crate::store::Access;
use crate::store::remote::Pipes;
use crate::store::wire::{Descriptors, Failure, Half, Hello, Request, Tag, Wire, plain, strange};
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// A connection between two turns.
pub(super) struct Line {
    pub(super) wire: Wire<Box<dyn Read + Send>, Box<dyn Write + Send>>,
    host: String,
    pub(super) far: Hello,
    /// We gave up a stream, and the far side has not yet said that its leftovers are gone.
    pub(super) owed: bool,
    /// In a stream: bytes so far, and bytes to come in all, if that is known.
    pub(super) moved: Option<(u64, Option<u64>)>,
}

impl Line {
    /// Both greetings, and whether ours could be said.
    pub(super) fn greet(
        host: &str,
        us: &Hello,
        (reader, writer): Pipes,
        ends: Option<Descriptors>,
    ) -> Result<(Line, io::Result<()>)> {
        let mut line = Line {
            wire: Wire::new(reader, writer, ends, Half::Client),
            host: host.to_owned(),
            far: Hello::default(),
            owed: false,
            moved: None,
        };
        // If it cannot be said, then what the far side says next is the reason.
        let us = &line.wire.honest(us.clone());
        let said = line.wire.say(Tag::Hello, us);
        line.far = match line.head()? {
            (Tag::Hello, length) => line.body(length)?,
            (Tag::Fail, length) => return Err(line.failure(length)?.0),
            _ => return Err(strange("it does not greet")),
        };
        line.wire.greeted(us, &line.far);
        Ok((line, said))
    }

    /// Whether the two can talk, and about what is to be done.
    pub(super) fn admit(self, us: &Hello, needs: Access, said: io::Result<()>) -> Result<Line> {
        let host = &self.host;
        us.agrees(&self.far, host)?;
        said.map_err(|error| self.lost(error))?;
        match self.far.mode {
            Some(mode) if mode.grants(needs.purpose()) => {
                self.far.can_do(us, needs, host)?;
                if let (Some(wish), Some(way)) = (us.receive_with, self.far.receive_with)
                    && wish != way
                {
                    log::line(|| format!("{host} receives with {way:?}, whatever is wished"));
                }
                Ok(self)
            }
            granted => Err(too_little(host, granted, needs)),
        }
    }

    /// The outer error is a broken connection, the inner one the far side's refusal.
    pub(super) fn call<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        watch: &mut dyn FnMut(Watched),
    ) -> Result<Result<T>> {
        if let Err(too_old) = request.must_be_known_to(&self.far, &self.host) {
            return Ok(Err(too_old));
        }
        self.ask(request)?;
        let mut head = self.head()?;
        while let (Tag::Watched, length) = head {
            watch(self.body(length)?);
            head = self.head()?;
        }
        self.answer_of(head)
    }

    /// Whether the far side has given us up between two turns, so that it did nothing that was asked since.
    pub(super) fn is_given_up(&self) -> bool {
        !self.owed && self.wire.has_hung_up()
    }

    /// A question, whose answer is to be read later.
    pub(super) fn ask(&mut self, request: &Request) -> Result<()> {
        if self.owed {
            self.answer::<()>()??;
            self.owed = false;
        }
        match self.wire.say(Tag::Request, request) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.last_words(error)),
        }
    }

    pub(super) fn answer<T: DeserializeOwned>(&mut self) -> Result<Result<T>> {
        let head = self.head()?;
        self.answer_of(head)
    }

    fn answer_of<T: DeserializeOwned>(&mut self, head: (Tag, usize)) -> Result<Result<T>> {
        match head {
            (Tag::Answer, length) => Ok(Ok(self.body(length)?)),
            (Tag::Fail, length) => match self.failure(length)? {
                (error, true) => Err(error),
                (error, false) => Ok(Err(error)),
            },
            _ => Err(strange("it speaks out of turn")),
        }
    }

    pub(super) fn head(&mut self) -> Result<(Tag, usize)> {
        match self.wire.head() {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(error)),
        }
    }

    pub(super) fn body<T: DeserializeOwned>(&mut self, length: usize) -> Result<T> {
        self.wire.body(length).map_err(|error| self.lost(error))
    }

    /// What the far side says of its failure, and whether it hangs up.
    pub(super) fn failure(&mut self, length: usize) -> Result<(Error, bool)> {
        let Failure { error, hangs_up } = self.body(length)?;
        let kind = match error.kind {
            // Its signal, its command line: nothing that our caller did.
            Kind::Interrupted | Kind::Usage => Kind::Failed,
            kind => kind,
        };
        let doing = format!("{}: {}", self.host, plain(&error.doing));
        let error = Error {
            hint: error.hint.map(|hint| plain(&hint).into()),
            cause: error.cause,
            ..Error::new(kind, doing, plain(&error.said))
        };
        Ok((error, hangs_up))
    }

    /// After a failed write: the reason that the far side left for us, or else that of the write.
    pub(super) fn last_words(&mut self, error: io::Error) -> Error {
        // Stopped by a signal we may be in the middle of a frame, and the far side waits for more.
        if let Err(stopped) = process::check(&format!("talking to {}", self.host)) {
            return stopped;
        }
        match self.wire.head() {
            Ok(Some((Tag::Fail, length))) => match self.failure(length) {
                Ok((error, _)) | Err(error) => error,
            },
            Ok(None | Some(_)) => self.lost(error),
            Err(reason) => self.lost(reason),
        }
    }

    /// The connection ended where it should not; `error` may have the words of who carried it.
    pub(super) fn lost(&self, error: io::Error) -> Error {
        let quiet = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe
        );
        let error = Error::io("", error);
        if error.kind != Kind::Failed {
            return error;
        }
        let said = match quiet {
            true => "the far side ended without a word".to_owned(),
            false => error.said,
        };
        Error {
            doing: self.losing(),
            said,
            cause: error.cause.or(Some(Cause::Connection)),
            ..error
        }
    }

    pub(super) fn count(&mut self, bytes: usize) {
        if let Some((moved, _)) = &mut self.moved {
            *moved += bytes as u64;
        }
    }

    pub(super) fn losing(&self) -> String {
        let host = &self.host;
        match (self.moved, self.far.mode) {
            (_, None) => format!("cannot connect to {host}"),
            (None, _) => format!("connection to {host} lost"),
            (Some((bytes, None)), _) => format!("connection to {host} lost after {bytes} bytes"),
            (Some((bytes, Some(all))), _) => {
                format!("connection to {host} lost after {bytes} of {all} bytes")
            }
        }
    }
}

/// A forced command or a line in sudoers decides what is granted, not we.
fn too_little(host: &str, granted: Option<Access>, needs: Access) -> Error {
    let granted = granted.map_or_else(|| "nothing".to_owned(), |a| format!("mode {}", a.letter()));
    let said = format!(
        "it grants {granted}, and this run needs mode {}: see its authorized_keys or sudoers",
        needs.letter()
    );
    Error::refused(format!("cannot use {host}"), said)
}
