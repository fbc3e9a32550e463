//! One-shot backups on real filesystems: weeks of them, several destinations, what the old program
//! left, kills, locks, retention and the way back.

use crate::runner::Test;
use crate::s3::options;
use crate::servers::shared;
use crate::subvolumes::{EVERYTHING, alter, script, shown as field, snapshot, subvolume};
use crate::support::{
    Said, binary, btrfs, buttersink, here, image, in_quarantine, local_options, mount_image,
    output, program, run,
};
use crate::tests;
use crate::tree::differences;
use buttersink::backup::names::oneshot_time;
use buttersink::backup::oneshot::{self, BackupOrder};
use buttersink::backup::retention::Policy;
use buttersink::event::Event;
use buttersink::plan::Wish;
use buttersink::s3::S3Options;
use buttersink::store::remote::ssh;
use buttersink::store::{self, Access, Place, StoreOptions};
use buttersink::sync;
use jiff::{ToSpan, Zoned};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    the_first_and_the_next,
    weeks_of_backups,
    only_changes_make_snapshots,
    a_missing_destination_fails_alone,
    a_full_destination_fails_alone,
    no_destination_no_snapshot,
    what_was_missed_is_sent_later,
    the_old_programs_directories_continue,
    killed_in_the_middle,
    a_second_run_is_refused,
    the_latest_only,
    counts_at_both_ends,
    strangers_are_left_alone,
    prefixes_and_folders,
    a_dry_run_changes_nothing,
    results_as_json,
    what_is_not_in_the_snapshot_is_named,
    an_unplugged_disk_is_not_replaced,
    restored_and_continued,
    one_snapshot_comes_back,
    an_altered_latest_is_no_parent,
    the_units_capabilities_suffice,
    an_old_snapshot_has_rotted,
    a_bucket_keeps_what_is_built_upon,
    configuration_is_checked,
    local_time_or_utc,
    a_signal_ends_it_and_the_next_run_goes_on,
];

/// A leaf with contents of files that belongs to the oldest snapshot alone is overwritten on the disk, in both of its copies.
const ROT: &str = "
    set -- a/home/snapshot/2*
    old=$(btrfs inspect-internal rootid $1); new=$(btrfs inspect-internal rootid $2)
    live=$(btrfs inspect-internal rootid a/home); umount a
    leaves() { for i; do btrfs inspect-internal dump-tree -t $i $IMAGE | awk '/^leaf/{at=$2} /EXTENT_DATA/{print at}'; done | sort -u; }
    at=$(comm -23 <(leaves $old) <(leaves $new $live) | sed -n 2p)
    btrfs-map-logical -l $at $IMAGE | awk '/mirror/{for(i=1;i<=NF;i++) if($i==\"physical\") print $(i+1)}' |
    while read byte; do
        dd if=/dev/urandom of=$IMAGE bs=4096 count=4 seek=$((byte/4096)) conv=notrunc status=none
    done";

/// What is there already is not needed, and cannot be read any more: today's state arrives.
fn an_old_snapshot_has_rotted() {
    let (home, b) = scene();
    let long = "for i in {1..400}; do echo $i >$(printf 'x-%0200d' $i); done";
    script(&home, long);
    ok(&[], &home, &[&b]);
    std::thread::sleep(Duration::from_millis(1100));
    script(&home, "for i in x-*; do mv $i y${i#x}; done");
    ok(&[], &home, &[&b]);
    let disk = image("a");
    script(&here(), &format!("IMAGE={}{ROT}", disk.display()));
    mount_image(&disk, "a", "");
    let old = script(
        &home,
        "cat snapshot/2*/x-* >/dev/null 2>&1 && echo sound || echo rotten",
    );
    assert_eq!(old, "rotten\n");
    the_sizes_of_the_others_are_shown(&here().join("a"));
    std::fs::write(home.join("today"), "today").unwrap();
    ok(&[], &home, &[&b]);
    let newest = script(&b, "cat 2*/today");
    assert_eq!(newest, "today");
}

