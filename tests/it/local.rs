//! What a local store may touch: leftovers that are ours, and nothing else.

use crate::runner::Test;
use crate::subvolumes::{script, set_read_only, snapshot, subvolume, unfinished};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::btrfs as kernel;
use buttersink::snapshot::Diff;
use buttersink::store::local::Local;
use buttersink::store::{Access, Receipt, Store};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    what_is_named_like_a_leftover_may_be_somebody_elses,
    what_gets_the_name_of_a_leftover_later_is_not_ours,
    names_that_were_rotated_send_nothing_wrong,
    what_was_made_read_only_just_now_arrives,
    what_replaced_a_listed_snapshot_is_not_deleted,
    what_cannot_all_be_listed_deletes_nothing,
    snapshots_of_what_was_received_are_told_apart,
    a_received_subvolume_in_use_is_not_backed_up,
    deleting_needs_no_space,
    names_that_cannot_be_are_refused_at_once,
    places_that_cannot_be_used_are_named,
    leftovers_of_a_run_at_work_are_its_own,
    results_that_cannot_be_written_are_an_error,
    seals_that_only_root_may_read,
    seals_that_cannot_be_read_are_no_ground_for_anything,
    a_directory_whose_path_cannot_be_read_is_one_item,
    what_is_too_deep_elsewhere_is_in_nobodys_way,
    sizes_are_exact_where_space_is_reserved,
    sizes_are_exact_where_an_end_is_cloned,
    what_the_kernel_cannot_send_is_no_candidate,
    a_leftover_that_cannot_be_removed_is_in_nobodys_way,
    a_mark_whose_place_cannot_be_looked_at_is_in_nobodys_way,
    room_that_was_made_just_now_is_seen,
    places_must_be_mounted_where_that_is_asked,
    what_is_held_hands_its_top_on,
    of_what_is_held_each_is_published_for_itself,
    what_is_begun_is_what_is_sent,
];

/// A filesystem with one snapshot in `snaps`, and an empty one.
fn pair() -> (PathBuf, PathBuf) {
    (source("a", &[]), btrfs("b", 512))
}

/// The directory of that snapshot, on a filesystem made with these options.
fn source(name: &str, mkfs: &[&str]) -> PathBuf {
    let a = btrfs_with(name, 256, mkfs, "");
    std::fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("live"));
    std::fs::write(a.join("live/file"), "content").unwrap();
    snapshot(&a.join("live"), &a.join("snaps/one"));
    a.join("snaps/")
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
    // No record of ours names it: it is shown as a stranger's, and stays.
    let said = buttersink([&dest]);
    assert!(!said.stdout.contains("partial") && said.stderr.contains("disk.part is read-write"));
    for words in [&["-d"][..], &["clean"]] {
        let words = words.iter().map(OsStr::new).chain([dest.as_os_str()]);
        assert_eq!(buttersink(words).code, 0);
        assert!(is_there(&dest.join("disk.part/precious")));
    }
}

fn what_gets_the_name_of_a_leftover_later_is_not_ours() {
    let (source, dest) = pair();
    assert_eq!(buttersink([&source, &dest]).code, 0);
    subvolume(&dest.join("one.part"));
    assert_eq!(buttersink([&source, &dest]).code, 0);
    assert!(is_there(&dest.join("one.part")));
}

fn open(dir: &Path, access: Access) -> Local {
    Local::open(dir, access, local_options()).unwrap()
}

/// `one` and `two` with different content, listed; `two` is a diff from `one`.
fn listed(source: &Path, access: Access) -> (Local, [Diff; 2]) {
    std::fs::write(source.join("../live/file"), "other").unwrap();
    snapshot(&source.join("../live"), &source.join("two"));
    let mut store = open(source, access);
    let listing = store.list().unwrap();
    let [one, two] = ["one", "two"].map(|name| {
        let named = |s: &&buttersink::snapshot::Snapshot| s.path == Path::new(name);
        listing.snapshots.iter().find(named).unwrap().id()
    });
    let diff = |to, from| Diff::new(to, from, buttersink::snapshot::Size::Unknown);
    (store, [diff(one, None), diff(two, Some(one))])
}

