//! What the destination copies within its filesystem instead of receiving it once more, and what it
//! does not.

use crate::runner::Test;
use crate::subvolumes::{alter, history, script, shown, snapshot};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::event::Event;
use buttersink::plan::{Action, Wish};
use buttersink::store::local::Local;
use buttersink::store::{Access, Store};
use buttersink::sync::{carry_out, make_plan};
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    the_same_snapshots_in_another_directory,
    copies_are_relatives_when_the_originals_are_gone,
    what_only_claims_to_be_it_is_not_copied,
    a_copy_that_cannot_be_made_is_sent,
];

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

#[track_caller]
fn sync(from: &Path, to: &Path, more: &[&str]) -> String {
    let (from, to) = (slash(from), slash(to));
    let said = buttersink([&from[..], &to].iter().chain(more));
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.stdout
}

fn directory(at: PathBuf) -> PathBuf {
    std::fs::create_dir(&at).unwrap();
    at
}

/// `a/snaps` with 1 and 2, and `b` with two directories.
fn places() -> (PathBuf, PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    let (one, two) = (directory(b.join("one")), directory(b.join("two")));
    (a, one, two)
}

fn the_same_snapshots_in_another_directory() {
    let (a, one, two) = places();
    sync(&a.join("snaps"), &one, &[]);
    let plan = sync(&a.join("snaps"), &two, &["-n"]);
    let said = sync(&a.join("snaps"), &two, &[]);
    for name in ["1", "2"] {
        let original = one.join(name);
        let way = format!("(from {}, on the same filesystem)", original.display());
        assert!(plan.contains(&format!("copy    {name}  {way}")), "{plan}");
        assert!(said.contains(&format!("copied {name} {way}")), "{said}");
        assert_same(&a.join("snaps").join(name), &two.join(name));
        assert_eq!(
            shown(&two.join(name), "Parent UUID"),
            shown(&original, "UUID")
        );
        let of = |dir: &Path| shown(&dir.join(name), "Received UUID");
        assert_eq!(of(&two), of(&one));
    }
    assert!(said.ends_with("2 snapshots copied\n"), "{said}");
    assert!(sync(&a.join("snaps"), &two, &[]).contains("nothing sent; 2 already there"));
    assert!(!sync(&two, &two, &[]).contains("unsealed"));
    // What comes next is built on a copy as on any other.
    script(&a.join("live"), "echo more >>log");
    snapshot(&a.join("live"), &a.join("snaps/3"));
    let said = sync(&a.join("snaps"), &two, &[]);
    assert!(said.contains("sent 3 (from 2)"), "{said}");
    assert_eq!(
        shown(&two.join("3"), "Parent UUID"),
        shown(&two.join("2"), "UUID")
    );
    // Who wants it whole gets extents of its own.
    let three = directory(two.join("../three"));
    assert!(sync(&a.join("snaps"), &three, &["--whole"]).contains("sent 1 (whole"));
}

fn copies_are_relatives_when_the_originals_are_gone() {
    let (a, one, _) = places();
    let new = directory(a.join("new"));
    sync(&a.join("snaps"), &new, &[]);
    sync(&a.join("snaps"), &one, &[]);
    script(
        &a,
        "btrfs -q subvolume delete snaps/*; echo more >>live/log",
    );
    snapshot(&a.join("live"), &new.join("3"));
    let said = sync(&new, &one, &[]);
    assert!(said.contains("sent 3 (from 2)"), "{said}");
    assert_same(&new.join("3"), &one.join("3"));
}

/// Anybody can give a subvolume of theirs any received UUID, and who has altered a copy may not say so.
fn what_only_claims_to_be_it_is_not_copied() {
    let (a, one, two) = places();
    sync(&a.join("snaps"), &one, &["--exclude", "2"]);
    alter(&one.join("1"));
    let id = shown(&a.join("snaps/2"), "UUID");
    script(
        &one,
        "btrfs -q subvolume create x; echo theirs >x/f; btrfs -q subvolume snapshot -r x 2; btrfs -q subvolume delete x",
    );
    crate::subvolumes::set_read_only(&one.join("2"), false);
    buttersink::btrfs::set_received(&one.join("2"), id.parse().unwrap(), 7).unwrap();
    crate::subvolumes::set_read_only(&one.join("2"), true);
    let said = sync(&a.join("snaps"), &two, &[]);
    assert!(
        !said.contains("copied") && said.contains("2 snapshots sent"),
        "{said}"
    );
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &two.join(name));
    }
}

fn open(dir: &Path, access: Access) -> Local {
    Local::open(dir, access, local_options()).unwrap()
}

fn a_copy_that_cannot_be_made_is_sent() {
    let (a, one, two) = places();
    sync(&a.join("snaps"), &one, &[]);
    let mut source = open(&a.join("snaps"), Access::Read);
    let mut dest = open(&two, Access::Append);
    let here = source.list().unwrap();
    dest.look_for(here.ids());
    let there = dest.list().unwrap();
    let wish = Wish::default();
    let plan = make_plan(&mut source, &here, &there, &wish, &mut |_| {}).unwrap();
    assert_eq!(plan.copies().count(), 2);
    alter(&one.join("1"));
    let mut instead = 0;
    let mut hear = |event| instead += usize::from(matches!(event, Event::Instead(_)));
    let done = carry_out(&plan, &here, &wish, &mut source, &mut dest, &mut hear).unwrap();
    assert_eq!((done.sent, done.copied, done.failed, instead), (1, 1, 0, 1));
    assert!(plan.steps.iter().all(|step| step.action == Action::Copy));
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &two.join(name));
    }
}
