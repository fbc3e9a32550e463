//! checksumdir against GNU find, sha256sum and sort on hostile trees. Below: what comparisons find
//! in `changes`, and how a run behaves in `running`.

mod changes;
mod running;

use crate::runner::Test;
use crate::support::*;
use crate::tests;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

pub(crate) const TESTS: &[&[Test]] = &[OWN, changes::TESTS, running::TESTS];

const OWN: &[Test] = tests![
    classic_files_are_what_gnu_writes,
    bind_mounts_on_one_filesystem,
    a_directory_mounted_inside_itself,
    paths_longer_than_the_kernel_takes,
    unreadable_is_told_and_the_rest_goes_on,
    one_of_several_that_fails_keeps_no_other_from_it,
    refusals_write_nothing,
    a_failed_run_leaves_the_old_files,
    links_and_attributes,
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
         find . -type f -exec sha256sum '{{}}' + | sort -k 2 > \"$2/$3.files\"
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

/// A directory has the name of one of its lists.
fn one_of_several_that_fails_keeps_no_other_from_it() {
    for name in ["a", "b", "c", "out", "out/b.ls"] {
        fs::create_dir(here().join(name)).unwrap();
    }
    let dirs = ["a", "b", "c"].map(|name| here().join(name).into_os_string());
    let out = here().join("out");
    let words = ["-o".into(), out.clone().into_os_string(), "--json".into()];
    let said = checksumdir(words.iter().chain(&dirs));
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("b.ls"), "{}", said.stderr);
    for name in ["a", "c"] {
        assert!(out.join(format!("{name}.sha256sum")).exists());
        assert!(
            said.stdout.contains(&format!("\"name\":\"{name}\"")),
            "{}",
            said.stdout
        );
    }
    assert!(!out.join("b.sha256sum").exists());
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
    let version = concat!("checksumdir ", env!("CARGO_PKG_VERSION"));
    assert!(checksumdir(["-V"]).stdout.starts_with(version));
    assert_eq!(checksumdir(["/nonexistent"]).code, 1);
}
