//! Deleting what the source does not have, where several sources share a destination: near, far and in a
//! bucket, and from sources of every kind.

use crate::bucket::Bucket;
use crate::runner::Test;
use crate::servers::shared;
use crate::sshd::{self, Sshd, far};
use crate::subvolumes::{snapshot, subvolume};
use crate::support::{Said, btrfs, run};
use crate::tests;
use serde_json::Value;
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    sources_share_a_directory,
    sources_share_a_far_directory,
    what_was_received_is_a_source_too,
];

pub(crate) const BUCKETS: &[Test] = tests![sources_share_a_bucket, a_bucket_is_a_source_too];

/// `roots/` with two snapshots of one subvolume, and `homes/` with two of another.
fn sources() -> (String, String) {
    let a = btrfs("a", 512);
    for (name, letter) in [("root", 'r'), ("home", 'h')] {
        subvolume(&a.join(name));
        let snaps = a.join(format!("{name}s"));
        std::fs::create_dir(&snaps).unwrap();
        for number in 1..=2 {
            std::fs::write(a.join(name).join("file"), format!("{letter}{number}")).unwrap();
            snapshot(&a.join(name), &snaps.join(format!("{letter}{number}")));
        }
    }
    (slash(&a.join("roots")), slash(&a.join("homes")))
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

fn delete(dir: &str, name: &str) {
    let path = Path::new(dir).join(name);
    run("btrfs", ["subvolume", "delete", path.to_str().unwrap()]);
}

fn near(words: &[&str]) -> Said {
    sshd::buttersink(words)
}

type Run<'a> = &'a dyn Fn(&[&str]) -> Said;

#[track_caller]
fn names(run: Run, place: &str) -> Vec<String> {
    let listing: Value = serde_json::from_str(&run(&["--json", place]).stdout).unwrap();
    let rows = listing["snapshots"].as_array().unwrap().iter();
    rows.map(|row| row["path"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn fine(run: Run, words: &[&str]) -> Value {
    let said = run(&[&["--json"], words].concat());
    assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
    serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap()
}

/// Two sources bring what they have, and the first has let one go since.
#[track_caller]
fn each_deletes_its_own(run: Run, (roots, homes): (&str, &str), there: &str) {
    fine(run, &[roots, there]);
    fine(run, &[homes, there]);
    assert_eq!(names(run, there), ["h1", "h2", "r1", "r2"]);
    let gone = |word: &str| fine(run, &["-d", word, there]);
    // What is wished for still is there: nothing goes.
    for source in [roots, homes] {
        assert_eq!(
            (gone(source)["deleted"].clone(), names(run, there).len()),
            (0.into(), 4)
        );
    }
}

#[track_caller]
fn one_goes(run: Run, source: &str, there: &str) {
    let planned = fine(run, &["-n", "-d", source, there]);
    assert_eq!(planned["strangers"], 2, "{planned}");
    let all = planned["obstacles"].as_array().unwrap().iter();
    let named = all.filter(|o| {
        o["what"]
            .as_str()
            .unwrap()
            .contains("and so not deleted: 2")
    });
    assert_eq!(named.count(), 1, "{planned}");
    let done = fine(run, &["-d", source, there]);
    assert_eq!(
        (&done["deleted"], &done["strangers"]),
        (&1.into(), &2.into())
    );
    assert_eq!(names(run, there), ["h1", "h2", "r1"]);
}

fn sources_share_a_directory() {
    let (roots, homes) = sources();
    let there = slash(&btrfs("b", 512));
    each_deletes_its_own(&near, (&roots, &homes), &there);
    delete(&roots, "r2");
    one_goes(&near, &roots, &there);
}

fn sources_share_a_far_directory() {
    let _sshd = Sshd::start();
    let (roots, homes) = sources();
    let there = far(&btrfs("b", 512)).into_string().unwrap();
    each_deletes_its_own(&near, (&roots, &homes), &there);
    // From far to near as well.
    let far_roots = far(Path::new(&roots)).into_string().unwrap();
    let to = slash(&btrfs("c", 512));
    each_deletes_its_own(&near, (&far_roots, &homes), &to);
    delete(&roots, "r2");
    one_goes(&near, &roots, &there);
    one_goes(&near, &far_roots, &to);
}

fn what_was_received_is_a_source_too() {
    let (roots, homes) = sources();
    let (copy, there) = (slash(&btrfs("b", 512)), slash(&btrfs("c", 512)));
    fine(&near, &[&roots, &copy]);
    each_deletes_its_own(&near, (&copy, &homes), &there);
    delete(&copy, "r2");
    one_goes(&near, &copy, &there);
}

fn sources_share_a_bucket() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let (roots, homes) = sources();
    let there = bucket.url("all/");
    let run = |words: &[&str]| bucket.run(words);
    each_deletes_its_own(&run, (&roots, &homes), &there);
    delete(&roots, "r2");
    one_goes(&run, &roots, &there);
}

fn a_bucket_is_a_source_too() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let (roots, homes) = sources();
    let (copy, there) = (bucket.url("roots/"), slash(&btrfs("b", 512)));
    let run = |words: &[&str]| bucket.run(words);
    fine(&run, &[&roots, &copy]);
    each_deletes_its_own(&run, (&copy, &homes), &there);
    delete(&roots, "r2");
    fine(&run, &["-d", &roots, &copy]);
    one_goes(&run, &copy, &there);
}
