//! The main job: snapshots of one btrfs filesystem in another one, equal, once, and no more.

use crate::disks::tmpfs;
use crate::runner::Test;
use crate::subvolumes::{
    EVERYTHING, change, history, id, script, shown, snapshot, stream_length, subvolume,
};
use crate::support::{Said, btrfs, btrfs_with, buttersink, local_options, run};
use crate::tests;
use crate::tree::{assert_same, differences};
use buttersink::store::Access;
use buttersink::store::local::Local;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    comparison_sees_differences,
    everything_arrives_equal,
    ten_thousand_files_arrive_equal,
    what_comes_in_one_way_is_not_measured_before,
    compressed_filesystems,
    compressed_data_as_it_is,
    names_of_snapshots,
    a_chain_of_three_keeps_identities,
    incremental_both_ways,
    the_second_run_has_nothing_to_do,
    the_plan_is_exact_and_changes_nothing,
    the_plan_as_json,
    delete_removes_what_the_source_lacks,
    delete_never_empties,
    a_locked_destination_is_left_alone,
    a_taken_name_is_an_obstacle,
    the_slash_matters,
    a_limit_holds_without_a_network,
    one_snapshot_alone,
    excluded_snapshots_are_left_alone,
    what_comes_later_says_so,
    snapshots_below_snapshots_do_not_travel,
];

/// Bytes of a stream cannot have passed in less than their time.
fn a_limit_holds_without_a_network() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let c = btrfs("c", 256);
    history(&a, 1);
    let raw = format!("raw:{}/", tmpfs("raw", 64).display());
    let bytes = stream_length(&a.join("snaps/1"), None);
    assert!(bytes > 250_000);
    for words in [
        [slash(&a.join("snaps")).as_str(), &slash(&b)].as_slice(),
        &[&slash(&b), &raw],
        &[&raw, &slash(&c)],
        &["verify", "--download", &raw],
    ] {
        let start = Instant::now();
        ok(&[words, &["--bwlimit", "500"]].concat());
        assert!(start.elapsed() > Duration::from_millis(450), "{words:?}");
    }
    assert_same(&a.join("snaps/1"), &c.join("1"));
}

/// `DIR/`, as an argument.
fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

/// Runs and must succeed.
#[track_caller]
fn ok(args: &[&str]) -> Said {
    let said = buttersink(args);
    assert_eq!(said.code, 0);
    said
}

/// `buttersink A/ B/`, successfully.
#[track_caller]
fn sync(a: &Path, b: &Path) -> Said {
    ok(&[&slash(a), &slash(b)])
}

/// The plan as `-n --json` prints it.
#[track_caller]
fn plan(args: &[&str]) -> Value {
    let said = ok(&[&["-n", "--json"], args].concat());
    assert_eq!(said.stdout.lines().count(), 1);
    serde_json::from_str(&said.stdout).unwrap()
}

/// The steps of a plan that do something, as `action path`.
fn actions(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let word = |step: &Value, field| step[field].as_str().unwrap().to_owned();
    steps
        .filter(|step| step["action"] != "keep")
        .map(|step| format!("{} {}", word(step, "action"), word(step, "path")))
        .collect()
}

/// Two filesystems, and a directory `snaps` in each.
fn pair() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    for side in [&a, &b] {
        std::fs::create_dir(side.join("snaps")).unwrap();
    }
    (a, b)
}

fn comparison_sees_differences() {
    let top = btrfs("fs", 512);
    subvolume(&top.join("a"));
    script(&top.join("a"), EVERYTHING);
    for change in [
        "chmod 600 plain/small",
        "chown 1 plain/small",
        "touch plain/small",
        "echo x >>plain/small",
        "printf X | dd of=plain/large bs=1 seek=1M conv=notrunc status=none; touch -r ../a/plain/large plain/large",
        "rm deep/second; cp -p first deep/second",
        "setfattr -x user.comment plain/small",
        "setcap -r capable",
        "rm character; mknod character c 1 5; touch -r ../a/character character",
        "ln -sf elsewhere link",
        "rmdir deep/1/a/x",
        "head -c 10M tail >full; chmod --reference=tail full; touch -r tail full; mv full tail",
    ] {
        script(&top, "btrfs -q subvolume snapshot a b");
        assert_same(&top.join("a"), &top.join("b"));
        script(&top.join("b"), change);
        assert!(
            !differences(&top.join("a"), &top.join("b")).is_empty(),
            "{change}"
        );
        script(&top, "btrfs -q subvolume delete b");
    }
}

