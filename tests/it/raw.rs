//! Directories that keep streams: the suites on several filesystems and through a far side, the form of what
//! is in them, and the program that uses them.

use crate::bucket::Bucket;
use crate::bucket_suites::{Kind, OF_KEYS, OF_MANIFESTS, settings, suites};
use crate::contract::put;
use crate::disks::{CONTRACT, exfat, ext4, names_below, raw, tmpfs};
use crate::runner::Test;
use crate::servers::shared;
use crate::streams::{diff, stream, uuid};
use crate::subvolumes::{history, id, script, subvolume};
use crate::support::*;
use crate::targets::{Target, Way, far_shell, open};
use crate::tree::assert_same;
use buttersink::objects::directory::Directory;
use buttersink::store::bucket::{ArchiveStore, DiffStore};
use buttersink::store::{Access, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const TESTS: &[Test] = crate::tests![
    diffs_here,
    diffs_through_a_pipe,
    diffs_through_a_server,
    archives_here,
    archives_by_way_of_a_spool,
    archives_through_a_pipe,
    threads_of_a_run_follow_each_other,
    there_and_back,
    names_are_the_same_everywhere,
    names_that_differ_in_case,
    no_object_is_longer_than_it_may_be,
    received_by_hand,
    changes_are_logged,
    from_a_bucket_and_back,
    other_directories_are_left_alone,
    the_other_form_is_named,
    at_a_far_side,
    backups_of_both_kinds,
];

/// On btrfs too, which has what the others lack.
fn diffs_here() {
    let disks = CONTRACT
        .iter()
        .map(|disk| disk.make(&format!("{disk:?}"), 64));
    for disk in disks.chain([btrfs("b", 256)]) {
        suites(diffs_in(disk), 70_000, false);
    }
}

fn diffs_through_a_pipe() {
    suites(diffs_in(tmpfs("t", 64)), 70_000, true);
}

/// By the program itself, as a client has it started.
fn diffs_through_a_server() {
    for disk in CONTRACT {
        let top = Target::new(*disk, Way::Server, 64);
        top.open(Access::Write).unwrap();
        let open = move |prefix: &str, access| -> Box<dyn Store> {
            open(&format!("{}{prefix}", top.place()), access).unwrap()
        };
        suites((Arc::new(open), OF_KEYS), 70_000, false);
    }
}

/// A server keeps streams and no archives: these are where the machine is that makes them.
fn archives_here() {
    for disk in CONTRACT {
        let dir = disk.make(&format!("{disk:?}"), 64);
        suites(archives_in(dir, false), 70_000, false);
    }
}

fn archives_by_way_of_a_spool() {
    suites(archives_in(tmpfs("t", 64), true), 70_000, false);
}

fn archives_through_a_pipe() {
    suites(archives_in(tmpfs("t", 64), false), 70_000, true);
}

/// Whoever opens it while another thread lets it go waits for that, and is not refused.
fn threads_of_a_run_follow_each_other() {
    let disk = tmpfs("t", 64);
    DiffStore::in_directory(&disk, Access::Write, None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    drop(DiffStore::in_directory(&disk, Access::Write, None).unwrap());
                }
            });
        }
    });
}

fn diffs_in(dir: PathBuf) -> Kind {
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        Box::new(DiffStore::in_directory(&dir.join(prefix), access, Some(10_000)).unwrap())
    };
    // The root, so that what is below it need not be empty.
    open("", Access::Write);
    (Arc::new(open), OF_KEYS)
}

fn archives_in(dir: PathBuf, spooled: bool) -> Kind {
    let room = spooled.then(|| (here().to_owned(), 20_000));
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        let settings = buttersink::store::bucket::archive::Settings {
            spool: room.clone(),
            ..settings(raw(&dir).as_str(), prefix, 25_000)
        };
        Box::new(ArchiveStore::in_directory(settings, access, Some(10_000)).unwrap())
    };
    (Arc::new(open), OF_MANIFESTS)
}