/// Children of this process that have not ended, or were not waited for.
fn children() -> usize {
    let all = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    all.split_whitespace().count()
}

/// What was told to be next is begun, once; what is not expected any more ends.
fn what_is_begun_is_what_is_sent() {
    let (source, _) = pair();
    let (mut store, [one, two]) = listed(&source, Access::Read);
    let plain = [&one, &two].map(|diff| read(&mut store, diff).unwrap());
    assert_eq!(children(), 0);
    store.expect(&[one.clone(), two.clone()]);
    assert_eq!(children(), 2);
    store.expect(&[one.clone(), two.clone()]);
    assert_eq!(children(), 2, "each is begun once");
    let begun = [&one, &two].map(|diff| read(&mut store, diff).unwrap());
    assert_eq!(begun, plain);
    assert_eq!(children(), 0, "those that were begun were sent");
    store.expect(&[one, two.clone()]);
    store.expect(std::slice::from_ref(&two));
    assert_eq!(children(), 1);
    store.expect(&[]);
    assert_eq!(children(), 0);
    // What cannot be begun says so when it is sent.
    set_read_only(&source.join("two"), false);
    std::fs::write(source.join("two/file"), "altered").unwrap();
    store.expect(std::slice::from_ref(&two));
    read(&mut store, &two).unwrap_err();
}

/// Writes the stream of a diff, and finishes.
fn give(source: &mut Local, dest: &mut Local, diff: &Diff, name: &str) -> Receipt {
    let mut sink = dest.receive(diff, Path::new(name)).unwrap();
    std::io::copy(&mut source.send(diff).unwrap(), &mut sink).unwrap();
    sink.finish().unwrap()
}

/// The top of one that is held has its own attributes when it is published, and what builds on it too.
fn what_is_held_hands_its_top_on() {
    let (source, dest) = pair();
    let live = source.join("../live");
    script(
        &live,
        "setfacl -d -m u:1000:rwx .; chmod 2751 .; chown 5:6 .; touch -d '2011-11-11 11:11:11.1' .",
    );
    script(&source, "btrfs -q subvolume delete one");
    snapshot(&live, &source.join("one"));
    let (mut from, [one, two]) = listed(&source, Access::Read);
    let mut to = open(&dest, Access::Write);
    to.list().unwrap();
    to.hold(true);
    if !give(&mut from, &mut to, &one, "one").held {
        skip("it is received by the program btrfs");
    }
    assert!(give(&mut from, &mut to, &two, "two").held);
    assert_eq!(to.publish().unwrap(), [one.to, two.to]);
    for name in ["one", "two"] {
        assert_same(&source.join(name), &dest.join(name));
    }
    let made_from = kernel::subvolume(&dest.join("two")).unwrap().parent_uuid;
    assert_eq!(
        made_from,
        Some(kernel::subvolume(&dest.join("one")).unwrap().uuid)
    );
}

/// Somebody gives its name to something else meanwhile: what cannot be published is gone, and nothing else.
fn of_what_is_held_each_is_published_for_itself() {
    let (source, dest) = pair();
    let (mut from, [one, two]) = listed(&source, Access::Read);
    let mut to = open(&dest, Access::Write);
    to.list().unwrap();
    to.hold(true);
    if !give(&mut from, &mut to, &one, "one").held {
        skip("it is received by the program btrfs");
    }
    give(&mut from, &mut to, &two, "two");
    std::fs::create_dir(dest.join("one")).unwrap();
    assert_eq!(to.publish().unwrap(), [two.to]);
    drop(to);
    assert!(dest.join("one").read_dir().unwrap().next().is_none());
    assert!(!dest.join("one.part").exists() && !in_quarantine(&dest));
    assert_same(&source.join("two"), &dest.join("two"));
    // By a run: it fails by itself, and says why.
    drop(from);
    let said = buttersink([&source, &dest]);
    assert!(matches!(said.code, 1 | 10), "{}", said.stderr);
    assert!(
        said.stderr.contains("of that name already"),
        "{}",
        said.stderr
    );
}

