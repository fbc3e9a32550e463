//! `buttersink snapshot`: makes snapshots, from options to an order. Sends nothing, and lets nothing go.

use super::backup;
use super::form::{EXIT, Form, with_config};
use super::grammar::{Command, Usage};
use super::options::Options;
use super::scheduled;
use crate::backup::oneshot::BackupOrder;
use crate::backup::scheduled::Work;
use crate::error::Result;
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
    backup::carry_out(&order, options)
}

/// Makes those that are due.
pub(super) fn of_file(options: &Options) -> Result<()> {
    scheduled::run(options, Work::Snapshot)
}
