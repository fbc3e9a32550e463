//! Scheduled backups of a configuration: what is due for each subvolume, a snapshot of it, and where
//! that goes. Tells what happens; prints nothing.

mod order;

mod destinations;
mod folders;
mod run_lock;
mod tally;

mod open_archive;
mod subvolume;

mod told;

mod again;
mod look;
mod pruning;

mod findings;
mod preview;
mod verified;

use super::oneshot::{access, not_this_work};
use super::state::RunState;
pub use super::work::Work;
use crate::archive::Stamp;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener, Overview, OverviewLine};
use crate::process;
use crate::snapshot::shown;
use crate::store::{self, Store, StoreOptions};
pub use findings::look_for_faults;
use folders::Folders;
use jiff::Zoned;
pub use order::ScheduledOrder;
pub use preview::{preview, remembered};
pub use pruning::prune;
pub use run_lock::lock;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;
use subvolume::{SubvolumeBackup, Todo};
use told::{partly, told_too};
pub use verified::{FoundIn, note_verified};

/// A further destination, as far as it was needed.
type Opened = Option<Result<Box<dyn Store>>>;

/// What the subvolumes of a run have in common.
pub(super) struct RunContext<'a, 'b> {
    order: &'a ScheduledOrder,
    store_options: &'a StoreOptions,
    now: &'a Zoned,
    state: RunState,
    /// Where the snapshots are.
    folders: Folders,
    /// In the order of the configuration.
    others: Vec<Opened>,
    /// Remarks made already.
    said: HashSet<String>,
    /// What was done so far.
    overview: &'a mut Overview,
    listener: &'a mut Listener<'b>,
}

/// Makes the backups that are due.
///
/// # Errors
/// [`Kind::Busy`] if another run is at work, [`Kind::Partly`] if some failed and others did not;
/// whatever stops all of it, before there is a snapshot.
pub fn run(
    order: &ScheduledOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let _lock = order.lock(now)?;
    order.selected()?;
    let since = Instant::now();
    let mut overview = Overview {
        file: shown(&order.file),
        ..Overview::default()
    };
    let store_options = store_options.at(order.config.places());
    let done = back_up(order, &store_options, now, &mut overview, listener);
    if order.dry_run {
        return done;
    }
    overview.seconds = since.elapsed().as_secs();
    let idle = overview.lines.is_empty();
    let words = if idle {
        String::new()
    } else {
        overview.to_string()
    };
    if !idle {
        listener(Event::Overview(Box::new(overview)));
    }
    let told = order.notify().end(idle, &done, &words);
    told_too(done, told, listener)
}

/// The same, without telling anybody how it went.
fn back_up(
    order: &ScheduledOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    overview: &mut Overview,
    listener: &mut Listener,
) -> Result<()> {
    let selected = order.selected()?;
    let state = RunState::of(&order.config);
    let unread = state.unread.iter();
    unread.for_each(|remark| listener(Event::note(remark)));
    let (subjects, mut errors) = SubvolumeBackup::all(&selected, order, store_options)?;
    errors.extend(order.unmatched());
    let folders = Folders::open(order, &selected, store_options)?;
    let mut round = RunContext::new(
        order,
        (store_options, now),
        state,
        folders,
        (overview, listener),
    );
    round.all(subjects, errors)
}

impl<'a, 'b> RunContext<'a, 'b> {
    /// A run at whose further destinations nobody has looked.
    fn new(
        order: &'a ScheduledOrder,
        (store_options, now): (&'a StoreOptions, &'a Zoned),
        state: RunState,
        folders: Folders,
        (overview, listener): (&'a mut Overview, &'a mut Listener<'b>),
    ) -> RunContext<'a, 'b> {
        RunContext {
            order,
            store_options,
            now,
            state,
            folders,
            others: order.config.destinations.iter().map(|_| None).collect(),
            said: HashSet::new(),
            overview,
            listener,
        }
    }
}

impl RunContext<'_, '_> {
    fn note(&mut self, text: String) {
        if !self.said.contains(&text) {
            (self.listener)(Event::note(&text));
            self.said.insert(text);
        }
    }

    /// Makes the backups of what could be opened; `errors` say what could not.
    fn all(
        &mut self,
        mut subjects: Vec<SubvolumeBackup>,
        mut errors: Vec<(PathBuf, Error)>,
    ) -> Result<()> {
        let mut todo: Vec<(&mut SubvolumeBackup, Todo)> = Vec::new();
        for subject in &mut subjects {
            match self.look(subject) {
                Ok(Some(what)) => todo.push((subject, what)),
                Ok(None) => {}
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => errors.push((subject.of.path.clone(), error)),
            }
        }
        let mut count = todo.len() + errors.len();
        let mut remembered = self.note_errors(&errors);
        if !todo.is_empty() {
            self.begin();
            self.before(&todo)?;
            let done = self.each(todo, &mut errors);
            self.count_failures(&errors);
            remembered = remembered.and(self.note_errors(&errors));
            let done = done.and_then(|each| {
                let again = self.again(&mut subjects, &mut errors, &mut count);
                self.verdict(errors, count)
                    .and(each)
                    .and(remembered)
                    .and(again)
            });
            return self.after(done);
        }
        self.count_failures(&errors);
        let again = self.again(&mut subjects, &mut errors, &mut count);
        self.verdict(errors, count).and(remembered).and(again)
    }

