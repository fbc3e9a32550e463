//! `buttersink send`: sends the snapshots of a configuration that are there. Makes none.

use super::form::{EXIT, Form};
use super::grammar::{Command, Usage};
use super::options::Options;
use super::scheduled;
use crate::backup::scheduled::Work;
use crate::error::Result;

pub(super) const COMMAND: Command<Form> = Command {
    name: "send",
    about: "sends the snapshots of a configuration that are there, and makes none",
    usages: &[Usage::of(Form::Send, "[options] --config FILE", (0, 0))],
    text: "\
Each destination gets what it lacks of the snapshots that are there, if it has no schedule of its own or
is due by that; an archive gets the newest when a backup is due. Old ones go as with backup.
",
    examples: &[
        "buttersink send --config /etc/b.toml",
        "buttersink send --config /etc/b.toml --once --subvolume home",
    ],
    exit: EXIT,
};

pub(super) fn run(options: &Options) -> Result<()> {
    scheduled::run(options, Work::Send)
}