/// One that cannot be read is named, and what is exclusive is not known of any then.
fn the_sizes_of_the_others_are_shown(top: &Path) {
    let said = program("btrfslist", ["--sizes", "--json", top.to_str().unwrap()]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    let named = "cannot read the extents of subvolume";
    assert_eq!(said.stderr.matches(named).count(), 1, "{}", said.stderr);
    let shown: Value = serde_json::from_str(&said.stdout).unwrap();
    let all = shown["subvolumes"].as_array().unwrap();
    let known = |what| all.iter().filter(|s| !s[what].is_null()).count();
    assert_eq!(known("exclusive_bytes"), 0);
    assert_eq!(known("total_bytes"), all.len() - 1);
}

/// A subvolume with files on one filesystem, and a directory on another.
fn scene() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let home = a.join("home");
    subvolume(&home);
    script(
        &home,
        "head -c 300000 /dev/urandom >big; mkdir d; echo 1 >d/small",
    );
    (home, b)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `buttersink backup OPTIONS… SUBVOLUME DEST…`
fn backup(options: &[&str], home: &Path, dests: &[&Path]) -> Said {
    let dests: Vec<&str> = dests.iter().map(|dest| text(dest)).collect();
    buttersink([&["backup"], options, &[text(home)], &dests[..]].concat())
}

#[track_caller]
fn ok(options: &[&str], home: &Path, dests: &[&Path]) -> Said {
    let said = backup(options, home, dests);
    assert_eq!(said.code, 0);
    said
}

/// The names of subvolumes that look like backups, in order.
fn names(dir: &Path) -> Vec<String> {
    let entries = dir.read_dir().unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| !n.starts_with('.')).collect();
    names.sort();
    names
}

fn latest(home: &Path) -> String {
    let link = std::fs::read_link(home.join("snapshot/.latest")).unwrap();
    link.to_str().unwrap().to_owned()
}

