//! checksumdir against GNU find, sha256sum and sort on hostile trees, and what it finds.

use crate::runner::Test;
use crate::support::*;
use crate::tests;
use buttersink::checksum::{Aspect, Options, Outcome, Progress, What, compare_trees};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

pub(crate) const TESTS: &[Test] = tests![
    classic_files_are_what_gnu_writes,
    bind_mounts_on_one_filesystem,
    a_directory_mounted_inside_itself,
    paths_longer_than_the_kernel_takes,
    unreadable_is_told_and_the_rest_goes_on,
    refusals_write_nothing,
    a_failed_run_leaves_the_old_files,
    links_and_attributes,
    every_change_is_found_by_check,
    every_change_is_found_by_compare,
    altered_lists_are_not_trusted,
    unreadable_is_never_the_same,
    lists_from_another_order,
    standard_output_and_json,
    the_page_cache_stays_as_it_was,
    usage,
];

const FORMAT: &str = r"%M %n %4U %4G %TY-%Tm-%Td %TT %P\n";

fn checksumdir<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    program("checksumdir", args)
}

/// What the GNU tools write into `NAME.ls`, `NAME.files` and `NAME.sha256sum`.
fn gnu(dir: &Path, out: &Path) {
    let script = format!(
        "set -eu; export TZ=UTC LC_ALL=C; cd \"$1\"
         find . -mindepth 1 -not '(' -type d -exec mountpoint -q '{{}}' ';' ')' \
            -printf '{FORMAT}' | sort -k 7 > \"$2/$3.ls\"
         find . -type f -exec sha256sum '{{}}' ';' | sort -k 2 > \"$2/$3.files\"
         cd \"$2\"; sha256sum -- \"$3.ls\" \"$3.files\" > \"$3.sha256sum\""
    );
    let name = dir.file_name().unwrap();
    let words: [&OsStr; 6] = [
        "-c".as_ref(),
        script.as_ref(),
        "sh".as_ref(),
        dir.as_ref(),
        out.as_ref(),
        name,
    ];
    run("sh", words);
}

/// Both programs on one tree must write the same bytes; returns the `.ls` and the `.files`.
fn same_as_gnu(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let (theirs, ours) = (here().join("gnu"), here().join("ours"));
    fs::create_dir_all(&theirs).unwrap();
    fs::create_dir_all(&ours).unwrap();
    gnu(dir, &theirs);
    let said = checksumdir([OsStr::new("-o"), ours.as_ref(), dir.as_ref()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stdout, "");
    let file = |at: &Path, suffix: &str| {
        let mut name = dir.file_name().unwrap().to_owned();
        name.push(suffix);
        fs::read(at.join(name)).unwrap()
    };
    for suffix in [".ls", ".files", ".sha256sum"] {
        let (a, b) = (file(&theirs, suffix), file(&ours, suffix));
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\n", "\n");
        assert!(a == b, "{suffix}\nGNU:\n{}\nours:\n{}", text(&a), text(&b));
    }
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 3, "leftovers");
    (file(&ours, ".ls"), file(&ours, ".files"))
}

fn path(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

fn put(dir: &Path, name: &[u8], content: &[u8]) {
    fs::write(path(dir, name), content).unwrap();
}

fn set_time(path: &Path, seconds: i64, nanoseconds: u32) {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH - whole
    } else {
        SystemTime::UNIX_EPOCH + whole
    };
    let times = FileTimes::new().set_modified(time + Duration::from_nanos(nanoseconds.into()));
    File::open(path).unwrap().set_times(times).unwrap();
}

const NAMES: &[&[u8]] = &[
    b"a",
    b"a-b",
    b"a.b",
    b" lead",
    b"trail ",
    b"  ",
    b"two  spaces",
    b"tab\there",
    b"-x",
    b"--",
    b"*",
    b"new\nline",
    b"\nfirst",
    b"last\n",
    b"two\n\nlines",
    b"x y z 1 2 3 4\n1 2 3 4 5 6 7 8",
    b"back\\slash",
    b"\\",
    b"back\\nslash",
    b"cr\rcr",
    b"both\n\\\r",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\xc3",
    b"\x01\x1b[2J",
    b"\x7f",
    b"aXb",
    b"a\nb",
    b"a\\b",
    b"'\"$(x)`",
    b"...",
    b"B",
    b"~",
];

