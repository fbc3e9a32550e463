//! What happens in a backup beside its steps. Values that show themselves; knows nothing of who hears
//! them.

use super::{Event, Fate, Summary, in_words};
use crate::error::Error;
use crate::plan::Plan;
use crate::snapshot::{Uuid, path_text, shown};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What a place is about to get, or would.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Where, if there are several.
    pub destination: String,
    /// What it gets.
    #[serde(flatten)]
    pub plan: Plan,
    /// Whether it only would.
    #[serde(skip)]
    pub dry_run: bool,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.destination {
            "" => self.plan.fmt(f),
            destination => write!(f, "{destination}:\n{}", self.plan),
        }
    }
}

/// What a plan takes and costs at a place.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Where.
    pub destination: String,
    /// Bytes, requests and dollars, as far as they are known, in words.
    pub estimate: String,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.destination, self.estimate)
    }
}

/// A destination that has everything now, or has not.
#[derive(Clone, Debug, Serialize)]
pub struct Destination {
    /// The destination.
    pub destination: String,
    /// Whether it has everything.
    pub result: Fate,
    /// What it got, if it has everything.
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Why it has not got everything.
    #[serde(flatten, serialize_with = "in_words")]
    pub error: Option<Error>,
}

impl Event {
    /// What a place is about to get, or would in a dry run. It has no name if it is the only one.
    pub fn planned(destination: &str, plan: &Plan, dry_run: bool) -> Event {
        Event::Planned(Box::new(Planned {
            destination: destination.to_owned(),
            plan: plan.clone(),
            dry_run,
        }))
    }

    /// What a plan takes and costs at a place, in words.
    pub fn cost(destination: &str, estimate: String) -> Event {
        let destination = destination.to_owned();
        Event::Cost(Cost {
            destination,
            estimate,
        })
    }

    /// A destination has everything, or has not.
    pub fn destination(destination: &str, outcome: Result<Summary, &Error>) -> Event {
        Event::Destination(Box::new(Destination {
            destination: destination.to_owned(),
            result: Fate::of(&outcome),
            error: outcome.as_ref().err().map(|error| (*error).clone()),
            summary: outcome.ok(),
        }))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.summary, &self.error) {
            (_, Some(error)) => error.fmt(f),
            (summary, None) => {
                let summary = summary.clone().unwrap_or_default();
                write!(f, "{}: {summary}", self.destination)
            }
        }
    }
}

/// What stays at a place and what goes.
#[derive(Clone, Debug, Serialize)]
pub struct Retention {
    /// Where.
    pub location: String,
    /// The snapshots, the oldest first.
    pub snapshots: Vec<Judged>,
    /// Nothing goes; it would.
    #[serde(skip)]
    pub dry_run: bool,
}

/// A snapshot that stays or goes.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Where it is.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its effective UUID.
    pub id: Uuid,
    /// Whether the snapshot stays.
    pub keep: bool,
    /// Why, for a person.
    pub why: String,
}

impl fmt::Display for Retention {
    /// In a dry run everything, else what goes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |judged: &&Judged| self.dry_run || !judged.keep;
        let mut lead = "";
        for judged in self.snapshots.iter().rev().filter(told) {
            let word = match (judged.keep, self.dry_run) {
                (true, _) => "keep",
                (false, true) => "delete",
                (false, false) => "deleting",
            };
            let (place, path, why) = (&self.location, shown(&judged.path), &judged.why);
            write!(f, "{lead}{place}: {word} {path} ({why})")?;
            lead = "\n";
        }
        Ok(())
    }
}
