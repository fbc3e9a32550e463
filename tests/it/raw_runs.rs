//! Runs at directories that keep streams, on each filesystem that a suite is for, here and through a server: they are
//! killed, lose their power, wait for a disk, and want to write at once.

use crate::disks::{FAULTS, KILLS, LATE, POWER_CUTS, names_below};
use crate::raw_faults::{
    all_arrives, calls, daemon_of, injected, large, nothing_is_finished, says, sync, traced,
};
use crate::runner::Test;
use crate::support::*;
use crate::targets::{Target, Way, each};
use buttersink::objects::directory::Directory;
use buttersink::objects::{About, Objects, Part};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = crate::tests![
    killed_or_without_power_at_any_call,
    parts_outlive_a_kill,
    success_outlives_a_power_cut,
    a_server_that_answers_late,
    one_run_writes_at_a_time,
    who_was_taken_for_dead_changes_nothing,
];

/// Whoever writes is killed before it writes something out, or at the end of that: another run goes on with what
/// it left, and with what of that had reached the disk.
fn killed_or_without_power_at_any_call() {
    let from = large(100);
    each(KILLS, 64, |target| {
        for when in calls(target, 8) {
            let target = target.beside(&when.to_string());
            let words = [from.to_str().unwrap(), &target.place()];
            let inject = format!("fsync:signal=KILL:when={when}");
            let (said, hit) = injected(&target, &[], &inject, &words);
            if !hit {
                assert!(said.code == 0 && when > 8, "{when}: {}", said.stderr);
                break;
            }
            assert_ne!(said.code, 0);
            if POWER_CUTS.contains(&target.disk) {
                let cut = cut(&target, &format!("cut{when}"));
                all_arrives(&from, &cut);
                run("umount", [&cut.top]);
            }
            all_arrives(&from, &target);
        }
    });
}

/// The same directory as it is on the disk at this moment, and would be after a power cut.
fn cut(target: &Target, name: &str) -> Target {
    let there = target.top.file_name().unwrap().to_str().unwrap();
    let name = format!("{there}-{name}");
    let copy = ["--sparse=always".into(), image(there), image(&name)];
    run("cp", copy);
    let top = target.disk.mount(&image(&name), &name);
    let dir = top.join(target.dir.file_name().unwrap());
    let _ = std::fs::create_dir(&dir);
    Target {
        top,
        dir,
        ..*target
    }
}

/// Of a stream in three parts, of which one of two threads writes a second: what has arrived is not sent again, but for what was lost with the power.
fn parts_outlive_a_kill() {
    let from = large(11 << 10);
    let target = Target::new(POWER_CUTS[0], Way::Here, 128);
    let words = [from.to_str().unwrap(), &target.place(), "--part-size", "5"];
    let kill = "pwrite64:signal=KILL:when=2";
    assert_ne!(injected(&target, &[], kill, &words).0.code, 0);
    nothing_is_finished(&target.dir);
    let cut = cut(&target, "cut");
    all_arrives(&from, &cut);
    let log = here().join("log");
    let more = ["-l", log.to_str().unwrap()];
    assert_eq!(target.run(&[&words[..], &more].concat()).code, 0);
    let text = std::fs::read_to_string(log).unwrap();
    let there = text
        .lines()
        .filter(|line| line.ends_with("is there already"));
    assert!(there.count() >= 1, "{text}");
    target.is_whole();
}

/// It is said when all is on the disk.
fn success_outlives_a_power_cut() {
    let from = large(100);
    each(POWER_CUTS, 16, |target| {
        assert_eq!(sync(&from, target).code, 0);
        let cut = cut(target, "cut");
        let names = names_below(&cut.dir);
        assert!(
            names.iter().any(|name| name.ends_with("_None")),
            "{names:?}"
        );
        cut.is_whole();
    });
}

/// Waits for what stays once it is there.
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(100);
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(Instant::now() < end, "no {what}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether some thread of a process waits for an answer of a filesystem.
fn waits_for_an_answer(process: &str) -> Option<()> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let place = |task: std::io::Result<std::fs::DirEntry>| task.unwrap().path().join("wchan");
    let mut places = tasks.map(place).map(std::fs::read_to_string);
    let waits =
        places.any(|place| place.is_ok_and(|place| place.starts_with("request_wait_answer")));
    waits.then_some(())
}