fn sent(store: &mut Local, diff: &Diff) -> Result<usize, String> {
    read(store, diff).map(|bytes| bytes.len())
}

fn read(store: &mut Local, diff: &Diff) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut stream = store.send(diff).map_err(|error| error.to_string())?;
    let read = stream.read_to_end(&mut bytes).map_err(|e| e.to_string());
    read.map(|_| bytes)
}

/// What is measured of a diff between two states of a subvolume is what is sent.
fn exact_between(before: &str, after: &str) {
    exact_on("a", &[], before, after);
    // Holes have items of their own on filesystems that were made long ago.
    exact_on("old", &["-O", "^no-holes"], before, after);
}

fn exact_on(name: &str, mkfs: &[&str], before: &str, after: &str) {
    let source = source(name, mkfs);
    let live = source.join("../live");
    set_read_only(&source.join("one"), false);
    script(&source, "btrfs -q subvolume delete one");
    script(&live, before);
    snapshot(&live, &source.join("one"));
    script(&live, after);
    let (mut store, [_, two]) = listed(&source, Access::Read);
    let measured = store
        .measure(std::slice::from_ref(&two))
        .unwrap()
        .remove(&two.key())
        .unwrap();
    let sent = sent(&mut store, &two).unwrap();
    assert_eq!(measured.size.bytes(), Some(sent as u64), "{measured:?}");
}

/// The kernel ends a file that grew by a hole in one way or another, as there is space reserved behind it.
fn sizes_are_exact_where_space_is_reserved() {
    exact_between(
        "for i in plain kept part even moved; do
             head -c 5000 /dev/urandom >$i; fallocate -n -o 8K -l 248K $i
         done; sync",
        "for i in kept part even moved; do fallocate -p -o 8K -l 120K $i; done
         fallocate -p -o 8K -l 248K plain; fallocate -p -o 8K -l 16K part
         truncate -s 50000 plain kept part moved; truncate -s 53248 even
         mkdir d; mv moved d; sync",
    );
}

/// The kernel makes room for a clone that ends within a block, and sends the hole before it afterwards.
fn sizes_are_exact_where_an_end_is_cloned() {
    exact_between(
        "for i in from same longer shorter; do head -c 89904 /dev/urandom >$i; done
         truncate -s 50000 longer; truncate -s 100000 shorter; sync",
        "for i in same longer shorter; do
             cp --reflink=always from $i; fallocate -p -o 48K -l 24K $i
         done; sync",
    );
}

/// The kernel clones from a file without a name, if a subvolume was made read-only while it was open.
fn what_the_kernel_cannot_send_is_no_candidate() {
    let (source, _) = pair();
    script(&source, "head -c 9000 /dev/urandom >../live/large");
    script(
        &source,
        "btrfs -q subvolume delete one; btrfs -q subvolume snapshot ../live one",
    );
    let open = std::fs::File::open(source.join("one/large")).unwrap();
    std::fs::remove_file(source.join("one/large")).unwrap();
    set_read_only(&source.join("one"), true);
    let (mut store, [one, two]) = listed(&source, Access::Read);
    let diff = Diff {
        from: Some(one.to),
        ..two
    };
    let measured = store
        .measure(std::slice::from_ref(&diff))
        .unwrap()
        .remove(&diff.key())
        .unwrap();
    let refused = measured.refused.unwrap();
    assert!(refused.contains("No such file or directory"), "{refused}");
    let said = sent(&mut store, &diff).unwrap_err();
    assert!(said.contains("No such file or directory"), "{said}");
    drop(open);
    sent(&mut store, &diff).unwrap();
}

