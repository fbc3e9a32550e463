//! Uploads by parts, one function for each of S3's requests about them.
//! Which parts, and what becomes of a lost answer, is decided by the callers.

use super::objects::{Bound, ENDLESS, Head, decoded, unquoted};
use super::xml::{Node, escaped};
use super::{Answer, Client, Request};
use crate::error::Result;
use jiff::Timestamp;
use rusty_s3::Method;
use std::collections::{BTreeSet, HashSet};

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
    pub(crate) modified: Option<Timestamp>,
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

impl Client {
    /// Every unfinished upload for keys that begin so.
    pub(crate) fn unfinished(&self, prefix: &str) -> Answer<Vec<Unfinished>> {
        let mut uploads: Vec<Unfinished> = Vec::new();
        let (mut seen, mut bound) = (HashSet::new(), Bound::default());
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
            if !bound.takes(page.all("Upload")) {
                return Err(self.malformed(doing, "", ENDLESS).into());
            }
            for node in page.all("Upload") {
                let upload = unfinished(&page, node);
                let new = seen.insert((upload.key.clone(), upload.id.clone()));
                if new && upload.key.starts_with(prefix) {
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

    /// The same for whoever may not list them, or uses a service that cannot: none then, and a
    /// remark. All else can be done without.
    pub(crate) fn unfinished_if_told(
        &self,
        prefix: &str,
    ) -> Result<(Vec<Unfinished>, Option<String>)> {
        const REFUSALS: [&str; 3] = ["AccessDenied", "NotImplemented", "MethodNotAllowed"];
        match self.unfinished(prefix) {
            Err(fault) if REFUSALS.contains(&&fault.code[..]) => {
                let so = "interrupted uploads are neither shown nor gone on with";
                Ok((Vec::new(), Some(format!("{}; {so}", fault.error))))
            }
            answer => Ok((answer?, None)),
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
            // No service has as many.
            if page.text("IsTruncated") != "true" || next <= marker || parts.len() > 100_000 {
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

    /// What arrived of an upload: how much, and when the last part.
    pub(crate) fn arrived(&self, upload: &Unfinished) -> Result<(u64, Option<Timestamp>)> {
        match self.parts(&upload.key, &upload.id) {
            Ok(parts) => {
                let latest = parts.iter().filter_map(|part| part.modified).max();
                Ok((parts.iter().map(|part| part.size).sum(), latest))
            }
            Err(fault) if fault.code == "NoSuchUpload" => Ok((0, None)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// A copy of an object that is too long for one request.
    pub(super) fn copy_by_parts(&self, from: &str, to: &str, head: &Head) -> Result<()> {
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
        modified: node.text("LastModified").parse().ok(),
        crc32c: node.text("ChecksumCRC32C").to_owned(),
        sha256: node.text("ChecksumSHA256").to_owned(),
    })
}
