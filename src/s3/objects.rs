//! What can be asked about objects and unfinished uploads, one function for each of S3's requests.
//! Moving the bytes of streams is the business of `upload` and `download`.

use super::multipart::Unfinished;
use super::sign::UNRESERVED;
use super::xml::{Node, escaped};
use super::{Answer, Client, Fault, Request, Response, Sse};
use crate::digest::content_md5;
use crate::error::{Error, Kind, Result};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use rusty_s3::Method;

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

/// Everything below a prefix, as one listing showed it.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The objects.
    pub objects: Vec<Object>,
    /// The uploads that were not finished.
    pub uploads: Vec<Unfinished>,
    /// Why these are not known, if so.
    pub remark: Option<String>,
}

impl Inventory {
    /// The part of it whose keys begin so.
    pub fn below(&self, prefix: &str) -> Inventory {
        let objects = self.objects.iter().filter(|o| o.key.starts_with(prefix));
        let uploads = self.uploads.iter().filter(|u| u.key.starts_with(prefix));
        Inventory {
            objects: objects.cloned().collect(),
            uploads: uploads.cloned().collect(),
            remark: self.remark.clone(),
        }
    }
}

/// What a request about a single object tells.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(super) response: Response,
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

/// What ends in a path may stay as it is.
const KEEP: &AsciiSet = &UNRESERVED.remove(b'/');
const PAGE: usize = 1000;
pub(super) const ENDLESS: &str = "it has more than 10 million keys, or they are longer than 1 GiB";

/// How much of a listing there can be: a service could go on for ever.
#[derive(Default)]
pub(super) struct Bound {
    keys: u64,
    bytes: u64,
}

impl Bound {
    /// Counts a page; false if that is too many.
    pub(super) fn takes<'a>(&mut self, nodes: impl Iterator<Item = &'a Node>) -> bool {
        let before = self.keys;
        for node in nodes {
            self.keys += 1;
            self.bytes += node.exact("Key").len() as u64;
        }
        // Short pages are honest, and yet there cannot be any number of them.
        self.keys = self.keys.max(before + 100);
        self.keys <= 10_000_000 && self.bytes <= 1 << 30
    }
}

impl Client {
    /// Every object whose key begins so, page by page.
    ///
    /// # Errors
    /// If the bucket cannot be listed.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        self.pages(prefix, &[], &mut |page, node| {
            objects.push(object(page, node));
        })?;
        Ok(objects)
    }

    /// Every object, and every unfinished upload as far as these are told, whose keys begin so.
    ///
    /// # Errors
    /// If the bucket cannot be listed.
    pub fn inventory(&self, prefix: &str) -> Result<Inventory> {
        let objects = self.list(prefix)?;
        let (uploads, remark) = self.unfinished_if_told(prefix)?;
        Ok(Inventory {
            objects,
            uploads,
            remark,
        })
    }

    /// Shows every object of a listing, with its page, to `each`.
    pub(super) fn pages(
        &self,
        prefix: &str,
        headers: &[(&'static str, String)],
        each: &mut dyn FnMut(&Node, &Node),
    ) -> Result<()> {
        let (mut token, mut bound) = (String::new(), Bound::default());
        loop {
            let mut request = Request::new(Method::Get, "", "list", "s3:ListBucket");
            request.headers = headers.to_vec();
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
            if !bound.takes(page.all("Contents")) {
                return Err(self.malformed("list", "", ENDLESS));
            }
            page.all("Contents").for_each(|node| each(&page, node));
            let next = page.text("NextContinuationToken");
            if page.text("IsTruncated") != "true" {
                return Ok(());
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

    /// The same with checksums, and of the first part only where the service can tell parts apart.
    /// `None` if it refuses, since not every service knows such questions.
    pub(crate) fn head_of_part(&self, key: &str) -> Answer<Option<Head>> {
        let mut request = Request::new(Method::Head, key, "look at", "s3:GetObject");
        request.query = vec![("partNumber", "1".to_owned())];
        request.headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned())];
        match self.request(request) {
            Ok(response) => Ok(Head::of(response)),
            // An answer that has no body has no code; what cannot be told this way is told another.
            Err(fault) if fault.error.kind == Kind::Failed && !fault.code.is_empty() => Ok(None),
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

    /// The first bytes of an object that has at least so many; `None` if it is frozen.
    pub(crate) fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>> {
        let mut request = Request::new(Method::Get, key, "read", "s3:GetObject");
        request.headers = vec![("range", format!("bytes=0-{}", count.saturating_sub(1)))];
        request.limit = count;
        match self.request(request) {
            Ok(response) => Ok(Some(response.body)),
            Err(fault) if fault.code == "InvalidObjectState" => Ok(None),
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
            request.headers.push(("content-md5", content_md5(body)));
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
            request.headers = vec![("content-md5", content_md5(body.as_bytes()))];
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

    pub(super) fn source(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket(), utf8_percent_encode(key, KEEP))
    }

    /// A request whose answer is a document with this root.
    pub(super) fn document(&self, mut request: Request<'_>, root: &str) -> Answer<Node> {
        request.limit = super::xml::LONGEST;
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

    pub(super) fn malformed(&self, doing: &str, key: &str, said: &str) -> Error {
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
pub(super) fn decoded(page: &Node, key: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_have_an_end() {
        let pages = |key: &str, keys: usize| {
            let contents = format!("<Contents><Key>{key}</Key></Contents>").repeat(keys);
            let page = Node::parse(&format!("<L>{contents}</L>")).unwrap();
            let mut bound = Bound::default();
            (0..)
                .take_while(|_| bound.takes(page.all("Contents")))
                .count()
        };
        assert_eq!(pages("k", 1000), 10_000);
        assert_eq!(pages("k", 0), 100_000, "empty pages");
        assert_eq!(pages(&"k".repeat(1024), 1000), 1048);
    }
}
