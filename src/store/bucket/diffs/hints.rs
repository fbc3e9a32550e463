//! The `.bs` file beside a snapshot's diffs: sizes that are known, and, on lines that ButterSink
//! skips, digests of what was uploaded. Knows its text only.

use crate::digest::Digests;
use crate::snapshot::{CameBy, Diff, Origin, Pair, Size, Uuid};
use std::collections::BTreeMap;

/// What is written down of a stream outside of its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamRecord {
    pub(super) digests: Digests,
    /// It is of a sender that mends.
    pub(super) mended: bool,
}

/// What a `.bs` file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    sizes: BTreeMap<Pair, u64>,
    /// ETag of the object, and digests of its bytes.
    sums: BTreeMap<Pair, (String, Digests)>,
    /// What snapshots are of.
    origins: BTreeMap<Uuid, Origin>,
    /// ETags of objects whose streams are of a sender that mends; [`ELSEWHERE`] for a split one.
    mended: BTreeMap<Pair, String>,
    /// Its last line has no end.
    pub(super) torn: bool,
}

/// As many fields as a line has.
const MOST: usize = 7;
/// What stands for the ETag of a stream in several objects.
const ELSEWHERE: &str = "-";

impl Hints {
    /// Lines that are neither kind are skipped: hints are hints. So is one without its end: what is left of a number or
    /// a digest is another.
    pub(super) fn parse(text: &str) -> Hints {
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut hints = Hints {
            torn: !rest.is_empty(),
            ..Hints::default()
        };
        for line in whole.lines() {
            // No line of ours has more, and that of somebody else could be all of them.
            let fields: Vec<&str> = line.split_whitespace().take(MOST + 1).collect();
            match fields[..] {
                [to, from, size] => {
                    if let (Some(pair), Ok(size)) = (pair(to, from), size.parse()) {
                        hints.sizes.insert(pair, size);
                    }
                }
                [kind @ ("sha256" | "tree-hash"), to, from, etag, sum] => {
                    if let Some(pair) = pair(to, from) {
                        hints.digest(pair, kind, etag, sum);
                    }
                }
                ["origin", to, machine, filesystem, subvolume, made, host] => {
                    let origin = origin(machine, filesystem, subvolume, made, host);
                    let to = to.parse().ok();
                    hints.origins.extend(to.zip(origin));
                }
                ["mended", to, from, etag] => {
                    let pair = pair(to, from);
                    hints
                        .mended
                        .extend(pair.map(|pair| (pair, etag.to_owned())));
                }
                _ => {}
            }
        }
        hints
    }

    /// Lines about another object than the last one say nothing of it.
    fn digest(&mut self, pair: Pair, kind: &str, etag: &str, sum: &str) {
        let (known, digests) = self.sums.entry(pair).or_default();
        if known != etag {
            (*known, *digests) = (etag.to_owned(), Digests::default());
        }
        match kind {
            "sha256" => digests.sha256 = Some(sum.to_owned()),
            _ => digests.tree_hash = Some(sum.to_owned()),
        }
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let from = |from: &Option<Uuid>| from.map_or("None".to_owned(), |uuid| uuid.to_string());
        let mut text = String::new();
        for ((to, parent), size) in &self.sizes {
            text.push_str(&format!("{to}\t{}\t{size}\n", from(parent)));
        }
        for ((to, parent), (etag, digests)) in &self.sums {
            let lines = [
                ("sha256", &digests.sha256),
                ("tree-hash", &digests.tree_hash),
            ];
            for (kind, sum) in lines {
                let sum = sum.iter();
                text.extend(
                    sum.map(|sum| format!("{kind}\t{to}\t{}\t{etag}\t{sum}\n", from(parent))),
                );
            }
        }
        for ((to, parent), etag) in &self.mended {
            text.push_str(&format!("mended\t{to}\t{}\t{etag}\n", from(parent)));
        }
        for (to, origin) in &self.origins {
            let word = |text: &str| {
                let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
                if text.is_empty() {
                    "-".to_owned()
                } else {
                    text
                }
            };
            let made = origin.made.map_or("-".to_owned(), |made| made.to_string());
            let (machine, host) = (word(&origin.machine), word(&origin.host));
            let (filesystem, subvolume) = (origin.filesystem, origin.subvolume);
            text.push_str(&format!(
                "origin\t{to}\t{machine}\t{filesystem}\t{subvolume}\t{made}\t{host}\n"
            ));
        }
        text
    }

