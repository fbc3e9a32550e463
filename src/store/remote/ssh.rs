//! How the far side is reached and started: `ssh HOST sudo buttersink --server --mode M /dir/`.
//! Knows the words of that command; what is said through it is `remote`'s business.

mod master;

use super::{Pipes, Remote};
use crate::error::{Cause, Doing, Error, Kind, Result};
use crate::limiter::{Limited, Limiter};
use crate::log;
use crate::process::duplex;
use crate::store::Access;
use crate::store::location::{Address, Place};
use crate::store::wire::{Descriptors, Hello};
pub use master::Connections;
use master::{Master, ThroughMaster};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

/// ssh notices within a minute that nobody answers any more. What a user gives with
/// `--ssh-option` stands before these, and so overrides them.
const KEEPALIVE: [&str; 2] = ["ServerAliveInterval=15", "ServerAliveCountMax=3"];

/// How far sides are reached and started.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// The program instead of `ssh`, with arguments, split at blanks.
    pub command: OsString,
    /// What ssh gets with `-o`.
    pub options: Vec<OsString>,
    /// How the far side becomes root: a word or more, or nothing.
    pub sudo: OsString,
    /// How it is called there: a word or more.
    pub remote: OsString,
    /// Those of the run, where it does more than one thing on a machine.
    pub connections: Option<Connections>,
}

impl Default for SshOptions {
    fn default() -> Self {
        SshOptions {
            command: "ssh".into(),
            options: Vec::new(),
            sudo: "sudo".into(),
            remote: "buttersink".into(),
            connections: None,
        }
    }
}

/// How ssh is called, up to the host.
fn words(address: &Address, options: &SshOptions) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = blanks(&options.command).map(OsString::from).collect();
    if words.is_empty() {
        return Err(Error::usage("cannot use ssh", "its command is empty"));
    }
    let keepalive = KEEPALIVE.map(OsString::from);
    for option in options.options.iter().chain(&keepalive) {
        words.extend(["-o".into(), option.clone()]);
    }
    if let Some(port) = address.port() {
        words.extend(["-p".into(), port.to_string().into()]);
    }
    words.push(address.login().into());
    Ok(words)
}

