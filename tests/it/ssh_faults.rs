//! Through a real sshd, when something dies, stops or fills up in the middle.

use crate::runner::Test;
use crate::sshd::*;
use crate::stores::fill;
use crate::subvolumes::{snapshot, subvolume};
use crate::support::{btrfs, run};
use crate::tests;
use crate::tree::assert_same;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    ssh_is_killed_in_a_push,
    ssh_is_killed_in_a_pull,
    the_server_is_killed_in_a_push,
    the_server_is_killed_in_a_pull,
    a_far_disk_fills_up,
    a_stopped_peer_is_noticed,
    ctrl_c_leaves_nothing,
    a_signal_to_us_alone_ends_the_run,
];

/// Starts a slow transfer, and returns when it is under way.
fn slow(args: &[&OsStr], begun: impl FnMut() -> bool) -> Child {
    let options = ["--bwlimit", "6M"].map(OsStr::new);
    let mut command = command([&options[..], args].concat());
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the transfer to begin", begun);
    // A moment more, so that it is in the middle.
    std::thread::sleep(Duration::from_millis(300));
    child
}

fn ended(child: Child) -> (i32, String) {
    let said = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    println!("{}: {text}", said.status);
    assert!(
        !text.contains("Broken pipe") && !text.contains("EPIPE"),
        "{text}"
    );
    (said.status.code().unwrap_or(-1), text)
}

fn signal(name: &str, pids: &[u32]) {
    assert!(!pids.is_empty(), "nobody to signal");
    let words = pids.iter().map(ToString::to_string);
    run("kill", std::iter::once(format!("-{name}")).chain(words));
}

fn servers(dir: &Path) -> Vec<u32> {
    processes("buttersink --server", dir)
}

fn part(dir: &Path) -> bool {
    let names = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let part = names
        .into_iter()
        .any(|name| name.as_bytes().ends_with(b".part"));
    part || crate::support::in_quarantine(dir)
}

fn lost(said: &(i32, String)) {
    assert!(said.0 == 1 || said.0 == 10, "exit {}", said.0);
    let (_, after) = said
        .1
        .split_once("connection to far lost after ")
        .expect("says how far it came");
    let words: Vec<&str> = after.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    assert!(
        words[1] == "of" && words[3].starts_with("bytes") && number(0) < number(2),
        "{after}"
    );
}

fn ssh_is_killed_in_a_push() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    signal("KILL", &processes("ssh -F", &there));
    lost(&ended(child));
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there) && !there.join("base").exists());
    fine([near(&snaps), far(&there)]);
    assert_same(&snaps.join("next"), &there.join("next"));
}

fn ssh_is_killed_in_a_pull() {
    let _sshd = Sshd::start();
    let (snaps, home) = large_dirs();
    let child = slow(&[&far(&snaps), &near(&home)], || part(&home));
    signal("KILL", &processes("ssh -F", &snaps));
    lost(&ended(child));
    assert!(!part(&home) && !home.join("base").exists());
    wait_for("the far side to end", || servers(&snaps).is_empty());
    fine([far(&snaps), near(&home)]);
    assert_same(&snaps.join("next"), &home.join("next"));
}

fn the_server_is_killed_in_a_push() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    signal("KILL", &servers(&there));
    lost(&ended(child));
    assert!(!there.join("base").exists());
    // What it left goes with the next run.
    wait_for("btrfs receive to end", || {
        processes("btrfs receive", &there).is_empty()
    });
    fine([near(&snaps), far(&there)]);
    assert!(!part(&there));
    assert_same(&snaps.join("next"), &there.join("next"));
}

fn the_server_is_killed_in_a_pull() {
    let _sshd = Sshd::start();
    let (snaps, home) = large_dirs();
    let child = slow(&[&far(&snaps), &near(&home)], || part(&home));
    signal("KILL", &servers(&snaps));
    lost(&ended(child));
    assert!(!part(&home) && !home.join("base").exists());
    fine([far(&snaps), near(&home)]);
    assert_same(&snaps.join("next"), &home.join("next"));
}

fn a_far_disk_fills_up() {
    let _sshd = Sshd::start();
    let (near_fs, there) = (btrfs("near", 1024), btrfs("far", 128));
    let (work, snaps) = (near_fs.join("work"), near_fs.join("snaps"));
    subvolume(&work);
    fill(&work, "much", 200);
    fs::create_dir(&snaps).unwrap();
    snapshot(&work, &snaps.join("big"));
    // With an exact size it does not even begin; with a guess the disk decides.
    let exact = buttersink([near(&snaps), far(&there)]);
    assert_eq!(exact.code, 1);
    assert!(
        exact.stderr.contains("are free"),
        "says how much is missing"
    );
    let guess = buttersink([OsStr::new("-e"), &near(&snaps), &far(&there)]);
    assert_eq!(guess.code, 1);
    assert!(
        guess
            .stderr
            .to_lowercase()
            .contains("no space left on device")
    );
    assert!(guess.stderr.contains("far: ") && !guess.stderr.contains("Broken pipe"));
    assert!(!part(&there) && !there.join("big").exists());
}

fn a_stopped_peer_is_noticed() {
    let sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let quick = [
        "--ssh-option",
        "ServerAliveInterval=1",
        "--ssh-option",
        "ServerAliveCountMax=1",
    ];
    let (from, to) = (near(&snaps), far(&there));
    let args = [&quick.map(OsStr::new)[..], &[&from, &to]].concat();
    let child = slow(&args, || part(&there));
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default();
        fields
            .split(' ')
            .nth(1)
            .and_then(|pid| pid.parse::<u32>().ok())
    };
    // The sshd of this connection is the one whose parent is the listening one.
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mine: Vec<u32> = pids
        .filter(|&pid| parent(pid) == Some(sshd.child.id()))
        .collect();
    signal("STOP", &mine);
    let said = ended(child);
    signal("CONT", &mine);
    lost(&said);
    assert!(said.1.contains("not responding"), "in ssh's own words");
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there));
}

fn ctrl_c_leaves_nothing() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    let us = child.id();
    signal("INT", &[&processes("ssh -F", &there)[..], &[us]].concat());
    let (code, text) = ended(child);
    assert_eq!(code, 130, "{text}");
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there) && !there.join("base").exists());
}

/// As `kill` sends it: nobody tells ssh, and the far side waits for the rest of a frame.
fn a_signal_to_us_alone_ends_the_run() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    signal("TERM", &[child.id()]);
    let (code, text) = ended(child);
    assert_eq!(code, 130, "{text}");
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there) && !there.join("base").exists());
}
