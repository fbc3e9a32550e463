//! What can be asked about objects and unfinished uploads, one function for each of S3's requests.
//! Moving the bytes of streams is the business of `upload` and `download`.

use super::xml::{Node, escaped};
use super::{Answer, Client, Fault, Request, Response, Sse};
use crate::error::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rusty_s3::Method;
use std::collections::BTreeSet;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Option<Timestamp>,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that it is for.
    pub key: String,
    /// The service's name for it.
    pub id: String,
    /// When it was begun.
    pub started: Option<Timestamp>,
    pub(crate) class: String,
    pub(crate) algorithm: String,
}

/// A part that the service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) crc32c: String,
    pub(crate) sha256: String,
}

/// A part as the completion of its upload names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// The element of XML and its text, if the part carries a checksum.
    pub(crate) checksum: Option<(&'static str, String)>,
}

impl Part {
    fn xml(&self) -> String {
        let checksum = match &self.checksum {
            Some((name, value)) => format!("<{name}>{value}</{name}>"),
            None => String::new(),
        };
        format!(
            "<Part><PartNumber>{}</PartNumber><ETag>\"{}\"</ETag>{checksum}</Part>",
            self.number,
            escaped(&self.etag)
        )
    }
}

/// What a request about a single object tells.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) etag: String,
    response: Response,
}

impl Head {
    fn of(response: Response) -> Option<Head> {
        Some(Head {
            size: response.header("content-length").parse().ok()?,
            etag: unquoted(response.header("etag")).to_owned(),
            response,
        })
    }

    /// A value of ours; empty if it is not there.
    pub(crate) fn meta(&self, name: &str) -> &str {
        self.response.header(&format!("x-amz-meta-{name}"))
    }

    /// The headers that a copy by parts has to be given, since it does not inherit them.
    fn kept(&self) -> impl Iterator<Item = (&str, String)> {
        let kept = |name: &str| name.starts_with("x-amz-meta-") || name == "content-type";
        let headers = self.response.headers.iter();
        headers.filter_map(move |(name, value)| {
            Some((name.as_str(), value.to_str().ok()?.to_owned())).filter(|(name, _)| kept(name))
        })
    }
}

/// What ends in a path may stay as it is.
const KEEP: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');
const PAGE: usize = 1000;

