//! What a bucket does by itself with backups, in words. Changes nothing.

use super::keys::top;
use crate::error::Result;
use crate::s3::lifecycle::{Rule, RuleAction};
use crate::s3::{Client, S3Options};

/// What is to be said of a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketRemark {
    /// What it does, in words.
    pub words: String,
    /// Backups may be lost by it, or may not go on.
    pub hurts: bool,
}

impl From<String> for BucketRemark {
    fn from(words: String) -> BucketRemark {
        BucketRemark {
            words,
            hurts: false,
        }
    }
}

/// How a bucket is reached, and what it does by itself with what is below a prefix: an archive, or snapshots.
pub(in crate::store) fn remarks(
    bucket: &str,
    prefix: &str,
    is_archive: bool,
    options: S3Options,
) -> Result<Vec<BucketRemark>> {
    let client = Client::new(bucket, options)?;
    let lasting =
        "what is deleted stays as an older version, and is charged, until a rule removes it";
    let mut remarks: Vec<BucketRemark> = vec![
        format!("s3://{bucket}/: {}", client.described()).into(),
        match client.keeps_versions() {
            Ok(true) => format!("the bucket keeps versions: {lasting}"),
            Ok(false) => "the bucket keeps no versions: what is deleted is gone".to_owned(),
            Err(error) => format!("whether it keeps versions is not known: {error}"),
        }
        .into(),
    ];
    match client.rules(&top(prefix)) {
        Ok(rules) => remarks.extend(rules.iter().map(|rule| meaning(rule, is_archive))),
        Err(error) => remarks.push(format!("its lifecycle rules are not known: {error}").into()),
    }
    Ok(remarks)
}

fn meaning(rule: &Rule, is_archive: bool) -> BucketRemark {
    let spares = spares_manifests(rule) && (is_archive || rule.over >= LARGE);
    let harmless = matches!(rule.does, RuleAction::Freeze(..)) && spares;
    let so = match rule.does {
        RuleAction::Delete(_) => "backups are lost by that, with all that is built on them",
        RuleAction::Freeze(..) if spares && is_archive => "restore thaws these chunks first",
        RuleAction::Freeze(..) if spares => "these streams must be thawed before they are read",
        RuleAction::Freeze(..) if !is_archive => {
            "what stands beside streams must be thawed then to be read; let it be for large objects only, by \
             ObjectSizeGreaterThan"
        }
        RuleAction::Freeze(..) => {
            "manifests must be thawed then to be read, and nothing builds on them; let it be for chunks \
             only, by their prefix or by ObjectSizeGreaterThan (buttersink-s3(5))"
        }
        RuleAction::Abort(_) => "an upload that takes longer is never finished",
    };
    BucketRemark {
        words: format!("{rule}: {so}"),
        hurts: !harmless,
    }
}

/// Manifests take some hundred bytes for a chunk.
const LARGE: u64 = 1 << 20;

/// Whether a rule is for chunks only: manifests and the pointer beside them are called otherwise, and small.
fn spares_manifests(rule: &Rule) -> bool {
    let name = rule.prefix.rsplit('/').next().unwrap_or_default();
    name.starts_with("chunk-") || rule.over >= LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_chunks_is_no_harm() {
        let meant = |prefix: &str, over, is_archive| {
            let rule = Rule {
                id: "r".to_owned(),
                prefix: prefix.to_owned(),
                over,
                does: RuleAction::Freeze("GLACIER".to_owned(), "after 1 days".to_owned()),
            };
            meaning(&rule, is_archive)
        };
        let sized = |prefix: &str, over| meant(prefix, over, true).words;
        assert!(meant("", 0, true).hurts && !meant("", LARGE, true).hurts);
        assert!(meant("chunk-", 0, false).hurts && !meant("", LARGE, false).hurts);
        let said = |prefix: &str| sized(prefix, 0);
        assert!(sized("", LARGE).ends_with("restore thaws these chunks first"));
        assert!(sized("p/", 5).contains("manifests must be thawed"));
        for all in ["", "p/", "p/subvol/data/full/", "p/subvol/data/full/c"] {
            assert!(said(all).contains("manifests must be thawed"), "{all}");
        }
        assert!(said("p/subvol/data/full/chunk-").ends_with("restore thaws these chunks first"));
    }
}
