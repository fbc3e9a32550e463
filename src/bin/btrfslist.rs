//! `btrfslist`: arguments and `main`, nothing else.

use buttersink::error::{Error, Result};
use buttersink::list::View;
use buttersink::report::print;
use buttersink::snapshot::shown;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Usage: btrfslist [--tree] [--json] [--sizes] DIR

Shows the btrfs filesystem that DIR is on: its UUID, devices and sizes, and then every subvolume
with its number, tree level, generation, total and exclusive size, read-only flag, state (below DIR),
UUID, the UUID and generation of what it is a snapshot of and of what it was received from, its
path from the top of the filesystem, and every place where it is mounted. Unknown is shown as '-'.

  --sizes        compute the sizes by reading the extents of all files; counts data only, needs no
                 quotas, and takes time. Without it, sizes are shown only if quotas are on and right
  --tree         show snapshots below what they are snapshots of
  --json         print one JSON object; sizes are bytes, unknown is null, and in paths '%' and
                 bytes that are not UTF-8 are written as %XX
  -h, --help     print this help
  -V, --version  print the version

Root sees everything. Others see the subvolumes below DIR that they may enter, without sizes and
levels, and are told so on standard error. Quotas are never turned on.

exit status:
  0    all shown
  1    failed
  2    usage
";

struct Wish {
    dir: OsString,
    tree: bool,
    json: bool,
    sizes: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.lines().lines().for_each(say);
            error.exit_code().into()
        }
    }
}

/// Where nobody can be told, the exit status still tells.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "btrfslist: {text}");
}

fn run() -> Result<()> {
    let Some(wish) = wish(lexopt::Parser::from_env())? else {
        return Ok(());
    };
    let view = View::read(Path::new(&wish.dir), wish.sizes)?;
    for note in view.notes() {
        say(note);
    }
    match wish.json {
        true => print(&(view.json()? + "\n")),
        false => print(&view.text(wish.tree)),
    }
}

/// What is wished for; `None` if it was help or the version, and is done.
fn wish(mut words: lexopt::Parser) -> Result<Option<Wish>> {
    use lexopt::Arg::{Long, Short, Value};
    let (mut dir, mut tree, mut json, mut sizes) = (None, false, false, false);
    while let Some(word) = words.next().map_err(|error| usage(&error.to_string()))? {
        match word {
            Short('h') | Long("help") => return print(HELP).map(|()| None),
            Short('V') | Long("version") => {
                return print(concat!("btrfslist ", env!("CARGO_PKG_VERSION"), "\n"))
                    .map(|()| None);
            }
            Long("tree") => tree = true,
            Long("json") => json = true,
            Long("sizes") => sizes = true,
            Value(word) if dir.is_none() => dir = Some(word),
            Value(word) => return Err(usage(&format!("one DIR only; what is {}?", shown(word)))),
            other => return Err(usage(&other.unexpected().to_string())),
        }
    }
    if tree && json {
        return Err(usage(
            "--tree is for people; with --json, parent_uuid tells the same",
        ));
    }
    let dir = dir.ok_or_else(|| usage("no DIR given"))?;
    Ok(Some(Wish {
        dir,
        tree,
        json,
        sizes,
    }))
}

fn usage(wrong: &str) -> Error {
    Error::usage("usage", format!("{wrong} (btrfslist --help tells more)"))
}
