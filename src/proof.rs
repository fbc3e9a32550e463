//! What a verification finds: a verdict on each snapshot, with the words that say how it was
//! reached. Checks nothing itself and knows no store.

use crate::snapshot::{Snapshot, Uuid, path_text};
use serde::{Deserialize, Serialize};
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

/// What is known after a check, and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "words")]
pub enum Verdict {
    /// It is what it claims to be: how that was proved.
    Proved(String),
    /// Nothing speaks against it, and nothing proves it: why.
    Unverifiable(String),
    /// It is not what it claims to be: in what way.
    Different(String),
}

impl Verdict {
    /// Both together: the worse one holds, and what is equally bad is said side by side.
    #[must_use]
    pub fn and(self, other: Verdict) -> Verdict {
        if self.rank() != other.rank() {
            return if self.rank() > other.rank() {
                self
            } else {
                other
            };
        }
        let both = |a: String, b: String| match (a.contains(&b), b.contains(&a)) {
            (true, _) => a,
            (_, true) => b,
            _ => format!("{a}; {b}"),
        };
        match (self, other) {
            (Verdict::Proved(a), Verdict::Proved(b)) => Verdict::Proved(both(a, b)),
            (Verdict::Different(a), Verdict::Different(b)) => Verdict::Different(both(a, b)),
            (a, b) => Verdict::Unverifiable(both(a.into_words(), b.into_words())),
        }
    }

    /// 0 for proved, 1 for unverifiable, 2 for different.
    pub fn rank(&self) -> u8 {
        match self {
            Verdict::Proved(_) => 0,
            Verdict::Unverifiable(_) => 1,
            Verdict::Different(_) => 2,
        }
    }

    /// How, why, or in what way.
    pub fn words(&self) -> &str {
        match self {
            Verdict::Proved(words) | Verdict::Unverifiable(words) | Verdict::Different(words) => {
                words
            }
        }
    }

    /// The same verdict in other words.
    #[must_use]
    pub fn reworded(self, change: impl FnOnce(String) -> String) -> Verdict {
        match self {
            Verdict::Proved(words) => Verdict::Proved(change(words)),
            Verdict::Unverifiable(words) => Verdict::Unverifiable(change(words)),
            Verdict::Different(words) => Verdict::Different(change(words)),
        }
    }

    fn into_words(self) -> String {
        match self {
            Verdict::Proved(words) | Verdict::Unverifiable(words) | Verdict::Different(words) => {
                words
            }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_verdict_holds() {
        let proved = || Verdict::Proved("a".to_owned());
        let open = || Verdict::Unverifiable("b".to_owned());
        let different = || Verdict::Different("c".to_owned());
        assert_eq!(proved().and(open()), open());
        assert_eq!(different().and(open()), different());
        assert_eq!(proved().and(different()), different());
        let more = Verdict::Proved("d".to_owned());
        assert_eq!(proved().and(more), Verdict::Proved("a; d".to_owned()));
        assert_eq!(open().and(open()), open());
    }

    #[test]
    fn findings_survive_json() {
        let finding = Finding {
            path: "a%b".into(),
            id: Uuid([7; 16]),
            verdict: Verdict::Different("x".to_owned()),
        };
        let text = serde_json::to_string(&finding).unwrap();
        assert!(
            text.contains(r#""verdict":"different","words":"x""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
    }
}
