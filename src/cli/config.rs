//! What is done with a configuration file: `config check FILE` says what it means, what its bucket is
//! like and what would run when, `list --config FILE` what there is in its bucket; and how an archive is shown.

use super::means::means;
use super::options::Options;
use super::{wrong, wrong_words};
use crate::backup;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::scheduled::{self, Order};
use crate::backup::state::State;
use crate::error::Result;
use crate::progress::Progress;
use crate::report;
use crate::report::archives::Shown;
use crate::snapshot::shown;
use crate::store::{self, Access, Archive, Means};
use lexopt::Arg;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is to be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    file: PathBuf,
    /// The bucket is not asked.
    offline: bool,
}

/// Options that mean the same as elsewhere.
const SHARED: &[&str] = &[
    "-l",
    "--logfile",
    "--endpoint-url",
    "--region",
    "--profile",
    "--s3-quirks",
];

/// What follows the word `config`.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<(Check, Options)> {
    let (mut found, mut offline, mut options) = (Vec::new(), false, Options::new());
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(word) => {
                found.push(word);
                continue;
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "--offline" => offline = true,
            name if SHARED.contains(&name) => options.set(name, &mut parser)?,
            name => return Err(wrong_words(&format!("'config check' has no {name}"))),
        }
    }
    match &found[..] {
        [check, file] if check == "check" => {
            let file = file.into();
            Ok((Check { file, offline }, options))
        }
        _ => Err(wrong_words(
            "it is buttersink config check [--offline] FILE",
        )),
    }
}

/// Shows the archives of a configuration.
pub(super) fn list(file: &Path, commands: bool, options: &Options) -> Result<()> {
    let config = Config::read(file)?;
    let means = archive::means(&config, &means(options));
    let mut progress = Progress::new(options.verbosity, options.json);
    for (name, _) in &config.subvolumes {
        let settings = archive::settings(&config, name);
        let mut archive = store::open_archive(settings, Access::Read, &means)?;
        show(&mut *archive, commands, &mut progress)?;
    }
    progress.close()
}

/// Shows an archive, with the commands that restore it by hand if they are wanted.
pub(super) fn show(store: &mut dyn Archive, commands: bool, progress: &mut Progress) -> Result<()> {
    let states = store.states()?;
    let mut backups = store.backups()?.with(&states);
    for backup in backups.all.iter_mut().filter(|_| commands) {
        backup.command = Some(store.command(backup));
    }
    progress.result(&Shown::of(&backups));
    Ok(())
}

/// Shows a file as it was understood, what its bucket is like, and what would run when.
pub(super) fn check(task: &Check, options: &Options) -> Result<()> {
    let config = Config::read(&task.file)?;
    let mut text = String::new();
    for entry in &config.entries {
        let default = if entry.default { "  # default" } else { "" };
        text += &format!("{} = {}{default}\n", entry.key, shown(&entry.value));
    }
    report::print(&(text + "\n"))?;
    let mut progress = Progress::new(options.verbosity, false);
    let (now, remark) = backup::local_now();
    remark.iter().for_each(|remark| progress.note(remark));
    let order = Order {
        config,
        file: task.file.clone(),
        only: Vec::new(),
        once: false,
        dry_run: true,
        no_s3: task.offline,
    };
    let done = match task.offline {
        true => {
            let (state, damaged) = State::of(&order.config.global);
            damaged.iter().for_each(|remark| progress.note(remark));
            let listener = &mut |event| progress.hear(&event);
            scheduled::remembered(&order, &state, &now, listener);
            Ok(())
        }
        false => {
            let known = bucket(&order.config, &means(options), &mut progress);
            let listener = &mut |event| progress.hear(&event);
            let done = scheduled::preview(&order, &means(options), &now, listener);
            done.and(known)
        }
    };
    done.and(progress.close())
}

/// How the bucket is reached, and what it does by itself. What it does not tell is no failure.
fn bucket(config: &Config, means: &Means, progress: &mut Progress) -> Result<()> {
    let (s3, means) = (&config.s3, archive::means(config, means));
    for words in store::bucket_remarks(&s3.bucket, &s3.prefix, &means)? {
        progress.result(&words);
    }
    Ok(())
}
