//! `buttersink restore`: the options and the configuration into an order, and the order shown while it
//! runs. Knows no store.

use super::form::Form;
use super::grammar::{Command, Usage, usage};
use super::options::Options;
use super::store_options;
use crate::archive::{Thaw, Which};
use crate::backup;
use crate::backup::archive;
use crate::backup::config::{self, ArchiveConfig, Config, VerifyMode};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::restore::{self, Compare, RestoreOrder};
use std::time::Duration;

pub(super) const COMMAND: Command<Form> = Command {
    name: "restore",
    about: "brings a backup back from the bucket that a configuration file names",
    usages: &[Usage::of(
        Form::Restore,
        "[options] --config FILE --subvolume NAME --target PATH",
        (0, 0),
    )],
    text: "\
It shows first what it takes: the chain of backups, bytes, costs and how long frozen objects take
to thaw. All of them are thawed at once. What is received stays, read-only, in
restore.target_base_dir if that is on the filesystem of PATH, and beside PATH otherwise; what is
there already is not fetched. PATH, which must not exist, becomes a writable snapshot of the last.
If a run ends early, the same command goes on.
",
    examples: &[
        "buttersink restore --config /etc/b.toml --subvolume home --target /srv/restore/home -n",
        "buttersink restore --config /etc/b.toml --subvolume home --target /srv/restore/home --at 2026-11-21",
    ],
    exit: &[
        (0, "restored"),
        (1, "failed"),
        (2, "usage or configuration"),
        (3, "another run holds the lock, nothing done"),
        (4, "verification found a difference"),
        (
            10,
            "objects are being thawed, nothing restored yet; the same command goes on",
        ),
        (130, "interrupted"),
    ],
};

/// The one way in which the backup is chosen.
fn which(options: &Options) -> Result<Which> {
    let at = options.at.map(Which::At);
    let snapshot = options.snapshot.clone().map(Which::Snapshot);
    let key = options.manifest_key.clone().map(Which::Key);
    let mut said = at.into_iter().chain(snapshot).chain(key);
    match (said.next(), said.next()) {
        (_, Some(_)) => Err(usage(
            "buttersink restore",
            "--at, --snapshot and --manifest-key exclude each other",
        )),
        (which, None) => Ok(which.unwrap_or(Which::Newest)),
    }
}

fn missing(what: &str) -> Error {
    usage("buttersink restore", &format!("it lacks {what}"))
}

/// The order that the options and the file make together.
fn order(options: &Options, config: &Config, from: &ArchiveConfig) -> Result<RestoreOrder> {
    let (subvolume, target) = (options.subvolume.last(), options.target.clone());
    let file: &config::Restore = &config.restore;
    let files = usize::try_from(file.sample_max_files).unwrap_or(usize::MAX);
    let compare = match options.verify.unwrap_or(file.verify_mode) {
        VerifyMode::None => Compare::None,
        VerifyMode::Sample => Compare::Sample(files),
        VerifyMode::Full => Compare::Full,
    };
    let seconds = options.restore_timeout.map(|seconds| seconds as u64);
    Ok(RestoreOrder {
        archive: archive::readable(
            config,
            from,
            subvolume.ok_or_else(|| missing("--subvolume NAME"))?,
        ),
        which: which(options)?,
        target: target.ok_or_else(|| missing("--target PATH"))?,
        base: file.target_base_dir.clone(),
        compare,
        thaw: Thaw {
            tier: options.restore_tier.unwrap_or(file.restore_tier),
            hurry: options.restore_tier.is_some(),
            wait: options.wait_restore.unwrap_or(file.wait_for_restore),
            timeout: Duration::from_secs(seconds.unwrap_or(file.restore_timeout_seconds)),
        },
        dry_run: options.dry_run,
    })
}

/// Restores.
pub(super) fn run(options: &Options) -> Result<()> {
    let config = Config::read(options.file()?)?;
    let from = archive::one(&config, options.destination.as_deref())?;
    let order = order(options, &config, from)?;
    let mut store_options = store_options::of_archive(options, from)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    backup::local_now(|remark| progress.note(remark));
    let options = &mut store_options.local;
    options.receive_with = options.receive_with.or(config.restore.receive_with);
    options.unconfined |= config.restore.receive_unconfined;
    let done = restore::run(&order, &store_options, &mut |event| progress.hear(&event));
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("nothing is at the target yet; the same command goes on");
    }
    done.and(progress.close())
}