fn everything_arrives_equal() {
    let (a, b) = pair();
    subvolume(&a.join("live"));
    script(&a.join("live"), EVERYTHING);
    snapshot(&a.join("live"), &a.join("snaps/first"));
    script(
        &a.join("live"),
        "mv plain moved; rm capable; setfacl -b moved/large; chmod 700 deep; ln moved/small deep/fourth
         truncate -s 60M holes; truncate -s 100 tail; echo again >>first; rm '*' ; mkdir '*'
         cp --reflink=always moved/even clone; setfattr -x user.comment moved/small; touch -h -d 1999-09-09 link
         mv deep/second empty/; rmdir deep/1/a/x; rm socket; dd if=/dev/zero of=reserved bs=4K seek=9 count=1 conv=notrunc status=none",
    );
    snapshot(&a.join("live"), &a.join("snaps/second"));
    sync(&a.join("snaps"), &b.join("snaps"));
    for name in ["first", "second"] {
        assert_same(&a.join("snaps").join(name), &b.join("snaps").join(name));
    }
    let parent = shown(&b.join("snaps/second"), "Parent UUID");
    assert_eq!(
        parent,
        shown(&b.join("snaps/first"), "UUID"),
        "not incremental"
    );
}

fn ten_thousand_files_arrive_equal() {
    let (a, b) = pair();
    let live = a.join("live");
    subvolume(&live);
    for dir in 0..100 {
        let dir = live.join(format!("{dir}"));
        std::fs::create_dir(&dir).unwrap();
        for file in 0..100 {
            let text = format!("{file}\n").repeat(file * 10);
            std::fs::write(dir.join(format!("{file}")), text).unwrap();
        }
    }
    snapshot(&live, &a.join("snaps/1"));
    script(
        &live,
        "for i in {10..40}; do rm -r $i; mv $((i + 50)) $i; echo $i >>5/$i; done",
    );
    snapshot(&live, &a.join("snaps/2"));
    sync(&a.join("snaps"), &b.join("snaps"));
    for name in ["snaps/1", "snaps/2"] {
        assert_same(&a.join(name), &b.join(name));
    }
}

fn what_comes_in_one_way_is_not_measured_before() {
    let (a, b) = pair();
    script(
        &a,
        "btrfs -q subvolume create live; for i in {1..3000}; do printf %1500d $i >live/$i; done; sync",
    );
    snapshot(&a.join("live"), &a.join("snaps/1"));
    let (from, to) = (slash(&a.join("snaps")), slash(&b.join("snaps")));
    let before = plan(&[&from, &to]);
    assert_eq!(before["steps"][0]["exact"], true);
    let said = ok(&["--json", &from, &to]);
    let events: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["exact"], false, "measured: {}", events[0]);
    let summary = events.last().unwrap();
    assert_eq!(
        summary["bytes"], before["total_bytes"],
        "the true bytes: {summary}"
    );
    assert_same(&a.join("snaps/1"), &b.join("snaps/1"));
}

fn compressed_filesystems() {
    let a = btrfs_with("a", 512, &[], "compress-force=zstd");
    let b = btrfs_with("b", 512, &[], "compress-force=lzo");
    let c = btrfs("c", 512);
    subvolume(&a.join("live"));
    script(&a.join("live"), EVERYTHING);
    snapshot(&a.join("live"), &a.join("one"));
    sync(&a, &b);
    sync(&b, &c);
    for side in [&b, &c] {
        assert_same(&a.join("one"), &side.join("one"));
    }
}

fn compressed_data_as_it_is() {
    let a = btrfs_with("a", 512, &[], "compress-force=zstd");
    let b = btrfs("b", 512);
    subvolume(&a.join("live"));
    script(&a.join("live"), EVERYTHING);
    snapshot(&a.join("live"), &a.join("1"));
    script(
        &a.join("live"),
        "yes and more | head -c 2000000 >>plain/even",
    );
    snapshot(&a.join("live"), &a.join("2"));
    let before = plan(&[&slash(&a), &slash(&b)]);
    let said = ok(&["--compressed-data", "--json", &slash(&a), &slash(&b)]);
    for name in ["1", "2"] {
        assert_same(&a.join(name), &b.join(name));
    }
    let lines = said
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap());
    let lines: Vec<Value> = lines.collect();
    let (steps, summary) = (&lines[..2], &lines[2]);
    let sent: u64 = steps
        .iter()
        .filter_map(|s| s["received_bytes"].as_u64())
        .sum();
    assert_eq!(summary["bytes"], sent);
    assert!(sent > 0 && sent < before["total_bytes"].as_u64().unwrap() / 2);
}

