//! A child that is neither read from nor written to, and is there as long as we want it. It stays on our
//! terminal, since ssh asks for passphrases there. Knows nothing of what it does.

use super::Running;
use crate::error::{Error, Result};
use crate::sys;
use std::process::{Command, Stdio};

/// A child that works beside us. Dropped, it is killed and waited for; it ends with the thread that started it.
#[derive(Debug)]
pub struct Attendant(Running);

impl Attendant {
    /// Starts a command; `doing` begins the error that it ends with.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command, doing: impl Into<String>) -> Result<Attendant> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        sys::prepare_companion(&mut command);
        Ok(Attendant(Running::spawn(&mut command, doing.into())?))
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// If it has ended, however: in its own words.
    pub fn check(&mut self) -> Result<()> {
        if let Ok(None) = self.0.child.try_wait() {
            return Ok(());
        }
        self.0.wait()?;
        Err(Error::failed(&self.0.doing, "it has ended"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn it_is_there_until_it_ends_and_its_words_stay() {
        let mut command = Command::new("sleep");
        let mut child = Attendant::start(
            {
                command.arg("600");
                command
            },
            "cannot wait",
        )
        .unwrap();
        child.check().unwrap();
        let place = format!("/proc/{}", child.0.child.id());
        assert!(Path::new(&place).exists());
        drop(child);
        assert!(!Path::new(&place).exists());
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such host >&2; exit 255"]);
        let mut child = Attendant::start(command, "cannot talk").unwrap();
        let error = loop {
            match child.check() {
                Ok(()) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "cannot talk: no such host");
        assert_eq!(child.check().unwrap_err().said, "no such host");
    }
}
