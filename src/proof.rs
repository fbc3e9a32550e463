//! What a verification finds: a verdict on each snapshot, with the words that say how it was
//! reached. Checks nothing itself and knows no store.

use crate::snapshot::{Snapshot, Unlisted, Uuid, path_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How closely a store looks at what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// By what is recorded, without reading the data.
    Quick,
    /// Every byte of what is kept as streams.
    Download,
}

/// What is being looked at, and how far that is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watched {
    /// Its name, for a person.
    pub what: String,
    /// Bytes that were read so far, of all.
    pub bytes: u64,
    /// Bytes that are to be read; 0 if nothing is.
    pub total: u64,
}

impl Watched {
    /// Something of which nothing is read, or not yet.
    pub fn named(what: impl Into<String>) -> Watched {
        Watched {
            what: what.into(),
            bytes: 0,
            total: 0,
        }
    }
}

/// What can be seen of a snapshot. Each says what was looked at, and no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Unaltered since it was made or received, by generations and the seal. Compared with nothing.
    Sealed,
    /// What is stored is what was sent, by the checksums that the words name.
    Intact,
    /// It can be received: it was rehearsed, or drilled.
    Applies,
    /// The stream that is stored comes out of the source now.
    Regenerated,
    /// Compared with a copy elsewhere, content and metadata.
    Same,
}

impl Seen {
    /// All of them; what says more comes later.
    pub const ALL: [Seen; 5] = [
        Seen::Sealed,
        Seen::Intact,
        Seen::Applies,
        Seen::Regenerated,
        Seen::Same,
    ];

    /// The word that people and scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Seen::Sealed => "sealed",
            Seen::Intact => "intact",
            Seen::Applies => "applies",
            Seen::Regenerated => "regenerated",
            Seen::Same => "same",
        }
    }
}

/// What is known after a check, and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "SerialVerdict", try_from = "SerialVerdict")]
pub enum Verdict {
    /// Nothing speaks against it: what was seen, which is never nothing, and in which words.
    Good(BTreeSet<Seen>, String),
    /// Nothing speaks against it, and nothing for it either: why.
    Unverifiable(String),
    /// It is not what it claims to be: in what way.
    Different(String),
}

impl Verdict {
    /// One thing was seen, and how.
    pub fn seen(what: Seen, words: impl Into<String>) -> Verdict {
        Verdict::Good(BTreeSet::from([what]), words.into())
    }

    /// Whether this was seen, and nothing speaks against it.
    pub fn has(&self, what: Seen) -> bool {
        matches!(self, Verdict::Good(seen, _) if seen.contains(&what))
    }

    /// Both together: the worse one holds, and what is equally bad is said side by side.
    #[must_use]
    pub fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Good(mut seen, a), Verdict::Good(more, b)) => {
                seen.extend(more);
                Verdict::Good(seen, both(a, b))
            }
            (Verdict::Different(a), Verdict::Different(b)) => Verdict::Different(both(a, b)),
            (Verdict::Unverifiable(a), Verdict::Unverifiable(b)) => {
                Verdict::Unverifiable(both(a, b))
            }
            (a, b) if a.rank() > b.rank() => a,
            (_, b) => b,
        }
    }

    /// 0 for good, 1 for unverifiable, 2 for different.
    pub fn rank(&self) -> u8 {
        match self {
            Verdict::Good(..) => 0,
            Verdict::Unverifiable(_) => 1,
            Verdict::Different(_) => 2,
        }
    }

    /// What was seen, or that it is unverifiable or different: `sealed, same`.
    pub fn label(&self) -> String {
        match self {
            Verdict::Good(seen, _) => {
                let seen: Vec<_> = seen.iter().map(|seen| seen.word()).collect();
                seen.join(", ")
            }
            Verdict::Unverifiable(_) => "unverifiable".to_owned(),
            Verdict::Different(_) => "different".to_owned(),
        }
    }

    /// How, why, or in what way.
    pub fn words(&self) -> &str {
        match self {
            Verdict::Good(_, words) | Verdict::Unverifiable(words) | Verdict::Different(words) => {
                words
            }
        }
    }

    /// The same verdict in other words.
    #[must_use]
    pub fn reworded(self, change: impl FnOnce(String) -> String) -> Verdict {
        match self {
            Verdict::Good(seen, words) => Verdict::Good(seen, change(words)),
            Verdict::Unverifiable(words) => Verdict::Unverifiable(change(words)),
            Verdict::Different(words) => Verdict::Different(change(words)),
        }
    }

    /// A good verdict with a remark that makes it no better; others stay as they are.
    #[must_use]
    pub fn remarked(self, remark: &str) -> Verdict {
        match self {
            Verdict::Good(seen, words) => Verdict::Good(seen, both(words, remark.to_owned())),
            other => other,
        }
    }
}