fn names_of_snapshots() {
    let (a, b) = pair();
    subvolume(&a.join("live"));
    script(&a.join("live"), "echo x >file");
    script(
        &a,
        r#"snap() { btrfs -q subvolume snapshot -r live "snaps/$1"; }
           mkdir -p snaps/deep/er; snap deep/er/x; snap 'with space'; snap $'new\nline'; snap $'\xff\xfe'
           snap "$(printf %0255d 1)"; snap "$(printf %0255d 2)"; snap "$(printf %0250d 3)"; snap "$(printf %0251d 4)"
           snap -n; snap é; snap '100%'"#,
    );
    let said = sync(&a.join("snaps"), &b.join("snaps"));
    assert!(!said.stdout.contains("new\nline") && !said.stderr.contains("new\nline"));
    assert_same(&a.join("snaps"), &without_state(&b.join("snaps")));
}

/// The destination without what we keep there beside the snapshots.
fn without_state(dir: &Path) -> PathBuf {
    script(
        dir,
        "touch -r ../../a/snaps .; for d in $(find ../../a/snaps -name deep -o -name er); do touch -r $d ${d/a/b}; done",
    );
    dir.to_owned()
}

fn a_chain_of_three_keeps_identities() {
    let (a, b, c) = (btrfs("a", 512), btrfs("b", 512), btrfs("c", 512));
    history(&a, 2);
    let snaps = |side: &Path| side.join("snaps");
    for side in [&b, &c] {
        std::fs::create_dir(snaps(side)).unwrap();
    }
    for round in 3..6 {
        sync(&snaps(&a), &snaps(&b));
        sync(&snaps(&b), &snaps(&c));
        for name in 1..round {
            let name = format!("snaps/{name}");
            assert_same(&a.join(&name), &c.join(&name));
            assert_eq!(id(&a.join(&name)), id(&c.join(&name)));
        }
        let back = plan(&[&slash(&snaps(&c)), &slash(&snaps(&a))]);
        assert_eq!(actions(&back), [""; 0], "A has all of it");
        change(&a.join("live"), round);
        snapshot(&a.join("live"), &a.join(format!("snaps/{round}")));
    }
    // A loses one; it comes back from C as a difference, and counts as the same.
    let lost = id(&a.join("snaps/2"));
    script(&a, "btrfs -q subvolume delete snaps/2");
    sync(&snaps(&c), &snaps(&a));
    assert_eq!(id(&a.join("snaps/2")), lost);
    assert_ne!(shown(&a.join("snaps/2"), "Parent UUID"), "-");
    assert_same(&c.join("snaps/2"), &a.join("snaps/2"));
    assert_eq!(
        actions(&plan(&[&slash(&snaps(&b)), &slash(&snaps(&a))])),
        [""; 0]
    );
}

fn incremental_both_ways() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    sync(&a.join("snaps"), &b);
    let copy = b.join("live");
    run(
        "btrfs",
        [
            "-q",
            "subvolume",
            "snapshot",
            b.join("1").to_str().unwrap(),
            copy.to_str().unwrap(),
        ],
    );
    change(&copy, 7);
    snapshot(&copy, &b.join("2"));
    let back = plan(&[&slash(&b), &slash(&a.join("snaps"))]);
    assert_eq!(actions(&back), ["transfer 2"]);
    assert!(
        back["total_bytes"].as_u64().unwrap() < 100_000,
        "not incremental"
    );
    sync(&b, &a.join("snaps"));
    assert_same(&b.join("2"), &a.join("snaps/2"));
    change(&a.join("live"), 8);
    snapshot(&a.join("live"), &a.join("snaps/3"));
    sync(&a.join("snaps"), &b);
    assert_same(&a.join("snaps/3"), &b.join("3"));
    assert_ne!(shown(&b.join("3"), "Parent UUID"), "-");
}

fn the_second_run_has_nothing_to_do() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 3);
    sync(&a.join("snaps"), &b);
    let before: Vec<String> = ["1", "2", "3"].map(|n| shown(&b.join(n), "UUID")).into();
    let said = sync(&a.join("snaps"), &b);
    assert!(
        (said.stdout + &said.stderr)
            .to_lowercase()
            .contains("nothing sent; 3 already there")
    );
    assert_eq!(before, ["1", "2", "3"].map(|n| shown(&b.join(n), "UUID")));
    // What it is called there does not matter.
    script(
        &b,
        "btrfs property set 2 ro false 2>/dev/null || true; mkdir other; mv 1 one",
    );
    let again = plan(&[&slash(&a.join("snaps")), &slash(&b)]);
    assert!(!actions(&again).contains(&"transfer 1".to_owned()));
}

