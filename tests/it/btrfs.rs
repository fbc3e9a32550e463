//! The kernel boundary on real filesystems: what it lists, makes, deletes and measures, compared
//! with what btrfs-progs and the kernel's own accounting say.

use crate::runner::Test;
use crate::streams::noise;
use crate::support::*;
use crate::tests;
use buttersink::btrfs::{self as fs, Filesystem, Subvolume, Subvolumes};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, create_dir, create_dir_all, read, write};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    opening_says_what_is_wrong,
    info_is_that_of_the_tools,
    fields_are_those_of_the_tools,
    any_depth_and_any_name,
    from_a_plain_directory,
    through_subvol_mounts,
    more_subvolumes_than_a_buffer_holds,
    deleted_subvolumes_are_not_listed,
    mount_points,
    quotas_only_if_right,
    sizes_agree_with_quotas,
    making_and_deleting,
    refusals_in_words,
    received_fields,
    metadata_streams_are_those_of_the_tool,
    what_is_said_to_be_shorter_than_the_whole_is,
];

/// `btrfs subvolume create`, with the directories above it.
pub(crate) fn create(path: &Path) {
    create_dir_all(path.parent().unwrap()).unwrap();
    run(
        "btrfs",
        [OsStr::new("subvolume"), "create".as_ref(), path.as_ref()],
    );
}

/// A read-only snapshot by the tool.
pub(crate) fn snapshot(source: &Path, to: &Path) {
    create_dir_all(to.parent().unwrap()).unwrap();
    let words: [&OsStr; 5] = ["subvolume", "snapshot", "-r", "", ""].map(OsStr::new);
    run(
        "btrfs",
        [words[0], words[1], words[2], source.as_ref(), to.as_ref()],
    );
}

fn list(dir: &Path) -> Subvolumes {
    Filesystem::open(dir).unwrap().subvolumes().unwrap()
}

fn by_path<'a>(found: &'a Subvolumes, path: &str) -> &'a Subvolume {
    let mut hits = found.all.iter().filter(|s| s.path == Path::new(path));
    let hit = hits
        .next()
        .unwrap_or_else(|| panic!("no {path} in {found:#?}"));
    assert!(hits.next().is_none(), "{path} twice");
    hit
}

fn below(found: &Subvolumes) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = found.all.iter().filter_map(|s| s.below.clone()).collect();
    all.sort();
    all
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

fn opening_says_what_is_wrong() {
    let a = btrfs("a", 256);
    let said = |path: &Path| Filesystem::open(path).unwrap_err().to_string();
    assert!(said(&a.join("x")).ends_with("/a/x: No such file or directory"));
    write(a.join("f"), "").unwrap();
    assert!(said(&a.join("f")).ends_with("/a/f: is not a directory"));
    assert_eq!(
        said(Path::new("/proc")),
        "/proc: is not on btrfs (it is proc)"
    );
    create_dir(a.join("d")).unwrap();
    let error = fs::subvolume(&a.join("d")).unwrap_err().to_string();
    assert!(error.ends_with("/a/d: is not a subvolume"), "{error}");
}

fn info_is_that_of_the_tools() {
    let a = btrfs("a", 256);
    let info = Filesystem::open(&a).unwrap().info().unwrap();
    let show = run(
        "btrfs",
        ["filesystem", "show", "--raw", a.to_str().unwrap()],
    );
    assert!(show.contains(&format!("uuid: {}", info.fsid)));
    assert!(show.contains(&format!("FS bytes used {}", info.used.unwrap())));
    let device = &info.devices[..];
    assert_eq!(device.len(), 1);
    let device = &device[0];
    assert!(show.contains(&format!("size {} used {}", device.total, device.used)));
    assert!(show.contains(&format!("path {}", device.path.display())));
    assert_eq!((device.id, info.total), (1, 256 << 20));
    assert!(info.free > 0 && info.free < info.total);
    assert_eq!(info.metadata_uuid, None);
}

/// The value after `name:` in `btrfs subvolume show`.
fn shown_as(show: &str, name: &str) -> String {
    let line = show.lines().find_map(|l| l.trim().strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}"))
        .trim()
        .to_owned()
}

