//! A child process as a `Read` or as something to write to; nothing else here spawns.
//! Its standard error is always drained, and its own words are the error when it fails.

mod attendant;
pub mod duplex;
mod search_path;
pub mod secrets;
mod stderr;
mod timeout;

use crate::error::{Cause, Doing, Error, Kind, Result};
use crate::sys;
pub use attendant::Attendant;
use search_path::not_started;
pub use search_path::program;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use stderr::Complaints;
pub use stderr::{is_about_input, outside};
pub use timeout::run_within;

/// A pipe as large as an ordinary user may make one: fewer turns between the two ends.
const PIPE: usize = 1 << 20;

/// Whether children yield to everything else on the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    /// Idle class for input and output, low priority for the processor.
    Background,
    /// As we ourselves run.
    Normal,
}

/// A child that has been started, and a thread that listens to its complaints. Dropped, it is
/// killed and waited for.
#[derive(Debug)]
struct Running {
    child: Child,
    doing: String,
    words: Option<Complaints>,
    done: bool,
}

impl Running {
    fn start(command: &mut Command, priority: Priority, doing: String) -> Result<Running> {
        sys::prepare_child(command, priority == Priority::Background);
        Running::spawn(command, doing)
    }

    fn spawn(command: &mut Command, doing: String) -> Result<Running> {
        secrets::drop_secrets(command);
        let spawned = command.stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| not_started(error, command, &doing))?;
        let words = child.stderr.take().map(Complaints::listen);
        Ok(Running {
            child,
            doing,
            words,
            done: false,
        })
    }

    /// Waits for its end; anything but success is an error in its own words.
    fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().doing(|| self.doing.clone())?;
        self.done = true;
        if status.success() {
            return Ok(());
        }
        if sys::interrupted() {
            return Err(interrupted(&self.doing));
        }
        let words = self.words.as_ref().map(Complaints::last);
        let words = words.filter(|words| !words.is_empty());
        let said = words.unwrap_or_else(|| format!("it ended with {status}"));
        let error = Error::failed(&self.doing, said);
        Err(match (status.signal(), status.code()) {
            (Some(signal), _) => error.cause(Cause::Signal(signal)),
            (None, Some(code)) => error.cause(Cause::Exit(code)),
            (None, None) => error,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            // Both fail only if it is already gone, which is what is wanted.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The error of whoever notices that a signal came.
pub fn interrupted(doing: &str) -> Error {
    Error::new(Kind::Interrupted, doing, "interrupted")
}

/// A child's standard output. The end of it means that the child ended well.
#[derive(Debug)]
pub struct Reader {
    running: Running,
    stdout: ChildStdout,
}

impl Reader {
    /// Starts a command to read from.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: Command, priority: Priority, doing: impl Into<String>) -> Result<Reader> {
        Reader::start_on(command, Stdio::null(), priority, doing)
    }

    /// Starts a command to read from, which reads `input` itself.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_on(
        mut command: Command,
        input: Stdio,
        priority: Priority,
        doing: impl Into<String>,
    ) -> Result<Reader> {
        command.stdin(input).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, priority, doing.into())?;
        let stdout = running
            .child
            .stdout
            .take()
            .ok_or_else(|| Error::failed(&running.doing, "no pipe"))?;
        sys::set_pipe_size(stdout.as_fd(), PIPE);
        Ok(Reader { running, stdout })
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stdout.read(buf) {
                Ok(0) if self.running.done => return Ok(0),
                Ok(0) => {
                    self.running.wait()?;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    check(&self.running.doing)?;
                }
                other => return other,
            }
        }
    }
}

/// A child's standard input. Dropped before [`Writer::finish`], the child is killed.
#[derive(Debug)]
pub struct Writer {
    // First, so that it closes before the child is waited for.
    stdin: Option<ChildStdin>,
    running: Running,
}

impl Writer {
    /// Starts a command to write to.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        mut command: Command,
        priority: Priority,
        doing: impl Into<String>,
    ) -> Result<Writer> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = Running::start(&mut command, priority, doing.into())?;
        let stdin = running.child.stdin.take();
        if let Some(pipe) = &stdin {
            sys::set_pipe_size(pipe.as_fd(), PIPE);
        }
        Ok(Writer { stdin, running })
    }

    /// Closes the child's input and waits until it ends well.
    ///
    /// # Errors
    /// If it does not: in its own words.
    pub fn finish(mut self) -> Result<()> {
        self.stdin = None;
        self.running.wait()
    }

    /// A child that closed its input early has a reason, and that is the error to report.
    fn reason(&mut self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::BrokenPipe {
            return error;
        }
        self.stdin = None;
        match self.running.wait() {
            Err(reason) => reason.into(),
            Ok(()) => Error::failed(&self.running.doing, "it ended too early").into(),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let Some(stdin) = &mut self.stdin else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match stdin.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    check(&self.running.doing)?;
                }
                Err(error) => return Err(self.reason(error)),
                Ok(n) => return Ok(n),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error if a signal has asked us to stop.
///
/// # Errors
/// [`Kind::Interrupted`].
pub fn check(doing: &str) -> Result<()> {
    match sys::interrupted() {
        true => Err(interrupted(doing)),
        false => Ok(()),
    }
}

/// Runs a command to its end; what it printed.
///
/// # Errors
/// If it cannot be started or fails: in its own words.
pub fn run(command: Command, doing: &str) -> Result<String> {
    let mut text = String::new();
    Reader::start(command, Priority::Normal, doing)?
        .read_to_string(&mut text)
        .doing(|| doing.to_owned())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_a_child_leaves_running_holds_up_nobody() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 30 >/dev/null & echo $! >&2; exit 3"]);
        let error = run(command, "running").unwrap_err();
        let left = Path::new("/proc").join(&error.said);
        assert!(left.exists(), "waited for it: {error}");
        let mut kill = Command::new("kill");
        kill.arg(&error.said);
        run(kill, "ending it").unwrap();
    }
}
