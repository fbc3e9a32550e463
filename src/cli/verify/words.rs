//! The words after `buttersink verify` into values.

use crate::cli::options::Options;
use crate::cli::{wrong, wrong_words};
use crate::error::Result;
use crate::proof::Depth;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Options of other commands that mean the same here.
const SHARED: &[&str] = &[
    "--json",
    "-q",
    "--quiet",
    "-l",
    "--logfile",
    "--full-speed",
    "--compressed-data",
    "--bwlimit",
    "--ssh-command",
    "--ssh-option",
    "--remote-sudo",
    "--remote-command",
    "--endpoint-url",
    "--region",
    "--profile",
    "--s3-quirks",
    "-j",
    "--concurrency",
];

/// What is to be verified, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Task {
    pub(super) what: What,
    pub(super) depth: Depth,
    pub(super) against: Option<OsString>,
    pub(super) content: bool,
    /// Only what changed since the parent of each.
    pub(super) changed: bool,
    pub(super) drill: Option<Drill>,
    /// A number of requests was given.
    pub(super) concurrency: bool,
}

/// How a drill is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Drill {
    /// How many chains of each store.
    pub(super) sample: Option<usize>,
    /// Where the streams are received; `None` to rehearse them.
    pub(super) scratch: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    Location(OsString),
    /// The archives of a configuration file.
    Config(PathBuf),
}

/// The words after `verify`; `None` if help was asked for.
pub(in crate::cli) fn parse(
    parser: &mut lexopt::Parser,
    options: &mut Options,
) -> Result<Option<Task>> {
    let (mut quick, mut download, mut content, mut changed) = (false, false, false, false);
    let (mut against, mut config, mut locations) = (None, None, Vec::new());
    let (mut concurrency, mut is_drill, mut sample, mut scratch) = (false, false, None, None);
    while let Some(argument) = parser.next().map_err(wrong)? {
        let name = match argument {
            Arg::Value(word) => {
                locations.push(word);
                continue;
            }
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
        };
        match name.as_str() {
            "-h" | "--help" => return Ok(None),
            "--quick" => quick = true,
            "--download" => download = true,
            "--content" => content = true,
            "--changed" => changed = true,
            "--drill" => is_drill = true,
            "--sample" => sample = Some(number(&parser.value().map_err(wrong)?)?),
            "--scratch" => scratch = Some(parser.value().map_err(wrong)?.into()),
            "--against" => against = Some(parser.value().map_err(wrong)?),
            "--config" => config = Some(parser.value().map_err(wrong)?),
            name if SHARED.contains(&name) => {
                concurrency |= matches!(name, "-j" | "--concurrency");
                options.set(name, parser)?;
            }
            name => return Err(wrong_words(&format!("'verify' has no option {name}"))),
        }
    }
    let what = match (locations.pop(), config) {
        (Some(location), None) if locations.is_empty() => What::Location(location),
        (None, Some(_)) if against.is_some() => {
            return Err(wrong_words(
                "--against goes with a location, not with --config",
            ));
        }
        (None, Some(file)) => What::Config(file.into()),
        _ => return Err(wrong_words("'verify' takes one location, or --config FILE")),
    };
    if quick && download {
        return Err(wrong_words("--quick and --download exclude each other"));
    }
    if content && against.is_none() {
        return Err(wrong_words("--content needs --against OTHER"));
    }
    if changed && !content {
        return Err(wrong_words("--changed needs --content"));
    }
    let drill = match (is_drill, scratch) {
        (true, scratch) => Some(Drill { sample, scratch }),
        (false, scratch) if scratch.is_some() || sample.is_some() => {
            return Err(wrong_words("--sample and --scratch go with --drill"));
        }
        _ => None,
    };
    let depth = match download {
        true => Depth::Download,
        false => Depth::Quick,
    };
    Ok(Some(Task {
        what,
        depth,
        against,
        content,
        changed,
        drill,
        concurrency,
    }))
}

fn number(word: &OsStr) -> Result<usize> {
    let number = word.to_str().and_then(|text| text.parse().ok());
    number
        .filter(|&number| number > 0)
        .ok_or_else(|| wrong_words("--sample takes a number of chains, 1 or more"))
}

/// Whether these words are about this command.
pub(in crate::cli) fn is_meant(word: &OsStr) -> bool {
    word == "verify"
}