impl Client {
    /// Every object whose key begins so, page by page.
    ///
    /// # Errors
    /// If the bucket cannot be listed.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let (mut objects, mut token) = (Vec::new(), String::new());
        loop {
            let mut request = Request::new(Method::Get, "", "list", "s3:ListBucket");
            request.query = vec![
                ("list-type", "2".to_owned()),
                ("encoding-type", "url".to_owned()),
                ("max-keys", PAGE.to_string()),
                ("prefix", prefix.to_owned()),
            ];
            if !token.is_empty() {
                request.query.push(("continuation-token", token.clone()));
            }
            let page = self.document(request, "ListBucketResult")?;
            objects.extend(page.all("Contents").map(|node| object(&page, node)));
            let next = page.text("NextContinuationToken");
            if page.text("IsTruncated") != "true" {
                return Ok(objects);
            }
            if next.is_empty() || next == token {
                return Err(self.malformed(
                    "list",
                    "",
                    "a page says that another follows, but not which",
                ));
            }
            token = next.to_owned();
        }
    }

    /// Every unfinished upload for keys that begin so.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let mut uploads: Vec<Unfinished> = Vec::new();
        let mut marker = (String::new(), String::new());
        loop {
            let (doing, action) = (
                "list unfinished uploads in",
                "s3:ListBucketMultipartUploads",
            );
            let mut request = Request::new(Method::Get, "", doing, action);
            request.query = vec![
                ("uploads", String::new()),
                ("encoding-type", "url".to_owned()),
                ("prefix", prefix.to_owned()),
            ];
            if !marker.0.is_empty() {
                request.query.push(("key-marker", marker.0.clone()));
                request.query.push(("upload-id-marker", marker.1.clone()));
            }
            let page = self.document(request, "ListMultipartUploadsResult")?;
            for node in page.all("Upload") {
                let upload = unfinished(&page, node);
                if !uploads.contains(&upload) && upload.key.starts_with(prefix) {
                    uploads.push(upload);
                }
            }
            let next = (
                decoded(&page, page.exact("NextKeyMarker")),
                page.text("NextUploadIdMarker").to_owned(),
            );
            // Some services say for ever that there is more; markers that stand still tell.
            if page.text("IsTruncated") != "true" || next.0.is_empty() || next == marker {
                return Ok(uploads);
            }
            marker = next;
        }
    }

    /// The parts of an unfinished upload, in order. A number that occurs more than once, since it
    /// was uploaded more than once, is left out: nobody knows which of them would be used.
    pub(crate) fn parts(&self, key: &str, id: &str) -> Answer<Vec<Listed>> {
        let (mut parts, mut marker) = (Vec::<Listed>::new(), 0);
        loop {
            let (doing, action) = ("list the parts of", "s3:ListMultipartUploadParts");
            let mut request = Request::new(Method::Get, key, doing, action);
            request.query = vec![("uploadId", id.to_owned())];
            if marker > 0 {
                request
                    .query
                    .push(("part-number-marker", marker.to_string()));
            }
            let page = self.document(request, "ListPartsResult")?;
            parts.extend(page.all("Part").filter_map(listed));
            let next = page.number("NextPartNumberMarker").unwrap_or(0);
            if page.text("IsTruncated") != "true" || next <= marker {
                break;
            }
            marker = next;
        }
        parts.sort_by_key(|part| part.number);
        parts.dedup();
        let twice: BTreeSet<u64> = parts
            .windows(2)
            .filter(|pair| pair[0].number == pair[1].number)
            .map(|pair| pair[0].number)
            .collect();
        parts.retain(|part| !twice.contains(&part.number));
        Ok(parts)
    }

    /// What is known about an object; `None` if it does not exist.
    pub(crate) fn head(&self, key: &str) -> Answer<Option<Head>> {
        let request = Request::new(Method::Head, key, "look at", "s3:GetObject");
        match self.request(request) {
            Ok(response) => match Head::of(response) {
                Some(head) => Ok(Some(head)),
                None => Err(self
                    .malformed("look at", key, "the answer has no length")
                    .into()),
            },
            Err(fault) if fault.code == "NoSuchKey" => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The whole of a small object; `None` if it does not exist.
    pub(crate) fn small(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.request(Request::new(Method::Get, key, "read", "s3:GetObject")) {
            Ok(response) => Ok(Some(response.body)),
            Err(fault) if fault.code == "NoSuchKey" => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Writes an object in one request; `Content-MD5` protects it on its way.
    pub(crate) fn put(
        &self,
        key: &str,
        body: &[u8],
        headers: Vec<(&str, String)>,
    ) -> Answer<Response> {
        let mut request = Request::new(Method::Put, key, "write", "s3:PutObject");
        request.body = body;
        request.headers = headers;
        request.headers.extend(self.protection());
        let mut names = request.headers.iter().map(|(name, _)| *name);
        if !names.any(|name| name == "content-md5" || name.starts_with("x-amz-checksum")) {
            let md5 = BASE64_STANDARD.encode(Md5::digest(body));
            request.headers.push(("content-md5", md5));
        }
        self.request(request)
    }

    /// Copies an object within the bucket, by parts if it is too long for one request, and makes
    /// sure that the copy has its length. The ETag of the copy.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<String> {
        let doing = || format!("cannot copy {}", self.url(from));
        let Some(head) = self.head(from)? else {
            return Err(Error::failed(doing(), "it does not exist"));
        };
        match head.size > self.options.single_copy {
            true => self.copy_by_parts(from, to, &head)?,
            false => self.copy_at_once(from, to, &head)?,
        }
        let copy = self.head(to)?;
        match copy.filter(|copy| copy.size == head.size) {
            Some(copy) => Ok(copy.etag),
            None => Err(Error::damaged(
                doing(),
                format!("{} has not its length", self.url(to)),
            )),
        }
    }

    fn copy_at_once(&self, from: &str, to: &str, head: &Head) -> Result<()> {
        let mut request = Request::new(Method::Put, to, "copy to", "s3:PutObject and s3:GetObject");
        request.slow = true;
        request.headers = vec![("x-amz-copy-source", self.source(from))];
        request.headers.extend(self.protection());
        let class = head.response.header("x-amz-storage-class");
        if !class.is_empty() {
            request
                .headers
                .push(("x-amz-storage-class", class.to_owned()));
        }
        self.document(request, "CopyObjectResult")?;
        Ok(())
    }

    fn copy_by_parts(&self, from: &str, to: &str, head: &Head) -> Result<()> {
        let mut headers: Vec<(&str, String)> = head.kept().collect();
        let class = head.response.header("x-amz-storage-class");
        if !class.is_empty() {
            headers.push(("x-amz-storage-class", class.to_owned()));
        }
        let id = self.create(to, headers)?;
        let copied = self.copy_parts(from, to, head, &id);
        let copied = copied.and_then(|parts| Ok(self.complete(to, &id, &parts, false)?));
        if copied.is_err() {
            // The first error is the one to tell; what stays is listed as unfinished.
            let _ = self.abort(to, &id);
        }
        copied.map(drop)
    }

    fn copy_parts(&self, from: &str, to: &str, head: &Head, id: &str) -> Result<Vec<Part>> {
        let least = head.size.div_ceil(self.quirks().max_parts);
        let step = least.max(self.options.single_copy.min(1 << 30));
        let mut parts = Vec::new();
        for number in 1..=head.size.div_ceil(step) {
            let start = (number - 1) * step;
            let end = head.size.min(start + step) - 1;
            let mut request =
                Request::new(Method::Put, to, "copy to", "s3:PutObject and s3:GetObject");
            request.slow = true;
            request.query = vec![
                ("partNumber", number.to_string()),
                ("uploadId", id.to_owned()),
            ];
            request.headers = vec![
                ("x-amz-copy-source", self.source(from)),
                ("x-amz-copy-source-range", format!("bytes={start}-{end}")),
            ];
            let part = self.document(request, "CopyPartResult")?;
            parts.push(Part {
                number,
                size: end + 1 - start,
                etag: unquoted(part.text("ETag")).to_owned(),
                checksum: None,
            });
        }
        Ok(parts)
    }

    /// Begins a multipart upload; its id.
    pub(crate) fn create(&self, key: &str, headers: Vec<(&str, String)>) -> Answer<String> {
        let mut request = Request::new(Method::Post, key, "begin to upload", "s3:PutObject");
        request.query = vec![("uploads", String::new())];
        request.headers = headers;
        request.headers.extend(self.protection());
        let answer = self.document(request, "InitiateMultipartUploadResult")?;
        match answer.text("UploadId") {
            "" => Err(self
                .malformed("begin to upload", key, "the answer has no UploadId")
                .into()),
            id => Ok(id.to_owned()),
        }
    }

    /// Makes an object of uploaded parts; its ETag, which some services leave out. With `new` it
    /// must not exist yet. Not repeated when the answer is lost: the caller has to look what
    /// became of it.
    pub(crate) fn complete(
        &self,
        key: &str,
        id: &str,
        parts: &[Part],
        new: bool,
    ) -> Answer<String> {
        let mut body = String::from(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        body.extend(parts.iter().map(Part::xml));
        body.push_str("</CompleteMultipartUpload>");
        let mut request = Request::new(Method::Post, key, "complete the upload of", "s3:PutObject");
        request.query = vec![("uploadId", id.to_owned())];
        request.body = body.as_bytes();
        (request.slow, request.once) = (true, true);
        if new && self.quirks().if_none_match {
            request.headers = vec![("if-none-match", "*".to_owned())];
        }
        let answer = self.document(request, "CompleteMultipartUploadResult")?;
        Ok(unquoted(answer.text("ETag")).to_owned())
    }

    /// Ends an unfinished upload and frees its parts.
    ///
    /// # Errors
    /// If the service refuses. That it is gone already is none.
    pub fn abort(&self, key: &str, id: &str) -> Result<()> {
        let (doing, action) = ("abort the upload of", "s3:AbortMultipartUpload");
        let mut request = Request::new(Method::Delete, key, doing, action);
        request.query = vec![("uploadId", id.to_owned())];
        match self.request(request) {
            Err(fault) if fault.code != "NoSuchUpload" => Err(fault.into()),
            _ => Ok(()),
        }
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
                Request::new(Method::Post, "", "delete objects in", "s3:DeleteObject");
            request.query = vec![("delete", String::new())];
            request.headers = vec![("content-md5", BASE64_STANDARD.encode(Md5::digest(&body)))];
            request.body = body.as_bytes();
            request.slow = true;
            let answer = self.document(request, "DeleteResult")?;
            // Status 200 says nothing about the single keys.
            if let Some(error) = answer.all("Error").find(|e| e.text("Code") != "NoSuchKey") {
                let doing = format!("cannot delete {}", self.url(error.exact("Key")));
                let said = format!("{}: {}", error.text("Code"), error.text("Message"));
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

    fn source(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket(), utf8_percent_encode(key, KEEP))
    }

    /// A request whose answer is a document with this root.
    fn document(&self, request: Request<'_>, root: &str) -> Answer<Node> {
        let (doing, key) = (request.doing, request.key);
        let response = self.request(request)?;
        let text = String::from_utf8_lossy(&response.body);
        match Node::parse(&text).filter(|node| node.name == root) {
            Some(node) => Ok(node),
            None => {
                let said = format!("the answer ({}) is not a {root}", response.status);
                Err(self.malformed(doing, key, &said).into())
            }
        }
    }

    fn malformed(&self, doing: &str, key: &str, said: &str) -> Error {
        Error::failed(format!("cannot {doing} {}", self.url(key)), said)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault {
            error,
            code: String::new(),
        }
    }
}

pub(crate) fn unquoted(etag: &str) -> &str {
    etag.trim().trim_matches('"')
}

/// A key as it really is: listings can be asked to escape what XML cannot carry.
fn decoded(page: &Node, key: &str) -> String {
    if page.text("EncodingType") != "url" {
        return key.to_owned();
    }
    let spaces = key.replace('+', " ");
    percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
}

fn object(page: &Node, node: &Node) -> Object {
    Object {
        key: decoded(page, node.exact("Key")),
        size: node.number("Size").unwrap_or(0),
        etag: unquoted(node.text("ETag")).to_owned(),
        modified: node.text("LastModified").parse().ok(),
    }
}

fn unfinished(page: &Node, node: &Node) -> Unfinished {
    Unfinished {
        key: decoded(page, node.exact("Key")),
        id: node.text("UploadId").to_owned(),
        started: node.text("Initiated").parse().ok(),
        class: node.text("StorageClass").to_owned(),
        algorithm: node.text("ChecksumAlgorithm").to_owned(),
    }
}

fn listed(node: &Node) -> Option<Listed> {
    Some(Listed {
        number: node.number("PartNumber")?,
        size: node.number("Size")?,
        etag: unquoted(node.text("ETag")).to_owned(),
        crc32c: node.text("ChecksumCRC32C").to_owned(),
        sha256: node.text("ChecksumSHA256").to_owned(),
    })
}
