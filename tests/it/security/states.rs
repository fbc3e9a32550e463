//! Whatever stands where a record of ours should: it blocks nobody, fills no memory, deletes nothing, and ends
//! nothing that can be done without it.

use crate::disks::{ext4, raw};
use crate::raw::fine;
use crate::runner::Test;
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = crate::tests![
    records_that_cannot_be_read_end_nothing,
    locks_that_are_no_files_are_refused,
    what_users_plant_is_no_record,
    records_of_objects_that_cannot_be_read,
    records_of_runs_that_cannot_be_read,
];

/// Puts something in the place of a file.
pub(crate) type Put = fn(&Path);

/// What can be read, whatever it says.
pub(crate) const SAYING: [(&str, Put); 2] = [
    ("truncated", |at| {
        fs::write(at, "{\"version\":2,\"uu").unwrap();
    }),
    ("garbage", |at| {
        fs::write(at, b"\xff\0\x1b]\n%@\n{}\n").unwrap();
    }),
];

/// What cannot.
pub(crate) const STRANGE: [(&str, Put); 5] = [
    ("directory", |at| fs::create_dir_all(at.join("x")).unwrap()),
    ("link", |at| symlink("/etc/passwd", at).unwrap()),
    ("fifo", |at| drop(run("mkfifo", [at]))),
    ("device", |at| {
        drop(run("mknod", [at.to_str().unwrap(), "c", "1", "5"]));
    }),
    ("sparse", |at| {
        fs::File::create(at).unwrap().set_len(1 << 30).unwrap();
    }),
];

/// `buttersink ARGS…`, with little memory, and killed if it waits.
fn bounded(args: &[&str]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "120", "prlimit", "--as=900000000"]);
    command.arg(binary("buttersink")).args(args);
    command.env("BUTTERSINK_RUN_DIR", here().join("run"));
    let said = Said::of(&output(&mut command));
    assert!(said.code >= 0 && said.code != 137, "{args:?}: killed");
    assert!(!said.stderr.contains("panicked"), "{args:?}");
    said
}

pub(crate) fn remove(at: &Path) {
    run("rm", ["-rf".as_ref(), at.as_os_str()]);
}

/// Does something with another thing in the place of a record, which is as before then.
fn in_place_of<T>(record: &Path, put: Put, then: impl FnOnce() -> T) -> T {
    let good = here().join("good");
    let there = record.symlink_metadata().is_ok();
    if there {
        run("cp", ["-a".as_ref(), record.as_os_str(), good.as_os_str()]);
    }
    remove(record);
    put(record);
    let done = then();
    remove(record);
    if there {
        run("cp", ["-a".as_ref(), good.as_os_str(), record.as_os_str()]);
        remove(&good);
    }
    done
}

/// A source with two snapshots, of which the destination has the first, sealed; and another source.
struct Sides {
    from: String,
    other: String,
    to: PathBuf,
}

impl Sides {
    fn new() -> Sides {
        let (a, b) = (btrfs("a", 256), btrfs("b", 256));
        let (live, snaps, other) = (a.join("live"), a.join("snaps"), a.join("other"));
        subvolume(&live);
        fs::create_dir(&snaps).unwrap();
        fs::create_dir(&other).unwrap();
        snapshot(&live, &snaps.join("1"));
        let sides = Sides {
            from: format!("{}/", snaps.display()),
            other: format!("{}/", other.display()),
            to: b,
        };
        assert_eq!(bounded(&[&sides.from, &sides.place()]).code, 0);
        script(&live, "echo 2 >file");
        snapshot(&live, &snaps.join("2"));
        snapshot(&live, &other.join("3"));
        sides
    }

    fn place(&self) -> String {
        format!("{}/", self.to.display())
    }

    /// Lists and synchronises with this in the place of a record; whether the second snapshot came, and what the
    /// listing noted.
    fn with(&self, record: &Path, put: Put) -> (bool, String) {
        in_place_of(record, put, || self.looked_and_synced())
    }

    fn looked_and_synced(&self) -> (bool, String) {
        let listed = bounded(&["list", &self.place()]);
        assert!(listed.code == 0 && listed.stdout.contains("\n1 "));
        // Nobody knows any more of what the first is.
        if !listed.stderr.is_empty() {
            bounded(&["-d", &self.other, &self.place()]);
        }
        let synced = bounded(&[&self.from, &self.place()]);
        let came = self.to.join("2").exists();
        assert!(self.to.join("1").exists() && !self.to.join("2.part").exists());
        assert!(matches!(synced.code, 0 | 10) && came == (synced.code == 0));
        script(
            &self.to,
            "for s in 2 3; do [ ! -e $s ] || btrfs -q subvolume delete $s; done",
        );
        (came, listed.stderr)
    }
}

