//! `checksumdir`: arguments, `main` and what it prints, nothing else.

use buttersink::checksum::{
    List, Options, Progress, Report, Target, Wanted, Written, check, compare_trees, names_of,
    write_lists,
};
use buttersink::error::{Error, Result};
use buttersink::report::print;
use buttersink::sys::catch_signals;
use lexopt::prelude::*;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

const HELP: &str = "\
checksumdir shows whether two directory trees are the same.

usage: checksumdir [options] DIR...                   write NAME.ls, NAME.files, NAME.sha256sum
       checksumdir [options] --check LIST... [DIR]    compare lists with DIR as it is now
       checksumdir [options] --compare A B            compare two trees directly

options:
      --check                  LIST is NAME.sha256sum, .ls, .files, .links or .xattrs; without DIR,
                               the directory NAME beside the first LIST is meant
      --compare                compare attributes and bytes, without hashing
  -o, --output DIR             where to write; by default the working directory
      --stdout, --stdout=LIST  write to standard output: all lists, or one of ls, files, sha256sum,
                               links, xattrs
      --links                  also the targets of symlinks, in NAME.links
      --xattrs                 also extended attributes, in NAME.xattrs
      --json                   results as JSON, in one line
  -j, --threads N              threads that read; by default as many as processors
  -q, --quiet                  once: no progress; twice: no differences either, just a status
  -h, --help                   show this help
  -V, --version                show the version

exit status:
  0    lists written, or no difference
  1    something could not be read or written
  2    usage
  4    a difference, or a list that its .sha256sum was not made for
  130  interrupted, nothing left half written
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

fn main() -> ExitCode {
    let code = parse().and_then(|wish| match wish {
        Ok(arguments) => run(&arguments),
        Err(text) => print(&text).map(|()| 0),
    });
    ExitCode::from(code.unwrap_or_else(|error| {
        say(&error);
        error.exit_code()
    }))
}

fn say(error: &Error) {
    // Where nobody can be told, the exit status still tells.
    for line in error.lines().lines() {
        let _ = writeln!(io::stderr(), "checksumdir: {line}");
    }
}

fn usage(said: &str) -> Error {
    Error::usage(
        "cannot understand the command line",
        format!("{said} (see checksumdir --help)"),
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
        Err(error) => Err(usage(&error.to_string())),
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
            None => return Err(usage(&format!("there is no list {name:?} for --stdout"))),
        }
        Ok(())
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    catch_signals();
    let progress = Progress::default();
    let report = with_progress(arguments, &progress, || match arguments.mode {
        Mode::Write => write(arguments, &progress).map(Report::Written),
        Mode::Check => {
            let Wanted { lists, dir } = Wanted::from_words(&arguments.paths, &arguments.further)?;
            check(&lists, &dir, &arguments.options, &progress).map(Report::Outcome)
        }
        Mode::Compare => {
            let [a, b] = [&arguments.paths[0], &arguments.paths[1]];
            compare_trees(a, b, &arguments.options, &progress).map(Report::Outcome)
        }
    })?;
    report.errors().into_iter().for_each(say);
    if arguments.json {
        print(&report.json())?;
    } else if arguments.quiet < 2 {
        print(&report.text())?;
    }
    Ok(report.exit_code())
}

/// Does the work, and shows meanwhile how far it has come if standard error is a terminal.
fn with_progress<T>(arguments: &Arguments, progress: &Progress, work: impl FnOnce() -> T) -> T {
    const REDRAW: Duration = Duration::from_millis(200);
    if arguments.quiet > 0 || !io::stderr().is_terminal() {
        return work();
    }
    // A terminal that is gone is no reason to stop.
    let draw = |text: &str| drop(write!(io::stderr().lock(), "\r\x1b[K{text}"));
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                draw(&progress.to_string());
                if stopped.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
                    return draw("");
                }
            }
        });
        let result = work();
        drop(stop);
        result
    })
}

fn write(arguments: &Arguments, progress: &Progress) -> Result<Vec<Written>> {
    names_of(&arguments.paths)?; // refused before anything is written
    let mut stdout = BufWriter::new(io::stdout().lock());
    let write = |dir: &PathBuf| {
        let target = match (&arguments.stdout, &arguments.output) {
            (Some(only), _) => Target::Stream(&mut stdout, only.as_deref()),
            (None, Some(out)) => Target::Directory(out),
            (None, None) => Target::Directory(Path::new(".")),
        };
        let further = &arguments.further;
        write_lists(dir, further, target, &arguments.options, progress)
    };
    arguments.paths.iter().map(write).collect()
}
