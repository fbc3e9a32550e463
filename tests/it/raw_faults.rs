//! What goes wrong with directories that keep streams: full disks, read-only ones, damage, power cuts, kills,
//! and runs that want to write at once.

use crate::contract::{put, sound};
use crate::disks::{exfat, ext4, names_below, raw, tmpfs};
use crate::raw::fine;
use crate::runner::Test;
use crate::streams::{diff, stream};
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use buttersink::objects::directory::Directory;
use buttersink::objects::{About, Objects};
use buttersink::proof::{Depth, Verdict};
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Store};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = crate::tests![
    a_full_disk,
    a_disk_that_is_read_only,
    a_disk_that_is_gone,
    a_server_that_knows_the_directory_no_more,
    directories_that_cannot_be_written_out,
    damage_is_found,
    parts_that_did_not_reach_the_disk,
    what_is_there_is_never_replaced,
    killed_at_any_part,
    a_power_cut_at_any_part,
    one_run_writes_at_a_time,
    who_was_taken_for_dead_changes_nothing,
    a_server_that_answers_late,
];

/// A snapshot of some MiB that cannot be compressed.
fn large(mib: usize) -> PathBuf {
    let a = btrfs("a", 512);
    subvolume(&a.join("live"));
    std::fs::create_dir(a.join("snaps")).unwrap();
    script(
        &a.join("live"),
        &format!("head -c {mib}M /dev/urandom >large"),
    );
    snapshot(&a.join("live"), &a.join("snaps/large"));
    a.join("snaps/")
}

fn sync(from: &Path, disk: &Path) -> Said {
    let words = ["-l", log(disk).to_str().unwrap(), "--part-size", "5"].map(str::to_owned);
    buttersink(
        words
            .into_iter()
            .chain([from.to_str().unwrap().to_owned(), raw(disk)]),
    )
}

fn log(disk: &Path) -> PathBuf {
    disk.with_extension("log")
}

/// How many parts of the last run were there already.
fn were_there(disk: &Path) -> usize {
    let text = std::fs::read_to_string(log(disk)).unwrap();
    let lines = text.lines();
    lines
        .filter(|line| line.ends_with("is there already"))
        .count()
}

fn nothing_is_finished(disk: &Path) {
    let names = names_below(disk);
    let finished = |name: &&String| name.ends_with("_None");
    assert_eq!(names.iter().filter(finished).count(), 0, "{names:?}");
}

#[track_caller]
fn is_whole(disk: &Path) {
    let said = buttersink(["verify", "--download", &raw(disk)]);
    assert_eq!(said.code, 0);
    assert!(!names_below(disk).iter().any(|name| name.ends_with("/data")));
}

/// In the middle of a stream, and the next run goes on with what is there.
fn a_full_disk() {
    let (from, disk) = (large(16), tmpfs("t", 12));
    let said = sync(&from, &disk);
    assert_eq!(said.code, 1);
    let words = ["No space left on device", "raw:", "large/"];
    assert!(
        words.iter().all(|word| said.stderr.contains(word)),
        "{}",
        said.stderr
    );
    nothing_is_finished(&disk);
    let path = disk.to_str().unwrap();
    run("mount", ["-o", "remount,size=64M", path]);
    assert_eq!(sync(&from, &disk).code, 0);
    assert!(were_there(&disk) >= 2);
    is_whole(&disk);
}

fn a_disk_that_is_read_only() {
    let (from, disk) = (large(6), ext4("e", 64));
    assert_eq!(sync(&from, &disk).code, 0);
    run("mount", ["-o", "remount,ro", disk.to_str().unwrap()]);
    let said = sync(&from, &disk);
    assert_eq!(said.code, 1);
    let words = ["Read-only file system", "remount it"];
    assert!(
        words.iter().all(|word| said.stderr.contains(word)),
        "{}",
        said.stderr
    );
    assert_eq!(buttersink(["verify", "--download", &raw(&disk)]).code, 0);
}

