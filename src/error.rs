//! Errors: who has to act, what we were doing, what the other side said, what that came from, and the way
//! out. Knows the exit codes; knows nothing of stores, and prints nothing.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;

/// Who has to act on an [`Error`], and so how the program exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The command line or the configuration is wrong; its author has to act. Exit 2.
    Usage,
    /// Another run holds the lock, and nothing was done: wait for it. Exit 3.
    Busy,
    /// A verification found a difference. Exit 4.
    Different,
    /// Some tasks failed and others are done. Exit 10.
    Partly,
    /// A signal asked us to stop. Exit 130.
    Interrupted,
    /// The operating system, a child process or the far side refused. Exit 1.
    Failed,
    /// Going on would lose or spoil data, so we do not. Exit 1.
    Refused,
    /// Data is damaged, or is not what it claims to be; it must not be used. Exit 1.
    Damaged,
    /// The kernel started a send stream afresh in the middle (suspend, stop, freezer); the same
    /// transfer can be tried again. Exit 1.
    Restarted,
    /// Nobody can receive the diff, whatever is tried: another parent, or the whole. Exit 1.
    Unreceivable,
}

/// What an error came from, as a value: who decides what to do about it goes by this or by [`Kind`], and
/// never by words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The operating system refused, with this number of <errno.h>.
    Errno(i32),
    /// A child ended with this status.
    Exit(i32),
    /// A signal ended a child: its number.
    Signal(i32),
    /// A service on the network refused, with this code of its own.
    Refusal(Box<str>),
    /// The connection to a far side ended.
    Connection,
}

/// An error with two halves: what we were doing, and what the other side said about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Error {
    /// Who has to act.
    pub kind: Kind,
    /// What we were doing, as in `cannot receive into /mnt/b`.
    pub doing: String,
    /// What the other side said.
    pub said: String,
    /// The way out, where there is one that we know: what somebody can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Box<str>>,
    /// What it came from, where that is known as a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the given kind from its two halves.
    pub fn new(kind: Kind, doing: impl Into<String>, said: impl Into<String>) -> Self {
        Error {
            kind,
            doing: doing.into(),
            said: said.into(),
            hint: None,
            cause: None,
        }
    }

    /// The same with a way out: a phrase that says what to do, as in `run it as root there`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what it came from.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The code with which a service refused; empty if none did.
    pub fn refusal(&self) -> &str {
        match &self.cause {
            Some(Cause::Refusal(code)) => code,
            _ => "",
        }
    }

    /// The error for a terminal: one line, and one more with the way out if there is one.
    pub fn lines(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\ntry: {hint}", self.words()),
            None => self.words(),
        }
    }

    /// What happened, without the way out.
    pub fn words(&self) -> String {
        format!("{}: {}", self.doing, self.said)
    }

    /// The caller's words are wrong: exit 2.
    pub fn usage(doing: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Kind::Usage, doing, said)
    }

    /// Somebody else refused: exit 1.
    pub fn failed(doing: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Kind::Failed, doing, said)
    }

    /// We refuse, since data would be lost or spoilt: exit 1.
    pub fn refused(doing: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Kind::Refused, doing, said)
    }

    /// Data is not what it claims to be: exit 1.
    pub fn damaged(doing: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, doing, said)
    }

    /// An error of the operating system. One of ours that travelled through `std::io` keeps its
    /// kind and its words.
    pub fn io(doing: impl Into<String>, error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) => Error {
                cause: error.raw_os_error().map(Cause::Errno),
                ..Self::new(Kind::Failed, doing, plain(&error))
            },
        }
    }

    /// The exit status that the man pages document for this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Busy => 3,
            Kind::Different => 4,
            Kind::Partly => 10,
            Kind::Interrupted => 130,
            Kind::Failed | Kind::Refused | Kind::Damaged | Kind::Restarted | Kind::Unreceivable => {
                1
            }
        }
    }
}

/// The system's words without Rust's ` (os error 28)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// In one line, the way out at its end.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())?;
        match &self.hint {
            Some(hint) => write!(f, " (try: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// Adds the first half to an error of the operating system.
pub trait Doing<T> {
    /// `File::open(p).doing(|| format!("cannot open {}", shown(p)))?`
    ///
    /// # Errors
    /// The error that was there, as [`Error::io`] makes it.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::io(doing(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_survive_the_way_through_io() {
        let there: io::Error = Error::new(Kind::Restarted, "sending", "restarted").into();
        let back = Error::io("reading", there);
        assert_eq!(back.kind, Kind::Restarted);
        assert_eq!(back.to_string(), "sending: restarted");
    }

    #[test]
    fn no_bare_errno() {
        let error = Error::io("cannot write x", io::Error::from_raw_os_error(28));
        assert_eq!(error.to_string(), "cannot write x: No space left on device");
        assert_eq!(error.cause, Some(Cause::Errno(28)));
    }

    #[test]
    fn the_way_out_stands_apart() {
        let error = Error::failed("cannot list x", "permission denied").hint("run it as root");
        assert_eq!(
            error.lines(),
            "cannot list x: permission denied\ntry: run it as root"
        );
        let one_line = "cannot list x: permission denied (try: run it as root)";
        assert_eq!(error.to_string(), one_line);
        let old = r#"{"kind": "failed", "doing": "a", "said": "b"}"#;
        let old: Error = serde_json::from_str(old).unwrap();
        assert_eq!((old.hint, old.cause), (None, None));
    }
}
