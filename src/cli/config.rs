//! What is done with a configuration file: `config check FILE` says what it means and what would run
//! when, `list --config FILE` what there is in its bucket; and how an archive is shown.

use super::options::Options;
use crate::backup;
use crate::backup::archive;
use crate::backup::config::Config;
use crate::backup::schedule::Due;
use crate::backup::state::State;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::archives::Shown;
use crate::report::{self, json};
use crate::s3::S3Options;
use crate::snapshot::shown;
use crate::store::Access;
use crate::store::archive::ArchiveStore;
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

/// Shows the archives of a configuration.
pub(super) fn list(file: &Path, commands: bool, options: &Options) -> Result<()> {
    let config = Config::read(file)?;
    let s3 = archive::options(&config, &options.s3);
    let mut progress = Progress::new(options.voice, options.json);
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
    let frost = store.frost()?;
    let (bucket, prefix) = store.place();
    let archive = store.archive()?;
    let shown = Shown {
        location: format!("s3://{bucket}/{}", shown(prefix)),
        bucket,
        archive,
        frost,
        reach: commands.then_some(options),
    };
    progress.result(|| shown.text(), || json::archives::archive(&shown));
    Ok(())
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
