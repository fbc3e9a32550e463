//! `buttersink clean --config FILE --backup NAME/TIME`: one backup less in the bucket.

use crate::archive::stamp;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::scheduled;
use crate::cli::means::means;
use crate::cli::options::Options;
use crate::error::{Error, Result};
use crate::event::{Deleted, Event, Fate};
use crate::progress::Progress;
use crate::snapshot::shown;
use crate::store::{self, Access};
use jiff::Timestamp;
use std::path::PathBuf;

/// What is to be deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Task {
    file: PathBuf,
    /// Of the backups.
    name: String,
    /// Its time, as keys have it.
    stamp: String,
}

impl Task {
    /// Takes `NAME/TIME` apart.
    pub(in crate::cli) fn parse(file: PathBuf, word: &str) -> Result<Task> {
        let parts = word.rsplit_once('/');
        match parts.filter(|(name, time)| !name.is_empty() && stamp::moment(time).is_some()) {
            Some((name, time)) => Ok(Task {
                file,
                name: name.to_owned(),
                stamp: time.to_owned(),
            }),
            None => {
                let said = "it is NAME/TIME as buttersink list shows them: home/20261121T020000Z";
                Err(Error::usage(
                    format!("cannot use --backup {}", shown(word)),
                    said,
                ))
            }
        }
    }
}

pub(in crate::cli) fn run(task: &Task, options: &Options) -> Result<()> {
    let config = Config::read(&task.file)?;
    let (access, _lock) = match options.dry_run {
        true => (Access::Read, None),
        // A run might build on it just now.
        false => {
            let lock = scheduled::lock(&config.global.lock_path)?;
            (Access::Write, Some(lock))
        }
    };
    let settings = archive::settings(&config, &task.name);
    let means = archive::means(&config, &means(options));
    let mut store = store::open_archive(settings, access, &means)?;
    let backup = store.removable(&task.stamp)?;
    let mut progress = Progress::new(options.verbosity, options.json);
    let result = match options.dry_run {
        true => Fate::Removable,
        false => {
            store.remove(&backup.key)?;
            Fate::Removed
        }
    };
    let days = backup.made().map_or(0, |made| {
        let hours = Timestamp::now().duration_since(made).as_hours();
        u32::try_from(hours / 24).unwrap_or(0)
    });
    let prices = store.prices();
    let cost = prices.deleting_early(backup.bytes, &backup.class, days);
    progress.hear(&Event::Deleted(Box::new(Deleted {
        location: store.location(),
        result,
        cost: cost.to_string(),
        bytes: backup.bytes,
        created_at: backup.created_at,
        kind: backup.kind.to_string(),
        snapshot: backup.snapshot,
    })));
    progress.close()
}
