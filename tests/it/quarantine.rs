//! Our own receive, ended before every call that changes something on the disk: by a kill, after
//! which `clean` or the next run takes away what it left, and by a power cut at the same moment.

use crate::runner::Test;
use crate::subvolumes::{history, script, snapshot};
use crate::support::{
    binary, btrfs, buttersink, here, image, in_quarantine, mount_image, output, run, skip,
};
use crate::tests;
use crate::tree::assert_same;
use buttersink::store::local::Local;
use buttersink::store::{Access, ReceiveWith};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    a_kill_at_every_step_is_cleaned_up,
    a_power_cut_at_every_step_loses_nothing,
    several_that_were_held_are_cleaned_up,
    what_has_its_name_is_sealed_whoever_received_it,
    what_no_record_names_stays_in_quarantine,
    what_is_older_than_a_mark_is_not_what_it_names,
    an_error_at_every_step_leaves_nothing,
    stopped_frozen_and_ended_by_signals,
    what_is_for_other_directories_is_cleaned,
    marks_of_what_is_finished_go,
];

/// Calls by which something comes to last, or is asked whether it does.
const CALLS: &str = "ioctl,syncfs,fsync,renameat2,?rename,renameat,?unlink,unlinkat";

/// By which the tree is made.
const WORK: &str = "pwritev,mkdirat,fchownat,utimensat,fchmod,?chmod,linkat,fsetxattr,ftruncate";

/// Those that only ask.
const QUESTIONS: &[&str] = &["SEARCH", "INFO", "GETFLAGS", "LOOKUP", "ROOTREF", "TCGETS"];

/// A source with two snapshots, and the image of a destination that has none or the first of them,
/// not mounted.
fn sides(has_first: bool) -> (PathBuf, PathBuf) {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let (a, b) = (btrfs("a", 256), btrfs("first", 256));
    history(&a, 2);
    if has_first {
        assert_eq!(buttersink([a.join("snaps/1"), b.clone()]).code, 0);
    }
    run("umount", [&b]);
    (a.join("snaps"), image("first"))
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

/// `buttersink A/ B/` with our own receive, as the tail of another command.
fn command(around: &[&str], a: &Path, b: &Path) -> Command {
    let mut command = Command::new(around.first().map_or("env", |first| first));
    command.args(around.get(1..).unwrap_or_default());
    command.arg(binary("buttersink")).args([slash(a), slash(b)]);
    command.env("BUTTERSINK_RECEIVE_WITH", "builtin");
    command
}

/// The same by the program `btrfs`.
fn by_btrfs(around: &[&str], a: &Path, b: &Path) -> Command {
    let mut command = command(around, a, b);
    command.env("BUTTERSINK_RECEIVE_WITH", "btrfs");
    command
}

/// How a run is started.
type Start = fn(&[&str], &Path, &Path) -> Command;

/// A call by its name, and how many of that name there have been with it.
type Step = (String, usize);

/// The calls from the one on that says that something is being received.
fn steps(a: &Path, first: &Path) -> Vec<Step> {
    steps_of(CALLS, a, first)
}

fn steps_of(calls: &str, a: &Path, first: &Path) -> Vec<Step> {
    steps_by(command, calls, a, first)
}

fn steps_by(start: Start, calls: &str, a: &Path, first: &Path) -> Vec<Step> {
    let b = mounted(first, "counted");
    let log = here().join("calls");
    let trace = format!("trace={calls}");
    let around = ["strace", "-o", log.to_str().unwrap(), "-e", &trace];
    assert!(output(&mut start(&around, a, &b)).status.success());
    run("umount", [&b]);
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let mut steps = Vec::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let number = count.entry(name.to_owned()).or_default();
        *number += 1;
        let changes = !QUESTIONS.iter().any(|question| line.contains(question));
        if changes && (name == "fsync" || !steps.is_empty()) {
            steps.push((name.to_owned(), *number));
        }
    }
    assert!(steps.len() > 10, "{steps:?}");
    steps
}

/// A copy of an image, mounted.
fn mounted(of: &Path, name: &str) -> PathBuf {
    let copy = image(name);
    let words = ["--sparse=always", of.to_str().unwrap()];
    run("cp", words.into_iter().chain([copy.to_str().unwrap()]));
    mount_image(&copy, name, "")
}

