//! Who is told of a run: the hooks before and after it, and the healthcheck. What goes wrong with that hides nothing
//! that went wrong before. Makes no backup.

use super::RunContext;
use super::subvolume::{SubvolumeBackup, Todo};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::snapshot::shown;

/// How it went, and whether somebody was told.
pub(super) fn told_too(done: Result<()>, told: Result<()>, listener: &mut Listener) -> Result<()> {
    match (done, told) {
        (done, Ok(())) => done,
        (Ok(()), Err(error)) => Err(partly(error)),
        (Err(error), Err(untold)) => {
            listener(Event::note(untold.to_string()));
            Err(error)
        }
    }
}

impl RunContext<'_, '_> {
    /// Tells the healthcheck. Whether it hears of the end is what counts.
    pub(super) fn begin(&mut self) {
        if self.order.dry_run {
            return;
        }
        if let Err(error) = self.order.notify().begin() {
            self.note(error.to_string());
        }
    }

    /// Runs the hook before the backups of these subvolumes. If it fails, so does the run.
    pub(super) fn before(&mut self, todo: &[(&mut SubvolumeBackup, Todo)]) -> Result<()> {
        if self.order.dry_run {
            return Ok(());
        }
        // A line for each, whatever users have called what a pattern means.
        let name = |(subject, _): &(&mut SubvolumeBackup, Todo)| shown(&subject.of.name);
        let names = todo.iter().map(name).collect::<Vec<_>>().join("\n");
        let more = [("BUTTERSINK_SUBVOLUMES", names)];
        let hooks = &self.order.config.hooks;
        match hooks.run("before", &self.order.file, &more) {
            Ok(()) => Ok(()),
            failed => self.after(failed),
        }
    }

    /// Whatever became of the run, the hook is told; its own failure does not hide another.
    pub(super) fn after(&mut self, done: Result<()>) -> Result<()> {
        if self.order.dry_run {
            return done;
        }
        let (status, words) = match &done {
            Ok(()) => (0, String::new()),
            Err(error) => (error.exit_code(), error.to_string()),
        };
        let more = [
            ("BUTTERSINK_STATUS", status.to_string()),
            ("BUTTERSINK_MESSAGE", words),
        ];
        let hooks = &self.order.config.hooks;
        let told = hooks.run("after", &self.order.file, &more);
        told_too(done, told, self.listener)
    }
}

/// What came before it is done.
pub(super) fn partly(error: Error) -> Error {
    let kind = Kind::Partly;
    Error { kind, ..error }
}
