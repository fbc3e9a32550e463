//! What checks and comparisons find, and what they do not claim.

use super::*;
use buttersink::checksum::{
    Aspect, ChecksumOptions, Difference, TreeComparison, What, WorkCounters, compare_trees,
};
use std::fs::OpenOptions;

pub(super) const TESTS: &[Test] = tests![
    every_change_is_found_by_check,
    every_change_is_found_by_compare,
    altered_lists_are_not_trusted,
    unreadable_is_never_the_same,
    lists_from_another_order,
    stubs_can_be_passed_over,
    standard_output_and_json,
];

/// A small tree.
fn plant(tree: &Path) {
    fs::create_dir_all(tree.join("dir/sub")).unwrap();
    for name in [
        &b"file"[..],
        b"dir/x",
        b"dir/sub/new\nline",
        b"zero",
        b"dir-x",
    ] {
        put(tree, name, b"some content");
    }
    symlink("target", tree.join("link")).unwrap();
    let device = tree.join("device");
    let words = [device.as_os_str(), "c".as_ref(), "1".as_ref(), "3".as_ref()];
    run("mknod", words);
}

/// Two trees that are the same in every respect, with a small one in each for every spoil: `00`
/// and so on. One to spoil in it gets a file that is large enough to be read by other rules.
fn twins<'s>(spoils: impl Iterator<Item = &'s Spoil>) -> [PathBuf; 2] {
    let disk = btrfs("disk", 256);
    let [a, b] = [disk.join("a"), disk.join("b")];
    for (i, (path, ..)) in spoils.enumerate() {
        let tree = a.join(format!("{i:02}"));
        plant(&tree);
        if *path == "large" {
            let large = File::create(tree.join("large")).unwrap();
            large.set_len(9 << 20).unwrap();
        }
    }
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
        |b| fs::hard_link(b.join("dir-x"), b.join("../../one more name")).unwrap(),
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

/// Further ones, that lists do not tell.
const MORE: &[Spoil] = &[
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

/// Spoils each small tree below `tree` in another way, and nothing besides.
fn spoil_each<'s>(tree: &Path, spoils: impl Iterator<Item = &'s Spoil>) {
    for (i, (_, spoil, _)) in spoils.enumerate() {
        keeping_time(&tree.join(format!("{i:02}")), spoil);
    }
}

/// Exactly one difference in each small tree: about this path, and with this word.
fn expect<'s>(said: &Said, spoils: impl Iterator<Item = &'s Spoil>) {
    assert_eq!(said.code, 4, "{}", said.stderr);
    let mut lines = said.stdout.lines();
    for (i, (path, _, word)) in spoils.enumerate() {
        let line = lines.next().unwrap_or_default();
        let (what, rest) = line.split_at_checked(9).unwrap_or_default();
        let start = format!("{i:02}/{path}");
        let after = rest.strip_prefix(start.as_str());
        let after = after.unwrap_or_else(|| panic!("{start} {word}: {line:?}"));
        assert!(after.is_empty() || after.starts_with(": "), "{line}");
        assert!(
            what.trim() == *word || after.contains(word),
            "{word}: {line}"
        );
    }
    assert_eq!(lines.next(), None);
}

fn every_change_is_found_by_check() {
    let [_, b] = twins(SPOILS.iter());
    let said = checksumdir([OsStr::new("-o"), here().as_ref(), b.as_ref()]);
    assert_eq!(said.code, 0);
    let sums = here().join("b.sha256sum");
    let check = || checksumdir([OsStr::new("--check"), sums.as_ref(), b.as_ref()]);
    let clean = check();
    assert_eq!((clean.code, clean.stdout.as_str()), (0, ""));
    spoil_each(&b, SPOILS.iter());
    expect(&check(), SPOILS.iter());
}

fn every_change_is_found_by_compare() {
    let spoils = || SPOILS.iter().chain(MORE);
    let [a, b] = twins(spoils());
    let words: [&OsStr; 4] = [
        "--xattrs".as_ref(),
        "--compare".as_ref(),
        a.as_ref(),
        b.as_ref(),
    ];
    let clean = checksumdir(words);
    assert_eq!((clean.code, clean.stdout.as_str()), (0, ""));
    spoil_each(&b, spoils());
    expect(&checksumdir(words), spoils());
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

/// Where a snapshot was taken, a nested subvolume is an empty directory with inode 2; a received
/// copy of the snapshot has nothing there.
fn stubs_can_be_passed_over() {
    let disk = btrfs("disk", 256);
    let [source, snapshot, copy] = ["source", "snapshot", "copy"].map(|name| disk.join(name));
    let subvolume = |words: &[&OsStr]| {
        run("btrfs", [&[OsStr::new("subvolume")], words].concat());
    };
    subvolume(&["create".as_ref(), source.as_ref()]);
    for name in ["dir", "dir/plain", "empty"] {
        fs::create_dir(source.join(name)).unwrap();
    }
    subvolume(&["create".as_ref(), source.join("dir/nested").as_ref()]);
    put(&source, b"dir/nested/file", b"stays behind");
    let words = ["snapshot", "-r"].map(OsStr::new);
    subvolume(&[&words[..], &[source.as_ref(), snapshot.as_ref()]].concat());
    let stub = fs::metadata(snapshot.join("dir/nested")).unwrap();
    assert_eq!(stub.ino(), 2);
    run("cp", [OsStr::new("-a"), snapshot.as_ref(), copy.as_ref()]);
    keeping_time(&copy.join("dir"), |dir| {
        fs::remove_dir(dir.join("nested")).unwrap();
    });
    let paths = |ignore_stubs: bool| {
        let options = ChecksumOptions {
            ignore_stubs,
            ..ChecksumOptions::default()
        };
        let found = compare_trees(&snapshot, &copy, &options, &WorkCounters::default()).unwrap();
        assert!(found.errors.is_empty());
        let path = |difference: &Difference| difference.path.to_str().unwrap().to_owned();
        found.differences.iter().map(path).collect::<Vec<_>>()
    };
    assert_eq!(paths(false), ["dir/nested"]);
    assert_eq!(paths(true), [""; 0]);
    // Only stubs: an ordinary directory that is empty is missed.
    fs::remove_dir(copy.join("empty")).unwrap();
    assert_eq!(paths(true), ["empty"]);
}

fn standard_output_and_json() {
    let disk = here();
    let [a, b] = [disk.join("a"), disk.join("b")];
    plant(&a);
    run("cp", [OsStr::new("-a"), a.as_ref(), b.as_ref()]);
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
        (&2.into(), &5.into())
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
    let TreeComparison {
        differences,
        errors,
        ..
    } = compare_trees(
        &a,
        &b,
        &ChecksumOptions::default(),
        &WorkCounters::default(),
    )
    .unwrap();
    assert!(errors.is_empty());
    let What::Changed(changes) = &differences[0].what else {
        panic!("{differences:?}")
    };
    let aspects: Vec<Aspect> = changes.iter().map(|change| change.aspect).collect();
    assert_eq!(aspects, [Aspect::Content, Aspect::Size, Aspect::Time]);
}
