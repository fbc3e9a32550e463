//! What happens in a run, as owned values: each displays itself for people and serialises for scripts.
//! Knows how much each matters; who hears them, and where they are shown, is somebody else's.

mod backup;
mod clean;
mod fault;
mod overview;
mod restore;
mod run;
mod verify;

use crate::archive::Thawing;
use crate::error::{Error, Kind};
use crate::plan::Step;
use crate::proof::Finding;
pub use crate::proof::Watched;
use crate::snapshot::{path_text, shown};
use crate::text::counted;
pub use backup::{Cost, Destination, Judged, Planned, Retention};
pub use clean::{Adopted, Cleaned, Deleted, Fate, Leftover};
pub use fault::{Fault, FaultKind};
pub use overview::{Overview, OverviewLine};
pub use restore::{Link, Restoring};
pub use run::{Compared, Ended, Instead, Summary};
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
pub use verify::{Counts, Verified};

/// Hears what happens, in the thread that runs.
pub type Listener<'a> = dyn FnMut(Event) + 'a;

/// Something that happened in a run, or would in a dry one. Results are documented by their JSON form;
/// the names of the others are for us.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A remark for a person.
    Note {
        /// The remark.
        words: String,
    },
    /// Diffs are being measured.
    Measuring {
        /// The number of them.
        diffs: usize,
    },
    /// What a place is about to get, or would.
    #[serde(rename = "plan")]
    Planned(Box<Planned>),
    /// What that takes and costs at a place.
    Cost(Cost),
    /// A step begins.
    Started(Step),
    /// More of its stream has been handed over.
    Moved {
        /// How many bytes, since the last time.
        bytes: u64,
    },
    /// Its stream was spoilt on the way; it begins once more.
    Again {
        /// Its snapshot.
        #[serde(with = "path_text")]
        path: PathBuf,
        /// What spoilt it.
        error: Error,
    },
    /// Its diff cannot be received; the rest goes by another plan.
    Instead(Box<Instead>),
    /// What it brought is held against its source.
    Comparing {
        /// Its snapshot.
        #[serde(with = "path_text")]
        path: PathBuf,
        /// How many files, directories and the like so far.
        entries: u64,
    },
    /// What it brought is the same as its source.
    Compared(Compared),
    /// What an earlier run brought is not the same, or could not be compared.
    Unsettled(Error),
    /// A step is done, or failed, or cannot be done since another one failed.
    #[serde(rename = "step")]
    Ended(Box<Ended>),
    /// All steps have ended.
    Summary(Summary),
    /// The backup of a subvolume begins.
    Begins {
        /// Which.
        #[serde(with = "path_text")]
        subvolume: PathBuf,
    },
    /// What is due for a subvolume, in words.
    Due {
        /// Which.
        #[serde(with = "path_text")]
        subvolume: PathBuf,
        /// The kind of backup and why, or when there is one.
        what: String,
        /// Whether it is due now.
        due: bool,
    },
    /// A snapshot was made, would be, or is not needed.
    #[serde(rename = "snapshot")]
    Made {
        /// Where it is, or would be; if none is needed, the one since which nothing changed.
        #[serde(with = "path_text")]
        path: PathBuf,
        /// Whether it is there now, and was not before.
        made: bool,
        /// Why it is needed, in words; null if it is not.
        why: Option<String>,
    },
    /// A destination has everything, or has not.
    Destination(Box<Destination>),
    /// What a run of a configuration came to.
    Overview(Box<Overview>),
    /// What of a configuration cannot be used.
    Fault(Box<Fault>),
    /// What stays at a place and what goes.
    Retention(Retention),
    /// What a restore will do, or would.
    #[serde(rename = "plan")]
    Restoring(Box<Restoring>),
    /// Frozen objects are asked for.
    Thaw {
        /// How many.
        objects: usize,
    },
    /// They are waited for.
    Thawing {
        /// How many are frozen still.
        frozen: usize,
        /// How many the restore needs in all.
        objects: usize,
        /// How long it has taken by now.
        waited: Duration,
    },
    /// A restored snapshot was compared with its source.
    #[serde(rename = "compared")]
    Checked {
        /// What of it, and that it is the same.
        words: String,
    },
    /// The target of a restore is there.
    Restored {
        /// The read-only snapshot that it is a snapshot of.
        #[serde(with = "path_text")]
        snapshot: PathBuf,
        /// Where it is.
        #[serde(with = "path_text")]
        target: PathBuf,
    },
    /// Something is being verified.
    Verifying(Watched),
    /// What verifying a snapshot found.
    Finding(Finding),
    /// All that was to be verified is.
    #[serde(rename = "summary")]
    Verified(Verified),
    /// Something that a run left, and what was done about it.
    Leftover(Box<Leftover>),
    /// A clean-up has ended.
    #[serde(rename = "summary")]
    Cleaned(Cleaned),
    /// A backup was deleted on its own, or would be.
    #[serde(rename = "backup")]
    Deleted(Box<Deleted>),
    /// What a snapshot is of from now on, or would be.
    Adopted(Box<Adopted>),
}

