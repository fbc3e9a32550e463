//! The command lines of the programs. What `buttersink` can be told stands in `table`, how that is read
//! in `parse`, and what is done in a file for each command.

mod grammar;
mod help;
mod refusal;

mod parse;

mod form;
mod options;
mod store_options;
mod values;

mod leftovers;

mod adopt;
mod backup;
mod clean;
mod config;
mod list;
mod prune;
mod restore;
mod scheduled;
mod send;
mod server;
mod snapshot;
mod status;
mod sync;
mod verify;

mod table;

pub mod btrfslist;
pub mod checksumdir;

mod described;

use crate::error::{Cause, Doing, Error, Result};
use crate::log;
use crate::report;
use crate::store::builtin_send;
use crate::sys;
pub use described::{Described, Offer, programs};
use form::Form;
pub use grammar::{Hint, Name};
use options::Options;
use parse::Understood;
#[cfg(any(test, feature = "fuzz"))]
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
#[cfg(any(test, feature = "fuzz"))]
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// Runs `buttersink` with these arguments, the first of which is what it is called.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = as_called(arguments.into_iter().collect());
    let for_scripts = arguments.iter().any(|word| word == "--json");
    let mut arguments = arguments.into_iter().peekable();
    let is_sender = |word: &OsString| word == builtin_send::WORD;
    let done = match arguments.next_if(is_sender) {
        Some(_) => builtin_send::main(arguments, io::stdin().as_fd(), io::stdout().as_fd()),
        None => table::PROGRAM.read(arguments).and_then(carry_out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say("buttersink", &error.lines());
            let line = report::refusal(&error).filter(|_| for_scripts);
            let _ = line.map(|line| report::print(&(line + "\n")));
            ExitCode::from(error.exit_code())
        }
    }
}

/// A text on standard error, each line behind the program's name. Where nobody can be told, the exit status still
/// tells.
fn say(program: &str, text: &str) {
    for line in text.lines() {
        let _ = writeln!(io::stderr(), "{program}: {line}");
    }
}

/// Writes the log to standard error, whose name in /dev cannot be opened where it is a socket, as in a unit.
fn log_to_stderr() -> Result<()> {
    let file = io::stderr().as_fd().try_clone_to_owned();
    let file = file.doing(|| "cannot write to standard error".to_owned())?;
    log::to(file.into());
    Ok(())
}

fn carry_out(asked: Understood<Options, Form>) -> Result<()> {
    let (form, words, options) = match asked {
        Understood::Text(text) => return report::print(&text),
        Understood::Run(form, words, options) => (form, words, options),
    };
    sys::catch_signals();
    if let Some(path) = &options.logfile {
        log::open(path)?;
        log::line(|| {
            let version = env!("CARGO_PKG_VERSION");
            format!("buttersink {version}: {form:?} {words:?} {options:?}")
        });
    }
    if let Some(path) = &options.transaction_log {
        log::transactions::open(path)?;
    }
    let result = run(form, &words, &options).map_err(|error| as_root(error, &words));
    match &result {
        Ok(()) => log::line(|| "done".to_owned()),
        Err(error) => log::line(|| format!("exit {}: {error}", error.exit_code())),
    }
    result
}

/// The words after the name. `btrfs-backup.py` named no command, since it had but one; the words of
/// `btrfs_to_s3` and `buttersink.py` are ours.
fn as_called(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    match name.is_some_and(|name| name == "btrfs-backup.py") {
        true => arguments[0] = "backup".into(),
        false => drop(arguments.drain(..1.min(arguments.len()))),
    }
    arguments
}

/// What only root may do, and somebody else tried. The far sides of ssh have their own ways to become root.
fn as_root(error: Error, words: &[OsString]) -> Error {
    let forbidden = matches!(error.cause, Some(Cause::Errno(libc::EPERM | libc::EACCES)));
    let far = |word: &OsString| word.to_string_lossy().contains("ssh://");
    match forbidden && error.hint.is_none() && !sys::is_root() && !words.iter().any(far) {
        true => error.hint("run it as root, with sudo"),
        false => error,
    }
}

fn run(form: Form, words: &[OsString], options: &Options) -> Result<()> {
    match form {
        Form::Sync => sync::run(words, options),
        Form::Resend => sync::resend::run(words, options),
        Form::List => list::run(words, options),
        Form::ListConfig => list::config(options),
        Form::Clean => clean::run(words, options),
        Form::CleanBackup => clean::backup::run(options),
        Form::Prune => prune::run(words, options),
        Form::PruneConfig => scheduled::prune(options),
        Form::Snapshot => snapshot::run(words, options),
        Form::SnapshotConfig => snapshot::of_file(options),
        Form::Send => send::run(options),
        Form::Adopt => adopt::run(words, options),
        Form::Verify => verify::location(words, options),
        Form::VerifyConfig => verify::config(options),
        Form::Backup => backup::run(words, options),
        Form::BackupConfig => scheduled::backup(options),
        Form::Status => status::run(options),
        Form::Restore => restore::run(options),
        Form::CheckConfig => config::check::run(words, options),
        Form::InitConfig => config::init::run(),
        Form::ImportConfig => config::import::run(words),
        Form::Server => server::run(words, options),
    }
}

#[cfg(any(test, feature = "fuzz"))]
/// Words of a command line, one a line, as each of the programs understands them: what it refuses is
/// the caller's fault.
pub(crate) fn fuzz_options(bytes: &[u8]) {
    let words = || bytes.split(|&byte| byte == b'\n');
    let words = || words().map(|word| OsStr::from_bytes(word).to_owned());
    let refusals = [
        table::PROGRAM.read(words()).err(),
        checksumdir::PROGRAM.read(words()).err(),
        btrfslist::PROGRAM.read(words()).err(),
    ];
    for refusal in refusals.iter().flatten() {
        assert_eq!(refusal.exit_code(), 2, "{refusal}");
    }
}

#[cfg(test)]
mod tests;