/// Everything that a name or an inode can be.
fn hostile(top: &Path) {
    for name in NAMES {
        put(top, name, name);
    }
    for name in [
        &b"d"[..],
        b"d-e",
        b"d.e",
        b"new\ndir",
        b"back\\dir",
        b"empty dir",
    ] {
        fs::create_dir(path(top, name)).unwrap();
    }
    for dir in ["d", "d-e", "new\ndir", "back\\dir"] {
        for name in NAMES {
            put(&top.join(dir), name, b"below");
        }
    }
    put(top, &[b'n'; 255], b"");
    put(top, b"big", &vec![b'z'; (8 << 20) + 5]);
    let sparse = File::create(top.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    fs::hard_link(top.join("a"), top.join("d/hard link")).unwrap();
    symlink("nowhere", top.join("dangling")).unwrap();
    symlink(".", top.join("loop")).unwrap();
    symlink("itself", top.join("itself")).unwrap();
    symlink("d", top.join("to a directory")).unwrap();
    let words = ["fifo", "p", "character", "c", "block", "b"];
    for pair in words.chunks(2) {
        let mut words = vec![top.join(pair[0]), pair[1].into()];
        if pair[1] != "p" {
            words.extend(["7".into(), "3".into()]);
        }
        run("mknod", words);
    }
    drop(UnixListener::bind(top.join("socket")).unwrap());
    for mode in [0, 0o7777, 0o7000, 0o4755, 0o2644, 0o1777, 0o111] {
        for kind in ["file", "dir"] {
            let made = top.join(format!("{kind} {mode:o}"));
            if kind == "file" {
                put(top, made.file_name().unwrap().as_bytes(), b"x");
            } else {
                fs::create_dir(&made).unwrap();
            }
            fs::set_permissions(&made, Permissions::from_mode(mode)).unwrap();
        }
    }
    for (i, owner) in [1, 999, 12345, 123_456_789, u32::MAX - 1]
        .into_iter()
        .enumerate()
    {
        let made = format!("owner {i}");
        put(top, made.as_bytes(), b"");
        chown(top.join(made), Some(owner), Some(owner / 7)).unwrap();
    }
}

/// Times from the beginning to the end of a signed 64-bit number, as far as std goes.
fn timeless(top: &Path) {
    let seconds = [
        0,
        -1,
        1,
        951_782_400,
        951_868_799,
        4_107_542_400,
        253_402_300_799,
        253_402_300_800,
        -30_610_224_000,
        -40_000_000_000,
        -62_135_596_801,
        -62_167_219_201,
        -62_198_755_200,
        -300_000_000_000,
        67_768_036_191_676_799,
        67_768_036_191_676_800,
        -67_768_040_609_740_800,
        -67_768_040_609_740_801,
        i64::MAX - 1,
    ];
    for (i, second) in seconds.into_iter().enumerate() {
        let made = top.join(format!("time {i}"));
        fs::write(&made, "").unwrap();
        set_time(&made, second, if i % 2 == 0 { 0 } else { 123_456_789 });
        assert_eq!(fs::metadata(&made).unwrap().mtime(), second);
    }
}

fn classic_files_are_what_gnu_writes() {
    let disk = btrfs("disk", 512);
    let tree = disk.join("tree");
    run("btrfs", ["subvolume", "create", tree.to_str().unwrap()]);
    hostile(&tree);
    timeless(&tree);
    let nested = tree.join("nested subvolume");
    run("btrfs", ["subvolume", "create", nested.to_str().unwrap()]);
    put(&nested, b"inside", b"1");
    for name in ["mount", "other\nline"] {
        let mount = tree.join(name);
        fs::create_dir(&mount).unwrap();
        run(
            "mount",
            [
                OsStr::new("-t"),
                "tmpfs".as_ref(),
                "none".as_ref(),
                mount.as_ref(),
            ],
        );
        put(&mount, b"below", b"2");
        fs::create_dir(mount.join("sub")).unwrap();
    }
    let (ls, files) = same_as_gnu(&tree);
    let has = |text: &[u8], word: &str| text.windows(word.len()).any(|w| w == word.as_bytes());
    assert!(has(&ls, " nested subvolume\n") && has(&ls, " mount/below\n"));
    assert!(!has(&ls, " mount\n"), "mount points are not listed");
    assert!(has(&files, "  ./nested subvolume/inside\n"));
}

fn bind_mounts_on_one_filesystem() {
    let disk = btrfs("disk", 256);
    let tree = disk.join("-tree\\with\nname");
    fs::create_dir_all(tree.join("here")).unwrap();
    fs::create_dir_all(disk.join("there/sub")).unwrap();
    put(&disk.join("there"), b"file", b"1");
    put(&tree, b"mounted file", b"");
    let there = disk.join("there");
    run(
        "mount",
        [
            OsStr::new("--bind"),
            there.as_ref(),
            tree.join("here").as_ref(),
        ],
    );
    let (from, to) = (there.join("file"), tree.join("mounted file"));
    run("mount", [OsStr::new("--bind"), from.as_ref(), to.as_ref()]);
    let (ls, _) = same_as_gnu(&tree);
    let text = String::from_utf8(ls).unwrap();
    assert!(
        text.contains(" here/sub\n") && !text.contains(" here\n"),
        "{text}"
    );
    assert!(text.contains(" mounted file\n"), "{text}");
}

fn a_directory_mounted_inside_itself() {
    let disk = btrfs("disk", 256);
    let tree = disk.join("tree");
    fs::create_dir_all(tree.join("again")).unwrap();
    put(&tree, b"file", b"1");
    run(
        "mount",
        [
            OsStr::new("--bind"),
            tree.as_ref(),
            tree.join("again").as_ref(),
        ],
    );
    let said = checksumdir([OsStr::new("--stdout=ls"), tree.as_ref()]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("tree/again: mounted inside itself"),
        "{}",
        said.stderr
    );
    assert_eq!(said.stdout.lines().count(), 1, "{}", said.stdout);
}

fn paths_longer_than_the_kernel_takes() {
    let tree = here().join("tree");
    fs::create_dir(&tree).unwrap();
    let script = "cd \"$1\"; n=$(printf %0200d 0); i=0; while [ $i -lt 60 ]; do
        mkdir $n && cd -P ./$n && echo $i > file || exit 1; ln -s to$i link; i=$((i+1)); done";
    run("bash", ["-c", script, "sh", tree.to_str().unwrap()]);
    let out = here().join("out");
    fs::create_dir(&out).unwrap();
    let words = [
        "--links",
        "--xattrs",
        "-o",
        out.to_str().unwrap(),
        tree.to_str().unwrap(),
    ];
    let said = checksumdir(words);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let find = format!(
        "cd {} && TZ=UTC find . -mindepth 1 -printf '{FORMAT}'",
        tree.display()
    );
    let theirs = run("sh", ["-c", &format!("({find}) | LC_ALL=C sort -k7")]);
    assert_eq!(fs::read_to_string(out.join("tree.ls")).unwrap(), theirs);
    let files = fs::read_to_string(out.join("tree.files")).unwrap();
    let last = files
        .lines()
        .find(|line| line.matches('/').count() == 61)
        .unwrap();
    let sum = run("sh", ["-c", "echo 59 | sha256sum"]);
    assert_eq!(last[..64], sum[..64]);
    assert_eq!(files.lines().count(), 60);
    let links = fs::read_to_string(out.join("tree.links")).unwrap();
    assert!(links.contains("\tto59\n"));
    run("rm", ["-rf", tree.to_str().unwrap()]);
}

/// Runs a program as a user who may not read everything.
fn as_nobody(args: &[&OsStr]) -> Said {
    if run("id", ["-u"]) != "0\n" {
        skip("needs root to become another user");
    }
    let copy = here().join("checksumdir");
    fs::copy(binary("checksumdir"), &copy).unwrap();
    let output = output(Command::new(copy).args(args).uid(65534).gid(65534));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A tree with a file and a directory that only root can read.
fn locked() -> PathBuf {
    let tree = here().join("tree");
    fs::create_dir_all(tree.join("shut")).unwrap();
    for name in [&b"open"[..], b"secret", b"shut/inside", b"zz"] {
        put(&tree, name, name);
    }
    for name in ["secret", "shut"] {
        fs::set_permissions(tree.join(name), Permissions::from_mode(0o000)).unwrap();
    }
    tree
}

fn unreadable_is_told_and_the_rest_goes_on() {
    let tree = locked();
    let out = here().join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
    let said = as_nobody(&["-o".as_ref(), out.as_ref(), tree.as_ref()]);
    assert_eq!(said.code, 1);
    for name in [
        "tree/secret: Permission denied",
        "tree/shut: Permission denied",
    ] {
        assert!(said.stderr.contains(name), "{}", said.stderr);
    }
    let ls = fs::read_to_string(out.join("tree.ls")).unwrap();
    let names: Vec<&str> = ls
        .lines()
        .filter_map(|l| l.split(' ').next_back())
        .collect();
    assert_eq!(names, ["open", "secret", "shut", "zz"]);
    let files = fs::read_to_string(out.join("tree.files")).unwrap();
    let names: Vec<&str> = files.lines().map(|line| &line[66..]).collect();
    assert_eq!(names, ["./open", "./zz"]);
}

fn refusals_write_nothing() {
    let tree = here().join("tree");
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    fs::create_dir_all(here().join("other/tree")).unwrap();
    fs::create_dir_all(here().join("tree2")).unwrap();
    let inside = |from: &str, dir: &str| {
        let mut command = Command::new(binary("checksumdir"));
        output(command.current_dir(here().join(from)).arg(dir))
    };
    for (from, dir) in [
        ("tree", "."),
        ("tree", "../tree"),
        ("tree/sub/deep", "../../../tree/"),
        ("tree/sub", ".."),
    ] {
        let said = inside(from, dir);
        assert_eq!(said.status.code(), Some(2), "{from} {dir}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("inside"));
    }
    // A name that merely begins alike is elsewhere.
    assert_eq!(inside("tree2", "../tree").status.code(), Some(0));
    assert!(here().join("tree2/tree.sha256sum").exists());
    let said = checksumdir([OsStr::new("-o"), tree.join("sub").as_ref(), tree.as_ref()]);
    assert_eq!(said.code, 2);
    let out = here().join("out");
    fs::create_dir(&out).unwrap();
    let both = [here().join("tree/"), here().join("other/tree")];
    let said = checksumdir([
        OsStr::new("-o"),
        out.as_ref(),
        both[0].as_ref(),
        both[1].as_ref(),
    ]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("both have one name"),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let found = run("find", [tree.to_str().unwrap(), "-type", "f"]);
    assert_eq!(found, "");
}

fn a_failed_run_leaves_the_old_files() {
    let (tree, out) = (here().join("tree"), here().join("out"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(out.join("tree.files/in the way")).unwrap();
    put(&out, b"tree.ls", b"old");
    let said = checksumdir([OsStr::new("-o"), out.as_ref(), tree.as_ref()]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("tree.files"), "{}", said.stderr);
    let names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.as_bytes().starts_with(b".")),
        "{names:?}"
    );
    assert!(!out.join("tree.sha256sum").exists());
}

fn links_and_attributes() {
    let tree = btrfs("disk", 256).join("tree");
    fs::create_dir(&tree).unwrap();
    put(&tree, b"f\to\\\n", b"1");
    symlink(OsStr::from_bytes(b"a b\n\\\xff"), tree.join("l")).unwrap();
    let file = path(&tree, b"f\to\\\n");
    let words = |name: &'static str| ["-n".as_ref(), OsStr::new(name), "-v".as_ref()];
    run(
        "setfattr",
        words("user.x y")
            .into_iter()
            .chain(["0x00ff".as_ref(), file.as_os_str()]),
    );
    run(
        "setfattr",
        words("trusted.e").into_iter().chain([
            "".as_ref(),
            tree.join("l").as_os_str(),
            "-h".as_ref(),
        ]),
    );
    let said = checksumdir([
        OsStr::new("--links"),
        "--stdout=links".as_ref(),
        tree.as_ref(),
    ]);
    assert_eq!(said.stdout, "./l\ta b\\012\\\\\u{fffd}\n");
    let said = checksumdir([OsStr::new("--stdout=xattrs"), tree.as_ref()]);
    assert_eq!(
        said.stdout,
        "./f\\011o\\\\\\012\tuser.x y\t0x00ff\n./l\ttrusted.e\t0x\n"
    );
}

/// A small tree, and a copy of it that is the same in every respect.
fn twins() -> [PathBuf; 2] {
    let disk = btrfs("disk", 256);
    let [a, b] = [disk.join("a"), disk.join("b")];
    fs::create_dir_all(a.join("dir/sub")).unwrap();
    for name in [
        &b"file"[..],
        b"dir/x",
        b"dir/sub/new\nline",
        b"zero",
        b"dir-x",
    ] {
        put(&a, name, b"some content");
    }
    put(&a, b"large", &vec![7; 9 << 20]);
    symlink("target", a.join("link")).unwrap();
    run(
        "mknod",
        [
            a.join("device").as_os_str(),
            "c".as_ref(),
            "1".as_ref(),
            "3".as_ref(),
        ],
    );
    run("cp", [OsStr::new("-a"), a.as_ref(), b.as_ref()]);
    [a, b]
}

/// Spoils `b` in one way; what is said then about which path, and what keeps the time.
type Spoil = (&'static str, fn(&Path), &'static str);

fn keeping_time(path: &Path, act: impl FnOnce(&Path)) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    act(path);
    File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(time))
        .unwrap();
}

fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

const SPOILS: &[Spoil] = &[
    (
        "file",
        |b| keeping_time(&b.join("file"), |f| flip(f, 3)),
        "content",
    ),
    (
        "large",
        |b| keeping_time(&b.join("large"), |f| flip(f, (9 << 20) - 1)),
        "content",
    ),
    ("file", |b| set_time(&b.join("file"), 5, 5), "time"),
    ("dir", |b| set_time(&b.join("dir"), -5, 5), "time"),
    (
        "file",
        |b| fs::set_permissions(b.join("file"), Permissions::from_mode(0o600)).unwrap(),
        "mode",
    ),
    (
        "file",
        |b| chown(b.join("file"), Some(7), None).unwrap(),
        "owner",
    ),
    (
        "file",
        |b| chown(b.join("file"), None, Some(7)).unwrap(),
        "owner",
    ),
    (
        "dir-x",
        |b| fs::hard_link(b.join("dir-x"), b.parent().unwrap().join("h")).unwrap(),
        "names",
    ),
    (
        "zero",
        |b| {
            keeping_time(&b.join("zero"), |f| {
                let file = File::options().write(true).open(f).unwrap();
                file.set_len(3).unwrap();
            });
        },
        "content",
    ),
    (
        "dir/x",
        |b| keeping_time(&b.join("dir"), |d| fs::remove_file(d.join("x")).unwrap()),
        "removed",
    ),
    (
        "dir/n",
        |b| keeping_time(&b.join("dir"), |d| put(d, b"n", b"")),
        "added",
    ),
    (
        "zero",
        |b| {
            fs::remove_file(b.join("zero")).unwrap();
            fs::create_dir(b.join("zero")).unwrap();
        },
        "kind",
    ),
];

fn every_change_is_found_by_check() {
    for (path, spoil, word) in SPOILS {
        let [a, b] = twins();
        let said = checksumdir([OsStr::new("-o"), here().as_ref(), b.as_ref()]);
        assert_eq!(said.code, 0);
        let sums = here().join("b.sha256sum");
        let check = || checksumdir([OsStr::new("--check"), sums.as_ref(), b.as_ref()]);
        let clean = check();
        assert_eq!((clean.code, clean.stdout.as_str()), (0, ""));
        spoil(&b);
        expect(&check(), path, word);
        drop_disk(&a);
    }
}

fn every_change_is_found_by_compare() {
    let more: &[Spoil] = &[
        (
            "link",
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                symlink("tarjet", b.join("link")).unwrap();
            },
            "target target -> tarjet",
        ),
        (
            "device",
            |b| {
                fs::remove_file(b.join("device")).unwrap();
                run(
                    "mknod",
                    [
                        b.join("device").as_os_str(),
                        "c".as_ref(),
                        "1".as_ref(),
                        "5".as_ref(),
                    ],
                );
            },
            "device 1:3 -> 1:5",
        ),
        (
            "zero",
            |b| {
                run(
                    "setfattr",
                    ["-n", "user.a", "-v", "1", b.join("zero").to_str().unwrap()],
                );
            },
            "xattr none -> user.a",
        ),
        (
            "zero",
            |b| {
                run("setfacl", ["-m", "u:7:r", b.join("zero").to_str().unwrap()]);
            },
            "xattr none -> system.posix_acl_access",
        ),
    ];
    for (path, spoil, word) in SPOILS.iter().chain(more) {
        let [a, b] = twins();
        let compare = || {
            checksumdir([
                OsStr::new("--xattrs"),
                "--compare".as_ref(),
                a.as_ref(),
                b.as_ref(),
            ])
        };
        let clean = compare();
        assert_eq!((clean.code, clean.stdout.as_str()), (0, ""));
        spoil(&b);
        expect(&compare(), path, word);
        drop_disk(&a);
    }
}

/// Exactly one difference, about this path (its directory's time aside), with this word.
fn expect(said: &Said, path: &str, word: &str) {
    assert_eq!(said.code, 4, "{path} {word}: {}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{path} {word}: {lines:?}");
    let (what, rest) = lines[0].split_at(9);
    assert!(rest.starts_with(path), "{path}: {rest}");
    assert!(
        what.trim() == word || rest.contains(word),
        "{word}: {lines:?}"
    );
}

fn drop_disk(tree: &Path) {
    run("umount", [tree.parent().unwrap()]);
}

fn altered_lists_are_not_trusted() {
    let tree = here().join("tree");
    fs::create_dir(&tree).unwrap();
    put(&tree, b"file", b"1");
    let out = here();
    let write = || {
        assert_eq!(
            checksumdir([OsStr::new("-o"), out.as_ref(), tree.as_ref()]).code,
            0
        );
    };
    let check = |file: &str| checksumdir([OsStr::new("--check"), out.join(file).as_ref()]);
    for file in ["tree.ls", "tree.files"] {
        write();
        assert_eq!(check("tree.sha256sum").code, 0);
        flip(&out.join(file), 1);
        let said = check("tree.sha256sum");
        assert_eq!(said.code, 4, "{}", said.stderr);
        assert!(said.stderr.contains(file), "{}", said.stderr);
        fs::remove_file(out.join(file)).unwrap();
        assert_eq!(check("tree.sha256sum").code, 1);
    }
    write();
    let whole = fs::read(out.join("tree.files")).unwrap();
    put(&out, b"tree.files", &whole[..whole.len() - 1]);
    let said = check("tree.files");
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("line 1"), "{}", said.stderr);
    put(&out, b"tree.sha256sum", b"");
    assert_eq!(check("tree.sha256sum").code, 1);
}

