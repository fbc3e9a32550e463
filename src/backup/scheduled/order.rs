//! What a run of a configuration is asked to do, and of which of its subvolumes. Does none of it.

use super::run_lock::{holder, lock};
use crate::backup::config::{Config, SubvolumeConfig};
use crate::backup::notify::RunNotify;
use crate::backup::work::Work;
use crate::error::{Error, Kind, Result};
use crate::snapshot::shown;
use jiff::Zoned;
use std::fs::File;
use std::path::PathBuf;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ScheduledOrder {
    /// The file that the configuration is from.
    pub file: PathBuf,
    /// What it says.
    pub config: Config,
    /// Only the subvolumes whose backups have these names; all if there are none.
    pub only: Vec<String>,
    /// A backup is made even if none is due.
    pub once: bool,
    /// Nothing is changed.
    pub dry_run: bool,
    /// Which part of the work is done.
    pub work: Work,
}

impl ScheduledOrder {
    pub(super) fn selected(&self) -> Result<Vec<&SubvolumeConfig>> {
        let all = &self.config.subvolumes;
        let unknown = |name: &&String| !all.iter().any(|known| known.name == **name);
        if let Some(unknown) = self.only.iter().find(unknown) {
            let names: Vec<&str> = all.iter().map(|known| known.name.as_str()).collect();
            let said = format!(
                "{} has no such subvolume, but {}",
                shown(&self.file),
                shown(names.join(", "))
            );
            return Err(Error::usage(
                format!("cannot back up {}", shown(unknown)),
                said,
            ));
        }
        let wanted = |of: &&SubvolumeConfig| match self.only.is_empty() {
            true => !of.noauto,
            false => self.only.contains(&of.name),
        };
        Ok(all.iter().filter(wanted).collect())
    }

    /// Whom this run tells how it goes.
    pub(super) fn notify(&self) -> RunNotify<'_> {
        RunNotify {
            notify: &self.config.notify,
            file: &self.file,
            work: self.work,
            whole: self.only.is_empty(),
        }
    }

    /// Keeps other runs out for as long as the file is open, unless nothing is changed.
    ///
    /// # Errors
    /// [`Kind::Busy`] if another run is at work. It is no such error, and no timer stays green, if that one has
    /// been for so long that something of this order has become due again.
    pub(super) fn lock(&self, now: &Zoned) -> Result<Option<File>> {
        let path = &self.config.global.lock_path;
        let locked = (!self.dry_run).then(|| lock(path)).transpose();
        locked.map_err(|error| match error.kind {
            Kind::Busy => self.kept_out(error, now),
            _ => error,
        })
    }

    fn kept_out(&self, error: Error, now: &Zoned) -> Error {
        let held = holder(&self.config.global.lock_path);
        let Some((process, since)) = held.filter(|(_, since)| *since <= now.timestamp()) else {
            return error;
        };
        let selected = self.selected().unwrap_or_default().into_iter();
        let mut cycles = selected.flat_map(|of| self.config.cycles_of(of));
        let begun = since.to_zoned(now.time_zone().clone());
        let begun = begun.strftime("%Y-%m-%d %H:%M");
        match cycles.any(|cycle| cycle.due(Some(since), now).is_ok()) {
            true => Error::failed(
                error.doing,
                format!("process {process} has held it since {begun}, and another backup is due; nothing was done"),
            )
            .hint(format!("if it hangs, stop it: kill {process}")),
            false => error,
        }
    }

    /// Whether a subvolume has more than one archive, or something else.
    pub(super) fn has_others(&self, of: &SubvolumeConfig) -> bool {
        let config = &self.config;
        !config.destinations_of(of).is_empty() || config.archives_of(of).len() > 1
    }

    /// Patterns that are to mean something, and mean nothing that is there or that can be looked at.
    pub(super) fn unmatched(&self) -> Vec<(PathBuf, Error)> {
        let missing = |(path, why): &(PathBuf, String)| {
            let doing = format!("cannot back up {}", shown(path));
            (path.clone(), Error::failed(doing, why.clone()))
        };
        let all = self
            .config
            .unmatched
            .iter()
            .filter(|_| self.only.is_empty());
        all.map(missing).collect()
    }
}