fn names_that_were_rotated_send_nothing_wrong() {
    let (source, _) = pair();
    let (mut store, [one, two]) = listed(&source, Access::Read);
    assert!(sent(&mut store, &one).is_ok() && sent(&mut store, &two).is_ok());
    // daily.0 becomes daily.1, and so on.
    std::fs::rename(source.join("one"), source.join("old")).unwrap();
    std::fs::rename(source.join("two"), source.join("one")).unwrap();
    snapshot(&source.join("../live"), &source.join("two"));
    let whole = Diff {
        from: None,
        ..two.clone()
    };
    for diff in [&one, &two, &whole] {
        let said = sent(&mut store, diff).unwrap_err();
        assert!(said.contains("since it was listed"), "{said}");
    }
    // The right snapshot, and the wrong parent.
    std::fs::rename(source.join("two"), source.join("three")).unwrap();
    std::fs::rename(source.join("one"), source.join("two")).unwrap();
    snapshot(&source.join("../live"), &source.join("one"));
    let said = sent(&mut store, &two).unwrap_err();
    assert!(said.contains("one was renamed"), "{said}");
    assert!(sent(&mut store, &whole).is_ok());
    // What is altered is sent whole as it is; to build on it would be wrong.
    let mut store = open(&source, Access::Read);
    store.list().unwrap();
    set_read_only(&source.join("old"), false);
    std::fs::write(source.join("old/file"), "altered").unwrap();
    set_read_only(&source.join("old"), true);
    assert!(sent(&mut store, &one).is_ok());
    let said = sent(&mut store, &two).unwrap_err();
    assert!(said.contains("altered since"), "{said}");
}

/// What was written before still lies in memory, and raises the generation when it is sent.
fn what_was_made_read_only_just_now_arrives() {
    let (source, dest) = pair();
    subvolume(&source.join("new"));
    script(&source.join("new"), "head -c 5M /dev/urandom >file");
    set_read_only(&source.join("new"), true);
    for _ in 0..2 {
        assert_eq!(buttersink([&source, &dest]).code, 0);
    }
    assert!(is_there(&dest.join("new/file")));
}

fn what_replaced_a_listed_snapshot_is_not_deleted() {
    let (source, _) = pair();
    let (mut store, _) = listed(&source, Access::Write);
    subvolume(&source.join("mine"));
    std::fs::rename(source.join("one"), source.join("old")).unwrap();
    snapshot(&source.join("../live"), &source.join("one"));
    set_read_only(&source.join("two"), false);
    for name in ["one", "two", "mine"] {
        let said = store.delete(Path::new(name)).unwrap_err().to_string();
        assert!(said.contains("not the snapshot that was listed"), "{said}");
        assert!(is_there(&source.join(name)));
    }
    store.list().unwrap();
    store.delete(Path::new("one")).unwrap();
    assert!(!is_there(&source.join("one")));
}

/// As keys of a bucket may have them.
fn names_that_cannot_be_are_refused_at_once() {
    let (source, _) = pair();
    let (mut store, [one, _]) = listed(&source, Access::Append);
    let long = "x".repeat(256);
    let refused = store.receive(&one, Path::new(&long)).err().unwrap();
    assert!(refused.said.contains("too long"), "{refused}");
    assert!(store.receive(&one, Path::new(&long[1..])).is_ok());
}

/// Names and states of a listing.
fn states(dir: &Path) -> Vec<(String, String)> {
    let said = buttersink(["--json".as_ref(), dir.as_os_str()]);
    let listing: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let text = |field: &serde_json::Value| field.as_str().unwrap().to_owned();
    let all = listing["snapshots"].as_array().unwrap().iter();
    all.map(|s| (text(&s["path"]), text(&s["state"]))).collect()
}