/// Panics unless both are the same, but for the empty directories that stand in the original for the
/// snapshots beside it.
#[track_caller]
fn same(ours: &Path, theirs: &Path) {
    let mut found = differences(ours, theirs);
    found.retain(|line| !line.ends_with("only in the first") || !line.starts_with("\"snapshot/2"));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every snapshot that both sides have is the same on both, and the link leads to the newest.
#[track_caller]
fn sound(home: &Path, dest: &Path) {
    let (ours, theirs) = (names(&home.join("snapshot")), names(dest));
    assert_eq!(ours.last(), theirs.last());
    assert_eq!(Some(&latest(home)), ours.last());
    for name in ours.iter().filter(|name| theirs.contains(name)) {
        same(&home.join("snapshot").join(name), &dest.join(name));
    }
}

fn write(home: &Path, words: &str) {
    script(
        home,
        &format!("echo {words} >>d/small; head -c 10000 /dev/urandom >new"),
    );
}

/// Snapshots have seconds in their names.
fn a_moment() {
    std::thread::sleep(Duration::from_millis(1100));
}

fn store_options() -> StoreOptions {
    StoreOptions {
        bwlimit: None,
        local: local_options(),
        ssh: ssh::SshOptions::default(),
        s3: S3Options::default(),
    }
}

fn order(home: &Path, dests: &[&Path]) -> BackupOrder {
    BackupOrder {
        destinations: dests
            .iter()
            .map(|dest| Place::Local((*dest).into()))
            .collect(),
        max_chain: 30,
        ..BackupOrder::of(home.as_os_str())
    }
}

fn the_first_and_the_next() {
    let (home, b) = scene();
    let said = ok(&[], &home, &[&b]);
    assert!(said.stdout.contains("made the snapshot"), "{}", said.stdout);
    assert!(said.stdout.contains("whole"), "{}", said.stdout);
    let first = names(&b);
    assert_eq!(first.len(), 1);
    let (date, time) = first[0].split_once('-').unwrap();
    assert_eq!((date.len(), time.len()), (8, 6), "{first:?}");
    a_moment();
    write(&home, "2");
    ok(&[], &home, &[&b]);
    let both = names(&b);
    assert_eq!(both.len(), 2);
    assert_eq!(
        field(&b.join(&both[1]), "Parent UUID"),
        field(&b.join(&both[0]), "UUID")
    );
    sound(&home, &b);
}

/// Three weeks with two destinations, one of which is away for some days, under policies.
fn weeks_of_backups() {
    let (home, b) = scene();
    let c = btrfs("c", 512);
    let (near, far) = (b.join("near"), c.join("far"));
    std::fs::create_dir(&near).unwrap();
    std::fs::create_dir(&far).unwrap();
    let mut now: Zoned = "2026-10-12T08:00:00[Europe/Berlin]".parse().unwrap();
    let both = BackupOrder {
        source_keeps: Policy {
            newest: Some(2),
            ..Policy::default()
        },
        dest_keeps: Policy::parse("4d 2w").unwrap(),
        ..order(&home, &[&near, &far])
    };
    for day in 0..21 {
        write(&home, &format!("day {day}"));
        let away = (9..13).contains(&day);
        let elsewhere = c.join("elsewhere");
        if away {
            std::fs::rename(&far, &elsewhere).unwrap();
        }
        let done = oneshot::run(&both, &store_options(), &now, &mut |event| {
            println!("{day}: {event:?}");
        });
        if away {
            std::fs::rename(&elsewhere, &far).unwrap();
            assert_eq!(done.unwrap_err().exit_code(), 10);
            assert_eq!(
                names(&home.join("snapshot")).len(),
                2 + day - 8,
                "nothing goes at the source"
            );
        } else {
            done.unwrap();
            assert!(names(&home.join("snapshot")).len() <= 2);
            sound(&home, &near);
            sound(&home, &far);
        }
        now = now.checked_add(1.day()).unwrap();
    }
    // The last four days, and the last of the week before them.
    let expected =
        ["20261025", "20261030", "20261031", "20261101"].map(|date| format!("{date}-080000"));
    let expected = [
        &expected[..1],
        &["20261029-080000".to_owned()],
        &expected[1..],
    ]
    .concat();
    assert_eq!(names(&near), expected);
    assert_eq!(names(&far), expected);
}

fn only_changes_make_snapshots() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    a_moment();
    // Reading is no change.
    script(&home, "cat d/small; ls -R . >/dev/null; sync -f .");
    let said = ok(&[], &home, &[&b]);
    assert!(
        said.stdout.contains("nothing changed since"),
        "{}",
        said.stdout
    );
    assert_eq!(names(&b).len(), 1);
    for (number, change) in [
        "chmod 700 d",
        "mv big bigger",
        "rm bigger",
        "setfattr -n user.x -v y d/small",
        "printf X | dd of=d/small conv=notrunc status=none",
        "ln d/small hard",
    ]
    .iter()
    .enumerate()
    {
        a_moment();
        script(&home, change);
        ok(&[], &home, &[&b]);
        assert_eq!(names(&b).len(), number + 2, "{change}");
    }
    a_moment();
    let said = ok(&["--always"], &home, &[&b]);
    assert!(said.stdout.contains("--always"));
    assert_eq!(names(&b).len(), 8);
    sound(&home, &b);
}

fn a_missing_destination_fails_alone() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    a_moment();
    write(&home, "2");
    let gone = b.join("gone");
    let said = backup(&["--latest-only"], &home, &[&gone, &b]);
    assert_eq!(said.code, 10);
    assert!(
        said.stderr.contains("gone: No such file or directory"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("1 of 2 destinations failed"),
        "{}",
        said.stderr
    );
    assert_eq!(names(&b).len(), 2, "the other one is done");
    assert_eq!(
        names(&home.join("snapshot")).len(),
        2,
        "nothing is deleted at the source"
    );
    assert_eq!(latest(&home), names(&b)[0], "the link waits for all");
    ok(&["--latest-only"], &home, &[&b]);
    assert_eq!(names(&home.join("snapshot")).len(), 1);
    sound(&home, &b);
}

fn a_full_destination_fails_alone() {
    let (home, b) = scene();
    let small = btrfs("small", 112);
    script(&home, "head -c 150M /dev/urandom >huge");
    let said = backup(&["--latest-only"], &home, &[&small, &b]);
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("space"), "{}", said.stderr);
    assert_eq!(names(&b).len(), 1);
    assert_eq!(names(&small), [""; 0]);
    script(&home, "rm huge");
    a_moment();
    ok(&["--latest-only"], &home, &[&small, &b]);
    sound(&home, &b);
    sound(&home, &small);
}

