//! Uploads by parts, one function for each of S3's requests about them.
//! Which parts, and what becomes of a lost answer, is decided by the callers.

use super::listing::Bound;
use super::request::unquoted;
use super::xml::{Node, escaped};
use super::{Client, S3Request};
use crate::error::Result;
use crate::objects::UploadedPart;
use rusty_s3::Method;
use std::collections::BTreeSet;

/// A part as the completion of its upload names it.
fn xml(part: &UploadedPart) -> String {
    let sums = [
        ("ChecksumCRC32C", &part.crc32c),
        ("ChecksumSHA256", &part.sha256),
    ];
    let sums = sums.into_iter().filter(|(_, value)| !value.is_empty());
    let sums: String = sums
        .map(|(name, value)| format!("<{name}>{value}</{name}>"))
        .collect();
    format!(
        "<Part><PartNumber>{}</PartNumber><ETag>\"{}\"</ETag>{sums}</Part>",
        part.number,
        escaped(&part.etag)
    )
}

impl Client {
    /// The parts of an unfinished upload, in order. A number that occurs more than once, since it
    /// was uploaded more than once, is left out: nobody knows which of them would be used.
    pub(crate) fn parts(&self, key: &str, id: &str) -> Result<Vec<UploadedPart>> {
        let (mut parts, mut marker) = (Vec::<UploadedPart>::new(), 0);
        let mut bound = Bound::default();
        loop {
            let (doing, action) = ("list the parts of", "s3:ListMultipartUploadParts");
            let mut request = S3Request::new(Method::Get, key, doing, action);
            request.query = vec![("uploadId", id.to_owned())];
            if marker > 0 {
                request
                    .query
                    .push(("part-number-marker", marker.to_string()));
            }
            let page = self.document(request, "ListPartsResult")?;
            if !bound.takes(page.all("Part")) {
                return Err(self.malformed(doing, key, "there is no end of them"));
            }
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

    /// Begins a multipart upload; its id.
    pub(crate) fn create(&self, key: &str, headers: Vec<(&str, String)>) -> Result<String> {
        let mut request = S3Request::new(Method::Post, key, "begin to upload", "s3:PutObject");
        request.query = vec![("uploads", String::new())];
        request.headers = headers;
        request.headers.extend(self.protection());
        let answer = self.document(request, "InitiateMultipartUploadResult")?;
        match answer.text("UploadId") {
            "" => Err(self.malformed("begin to upload", key, "the answer has no UploadId")),
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
        parts: &[UploadedPart],
        new: bool,
    ) -> Result<String> {
        let mut body = String::from(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        body.extend(parts.iter().map(xml));
        body.push_str("</CompleteMultipartUpload>");
        let mut request =
            S3Request::new(Method::Post, key, "complete the upload of", "s3:PutObject");
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
        let mut request = S3Request::new(Method::Delete, key, doing, action);
        request.query = vec![("uploadId", id.to_owned())];
        match self.request(request) {
            Err(error) if error.refusal() != "NoSuchUpload" => Err(error),
            _ => Ok(()),
        }
    }
}

fn listed(node: &Node) -> Option<UploadedPart> {
    Some(UploadedPart {
        number: node.number("PartNumber")?,
        size: node.number("Size")?,
        etag: unquoted(node.text("ETag")).to_owned(),
        modified: node.text("LastModified").parse().ok(),
        crc32c: node.text("ChecksumCRC32C").to_owned(),
        sha256: node.text("ChecksumSHA256").to_owned(),
    })
}
