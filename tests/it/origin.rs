//! Whose a snapshot is: what is recorded when it arrives, what policies make of it, and adoption.

use crate::runner::Test;
use crate::subvolumes::{script, subvolume};
use crate::support::{Said, binary, btrfs, here, output, run};
use crate::tests;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    two_subvolumes_share_a_destination,
    one_that_cannot_go_keeps_no_other,
    what_another_program_sent_is_adopted,
    what_has_moved_is_taken_over,
    a_rollback_continues,
    nothing_of_before_a_rollback_needs_to_stay,
    what_came_by_another_key_takes_nobodys_place,
    what_has_just_arrived_stays,
    what_is_far_is_adopted,
    each_family_is_pruned_by_itself,
    what_is_not_known_is_not_pruned,
];

fn scene() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let dest = b.join("dest");
    std::fs::create_dir(&dest).unwrap();
    for name in ["root", "home"] {
        subvolume(&a.join(name));
    }
    (a, dest)
}

/// On a machine with this id.
fn on(machine: &str, words: &[&str]) -> Said {
    let mut command = Command::new(binary("buttersink"));
    command.args(words).env("BUTTERSINK_MACHINE_ID", machine);
    let output = output(&mut command);
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Changes the subvolume and backs it up; names have seconds.
fn backup(options: &[&str], live: &Path, dest: &Path, text: &str) -> Said {
    std::fs::write(live.join("file"), text).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let places = [live.to_str().unwrap(), dest.to_str().unwrap()];
    on("one", &[&["backup"], options, &places].concat())
}

/// What is in the files of all that is there, in order.
fn texts(dest: &Path) -> Vec<String> {
    let entries = dest.read_dir().unwrap().map(Result::unwrap);
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("file")).ok());
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts
}

