//! Objects in archive classes: which are frozen, how far their thawing is, and asking for it.
//! Knows keys and classes; when to ask and how long to wait is decided elsewhere.

use super::errors::http_date;
use super::listing::decoded;
use super::objects::HeadResponse;
use super::xml::Node;
use super::{Client, S3Request};
use crate::archive::{ArchiveState, Tier};
use crate::digest::content_md5;
use crate::error::{Kind, Result};
use crate::log;
use crate::objects::{Cold, ThawOutcome};
use crate::prices::freezes;
use rusty_s3::Method;
use std::collections::{BTreeMap, HashSet};

/// Objects of it must be thawed if they were not read for long; only asking tells.
const TIERING: &str = "INTELLIGENT_TIERING";

impl Client {
    /// How cold objects are, with one request for a thousand where the service tells; one that
    /// does not exist is left out.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn cold(&self, keys: &[&str]) -> Result<BTreeMap<String, Cold>> {
        let wanted: HashSet<&str> = keys.iter().copied().collect();
        let (mut found, mut told) = (BTreeMap::new(), false);
        let ask = (
            "x-amz-optional-object-attributes",
            "RestoreStatus".to_owned(),
        );
        self.pages(common(keys), &[ask], &mut |page, node| {
            let key = decoded(page, node.exact("Key"));
            told |= node.child("RestoreStatus").is_some();
            if wanted.contains(key.as_str()) {
                found.insert(key, listed(node));
            }
        })?;
        for (key, cold) in &mut found {
            // No word of a status means frozen, if this service has words for it.
            let untold = cold.state == ArchiveState::Frozen && !told;
            if untold || cold.class == TIERING {
                cold.state = match self.look(key, &cold.class) {
                    Err(error) if error.kind != Kind::Interrupted => {
                        // One that does not answer keeps no other from it: who asks for it to be thawed, or reads
                        // it, hears why.
                        log::line(|| format!("taken for what its class says: {error}"));
                        continue;
                    }
                    state => state?,
                };
            }
        }
        Ok(found)
    }

    fn look(&self, key: &str, class: &str) -> Result<ArchiveState> {
        let Some(head) = self.head(key)? else {
            return Ok(ArchiveState::Readable);
        };
        match of_head(&head, class) {
            // Other services may keep the name of a class, and nothing more.
            ArchiveState::Frozen if !self.is_aws() && self.beginning(key, 1)?.is_some() => {
                Ok(ArchiveState::Readable)
            }
            state => Ok(state),
        }
    }

    /// Asks for an object to be thawed and to stay so for some days; in `INTELLIGENT_TIERING` it
    /// stays for good.
    ///
    /// # Errors
    /// If the service refuses.
    pub fn thaw(&self, key: &str, class: &str, tier: Tier, days: u32) -> Result<ThawOutcome> {
        let body = body(class, tier, days);
        let mut request = S3Request::new(Method::Post, key, "thaw", "s3:RestoreObject");
        request.query = vec![("restore", String::new())];
        request.headers = vec![("content-md5", content_md5(body.as_bytes()))];
        request.body = body.as_bytes();
        asked(
            self.request(request).map(|response| response.status),
            tier,
            class,
        )
    }
}

fn asked(answer: Result<u16>, tier: Tier, class: &str) -> Result<ThawOutcome> {
    let error = match answer {
        Ok(202) => return Ok(ThawOutcome::Accepted),
        Ok(_) => return Ok(ThawOutcome::Longer),
        Err(error) => error,
    };
    match error.refusal() {
        "RestoreAlreadyInProgress" => Ok(ThawOutcome::Underway),
        "InvalidObjectState" | "ObjectAlreadyInActiveTierError" => Ok(ThawOutcome::NotFrozen),
        _ if tier == Tier::Expedited => {
            let way = format!("--restore-tier Standard: Expedited may not be had for {class}");
            Err(error.hint(way))
        }
        _ => Err(error),
    }
}

fn body(class: &str, tier: Tier, days: u32) -> String {
    let days = match class {
        TIERING => String::new(),
        _ => format!("<Days>{days}</Days>"),
    };
    format!(
        "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{days}\
         <GlacierJobParameters><Tier>{tier}</Tier></GlacierJobParameters></RestoreRequest>"
    )
}