/// Ends a run just before this call.
fn killed(step: &Step, a: &Path, b: &Path) {
    killed_by(command, step, a, b);
}

fn killed_by(start: Start, step: &Step, a: &Path, b: &Path) {
    let (name, number) = step;
    let inject = format!("inject={name}:signal=KILL:when={number}");
    let around = ["strace", "-o", "/dev/null", "-e", &inject];
    let status = start(&around, a, b)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let status = status.unwrap();
    let by_shell = status.code() == Some(128 + 9);
    assert!(status.signal() == Some(9) || by_shell, "{step:?}: {status}");
}

/// Whatever has a finished name is whole, and known to be, and of what it was sent as.
#[track_caller]
fn finished_are_whole(a: &Path, b: &Path) {
    for name in ["1", "2", "3"] {
        if b.join(name).exists() {
            assert_same(&a.join(name), &b.join(name));
        }
    }
    let listed = buttersink(["--json", &slash(b)]).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    for copy in listed["snapshots"].as_array().unwrap() {
        if copy["path"] == "1" || copy["path"] == "2" {
            assert_eq!(copy["state"], "ok", "{copy}");
            assert!(copy["origin"]["subvolume"].is_string(), "{copy}");
        }
    }
}

/// Nothing is left of what was begun.
#[track_caller]
fn nothing_is_left(b: &Path) {
    assert!(!in_quarantine(b), "in quarantine");
    assert!(!b.join("2.part").exists());
}

#[track_caller]
fn all_arrives(a: &Path, b: &Path) {
    assert!(output(&mut command(&[], a, b)).status.success());
    assert!(b.join("2").exists());
    finished_are_whole(a, b);
    nothing_is_left(b);
}

fn a_kill_at_every_step_is_cleaned_up() {
    let (a, first) = sides(true);
    let (mut cleaned, mut quarantined) = (0, 0);
    for (number, step) in steps(&a, &first).iter().enumerate() {
        let b = mounted(&first, "b");
        killed(step, &a, &b);
        finished_are_whole(&a, &b);
        quarantined += usize::from(in_quarantine(&b));
        // Every other time the next run does it.
        if number % 2 == 0 {
            let place = format!("{}/", b.to_str().unwrap());
            let shown = buttersink(["clean", "-n", &place]).stdout;
            let said = buttersink(["clean", &place]);
            assert_eq!(said.code, 0, "{}", said.stderr);
            let removed = said.stdout.starts_with("removed: 2.part in ");
            assert_eq!(removed, shown.starts_with("removable: 2.part in "));
            cleaned += usize::from(removed);
            assert!(!in_quarantine(&b) && !b.join("2.part").exists());
        }
        all_arrives(&a, &b);
        run("umount", [&b]);
    }
    println!("{cleaned} cleaned, {quarantined} in quarantine");
    assert!(cleaned > 1 && quarantined > 1);
}

fn a_power_cut_at_every_step_loses_nothing() {
    let (a, first) = sides(false);
    for step in steps(&a, &first) {
        let b = mounted(&first, "b");
        killed(&step, &a, &b);
        // What the mounted filesystem holds in memory is lost.
        run("cp", [image("b"), image("pulled")]);
        run("umount", [&b]);
        let cut = mounted(&image("pulled"), "cut");
        finished_are_whole(&a, &cut);
        all_arrives(&a, &cut);
        run("umount", [&cut]);
    }
}

