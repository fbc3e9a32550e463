//! `btrbk.conf` as a configuration of ours: what has a counterpart, and line by line what has none. Text in,
//! text out; looks at no filesystem.

mod lines;
mod sections;

mod places;
mod remarks;
mod retention;

mod convert;

use super::draft::Draft;
use crate::error::{Error, Result};
use lines::Wrong;
use std::fmt;

/// Where btrbk looks for its file if it is told of none: the first that is there.
pub const FILES: &[&str] = &["/etc/btrbk/btrbk.conf", "/etc/btrbk.conf"];

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// The file as ours.
    pub draft: Draft,
    /// What has no counterpart, in the order of the lines.
    pub without: Vec<NoCounterpart>,
}

/// A line of the file that we cannot follow, or not wholly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NoCounterpart {
    /// Its number, from 1.
    pub line: usize,
    /// As it is written there.
    pub what: String,
    /// What is so instead.
    pub why: String,
}

impl fmt::Display for NoCounterpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.what, self.why)
    }
}

/// Understands the text of the file `name`.
///
/// # Errors
/// If btrbk would not understand it either: the line is named.
pub fn import(name: &str, text: &str) -> Result<Imported> {
    let understood = lines::read(text).and_then(|lines| sections::read(&lines));
    let converted = understood.and_then(|file| convert::convert(name, &file));
    converted.map_err(|Wrong { line, said }| {
        Error::usage(format!("cannot use {name}"), format!("line {line}: {said}"))
    })
}

#[cfg(test)]
mod tests;
