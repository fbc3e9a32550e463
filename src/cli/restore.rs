//! `buttersink restore`: its words into values, these and the configuration into an order, and the
//! order shown while it runs.

use super::means::means;
use super::options::Options;
use super::values::{number, text};
use crate::backup::archive;
use crate::backup::config::{self, Config};
use crate::backup::{self, state};
use crate::error::{Error, Result};
use crate::log;
use crate::progress::Progress;
use crate::report::{json, restore as report};
use crate::restore::thawing::How;
use crate::restore::{self, Compare, Event, Order, Which};
use crate::s3::thaw::Tier;
use crate::snapshot::shown;
use crate::sync;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// What `restore --help` prints.
pub(super) const HELP: &str = "\
buttersink restore brings a backup back from the bucket that a configuration file names.

usage: buttersink restore [options] --config FILE --subvolume NAME --target PATH

It shows first what it takes: the chain of backups, bytes, costs and how long frozen objects take
to thaw. All of them are thawed at once. What is received stays, read-only, in
restore.target_base_dir if that is on the filesystem of PATH, and beside PATH otherwise; what is
there already is not fetched. PATH, which must not exist, becomes a writable snapshot of the last.
If a run ends early, the same command goes on.

options:
      --config FILE      the configuration file of the backups; see buttersink.conf(5)
      --subvolume NAME   the backups of this name
      --target PATH      where to
      --at TIME          the newest that was made then or before: '2026-11-21', '2026-11-21 14:00'
                         in local time, 2026-11-21T14:00:00Z or 20261121T140000Z
      --snapshot NAME    that of the snapshot NAME
      --manifest-key KEY the one whose manifest has this key
      --verify MODE      compare with the source snapshot, if that is on this machine: full, sample
                         or none
      --wait-restore     wait until frozen objects are thawed
      --no-wait-restore  only ask for it, and exit with 10
      --restore-timeout S
                         wait no longer than so many seconds
      --restore-tier T   thaw by Standard, Bulk or Expedited
  -n, --dry-run          show what it takes, and do nothing
  -q, --quiet            once: no progress; twice: errors only
  -l, --logfile FILE     append a debug log to FILE
      --json             results as JSON, one object a line
      --full-speed       do not yield to other programs
      --bwlimit RATE     no faster than this: KiB per second, or with a unit: 500, 10M
      --endpoint-url URL an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
      --profile NAME     the profile in the AWS configuration files (also AWS_PROFILE)
  -j, --concurrency N    requests at the same time (s3.concurrency of the file)
      --s3-quirks NAMES  what the service cannot do; see buttersink-s3(5)
  -h, --help             show this help

exit status:
  0    restored
  1    failed
  2    usage or configuration
  3    another run holds the lock, nothing done
  4    verification found a difference
  10   objects are being thawed, nothing restored yet; the same command goes on
  130  interrupted
";

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
    "--bwlimit",
    "--endpoint-url",
    "--profile",
    "-j",
    "--concurrency",
    "--s3-quirks",
];

/// What is wished, where it differs from the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Task {
    config: PathBuf,
    subvolume: String,
    target: PathBuf,
    which: Which,
    verify: Option<String>,
    wait: Option<bool>,
    timeout: Option<usize>,
    tier: Option<Tier>,
    concurrency: bool,
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
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(super::Task, Options)> {
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
            "-h" | "--help" => return Ok((super::Task::RestoreHelp, options)),
            name if words.set(name, &mut parser)? => {}
            name if SHARED.contains(&name) => {
                words.concurrency |= matches!(name, "-j" | "--concurrency");
                options.set(name, &mut parser)?;
            }
            name => return Err(usage(&format!("'restore' has no option {name}"))),
        }
    }
    Ok((super::Task::Restore(Box::new(words.task()?)), options))
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

/// The order that the words and the file make together.
fn order(task: &Task, options: &Options, config: &Config) -> Result<Order> {
    let file: &config::Restore = &config.restore;
    let files = usize::try_from(file.sample_max_files).unwrap_or(usize::MAX);
    let compare = match task.verify.as_deref().unwrap_or(&file.verify_mode) {
        "none" => Compare::None,
        "sample" => Compare::Sample(files),
        _ => Compare::Full,
    };
    let tier = match task.tier {
        Some(tier) => tier,
        None => file.restore_tier.parse()?,
    };
    let seconds = task
        .timeout
        .map_or(file.restore_timeout_seconds, |s| s as u64);
    Ok(Order {
        subvolume: task.subvolume.clone(),
        bucket: config.s3.bucket.clone(),
        prefix: config.s3.prefix.clone(),
        which: task.which.clone(),
        target: task.target.clone(),
        base: file.target_base_dir.clone(),
        compare,
        thaw: How {
            tier,
            hurry: task.tier.is_some(),
            wait: task.wait.unwrap_or(file.wait_for_restore),
            timeout: Duration::from_secs(seconds),
        },
        dry_run: options.dry_run,
    })
}

/// Restores.
pub(super) fn run(task: &Task, options: &Options) -> Result<()> {
    let config = Config::read(&task.config)?;
    let order = order(task, options, &config)?;
    let mut s3 = archive::options(&config, &options.s3);
    if !task.concurrency {
        s3.concurrency = usize::try_from(config.s3.concurrency).unwrap_or(usize::MAX);
    }
    let mut progress = Progress::new(options.voice, options.json);
    if let (_, Some(remark)) = backup::local_now() {
        progress.note(&remark);
    }
    let manner = means(options).manner;
    let done = restore::run(&order, s3, manner, &mut |event| show(&mut progress, &event));
    done.and(progress.close())
}

fn show(progress: &mut Progress, event: &Event) {
    match event {
        Event::Note(note) => progress.note(note),
        Event::Plan(plan) => {
            log::line(|| report::plan(plan));
            progress.result(|| report::plan(plan), || report::plan_json(plan));
            progress.expect(
                plan.bytes,
                plan.rows.iter().filter(|row| row.needed).count(),
            );
        }
        Event::Thaw(step) => {
            let (text, news) = report::thaw(step);
            log::line(|| text.clone());
            match news {
                true => progress.note(&text),
                false => progress.draw(&text),
            }
        }
        Event::Sync(sync::Event::Done(step, receipt)) => {
            log::line(|| format!("received {}: {} bytes", shown(&step.path), receipt.bytes));
            let line = format!("received {} ({})\n", shown(&step.path), step.why);
            progress.received(step);
            progress.result(|| line, || json::step(step, Ok(receipt)));
        }
        Event::Sync(event) => progress.event(event),
        Event::Compared(words) => {
            log::line(|| (*words).to_owned());
            progress.result(|| format!("{words}\n"), || report::compared_json(words));
        }
        Event::Done(snapshot, target) => progress.result(
            || report::done(snapshot, target),
            || report::done_json(snapshot, target),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(words: &[&str]) -> Result<Task> {
        let all = ["--config", "/c", "--subvolume", "data", "--target", "/t"];
        match parse(all.iter().chain(words).map(OsString::from))? {
            (super::super::Task::Restore(task), _) => Ok(*task),
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