/// The filesystem ends under an open directory, as when a disk is pulled.
fn a_disk_that_is_gone() {
    let disk = ext4("e", 64);
    let mut store = DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
    let (full, bytes) = (diff(1, None, 70_000), stream(1, None, 70_000));
    put(&mut store, &full, Path::new("one"), &bytes).unwrap();
    let path = disk.to_str().unwrap();
    let shutdown = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    run("python3", ["-c", shutdown, path]);
    let (next, more) = (diff(2, Some(1), 40_000), stream(2, Some(1), 40_000));
    let error = put(&mut store, &next, Path::new("two"), &more).unwrap_err();
    let hint = error.hint.clone().unwrap_or_default();
    assert!(hint.contains("dmesg"), "{error}");
    assert!(error.to_string().contains("raw:"), "{error}");
    drop(store);
    run("umount", [path]);
    let disk = mount_image(&image("e"), "e", "");
    let mut store = DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
    assert_eq!(sound(&mut store), [Path::new("one")]);
    put(&mut store, &next, Path::new("two"), &more).unwrap();
}

/// Bytes that were changed, and files that were cut, or lost.
/// Runs `buttersink ARGS…`, with one kind of call that concerns these directories made to fail.
fn injected(dirs: &[&Path], inject: &str, args: &[&str]) -> Said {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null"]);
    for dir in dirs {
        command.arg("-P").arg(dir);
    }
    command.args(["-e", &format!("inject={inject}")]);
    command.arg(binary("buttersink")).args(args);
    let output = output(&mut command);
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whichever file is to be opened when a network filesystem answers so: it is said, with the way out, and what
/// was not seen is not called good.
fn a_server_that_knows_the_directory_no_more() {
    let (from, disk) = (large(1), ext4("e", 64));
    fine(&[from.to_str().unwrap(), &raw(&disk)]);
    let there = disk.join("large");
    for words in [&["list"][..], &["verify"], &["verify", "--download"]] {
        let place = raw(&disk);
        let args: Vec<&str> = words.iter().copied().chain([&*place]).collect();
        let mut failed = 0;
        for call in 1.. {
            let stale = format!("openat2:error=ESTALE:when={call}");
            let said = injected(&[&disk, &there], &stale, &args);
            let all = format!("{}{}", said.stdout, said.stderr);
            if !all.contains("Stale file handle") {
                assert_eq!(said.code, 0, "{call}: {all}");
                break;
            }
            assert_ne!(said.code, 0, "{call}: {all}");
            failed += 1;
        }
        assert!(failed > 3, "{words:?}: {failed}");
    }
    fine(&["verify", "--download", &raw(&disk)]);
}

/// Some filesystems refuse it: each run that writes says what that means.
fn directories_that_cannot_be_written_out() {
    let (from, disk) = (large(1), ext4("e", 64));
    let place = raw(&disk);
    let args = [from.to_str().unwrap(), &place];
    for _ in 0..2 {
        let said = injected(&[&disk], "fsync:error=EINVAL", &args);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stderr.contains("cannot write out directories"),
            "{}",
            said.stderr
        );
    }
    // What else goes wrong with it is an error, and nothing is there that was not written out.
    let other = ext4("other", 64);
    let said = injected(&[&other], "fsync:error=EIO", &[args[0], &raw(&other)]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("see dmesg"), "{}", said.stderr);
    fine(&[args[0], &raw(&other)]);
    fine(&["verify", "--download", &raw(&other)]);
}

fn damage_is_found() {
    let disk = tmpfs("t", 16);
    let (full, bytes) = (diff(1, None, 70_000), stream(1, None, 70_000));
    let open = || DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
    put(&mut open(), &full, Path::new("one"), &bytes).unwrap();
    let names = names_below(&disk);
    let name = names.iter().find(|name| name.ends_with("_None")).unwrap();
    let file = disk.join(name);
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
    let against = store
        .compare(Path::new("one"), &full, &mut &bytes[..])
        .unwrap();
    assert!(
        matches!(against, Some(Verdict::Different(_))),
        "{against:?}"
    );
    std::fs::write(&file, &bytes[..60_000]).unwrap();
    assert!(matches!(verdict(Depth::Quick), Verdict::Different(_)));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(verdict(Depth::Quick), Verdict::Different(_)));
}

