//! A request, what comes of it, and the rate of its bytes.
//! Plain data: sending is the client's business.

use super::sign;
use super::xml::{Flaw, Node};
use crate::limiter::Limiter;
pub(super) use crate::objects::unquoted;
use crate::pace::Pace;
use crate::sys;
use crate::text::hex;
use base64::{Engine, prelude::BASE64_STANDARD};
use rusty_s3::Method;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ureq::http::HeaderMap;

/// Bytes whose SHA-256 takes a millisecond or two.
const SHORT: usize = 1 << 20;
/// Of a connection that is not silent, and as good as that.
pub(super) const DRIPS: &str = "hardly anything came or was taken for too long";

/// A request for a bucket or for an object in it.
pub(crate) struct S3Request<'a> {
    pub(crate) method: Method,
    /// Empty for the bucket itself.
    pub(crate) key: &'a str,
    /// What is being done, as in `cannot list`.
    pub(crate) doing: &'a str,
    /// The permission it needs.
    pub(crate) action: &'a str,
    pub(crate) query: Vec<(&'a str, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: &'a [u8],
    /// A buffer for the answer, to be used again.
    pub(crate) into: Vec<u8>,
    /// The longest answer that makes sense; a refusal may be a little longer.
    pub(crate) limit: u64,
    /// A lost answer is not asked for again, since the request may have been carried out.
    pub(crate) once: bool,
    /// The name of the document that the answer must be; empty if it is none.
    pub(crate) root: &'a str,
    /// Services may work for minutes before they answer.
    pub(crate) slow: bool,
    /// Ends the request early when set.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl<'a> S3Request<'a> {
    pub(crate) fn new(method: Method, key: &'a str, doing: &'a str, action: &'a str) -> Self {
        S3Request {
            method,
            key,
            doing,
            action,
            query: Vec::new(),
            headers: Vec::new(),
            body: &[],
            into: Vec::new(),
            limit: 64 << 20,
            once: false,
            root: "",
            slow: false,
            stop: None,
        }
    }

    /// What a signature says of the body: its SHA-256 where a header has it or it costs nothing to
    /// speak of, as with what commands something; else nothing, and the checksum is signed.
    pub(super) fn payload(&self) -> String {
        let mut headers = self.headers.iter();
        let told = headers.find(|(name, _)| *name == "x-amz-checksum-sha256");
        match told.and_then(|(_, value)| BASE64_STANDARD.decode(value).ok()) {
            Some(sum) => hex(&sum),
            None if self.body.len() <= SHORT => sign::of_body(self.body),
            None => sign::UNSIGNED.to_owned(),
        }
    }

    /// The value of a header; `None` if it is not sent.
    pub(super) fn asks(&self, header: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(name, _)| *name == header);
        found.map(|(_, value)| value.as_str())
    }

    /// The document in an answer, an empty one if none is expected; else what is wrong, and whether
    /// that may pass: what is not well formed was cut or damaged on its way.
    pub(super) fn document(&self, body: &[u8]) -> std::result::Result<Node, (String, bool)> {
        if self.root.is_empty() {
            return Ok(Node::default());
        }
        match Node::read(&String::from_utf8_lossy(body)) {
            Ok(document) if document.name == self.root => Ok(document),
            other => {
                let damaged = other == Err(Flaw::Malformed);
                Err((format!("the answer is not a {}", self.root), damaged))
            }
        }
    }

    /// As many times as long as other requests may take, this one may.
    pub(super) fn patience(&self) -> u32 {
        if self.slow { 10 } else { 1 }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) || sys::interrupted()
    }
}

/// An answer that is not a refusal, with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What its body is, if [`S3Request::root`] says that it is a document.
    pub(super) document: Node,
}

impl Response {
    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Headers whose names are strings, as a request has them.
pub(super) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect()
}

/// Bytes at the rate of `--bwlimit`, until somebody wants to stop or the other side drips.
pub(super) struct LimitedBody<'a, 'b, R> {
    from: R,
    request: &'a S3Request<'b>,
    limiter: Option<&'a Limiter>,
    pace: Pace,
    /// When it was the other side's turn: to send more, or to take what was read last.
    since: Instant,
}

impl<'a, 'b, R> LimitedBody<'a, 'b, R> {
    pub(super) fn new(
        from: R,
        request: &'a S3Request<'b>,
        limiter: Option<&'a Limiter>,
        term: Duration,
    ) -> Self {
        LimitedBody {
            from,
            request,
            limiter,
            pace: Pace::new(term),
            since: Instant::now(),
        }
    }
}

impl<R: Read> Read for LimitedBody<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.request.stopped() {
            return Err(io::Error::other("stopped"));
        }
        let piece = self.limiter.map_or(usize::MAX, Limiter::piece);
        let want = buffer.len().min(piece);
        let count = self.from.read(&mut buffer[..want])?;
        if count > 0 && !self.pace.keeps(count, self.since.elapsed()) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, DRIPS));
        }
        if let Some(limiter) = self.limiter {
            limiter.pass_unless(count, || self.request.stopped())?;
        }
        self.since = Instant::now();
        Ok(count)
    }
}

/// Reads to the end into a buffer that may have been used before: what is in it is written over, as
/// clearing many megabytes first would cost time. So many bytes are likely to come.
pub(super) fn read_whole(mut from: impl Read, into: &mut Vec<u8>, likely: u64) -> io::Result<()> {
    into.resize(likely as usize, 0);
    let mut have = 0;
    while have < into.len() {
        match from.read(&mut into[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(have);
    from.read_to_end(into).map(drop)
}
