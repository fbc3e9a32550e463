//! `btrfslist`: its command line, and what it prints.

use super::grammar::{Command, Opt, Program, Section, Usage, usage};
use super::parse::Understood;
use super::say;
use crate::error::Result;
use crate::list::{TableLook, View};
use crate::report::{Screen, print};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// What is wished for.
#[derive(Default)]
pub(super) struct ListWish {
    look: TableLook,
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
        usages: &[Usage::of((), "[options] DIR", (1, 1))],
        text: "\
Of the filesystem that DIR is on it shows UUID, devices and sizes, and then every subvolume with its
number, tree level, generation, total and exclusive size, read-only flag, state (below DIR), UUID,
the UUID and generation of what it is a snapshot of and of what it was received from, its path from
the top of the filesystem, and every place where it is mounted. Unknown is shown as '-'. A terminal
gets the columns that it has room for, the name first, and --sizes draws exclusive and shared as bars.

Root sees everything. Others see the subvolumes below DIR that they may enter, without sizes and
levels, and are told so on standard error. Quotas are never turned on.
",
        examples: &[],
        exit: &[
            (0, "all shown"),
            (1, "failed"),
            (2, "usage"),
            (10, "shown, but not all there are, or not the sizes of all"),
        ],
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
            Row::flag("tree", |w| w.look.tree = true)
                .help("show snapshots below what they are snapshots of")
                .of(&[()]),
            Row::value("columns", "NAMES", |w, v| {
                let names = v.text()?;
                w.look.columns.extend(names.split(',').map(str::to_lowercase));
                Ok(())
            })
            .short('o')
            .help("show these columns, by their titles: name,total,uuid")
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
            say(PROGRAM.name, &error.lines());
            error.exit_code().into()
        }
    }
}

fn run(asked: Understood<ListWish, ()>) -> Result<()> {
    let (words, mut wish) = match asked {
        Understood::Text(text) => return print(&text),
        Understood::Run((), words, wish) => (words, wish),
    };
    if wish.json && (wish.look.tree || !wish.look.columns.is_empty()) {
        let said = "--tree and -o are for people; with --json, parent_uuid tells the same";
        return Err(usage("btrfslist", said));
    }
    wish.look.check()?;
    wish.look.screen = Screen::output();
    let view = View::read(Path::new(&words[0]), wish.sizes)?;
    for note in view.notes() {
        say(PROGRAM.name, note);
    }
    match wish.json {
        true => print(&(view.json()? + "\n")),
        false => print(&view.text(&wish.look)),
    }?;
    view.must_be_whole()
}
