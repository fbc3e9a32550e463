//! What of a configuration cannot be used, or may not do what is meant. A value that shows itself.

use super::Event;
use crate::error::Error;
use serde::Serialize;
use std::fmt;

/// Something that a configuration says or names.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// What it is about.
    pub kind: FaultKind,
    /// The key of the file that says it; null if it is the file itself.
    pub key: Option<String>,
    /// A run cannot do what the file says, as long as this is so.
    pub fails: bool,
    /// What is wrong, in words.
    pub words: String,
    /// The way out, in words; null if none is known.
    pub hint: Option<String>,
    /// The fault as the error of the run that meets it.
    #[serde(skip)]
    pub error: Error,
}

/// What a fault is about. The documentation has the same words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The file cannot be read or understood.
    File,
    /// A subvolume, or the directory of its snapshots.
    Subvolume,
    /// A destination is not there, or is not what it has to be.
    Destination,
    /// No filesystem is mounted for it.
    Mount,
    /// Another machine does not answer.
    Host,
    /// A bucket, or what reaches it.
    Bucket,
    /// A storage class.
    Class,
    /// What a bucket does by itself.
    Lifecycle,
    /// Sizes of chunks and parts.
    Sizes,
    /// A program that cannot be run.
    Program,
    /// Another file has the same state.
    State,
    /// Another file has the same lock.
    Lock,
}

impl Fault {
    /// A fault for which a run cannot do what the file says.
    pub fn failing(kind: FaultKind, key: impl Into<String>, error: &Error) -> Fault {
        let key = Some(key.into()).filter(|key| !key.is_empty());
        Fault {
            kind,
            key,
            fails: true,
            words: error.words(),
            hint: error.hint.as_deref().map(str::to_owned),
            error: error.clone(),
        }
    }

    /// A fault that a run goes on with.
    pub fn harmful(kind: FaultKind, key: &str, words: &str) -> Fault {
        let error = Error::failed(key, words);
        Fault {
            fails: false,
            words: words.to_owned(),
            ..Fault::failing(kind, key, &error)
        }
    }
}

impl From<Fault> for Event {
    fn from(fault: Fault) -> Event {
        Event::Fault(Box::new(fault))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fails {
            true => f.write_str(&self.words),
            false => write!(f, "note: {}", self.words),
        }
    }
}
