//! What services say when they refuse, and what it most likely means.

use super::request::DRIPS;
use super::xml::Node;
use crate::error::Error;
use crate::text::duration;
use jiff::{SignedDuration, Timestamp};
use std::io;
use ureq::Timeout;
use ureq::http::HeaderMap;

/// A refusal, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// S3's own code; made up from the status where there is no body.
    pub(crate) code: String,
    message: String,
    request: String,
    /// Where the bucket really is, if the service says so.
    pub(crate) region: String,
    /// The service's clock.
    date: Option<Timestamp>,
    /// How long it wants to be left alone, in seconds.
    pub(crate) retry_after: Option<u64>,
}

/// What a request was about, for the explanation.
pub(crate) struct RequestContext<'a> {
    /// The permission that it needs.
    pub(crate) action: &'a str,
    /// Where the keys come from.
    pub(crate) source: &'a str,
    /// Where the bucket is.
    pub(crate) place: &'a str,
    pub(crate) now: Timestamp,
    /// It asked for server-side encryption.
    pub(crate) sse: bool,
    /// It asked that nothing be there yet.
    pub(crate) if_none_match: bool,
    /// The storage class that it asked for; empty if none.
    pub(crate) class: &'a str,
}

/// Services allow a quarter of an hour at most; less explains nothing.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

impl Refusal {
    /// From an answer: `body` may be empty, or not S3's words at all.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let text = String::from_utf8_lossy(body);
        let node = Node::parse(&text).filter(|node| node.name == "Error");
        let node = node.unwrap_or_default();
        let or = |text: &str, other: Option<&str>| match text {
            "" => plain(other.unwrap_or_default()),
            text => plain(text),
        };
        Refusal {
            status,
            code: or(node.text("Code"), Some(by_status(status))),
            message: plain(node.text("Message")),
            request: or(node.text("RequestId"), header("x-amz-request-id")),
            region: or(node.text("Region"), header("x-amz-bucket-region")),
            date: header("date").and_then(http_date),
            retry_after: header("retry-after").and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn passes(&self) -> bool {
        const CODES: &[&str] = &[
            "SlowDown",
            "InternalError",
            "RequestTimeout",
            "ServiceUnavailable",
            "OperationAborted",
            "ConditionalRequestConflict",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            // The body was damaged on its way.
            "BadDigest",
            "IncompleteBody",
            "XAmzContentSHA256Mismatch",
            "XAmzContentChecksumMismatch",
        ];
        // Status 503, and no haste of ours makes it otherwise.
        if self.code == "GlacierExpeditedRetrievalNotAvailable" {
            return false;
        }
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
            || CODES.contains(&self.code.as_str())
            || self.code.starts_with("Throttl")
    }

    /// Whether newer keys may help.
    pub(crate) fn expired(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException"
        )
    }

    /// The second half of an error (code, words, request id, and the likely cause), and the way out.
    pub(crate) fn said(&self, about: &RequestContext<'_>) -> (String, Option<Box<str>>) {
        let mut said = self.code.clone();
        if self.status == 200 {
            said.push_str(" (in an answer with status 200)");
        }
        if !self.message.is_empty() {
            said.push_str(&format!(": {}", self.message.trim_end_matches('.')));
        }
        if !self.request.is_empty() {
            said.push_str(&format!(" (request {})", self.request));
        }
        let (cause, hint) = self.cause(about).unwrap_or_default();
        if !cause.is_empty() {
            said.push_str(&format!("; {cause}"));
        }
        (said, (!hint.is_empty()).then(|| hint.into()))
    }

    /// The likely cause, and the way out; empty where we know none.
    fn cause(&self, about: &RequestContext<'_>) -> Option<(String, String)> {
        if let Some(skew) = self.skew(about.now) {
            let cause = format!("this machine's clock is {skew} the service's");
            return Some((cause, "set it right".to_owned()));
        }
        if let "NotImplemented" | "InvalidArgument" | "InvalidRequest" = self.code.as_str() {
            return self.not_taken(about);
        }
        let known = self.of_the_place(about).or_else(|| self.of_who_asks(about));
        known.map(|(cause, hint)| (cause, hint.to_owned()))
    }

    /// What is wrong with who asks, and the way out.
    fn of_who_asks(&self, about: &RequestContext<'_>) -> Option<(String, &'static str)> {
        let RequestContext {
            action,
            source,
            place,
            ..
        } = about;
        Some(match self.code.as_str() {
            "RequestTimeTooSkewed" => ("this machine's clock is wrong".to_owned(), "set it right"),
            "SignatureDoesNotMatch" => (
                format!("the secret from {source} does not belong to its access key id"),
                "",
            ),
            "InvalidAccessKeyId" => (
                format!("{place} does not know the access key id from {source}"),
                "--endpoint-url, if it is for another service",
            ),
            code if self.expired() => (format!("the credentials from {source} ended ({code})"), ""),
            _ if matches!(self.status, 401 | 403) => (
                format!("the credentials from {source} need the permission {action}"),
                "",
            ),
            _ => return None,
        })
    }

