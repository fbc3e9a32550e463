//! What a command line may say: programs, their commands, and options with all that is known of them.
//! Parsing, help, completions and refusals follow from this. Knows no command and no option by name.

mod usages;

use crate::error::{Error, Result};
use std::ffi::OsString;
pub(super) use usages::Usage;

/// A program, and everything that its command line may say. `F` names what it can be told to do, and
/// `O` is where options are put.
pub(super) struct Program<O: 'static, F: 'static> {
    pub(super) name: &'static str,
    /// What its help says before the commands, if it has several.
    pub(super) about: &'static str,
    pub(super) commands: &'static [Command<F>],
    pub(super) sections: &'static [Section<O, F>],
    /// The command that so many words mean if none is named.
    pub(super) implied: fn(usize) -> Option<&'static str>,
}

/// Something that a program can be told to do. One without usages is a group of others.
pub(super) struct Command<F: 'static> {
    /// As it is typed; empty where a program has but one.
    pub(super) name: &'static str,
    /// What it does, in a few words that follow its name: `lists the snapshots at a location`.
    pub(super) about: &'static str,
    pub(super) usages: &'static [Usage<F>],
    /// What its help says between usage and options.
    pub(super) text: &'static str,
    pub(super) examples: &'static [&'static str],
    /// What its exit status means; nothing if that is said elsewhere.
    pub(super) exit: &'static [(u8, &'static str)],
}

/// Options that are shown together.
pub(super) struct Section<O: 'static, F: 'static> {
    pub(super) title: &'static str,
    pub(super) options: &'static [Opt<O, F>],
}

/// An option of some commands. Another of the same name may mean something else to others.
pub(super) struct Opt<O: 'static, F: 'static> {
    pub(super) name: Name,
    /// Who has it.
    pub(super) of: &'static [F],
    pub(super) takes: Takes<O>,
}

/// How an option is written, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The letter after one dash.
    pub short: Option<char>,
    /// The word after two dashes.
    pub long: &'static str,
    /// What its value is called in help.
    pub value: Option<&'static str>,
    /// Whether the value may be left out.
    pub optional: bool,
    /// What can be typed as its value.
    pub hint: Hint,
    /// What help says of it.
    pub help: &'static str,
}

/// What a value can be, for whoever completes words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    /// Nobody knows.
    Anything,
    /// The name of a file.
    File,
    /// The name of a directory.
    Directory,
    /// A profile of AWS's configuration files.
    Profile,
    /// What the backups of a subvolume are called in the configuration file of the same line.
    SubvolumeName,
    /// A snapshot in one of the directories of the same line.
    SnapshotName,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// How an option sets a value.
pub(super) enum Takes<O> {
    /// It is there or not.
    Nothing(fn(&mut O)),
    /// A value follows.
    Value(fn(&mut O, Given) -> Result<()>),
    /// A value may follow after `=`.
    Maybe(fn(&mut O, Option<Given>) -> Result<()>),
    Help,
    Version,
}

/// An option's value as it was typed.
pub(super) struct Given {
    /// The option, with its dashes.
    pub(super) option: String,
    pub(super) value: OsString,
}

impl<O, F> Opt<O, F> {
    /// One that is there or not.
    pub(super) const fn flag(long: &'static str, set: fn(&mut O)) -> Self {
        Self::new(long, Takes::Nothing(set))
    }

    /// One with a value.
    pub(super) const fn value(
        long: &'static str,
        name: &'static str,
        set: fn(&mut O, Given) -> Result<()>,
    ) -> Self {
        Self::new(long, Takes::Value(set)).called(name, false)
    }

    /// One that may have a value.
    pub(super) const fn maybe(
        long: &'static str,
        name: &'static str,
        set: fn(&mut O, Option<Given>) -> Result<()>,
    ) -> Self {
        Self::new(long, Takes::Maybe(set)).called(name, true)
    }

    /// `--help`, which every command has.
    pub(super) const fn for_help() -> Self {
        let option = Self::new("help", Takes::Help);
        option.short('h').help("show this help")
    }

    /// `--version`, which every program has.
    pub(super) const fn for_version() -> Self {
        let option = Self::new("version", Takes::Version);
        option.short('V').help("show the version")
    }

    const fn new(long: &'static str, takes: Takes<O>) -> Self {
        let name = Name {
            short: None,
            long,
            value: None,
            optional: false,
            hint: Hint::Anything,
            help: "",
        };
        Opt {
            name,
            of: &[],
            takes,
        }
    }

    const fn called(mut self, name: &'static str, optional: bool) -> Self {
        self.name.value = Some(name);
        self.name.optional = optional;
        self
    }

    /// Whether it is this that was typed, with its dashes.
    pub(super) fn is(&self, typed: &str) -> bool {
        match typed.strip_prefix("--") {
            Some(long) => self.name.long == long,
            None => self
                .name
                .short
                .is_some_and(|letter| typed[1..].chars().eq([letter])),
        }
    }

    pub(super) const fn short(mut self, letter: char) -> Self {
        self.name.short = Some(letter);
        self
    }

    pub(super) const fn hint(mut self, hint: Hint) -> Self {
        self.name.hint = hint;
        self
    }

    pub(super) const fn help(mut self, help: &'static str) -> Self {
        self.name.help = help;
        self
    }

    pub(super) const fn of(mut self, of: &'static [F]) -> Self {
        self.of = of;
        self
    }
}

impl<O, F: Copy + PartialEq> Program<O, F> {
    pub(super) fn options(&self) -> impl Iterator<Item = &'static Opt<O, F>> + use<O, F> {
        self.sections.iter().flat_map(|section| section.options)
    }

    /// What somebody would call a form: a command, and the option that chooses the form.
    pub(super) fn label(&self, command: &Command<F>, form: F) -> String {
        let usage = command.usages.iter().find(|usage| usage.form == form);
        match usage.and_then(|usage| usage.when) {
            Some(when) => format!("{} --{when}", self.typed(command)),
            None => self.typed(command).to_owned(),
        }
    }

    fn typed(&self, command: &Command<F>) -> &'static str {
        match command.name {
            "" => self.name,
            name => name,
        }
    }

    /// The program and a command of it, as they are typed.
    pub(super) fn full(&self, command: &Command<F>) -> String {
        format!("{} {}", self.name, command.name)
            .trim_end()
            .to_owned()
    }
}

impl<F: Copy + PartialEq> Command<F> {
    pub(super) fn has<O>(&self, option: &Opt<O, F>) -> bool {
        match option.takes {
            // What is granted to somebody takes no more than it names.
            Takes::Help => !self.name.starts_with('-'),
            Takes::Version => self.name.is_empty(),
            _ => self.usages.iter().any(|u| option.of.contains(&u.form)),
        }
    }
}

/// What somebody typed cannot be understood; `full` is the program and the command.
pub(super) fn usage(full: &str, said: &str) -> Error {
    let said = format!("{said} (see {full} --help)");
    Error::usage("cannot understand the command line", said)
}
