//! What a run of a configuration came to, on one screen. Values that show themselves; knows nothing of who
//! hears them.

use super::in_words;
use crate::error::Error;
use crate::snapshot::shown;
use crate::text::human;
use serde::Serialize;
use std::fmt;

/// Subvolume by subvolume, what came and went where; what failed comes last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overview {
    /// The configuration.
    pub file: String,
    /// Seconds that the run took.
    pub seconds: u64,
    /// What was done, and where.
    pub lines: Vec<OverviewLine>,
}

/// What came and went of a subvolume at one place.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OverviewLine {
    /// What its backups are called.
    pub subvolume: String,
    /// The place; empty if the run did not come so far.
    pub location: String,
    /// Snapshots made there.
    pub made: usize,
    /// Snapshots that arrived there.
    pub sent: usize,
    /// Bytes of their streams.
    pub bytes: u64,
    /// Snapshots that went.
    pub deleted: usize,
    /// Snapshots that were judged, and stayed.
    pub kept: usize,
    /// Seconds that it took.
    pub seconds: u64,
    /// Why it has not got what it was to have.
    #[serde(flatten, serialize_with = "in_words")]
    pub error: Option<Error>,
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "summary of {}, {} s:", self.file, self.seconds)?;
        let width = self
            .lines
            .iter()
            .map(|line| line.subvolume.chars().count())
            .max();
        let width = width.unwrap_or(0);
        let (failed, done): (Vec<_>, Vec<_>) = self.lines.iter().partition(|l| l.error.is_some());
        for line in done.into_iter().chain(failed) {
            write!(f, "\n  {:width$}  {line}", shown(&line.subvolume))?;
        }
        Ok(())
    }
}

impl fmt::Display for OverviewLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "FAILED: {error}");
        }
        let mut words = Vec::new();
        for (count, what) in [
            (self.made, "made"),
            (self.deleted, "deleted"),
            (self.kept, "kept"),
        ] {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        }
        match self.sent {
            0 if words.is_empty() => words.push("nothing new".to_owned()),
            0 => {}
            n => words.insert(
                0,
                format!("{n} sent, {} in {} s", human(self.bytes), self.seconds),
            ),
        }
        write!(f, "{}: {}", self.location, words.join(", "))
    }
}
