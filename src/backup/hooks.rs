//! What is run before and after scheduled backups: programs of the person's own, without a shell,
//! and only from a file that nobody but root can have written.

use crate::error::{Doing, Error, Result};
use crate::process;
use crate::snapshot::shown;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Seconds that a hook may take.
pub const TIMEOUT: u64 = 600;

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
    /// What root runs, root must have written.
    ///
    /// # Errors
    /// If there are hooks, and others could have written the file or put another in its place.
    pub fn check_file(&self, path: &Path) -> Result<()> {
        if self.before.is_none() && self.after.is_none() {
            return Ok(());
        }
        let doing = || format!("cannot use the hooks of {}", shown(path));
        let file = path.canonicalize().doing(doing)?;
        for place in file.ancestors() {
            let metadata = place.metadata().doing(doing)?;
            // In a directory like /tmp others can write, and yet not replace what is root's.
            let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
            let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
            if owner != 0 || mode & 0o022 != 0 && !sticky {
                let said = format!(
                    "{} is owned by uid {owner} with mode {mode:o}: hooks are run as root, so only root may be able to write it",
                    shown(place)
                );
                return Err(Error::refused(doing(), said));
            }
        }
        Ok(())
    }

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
            .envs(more.iter().map(|(name, value)| (name, value)));
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

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children() {
        let said = said("sleep 1000 & wait", 1);
        assert!(said.contains("longer than 1 second"), "{said}");
    }
}
