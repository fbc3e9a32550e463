//! Listings of a bucket: the objects and the unfinished uploads below a prefix, page by page.
//! What their keys mean is for others to know.

use super::request::unquoted;
use super::xml::Node;
use super::{Client, S3Request};
use crate::error::Result;
use crate::objects::{Inventory, Object, Unfinished};
use percent_encoding::percent_decode_str;
use rusty_s3::Method;
use std::collections::HashSet;

/// How many keys a page of a listing has at most.
const PAGE: usize = 1000;
const ENDLESS: &str =
    "it has more than 10 million keys, or what it says of them is longer than 1 GiB";

/// How much of a listing there can be: a service could go on for ever, and say much of each key.
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
            self.bytes += node.bytes();
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
            ..Inventory::default()
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
            let mut request = S3Request::new(Method::Get, "", "list", "s3:ListBucket");
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
            if !page.all("Contents").all(is_entry) {
                return Err(self.malformed("list", "", "an object in it has no key or no size"));
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

    /// Every unfinished upload for keys that begin so.
    pub(crate) fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let mut uploads: Vec<Unfinished> = Vec::new();
        let (mut seen, mut bound) = (HashSet::new(), Bound::default());
        let mut marker = (String::new(), String::new());
        loop {
            let (doing, action) = (
                "list unfinished uploads in",
                "s3:ListBucketMultipartUploads",
            );
            let mut request = S3Request::new(Method::Get, "", doing, action);
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
                return Err(self.malformed(doing, "", ENDLESS));
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
            Err(error) if REFUSALS.contains(&error.refusal()) => {
                let so = "interrupted uploads are neither shown nor gone on with";
                Ok((Vec::new(), Some(format!("{error}; {so}"))))
            }
            answer => Ok((answer?, None)),
        }
    }
}

/// Whether it says which object it is about, and how long that is: nothing stands in for either.
fn is_entry(node: &Node) -> bool {
    !node.exact("Key").is_empty() && node.number("Size").is_some()
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
        class: node.text("StorageClass").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_key_and_a_size() {
        for (text, whole) in [
            ("<Key>a</Key><Size>0</Size>", true),
            ("<Key> </Key><Size>1</Size>", true),
            ("<Key></Key><Size>1</Size>", false),
            ("<Size>1</Size>", false),
            ("<Key>a</Key>", false),
            ("<Key>a</Key><Size></Size>", false),
            ("<Key>a</Key><Size>-1</Size>", false),
        ] {
            let page = Node::parse(&format!("<L><Contents>{text}</Contents></L>")).unwrap();
            assert_eq!(page.all("Contents").all(is_entry), whole, "{text}");
        }
    }

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
        let tag = format!("k</Key><ETag>{}</ETag><Key>", "e".repeat(1 << 20));
        assert_eq!(pages(&tag, 1), 1023, "what is kept beside the key");
    }
}
