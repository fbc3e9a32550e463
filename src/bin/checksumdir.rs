//! `checksumdir`: arguments, `main` and what it prints, nothing else.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program's main does

use buttersink::checksum::{
    self, Difference, List, Options, Outcome, Progress, Target, Written, list_of, name_of,
};
use buttersink::error::{Error, Result};
use buttersink::snapshot::shown;
use lexopt::prelude::*;
use serde_json::{Value as Json, json};
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

const HELP: &str = "\
checksumdir [-q] [-j N] [-o DIR | --stdout[=LIST]] [--links] [--xattrs] [--json] DIR...
checksumdir [-q] [-j N] [--links] [--xattrs] [--json] --check LIST... [DIR]
checksumdir [-q] [-j N] [--xattrs] [--json] --compare A B

Proves that two trees are the same. Writes NAME.ls, NAME.files and NAME.sha256sum for each DIR.

      --check           compare lists (NAME.sha256sum, .ls, .files, .links, .xattrs) to DIR now;
                        without DIR to the directory NAME beside them
      --compare         compare two trees directly
  -o, --output DIR      where to write; by default the working directory
      --stdout[=LIST]   write to standard output: all, or one of ls, files, sha256sum, links, xattrs
      --links           also the targets of symlinks, in NAME.links
      --xattrs          also extended attributes, in NAME.xattrs
      --json            print one line of JSON
  -j, --threads N       threads; by default as many as processors
  -q, --quiet           no progress; twice: no differences either, the exit status tells
  -h, --help            this text
  -V, --version         the version

Exit: 0 done, or the same; 1 something could not be read or written; 2 usage; 4 a difference.
";

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Write,
    Check,
    Compare,
}

impl Mode {
    fn or(self, other: Mode) -> std::result::Result<Mode, &'static str> {
        if self != Mode::Write && self != other {
            return Err("--check and --compare exclude each other");
        }
        Ok(other)
    }
}

fn threads(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("not a number from 1 to 1024".to_owned()),
    }
}

struct Arguments {
    mode: Mode,
    paths: Vec<PathBuf>,
    output: Option<PathBuf>,
    /// `--stdout`, and the list that it names.
    stdout: Option<Option<String>>,
    further: Vec<List>,
    json: bool,
    quiet: u8,
    options: Options,
}

/// What a run found, for the exit status.
#[derive(Default)]
struct End {
    errors: bool,
    differences: bool,
}

fn main() -> ExitCode {
    let end = parse().and_then(|wish| match wish {
        Ok(arguments) => run(&arguments),
        Err(text) => print(text.as_bytes()).map(|()| End::default()),
    });
    ExitCode::from(match end {
        Err(error) => {
            say(&error);
            error.exit_code()
        }
        Ok(End { errors: true, .. }) => 1,
        Ok(End {
            differences: true, ..
        }) => 4,
        Ok(_) => 0,
    })
}

fn say(error: &Error) {
    eprintln!("checksumdir: {error}");
}

fn usage(said: impl Into<String>) -> Error {
    Error::usage(
        "cannot start",
        format!("{}; see checksumdir --help", said.into()),
    )
}

/// What was asked for; help and version as the text to print.
fn parse() -> Result<std::result::Result<Arguments, String>> {
    let mut arguments = Arguments {
        mode: Mode::Write,
        paths: Vec::new(),
        output: None,
        stdout: None,
        further: Vec::new(),
        json: false,
        quiet: 0,
        options: Options::default(),
    };
    match arguments.read(&mut lexopt::Parser::from_env()) {
        Err(error) => Err(usage(error.to_string())),
        Ok(Some(text)) => Ok(Err(text)),
        Ok(None) => arguments.check().map(|()| Ok(arguments)),
    }
}

impl Arguments {
    /// Takes the command line in, and returns a text if that is all that was asked for.
    fn read(
        &mut self,
        parser: &mut lexopt::Parser,
    ) -> std::result::Result<Option<String>, lexopt::Error> {
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(Some(HELP.to_owned())),
                Short('V') | Long("version") => {
                    let version = env!("CARGO_PKG_VERSION");
                    return Ok(Some(format!("checksumdir {version}\n")));
                }
                Value(path) => self.paths.push(path.into()),
                Long("check") => self.mode = self.mode.or(Mode::Check)?,
                Long("compare") => self.mode = self.mode.or(Mode::Compare)?,
                Short('o') | Long("output") => self.output = Some(parser.value()?.into()),
                Long("stdout") => {
                    let list = parser.optional_value().map(ValueExt::string);
                    self.stdout = Some(list.transpose()?);
                }
                Long("links") => self.further.push(List::Links),
                Long("xattrs") => self.further.push(List::Xattrs),
                Long("json") => self.json = true,
                Short('q') | Long("quiet") => self.quiet = self.quiet.saturating_add(1),
                Short('j') | Long("threads") => {
                    self.options.threads = parser.value()?.parse_with(threads)?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(None)
    }

    /// What excludes what.
    fn check(&mut self) -> Result<()> {
        self.options.xattrs = self.further.contains(&List::Xattrs);
        let wanted = match self.mode {
            Mode::Compare if self.paths.len() != 2 => Some("--compare takes two directories"),
            Mode::Check if self.paths.is_empty() => Some("--check takes the lists to check"),
            Mode::Write if self.paths.is_empty() => Some("which directory?"),
            Mode::Write if self.output.is_some() && self.stdout.is_some() => {
                Some("-o and --stdout exclude each other")
            }
            Mode::Write if self.json && self.stdout.is_some() => {
                Some("--json and --stdout exclude each other")
            }
            Mode::Check | Mode::Compare if self.output.is_some() || self.stdout.is_some() => {
                Some("-o and --stdout are for writing lists")
            }
            _ => None,
        };
        if let Some(wanted) = wanted {
            return Err(usage(wanted));
        }
        let Some(Some(name)) = &self.stdout else {
            return Ok(());
        };
        match List::ALL.into_iter().find(|list| list.suffix() == name) {
            Some(list) => self.further.push(list),
            None if name == "sha256sum" => {}
            None => return Err(usage(format!("there is no list {name:?} for --stdout"))),
        }
        Ok(())
    }
}

fn run(arguments: &Arguments) -> Result<End> {
    let progress = Progress::default();
    let show = arguments.quiet == 0 && io::stderr().is_terminal();
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        if show {
            let progress = &progress;
            scope.spawn(move || {
                while stopped.recv_timeout(Duration::from_millis(200))
                    == Err(RecvTimeoutError::Timeout)
                {
                    eprint!("\r{}\x1b[K", status(progress));
                }
                eprint!("\r\x1b[K");
            });
        }
        let result = match arguments.mode {
            Mode::Write => write(arguments, &progress),
            Mode::Check => check(arguments, &progress),
            Mode::Compare => {
                let [a, b] = [&arguments.paths[0], &arguments.paths[1]];
                checksum::compare_trees(a, b, &arguments.options, &progress).map(Report::Outcome)
            }
        };
        drop(stop);
        result
    })
    .and_then(|report| report.print(arguments))
}