fn or_dash(uuid: Option<impl ToString>) -> String {
    uuid.map_or("-".to_owned(), |uuid| uuid.to_string())
}

fn compare_with_show(found: &Subvolume, path: &Path) {
    let show = run(
        "btrfs",
        [OsStr::new("subvolume"), "show".as_ref(), path.as_ref()],
    );
    let is = |name, value: String| assert_eq!(shown_as(&show, name), value, "{name}");
    is("UUID:", found.uuid.to_string());
    is("Parent UUID:", or_dash(found.parent_uuid));
    is("Received UUID:", or_dash(found.received_uuid));
    is("Subvolume ID:", found.id.to_string());
    is("Generation:", found.generation.to_string());
    is("Gen at creation:", found.otransid.to_string());
    is("Parent ID:", found.parent_id.to_string());
    is("Send transid:", found.stransid.to_string());
    is("Receive transid:", found.rtransid.to_string());
    assert_eq!(
        shown_as(&show, "Flags:").contains("readonly"),
        found.read_only
    );
    let created = Command::new("date")
        .args(["+%s", "-d", &shown_as(&show, "Creation time:")])
        .output()
        .unwrap();
    let created = String::from_utf8(created.stdout).unwrap();
    assert_eq!(found.created, Some(created.trim().parse().unwrap()));
}

fn fields_are_those_of_the_tools() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    create(&a.join("s"));
    write(a.join("s/f"), "one").unwrap();
    snapshot(&a.join("s"), &a.join("s1"));
    let send = format!(
        "btrfs send -q {} | btrfs receive {}",
        a.join("s1").display(),
        b.display()
    );
    run("sh", ["-c", &send]);
    for (top, names) in [(&a, &["s", "s1"][..]), (&b, &["s1"])] {
        let found = list(top);
        assert!(found.coverage == fs::Coverage::Whole && found.notes.is_empty());
        assert_eq!(found.all.len(), names.len() + 1, "and the top");
        assert_eq!(found.all[0].id, 5);
        for name in names {
            let one = by_path(&found, name);
            compare_with_show(one, &top.join(name));
            // A reading of one subvolume says the same of it.
            let alone = fs::subvolume(&top.join(name)).unwrap();
            let expected = Subvolume {
                path: PathBuf::new(),
                below: None,
                tree_bytes: 0,
                level: 0,
                ..one.clone()
            };
            assert_eq!(alone, expected);
            assert_eq!(one.tree_bytes, 16384);
        }
    }
    let received = fs::subvolume(&b.join("s1")).unwrap();
    let sent = fs::subvolume(&a.join("s1")).unwrap();
    assert_eq!(received.received_uuid, Some(sent.uuid));
    assert_eq!(received.stransid, sent.ctransid);
    assert_eq!(
        sent.parent_uuid,
        Some(fs::subvolume(&a.join("s")).unwrap().uuid)
    );
}

fn any_depth_and_any_name() {
    let a = btrfs("a", 256);
    let odd = OsStr::from_bytes(b"n\xff\n \\x");
    create(&a.join("home"));
    create(&a.join("home/deep/er").join(odd).join("sub"));
    create(&a.join("home/deep/er").join(odd).join("sub/in/sub2"));
    let long = OsStr::from_bytes(&[b'l'; 255]);
    create(&a.join(long));
    for n in 1..=12 {
        snapshot(
            &a.join("home"),
            &a.join(format!("home/.snapshots/{n}/snapshot")),
        );
    }
    let found = list(&a);
    let mut expected = vec![
        PathBuf::new(),
        "home".into(),
        Path::new("home/deep/er").join(odd).join("sub"),
        Path::new("home/deep/er").join(odd).join("sub/in/sub2"),
        long.into(),
    ];
    expected.extend((1..=12).map(|n| format!("home/.snapshots/{n}/snapshot").into()));
    expected.sort();
    assert_eq!(below(&found), expected);
    assert!(found.all.iter().all(|s| s.below.as_ref() == Some(&s.path)));
    assert!(by_path(&found, "home/.snapshots/12/snapshot").read_only);
}

