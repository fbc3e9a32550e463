//! The words after `restore` into values. What they mean together with a configuration is not known
//! here.

use super::super::Task as Any;
use super::super::options::Options;
use super::super::values::{number, text};
use crate::archive::{Tier, Which};
use crate::backup::state;
use crate::error::{Error, Result};
use crate::snapshot::shown;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Options of other commands that mean the same here.
const SHARED: &[&str] = &[
    "-n",
    "--dry-run",
    "-q",
    "--quiet",
    "-l",
    "--logfile",
    "--json",
    "--full-speed",
    "--receive-with",
    "--bwlimit",
    "--endpoint-url",
    "--profile",
    "-j",
    "--concurrency",
    "--s3-quirks",
];

/// What is wished, where it differs from the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Task {
    pub(super) config: PathBuf,
    pub(super) subvolume: String,
    pub(super) target: PathBuf,
    pub(super) which: Which,
    pub(super) verify: Option<String>,
    pub(super) wait: Option<bool>,
    pub(super) timeout: Option<usize>,
    pub(super) tier: Option<Tier>,
    pub(super) concurrency: bool,
}

#[derive(Default)]
struct Words {
    config: Option<OsString>,
    subvolume: Option<OsString>,
    target: Option<OsString>,
    which: Vec<Which>,
    verify: Option<String>,
    wait: Option<bool>,
    timeout: Option<usize>,
    tier: Option<Tier>,
    concurrency: bool,
}

/// What follows the word `restore`.
pub(in crate::cli) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Any, Options)> {
    let (mut words, mut options) = (Words::default(), Options::new());
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(word) => {
                let said = format!("'{}' is no option of 'restore'", shown(&word));
                return Err(usage(&said));
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "-h" | "--help" => return Ok((Any::RestoreHelp, options)),
            name if words.set(name, &mut parser)? => {}
            name if SHARED.contains(&name) => {
                words.concurrency |= matches!(name, "-j" | "--concurrency");
                options.set(name, &mut parser)?;
            }
            name => return Err(usage(&format!("'restore' has no option {name}"))),
        }
    }
    Ok((Any::Restore(Box::new(words.task()?)), options))
}

impl Words {
    /// Takes an option that only restores have; whether it is one.
    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool> {
        let mut value = || parser.value().map_err(wrong);
        match name {
            "--config" => self.config = Some(value()?),
            "--subvolume" => self.subvolume = Some(value()?),
            "--target" => self.target = Some(value()?),
            "--at" => self.which.push(Which::At(time(&value()?)?)),
            "--snapshot" => self.which.push(Which::Snapshot(text(name, &value()?)?)),
            "--manifest-key" => self.which.push(Which::Key(text(name, &value()?)?)),
            "--verify" => self.verify = Some(mode(&value()?)?),
            "--wait-restore" => self.wait = Some(true),
            "--no-wait-restore" => self.wait = Some(false),
            "--restore-timeout" => self.timeout = Some(number(name, &value()?)?),
            "--restore-tier" => self.tier = Some(text(name, &value()?)?.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn task(mut self) -> Result<Task> {
        let needed = |name: &str| usage(&format!("it lacks --{name}"));
        let which = self.which.pop().unwrap_or(Which::Newest);
        if !self.which.is_empty() {
            return Err(usage(
                "--at, --snapshot and --manifest-key exclude each other",
            ));
        }
        let name = self.subvolume.ok_or_else(|| needed("subvolume NAME"))?;
        Ok(Task {
            config: self.config.ok_or_else(|| needed("config FILE"))?.into(),
            subvolume: text("--subvolume", &name)?,
            target: self.target.ok_or_else(|| needed("target PATH"))?.into(),
            which,
            verify: self.verify,
            wait: self.wait,
            timeout: self.timeout,
            tier: self.tier,
            concurrency: self.concurrency,
        })
    }
}

fn mode(word: &OsStr) -> Result<String> {
    match word.to_str() {
        Some(mode @ ("full" | "sample" | "none")) => Ok(mode.to_owned()),
        _ => {
            let doing = format!("cannot use --verify {}", shown(word));
            Err(Error::usage(doing, "it is full, sample or none"))
        }
    }
}

/// A moment: with its zone, or by the clock of this machine. A date is its end.
fn time(word: &OsStr) -> Result<Timestamp> {
    let found = word.to_str().and_then(|text| {
        let zone = || TimeZone::try_system().unwrap_or(TimeZone::UTC);
        state::moment(text).or_else(|| local(text, &zone()))
    });
    found.ok_or_else(|| {
        let said = "it is written as '2026-11-21', '2026-11-21 14:00', 2026-11-21T14:00:00Z or \
                    20261121T140000Z";
        Error::usage(format!("cannot use the time '{}'", shown(word)), said)
    })
}

fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let clock: DateTime = text.parse().ok()?;
    let clock = match text.contains(':') {
        true => clock,
        false => clock.date().to_datetime(Time::MAX),
    };
    Some(clock.to_zoned(zone.clone()).ok()?.timestamp())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: lexopt::Error) -> Error {
    usage(&error.to_string())
}

fn usage(said: &str) -> Error {
    let said = format!("{said} (see buttersink restore --help)");
    Error::usage("cannot understand the command line", said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(words: &[&str]) -> Result<Task> {
        let all = ["--config", "/c", "--subvolume", "data", "--target", "/t"];
        match parse(all.iter().chain(words).map(OsString::from))? {
            (Any::Restore(task), _) => Ok(*task),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_old_programs_words() {
        let old = "--manifest-key k --verify none --restore-timeout 60 --no-wait-restore";
        let words: Vec<&str> = old.split(' ').collect();
        let task = task(&words).unwrap();
        assert_eq!(task.which, Which::Key("k".to_owned()));
        assert_eq!((task.wait, task.timeout), (Some(false), Some(60)));
    }

    #[test]
    fn wrong_words_are_usage() {
        for words in [
            &["--at", "yesterday"][..],
            &["--verify", "some"],
            &["--restore-tier", "Fast"],
            &["--restore-timeout", "0"],
            &["--at", "2026-01-01", "--snapshot", "x"],
            &["--delete"],
            &["place"],
        ] {
            assert_eq!(task(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
        let lacking = parse(["--config", "/c"].iter().map(OsString::from));
        assert!(lacking.unwrap_err().said.contains("--subvolume"));
    }

    #[test]
    fn times_by_the_clock_here() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let at = |text: &str| local(text, &zone).map(|time| time.to_string());
        assert_eq!(
            at("2026-11-21 14:00").as_deref(),
            Some("2026-11-21T12:00:00Z")
        );
        assert_eq!(
            at("2026-11-21T14:00:30").as_deref(),
            Some("2026-11-21T12:00:30Z")
        );
        let end = at("2026-11-21").unwrap();
        assert!(end.starts_with("2026-11-21T21:59:59.9"), "{end}");
        assert_eq!(at("noon"), None);
    }
}
