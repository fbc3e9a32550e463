//! What a snapshot is received onto: exactly the one that was planned, whatever else claims to be it,
//! and another one if that cannot be.

use crate::runner::Test;
use crate::subvolumes::{history, id, script, set_read_only, shown, snapshot, subvolume};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::btrfs as kernel;
use buttersink::snapshot::Uuid;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    equal_copies_in_other_directories_are_no_obstacle,
    below_a_mount_of_a_subvolume_with_copies_outside,
    who_claims_to_be_the_parent_is_named_and_not_used,
    clones_do_not_read_from_who_claims_to_be_the_parent,
    clones_from_what_was_made_here,
    nothing_is_inherited_from_where_it_is_received,
    an_altered_parent_is_named,
    a_clone_that_cannot_be_is_sent_another_way,
    whole_is_whole,
    one_that_cannot_be_read_is_one_that_fails,
    what_fails_in_transit_is_one_that_fails,
];

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

fn ok(args: &[&str]) -> Said {
    let said = buttersink(args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    said
}

/// Another snapshot of the live subvolume in `a`, which takes extents from the one before.
fn go_on(a: &Path, number: usize) {
    script(
        &a.join("live"),
        &format!(
            "head -c 500K /dev/urandom >data{number}; cp --reflink=always data1 clone{number} || true; echo {number} >>log"
        ),
    );
    snapshot(&a.join("live"), &a.join(format!("snaps/{number}")));
}

/// A filesystem with `count` snapshots in `snaps`.
fn source(count: usize) -> PathBuf {
    let a = btrfs("a", 512);
    script(&a, "mkdir snaps; btrfs -q subvolume create live");
    (1..=count).for_each(|number| go_on(&a, number));
    a
}

/// Alters a read-only snapshot in place, which nobody should do.
fn alter(subvolume: &Path) {
    set_read_only(subvolume, false);
    script(subvolume, "echo other >>log; sync -f .");
    set_read_only(subvolume, true);
}

/// The subvolume that one in `b` was made from is this one.
fn made_from(child: &Path, parent: &Path) -> bool {
    shown(child, "Parent UUID") == shown(parent, "UUID")
}

/// Sends the snapshots of `a` to a server that sees nothing outside of a directory, and so copies nothing.
fn send(a: &Path, dir: &Path) -> Said {
    let far = far_here();
    let (from, to) = (slash(&a.join("snaps")), format!("ssh://far{}", slash(dir)));
    let with = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    ok(&[&with[..], &[&from, &to]].concat())
}

fn equal_copies_in_other_directories_are_no_obstacle() {
    let (a, b) = (source(3), btrfs("b", 512));
    let dirs = ["one", "two", "three"].map(|name| b.join(name));
    for dir in &dirs {
        std::fs::create_dir(dir).unwrap();
        send(&a, dir);
        for (child, parent) in [("2", "1"), ("3", "2")] {
            assert!(made_from(&dir.join(child), &dir.join(parent)));
        }
    }
    // Life goes on in each, and nothing takes the other's for its own.
    go_on(&a, 4);
    for dir in &dirs {
        let said = send(&a, dir);
        assert!(said.stdout.contains("sent 4 (from 3"), "{}", said.stdout);
        assert!(made_from(&dir.join("4"), &dir.join("3")));
        for name in ["1", "2", "3", "4"] {
            assert_same(&a.join("snaps").join(name), &dir.join(name));
        }
        assert_eq!(script(dir, "ls | grep part || true"), "");
    }
    let listing = ok(&[&slash(&dirs[1])]);
    assert!(!listing.stdout.contains("duplicate"), "{}", listing.stdout);
}

fn below_a_mount_of_a_subvolume_with_copies_outside() {
    let (a, top) = (source(2), btrfs("b", 512));
    script(&top, "mkdir other; btrfs -q subvolume create box");
    let boxed = mount_image(&image("b"), "boxed", "subvol=box");
    let dirs = [top.join("other"), boxed];
    for dir in &dirs {
        send(&a, dir);
    }
    go_on(&a, 3);
    for dir in dirs.iter().rev() {
        let said = send(&a, dir);
        assert!(said.stdout.contains("sent 3 (from 2"), "{}", said.stdout);
        assert!(made_from(&dir.join("3"), &dir.join("2")));
        assert_same(&a.join("snaps/3"), &dir.join("3"));
    }
}

/// A read-only subvolume with other content, that has `uuid` as its received UUID.
pub(crate) fn impostor(at: &Path, uuid: &str) {
    subvolume(at);
    script(at, "echo mine >data1; echo mine >log");
    kernel::set_received(at, uuid.parse::<Uuid>().unwrap(), 7).unwrap();
    set_read_only(at, true);
}

fn who_claims_to_be_the_parent_is_named_and_not_used() {
    // What was made in `a` comes back to it.
    let (a, b) = (source(2), btrfs("b", 512));
    ok(&[&slash(&a.join("snaps")), &slash(&b)]);
    script(&a, "btrfs -q subvolume delete snaps/2; mkdir user");
    impostor(&a.join("user/evil"), &id(&a.join("snaps/1")));
    let said = ok(&[&slash(&b), &slash(&a.join("snaps"))]);
    assert!(said.stderr.contains("user/evil"), "{}", said.stderr);
    assert_same(&b.join("2"), &a.join("snaps/2"));
    assert_eq!(shown(&a.join("snaps/2"), "Parent UUID"), "-");
}

fn clones_do_not_read_from_who_claims_to_be_the_parent() {
    let (a, b) = (source(1), btrfs("b", 512));
    script(&b, "mkdir in user");
    // The first that claims it is the first that btrfs receive finds.
    impostor(&b.join("user/evil"), &id(&a.join("snaps/1")));
    ok(&[&slash(&a.join("snaps")), &slash(&b.join("in"))]);
    go_on(&a, 2);
    let said = ok(&[&slash(&a.join("snaps")), &slash(&b.join("in"))]);
    assert!(said.stdout.contains("sent 2 (from 1"), "{}", said.stdout);
    assert!(made_from(&b.join("in/2"), &b.join("in/1")));
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &b.join("in").join(name));
    }
    assert_eq!(script(&b.join("in"), "ls | grep part || true"), "");
}

