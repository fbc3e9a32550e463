//! Snapshots whose generations moved while their contents did not, as where blocks are deduplicated: found out
//! by comparing, said, and sealed anew.

use crate::runner::Test;
use crate::subvolumes::{alter, script, snapshot, subvolume};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    a_deduplicated_source_is_built_on,
    what_was_sealed_anew_is_not_compared_again,
    a_deduplicated_copy_is_sealed_anew,
    what_was_altered_stays_so,
    a_deduplicated_copy_elsewhere_is_settled_there,
    a_backup_goes_on_from_what_was_deduplicated,
];

/// `a/snaps` with two snapshots that `b` has.
fn scene() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    std::fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("live"));
    script(
        &a,
        "mkdir live/d; head -c 3M /dev/urandom >live/f; cp --reflink=never live/f live/same",
    );
    for name in ["1", "2"] {
        script(&a, &format!("echo {name} >live/d/small"));
        snapshot(&a.join("live"), &a.join("snaps").join(name));
    }
    assert_eq!(sync(&a.join("snaps"), &b, &[]).code, 0);
    (a.join("snaps"), b)
}

/// What a deduplicator does to read-only snapshots.
fn deduplicate(snapshots: &[PathBuf]) {
    let code = "import fcntl, os, struct, sys
for at in sys.argv[1:]:
    one, other = (os.open(at + name, os.O_RDONLY) for name in ('/f', '/same'))
    call = bytearray(struct.pack('QQHHIqQQiI', 0, 3 << 20, 1, 0, 0, other, 0, 0, 0, 0))
    fcntl.ioctl(one, 0xc0189436, call)
    assert struct.unpack('QQHHIqQQiI', call)[7:9] == (3 << 20, 0)
os.sync()";
    let words = ["-c".as_ref(), code.as_ref()];
    run(
        "python3",
        words
            .into_iter()
            .chain(snapshots.iter().map(|at| at.as_os_str())),
    );
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

fn sync(from: &Path, to: &Path, more: &[&str]) -> Said {
    let (from, to) = (slash(from), slash(to));
    buttersink([&from[..], &to].iter().chain(more))
}

fn both(dir: &Path) -> [PathBuf; 2] {
    ["1", "2"].map(|name| dir.join(name))
}

const MOVED: &str = "as where blocks are deduplicated";

fn a_deduplicated_source_is_built_on() {
    let (a, b) = scene();
    deduplicate(&both(&a));
    snapshot(&a.join("../live"), &a.join("3"));
    let plan = sync(&a, &b, &["-n"]);
    assert!(plan.stderr.contains(MOVED), "{}", plan.stderr);
    assert!(plan.stdout.contains("3  (from 2)"), "{}", plan.stdout);
    for said in [sync(&a, &b, &[]), sync(&a, &b, &["-q", "-d"])] {
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert_eq!(said.stderr.matches(MOVED).count(), 2, "{}", said.stderr);
    }
    for name in ["1", "2", "3"] {
        assert_same(&a.join(name), &b.join(name));
    }
}

fn what_was_sealed_anew_is_not_compared_again() {
    let (a, b) = scene();
    deduplicate(&both(&a));
    let (from, to) = (slash(&a), slash(&b));
    let said = buttersink(["verify", "--content", "--against", &from, &to]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert!(said.stdout.contains(MOVED), "{}", said.stdout);
    let said = buttersink(["verify", "--content", "--against", &to, &from]);
    assert!(
        said.stderr
            .contains("1 was compared, and counts from now on"),
        "{}",
        said.stderr
    );
    for words in [&["verify", &from][..], &["verify", "--against", &from, &to]] {
        let said = buttersink(words);
        assert_eq!(said.code, 0, "{}", said.stdout);
    }
    let said = sync(&a, &b, &[]);
    assert_eq!((said.code, &said.stderr[..]), (0, ""));
    // What happens to it after that is another matter.
    alter(&a.join("2"));
    assert_eq!(sync(&a, &b, &[]).code, 10);
}

fn a_deduplicated_copy_is_sealed_anew() {
    let (a, b) = scene();
    deduplicate(&both(&b));
    snapshot(&a.join("../live"), &a.join("3"));
    let said = sync(&a, &b, &[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("sealed anew"), "{}", said.stderr);
    assert!(said.stdout.contains("sent 3 (from 2)"), "{}", said.stdout);
    assert_eq!(buttersink(["verify", &slash(&b)]).code, 0);
    assert_eq!(sync(&a, &b, &[]).stderr, "");
}

/// A client may not say what the copies of a server are; it says who may.
fn a_deduplicated_copy_elsewhere_is_settled_there() {
    let (a, b) = scene();
    deduplicate(&both(&b));
    let far = far_here();
    let ssh = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    let over = |dir: &Path| format!("ssh://far{}", slash(dir));
    let run = |words: &[&str]| buttersink(words.iter().chain(&ssh));
    let said = run(&[&slash(&a), &over(&b)]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("on the machine of DST"),
        "{}",
        said.stderr
    );
    let said = run(&["verify", "--content", "--against", &slash(&a), &over(&b)]);
    let words = format!("verify {}", b.display());
    assert!(
        said.stderr.contains(&words),
        "{} {}",
        said.stdout,
        said.stderr
    );
    assert_eq!(run(&[&slash(&a), &over(&b)]).code, 1);
    // On that machine, against the source over ssh.
    let said = run(&["verify", "--content", "--against", &over(&a), &slash(&b)]);
    assert!(
        said.stderr.contains("counts from now on"),
        "{} {}",
        said.stdout,
        said.stderr
    );
    assert_eq!(run(&[&slash(&a), &over(&b)]).code, 0);
}

fn what_was_altered_stays_so() {
    let (a, b) = scene();
    alter(&a.join("1"));
    alter(&b.join("2"));
    let said = sync(&a, &b, &[]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        !said.stderr.contains(MOVED) || said.stderr.contains("try: "),
        "{}",
        said.stderr
    );
    assert_eq!(
        said.stderr.matches("cannot send: ").count(),
        2,
        "{}",
        said.stderr
    );
    let (from, to) = (slash(&a), slash(&b));
    let verify = buttersink(["verify", "--content", "--against", &from, &to]);
    assert_eq!(verify.code, 4, "{}", verify.stdout);
    assert_eq!(sync(&a, &b, &[]).code, 1);
}

fn a_backup_goes_on_from_what_was_deduplicated() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let live = a.join("live");
    subvolume(&live);
    script(
        &live,
        "head -c 3M /dev/urandom >f; cp --reflink=never f same",
    );
    let backup = || {
        let words = ["backup", live.to_str().unwrap(), b.to_str().unwrap()];
        let said = buttersink(words);
        assert_eq!(said.code, 0, "{}", said.stderr);
        said
    };
    backup();
    let snapshots = live.join("snapshot").read_dir().unwrap();
    let made: Vec<PathBuf> = snapshots.map(|entry| entry.unwrap().path()).collect();
    let made: Vec<PathBuf> = made
        .into_iter()
        .filter(|at| at.join("same").exists() && !at.is_symlink())
        .collect();
    deduplicate(&made[..1]);
    script(&live, "echo more >more");
    let said = backup();
    assert!(said.stderr.contains(MOVED), "{}", said.stderr);
    assert!(said.stdout.contains("(from "), "{}", said.stdout);
}
