//! Streams that no kernel makes: whoever wrote them wants to get out of the snapshot.

use crate::runner::Test;
use crate::streams::{command, diff, of_commands, write};
use crate::support::{btrfs, here, in_quarantine, local_options, output, run};
use crate::tests;
use buttersink::error::{Error, Kind};
use buttersink::store::local::{Local, LocalOptions};
use buttersink::store::{Access, ReceiveWith, Store};
use std::io::Write;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    symbolic_links_lead_nowhere,
    device_nodes_are_not_written_to,
    paths_lead_nowhere,
    links_and_nodes_themselves_arrive,
    what_is_received_is_where_only_root_enters,
    what_is_remembered_is_no_name,
];

const MKFILE: u16 = 3;
const MKNOD: u16 = 5;
const SYMLINK: u16 = 8;
const LINK: u16 = 10;
const INO: u16 = 3;
const PATH: u16 = 15;
const PATH_LINK: u16 = 17;

/// A command that makes something.
fn make(kind: u16, path: &str, more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let number = 300u64.to_le_bytes().into();
    let first = [(INO, number), (PATH, path.into())];
    command(kind, &[&first[..], more].concat())
}

fn symlink(path: &str, target: &Path) -> Vec<u8> {
    let target = target.to_str().unwrap().into();
    make(SYMLINK, path, &[(PATH_LINK, target)])
}

/// `/dev/null`, which takes it harmlessly if it is ever written to.
fn null(path: &str) -> Vec<u8> {
    let number = |n: u64| n.to_le_bytes().to_vec();
    let (mode, device) = (libc::S_IFCHR | 0o666, libc::makedev(1, 3));
    make(
        MKNOD,
        path,
        &[(5, number(mode.into())), (8, number(device))],
    )
}

fn mkfile(path: &str) -> Vec<u8> {
    make(MKFILE, path, &[])
}

fn open(dest: &Path, receive_with: Option<ReceiveWith>) -> Result<Local, Error> {
    let options = LocalOptions {
        receive_with,
        ..local_options()
    };
    Local::open(dest, Access::Write, options)
}

/// Receives a stream of these commands as `snap`.
fn receive(dest: &Path, commands: &[Vec<u8>]) -> Result<(), Error> {
    let stream = of_commands(1, commands);
    let mut local = open(dest, crate::support::receive_with())?;
    let mut sink = local.receive(&diff(1, None, stream.len()), Path::new("snap"))?;
    sink.write_all(&stream)
        .map_err(|error| Error::io("writing", error))?;
    sink.finish().map(|_| ())
}

/// It must be refused, and leave nothing.
#[track_caller]
fn refused(dest: &Path, commands: &[Vec<u8>], words: &[&str]) {
    let error = receive(dest, commands).unwrap_err();
    let says = |word: &&str| error.to_string().contains(*word);
    assert!(words.iter().any(says), "{error}");
    assert!(!in_quarantine(dest));
    for name in ["snap", "snap.part"] {
        assert!(dest.join(name).symlink_metadata().is_err(), "{name}");
    }
}

fn symbolic_links_lead_nowhere() {
    let dest = btrfs("dest", 256);
    // One that lies elsewhere, and one on the same filesystem.
    for outside in [here().join("outside"), dest.join("outside")] {
        std::fs::create_dir(&outside).unwrap();
        let victim = outside.join("victim");
        std::fs::write(&victim, "good").unwrap();
        // The second is what the kernel says of a link in place of a directory, when asked for one.
        let word = &["symbolic links", "Not a directory"];
        refused(&dest, &[symlink("x", &victim), write(b"x", b"evil")], word);
        refused(&dest, &[symlink("d", &outside), mkfile("d/new")], word);
        assert_eq!(std::fs::read(&victim).unwrap(), b"good");
        assert!(!outside.join("new").exists());
    }
}

fn device_nodes_are_not_written_to() {
    let dest = btrfs("dest", 256);
    refused(
        &dest,
        &[null("n"), write(b"n", b"evil")],
        &["denied", "not a regular file"],
    );
}

fn paths_lead_nowhere() {
    let dest = btrfs("dest", 256);
    std::fs::write(dest.join("victim"), "good").unwrap();
    let link = [(PATH, b"l".to_vec()), (PATH_LINK, b"../victim".to_vec())];
    for commands in [
        vec![write(b"../victim", b"evil")],
        vec![mkfile("../new")],
        vec![command(LINK, &link), write(b"l", b"evil")],
        vec![mkfile("a"), write(b"a\0/../../victim", b"evil")],
    ] {
        refused(&dest, &commands, &["leads out"]);
    }
    let again = of_commands(2, &[]);
    refused(&dest, &[again[17..].to_vec()], &["a second snapshot"]);
    assert_eq!(std::fs::read(dest.join("victim")).unwrap(), b"good");
    assert!(!dest.join("new").exists());
}

/// The same things, by somebody who means no harm.
fn links_and_nodes_themselves_arrive() {
    let dest = btrfs("dest", 256);
    let commands = [symlink("x", Path::new("../../etc")), null("n"), mkfile("f")];
    receive(&dest, &[&commands[..], &[write(b"f", b"good")]].concat()).unwrap();
    let link = std::fs::read_link(dest.join("snap/x")).unwrap();
    assert_eq!(link, Path::new("../../etc"));
    assert_eq!(std::fs::read(dest.join("snap/f")).unwrap(), b"good");
    assert!(dest.join("snap/n").symlink_metadata().is_ok());
}

/// A program with a set-user-ID bit, in a stream of which the end has not come.
fn what_is_received_is_where_only_root_enters() {
    let dest = btrfs("dest", 256);
    let number = |n: u64| n.to_le_bytes().to_vec();
    let chmod = |path: &str, mode| command(18, &[(PATH, path.into()), (5, number(mode))]);
    let commands = [chmod("", 0o777), mkfile("sh"), chmod("sh", 0o4755)];
    let stream = of_commands(1, &commands);
    let mut local = open(&dest, Some(ReceiveWith::Builtin)).unwrap();
    let mut sink = local
        .receive(&diff(1, None, stream.len()), Path::new("snap"))
        .unwrap();
    sink.write_all(&stream[..stream.len() - 1]).unwrap();
    let found = run("find", [dest.to_str().unwrap(), "-name", "sh"]);
    let found = Path::new(found.trim());
    assert!(found.starts_with(dest.join(".buttersink")), "{found:?}");
    for path in [found, &dest.join(".buttersink")] {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "ls"];
        let user = user.map(std::ffi::OsStr::new);
        let said = output(Command::new("setpriv").args(user).arg(path));
        assert!(!said.status.success());
    }
    drop(sink);
    assert!(!in_quarantine(&dest));
}

/// A server may call its snapshots what it likes.
fn what_is_remembered_is_no_name() {
    let dest = btrfs("dest", 256);
    let mut local = open(&dest, crate::support::receive_with()).unwrap();
    for name in [
        ".buttersink",
        ".buttersink/seals",
        "y/.buttersink/x",
        ".buttersink-raw",
        "y/.buttersink-raw",
    ] {
        let refused = local.receive(&diff(1, None, 0), Path::new(name));
        assert_eq!(refused.err().unwrap().kind, Kind::Refused, "{name}");
    }
    assert!(!dest.join("y").exists());
}
