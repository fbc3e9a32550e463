//! Whom a run of a configuration tells how it went: a program, and the address of a healthcheck, which
//! hears when it begins too. Decides nothing.

use super::hooks;
use crate::error::{Error, Result};
use crate::process;
use crate::snapshot::shown;
use crate::text::shortened;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use ureq::Agent;

/// Seconds that a healthcheck may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that it gets of what was said: the last ones.
const LAST: usize = 10_000;

/// Who hears how a run went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notify {
    /// A program and its arguments.
    pub command: Option<Vec<String>>,
    /// It is called after every run that did something, and not only when something failed.
    pub always: bool,
    /// Where a healthcheck listens.
    pub ping: Option<String>,
    /// For how long the program may run.
    pub timeout: Duration,
}

impl Notify {
    /// Tells the healthcheck that a run begins.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn begin(&self) -> Result<()> {
        self.post("/start", "")
    }

    /// Tells how it went; `words` are what it came to. What is not told by the one way is told by the other.
    ///
    /// # Errors
    /// If one of them could not be told.
    pub fn end(&self, file: &Path, idle: bool, done: &Result<()>, words: &str) -> Result<()> {
        let error = done.as_ref().err();
        let ending = if error.is_none() { "" } else { "/fail" };
        let all = format!("{words}\n{}", in_words(error));
        let pinged = self.post(ending, all.trim());
        self.tell(file, idle, done, words).and(pinged)
    }

    /// Tells the program alone how it went: the healthcheck is there to see that backups are made.
    ///
    /// # Errors
    /// If it fails.
    pub fn tell(&self, file: &Path, idle: bool, done: &Result<()>, words: &str) -> Result<()> {
        let error = done.as_ref().err();
        let wanted = error.is_some() || self.always && !idle;
        let Some([program, arguments @ ..]) = self.command.as_deref().filter(|_| wanted) else {
            return Ok(());
        };
        let status = error.map_or(0, Error::exit_code);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("BUTTERSINK_CONFIG", file)
            .env("BUTTERSINK_STATUS", status.to_string())
            .env(
                "BUTTERSINK_MESSAGE",
                shortened(&in_words(error), hooks::MOST),
            )
            .env("BUTTERSINK_SUMMARY", shortened(words, hooks::MOST));
        let doing = format!("notify.command ({})", shown(program));
        process::run_within(command, self.timeout, doing)
    }

    fn post(&self, ending: &str, words: &str) -> Result<()> {
        let Some(address) = &self.ping else {
            return Ok(());
        };
        let from = words.len().saturating_sub(LAST);
        let from = (from..words.len()).find(|at| words.is_char_boundary(*at));
        let words = &words[from.unwrap_or(words.len())..];
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let address = format!("{}{ending}", address.trim_end_matches('/'));
        let answer = agent.post(&address).send(words);
        // The address is as good as a key: whoever has it can say that all is well.
        let failed = |error: ureq::Error| Error::failed("telling notify.ping", error.to_string());
        answer.map(drop).map_err(failed)
    }
}

/// Nothing if nothing went wrong.
fn in_words(error: Option<&Error>) -> String {
    error.map_or(String::new(), ToString::to_string)
}