    /// What a snapshot is of, if that was recorded.
    pub(super) fn origin(&self, to: Uuid) -> Option<Origin> {
        self.origins.get(&to).cloned()
    }

    /// Remembers what a snapshot is of.
    pub(super) fn attribute(&mut self, to: Uuid, origin: Origin) {
        self.origins.insert(to, origin);
    }

    /// The length of the stream. Older senders wrote down that of the kernel's stream, which a mended
    /// one need not have.
    pub(super) fn size(&self, diff: &Diff) -> Option<Size> {
        let bytes = *self.sizes.get(&diff.pair())?;
        Some(match self.mended.contains_key(&diff.pair()) {
            true => Size::Exact(bytes),
            false => Size::Estimate(bytes),
        })
    }

    /// Whether the object with this ETag, empty for a split stream, is of a sender that mends.
    pub(super) fn is_mended(&self, diff: &Diff, etag: &str) -> bool {
        let known = self.mended.get(&diff.pair());
        known.is_some_and(|known| known == or_elsewhere(etag))
    }

    /// ETag and digests of what was uploaded, whatever is there by now.
    pub(super) fn uploaded(&self, diff: &Diff) -> Option<(String, Digests)> {
        self.sums.get(&(diff.to, diff.from)).cloned()
    }

    /// The diffs that were uploaded.
    pub(super) fn all_uploaded(&self) -> impl Iterator<Item = Pair> {
        self.sums.keys().copied()
    }

    /// Remembers what was uploaded; `etag` is empty if the digests are kept elsewhere.
    pub(super) fn add(&mut self, diff: &Diff, bytes: u64, etag: &str, record: &StreamRecord) {
        let (pair, digests) = (diff.pair(), &record.digests);
        self.sizes.insert(pair, bytes);
        match record.mended {
            true => self.mended.insert(pair, or_elsewhere(etag).to_owned()),
            false => self.mended.remove(&pair),
        };
        let word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if word(etag) {
            self.sums.insert(pair, (etag.to_owned(), digests.clone()));
        }
    }
}

/// The fields of an origin, where `-` stands for what is not known.
fn origin(
    machine: &str,
    filesystem: &str,
    subvolume: &str,
    made: &str,
    host: &str,
) -> Option<Origin> {
    let word = |text: &str| {
        if text == "-" {
            String::new()
        } else {
            text.to_owned()
        }
    };
    let origin = Origin {
        machine: word(machine),
        host: word(host),
        filesystem: filesystem.parse().ok()?,
        subvolume: subvolume.parse().ok()?,
        made: made.parse().ok(),
        by: CameBy::OwnWay,
    };
    origin.is_short().then_some(origin)
}

fn or_elsewhere(etag: &str) -> &str {
    match etag {
        "" => ELSEWHERE,
        etag => etag,
    }
}

fn pair(to: &str, from: &str) -> Option<Pair> {
    let from = match from {
        "None" => None,
        uuid => Some(uuid.parse().ok()?),
    };
    Some((to.parse().ok()?, from))
}

