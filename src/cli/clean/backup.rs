//! `buttersink clean --config FILE --backup NAME/TIME`: one backup less in the bucket. Whether it may
//! go is decided by the store.

use crate::archive::Stamp;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::scheduled;
use crate::cli::grammar::usage;
use crate::cli::options::Options;
use crate::cli::store_options;
use crate::error::{Error, Result};
use crate::event::{Deleted, Event, Fate};
use crate::progress::Progress;
use crate::snapshot::shown;
use crate::store::{self, Access};
use jiff::Timestamp;

/// Takes `NAME/TIME` apart: what the backups are called, and when it was made, as keys have it.
fn parts(word: &str) -> Result<(&str, Stamp)> {
    let parts = word
        .rsplit_once('/')
        .map(|(name, time)| (name, Stamp::from(time)));
    let parts = parts.filter(|(name, time)| !name.is_empty() && time.is_exact());
    parts.ok_or_else(|| {
        let said = "it is NAME/TIME as buttersink list shows them: home/20261121T020000Z";
        Error::usage(format!("cannot use --backup {}", shown(word)), said)
    })
}

pub(in crate::cli) fn run(options: &Options) -> Result<()> {
    let Some(backup) = &options.backup else {
        return Err(usage("buttersink clean", "it lacks --backup NAME/TIME"));
    };
    let (name, time) = parts(backup)?;
    let config = Config::read(options.file()?)?;
    let (access, _lock) = match options.dry_run {
        true => (Access::Read, None),
        // A run might build on it just now.
        false => {
            let lock = scheduled::lock(&config.global.lock_path)?;
            (Access::Write, Some(lock))
        }
    };
    let from = archive::one(&config, options.destination.as_deref())?;
    let settings = archive::settings(&config, from, name);
    let store_options = store_options::of_archive(options, from)?;
    let mut store = store::open_archive(settings, access, &store_options)?;
    let backup = store.removable(&time)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let result = match options.dry_run {
        true => Fate::Removable,
        false => {
            store.remove(&backup.key)?;
            Fate::Removed
        }
    };
    let days = backup.created_at.moment().map_or(0, |made| {
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
        kind: backup.kind,
        snapshot: backup.snapshot,
    })));
    progress.close()
}
