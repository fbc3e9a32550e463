//! How the far side is reached and started: `ssh HOST sudo buttersink --server --mode M /dir/`.
//! Knows the words of that command; what is said through it is `remote`'s business.

use super::{Pipes, Remote};
use crate::error::{Error, Kind, Result};
use crate::limiter::{Limited, Limiter};
use crate::log;
use crate::process::duplex;
use crate::snapshot::shown;
use crate::store::Access;
use crate::store::location::Address;
use crate::store::wire::Hello;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

/// ssh notices within a minute that nobody answers any more. What a user gives with
/// `--ssh-option` stands before these, and so overrides them.
const KEEPALIVE: [&str; 2] = ["ServerAliveInterval=15", "ServerAliveCountMax=3"];

/// How far sides are reached and started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The program instead of `ssh`, with arguments, split at blanks.
    pub command: OsString,
    /// What ssh gets with `-o`.
    pub options: Vec<OsString>,
    /// How the far side becomes root: a word or more, or nothing.
    pub sudo: OsString,
    /// How it is called there: a word or more.
    pub remote: OsString,
    /// Bytes in a second, in both directions together.
    pub bwlimit: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            command: "ssh".into(),
            options: Vec::new(),
            sudo: "sudo".into(),
            remote: "buttersink".into(),
            bwlimit: None,
        }
    }
}

/// The command that starts the far side.
fn command(address: &Address, access: Access, options: &Options) -> Result<Command> {
    let mut words = blanks(&options.command);
    let Some(program) = words.next() else {
        return Err(Error::usage("cannot use ssh", "its command is empty"));
    };
    let mut command = Command::new(program);
    command.args(words);
    let keepalive = KEEPALIVE.iter().map(OsStr::new);
    for option in options
        .options
        .iter()
        .map(OsString::as_os_str)
        .chain(keepalive)
    {
        command.arg("-o").arg(option);
    }
    if let Some(port) = address.port() {
        command.args(["-p", &port.to_string()]);
    }
    command.arg(address.login());
    command
        .args(blanks(&options.sudo))
        .args(blanks(&options.remote));
    command.args(["--server", "--mode", &access.letter().to_string()]);
    command.arg(quoted(address.dir()));
    Ok(command)
}

/// The words of a text, separated by blanks. Empty ones are none.
fn blanks(text: &OsStr) -> impl Iterator<Item = &OsStr> {
    let words = text.as_bytes().split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty()).map(OsStr::from_bytes)
}

/// A word that the far side's shell takes for just this word. What needs no quotes gets none.
/// Quotes and backslashes stand outside of quotes, which sh, csh and fish read alike.
fn quoted(word: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(b);
    if !bytes.is_empty() && bytes.iter().all(harmless) {
        return word.to_owned();
    }
    let (mut text, mut inside) = (Vec::new(), false);
    for &byte in bytes {
        let special = matches!(byte, b'\'' | b'\\');
        if special == inside {
            text.push(b'\'');
            inside = !inside;
        }
        if special {
            text.push(b'\\');
        }
        text.push(byte);
    }
    if inside || text.is_empty() {
        text.extend(if inside { &b"'"[..] } else { b"''" });
    }
    OsString::from_vec(text)
}

/// Opens the store at an address. `us` is what we tell the far side of this run.
///
/// # Errors
/// If the location cannot be, nobody answers, or the far side grants too little.
pub(crate) fn open(
    address: &Address,
    access: Access,
    us: Hello,
    options: &Options,
) -> Result<Remote> {
    let (host, url, asked) = (address.host(), address.url(), shown(address.dir()));
    let (address, options) = (address.clone(), options.clone());
    let dial = move || -> Result<Pipes> {
        let command = command(&address, access, &options)?;
        log::line(|| format!("{command:?}"));
        let doing = format!("cannot connect to {}", address.host());
        let (output, input) = duplex::start(command, doing)?;
        Ok(match options.bwlimit.map(Limiter::new) {
            None => (Box::new(output), Box::new(input)),
            Some(limiter) => {
                let (inner, to) = (output, limiter.clone());
                (
                    Box::new(Limited { inner, limiter }),
                    Box::new(Limited {
                        inner: input,
                        limiter: to,
                    }),
                )
            }
        })
    };
    let remote = Remote::connect(host, access, us, Box::new(dial)).map_err(hint)?;
    Ok(remote.named(url, asked))
}

