//! What goes wrong on the way: power cuts, signals, children that die or lie, full and altered
//! destinations. Whatever happens, a finished name stands for a whole snapshot.

use crate::runner::Test;
use crate::subvolumes::{alter, change, history, id, script, set_read_only, snapshot, unfinished};
use crate::support::{Said, binary, btrfs, buttersink, here, image, mount_image, output, run};
use crate::tests;
use crate::tree::assert_same;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    a_power_cut_after_success_loses_nothing,
    a_stopped_send_is_tried_again,
    a_stopped_sender_of_our_own_is_tried_again,
    killed_at_any_moment,
    interrupted_by_a_signal,
    children_run_at_low_priority,
    other_disks_can_be_unmounted_meanwhile,
    what_is_mounted_elsewhere_stays_mounted,
    a_full_destination,
    an_altered_parent_is_not_used,
    an_altered_source_is_no_parent,
    a_truncated_stream_leaves_nothing,
    a_flipped_bit_leaves_nothing,
    the_words_of_children_are_the_error,
    without_btrfs,
    below_a_subvol_mount,
    states_in_words,
    quiet_and_logged,
];

/// `DIR/`, as an argument.
fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

/// A filesystem with `snaps/1` and `snaps/2`, of some MiB that do not compress, and an empty one.
fn sides(mib: u64) -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    fill(&a, mib);
    snapshot(&a.join("live"), &a.join("snaps/2"));
    (a, b)
}

fn fill(a: &Path, mib: u64) {
    let text =
        format!("head -c {mib}M /dev/urandom >large; for i in {{1..300}}; do echo $i >d/$i; done");
    script(&a.join("live"), &text);
}

/// `buttersink A/snaps/ B/ MORE…`, not started yet.
fn command(a: &Path, b: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(binary("buttersink"));
    command.args([slash(&a.join("snaps")), slash(b)]).args(more);
    command
}

fn said(command: &mut Command) -> Said {
    let output = output(command);
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A run that must bring everything; and then everything must be equal, with nothing left over.
#[track_caller]
fn all_arrives(a: &Path, b: &Path) {
    assert_eq!(said(&mut command(a, b, &[])).code, 0);
    for name in names(&a.join("snaps")) {
        assert_same(&a.join("snaps").join(&name), &b.join(&name));
    }
    let left: Vec<String> = names(b);
    assert_eq!(left, names(&a.join("snaps")), "something is left over");
}

/// What is in a directory, without our state.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".buttersink").collect();
    names.sort();
    names
}

/// Whatever has a finished name at the destination is whole.
#[track_caller]
fn finished_are_whole(a: &Path, b: &Path) {
    for name in names(b).iter().filter(|name| !name.ends_with(".part")) {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
}

/// Waits until something is there; what it returns.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match look() {
            Some(found) => return found,
            None if Instant::now() > end => panic!("no {what}"),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// The child of a process that runs `btrfs WORD`.
fn child_of(parent: &Child, word: &str) -> Option<u32> {
    child_with(parent, word).filter(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with("btrfs\0")
    })
}

/// The child of a process whose first argument this is.
fn child_with(parent: &Child, word: &str) -> Option<u32> {
    let pid = parent.id();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: String = children.collect();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .find(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').nth(1) == Some(word)
        })
}

/// Sends a signal; the process may be gone.
fn signal(name: &str, pid: u32) {
    output(Command::new("kill").args([format!("-{name}"), pid.to_string()]));
}

/// Whether a process sleeps in the kernel, waiting for its pipe.
fn is_blocked(pid: u32) -> bool {
    let wait = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    wait.contains("pipe") || stat.contains(") S ")
}

/// A run whose `btrfs receive` stands still, so that everything before it is blocked.
fn held(a: &Path, b: &Path, more: &[&str]) -> (Child, u32) {
    let mut run = command(a, b, more);
    let child = run
        .env("BUTTERSINK_RECEIVE_WITH", "btrfs")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let receive = wait_for("btrfs receive", || child_of(&child, "receive"));
    signal("STOP", receive);
    (child, receive)
}

