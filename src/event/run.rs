//! What happens while a plan is carried out. Values that show themselves; knows nothing of who hears
//! them.

use super::in_words;
use super::{Event, Fate};
use crate::error::{Error, Kind};
use crate::plan::{Action, Plan, Step};
use crate::report::briefly;
use crate::snapshot::{path_text, shown};
use crate::store::{Parts, Receipt};
use crate::text::{counted, human, numbered};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is being done to a snapshot; in the alternate form also why this way.
pub(super) fn started(step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let doing = match step.action {
        Action::Keep => "keeping",
        Action::Transfer => "sending",
        Action::Copy => "copying",
        Action::Delete => "deleting",
    };
    write!(f, "{doing} {}", shown(&step.path))?;
    match f.alternate() {
        true => write!(f, " ({})", step.why),
        false => Ok(()),
    }
}

/// What broke is tried once more; in the alternate form with its name.
pub(super) fn again(path: &Path, error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("note: ")?;
    if f.alternate() {
        write!(f, "{}: ", shown(path))?;
    }
    write!(f, "{error}; trying once more")
}

/// A snapshot of the source that was made, would be, or was not needed.
pub(super) fn made(
    path: &Path,
    made: bool,
    why: Option<&str>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match (made, why) {
        (true, Some(why)) => write!(f, "made the snapshot {} ({why})", shown(path)),
        (false, Some(why)) => write!(f, "would make the snapshot {} ({why})", shown(path)),
        (_, None) => write!(f, "nothing changed since {}", shown(path)),
    }
}

/// How far a comparison is.
pub(super) fn comparing(path: &Path, entries: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let entries = numbered(entries, "entry", "entries");
    write!(f, "comparing {}, {entries} so far", shown(path))
}

/// What is frozen was asked for.
pub(super) fn thaw(objects: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let objects = counted(objects, "object");
    write!(f, "note: asked for {objects} to be thawed, all at once")
}

/// Where a snapshot was restored to.
pub(super) fn restored(snapshot: &Path, target: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (snapshot, target) = (shown(snapshot), shown(target));
    write!(f, "restored to {target}, a writable snapshot of {snapshot}")
}

/// How far what is frozen has thawed.
pub(super) fn thawing(
    frozen: usize,
    objects: usize,
    waited: Duration,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let minutes = waited.as_secs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let open = format_args!("{frozen} of {objects} objects are frozen still");
    write!(f, "{open}, waited {hours}:{minutes:02} h")
}

/// A step's diff cannot be received, and there is another way.
#[derive(Clone, Debug, Serialize)]
pub struct Instead {
    /// The step that failed.
    pub step: Step,
    /// Why its diff cannot be received.
    pub error: Error,
    /// The plan by which the rest goes.
    pub plan: Plan,
}

impl Instead {
    /// Whether it differs from the step by that.
    fn without_clones(&self, other: &Step) -> bool {
        other.from == self.step.from && other.clones.is_empty() && !self.step.clones.is_empty()
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut others = self.plan.transfers();
        let other = others.find(|other| other.to == self.step.to);
        let how = other.and_then(|other| match self.without_clones(other) {
            true => Some("without clone sources"),
            false => other.why.split([':', ';', ',']).next(),
        });
        let how = how.unwrap_or("another way");
        write!(f, "note: {}; trying it {how}", self.error)?;
        match f.alternate() {
            true => write!(f, "; plan: {}", self.plan),
            false => Ok(()),
        }
    }
}

/// What a step brought is the same as its source.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Where it is.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// More than can be kept in memory differs, so everything was compared.
    pub everything: bool,
    /// That it is the same.
    pub words: String,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead = if self.everything { "note: " } else { "" };
        write!(f, "{lead}{}", self.words)
    }
}

/// A step that has ended, well or with an error.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// The step that has ended.
    #[serde(flatten)]
    pub step: Step,
    /// How it ended.
    pub result: Fate,
    /// Bytes of the stream that arrived.
    pub received_bytes: Option<u64>,
    /// The parts in which it was uploaded.
    pub parts: Option<Parts>,
    /// Why it failed.
    #[serde(flatten, serialize_with = "in_words")]
    pub error: Option<Error>,
    /// How long it took, where other steps came between that and its being told of.
    #[serde(skip)]
    pub took: Option<Duration>,
}