fn two_subvolumes_share_a_destination() {
    let (a, dest) = scene();
    let (root, home) = (a.join("root"), a.join("home"));
    let keep = ["--keep", "7d", "--latest-only"];
    for (live, text) in [(&root, "r1"), (&home, "h1"), (&root, "r2")] {
        assert_eq!(backup(&keep, live, &dest, text).code, 0);
    }
    assert_eq!(texts(&dest), ["h1", "r2"]);
    let said = backup(&["--num-backups", "1"], &home, &dest, "h2");
    assert!(
        said.stderr.contains("not of this subvolume"),
        "{}",
        said.stderr
    );
    assert_eq!(texts(&dest), ["h2", "r2"]);
    let listed = on("one", &["--json", dest.join("").to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let origin = &listed["snapshots"][0]["origin"];
    assert_eq!(origin["machine"].as_str().unwrap().len(), 32);
    assert!(origin["made"].is_i64() && origin["subvolume"].is_string());
}

fn one_that_cannot_go_keeps_no_other() {
    let (a, dest) = scene();
    let root = a.join("root");
    for text in ["1", "2", "3"] {
        assert_eq!(backup(&[], &root, &dest, text).code, 0);
    }
    // The kernel deletes no default subvolume.
    script(
        &dest,
        "for s in 2*; do [ $(cat $s/file) != 2 ] || btrfs subvolume set-default $s; done",
    );
    let said = backup(&["--num-backups", "1"], &root, &dest, "4");
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(
        said.stderr.contains("1 could not be deleted"),
        "{}",
        said.stderr
    );
    assert_eq!(texts(&dest), ["2", "4"]);
}

/// Snapshots with names like ours that btrfs received whole, and that are not at the source any more.
fn sent_by_hand(a: &Path, dest: &Path) {
    script(
        a,
        &format!(
            "for n in 1 2; do echo old$n >root/file; btrfs -q subvolume snapshot -r root 2020010$n-000000
             btrfs send -q 2020010$n-000000 | btrfs receive -q {0}; btrfs -q subvolume delete 2020010$n-000000; done",
            dest.display()
        ),
    );
}

fn what_another_program_sent_is_adopted() {
    let (a, dest) = scene();
    let root = a.join("root");
    sent_by_hand(&a, &dest);
    let one = ["--num-backups", "1"];
    let said = backup(&one, &root, &dest, "new");
    assert!(said.stderr.contains("buttersink adopt"), "{}", said.stderr);
    assert_eq!(texts(&dest).len(), 3);
    let (place, live) = (dest.to_str().unwrap(), root.to_str().unwrap());
    let said = on("one", &["adopt", place, "--as", live]);
    assert_eq!(
        (said.code, said.stdout.matches("to adopt: ").count()),
        (0, 2)
    );
    assert_eq!(backup(&one, &root, &dest, "newer").code, 0);
    assert_eq!(texts(&dest).len(), 3, "it was only shown");
    let said = on(
        "one",
        &["adopt", "--yes", place, "20200101-000000", "--as", live],
    );
    assert!(
        said.stdout.starts_with("adopted: 20200101-000000"),
        "{}",
        said.stdout
    );
    assert_eq!(backup(&one, &root, &dest, "newest").code, 0);
    assert_eq!(texts(&dest), ["newest", "old2\n"]);
}

fn what_has_moved_is_taken_over() {
    let (a, dest) = scene();
    let root = a.join("root");
    assert_eq!(backup(&[], &root, &dest, "1").code, 0);
    let (place, live) = (dest.to_str().unwrap(), root.to_str().unwrap());
    let adopt = |more: &[&str]| {
        on(
            "two",
            &[&["adopt", "--yes", place, "--as", live], more].concat(),
        )
    };
    let said = adopt(&[]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("it is of subvolume"),
        "{}",
        said.stderr
    );
    assert_eq!(adopt(&["--take-over"]).code, 0);
    assert!(
        adopt(&[]).stdout.is_empty(),
        "there is nothing more to adopt"
    );
    // Now it is the first machine's no longer.
    assert_eq!(backup(&["--num-backups", "1"], &root, &dest, "2").code, 0);
    assert_eq!(texts(&dest), ["1", "2"]);
}

fn a_rollback_continues() {
    let (a, dest) = scene();
    let root = a.join("root");
    for text in ["1", "2"] {
        assert_eq!(backup(&[], &root, &dest, text).code, 0);
    }
    script(
        &a,
        "btrfs -q subvolume snapshot root/snapshot/$(readlink root/snapshot/.latest) new; rm -rf new/snapshot
         btrfs -q subvolume delete root/snapshot/2* root; mv new root",
    );
    assert_eq!(backup(&["--num-backups", "2"], &root, &dest, "3").code, 0);
    assert_eq!(texts(&dest), ["2", "3"]);
    // The subvolume that it came from is there: whose its snapshots are, is clear.
    script(
        &a,
        "btrfs -q subvolume snapshot root other; rm -rf other/snapshot",
    );
    assert_eq!(
        backup(&["--num-backups", "1"], &a.join("other"), &dest, "4").code,
        0
    );
    assert_eq!(texts(&dest), ["2", "3", "4"]);
}

/// What it went back to is deleted everywhere, and what is older is of the same subvolume still.
fn nothing_of_before_a_rollback_needs_to_stay() {
    let (a, dest) = scene();
    let root = a.join("root");
    for text in ["1", "2"] {
        assert_eq!(backup(&[], &root, &dest, text).code, 0);
    }
    for (text, gone) in [("3", "2"), ("4", "3")] {
        script(
            &a,
            "btrfs -q subvolume snapshot root/snapshot/$(readlink root/snapshot/.latest) new; rm -rf new/snapshot
             btrfs -q subvolume delete root/snapshot/2* root; mv new root",
        );
        assert_eq!(backup(&[], &root, &dest, text).code, 0);
        let all: Vec<PathBuf> = dest
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let same = |path: &&PathBuf| std::fs::read_to_string(path.join("file")).unwrap() == gone;
        let path = all.iter().find(same).unwrap();
        script(&a, &format!("btrfs -q subvolume delete {}", path.display()));
    }
    assert_eq!(texts(&dest), ["1", "4"]);
    // Nothing changed, and so no snapshot is made, and nothing is sent.
    let before = a.join("root/snapshot").read_dir().unwrap().count();
    let said = on(
        "one",
        &["backup", root.to_str().unwrap(), dest.to_str().unwrap()],
    );
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains("nothing changed"), "{}", said.stdout);
    assert_eq!(a.join("root/snapshot").read_dir().unwrap().count(), before);
    assert_eq!(backup(&["--num-backups", "1"], &root, &dest, "5").code, 0);
    assert_eq!(texts(&dest), ["5"]);
}

/// Backs up by a key of a server: without ssh, but as a forced command would have it.
fn by_key(key: &str, options: &[&str], live: &Path, dest: &Path, text: &str) -> Said {
    let far = far(key);
    let place = format!("ssh://far{}", dest.display());
    let with = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    backup(&[&with, options].concat(), live, Path::new(&place), text)
}

pub(crate) fn far(key: &str) -> PathBuf {
    let far = here().join(format!("far-{key}"));
    let words = format!(
        "#!/bin/sh\nwhile [ \"$1\" != far ]; do shift; done; shift 3; cd /
         exec '{}' --server --as {key} \"$@\"",
        binary("buttersink").display()
    );
    std::fs::write(&far, words).unwrap();
    run("chmod", ["755".as_ref(), far.as_os_str()]);
    far
}

fn what_came_by_another_key_takes_nobodys_place() {
    let (a, dest) = scene();
    let root = a.join("root");
    for text in ["1", "2"] {
        assert_eq!(by_key("one", &[], &root, &dest, text).code, 0);
    }
    // It says that it is of the same subvolume.
    assert_eq!(by_key("two", &[], &root, &dest, "3").code, 0);
    let keep = ["--num-backups", "2"];
    let said = by_key("one", &keep, &root, &dest, "4");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("by the key two"), "{}", said.stderr);
    assert_eq!(texts(&dest), ["2", "3", "4"]);
    let said = backup(&["--num-backups", "1"], &root, &dest, "5");
    assert!(said.stderr.contains("by the key one"), "{}", said.stderr);
    assert_eq!(texts(&dest), ["2", "3", "4", "5"]);
    let said = by_key("two", &["--num-backups", "1"], &root, &dest, "6");
    assert!(said.stderr.contains("by no key"), "{}", said.stderr);
    assert_eq!(texts(&dest), ["2", "4", "5", "6"]);
}

