//! Carries out what a plan says: measures until every chosen diff is known, then one transfer
//! after the other. Knows stores only as what they promise, and prints nothing.

use crate::error::{Error, Kind, Result};
use crate::plan::{self, Action, Plan, Step, Wish};
use crate::process;
use crate::snapshot::{Diff, Listing, Sizes, Uuid};
use crate::store::{Parts, Receipt, Store};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;

/// Pieces in which a stream moves, in bytes: as much as a pipe holds.
const PIECE: usize = 128 << 10;

/// What happens during a run, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many diffs are being measured.
    Measuring(usize),
    /// A step begins.
    Started(&'a Step),
    /// So many more bytes of its stream have been handed over.
    Moved(u64),
    /// The kernel spoilt the stream; the step begins once more.
    Again(&'a Step, &'a Error),
    /// The step is done.
    Done(&'a Step, Receipt),
    /// The step failed, or cannot be done since another one failed.
    Failed(&'a Step, &'a Error),
}

/// Shows what happens. Called from the thread that runs.
pub type Watch<'a> = dyn FnMut(Event) + 'a;

/// What a run came to.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Snapshots that were there already.
    pub kept: usize,
    /// Snapshots sent.
    pub sent: usize,
    /// Bytes of their streams.
    pub bytes: u64,
    /// Snapshots deleted at the destination.
    pub deleted: usize,
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
    pub fn verdict(&self) -> Result<()> {
        let done = self.kept + self.sent + self.deleted;
        let kind = match (self.failed, done) {
            (0, _) => return Ok(()),
            (_, 0) => Kind::Failed,
            _ => Kind::Partly,
        };
        let (failed, done) = (snapshots(self.failed), snapshots(done));
        let said = format!("{failed} not synchronised, {done} in order");
        Err(Error::new(kind, "incomplete", said))
    }
}

/// Plans with exact sizes: plans, measures what was chosen, and plans again until all is known.
///
/// # Errors
/// If a diff cannot be measured, or as [`plan::plan`] says.
pub fn make_plan(
    source: &mut dyn Store,
    from: &Listing,
    dest: &Listing,
    wish: &Wish,
    watch: &mut Watch,
) -> Result<Plan> {
    let mut sizes = Sizes::new();
    let mut rounds = 0;
    loop {
        let wish = Wish {
            settled: rounds >= ROUNDS,
            ..*wish
        };
        let plan = plan::plan(from, dest, &wish, &sizes)?;
        let unknown = plan.unmeasured();
        if unknown.is_empty() || wish.estimate {
            return Ok(plan);
        }
        process::check("planning")?;
        watch(Event::Measuring(unknown.len()));
        let measured = source.measure(&unknown)?;
        if let Some(diff) = unknown
            .iter()
            .find(|diff| !measured.contains_key(&diff.pair()))
        {
            let doing = format!("cannot measure the diff that makes {}", diff.to);
            return Err(Error::failed(doing, "the source said nothing of it"));
        }
        sizes.extend(measured);
        rounds += 1;
    }
}

/// How often to look for something cheaper than what was measured before settling for it.
const ROUNDS: usize = 8;

/// Carries out a plan. A step that fails takes with it only what builds on it, and all deletions.
///
/// # Errors
/// Only if a signal asked us to stop; other failures are told to `watch` and counted.
pub fn carry_out(
    plan: &Plan,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    watch: &mut Watch,
) -> Result<Summary> {
    let blocked = plan.obstacles.iter().filter(|o| o.blocks).count();
    let mut summary = Summary {
        failed: blocked,
        ..Summary::default()
    };
    let mut lost: HashSet<Uuid> = HashSet::new();
    for step in &plan.steps {
        let result = match step.action {
            Action::Keep => {
                summary.kept += 1;
                continue;
            }
            Action::Delete if summary.failed > 0 => {
                Err(not_deleted(step, blocked > 0 || !lost.is_empty()))
            }
            Action::Transfer if step.from.is_some_and(|from| lost.contains(&from)) => {
                Err(orphan(step))
            }
            _ => one_step(step, source, dest, watch),
        };
        match result {
            Ok(receipt) => {
                summary.count(step, &receipt);
                watch(Event::Done(step, receipt));
            }
            Err(error) => {
                watch(Event::Failed(step, &error));
                if error.kind == Kind::Interrupted {
                    return Err(error);
                }
                if step.action != Action::Delete {
                    lost.insert(step.to);
                }
                summary.failed += usize::from(step.action != Action::Delete || summary.failed == 0);
            }
        }
    }
    Ok(summary)
}

impl Summary {
    fn count(&mut self, step: &Step, receipt: &Receipt) {
        self.bytes += receipt.bytes;
        if let Some(parts) = receipt.parts {
            let all = self.parts.get_or_insert_default();
            all.sent += parts.sent;
            all.skipped += parts.skipped;
        }
        match step.action {
            Action::Delete => self.deleted += 1,
            _ => self.sent += 1,
        }
    }
}

fn snapshots(count: usize) -> String {
    match count {
        1 => "1 snapshot is".to_owned(),
        n => format!("{n} snapshots are"),
    }
}

fn not_deleted(step: &Step, missing: bool) -> Error {
    let said = match missing {
        true => "nothing is deleted, since not every snapshot arrived",
        false => "nothing more is deleted, since a deletion failed",
    };
    Error::refused(
        format!("keeping {}", crate::snapshot::shown(&step.path)),
        said,
    )
}

fn orphan(step: &Step) -> Error {
    let name = crate::snapshot::shown(&step.path);
    Error::failed(
        format!("cannot send {name}"),
        "it builds on a snapshot that did not arrive",
    )
}

fn one_step(
    step: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    watch: &mut Watch,
) -> Result<Receipt> {
    process::check("synchronising")?;
    watch(Event::Started(step));
    match step.action {
        Action::Delete => dest.delete(&step.path).map(|()| Receipt::default()),
        _ => match transfer(source, dest, &step.diff(), &step.path, &mut |n| {
            watch(Event::Moved(n));
        }) {
            Err(error) if error.kind == Kind::Restarted => {
                watch(Event::Again(step, &error));
                transfer(source, dest, &step.diff(), &step.path, &mut |n| {
                    watch(Event::Moved(n));
                })
            }
            other => other,
        },
    }
}

/// Sends one diff and receives it. Any error drops the sink, and so aborts.
///
/// # Errors
/// Whatever either side says.
pub fn transfer(
    source: &mut dyn Store,
    dest: &mut dyn Store,
    diff: &Diff,
    path: &Path,
    moved: &mut dyn FnMut(u64),
) -> Result<Receipt> {
    let mut sink = dest.receive(diff, path)?;
    pump(&mut source.send(diff)?, &mut sink, moved)?;
    sink.finish()
}

/// Moves a stream to its end.
fn pump(from: &mut dyn Read, to: &mut dyn Write, moved: &mut dyn FnMut(u64)) -> Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                process::check("the transfer")?;
                continue;
            }
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        };
        to.write_all(&piece[..n])
            .map_err(|error| Error::io("cannot write the stream", error))?;
        moved(n as u64);
        process::check("the transfer")?;
    }
}