impl Event {
    /// A step that took so long was made durable together with others.
    pub fn arrived(step: &Step, receipt: Receipt, took: Duration) -> Event {
        match Event::ended(step, Ok(receipt)) {
            Event::Ended(mut ended) => {
                ended.took = Some(took);
                Event::Ended(ended)
            }
            other => other,
        }
    }

    /// A step is done, or failed, or cannot be done since another one failed.
    pub fn ended(step: &Step, outcome: Result<Receipt, &Error>) -> Event {
        let receipt = outcome.as_ref().ok();
        Event::Ended(Box::new(Ended {
            step: step.clone(),
            result: Fate::of(&outcome),
            received_bytes: receipt.map(|receipt| receipt.bytes),
            parts: receipt.and_then(|receipt| receipt.parts),
            error: outcome.err().cloned(),
            took: None,
        }))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return error.fmt(f);
        }
        let done = match self.step.action {
            Action::Keep => "kept",
            Action::Transfer => "sent",
            Action::Copy => "copied",
            Action::Delete => "deleted",
        };
        write!(f, "{done} {}", shown(&self.step.path))?;
        match (f.alternate(), self.received_bytes) {
            (true, Some(bytes)) => write!(f, ": {bytes} bytes"),
            _ if matches!(self.step.action, Action::Transfer | Action::Copy) => {
                write!(f, " ({})", briefly(&self.step.why))
            }
            _ => Ok(()),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Snapshots that were there already.
    pub kept: usize,
    /// Snapshots sent.
    pub sent: usize,
    /// Snapshots that the destination copied itself.
    pub copied: usize,
    /// Snapshots sent or copied that were compared with their source, and are the same.
    pub compared: usize,
    /// Bytes of their streams.
    pub bytes: u64,
    /// Snapshots deleted at the destination.
    pub deleted: usize,
    /// Snapshots that the source does not have, and that stay there since they are of something else.
    pub strangers: usize,
    /// Steps that failed or could not be tried, and snapshots that the plan could not bring.
    pub failed: usize,
    /// The parts of all uploads; null if nothing was uploaded by parts.
    pub parts: Option<Parts>,
}

impl Summary {
    /// What the run comes to as a whole.
    ///
    /// # Errors
    /// [`Kind::Partly`] if some steps failed and others are done, [`Kind::Failed`] if nothing is.
    pub fn verdict(&self) -> Result<(), Error> {
        let done = self.kept + self.sent + self.copied + self.deleted;
        let kind = match (self.failed, done) {
            (0, _) => return Ok(()),
            (_, 0) => Kind::Failed,
            _ => Kind::Partly,
        };
        let are = |n| numbered(n, "snapshot is", "snapshots are");
        let (failed, done) = (are(self.failed), are(done));
        let said = format!("{failed} not synchronised, {done} in order");
        Err(Error::new(kind, "incomplete", said))
    }

    /// Counts a step that is done.
    pub(crate) fn count(&mut self, step: &Step, receipt: &Receipt) {
        self.bytes += receipt.bytes;
        if let Some(parts) = receipt.parts {
            let all = self.parts.get_or_insert_default();
            all.sent += parts.sent;
            all.skipped += parts.skipped;
        }
        match step.action {
            Action::Delete => self.deleted += 1,
            Action::Copy => self.copied += 1,
            Action::Transfer | Action::Keep => self.sent += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sent, self.copied) {
            (0, 0) => write!(f, "nothing sent")?,
            (0, n) => write!(f, "{} copied", counted(n, "snapshot"))?,
            (n, copied) => {
                write!(f, "{} sent, {}", counted(n, "snapshot"), human(self.bytes))?;
                if copied > 0 {
                    write!(f, "; {copied} copied")?;
                }
            }
        }
        match self.compared {
            0 => {}
            n if n == self.sent + self.copied => write!(f, ", compared with the source")?,
            n => write!(f, ", {n} of them compared with the source")?,
        }
        for (count, words) in [
            (self.kept, "already there"),
            (self.deleted, "deleted"),
            (self.strangers, "of others kept"),
            (self.failed, "failed"),
        ] {
            if count > 0 {
                write!(f, "; {count} {words}")?;
            }
        }
        Ok(())
    }
}
