//! `backup`, `snapshot`, `send` and `prune` with `--config`: the options and the file into an order, and what is
//! said meanwhile. What is due is decided elsewhere.

use super::options::Options;
use super::store_options::{of_own, store_options};
use crate::backup;
use crate::backup::config::{Config, Level};
use crate::backup::scheduled::{self, ScheduledOrder, Work};
use crate::error::{Kind, Result};
use crate::event::Event;
use crate::log;
use crate::progress::{Progress, Verbosity};
use std::io::{self, IsTerminal};

/// Makes the backups that are due.
pub(super) fn backup(options: &Options) -> Result<()> {
    let work = match options.no_s3 {
        true => Work::Snapshot,
        false => Work::Backup,
    };
    run(options, work)
}

/// Lets go what the file does not keep.
pub(super) fn prune(options: &Options) -> Result<()> {
    let order = order(options, Work::Prune)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    let done = scheduled::prune(&order, &store_options(options)?, &now, &mut |event| {
        progress.hear(&event);
    });
    done.and(progress.close())
}

fn order(options: &Options, work: Work) -> Result<ScheduledOrder> {
    let file = options.file()?;
    Ok(ScheduledOrder {
        config: Config::read(file)?,
        file: file.to_owned(),
        only: options.subvolume.clone(),
        once: options.once,
        dry_run: options.dry_run,
        work,
    })
}

/// Does what is due of some work.
pub(super) fn run(options: &Options, work: Work) -> Result<()> {
    let order = order(options, work)?;
    let level = match (options.debug, options.log_level) {
        (true, _) => Level::Debug,
        (false, Some(level)) => level,
        (false, None) => order.config.global.log_level,
    };
    if level == Level::Debug && options.logfile.is_none() {
        super::log_to_stderr()?;
    }
    let verbosity = match (level, options.verbosity()) {
        (Level::Debug | Level::Info, verbosity) => verbosity,
        (Level::Warning, Verbosity::Full) => Verbosity::Results,
        (Level::Warning, verbosity) => verbosity,
        (Level::Error, _) => Verbosity::Errors,
    };
    let mut progress = Progress::new(verbosity, options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    // What is mailed by cron, or kept by a journal, need not say each hour that nothing is due.
    let tells_idle = options.json || options.dry_run || io::stdout().is_terminal();
    let done = scheduled::run(&order, &of_own(options)?, &now, &mut |event| match event {
        Event::Due { due: false, .. } if !tells_idle => log::line(|| event.to_string()),
        event => progress.hear(&event),
    });
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("what arrived stays; the next run goes on with it");
    }
    done.and(progress.close())
}
