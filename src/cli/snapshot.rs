//! `buttersink snapshot`: makes snapshots, from options to an order. Sends nothing, and lets nothing go.

use super::form::{EXIT, Form, with_config};
use super::grammar::{Command, Usage};
use super::options::Options;
use super::scheduled;
use super::store_options::of_own;
use crate::backup;
use crate::backup::oneshot::{self, BackupOrder};
use crate::backup::scheduled::Work;
use crate::error::Result;
use crate::progress::Progress;
use std::ffi::OsString;

pub(super) const COMMAND: Command<Form> = Command {
    name: "snapshot",
    about: "makes a snapshot of a subvolume, or those that are due, and sends nothing",
    usages: &[
        Usage::of(Form::Snapshot, "[options] SUBVOLUME", (1, 1)),
        with_config(Form::SnapshotConfig),
    ],
    text: "\
The snapshot is made in SUBVOLUME/snapshot/, if anything changed since the last one. With --config,
those that are due of FILE are made where it says. None is let go: backup, send and prune do that.
",
    examples: &[
        "buttersink snapshot /home",
        "buttersink snapshot --config /etc/b.toml --once --subvolume home",
    ],
    exit: EXIT,
};

/// Makes a snapshot of the subvolume that the words name.
pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let order = BackupOrder {
        folder: options.snapshot_folder.clone().unwrap_or("snapshot".into()),
        prefix: options.snapshot_prefix.clone().unwrap_or_default(),
        always: options.always,
        dry_run: options.dry_run,
        ..BackupOrder::of(&words[0])
    };
    let mut progress = Progress::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    let done = oneshot::run(&order, &of_own(options)?, &now, &mut |event| {
        progress.hear(&event);
    });
    done.and(progress.close())
}

/// Makes those that are due.
pub(super) fn of_file(options: &Options) -> Result<()> {
    scheduled::run(options, Work::Snapshot)
}
