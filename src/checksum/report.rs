//! What is told at the end of a run, and how far it has come, as text for people and for scripts.
//! Prints nothing.

use super::{TreeComparison, WorkCounters, Written};
use crate::error::Error;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a run of `checksumdir` did or found.
pub enum Report {
    /// A comparison's differences.
    Outcome(TreeComparison),
    /// Lists that were written, tree by tree.
    Written(Vec<Written>),
}

impl Report {
    /// What could not be read.
    pub fn errors(&self) -> Vec<&Error> {
        match self {
            Report::Outcome(outcome) => outcome.errors.iter().collect(),
            Report::Written(trees) => trees.iter().flat_map(|tree| &tree.errors).collect(),
        }
    }

    /// The exit status: what could not be read weighs more than a difference.
    pub fn exit_code(&self) -> u8 {
        match self {
            _ if !self.errors().is_empty() => 1,
            Report::Outcome(outcome) if !outcome.differences.is_empty() => 4,
            _ => 0,
        }
    }

    /// A line for each difference.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Report::Outcome(outcome) = self {
            for difference in &outcome.differences {
                let _ = writeln!(text, "{difference}"); // a String takes everything
            }
        }
        text
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        let errors: Vec<String> = self.errors().iter().map(ToString::to_string).collect();
        let mut line = json!({"version": crate::JSON_VERSION, "errors": errors});
        match self {
            Report::Outcome(outcome) => {
                line["same"] = (self.exit_code() == 0).into();
                line["differences"] = json!(outcome.differences);
            }
            Report::Written(trees) => line["trees"] = trees.iter().map(tree).collect(),
        }
        format!("{line}\n")
    }
}

fn tree(written: &Written) -> Value {
    json!({
        "name": written.name,
        "entries": written.entries,
        "files": written.files,
        "sha256": written.sha256.iter().cloned().collect::<BTreeMap<_, _>>(),
    })
}

impl fmt::Display for WorkCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: &AtomicU64| number.load(Relaxed);
        write!(f, "{} entries", number(&self.entries))?;
        if number(&self.all_files) > 0 {
            let (files, all) = (number(&self.files), number(&self.all_files));
            write!(f, "; {files} of {all} files")?;
            let mib = |bytes: &AtomicU64| number(bytes) >> 20;
            write!(f, ", {} of {} MiB", mib(&self.bytes), mib(&self.all_bytes))?;
        }
        Ok(())
    }
}
