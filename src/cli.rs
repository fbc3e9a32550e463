//! The command line of `buttersink`: words into values. What is done with them is in `commands`.

mod adopt;
mod backup;
mod clean;
mod commands;
mod config;
mod help;
mod means;
mod only;
mod options;
mod resend;
mod restore;
mod scheduled;
mod server;
mod slash;
mod values;
mod verify;

use crate::backup::oneshot::Order;
use crate::error::{Error, Result};
use crate::store::builtin_send;
use jiff::SignedDuration;
use lexopt::Arg;
use only::Only;
use options::Options;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    Help,
    Version,
    List(OsString, bool),
    Sync(OsString, OsString),
    Verify(verify::Task),
    VerifyHelp,
    Serve(server::Grant),
    Backup(Box<Order>),
    BackupHelp,
    Scheduled(Box<scheduled::Request>),
    Restore(Box<restore::Task>),
    RestoreHelp,
    CheckConfig(config::Check),
    ListConfig(PathBuf, bool),
    Clean(OsString, Option<SignedDuration>),
    CleanBackup(clean::backup::Task),
    Adopt(adopt::Task),
}

/// Runs `buttersink` with these arguments (without the program's name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    let is_sender = |word: &OsString| word == builtin_send::WORD;
    let done = match arguments.next_if(is_sender) {
        Some(_) => builtin_send::main(arguments, io::stdin().as_fd(), io::stdout().as_fd()),
        None => parse(arguments).and_then(|(task, options)| commands::run(&task, &options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody can be told, the exit status still tells.
            for line in error.lines().lines() {
                let _ = writeln!(io::stderr(), "buttersink: {line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Task, Options)> {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|word| word == "backup").is_some() {
        let words: Vec<OsString> = arguments.collect();
        return match scheduled::is_meant(&words) {
            true => scheduled::parse(words),
            false => backup::parse(words),
        };
    }
    if arguments.next_if(|word| word == "restore").is_some() {
        return restore::parse(arguments);
    }
    if arguments.next_if(|word| word == "config").is_some() {
        let (check, options) = config::parse(arguments)?;
        return Ok((Task::CheckConfig(check), options));
    }
    if arguments.next_if(|word| server::is_meant(word)).is_some() {
        return Ok((Task::Serve(server::parse(arguments)?), Options::new()));
    }
    let mut options = Options::new();
    let mut only = Only::default();
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            // What follows this word is its own.
            Arg::Value(word) if words.is_empty() && verify::is_meant(&word) => {
                let task = verify::parse(&mut parser, &mut options)?;
                return Ok((task.map_or(Task::VerifyHelp, Task::Verify), options));
            }
            Arg::Value(word) => {
                words.push(word);
                continue;
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "-h" | "--help" => return Ok((Task::Help, options)),
            "-V" | "--version" => return Ok((Task::Version, options)),
            "--server" | "--mode" => {
                return Err(wrong_words(
                    "--server comes first, and its options follow it",
                ));
            }
            name if only.set(name, &mut parser)? => {}
            name => options.set(name, &mut parser)?,
        }
    }
    options.whole = only.whole;
    let task = task(words, &only)?;
    Ok((task, options))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: lexopt::Error) -> Error {
    wrong_words(&error.to_string())
}

fn wrong_words(said: &str) -> Error {
    let said = format!("{said} (see buttersink --help)");
    Error::usage("cannot understand the command line", said)
}

fn task(words: Vec<OsString>, only: &Only) -> Result<Task> {
    let alone = |command: &str| matches!(&words[..], [word] if word == command);
    let task = match (&only.config, &only.backup) {
        (Some(file), None) if alone("list") => Task::ListConfig(file.clone(), only.commands),
        (Some(file), Some(backup)) if alone("clean") => {
            Task::CleanBackup(clean::backup::Task::parse(file.clone(), backup)?)
        }
        _ => by_words(words, only)?,
    };
    only.must_fit(&task)?;
    Ok(task)
}

/// The first word may be a command; otherwise one location is listed, and two are synchronised.
fn by_words(mut words: Vec<OsString>, only: &Only) -> Result<Task> {
    let command = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default()
        .to_owned();
    if matches!(
        command.as_str(),
        "list" | "sync" | "clean" | "adopt" | "backup" | "restore"
    ) {
        words.remove(0);
    }
    let usage = |said: &str| Err(wrong_words(said));
    match (command.as_str(), words.len()) {
        ("backup", _) => {
            usage("'backup' comes first: buttersink backup [options] SUBVOLUME DEST...")
        }
        ("restore", _) => {
            usage("'restore' comes first: buttersink restore [options] --config FILE ...")
        }
        ("list", 1) => Ok(Task::List(words.remove(0), only.commands)),
        ("list", _) => usage("'list' takes one location"),
        ("clean", 1) => Ok(Task::Clean(words.remove(0), only.age)),
        ("clean", _) => usage("'clean' takes one location"),
        ("adopt", 0) => usage("'adopt' takes a location, and names of snapshots there"),
        ("adopt", _) => adoption(words, only),
        ("sync", 2) | (_, 2) => Ok(Task::Sync(words.remove(0), words.remove(0))),
        ("sync", _) => usage("'sync' takes two locations, SRC and DST"),
        (_, 1) => Ok(Task::List(words.remove(0), only.commands)),
        (_, 0) => usage("it names no location: SRC DST to synchronise, DST to list"),
        (_, n) => usage(&format!(
            "it names {n} locations, and there can be two at most"
        )),
    }
}

/// `adopt LOCATION [NAME...] --as SUBVOLUME`
fn adoption(mut words: Vec<OsString>, only: &Only) -> Result<Task> {
    let Some(subvolume) = only.subvolume.clone() else {
        return Err(wrong_words(
            "'adopt' needs --as SUBVOLUME: what the snapshots are of",
        ));
    };
    let place = words.remove(0);
    Ok(Task::Adopt(adopt::Task {
        place,
        names: words.into_iter().map(PathBuf::from).collect(),
        subvolume,
        yes: only.yes,
        take_over: only.take_over,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(Task, Options)> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_first_word_may_be_a_command() {
        let list = |word: &str| Task::List(word.into(), false);
        assert_eq!(parsed(&["/a/"]).unwrap().0, list("/a/"));
        assert_eq!(parsed(&["list", "/a/"]).unwrap().0, list("/a/"));
        assert_eq!(parsed(&["./backup"]).unwrap().0, list("./backup"));
        assert_eq!(
            parsed(&["a/", "b"]).unwrap().0,
            Task::Sync("a/".into(), "b".into())
        );
        assert_eq!(
            parsed(&["sync", "a/", "b"]).unwrap().0,
            Task::Sync("a/".into(), "b".into())
        );
        for words in [
            &["backup"][..],
            &["list"],
            &["sync", "a"],
            &[],
            &["a", "b", "c"],
            &["-x"],
            &["--part-size", "x", "a"],
        ] {
            assert_eq!(parsed(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }

    #[test]
    fn verifying_has_options_of_its_own() {
        for words in [
            &["verify", "a"][..],
            &["verify", "--download", "s3://b/"],
            &["--json", "verify", "a", "--against", "b", "--content"],
            &["verify", "--config", "f", "--download"],
        ] {
            let (task, _) = parsed(words).unwrap();
            assert!(matches!(task, Task::Verify(_)), "{words:?}");
        }
        assert_eq!(parsed(&["verify", "--help"]).unwrap().0, Task::VerifyHelp);
        assert_eq!(
            parsed(&["./verify"]).unwrap().0,
            Task::List("./verify".into(), false)
        );
        for wrong in [
            &["verify"][..],
            &["verify", "a", "b"],
            &["verify", "a", "--config", "f"],
            &["verify", "--against", "a", "--config", "f"],
            &["verify", "--content", "a"],
            &["verify", "--quick", "--download", "a"],
            &["verify", "-d", "a"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn some_options_belong_to_one_command() {
        let task = |words: &[&str]| parsed(words).map(|(task, _)| task);
        let clean = Task::Clean("s3://b/".into(), Some(SignedDuration::from_hours(72)));
        let words = ["clean", "-n", "--older-than", "3d", "s3://b/"];
        assert_eq!(task(&words).unwrap(), clean);
        assert_eq!(
            task(&["clean", "/a/"]).unwrap(),
            Task::Clean("/a/".into(), None)
        );
        let Task::Adopt(adopted) = task(&["adopt", "/d/", "one", "--as", "/v", "--yes"]).unwrap()
        else {
            panic!("another task");
        };
        assert_eq!(
            (adopted.names, adopted.yes),
            (vec![PathBuf::from("one")], true)
        );
        let listed = Task::List("s3://b/".into(), true);
        assert_eq!(task(&["list", "--commands", "s3://b/"]).unwrap(), listed);
        let words = ["list", "--commands", "--json", "--config", "f"];
        assert_eq!(task(&words).unwrap(), Task::ListConfig("f".into(), true));
        for wrong in [
            &["clean"][..],
            &["clean", "a", "b"],
            &["adopt", "a"],
            &["adopt", "--as", "v"],
            &["clean", "--yes", "a"],
            &["list", "--as", "v", "a"],
            &["--take-over", "a", "b"],
            &["clean", "--older-than", "3", "a"],
            &["list", "--older-than", "3d", "a"],
            &["list", "--config", "f", "a"],
            &["--config", "f", "a"],
            &["clean", "--config", "f"],
            &["clean", "--backup", "a/20261121T020000Z", "a"],
            &["clean", "--config", "f", "--backup", "a/yesterday"],
            &["clean", "--config", "f", "--backup", "20261121T020000Z"],
            &["list", "--config", "f", "--backup", "a/20261121T020000Z"],
            &[
                "clean",
                "--config",
                "f",
                "--backup",
                "a/20261121T020000Z",
                "--older-than",
                "1d",
            ],
            &["clean", "--commands", "a"],
            &["--commands", "a", "b"],
            &["--whole", "a"],
            &["clean", "--whole", "a"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn servers_have_a_command_line_of_their_own() {
        let (task, _) = parsed(&["--server", "--mode", "a", "/b/"]).unwrap();
        assert!(matches!(task, Task::Serve(_)));
        for wrong in [
            &["--server", "/b/"][..],
            &["--mode", "r", "/b/"],
            &["--mode", "r", "--server", "/b/"],
            &["-l", "/x", "--server", "--mode", "r", "/b/"],
            &["--server", "--mode", "w", "/b/", "-n"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
