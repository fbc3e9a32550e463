//! The near half of ssh: a store at the other end of two pipes.
//! Knows the protocol's turns; what runs at the other end, and how it was reached, is the
//! business of whoever dials.

pub mod ssh;
mod stream;

use crate::error::{Error, Kind, Result};
use crate::process;
use crate::proof::{Depth, Finding};
use crate::snapshot::{Diff, Listing, Measured, Sizes};
use crate::store::wire::{Failure, Hello, Request, Tag, Wire, inside, letter, plain, strange};
use crate::store::{Access, Sink, Store};
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::path::Path;
use stream::{Incoming, Outgoing};

/// The two pipes of a connection: what the far side says, and what it hears.
pub type Pipes = (Box<dyn Read + Send>, Box<dyn Write + Send>);
/// Makes a connection. Asked again after one that ended in the middle of something.
pub type Dial = Box<dyn FnMut() -> Result<Pipes>>;

/// A store at the other end of a connection.
pub struct Remote {
    host: String,
    needs: Access,
    us: Hello,
    dial: Dial,
    line: Option<Line>,
    /// The location as a person writes it, and the directory that was asked for.
    named: Option<(String, String)>,
}

impl Remote {
    /// Connects and greets. `host` is how messages name the far side; `needs` is what this run is
    /// going to ask for; `us` is what the far side is told of it.
    ///
    /// # Errors
    /// If there is no connection, the two programs cannot talk, or the far side grants too little.
    pub fn connect(
        host: impl Into<String>,
        needs: Access,
        us: Hello,
        dial: Dial,
    ) -> Result<Remote> {
        let mut remote = Remote {
            host: host.into(),
            needs,
            us,
            dial,
            line: None,
            named: None,
        };
        remote.line()?;
        Ok(remote)
    }

    /// Lists under this name from now on, and remarks if the far side serves another directory
    /// than was asked for.
    #[must_use]
    pub fn named(mut self, location: String, asked: String) -> Remote {
        self.named = Some((location, asked));
        self
    }

    fn line(&mut self) -> Result<&mut Line> {
        let line = match self.line.take() {
            Some(line) => line,
            None => {
                // Whoever was asked to stop does not call again.
                process::check(&format!("connecting to {}", self.host))?;
                Line::open(&self.host, self.needs, &self.us, (self.dial)()?)?
            }
        };
        Ok(self.line.insert(line))
    }

    /// A question and its answer. A connection that breaks on the way is not used again.
    fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        let outcome = self.line()?.call(request);
        outcome.unwrap_or_else(|broken| {
            self.line = None;
            Err(broken)
        })
    }
}

impl Store for Remote {
    fn list(&mut self) -> Result<Listing> {
        let mut listing: Listing = self.call(&Request::List)?;
        for snapshot in &mut listing.snapshots {
            inside(&snapshot.path)
                .map_err(|said| Error::damaged(format!("cannot list {}", self.host), said))?;
            snapshot
                .nested
                .iter_mut()
                .for_each(|name| *name = plain(name));
        }
        listing
            .notes
            .iter_mut()
            .for_each(|note| *note = plain(note));
        let there = plain(&listing.location);
        listing.location = match &self.named {
            None => there,
            Some((url, asked)) => {
                if *asked != there {
                    let host = &self.host;
                    let note = format!("{host} serves {there}, where {asked} was asked for");
                    listing.notes.insert(0, note);
                }
                url.clone()
            }
        };
        Ok(listing)
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let diffs = diffs.to_vec();
        let pairs: Vec<_> = diffs.iter().map(Diff::pair).collect();
        let sizes: Vec<Measured> = self.call(&Request::Measure { diffs })?;
        if sizes.len() != pairs.len() {
            return Err(strange("it measured something else than it was asked"));
        }
        Ok(pairs.into_iter().zip(sizes).collect())
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.call::<()>(&Request::Send { diff: *diff })?;
        Ok(Box::new(Incoming::begin(&mut self.line, diff)))
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let (diff, path) = (*diff, path.to_owned());
        self.call::<()>(&Request::Receive { diff, path })?;
        Ok(Box::new(Outgoing::begin(&mut self.line, &diff)))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.call(&Request::Copy { from, to })
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        self.call(&Request::Delete { path })
    }