    /// What is wrong with what was asked for, or where it was, and the way out.
    fn of_the_place(&self, about: &RequestContext<'_>) -> Option<(String, &'static str)> {
        let place = about.place;
        Some(match self.code.as_str() {
            "NoSuchBucket" => (
                format!("there is no such bucket at {place}"),
                "check its name, --endpoint-url and --region",
            ),
            "InvalidObjectState" => (
                "the object is archived and must be thawed first".to_owned(),
                "",
            ),
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => (
                format!("the bucket is not at {place}"),
                "give its --region or --endpoint-url",
            ),
            "InvalidStorageClass" => class(about.class),
            "ServerSideEncryptionConfigurationNotFoundError" => encryption(),
            "QuotaExceeded"
            | "QuotaExceededException"
            | "InsufficientCapacity"
            | "TooManyBuckets"
            | "XMinioStorageFull"
            | "InsufficientStorage" => (
                "there is no room left for it".to_owned(),
                "delete something there, or raise the quota",
            ),
            _ => return None,
        })
    }

    /// What a service most likely does not take of a request, and the way without it. Its words decide
    /// where they name one of the things that were asked for.
    fn not_taken(&self, about: &RequestContext<'_>) -> Option<(String, String)> {
        let said = self.message.to_ascii_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let ways = [
            (about.sse, names(&["encrypt", "kms", "sse"]), encryption()),
            (
                about.if_none_match,
                names(&["none-match", "condition"]),
                (
                    "the service may not know If-None-Match".to_owned(),
                    "--s3-quirks no-if-none-match",
                ),
            ),
            (
                !about.class.is_empty(),
                names(&["storage", "class"]),
                class(about.class),
            ),
        ];
        let named = ways.iter().any(|(asked, named, _)| *asked && *named);
        let ways = ways
            .into_iter()
            .filter(|(asked, is_named, _)| *asked && (*is_named || !named));
        let (causes, hints): (Vec<String>, Vec<&str>) = ways.map(|(_, _, way)| way).unzip();
        let both = (causes.join(", or "), hints.join("; or "));
        (!hints.is_empty()).then_some(both)
    }

    /// How far our clock is from theirs, in words, if that matters to a signature.
    fn skew(&self, now: Timestamp) -> Option<String> {
        let ahead = now.duration_since(self.date?);
        if !matches!(self.status, 400 | 401 | 403) || ahead.abs() < SKEW {
            return None;
        }
        let word = if ahead.is_positive() {
            "ahead of"
        } else {
            "behind"
        };
        Some(format!("{} {word}", duration(ahead.abs())))
    }
}

fn encryption() -> (String, &'static str) {
    (
        "the service may not encrypt as asked".to_owned(),
        "--sse none (in a configuration sse = \"none\")",
    )
}

fn class(class: &str) -> (String, &'static str) {
    (
        format!(
            "the service may not know the storage class {}",
            plain(class)
        ),
        "give another one by --storage-class (in a configuration storage_class_chunks and \
         storage_class_manifest)",
    )
}

fn by_status(status: u16) -> &'static str {
    match status {
        301 => "PermanentRedirect",
        302 | 307 | 308 => "TemporaryRedirect",
        400 => "BadRequest",
        401 | 403 => "AccessDenied",
        404 => "NoSuchKey",
        409 => "Conflict",
        412 => "PreconditionFailed",
        416 => "InvalidRange",
        429 => "TooManyRequests",
        500 => "InternalError",
        501 => "NotImplemented",
        503 => "ServiceUnavailable",
        _ => "UnexpectedAnswer",
    }
}

pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(time.timestamp())
}

/// Their words go to terminals and logs.
fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(300).map(safe).collect()
}

/// An error of the connection in words, without the address, which holds secrets.
pub(crate) fn transport(error: &ureq::Error) -> String {
    use ureq::Error as E;
    match error {
        E::Timeout(Timeout::RecvResponse) => DRIPS.to_owned(),
        E::Timeout(_) => "the connection was silent for too long".to_owned(),
        E::HostNotFound => "the host name is not known".to_owned(),
        lost if is_nowhere(lost) => {
            "the host name does not exist: is --endpoint-url right?".to_owned()
        }
        E::BadUri(_) => "the address is malformed".to_owned(),
        E::Io(error) => tls(&error.to_string())
            .unwrap_or_else(|| Error::io("", io::Error::new(error.kind(), error.to_string())).said),
        other => tls(&other.to_string()).unwrap_or_else(|| other.to_string()),
    }
}

/// What is wrong with the encryption; `None` if it is not about that. Only the words tell.
fn tls(said: &str) -> Option<String> {
    match said.contains("corrupt message of type InvalidContentType") {
        true => Some("the service does not speak TLS: does its address begin with http://?".into()),
        false => certificate(said),
    }
}