    /// Looks again at what is due of that, and counts each look that found something wrong.
    fn again(
        &mut self,
        subjects: &mut [SubvolumeBackup],
        errors: &mut Vec<(PathBuf, Error)>,
        count: &mut usize,
    ) -> Result<()> {
        if self.order.dry_run || self.order.work == Work::Snapshot {
            return Ok(());
        }
        let (before, known) = (errors.len(), self.state.clone());
        self.look_again(subjects, errors)?;
        *count += errors.len() - before;
        match self.state == known {
            true => Ok(()),
            false => self.remember(),
        }
    }

    /// What failed before it came to a destination.
    fn count_failures(&mut self, errors: &[(PathBuf, Error)]) {
        for (path, error) in errors {
            let of = self
                .order
                .config
                .subvolumes
                .iter()
                .find(|of| of.path == *path);
            let subvolume = of.map_or_else(|| shown(path), |of| of.name.clone());
            let told = |line: &OverviewLine| line.subvolume == subvolume && line.error.is_some();
            if !self.overview.lines.iter().any(told) {
                self.overview.lines.push(OverviewLine {
                    subvolume,
                    error: Some(error.clone()),
                    ..OverviewLine::default()
                });
            }
        }
    }

    /// What keeps a subvolume from a backup is remembered for who asks how things stand.
    fn note_errors(&mut self, errors: &[(PathBuf, Error)]) -> Result<()> {
        let mut changed = false;
        for of in self.order.selected()? {
            let error = errors.iter().find(|(path, _)| *path == of.path);
            let error = error.map(|(_, error)| error.to_string());
            let known = self.state.subvolumes.get(&of.name);
            if known.and_then(|last| last.error.clone()) != error {
                let last = self.state.subvolumes.entry(of.name.clone());
                last.or_default().error = error;
                changed = true;
            }
        }
        match changed {
            true => self.remember(),
            false => Ok(()),
        }
    }

    /// The backups, and whether they could all be remembered: a state that cannot be written keeps
    /// nobody from having a backup.
    fn each(
        &mut self,
        todo: Vec<(&mut SubvolumeBackup, Todo)>,
        errors: &mut Vec<(PathBuf, Error)>,
    ) -> Result<Result<()>> {
        let mut remembered = Ok(());
        for (subject, what) in todo {
            process::check("backing up")?;
            match self.back_up(subject, what) {
                Ok(()) => {}
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => errors.push((subject.of.path.clone(), error)),
            }
            remembered = remembered.and(self.remember());
        }
        Ok(remembered)
    }

    /// After each subvolume, so that what is done is known whatever comes next.
    fn remember(&mut self) -> Result<()> {
        if self.order.dry_run {
            return Ok(());
        }
        self.state.file = std::path::absolute(&self.order.file).ok();
        self.state.last_run_at = Some(Stamp::of(self.now.timestamp()));
        let written = self.state.write(&self.order.config.global.state_path);
        written.map_err(partly)
    }

    fn verdict(&mut self, mut errors: Vec<(PathBuf, Error)>, count: usize) -> Result<()> {
        if count > 1 {
            for (path, error) in &errors {
                (self.listener)(Event::destination(&shown(path), Err(error)));
            }
        }
        let failed = errors.len();
        let kind = match failed < count || errors.iter().any(|(_, e)| e.kind == Kind::Partly) {
            true => Kind::Partly,
            false => Kind::Failed,
        };
        match errors.pop() {
            None => Ok(()),
            Some((_, error)) if count == 1 => Err(error),
            Some(_) => {
                let said = format!("{failed} of {count} subvolumes failed");
                Err(Error::new(kind, "incomplete backup", said))
            }
        }
    }

    /// Opened once for all subvolumes: a directory has one lock.
    fn open_others(&mut self, which: &[usize]) {
        for &at in which {
            let dest = &self.order.config.destinations[at];
            if self.others[at].is_none() {
                let access = access(self.order.dry_run, dest.keeps.keeps_all());
                let opened =
                    store::open(&dest.place, access, &dest.store_options(self.store_options));
                self.others[at] = Some(opened.map_err(not_this_work));
            }
        }
    }
}
