//! Where a restore looks for what it builds on: the directory of the received snapshots, and the rest of its
//! filesystem.

use crate::runner::Test;
use crate::subvolumes::{alter, history, id, set_read_only};
use crate::support::{btrfs, buttersink, local_options, run};
use crate::tests;
use buttersink::snapshot::{State, Uuid};
use buttersink::store::{Access, RestoreTarget};
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    sound_copies_elsewhere_are_listed,
    only_the_original_unaltered_is_it,
];

/// `b` with an empty directory to restore into, and one with copies of 1 and 2.
fn scene() -> (PathBuf, PathBuf, [Uuid; 2]) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    let (base, other) = (b.join("base"), b.join("other"));
    for dir in [&base, &other] {
        std::fs::create_dir(dir).unwrap();
    }
    let snaps = a.join("snaps/");
    assert_eq!(
        buttersink([snaps.as_os_str(), other.join("").as_os_str()]).code,
        0
    );
    let ids = ["1", "2"].map(|name| id(&other.join(name)).parse().unwrap());
    (base, other, ids)
}

/// What is listed of these snapshots for a restore into the directory.
fn listed(base: &Path, ids: &[Uuid]) -> Vec<(PathBuf, State)> {
    let target = RestoreTarget::find(&base.join("new"), base).unwrap();
    let mut store = target
        .open(Access::Read, local_options(), ids.to_vec())
        .unwrap();
    let all = store.list().unwrap().snapshots.into_iter();
    all.map(|s| (s.path, s.state)).collect()
}

fn sound_copies_elsewhere_are_listed() {
    let (base, other, ids) = scene();
    let [one, two] = ["1", "2"].map(|name| (other.join(name), State::Ok));
    assert_eq!(listed(&base, &ids), [one, two.clone()]);
    assert_eq!(listed(&base, &ids[1..]), std::slice::from_ref(&two));
    // What is in the directory itself is not looked for elsewhere.
    let in_place: Vec<_> = listed(&other, &ids)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(in_place, ["1", "2"].map(PathBuf::from));
    alter(&other.join("1"));
    assert_eq!(listed(&base, &ids), [two]);
    set_read_only(&other.join("2"), false);
    assert_eq!(listed(&base, &ids), []);
}

fn only_the_original_unaltered_is_it() {
    let (_, other, ids) = scene();
    let is = |path: &Path, id| RestoreTarget::is_original(path, id).unwrap();
    assert!(is(&other.join("1"), ids[0]) && !is(&other.join("1"), ids[1]));
    assert!(!is(&other.join("3"), ids[0]));
    alter(&other.join("1"));
    assert!(!is(&other.join("1"), ids[0]));
    run("mv", [other.join("2"), other.join("3")]);
    assert!(is(&other.join("3"), ids[1]));
}
