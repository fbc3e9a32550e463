//! The command line of `buttersink`: words into values. What is done with them is in `commands`.

#![allow(clippy::print_stderr)]

mod commands;

use crate::error::{Error, Result};
use crate::progress::Voice;
use crate::snapshot::shown;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

/// What `--help` prints.
pub const HELP: &str = "\
buttersink synchronises sets of btrfs snapshots.

usage: buttersink [options] SRC DST      bring the snapshots of SRC to DST
       buttersink [options] DST          list the snapshots of DST
       buttersink [options] sync SRC DST, buttersink [options] list DST
                                         the same, said in words

  SRC, DST   [btrfs://|file://]/path/to/directory/[snapshot]
             The slash at the end matters: with it all snapshots in the directory, without it
             (SRC only) the one snapshot. DST is always a directory.

options:
  -n, --dry-run          show the plan, with exact sizes, and do nothing
  -d, --delete           after everything arrived, delete snapshots of DST that SRC does not have;
                         when listing, remove what interrupted transfers left
  -e, --estimate         plan with guessed sizes, without measuring
      --exclude PATTERN  leave alone the snapshots whose name matches (may be repeated)
  -q, --quiet            once: no progress; twice: errors only
  -l, --logfile FILE     append a debug log to FILE
      --json             results as JSON, one object a line
      --full-speed       do not yield to other programs
      --compressed-data  send compressed extents as they are (sizes in plans are then upper bounds)
      --part-size SIZE   size of the parts of an upload, in MiB or with a unit: 64, 64M, 1G
  -h, --help             show this help
  -V, --version          show the version

exit status:
  0    all done
  1    failed
  2    usage or configuration
  3    another run holds the lock, nothing done
  4    verification found a difference
  10   some tasks failed, others done
  130  interrupted
";

/// Options of all commands.
#[derive(Clone, Debug)]
struct Options {
    dry_run: bool,
    delete: bool,
    estimate: bool,
    exclude: Vec<OsString>,
    voice: Voice,
    logfile: Option<PathBuf>,
    json: bool,
    full_speed: bool,
    compressed: bool,
    part_size: Option<u64>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    Help,
    Version,
    List(OsString),
    Sync(OsString, OsString),
}

/// Runs `buttersink` with these arguments (without the program's name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(arguments).and_then(|(task, options)| commands::run(&task, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("buttersink: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Task, Options)> {
    let mut options = Options {
        dry_run: false,
        delete: false,
        estimate: false,
        exclude: Vec::new(),
        voice: Voice::Full,
        logfile: None,
        json: false,
        full_speed: false,
        compressed: false,
        part_size: None,
    };
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_args(arguments);
    loop {
        match parser.next().map_err(wrong)? {
            None => return Ok((task(words)?, options)),
            Some(Arg::Value(word)) => words.push(word),
            Some(Arg::Short('h') | Arg::Long("help")) => return Ok((Task::Help, options)),
            Some(Arg::Short('V') | Arg::Long("version")) => return Ok((Task::Version, options)),
            Some(Arg::Short('n') | Arg::Long("dry-run")) => options.dry_run = true,
            Some(Arg::Short('d') | Arg::Long("delete")) => options.delete = true,
            Some(Arg::Short('e') | Arg::Long("estimate")) => options.estimate = true,
            Some(Arg::Short('q') | Arg::Long("quiet")) => options.voice = options.voice.quieter(),
            Some(Arg::Long("json")) => options.json = true,
            Some(Arg::Long("full-speed")) => options.full_speed = true,
            Some(Arg::Long("compressed-data")) => options.compressed = true,
            Some(Arg::Long("exclude")) => options.exclude.push(parser.value().map_err(wrong)?),
            Some(Arg::Short('l') | Arg::Long("logfile")) => {
                options.logfile = Some(parser.value().map_err(wrong)?.into());
            }
            Some(Arg::Long("part-size")) => {
                options.part_size = Some(mebibytes(&parser.value().map_err(wrong)?)?);
            }
            Some(other) => return Err(wrong(other.unexpected())),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: lexopt::Error) -> Error {
    Error::usage(
        "cannot understand the command line",
        format!("{error} (see buttersink --help)"),
    )
}

/// The first word may be a command; otherwise one location is listed, and two are synchronised.
fn task(mut words: Vec<OsString>) -> Result<Task> {
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
        ("backup" | "restore" | "verify", _) => {
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

/// A size in MiB, or with a unit K, M, G or T; in bytes.
fn mebibytes(text: &OsStr) -> Result<u64> {
    let wrong = || {
        let said = "it is a number of MiB, or has a unit: 64, 64M, 1G";
        Error::usage(format!("cannot use the part size '{}'", shown(text)), said)
    };
    let text = text.to_str().ok_or_else(wrong)?;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(wrong)
}

impl Voice {
    fn quieter(self) -> Voice {
        if self == Voice::Full {
            Voice::Results
        } else {
            Voice::Errors
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(Task, Options)> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_first_word_may_be_a_command() {
        let list = |word: &str| Task::List(word.into());
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
    fn part_sizes_are_mebibytes() {
        let size = |text: &str| mebibytes(OsStr::new(text)).ok();
        assert_eq!(size("64"), Some(64 << 20));
        assert_eq!(size("64M"), Some(64 << 20));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size("512KiB"), Some(512 << 10));
        for wrong in ["", "0", "x", "-1", "1X", "99999999999T"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