/// Runs the program, and it must succeed.
#[track_caller]
pub(crate) fn fine(args: &[&str]) -> Said {
    let said = buttersink(args);
    assert_eq!(said.code, 0, "buttersink {args:?}");
    said
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

/// Two snapshots go to a disk and come back; what is deleted goes to the trash.
fn there_and_back() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    let snaps = slash(&a.join("snaps"));
    for (number, disk) in [ext4("e", 64), exfat("x", 64)].iter().enumerate() {
        let plan = fine(&["-n", &snaps, &raw(disk)]);
        assert!(plan.stdout.contains('2'), "{}", plan.stdout);
        assert!(
            !disk.join(".buttersink-raw").exists(),
            "a dry run changes nothing"
        );
        fine(&[&snaps, &raw(disk)]);
        assert!(!disk.join(".buttersink-writer").exists());
        let listed = fine(&["list", &raw(disk)]);
        assert!(listed.stdout.contains("1") && listed.stdout.contains("2"));
        fine(&["verify", &raw(disk)]);
        fine(&["verify", "--download", &raw(disk)]);
        fine(&["verify", "--against", &snaps, &raw(disk)]);
        let to = b.join(format!("to{number}"));
        std::fs::create_dir(&to).unwrap();
        fine(&[&raw(disk), &slash(&to)]);
        for name in ["1", "2"] {
            assert_same(&a.join("snaps").join(name), &to.join(name));
        }
        let nothing = fine(&["--json", &snaps, &raw(disk)]);
        assert!(!nothing.stdout.contains("\"path\":\"1\",\"bytes\""));
        let kept = a.join("kept");
        let _ = std::fs::create_dir(&kept);
        script(&a, "btrfs -q subvolume snapshot -r live kept/3");
        fine(&["-d", &slash(&kept), &raw(disk)]);
        let names = names_below(disk);
        let trash = |name: &&String| name.starts_with("trash/1/");
        assert!(names.iter().filter(trash).count() >= 2, "{names:?}");
        script(&a, "btrfs -q subvolume delete kept/3");
    }
}

/// What the page says of names, on a filesystem that could do with fewer rules.
fn names_are_the_same_everywhere() {
    let disks = [tmpfs("t", 16), exfat("x", 64)];
    let long = "l\u{f6}ng ".repeat(40);
    for disk in &disks {
        let mut store = DiffStore::in_directory(disk, Access::Write, None).unwrap();
        for (number, name) in (1..).zip(["a b/c:d", "NUL", "x.meta", ".hidden", &long]) {
            let (diff, bytes) = (diff(number, None, 3000), stream(number, None, 3000));
            put(&mut store, &diff, Path::new(name), &bytes).unwrap();
        }
        let listed = store.list().unwrap();
        let paths: Vec<String> = listed
            .snapshots
            .iter()
            .map(|s| s.path.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(paths, [".hidden", "NUL", "a b/c:d", &long, "x.meta"]);
        assert_eq!(listed.notes, [""; 0]);
    }
    let [one, other] = disks.map(|disk| names_below(&disk));
    assert_eq!(one, other);
    let first = format!("a%20b/c%3Ad/{}_None", uuid(1));
    for name in [
        &first,
        "%4EUL.bs",
        "x.meta.bs",
        "x%2Emeta",
        "%2Ehidden.bs.meta",
        ".buttersink-raw",
    ] {
        assert!(one.iter().any(|other| other == name), "{name}: {one:?}");
    }
    assert!(
        !one.iter()
            .any(|name| name.contains(".buttersink-unfinished/"))
    );
}

/// A directory that cannot tell them apart has one of them.
fn names_that_differ_in_case() {
    let bytes = stream(1, None, 3000);
    for (disk, both) in [(tmpfs("t", 16), true), (exfat("x", 64), false)] {
        let mut store = DiffStore::in_directory(&disk, Access::Write, None).unwrap();
        put(
            &mut store,
            &diff(1, None, 3000),
            Path::new("Home/x"),
            &bytes,
        )
        .unwrap();
        let again = put(
            &mut store,
            &diff(1, None, 3000),
            Path::new("home/x"),
            &bytes,
        );
        assert_eq!(again.is_ok(), both, "{again:?}");
        if let Err(error) = again {
            assert!(error.to_string().contains("differ only in case"), "{error}");
        }
        let listed = store.list().unwrap();
        assert_eq!(listed.snapshots.len(), 1 + usize::from(both));
    }
}

/// What the marker says of lengths is kept to: longer streams become several objects.
fn no_object_is_longer_than_it_may_be() {
    let disk = tmpfs("t", 64);
    let marker = r#"{"version": 1, "escaping": "percent", "max_object": 25000, "later": true}"#;
    std::fs::write(disk.join(".buttersink-raw"), marker).unwrap();
    let (full, bytes) = (diff(1, None, 70_000), stream(1, None, 70_000));
    let mut store = DiffStore::in_directory(&disk, Access::Write, Some(10_000)).unwrap();
    put(&mut store, &full, Path::new("one"), &bytes).unwrap();
    for name in names_below(&disk) {
        assert!(
            disk.join(&name).metadata().unwrap().len() <= 25_000,
            "{name}"
        );
    }
    let mut again = DiffStore::in_directory(&disk, Access::Read, None).unwrap();
    again.list().unwrap();
    assert!(crate::contract::bytes(&mut again, &full) == bytes);
    let later = marker.replace("\"version\": 1", "\"version\": 2");
    std::fs::write(disk.join(".buttersink-raw"), later).unwrap();
    let error = Directory::open(&disk, false, None).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
}

/// The lines that `list --commands` prints, and no buttersink.
fn received_by_hand() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    let disk = ext4("e", 64);
    let from = disk.join("it's here");
    std::fs::create_dir(&from).unwrap();
    fine(&[&slash(&a.join("snaps")), &raw(&from)]);
    let listed = fine(&["list", "--commands", &raw(&from)]);
    let lines = listed.stdout.lines().filter(|line| line.contains("cat "));
    let lines: Vec<&str> = lines.map(str::trim).collect();
    assert_eq!(lines.len(), 2, "{}", listed.stdout);
    script(&b, &lines.join("\n"));
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
}

