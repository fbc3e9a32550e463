//! What can be asked about and done to single objects, one function for each of S3's requests.
//! How the bytes of streams come and go is decided elsewhere.

use super::request::unquoted;
use super::xml::escaped;
use super::{Client, Response, S3Request, Sse};
use crate::digest::content_md5;
use crate::error::{Error, Kind, Result};
use rusty_s3::Method;
use std::collections::BTreeMap;

/// What a request about a single object tells.
#[derive(Debug)]
pub(crate) struct HeadResponse {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(super) response: Response,
}

impl HeadResponse {
    fn of(response: Response) -> Option<HeadResponse> {
        Some(HeadResponse {
            size: response.header("content-length").parse().ok()?,
            etag: unquoted(response.header("etag")).to_owned(),
            response,
        })
    }

    /// A value of ours; empty if it is not there.
    pub(crate) fn meta(&self, name: &str) -> &str {
        self.response.header(&format!("x-amz-meta-{name}"))
    }

    /// All metadata of ours.
    pub(super) fn all_meta(&self) -> BTreeMap<String, String> {
        let ours = self.kept().filter_map(|(name, value)| {
            let name = name.strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value))
        });
        ours.collect()
    }

    /// Any other header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.header(name)
    }

    /// Whether the ETag cannot be the MD5 of anything that we know.
    pub(crate) fn is_kms(&self) -> bool {
        let how = self.header("x-amz-server-side-encryption");
        how.starts_with("aws:kms")
    }

    /// The headers that a copy by parts has to be given, since it does not inherit them.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, String)> {
        let kept = |name: &str| name.starts_with("x-amz-meta-") || name == "content-type";
        let headers = self.response.headers.iter();
        headers.filter_map(move |(name, value)| {
            Some((name.as_str(), value.to_str().ok()?.to_owned())).filter(|(name, _)| kept(name))
        })
    }
}

/// How many objects one request removes at most.
const PAGE: usize = 1000;
impl Client {
    /// What is known about an object; `None` if it does not exist.
    pub(crate) fn head(&self, key: &str) -> Result<Option<HeadResponse>> {
        let request = S3Request::new(Method::Head, key, "look at", "s3:GetObject");
        match self.request(request) {
            Ok(response) => match HeadResponse::of(response) {
                Some(head) => Ok(Some(head)),
                None => Err(self.malformed("look at", key, "the answer has no length")),
            },
            Err(error) if error.refusal() == "NoSuchKey" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same with checksums, and of the first part only where the service can tell parts apart.
    /// `None` if it refuses, since not every service knows such questions.
    pub(crate) fn head_of_part(&self, key: &str) -> Result<Option<HeadResponse>> {
        let mut request = S3Request::new(Method::Head, key, "look at", "s3:GetObject");
        request.query = vec![("partNumber", "1".to_owned())];
        request.headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned())];
        match self.request(request) {
            Ok(response) => Ok(HeadResponse::of(response)),
            // An answer that has no body has no code; what cannot be told this way is told another.
            Err(error) if error.kind == Kind::Failed && !error.refusal().is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The whole of a small object; `None` if it does not exist.
    pub(crate) fn small(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.request(S3Request::new(Method::Get, key, "read", "s3:GetObject")) {
            Ok(response) => Ok(Some(response.body)),
            Err(error) if error.refusal() == "NoSuchKey" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first bytes of an object that has at least so many; `None` if it is frozen.
    pub(crate) fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>> {
        let mut request = S3Request::new(Method::Get, key, "read", "s3:GetObject");
        request.headers = vec![("range", format!("bytes=0-{}", count.saturating_sub(1)))];
        request.limit = count;
        match self.request(request) {
            Ok(response) => Ok(Some(response.body)),
            Err(error) if error.refusal() == "InvalidObjectState" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object in one request; `Content-MD5` protects it on its way.
    pub(crate) fn put(
        &self,
        key: &str,
        body: &[u8],
        headers: Vec<(&str, String)>,
    ) -> Result<Response> {
        let mut request = S3Request::new(Method::Put, key, "write", "s3:PutObject");
        request.body = body;
        request.headers = headers;
        request.headers.extend(self.protection());
        let mut names = request.headers.iter().map(|(name, _)| *name);
        if !names.any(|name| name == "content-md5" || name.starts_with("x-amz-checksum")) {
            request.headers.push(("content-md5", content_md5(body)));
        }
        self.request(request)
    }

    /// Removes objects for good. One that does not exist counts as removed.
    pub(crate) fn remove(&self, keys: &[String]) -> Result<()> {
        for page in keys.chunks(PAGE) {
            let mut body = String::from("<Delete><Quiet>true</Quiet>");
            for key in page {
                body.push_str(&format!("<Object><Key>{}</Key></Object>", escaped(key)));
            }
            body.push_str("</Delete>");
            let mut request =
                S3Request::new(Method::Post, "", "delete objects in", "s3:DeleteObject");
            request.query = vec![("delete", String::new())];
            request.headers = vec![("content-md5", content_md5(body.as_bytes()))];
            request.body = body.as_bytes();
            request.slow = true;
            let answer = self.document(request, "DeleteResult")?;
            // Status 200 says nothing about the single keys.
            if let Some(error) = answer.all("Error").find(|e| e.text("Code") != "NoSuchKey") {
                let doing = format!("cannot delete {}", self.url(error.exact("Key")));
                let said = format!(
                    "{}: {}",
                    error.text("Code"),
                    error.text("Message").trim_end_matches('.')
                );
                let more = answer.all("Error").count() - 1;
                let more = if more == 0 {
                    String::new()
                } else {
                    format!(" (and {more} more)")
                };
                return Err(Error::failed(
                    doing,
                    format!("{said}{more}; deleting needs s3:DeleteObject"),
                ));
            }
        }
        Ok(())
    }

    /// The headers of encryption, for what is new in the bucket.
    pub(crate) fn protection(&self) -> Vec<(&'static str, String)> {
        const NAME: &str = "x-amz-server-side-encryption";
        match &self.options.sse {
            Sse::Usual if self.quirks().sse => vec![(NAME, "AES256".to_owned())],
            Sse::Usual | Sse::None => Vec::new(),
            Sse::Aes256 => vec![(NAME, "AES256".to_owned())],
            Sse::Kms(None) => vec![(NAME, "aws:kms".to_owned())],
            Sse::Kms(Some(key)) => vec![
                (NAME, "aws:kms".to_owned()),
                ("x-amz-server-side-encryption-aws-kms-key-id", key.clone()),
            ],
        }
    }
}
