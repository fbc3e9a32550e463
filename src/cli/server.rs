//! `buttersink --server`: what a line in sudoers or authorized_keys grants, and to whom. Takes no word
//! more than is documented, and none after the directory: sudo's wildcards match blanks and slashes.

use super::form::Form;
use super::grammar::{Command, Usage};
use super::options::Options;
use crate::error::{Doing, Error, Result};
use crate::log::system;
use crate::snapshot::{NO_KEY, shown};
use crate::store::{self, Grant, Quota, Terms};
use crate::sys::secure_open::Unopened;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

pub(super) const COMMAND: Command<Form> = Command {
    name: "--server",
    about: "serves DIR to the buttersink at the other end of standard input and output",
    usages: &[Usage::of(
        Form::Server,
        "--mode r|p|a|w [--as NAME] [--strict] [--max-bytes N] [--max-snapshots N] [--receive-with WAY] [--receive-unconfined] DIR",
        (1, 1),
    )],
    text: "",
    examples: &[],
    exit: &[],
};

fn refused(said: &str) -> Error {
    let usage = COMMAND.usages[0].words;
    let said = format!("{said}: it is buttersink --server {usage}");
    Error::usage("cannot understand the command line", said)
}

/// Only what can be read in one way.
fn plain(dir: &OsStr) -> Result<&Path> {
    let path = Path::new(dir);
    let up = path.components().any(|part| part == Component::ParentDir);
    match path.is_absolute() && !up {
        true => Ok(path),
        false => Err(refused("the directory begins with a slash and has no '..'")),
    }
}

/// The key by which snapshots come. What was made on this machine is of nobody's key.
fn key(options: &Options) -> Result<String> {
    let name = options.as_client.as_ref().map(shown).unwrap_or_default();
    match name.as_str() {
        NO_KEY => Err(refused(
            "'local' is what was made here: --as has another name",
        )),
        _ => Ok(name),
    }
}

/// The far half of ssh. Duplicates of the descriptors, since std's have buffers of their own.
pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let dir = plain(&words[0])?;
    let access = options.mode.ok_or_else(|| refused("--mode is missing"))?;
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let key = key(options)?;
    if input.is_terminal() {
        let said = "it is for the buttersink at the other end of ssh, and this is a terminal";
        return Err(Error::usage("cannot serve", said));
    }
    let doing = || "cannot serve".to_owned();
    system::open(options.as_client.as_deref());
    let reader = File::from(input.as_fd().try_clone_to_owned().doing(doing)?);
    let writer = File::from(output.as_fd().try_clone_to_owned().doing(doing)?);
    let quota = Quota {
        bytes: options.max_bytes,
        snapshots: options.max_snapshots,
    };
    let terms = Terms {
        grant: Grant { access, quota },
        key: &key,
        receive_with: options.receive_with,
        unconfined: options.receive_unconfined,
    };
    let check = |dir: &Path| directory(dir, options.strict);
    store::serve_directory(dir, &check, &terms, reader, writer)
        .inspect_err(|error| system::line(|| error.to_string()))
}

/// The directory without links, if it may be served.
fn directory(dir: &Path, strict: bool) -> Result<PathBuf> {
    let doing = || format!("cannot serve {}", shown(dir));
    let found = Unopened::at(dir).doing(doing)?;
    let path = found.path().doing(doing)?;
    if !found.private && !found.is_harmless().doing(doing)? {
        let said = "programs and devices that are received there could be used by others: a directory \
                    above it must be root's with mode 0700, or its mount have nosuid and nodev";
        if strict {
            return Err(Error::refused(doing(), said));
        }
        system::line(|| format!("{}: {said}", shown(&path)));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_in_one_way() {
        assert!(plain(OsStr::new("/b/")).is_ok());
        for wrong in ["/b/../c", "b", "", "s3://b/x", "ssh://h/x/", "btrfs:///b/"] {
            assert_eq!(
                plain(OsStr::new(wrong)).unwrap_err().exit_code(),
                2,
                "{wrong}"
            );
        }
        let mut options = Options {
            as_client: Some(NO_KEY.into()),
            ..Options::default()
        };
        assert_eq!(key(&options).unwrap_err().exit_code(), 2);
        options.as_client = Some("host1".into());
        assert_eq!(key(&options).unwrap(), "host1");
        let none = run(&["/b/".into()], &Options::default()).unwrap_err();
        assert_eq!(none.exit_code(), 2);
    }
}
