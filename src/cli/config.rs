//! `buttersink config check FILE`: what a configuration file says, and what would run when.

use crate::backup;
use crate::backup::config::Config;
use crate::backup::schedule::Due;
use crate::backup::state::State;
use crate::error::{Error, Result};
use crate::report;
use crate::snapshot::shown;
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
