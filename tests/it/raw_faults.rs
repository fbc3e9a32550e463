//! What goes wrong with directories that keep streams: full disks, read-only ones, such as are pulled, calls that
//! fail, and damage, on each filesystem that can have it, here and through a server.

use crate::contract::{put, sound};
use crate::disks::{Disk, FAULTS, PULLED, names_below};
use crate::runner::Test;
use crate::streams::{diff, stream};
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use crate::targets::{Target, Way, each};
use buttersink::objects::directory::Directory;
use buttersink::objects::{About, Objects, Part};
use buttersink::proof::{Depth, Verdict};
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Store};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = crate::tests![
    a_full_disk,
    a_disk_that_is_read_only,
    a_disk_that_is_gone,
    a_server_that_knows_the_directory_no_more,
    directories_that_cannot_be_written_out,
    any_call_may_fail,
    damage_is_found,
    parts_that_did_not_reach_the_disk,
    what_is_there_is_never_replaced,
];

/// A snapshot of some KiB that cannot be compressed, in the directory that is returned.
pub(crate) fn large(kib: usize) -> PathBuf {
    let a = btrfs("a", 256);
    subvolume(&a.join("live"));
    std::fs::create_dir(a.join("snaps")).unwrap();
    let fill = format!("head -c {kib}K /dev/urandom >large");
    script(&a.join("live"), &fill);
    snapshot(&a.join("live"), &a.join("snaps/large"));
    a.join("snaps/")
}

pub(crate) fn sync(from: &Path, target: &Target) -> Said {
    target.run(&[from.to_str().unwrap(), &target.place()])
}

/// All of it arrives, and what is there is whole.
#[track_caller]
pub(crate) fn all_arrives(from: &Path, target: &Target) {
    assert_eq!(sync(from, target).code, 0);
    target.is_whole();
}

#[track_caller]
pub(crate) fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code);
    let missing = words.iter().find(|word| !said.stderr.contains(**word));
    assert_eq!(missing, None, "{}", said.stderr);
}

pub(crate) fn nothing_is_finished(dir: &Path) {
    let names = names_below(dir);
    let finished = names.iter().find(|name| name.ends_with("_None"));
    assert_eq!(finished, None);
}

/// Runs `buttersink WORDS…`, with some calls made to fail, or to be the last of whoever makes them. Those that concern
/// these directories count, or all. Also whether there was such a call.
pub(crate) fn injected(
    target: &Target,
    dirs: &[&Path],
    inject: &str,
    words: &[&str],
) -> (Said, bool) {
    let (mut command, log) = traced(target, dirs, inject, words);
    let said = Said::of(&output(&mut command));
    let calls = std::fs::read_to_string(log).unwrap();
    let marks = ["INJECTED", "killed by SIGKILL"];
    (said, marks.iter().any(|mark| calls.contains(mark)))
}

/// The command for it, and where the calls are written down.
pub(crate) fn traced(
    target: &Target,
    dirs: &[&Path],
    inject: &str,
    words: &[&str],
) -> (Command, PathBuf) {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let (mut command, log) = (Command::new("strace"), here().join("calls"));
    command.arg("-fo").arg(&log);
    for dir in dirs {
        command.arg("-P").arg(dir);
    }
    let call = inject.split(':').next().unwrap();
    command.args([
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={inject}"),
    ]);
    command.arg(binary("buttersink")).args(target.words(words));
    (command, log)
}

/// Each call on a filesystem that was walked through from the first to the last, and elsewhere a sample.
pub(crate) fn calls(target: &Target, others: usize) -> impl Iterator<Item = usize> {
    let all = (target.disk, target.way) == (Disk::Ext4, Way::Here);
    (1..).step_by(if all { 1 } else { others })
}