/// All of them have the received UUID, and not all of them its content.
fn snapshots_of_what_was_received_are_told_apart() {
    let (source, dest) = pair();
    for sealed in [true, false] {
        let (there, far) = (
            dest.join(format!("{sealed}")),
            dest.join(format!("far-{sealed}")),
        );
        let clones = there.join("clones/");
        std::fs::create_dir_all(&clones).unwrap();
        std::fs::create_dir_all(&far).unwrap();
        match sealed {
            true => assert_eq!(buttersink([&source, &there]).code, 0),
            false => drop(script(
                &there,
                &format!(
                    "btrfs -q send {}/one | btrfs -q receive .",
                    source.display()
                ),
            )),
        }
        let (one, state) = (there.join("one"), |all: &[(String, String)], name: &str| {
            all.iter().find(|(n, _)| n == name).unwrap().1.clone()
        });
        snapshot(&one, &clones.join("before"));
        run("sync", ["-f".as_ref(), dest.as_os_str()]);
        // Both are what was received, and only a seal tells which of them is sure to be.
        let all = states(&there);
        assert_eq!(state(&all, "clones/before"), "duplicate");
        let first = if sealed { "ok" } else { "duplicate" };
        assert_eq!(state(&all, "one"), first);
        set_read_only(&one, false);
        for name in ["a-first", "second"] {
            std::fs::write(one.join("file"), name).unwrap();
            snapshot(&one, &clones.join(name));
        }
        let all = states(&there);
        assert_eq!(state(&all, "clones/a-first"), "altered");
        assert_eq!(state(&all, "clones/second"), "altered");
        // Without a seal nobody knows.
        let known = if sealed { "duplicate" } else { "altered" };
        assert_eq!(state(&all, "clones/before"), known);
        let said = buttersink([&clones, &far]);
        assert_eq!(said.code, if sealed { 10 } else { 1 });
        assert!(!is_there(&far.join("a-first")), "under a wrong identity");
        let sent = std::fs::read_to_string(far.join("before/file"));
        assert_eq!(sent.ok().as_deref(), sealed.then_some("content"));
        if sealed {
            // What differs there is no reason to call what is right altered.
            let said = buttersink([&source, &there]);
            assert_eq!(said.code, 0);
        }
        run("btrfs", ["subvolume", "delete", one.to_str().unwrap()]);
        // The original is gone; that they differ can still be seen.
        let all = states(&clones);
        assert_ne!(state(&all, "before"), "altered");
        assert_eq!(state(&all, "second"), "altered");
        script(&clones, "btrfs -q subvolume delete *");
    }
}

fn a_received_subvolume_in_use_is_not_backed_up() {
    let (source, dest) = pair();
    assert_eq!(buttersink([&source, &dest]).code, 0);
    let live = dest.join("one");
    set_read_only(&live, false);
    let said = buttersink([
        "backup".as_ref(),
        live.as_os_str(),
        source.join("..").as_os_str(),
    ]);
    assert_eq!(said.code, 1);
    let way = "btrfs subvolume snapshot";
    assert!(said.stderr.contains(way), "{}", said.stderr);
    assert!(!is_there(&live.join("snapshot")));
}

fn deleting_needs_no_space() {
    let (source, dest) = pair();
    assert_eq!(buttersink([&source, &dest]).code, 0);
    for name in ["two", "three"] {
        snapshot(&dest, &dest.join(name));
    }
    // Nothing can be written there, as on a full disk.
    std::fs::create_dir(dest.join(".buttersink/seals.new")).unwrap();
    let gone = source.join("one");
    run("btrfs", ["subvolume", "delete", gone.to_str().unwrap()]);
    snapshot(&source.join("../live"), &source.join("new"));
    assert_eq!(buttersink([&source, &dest]).code, 0);
    let said = buttersink(["-d".as_ref(), source.as_os_str(), dest.as_os_str()]);
    assert_eq!(said.code, 0);
    assert!(!is_there(&dest.join("one")));
    assert!(is_there(&dest.join("three")), "it is of something else");
}

fn what_cannot_all_be_listed_deletes_nothing() {
    let (source, dest) = pair();
    std::fs::create_dir(source.join("closed")).unwrap();
    snapshot(&source.join("../live"), &source.join("closed/two"));
    assert_eq!(buttersink([&source, &dest]).code, 0);
    run("chmod", ["700".as_ref(), source.join("closed").as_os_str()]);
    let program = dest.join("buttersink");
    std::fs::copy(binary("buttersink"), &program).unwrap();
    // A far side where we are not root, without ssh.
    let far = dest.join("far");
    let words = format!(
        "#!/bin/sh\nwhile [ \"$1\" != far ]; do shift; done; shift 2; cd /
         exec setpriv --reuid=65534 --regid=65534 --clear-groups '{}' \"$@\"",
        program.display()
    );
    std::fs::write(&far, words).unwrap();
    run("chmod", ["755".as_ref(), far.as_os_str()]);
    let from = format!("ssh://far{}/", source.display());
    for more in ["-n", "-q"] {
        let said = buttersink([
            "-d".as_ref(),
            more.as_ref(),
            "--ssh-command".as_ref(),
            far.as_os_str(),
            "--remote-sudo=".as_ref(),
            from.as_ref(),
            dest.as_os_str(),
        ]);
        assert_eq!(said.code, 1);
        assert!(said.stderr.contains("run it as root"), "{}", said.stderr);
        assert!(is_there(&dest.join("closed/two")));
    }
}

