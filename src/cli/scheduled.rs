//! The command line of `buttersink backup --config`: words into an order, and what is said meanwhile.

use super::means::means;
use super::options::Options;
use super::values::text;
use super::{Task, wrong, wrong_words};
use crate::backup;
use crate::backup::config::Config;
use crate::backup::scheduled::{self, Order};
use crate::error::{Kind, Result};
use crate::log;
use crate::progress::{Progress, Verbosity};
use lexopt::Arg;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Request {
    file: PathBuf,
    only: Vec<String>,
    once: bool,
    dry_run: bool,
    no_s3: bool,
    level: Option<Level>,
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    fn parse(word: &str) -> Result<Level> {
        match word {
            "debug" => Ok(Level::Debug),
            "info" => Ok(Level::Info),
            "warning" => Ok(Level::Warning),
            "error" | "critical" => Ok(Level::Error),
            _ => Err(wrong_words(
                "--log-level is debug, info, warning, error or critical",
            )),
        }
    }
}

/// Whether words that follow `backup` are about a configuration file.
pub(super) fn is_meant(words: &[OsString]) -> bool {
    let mut words = words.iter().map(|word| word.as_bytes());
    words.any(|word| word == b"--config" || word.starts_with(b"--config="))
}

/// What follows the word `backup`.
pub(super) fn parse(words: Vec<OsString>) -> Result<(Task, Options)> {
    let (mut request, mut options) = (Request::default(), Options::new());
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(_) => {
                return Err(wrong_words(
                    "with --config the file says what is backed up, and where to",
                ));
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        let mut value = || text(&name, &parser.value().map_err(wrong)?);
        match name.as_str() {
            "-h" | "--help" => return Ok((Task::BackupHelp, options)),
            "--config" => request.file = parser.value().map_err(wrong)?.into(),
            "--subvolume" => request.only.push(value()?),
            "--log-level" => request.level = Some(Level::parse(&value()?)?),
            "--once" => request.once = true,
            "--no-s3" => request.no_s3 = true,
            "-d" | "--debug" => request.level = Some(Level::Debug),
            "-e" | "--estimate" | "--delete" | "--exclude" | "--storage-class" | "--sse" | "-j"
            | "--concurrency" | "--max-chain" => {
                return Err(wrong_words(&format!("with --config there is no {name}")));
            }
            name => options.set(name, &mut parser)?,
        }
    }
    request.dry_run = options.dry_run;
    Ok((Task::Scheduled(Box::new(request)), options))
}

/// Makes the backups that are due.
pub(super) fn run(request: &Request, options: &Options) -> Result<()> {
    let order = Order {
        config: Config::read(&request.file)?,
        file: request.file.clone(),
        only: request.only.clone(),
        once: request.once,
        dry_run: request.dry_run,
        no_s3: request.no_s3,
    };
    let level = match request.level {
        Some(level) => level,
        None => Level::parse(&order.config.global.log_level)?,
    };
    if level == Level::Debug && options.logfile.is_none() {
        log::open(Path::new("/dev/stderr"))?;
    }
    let verbosity = match (level, options.verbosity) {
        (Level::Debug | Level::Info, verbosity) => verbosity,
        (Level::Warning, Verbosity::Full) => Verbosity::Results,
        (Level::Warning, verbosity) => verbosity,
        (Level::Error, _) => Verbosity::Errors,
    };
    let mut progress = Progress::new(verbosity, options.json);
    let (now, remark) = backup::local_now();
    if let Some(remark) = remark {
        progress.note(remark);
    }
    let done = scheduled::run(&order, &means(options), &now, &mut |event| {
        progress.hear(&event);
    });
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("what arrived stays; the next run goes on with it");
    }
    done.and(progress.close())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Task> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert!(is_meant(&words));
        Ok(parse(words)?.0)
    }

    #[test]
    fn the_old_programs_words() {
        let words = "--config /c.toml --log-level warning --dry-run --subvolume a --subvolume b --once --no-s3";
        let Task::Scheduled(request) = parsed(&words.split(' ').collect::<Vec<_>>()).unwrap()
        else {
            panic!("another task");
        };
        let expected = Request {
            file: "/c.toml".into(),
            only: vec!["a".to_owned(), "b".to_owned()],
            once: true,
            dry_run: true,
            no_s3: true,
            level: Some(Level::Warning),
        };
        assert_eq!(*request, expected);
    }

    #[test]
    fn wrong_words_are_usage() {
        for words in [
            &["--config"][..],
            &["--config", "/c", "/srv"],
            &["--config", "/c", "--log-level", "loud"],
            &["--config", "/c", "--keep", "1d"],
            &["--config=/c", "--estimate"],
        ] {
            assert_eq!(parsed(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
