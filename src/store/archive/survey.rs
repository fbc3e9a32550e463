//! Which archives there are below a prefix, and whether their backups can be read at once or must be
//! thawed first. Changes nothing.

use super::index::at_once;
use super::manifest::Manifest;
use crate::error::Result;
use crate::s3::Client;
use crate::store::keys::Archived;
use std::collections::BTreeSet;

/// Prefix and name of every archive of which a key begins so.
pub(in crate::store) fn below(client: &Client, prefix: &str) -> Result<Vec<(String, String)>> {
    let mut keys: Vec<String> = client.list(prefix)?.into_iter().map(|o| o.key).collect();
    // Who may not list uploads can do all else; the archive itself says so.
    let uploads = client.unfinished(prefix).unwrap_or_default();
    keys.extend(uploads.into_iter().map(|upload| upload.key));
    let found = keys.iter().filter_map(|key| Archived::parse(key));
    // What was deleted from elsewhere is no archive.
    let found = found.filter(|archived| !archived.prefix.starts_with("trash/"));
    let found: BTreeSet<_> = found
        .map(|archived| (archived.prefix.to_owned(), archived.name.to_owned()))
        .collect();
    Ok(found.into_iter().collect())
}

/// Whether the chunks of a backup can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thaw {
    /// Now, in a class that is never frozen.
    Ready,
    /// Now, since they were thawed for a while.
    Thawed,
    /// Soon: thawing is under way.
    Thawing,
    /// Not before somebody asks for it.
    Frozen,
}

impl Thaw {
    /// In a word; none for what is as usual.
    pub fn word(self) -> &'static str {
        match self {
            Thaw::Ready => "",
            Thaw::Thawed => "thawed",
            Thaw::Thawing => "thawing",
            Thaw::Frozen => "frozen",
        }
    }

    /// From the headers of an object.
    fn of(class: &str, restore: &str) -> Thaw {
        match restore {
            _ if !matches!(class, "GLACIER" | "DEEP_ARCHIVE") => Thaw::Ready,
            "" => Thaw::Frozen,
            ongoing if ongoing.contains("ongoing-request=\"true\"") => Thaw::Thawing,
            _ => Thaw::Thawed,
        }
    }
}

/// What the service says of the chunks of a backup, the worst of them. Nothing is asked about
/// classes that are never frozen.
pub(super) fn thaw(client: &Client, manifest: &Manifest) -> Result<Thaw> {
    let class = &manifest.s3.storage_class;
    if Thaw::of(class, "") == Thaw::Ready {
        return Ok(Thaw::Ready);
    }
    let heads = at_once(client, &manifest.chunks, |chunk| client.head(&chunk.key));
    let mut worst = Thaw::Ready;
    for head in heads {
        if let Some(head) = head? {
            let (class, restore) = ("x-amz-storage-class", "x-amz-restore");
            worst = worst.max(Thaw::of(head.header(class), head.header(restore)));
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_from_headers() {
        let under_way = "ongoing-request=\"true\"";
        let over = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2026 00:00:00 GMT\"";
        for (class, restore, state) in [
            ("", "", Thaw::Ready),
            ("GLACIER_IR", "", Thaw::Ready),
            ("GLACIER", "", Thaw::Frozen),
            ("DEEP_ARCHIVE", under_way, Thaw::Thawing),
            ("DEEP_ARCHIVE", over, Thaw::Thawed),
        ] {
            assert_eq!(Thaw::of(class, restore), state, "{class} {restore}");
        }
        assert!(Thaw::Frozen > Thaw::Thawed);
    }
}
