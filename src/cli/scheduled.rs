//! `buttersink backup --config`: the options and the file into an order, and what is said meanwhile.
//! What is due is decided elsewhere.

use super::means::means;
use super::options::Options;
use crate::backup;
use crate::backup::config::{Config, Level};
use crate::backup::scheduled::{self, ScheduledOrder};
use crate::error::{Kind, Result};
use crate::event::Event;
use crate::log;
use crate::progress::{Progress, Verbosity};
use std::io::{self, IsTerminal};
use std::path::Path;

/// Makes the backups that are due.
pub(super) fn run(options: &Options) -> Result<()> {
    let file = options.file()?;
    let order = ScheduledOrder {
        config: Config::read(file)?,
        file: file.to_owned(),
        only: options.subvolume.clone(),
        once: options.once,
        dry_run: options.dry_run,
        no_s3: options.no_s3,
    };
    let level = match (options.debug, options.log_level) {
        (true, _) => Level::Debug,
        (false, Some(level)) => level,
        (false, None) => order.config.global.log_level,
    };
    if level == Level::Debug && options.logfile.is_none() {
        log::open(Path::new("/dev/stderr"))?;
    }
    let verbosity = match (level, options.verbosity()) {
        (Level::Debug | Level::Info, verbosity) => verbosity,
        (Level::Warning, Verbosity::Full) => Verbosity::Results,
        (Level::Warning, verbosity) => verbosity,
        (Level::Error, _) => Verbosity::Errors,
    };
    let mut progress = Progress::new(verbosity, options.json);
    let (now, remark) = backup::local_now();
    if let Some(remark) = remark {
        progress.note(remark);
    }
    // What is mailed by cron, or kept by a journal, need not say each hour that nothing is due.
    let tells_idle = options.json || options.dry_run || io::stdout().is_terminal();
    let done = scheduled::run(&order, &means(options)?, &now, &mut |event| match event {
        Event::Due { due: false, .. } if !tells_idle => log::line(|| event.to_string()),
        event => progress.hear(&event),
    });
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("what arrived stays; the next run goes on with it");
    }
    done.and(progress.close())
}
