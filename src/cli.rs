//! The command line of `buttersink`: words into values. What is done with them is in `commands`.

#![allow(clippy::print_stderr)]

mod backup;
mod commands;
mod tasks;
mod values;

use crate::backup::oneshot::Order;
use crate::error::{Error, Result};
use crate::progress::Voice;
use crate::store::Access;
use crate::store::remote::ssh;
use lexopt::Arg;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use tasks::{serve, task};
use values::{access, mebibytes, rate};

/// What `--help` prints.
pub const HELP: &str = "\
buttersink synchronises sets of btrfs snapshots.

usage: buttersink [options] SRC DST      bring the snapshots of SRC to DST
       buttersink [options] DST          list the snapshots of DST
       buttersink [options] sync SRC DST, buttersink [options] list DST
                                         the same, said in words

       buttersink backup …               make a backup; see buttersink backup --help

  SRC, DST   [btrfs://|file://]/path/to/directory/[snapshot]
             ssh://[user@]host[:port]/path/to/directory/[snapshot]
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
      --ssh-command CMD  CMD instead of 'ssh', with arguments (also BUTTERSINK_SSH)
      --ssh-option OPT   'ssh -o OPT' (may be repeated)
      --remote-sudo CMD  become root at the far side with CMD instead of 'sudo'; '' for not at all
      --remote-command CMD
                         CMD instead of 'buttersink' at the far side
      --bwlimit RATE     send and receive no faster: KiB per second, or with a unit: 500, 10M
      --server --mode r|a|w DIR
                         serve DIR to the buttersink at the other end of standard input and output:
                         r to read, a also to add, w also to delete
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
    ssh: ssh::Options,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    Help,
    Version,
    List(OsString),
    Sync(OsString, OsString),
    Serve(Access, OsString),
    Backup(Box<Order>),
    BackupHelp,
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
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|word| word == "backup").is_some() {
        return backup::parse(arguments);
    }
    let (words, options) = words(arguments)?;
    let task = match words {
        Words {
            asked: Some(task), ..
        } => task,
        Words {
            server: false,
            mode: None,
            words,
            ..
        } => task(words)?,
        Words {
            words,
            server,
            mode,
            ..
        } => serve(words, server, mode)?,
    };
    Ok((task, options))
}

/// What stands on the command line beside options, and options that are tasks.
#[derive(Default)]
struct Words {
    asked: Option<Task>,
    server: bool,
    mode: Option<Access>,
    words: Vec<OsString>,
}

fn words(arguments: impl IntoIterator<Item = OsString>) -> Result<(Words, Options)> {
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
        ssh: ssh_options(),
    };
    let mut all = Words::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    loop {
        match parser.next().map_err(wrong)? {
            None => return Ok((all, options)),
            Some(Arg::Value(word)) => all.words.push(word),
            Some(Arg::Short('h') | Arg::Long("help")) => {
                all.asked = Some(Task::Help);
                return Ok((all, options));
            }
            Some(Arg::Short('V') | Arg::Long("version")) => {
                all.asked = Some(Task::Version);
                return Ok((all, options));
            }
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
            Some(Arg::Long("server")) => all.server = true,
            Some(Arg::Long("mode")) => all.mode = Some(access(&parser.value().map_err(wrong)?)?),
            Some(Arg::Long("ssh-command")) => {
                options.ssh.command = parser.value().map_err(wrong)?;
            }
            Some(Arg::Long("ssh-option")) => {
                options.ssh.options.push(parser.value().map_err(wrong)?);
            }
            Some(Arg::Long("remote-sudo")) => options.ssh.sudo = parser.value().map_err(wrong)?,
            Some(Arg::Long("remote-command")) => {
                options.ssh.remote = parser.value().map_err(wrong)?;
            }
            Some(Arg::Long("bwlimit")) => {
                options.ssh.bwlimit = Some(rate(&parser.value().map_err(wrong)?)?);
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

/// What the environment says about ssh, where the command line says nothing.
fn ssh_options() -> ssh::Options {
    let mut options = ssh::Options::default();
    if let Some(command) = std::env::var_os("BUTTERSINK_SSH").filter(|text| !text.is_empty()) {
        options.command = command;
    }
    options
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
    fn servers_are_started_as_sudoers_name_them() {
        let (task, _) = parsed(&["--server", "--mode", "a", "/b/"]).unwrap();
        assert_eq!(task, Task::Serve(Access::Append, "/b/".into()));
        for wrong in [
            &["--server", "/b/"][..],
            &["--mode", "r", "/b/"],
            &["--server", "--mode", "r"],
            &["--server", "--mode", "x", "/b/"],
            &["--server", "--mode", "w", "/b/", "/c/"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
