//! What the programs can be told, for whoever writes it down elsewhere: completions, man pages, tests.
//! Parses nothing.

use super::grammar::{Name, Program, Takes};
use super::{btrfslist, checksumdir, table};

/// A command, in one of the ways in which it is used.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The command as it is typed; empty where a program has but one.
    pub command: &'static str,
    /// What the command does, in a few words.
    pub about: &'static str,
    /// The option that chooses this way to use it, if it is not the usual one.
    pub when: Option<&'static str>,
    /// The options that it has.
    pub options: Vec<Name>,
}

/// A program, and everything that it can be told.
#[derive(Clone, Debug)]
pub struct Described {
    /// What it is called.
    pub name: &'static str,
    /// The options of the program itself.
    pub own: Vec<Name>,
    /// Its commands. A group of commands has no options but `--help`.
    pub offers: Vec<Offer>,
}

/// All programs.
pub fn programs() -> Vec<Described> {
    vec![
        described(&table::PROGRAM),
        described(&btrfslist::PROGRAM),
        described(&checksumdir::PROGRAM),
    ]
}

fn described<O, F: Copy + PartialEq>(program: &Program<O, F>) -> Described {
    let mut offers = Vec::new();
    for command in program.commands {
        let ways = command
            .usages
            .iter()
            .map(|usage| (Some(usage.form), usage.when));
        let group = command.usages.is_empty().then_some((None, None));
        for (form, when) in ways.chain(group) {
            let all = program.options().filter(|option| match option.takes {
                Takes::Help | Takes::Version => command.has(option),
                _ => form.is_some_and(|form| option.of.contains(&form)),
            });
            offers.push(Offer {
                command: command.name,
                about: command.about,
                when,
                options: all.map(|option| option.name).collect(),
            });
        }
    }
    let own = program
        .options()
        .filter(|o| matches!(o.takes, Takes::Help | Takes::Version));
    Described {
        name: program.name,
        own: own.map(|option| option.name).collect(),
        offers,
    }
}
