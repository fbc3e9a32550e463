//! `buttersink config`: the commands about a configuration file, each in a file of its own.

mod checked;

pub(super) mod check;
pub(super) mod import;
pub(super) mod init;

use super::form::Form;
use super::grammar::Command;

/// Their group.
pub(super) const COMMAND: Command<Form> = Command {
    name: "config",
    about: "makes a configuration file of backups, and looks at it",
    usages: &[],
    text: "",
    examples: &[
        "buttersink config init >/etc/buttersink/host.toml",
        "buttersink config check /etc/buttersink/host.toml",
    ],
    exit: &[],
};
