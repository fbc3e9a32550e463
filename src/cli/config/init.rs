//! `buttersink config init`: a file for this machine, from what is mounted, on standard output. Asks nothing and
//! writes no file.

use crate::backup::mounted;
use crate::btrfs;
use crate::cli::form::Form;
use crate::cli::grammar::{Command, Usage};
use crate::error::Result;
use crate::report;

pub(in crate::cli) const COMMAND: Command<Form> = Command {
    name: "config init",
    about: "prints a file for this machine, from what is mounted",
    usages: &[Usage::of(Form::InitConfig, "", (0, 0))],
    text: "\
Subvolumes that are mounted as / or in /home, /root and /srv have a snapshot each hour; btrfs
filesystems in /mnt, /media and /run/media get them. What may be meant otherwise is commented out.
",
    examples: &["buttersink config init >/etc/buttersink/host.toml"],
    exit: &[],
};

/// Prints the file.
pub(in crate::cli) fn run() -> Result<()> {
    report::print(&mounted::draft(&btrfs::mounted()?).to_string())
}