/// The command that starts the far side, through a connection that is there or one of its own.
fn command(
    words: &[OsString],
    through: Option<&Master>,
    dir: &OsStr,
    access: Access,
    options: &SshOptions,
) -> Command {
    let mut command = Command::new(&words[0]);
    for option in through.into_iter().flat_map(Master::options) {
        command.arg("-o").arg(option);
    }
    command.args(&words[1..]);
    command
        .args(blanks(&options.sudo))
        .args(blanks(&options.remote));
    command.args(["--server", "--mode", &access.letter().to_string()]);
    command.arg(quoted(dir));
    command
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

/// Opens the store at an address. `us` is what we tell the far side of this run; `bwlimit` is bytes in a second,
/// in both directions together.
///
/// # Errors
/// If the location cannot be, nobody answers, or the far side grants too little.
pub(crate) fn open(
    address: &Address,
    access: Access,
    us: Hello,
    options: &SshOptions,
    bwlimit: Option<u64>,
) -> Result<Remote> {
    let (host, place) = (address.host(), place(address, us.raw));
    let (address, ours) = (address.clone(), options.clone());
    let dial = move || {
        let doing = format!("cannot connect to {}", address.host());
        let words = words(&address, &ours)?;
        let connections = ours.connections.as_ref();
        let master = connections.map(|all| all.master(&words, &doing));
        let master = master.transpose()?.flatten();
        let command = command(&words, master.as_deref(), address.dir(), access, &ours);
        log::line(|| format!("{command:?}"));
        let (output, input) = duplex::start(command, doing.clone())?;
        let ends = output.stdout().map(|from| Descriptors::of(&from, &input));
        let ends = ends.transpose().doing(|| doing)?;
        let output: Box<dyn Read + Send> = match master {
            None => Box::new(output),
            Some(master) => Box::new(ThroughMaster {
                inner: output,
                master,
            }),
        };
        let pipes: Pipes = match bwlimit.map(Limiter::new) {
            None => (output, Box::new(input)),
            Some(limiter) => (
                Box::new(limited(output, &limiter)),
                Box::new(limited(input, &limiter)),
            ),
        };
        Ok((pipes, ends))
    };
    let remote = Remote::connect_attended(host, access, us, Box::new(dial))
        .map_err(|error| hint(error, options))?;
    Ok(remote.named(place))
}

fn place(address: &Address, raw: bool) -> Place {
    match raw {
        true => Place::RawSsh(address.clone()),
        false => Place::Ssh(address.clone()),
    }
}

fn limited<T>(inner: T, limiter: &Limiter) -> Limited<T> {
    let limiter = limiter.clone();
    Limited { inner, limiter }
}

const NO_PASSWORD: &str =
    "allow this command there without a password, see EXAMPLES in buttersink-protocol(5)";
const NO_PROGRAM: &str = "install buttersink there, or say with --remote-command where it is";
const NO_SUDO: &str = "say with --remote-sudo how to become root there ('' for not at all), and with --remote-command \
                       where buttersink is";

/// What sudo says, and the way out. It ends with 1 whatever was wrong, so that its words, which are these
/// in every locale that has no others, are all that tells.
const WORDS_OF_SUDO: &[(&str, &str)] = &[
    ("password is required", NO_PASSWORD),
    ("terminal is required", NO_PASSWORD),
    ("no tty present", NO_PASSWORD),
    ("must have a tty", NO_PASSWORD),
    ("command not found", NO_PROGRAM),
];

/// The way out of what commonly goes wrong at the far side.
fn hint(error: Error, options: &SshOptions) -> Error {
    let said = error.said.to_lowercase();
    let of_sudo = WORDS_OF_SUDO.iter().find(|(words, _)| said.contains(words));
    let way = match &error.cause {
        _ if error.kind != Kind::Failed => None,
        // So shells end that do not find the first word of what they are told.
        Some(Cause::Exit(127)) => match blanks(&options.sudo).next() {
            Some(_) => Some(NO_SUDO),
            None => Some(NO_PROGRAM),
        },
        _ => of_sudo.map(|(_, way)| *way),
    };
    match way {
        Some(way) => error.hint(way),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address> {
        Address::parse(OsStr::new(text))
    }

    fn called(text: &str, options: &SshOptions) -> Vec<String> {
        let address = address(text).unwrap();
        let words = words(&address, options).unwrap();
        let command = command(&words, None, address.dir(), Access::Append, options);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_command_that_sudoers_know() {
        let all = called("u@h:7/b/", &SshOptions::default()).join(" ");
        let alive = "-o ServerAliveInterval=15 -o ServerAliveCountMax=3";
        assert_eq!(
            all,
            format!("ssh {alive} -p 7 u@h sudo buttersink --server --mode a /b/")
        );
    }

    #[test]
    fn every_word_can_be_replaced() {
        let options = SshOptions {
            command: " /usr/bin/ssh  -4 ".into(),
            options: vec!["ServerAliveInterval=5".into()],
            sudo: "".into(),
            remote: "nice /opt/b".into(),
            ..SshOptions::default()
        };
        let all = called("h/b/", &options).join(" ");
        assert!(
            all.starts_with("/usr/bin/ssh -4 -o ServerAliveInterval=5 -o Server"),
            "{all}"
        );
        assert!(
            all.ends_with(" h nice /opt/b --server --mode a /b/"),
            "{all}"
        );
        let empty = SshOptions {
            command: " ".into(),
            ..SshOptions::default()
        };
        assert!(words(&address("h/b/").unwrap(), &empty).is_err());
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
        let usual = SshOptions::default();
        let root = SshOptions {
            sudo: " ".into(),
            ..SshOptions::default()
        };
        let (one, none) = (Some(Cause::Exit(1)), Some(Cause::Exit(127)));
        for (said, cause, options, way) in [
            ("sudo: a password is required", &one, &usual, NO_PASSWORD),
            (
                "sudo: a terminal is required to read the password",
                &one,
                &usual,
                NO_PASSWORD,
            ),
            (
                "sudo: buttersink: command not found",
                &one,
                &usual,
                NO_PROGRAM,
            ),
            (
                "bash: Zeile 1: buttersink: Kommando nicht gefunden.",
                &none,
                &root,
                NO_PROGRAM,
            ),
            ("sh: 1: sudo: not found", &none, &usual, NO_SUDO),
        ] {
            let cause = cause.clone();
            let error = Error::failed("cannot connect to h", said);
            let error = hint(Error { cause, ..error }, options);
            assert_eq!(
                (&*error.said, error.hint.as_deref()),
                (said, Some(way)),
                "{said}"
            );
        }
        let plain = hint(Error::failed("x", "Connection refused"), &usual);
        assert_eq!((&*plain.said, plain.hint), ("Connection refused", None));
    }
}
