//! Options that belong to one of the commands without a parser of their own. Knows which to which.

use super::values::{age, text};
use super::{Task, wrong, wrong_words};
use crate::error::Result;
use jiff::SignedDuration;
use lexopt::Parser;
use std::path::PathBuf;

/// Options that only one command has.
#[derive(Default)]
pub(super) struct Only {
    pub(super) config: Option<PathBuf>,
    pub(super) commands: bool,
    pub(super) age: Option<SignedDuration>,
    pub(super) backup: Option<String>,
    pub(super) subvolume: Option<PathBuf>,
    pub(super) yes: bool,
    pub(super) take_over: bool,
    pub(super) whole: bool,
    pub(super) allow_empty: bool,
}

impl Only {
    /// Takes such an option, and its value from the words that follow; whether it is one.
    pub(super) fn set(&mut self, name: &str, words: &mut Parser) -> Result<bool> {
        match name {
            "--config" => self.config = Some(words.value().map_err(wrong)?.into()),
            "--as" => self.subvolume = Some(words.value().map_err(wrong)?.into()),
            "--yes" => self.yes = true,
            "--take-over" => self.take_over = true,
            "--whole" => self.whole = true,
            "--allow-empty" => self.allow_empty = true,
            "--commands" => self.commands = true,
            "--backup" => self.backup = Some(text(name, &words.value().map_err(wrong)?)?),
            "--older-than" => self.age = Some(age(&words.value().map_err(wrong)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Refuses those that belong to another command.
    pub(super) fn must_fit(&self, task: &Task) -> Result<()> {
        let listing = matches!(task, Task::List(..) | Task::ListConfig(..));
        let adopts = self.subvolume.is_some() || self.yes || self.take_over;
        let said = match task {
            _ if adopts && !matches!(task, Task::Adopt(..)) => {
                "--as, --yes and --take-over are for 'adopt'"
            }
            _ if self.whole && !matches!(task, Task::Sync(..)) => {
                "--whole is for synchronising, and for backups without --config"
            }
            _ if self.allow_empty && !matches!(task, Task::Sync(..)) => {
                "--allow-empty is for synchronising"
            }
            _ if self.commands && !listing => "--commands is for listing",
            _ if self.age.is_some() && !matches!(task, Task::Clean(..)) => {
                "--older-than is for 'clean'"
            }
            _ if self.backup.is_some() && !matches!(task, Task::CleanBackup(..)) => {
                "--backup comes with: buttersink clean --config FILE --backup NAME/TIME"
            }
            Task::ListConfig(..) | Task::CleanBackup(..) => return Ok(()),
            _ if self.config.is_some() => "--config is for 'list', and for 'clean' with --backup",
            _ => return Ok(()),
        };
        Err(wrong_words(said))
    }
}
