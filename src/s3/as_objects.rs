//! S3 as objects: each verb by one request or a few. Knows S3's headers, and nothing of what is stored.

use super::checksums::{Expected, PartChecksums, composite};
use super::remote_checksum::parts_in;
use super::request::{borrowed, unquoted};
use super::{Checksum, Client, Response, S3Request};
use crate::archive::Tier;
use crate::digest::md5;
use crate::error::{Error, Kind, Result};
use crate::objects::{
    About, Cold, Counters, Head, Inventory, Keeper, Limits, Object, Objects, Part, RangeBytes,
    RemoteChecksum, Source, ThawOutcome, Unfinished, UploadedPart, absent,
};
use crate::process;
use crate::text::hex;
use jiff::Timestamp;
use rusty_s3::Method;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How often a listing is looked at for what was written: for some seconds.
const LOOKS: u32 = 6;

impl Objects for Client {
    fn url(&self, key: &str) -> String {
        Client::url(self, key)
    }

    fn described(&self) -> String {
        Client::described(self)
    }

    fn limits(&self) -> Limits {
        let quirks = self.quirks();
        Limits {
            max_parts: quirks.max_parts,
            max_object: quirks.max_object,
            part_size: self.options.part_size,
            concurrency: self.options.concurrency,
            class: self.options.storage_class.clone(),
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn now(&self) -> Timestamp {
        (self.options.now)()
    }

    fn keeper(&self) -> Keeper {
        match self.is_aws() {
            true => Keeper::Aws,
            false => Keeper::Service,
        }
    }

    fn fetched_by(&self, key: &str) -> Vec<String> {
        let url = format!("s3://{}/{key}", self.bucket());
        self.aws(&["s3", "cp", &url, "-"])
    }

    fn thawed_by(&self, key: &str) -> Option<Vec<String>> {
        let bucket = self.bucket();
        let place = ["s3api", "restore-object", "--bucket", &bucket, "--key"];
        let request = "Days=7,GlacierJobParameters={Tier=Bulk}";
        let rest = [key, "--restore-request", request];
        Some(self.aws(&[&place[..], &rest].concat()))
    }

    fn inventory(&self, prefix: &str) -> Result<Inventory> {
        Client::inventory(self, prefix)
    }

    /// Not every service shows at once what was written.
    fn unlisted(&self, prefix: &str, wanted: &[(&str, u64)]) -> Result<Option<String>> {
        for attempt in 0..LOOKS {
            let missing = absent(&self.list(prefix)?, wanted);
            if missing.is_none() || attempt + 1 == LOOKS {
                return Ok(missing);
            }
            process::check("looking for what was written")?;
            std::thread::sleep(Duration::from_millis(200 << attempt));
        }
        Ok(None)
    }

    fn head(&self, key: &str) -> Result<Option<Head>> {
        let head = Client::head(self, key)?;
        Ok(head.map(|head| Head {
            class: head.header("x-amz-storage-class").to_owned(),
            meta: head.all_meta(),
            size: head.size,
            etag: head.etag,
        }))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.small(key)
    }

    fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>> {
        Client::beginning(self, key, count)
    }

    fn range(
        &self,
        source: &Source,
        start: u64,
        length: u64,
        into: Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<RangeBytes> {
        let mut request = S3Request::new(Method::Get, &source.key, "download", "s3:GetObject");
        request.headers = vec![("range", format!("bytes={start}-{}", start + length - 1))];
        request.into = into;
        request.into.reserve(length as usize);
        request.limit = length;
        request.stop = Some(stop);
        let response = self.request(request)?;
        self.check_range(source, start, length, &response)?;
        let told = response.header("x-amz-meta-sha256");
        Ok(RangeBytes {
            sha256: (!told.is_empty()).then(|| told.to_owned()),
            bytes: response.body,
        })
    }

    fn put(&self, key: &str, bytes: &[u8], about: &About) -> Result<()> {
        let headers = headers(about);
        Client::put(self, key, bytes, borrowed(&headers))?;
        Ok(())
    }

    fn create(&self, key: &str, bytes: &[u8], about: &About) -> Result<Object> {
        let mut headers = headers(about);
        headers.extend(PartChecksums::of(bytes, self.checksum()).headers());
        if self.quirks().if_none_match {
            headers.push(("if-none-match".to_owned(), "*".to_owned()));
        }
        let expected = Expected {
            size: bytes.len() as u64,
            parts: 0,
            etag: Some(hex(&md5(bytes))),
        };
        match Client::put(self, key, bytes, borrowed(&headers)) {
            Err(error) if error.refusal() == "PreconditionFailed" => {
                let there = Client::head(self, key)?;
                let same = |(name, value): &(&str, String)| {
                    let there = there.as_ref().map(|head| head.meta(name));
                    *name == "sha256" && there == Some(value)
                };
                if !about.meta.iter().any(same) {
                    return Err(self.taken(key));
                }
            }
            answer => drop(answer?),
        }
        self.checked(key, &expected)
    }

    fn begin(&self, key: &str, part: u64, about: &About) -> Result<Unfinished> {
        let mut headers = headers(about);
        headers.push(("x-amz-meta-part-size".to_owned(), part.to_string()));
        let algorithm = self.checksum().algorithm();
        let declared = !algorithm.is_empty() && self.quirks().declared;
        if declared {
            headers.push(("x-amz-checksum-algorithm".to_owned(), algorithm.to_owned()));
        }
        Ok(Unfinished {
            key: key.to_owned(),
            id: Client::create(self, key, borrowed(&headers))?,
            started: Some(self.now()),
            class: about.class.clone().unwrap_or_default(),
            algorithm: if declared { algorithm } else { "" }.to_owned(),
        })
    }

    fn goes_on(&self, upload: &Unfinished) -> bool {
        let class = self.options.storage_class.as_ref();
        class.is_none_or(|class| *class == upload.class) && self.checksum_of(upload).is_some()
    }

    fn parts(&self, upload: &Unfinished) -> Result<Option<Vec<UploadedPart>>> {
        match Client::parts(self, &upload.key, &upload.id) {
            Err(error) if error.refusal() == "NoSuchUpload" => Ok(None),
            answer => Ok(Some(answer?)),
        }
    }

    fn send_part(
        &self,
        upload: &Unfinished,
        part: &Part,
        known: Option<&UploadedPart>,
        stop: &AtomicBool,
    ) -> Result<(UploadedPart, bool)> {
        let Part { number, bytes, .. } = *part;
        let checksum = self.checksum_of(upload);
        let mut sums = PartChecksums::of(bytes, checksum.unwrap_or_else(|| self.checksum()));
        let part = |sums: &PartChecksums, etag: &str| UploadedPart {
            number,
            size: bytes.len() as u64,
            etag: etag.to_owned(),
            ..sums.of_part()
        };
        if let Some(known) = known
            && self.is_same(known, bytes, &mut sums)
        {
            return Ok((part(&sums, &known.etag), true));
        }
        let doing = format!("upload part {number} of");
        let mut request = S3Request::new(Method::Put, &upload.key, &doing, "s3:PutObject");
        request.query = vec![
            ("partNumber", number.to_string()),
            ("uploadId", upload.id.clone()),
        ];
        let headers = sums.headers();
        request.headers = borrowed(&headers);
        request.body = bytes;
        request.stop = Some(stop);
        let response = self.request(request)?;
        Ok((part(&sums, unquoted(response.header("etag"))), false))
    }

    fn complete(&self, upload: &Unfinished, parts: &[UploadedPart], new: bool) -> Result<Object> {
        let (key, id) = (&upload.key, &upload.id);
        let expected = Expected {
            size: parts.iter().map(|part| part.size).sum(),
            parts: parts.len(),
            etag: composite(parts),
        };
        for attempt in 0..=self.options.retries.min(5) {
            let error = match Client::complete(self, key, id, parts, new) {
                Ok(_) => return self.checked(key, &expected),
                Err(error) => error,
            };
            let taken = error.refusal() == "PreconditionFailed";
            let unclear = matches!(error.refusal(), "" | "NoSuchUpload" | "InternalError");
            if !(taken || unclear) || error.kind == Kind::Interrupted {
                return Err(error);
            }
            // The answer was lost or is about a request whose answer was lost: look.
            match Client::head(self, key)? {
                Some(head) if expected.is_met(&head, self.etags_are_md5()) => {
                    return self.checked(key, &expected);
                }
                Some(_) if taken => return Err(self.taken(key)),
                _ => {}
            }
            if taken || Client::parts(self, key, id).is_err() {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(200 << attempt));
        }
        let said = "its completion was not answered, again and again";
        Err(Error::failed(self.uploading(key), said))
    }

    fn abort(&self, upload: &Unfinished) -> Result<()> {
        Client::abort(self, &upload.key, &upload.id)
    }

    fn copy(&self, from: &str, to: &str) -> Result<String> {
        Client::copy(self, from, to)
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        Client::remove(self, keys)
    }

    fn remote_checksum(&self, object: &Source) -> Result<Option<RemoteChecksum>> {
        Client::remote_checksum(self, object)
    }

    fn part_count(&self, object: &Source) -> Result<(u64, Option<u64>)> {
        let Some(parts) = parts_in(&object.etag) else {
            return Ok((1, None));
        };
        let first = self.head_of_part(&object.key)?;
        let told = first.map(|first| first.header("x-amz-mp-parts-count").parse());
        Ok((parts, told.and_then(std::result::Result::ok)))
    }

    fn cold(&self, keys: &[&str]) -> Result<BTreeMap<String, Cold>> {
        Client::cold(self, keys)
    }

    fn thaw(&self, key: &str, class: &str, tier: Tier, days: u32) -> Result<ThawOutcome> {
        Client::thaw(self, key, class, tier, days)
    }
}

impl Client {
    fn uploading(&self, key: &str) -> String {
        format!("cannot upload {}", self.url(key))
    }

    fn taken(&self, key: &str) -> Error {
        let url = self.url(key);
        let said = format!("{url} exists with other content; another run wrote it");
        Error::refused(self.uploading(key), said)
    }

    /// What the service has, which must be what was sent.
    fn checked(&self, key: &str, expected: &Expected) -> Result<Object> {
        let Some(head) = Client::head(self, key)? else {
            let said = "the service took it, and does not have it";
            return Err(Error::damaged(self.uploading(key), said));
        };
        if !expected.is_met(&head, self.etags_are_md5()) {
            let said = format!(
                "the service has {} bytes with ETag {}, and not {expected}",
                head.size, head.etag
            );
            return Err(Error::damaged(self.uploading(key), said));
        }
        Ok(Object {
            key: key.to_owned(),
            size: head.size,
            etag: head.etag,
            ..Object::default()
        })
    }

    /// What further parts of an unfinished upload must be verified by: what it was begun with, unless
    /// another is asked for; `None` if it cannot be used.
    fn checksum_of(&self, upload: &Unfinished) -> Option<Checksum> {
        let wanted = self.options.checksum;
        match self.quirks().declared {
            true => Checksum::named(&upload.algorithm)
                .filter(|begun_with| wanted.is_none_or(|wanted| wanted == *begun_with)),
            false => Some(self.checksum()),
        }
    }

    /// Size, checksum and ETag must agree, as far as the service tells them; telling neither
    /// checksum nor ETag is not enough.
    fn is_same(&self, known: &UploadedPart, bytes: &[u8], sums: &mut PartChecksums) -> bool {
        if known.size != bytes.len() as u64 {
            return false;
        }
        let mut proofs = Vec::new();
        if let Some((_, element, value)) = &sums.checksum {
            let there = match *element {
                "ChecksumCRC32C" => &known.crc32c,
                _ => &known.sha256,
            };
            proofs.extend((!there.is_empty()).then(|| there == value));
        }
        if self.etags_are_md5() {
            let md5 = sums.md5.get_or_insert_with(|| md5(bytes));
            proofs.push(known.etag.eq_ignore_ascii_case(&hex(md5)));
        }
        !proofs.is_empty() && proofs.iter().all(|&same| same)
    }

    /// The answer must be about the bytes that were asked for, and about the same object as the
    /// other ranges.
    fn check_range(
        &self,
        source: &Source,
        start: u64,
        length: u64,
        response: &Response,
    ) -> Result<()> {
        let place = format!("bytes {start}-{}/{}", start + length - 1, source.size);
        let whole = response.status == 200 && length == source.size;
        let (etag, range) = (response.header("etag"), response.header("content-range"));
        let etag = unquoted(etag);
        let said = if !whole && range != place {
            format!("asked for {place}, the service sent {range}")
        } else if response.body.len() as u64 != length {
            let sent = response.body.len();
            format!("asked for {place}, the service sent {sent} bytes")
        } else if !etag.is_empty() && !source.etag.is_empty() && etag != source.etag {
            "it was replaced while it was being read".to_owned()
        } else {
            return Ok(());
        };
        let doing = format!("cannot download {}", self.url(&source.key));
        Err(Error::damaged(doing, said))
    }
}

fn headers(about: &About) -> Vec<(String, String)> {
    let meta = about.meta.iter();
    let mut headers: Vec<(String, String)> = meta
        .map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()))
        .collect();
    if !about.content_type.is_empty() {
        let kind = about.content_type.to_owned();
        headers.push(("content-type".to_owned(), kind));
    }
    if let Some(class) = &about.class {
        headers.push(("x-amz-storage-class".to_owned(), class.clone()));
    }
    headers
}

impl Client {
    /// The words by which the program `aws` does something in the same place as the same user.
    fn aws(&self, what: &[&str]) -> Vec<String> {
        let options = &self.options;
        let all = [
            ("--profile", &options.profile),
            ("--region", &options.region),
            ("--endpoint-url", &options.endpoint_url),
        ];
        let given = all
            .iter()
            .filter_map(|(name, value)| Some([*name, value.as_deref()?]));
        let words = ["aws"].into_iter().chain(given.flatten());
        words
            .chain(what.iter().copied())
            .map(str::to_owned)
            .collect()
    }
}