fn places_that_cannot_be_used_are_named() {
    let (source, dest) = pair();
    let live = source.join("../live");
    let said = buttersink([&live, &dest]);
    assert_eq!(said.code, 2);
    let way = "btrfs subvolume snapshot -r";
    assert!(said.stderr.contains(way), "{}", said.stderr);
    let said = buttersink([&source, &source.join("one")]);
    assert_eq!(said.code, 1);
    let what = "read-only: a snapshot";
    assert!(said.stderr.contains(what), "{}", said.stderr);
}

fn leftovers_of_a_run_at_work_are_its_own() {
    let (_, dest) = pair();
    let inner = dest.join("inner");
    std::fs::create_dir(&inner).unwrap();
    unfinished(&inner, "coming.part");
    let held = open(&inner, Access::Append);
    let remove = || buttersink(["-d".as_ref(), dest.as_os_str()]).code;
    assert_eq!(remove(), 3);
    assert!(is_there(&inner.join("coming.part")), "another run's");
    drop(held);
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
    // The error itself cannot be told either: the exit status is the documented one.
    for (name, code) in [("buttersink", 1), ("btrfslist", 1), ("checksumdir", 1)] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(binary(name));
        let status = command.arg("/nowhere/").stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{name}");
    }
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

/// What nobody can read is not nothing: copies are shown, and neither built upon, replaced nor deleted.
fn seals_that_cannot_be_read_are_no_ground_for_anything() {
    let (source, dest) = pair();
    let one = source.join("one");
    snapshot(&source.join("../live"), &source.join("two"));
    assert_eq!(buttersink([&source, &dest]).code, 0);
    let seals = dest.join(".buttersink/seals");
    let kept = std::fs::read(&seals).unwrap();
    std::fs::remove_file(&seals).unwrap();
    std::fs::create_dir(&seals).unwrap();
    run("btrfs", ["subvolume", "delete", one.to_str().unwrap()]);
    let refused = |what: &str| {
        let said = buttersink(["-d".as_ref(), source.as_os_str(), dest.as_os_str()]);
        assert_eq!(said.code, 10, "{}", said.stderr);
        for words in [what, "nobody knows what its copies are", "move it away"] {
            assert!(said.stderr.contains(words), "{}", said.stderr);
        }
    };
    refused("cannot delete");
    snapshot(&source.join("../live"), &source.join("three"));
    refused("cannot receive");
    assert!(is_there(&dest.join("one")) && !is_there(&dest.join("three")));
    assert_eq!(buttersink(["list".as_ref(), dest.as_os_str()]).code, 0);
    std::fs::remove_dir(&seals).unwrap();
    std::fs::write(&seals, kept).unwrap();
    let said = buttersink(["-d".as_ref(), source.as_os_str(), dest.as_os_str()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!is_there(&dest.join("one")) && is_there(&dest.join("three")));
}

/// A leaf of a tree that the disk no longer gives: the kernel cannot tell where some snapshots are.
fn a_directory_whose_path_cannot_be_read_is_one_item() {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let (source, _) = pair();
    let live = source.join("../live");
    for name in ["a", "b"] {
        std::fs::create_dir(source.join(name)).unwrap();
        snapshot(&live, &source.join(name).join("deep"));
    }
    let log = here().join("calls");
    let list = |inject: &str| {
        let mut strace = Command::new("strace");
        strace.args(["-o", log.to_str().unwrap(), "-e", "trace=ioctl"]);
        strace.args(["-e", inject]);
        Said::of(&output(
            strace.arg(binary("buttersink")).arg("list").arg(&source),
        ))
    };
    assert_eq!(list("trace=ioctl").stdout.matches("deep").count(), 2);
    let calls = std::fs::read_to_string(&log).unwrap();
    let mut lines = calls.lines().filter(|line| line.starts_with("ioctl("));
    let lookup = |line: &str| line.contains("INO_LOOKUP,") && line.contains("b/\"");
    let number = lines.position(lookup).unwrap() + 1;
    let said = list(&format!("inject=ioctl:error=EIO:when={number}"));
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stdout.contains("one"), "{}", said.stdout);
    assert_eq!(said.stdout.matches("deep").count(), 1, "{}", said.stdout);
    assert!(said.stderr.contains("cannot be read"), "{}", said.stderr);
}