fn no_destination_no_snapshot() {
    let (home, b) = scene();
    let said = backup(&[], &home, &[&b.join("gone")]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("gone"), "{}", said.stderr);
    assert_eq!(names(&home.join("snapshot")), [""; 0]);
}

fn what_was_missed_is_sent_later() {
    let (home, b) = scene();
    let c = btrfs("c", 512);
    ok(&[], &home, &[&b, &c]);
    for number in 2..=3 {
        a_moment();
        write(&home, &number.to_string());
        ok(&[], &home, &[&b]);
    }
    script(&b, &format!("btrfs -q subvolume delete {}", names(&b)[1]));
    a_moment();
    write(&home, "4");
    ok(&[], &home, &[&b, &c]);
    assert_eq!(
        names(&c),
        names(&home.join("snapshot")),
        "all that were missed"
    );
    assert_eq!(names(&b).len(), 3, "what was deleted there stays away");
    sound(&home, &c);
    sound(&home, &b);
}

/// What btrfs-backup.py left: a link, names, nothing else.
fn the_old_programs_directories_continue() {
    let (home, b) = scene();
    let snaps = home.join("snapshot");
    std::fs::create_dir(&snaps).unwrap();
    for (number, name) in ["20150102-030405", "20150103-030405"].iter().enumerate() {
        write(&home, &number.to_string());
        snapshot(&home, &snaps.join(name));
        let parent = ["", "-p 20150102-030405"][number];
        script(
            &snaps,
            &format!(
                "sync; btrfs -q send {parent} {name} | btrfs -q receive {}; ln -sfn {name} .latest",
                text(&b)
            ),
        );
    }
    write(&home, "new");
    let said = ok(&[], &home, &[&b]);
    assert!(said.stdout.contains("(from 2015010"), "{}", said.stdout);
    assert_eq!(names(&b).len(), 3);
    sound(&home, &b);
}

fn killed_in_the_middle() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    script(&home, "head -c 40M /dev/urandom >large");
    let mut before = names(&b).len();
    for pause in [0, 5, 15, 40, 80, 120, 200] {
        a_moment();
        write(&home, "again");
        let mut child = Command::new(binary("buttersink"))
            .args(["backup", "--latest-only", text(&home), text(&b)])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        // At most one ends well; until then the link leads to what is there.
        assert!(b.join(latest(&home)).is_dir(), "after {pause} ms");
    }
    // Children of the killed run may still be dying, with the lock of nobody.
    ok(&["--latest-only"], &home, &[&b]);
    before += 1;
    assert!(names(&b).len() >= before);
    assert_eq!(names(&home.join("snapshot")).len(), 1);
    sound(&home, &b);
}

fn a_second_run_is_refused() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    let folder = Place::Local(home.join("snapshot"));
    let held = store::open(&folder, Access::Append, &store_options()).unwrap();
    write(&home, "2");
    let said = backup(&[], &home, &[&b]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("another run"), "{}", said.stderr);
    drop(held);
    // Whoever is at work in a destination makes no backup of this.
    let other = store::open(&Place::Local(b.clone()), Access::Append, &store_options()).unwrap();
    assert_eq!(backup(&[], &home, &[&b]).code, 1);
    drop(other);
    let held = store::open(&folder, Access::Append, &store_options()).unwrap();
    assert_eq!(
        (names(&b).len(), names(&home.join("snapshot")).len()),
        (1, 1)
    );
    drop(held);
}

fn the_latest_only() {
    let (home, b) = scene();
    for number in 1..=3 {
        write(&home, &number.to_string());
        ok(&["--latest-only"], &home, &[&b]);
        assert_eq!(names(&home.join("snapshot")).len(), 1);
        a_moment();
    }
    assert_eq!(names(&b).len(), 3);
    sound(&home, &b);
}

fn counts_at_both_ends() {
    let (home, b) = scene();
    for number in 1..=5 {
        write(&home, &number.to_string());
        let said = ok(
            &["--num-backups", "2", "--num-snapshots", "3"],
            &home,
            &[&b],
        );
        assert_eq!(
            said.stdout.contains("deleting"),
            number > 2,
            "{}",
            said.stdout
        );
        a_moment();
    }
    assert_eq!(
        (names(&b).len(), names(&home.join("snapshot")).len()),
        (2, 3)
    );
    sound(&home, &b);
}

