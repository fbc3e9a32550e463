//! Whom a run of a configuration tells how it went: a program, and the healthcheck that waits for just this
//! work, which hears when it begins too. Decides nothing.

use super::hooks;
use super::work::Work;
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
    /// Where the healthchecks listen: each waits for one work of the whole file.
    pub pings: Vec<(Work, String)>,
    /// For how long the program may run.
    pub timeout: Duration,
}

/// Whom one run tells, and what it was asked to do.
pub struct RunNotify<'a> {
    /// As the file says.
    pub notify: &'a Notify,
    /// The file itself.
    pub file: &'a Path,
    /// What the run does.
    pub work: Work,
    /// It does so for all of the file, and not for some subvolumes that were named.
    pub whole: bool,
}

impl RunNotify<'_> {
    /// Tells the healthcheck of this work that a run begins.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn begin(&self) -> Result<()> {
        self.own().map_or(Ok(()), |own| post(own, "/start", ""))
    }

    /// Tells how it went; `words` are what it came to. What is not told by the one way is told by the other.
    ///
    /// # Errors
    /// If one of them could not be told.
    pub fn end(&self, idle: bool, done: &Result<()>, words: &str) -> Result<()> {
        let error = done.as_ref().err();
        let (address, ending) = match error {
            None => (self.own(), ""),
            Some(_) => (self.alarm(), "/fail"),
        };
        let all = format!("{words}\n{}", in_words(error));
        let pinged = address.map_or(Ok(()), |address| post(address, ending, all.trim()));
        self.tell(idle, error, words).and(pinged)
    }

    /// Who waits for this run: nobody, if it is only for some subvolumes.
    fn own(&self) -> Option<&str> {
        self.waiting(self.work).filter(|_| self.whole)
    }

    /// Who hears that it failed: a part of a backup that fails is no backup.
    fn alarm(&self) -> Option<&str> {
        let own = self.waiting(self.work);
        own.or_else(|| self.waiting(Work::Backup))
    }

    fn waiting(&self, work: Work) -> Option<&str> {
        let mut pings = self.notify.pings.iter();
        let found = pings.find(|(of, _)| *of == work);
        found.map(|(_, address)| address.as_str())
    }

    fn tell(&self, idle: bool, error: Option<&Error>, words: &str) -> Result<()> {
        let notify = self.notify;
        let wanted = error.is_some() || notify.always && !idle;
        let Some([program, arguments @ ..]) = notify.command.as_deref().filter(|_| wanted) else {
            return Ok(());
        };
        let status = error.map_or(0, Error::exit_code);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("BUTTERSINK_COMMAND", self.work.to_string())
            .env("BUTTERSINK_CONFIG", self.file)
            .env("BUTTERSINK_STATUS", status.to_string())
            .env(
                "BUTTERSINK_MESSAGE",
                shortened(&in_words(error), hooks::MOST),
            )
            .env("BUTTERSINK_SUMMARY", shortened(words, hooks::MOST));
        let doing = format!("notify.command ({})", shown(program));
        process::run_within(command, notify.timeout, doing)
    }
}

fn post(address: &str, ending: &str, words: &str) -> Result<()> {
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
    let failed = |error: ureq::Error| {
        let said = match error {
            ureq::Error::BadUri(_) => "the address is malformed".to_owned(),
            other => other.to_string(),
        };
        Error::failed("telling notify.ping", said)
    };
    answer.map(drop).map_err(failed)
}

/// Nothing if nothing went wrong.
fn in_words(error: Option<&Error>) -> String {
    error.map_or(String::new(), ToString::to_string)
}