    /// The far side verifies itself: its data does not travel.
    fn inspect(&mut self, depth: Depth, watch: &mut dyn FnMut(&str)) -> Result<Vec<Finding>> {
        watch(&self.host);
        let mut findings: Vec<Finding> = self.call(&Request::Inspect { depth })?;
        for finding in &mut findings {
            inside(&finding.path)
                .map_err(|said| Error::damaged(format!("cannot verify {}", self.host), said))?;
            finding.verdict = finding.verdict.clone().reworded(|words| plain(&words));
        }
        Ok(findings)
    }
}

/// A connection between two turns.
struct Line {
    wire: Wire<Box<dyn Read + Send>, Box<dyn Write + Send>>,
    host: String,
    far: Hello,
    /// We gave up a stream, and the far side has not yet said that its leftovers are gone.
    owed: bool,
    /// In a stream: bytes so far, and bytes to come in all, if that is known.
    moved: Option<(u64, Option<u64>)>,
}

impl Line {
    fn open(host: &str, needs: Access, us: &Hello, (reader, writer): Pipes) -> Result<Line> {
        let mut line = Line {
            wire: Wire::new(reader, writer),
            host: host.to_owned(),
            far: Hello::default(),
            owed: false,
            moved: None,
        };
        // If it cannot be said, then what the far side says next is the reason.
        let said = line.wire.say(Tag::Hello, us);
        line.far = match line.head()? {
            (Tag::Hello, length) => line.body(length)?,
            (Tag::Fail, length) => return Err(line.failure(length)?.0),
            _ => return Err(strange("it does not greet")),
        };
        us.agrees(&line.far, host)?;
        said.map_err(|error| line.lost(error))?;
        match line.far.mode {
            Some(mode) if mode >= needs => {
                line.far.can_do(us, needs, host)?;
                Ok(line)
            }
            granted => Err(too_little(host, granted, needs)),
        }
    }

    /// The outer error is a broken connection, the inner one the far side's refusal.
    fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<Result<T>> {
        if self.owed {
            self.answer::<()>()??;
            self.owed = false;
        }
        match self.wire.say(Tag::Request, request) {
            Ok(()) => self.answer(),
            Err(error) => Err(self.last_words(error)),
        }
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<Result<T>> {
        match self.head()? {
            (Tag::Answer, length) => Ok(Ok(self.body(length)?)),
            (Tag::Fail, length) => match self.failure(length)? {
                (error, true) => Err(error),
                (error, false) => Ok(Err(error)),
            },
            _ => Err(strange("it speaks out of turn")),
        }
    }

    fn head(&mut self) -> Result<(Tag, usize)> {
        match self.wire.head() {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn body<T: DeserializeOwned>(&mut self, length: usize) -> Result<T> {
        self.wire.body(length).map_err(|error| self.lost(error))
    }

    /// What the far side says of its failure, and whether it hangs up.
    fn failure(&mut self, length: usize) -> Result<(Error, bool)> {
        let Failure { error, hangs_up } = self.body(length)?;
        let kind = match error.kind {
            // Its signal, its command line: nothing that our caller did.
            Kind::Interrupted | Kind::Usage => Kind::Failed,
            kind => kind,
        };
        let doing = format!("{}: {}", self.host, plain(&error.doing));
        Ok((Error::new(kind, doing, plain(&error.said)), hangs_up))
    }

    /// After a failed write: the reason that the far side left for us, or else that of the write.
    fn last_words(&mut self, error: io::Error) -> Error {
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
    fn lost(&self, error: io::Error) -> Error {
        let quiet = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe
        );
        let error = Error::io("", error);
        if error.kind != Kind::Failed {
            return error;
        }
        let said = if quiet {
            "the far side ended without a word".to_owned()
        } else {
            error.said
        };
        Error::failed(self.losing(), said)
    }

    fn count(&mut self, bytes: usize) {
        if let Some((moved, _)) = &mut self.moved {
            *moved += bytes as u64;
        }
    }

    fn losing(&self) -> String {
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
    let granted = granted.map_or_else(|| "nothing".to_owned(), |a| format!("mode {}", letter(a)));
    let said = format!(
        "it grants {granted}, and this run needs mode {}: see its authorized_keys or sudoers",
        letter(needs)
    );
    Error::refused(format!("cannot use {host}"), said)
}
