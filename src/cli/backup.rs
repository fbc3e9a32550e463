//! The command line of `buttersink backup`: words into an order, and the order shown while it runs.

use super::Task;
use super::help;
use super::means::means;
use super::options::Options;
use super::values::age;
use crate::backup;
use crate::backup::oneshot::{self, Order};
use crate::backup::retention::Policy;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::snapshot::shown;
use crate::store::Location;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What `backup --help` prints.
pub(super) const HELP: &str = concat!(
    "\
buttersink backup makes a snapshot of a subvolume, brings it to every destination, and lets old
ones go.

usage: buttersink backup [options] SUBVOLUME DEST...
       buttersink backup [options] --config FILE

  SUBVOLUME  a mounted btrfs subvolume; snapshots are made in SUBVOLUME/snapshot/, if anything
             changed since the last one
  DEST       a directory for its snapshots: [btrfs://|file://]/path/to/directory/
             ssh://[user@]host[:port]/path/to/directory/
             s3://bucket/prefix/
  FILE       an absolute path; what is due of the backups in it is done: see buttersink.conf(5)

options:
  -n, --dry-run          show what would be done, and do nothing
      --always           make a snapshot even if nothing changed
      --whole            send it whole, and not as the difference from another
      --config FILE      the scheduled backups that this file describes
      --subvolume NAME   with --config: only the backups of this name (may be repeated)
      --once             with --config: make a backup even if none is due
      --no-s3            with --config: make the snapshot only, and send nothing
      --log-level LEVEL  with --config: debug, info, warning, error or critical
      --keep POLICY      keep at each DEST the newest of so many hours, days, weeks, months and
                         years: '24h 7d 4w 12m 2y'
      --num-backups N    keep at each DEST the newest N
      --keep-min AGE     keep at each DEST, whatever the others say, what arrived since: 12h, 30d, 2w
      --num-snapshots N  keep in SUBVOLUME/snapshot/ the newest N
      --latest-only      keep in SUBVOLUME/snapshot/ only the newest
      --compare          read what arrived, on both sides, before it counts as sent
      --require-mount    refuse a DEST on this machine that no filesystem is mounted for
      --snapshot-folder DIR
                         DIR instead of 'snapshot', relative to SUBVOLUME
      --snapshot-prefix PREFIX
                         names of snapshots begin with PREFIX
  -d, --debug            the debug log on standard error
",
    help::common!(),
    "      --compressed-data  send compressed extents as they are
      --receive-with WAY how btrfs filesystems receive: 'builtin', or 'btrfs' (if it is there)
",
    help::ssh!(),
    "      --bwlimit RATE     send no faster: KiB per second, or with a unit: 500, 10M
",
    help::s3!(),
    "  -h, --help             show this help

",
    help::exit_status!(),
);

/// Options of other commands that mean nothing here.
const FOREIGN: &[&str] = &["--delete", "-e", "--estimate", "--exclude", "--resend"];

/// What follows the word `backup`.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Task, Options)> {
    let mut order = Order {
        subvolume: PathBuf::new(),
        folder: "snapshot".into(),
        prefix: OsString::new(),
        destinations: Vec::new(),
        source_keeps: Policy::default(),
        dest_keeps: Policy::default(),
        always: false,
        whole: false,
        require_mount: false,
        compare: false,
        dry_run: false,
        max_chain: 0,
    };
    let (mut words, mut options) = (Vec::new(), Options::new());
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(word) => {
                words.push(word);
                continue;
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "-h" | "--help" => return Ok((Task::BackupHelp, options)),
            "-d" | "--debug" => options.logfile = Some("/dev/stderr".into()),
            name if FOREIGN.contains(&name) => {
                return Err(usage(&format!("a backup has no option {name}")));
            }
            name if set(&mut order, name, &mut parser)? => {}
            name => options.set(name, &mut parser)?,
        }
    }
    if order.dest_keeps.least.is_some() && order.dest_keeps.keeps_all() {
        return Err(usage("--keep-min comes with --keep or --num-backups"));
    }
    (order.dry_run, order.max_chain) = (options.dry_run, options.max_chain);
    order.compare = options.compare;
    locations(&mut order, words)?;
    Ok((Task::Backup(Box::new(order)), options))
}

