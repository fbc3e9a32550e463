//! `buttersink backup --config`: the options and the file into an order, and what is said meanwhile.

use super::backup::show;
use super::means::means;
use super::options::{Level, Options};
use crate::backup;
use crate::backup::config::Config;
use crate::backup::scheduled::{self, Order};
use crate::error::{Kind, Result};
use crate::log;
use crate::progress::{Progress, Voice};
use std::path::Path;

/// Makes the backups that are due.
pub(super) fn run(options: &Options) -> Result<()> {
    let file = options.file()?;
    let order = Order {
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
        (false, None) => order.config.global.log_level.parse()?,
    };
    if level == Level::Debug && options.logfile.is_none() {
        log::open(Path::new("/dev/stderr"))?;
    }
    let voice = match (level, options.voice()) {
        (Level::Debug | Level::Info, voice) => voice,
        (Level::Warning, Voice::Full) => Voice::Results,
        (Level::Warning, voice) => voice,
        (Level::Error, _) => Voice::Errors,
    };
    let mut progress = Progress::new(voice, options.json);
    let (now, remark) = backup::local_now();
    if let Some(remark) = remark {
        progress.note(&remark);
    }
    let done = scheduled::run(&order, &means(options)?, &now, &mut |event| {
        show(&mut progress, order.dry_run, &event);
    });
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("what arrived stays; the next run goes on with it");
    }
    done.and(progress.close())
}
