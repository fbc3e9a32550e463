//! What is said of mistakes that everybody makes, and the way out: each typed as it is typed.

use crate::kit::snapshots::same_as_kept;
use crate::runner::Test;
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::{Said, binary, btrfs, here, image, mount_image, need_btrfs, output, run};
use crate::tests;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

pub(crate) const TESTS: &[Test] = tests![
    mistakes_and_their_ways_out,
    a_missing_destination_is_made_if_asked,
    a_link_to_a_snapshot_stands_for_it,
    nested_subvolumes_are_a_count,
    who_is_not_root_is_told,
    a_damaged_file_is_named,
];

/// What a command line says, the same wherever the test runs.
fn said(words: &[&str]) -> String {
    let output = in_here(words);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let text = text.replace(here().to_str().unwrap(), "");
    let code = output.status.code().unwrap();
    format!("$ buttersink {}\n{text}exit {code}\n\n", words.join(" "))
}

fn in_here(words: &[&str]) -> Output {
    let mut command = Command::new(binary("buttersink"));
    output(command.args(words).current_dir(here()))
}

/// A filesystem with a subvolume and a snapshot of it, and an empty one.
fn scene() {
    let a = btrfs("a", 256);
    fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("home"));
    fs::write(a.join("home/file"), "content").unwrap();
    snapshot(&a.join("home"), &a.join("snaps/monday"));
    btrfs("b", 256);
}

fn mistakes_and_their_ways_out() {
    scene();
    let all: [&[&str]; 20] = [
        &["lst", "a/snaps/"],
        &["verfy", "a/snaps/"],
        &["--sekret", "a/snaps/"],
        &["help"],
        &["config", "chek"],
        &["a/snaps/", "host:/dir/"],
        &["a/snaps/", "user@host:/dir"],
        &["a/snaps/", "host:dir"],
        &["a/snaps/", "s3:/b"],
        &["a/snaps/", "ssh:/host/dir/"],
        &["file:/a/snaps/"],
        &["a/snaps/", "ftp://host/"],
        &["a/snaps/", "S3://b/"],
        &["a/snaps/", "raw:host:/dir/"],
        &["a/snaps/", "raw:"],
        &["a/snaps", "b/"],
        &["a/home", "b/"],
        &["a/snaps/", "b/none/"],
        &["a/snaps/", "raw:b/none/"],
        &["--endpoint-url", "localhost:9000", "s3://b/"],
    ];
    let all = all.map(said).concat();
    assert!(!fs::exists(here().join("b/none")).unwrap());
    same_as_kept("errors", &all);
    let same = said(&["backup", "--dry-run", "a/home", "a/"]);
    assert!(same.contains("a/ is on the filesystem of"), "{same}");
    let other = said(&["backup", "--dry-run", "a/home", "b/"]);
    assert!(!other.contains("on the filesystem of"), "{other}");
}

fn a_missing_destination_is_made_if_asked() {
    scene();
    let dry = in_here(&["-n", "--create", "a/snaps/", "b/x/y/"]);
    assert_eq!(dry.status.code(), Some(1));
    assert!(!fs::exists(here().join("b/x")).unwrap());
    for words in [
        &["--create", "a/snaps/", "b/x/y/"][..],
        &["--create", "a/snaps/", "b/x/y/"],
        &["--create", "a/snaps/", "raw:b/streams/"],
        &["backup", "--create", "a/home", "b/z/"],
    ] {
        assert_eq!(in_here(words).status.code(), Some(0), "{words:?}");
    }
    assert!(fs::exists(here().join("b/x/y/monday/file")).unwrap());
    assert!(fs::exists(here().join("b/streams")).unwrap());
    // A disk that is not there is not replaced by a directory.
    let unplugged = in_here(&["--create", "--require-mount", "a/snaps/", "/none/here/"]);
    assert_eq!(unplugged.status.code(), Some(1));
    assert!(!fs::exists("/none").unwrap());
}

fn a_link_to_a_snapshot_stands_for_it() {
    scene();
    symlink("monday", here().join("a/snaps/.latest")).unwrap();
    assert_eq!(in_here(&["a/snaps/.latest", "b/"]).status.code(), Some(0));
    assert!(fs::exists(here().join("b/monday/file")).unwrap());
    symlink("gone", here().join("a/snaps/broken")).unwrap();
    assert_eq!(in_here(&["a/snaps/broken", "b/"]).status.code(), Some(2));
}

fn nested_subvolumes_are_a_count() {
    scene();
    for name in ["n1", "n2", "n3"] {
        subvolume(&here().join("a/home").join(name));
    }
    let text = said(&["backup", "-n", "a/home", "b/"]);
    assert!(
        text.contains("not in its snapshots: n1 and 2 more\n"),
        "{text}"
    );
}

fn who_is_not_root_is_told() {
    need_btrfs();
    scene();
    let copy = here().join("buttersink");
    fs::copy(binary("buttersink"), &copy).unwrap();
    let nobody = |words: &[&str]| {
        let mut command = Command::new(&copy);
        let output = output(
            command
                .args(words)
                .current_dir(here())
                .uid(65534)
                .gid(65534),
        );
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = nobody(&["a/snaps/", "b/"]);
    assert!(
        code == Some(1) && text.contains("try: run it as root, with sudo"),
        "{text}"
    );
    let (code, text) = nobody(&["a/snaps/"]);
    assert!(
        code == Some(10) && text.contains("sudo shows all"),
        "{text}"
    );
    let (_, text) = nobody(&["-n", "a/snaps/", "b/"]);
    assert!(
        text.contains("it cannot be read by others than root"),
        "{text}"
    );
}

/// The bytes that the disk gives for it are not those that were written. The snapshot without it goes.
fn a_damaged_file_is_named() {
    let a = btrfs("a", 256);
    fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("home"));
    let lines = (0..40_000).map(|number| format!("line {number} of the file\n"));
    let text: String = lines.collect();
    fs::write(a.join("home/early"), &text[..100]).unwrap();
    fs::write(a.join("home/large"), text).unwrap();
    snapshot(&a.join("home"), &a.join("snaps/1"));
    fs::remove_file(a.join("home/large")).unwrap();
    snapshot(&a.join("home"), &a.join("snaps/2"));
    run("umount", [&a]);
    let damage = "at=$(grep -abo -m1 'line 25000 of' a.img | cut -d: -f1)
        printf damaged | dd of=a.img bs=1 seek=$at conv=notrunc status=none";
    script(&here(), damage);
    mount_image(&image("a"), "a", "");
    btrfs("b", 256);
    let said = Said::of(&in_here(&["a/snaps/", "b/"]));
    assert_eq!(said.code, 10, "{}", said.stderr);
    for words in [
        "cannot send",
        "Input/output error",
        "large in it cannot be read",
        "btrfs scrub start -B",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(here().join("b/2").exists() && !here().join("b/1").exists());
}