fn from_a_plain_directory() {
    let a = btrfs("a", 256);
    create(&a.join("home"));
    create(&a.join("home/x/y/sub"));
    create(&a.join("home/x/other"));
    create(&a.join("home/xx/no"));
    let found = list(&a.join("home/x"));
    assert_eq!(below(&found), paths(&["other", "y/sub"]));
    assert_eq!(found.all.len(), 5);
    assert_eq!(by_path(&found, "home/xx/no").below, None);
    // The directory itself, if it is a subvolume.
    assert_eq!(below(&list(&a.join("home/x/y/sub"))), paths(&[""]));
    // The kernel's stand-in for a nested subvolume in a snapshot is no place to start from.
    snapshot(&a.join("home"), &a.join("snap"));
    let error = Filesystem::open(&a.join("snap/x/other")).unwrap_err();
    assert!(error.said.contains("in place of a subvolume"), "{error}");
}

fn through_subvol_mounts() {
    let a = btrfs("a", 256);
    create(&a.join("home"));
    create(&a.join("home/d/sub"));
    create(&a.join("else"));
    let device = run("findmnt", ["-n", "-o", "SOURCE", a.to_str().unwrap()]);
    let at = here().join("at");
    create_dir(&at).unwrap();
    run(
        "mount",
        [
            OsStr::new("-o"),
            "subvol=home".as_ref(),
            device.trim().as_ref(),
            at.as_ref(),
        ],
    );
    let found = list(&at);
    assert_eq!(below(&found), paths(&["", "d/sub"]));
    assert_eq!(by_path(&found, "home/d/sub").below, Some("d/sub".into()));
    assert_eq!(by_path(&found, "else").below, None);
    assert_eq!(below(&list(&at.join("d"))), paths(&["sub"]));
}

fn more_subvolumes_than_a_buffer_holds() {
    let a = btrfs("a", 1024);
    create(&a.join("s"));
    let names: Vec<String> = (0..700).map(|n| format!("{n:04}")).collect();
    for name in &names {
        fs::create_snapshot(&a.join("s"), &a, name.as_ref(), true).unwrap();
    }
    let found = list(&a);
    assert_eq!(found.all.len(), 702);
    let tool = run("btrfs", ["subvolume", "list", "-puqR", a.to_str().unwrap()]);
    let ours: Vec<String> = found.all[1..]
        .iter()
        .map(|s| {
            let (id, generation, parent) = (s.id, s.generation, s.parent_id);
            let (origin, received) = (or_dash(s.parent_uuid), or_dash(s.received_uuid));
            let path = s.path.display();
            format!(
                "ID {id} gen {generation} parent {parent} top level {parent} parent_uuid \
                 {origin:<36} received_uuid {received:<36} uuid {} path {path}",
                s.uuid
            )
        })
        .collect();
    assert_eq!(ours, tool.lines().collect::<Vec<_>>());
}

fn deleted_subvolumes_are_not_listed() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    create(&a.join("t"));
    // Held open, it stays in the tree of tree roots.
    let held = File::open(a.join("s")).unwrap();
    delete(&a.join("s")).unwrap();
    assert_eq!(below(&list(&a)), paths(&["", "t"]));
    drop(held);
}

fn mount_points() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    create_dir(a.join("s/dir")).unwrap();
    let device = run("findmnt", ["-n", "-o", "SOURCE", a.to_str().unwrap()]);
    // Not a name that is not UTF-8: other programs on the machine may choke on it meanwhile.
    let odd = here().join("m \n\\040\t\u{e9}");
    let bound = here().join("bound");
    create_dir(&odd).unwrap();
    create_dir(&bound).unwrap();
    run(
        "mount",
        [
            OsStr::new("-o"),
            "subvol=s".as_ref(),
            device.trim().as_ref(),
            odd.as_ref(),
        ],
    );
    run(
        "mount",
        [
            OsStr::new("--bind"),
            a.join("s/dir").as_ref(),
            bound.as_ref(),
        ],
    );
    let other = btrfs("b", 256);
    let id = fs::subvolume(&a.join("s")).unwrap().id;
    // Whichever way in, the mounts are those of the filesystem, and of no other.
    for dir in [&a, &odd, &bound] {
        let mounts = Filesystem::open(dir).unwrap().mounts().unwrap();
        let mut mounts: Vec<_> = mounts
            .iter()
            .map(|m| (&m.at, m.subvolume, m.whole))
            .collect();
        mounts.sort();
        let mut expected = vec![
            (&a, Some(5), true),
            (&bound, Some(id), false),
            (&odd, Some(id), true),
        ];
        expected.sort();
        assert_eq!(mounts, expected);
    }
    assert_eq!(Filesystem::open(&other).unwrap().mounts().unwrap().len(), 1);
}