/// What backups of this subvolume did not make is neither sent nor deleted.
fn strangers_are_left_alone() {
    let (home, b) = scene();
    let snaps = home.join("snapshot");
    std::fs::create_dir(&snaps).unwrap();
    let other = home.parent().unwrap().join("other");
    subvolume(&other);
    snapshot(&other, &snaps.join("20200101-000000"));
    snapshot(&home, &snaps.join("by-hand"));
    snapshot(&home, &snaps.join("x-20200101-000000"));
    subvolume(&b.join("20190101-000000"));
    subvolume(&b.join("mine"));
    let strangers = ["20200101-000000", "by-hand", "x-20200101-000000"];
    for number in 1..=2 {
        write(&home, &number.to_string());
        ok(&["--latest-only", "--num-backups", "1"], &home, &[&b]);
        a_moment();
    }
    let ours = names(&snaps);
    assert_eq!(ours.len(), 4);
    assert!(
        strangers
            .iter()
            .all(|name| ours.contains(&(*name).to_owned())),
        "{ours:?}"
    );
    let theirs = names(&b);
    assert_eq!(theirs.len(), 3, "{theirs:?}");
    assert!(theirs.contains(&"20190101-000000".to_owned()) && theirs.contains(&"mine".to_owned()));
}

fn prefixes_and_folders() {
    let (home, b) = scene();
    let options = ["--snapshot-prefix", "daily-", "--snapshot-folder", ".snaps"];
    ok(&options, &home, &[&b]);
    let name = names(&home.join(".snaps")).remove(0);
    assert!(name.starts_with("daily-2"), "{name}");
    let link = std::fs::read_link(home.join(".snaps/.daily-_latest")).unwrap();
    assert_eq!(text(&link), name);
    same(&home.join(".snaps").join(&name), &b.join(&name));
    let said = backup(&["--snapshot-prefix", "a/b"], &home, &[&b]);
    assert_eq!(said.code, 2);
    let said = backup(
        &["--snapshot-folder", ".snaps"],
        &home,
        &[&home.join(".snaps/")],
    );
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("it is where the snapshots"),
        "{}",
        said.stderr
    );
    // Another prefix has a chain of its own, and yet sends only what is new.
    a_moment();
    let said = ok(&["--snapshot-folder", ".snaps"], &home, &[&b]);
    assert!(
        said.stdout.contains(&format!("from {name}")),
        "{}",
        said.stdout
    );
}

