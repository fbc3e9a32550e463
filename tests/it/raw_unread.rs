//! Directories that keep streams, of which a part cannot be read: that is one named item, what is there may be
//! anything, and the rest goes on. Something that is mounted there is what cannot be looked into.

use crate::disks::{Disk, names_below};
use crate::raw_faults::says;
use crate::runner::Test;
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use crate::targets::{Target, Way};
use crate::tree::assert_same;
use crate::two_disks::Scene;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = crate::tests![
    one_directory_of_several,
    one_file_beside_the_streams,
    what_was_torn_is_said,
    a_marker_that_cannot_be_read,
    what_cannot_be_adopted_keeps_no_other_from_it,
    an_archive_without_readable_manifests_is_not_empty,
];

/// Three snapshots in a directory, and the subvolume that they are of.
fn three() -> (PathBuf, PathBuf) {
    let a = btrfs("a", 256);
    let (live, snaps) = (a.join("live"), a.join("snaps"));
    subvolume(&live);
    std::fs::create_dir(&snaps).unwrap();
    for name in ["1", "2", "3"] {
        script(&live, &format!("echo {name} >>file"));
        snapshot(&live, &snaps.join(name));
    }
    (live, snaps.join(""))
}

/// Hides what is there, as a part of a disk does that gives nothing any more.
fn hide(path: &Path) {
    match path.is_dir() {
        true => run("mount", ["-t", "tmpfs", "none", path.to_str().unwrap()]),
        false => run("mount", ["--bind", "/dev/null", path.to_str().unwrap()]),
    };
}

fn one_directory_of_several() {
    let (_, snaps) = three();
    let b = btrfs("b", 256);
    for way in [Way::Here, Way::Server] {
        let target = Target::new(Disk::Tmpfs, way, 16);
        let (from, place) = (snaps.to_str().unwrap(), target.place());
        let gone = snaps.join(format!("gone{way:?}"));
        snapshot(&snaps.join("3"), &gone);
        // Each whole, so that the others need not what cannot be read.
        assert_eq!(target.run(&[from, &place, "--whole"]).code, 0);
        let hidden = target.dir.join("2");
        hide(&hidden);
        let listed = target.run(&["list", &place]);
        says(&listed, 10, &["streams/2: "]);
        assert!(listed.stdout.contains("3 "), "{}", listed.stdout);
        says(&target.run(&["verify", &place]), 10, &[]);
        says(&target.run(&["clean", &place]), 10, &["streams/2: "]);
        let to = b.join(format!("{way:?}/"));
        std::fs::create_dir(&to).unwrap();
        let fetched = target.run(&[&place, to.to_str().unwrap()]);
        says(&fetched, 10, &["streams/2: "]);
        for name in ["1", "3"] {
            assert_same(&snaps.join(name), &to.join(name));
        }
        assert!(!to.join("2").exists());
        // What may build on others keeps them.
        run(
            "btrfs",
            ["-q", "subvolume", "delete", gone.to_str().unwrap()],
        );
        says(&target.run(&["-d", from, &place]), 10, &["streams/2: "]);
        assert!(target.dir.join(gone.file_name().unwrap()).exists());
        run("umount", [&hidden]);
        assert_eq!(target.run(&["list", &place]).code, 0);
        assert_eq!(target.run(&[&place, to.to_str().unwrap()]).code, 0);
    }
}

/// The sizes and origins that are recorded beside a stream are not written anew over what could not be read.
fn one_file_beside_the_streams() {
    let (live, snaps) = three();
    let target = Target::new(Disk::Tmpfs, Way::Here, 16);
    let (from, place) = (snaps.to_str().unwrap(), target.place());
    assert_eq!(target.run(&[from, &place]).code, 0);
    let hints = target.dir.join("2.bs");
    let before = std::fs::read(&hints).unwrap();
    hide(&hints);
    says(&target.run(&["list", &place]), 10, &["streams/2.bs: "]);
    let words = ["adopt", "--yes", "--take-over", &place, "2", "--as"];
    let adopt = target.run(&[&words[..], &[live.to_str().unwrap()]].concat());
    assert_ne!(adopt.code, 0);
    run("umount", [&hints]);
    assert_eq!(std::fs::read(&hints).unwrap(), before);
}

