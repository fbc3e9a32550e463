//! What the words beside options ask for: commands and locations. Words in, tasks out.

use super::Task;
use crate::error::{Error, Result};
use crate::store::Access;
use std::ffi::OsString;

/// The first word may be a command; otherwise one location is listed, and two are synchronised.
pub(super) fn task(mut words: Vec<OsString>) -> Result<Task> {
    let command = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default()
        .to_owned();
    if matches!(
        command.as_str(),
        "list" | "sync" | "backup" | "restore" | "verify"
    ) {
        words.remove(0);
    }
    let usage = |said: &str| {
        Err(Error::usage(
            "cannot understand the command line",
            format!("{said} (see buttersink --help)"),
        ))
    };
    match (command.as_str(), words.len()) {
        ("backup", _) => usage("'backup' comes first: buttersink backup [options] SUBVOLUME DEST…"),
        ("restore" | "verify", _) => {
            let said = format!(
                "the command comes in a later release; a directory of this name is ./{command}"
            );
            Err(Error::usage(format!("cannot {command}"), said))
        }
        ("list", 1) => Ok(Task::List(words.remove(0))),
        ("list", _) => usage("'list' takes one location"),
        ("sync", 2) | (_, 2) => Ok(Task::Sync(words.remove(0), words.remove(0))),
        ("sync", _) => usage("'sync' takes two locations, SRC and DST"),
        (_, 1) => Ok(Task::List(words.remove(0))),
        (_, 0) => usage("it names no location: SRC DST to synchronise, DST to list"),
        (_, n) => usage(&format!(
            "it names {n} locations, and there can be two at most"
        )),
    }
}

/// `--server --mode M DIR`, just as sudoers and authorized_keys name it.
pub(super) fn serve(mut words: Vec<OsString>, server: bool, mode: Option<Access>) -> Result<Task> {
    match (server, mode, words.pop()) {
        (true, Some(mode), Some(dir)) if words.is_empty() => Ok(Task::Serve(mode, dir)),
        _ => {
            let said = "a server is started as: buttersink --server --mode r|a|w DIR";
            Err(Error::usage("cannot understand the command line", said))
        }
    }
}
