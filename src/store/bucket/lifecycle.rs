//! What a bucket does by itself with backups, in words. Changes nothing.

use super::archive::manifest;
use crate::error::Result;
use crate::s3::lifecycle::{Does, Rule};
use crate::s3::{Client, S3Options};

/// How a bucket is reached, and what it does by itself with what is below a prefix.
pub(in crate::store) fn remarks(
    bucket: &str,
    prefix: &str,
    options: S3Options,
) -> Result<Vec<String>> {
    let client = Client::new(bucket, options)?;
    let lasting =
        "what is deleted stays as an older version, and is charged, until a rule removes it";
    let mut remarks = vec![
        format!("s3://{bucket}/: {}", client.described()),
        match client.keeps_versions() {
            Ok(true) => format!("the bucket keeps versions: {lasting}"),
            Ok(false) => "the bucket keeps no versions: what is deleted is gone".to_owned(),
            Err(error) => format!("whether it keeps versions is not known: {error}"),
        },
    ];
    match client.rules(&manifest::top(prefix)) {
        Ok(rules) => remarks.extend(rules.iter().map(meaning)),
        Err(error) => remarks.push(format!("its lifecycle rules are not known: {error}")),
    }
    Ok(remarks)
}

fn meaning(rule: &Rule) -> String {
    let so = match rule.does {
        Does::Delete(_) => "backups are lost by that, with all that is built on them",
        Does::Freeze(..) if spares_manifests(rule) => "restore thaws these chunks first",
        Does::Freeze(..) => {
            "manifests must be thawed then to be read, and nothing builds on them; let it be for chunks \
             only, by their prefix or by ObjectSizeGreaterThan (buttersink-s3(5))"
        }
        Does::Abort(_) => "an upload that takes longer is never finished",
    };
    format!("{rule}: {so}")
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
        let sized = |prefix: &str, over| {
            meaning(&Rule {
                id: "r".to_owned(),
                prefix: prefix.to_owned(),
                over,
                does: Does::Freeze("GLACIER".to_owned(), "after 1 days".to_owned()),
            })
        };
        let said = |prefix: &str| sized(prefix, 0);
        assert!(sized("", LARGE).ends_with("restore thaws these chunks first"));
        assert!(sized("p/", 5).contains("manifests must be thawed"));
        for all in ["", "p/", "p/subvol/data/full/", "p/subvol/data/full/c"] {
            assert!(said(all).contains("manifests must be thawed"), "{all}");
        }
        assert!(said("p/subvol/data/full/chunk-").ends_with("restore thaws these chunks first"));
    }
}