/// In the middle of a stream. What has arrived stays, and is gone on with.
fn a_full_disk() {
    let from = large(1000);
    each(FAULTS, 16, |target| {
        let ballast = target.top.join("ballast");
        fill_but(&ballast, 600 << 10);
        let said = sync(&from, target);
        says(
            &said,
            1,
            &["No space left on device", "make room", "streams/large"],
        );
        nothing_is_finished(&target.dir);
        if target.way == Way::Here {
            goes_on_with_parts(target, &ballast);
        }
        std::fs::remove_file(ballast).unwrap();
        all_arrives(&from, target);
    });
}

/// Fills the disk, but for so many bytes.
fn fill_but(ballast: &Path, bytes: u64) {
    let mut file = std::fs::File::create(ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
    file.sync_all().unwrap();
}

fn goes_on_with_parts(target: &Target, ballast: &Path) {
    let open = || DiffStore::in_directory(&target.dir, Access::Write, Some(10_000)).unwrap();
    let (full, bytes) = (diff(1, None, 700_000), stream(1, None, 700_000));
    let mut store = open();
    put(&mut store, &full, Path::new("one"), &bytes).unwrap_err();
    drop(store);
    let file = std::fs::File::options().write(true).open(ballast).unwrap();
    file.set_len(1).unwrap();
    let mut store = open();
    put(&mut store, &full, Path::new("one"), &bytes).unwrap();
    let skipped = &store.objects().counters().parts_skipped;
    assert!(skipped.load(Ordering::Relaxed) >= 2);
}

fn a_disk_that_is_read_only() {
    let from = large(100);
    each(FAULTS, 16, |target| {
        let remount = |how| run("mount", ["-i", "-o", how, target.top.to_str().unwrap()]);
        remount("remount,ro");
        let words = ["Read-only file system", "remount it"];
        says(&sync(&from, target), 1, &words);
        remount("remount,rw");
        all_arrives(&from, target);
        remount("remount,ro");
        says(&sync(&from, target), 1, &words);
        target.is_whole();
        assert_eq!(target.run(&["list", &target.place()]).code, 0);
    });
}

/// The filesystem ends under an open directory, as when a disk is pulled.
fn a_disk_that_is_gone() {
    each(PULLED, 16, |target| {
        let mut store = target.open(Access::Write).unwrap();
        let (full, bytes) = (diff(1, None, 70_000), stream(1, None, 70_000));
        put(&mut *store, &full, Path::new("one"), &bytes).unwrap();
        pull(target);
        let (next, more) = (diff(2, Some(1), 40_000), stream(2, Some(1), 40_000));
        let error = put(&mut *store, &next, Path::new("two"), &more).unwrap_err();
        let hint = error.hint.clone().unwrap_or_default();
        assert!(hint.contains("dmesg"), "{error}");
        assert!(error.to_string().contains("raw:"), "{error}");
        drop(store);
        run("umount", [&target.top]);
        let (name, place) = (target.top.file_name().unwrap(), target.place());
        let name = name.to_str().unwrap();
        target.disk.mount(&image(name), name);
        let mut store = target.open(Access::Write).unwrap();
        assert_eq!(sound(&mut *store), [Path::new("one")], "{place}");
        put(&mut *store, &next, Path::new("two"), &more).unwrap();
    });
}

fn pull(target: &Target) {
    let path = target.top.to_str().unwrap();
    if target.disk == Disk::Exfat {
        run("kill", ["-9", &daemon_of(&target.top)]);
        return;
    }
    let shutdown = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    run("python3", ["-c", shutdown, path]);
}

/// The process behind a filesystem by FUSE.
pub(crate) fn daemon_of(top: &Path) -> String {
    let at = top.to_str().unwrap();
    let found = run("pgrep", ["-f", &format!("mount.exfat-fuse .* {at}$")]);
    found.trim().to_owned()
}

/// Whichever file is to be opened when a network filesystem answers so: it is said, with the way out, and what
/// was not seen is not called good.
fn a_server_that_knows_the_directory_no_more() {
    let from = large(100);
    each(FAULTS, 16, |target| {
        assert_eq!(sync(&from, target).code, 0);
        for words in [&["list"][..], &["verify"], &["verify", "--download"]] {
            let failed = stale(target, words);
            assert!(failed > 1, "{words:?}: {failed}");
        }
        target.is_whole();
    });
}

/// How many times it failed.
fn stale(target: &Target, words: &[&str]) -> usize {
    let (place, there) = (target.place(), target.dir.join("large"));
    let words: Vec<&str> = words.iter().copied().chain([&*place]).collect();
    for (failed, call) in calls(target, 5).enumerate() {
        let stale = format!("openat2:error=ESTALE:when={call}");
        let (said, hit) = injected(target, &[&target.dir, &there], &stale, &words);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(all.contains("Stale file handle"), hit, "{call}: {all}");
        assert_eq!(said.code == 0, !hit, "{call}: {all}");
        if !hit {
            return failed;
        }
    }
    unreachable!("calls come to an end")
}

/// Some filesystems refuse it: each run that writes says what that means.
fn directories_that_cannot_be_written_out() {
    let from = large(100);
    each(FAULTS, 16, |target| {
        let words = [from.to_str().unwrap(), &target.place()];
        for _ in 0..2 {
            let (said, _) = injected(target, &[&target.dir], "fsync:error=EINVAL", &words);
            says(&said, 0, &["cannot write out directories"]);
        }
    });
}

/// Nothing is there that was not written out, the next run ends right, and the way out is said.
fn any_call_may_fail() {
    let from = large(100);
    each(FAULTS, 64, |target| {
        for (call, others) in [("fsync", 9), ("renameat2", 5), ("mkdirat", 2)] {
            for when in calls(target, others) {
                let inject = format!("{call}:error=EIO:when={when}");
                let target = target.beside(&format!("{call}{when}"));
                let words = [from.to_str().unwrap(), &target.place()];
                let (said, hit) = injected(&target, &[], &inject, &words);
                if !hit {
                    assert!(said.code == 0 && when > 1, "{inject}: {}", said.stderr);
                    break;
                }
                // Of what is only said beside a stream it is a note.
                let code = i32::from(!said.stdout.contains("sent large"));
                says(&said, code, &["Input/output error", "see dmesg"]);
                all_arrives(&from, &target);
            }
        }
    });
}

fn damage_is_found() {
    each(FAULTS, 16, |target| {
        let (full, bytes) = (diff(1, None, 70_000), stream(1, None, 70_000));
        let open = || target.open(Access::Write).unwrap();
        put(&mut *open(), &full, Path::new("one"), &bytes).unwrap();
        let names = names_below(&target.dir);
        let name = names.iter().find(|name| name.ends_with("_None")).unwrap();
        let file = target.dir.join(name);
        let verdict = |depth| {
            let mut store = open();
            store.list().unwrap();
            let found = store.inspect(depth, &mut |_| {}).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].verdict.clone()
        };
        assert!(matches!(verdict(Depth::Quick), Verdict::Good(..)));
        let mut flipped = bytes.clone();
        flipped[40_000] ^= 1;
        std::fs::write(&file, flipped).unwrap();
        assert!(matches!(verdict(Depth::Download), Verdict::Different(_)));
        let mut store = open();
        store.list().unwrap();
        let against = store.compare(Path::new("one"), &full, &mut &bytes[..]);
        let against = against.unwrap();
        // A server compares with nothing that its client makes.
        let is_different = matches!(against, Some(Verdict::Different(_)));
        assert!(is_different || target.way == Way::Server && against.is_none());
        drop(store);
        std::fs::write(&file, &bytes[..60_000]).unwrap();
        assert!(matches!(verdict(Depth::Quick), Verdict::Different(_)));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(verdict(Depth::Quick), Verdict::Different(_)));
    });
}