/// A line for each change and each that failed, wherever it was; none for what only would be.
fn changes_are_logged() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    let (disk, log) = (ext4("e", 64), here().join("changes"));
    let snaps = slash(&a.join("snaps"));
    let call = |args: &[&str]| {
        let with = ["--transaction-log", log.to_str().unwrap()];
        let code = buttersink([args, &with].concat()).code;
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        // Without the time.
        let lines = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned());
        (code, lines.collect::<Vec<_>>())
    };
    let begin = |code: i32, lines: &[String], words: &[String]| {
        assert_eq!((code, lines.len()), (0, words.len()), "{lines:?}");
        for (line, word) in lines.iter().zip(words) {
            assert!(line.starts_with(word), "{line}, not {word}");
        }
    };
    let (there, kept) = (slash(&b), raw(&disk));
    let (code, lines) = call(&["-n", &snaps, &there]);
    begin(code, &lines, &[]);
    for place in [&there, &kept] {
        let (code, lines) = call(&[&snaps, place]);
        begin(
            code,
            &lines,
            &["1", "2"].map(|name| format!("done receive {place}{name} ")),
        );
    }
    script(&a, "btrfs -q subvolume delete snaps/2");
    for place in [&there, &kept] {
        let (code, lines) = call(&["-d", &snaps, place]);
        begin(code, &lines, &[format!("done delete {place}2")]);
    }
    let backup = ["backup", a.join("live").to_str().unwrap(), &there].map(str::to_owned);
    let (code, lines) = call(&backup.each_ref().map(String::as_str));
    begin(
        code,
        &lines,
        &[
            format!("done snapshot {}", a.display()),
            format!("done receive {there}"),
        ],
    );
    // What fails is in it, with the reason.
    script(&b, "sync -f .");
    run(
        "btrfs",
        ["subvolume", "set-default", b.join("1").to_str().unwrap()],
    );
    script(
        &a,
        "btrfs -q subvolume snapshot -r live snaps/3; btrfs -q subvolume delete snaps/1",
    );
    let (code, lines) = call(&["-d", &snaps, &there]);
    assert_eq!(code, 10);
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("failed "))
        .collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert!(
        failed[0].starts_with(&format!("failed delete {there}1: cannot delete"))
            && failed[0].contains("default subvolume"),
        "{failed:?}"
    );
}