/// The kernel tells no path that is longer than a page. Only below the source it could be of a snapshot that
/// ought to be sent, or kept at the destination.
fn what_is_too_deep_elsewhere_is_in_nobodys_way() {
    let (source, dest) = pair();
    snapshot(&source.join("one"), &source.join("two"));
    let name = "d".repeat(200);
    let deep = format!(
        "for i in {{1..24}}; do mkdir {name}; cd {name}; done; btrfs -q subvolume create deep"
    );
    script(source.parent().unwrap(), &deep);
    let run = |words: &[&str], places: &[&Path]| {
        let places = places.iter().map(|place| place.as_os_str());
        buttersink(words.iter().map(OsStr::new).chain(places))
    };
    assert_eq!(run(&["list"], &[&source]).code, 0);
    assert_eq!(run(&["-d"], &[&source, &dest]).code, 0);
    script(&source, "btrfs -q subvolume delete two");
    assert_eq!(run(&["-d"], &[&source, &dest]).code, 0);
    assert!(is_there(&dest.join("one")) && !is_there(&dest.join("two")));
    // Within the source, it might be one that is to stay, and the others go on.
    script(&source, &deep);
    snapshot(&source.join("one"), &source.join("three"));
    script(&source, "btrfs -q subvolume delete one");
    let said = run(&["-d"], &[&source, &dest]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stderr.contains("longer than the kernel can tell"));
    assert!(is_there(&dest.join("one")) && is_there(&dest.join("three")));
    for command in ["list", "verify"] {
        let said = run(&[command], &[&source]);
        assert!(said.code != 0, "{command}: {}", said.stdout);
        let words = said.stdout + &said.stderr;
        assert!(words.contains("longer than the kernel can tell"), "{words}");
    }
}

/// As with a quota that is used up: what is in the way is named, and the rest goes on.
fn a_leftover_that_cannot_be_removed_is_in_nobodys_way() {
    let (source, dest) = pair();
    unfinished(&dest, "x.part");
    subvolume(&dest.join("x.part/inner"));
    let said = buttersink([&source, &dest]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(is_there(&dest.join("one/file")) && is_there(&dest.join("x.part/inner")));
}

/// What is received below a directory, in the place of which there is a file now.
fn a_mark_whose_place_cannot_be_looked_at_is_in_nobodys_way() {
    let (source, dest) = pair();
    script(
        &dest,
        "mkdir -pm 700 .buttersink; printf sub/x.part >.buttersink/unfinished; echo >sub",
    );
    let said = buttersink([&source, &dest]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(is_there(&dest.join("one/file")));
}

fn room_that_was_made_just_now_is_seen() {
    let (source, dest) = pair();
    script(&source.join("../live"), "head -c 30M /dev/urandom >file");
    snapshot(&source.join("../live"), &source.join("two"));
    script(&dest, "fallocate -l 175M fill; sync -f .; rm fill");
    let said = buttersink([&source, &dest]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

fn places_must_be_mounted_where_that_is_asked() {
    let (source, dest) = pair();
    let run = |from: &Path, to: &Path| {
        buttersink([
            OsStr::new("--require-mount"),
            from.as_os_str(),
            to.as_os_str(),
        ])
    };
    let root = PathBuf::from("/tmp/");
    for (from, to) in [(&root, &dest), (&source, &root)] {
        let said = run(from, to);
        let words = "no filesystem is mounted for it";
        assert!(
            said.code == 1 && said.stderr.contains(words),
            "{}",
            said.stderr
        );
    }
    assert_eq!(run(&source, &dest).code, 0);
}
