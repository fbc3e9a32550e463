//! Copies of objects within the bucket, at once or by parts. Knows nothing of what they mean.

use super::objects::HeadResponse;
use super::request::unquoted;
use super::sign::UNRESERVED;
use super::{Client, S3Request};
use crate::error::{Error, Result};
use crate::objects::UploadedPart;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use rusty_s3::Method;

/// What ends in a path may stay as it is.
const KEEP: &AsciiSet = &UNRESERVED.remove(b'/');

impl Client {
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

    fn copy_at_once(&self, from: &str, to: &str, head: &HeadResponse) -> Result<()> {
        let mut request =
            S3Request::new(Method::Put, to, "copy to", "s3:PutObject and s3:GetObject");
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

    /// A copy of an object that is too long for one request.
    fn copy_by_parts(&self, from: &str, to: &str, head: &HeadResponse) -> Result<()> {
        let mut headers: Vec<(&str, String)> = head.kept().collect();
        let class = head.response.header("x-amz-storage-class");
        if !class.is_empty() {
            headers.push(("x-amz-storage-class", class.to_owned()));
        }
        let id = self.create(to, headers)?;
        let copied = self.copy_parts(from, to, head, &id);
        let copied = copied.and_then(|parts| self.complete(to, &id, &parts, false));
        if copied.is_err() {
            // The first error is the one to tell; what stays is listed as unfinished.
            let _ = self.abort(to, &id);
        }
        copied.map(drop)
    }

    fn copy_parts(
        &self,
        from: &str,
        to: &str,
        head: &HeadResponse,
        id: &str,
    ) -> Result<Vec<UploadedPart>> {
        let least = head.size.div_ceil(self.quirks().max_parts);
        let step = least.max(self.options.single_copy.min(1 << 30));
        let mut parts = Vec::new();
        for number in 1..=head.size.div_ceil(step) {
            let start = (number - 1) * step;
            let end = head.size.min(start + step) - 1;
            let mut request =
                S3Request::new(Method::Put, to, "copy to", "s3:PutObject and s3:GetObject");
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
            parts.push(UploadedPart {
                number,
                size: end + 1 - start,
                etag: unquoted(part.text("ETag")).to_owned(),
                ..UploadedPart::default()
            });
        }
        Ok(parts)
    }

    fn source(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket(), utf8_percent_encode(key, KEEP))
    }
}
