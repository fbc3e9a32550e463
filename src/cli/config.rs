//! `buttersink config check`: what a configuration file means, what its bucket is like, and what would
//! run when.

use super::form::Form;
use super::grammar::{Command, Usage};
use super::means::{self, means};
use super::options::Options;
use crate::backup;
use crate::backup::config::Config;
use crate::backup::scheduled::{self, Order};
use crate::backup::state::State;
use crate::error::Result;
use crate::progress::Progress;
use crate::report;
use crate::s3::Client;
use crate::s3::lifecycle::{Does, Rule};
use crate::snapshot::shown;
use crate::store::archive::manifest;
use std::ffi::OsString;
use std::path::Path;

/// The commands about a configuration file.
pub(super) const COMMAND: Command<Form> = Command {
    name: "config",
    about: "looks at a configuration file of backups",
    usages: &[],
    text: "",
    examples: &[],
    exit: &[],
};

pub(super) const CHECK: Command<Form> = Command {
    name: "config check",
    about: "says what a file means, what its bucket is like, and what would run when",
    usages: &[Usage {
        form: Form::CheckConfig,
        when: None,
        words: "[options] FILE",
        count: (1, 1),
    }],
    text: "",
    examples: &[
        "buttersink config check /etc/b.toml",
        "buttersink config check --offline /etc/b.toml",
    ],
    exit: &[],
};

/// Shows a file as it was understood, what its bucket is like, and what would run when.
pub(super) fn check(words: &[OsString], options: &Options) -> Result<()> {
    let file = Path::new(&words[0]);
    let config = Config::read(file)?;
    let mut text = String::new();
    for entry in &config.entries {
        let default = if entry.default { "  # default" } else { "" };
        text += &format!("{} = {}{default}\n", entry.key, shown(&entry.value));
    }
    report::print(&(text + "\n"))?;
    let mut progress = Progress::new(options.verbosity(), false);
    let (now, remark) = backup::local_now();
    remark.iter().for_each(|remark| progress.note(remark));
    let order = Order {
        config,
        file: file.to_owned(),
        only: Vec::new(),
        once: false,
        dry_run: true,
        no_s3: options.offline,
    };
    let done = match options.offline {
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
            let done = scheduled::preview(&order, &means(options)?, &now, listener);
            done.and(known)
        }
    };
    done.and(progress.close())
}

/// How the bucket is reached, and what it does by itself. What it does not tell is no failure.
fn bucket(config: &Config, options: &Options, progress: &mut Progress) -> Result<()> {
    let s3 = &config.s3;
    let client = Client::new(&s3.bucket, means::bucket(options, config))?;
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