fn the_plan_is_exact_and_changes_nothing() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 3);
    let snaps = a.join("snaps");
    let said = ok(&["-n", &slash(&snaps), &slash(&b)]);
    assert_eq!(
        std::fs::read_dir(&b).unwrap().count(),
        0,
        "a dry run left something"
    );
    let plan = plan(&[&slash(&snaps), &slash(&b)]);
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    let path_of = |uuid: &Value| {
        let found = steps.iter().find(|step| step["to"] == *uuid);
        found.map(|step| snaps.join(step["path"].as_str().unwrap()))
    };
    let mut total = 0;
    for step in steps {
        let to = snaps.join(step["path"].as_str().unwrap());
        let bytes = stream_length(&to, path_of(&step["from"]).as_deref());
        assert_eq!(
            (&step["bytes"], &step["exact"]),
            (&bytes.into(), &true.into())
        );
        total += bytes;
    }
    assert_eq!(plan["total_bytes"], total);
    for name in ["1", "2", "3"] {
        assert!(
            said.stdout.lines().any(|l| l.contains(name)),
            "no line for {name}"
        );
    }
}

fn the_plan_as_json() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 2);
    let args = [slash(&a.join("snaps")), slash(&b)];
    let full = plan(&[&args[0], &args[1]]);
    assert_eq!(full["version"], 2);
    let step = &full["steps"][0];
    assert_eq!(
        (&step["action"], &step["path"]),
        (&"transfer".into(), &"1".into())
    );
    assert_eq!(step["to"], id(&a.join("snaps/1")));
    assert_eq!(step["from"], Value::Null);
    assert_eq!(full["steps"][1]["from"], id(&a.join("snaps/1")));
    let guessed = plan(&["-e", &args[0], &args[1]]);
    assert_eq!(guessed["steps"][0]["exact"], false);
    ok(&[&args[0], &args[1]]);
    script(&a, "btrfs -q subvolume delete snaps/2");
    let after = plan(&["-d", &args[0], &args[1]]);
    assert_eq!(after["steps"][0]["action"], "keep");
    assert_eq!(actions(&after), ["delete 2"]);
    assert_eq!(after["total_bytes"], 0);
}

fn delete_removes_what_the_source_lacks() {
    let (a, b) = pair();
    history(&a, 3);
    let args = [slash(&a.join("snaps")), slash(&b.join("snaps"))];
    ok(&[&args[0], &args[1]]);
    script(
        &b,
        "btrfs -q subvolume create snaps/writable; btrfs -q subvolume snapshot -r snaps/1 outside",
    );
    script(&a, "btrfs -q subvolume delete snaps/2");
    ok(&[&args[0], &args[1]]);
    assert!(b.join("snaps/2").exists(), "deleted without -d");
    let said = ok(&["-n", "-d", &args[0], &args[1]]);
    assert!(said.stdout.contains("delete") && b.join("snaps/2").exists());
    ok(&["-d", &args[0], &args[1]]);
    let mut left: Vec<_> = std::fs::read_dir(b.join("snaps"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["1", "3", "writable"]);
    assert!(b.join("outside").exists());
}

fn delete_never_empties() {
    let (a, b) = pair();
    history(&b, 2);
    let before = id(&b.join("snaps/1"));
    let (from, to) = (slash(&a.join("snaps")), slash(&b.join("snaps")));
    // Nothing there may be something that is not mounted.
    for more in [&["-d"][..], &["-n"], &["-q", "-q"]] {
        let said = buttersink(more.iter().copied().chain([&from[..], &to]));
        assert_eq!(said.code, 1, "{more:?}");
        assert!(said.stderr.contains("nothing was done"));
        assert!(said.stderr.contains("--allow-empty"));
    }
    ok(&["--allow-empty", &from, &to]);
    let said = buttersink(["-d", "--allow-empty", &from, &to]);
    assert_ne!(said.code, 0);
    assert_eq!(id(&b.join("snaps/1")), before);
    // A step that fails protects everything: its name is taken.
    subvolume(&a.join("live"));
    snapshot(&a.join("live"), &a.join("snaps/1"));
    snapshot(&a.join("live"), &a.join("snaps/new"));
    let said = buttersink(["-d", &slash(&a.join("snaps")), &slash(&b.join("snaps"))]);
    assert_eq!(said.code, 10);
    assert!(b.join("snaps/new").exists() && b.join("snaps/2").exists());
    assert_eq!(id(&b.join("snaps/1")), before);
}

fn a_locked_destination_is_left_alone() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    sync(&a.join("snaps"), &b);
    snapshot(&a.join("live"), &a.join("snaps/2"));
    let held = Local::open(&b, Access::Append, local_options()).unwrap();
    let said = buttersink([slash(&a.join("snaps")), slash(&b)]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("another run") && !b.join("2").exists());
    ok(&["-n", &slash(&a.join("snaps")), &slash(&b)]);
    ok(&[&slash(&b)]);
    drop(held);
    sync(&a.join("snaps"), &b);
    assert!(b.join("2").exists());
}

