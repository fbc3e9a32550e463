//! What a local store may touch: leftovers that are ours, and nothing else.

use crate::runner::Test;
use crate::subvolumes::{snapshot, subvolume};
use crate::support::*;
use crate::tests;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    what_is_named_like_a_leftover_may_be_somebody_elses,
    leftovers_of_a_run_at_work_are_its_own,
    results_that_cannot_be_written_are_an_error,
    seals_that_only_root_may_read,
];

/// A filesystem with one snapshot in `snaps`, and an empty one.
fn pair() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    std::fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("live"));
    std::fs::write(a.join("live/file"), "content").unwrap();
    snapshot(&a.join("live"), &a.join("snaps/one"));
    (a.join("snaps/"), b)
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn what_is_named_like_a_leftover_may_be_somebody_elses() {
    let (source, dest) = pair();
    subvolume(&dest.join("disk.part"));
    std::fs::write(dest.join("disk.part/precious"), "data").unwrap();
    for _ in 0..2 {
        let said = buttersink([&source, &dest]);
        assert_eq!(said.code, 0);
        assert!(
            is_there(&dest.join("disk.part/precious")),
            "{}",
            said.stderr
        );
    }
    // It is shown, and whoever asks for it by name has it removed.
    assert!(buttersink([&dest]).stdout.contains("partial"));
    assert_eq!(buttersink(["-d".as_ref(), dest.as_os_str()]).code, 0);
    assert!(!is_there(&dest.join("disk.part")));
}

fn leftovers_of_a_run_at_work_are_its_own() {
    let (_, dest) = pair();
    let inner = dest.join("inner");
    std::fs::create_dir_all(inner.join(".buttersink")).unwrap();
    subvolume(&inner.join("coming.part"));
    let lock = File::create(inner.join(".buttersink/lock")).unwrap();
    lock.lock().unwrap();
    let remove = || buttersink(["-d".as_ref(), dest.as_os_str()]).code;
    assert_eq!(remove(), 3);
    assert!(is_there(&inner.join("coming.part")), "another run's");
    lock.unlock().unwrap();
    assert_eq!(remove(), 0);
    assert!(!is_there(&inner.join("coming.part")), "nobody's any more");
}

fn results_that_cannot_be_written_are_an_error() {
    let (source, _) = pair();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(binary("buttersink"));
    let output = command.arg(&source).stdout(full).stderr(Stdio::piped());
    let output = output.spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("standard output"), "{stderr}");
}

fn seals_that_only_root_may_read() {
    let (source, dest) = pair();
    assert_eq!(buttersink([&source, &dest]).code, 0);
    let program = dest.join("buttersink");
    std::fs::copy(binary("buttersink"), &program).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let output = output(
        Command::new("setpriv")
            .args(nobody)
            .args([&program, &dest])
            .current_dir("/"),
    );
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout.contains("unsealed"), "{stdout}");
    assert!(stderr.contains("only root may read the seals"), "{stderr}");
}
