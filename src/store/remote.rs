//! The near half of ssh: a store at the other end of two pipes.
//! Knows the protocol's turns; what runs at the other end, and how it was reached, is the
//! business of whoever dials.

mod change;
mod connection;
mod harmless;
mod looking;
pub mod ssh;
mod stream;

use crate::error::{Error, Result};
use crate::process;
use crate::proof::{Depth, Finding, Watched};
use crate::snapshot::{Diff, Listing, Measured, Origin, Origins, Size, Sizes, Uuid};
use crate::store::file_digests::{Digest, Looking};
use crate::store::wire::{
    BOUND, CLONES, Descriptors, HOLD, Hello, ORIGIN, Request, WATCH, inside, plain, strange,
};
use crate::store::{Access, Place, Rejected, Right, Sink, Store};
use connection::Line;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use stream::Outgoing;

/// The two pipes of a connection: what the far side says, and what it hears.
pub type Pipes = (Box<dyn Read + Send>, Box<dyn Write + Send>);
/// Makes a connection. Asked again after one that ended in the middle of something.
pub type Dial = Box<dyn FnMut() -> Result<Pipes>>;
/// The same, with what one can wait for.
type DialAttended = Box<dyn FnMut() -> Result<(Pipes, Option<Descriptors>)>>;

/// A store at the other end of a connection.
pub struct Remote {
    host: String,
    needs: Access,
    us: Hello,
    dial: DialAttended,
    line: Option<Line>,
    /// The location that a person wrote, if one did.
    named: Option<Place>,
    /// The origins of what is going to be sent there.
    coming: Origins,
    /// Whether what is going to be sent there is compared before it counts.
    compares: bool,
    /// Whether what is going to be sent there may wait for others.
    holds: bool,
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
        mut dial: Dial,
    ) -> Result<Remote> {
        let dial = move || Ok((dial()?, None));
        Remote::connect_attended(host, needs, us, Box::new(dial))
    }

    /// The same, where the far side is given up once nothing is heard of it.
    fn connect_attended(
        host: impl Into<String>,
        needs: Access,
        us: Hello,
        dial: DialAttended,
    ) -> Result<Remote> {
        let mut remote = Remote {
            host: host.into(),
            needs,
            us,
            dial,
            line: None,
            named: None,
            coming: Origins::new(),
            compares: false,
            holds: false,
        };
        remote.line()?;
        Ok(remote)
    }

    /// Lists under this name from now on, and remarks if the far side serves another directory
    /// than was asked for.
    #[must_use]
    pub fn named(mut self, place: Place) -> Remote {
        self.named = Some(place);
        self
    }

    /// The directory is opened there when something is asked for the first time.
    fn way_to_make(&self, error: Error) -> Error {
        match &self.named {
            Some(place) if self.needs.grants(Right::Add) => place.way_to_make(error),
            _ => error,
        }
    }

    fn line(&mut self) -> Result<&mut Line> {
        let line = match self.line.take().filter(|line| !line.is_given_up()) {
            Some(line) => line,
            None => {
                // Whoever was asked to stop does not call again.
                process::check(&format!("connecting to {}", self.host))?;
                self.open()?
            }
        };
        Ok(self.line.insert(line))
    }

    /// A far side that is older hears the version that it knows, if we still know that one: it has
    /// hung up on the newer.
    fn open(&mut self) -> Result<Line> {
        let (mut line, mut said) = self.greet()?;
        let common = self.us.common(&line.far);
        if common < self.us.protocol {
            drop(line);
            self.us.protocol = common;
            (line, said) = self.greet()?;
        }
        line.admit(&self.us, self.needs, said)
    }

    fn greet(&mut self) -> Result<(Line, io::Result<()>)> {
        let (pipes, ends) = (self.dial)()?;
        Line::greet(&self.host, &self.us, pipes, ends)
    }

    /// A question and its answer. A connection that breaks on the way is not used again.
    fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        self.call_watched(request, &mut |_| ())
    }

    /// The same, where the far side may tell first how far it is.
    fn call_watched<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        watch: &mut dyn FnMut(Watched),
    ) -> Result<T> {
        let outcome = self.line()?.call(request, watch);
        outcome.unwrap_or_else(|broken| {
            self.line = None;
            Err(broken)
        })
    }
}

impl Store for Remote {
    fn list(&mut self) -> Result<Listing> {
        let listing = self.call(&Request::List);
        let mut listing: Listing = listing.map_err(|error| self.way_to_make(error))?;
        let far = self.line.as_ref().map(|line| &line.far);
        listing.clones &= far.is_some_and(|far| far.can(CLONES));
        harmless::listing(&mut listing, &self.host)?;
        let there = plain(&listing.location);
        let Some(place) = &self.named else {
            listing.location = there;
            return Ok(listing);
        };
        listing.location = place.to_string();
        let asked = place.elsewhere().map(|(_, asked)| asked.to_string());
        if let Some(asked) = asked.filter(|asked| *asked != there) {
            let host = &self.host;
            let note = format!("{host} serves {there}, where {asked} was asked for");
            listing.notes.insert(0, note);
        }
        Ok(listing)
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let pairs: Vec<_> = diffs.iter().map(Diff::key).collect();
        let diffs = diffs.to_vec();
        let old = self.line()?.far.protocol < 3;
        let request = Request::Measure { diffs };
        let measured: Vec<Measured> = match old {
            true => {
                let sizes: Vec<Size> = self.call(&request)?;
                sizes.into_iter().map(Measured::from).collect()
            }
            false => self.call(&request)?,
        };
        if measured.len() != pairs.len() {
            return Err(strange("it measured something else than it was asked"));
        }
        Ok(pairs
            .into_iter()
            .zip(measured.into_iter().map(harmless::measured))
            .collect())
    }

