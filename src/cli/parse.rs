//! Reads a command line as a grammar has it: options stand anywhere, before or after the command, and
//! one that a command does not have is refused, with the commands that have it.

use super::grammar::{Command, Given, Opt, Program, Takes, usage};
use crate::error::Result;
use crate::snapshot::shown;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Understood<O, F> {
    /// A text that is to be shown: help or the version.
    Text(String),
    /// Something is to be done, with these words and options.
    Run(F, Vec<OsString>, O),
}

/// Options and words as they were typed.
#[derive(Default)]
struct Typed {
    options: Vec<(String, Option<OsString>)>,
    words: Vec<OsString>,
    asks: Option<Text>,
}

#[derive(Clone, Copy, PartialEq)]
enum Text {
    Help,
    Version,
}

impl<O: Default, F: Copy + PartialEq> Program<O, F> {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// If they are not what the grammar has: what is wrong with them.
    pub(super) fn read(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Understood<O, F>> {
        let mut arguments = arguments.into_iter().peekable();
        // Such a command is the first word or none at all, and takes nothing but what it names.
        let dashed = arguments.peek().and_then(|word| self.dashed(word));
        if let Some(command) = dashed {
            return self.strict(command, arguments.skip(1).collect());
        }
        let mut typed = self.typed_words(arguments)?;
        let command = self.command(&mut typed.words);
        match typed.asks {
            Some(Text::Version) => return Ok(Understood::Text(self.version())),
            Some(Text::Help) => return Ok(Understood::Text(self.help(command.ok().flatten()))),
            None => {}
        }
        let count = typed.words.len();
        let command = command?.or_else(|| self.find((self.implied)(count)?));
        match command {
            Some(command) => self.carry(command, typed),
            None if count == 0 => Err(usage(self.name, "it names no command")),
            None => Err(usage(self.name, &format!("{count} words name no command"))),
        }
    }

    /// Takes options and words apart, knowing only which options have values.
    fn typed_words(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Typed> {
        let mut typed = Typed::default();
        let mut parser = Parser::from_args(arguments);
        let wrong = |error: lexopt::Error| usage(self.name, &error.to_string());
        while let Some(argument) = parser.next().map_err(wrong)? {
            let name = match argument {
                Arg::Value(word) => {
                    typed.words.push(word);
                    continue;
                }
                Arg::Short(letter) => format!("-{letter}"),
                Arg::Long(name) => format!("--{name}"),
            };
            let Some(option) = self.options().find(|option| option.is(&name)) else {
                return Err(self.unknown(&name));
            };
            let value = match option.takes {
                Takes::Nothing(_) => None,
                Takes::Value(_) => Some(parser.value().map_err(wrong)?),
                Takes::Maybe(_) => parser.optional_value(),
                Takes::Help | Takes::Version => {
                    let help = matches!(option.takes, Takes::Help);
                    typed.asks = Some(if help { Text::Help } else { Text::Version });
                    typed.words.extend(parser.raw_args().map_err(wrong)?);
                    return Ok(typed);
                }
            };
            typed.options.push((name, value));
        }
        Ok(typed)
    }

    /// The command that the words begin with, which is taken off them.
    fn command(&self, words: &mut Vec<OsString>) -> Result<Option<&'static Command<F>>> {
        let is_named = |command: &&Command<F>| {
            let mut names = command.name.split(' ').filter(|name| !name.is_empty());
            let first = names.clone().next().is_some();
            let mut typed = words.iter();
            first && names.all(|name| typed.next().is_some_and(|word| word == name))
        };
        let length = |command: &&Command<F>| command.name.len();
        let found = self.commands.iter().filter(is_named).max_by_key(length);
        match (found, words.first()) {
            (Some(command), _) => {
                words.drain(..command.name.split(' ').count());
                Ok(Some(command))
            }
            (None, Some(word)) => self.mistyped(word).map_or(Ok(None), Err),
            (None, None) => Ok(None),
        }
    }

    fn find(&self, name: &str) -> Option<&'static Command<F>> {
        self.commands.iter().find(|command| command.name == name)
    }

    fn dashed(&self, word: &OsStr) -> Option<&'static Command<F>> {
        word.to_str()
            .filter(|word| word.starts_with("--"))
            .and_then(|word| self.find(word))
    }

    /// A command line that is granted to somebody: options come first and at most once.
    fn strict(
        &self,
        command: &'static Command<F>,
        words: Vec<OsString>,
    ) -> Result<Understood<O, F>> {
        let refused = |said: &str| self.misused(command, said);
        let last = words.last().cloned().unwrap_or_default();
        if words.iter().any(|word| word == "--") {
            return Err(refused("it has no word '--'"));
        }
        let typed = self.typed_words(words)?;
        let mut names: Vec<_> = typed.options.iter().map(|(name, _)| name).collect();
        names.sort();
        match () {
            () if typed.asks.is_some() => Err(refused("it has no help")),
            () if names.windows(2).any(|two| two[0] == two[1]) => {
                Err(refused("an option stands there twice"))
            }
            () if typed.words != [last] => Err(refused("one word is the last")),
            () => self.carry(command, typed),
        }
    }

    /// Chooses the form, and puts the options where they belong.
    fn carry(&self, command: &'static Command<F>, typed: Typed) -> Result<Understood<O, F>> {
        let is_typed = |long: &str| {
            let mut names = typed.options.iter();
            names.any(|(name, _)| name.strip_prefix("--") == Some(long))
        };
        let chosen = command.usages.iter().find(|u| u.when.is_some_and(is_typed));
        let Some(usage) = chosen.or(command.usages.iter().find(|u| u.when.is_none())) else {
            return Err(self.incomplete(command, typed.words.first()));
        };
        let mut options = O::default();
        for (name, value) in typed.options {
            let mut all = self.options().filter(|option| option.is(&name));
            let Some(option) = all.find(|option| option.of.contains(&usage.form)) else {
                return Err(self.refused(command, usage, &name));
            };
            option.set(&mut options, value)?;
        }
        let (least, most) = usage.count;
        match typed.words.len() {
            count if count < least => Err(self.misused(command, "a word is missing")),
            count if count > most => {
                let word = shown(&typed.words[most]);
                Err(self.misused(command, &format!("'{word}' is one word too many")))
            }
            _ => Ok(Understood::Run(usage.form, typed.words, options)),
        }
    }
}

impl<O, F> Opt<O, F> {
    fn set(&self, options: &mut O, value: Option<OsString>) -> Result<()> {
        let option = format!("--{}", self.name.long);
        let given = value.map(|value| Given { option, value });
        match (&self.takes, given) {
            (Takes::Nothing(set), _) => set(options),
            (Takes::Value(set), Some(given)) => set(options, given)?,
            (Takes::Maybe(set), given) => set(options, given)?,
            (Takes::Value(_) | Takes::Help | Takes::Version, _) => {}
        }
        Ok(())
    }
}