fn clones_from_what_was_made_here() {
    let (a, b) = (source(3), btrfs("b", 512));
    ok(&[&slash(&a.join("snaps")), &slash(&b)]);
    script(&a, "btrfs -q subvolume delete snaps/2 snaps/3");
    let said = ok(&[&slash(&b), &slash(&a.join("snaps"))]);
    assert!(said.stdout.contains("sent 2 (from 1"), "{}", said.stdout);
    for name in ["2", "3"] {
        assert_same(&b.join(name), &a.join("snaps").join(name));
    }
    assert!(made_from(&a.join("snaps/2"), &a.join("snaps/1")));
}

fn nothing_is_inherited_from_where_it_is_received() {
    let (a, b) = (source(1), btrfs("b", 512));
    script(
        &b,
        "mkdir plain acl; setfacl -d -m u:1000:rwx acl . ; btrfs property set . compression zstd",
    );
    script(&b, "btrfs property set acl compression lzo");
    for dir in ["plain", "acl"] {
        let dir = b.join(dir);
        ok(&[&slash(&a.join("snaps")), &slash(&dir)]);
        assert_same(&a.join("snaps/1"), &dir.join("1"));
        let all = "getfattr --absolute-names -R -d -m 'system|btrfs' 1";
        assert_eq!(script(&dir, all), "", "inherited");
        assert!(!dir.join("1.part").exists());
    }
}

fn an_altered_parent_is_named() {
    let (a, b) = (source(2), btrfs("b", 512));
    ok(&[&slash(&a.join("snaps")), &slash(&b)]);
    alter(&b.join("2"));
    go_on(&a, 3);
    let said = buttersink(["-n", &slash(&a.join("snaps")), &slash(&b)]);
    let words =
        "from 1, which the destination has; not from 2, which was altered at the destination";
    assert!(said.stdout.contains(words), "{}", said.stdout);
    alter(&b.join("1"));
    let said = buttersink(["-n", &slash(&a.join("snaps")), &slash(&b)]);
    let words = "whole: not from 2, which was altered at the destination";
    assert!(said.stdout.contains(words), "{}", said.stdout);
}