fn a_power_cut_after_success_loses_nothing() {
    let (a, mut b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    fill(&a, 3);
    for round in 2..6 {
        change(&a.join("live"), round);
        script(
            &a.join("live"),
            &format!("for i in {{1..300}}; do echo {round} $i >>d/$i; done"),
        );
        snapshot(&a.join("live"), &a.join(format!("snaps/{round}")));
        let mut child = command(&a, &b, &["--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut steps = lines
            .map(|line| line.unwrap())
            .filter(|l| l.contains("\"step\""));
        let last = format!("\"path\":\"{round}\"");
        steps.find(|line| line.contains(&last)).unwrap();
        // Now. What the page cache of the mounted filesystem holds is lost.
        let copy = image("copy");
        run(
            "cp",
            [
                "--sparse=always",
                image("b").to_str().unwrap(),
                copy.to_str().unwrap(),
            ],
        );
        assert!(child.wait().unwrap().success());
        run("umount", [&b]);
        b = mount_image(&copy, "b", "");
        for name in names(&a.join("snaps")) {
            assert_same(&a.join("snaps").join(&name), &b.join(&name));
        }
        run("umount", [&b]);
        std::fs::rename(&copy, image("b")).unwrap();
        b = mount_image(&image("b"), "b", "");
    }
}

fn a_stopped_send_is_tried_again() {
    let (a, b) = sides(30);
    let log = here().join("log");
    let (mut child, _) = {
        // The first snapshot is small: hold the second.
        assert_eq!(buttersink([a.join("snaps/1"), b.clone()]).code, 0);
        let (child, receive) = held(&a, &b, &["-l", log.to_str().unwrap()]);
        let send = wait_for("btrfs send", || {
            child_of(&child, "send").filter(|&pid| is_blocked(pid))
        });
        std::thread::sleep(Duration::from_millis(300));
        signal("STOP", send);
        std::thread::sleep(Duration::from_millis(100));
        signal("CONT", send);
        signal("CONT", receive);
        (child, receive)
    };
    assert!(child.wait().unwrap().success());
    assert_same(&a.join("snaps/2"), &b.join("2"));
    assert_eq!(names(&b), ["1", "2"]);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("afresh"),
        "the log does not say what happened:\n{log}"
    );
}

/// On a machine without btrfs-progs, where the sender is this program again.
fn a_stopped_sender_of_our_own_is_tried_again() {
    let (a, b) = sides(30);
    let log = here().join("log");
    assert_eq!(buttersink([a.join("snaps/1"), b.clone()]).code, 0);
    let mut run = command(&a, &b, &["-l", log.to_str().unwrap()]);
    let mut child = run.env("PATH", "/nowhere").spawn().unwrap();
    let send = wait_for("a sender", || child_with(&child, "--send-standard-input"));
    // Whoever reads the pipe stands still, and so it is full, sooner or later.
    signal("STOP", child.id());
    wait_for("a full pipe", || is_blocked(send).then_some(()));
    signal("STOP", send);
    std::thread::sleep(Duration::from_millis(100));
    signal("CONT", send);
    signal("CONT", child.id());
    assert!(child.wait().unwrap().success());
    assert_same(&a.join("snaps/2"), &b.join("2"));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("afresh"), "{log}");
    // Which paths there are is nobody's business who looks at processes.
    let line = log
        .lines()
        .find(|line| line.contains("--send-standard-input"));
    assert!(!line.unwrap().contains("snaps"), "{log}");
}

fn killed_at_any_moment() {
    let (a, b) = sides(20);
    for delay in [0, 5, 10, 20, 40, 80, 120, 160, 240, 320] {
        let mut child = command(&a, &b, &[]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        finished_are_whole(&a, &b);
        // At once: the children of the killed run may still be dying.
        all_arrives(&a, &b);
        script(&b, "btrfs -q subvolume delete *");
    }
}

fn interrupted_by_a_signal() {
    let (a, b) = sides(30);
    for name in ["INT", "TERM", "HUP"] {
        let (child, receive) = held(&a, &b, &[]);
        signal(name, child.id());
        signal("CONT", receive);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{name}: {stderr}");
        assert!(stderr.contains("buttersink: "), "nothing is said");
        finished_are_whole(&a, &b);
        assert!(
            !names(&b).iter().any(|n| n.ends_with(".part")),
            "{:?}",
            names(&b)
        );
    }
    all_arrives(&a, &b);
}

fn children_run_at_low_priority() {
    let (a, b) = sides(30);
    // The small one first: its stream fits into the pipes, and its sender would be gone at once.
    let small = a.join("snaps/1");
    assert_eq!(buttersink([&small, &b]).code, 0);
    for (more, low) in [(&["-q"][..], true), (&["-q", "--full-speed"], false)] {
        let (child, receive) = held(&a, &b, more);
        let send = wait_for("btrfs send", || child_of(&child, "send"));
        for pid in [send, receive] {
            let class = run("ionice", ["-p", &pid.to_string()]);
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let nice: i32 = stat
                .rsplit(") ")
                .next()
                .unwrap()
                .split(' ')
                .nth(16)
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(
                (class.starts_with("idle"), nice > 0),
                (low, low),
                "{class} {nice}"
            );
        }
        signal("TERM", child.id());
        signal("CONT", receive);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    }
}

fn other_disks_can_be_unmounted_meanwhile() {
    let (a, b) = sides(30);
    let other = btrfs("other", 256);
    let (mut child, receive) = held(&a, &b, &[]);
    std::fs::write(other.join("letter"), "written just before").unwrap();
    run("umount", [&other]);
    // What the disk has if it is pulled out now.
    let pulled = image("pulled");
    std::fs::copy(image("other"), &pulled).unwrap();
    let pulled = mount_image(&pulled, "pulled", "");
    let letter = std::fs::read_to_string(pulled.join("letter"));
    signal("CONT", receive);
    assert!(child.wait().unwrap().success());
    assert_eq!(letter.unwrap(), "written just before");
    finished_are_whole(&a, &b);
}

/// Also where what one process unmounts goes for all.
fn what_is_mounted_elsewhere_stays_mounted() {
    let (a, b) = sides(1);
    let other = btrfs("other", 256);
    // Those of other tests come and go: a directory that is removed takes along what is mounted there.
    let text = format!(
        "mount --make-rshared /
         mounts() {{ grep -v \" ${{PWD%/*}}/\" /proc/self/mountinfo; grep \" $PWD/\" /proc/self/mountinfo; }}
         mounts >before; BUTTERSINK_RECEIVE_WITH=btrfs {} {}/snaps/ {}/; mounts >after
         cmp before after; mountpoint -q {1}; mountpoint -q {2}; mountpoint -q {}",
        binary("buttersink").display(),
        a.display(),
        b.display(),
        other.display()
    );
    let text = ["-m", "bash", "-euc", &text];
    let output = output(
        Command::new("unshare")
            .args(text)
            .current_dir(crate::support::here()),
    );
    assert!(output.status.success());
    finished_are_whole(&a, &b);
}

fn a_full_destination() {
    let a = btrfs("a", 1024);
    let b = btrfs("b", 128);
    history(&a, 1);
    fill(&a, 200);
    snapshot(&a.join("live"), &a.join("snaps/2"));
    let plan = buttersink(["-n", &slash(&a.join("snaps")), &slash(&b)]);
    assert!(
        (plan.stdout + &plan.stderr)
            .to_lowercase()
            .contains("space"),
        "the plan says nothing of it"
    );
    // Known beforehand, or only found out on the way: no trace either way.
    for more in [&[][..], &["-e"]] {
        let said = said(&mut command(&a, &b, more));
        assert_eq!(said.code, 10);
        assert!(
            said.stderr
                .to_lowercase()
                .contains("no space left on device")
        );
        assert_same(&a.join("snaps/1"), &b.join("1"));
        assert_eq!(names(&b), ["1"]);
    }
}

/// What a listing for people says of a snapshot: the column before the UUID.
fn state_of(listing: &str, name: &str) -> String {
    let mut lines = listing.lines();
    let line = lines.find(|line| line.split_whitespace().next() == Some(name));
    let mut words = line.unwrap_or_default().split_whitespace();
    words.nth_back(1).unwrap_or_default().to_owned()
}

fn an_altered_parent_is_not_used() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 2);
    assert_eq!(said(&mut command(&a, &b, &[])).code, 0);
    alter(&b.join("2"));
    let listing = buttersink([slash(&b)]);
    assert_eq!(state_of(&listing.stdout, "2"), "altered");
    change(&a.join("live"), 3);
    snapshot(&a.join("live"), &a.join("snaps/3"));
    let said = said(&mut command(&a, &b, &[]));
    assert_eq!(said.code, 10);
    assert!(
        said.stderr.contains('2') && said.stderr.contains("remove"),
        "no way out is named"
    );
    assert_same(&a.join("snaps/3"), &b.join("3"));
    script(&b, "btrfs -q subvolume delete 2");
    all_arrives(&a, &b);
}

fn an_altered_source_is_no_parent() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    assert_eq!(said(&mut command(&a, &b, &[])).code, 0);
    alter(&a.join("snaps/1"));
    assert!(buttersink([slash(&a)]).stdout.contains("altered"));
    change(&a.join("live"), 2);
    snapshot(&a.join("live"), &a.join("snaps/2"));
    let said = said(&mut command(&a, &b, &[]));
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("altered"));
    assert_same(&a.join("snaps/2"), &b.join("2"));
}

