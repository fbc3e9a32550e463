//! `buttersink config check`: what configuration files mean, what their buckets are like, and what would
//! run when. Changes nothing but for `--write`, which takes back what it wrote.

use super::checked::Checked;
use crate::backup;
use crate::backup::config::{ArchiveConfig, Config, DestinationConfig};
use crate::backup::scheduled::{self, ScheduledOrder, Work};
use crate::backup::state::RunState;
use crate::cli::form::Form;
use crate::cli::grammar::{Command, Usage, usage};
use crate::cli::options::Options;
use crate::cli::store_options::{self, store_options};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Fault, FaultKind};
use crate::prices::freezes;
use crate::store::{self, BucketRemark};
use jiff::Zoned;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(in crate::cli) const COMMAND: Command<Form> = Command {
    name: "config check",
    about: "says what a file means, what its bucket is like, and what would run when",
    usages: &[Usage::of(
        Form::CheckConfig,
        "[options] FILE...",
        (1, usize::MAX),
    )],
    text: "",
    examples: &[
        "buttersink config check /etc/b.toml",
        "buttersink config check --offline /etc/b.toml",
        "buttersink config check --write /etc/b.toml",
        "buttersink config check --json /etc/buttersink/*.toml",
    ],
    exit: &[],
};

/// Shows files as they were understood, what their buckets are like, and what would run when.
pub(in crate::cli) fn run(words: &[OsString], options: &Options) -> Result<()> {
    if options.offline && options.write {
        let said = "--offline and --write exclude each other";
        return Err(usage("buttersink config check", said));
    }
    let files: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    let mut checked = Checked::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| checked.note(remark));
    let mut failed = Vec::new();
    for file in &files {
        match check(file, &files, options, &now, &mut checked) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => failed.push(error),
        }
    }
    let verdict = match failed.len() {
        0 => Ok(()),
        1 => failed.pop().map_or(Ok(()), Err),
        count => {
            failed.iter().for_each(|error| checked.fail(error));
            let said = format!("{count} of {} cannot be used as they are", files.len());
            Err(Error::new(failed[0].kind, "checking configurations", said))
        }
    };
    verdict.and(checked.close())
}

fn check(
    file: &Path,
    files: &[PathBuf],
    options: &Options,
    now: &Zoned,
    checked: &mut Checked,
) -> Result<()> {
    checked.begin(file, files.len() > 1)?;
    let config = Config::read(file).inspect_err(|error| checked.unreadable(error))?;
    checked.settings(&config)?;
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
    if options.offline {
        let state = RunState::of(&order.config);
        let unread = state.unread.iter();
        unread.for_each(|remark| checked.note(remark.clone()));
        let listener = &mut |event| checked.hear(event);
        scheduled::remembered(&order, &state, now, listener);
        return Ok(());
    }
    let known = buckets(&order.config, options, checked)?;
    let listener = &mut |event| checked.hear(event);
    let store_options = store_options(options)?.at(order.config.places());
    let done = scheduled::preview(&order, &store_options, now, listener);
    let usable = scheduled::look_for_faults(&order, files, &store_options, listener);
    done.and(known).and(usable)
}

/// How buckets are reached, and what they do by themselves. What they do not tell is no failure; the inner
/// result is whether each could be reached.
fn buckets(config: &Config, options: &Options, checked: &mut Checked) -> Result<Result<()>> {
    if let Some(remark) = backup::archive::spool_remark(config) {
        checked.note(remark);
    }
    let store_options = store_options(options)?;
    let mut done = Ok(());
    for archive in &config.archives {
        let looked = bucket(archive, options, checked);
        done = done.and(told(looked, archive, checked));
    }
    for dest in config
        .destinations
        .iter()
        .filter(|dest| dest.place.is_at_a_service())
    {
        // Whether it can be opened, is looked at with the others.
        if let Ok(remarks) = of_snapshots(dest, &store_options) {
            remarks.iter().for_each(|remark| checked.bucket(remark));
        }
    }
    Ok(done)
}

fn told(looked: Result<()>, archive: &ArchiveConfig, checked: &mut Checked) -> Result<()> {
    let key = match archive.is_section() {
        true => archive.key("bucket"),
        false => archive.key("location"),
    };
    let kind = match archive.is_in_directory() {
        true => FaultKind::Destination,
        false => FaultKind::Bucket,
    };
    looked.inspect_err(|error| {
        if error.kind != Kind::Interrupted {
            checked.hear(Event::from(Fault::failing(kind, key, error)));
        }
    })
}

fn of_snapshots(
    dest: &DestinationConfig,
    store_options: &store::StoreOptions,
) -> Result<Vec<BucketRemark>> {
    let (bucket, prefix) = dest.place.bucket().unwrap_or_default();
    store::bucket_remarks(
        (&bucket, &prefix),
        false,
        &dest.store_options(store_options),
    )
}

fn bucket(s3: &ArchiveConfig, options: &Options, checked: &mut Checked) -> Result<()> {
    let store_options = store_options::of_archive(options, s3)?;
    let remarks = store::bucket_remarks((&s3.bucket, &s3.prefix), true, &store_options)?;
    remarks.iter().for_each(|remark| checked.bucket(remark));
    let frozen = s3.storage_class_manifest.as_ref();
    if let Some(class) = frozen.filter(|class| freezes(class)) {
        let so =
            "manifests must be thawed to be read, and nothing builds on them: STANDARD is for them";
        let words = format!("storage_class_manifest = {class:?}: {so}");
        checked.harmful(FaultKind::Class, &s3.key("storage_class_manifest"), &words);
    }
    let words = match options.write {
        true => {
            let class = s3.storage_class_chunks.as_deref();
            store::try_writing(&s3.bucket, &s3.prefix, class, &store_options)?
        }
        false => {
            "whether it may be written to was not tried; --write tries it with one small object, \
                  which is removed again"
                .to_owned()
        }
    };
    checked.result(words);
    Ok(())
}
