//! `checksumdir`: its command line, and what it prints.

use super::grammar::Hint::{Directory, OneOf};
use super::grammar::{Command, Opt, Program, Section, Usage, usage};
use super::parse::Understood;
use super::say;
use crate::checksum::{
    self, List, ListFile, ListTarget, Report, Wanted, WorkCounters, Written, check, compare_trees,
    names_of, write_lists,
};
use crate::error::{Kind, Result};
use crate::report::print;
use crate::sys::catch_signals;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What it can be told to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Mode {
    Write,
    Check,
    Compare,
}

#[derive(Default)]
pub(super) struct Options {
    check: bool,
    compare: bool,
    output: Option<PathBuf>,
    /// `--stdout`, and the list that it names.
    stdout: Option<Option<ListFile>>,
    further: Vec<List>,
    json: bool,
    quiet: u8,
    threads: Option<usize>,
}

type Row = Opt<Options, Mode>;

const ALL: &[Mode] = &[Mode::Write, Mode::Check, Mode::Compare];

pub(super) const PROGRAM: Program<Options, Mode> = Program {
    name: "checksumdir",
    about: "",
    commands: &[Command {
        name: "",
        about: "shows whether two directory trees are the same",
        usages: &[
            Usage::of(Mode::Write, "[options] DIR...", (1, usize::MAX)),
            Usage::when("check", Mode::Check, "[options] --check LIST... [DIR]", (1, usize::MAX)),
            Usage::when("compare", Mode::Compare, "[options] --compare A B", (2, 2)),
        ],
        text: "\
It writes lists of each DIR, NAME.ls, NAME.files and NAME.sha256sum; compares lists with DIR as it is
now; or compares two trees directly.
",
        examples: &["checksumdir /srv/data", "checksumdir --check data.sha256sum /mnt/copy", "checksumdir --compare /srv/data /mnt/copy"],
        exit: &[
            (0, "lists written, or no difference"),
            (1, "something could not be read or written"),
            (2, "usage"),
            (4, "a difference, or a list that its .sha256sum was not made for"),
            (130, "interrupted, nothing left half written"),
        ],
    }],
    sections: &[Section {
        title: "options",
        options: &[
            Row::flag("check", |o| o.check = true)
                .help(
                    "LIST is NAME.sha256sum, .ls, .files, .links or .xattrs; without DIR, the \
                     directory NAME beside the first LIST is meant",
                )
                .of(&[Mode::Check]),
            Row::flag("compare", |o| o.compare = true)
                .help("compare attributes and bytes, without hashing")
                .of(&[Mode::Compare]),
            Row::value("output", "DIR", |o, v| v.path().map(|p| o.output = Some(p)))
                .short('o')
                .hint(Directory)
                .help("where to write; by default the working directory")
                .of(&[Mode::Write]),
            Row::maybe("stdout", "LIST", |o, v| {
                o.stdout = Some(v.map(|v| v.one_of(ListFile::WORDS)).transpose()?);
                Ok(())
            })
            .hint(OneOf(&["ls", "files", "sha256sum", "links", "xattrs"]))
            .help(
                "write to standard output: all lists, or one of ls, files, sha256sum, links, xattrs",
            )
            .of(&[Mode::Write]),
            Row::flag("links", |o| o.further.push(List::Links))
                .help("also the targets of symlinks, in NAME.links")
                .of(&[Mode::Write, Mode::Check]),
            Row::flag("xattrs", |o| o.further.push(List::Xattrs))
                .help("also extended attributes, in NAME.xattrs")
                .of(ALL),
            Row::flag("json", |o| o.json = true)
                .help("results as JSON, in one line")
                .of(ALL),
            Row::value("threads", "N", |o, v| v.up_to(1024).map(|n| o.threads = Some(n)))
                .short('j')
                .help("threads that read; by default as many as processors")
                .of(ALL),
            Row::flag("quiet", |o| o.quiet = o.quiet.saturating_add(1))
                .short('q')
                .help("once: no progress; twice: no differences either, just a status")
                .of(ALL),
            Row::for_help(),
            Row::for_version(),
        ],
    }],
    implied: |_| Some(""),
};

/// Runs `checksumdir` with these arguments (without the program's name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let asked = PROGRAM.read(arguments);
    let code = asked.and_then(|asked| match asked {
        Understood::Text(text) => print(&text).map(|()| 0),
        Understood::Run(mode, words, options) => run(mode, words, options),
    });
    ExitCode::from(code.unwrap_or_else(|error| {
        say(PROGRAM.name, &error.lines());
        error.exit_code()
    }))
}

fn run(mode: Mode, words: Vec<OsString>, mut options: Options) -> Result<u8> {
    catch_signals();
    let paths: Vec<PathBuf> = words.into_iter().map(PathBuf::from).collect();
    let mut how = checksum::ChecksumOptions {
        xattrs: options.further.contains(&List::Xattrs),
        ..checksum::ChecksumOptions::default()
    };
    how.threads = options.threads.unwrap_or(how.threads);
    let progress = WorkCounters::default();
    let report = match mode {
        Mode::Write => {
            choose_lists(&mut options)?;
            with_progress(&options, &progress, || {
                write(&paths, &options, &how, &progress).map(Report::Written)
            })
        }
        Mode::Check => with_progress(&options, &progress, || {
            let Wanted { lists, dir } = Wanted::from_words(&paths, &options.further)?;
            check(&lists, &dir, &how, &progress).map(Report::Outcome)
        }),
        Mode::Compare => with_progress(&options, &progress, || {
            compare_trees(&paths[0], &paths[1], &how, &progress).map(Report::Outcome)
        }),
    }?;
    for error in report.errors() {
        say(PROGRAM.name, &error.lines());
    }
    if options.json {
        print(&report.json())?;
    } else if options.quiet < 2 {
        print(&report.text())?;
    }
    Ok(report.exit_code())
}

/// What excludes what, and the list that only standard output wants.
fn choose_lists(options: &mut Options) -> Result<()> {
    let refused = |said: &str| Err(usage("checksumdir", said));
    match &options.stdout {
        None => return Ok(()),
        Some(_) if options.output.is_some() => {
            return refused("-o and --stdout exclude each other");
        }
        Some(_) if options.json => return refused("--json and --stdout exclude each other"),
        Some(Some(ListFile::Of(list))) => options.further.push(*list),
        Some(_) => {}
    }
    Ok(())
}

/// Does the work, and shows meanwhile how far it has come if standard error is a terminal.
fn with_progress<T>(options: &Options, progress: &WorkCounters, work: impl FnOnce() -> T) -> T {
    const REDRAW: Duration = Duration::from_millis(200);
    if options.quiet > 0 || !io::stderr().is_terminal() {
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

fn write(
    paths: &[PathBuf],
    options: &Options,
    how: &checksum::ChecksumOptions,
    progress: &WorkCounters,
) -> Result<Vec<Written>> {
    names_of(paths)?; // refused before anything is written
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut write = |dir: &PathBuf| {
        let target = match (&options.stdout, &options.output) {
            (Some(only), _) => ListTarget::Stream(&mut stdout, *only),
            (None, Some(out)) => ListTarget::Directory(out),
            (None, None) => ListTarget::Directory(Path::new(".")),
        };
        write_lists(dir, &options.further, target, how, progress)
    };
    let apart = paths.len() > 1 && options.stdout.is_none();
    let written = |dir| match write(dir) {
        // One that cannot be read, or written, keeps nobody from the others.
        Err(error) if apart && error.kind == Kind::Failed => Ok(Written::not(dir, error)),
        done => done,
    };
    paths.iter().map(written).collect()
}