/// A directory whose `btrfs WORD` is a script, with `$BTRFS` as the real one; for PATH.
fn instead(word: &str, text: &str) -> String {
    let dir = here().join(format!("instead-{word}"));
    std::fs::create_dir_all(&dir).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = run("sh", ["-c", "command -v btrfs"]);
    let text = format!(
        "#!/bin/bash\nBTRFS={}\n[ \"$1\" = {word} ] || exec \"$BTRFS\" \"$@\"\n{text}\n",
        real.trim()
    );
    std::fs::write(dir.join("btrfs"), text).unwrap();
    std::fs::set_permissions(dir.join("btrfs"), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{path}", dir.to_str().unwrap())
}

/// A run with this `btrfs send` fails, says a word, leaves nothing; without it, all is well.
#[track_caller]
fn fails_without_trace(word: &str, text: &str, says: &str) {
    let (a, b) = (here().join("a"), here().join("b"));
    let mut run = command(&a, &b, &[]);
    run.env("LC_ALL", "de_DE.UTF-8");
    if word == "receive" {
        run.env("BUTTERSINK_RECEIVE_WITH", "btrfs");
    }
    let said = said(run.env("PATH", instead(word, text)));
    assert!(said.code == 1 || said.code == 10, "exit {}", said.code);
    assert!(said.stderr.contains(says), "does not say {says}");
    finished_are_whole(&a, &b);
    assert!(
        !names(&b).contains(&"2".to_owned()),
        "a spoilt snapshot has a finished name"
    );
}

fn a_truncated_stream_leaves_nothing() {
    let (a, b) = sides(3);
    for length in ["0", "10", "100", "50000", "3000000"] {
        fails_without_trace(
            "send",
            &format!("\"$BTRFS\" \"$@\" | head -c {length}"),
            "send",
        );
    }
    fails_without_trace("send", "\"$BTRFS\" \"$@\" | head -c -10", "END");
    all_arrives(&a, &b);
}

fn a_flipped_bit_leaves_nothing() {
    let (a, b) = sides(3);
    for at in [3, 20, 60, 1000, 300_000, 2_000_000] {
        let flip = format!(
            "\"$BTRFS\" \"$@\" | python3 -c 'import sys; d = bytearray(sys.stdin.buffer.read())
if len(d) > {at}: d[{at}] ^= 4
sys.stdout.buffer.write(d)'"
        );
        fails_without_trace("send", &flip, "stream");
    }
    all_arrives(&a, &b);
}

fn the_words_of_children_are_the_error() {
    let (a, b) = sides(3);
    for word in ["send", "receive"] {
        fails_without_trace(
            word,
            "echo 'ERROR: the moon is full' >&2; exit 3",
            "the moon is full",
        );
        // Errors of the system are known by their words in this language.
        fails_without_trace(word, "echo \"ERROR: in $LC_ALL\" >&2; exit 3", "in C");
    }
    fails_without_trace(
        "receive",
        "head -c 1000000 >/dev/null; echo 'ERROR: tired' >&2; exit 1",
        "tired",
    );
    fails_without_trace(
        "send",
        "\"$BTRFS\" \"$@\"; echo 'ERROR: at last' >&2; exit 1",
        "at last",
    );
    fails_without_trace("receive", "cat >/dev/null; exit 0", "made no subvolume");
    fails_without_trace("send", "kill -9 $$", "send");
    all_arrives(&a, &b);
}

/// A machine without btrfs-progs.
fn without_btrfs() {
    let (a, b) = sides(3);
    let without = |more: &[&str]| said(command(&a, &b, more).env("PATH", "/nowhere"));
    // Who asks for the program is told what to install.
    let asked = without(&["--receive-with", "btrfs"]);
    assert_ne!(asked.code, 0);
    assert!(asked.stderr.contains("btrfs-progs"), "{}", asked.stderr);
    assert_eq!(names(&b), [""; 0]);
    assert_eq!(without(&[]).code, 0);
    all_arrives(&a, &b);
    for number in ["1", "2"] {
        assert_same(&a.join("snaps").join(number), &b.join(number));
    }
    script(&b, "btrfs -q subvolume delete *");
    assert_eq!(without(&["--compressed-data"]).code, 0);
    all_arrives(&a, &b);
}

fn below_a_subvol_mount() {
    let (a, top) = sides(2);
    script(&top, "btrfs -q subvolume create box");
    let b = mount_image(&image("b"), "boxed", "subvol=box");
    assert_eq!(buttersink([a.join("snaps/1"), b.clone()]).code, 0);
    all_arrives(&a, &b);
    assert_ne!(crate::subvolumes::shown(&b.join("2"), "Parent UUID"), "-");
    // A parent that the mount does not reach is of no use.
    assert_eq!(buttersink([a.join("snaps/1"), top.clone()]).code, 0);
    script(&top, "btrfs -q subvolume delete box/1 box/2");
    all_arrives(&a, &b);
}

fn states_in_words() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 4);
    std::fs::create_dir(b.join("foreign")).unwrap();
    let send = |name: &str| {
        format!(
            "btrfs send -q {}/snaps/{name} | btrfs receive -q .",
            a.to_str().unwrap()
        )
    };
    script(&b.join("foreign"), &send("1"));
    script(&b.join("foreign"), &send("2"));
    set_read_only(&b.join("foreign/2"), false);
    assert_eq!(buttersink([a.join("snaps/3"), b.clone()]).code, 0);
    unfinished(&b, "interrupted.part");
    script(&b, "btrfs -q subvolume snapshot -r foreign/1 again");
    let listing = buttersink([slash(&b)]);
    let state = |name: &str| state_of(&listing.stdout, name);
    let states = ["3", "foreign/1", "again", "foreign/2", "interrupted.part"].map(state);
    assert_eq!(
        states,
        ["ok", "duplicate", "duplicate", "rw-received", "partial"]
    );
    script(&b, "btrfs -q subvolume delete again");
    assert!(buttersink([slash(&b)]).stdout.contains("unsealed"));
    assert_eq!(buttersink(["-d", &slash(&b)]).code, 0);
    assert!(!b.join("interrupted.part").exists());
    // What was compared whole, and is the same, has a seal from then on.
    let [ours, theirs] = [slash(&b.join("foreign")), slash(&a.join("snaps"))];
    let verify = ["verify", "--against", &theirs, "--content"];
    buttersink([&verify[..], &["--changed", &ours]].concat());
    assert!(buttersink([slash(&b)]).stdout.contains("unsealed"));
    let verified = buttersink([&verify[..], &[&ours]].concat());
    assert!(
        verified.stderr.contains("1 was compared, and counts"),
        "{}",
        verified.stderr
    );
    assert!(!buttersink([slash(&b)]).stdout.contains("unsealed"));
    // A copy that someone made writable is not taken for the snapshot.
    let said = said(&mut command(&a, &b, &[]));
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("foreign/2"));
    assert_eq!(id(&a.join("snaps/4")), id(&b.join("4")));
}

fn quiet_and_logged() {
    let (a, b) = sides(1);
    let log = here().join("log");
    let loud = said(&mut command(&a, &b, &["-qq", "-l", log.to_str().unwrap()]));
    assert_eq!(
        (loud.code, loud.stdout.as_str(), loud.stderr.as_str()),
        (0, "", "")
    );
    let first = std::fs::read_to_string(&log).unwrap();
    assert!(
        first.contains("btrfs") && first.lines().all(|l| l.starts_with("20")),
        "{first}"
    );
    let again = said(&mut command(
        &a,
        &b,
        &["-q", "--logfile", log.to_str().unwrap()],
    ));
    assert_eq!(again.stderr, "");
    let second = std::fs::read_to_string(&log).unwrap();
    assert!(
        second.starts_with(&first) && second.len() > first.len(),
        "not appended to"
    );
    let wrong = buttersink(["-qq", &slash(&a.join("nowhere")), &slash(&b)]);
    assert!(wrong.code != 0 && wrong.stderr.starts_with("buttersink: "));
}