/// The two of them are made durable together.
fn several_that_were_held_are_cleaned_up() {
    let (a, first) = sides(false);
    let steps = steps(&a, &first);
    let mut most = 0;
    for step in steps.iter().step_by(3) {
        let b = mounted(&first, "b");
        killed(step, &a, &b);
        finished_are_whole(&a, &b);
        let place = slash(&b);
        let said = buttersink(["clean", &place]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        most = most.max(said.stdout.matches("removed: ").count());
        nothing_is_left(&b);
        all_arrives(&a, &b);
        run("umount", [&b]);
    }
    assert_eq!(most, 2, "both were held at some step");
}

/// From the moment on at which all has been received: killed, and the power cut at the same time.
fn what_has_its_name_is_sealed_whoever_received_it() {
    let (a, first) = sides(false);
    let all = steps_by(by_btrfs, CALLS, &a, &first);
    println!("{all:?}");
    let renamed = |(name, _): &Step| name == "renameat2";
    let first_rename = all.iter().position(renamed).unwrap();
    let mut named = 0;
    for step in &all[first_rename - 2..] {
        let b = mounted(&first, "b");
        killed_by(by_btrfs, step, &a, &b);
        named += usize::from(b.join("1").exists());
        run("cp", [image("b"), image("pulled")]);
        finished_are_whole(&a, &b);
        run("umount", [&b]);
        let cut = mounted(&image("pulled"), "cut");
        finished_are_whole(&a, &cut);
        assert!(output(&mut by_btrfs(&[], &a, &cut)).status.success());
        finished_are_whole(&a, &cut);
        run("umount", [&cut]);
    }
    assert!(named > 2, "{named}");
}

/// Somebody's subvolume there may be his only copy; what is to be received waits for him.
fn what_no_record_names_stays_in_quarantine() {
    let (a, first) = sides(true);
    let b = mounted(&first, "b");
    let middle = steps(&a, &first);
    // In the middle of receiving, and then without its mark.
    killed(&middle[middle.len() / 3], &a, &b);
    assert!(in_quarantine(&b));
    for mark in std::fs::read_dir(b.join(".buttersink/marks")).unwrap() {
        std::fs::remove_file(mark.unwrap().path()).unwrap();
    }
    let place = format!("{}/", b.to_str().unwrap());
    assert_eq!(buttersink(["clean", &place]).stdout, "0 removed, 0 kept\n");
    let output = output(&mut command(&[], &a, &b));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("no record"),
        "{said}"
    );
    assert!(in_quarantine(&b) && !b.join("2").exists());
}

/// Somebody's own subvolume has got the unfinished name since.
fn what_is_older_than_a_mark_is_not_what_it_names() {
    let (a, first) = sides(true);
    let b = mounted(&first, "b");
    script(
        &b,
        "btrfs -q subvolume create own; echo data >own/precious; sync -f .",
    );
    let middle = steps(&a, &first);
    killed(&middle[middle.len() / 3], &a, &b);
    std::fs::rename(b.join("own"), b.join("2.part")).unwrap();
    let place = slash(&b);
    for words in [&["clean", &*place][..], &["clean", &place], &["-d", &place]] {
        let said = buttersink(words);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(b.join("2.part/precious").exists(), "{}", said.stdout);
    }
    assert!(!in_quarantine(&b));
    // It is in the way, and that is said.
    let output = output(&mut command(&[], &a, &b));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("of that name already"), "{said}");
    assert!(!output.status.success() && b.join("2.part/precious").exists());
}

/// What the disk says goes to whoever asked, and takes what was begun away.
fn an_error_at_every_step_leaves_nothing() {
    let (a, first) = sides(true);
    let mut errors = ["ENOSPC", "EIO", "EDQUOT"].into_iter().cycle();
    let mut failed = 0;
    for (name, number) in steps_of(&format!("{CALLS},{WORK}"), &a, &first) {
        let error = errors.next().unwrap();
        let b = mounted(&first, "b");
        let inject = format!("inject={name}:error={error}:when={number}");
        let around = ["strace", "-o", "/dev/null", "-e", &inject];
        let code = output(&mut command(&around, &a, &b)).status.code();
        finished_are_whole(&a, &b);
        if code != Some(0) {
            assert!(matches!(code, Some(1 | 10)), "{name} {number}: {code:?}");
            failed += 1;
        }
        all_arrives(&a, &b);
        run("umount", [&b]);
    }
    println!("{failed} failed");
    assert!(failed > 10);
}

/// Adds a third snapshot, which no limit lets through at once.
fn add_large(a: &Path) {
    let live = a.parent().unwrap().join("live");
    script(&live, "head -c 4M /dev/urandom >large");
    snapshot(&live, &a.join("3"));
}

/// A run that has begun to receive and takes its time with the rest.
fn begun(a: &Path, b: &Path, limit: &str) -> Child {
    let mut command = command(&[], a, b);
    let child = command.args(["-q", "--bwlimit", limit]).spawn().unwrap();
    until("something in quarantine", || in_quarantine(b));
    child
}