/// Seals (with what is pending, origins and what counts against quotas), marks, the quarantine, and the directory
/// that has them.
fn records_that_cannot_be_read_end_nothing() {
    let sides = Sides::new();
    let state = sides.to.join(".buttersink");
    let locks = fs::read_dir(here().join("run")).unwrap();
    let lock = locks.flatten().map(|entry| entry.path()).next().unwrap();
    let key = lock.file_stem().unwrap().to_str().unwrap();
    let mark = state.join(format!("marks/{key}-00112233445566778899aabbccddeeff"));
    for (kind, put) in SAYING.into_iter().chain(STRANGE) {
        println!("== {kind}");
        let strange = STRANGE.iter().any(|(name, _)| *name == kind);
        let (came, noted) = sides.with(&state.join("seals"), put);
        assert_eq!(came, !strange, "what came could not be sealed");
        assert_eq!(noted.contains("seals: "), kind != "truncated", "{noted}");
        let (came, noted) = sides.with(&mark, put);
        assert!(came && noted.contains("marks/") == strange, "{noted}");
        let (came, noted) = sides.with(&state, put);
        assert_eq!(came, kind == "directory");
        assert_eq!(noted.contains("cannot open the state"), !came, "{noted}");
        let (came, noted) = sides.with(&state.join("marks"), put);
        assert_eq!(came, kind == "directory");
        assert_eq!(noted.contains("marks: "), !came, "{noted}");
        let quarantine = state.join("quarantine");
        let (came, noted) = sides.with(&quarantine, put);
        let builtin = quarantine.exists();
        assert_ne!(came, builtin);
        assert_eq!(
            noted.contains("quarantine: "),
            kind != "directory",
            "{noted}"
        );
    }
    // What cannot be counted is not nothing.
    let seals = state.join("seals");
    fs::remove_file(&seals).unwrap();
    fs::create_dir(&seals).unwrap();
    let mut client = super::client::Client::of(&[
        "--mode",
        "a",
        "--max-bytes",
        "1000000",
        sides.to.to_str().unwrap(),
    ]);
    client.hear().unwrap();
    let stream = crate::streams::of_commands(7, &[]);
    let said = client.receive("more", 7, None, &stream).unwrap_err();
    assert!(
        said.contains("cannot read") && said.contains("seals"),
        "{said}"
    );
}

/// Without the lock nothing is written, and whoever only looks needs none.
fn locks_that_are_no_files_are_refused() {
    let sides = Sides::new();
    let locks = fs::read_dir(here().join("run")).unwrap();
    let lock = locks.flatten().map(|entry| entry.path()).next().unwrap();
    for (kind, put) in SAYING.into_iter().chain(STRANGE) {
        remove(&lock);
        put(&lock);
        assert_eq!(bounded(&["list", &sides.place()]).code, 0);
        let said = bounded(&[&sides.from, &sides.place()]);
        let is_file = SAYING.iter().any(|(name, _)| *name == kind) || kind == "sparse";
        assert_eq!(said.code == 0, is_file, "{kind}");
        assert!(is_file || said.stderr.contains(lock.to_str().unwrap()));
    }
}

/// In a directory of a user's own, below the root of the filesystem that is root's.
fn what_users_plant_is_no_record() {
    let sides = Sides::new();
    let dir = sides.to.join("theirs");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(65534), Some(65534)).unwrap();
    subvolume(&dir.join("work.part"));
    let place = format!("{}/", dir.display());
    let planted = dir.join(".buttersink");
    let records = ["seals", "unfinished", "lock", "marks"];
    for record in records
        .map(|name| planted.join(name))
        .iter()
        .chain([&planted])
    {
        for (kind, put) in SAYING.into_iter().chain(STRANGE) {
            remove(&planted);
            fs::create_dir_all(record.parent().unwrap()).unwrap();
            put(record);
            run("chown", ["-hR", "65534", planted.to_str().unwrap()]);
            let listed = bounded(&["list", &place]);
            assert!(
                listed.code == 0 && !listed.stderr.contains(".buttersink"),
                "{kind}"
            );
            let said = bounded(&[&sides.from, &place]);
            assert_eq!(said.code, 0, "{kind}");
            assert!(dir.join("work.part").exists() && dir.join("2").exists());
            script(&dir, "btrfs -q subvolume delete 1 2");
        }
    }
    let etc = fs::read_to_string("/etc/passwd").unwrap();
    assert!(!etc.contains("version"));
}