fn sizes_known(dir: &Path) -> bool {
    let found = list(dir);
    let known = found.all.iter().filter(|s| s.referenced.is_some()).count();
    assert!(known == 0 || known == found.all.len());
    assert!(
        found
            .all
            .iter()
            .all(|s| s.referenced.is_some() == s.exclusive.is_some())
    );
    known > 0
}

fn quotas_only_if_right() {
    let a = btrfs("a", 256);
    let top = a.to_str().unwrap();
    create(&a.join("s"));
    write(a.join("s/f"), vec![1; 1 << 20]).unwrap();
    assert!(!sizes_known(&a), "off");
    assert!(run("btrfs", ["subvolume", "list", top]).contains("path s"));
    let quotas = Command::new("btrfs")
        .args(["qgroup", "show", top])
        .output()
        .unwrap();
    assert!(!quotas.status.success(), "listing must not turn quotas on");
    run("btrfs", ["quota", "enable", top]);
    run("btrfs", ["quota", "rescan", "-w", top]);
    run("sync", ["-f", top]);
    assert!(sizes_known(&a), "on");
    let found = list(&a);
    let s = by_path(&found, "s");
    assert_eq!(s.referenced, Some((1 << 20) + 16384));
    // Assigning a group that has exclusive extents to another makes the numbers doubtful.
    run("btrfs", ["qgroup", "create", "1/1", top]);
    snapshot(&a.join("s"), &a.join("s1"));
    run("sync", ["-f", top]);
    output(Command::new("btrfs").args(["qgroup", "assign", "--no-rescan", "0/5", "1/1", top]));
    let inherit: [&OsStr; 6] = [
        OsStr::new("subvolume"),
        "snapshot".as_ref(),
        "-i".as_ref(),
        "1/1".as_ref(),
        OsStr::new("s"),
        OsStr::new("s2"),
    ];
    output(Command::new("btrfs").args(inherit).current_dir(&a));
    run("sync", ["-f", top]);
    let fsid = Filesystem::open(&a).unwrap().fsid().unwrap();
    let flag = format!("/sys/fs/btrfs/{fsid}/qgroups/inconsistent");
    assert_eq!(
        std::fs::read_to_string(flag).unwrap(),
        "1\n",
        "the test's own premise"
    );
    assert!(!sizes_known(&a), "inconsistent");
    run("btrfs", ["quota", "disable", top]);
    assert!(!sizes_known(&a), "off again");
}

/// `cp --reflink`
fn reflink(from: &Path, to: &Path) {
    run(
        "cp",
        [OsStr::new("--reflink=always"), from.as_ref(), to.as_ref()],
    );
}

fn sizes_agree_with_quotas() {
    for (name, options) in [("plain", ""), ("zstd", "compress-force=zstd")] {
        let a = btrfs_with(name, 512, &[], options);
        let top = a.to_str().unwrap();
        run("btrfs", ["quota", "enable", top]);
        create(&a.join("s"));
        fill(&a.join("s"));
        run("sync", ["-f", top]);
        snapshot(&a.join("s"), &a.join("s1"));
        rewrite(&a.join("s"));
        run("sync", ["-f", top]);
        snapshot(&a.join("s"), &a.join("s2"));
        std::fs::remove_file(a.join("s/own")).unwrap();
        create(&a.join("t"));
        reflink(&a.join("s1/big"), &a.join("t/big"));
        run("sync", ["-f", top]);
        run("btrfs", ["quota", "rescan", "-w", top]);
        compare_with_quotas(&a);
    }
}

