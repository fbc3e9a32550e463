//! A child as both: we write its input and read its output. It stays on our terminal, since ssh asks
//! for passphrases there. Knows nothing of what is said.

use super::{PIPE, Running, check};
use crate::error::{Error, Result};
use crate::sys;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to say goodbye once its pipes are closed.
const GOODBYE: Duration = Duration::from_secs(3);

/// The output of a child that also has an input. The end of it means that the child ended well.
/// To be dropped after the input: then the child has a moment to end by itself.
#[derive(Debug)]
pub struct Output {
    stdout: Option<ChildStdout>,
    running: Running,
}

/// Starts a command to talk to.
///
/// # Errors
/// If it cannot be started.
pub fn start(mut command: Command, doing: impl Into<String>) -> Result<(Output, ChildStdin)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    sys::prepare_companion(&mut command);
    let mut running = Running::spawn(&mut command, doing.into())?;
    let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
    let no_pipe = || Error::failed(&running.doing, "no pipe");
    let (stdin, stdout) = stdin.zip(stdout).ok_or_else(no_pipe)?;
    sys::set_pipe_size(stdin.as_fd(), PIPE);
    sys::set_pipe_size(stdout.as_fd(), PIPE);
    let stdout = Some(stdout);
    Ok((Output { stdout, running }, stdin))
}

impl Output {
    /// What is read, until its end.
    pub(crate) fn stdout(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().map(AsFd::as_fd)
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(stdout) = &mut self.stdout else {
                return Ok(0);
            };
            match stdout.read(buf) {
                Ok(0) => {
                    self.stdout = None;
                    self.running.wait()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    check(&self.running.doing)?;
                }
                other => return other,
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.stdout = None;
        let end = Instant::now() + GOODBYE;
        while !self.running.done && !sys::interrupted() && Instant::now() < end {
            // An error means that there is nobody to wait for.
            self.running.done = !matches!(self.running.child.try_wait(), Ok(None));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn shell(script: &str) -> (Output, ChildStdin) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        start(command, "cannot talk").unwrap()
    }

    #[test]
    fn both_directions() {
        let (mut output, mut input) = shell("tr a-z A-Z");
        input.write_all(b"hello").unwrap();
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "HELLO");
    }

    #[test]
    fn the_childs_own_words() {
        let (mut output, _input) = shell("echo said; echo no such host >&2; exit 255");
        let mut text = String::new();
        let error = output.read_to_string(&mut text).unwrap_err();
        assert_eq!(error.to_string(), "cannot talk: no such host");
        assert_eq!(text, "said\n");
    }

    #[test]
    fn a_child_that_is_dropped_may_finish() {
        let name = format!("buttersink-duplex-{}", std::process::id());
        let mark = std::env::temp_dir().join(name);
        let (output, input) = shell(&format!("cat >'{}'", mark.display()));
        drop((input, output));
        assert!(mark.exists());
        std::fs::remove_file(mark).unwrap();
    }
}