/// Takes an option that only backups have; whether it is one.
fn set(order: &mut Order, name: &str, parser: &mut lexopt::Parser) -> Result<bool> {
    match name {
        "--always" => order.always = true,
        "--whole" => order.whole = true,
        "--require-mount" => order.require_mount = true,
        "--latest-only" => order.source_keeps.newest = Some(1),
        "--num-snapshots" => order.source_keeps.newest = Some(count(&value(parser)?)?),
        "--num-backups" => order.dest_keeps.newest = Some(count(&value(parser)?)?),
        "--keep" => {
            let text = value(parser)?;
            order.dest_keeps.periods = Policy::parse(&text.to_string_lossy())?.periods;
        }
        "--keep-min" => order.dest_keeps.least = Some(age(&value(parser)?)?),
        "--snapshot-folder" => order.folder = value(parser)?.into(),
        "--snapshot-prefix" => order.prefix = value(parser)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn locations(order: &mut Order, words: Vec<OsString>) -> Result<()> {
    let mut words = words.into_iter();
    match words.next() {
        Some(subvolume) => order.subvolume = subvolume.into(),
        None => return Err(usage("it names no SUBVOLUME")),
    }
    for word in words {
        let place = Location::directory(&word)?.place;
        if order.destinations.contains(&place) {
            return Err(usage(&format!("it names {place} twice")));
        }
        order.destinations.push(place);
    }
    if order.destinations.is_empty() {
        return Err(usage("it names no DEST: SUBVOLUME DEST…"));
    }
    Ok(())
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString> {
    parser.value().map_err(wrong)
}

fn count(text: &OsStr) -> Result<usize> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.filter(|&number| number > 0).ok_or_else(|| {
        let doing = format!("cannot keep '{}' snapshots", shown(text));
        Error::usage(doing, "it is a number of at least 1")
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: lexopt::Error) -> Error {
    usage(&error.to_string())
}

fn usage(said: &str) -> Error {
    let said = format!("{said} (see buttersink backup --help)");
    Error::usage("cannot understand the command line", said)
}

/// Carries out an order.
pub(super) fn run(order: &Order, options: &Options) -> Result<()> {
    let mut progress = Progress::new(options.verbosity, options.json);
    let (now, remark) = backup::local_now();
    if let Some(remark) = remark {
        progress.note(remark);
    }
    let done = oneshot::run(order, &means(options), &now, &mut |event| {
        progress.hear(&event);
    });
    done.and(progress.close())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(words: &[&str]) -> Result<Order> {
        match parse(words.iter().map(OsString::from))? {
            (Task::Backup(order), _) => Ok(*order),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_old_programs_words() {
        let order = order(&[
            "--latest-only",
            "--num-backups",
            "5",
            "--snapshot-folder",
            "s",
            "--snapshot-prefix",
            "p",
            "-d",
            "/home",
            "/b",
        ])
        .unwrap();
        assert_eq!(
            (order.source_keeps.newest, order.dest_keeps.newest),
            (Some(1), Some(5))
        );
        assert_eq!(
            (order.folder.to_str(), order.prefix.to_str()),
            (Some("s"), Some("p"))
        );
        assert_eq!(order.destinations.len(), 1);
    }

    #[test]
    fn wrong_words_are_usage() {
        for words in [
            &[][..],
            &["/a"],
            &["--num-backups", "0", "/a", "/b"],
            &["--keep", "x", "/a", "/b"],
            &["--keep-min", "30d", "/a", "/b"],
            &["--keep", "7d", "--keep-min", "30", "/a", "/b"],
            &["--delete", "/a", "/b"],
            &["--num-snapshots", "-1", "/a", "/b"],
            &["/a", "ftp://x/"],
            &["/a", "/b", "/b"],
        ] {
            assert_eq!(order(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