fn fill(s: &Path) {
    write(s.join("big"), noise(1, 3 << 20)).unwrap();
    write(s.join("own"), noise(2, 1 << 20)).unwrap();
    write(s.join("text"), "compressible ".repeat(200_000)).unwrap();
    for n in 0..400 {
        write(s.join(format!("inline{n}")), noise(n, 900)).unwrap();
    }
    let sparse = File::create(s.join("sparse")).unwrap();
    sparse.write_all_at(&noise(3, 64 << 10), 10 << 20).unwrap();
    sparse.set_len(50 << 20).unwrap();
    run(
        "fallocate",
        [OsStr::new("-l"), "2M".as_ref(), s.join("prealloc").as_ref()],
    );
    run(
        "fallocate",
        [OsStr::new("-l"), "2M".as_ref(), s.join("half").as_ref()],
    );
    let half = File::options().write(true).open(s.join("half")).unwrap();
    half.write_all_at(&noise(4, 256 << 10), 512 << 10).unwrap();
}

fn rewrite(s: &Path) {
    run("sync", ["-f", s.to_str().unwrap()]);
    // The middle of an extent that the snapshot keeps.
    let big = File::options().write(true).open(s.join("big")).unwrap();
    big.write_all_at(&noise(5, 256 << 10), 1 << 20).unwrap();
    big.sync_all().unwrap();
    write(s.join("own"), noise(6, 1 << 20)).unwrap();
    reflink(&s.join("big"), &s.join("copy"));
    let text = File::options().write(true).open(s.join("text")).unwrap();
    text.write_all_at(&noise(7, 8 << 10), 100 << 10).unwrap();
}

/// The kernel counts tree nodes too, in whole; the rest must be equal.
fn compare_with_quotas(top: &Path) {
    let filesystem = Filesystem::open(top).unwrap();
    let found = filesystem.subvolumes().unwrap();
    let usage = filesystem.usage_by_extents(&found.all).unwrap().usage;
    let node = u64::from(filesystem.info().unwrap().nodesize);
    for s in &found.all {
        let ours = usage[&s.id];
        let trees = s.referenced.expect("quotas are right") - ours.referenced;
        println!("{s:?}\n{ours:?}, trees {trees}");
        assert_eq!(
            trees, s.tree_bytes,
            "{:?}: all of its tree, and nothing else",
            s.path
        );
        let own = s.exclusive.unwrap().checked_sub(ours.exclusive);
        let own = own.unwrap_or_else(|| panic!("{:?}: more exclusive data than there is", s.path));
        assert_eq!(own % node, 0, "{:?}: whole nodes", s.path);
        assert!(
            own <= s.tree_bytes,
            "{:?}: no more nodes than its tree has",
            s.path
        );
    }
    let by_path: HashMap<_, _> = found
        .all
        .iter()
        .map(|s| (s.path.as_path(), usage[&s.id]))
        .collect();
    assert!(
        by_path[Path::new("s1")].exclusive >= 1 << 20,
        "its old 'own'"
    );
    assert!(by_path[Path::new("t")].referenced >= 3 << 20);
    assert_eq!(by_path[Path::new("t")].exclusive, 0);
}

fn making_and_deleting() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    write(a.join("s/f"), "content").unwrap();
    let long = OsStr::from_bytes(&[0xfe; 255]);
    for name in [OsStr::new("ro"), OsStr::from_bytes(b"\xff\n"), long] {
        fs::create_snapshot(&a.join("s"), &a, name, true).unwrap();
        assert_eq!(read(a.join(name).join("f")).unwrap(), b"content");
        assert!(fs::is_read_only(&a.join(name)).unwrap());
        assert!(fs::subvolume(&a.join(name)).unwrap().read_only);
        delete(&a.join(name)).unwrap();
        assert!(!a.join(name).exists());
    }
    fs::create_snapshot(&a.join("s"), &a, "rw".as_ref(), false).unwrap();
    assert!(!fs::is_read_only(&a.join("rw")).unwrap());
    write(a.join("rw/g"), "").unwrap();
    fs::set_read_only(&a.join("rw"), true).unwrap();
    assert!(fs::subvolume(&a.join("rw")).unwrap().read_only);
    assert!(write(a.join("rw/h"), "").is_err());
    fs::set_read_only(&a.join("rw"), false).unwrap();
    write(a.join("rw/h"), "").unwrap();
}