fn a_dry_run_changes_nothing() {
    let (home, b) = scene();
    let said = ok(&["-n"], &home, &[&b]);
    assert!(
        said.stdout.contains("would make the snapshot"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("1 to send"), "{}", said.stdout);
    assert!(!home.join("snapshot").exists());
    ok(&[], &home, &[&b]);
    let before = script(&home, "find . -printf '%p %i %l\\n' | sort");
    a_moment();
    let said = ok(&["-n", "--num-backups", "1", "--always"], &home, &[&b]);
    assert!(said.stdout.contains("about"), "{}", said.stdout);
    assert!(said.stdout.contains(": delete "), "{}", said.stdout);
    let said = ok(&["-n"], &home, &[&b]);
    assert!(
        said.stdout.contains("nothing changed since"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("nothing to do"), "{}", said.stdout);
    assert_eq!(script(&home, "find . -printf '%p %i %l\\n' | sort"), before);
    assert_eq!(names(&b).len(), 1);
}

fn results_as_json() {
    let (home, b) = scene();
    let events = |said: &Said| -> Vec<Value> {
        let lines = said.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let plan = events(&ok(&["-n", "--json", "--keep", "1d"], &home, &[&b]));
    let kinds: Vec<&str> = plan
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["snapshot", "plan", "retention"]);
    assert_eq!(plan[0]["made"], false);
    let gone = b.join("gone");
    let said = backup(&["--json"], &home, &[&b, &gone]);
    assert_eq!(said.code, 10);
    let done = events(&said);
    assert_eq!(
        (&done[0]["event"], &done[0]["made"]),
        (&"snapshot".into(), &true.into())
    );
    let results: Vec<&Value> = done
        .iter()
        .filter(|e| e["event"] == "destination")
        .collect();
    assert_eq!(
        (&results[0]["result"], &results[0]["sent"]),
        (&"done".into(), &1.into())
    );
    assert_eq!(results[1]["result"], "failed");
    assert!(results[1]["error"].as_str().unwrap().contains("gone"));
    assert!(done.iter().all(|event| event["version"] == 2));
}

fn what_is_not_in_the_snapshot_is_named() {
    let (home, b) = scene();
    subvolume(&home.join("d/inner"));
    let said = ok(&[], &home, &[&b]);
    assert!(
        said.stderr.contains("not in its snapshots") && said.stderr.contains("d/inner"),
        "{}",
        said.stderr
    );
    assert!(
        !said.stderr.contains("snapshot/2"),
        "our own are no remark: {}",
        said.stderr
    );
    a_moment();
    script(
        &home,
        "touch swap; chattr +C swap; fallocate -l 1M swap; chmod 600 swap; mkswap -q swap; swapon swap",
    );
    let said = backup(&[], &home, &[&b]);
    script(&home, "swapoff swap");
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("swap file") && said.stderr.contains("home/swap"),
        "{}",
        said.stderr
    );
    let said = backup(&[], &home.join("d"), &[&b]);
    assert!(
        said.stderr.contains("is not a subvolume"),
        "{}",
        said.stderr
    );
}

fn an_unplugged_disk_is_not_replaced() {
    let (home, b) = scene();
    ok(&["--require-mount"], &home, &[&b]);
    std::fs::create_dir(b.join("inside")).unwrap();
    ok(&["--require-mount"], &home, &[&b.join("inside")]);
    // Where the disk is mounted otherwise there is a directory of the disk that the source is on.
    let plain = home.parent().unwrap().join("mnt");
    std::fs::create_dir(&plain).unwrap();
    let said = backup(&["--require-mount"], &home, &[&plain]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("no filesystem is mounted for it"),
        "{}",
        said.stderr
    );
    assert_eq!(names(&plain), [""; 0]);
}

/// The way back: the snapshot is brought to a new disk, made writable, and backed up from there.
fn restored_and_continued() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    a_moment();
    write(&home, "2");
    ok(&[], &home, &[&b]);
    let last = names(&b).pop().unwrap();
    let new = btrfs("new", 512);
    let there = format!("{}/", text(&new));
    assert_eq!(buttersink([text(&b.join(&last)), &there]).code, 0);
    same(&new.join(&last), &b.join(&last));
    script(
        &new,
        &format!(
            "btrfs -q subvolume snapshot {last} home
             btrfs -q subvolume snapshot -r {last} home/snapshot/{last}
             btrfs -q subvolume delete {last}"
        ),
    );
    let home = new.join("home");
    a_moment();
    write(&home, "3");
    let said = ok(&[], &home, &[&b]);
    assert!(
        said.stdout.contains(&format!("from {last}")),
        "{}",
        said.stdout
    );
    assert_eq!(names(&b).len(), 3);
    sound(&home, &b);
}

/// A snapshot that the source let go comes back into its folder, and changes nothing there.
fn one_snapshot_comes_back() {
    let (home, b) = scene();
    for number in 1..=2 {
        write(&home, &number.to_string());
        ok(&["--latest-only"], &home, &[&b]);
        a_moment();
    }
    let first = names(&b).remove(0);
    let there = format!("{}/", text(&home.join("snapshot")));
    assert_eq!(buttersink([text(&b.join(&first)), &there]).code, 0);
    same(&home.join("snapshot").join(&first), &b.join(&first));
    let said = ok(&[], &home, &[&b]);
    assert!(
        said.stdout.contains("nothing changed since"),
        "{}",
        said.stdout
    );
    sound(&home, &b);
}

