//! One connection for all that a run does on one machine: an ssh that the others go through, as
//! `ControlMaster` of ssh_config(5) has it. Knows how it is started and when it is there; what is said through
//! it, and to whom, is not its business.

use crate::error::{Cause, Doing, Error, Result};
use crate::process::{self, Attendant};
use crate::{log, machine, sys};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked whether ssh has connected.
const PAUSE: Duration = Duration::from_millis(5);

/// How long it may take to end.
const GOODBYE: Duration = Duration::from_secs(2);

/// What ssh appends to the name of its socket while it makes it is as long as this.
const WHILE_MADE: &str = ".0123456789abcdef";

/// The status of ssh when it is ssh that failed, and not the command at the far side.
const OF_SSH: i32 = 255;

/// The connections of a run, each there for whoever calls with the same words.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<Vec<Connection>>>);

/// How ssh is called, and what serves those who call it so; nothing where each has to connect by itself.
#[derive(Debug)]
struct Connection {
    words: Vec<OsString>,
    master: Option<Arc<Master>>,
}

impl Connections {
    /// What a call of ssh with these words goes through. The first that asks waits until it is there.
    ///
    /// # Errors
    /// If the far side cannot be reached: in the words of ssh.
    pub(super) fn master(&self, words: &[OsString], doing: &str) -> Result<Option<Arc<Master>>> {
        let mut all = lock(&self.0);
        all.retain(|one| one.master.as_ref().is_none_or(|master| master.is_there()));
        if let Some(known) = all.iter().find(|one| one.words == words) {
            return Ok(known.master.clone());
        }
        let master = match socket(words) {
            Ok(socket) => Some(Arc::new(Master::start(words, socket, doing)?)),
            Err(error) => {
                log::line(|| format!("each connection by itself: {error}"));
                None
            }
        };
        let words = words.to_vec();
        let there = master.clone();
        all.push(Connection { words, master });
        Ok(there)
    }
}

/// An ssh that is connected and serves others. Dropped, it hangs up.
#[derive(Debug)]
pub(super) struct Master {
    ssh: Mutex<Attendant>,
    socket: PathBuf,
}

impl Master {
    fn start(words: &[OsString], socket: PathBuf, doing: &str) -> Result<Master> {
        let mut command = Command::new(&words[0]);
        command.args(["-N", "-o", "ControlMaster=yes", "-o", "ControlPersist=no"]);
        command
            .arg("-o")
            .arg(control_path(&socket))
            .args(&words[1..]);
        log::line(|| format!("{command:?}"));
        let ssh = Mutex::new(Attendant::start(command, doing)?);
        let master = Master { ssh, socket };
        while !master.socket.exists() {
            process::check(doing)?;
            lock(&master.ssh).check()?;
            std::thread::sleep(PAUSE);
        }
        Ok(master)
    }

    /// The options of an ssh that goes through it. Once it is gone, that one connects by itself.
    pub(super) fn options(&self) -> [OsString; 2] {
        ["ControlMaster=no".into(), control_path(&self.socket)]
    }

    fn is_there(&self) -> bool {
        lock(&self.ssh).check().is_ok()
    }

    /// What went through it ended without a word, since the words are those of who had the connection.
    fn explain(&self, error: io::Error) -> io::Error {
        let error = Error::io("", error);
        let ours = match error.cause {
            Some(Cause::Exit(OF_SSH)) => self.last_words(),
            _ => None,
        };
        let said = ours.unwrap_or(error.said);
        Error { said, ..error }.into()
    }

    /// What it ended with: it lets go those who go through it a moment before it ends.
    fn last_words(&self) -> Option<String> {
        let end = Instant::now() + GOODBYE;
        while Instant::now() < end {
            if let Err(error) = lock(&self.ssh).check() {
                return Some(error.said);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }
}

impl Drop for Master {
    /// Being killed, it leaves its socket; whatever else ends it, it takes that along.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// What comes through a connection that others use too.
pub(super) struct ThroughMaster<R> {
    pub(super) inner: R,
    pub(super) master: Arc<Master>,
}

impl<R: Read> Read for ThroughMaster<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf);
        read.map_err(|error| self.master.explain(error))
    }
}

fn control_path(socket: &Path) -> OsString {
    let mut option = OsString::from("ControlPath=");
    option.push(socket);
    option
}

/// Where the socket of such a call can be.
///
/// # Errors
/// If there can be none, or ssh has been told what to do with its connections.
fn socket(words: &[OsString]) -> Result<PathBuf> {
    let doing = || "cannot share a connection".to_owned();
    let said = |said: &str| Err(Error::refused(doing(), said));
    if words[0] != "ssh" {
        return said("the command is not ssh");
    }
    let mut options = words.windows(2).filter(|two| two[0] == "-o");
    if options.any(|two| is_about_control(two[1].as_bytes())) {
        return said("the options of ssh say how connections are used");
    }
    let name = format!("ssh-{:016x}", sys::random().doing(doing)?);
    let socket = machine::make_run_dir()?.join(name);
    if socket
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|b| b"%~$ \"'\\".contains(b))
    {
        return said("ssh would take the name of its socket for another one");
    }
    let mut tried = socket.clone().into_os_string();
    tried.push(WHILE_MADE);
    UnixListener::bind(&tried).doing(doing)?;
    std::fs::remove_file(&tried).doing(doing)?;
    let mut command = Command::new(&words[0]);
    command.arg("-G").args(&words[1..]);
    match is_shared(&process::run(command, &doing())?) {
        true => said("the configuration of ssh says where its connections are shared"),
        false => Ok(socket),
    }
}

fn is_about_control(option: &[u8]) -> bool {
    let start = option.trim_ascii_start().get(..7);
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"control"))
}

/// Whether a configuration as `ssh -G` prints it has a place for connections that are shared.
fn is_shared(configuration: &str) -> bool {
    let mut paths = configuration
        .lines()
        .filter_map(|line| line.strip_prefix("controlpath "));
    paths.any(|path| path != "none")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_arranged_it_otherwise_is_left_alone() {
        for (words, why) in [
            (&["./ssh", "h"][..], "not ssh"),
            (&["ssh", "-o", "ControlMaster=no", "h"], "options of ssh"),
            (&["ssh", "-o", " controlpath /x", "h"], "options of ssh"),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let error = socket(&words).unwrap_err();
            assert!(error.said.contains(why), "{error}");
        }
        assert!(is_shared("port 22\ncontrolpath /run/x\n"));
        assert!(!is_shared(
            "port 22\ncontrolmaster false\ncontrolpath none\n"
        ));
    }
}