/// After a power cut a part may be written down and not be there, and a line be cut: parts are sent again.
fn parts_that_did_not_reach_the_disk() {
    for disk in FAULTS {
        let dir = disk.make(&format!("{disk:?}"), 16);
        for (number, parts_are_known) in [(1, true), (2, false)] {
            lose_parts(&dir, number, parts_are_known);
        }
    }
}

fn lose_parts(dir: &Path, number: u8, parts_are_known: bool) {
    let (full, bytes) = (diff(number, None, 70_000), stream(number, None, 70_000));
    let (open, name) = (
        || DiffStore::in_directory(dir, Access::Write, Some(10_000)).unwrap(),
        number.to_string(),
    );
    let mut store = open();
    let mut sink = store.receive(&full, Path::new(&name)).unwrap();
    sink.write_all(&bytes[..50_000]).unwrap();
    // What is under way when the sink is dropped may be given up.
    while parts_in(dir).lines().count() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(sink);
    drop(store);
    let there = unfinished(dir).unwrap();
    let data = there.join("data");
    let mut lost = std::fs::read(&data).unwrap();
    assert!(lost.len() >= 20_000);
    lost[..10_000].fill(0);
    std::fs::write(&data, &lost).unwrap();
    let known = if parts_are_known {
        parts_in(dir)
    } else {
        String::new()
    };
    std::fs::write(there.join("parts"), known + "9 10000 abc").unwrap();
    let mut store = open();
    put(&mut store, &full, Path::new(&name), &bytes).unwrap();
    let skipped = &store.objects().counters().parts_skipped;
    assert_eq!(skipped.load(Ordering::Relaxed) > 0, parts_are_known);
    assert!(crate::contract::bytes(&mut store, &full) == bytes);
    assert_eq!(store.list().unwrap().notes, [""; 0]);
}