fn unreadable_is_never_the_same() {
    let tree = locked();
    let other = here().join("other");
    run("cp", [OsStr::new("-a"), tree.as_ref(), other.as_ref()]);
    let said = checksumdir([OsStr::new("-o"), here().as_ref(), tree.as_ref()]);
    assert_eq!(said.code, 0, "root reads everything: {}", said.stderr);
    let sums = here().join("tree.sha256sum");
    let check = as_nobody(&["--check".as_ref(), sums.as_ref(), tree.as_ref()]);
    assert_eq!((check.code, check.stdout.as_str()), (1, ""));
    let compare = as_nobody(&["--compare".as_ref(), tree.as_ref(), other.as_ref()]);
    assert_eq!((compare.code, compare.stdout.as_str()), (1, ""));
    assert!(
        compare.stderr.contains("secret: Permission denied"),
        "{}",
        compare.stderr
    );
    let said = checksumdir([OsStr::new("--compare"), tree.as_ref(), other.as_ref()]);
    assert_eq!(said.code, 0);
    let gone = here().join("gone");
    let said = checksumdir([OsStr::new("--compare"), tree.as_ref(), gone.as_ref()]);
    assert_eq!(said.code, 1);
}

fn lists_from_another_order() {
    let tree = here().join("tree");
    fs::create_dir(&tree).unwrap();
    hostile_names(&tree);
    for name in ["ls", "files"] {
        let list = format!("--stdout={name}");
        let said = output(Command::new(binary("checksumdir")).arg(list).arg(&tree));
        let mut lines: Vec<&[u8]> = said.stdout.split_inclusive(|&b| b == b'\n').collect();
        lines.reverse();
        put(&here(), format!("tree.{name}").as_bytes(), &lines.concat());
    }
    let check = || {
        checksumdir([
            OsStr::new("--check"),
            here().join("tree.files").as_ref(),
            here().join("tree.ls").as_ref(),
        ])
    };
    let said = check();
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    keeping_time(&path(&tree, b"both\n\\\r"), |f| {
        fs::write(f, "other").unwrap();
    });
    let said = check();
    assert_eq!(said.code, 4);
    assert_eq!(said.stdout, "changed  both\\n\\\\\\u{d}: content\n");
}