/// An altered snapshot is neither the newest nor a parent.
fn an_altered_latest_is_no_parent() {
    let (home, b) = scene();
    ok(&[], &home, &[&b]);
    let first = names(&b).remove(0);
    alter(&home.join("snapshot").join(&first));
    a_moment();
    let mut plans = 0;
    let now = Zoned::now();
    oneshot::run(&order(&home, &[&b]), &store_options(), &now, &mut |event| {
        if let Event::Planned(planned) = event {
            let plan = planned.plan;
            plans += 1;
            assert!(plan.transfers().all(|step| step.from.is_none()), "{plan:?}");
        }
    })
    .unwrap();
    assert_eq!(plans, 1);
    assert_eq!(names(&b).len(), 2);
    let last = names(&b).pop().unwrap();
    same(&home.join("snapshot").join(&last), &b.join(&last));
    run("btrfs", ["subvolume", "show", text(&b.join(&last))]);
}

/// With no more than the systemd unit leaves it, every kind of file arrives.
fn the_units_capabilities_suffice() {
    let (home, b) = scene();
    script(&home, EVERYTHING);
    let mut command = within("buttersink-backup@.service", &binary("buttersink"));
    let output = output(command.arg("backup").args([&home, &b]));
    assert!(output.status.success());
    sound(&home, &b);
}

/// A program with the capabilities that a systemd unit of ours leaves it.
pub(crate) fn within(unit: &str, program: &Path) -> Command {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd");
    let unit = std::fs::read_to_string(units.join(unit)).unwrap();
    let mut lines = unit.lines();
    let kept = lines.find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept = kept.unwrap().to_lowercase();
    let kept = kept.replace("cap_", ",+").replace(' ', "");
    let mut command = Command::new("setpriv");
    command.args([&format!("--bounding-set=-all{kept}"), "--no-new-privs"]);
    command.arg(program);
    command
}

/// In a bucket the newest is a difference from older ones, which stay therefore; and it comes back.
fn a_bucket_keeps_what_is_built_upon() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let (home, b) = scene();
    let store_options = StoreOptions {
        s3: options(&server.endpoint),
        ..store_options()
    };
    let place = Place::S3 {
        bucket: bucket.to_string(),
        prefix: "home/".to_owned(),
    };
    let order = BackupOrder {
        destinations: vec![place.clone()],
        source_keeps: Policy {
            newest: Some(1),
            ..Policy::default()
        },
        dest_keeps: Policy {
            newest: Some(1),
            ..Policy::default()
        },
        ..order(&home, &[])
    };
    let mut now: Zoned = "2026-10-12T08:00:00[Europe/Berlin]".parse().unwrap();
    for day in 0..3 {
        write(&home, &format!("day {day}"));
        oneshot::run(&order, &store_options, &now, &mut |event| {
            println!("{event:?}");
        })
        .unwrap();
        now = now.checked_add(1.day()).unwrap();
    }
    assert_eq!(names(&home.join("snapshot")), ["20261014-080000"]);
    let mut store = store::open(&place, Access::Read, &store_options).unwrap();
    let kept = store.list().unwrap();
    let paths = kept.snapshots.iter().map(|s| s.path.to_str().unwrap());
    assert_eq!(
        paths.collect::<Vec<_>>(),
        ["20261012-080000", "20261013-080000", "20261014-080000"]
    );
    let back = store::open(&Place::Local(b.clone()), Access::Append, &store_options);
    let mut back = back.unwrap();
    let (there, wish) = (back.list().unwrap(), Wish::default());
    let plan = sync::make_plan(&mut *store, &kept, &there, &wish, &mut |_| ()).unwrap();
    let done = sync::carry_out(&plan, &kept, &wish, &mut *store, &mut *back, &mut |_| ()).unwrap();
    assert_eq!((done.sent, done.failed), (3, 0));
    sound(&home, &b);
}

