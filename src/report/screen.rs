//! What a screen shows: how wide it is, and whether it has colours. Draws nothing.

use crate::sys;
use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

/// Where text for people goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Screen {
    /// Characters in a line; `None` for no end, as in a pipe.
    pub width: Option<usize>,
    /// Whether what needs attention is coloured.
    pub colour: bool,
}

impl Screen {
    /// The screen that standard output goes to, if it is one.
    pub fn output() -> Screen {
        let out = io::stdout();
        Screen::of(out.as_fd(), out.is_terminal())
    }

    /// The screen that standard error goes to, if it is one.
    pub fn errors() -> Screen {
        let err = io::stderr();
        Screen::of(err.as_fd(), err.is_terminal())
    }

    /// What somebody says comes first: `COLUMNS` and `NO_COLOR` in the environment.
    fn of(file: BorrowedFd, terminal: bool) -> Screen {
        let said = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let width = said.or_else(|| sys::terminal_width(file).filter(|_| terminal));
        let set = |name: &str| env::var_os(name).is_some_and(|text| !text.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Screen {
            width: width.filter(|&width| width > 0),
            colour: terminal && !dumb && !set("NO_COLOR"),
        }
    }

    /// A text that needs attention.
    pub fn alarming(&self, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[31m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