fn status(progress: &Progress) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "{} entries; {} of {} files, {} of {} MiB read",
        progress.entries.load(Relaxed),
        progress.files.load(Relaxed),
        progress.all_files.load(Relaxed),
        mib(progress.bytes.load(Relaxed)),
        mib(progress.all_bytes.load(Relaxed))
    )
}

/// What is to be told at the end.
enum Report {
    Outcome(Outcome),
    Written(Vec<Written>),
}

fn write(arguments: &Arguments, progress: &Progress) -> Result<Report> {
    let mut names: Vec<(OsString, &Path)> = Vec::new();
    for dir in &arguments.paths {
        let name = name_of(dir)?;
        if let Some((_, other)) = names.iter().find(|(there, _)| *there == name) {
            let doing = format!(
                "cannot write the lists of {} and {}",
                shown(other),
                shown(dir)
            );
            return Err(Error::usage(
                doing,
                "both have one name: run once for each, with -o DIR",
            ));
        }
        names.push((name, dir));
    }
    let mut written = Vec::new();
    let mut stdout = BufWriter::new(io::stdout().lock());
    for dir in &arguments.paths {
        let target = match (&arguments.stdout, &arguments.output) {
            (Some(only), _) => Target::Stream(&mut stdout, only.as_deref()),
            (None, Some(out)) => Target::Directory(out),
            (None, None) => Target::Directory(Path::new(".")),
        };
        let further = &arguments.further;
        written.push(checksum::write_lists(
            dir,
            further,
            target,
            &arguments.options,
            progress,
        )?);
    }
    Ok(Report::Written(written))
}

fn check(arguments: &Arguments, progress: &Progress) -> Result<Report> {
    let is_list = |path: &Path| {
        list_of(path).is_some() || path.extension().is_some_and(|suffix| suffix == "sha256sum")
    };
    let (mut files, mut dir) = (&arguments.paths[..], None);
    if let [rest @ .., last] = files
        && (!is_list(last) || last.is_dir())
    {
        (files, dir) = (rest, Some(last.clone()));
    }
    let mut lists = Vec::new();
    for file in files {
        match list_of(file) {
            Some(list) => lists.push((list, file.clone())),
            None if is_list(file) => lists.extend(checksum::read_sums(file)?),
            None => return Err(usage(format!("{} is no list by its name", shown(file)))),
        }
    }
    let Some(first) = files.first() else {
        return Err(usage("--check takes the lists to check"));
    };
    for list in &arguments.further {
        let file = first.with_extension(list.suffix());
        if !lists.iter().any(|(there, _)| there == list) {
            lists.push((*list, file));
        }
    }
    let dir = dir.unwrap_or_else(|| first.with_extension(""));
    checksum::check(&lists, &dir, &arguments.options, progress).map(Report::Outcome)
}

impl Report {
    fn print(self, arguments: &Arguments) -> Result<End> {
        let (errors, differences): (Vec<Error>, &[Difference]) = match &self {
            Report::Outcome(outcome) => (outcome.errors.clone(), &outcome.differences),
            Report::Written(trees) => (
                trees.iter().flat_map(|tree| tree.errors.clone()).collect(),
                &[],
            ),
        };
        errors.iter().for_each(say);
        if arguments.json {
            let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
            let mut line = json!({"version": 1, "errors": texts});
            match &self {
                Report::Outcome(outcome) => {
                    line["same"] = (outcome.differences.is_empty() && errors.is_empty()).into();
                    line["differences"] = json!(outcome.differences);
                }
                Report::Written(trees) => line["trees"] = trees.iter().map(tree).collect(),
            }
            print(format!("{line}\n").as_bytes())?;
        } else if arguments.quiet < 2 {
            let mut out = BufWriter::new(io::stdout().lock());
            let lines = differences
                .iter()
                .try_for_each(|difference| writeln!(out, "{difference}"));
            lines.and_then(|()| out.flush()).map_err(unprinted)?;
        }
        Ok(End {
            errors: !errors.is_empty(),
            differences: !differences.is_empty(),
        })
    }
}

fn tree(written: &Written) -> Json {
    json!({
        "name": written.name,
        "entries": written.entries,
        "files": written.files,
        "sha256": written.sha256.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(unprinted)
}

fn unprinted(error: io::Error) -> Error {
    Error::io("cannot write to standard output", error)
}