/// Nobody can clone between files with and without checksums.
fn a_clone_that_cannot_be_is_sent_another_way() {
    let a = btrfs("a", 512);
    script(
        &a,
        "mkdir snaps; btrfs -q subvolume create live; head -c 1M /dev/urandom >live/data1",
    );
    snapshot(&a.join("live"), &a.join("snaps/1"));
    for number in [2, 3] {
        go_on(&a, number);
    }
    script(&a.join("live"), "echo 4 >>log");
    snapshot(&a.join("live"), &a.join("snaps/4"));
    for (way, why) in [
        ("builtin", "cannot clone into"),
        ("btrfs", "failed to clone"),
    ] {
        let b = btrfs(way, 512);
        let run_by = |more: &[&str]| ok(&[&["--receive-with", way], more, &[&slash(&b)]].concat());
        run_by(&[a.join("snaps/1").to_str().unwrap()]);
        run("mount", ["-o", "remount,nodatacow", b.to_str().unwrap()]);
        let said = run_by(&["--exclude", "4", &slash(&a.join("snaps"))]);
        assert!(said.stderr.contains(why), "{}", said.stderr);
        let because = format!("not from 1, because {why}");
        assert!(said.stdout.contains(&because), "{}", said.stdout);
        for name in ["1", "2", "3"] {
            assert_same(&a.join("snaps").join(name), &b.join(name));
        }
        // It stops nothing that comes later.
        let said = run_by(&[&slash(&a.join("snaps"))]);
        assert!(said.stdout.contains("sent 4 (from "), "{}", said.stdout);
    }
}

fn whole_is_whole() {
    let (a, b, c) = (source(2), btrfs("b", 512), btrfs("c", 512));
    let said = ok(&["--whole", &slash(&a.join("snaps")), &slash(&b)]);
    assert_eq!(said.stdout.matches("(whole").count(), 2, "{}", said.stdout);
    for name in ["1", "2"] {
        assert_eq!(shown(&b.join(name), "Parent UUID"), "-");
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
    let live = a.join("live");
    for words in [&["backup"][..], &["backup", "--whole", "--always"]] {
        let to = slash(&c);
        let places = [live.to_str().unwrap(), &to];
        let said = ok(&[words, &places[..]].concat());
        assert!(said.stdout.contains("(whole"), "{}", said.stdout);
    }
}

fn one_that_cannot_be_read_is_one_that_fails() {
    let (a, b) = (source(2), btrfs("b", 512));
    let deep = "d".repeat(200);
    script(
        &a,
        &format!(
            "btrfs -q subvolume create w; cd w; for i in {{1..22}}; do mkdir {deep}; cd {deep}; done"
        ),
    );
    snapshot(&a.join("w"), &a.join("snaps/deep"));
    go_on(&a, 3);
    for estimate in [&[][..], &["-e"]] {
        let places = [slash(&a.join("snaps")), slash(&b)];
        let places = [places[0].as_str(), &places[1]];
        let said = buttersink([estimate, &places].concat());
        assert_eq!(said.code, 10, "{}", said.stderr);
        assert!(
            said.stderr.contains("deep") && said.stderr.contains("too long"),
            "{}",
            said.stderr
        );
        for name in ["1", "2", "3"] {
            assert_same(&a.join("snaps").join(name), &b.join(name));
        }
        script(&b, "btrfs -q subvolume delete 1 2 3");
    }
}

/// The content of one file is damaged on the disk: measuring does not read it.
fn what_fails_in_transit_is_one_that_fails() {
    let (a, b) = (btrfs_with("a", 512, &["-d", "single"], ""), btrfs("b", 512));
    history(&a, 1);
    script(&a.join("live"), "printf 'findme%.0s' {1..20000} >spoilt");
    snapshot(&a.join("live"), &a.join("snaps/2"));
    script(&a.join("live"), "rm spoilt");
    snapshot(&a.join("live"), &a.join("snaps/3"));
    run("umount", [&a]);
    let image = image("a");
    let spoil = format!(
        "at=$(grep -abo findmefindme {0} | head -n 1 | cut -d: -f1); printf X | dd of={0} bs=1 seek=$at conv=notrunc status=none",
        image.to_str().unwrap()
    );
    script(&here(), &spoil);
    let a = mount_image(&image, "a", "");
    let said = buttersink([slash(&a.join("snaps")), slash(&b)]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    for name in ["1", "3"] {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
    assert!(!b.join("2").exists() && !b.join("2.part").exists());
}