#[track_caller]
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(100);
    while !there() {
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, child: &Child) {
    run("kill", [&format!("-{name}"), &child.id().to_string()]);
}

/// The letter that the kernel has for what a process does.
fn state_of(child: &Child) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned())
}

/// Thaws a filesystem, whatever becomes of the test.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", ["-u".as_ref(), self.0]);
    }
}

fn stopped_frozen_and_ended_by_signals() {
    let (a, first) = sides(true);
    add_large(&a);
    let b = mounted(&first, "b");
    for name in ["INT", "TERM", "HUP"] {
        let mut child = begun(&a, &b, "100");
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        finished_are_whole(&a, &b);
        nothing_is_left(&b);
        assert!(!b.join("3").exists());
    }
    let mut child = begun(&a, &b, "100");
    signal("STOP", &child);
    until("process that stands still", || {
        state_of(&child).as_deref() == Some("T")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(in_quarantine(&b) && !b.join("3").exists());
    let mut child = begun(&a, &b, "3M");
    signal("STOP", &child);
    signal("CONT", &child);
    let frozen = Frozen(&b);
    run("fsfreeze", ["-f".as_ref(), &*b]);
    until("process that waits for the disk", || {
        state_of(&child).as_deref() == Some("D")
    });
    drop(frozen);
    assert!(child.wait().unwrap().success());
    assert_same(&a.join("3"), &b.join("3"));
    nothing_is_left(&b);
}

/// Killed in the middle of receiving into `home` of a filesystem.
fn killed_in_home(a: &Path, first: &Path) -> PathBuf {
    let b = mounted(first, "b");
    std::fs::create_dir(b.join("home")).unwrap();
    let mut child = command(&[], a, &b.join("home"));
    let mut child = child.args(["-q", "--bwlimit", "20"]).spawn().unwrap();
    until("something in quarantine", || in_quarantine(&b));
    child.kill().unwrap();
    child.wait().unwrap();
    b
}

/// Who is given the top of a filesystem sees what lies there, whatever directory it is for.
fn what_is_for_other_directories_is_cleaned() {
    let (a, first) = sides(true);
    add_large(&a);
    let b = killed_in_home(&a, &first);
    let place = format!("{}/", b.display());
    let shown = buttersink(["clean", "-n", &place]).stdout;
    assert!(
        shown.starts_with("removable: ") && shown.contains(".buttersink/quarantine/"),
        "{shown}"
    );
    assert!(in_quarantine(&b));
    // Not while somebody is at work there.
    let options = crate::receive::options(ReceiveWith::Builtin);
    let at_work = Local::open(&b.join("home"), Access::Write, options).unwrap();
    let said = buttersink(["clean", &place]);
    assert!(
        said.code != 0 && said.stderr.contains("at work there"),
        "{}",
        said.stderr
    );
    assert!(in_quarantine(&b));
    drop(at_work);
    let said = buttersink(["clean", &place]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!in_quarantine(&b));
    let marks = std::fs::read_dir(b.join(".buttersink/marks")).unwrap();
    assert_eq!(marks.count(), 0);
}

/// A kill after the last renaming leaves a mark of what has its name already.
fn marks_of_what_is_finished_go() {
    let (a, first) = sides(true);
    let all = steps(&a, &first);
    let last = all.iter().rposition(|(name, _)| name.starts_with("unlink"));
    let b = mounted(&first, "b");
    killed(&all[last.unwrap()], &a, &b);
    finished_are_whole(&a, &b);
    assert!(b.join("2").exists());
    let marks = || {
        std::fs::read_dir(b.join(".buttersink/marks"))
            .unwrap()
            .count()
    };
    assert_eq!(marks(), 1);
    let place = format!("{}/", b.display());
    // Where the quarantine cannot be looked at, what the mark names may lie there.
    let quarantine = b.join(".buttersink/quarantine");
    std::fs::remove_dir(&quarantine).unwrap();
    std::fs::write(&quarantine, "").unwrap();
    assert_eq!(buttersink(["clean", &place]).code, 1);
    assert_eq!(marks(), 1);
    std::fs::remove_file(&quarantine).unwrap();
    assert_eq!(buttersink(["clean", &place]).stdout, "0 removed, 0 kept\n");
    assert_eq!(marks(), 0);
    all_arrives(&a, &b);
}