fn hostile_names(tree: &Path) {
    for name in NAMES {
        put(tree, name, name);
    }
}

fn standard_output_and_json() {
    let [a, b] = twins();
    let out = here().join("out");
    fs::create_dir(&out).unwrap();
    let said = checksumdir([
        OsStr::new("--json"),
        "-o".as_ref(),
        out.as_ref(),
        a.as_ref(),
    ]);
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said.stdout.lines().count(), 1);
    assert_eq!(
        (&json["version"], &json["trees"][0]["files"]),
        (&1.into(), &6.into())
    );
    let sum = run("sha256sum", [out.join("a.ls")]);
    assert_eq!(json["trees"][0]["sha256"]["ls"], sum[..64]);
    let all = checksumdir([OsStr::new("--stdout"), a.as_ref()]).stdout;
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(all, read("a.ls") + &read("a.files") + &read("a.sha256sum"));
    fs::write(b.join("file"), "x").unwrap();
    let said = checksumdir([
        OsStr::new("--json"),
        "--compare".as_ref(),
        a.as_ref(),
        b.as_ref(),
    ]);
    assert_eq!(said.code, 4);
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["same"], false);
    assert_eq!(json["differences"][0]["path"], "file");
    assert_eq!(json["differences"][0]["what"], "changed");
    assert_eq!(json["differences"][0]["changes"][1]["aspect"], "size");
    let silent = checksumdir([
        OsStr::new("-qq"),
        "--compare".as_ref(),
        a.as_ref(),
        b.as_ref(),
    ]);
    assert_eq!((silent.code, silent.stdout.as_str()), (4, ""));
    let Outcome {
        differences,
        errors,
    } = compare_trees(&a, &b, &Options::default(), &Progress::default()).unwrap();
    assert!(errors.is_empty());
    let What::Changed(changes) = &differences[0].what else {
        panic!("{differences:?}")
    };
    let aspects: Vec<Aspect> = changes.iter().map(|change| change.aspect).collect();
    assert_eq!(aspects, [Aspect::Content, Aspect::Size, Aspect::Time]);
}

