//! `buttersink config check`: what a configuration file means, what its bucket is like, and what would
//! run when. Changes nothing but for `--write`, which takes back what it wrote.

use crate::backup;
use crate::backup::config::{ArchiveConfig, Config};
use crate::backup::scheduled::{self, ScheduledOrder, Work};
use crate::backup::state::RunState;
use crate::cli::form::Form;
use crate::cli::grammar::{Command, Usage, usage};
use crate::cli::means::{self, means};
use crate::cli::options::Options;
use crate::error::Result;
use crate::prices::freezes;
use crate::progress::Progress;
use crate::report;
use crate::snapshot::shown;
use crate::store;
use std::ffi::OsString;
use std::path::Path;

pub(in crate::cli) const COMMAND: Command<Form> = Command {
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
        "buttersink config check --write /etc/b.toml",
    ],
    exit: &[],
};

/// Shows a file as it was understood, what its bucket is like, and what would run when.
pub(in crate::cli) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let file = Path::new(&words[0]);
    if options.offline && options.write {
        let said = "--offline and --write exclude each other";
        return Err(usage("buttersink config check", said));
    }
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
    let order = ScheduledOrder {
        config,
        file: file.to_owned(),
        only: Vec::new(),
        once: false,
        dry_run: true,
        work: match options.offline {
            true => Work::Snapshot,
            false => Work::Backup,
        },
    };
    let done = match options.offline {
        true => {
            let (state, damaged) = RunState::of(&order.config);
            damaged.iter().for_each(|remark| progress.note(remark));
            let listener = &mut |event| progress.hear(&event);
            scheduled::remembered(&order, &state, &now, listener);
            Ok(())
        }
        false => {
            let known = buckets(&order.config, options, &mut progress);
            let listener = &mut |event| progress.hear(&event);
            let means = means(options)?.at(order.config.places());
            let done = scheduled::preview(&order, &means, &now, listener);
            let usable = scheduled::look_for_faults(&order, &means, listener);
            done.and(known).and(usable)
        }
    };
    done.and(progress.close())
}

/// How archives are reached, and what their buckets do by themselves. What they do not tell is no failure.
fn buckets(config: &Config, options: &Options, progress: &mut Progress) -> Result<()> {
    if let Some(remark) = backup::archive::spool_remark(config) {
        progress.note(&remark);
    }
    let mut done = Ok(());
    for archive in &config.archives {
        done = done.and(bucket(archive, options, progress));
    }
    done
}

fn bucket(s3: &ArchiveConfig, options: &Options, progress: &mut Progress) -> Result<()> {
    let means = means::of_archive(options, s3)?;
    for words in store::bucket_remarks(&s3.bucket, &s3.prefix, &means)? {
        progress.result(&words);
    }
    if freezes(&s3.storage_class_manifest) {
        let class = &s3.storage_class_manifest;
        let so =
            "manifests must be thawed to be read, and nothing builds on them: STANDARD is for them";
        progress.result(&format!("storage_class_manifest = {class:?}: {so}"));
    }
    let words = match options.write {
        true => store::try_writing(&s3.bucket, &s3.prefix, &s3.storage_class_chunks, &means)?,
        false => {
            "whether it may be written to was not tried; --write tries it with one small object, \
                  which is removed again"
                .to_owned()
        }
    };
    progress.result(&words);
    Ok(())
}