/// Both texts, unless one has the other in it.
fn both(a: String, b: String) -> String {
    match (a.contains(&b), b.contains(&a)) {
        (true, _) => a,
        (_, true) => b,
        _ => format!("{a}; {b}"),
    }
}

/// A verdict as scripts and the other side of a pipe get it.
#[derive(Serialize, Deserialize)]
struct SerialVerdict {
    /// The last of what was seen, or `unverifiable` or `different`.
    verdict: String,
    /// All that was seen.
    #[serde(default)]
    seen: BTreeSet<Seen>,
    words: String,
}

impl From<Verdict> for SerialVerdict {
    fn from(verdict: Verdict) -> SerialVerdict {
        let label = verdict.label();
        match verdict {
            Verdict::Good(seen, words) => SerialVerdict {
                verdict: seen.last().map_or("", |seen| seen.word()).to_owned(),
                seen,
                words,
            },
            Verdict::Unverifiable(words) | Verdict::Different(words) => SerialVerdict {
                verdict: label,
                seen: BTreeSet::new(),
                words,
            },
        }
    }
}

impl TryFrom<SerialVerdict> for Verdict {
    type Error = String;
    fn try_from(told: SerialVerdict) -> Result<Verdict, String> {
        match &*told.verdict {
            "unverifiable" => Ok(Verdict::Unverifiable(told.words)),
            "different" => Ok(Verdict::Different(told.words)),
            // Version 2 of the protocol says this. Its far sides are directories of snapshots, and
            // look at seals and generations only.
            "proved" => Ok(Verdict::seen(Seen::Sealed, told.words)),
            word if told.seen.last().is_some_and(|seen| seen.word() == word) => {
                Ok(Verdict::Good(told.seen, told.words))
            }
            word => Err(format!("'{}' is no verdict", word.escape_default())),
        }
    }
}

/// A snapshot and the verdict on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Where the snapshot is, relative to its store.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its effective UUID.
    pub id: Uuid,
    /// What is known of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    /// About a listed snapshot.
    pub fn of(snapshot: &Snapshot, verdict: Verdict) -> Finding {
        Finding {
            path: snapshot.path.clone(),
            id: snapshot.id(),
            verdict,
        }
    }

    /// About something that is there, and that could not be listed.
    pub fn unlisted(unlisted: Unlisted) -> Finding {
        Finding {
            path: unlisted.path,
            id: Uuid::default(),
            verdict: Verdict::Unverifiable(unlisted.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_verdict_holds() {
        let sealed = || Verdict::seen(Seen::Sealed, "a");
        let open = || Verdict::Unverifiable("b".to_owned());
        let different = || Verdict::Different("c".to_owned());
        assert_eq!(sealed().and(open()), open());
        assert_eq!(different().and(open()), different());
        assert_eq!(sealed().and(different()), different());
        assert_eq!(open().and(open()), open());
        let more = sealed().and(Verdict::seen(Seen::Same, "d"));
        assert_eq!(
            (more.label().as_str(), more.words()),
            ("sealed, same", "a; d")
        );
        assert!(more.has(Seen::Same) && !more.has(Seen::Intact));
        assert_eq!(sealed().remarked("e").label(), "sealed");
        assert_eq!(open().remarked("e"), open());
    }

    fn finding(verdict: Verdict) -> Finding {
        Finding {
            path: "a%b".into(),
            id: Uuid([7; 16]),
            verdict,
        }
    }

    #[test]
    fn findings_survive_json() {
        let good = Verdict::seen(Seen::Intact, "x").and(Verdict::seen(Seen::Applies, "y"));
        for (verdict, written) in [
            (
                Verdict::Different("x".to_owned()),
                r#""verdict":"different","seen":[],"words":"x""#,
            ),
            (
                good,
                r#""verdict":"applies","seen":["intact","applies"],"words":"x; y""#,
            ),
        ] {
            let finding = finding(verdict);
            let text = serde_json::to_string(&finding).unwrap();
            assert!(text.contains(written), "{text}");
            assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        }
    }

    /// What an older far side calls proved was compared with nothing.
    #[test]
    fn an_old_word_is_read_as_no_more_than_it_says() {
        let read = |rest: &str| {
            let text = format!(r#"{{"path":"a%25b","id":"{}",{rest}}}"#, Uuid([7; 16]));
            serde_json::from_str::<Finding>(&text)
        };
        let old = read(r#""verdict":"proved","words":"its seal is right""#).unwrap();
        let sealed = Verdict::seen(Seen::Sealed, "its seal is right");
        assert_eq!(old, finding(sealed));
        let open = read(r#""verdict":"unverifiable","words":"w""#).unwrap();
        assert_eq!(open.verdict.rank(), 1);
        for wrong in [
            r#""verdict":"same","words":"w""#,
            r#""verdict":"same","seen":["sealed"],"words":"w""#,
            r#""verdict":"perfect","words":"w""#,
            r#""verdict":"perfect","seen":["perfect"],"words":"w""#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
