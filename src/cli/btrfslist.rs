//! `btrfslist`: its command line, and what it prints.

use super::grammar::{Command, Opt, Program, Section, Usage, usage};
use super::parse::Understood;
use crate::error::Result;
use crate::list::View;
use crate::report::print;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// What is wished for.
#[derive(Default)]
pub(super) struct ListWish {
    tree: bool,
    json: bool,
    sizes: bool,
}

type Row = Opt<ListWish, ()>;

pub(super) const PROGRAM: Program<ListWish, ()> = Program {
    name: "btrfslist",
    about: "",
    commands: &[Command {
        name: "",
        about: "shows all subvolumes of a btrfs filesystem in detail",
        usages: &[Usage {
            form: (),
            when: None,
            words: "[options] DIR",
            count: (1, 1),
        }],
        text: "\
Of the filesystem that DIR is on it shows UUID, devices and sizes, and then every subvolume with its
number, tree level, generation, total and exclusive size, read-only flag, state (below DIR), UUID,
the UUID and generation of what it is a snapshot of and of what it was received from, its path from
the top of the filesystem, and every place where it is mounted. Unknown is shown as '-'.

Root sees everything. Others see the subvolumes below DIR that they may enter, without sizes and
levels, and are told so on standard error. Quotas are never turned on.
",
        examples: &[],
        exit: &[(0, "all shown"), (1, "failed"), (2, "usage")],
    }],
    sections: &[Section {
        title: "options",
        options: &[
            Row::flag("sizes", |w| w.sizes = true)
                .help(
                    "compute the sizes by reading the extents of all files; counts data only, needs \
                     no quotas, and takes time. Without it, sizes are shown only if quotas are on and \
                     right",
                )
                .of(&[()]),
            Row::flag("tree", |w| w.tree = true)
                .help("show snapshots below what they are snapshots of")
                .of(&[()]),
            Row::flag("json", |w| w.json = true)
                .help(
                    "print one JSON object; sizes are bytes, unknown is null, and in paths '%' and \
                     bytes that are not UTF-8 are written as %XX",
                )
                .of(&[()]),
            Row::for_help(),
            Row::for_version(),
        ],
    }],
    implied: |_| Some(""),
};

/// Runs `btrfslist` with these arguments (without the program's name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match PROGRAM.read(arguments).and_then(run) {
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

fn run(asked: Understood<ListWish, ()>) -> Result<()> {
    let (words, wish) = match asked {
        Understood::Text(text) => return print(&text),
        Understood::Run((), words, wish) => (words, wish),
    };
    if wish.tree && wish.json {
        let said = "--tree is for people; with --json, parent_uuid tells the same";
        return Err(usage("btrfslist", said));
    }
    let view = View::read(Path::new(&words[0]), wish.sizes)?;
    for note in view.notes() {
        say(note);
    }
    match wish.json {
        true => print(&(view.json()? + "\n")),
        false => print(&view.text(wish.tree)),
    }
}