/// How all the keys begin, so that one listing has them all.
fn common<'a>(keys: &[&'a str]) -> &'a str {
    let Some((first, rest)) = keys.split_first() else {
        return "";
    };
    let same = |key: &&str| {
        let pairs = first.bytes().zip(key.bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    let length = rest.iter().map(same).min().unwrap_or(first.len());
    // Up to a slash, which is no half of a character.
    let slash = first.as_bytes()[..length].iter().rposition(|&b| b == b'/');
    slash.map_or("", |at| &first[..=at])
}

/// What a listing says of an object.
fn listed(node: &Node) -> Cold {
    let class = match node.text("StorageClass") {
        "" => "STANDARD",
        class => class,
    };
    let state = match node.child("RestoreStatus") {
        Some(status) if status.text("IsRestoreInProgress") == "true" => ArchiveState::Thawing,
        Some(status) => ArchiveState::Thawed(status.text("RestoreExpiryDate").parse().ok()),
        None if freezes(class) => ArchiveState::Frozen,
        None => ArchiveState::Readable,
    };
    Cold {
        class: class.to_owned(),
        state,
    }
}

/// What an object's own headers say: `ongoing-request="false", expiry-date="Fri, 21 Dec …"`.
fn of_head(head: &HeadResponse, class: &str) -> ArchiveState {
    restored(
        head.header("x-amz-restore"),
        freezes(class) || !head.header("x-amz-archive-status").is_empty(),
    )
}

fn restored(text: &str, archived: bool) -> ArchiveState {
    let value = |name: &str| {
        let rest = text.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0)
    };
    match value("ongoing-request") {
        Some("true") => ArchiveState::Thawing,
        Some(_) => ArchiveState::Thawed(value("expiry-date").and_then(http_date)),
        None if archived => ArchiveState::Frozen,
        None => ArchiveState::Readable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use crate::error::Error;

    #[test]
    fn what_listings_say() {
        let cold = |inside: &str| {
            let text = format!("<Contents><Key>k</Key>{inside}</Contents>");
            listed(&Node::parse(&text).unwrap())
        };
        let status = |inside: &str| {
            let text = "<StorageClass>GLACIER</StorageClass><RestoreStatus>".to_owned();
            cold(&(text + inside + "</RestoreStatus>")).state
        };
        assert_eq!(cold("").class, "STANDARD");
        assert_eq!(cold("").state, ArchiveState::Readable);
        let class = |name: &str| cold(&format!("<StorageClass>{name}</StorageClass>")).state;
        assert_eq!(class("DEEP_ARCHIVE"), ArchiveState::Frozen);
        assert_eq!(class("GLACIER_IR"), ArchiveState::Readable);
        assert_eq!(
            status("<IsRestoreInProgress>true</IsRestoreInProgress>"),
            ArchiveState::Thawing
        );
        let until = "2026-12-24T00:00:00.000Z";
        let thawed = format!(
            "<IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>{until}</RestoreExpiryDate>"
        );
        assert_eq!(status(&thawed), ArchiveState::Thawed(until.parse().ok()));
        assert!(status(&thawed).is_readable() && !ArchiveState::Thawing.is_readable());
    }

    #[test]
    fn what_objects_say() {
        assert_eq!(
            restored("ongoing-request=\"true\"", true),
            ArchiveState::Thawing
        );
        let text = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        let until = "2012-12-21T00:00:00Z".parse().ok();
        assert!(until.is_some());
        assert_eq!(restored(text, true), ArchiveState::Thawed(until));
        assert_eq!(restored("", true), ArchiveState::Frozen);
        assert_eq!(restored("", false), ArchiveState::Readable);
    }

    #[test]
    fn what_is_asked_and_answered() {
        let text = body("GLACIER", Tier::Bulk, 5);
        let node = Node::parse(&text).unwrap();
        assert_eq!(node.text("Days"), "5");
        assert_eq!(
            node.child("GlacierJobParameters").unwrap().text("Tier"),
            "Bulk"
        );
        assert!(!body(TIERING, Tier::Standard, 5).contains("Days"));
        let refused = |code: &str, tier| {
            let error = Error::failed("cannot thaw", code);
            let error = error.cause(Cause::Refusal(code.into()));
            asked(Err(error), tier, "GLACIER")
        };
        let standard = Tier::Standard;
        assert_eq!(
            asked(Ok(202), standard, "GLACIER").unwrap(),
            ThawOutcome::Accepted
        );
        assert_eq!(
            asked(Ok(200), standard, "GLACIER").unwrap(),
            ThawOutcome::Longer
        );
        let underway = refused("RestoreAlreadyInProgress", standard);
        assert_eq!(underway.unwrap(), ThawOutcome::Underway);
        let warm = refused("InvalidObjectState", standard);
        assert_eq!(warm.unwrap(), ThawOutcome::NotFrozen);
        assert!(refused("AccessDenied", standard).is_err());
        let busy = refused("GlacierExpeditedRetrievalNotAvailable", Tier::Expedited);
        assert!(
            busy.unwrap_err()
                .to_string()
                .contains("--restore-tier Standard")
        );
    }

    #[test]
    fn one_listing_has_all_keys() {
        assert_eq!(common(&["a/b/c1", "a/b/c2"]), "a/b/");
        assert_eq!(common(&["a/b/c1"]), "a/b/");
        assert_eq!(common(&["a/b", "x"]), "");
        assert_eq!(common(&["\u{e4}/b", "\u{e5}/b"]), "");
        assert_eq!(common(&[]), "");
    }
}