fn refusals_in_words() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    create(&a.join("s"));
    create(&a.join("t"));
    create(&a.join("s/nested"));
    create_dir(a.join("plain")).unwrap();
    let refused = |result: buttersink::error::Result<()>, words: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            error.doing.starts_with("cannot ") || error.doing.contains("/a/"),
            "{error}"
        );
    };
    refused(delete(&a.join("s")), "delete them first");
    refused(delete(&a.join("none")), "No such file");
    refused(delete(&a.join("plain")), "not a subvolume");
    let (path, id) = (a.join("s"), fs::subvolume(&a.join("t")).unwrap().id);
    fs::delete_subvolume(&path, id).unwrap();
    assert!(
        path.exists() && !a.join("t").exists(),
        "it is the number that counts"
    );
    refused(fs::delete_subvolume(&path, id), "No such file");
    run(
        "btrfs",
        [
            "subvolume",
            "set-default",
            a.join("s/nested").to_str().unwrap(),
        ],
    );
    refused(delete(&a.join("s/nested")), "default subvolume");
    let make = |source: &Path, dir: &Path, name: &str| {
        fs::create_snapshot(source, dir, name.as_ref(), true)
    };
    refused(make(&a.join("s"), &a, "plain"), "the name is taken");
    refused(make(&a.join("s"), &b, "x"), "another filesystem");
    refused(make(&a.join("plain"), &a, "x"), "is not a subvolume");
    for name in ["", ".", "..", "x/y", "/x"] {
        refused(make(&a.join("s"), &a, name), "not a name");
    }
    for name in ["x".repeat(256), "x\0y".to_owned()] {
        refused(make(&a.join("s"), &a, &name), "longer than 255 bytes");
    }
    swap_file(&a);
    refused(make(&a.join("swap"), &a, "x"), "swapoff");
    run("swapoff", [a.join("swap/file")]);
    make(&a.join("swap"), &a, "x").unwrap();
}

fn delete(path: &Path) -> buttersink::error::Result<()> {
    fs::delete_subvolume(path, fs::subvolume(path)?.id)
}

fn swap_file(a: &Path) {
    create(&a.join("swap"));
    let file = a.join("swap/file");
    File::create(&file).unwrap();
    run("chattr", [OsStr::new("+C"), file.as_ref()]);
    run(
        "fallocate",
        [OsStr::new("-l"), "4M".as_ref(), file.as_ref()],
    );
    run("chmod", [OsStr::new("600"), file.as_ref()]);
    run("mkswap", [&file]);
    run("swapon", [&file]);
}

fn received_fields() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    let uuid: buttersink::snapshot::Uuid = "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1".parse().unwrap();
    fs::set_received(&a.join("s"), uuid, 4711).unwrap();
    let s = fs::subvolume(&a.join("s")).unwrap();
    assert_eq!((s.received_uuid, s.stransid), (Some(uuid), 4711));
    assert!(s.rtransid > 0);
    fs::set_read_only(&a.join("s"), true).unwrap();
    let error = fs::set_received(&a.join("s"), uuid, 1).unwrap_err();
    assert!(error.said.contains("read-only already"), "{error}");
    let received = |from| fs::received_from(File::open(&a).unwrap().as_fd(), from).unwrap();
    assert_eq!(received(uuid), [s.id]);
    assert!(received(s.uuid).is_empty());
    // A snapshot has it too, and what is deleted has it no more.
    snapshot(&a.join("s"), &a.join("t"));
    assert_eq!(received(uuid).len(), 2);
    fs::delete_subvolume(&a.join("s"), s.id).unwrap();
    assert_eq!(received(uuid), [fs::subvolume(&a.join("t")).unwrap().id]);
}

/// Our metadata-only stream.
fn metadata_stream(of: &Path, parent: Option<&Path>) -> Vec<u8> {
    let parent = parent.map(|parent| fs::root_id(File::open(parent).unwrap().as_fd()).unwrap());
    let (reader, writer) = buttersink::sys::pipe().unwrap();
    let of = File::open(of).unwrap();
    let sender = std::thread::spawn(move || fs::send_metadata(&of, parent, &[], writer.as_fd()));
    let mut stream = Vec::new();
    File::from(reader).read_to_end(&mut stream).unwrap();
    sender.join().unwrap().unwrap();
    stream
}

