//! `buttersink backup` without a configuration: words into an order, and the order shown while it runs.

use super::form::{EXIT, Form, with_config};
use super::grammar::{Command, Usage, usage};
use super::options::Options;
use super::store_options::of_own;
use crate::backup;
use crate::backup::oneshot::{self, BackupOrder};
use crate::backup::retention::Policy;
use crate::error::Result;
use crate::progress::Progress;
use crate::store::{Location, Place};
use std::ffi::OsString;

pub(super) const COMMAND: Command<Form> = Command {
    name: "backup",
    about: "makes a snapshot of a subvolume, brings it to every destination, and lets old ones go",
    usages: &[
        Usage::of(Form::Backup, "[options] SUBVOLUME DEST...", (2, usize::MAX)),
        with_config(Form::BackupConfig),
    ],
    text: "\
SUBVOLUME is a mounted btrfs subvolume; snapshots are made in SUBVOLUME/snapshot/, if anything changed
since the last one. DEST is a directory for its snapshots: a path, ssh://[user@]host/path/ or
s3://bucket/prefix/. With --config, what is due of the backups in FILE, an absolute path, is done.
",
    examples: &["buttersink backup --latest-only --keep '7d 4w 12m' /home /mnt/disk/home ssh://store/backup/home/", "buttersink backup --config /etc/b.toml"],
    exit: EXIT,
};

/// What the words and the options make together.
fn order(words: &[OsString], options: &Options) -> Result<BackupOrder> {
    let refused = |said: &str| Err(usage("buttersink backup", said));
    let keep = options.keep.clone().unwrap_or_default();
    let dest_keeps = Policy {
        newest: options.num_backups,
        least: options.keep_min,
        ..keep
    };
    if dest_keeps.least.is_some() && dest_keeps.keeps_all() {
        return refused("--keep-min comes with --keep or --num-backups");
    }
    let mut destinations: Vec<Place> = Vec::new();
    for word in &words[1..] {
        let place = Location::directory(word)?.place;
        if destinations.contains(&place) {
            return refused(&format!("it names {place} twice"));
        }
        destinations.push(place);
    }
    Ok(BackupOrder {
        subvolume: words[0].clone().into(),
        folder: options.snapshot_folder.clone().unwrap_or("snapshot".into()),
        prefix: options.snapshot_prefix.clone().unwrap_or_default(),
        destinations,
        source_keeps: Policy {
            newest: options.num_snapshots,
            ..Policy::default()
        },
        dest_keeps,
        always: options.always,
        whole: options.whole,
        require_mount: options.require_mount,
        create: options.create,
        compare: options.compare,
        dry_run: options.dry_run,
        max_chain: options.max_chain(),
    })
}

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let order = order(words, options)?;
    if options.debug && options.logfile.is_none() {
        super::log_to_stderr()?;
    }
    carry_out(&order, options)
}

/// Does it, and shows how that goes.
pub(super) fn carry_out(order: &BackupOrder, options: &Options) -> Result<()> {
    let mut progress = Progress::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    let done = oneshot::run(order, &of_own(options)?, &now, &mut |event| {
        progress.hear(&event);
    });
    done.and(progress.close())
}
