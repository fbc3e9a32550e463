//! `buttersink --server`: what a line in sudoers or authorized_keys grants, and to whom. Takes no word
//! more than is documented, and none after the directory: sudo's wildcards match blanks and slashes.

use super::{values, wrong};
use crate::error::{Doing, Error, Result};
use crate::log::system;
use crate::snapshot::shown;
use crate::store::{self, Access, ReceiveWith, Terms};
use crate::sys::secure_open::Found;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

/// What may be done where, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    access: Access,
    dir: OsString,
    /// What the system log calls the client, and records call his key.
    name: Option<OsString>,
    strict: bool,
    /// How snapshots are received, whatever the client wishes.
    receive_with: Option<ReceiveWith>,
}

/// Whether a command line is one of these.
pub(super) fn is_meant(first: &OsStr) -> bool {
    first == "--server"
}

/// The words after `--server`.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Grant> {
    let mut parser = lexopt::Parser::from_args(words);
    let (mut access, mut name, mut strict, mut way) = (None, None, None, None);
    let dir = loop {
        let before = match parser.next().map_err(wrong)? {
            Some(Arg::Long("mode")) => {
                let letter = parser.value().map_err(wrong)?;
                access.replace(values::access(&letter)?).map(drop)
            }
            Some(Arg::Long("as")) => name.replace(parser.value().map_err(wrong)?).map(drop),
            Some(Arg::Long("strict")) => strict.replace(()),
            Some(Arg::Long("receive-with")) => {
                let word = parser.value().map_err(wrong)?;
                way.replace(values::text("--receive-with", &word)?.parse()?)
                    .map(drop::<ReceiveWith>)
            }
            Some(Arg::Value(dir)) => break dir,
            other => return Err(refused(&format!("{other:?} is not for servers"))),
        };
        if before.is_some() {
            return Err(refused("an option stands there twice"));
        }
    };
    if parser.raw_args().map_err(wrong)?.next().is_some() {
        return Err(refused("the directory is the last word"));
    }
    Ok(Grant {
        access: access.ok_or_else(|| refused("--mode is missing"))?,
        dir: plain(dir)?,
        name,
        strict: strict.is_some(),
        receive_with: way,
    })
}

fn refused(said: &str) -> Error {
    let way = "a server is started as: buttersink --server --mode r|a|w [--as NAME] [--strict] [--receive-with WAY] /DIR";
    let said = format!("{said} ({way})");
    Error::usage("cannot understand the command line", said)
}

/// Only what can be read in one way.
fn plain(dir: OsString) -> Result<OsString> {
    let path = Path::new(&dir);
    let up = path.components().any(|part| part == Component::ParentDir);
    match path.is_absolute() && !up {
        true => Ok(dir),
        false => Err(refused("the directory begins with a slash and has no '..'")),
    }
}

/// The far half of ssh. Duplicates of the descriptors, since std's have buffers of their own.
pub(super) fn run(grant: &Grant) -> Result<()> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    if input.is_terminal() {
        let said = "it is for the buttersink at the other end of ssh, and this is a terminal";
        return Err(Error::usage("cannot serve", said));
    }
    let doing = || "cannot serve".to_owned();
    system::open(grant.name.as_deref());
    let reader = File::from(input.as_fd().try_clone_to_owned().doing(doing)?);
    let writer = File::from(output.as_fd().try_clone_to_owned().doing(doing)?);
    let key = grant.name.as_ref().map(shown).unwrap_or_default();
    let terms = Terms {
        access: grant.access,
        key: &key,
        receive_with: grant.receive_with,
    };
    store::serve_directory(|| directory(grant), &terms, reader, writer)
        .inspect_err(|error| system::line(|| error.to_string()))
}

/// Where it is, if it may be served.
fn directory(grant: &Grant) -> Result<PathBuf> {
    let doing = || format!("cannot serve {}", shown(&grant.dir));
    let found = Found::at(Path::new(&grant.dir)).doing(doing)?;
    let path = found.path().doing(doing)?;
    if !found.private && !found.is_harmless().doing(doing)? {
        let said = "programs and devices that are received there could be used by others: a directory \
                    above it must be root's with mode 0700, or its mount have nosuid and nodev";
        if grant.strict {
            return Err(Error::refused(doing(), said));
        }
        system::line(|| format!("{}: {said}", shown(&path)));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Grant> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn as_sudoers_name_them() {
        let grant = Grant {
            access: Access::Append,
            dir: "/b/".into(),
            name: None,
            strict: false,
            receive_with: None,
        };
        assert_eq!(parsed(&["--mode", "a", "/b/"]).unwrap(), grant);
        let named = Grant {
            name: Some("host1".into()),
            strict: true,
            receive_with: Some(ReceiveWith::Builtin),
            ..grant
        };
        let words = "--strict --as host1 --receive-with builtin --mode a /b/"
            .split(' ')
            .collect::<Vec<_>>();
        assert_eq!(parsed(&words).unwrap(), named);
    }

    /// All of these could stand where a wildcard does.
    #[test]
    fn nothing_else_is_taken() {
        for wrong in [
            &["/b/"][..],
            &["--mode", "r"],
            &["--mode", "x", "/b/"],
            &["--mode", "a", "--mode", "w", "/b/"],
            &["--mode", "a", "/b/", "--mode", "w"],
            &["--mode", "a", "/b/", "--as", "root"],
            &["--mode", "a", "/b/", "/c/"],
            &["--mode", "a", "/b/", "--"],
            &["--mode", "a", "/b/", "-l", "/etc/cron.d/x"],
            &["--mode", "a", "-l", "/etc/cron.d/x", "/b/"],
            &["--mode", "a", "--exclude", "x", "/b/"],
            &["--mode", "a", "--max-bytes", "1", "/b/"],
            &["--strict", "--strict", "--mode", "a", "/b/"],
            &["--receive-with", "x", "--mode", "a", "/b/"],
            &["--mode", "a", "/b/", "--receive-with", "btrfs"],
            &["--mode", "a", "/b/../c"],
            &["--mode", "a", "b"],
            &["--mode", "a", ""],
            &["--mode", "a", "s3://b/x"],
            &["--mode", "a", "ssh://h/x/"],
            &["--mode", "a", "btrfs:///b/"],
            &["--server", "--mode", "a", "/b/"],
            &["--help"],
        ] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
