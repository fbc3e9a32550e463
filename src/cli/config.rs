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
use crate::s3::lifecycle::{Does, Rule};
use crate::s3::{Client, S3Options};
use crate::snapshot::shown;
use crate::store::Access;
use crate::store::archive::manifest;
use crate::store::bucket::ArchiveStore;
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
    let s3 = archive::options(&config, &options.s3);
    let mut progress = Progress::new(options.verbosity, options.json);
    for (name, _) in &config.subvolumes {
        let settings = archive::settings(&config, name);
        let archive = ArchiveStore::open(settings, Access::Read, s3.clone())?;
        show(archive, commands, &s3, &mut progress)?;
    }
    progress.close()
}

/// Shows an archive, with the commands that restore it by hand if they are wanted.
pub(super) fn show(
    mut store: ArchiveStore,
    commands: bool,
    options: &S3Options,
    progress: &mut Progress,
) -> Result<()> {
    let states = store.states()?;
    let (bucket, prefix) = store.place();
    let archive = store.archive()?;
    let reach = commands.then_some(options);
    progress.result(&Shown::of(archive, (&bucket, &prefix), &states, reach));
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
            let known = bucket(&order.config, options, &mut progress);
            let listener = &mut |event| progress.hear(&event);
            let done = scheduled::preview(&order, &means(options), &now, listener);
            done.and(known)
        }
    };
    done.and(progress.close())
}

/// How the bucket is reached, and what it does by itself. What it does not tell is no failure.
fn bucket(config: &Config, options: &Options, progress: &mut Progress) -> Result<()> {
    let s3 = &config.s3;
    let client = Client::new(&s3.bucket, archive::options(config, &options.s3))?;
    let mut say = |words: String| progress.result(&words);
    say(format!("s3://{}/: {}", s3.bucket, client.described()));
    let lasting =
        "what is deleted stays as an older version, and is charged, until a rule removes it";
    match client.keeps_versions() {
        Ok(true) => say(format!("the bucket keeps versions: {lasting}")),
        Ok(false) => say("the bucket keeps no versions: what is deleted is gone".to_owned()),
        Err(error) => say(format!("whether it keeps versions is not known: {error}")),
    }
    match client.rules(manifest::top(&s3.prefix).as_str()) {
        Ok(rules) => rules.iter().for_each(|rule| say(meaning(rule))),
        Err(error) => say(format!("its lifecycle rules are not known: {error}")),
    }
    say("whether it may be written to was not tried".to_owned());
    Ok(())
}

fn meaning(rule: &Rule) -> String {
    let so = match rule.does {
        Does::Delete(_) => "backups are lost by that, with all that is built on them",
        Does::Freeze(..) => "manifests must be thawed then to be read; let it be for chunks only",
        Does::Abort(_) => "an upload that takes longer is never finished",
    };
    format!("{rule}: {so}")
}
