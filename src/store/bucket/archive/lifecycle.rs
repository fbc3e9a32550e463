//! What a bucket does by itself with backups, in words. Changes nothing.

use super::manifest;
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
    remarks.push("whether it may be written to was not tried".to_owned());
    Ok(remarks)
}

fn meaning(rule: &Rule) -> String {
    let so = match rule.does {
        Does::Delete(_) => "backups are lost by that, with all that is built on them",
        Does::Freeze(..) if spares_manifests(&rule.prefix) => "restore thaws these chunks first",
        Does::Freeze(..) => "manifests must be thawed then to be read; let it be for chunks only",
        Does::Abort(_) => "an upload that takes longer is never finished",
    };
    format!("{rule}: {so}")
}

/// Whether what begins so are chunks only: manifests and the pointer beside them are called otherwise.
fn spares_manifests(prefix: &str) -> bool {
    let name = prefix.rsplit('/').next().unwrap_or_default();
    name.starts_with("chunk-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_chunks_is_no_harm() {
        let said = |prefix: &str| {
            meaning(&Rule {
                id: "r".to_owned(),
                prefix: prefix.to_owned(),
                does: Does::Freeze("GLACIER".to_owned(), "after 1 days".to_owned()),
            })
        };
        for all in ["", "p/", "p/subvol/data/full/", "p/subvol/data/full/c"] {
            assert!(said(all).contains("manifests must be thawed"), "{all}");
        }
        assert!(said("p/subvol/data/full/chunk-").ends_with("restore thaws these chunks first"));
    }
}
