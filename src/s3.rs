//! S3 as a client sees it. Every request goes through `Client::request`, which signs, sends,
//! tries again where that may help, and explains what was refused. Knows nothing of snapshots.

mod as_objects;
mod checksums;
mod config;
mod copy;
mod credentials;
mod endpoint;
mod errors;
pub mod lifecycle;
mod listing;
mod multipart;
mod objects;
mod options;
mod quirks;
mod remote_checksum;
mod request;
mod retry;
mod sign;
pub mod thaw;
pub(crate) mod xml;

pub use config::Environment;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use config::fuzz as fuzz_credentials;
pub(crate) use errors::transport;
pub use options::{Checksum, S3Options, Sse, check_part};
pub use quirks::{Quirks, TABLE};
pub(crate) use request::{Response, S3Request};

use crate::error::{Cause, Error, Kind, Result};
use crate::limiter::Limiter;
use crate::log;
use crate::objects::Counters;
use config::Profile;
use credentials::{Credentials, Keys};
use endpoint::BucketAddress;
use errors::{Refusal, RequestContext, is_nowhere, passes};
use request::LimitedBody;
use retry::{Budget, Tries};
use rusty_s3::Method;
use std::fmt;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLock};
use ureq::http;
use ureq::{Agent, AsSendBody, SendBody};

/// A bucket, the keys for it, and connections to it.
pub struct Client {
    agent: Agent,
    credentials: Credentials,
    place: RwLock<BucketAddress>,
    budget: Budget,
    limiter: Option<Limiter>,
    /// What it was opened with.
    pub(crate) options: S3Options,
    /// What it did.
    pub counters: Counters,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.described())
    }
}

/// How one exchange with the service can end badly.
enum Trouble {
    Refused(Box<Refusal>),
    /// In words; whether it can be otherwise the next time.
    Lost(String, bool),
    /// There is no such host.
    Nowhere(String),
    Stopped,
}

impl Client {
    /// Finds out where the bucket is and whose keys to use. Asks the bucket nothing yet.
    ///
    /// # Errors
    /// If there are no credentials, or the configuration cannot be used.
    pub fn new(bucket: &str, mut options: S3Options) -> Result<Client> {
        options.part_size.map_or(Ok(()), check_part)?;
        let profile = Profile::load(&options.environment, options.profile.as_deref())?;
        options.retries = profile.retries(&options.environment, options.retries)?;
        let client = Client {
            place: RwLock::new(BucketAddress::find(bucket, &options, &profile)?),
            agent: endpoint::agent(&options, &profile)?,
            credentials: Credentials::find(&options.environment, options.profile.as_deref())?,
            budget: Budget::default(),
            limiter: options.bwlimit.map(Limiter::new),
            counters: Counters::default(),
            options,
        };
        endpoint::check_proxy(&client.agent, &client.place())?;
        log::line(|| format!("{}: {}", client.url(""), client.described()));
        Ok(client)
    }

    /// Where the bucket is and where the keys are from; nothing secret.
    pub fn described(&self) -> String {
        let place = self.place();
        let quirks = place.quirks.name;
        format!(
            "{} ({quirks}), keys from {}",
            place.shown(),
            self.credentials.source
        )
    }

    /// What the service can do.
    pub(crate) fn quirks(&self) -> Quirks {
        self.place().quirks
    }

    /// Whether it is AWS itself.
    pub fn is_aws(&self) -> bool {
        self.place().quirks.name == TABLE[0].name
    }