/// A bucket is copied to a directory and back, with all that is known of the streams.
fn from_a_bucket_and_back() {
    let (server, a, b) = (shared("seaweedfs"), btrfs("a", 256), btrfs("b", 256));
    let bucket = Bucket::new(&server);
    history(&a, 3);
    let disk = exfat("x", 64);
    let (one, two) = (bucket.url("one/"), bucket.url("two/"));
    bucket.fine(&[&slash(&a.join("snaps")), &one]);
    bucket.fine(&[&one, &raw(&disk)]);
    bucket.fine(&["verify", "--download", "--against", &one, &raw(&disk)]);
    bucket.fine(&[&raw(&disk), &two]);
    bucket.fine(&["verify", "--download", "--against", &one, &two]);
    for key in bucket
        .keys("one/")
        .iter()
        .filter(|key| !key.ends_with(".bs"))
    {
        let key = key.strip_prefix("one/").unwrap();
        let [here, there] = ["one", "two"].map(|p| {
            let headers = server.headers(&bucket.name, &format!("{p}/{key}"));
            let ours = headers.iter().filter(|(name, _)| {
                name.as_str().starts_with("x-amz-meta-") && !name.as_str().ends_with("created")
            });
            let mut ours: Vec<String> = ours.map(|(n, v)| format!("{n}: {v:?}")).collect();
            ours.sort();
            ours
        });
        assert!(!here.is_empty());
        assert_eq!(here, there, "{key}");
    }
    bucket.fine(&[&two, &slash(&b)]);
    for name in ["1", "2", "3"] {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
}

/// No directory becomes one that keeps streams by a slip of the keyboard, and nothing that is not ours
/// is touched.
fn other_directories_are_left_alone() {
    let a = btrfs("a", 256);
    history(&a, 1);
    let disk = ext4("e", 64);
    std::fs::create_dir_all(disk.join("photos/2026")).unwrap();
    for args in [
        vec!["list".to_owned(), raw(&disk)],
        vec![slash(&a.join("snaps")), raw(&disk)],
        vec![slash(&a.join("snaps")), raw(&disk.join("no/such"))],
    ] {
        let said = buttersink(&args);
        assert_eq!(said.code, 1, "{args:?}");
    }
    assert_eq!(names_below(&disk), ["lost+found", "photos", "photos/2026"]);
    let store = disk.join("streams");
    // What a box for storage puts into each directory is no object, and in nobody's way.
    std::fs::create_dir_all(store.join("@eaDir")).unwrap();
    fine(&[&slash(&a.join("snaps")), &raw(&store)]);
    std::fs::write(store.join("1/.DS_Store"), "x").unwrap();
    assert_eq!(fine(&["list", &raw(&store)]).stderr, "");
    std::fs::write(store.join("notes to self.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", store.join("link")).unwrap();
    let said = fine(&["list", &raw(&store)]);
    let all = said.stdout + &said.stderr;
    assert!(all.contains("names that no key gets"), "{all}");
    // A root is found from below.
    let below = store.join("host");
    fine(&[&slash(&a.join("snaps")), &raw(&below)]);
    assert!(below.join("1").is_dir() && !below.join(".buttersink-raw").exists());
}

fn the_other_form_is_named() {
    let a = btrfs("a", 256);
    history(&a, 1);
    let (snaps, disk) = (slash(&a.join("snaps")), ext4("e", 64));
    let form = format!("raw:{}", slash(&disk));
    let said = buttersink([&snaps, &slash(&disk)]);
    assert!(
        said.code == 1 && said.stderr.contains(&form),
        "{}",
        said.stderr
    );
    fine(&[&snaps, &form]);
    for args in [vec!["list"], vec!["verify"], vec!["clean"]] {
        let said = buttersink([&args[..], &[&slash(&disk)]].concat());
        assert!(
            said.code == 1 && said.stderr.contains(&form),
            "{}",
            said.stderr
        );
    }
    let elsewhere = ext4("f", 64);
    std::fs::create_dir(elsewhere.join("photos")).unwrap();
    let said = buttersink([&snaps, &slash(&elsewhere)]);
    assert!(!said.stderr.contains("raw:"), "{}", said.stderr);
}

fn at_a_far_side() {
    let (a, b, far) = (btrfs("a", 256), btrfs("b", 256), far_shell());
    history(&a, 2);
    let snaps = slash(&a.join("snaps"));
    let disk = ext4("e", 64);
    let with = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    let call = |args: &[&str]| buttersink([&with[..], args].concat());
    let (there, files) = (
        format!("raw+ssh://far{}", slash(&disk)),
        format!("ssh://far{}", slash(&disk)),
    );
    // The directory alone decides what it may become.
    let on_btrfs = call(&[&snaps, &format!("raw+ssh://far{}", slash(&b))]);
    assert!(on_btrfs.code == 1 && on_btrfs.stderr.contains("on btrfs"));
    assert_eq!(names_below(&b), [""; 0]);
    let named = call(&[&snaps, &files]);
    assert!(
        named.code == 1 && named.stderr.contains("raw+ssh://"),
        "{}",
        named.stderr
    );
    std::fs::create_dir(disk.join("photos")).unwrap();
    assert_eq!(call(&[&snaps, &there]).code, 1);
    std::fs::remove_dir(disk.join("photos")).unwrap();

    for args in [
        vec![&snaps[..], &there],
        vec!["list", "--commands", &there],
        vec!["verify", "--download", &there],
        vec![&there, &slash(&b)],
    ] {
        assert_eq!(call(&args).code, 0, "{args:?}");
    }
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
    fine(&["verify", "--download", &raw(&disk)]);
    // It goes by its name, and what is below the root need not be there.
    let below = format!("{there}host/");
    let copied = call(&[&snaps, &below]);
    assert!(
        copied.code == 0 && !copied.stderr.contains("asked for"),
        "{}",
        copied.stderr
    );
    let listed = call(&["list", &below]);
    assert!(listed.stdout.contains(&below), "{}", listed.stdout);
    let absent = call(&[&snaps, &format!("raw+ssh://far{}/no/", a.display())]);
    let way = format!("'ssh far sudo mkdir -p {}/no/'", a.display());
    assert!(
        absent.code == 1 && absent.stderr.contains(&way),
        "{}",
        absent.stderr
    );
    let told = std::fs::read_to_string(here().join("told")).unwrap();
    let words = format!("buttersink --server --mode a {}", slash(&disk));
    assert!(told.lines().any(|line| line == words), "{told}");
    let listed = call(&["list", &files]);
    assert!(
        listed.code == 1 && listed.stderr.contains("raw+ssh://"),
        "{}",
        listed.stderr
    );
    modes(&disk, &a);
}

/// What each mode grants is the same as for files.
fn modes(disk: &Path, a: &Path) {
    let buttersink = binary("buttersink");
    for (mode, may_append, may_delete) in
        [("r", false, false), ("a", true, false), ("w", true, true)]
    {
        let forced = here().join(format!("forced{mode}"));
        let line = format!(
            "#!/bin/sh\nexec {} --server --mode {mode} {}/\n",
            buttersink.display(),
            disk.display()
        );
        std::fs::write(&forced, line).unwrap();
        run("chmod", ["+x", forced.to_str().unwrap()]);
        let there = format!("raw+ssh://far{}", slash(disk));
        let with = ["--ssh-command", forced.to_str().unwrap()];
        let call = |args: &[&str]| crate::support::buttersink([&with[..], args].concat()).code;
        assert_eq!(call(&["list", &there]), 0);
        let snaps = a.join(format!("new{mode}"));
        std::fs::create_dir(&snaps).unwrap();
        script(
            a,
            &format!("btrfs -q subvolume snapshot -r live new{mode}/{mode}"),
        );
        assert_eq!(call(&[&slash(&snaps), &there]) == 0, may_append, "{mode}");
        assert_eq!(
            call(&["-d", &slash(&snaps), &there]) == 0,
            may_delete,
            "{mode}"
        );
    }
}

/// One shot, and by a configuration: a destination, and an archive.
fn backups_of_both_kinds() {
    let a = btrfs("a", 256);
    let (disk, other) = (ext4("e", 64), exfat("x", 64));
    subvolume(&a.join("data"));
    subvolume(&a.join("once"));
    script(&a, "echo one >data/file; mkdir snapshots to");
    fine(&["backup", a.join("once").to_str().unwrap(), &raw(&disk)]);
    let listed = fine(&["list", &raw(&disk)]);
    assert!(listed.stdout.contains("20"), "{}", listed.stdout);
    let config = here().join("config.toml");
    let text = format!(
        "[global]\nstate_path = '{here}/state'\nlock_path = '{here}/lock'\n[schedule]\n[snapshots]\n\
         base_dir = '{a}/snapshots'\n[subvolumes]\npaths = ['{a}/data']\n[s3]\nbucket = 'raw:{x}'\n\
         prefix = 'host'\n[restore]\ntarget_base_dir = '{a}/to'\n[[destination]]\n\
         location = 'raw:{e}/scheduled/'\n",
        here = here().display(),
        a = a.display(),
        x = other.display(),
        e = disk.display()
    );
    std::fs::write(&config, text).unwrap();
    let file = config.to_str().unwrap();
    let checked = fine(&["config", "check", file]).stdout;
    assert!(checked.contains("written to was not tried"), "{checked}");
    let tried = fine(&["config", "check", "--write", file]).stdout;
    assert!(tried.contains("; it is removed"), "{tried}");
    fine(&["backup", "--config", file, "--once"]);
    let listed = fine(&["list", "--config", file]);
    assert!(listed.stdout.contains("full"), "{}", listed.stdout);
    // From wherever it is started.
    std::env::set_current_dir(here()).unwrap();
    assert_eq!(
        fine(&["list", "--config", "config.toml"]).stdout,
        listed.stdout
    );
    fine(&["verify", "--config", file, "--download"]);
    let all = fine(&["list", &raw(&other)]);
    assert!(all.stdout.contains("data"), "{}", all.stdout);
    fine(&["verify", "--download", &raw(&disk)]);
    let target = a.join("restored");
    let words = ["--subvolume", "data", "--target", target.to_str().unwrap()];
    fine(&[&["restore", "--config", file][..], &words].concat());
    assert_same(&a.join("data"), &target);
    assert!(!id(&target).is_empty());
}
