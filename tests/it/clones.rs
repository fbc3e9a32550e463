//! Clone sources: what a diff between filesystems takes of other snapshots than its parent, and what it does
//! not.

use crate::contract::{find, put};
use crate::origin::far;
use crate::runner::Test;
use crate::subvolumes::{alter, script, snapshot, subvolume};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::error::Kind;
use buttersink::snapshot::{Diff, Size};
use buttersink::store::bucket::DiffStore;
use buttersink::store::local::{Local, LocalOptions};
use buttersink::store::{Access, ReceiveWith, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    data_of_several_subvolumes_is_not_sent_again,
    it_is_not_sent_again_through_a_server,
    what_was_altered_is_no_clone_source,
    only_what_is_in_the_directory_is_a_clone_source,
    no_stream_with_clone_sources_is_stored,
    what_cannot_be_cloned_is_sent,
];

/// `a/snaps` with `one` and `two`, which `b` has; then `both`, with data of either, which it has not.
fn scene(way: &str) -> (PathBuf, PathBuf) {
    let (a, b) = ["a", "b"]
        .map(|side| btrfs(&format!("{side}-{way}"), 512))
        .into();
    std::fs::create_dir(a.join("snaps")).unwrap();
    for name in ["one", "two"] {
        subvolume(&a.join(format!("live-{name}")));
        script(
            &a,
            &format!("mkdir live-{name}/d; head -c 20M /dev/urandom >live-{name}/{name}"),
        );
        snapshot(&a.join(format!("live-{name}")), &a.join("snaps").join(name));
    }
    sync(&a.join("snaps"), &b, &["--receive-with", way]);
    script(
        &a,
        "btrfs -q subvolume create live; cp --reflink=always live-one/one live-two/two live; echo own >live/own",
    );
    snapshot(&a.join("live"), &a.join("snaps/both"));
    (a.join("snaps"), b)
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

#[track_caller]
fn sync(from: &Path, to: &Path, more: &[&str]) -> Said {
    let (from, to) = (slash(from), slash(to));
    let said = buttersink([&from[..], &to].iter().chain(more));
    assert_eq!(said.code, 0, "{}", said.stderr);
    said
}

/// The step of a plan that sends `both`, as scripts see it.
fn planned(from: &str, to: &str, more: &[&str]) -> Value {
    let said = buttersink([from, to, "-n", "--json"].iter().chain(more));
    assert_eq!(said.code, 0, "{}", said.stderr);
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let both = steps.iter().find(|step| step["path"] == "both");
    both.unwrap().clone()
}

fn data_of_several_subvolumes_is_not_sent_again() {
    for way in ["builtin", "btrfs"] {
        let (a, b) = scene(way);
        let step = planned(&slash(&a), &slash(&b), &[]);
        assert_eq!(step["clones"].as_array().unwrap().len(), 1, "{step}");
        assert!(step["bytes"].as_u64().unwrap() < 10_000, "{step}");
        let said = sync(&a, &b, &["--json", "--receive-with", way]).stdout;
        let sent = format!("\"received_bytes\":{}", step["bytes"]);
        assert!(said.contains(&sent), "{said}");
        for name in ["one", "two", "both"] {
            assert_same(&a.join(name), &b.join(name));
        }
        assert!(!in_quarantine(&b));
        let left = std::fs::read_dir(&b).unwrap().count();
        assert_eq!(left, 4, "three snapshots, and what is remembered");
    }
}

/// To a server and from one; what the far side has that is not in the directory is no clone source.
fn it_is_not_sent_again_through_a_server() {
    let (a, b) = scene("builtin");
    let far = far("k");
    let with = ["--ssh-command", far.to_str().unwrap(), "--remote-sudo="];
    let url = |dir: &Path| format!("ssh://far{}", slash(dir));
    let step = planned(&slash(&a), &url(&b), &with);
    assert!(step["bytes"].as_u64().unwrap() < 10_000, "{step}");
    let fine = |from: &str, to: &str| {
        let said = buttersink([from, to].iter().chain(&with));
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stdout
    };
    let said = fine(&slash(&a), &url(&b));
    assert!(said.contains("with data of "), "{said}");
    assert_same(&a.join("both"), &b.join("both"));
    // And back, to where only the two are.
    let c = btrfs("c", 512);
    let said = buttersink([&slash(&a), &slash(&c), "--exclude", "both"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = fine(&url(&b), &slash(&c));
    assert!(said.contains("with data of "), "{said}");
    assert_same(&a.join("both"), &c.join("both"));
    // What lies beside the directory is none of the peer's.
    script(&b, "mkdir in; btrfs -q subvolume delete both");
    let step = planned(
        &slash(&a),
        &url(&b.join("in")),
        &[&with[..], &["--exclude", "one"]].concat(),
    );
    assert!(step["bytes"].as_u64().unwrap() > 20 << 20, "{step}");
}

fn what_was_altered_is_no_clone_source() {
    let (a, b) = scene("builtin");
    let before = planned(&slash(&a), &slash(&b), &[]);
    alter(&b.join("one"));
    let step = planned(&slash(&a), &slash(&b), &["--exclude", "one"]);
    assert_eq!(step["clones"], Value::Array(Vec::new()), "{step}");
    assert_ne!(step["bytes"], before["bytes"]);
    // Here it was altered after it was looked for.
    let (mut source, mut dest) = (open(&a, Access::Read), open(&b, Access::Append));
    let (here, _) = (source.list().unwrap(), dest.list().unwrap());
    let diff = |clone: &str| Diff {
        to: find(&here, "both").id(),
        from: None,
        size: Size::Unknown,
        clones: vec![find(&here, clone).id()],
    };
    let error = dest
        .receive(&diff("one"), Path::new("both"))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind, Kind::Unreceivable, "{error}");
    assert!(
        error.said.contains("its clone source one was altered"),
        "{error}"
    );
    let measured = |source: &mut Local, diff: Diff| {
        let mut sizes = source.measure(std::slice::from_ref(&diff)).unwrap();
        sizes.remove(&diff.key()).unwrap().refused
    };
    assert_eq!(measured(&mut source, diff("two")), None);
    alter(&a.join("two"));
    let refused = measured(&mut source, diff("two")).unwrap();
    assert!(refused.contains("altered since it was listed"), "{refused}");
    let error = source.send(&diff("two")).map(drop).unwrap_err();
    assert_eq!(error.kind, Kind::Unreceivable, "{error}");
}

fn open(dir: &Path, access: Access) -> Local {
    let options = LocalOptions {
        receive_with: Some(ReceiveWith::Builtin),
        ..local_options()
    };
    Local::open(dir, access, options).unwrap().walled()
}

fn only_what_is_in_the_directory_is_a_clone_source() {
    let (a, b) = scene("builtin");
    std::fs::create_dir(b.join("in")).unwrap();
    let here = open(&a, Access::Read).list().unwrap();
    let diff = |clone: &str| Diff {
        to: find(&here, "both").id(),
        from: None,
        size: Size::Unknown,
        clones: vec![find(&here, clone).id()],
    };
    let mut dest = open(&b.join("in"), Access::Append);
    dest.list().unwrap();
    let error = dest
        .receive(&diff("one"), Path::new("both"))
        .map(drop)
        .unwrap_err();
    assert!(error.said.contains("is not in "), "{error}");
    std::fs::create_dir(a.join("in")).unwrap();
    script(&a, "btrfs -q subvolume snapshot -r both in/both");
    let mut source = open(&a.join("in"), Access::Read);
    let inside = source.list().unwrap();
    let stolen = Diff {
        to: inside.snapshots[0].id(),
        ..diff("one")
    };
    let error = source.send(&stolen).map(drop).unwrap_err();
    assert!(error.said.contains("no such snapshot in "), "{error}");
    let sizes = source.measure(std::slice::from_ref(&stolen)).unwrap();
    assert!(sizes[&stolen.key()].refused.is_some());
}

/// By `-n`, and whatever is asked.
fn no_stream_with_clone_sources_is_stored() {
    let (a, _) = scene("builtin");
    let raw = here().join("raw");
    std::fs::create_dir(&raw).unwrap();
    let url = format!("raw:{}", slash(&raw));
    let said = buttersink([&slash(&a), &url, "--exclude", "both"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let step = planned(&slash(&a), &url, &[]);
    assert_eq!(step["clones"], Value::Array(Vec::new()), "{step}");
    let mut store = DiffStore::in_directory(&raw, Access::Append, None).unwrap();
    let here = open(&a, Access::Read).list().unwrap();
    let diff = Diff {
        to: find(&here, "both").id(),
        from: Some(find(&here, "one").id()),
        size: Size::Unknown,
        clones: vec![find(&here, "two").id()],
    };
    let error = put(&mut store, &diff, Path::new("both"), b"")
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind, Kind::Refused, "{error}");
    assert!(error.said.contains("no clone sources"), "{error}");
}

/// Files without checksums take no data of those that have them.
fn what_cannot_be_cloned_is_sent() {
    let (a, b) = scene("builtin");
    run("mount", ["-o", "remount,nodatacow", b.to_str().unwrap()]);
    let said = sync(&a, &b, &[]);
    let words = "trying it without clone sources";
    assert!(said.stderr.contains(words), "{}", said.stderr);
    assert!(said.stdout.contains("sent both (whole"), "{}", said.stdout);
    assert_same(&a.join("both"), &b.join("both"));
}