    fn less_than_whole(&mut self, diff: &Diff) -> Result<Option<u64>> {
        match self.line()?.far.can(BOUND) {
            true => self.call(&Request::LessThanWhole { diff: diff.clone() }),
            false => Ok(None),
        }
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.incoming(diff, None)
    }

    fn mends(&mut self, _diff: &Diff) -> Result<bool> {
        Ok(self.line()?.far.can("mend"))
    }

    fn send_unmended(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        // An older far side has no other streams.
        let unmended = self.mends(diff)?.then_some(true);
        self.incoming(diff, unmended)
    }

    fn will_compare(&mut self, compare: bool) {
        self.compares = compare;
    }

    fn attribute(&mut self, origins: Origins) {
        self.coming = origins;
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let far = &self.line()?.far;
        let (knows, looks, holds) = (far.can(ORIGIN), far.can("digest"), far.can(HOLD));
        self.call::<()>(&Request::Receive {
            diff: diff.clone(),
            path: path.to_owned(),
            origin: self.coming.get(&diff.to).filter(|_| knows).cloned(),
            compare: (self.compares && looks).then_some(true),
            hold: (self.holds && holds).then_some(true),
        })?;
        let place = format!("{} {}", self.place(path), diff.to);
        Ok(Box::new(Outgoing::begin(&mut self.line, diff, place)))
    }

    fn hold(&mut self, hold: bool) {
        self.holds = hold;
    }

    /// What was held over a connection that is gone is gone as well.
    fn publish(&mut self) -> Result<Vec<Uuid>> {
        self.publish_held()
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let place = format!("{} from {}", self.place(&to), self.place(&from));
        self.change("copy", place, &Request::Copy { from, to })
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let (place, path) = (self.place(path), path.to_owned());
        self.change("delete", place, &Request::Delete { path })
    }

    fn has_files(&mut self) -> Result<()> {
        let host = self.host.clone();
        let path = PathBuf::new();
        Request::Reject { path }.must_be_known_to(&self.line()?.far, &host)
    }

    /// The far side looks while we do.
    fn digest(&mut self, digest: &Digest) -> Result<Looking<'_>> {
        self.has_files()?;
        looking::begin(self, digest.clone())
    }

    fn reject(&mut self, path: &Path) -> Result<Rejected> {
        let (place, path) = (self.place(path), path.to_owned());
        self.change("reject", place, &Request::Reject { path })
    }

    fn adopt(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let (path, origin) = (path.to_owned(), origin.clone());
        let place = format!("{} as of {origin}", self.place(&path));
        self.change("adopt", place, &Request::Adopt { path, origin })
    }

    fn settle(&mut self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        self.call(&Request::Settle { path })
    }

    fn exchange(&mut self, new: &Path, old: &Path) -> Result<()> {
        let (new, old) = (new.to_owned(), old.to_owned());
        let place = format!("{} by {}", self.place(&old), self.place(&new));
        self.change("replace", place, &Request::Exchange { new, old })
    }

    /// The far side verifies itself: its data does not travel.
    fn inspect(&mut self, depth: Depth, far: &mut dyn FnMut(Watched)) -> Result<Vec<Finding>> {
        far(Watched::named(&self.host));
        let watch = self.line()?.far.can(WATCH).then_some(true);
        let request = Request::Inspect { depth, watch };
        let mut findings: Vec<Finding> = self.call_watched(&request, &mut |watched: Watched| {
            let what = plain(&watched.what);
            far(Watched { what, ..watched });
        })?;
        for finding in &mut findings {
            inside(&finding.path)
                .map_err(|said| Error::damaged(format!("cannot verify {}", self.host), said))?;
            finding.verdict = finding.verdict.clone().reworded(|words| plain(&words));
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::wire::{Failure, Half, Tag, Wire};
    use std::cell::Cell;
    use std::io::{PipeReader, pipe};
    use std::rc::Rc;

    /// A server that answers once, and hangs up since it was asked nothing more for so long.
    fn answers_once(ears: &mut Vec<PipeReader>) -> Result<(Pipes, Option<Descriptors>)> {
        let (from, to) = pipe().unwrap();
        let (ear, writer) = pipe().unwrap();
        ears.push(ear);
        let mut far = Wire::new(io::empty(), to, None, Half::Server);
        let us = Hello {
            mode: Some(Access::Read),
            ..Hello::here()
        };
        far.say(Tag::Hello, &us).unwrap();
        far.say(Tag::Answer, &Listing::default()).unwrap();
        let error = Error::failed("cannot wait", "no request came");
        let farewell = Failure {
            error,
            hangs_up: true,
        };
        far.say(Tag::Fail, &farewell).unwrap();
        let ends = Descriptors::of(&from, &writer).unwrap();
        Ok(((Box::new(from), Box::new(writer)), Some(ends)))
    }

    #[test]
    fn who_was_given_up_between_two_turns_calls_again() {
        let dials = Rc::new(Cell::new(0));
        let (count, mut ears) = (dials.clone(), Vec::new());
        let dial = move || {
            count.set(count.get() + 1);
            answers_once(&mut ears)
        };
        let us = Hello::here();
        let mut far = Remote::connect_attended("far", Access::Read, us, Box::new(dial)).unwrap();
        for _ in 0..3 {
            far.list().unwrap();
        }
        assert_eq!(dials.get(), 3);
    }
}
