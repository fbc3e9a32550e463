//! What is done with a configuration file: `config check FILE` says what it means and what would run
//! when, `list --config FILE` what there is in its bucket.

use crate::backup;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::schedule::Due;
use crate::backup::state::State;
use crate::error::{Error, Result};
use crate::report;
use crate::s3::S3Options;
use crate::snapshot::shown;
use crate::store::archive::index::Archive;
use crate::store::archive::manifest::Manifest;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file that the words after `config` name.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<PathBuf> {
    let words: Vec<OsString> = words.into_iter().collect();
    match &words[..] {
        [check, file] if check == "check" => Ok(file.into()),
        _ => {
            let said = "it is buttersink config check FILE (see buttersink --help)";
            Err(Error::usage("cannot understand the command line", said))
        }
    }
}

/// What follows the word `list`, if it has the option `--config`: the file, and whether commands are
/// wanted.
pub(super) fn parse_list(words: &[OsString]) -> Result<Option<(PathBuf, bool)>> {
    if !words.iter().any(|word| word == "--config") {
        return Ok(None);
    }
    match words {
        [config, file] if config == "--config" => Ok(Some((file.into(), false))),
        [config, file, commands] | [commands, config, file]
            if config == "--config" && commands == "--commands" =>
        {
            Ok(Some((file.into(), true)))
        }
        _ => {
            let said = "it is buttersink list --config FILE [--commands] (see buttersink --help)";
            Err(Error::usage("cannot understand the command line", said))
        }
    }
}

/// Shows the archives of a configuration.
pub(super) fn list(file: &Path, commands: bool) -> Result<()> {
    let config = Config::read(file)?;
    let options = archive::options(&config, &S3Options::default());
    let mut text = String::new();
    for archive in archive::read(&config, options.clone())? {
        text += &format!(
            "{}: {} backups\n",
            shown(&archive.name),
            archive.manifests.len()
        );
        for (key, manifest) in archive.in_order() {
            text += &row(&archive, key, manifest);
            if commands {
                text += &format!("    {}\n", archive::command(&config, &options, manifest));
            }
        }
        for (key, why) in archive
            .broken
            .iter()
            .filter(|(key, _)| !archive.manifests.contains_key(*key))
        {
            text += &format!("  broken       {}: {why}\n", shown(key));
        }
        for key in &archive.strays {
            text += &format!("  stray        {} belongs to no backup\n", shown(key));
        }
    }
    report::print(&text)
}

/// `  restorable   20261121T020000Z  full  1.2 GiB in 3 chunks  DEEP_ARCHIVE  NAME`
fn row(archive: &Archive, key: &str, manifest: &Manifest) -> String {
    let state = match archive.broken.get(key) {
        Some(_) => "broken",
        None if archive.current.as_deref() == Some(key) => "newest",
        None => "restorable",
    };
    let (size, chunks) = (report::human(manifest.total_bytes), manifest.chunks.len());
    let fields = [
        &manifest.created_at,
        &manifest.kind,
        &manifest.s3.storage_class,
        &manifest.snapshot.name,
    ];
    let [made, kind, class, name] = fields.map(shown);
    let why = archive
        .broken
        .get(key)
        .map_or(String::new(), |why| format!(" ({why})"));
    format!("  {state:<11}  {made}  {kind:<11}  {size:>10} in {chunks}  {class}  {name}{why}\n")
}

/// Shows a file as it was understood.
pub(super) fn check(file: &Path) -> Result<()> {
    let config = Config::read(file)?;
    let mut text = String::new();
    for entry in &config.entries {
        let default = if entry.default { "  # default" } else { "" };
        text += &format!("{} = {}{default}\n", entry.key, shown(&entry.value));
    }
    text.push('\n');
    let (now, remark) = backup::local_now();
    let (state, damaged) = State::read(&config.global.state_path);
    for remark in remark.iter().chain(&damaged) {
        text += &format!("note: {remark}\n");
    }
    for (name, path) in &config.subvolumes {
        let past = state.past(name, Path::is_dir);
        let what = match config.schedule.due(&past, &now, false) {
            Due::Now(kind, why) => format!("{kind} backup now ({why})"),
            Due::Later(at, kind) => {
                format!("{kind} backup from {}", at.strftime("%Y-%m-%d %H:%M %Z"))
            }
        };
        text += &format!("{}: {what}\n", shown(path));
    }
    report::print(&text)
}