    /// `s3://bucket/key`, safe to show.
    pub(crate) fn url(&self, key: &str) -> String {
        let place = self.place();
        format!("s3://{}/{}", place.bucket.name(), crate::text::shown(key))
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> String {
        self.place().bucket.name().to_owned()
    }

    fn place(&self) -> BucketAddress {
        self.place
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends a request, again if that may help, until it is answered or must be given up.
    pub(crate) fn request(&self, mut request: S3Request<'_>) -> Result<Response> {
        let mut tries = Tries::new(self.options.retries);
        loop {
            let place = self.place();
            let keys = self.credentials.keys((self.options.now)())?;
            let trouble = match self.attempt(&mut request, &place, &keys) {
                Ok(response) => {
                    self.budget.earn();
                    return Ok(response);
                }
                Err(trouble) => trouble,
            };
            let again = self.may_repeat(&request, &trouble, &place, &keys, &mut tries)?;
            if again {
                let text = || {
                    let error = self.error(&request, &trouble, &place, &keys, &tries);
                    format!("trying again: {error}")
                };
                match tries.is_long() {
                    true => log::aloud(&text),
                    false => log::line(text),
                }
            }
            if !again {
                return Err(self.error(&request, &trouble, &place, &keys, &tries));
            }
            if !tries.wait(|| request.stopped()) {
                return Err(self.error(&request, &Trouble::Stopped, &place, &keys, &tries));
            }
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether another try makes sense, having moved or renewed what had to be.
    fn may_repeat(
        &self,
        request: &S3Request<'_>,
        trouble: &Trouble,
        place: &BucketAddress,
        keys: &Keys,
        tries: &mut Tries,
    ) -> Result<bool> {
        Ok(match trouble {
            Trouble::Stopped => false,
            Trouble::Refused(refusal) if self.moved(place, refusal) => tries.at_once(),
            Trouble::Refused(refusal) if refusal.expired() => {
                let renewed = self.credentials.renew(keys);
                let refused = Cause::Refusal(refusal.code.as_str().into());
                renewed.map_err(|error| error.cause(refused))? && tries.at_once()
            }
            Trouble::Refused(refusal) => {
                let again = refusal.passes() && self.budget.spend();
                again && tries.later(refusal.retry_after)
            }
            // A resolver that has just begun may say so, too.
            Trouble::Nowhere(_) => {
                tries.at_most(3);
                self.budget.spend() && tries.later(None)
            }
            Trouble::Lost(_, passes) => {
                let again = *passes && !request.once && self.budget.spend();
                again && tries.later(None)
            }
        })
    }

    /// Whether the bucket turned out to be in another region, which is remembered.
    fn moved(&self, place: &BucketAddress, refusal: &Refusal) -> bool {
        let redirected = matches!(refusal.status, 301 | 302 | 307 | 308)
            || refusal.status == 400 && refusal.code.starts_with("Authorization")
            || refusal.status == 400 && refusal.code == "BadRequest";
        let Some(new) = place.moved(&refusal.region).filter(|_| redirected) else {
            return false;
        };
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = new;
        true
    }

    /// A request whose answer is a document with this root.
    fn document<'a>(&self, mut request: S3Request<'a>, root: &'a str) -> Result<xml::Node> {
        (request.limit, request.root) = (xml::LONGEST, root);
        Ok(self.request(request)?.document)
    }

    fn malformed(&self, doing: &str, key: &str, said: &str) -> Error {
        Error::failed(format!("cannot {doing} {}", self.url(key)), said)
    }

    fn attempt(
        &self,
        request: &mut S3Request<'_>,
        place: &BucketAddress,
        keys: &Keys,
    ) -> std::result::Result<Response, Trouble> {
        if request.stopped() {
            return Err(Trouble::Stopped);
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut body = std::mem::take(&mut request.into);
        let answer = self.exchange(request, place, keys, &mut body);
        let head = match answer {
            Ok(head) => head,
            Err(_) if request.stopped() => return Err(Trouble::Stopped),
            Err(error) => {
                request.into = body;
                return Err(match is_nowhere(&error) {
                    true => Trouble::Nowhere(transport(&error)),
                    false => Trouble::Lost(transport(&error), passes(&error)),
                });
            }
        };
        self.recognise(&head.headers);
        let status = head.status.as_u16();
        // Work of minutes is answered 200 at once, and the error comes later.
        let late = status == 200 && request.slow && is_error(&body);
        if (200..300).contains(&status) && !late {
            return match request.document(&body) {
                Ok(document) => Ok(Response {
                    status,
                    headers: head.headers,
                    body,
                    document,
                }),
                Err((said, passes)) => Err(Trouble::Lost(said, passes)),
            };
        }
        Err(Trouble::Refused(Box::new(Refusal::read(
            status,
            &head.headers,
            &body,
        ))))
    }

    /// Services that can be anywhere say in their answers what they are.
    fn recognise(&self, headers: &http::HeaderMap) {
        let server = headers.get(http::header::SERVER);
        let Some(server) = server.and_then(|value| value.to_str().ok()) else {
            return;
        };
        let Some(known) = self.place().served_by(server, &self.options) else {
            return;
        };
        log::line(|| format!("{} is served by {}", self.url(""), known.quirks.name));
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// One signed exchange; the body of the answer goes to `into`.
    fn exchange(
        &self,
        request: &S3Request<'_>,
        place: &BucketAddress,
        keys: &Keys,
        into: &mut Vec<u8>,
    ) -> std::result::Result<http::response::Parts, ureq::Error> {
        let answer = self.sent(request, self.signed(request, place, keys))?;
        let (head, body) = answer.into_parts();
        let body = body.into_with_config();
        let from = self.limited(body.limit(request.limit.max(1 << 20) + 1).reader(), request);
        let likely = match request.method {
            Method::Get => told(&head).min(request.limit),
            _ => 0,
        };
        request::read_whole(from, into, likely)?;
        Ok(head)
    }

    /// A request with all of its headers. They hold what proves who we are, and nobody shows them.
    fn signed(
        &self,
        request: &S3Request<'_>,
        place: &BucketAddress,
        keys: &Keys,
    ) -> http::request::Builder {
        let mut url = place.bucket.object_url(request.key);
        let query = sign::query(&request.query);
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        let message = sign::Message {
            method: request.method,
            url: &url,
            headers: &request.headers,
            payload: &request.payload(),
        };
        let now = (self.options.now)();
        let headers = sign::signed(&message, keys, place.bucket.region(), now);
        let built = http::Request::builder()
            .method(request.method.to_str())
            .uri(url.as_str());
        let with = |built: http::request::Builder, (name, value)| built.header(name, value);
        headers.into_iter().fold(built, with)
    }

    /// Sends it, with its body where its method has one.
    fn sent(
        &self,
        request: &S3Request<'_>,
        built: http::request::Builder,
    ) -> std::result::Result<http::Response<ureq::Body>, ureq::Error> {
        if !matches!(request.method, Method::Put | Method::Post) {
            return self.run(request, built.body(())?);
        }
        let mut body = self.limited(request.body, request);
        let built = built.header("content-length", request.body.len());
        self.run(request, built.body(SendBody::from_reader(&mut body))?)
    }

    /// As long as its answer may take.
    fn run(
        &self,
        request: &S3Request<'_>,
        built: http::Request<impl AsSendBody>,
    ) -> std::result::Result<http::Response<ureq::Body>, ureq::Error> {
        let built = self.agent.configure_request(built);
        let built = built
            .timeout_per_read(Some(request.patience() * self.options.silence))
            .timeout_recv_response(Some(request.patience() * self.options.term));
        self.agent.run(built.build())
    }

    /// Bytes at the speed that is allowed, as long as the request is wanted.
    fn limited<'a, 'b, R: Read>(
        &'a self,
        from: R,
        request: &'a S3Request<'b>,
    ) -> LimitedBody<'a, 'b, R> {
        let term = request.patience() * self.options.term;
        LimitedBody::new(from, request, self.limiter.as_ref(), term)
    }

    fn error(
        &self,
        request: &S3Request<'_>,
        trouble: &Trouble,
        place: &BucketAddress,
        keys: &Keys,
        tries: &Tries,
    ) -> Error {
        let doing = format!("cannot {} {}", request.doing, self.url(request.key));
        let about = RequestContext {
            action: request.action,
            source: &self.credentials.source,
            place: &place.shown(),
            now: (self.options.now)(),
            sse: request.asks("x-amz-server-side-encryption").is_some(),
            if_none_match: request.asks("if-none-match").is_some(),
            class: request.asks("x-amz-storage-class").unwrap_or_default(),
        };
        let error = |kind, said| {
            let said = format!("{}{tries}", redacted(said, keys));
            Error::new(kind, doing, said)
        };
        match trouble {
            Trouble::Refused(refusal) => {
                let (said, hint) = refusal.said(&about);
                let error =
                    error(Kind::Failed, said).cause(Cause::Refusal(refusal.code.as_str().into()));
                Error { hint, ..error }
            }
            Trouble::Lost(said, _) | Trouble::Nowhere(said) => {
                let by = endpoint::on_the_way(&self.agent, place);
                error(Kind::Failed, format!("{said} ({}{by})", about.place))
            }
            Trouble::Stopped => error(Kind::Interrupted, "interrupted".to_owned()),
        }
    }
}

/// The length of an answer, if it says one.
fn told(head: &http::response::Parts) -> u64 {
    let length = head.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn is_error(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    xml::Node::parse(&text).is_some_and(|node| node.name == "Error")
}

/// A service that repeats what it was sent must not make us show it.
fn redacted(said: String, keys: &Keys) -> String {
    let secrets = [Some(&keys.secret), keys.token.as_ref()];
    let mut secrets = secrets
        .into_iter()
        .flatten()
        .filter(|secret| !secret.0.is_empty());
    match secrets.any(|secret| said.contains(&secret.0)) {
        true => "the service's words hold a secret and are not shown".to_owned(),
        false => said,
    }
}

#[cfg(test)]
mod tests;