/// What is wrong with a certificate; `None` if it is not about one. Only the words tell.
fn certificate(said: &str) -> Option<String> {
    let (_, reason) = said.split_once("invalid peer certificate: ")?;
    let known = [
        (
            "UnknownIssuer",
            "is of an authority that is not trusted (AWS_CA_BUNDLE names a file of those that are)",
        ),
        ("certificate not valid for name", "is for another name"),
        (
            "certificate expired",
            "has expired, or the clock of this machine is wrong",
        ),
        (
            "certificate not valid yet",
            "is not valid yet, or the clock of this machine is wrong",
        ),
    ];
    let words = known.iter().find(|(name, _)| reason.starts_with(name));
    let words = words.map_or_else(
        || format!("is not valid: {reason}"),
        |(_, words)| (*words).to_owned(),
    );
    Some(format!("the certificate of the service {words}"))
}

/// Whether the resolver said that there is no such name, and not that it could not tell. Only the words do.
pub(super) fn is_nowhere(error: &ureq::Error) -> bool {
    let said = match error {
        ureq::Error::Io(error) => error.to_string(),
        _ => String::new(),
    };
    let words = [
        "Name or service not known",
        "No address associated with hostname",
        // These are musl's.
        "Name does not resolve",
        "Name has no usable address",
    ];
    words.iter().any(|words| said.contains(words))
}

/// Whether a lost connection may hold the next time. A certificate stays wrong.
pub(super) fn passes(error: &ureq::Error) -> bool {
    use ureq::Error as E;
    match error {
        E::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::Protocol(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(now: &str) -> RequestContext<'static> {
        RequestContext {
            action: "s3:PutObject",
            source: "the environment",
            place: "https://h in region r",
            now: now.parse().unwrap(),
            sse: true,
            if_none_match: false,
            class: "",
        }
    }

    fn refusal(status: u16, code: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Sat, 21 Nov 2026 12:00:00 GMT".parse().unwrap());
        let body = format!(
            "<Error><Code>{code}</Code><Message>Go&#7;.</Message><RequestId>R1</RequestId></Error>"
        );
        Refusal::read(status, &headers, body.as_bytes())
    }

    /// The second half of an error and the way out.
    fn whole(refusal: &Refusal, about: &RequestContext) -> String {
        let (said, hint) = refusal.said(about);
        format!("{said} (try: {})", hint.unwrap_or_default())
    }

    #[test]
    fn both_halves_and_the_cause() {
        let now = about("2026-11-21T12:01:00Z");
        let said = refusal(403, "AccessDenied").said(&now).0;
        assert_eq!(
            said,
            "AccessDenied: Go  (request R1); the credentials from the environment need the \
             permission s3:PutObject"
        );
        assert!(whole(&refusal(400, "InvalidArgument"), &now).contains("--sse none"));
        assert!(whole(&refusal(404, "NoSuchBucket"), &now).contains("https://h"));
    }

    #[test]
    fn what_is_not_taken_is_named_with_the_way_out() {
        let said = |code: &str, message: &str| {
            let about = RequestContext {
                if_none_match: true,
                class: "DEEP_ARCHIVE",
                ..about("2026-11-21T12:01:00Z")
            };
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            whole(
                &Refusal::read(501, &HeaderMap::new(), body.as_bytes()),
                &about,
            )
        };
        let header = said(
            "NotImplemented",
            "A header you provided implies functionality",
        );
        assert!(
            header.contains("no-if-none-match") && header.contains("--sse none"),
            "{header}"
        );
        let kms = said("NotImplemented", "KMS is not configured");
        assert!(
            kms.contains("--sse none") && !kms.contains("no-if-none-match"),
            "{kms}"
        );
        let class = said("InvalidStorageClass", "Invalid storage class");
        assert!(
            class.contains("DEEP_ARCHIVE") && class.contains("storage_class_chunks"),
            "{class}"
        );
        let full = said("QuotaExceeded", "");
        assert!(
            full.contains("room") && !full.contains("permission"),
            "{full}"
        );
    }

    #[test]
    fn a_wrong_clock_is_measured() {
        let late = whole(
            &refusal(403, "AccessDenied"),
            &about("2026-11-21T09:30:00Z"),
        );
        assert!(
            late.contains("clock is 2 h 30 min behind the service's"),
            "{late}"
        );
        let early = whole(
            &refusal(403, "RequestTimeTooSkewed"),
            &about("2027-01-01T12:00:00Z"),
        );
        assert!(early.contains("clock is 41 days ahead of"), "{early}");
    }

    #[test]
    fn what_passes() {
        for (status, code, passes) in [
            (503, "SlowDown", true),
            (400, "BadDigest", true),
            (400, "RequestTimeout", true),
            (200, "InternalError", true),
            (403, "AccessDenied", false),
            (404, "NoSuchKey", false),
            (501, "NotImplemented", false),
        ] {
            assert_eq!(refusal(status, code).passes(), passes, "{code}");
        }
        assert_eq!(Refusal::read(404, &HeaderMap::new(), b"").code, "NoSuchKey");
    }
}
