//! What is said of a command line that cannot be understood, and what was meant perhaps. Knows no
//! command.

use super::grammar::{self, Command, Program, Usage};
use crate::error::Error;
use crate::text::nearest;
use std::ffi::{OsStr, OsString};
use std::path::Path;

impl<O, F: Copy + PartialEq> Program<O, F> {
    /// A word that is nearly a command, and nothing else.
    pub(super) fn mistyped(&self, word: &OsStr) -> Option<Error> {
        let text = word.to_str().filter(|text| !text.contains('/'))?;
        let names = self.commands.iter().map(|command| command.name);
        let near = near(text, names.chain(["--help", "--version"]))?;
        if Path::new(word).symlink_metadata().is_ok() {
            return None;
        }
        let said = format!("there is no command '{text}'; did you mean '{near}'?");
        Some(grammar::usage(self.name, &said))
    }

    /// A word that more commands begin with, and what follows is none of theirs.
    pub(super) fn incomplete(&self, command: &Command<F>, word: Option<&OsString>) -> Error {
        let typed = word.and_then(|word| word.to_str());
        let typed = typed.map(|word| format!("{} {word}", command.name));
        let names = self.commands.iter().map(|command| command.name);
        let others = names.filter(|name| *name != command.name);
        match typed.and_then(|typed| Some((near(&typed, others)?, typed))) {
            Some((near, typed)) => {
                let said = format!("there is no command '{typed}'; did you mean '{near}'?");
                grammar::usage(self.name, &said)
            }
            None => self.misused(command, "it needs another word"),
        }
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        let names = self.options().map(|option| option.name.long);
        let near = name.strip_prefix("--").and_then(|long| near(long, names));
        let hint = near.map_or(String::new(), |near| format!("; did you mean --{near}?"));
        grammar::usage(self.name, &format!("there is no option {name}{hint}"))
    }

    /// An option of other commands.
    pub(super) fn refused(&self, command: &Command<F>, usage: &Usage<F>, name: &str) -> Error {
        let mut all = Vec::new();
        for command in self.commands {
            for usage in command.usages {
                let mut options = self.options().filter(|option| option.is(name));
                if options.any(|option| option.of.contains(&usage.form)) {
                    all.push(format!("'{}'", self.label(command, usage.form)));
                }
            }
        }
        let verb = if all.len() == 1 { "has" } else { "have" };
        let others = all.join(", ");
        let label = self.label(command, usage.form);
        let said = format!("'{label}' has no option {name}: {others} {verb} it");
        grammar::usage(&self.full(command), &said)
    }

    pub(super) fn misused(&self, command: &Command<F>, said: &str) -> Error {
        let full = self.full(command);
        if command.usages.is_empty() {
            let group = format!("{} ", command.name);
            let names = self.commands.iter().map(|command| command.name);
            let all: Vec<_> = names.filter(|name| name.starts_with(&group)).collect();
            let said = format!("{said}: '{}'", all.join("' or '"));
            return grammar::usage(&full, &said);
        }
        let ways = command.usages.iter().map(|u| format!("{full} {}", u.words));
        let ways: Vec<_> = ways.collect();
        grammar::usage(&full, &format!("{said}: it is {}", ways.join(", or ")))
    }
}

/// The name that a mistyped one comes near: of a short name fewer letters may be wrong.
fn near(typed: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    nearest(typed, names, (typed.len() / 2).min(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_near() {
        let names = ["list", "sync", "clean", "keep", "help"];
        let near = |typed: &str| near(typed, names.into_iter());
        assert_eq!(near("lst"), Some("list"));
        assert_eq!(near("sycn"), Some("sync"));
        assert_eq!(near("hlep"), Some("help"));
        assert_eq!(near("a"), None);
        assert_eq!(near("backups"), None);
    }
}