/// In a directory that keeps streams: of the root, of who writes, of an object, and of one that is not finished.
fn records_of_objects_that_cannot_be_read() {
    let sides = Sides::new();
    let disk = ext4("e", 64);
    let place = raw(&disk);
    fine(&[&sides.from, &place]);
    let unfinished = disk.join(".buttersink-unfinished/0123456789abcdef");
    fs::create_dir_all(&unfinished).unwrap();
    let object = run(
        "find",
        [disk.join("1").to_str().unwrap(), "-name", "*_None.meta"],
    );
    let records = [
        disk.join(".buttersink-raw"),
        disk.join(".buttersink-writer"),
        PathBuf::from(object.trim()),
        unfinished.join("about"),
        unfinished.join("parts"),
    ];
    for (kind, put) in SAYING.into_iter().chain(STRANGE) {
        for record in &records {
            println!("== {kind}: {}", record.display());
            in_place_of(record, put, || {
                let listed = bounded(&["list", &place]);
                let is_root = record.ends_with(".buttersink-raw");
                assert!(is_root || listed.code == 0, "{}", listed.stderr);
                // Written to, or refused with words; and nothing is lost.
                let said = bounded(&[&sides.other, &place]);
                assert!(matches!(said.code, 0 | 1 | 3 | 10), "{}", said.stderr);
                assert!(said.code == 0 || said.stderr.contains("raw:"));
            });
            remove(&disk.join(".buttersink-writer"));
        }
    }
    fs::remove_dir(&unfinished).unwrap();
    fine(&["verify", "--download", &place]);
}

/// Backups are named by their seconds.
fn next_second() {
    let now = || run("date", ["+%s"]);
    let before = now();
    while now() == before {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What is remembered of scheduled runs is a cache: without it all is done, and that is said.
fn records_of_runs_that_cannot_be_read() {
    let (a, disk) = (btrfs("a", 256), ext4("e", 64));
    subvolume(&a.join("data"));
    script(&a, "mkdir snapshots to");
    let (state, config) = (here().join("state.json"), here().join("config.toml"));
    let text = format!(
        "[global]\nstate_path = '{}'\nlock_path = '{}/run.lock'\n[schedule]\n[snapshots]\n\
         base_dir = '{a}/snapshots'\n[subvolumes]\npaths = ['{a}/data']\n[s3]\nbucket = 'raw:{}'\n\
         prefix = 'host'\n[restore]\ntarget_base_dir = '{a}/to'\n",
        state.display(),
        here().display(),
        disk.display(),
        a = a.display(),
    );
    fs::write(&config, text).unwrap();
    let file = config.to_str().unwrap();
    assert_eq!(bounded(&["backup", "--config", file, "--once"]).code, 0);
    let owner = run("find", [disk.to_str().unwrap(), "-name", "owner.json"]);
    let owner = PathBuf::from(owner.trim());
    for (kind, put) in SAYING.into_iter().chain(STRANGE) {
        println!("== {kind}");
        remove(&state);
        put(&state);
        let said = bounded(&["status", "--config", file]);
        assert!(
            said.stderr.contains(state.to_str().unwrap()),
            "{}",
            said.stderr
        );
        next_second();
        let said = bounded(&["backup", "--config", file, "--once"]);
        let unwritten = said.code == 10 && said.stderr.contains("cannot write");
        // Nothing takes the place of a device: it may be the machine's.
        assert!(said.code == 0 || ["directory", "device"].contains(&kind) && unwritten);
        assert!(
            said.stderr.contains(state.to_str().unwrap()),
            "{}",
            said.stderr
        );
        // Whose the archive is nobody knows then, so that nobody adds to it.
        in_place_of(&owner, put, || {
            let listed = bounded(&["list", "--config", file]);
            assert!(listed.stdout.contains("full"), "{}", listed.stderr);
            next_second();
            bounded(&["backup", "--config", file, "--once"]);
        });
    }
    fine(&["verify", "--config", file, "--download"]);
}