/// The directory of the one unfinished object; `None` before there is one.
fn unfinished(dir: &Path) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(dir.join(".buttersink-unfinished")).ok()?;
    Some(all.next()?.unwrap().path())
}

/// What is written down of its parts.
fn parts_in(dir: &Path) -> String {
    let parts = unfinished(dir).map(|there| std::fs::read_to_string(there.join("parts")));
    parts.and_then(Result::ok).unwrap_or_default()
}

/// Also where the filesystem has no rename that sees to it.
fn what_is_there_is_never_replaced() {
    for disk in FAULTS {
        let disk = disk.make(&format!("{disk:?}"), 16);
        let (objects, _) = Directory::open(&disk, true, None).unwrap();
        let about = About::default();
        objects.create("a/b", b"one", &about).unwrap();
        let upload = objects.begin("a/b", 3, &about).unwrap();
        let stop = AtomicBool::new(false);
        let (part, there) = objects
            .send_part(&upload, &Part::new(1, b"two"), None, &stop)
            .unwrap();
        assert!(!there);
        for error in [
            objects.create("a/b", b"two", &about).unwrap_err(),
            objects.complete(&upload, &[part], true).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains("exists with other content"),
                "{error}"
            );
        }
        assert_eq!(objects.get("a/b").unwrap().unwrap(), b"one");
        assert_eq!(objects.head("a/b").unwrap().unwrap().size, 3);
        objects.put("a/b", b"three", &about).unwrap();
        assert_eq!(objects.get("a/b").unwrap().unwrap(), b"three");
        let missing = objects.copy("nothing", "d").unwrap_err();
        assert!(missing.to_string().contains("it is missing"), "{missing}");
        assert!(objects.head("d").unwrap().is_none());
        objects.copy("a/b", "c").unwrap();
        objects.put("a/b", b"four", &about).unwrap();
        assert_eq!(objects.get("c").unwrap().unwrap(), b"three");
        objects.abort(&upload).unwrap();
        objects
            .remove(&["a/b".to_owned(), "c".to_owned(), "d".to_owned()])
            .unwrap();
        let mut left = vec![
            ".buttersink-raw",
            ".buttersink-unfinished",
            ".buttersink-writer",
        ];
        let names = names_below(&disk).into_iter();
        left.sort_unstable();
        assert_eq!(
            names
                .filter(|name| name != "lost+found")
                .collect::<Vec<_>>(),
            left
        );
    }
}