/// What an event means to those who look on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// It moves the line that shows how far the run is, and is forgotten.
    Passing,
    /// It moves that line too, and who looks for a fault wants to read it later.
    Stage,
    /// Only who looks for a fault wants to read it.
    Detail,
    /// A person may want to know, beside the results.
    Remark,
    /// It is a result, and people are told as of an error.
    Failure,
    /// It is a result, and people hear of it by the program's last words.
    ForScripts,
    /// It is a result.
    Result,
}

impl Event {
    /// A remark for a person.
    pub fn note(words: impl Into<String>) -> Event {
        let words = words.into();
        Event::Note { words }
    }

    /// Something is being verified.
    pub fn verifying(what: impl Into<String>) -> Event {
        Event::Verifying(Watched::named(what))
    }

    /// How far thawing is.
    pub fn thawing(how_far: Thawing) -> Event {
        match how_far {
            Thawing::Refused(why) => Event::note(&why),
            Thawing::Asked(objects) => Event::Thaw { objects },
            Thawing::Waiting(frozen, objects, waited) => Event::Thawing {
                frozen,
                objects,
                waited,
            },
        }
    }

    /// What went wrong, if it is the end of something.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Event::Ended(ended) => ended.error.as_ref(),
            Event::Destination(destination) => destination.error.as_ref(),
            Event::Leftover(leftover) => leftover.error.as_ref(),
            Event::Fault(fault) => Some(&fault.error).filter(|_| fault.fails),
            _ => None,
        }
    }

    /// What it means to those who look on.
    pub fn weight(&self) -> Weight {
        match self {
            Event::Moved { .. } | Event::Comparing { .. } | Event::Verifying(_) => Weight::Passing,
            Event::Begins { .. } | Event::Measuring { .. } | Event::Started(_) => Weight::Stage,
            Event::Thawing { .. } => Weight::Stage,
            Event::Planned(planned) if !planned.dry_run => Weight::Detail,
            Event::Compared(compared) if !compared.everything => Weight::Detail,
            Event::Note { .. } | Event::Instead(_) | Event::Unsettled(_) => Weight::Remark,
            Event::Compared(_) | Event::Thaw { .. } | Event::Again { .. } => Weight::Remark,
            Event::Fault(fault) if !fault.fails => Weight::Remark,
            Event::Ended(_) | Event::Destination(_) | Event::Fault(_) => failure(self.error()),
            _ => Weight::Result,
        }
    }
}

fn failure(error: Option<&Error>) -> Weight {
    match error {
        Some(error) if error.kind == Kind::Interrupted => Weight::ForScripts,
        Some(_) => Weight::Failure,
        None => Weight::Result,
    }
}

impl fmt::Display for Event {
    /// The alternate form tells more, for who looks for a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Note { words } => write!(f, "note: {words}"),
            Event::Checked { words } => f.write_str(words),
            Event::Measuring { diffs } => write!(f, "measuring {}", counted(*diffs, "diff")),
            Event::Moved { bytes } => write!(f, "{bytes} bytes moved"),
            Event::Verifying(watched) => write!(f, "verifying {}", watched.what),
            Event::Started(step) => run::started(step, f),
            Event::Again { path, error } => run::again(path, error, f),
            Event::Unsettled(error) => write!(f, "note: {error}"),
            Event::Comparing { path, entries } => run::comparing(path, *entries, f),
            Event::Planned(event) => event.fmt(f),
            Event::Cost(event) => event.fmt(f),
            Event::Instead(event) => event.fmt(f),
            Event::Compared(event) => event.fmt(f),
            Event::Ended(event) => event.fmt(f),
            Event::Summary(event) => event.fmt(f),
            Event::Overview(event) => event.fmt(f),
            Event::Begins { subvolume } => write!(f, "backing up {}", shown(subvolume)),
            Event::Due {
                subvolume, what, ..
            } => write!(f, "{}: {what}", shown(subvolume)),
            Event::Made { path, made, why } => run::made(path, *made, why.as_deref(), f),
            Event::Destination(event) => event.fmt(f),
            Event::Fault(event) => event.fmt(f),
            Event::Retention(event) => event.fmt(f),
            Event::Restoring(event) => event.fmt(f),
            Event::Thaw { objects } => run::thaw(*objects, f),
            Event::Thawing {
                frozen,
                objects,
                waited,
            } => run::thawing(*frozen, *objects, *waited, f),
            Event::Restored { snapshot, target } => run::restored(snapshot, target, f),
            Event::Finding(event) => event.fmt(f),
            Event::Verified(event) => event.fmt(f),
            Event::Leftover(event) => event.fmt(f),
            Event::Cleaned(event) => event.fmt(f),
            Event::Deleted(event) => event.fmt(f),
            Event::Adopted(event) => event.fmt(f),
        }
    }
}

/// An error as scripts get it: in words, and with the way out as a field of its own where there is one.
#[derive(Serialize)]
struct InWords<'a> {
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

fn in_words<S: Serializer>(error: &Option<Error>, to: S) -> Result<S::Ok, S::Error> {
    let fields = InWords {
        error: error.as_ref().map(Error::words),
        hint: error.as_ref().and_then(|error| error.hint.as_deref()),
    };
    fields.serialize(to)
}
