//! The `.bs` file beside a snapshot's diffs: sizes that are known, and, on lines that ButterSink
//! skips, the SHA-256 of what was uploaded. Knows its text only.

use crate::snapshot::{Diff, Size, Uuid};
use std::collections::BTreeMap;

type Pair = (Uuid, Option<Uuid>);

/// What a `.bs` file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    sizes: BTreeMap<Pair, u64>,
    /// ETag of the object and SHA-256 of its bytes.
    sums: BTreeMap<Pair, (String, String)>,
}

impl Hints {
    /// Lines that are neither kind are skipped: hints are hints.
    pub(super) fn parse(text: &str) -> Hints {
        let mut hints = Hints::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [to, from, size] => {
                    if let (Some(pair), Ok(size)) = (pair(to, from), size.parse()) {
                        hints.sizes.insert(pair, size);
                    }
                }
                ["sha256", to, from, etag, sum] => {
                    if let Some(pair) = pair(to, from) {
                        hints.sums.insert(pair, (etag.to_owned(), sum.to_owned()));
                    }
                }
                _ => {}
            }
        }
        hints
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let from = |from: &Option<Uuid>| from.map_or("None".to_owned(), |uuid| uuid.to_string());
        let mut text = String::new();
        for ((to, parent), size) in &self.sizes {
            text.push_str(&format!("{to}\t{}\t{size}\n", from(parent)));
        }
        for ((to, parent), (etag, sum)) in &self.sums {
            text.push_str(&format!("sha256\t{to}\t{}\t{etag}\t{sum}\n", from(parent)));
        }
        text
    }

    pub(super) fn size(&self, diff: &Diff) -> Option<Size> {
        self.sizes
            .get(&(diff.to, diff.from))
            .map(|&bytes| Size::Exact(bytes))
    }

    /// What the diff's bytes were when they were uploaded, unless the object is another by now.
    pub(super) fn sha256(&self, diff: &Diff, etag: &str) -> Option<String> {
        let (known, sum) = self.sums.get(&(diff.to, diff.from))?;
        (known == etag).then(|| sum.clone())
    }

    /// ETag and SHA-256 of what was uploaded, whatever is there by now.
    pub(super) fn sum(&self, diff: &Diff) -> Option<(String, String)> {
        self.sums.get(&(diff.to, diff.from)).cloned()
    }

    /// The diffs that were uploaded.
    pub(super) fn uploaded(&self) -> impl Iterator<Item = Pair> {
        self.sums.keys().copied()
    }

    /// Remembers what was uploaded; `etag` is empty if the sum is kept elsewhere.
    pub(super) fn add(&mut self, diff: &Diff, bytes: u64, etag: &str, sum: &str) {
        let pair = (diff.to, diff.from);
        self.sizes.insert(pair, bytes);
        let words = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if words(etag) && words(sum) {
            self.sums.insert(pair, (etag.to_owned(), sum.to_owned()));
        }
    }
}

fn pair(to: &str, from: &str) -> Option<Pair> {
    let from = match from {
        "None" => None,
        uuid => Some(uuid.parse().ok()?),
    };
    Some((to.parse().ok()?, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_new_lines_and_rubbish() {
        let (a, b) = (Uuid([1; 16]), Uuid([2; 16]));
        let text = format!("{a}\tNone\t12\n{a}\t{b}\t7\n\nx\ty\tz\n{a} {b}\n{a}\t{b}\t-1\n");
        let mut hints = Hints::parse(&text);
        let full = Diff {
            to: a,
            from: None,
            size: Size::Unknown,
        };
        let diff = Diff {
            to: a,
            from: Some(b),
            size: Size::Unknown,
        };
        assert_eq!(hints.size(&full), Some(Size::Exact(12)));
        assert_eq!(hints.size(&diff), Some(Size::Exact(7)));
        hints.add(&diff, 9, "etag", "sum");
        let back = Hints::parse(&hints.text());
        assert_eq!(back, hints);
        assert_eq!(back.size(&diff), Some(Size::Exact(9)));
        assert_eq!(back.sha256(&diff, "etag"), Some("sum".to_owned()));
        assert_eq!(back.sha256(&diff, "other"), None);
        let skipped = hints
            .text()
            .lines()
            .filter(|line| line.split('\t').count() == 3)
            .count();
        assert_eq!(
            skipped, 2,
            "the old program reads these lines and no others"
        );
    }
}
