//! What becomes of a connection when one end says nothing more.

use super::client::{Client, file};
use crate::memory::Memory;
use crate::runner::Test;
use crate::streams::{of_commands, uuid};
use crate::subvolumes::{script, subvolume};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::store::Store;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    a_server_says_that_it_lives_while_it_is_busy,
    an_upload_that_freezes_is_aborted,
    who_asks_nothing_for_long_loses_the_lock,
    who_never_ends_a_question_loses_the_lock,
    a_server_that_falls_silent_is_given_up,
    a_server_that_takes_nothing_more_is_given_up,
    a_server_that_drips_is_given_up,
    a_client_that_drips_is_given_up,
    heartbeats_hurt_no_transfer,
];

/// The milliseconds of heartbeats, of silence, of idleness and of a frame that has begun.
const PATIENCE: &str = "BUTTERSINK_PATIENCE";
const EVER: &str = "900000000";

fn frame(kind: u8, body: &str) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&[kind][..], &length, body.as_bytes()].concat()
}

fn hello() -> Vec<u8> {
    let words = ["digest", "heartbeat"];
    let hello = json!({"program": "x", "protocol": 3, "words": words, "mode": "append"});
    frame(b'H', &hello.to_string())
}

/// Everything up to the middle of a stream.
fn half_an_upload() -> Vec<u8> {
    let diff = json!({"to": uuid(7).to_string(), "from": null, "size": "unknown"});
    let request = json!({"ask": "receive", "diff": diff, "path": "x"});
    let stream = of_commands(7, &[file("name", &[7; 500])]);
    let length = (stream.len() as u32).to_le_bytes();
    let half = &stream[..stream.len() / 2];
    [
        &hello()[..],
        &frame(b'Q', r#"{"ask":"list"}"#),
        &frame(b'Q', &request.to_string()),
        b"D",
        &length,
        half,
    ]
    .concat()
}

/// A server of a directory to which a client has said this, and now says nothing.
fn server(dir: &Path, patience: &str, said: &[u8]) -> Client {
    let mut command = Command::new(binary("buttersink"));
    command
        .args(["--server", "--mode", "a"])
        .arg(dir)
        .env(PATIENCE, patience);
    Client::that_said(&mut command, said)
}

fn a_server_says_that_it_lives_while_it_is_busy() {
    let root = btrfs("far", 256);
    let patience = format!("1 {EVER} {EVER}");
    let mut client = server(&root, &patience, &half_an_upload());
    let mut beats = 0;
    while beats < 5 {
        let (kind, body) = client.frame().unwrap();
        beats += usize::from(kind == b'B' && body.is_empty());
        assert_ne!(kind, b'F');
    }
    assert_ne!(client.close(), 0);
    assert!(!in_quarantine(&root) && is_free(&root));
}

fn an_upload_that_freezes_is_aborted() {
    let root = btrfs("far", 256);
    let client = server(&root, &format!("{EVER} 500 {EVER}"), &half_an_upload());
    assert_ne!(client.ended(), 0);
    assert!(!in_quarantine(&root) && is_free(&root));
}

fn who_asks_nothing_for_long_loses_the_lock() {
    let root = btrfs("far", 256);
    let beats = frame(b'B', "").repeat(100);
    let mut client = server(
        &root,
        &format!("{EVER} {EVER} 300"),
        &[hello(), beats].concat(),
    );
    hears_that_no_request_came(&mut client);
    assert_eq!(client.ended(), 1);
    assert!(is_free(&root));
}

/// A question of a megabyte, a byte at a time.
fn who_never_ends_a_question_loses_the_lock() {
    let root = btrfs("far", 256);
    let begun = [hello(), b"Q\0\0\x10\0".to_vec()].concat();
    let mut client = server(&root, &format!("{EVER} {EVER} 300"), &begun);
    client.drip();
    hears_that_no_request_came(&mut client);
    assert_eq!(client.ended(), 1);
    assert!(is_free(&root));
}

/// A piece of a stream, a byte at a time: each was as good as a request.
fn a_client_that_drips_is_given_up() {
    let root = btrfs("far", 256);
    let patience = format!("{EVER} {EVER} {EVER} 300");
    let mut client = server(&root, &patience, &half_an_upload());
    client.drip();
    let said = last_words(&mut client);
    assert!(said.contains("hardly anything came"), "{said}");
    assert_ne!(client.ended(), 0);
    assert!(!in_quarantine(&root) && is_free(&root));
}

fn last_words(client: &mut Client) -> String {
    let mut last = (0, Vec::new());
    while let Some(frame) = client.frame() {
        last = frame;
    }
    String::from_utf8(last.1).unwrap()
}

fn hears_that_no_request_came(client: &mut Client) {
    let words = last_words(client);
    assert!(words.contains("no request came"), "{words}");
}

/// Whether the next one can have the lock.
fn is_free(dir: &Path) -> bool {
    let client = Client::serving("a", dir);
    client.close() == 0
}

/// What a client makes of a far side that says this and then nothing, and reads nothing.
fn hears(said: &[u8]) -> Said {
    hears_then(said, "exec sleep 1000000", &format!("1 300 {EVER}"))
}

/// What it makes of one that says this and then does that.
fn hears_then(said: &[u8], then: &str, patience: &str) -> Said {
    let near = btrfs("near", 256);
    subvolume(&near.join("live"));
    script(
        &near,
        "head -c 3M /dev/urandom >live/file; mkdir snaps; btrfs -q subvolume snapshot -r live snaps/one",
    );
    let (canned, far) = (here().join("canned"), here().join("far.sh"));
    fs::write(&canned, said).unwrap();
    let text = format!("#!/bin/sh\ncat {}\n{then}\n", canned.display());
    fs::write(&far, text).unwrap();
    run("chmod", ["+x", far.to_str().unwrap()]);
    let snaps = format!("{}/snaps/", near.display());
    let words = [
        "--ssh-command",
        far.to_str().unwrap(),
        &snaps,
        "ssh://far/x/",
    ];
    let mut command = Command::new(binary("buttersink"));
    command.args(words).env(PATIENCE, patience);
    Said::of(&output(&mut command))
}

fn a_server_that_falls_silent_is_given_up() {
    let said = hears(&hello());
    assert_eq!(said.code, 1);
    assert!(
        said.stderr
            .contains("connection to far lost: nothing was heard"),
        "{}",
        said.stderr
    );
}

/// A listing of a megabyte, a byte at a time.
fn a_server_that_drips_is_given_up() {
    let begun = [hello(), b"A\0\0\x10\0".to_vec()].concat();
    let drips = "while echo; do sleep 0.01; done";
    let said = hears_then(&begun, drips, &format!("{EVER} {EVER} {EVER} 300"));
    assert_eq!(said.code, 1);
    let why = "connection to far lost: hardly anything came";
    assert!(said.stderr.contains(why), "{}", said.stderr);
}

fn a_server_that_takes_nothing_more_is_given_up() {
    let listing = Memory::default().list().unwrap();
    let listing = serde_json::to_string(&listing).unwrap();
    let answers = [hello(), frame(b'A', &listing), frame(b'A', "null")].concat();
    let said = hears(&answers);
    assert!(said.code == 1 || said.code == 10);
    assert!(
        said.stderr.contains("connection to far lost after ")
            && said.stderr.contains("nothing was heard"),
        "{}",
        said.stderr
    );
}

fn heartbeats_hurt_no_transfer() {
    let (near, far) = (btrfs("near", 256), btrfs("far", 256));
    subvolume(&near.join("live"));
    script(
        &near,
        "head -c 9M /dev/urandom >live/file; mkdir snaps; btrfs -q subvolume snapshot -r live snaps/1; \
         echo more >>live/file; btrfs -q subvolume snapshot -r live snaps/2",
    );
    let ssh = forced(&far);
    let call = |from: &str, to: &str| {
        let words = [
            "--bwlimit",
            "20M",
            "--compare",
            "--ssh-command",
            &ssh,
            from,
            to,
        ];
        let mut command = Command::new(binary("buttersink"));
        command
            .args(words)
            .env(PATIENCE, format!("1 {EVER} {EVER}"));
        let said = output(&mut command);
        assert!(said.status.success());
    };
    let there = format!("ssh://far{}/", far.display());
    fs::create_dir(near.join("back")).unwrap();
    call(&format!("{}/snaps/", near.display()), &there);
    call(&there, &format!("{}/back/", near.display()));
    for name in ["1", "2"] {
        assert_same(&near.join("snaps").join(name), &far.join(name));
    }
}

/// An ssh that is none: it starts the server here.
pub(super) fn forced(dir: &Path) -> String {
    let path: PathBuf = here().join("forced.sh");
    let line = format!(
        "#!/bin/sh\nexec '{}' --server --mode a '{}/'\n",
        binary("buttersink").display(),
        dir.display()
    );
    fs::write(&path, line).unwrap();
    run("chmod", ["+x", path.to_str().unwrap()]);
    path.to_str().unwrap().to_owned()
}