fn a_taken_name_is_an_obstacle() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 2);
    subvolume(&b.join("live"));
    snapshot(&b.join("live"), &b.join("1"));
    let other = id(&b.join("1"));
    let said = buttersink(["-n", &slash(&a.join("snaps")), &slash(&b)]);
    assert!(
        said.stdout.contains("name"),
        "the plan does not say what is in the way"
    );
    let said = buttersink([slash(&a.join("snaps")), slash(&b)]);
    assert_eq!(said.code, 10);
    assert_eq!(id(&b.join("1")), other);
    assert_same(&a.join("snaps/2"), &b.join("2"));
    // A plain directory is in the way too; what does not build on its snapshot still arrives.
    script(&b, "btrfs -q subvolume delete 1 2; mkdir 1; touch 1/mine");
    subvolume(&a.join("other"));
    snapshot(&a.join("other"), &a.join("snaps/other"));
    let said = buttersink([slash(&a.join("snaps")), slash(&b)]);
    assert_eq!(said.code, 10);
    assert!(b.join("1/mine").exists() && b.join("other").exists());
}

fn the_slash_matters() {
    let (a, b) = pair();
    history(&a, 1);
    let without = a.join("snaps").to_str().unwrap().to_owned();
    let said = buttersink([&without, &slash(&b)]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains(&format!("{without}/")),
        "does not say what to type"
    );
    let with = slash(&a.join("snaps/1"));
    let said = buttersink([&with, &slash(&b)]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains(with.trim_end_matches('/')));
    let missing = buttersink([&slash(&a.join("nowhere")), &slash(&b)]);
    assert!(missing.code == 2 || missing.code == 1);
    // A destination is a directory, with or without.
    ok(&[&slash(&a.join("snaps")), b.join("snaps").to_str().unwrap()]);
    assert!(b.join("snaps/1").exists());
}

fn one_snapshot_alone() {
    let (a, b) = pair();
    history(&a, 3);
    std::env::set_current_dir(&a).unwrap();
    ok(&["./snaps/2", &slash(&b.join("snaps"))]);
    ok(&[
        "file://snaps/1",
        &format!("btrfs://{}", slash(&b.join("snaps"))),
    ]);
    let mut there: Vec<_> = std::fs::read_dir(b.join("snaps"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    there.sort();
    assert_eq!(there, ["1", "2"]);
    assert_same(&a.join("snaps/2"), &b.join("snaps/2"));
}

fn excluded_snapshots_are_left_alone() {
    let (a, b) = pair();
    history(&a, 3);
    script(
        &a,
        "mkdir snaps/tmp; btrfs -q subvolume snapshot -r live snaps/tmp/x",
    );
    let args = [slash(&a.join("snaps")), slash(&b.join("snaps"))];
    ok(&["--exclude", "2", "--exclude=tmp/*", &args[0], &args[1]]);
    assert!(b.join("snaps/1").exists() && b.join("snaps/3").exists());
    assert!(!b.join("snaps/2").exists() && !b.join("snaps/tmp/x").exists());
    ok(&[&args[0], &args[1]]);
    script(&a, "btrfs -q subvolume delete snaps/2 snaps/3");
    ok(&["-d", "--exclude", "[2-9]", &args[0], &args[1]]);
    assert!(
        b.join("snaps/2").exists(),
        "an excluded snapshot was deleted"
    );
}

fn what_comes_later_says_so() {
    for words in [
        vec!["backup", "/x"],
        vec!["restore", "/x"],
        vec!["--no-such-option", "/x/"],
        vec![],
        vec!["/a/", "/b/", "/c/"],
    ] {
        let said = buttersink(&words);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{words:?}");
        assert!(said.stderr.starts_with("buttersink: "), "{words:?}");
    }
}

fn snapshots_below_snapshots_do_not_travel() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    history(&a, 1);
    script(
        &a,
        "btrfs -q subvolume create live/inner; btrfs -q subvolume snapshot live snaps/2
                btrfs -q subvolume create snaps/2/nested; btrfs property set snaps/2 ro true",
    );
    let said = ok(&["-n", &slash(&a.join("snaps")), &slash(&b)]);
    assert!((said.stdout + &said.stderr).contains("nested"));
    sync(&a.join("snaps"), &b);
    assert!(b.join("2/d/small").exists());
}
