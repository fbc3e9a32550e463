//! The debug log of `--logfile`: lines with times. Off unless somebody opened it. Knows nothing of what
//! they say.

mod file;
pub mod system;
pub mod transactions;

use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

static LOG: OnceLock<Lines> = OnceLock::new();

/// A file that lines are appended to, each at once.
struct Lines(Mutex<File>);

impl Lines {
    fn open(path: &Path, what: &str) -> Result<Lines> {
        let doing = || format!("cannot open the {what} {}", shown(path));
        let file = file::open_to_append(path).doing(doing);
        // What the system refuses speaks for itself.
        let hinted = |error: Error| match error.cause {
            None => error.hint("name an ordinary file, by its own path"),
            Some(_) => error,
        };
        Ok(Lines(Mutex::new(file.map_err(hinted)?)))
    }

    /// With the time (UTC) in front.
    fn write(&self, text: &str) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let line = format!("{now} {}\n", plain(text));
        if let Ok(mut file) = self.0.lock() {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// A text as one line, in which nothing that others have named does anything to a terminal.
fn plain(text: &str) -> String {
    shown(text.replace('\n', " ")).replace("\\\\", "\\")
}

/// Appends the log of this process to a file from now on.
///
/// # Errors
/// If the file cannot be opened.
pub fn open(path: &Path) -> Result<()> {
    // A second call keeps the first file; only `main` calls, once.
    let _ = LOG.set(Lines::open(path, "log file")?);
    Ok(())
}

/// Writes the log of this process to what is open already.
pub fn to(file: File) {
    let _ = LOG.set(Lines(Mutex::new(file)));
}

/// Who hears what is worth more than a line in the log.
static LOUD: OnceLock<fn(&str)> = OnceLock::new();

/// From now on this is told what somebody who waits should know. Only the first counts.
pub fn tell(hear: fn(&str)) {
    let _ = LOUD.set(hear);
}

/// Writes a line, and tells it to who waits.
pub fn aloud(text: &dyn Fn() -> String) {
    line(text);
    if let Some(hear) = LOUD.get() {
        hear(&text());
    }
}

/// Writes a line, with the time (UTC) and the process id in front. A log that cannot be written
/// does not stop the work that it tells about.
pub fn line(text: impl FnOnce() -> String) {
    if let Some(log) = LOG.get() {
        log.write(&format!("[{}] {}", std::process::id(), text()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_does_no_harm() {
        let text = plain("part 1 of s3://b/\u{1b}]0;t\u{7}\u{202e}\nreceived c:\\d \u{fc}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.ends_with(r"\u{202e} received c:\d ü"), "{text}");
    }
}