/// After a power cut a part may be written down and not be there: it is sent again.
/// How many parts of the unfinished object have arrived.
fn parts_in(disk: &Path) -> usize {
    let all = std::fs::read_dir(disk.join(".buttersink-unfinished")).unwrap();
    let lists = all.map(|entry| std::fs::read_to_string(entry.unwrap().path().join("parts")));
    lists.flatten().map(|list| list.lines().count()).sum()
}

fn parts_that_did_not_reach_the_disk() {
    for disk in [tmpfs("t", 16), exfat("x", 64)] {
        let bytes = stream(1, None, 70_000);
        let begin = || {
            let mut store = DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
            let mut sink = store
                .receive(&diff(1, None, 70_000), Path::new("one"))
                .unwrap();
            sink.write_all(&bytes[..50_000]).unwrap();
            // What is under way when the sink is dropped may be given up.
            while parts_in(&disk) < 3 {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        begin();
        let unfinished = disk.join(".buttersink-unfinished");
        let id = std::fs::read_dir(unfinished)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let data = id.path().join("data");
        let mut lost = std::fs::read(&data).unwrap();
        assert!(lost.len() >= 20_000);
        lost[..10_000].fill(0);
        std::fs::write(&data, &lost).unwrap();
        let parts = id.path().join("parts");
        let mut text = std::fs::read_to_string(&parts).unwrap();
        text.push_str("9 10000 abc");
        std::fs::write(&parts, text).unwrap();
        let mut store = DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
        put(&mut store, &diff(1, None, 70_000), Path::new("one"), &bytes).unwrap();
        let skipped = store
            .objects()
            .counters()
            .parts_skipped
            .load(Ordering::Relaxed);
        assert!(skipped > 0);
        assert!(crate::contract::bytes(&mut store, &diff(1, None, 70_000)) == bytes);
        assert_eq!(store.list().unwrap().notes, [""; 0]);
    }
}

/// Also where the filesystem has no rename that sees to it.
fn what_is_there_is_never_replaced() {
    for disk in [tmpfs("t", 16), exfat("x", 64)] {
        let (objects, _) = Directory::open(&disk, true, None).unwrap();
        let about = About::default();
        objects.create("a/b", b"one", &about).unwrap();
        let upload = objects.begin("a/b", 3, &about).unwrap();
        let stop = AtomicBool::new(false);
        let (part, there) = objects.send_part(&upload, 1, b"two", None, &stop).unwrap();
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
        objects.copy("a/b", "c").unwrap();
        objects.put("a/b", b"four", &about).unwrap();
        assert_eq!(objects.get("c").unwrap().unwrap(), b"three");
        objects.abort(&upload).unwrap();
        objects
            .remove(&["a/b".to_owned(), "c".to_owned(), "d".to_owned()])
            .unwrap();
        let left = [
            ".buttersink-raw",
            ".buttersink-unfinished",
            ".buttersink-writer",
        ];
        assert_eq!(names_below(&disk), left);
    }
}

/// A run whose debug log is read as it goes.
fn started(from: &Path, disk: &Path, log: &Path) -> Child {
    run("mkfifo", [log.to_str().unwrap()]);
    let mut command = Command::new(binary("buttersink"));
    command.args(["-q", "-l", log.to_str().unwrap(), "--part-size", "5"]);
    command.arg(from).arg(raw(disk));
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// Calls when so many parts have arrived, and reads the log to its end.
fn after_parts(log: &Path, count: usize, call: impl FnOnce()) {
    let lines = BufReader::new(std::fs::File::open(log).unwrap()).lines();
    let (mut call, mut arrived) = (Some(call), 0);
    for line in lines.map_while(std::result::Result::ok) {
        let done = [" arrived", " is there already"];
        arrived += usize::from(line.contains(" part ") && done.iter().any(|d| line.ends_with(d)));
        if arrived >= count
            && let Some(call) = call.take()
        {
            call();
        }
    }
    assert!(call.is_none(), "only {arrived} parts arrived");
}

fn killed_at_any_part() {
    let from = large(11);
    for (disk, moments) in [(ext4("e", 64), &[1, 3][..]), (exfat("x", 64), &[2])] {
        for parts in moments {
            let fifo = disk.with_extension(format!("fifo{parts}"));
            let mut child = started(&from, &disk, &fifo);
            let id = child.id().to_string();
            after_parts(&fifo, *parts, || drop(run("kill", ["-9", &id])));
            child.wait().unwrap();
            assert_eq!(buttersink(["list", &raw(&disk)]).code, 0);
        }
        assert_eq!(sync(&from, &disk).code, 0);
        is_whole(&disk);
    }
}

/// What has reached the disk at some moment is what the next run finds.
fn a_power_cut_at_any_part() {
    let from = large(11);
    for parts in [1, 3] {
        let (name, cut) = (format!("e{parts}"), format!("cut{parts}"));
        let disk = ext4(&name, 128);
        let fifo = here().join(format!("log{parts}"));
        let mut child = started(&from, &disk, &fifo);
        let copy = || assert!(std::fs::copy(image(&name), image(&cut)).is_ok());
        after_parts(&fifo, parts, copy);
        assert!(child.wait().unwrap().success());
        // Success is said when all is on the disk.
        std::fs::copy(image(&name), image(&format!("done{parts}"))).unwrap();
        let done = mount_image(&image(&format!("done{parts}")), &format!("done{parts}"), "");
        is_whole(&done);
        assert!(
            names_below(&done)
                .iter()
                .any(|name| name.ends_with("_None"))
        );
        let disk = mount_image(&image(&cut), &cut, "");
        assert_eq!(sync(&from, &disk).code, 0);
        is_whole(&disk);
        run("umount", [disk.to_str().unwrap()]);
        run("umount", [done.to_str().unwrap()]);
    }
}

/// Here by a lock, elsewhere by what is written down.
fn one_run_writes_at_a_time() {
    let (from, disk) = (large(6), ext4("e", 64));
    let marker = disk.join(".buttersink-raw");
    assert_eq!(sync(&from, &disk).code, 0);
    let lock = std::fs::File::open(&marker).unwrap();
    lock.lock().unwrap();
    let said = sync(&from, &disk);
    assert!(
        said.code == 3 && said.stderr.contains("another run"),
        "{}",
        said.stderr
    );
    assert_eq!(buttersink(["list", &raw(&disk)]).code, 0);
    drop(lock);
    let holder = disk.join(".buttersink-writer");
    let write = |at: &str| {
        let text = format!(
            r#"{{"machine": "0123", "host": "cellar", "process": 7, "at": "{at}", "later": 1}}"#
        );
        std::fs::write(&holder, text).unwrap();
    };
    write(run("date", ["-u", "+%Y-%m-%dT%H:%M:%SZ"]).trim());
    let said = sync(&from, &disk);
    let words = ["cellar", ".buttersink-writer", "15 minutes"];
    assert_eq!(said.code, 3);
    assert!(
        words.iter().all(|word| said.stderr.contains(word)),
        "{}",
        said.stderr
    );
    write("2026-01-01T00:00:00Z");
    assert_eq!(sync(&from, &disk).code, 0);
    assert!(!holder.exists());
    // Half written, or of a later release.
    std::fs::write(&holder, "{\"machine\"").unwrap();
    let said = sync(&from, &disk);
    assert!(
        said.code == 3 && said.stderr.contains("nobody understands"),
        "{}",
        said.stderr
    );
    run(
        "touch",
        ["-d".as_ref(), "2026-01-01".as_ref(), holder.as_os_str()],
    );
    assert_eq!(sync(&from, &disk).code, 0);
    assert!(!holder.exists());
}

/// As while a machine sleeps for longer than its word counts.
fn who_was_taken_for_dead_changes_nothing() {
    let disk = tmpfs("t", 16);
    let about = About {
        meta: Vec::new(),
        content_type: "text/plain",
        class: None,
    };
    let (objects, _) = Directory::open(&disk, true, None).unwrap();
    objects.create("a", b"one", &about).unwrap();
    let upload = objects.begin("b", 1 << 20, &about).unwrap();
    let stop = AtomicBool::new(false);
    let (part, _) = objects.send_part(&upload, 1, b"two", None, &stop).unwrap();
    let other =
        r#"{"machine": "0123", "host": "cellar", "process": 7, "at": "2026-11-30T00:00:00Z"}"#;
    let holder = disk.join(".buttersink-writer");
    std::fs::write(&holder, other).unwrap();
    let errors = [
        objects.create("c", b"three", &about).err(),
        objects.put("a", b"three", &about).err(),
        objects.complete(&upload, &[part], true).err(),
        objects.copy("a", "d").err(),
        objects.remove(&["a".to_owned()]).err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("cellar"), "{error}");
    }
    drop(objects);
    assert_eq!(
        std::fs::read_to_string(&holder).unwrap(),
        other,
        "it is theirs"
    );
    assert_eq!(std::fs::read(disk.join("a")).unwrap(), b"one");
    assert!(["b", "c", "d"].iter().all(|name| !disk.join(name).exists()));
}

/// The process behind a filesystem by FUSE.
fn daemon_of(disk: &Path) -> String {
    let at = disk.to_str().unwrap();
    let found = run("pgrep", ["-f", &format!("mount.exfat-fuse .* {at}$")]);
    found.trim().to_owned()
}

/// Whether some thread of a run waits for an answer of a filesystem.
fn waits_for_an_answer(run: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{run}/task")).unwrap();
    let place = |task: std::io::Result<std::fs::DirEntry>| task.unwrap().path().join("wchan");
    let mut places = tasks.map(place).map(std::fs::read_to_string);
    places.any(|place| place.is_ok_and(|place| place.starts_with("request_wait_answer")))
}

/// A run whose disk stands still after a part until something is done meanwhile, and answers then.
fn while_it_waits(from: &Path, disk: &Path, name: &str, meanwhile: impl Fn(&str)) -> Option<i32> {
    let (daemon, fifo) = (daemon_of(disk), disk.with_extension(name));
    let mut child = started(from, disk, &fifo);
    let id = child.id();
    after_parts(&fifo, 1, || {
        run("kill", ["-STOP", &daemon]);
        let end = Instant::now() + Duration::from_secs(100);
        let waits = || {
            while !waits_for_an_answer(id) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            waits_for_an_answer(id)
        };
        let waited = waits();
        if waited {
            meanwhile(&id.to_string());
        }
        // Whatever became of the test: nobody could unmount it.
        run("kill", ["-CONT", &daemon]);
        assert!(waited, "nobody waits");
    });
    child.wait().unwrap().code()
}

/// As over a network: a signal ends what waits once the kernel lets go of it, nothing that is not whole has a
/// finished name, and without a signal it goes on.
fn a_server_that_answers_late() {
    // More than is read ahead of the parts under way.
    let (from, disk) = (large(21), exfat("x", 64));
    let end = |id: &str| drop(run("kill", ["-TERM", id]));
    assert_eq!(while_it_waits(&from, &disk, "ended", end), Some(130));
    nothing_is_finished(&disk);
    assert_eq!(while_it_waits(&from, &disk, "late", |_| {}), Some(0));
    is_whole(&disk);
}
