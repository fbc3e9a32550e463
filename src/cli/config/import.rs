//! `buttersink config import`: a file of btrbk as one of ours, on standard output. Writes no file.

use crate::backup::btrbk;
use crate::cli::form::Form;
use crate::cli::grammar::{Command, Usage};
use crate::error::{Doing, Error, Kind, Result};
use crate::progress::{Progress, Verbosity};
use crate::report;
use crate::snapshot::shown;
use crate::sys::secure_open;
use crate::text::numbered;
use std::ffi::OsString;
use std::path::Path;

pub(in crate::cli) const COMMAND: Command<Form> = Command {
    name: "config import",
    about: "prints a file of btrbk as one of ours, and names what has no counterpart",
    usages: &[Usage::of(Form::ImportConfig, "[FILE]", (0, 1))],
    text: "\
FILE is /etc/btrbk/btrbk.conf, or /etc/btrbk.conf. It stays as it is, and nothing that it names is
looked at. What has no counterpart is named on standard error, and in comments of
what is printed.
",
    examples: &[
        "buttersink config import >/etc/buttersink/host.toml",
        "buttersink config import /etc/btrbk/other.conf",
    ],
    exit: &[
        (0, "all of it has a counterpart"),
        (1, "failed"),
        (2, "usage, or a line that btrbk does not understand either"),
        (10, "some lines have no counterpart; they are named"),
    ],
};

/// As many bytes as such a file has.
const LONGEST: u64 = 1 << 20;

/// Prints what becomes of a file.
pub(in crate::cli) fn run(words: &[OsString]) -> Result<()> {
    let file = match words.first() {
        Some(word) => Path::new(word),
        None => usual(),
    };
    let name = shown(file);
    let bytes = secure_open::read_file(file, LONGEST).doing(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Error::usage(format!("cannot use {name}"), "it is not UTF-8"))?;
    let imported = btrbk::import(&name, &text)?;
    report::print(&imported.draft.to_string())?;
    let mut progress = Progress::new(Verbosity::Full, false);
    for without in &imported.without {
        progress.note(without.to_string());
    }
    match imported.without.len() {
        0 => Ok(()),
        count => {
            let lines = numbered(count, "line has", "lines have");
            let said = format!("{lines} no counterpart");
            Err(Error::new(Kind::Partly, format!("importing {name}"), said))
        }
    }
}

/// The first of btrbk's files that is there; else the first, which the error then names.
fn usual() -> &'static Path {
    let mut files = btrbk::FILES.iter().map(Path::new);
    let there = files.clone().find(|file| file.exists());
    there.or(files.next()).unwrap_or(Path::new("btrbk.conf"))
}