/// The way out of what commonly goes wrong at the far side.
fn hint(error: Error) -> Error {
    let said = error.said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let way = if error.kind != Kind::Failed {
        return error;
    } else if has(&[
        "password is required",
        "terminal is required",
        "no tty present",
        "must have a tty",
    ]) {
        "allow this command there without a password, see EXAMPLES in buttersink-protocol(5)"
    } else if has(&["command not found", "not found", "no such file"]) && has(&["buttersink"]) {
        "install buttersink there, or say with --remote-command where it is"
    } else if has(&["sudo", "doas"]) && has(&["not found"]) {
        "say with --remote-sudo how to become root there ('' for not at all)"
    } else {
        return error;
    };
    error.hint(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address> {
        Address::parse(OsStr::new(text))
    }

    fn words(text: &str, options: &Options) -> Vec<String> {
        let command = command(&address(text).unwrap(), Access::Append, options).unwrap();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_command_that_sudoers_know() {
        let all = words("u@h:7/b/", &Options::default()).join(" ");
        let alive = "-o ServerAliveInterval=15 -o ServerAliveCountMax=3";
        assert_eq!(
            all,
            format!("ssh {alive} -p 7 u@h sudo buttersink --server --mode a /b/")
        );
    }

    #[test]
    fn every_word_can_be_replaced() {
        let options = Options {
            command: " /usr/bin/ssh  -4 ".into(),
            options: vec!["ServerAliveInterval=5".into()],
            sudo: "".into(),
            remote: "nice /opt/b".into(),
            bwlimit: None,
        };
        let all = words("h/b/", &options).join(" ");
        assert!(
            all.starts_with("/usr/bin/ssh -4 -o ServerAliveInterval=5 -o Server"),
            "{all}"
        );
        assert!(
            all.ends_with(" h nice /opt/b --server --mode a /b/"),
            "{all}"
        );
        let empty = Options {
            command: " ".into(),
            ..Options::default()
        };
        assert!(command(&address("h/b/").unwrap(), Access::Read, &empty).is_err());
    }

    #[test]
    fn shells_read_back_what_is_quoted() {
        let mut every: Vec<u8> = (1..=255).collect();
        every.extend(1..=255);
        let odd: [&[u8]; 12] = [
            b"/plain/path/",
            b"/with space/",
            b"/'/",
            b"/''a''/",
            b"/\\/",
            b"/\\'\\",
            b"/\n/",
            b"/$HOME `id` $(id) \"x\" !! * ? [a] {a,b} ~ # & | ; < >/",
            b"~",
            b"",
            b"/\xff\xfe/",
            &every,
        ];
        for shell in ["sh", "bash", "dash", "zsh", "ksh", "fish"] {
            for word in odd {
                let word = OsStr::from_bytes(word);
                let mut script = OsString::from("printf %s ");
                script.push(quoted(word));
                let Ok(said) = Command::new(shell).arg("-c").arg(script).output() else {
                    assert_ne!(shell, "sh");
                    continue;
                };
                assert_eq!(OsStr::from_bytes(&said.stdout), word, "{shell}");
            }
        }
        assert_eq!(quoted(OsStr::new("/back-up/host_1/")), "/back-up/host_1/");
    }

    #[test]
    fn common_mistakes_have_a_way_out() {
        for (said, way) in [
            ("sudo: a password is required", "without a password"),
            (
                "sudo: a terminal is required to read the password",
                "without a password",
            ),
            ("sudo: buttersink: command not found", "--remote-command"),
            (
                "bash: line 1: buttersink: command not found",
                "--remote-command",
            ),
            ("sh: 1: sudo: not found", "--remote-sudo"),
        ] {
            let error = hint(Error::failed("cannot connect to h", said));
            assert!(
                error.said == said && error.hint.as_ref().is_some_and(|hint| hint.contains(way)),
                "{error}"
            );
        }
        let plain = hint(Error::failed("x", "Connection refused"));
        assert_eq!(plain.said, "Connection refused");
    }
}
