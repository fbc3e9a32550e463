//! `buttersink status`: how the backups of a configuration stand. Opens no destination.

use super::form::Form;
use super::grammar::{Command, Usage};
use super::options::Options;
use crate::backup;
use crate::backup::config::Config;
use crate::backup::state::RunState;
use crate::backup::status::{Status, write_metrics};
use crate::error::Result;
use crate::progress::Progress;
use crate::snapshot::shown;

pub(super) const COMMAND: Command<Form> = Command {
    name: "status",
    about: "says how the backups of a configuration stand, and what is late",
    usages: &[Usage::of(Form::Status, "[options] --config FILE", (0, 0))],
    text: "\
For each subvolume and destination: the newest snapshot that is there, how old it is, when something is
due, what is lacking, the last error, what the last verification found, what is free, and when it will
be full. It goes by what runs remembered, and opens no destination.
",
    examples: &[
        "buttersink status --config /etc/b.toml",
        "buttersink status --config /etc/b.toml --prometheus /var/lib/node_exporter/buttersink.prom",
    ],
    exit: &[
        (0, "nothing is late"),
        (1, "failed"),
        (2, "usage or configuration"),
        (4, "something is older than its max_age"),
        (10, "some could not be looked at, and others could"),
        (130, "interrupted"),
    ],
};

pub(super) fn run(options: &Options) -> Result<()> {
    let file = options.file()?;
    let config = Config::read(file)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    let state = RunState::of(&config);
    state.unread.iter().for_each(|remark| progress.note(remark));
    for (path, why) in &config.unmatched {
        progress.note(format!("{} is not backed up: {why}", shown(path)));
    }
    let status = Status::of(file, &config, &state, &now);
    match options.json {
        true => status.lines.iter().for_each(|line| progress.result(line)),
        false => progress.result(&status.to_string()),
    }
    if let Some(path) = &options.prometheus {
        write_metrics(&status, path)?;
    }
    status.verdict().and(progress.close())
}