/// Nobody takes half a number for a size.
fn what_was_torn_is_said() {
    let (_, snaps) = three();
    let target = Target::new(Disk::Tmpfs, Way::Here, 16);
    let (from, place) = (snaps.to_str().unwrap(), target.place());
    assert_eq!(target.run(&[from, &place]).code, 0);
    let hints = target.dir.join("2.bs");
    let text = std::fs::read_to_string(&hints).unwrap();
    std::fs::write(&hints, text.trim_end()).unwrap();
    says(
        &target.run(&["list", &place]),
        0,
        &["2.bs: its last line has no end, and does not count"],
    );
    std::fs::write(&hints, text).unwrap();
    let whole = target.run(&["list", &place]);
    assert!(!whole.stderr.contains("no end"), "{}", whole.stderr);
}

/// It says how names are made: without it, nothing is listed, and nothing is begun anew.
fn a_marker_that_cannot_be_read() {
    let (_, snaps) = three();
    for way in [Way::Here, Way::Server] {
        let target = Target::new(Disk::Tmpfs, way, 16);
        let (from, place) = (snaps.to_str().unwrap(), target.place());
        assert_eq!(target.run(&[from, &place]).code, 0);
        let marker = target.dir.join(".buttersink-raw");
        let (text, before) = (std::fs::read(&marker).unwrap(), names_below(&target.dir));
        let refused = |words: &str| {
            for line in [
                &["list", &place][..],
                &["-d", from, &place],
                &["clean", &place],
            ] {
                says(&target.run(line), 1, &[words]);
            }
            assert_eq!(names_below(&target.dir), before);
        };
        hide(&marker);
        refused("its .buttersink-raw cannot be read");
        run("umount", [&marker]);
        std::fs::remove_file(&marker).unwrap();
        std::fs::create_dir(&marker).unwrap();
        refused("its .buttersink-raw cannot be read");
        std::fs::remove_dir(&marker).unwrap();
        std::fs::write(&marker, text).unwrap();
        assert_eq!(target.run(&["list", &place]).code, 0);
    }
}

fn what_cannot_be_adopted_keeps_no_other_from_it() {
    let (live, snaps) = three();
    let target = Target::new(Disk::Tmpfs, Way::Here, 16);
    let (from, place) = (snaps.to_str().unwrap(), target.place());
    assert_eq!(target.run(&[from, &place]).code, 0);
    for name in ["1", "2", "3"] {
        for file in [".bs", ".bs.meta"] {
            std::fs::remove_file(target.dir.join(format!("{name}{file}"))).unwrap();
        }
    }
    // What is to be written there has no place.
    std::fs::create_dir(target.dir.join("2.bs")).unwrap();
    let words = ["adopt", "--yes", &place, "--as", live.to_str().unwrap()];
    let said = target.run(&words);
    says(&said, 10, &["streams/2.bs"]);
    for name in ["1", "3"] {
        let hints = std::fs::read_to_string(target.dir.join(format!("{name}.bs"))).unwrap();
        assert!(hints.contains("origin"), "{hints}");
    }
    std::fs::remove_dir(target.dir.join("2.bs")).unwrap();
    assert_eq!(target.run(&words).code, 0);
}

/// No full backup is due for ever since nobody can read the one that is there.
fn an_archive_without_readable_manifests_is_not_empty() {
    let streams = here().join("streams");
    std::fs::create_dir(&streams).unwrap();
    let scene = Scene::new(&format!(
        "schedule = {{ full_every_days = 6, incremental_every_days = 1 }}\n\
         [[subvolume]]\npath = 'FROM/home'\n[[destination]]\nkind = 'archive'\nname = 'near'\nlocation = 'raw:{}/'\n",
        streams.display()
    ));
    let file = scene.config.to_str().unwrap();
    let run_with = |words: &[&str]| buttersink(words.iter().chain(&["--config", file]));
    assert_eq!(run_with(&["backup"]).code, 0);
    let full = streams.join("subvol/home/full");
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let mut all = full.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let manifest = all.find(is_manifest).unwrap();
    for hidden in [manifest, full] {
        hide(&hidden);
        let checked = buttersink(["config", "check", file]);
        let words = "no backup that can be read";
        assert!(checked.stdout.contains(words), "{}", checked.stdout);
        let done = run_with(&["backup", "--once"]);
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains("cannot read"), "{}", done.stderr);
        run("umount", [&hidden]);
    }
    assert_eq!(run_with(&["backup", "--once"]).code, 0);
}
