//! The system log: lines for the administrator of a machine that serves others. Off unless somebody
//! opened it; a log that is not there stops nothing.

use crate::snapshot::shown;
use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

/// Where the system's logger listens.
const SOCKET: &str = "/dev/log";
/// Facility `daemon`, severity `info`.
const PRIORITY: u32 = 3 << 3 | 6;
/// A client may make a line, but not a long one.
const LONGEST: usize = 1000;

static LOG: OnceLock<(UnixDatagram, String)> = OnceLock::new();

/// Begins to log what is done for somebody: as whom the command line names him, else the user whom
/// sudo was called by; and from where, as far as the environment tells.
pub fn open(name: Option<&OsStr>) {
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    if socket.connect(SOCKET).is_err() || socket.set_nonblocking(true).is_err() {
        return;
    }
    let variable = |name: &str| std::env::var_os(name).map(|value| shown(&value));
    let mut who = name
        .map(shown)
        .or_else(|| variable("SUDO_USER"))
        .unwrap_or_else(|| "somebody".to_owned());
    if let Some(from) = variable("SSH_CONNECTION") {
        let address = from.split(' ').next().unwrap_or_default();
        who.push_str(&format!(" at {address}"));
    }
    // A second call keeps the first; only a server calls, once.
    let _ = LOG.set((socket, who));
}

/// Writes a line about the client.
pub fn line(text: impl FnOnce() -> String) {
    let Some((socket, who)) = LOG.get() else {
        return;
    };
    // A logger that does not keep up is not waited for: the client may not stop us by it.
    let _ = socket.send(message(who, &text()).as_bytes());
}

fn message(who: &str, text: &str) -> String {
    let text: String = shown(text)
        .replace("\\\\", "\\")
        .chars()
        .take(LONGEST)
        .collect();
    let process = std::process::id();
    format!("<{PRIORITY}>buttersink[{process}]: {who}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let line = message("host1", "received a\nb\u{1b}[0m");
        assert!(line.starts_with("<30>buttersink["), "{line}");
        assert!(
            line.ends_with("]: host1: received a\\nb\\u{1b}[0m"),
            "{line}"
        );
        assert!(message("h", &"x".repeat(9000)).len() < LONGEST + 50);
    }
}