#[cfg(any(test, feature = "fuzz"))]
/// Hints say the same when they are written and read again.
pub(crate) fn fuzz(bytes: &[u8]) {
    let hints = Hints {
        torn: false,
        ..Hints::parse(&String::from_utf8_lossy(bytes))
    };
    assert_eq!(Hints::parse(&hints.text()), hints);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_new_lines_and_rubbish() {
        let (a, b) = (Uuid([1; 16]), Uuid([2; 16]));
        let text = format!("{a}\tNone\t12\n{a}\t{b}\t7\n\nx\ty\tz\n{a} {b}\n{a}\t{b}\t-1\n");
        let mut hints = Hints::parse(&text);
        let full = Diff::new(a, None, Size::Unknown);
        let diff = Diff::new(a, Some(b), Size::Unknown);
        assert_eq!(hints.size(&full), Some(Size::Estimate(12)));
        assert_eq!(hints.size(&diff), Some(Size::Estimate(7)));
        let digests = Digests {
            sha256: Some("sum".to_owned()),
            tree_hash: Some("tree".to_owned()),
        };
        let mut record = StreamRecord {
            digests: digests.clone(),
            mended: true,
        };
        hints.add(&diff, 9, "etag", &record);
        let origin = Origin {
            machine: "0a".to_owned(),
            host: "my host".to_owned(),
            filesystem: b,
            subvolume: a,
            made: Some(7),
            by: CameBy::OwnWay,
        };
        let unnamed = Origin {
            host: String::new(),
            made: None,
            ..origin.clone()
        };
        hints.attribute(a, origin.clone());
        hints.attribute(b, unnamed.clone());
        let text = hints.text();
        let back = Hints::parse(&text);
        assert_eq!(back.origin(b), Some(unnamed));
        assert_eq!(
            back.origin(a).map(|found| found.subject()),
            Some(origin.subject())
        );
        // The old program stops at the first line that it does not know.
        let known = text
            .lines()
            .take_while(|line| line.split('\t').count() == 3);
        assert_eq!(known.count(), 2);
        let host = "myhost".to_owned();
        hints.attribute(a, Origin { host, ..origin });
        let back = Hints::parse(&hints.text());
        assert_eq!(back, hints);
        assert_eq!(back.size(&diff), Some(Size::Exact(9)));
        let uploaded = ("etag".to_owned(), digests);
        assert_eq!(back.uploaded(&diff), Some(uploaded));
        assert!(back.is_mended(&diff, "etag") && !back.is_mended(&diff, "other"));
        assert!(!back.is_mended(&full, "etag"));
        assert_eq!(back.size(&full), Some(Size::Estimate(12)));
        let skipped = hints
            .text()
            .lines()
            .filter(|line| line.split('\t').count() == 3)
            .count();
        assert_eq!(
            skipped, 2,
            "the old program reads these lines and no others"
        );
        let first_other = hints
            .text()
            .lines()
            .position(|line| line.split('\t').count() != 3);
        assert_eq!(
            first_other,
            Some(2),
            "it may stop at the first line of another kind"
        );
        // A split stream's objects are named by its marker; a stream that nobody mended has no mark.
        hints.add(&diff, 9, "", &record);
        assert!(Hints::parse(&hints.text()).is_mended(&diff, ""));
        record.mended = false;
        hints.add(&diff, 9, "", &record);
        assert!(!Hints::parse(&hints.text()).is_mended(&diff, ""));
        assert_eq!(hints.size(&diff), Some(Size::Estimate(9)));
    }

    #[test]
    fn a_line_that_was_cut_says_nothing() {
        let a = Uuid([1; 16]);
        let text = format!("{a}\tNone\t123\nsha256\t{a}\tNone\tetag\tsum\n");
        let full = Diff::new(a, None, Size::Unknown);
        for length in 0..=text.len() {
            let hints = Hints::parse(&text[..length]);
            let size = hints.size(&full).and_then(Size::bytes);
            assert!(matches!(size, None | Some(123)), "{length}: {size:?}");
            let sum = hints.uploaded(&full).map(|(_, digests)| digests.sha256);
            assert!(
                sum.is_none_or(|sum| sum.as_deref() == Some("sum")),
                "{length}"
            );
        }
    }

    #[test]
    fn a_tree_hash_belongs_to_its_object() {
        let a = Uuid([1; 16]);
        let diff = Diff::new(a, None, Size::Unknown);
        let hints = |lines: &[&str]| {
            let lines = lines.iter().map(|line| line.replace("A", &a.to_string()));
            Hints::parse(&lines.map(|line| line + "\n").collect::<String>())
        };
        let uploaded = |hints: Hints| hints.uploaded(&diff).unwrap();
        let (etag, old) = uploaded(hints(&["sha256 A None e s"]));
        assert_eq!((etag.as_str(), old.sha256.as_deref()), ("e", Some("s")));
        assert_eq!(old.tree_hash, None);
        let lines = ["tree-hash A None e t", "sha256 A None f s"];
        let (etag, replaced) = uploaded(hints(&lines));
        assert_eq!(
            (etag.as_str(), replaced.sha256.as_deref()),
            ("f", Some("s"))
        );
        assert_eq!(replaced.tree_hash, None);
    }
}
