//! What a verification found. Values that show themselves; knows nothing of who hears them.

use crate::proof::{Finding, Seen};
use crate::snapshot::shown;
use crate::text::counted;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, words) = (self.verdict.label(), self.verdict.words());
        match self.path.as_os_str().is_empty() {
            // What may be anywhere.
            true => write!(f, "{label:12}  {words}"),
            false => write!(f, "{label:12}  {}: {words}", shown(&self.path)),
        }
    }
}

/// All that was to be verified is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verified {
    /// Where.
    pub location: String,
    /// What was found.
    #[serde(flatten)]
    pub counts: Counts,
    /// The number of snapshots that were looked at.
    #[serde(skip)]
    pub snapshots: usize,
}

/// How many findings there are of each kind. What was seen of one can be several things.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counts {
    /// Of how many each thing was seen, and nothing speaks against them.
    #[serde(flatten)]
    pub seen: BTreeMap<Seen, usize>,
    /// How many could not be looked at.
    pub unverifiable: usize,
    /// How many are not what they claim to be.
    pub different: usize,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", counted(self.snapshots, "snapshot"))?;
        for (seen, count) in self.counts.seen.iter().filter(|(_, count)| **count > 0) {
            write!(f, "{count} {}, ", seen.word())?;
        }
        let (open, different) = (self.counts.unverifiable, self.counts.different);
        write!(f, "{open} unverifiable, {different} different")
    }
}