fn metadata_streams_are_those_of_the_tool() {
    let a = btrfs("a", 512);
    create(&a.join("s"));
    fill(&a.join("s"));
    snapshot(&a.join("s"), &a.join("s1"));
    rewrite(&a.join("s"));
    snapshot(&a.join("s"), &a.join("s2"));
    let (s1, s2) = (a.join("s1"), a.join("s2"));
    let tool = |words: &[&OsStr]| {
        let file = here().join("stream");
        let mut command = Command::new("btrfs");
        command
            .args(["send", "-q", "--no-data", "-f"])
            .arg(&file)
            .args(words);
        assert!(output(&mut command).status.success());
        read(file).unwrap()
    };
    let whole = metadata_stream(&s1, None);
    assert!(whole.len() > 10_000);
    assert_eq!(whole, tool(&[s1.as_ref()]));
    let diff = metadata_stream(&s2, Some(&s1));
    assert_eq!(diff, tool(&["-p".as_ref(), s1.as_ref(), s2.as_ref()]));
    assert!(diff.len() < whole.len());
    // A read-write subvolume is refused.
    let (_reader, writer) = buttersink::sys::pipe().unwrap();
    let error = fs::send_metadata(&File::open(a.join("s")).unwrap(), None, &[], writer.as_fd());
    assert_eq!(
        error.unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
    assert!(fs::highest_send_protocol() >= 1);
}

/// How long the stream is that the tool makes.
fn sent(snapshot: &Path, parent: Option<&Path>) -> u64 {
    let mut command = Command::new("btrfs");
    command.args(["send", "-q"]);
    command.args(
        parent
            .into_iter()
            .flat_map(|p| ["-p".as_ref(), p.as_os_str()]),
    );
    let done = command.arg(snapshot).output().unwrap();
    assert!(done.status.success());
    done.stdout.len() as u64
}

/// What is said of the second of two snapshots, between which `change` is done; and how long the tool's
/// streams of it are, as a difference and whole.
fn bounded(name: &str, change: &str) -> (Option<u64>, u64, u64) {
    let a = btrfs(name, 512);
    let make = "btrfs -q subvolume create live; mkdir live/d; head -c 20M /dev/urandom | split -b 6000 -a 4 - live/d/f; \
                head -c 30M /dev/urandom >live/large; btrfs -q subvolume snapshot -r live 1";
    crate::subvolumes::script(&a, make);
    crate::subvolumes::script(
        &a,
        &format!("{change}; btrfs -q subvolume snapshot -r live 2; sync -f ."),
    );
    let (first, second) = (a.join("1"), a.join("2"));
    let (then, deleted) = (fs::subvolume(&first).unwrap(), &list(&a));
    let deleted = by_path(deleted, "1").tree_bytes;
    assert!(deleted > 1 << 20, "{deleted}");
    let file = File::open(&second).unwrap();
    let said = fs::less_than_whole(file.as_fd(), then.otransid, deleted).unwrap();
    (said, sent(&second, Some(&first)), sent(&second, None))
}

fn what_is_said_to_be_shorter_than_the_whole_is() {
    // A few files written, renamed, linked and removed: what it comes to is said about right.
    let (said, change, whole) = bounded(
        "a",
        "for i in live/d/*a; do head -c 6000 /dev/urandom >$i; done; mv live/d/faaab live/x; ln live/x live/y; rm live/d/*b",
    );
    let about = said.unwrap();
    assert!(
        change < whole && about > change / 2 && about < change * 2,
        "{about} {change} {whole}"
    );
    // The zeros of a hole are sent in a difference, and nothing of it in the whole.
    let (said, change, whole) = bounded("b", "rm -r live/d; fallocate -p -o 0 -l 30M live/large");
    assert!(
        said.is_none() && change > whole,
        "{said:?} {change} {whole}"
    );
    // So much that nobody can tell without measuring it.
    let (said, ..) = bounded(
        "c",
        "for i in live/d/*; do head -c 6000 /dev/urandom >$i; done; head -c 30M /dev/urandom >live/large",
    );
    assert_eq!(said, None);
}