/// The example says the defaults, and a check says what would run when.
fn configuration_is_checked() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/config.example.toml");
    let text_of = std::fs::read_to_string(&example).unwrap();
    let open = text_of
        .replace("\n# ", "\n")
        .replace("\nbuttersink", "\n# buttersink")
        .replace("\na space", "\n# a space");
    let (file, state) = (here().join("config.toml"), here().join("state.json"));
    let open = open
        .replace("/var/lib/buttersink/NAME.json", text(&state))
        .replace("NAME.lock", "config.lock");
    let check = |text_of: &str| {
        std::fs::write(&file, text_of).unwrap();
        buttersink(["config", "check", "--offline", text(&file)])
    };
    let keys = |said: &Said| -> Vec<String> {
        let lines = said.stdout.lines().filter(|line| line.contains(" = "));
        let lines = lines.filter(|line| {
            !line.contains("state_path")
                && !line.contains("lock_path")
                && !line.contains("endpoint_url")
                && !line.contains("part_size")
        });
        lines
            .map(|line| line.trim_end_matches("  # default").to_owned())
            .collect()
    };
    // What is commented out without a blank is an example.
    let example = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with([' ', '#']) => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    let everything: String = text_of.lines().map(example).collect();
    let said = check(&everything);
    assert_eq!(said.code, 0);
    assert!(
        said.stdout.contains("destination.retain = 3"),
        "{}",
        said.stdout
    );
    let (short, long) = (check(&text_of), check(&open));
    assert_eq!((short.code, long.code), (0, 0));
    assert_eq!(keys(&short), keys(&long));
    assert!(!long.stdout.contains("# default"), "{}", long.stdout);
    assert!(
        long.stdout.contains("/srv/data: full backup now"),
        "{}",
        long.stdout
    );
    std::fs::write(
        &state,
        r#"{"subvolumes": {"data": {"last_snapshot": "/", "last_full_at": "20990101T000000Z"}}}"#,
    )
    .unwrap();
    let said = check(&open);
    assert!(
        said.stdout.contains("/srv/data: incremental backup now"),
        "{}",
        said.stdout
    );
    std::fs::write(&state, "{").unwrap();
    let said = check(&open);
    assert!(
        said.stderr.contains("state.json is damaged"),
        "{}",
        said.stderr
    );
    let said = check(&open.replace("retain", "retian"));
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .contains("snapshots.retian is unknown; did you mean snapshots.retain?"),
        "{}",
        said.stderr
    );
    // One that is named by a relative path is looked for where that leads.
    let missing = buttersink(["config", "check", "no-such-file.toml"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("No such file"),
        "{}",
        missing.stderr
    );
    assert_eq!(buttersink(["config"]).code, 2);
}

/// Names are in local time; without the rules of the zone they are in UTC, and that is said.
fn local_time_or_utc() {
    let (home, b) = scene();
    let mut told = Vec::new();
    for zone in ["Asia/Kolkata", "UTC", "Not/AZone"] {
        a_moment();
        let mut command = Command::new(binary("buttersink"));
        command
            .args(["backup", "-n", "--always", text(&home), text(&b)])
            .env("TZ", zone);
        let said = output(&mut command);
        assert!(said.status.success());
        let words = String::from_utf8(said.stdout).unwrap();
        let name = words
            .split(' ')
            .find(|word| word.starts_with("20"))
            .unwrap()
            .to_owned();
        let note = String::from_utf8(said.stderr).unwrap();
        assert_eq!(
            note.contains("times are UTC"),
            zone == "Not/AZone",
            "{note}"
        );
        told.push(oneshot_time("".as_ref(), name.as_ref()).unwrap());
    }
    let apart = |a: usize, b: usize| {
        (told[a] - told[b])
            .total((jiff::Unit::Minute, told[b]))
            .unwrap()
    };
    // Half an hour past the hour, and neither test nor machine takes minutes.
    assert!((apart(0, 1) - 330.0).abs() < 5.0, "{told:?}");
    assert!(apart(2, 1).abs() < 5.0, "{told:?}");
}

fn a_signal_ends_it_and_the_next_run_goes_on() {
    let (home, b) = scene();
    script(&home, "head -c 200M /dev/zero | tr '\\0' x >large");
    let mut child = Command::new(binary("buttersink"))
        .args(["backup", text(&home), text(&b)])
        .spawn()
        .unwrap();
    // As soon as something arrives.
    while names(&b).is_empty() && !in_quarantine(&b) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it was faster than this test"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    run("kill", ["-INT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!home.join("snapshot/.latest").exists());
    ok(&[], &home, &[&b]);
    assert_eq!(
        names(&home.join("snapshot")).len(),
        1,
        "the snapshot that was there is used"
    );
    sound(&home, &b);
}
