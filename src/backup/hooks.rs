//! What is run before and after scheduled backups: programs of the person's own, without a shell. Who may have
//! written them down is not its business.

use crate::error::Result;
use crate::process;
use crate::snapshot::shown;
use crate::text::shortened;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Seconds that a hook may take.
pub const TIMEOUT: u64 = 600;

/// Bytes of a variable that programs get: the kernel starts none with one above 128 KiB, and others may have made
/// what went wrong long.
pub const MOST: usize = 64 << 10;

/// Programs and their arguments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hooks {
    /// Before the first snapshot of a run. If it fails, there is no backup.
    pub before: Option<Vec<String>>,
    /// After a run, whatever became of it.
    pub after: Option<Vec<String>>,
    /// For how long each may run.
    pub timeout: Duration,
}

impl Hooks {
    /// Runs one of the hooks with these variables, and waits for its end.
    ///
    /// # Errors
    /// If it cannot be started, fails or takes too long.
    pub fn run(&self, which: &str, file: &Path, more: &[(&str, String)]) -> Result<()> {
        let words = match which {
            "before" => &self.before,
            _ => &self.after,
        };
        let Some([program, arguments @ ..]) = words.as_deref() else {
            return Ok(());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("BUTTERSINK_HOOK", which)
            .env("BUTTERSINK_CONFIG", file)
            .envs(
                more.iter()
                    .map(|(name, value)| (name, shortened(value, MOST))),
            );
        let doing = format!("the hook '{which}' ({})", shown(program));
        process::run_within(command, self.timeout, doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(script: &str, timeout: u64) -> Hooks {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        Hooks {
            before: Some(words.to_vec()),
            after: None,
            timeout: Duration::from_secs(timeout),
        }
    }

    fn said(script: &str, timeout: u64) -> String {
        let done = hooks(script, timeout).run("before", Path::new("/c.toml"), &[]);
        done.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn hooks_are_told_things_and_tell_why_they_fail() {
        assert_eq!(said("test $BUTTERSINK_HOOK = before", 60), "");
        assert_eq!(said("test $BUTTERSINK_CONFIG = /c.toml", 60), "");
        assert!(said("echo no database >&2; exit 3", 60).contains("no database"));
        assert!(said("exit 3", 60).contains("exit status: 3"));
        let after = hooks("exit 3", 60).run("after", Path::new("/"), &[]);
        assert!(after.is_ok(), "there is none");
    }

    /// What went wrong may be told in words that a far side made long.
    #[test]
    fn long_words_keep_no_hook_from_running() {
        let hooks = hooks("test ${#BUTTERSINK_MESSAGE} -gt 60000", 60);
        let more = [("BUTTERSINK_MESSAGE", "x".repeat(1 << 20) + "\0")];
        hooks.run("before", Path::new("/c.toml"), &more).unwrap();
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children() {
        let said = said("sleep 1000 & wait", 1);
        assert!(said.contains("longer than 1 second"), "{said}");
    }
}