fn what_has_just_arrived_stays() {
    let (a, dest) = scene();
    let root = a.join("root");
    let keep = ["--num-backups", "1", "--keep-min", "1d"];
    for text in ["1", "2"] {
        assert_eq!(backup(&keep, &root, &dest, text).code, 0);
    }
    assert_eq!(texts(&dest), ["1", "2"]);
    let keep = ["--num-backups", "1", "--keep-min", "0"];
    assert_eq!(backup(&keep, &root, &dest, "3").code, 0);
    assert_eq!(texts(&dest), ["3"]);
}

fn what_is_far_is_adopted() {
    let (a, dest) = scene();
    let root = a.join("root");
    sent_by_hand(&a, &dest);
    let (far, place) = (far("one"), format!("ssh://far{}", dest.display()));
    let with = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    let words = ["adopt", "--yes", &place, "--as", root.to_str().unwrap()];
    let said = on("one", &[&words[..], &with].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let keep = ["--num-backups", "1"];
    assert_eq!(by_key("one", &keep, &root, &dest, "new").code, 0);
    assert_eq!(texts(&dest), ["new"]);
}

fn each_family_is_pruned_by_itself() {
    let (a, dest) = scene();
    let (root, home) = (a.join("root"), a.join("home"));
    for (live, text) in [(&root, "r1"), (&home, "h1"), (&root, "r2"), (&home, "h2")] {
        assert_eq!(backup(&[], live, &dest, text).code, 0);
    }
    assert_eq!(by_key("one", &[], &root, &dest, "r3").code, 0);
    let place = dest.join("");
    let prune = |options: &[&str]| {
        let words = ["prune", place.to_str().unwrap()];
        on("owner", &[&words, options].concat())
    };
    let one = ["--num-backups", "1"];
    let said = prune(&[&["-n"][..], &one].concat());
    assert_eq!(said.code, 0);
    assert_eq!(
        said.stdout.matches(": delete ").count(),
        2,
        "{}",
        said.stdout
    );
    assert_eq!(said.stdout.matches(": keep ").count(), 3, "{}", said.stdout);
    assert!(said.stdout.contains("(no rule keeps it)") && said.stdout.contains("by the key one"));
    assert_eq!(texts(&dest).len(), 5, "it was only shown");
    let said = prune(&[&["--keep-min", "1d"][..], &one].concat());
    assert_eq!((said.code, texts(&dest).len()), (0, 5), "all is new");
    let said = prune(&[&["--exclude", "*"][..], &one].concat());
    assert_eq!((said.code, texts(&dest).len()), (0, 5), "all is left alone");
    assert_eq!(prune(&one).code, 0);
    assert_eq!(texts(&dest), ["h2", "r2", "r3"]);
    let said = prune(&[]);
    assert_eq!(said.code, 2, "what stays was not said");
}

fn what_is_not_known_is_not_pruned() {
    let (a, dest) = scene();
    sent_by_hand(&a, &dest);
    let made = "btrfs -q subvolume create own; for n in 1 2; do btrfs -q subvolume snapshot -r own mine$n; done";
    script(&dest, made);
    let place = dest.join("");
    let words = ["prune", place.to_str().unwrap(), "--num-backups", "1"];
    let said = on("owner", &words);
    assert_eq!(said.code, 0);
    let words = "neither counted nor deleted: 4, the newest of them mine2";
    assert!(said.stderr.contains(words), "{}", said.stderr);
    assert_eq!(texts(&dest).len(), 2);
    assert!(dest.join("mine1").exists() && dest.join("mine2").exists());
}