/// Pages of a file that are in the page cache.
fn cached(path: &Path) -> u64 {
    let words = [
        OsStr::new("-b"),
        "-n".as_ref(),
        "-o".as_ref(),
        "PAGES".as_ref(),
        path.as_ref(),
    ];
    run("fincore", words).trim().parse().unwrap()
}

fn the_page_cache_stays_as_it_was() {
    let disk = btrfs("disk", 512);
    let tree = disk.join("tree");
    fs::create_dir(&tree).unwrap();
    for name in ["warm", "cold"] {
        fs::write(tree.join(name), vec![1; 80 << 20]).unwrap();
    }
    run("sync", ["-f", tree.to_str().unwrap()]);
    for name in ["warm", "cold"] {
        let file = format!("if={}", tree.join(name).display());
        run("dd", [&file, "iflag=nocache", "count=0", "status=none"]);
    }
    assert_eq!(cached(&tree.join("cold")), 0, "the test's own preparation");
    fs::read(tree.join("warm")).unwrap();
    let before = cached(&tree.join("warm"));
    let said = checksumdir([OsStr::new("--stdout"), tree.as_ref()]);
    assert_eq!(said.code, 0);
    let release = run("uname", ["-r"]);
    let mut numbers = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(5)) {
        skip("this kernel does not tell what is cached");
    }
    // The kernel itself lets go of a page now and then.
    assert!(cached(&tree.join("warm")) > before * 9 / 10);
    assert_eq!(cached(&tree.join("cold")), 0);
}

fn usage() {
    let cases: &[&[&str]] = &[
        &[],
        &["--compare", "a"],
        &["--check"],
        &["--nonsense", "a"],
        &["-j", "0", "a"],
        &["-j"],
        &["--json", "--stdout", "a"],
        &["-o", ".", "--stdout", "a"],
        &["--stdout=nonsense", "a"],
        &["--check", "--compare", "a", "b"],
        &["--check", "a.x", "b"],
        &["--check", "-o", "x", "a.ls"],
        &["/"],
    ];
    for words in cases {
        let said = checksumdir(*words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert_eq!(said.stdout, "");
        assert!(said.stderr.starts_with("checksumdir: "), "{}", said.stderr);
    }
    assert_eq!(checksumdir(["--help"]).code, 0);
    assert!(checksumdir(["-V"]).stdout.starts_with("checksumdir 1."));
    assert_eq!(checksumdir(["/nonexistent"]).code, 1);
}
