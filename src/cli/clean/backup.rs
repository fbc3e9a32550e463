//! `buttersink clean --config FILE --backup NAME/TIME`: one backup less in the bucket.

use crate::archive::stamp;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::scheduled;
use crate::cli::means::means;
use crate::cli::options::Options;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::json;
use crate::snapshot::shown;
use crate::store::{self, Access};
use crate::text::human;
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
    let word = match options.dry_run {
        true => "removable",
        false => {
            store.remove(&backup.key)?;
            "removed"
        }
    };
    let days = backup.made().map_or(0, |made| {
        let hours = Timestamp::now().duration_since(made).as_hours();
        u32::try_from(hours / 24).unwrap_or(0)
    });
    let cost = store
        .prices()
        .deleting_early(backup.bytes, &backup.class, days);
    let location = store.location();
    progress.result(
        || {
            let [made, name] = [&backup.created_at, &backup.snapshot].map(shown);
            let (kind, size) = (backup.kind, human(backup.bytes));
            format!("{word}: {made}  {kind}  {size}  {name} in {location}\ndeleting: {cost}\n")
        },
        || json::archives::deleted(&location, &backup, word),
    );
    progress.close()
}