/// A run whose disk stands still from the fifth file that is written out, until something is done meanwhile.
fn while_it_waits(from: &Path, target: &Target, meanwhile: impl Fn(&str)) -> Option<i32> {
    let daemon = daemon_of(&target.top);
    let words = [from.to_str().unwrap(), &target.place()];
    let (mut run_, calls) = traced(target, &[], "fsync:signal=STOP:when=5", &words);
    let _ = std::fs::remove_file(&calls);
    let mut child = run_.stdin(Stdio::null()).spawn().unwrap();
    let writer = wait_for("stop", || {
        let text = std::fs::read_to_string(&calls).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.contains("stopped by SIGSTOP"))?;
        line.split(' ').next().map(str::to_owned)
    });
    run("kill", ["-STOP", &daemon]);
    run("kill", ["-CONT", &writer]);
    wait_for("wait", || waits_for_an_answer(&writer));
    let client = run("pgrep", ["-P", &child.id().to_string()]);
    meanwhile(client.trim());
    run("kill", ["-CONT", &daemon]);
    child.wait().unwrap().code()
}

/// As over a network: a signal ends what waits once the kernel lets go of it, nothing that is not whole has a
/// finished name, and without a signal it goes on.
fn a_server_that_answers_late() {
    let from = large(100);
    let end = |client: &str| drop(run("kill", ["-TERM", client]));
    each(LATE, 16, |target| {
        assert_eq!(while_it_waits(&from, target, end), Some(130));
        nothing_is_finished(&target.dir);
        assert_eq!(while_it_waits(&from, target, |_| {}), Some(0));
        target.is_whole();
    });
}

/// Here by a lock, elsewhere by what is written down.
fn one_run_writes_at_a_time() {
    let from = large(100);
    each(FAULTS, 16, |target| only_one_writes(&from, target));
}

fn only_one_writes(from: &Path, target: &Target) {
    let disk = &target.dir;
    let marker = disk.join(".buttersink-raw");
    assert_eq!(sync(from, target).code, 0);
    let lock = std::fs::File::open(&marker).unwrap();
    lock.lock().unwrap();
    let said = sync(from, target);
    says(&said, 3, &["another run"]);
    assert_eq!(target.run(&["list", &target.place()]).code, 0);
    drop(lock);
    let holder = disk.join(".buttersink-writer");
    let write = |at: &str| {
        let text = format!(
            r#"{{"machine": "0123", "host": "cellar", "process": 7, "at": "{at}", "later": 1}}"#
        );
        std::fs::write(&holder, text).unwrap();
    };
    write(run("date", ["-u", "+%Y-%m-%dT%H:%M:%SZ"]).trim());
    let said = sync(from, target);
    says(&said, 3, &["cellar", ".buttersink-writer", "15 minutes"]);
    write("2026-01-01T00:00:00Z");
    assert_eq!(sync(from, target).code, 0);
    assert!(!holder.exists());
    // Half written, or of a later release.
    std::fs::write(&holder, "{\"machine\"").unwrap();
    let said = sync(from, target);
    says(&said, 3, &["nobody understands"]);
    run(
        "touch",
        ["-d".as_ref(), "2026-01-01".as_ref(), holder.as_os_str()],
    );
    assert_eq!(sync(from, target).code, 0);
    assert!(!holder.exists());
}

/// As while a machine sleeps for longer than its word counts.
fn who_was_taken_for_dead_changes_nothing() {
    for disk in FAULTS {
        let disk = disk.make(&format!("{disk:?}"), 16);
        taken_for_dead(&disk);
    }
}

fn taken_for_dead(disk: &Path) {
    let about = About {
        meta: Vec::new(),
        content_type: "text/plain",
        class: None,
    };
    let (objects, _) = Directory::open(disk, true, None).unwrap();
    objects.create("a", b"one", &about).unwrap();
    let upload = objects.begin("b", 1 << 20, &about).unwrap();
    let stop = AtomicBool::new(false);
    let (part, _) = objects
        .send_part(&upload, &Part::new(1, b"two"), None, &stop)
        .unwrap();
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
