//! The program itself between real filesystems and buckets of two real servers: there, back, and
//! what becomes of it when something or somebody is killed on the way.

use crate::bucket::{Bucket, arrived, command, said};
use crate::proxy::{Fault, Proxy};
use crate::runner::Test;
use crate::servers::{Server, own, shared};
use crate::sshd::{Sshd, far};
use crate::subvolumes::{EVERYTHING, change, history, id, script, shown, snapshot, subvolume};
use crate::support::*;
use crate::tree::assert_same;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = crate::on_both!["s3_sync::";
    there_and_back,
    deleted_goes_to_the_trash,
    laid_out_by_hand,
    killed_at_any_moment,
];

/// What need not be tried twice.
pub(crate) const OWN: &[Test] = crate::tests![
    from_bucket_to_bucket,
    what_cannot_be_told_by_hand_is_one_item,
    from_far_to_bucket,
    chains_stay_short,
    an_interrupted_upload_is_gone_on_with,
    the_server_is_killed,
    memory_is_bounded,
];

/// `DIR/`, as an argument.
fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

fn all_same(a: &Path, b: &Path, names: &[&str]) {
    for name in names {
        assert_same(&a.join(name), &b.join(name));
    }
}

/// Some MiB that cannot be compressed, in one snapshot: `snaps/large`.
fn large(at: &Path, mib: usize) -> PathBuf {
    let live = at.join("live");
    subvolume(&live);
    std::fs::create_dir_all(at.join("snaps")).unwrap();
    script(&live, &format!("head -c {mib}M /dev/urandom >large"));
    snapshot(&live, &at.join("snaps/large"));
    at.join("snaps")
}

fn there_and_back(server: &Server) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let bucket = Bucket::new(server);
    let (snaps, there) = (a.join("snaps"), bucket.url("host"));
    subvolume(&a.join("live"));
    std::fs::create_dir(&snaps).unwrap();
    script(&a.join("live"), EVERYTHING);
    for number in 1..=3 {
        change_a_little(&a.join("live"), number);
        snapshot(&a.join("live"), &snaps.join(number.to_string()));
    }
    let plan = bucket.json(&["-n", "--part-size", "5", &slash(&snaps), &there]);
    assert_eq!(bucket.keys(""), [""; 0], "a dry run wrote something");
    let text = bucket.fine(&["-n", "--part-size=5M", &slash(&snaps), &there]);
    let sizes = plan["steps"].as_array().unwrap().iter();
    let sizes: Vec<u64> = sizes.map(|step| step["bytes"].as_u64().unwrap()).collect();
    let count: u64 = sizes.iter().map(|size| size.div_ceil(5 << 20)).sum();
    assert_eq!(plan["effort"]["parts"], count);
    assert!(plan["effort"]["requests"].as_u64().unwrap() > count);
    assert!(text.stdout.contains(&format!(", {count} parts\n")));

    bucket.fine(&["--part-size", "5", &slash(&snaps), &there]);
    let again = bucket.fine(&[&slash(&snaps), &there]);
    assert!(again.stdout.contains("nothing sent; 3 already there"));
    let diffs = bucket.diffs("host/");
    let froms: Vec<&String> = diffs.values().flatten().collect();
    assert_eq!(froms.len(), 3);
    assert_eq!(froms.iter().filter(|from| **from == "None").count(), 1);
    let mut lengths: Vec<u64> = Vec::new();
    for key in bucket.keys("host/").iter().filter(|key| key.contains('_')) {
        lengths.push(bucket.get(key).len() as u64);
    }
    lengths.sort_unstable();
    let mut sizes = sizes;
    sizes.sort_unstable();
    assert_eq!(lengths, sizes, "the plan was not exact");

    listed(&bucket, &there, &snaps);
    // Back, and then one more there and back again.
    bucket.fine(&[&format!("{there}/"), &slash(&b)]);
    all_same(&snaps, &b, &["1", "2", "3"]);
    for name in ["1", "2", "3"] {
        assert_eq!(id(&snaps.join(name)), id(&b.join(name)));
    }
    change_a_little(&a.join("live"), 4);
    snapshot(&a.join("live"), &snaps.join("4"));
    bucket.fine(&[snaps.join("4").to_str().unwrap(), &there]);
    let back = bucket.json(&["-n", &format!("{there}/"), &slash(&b)]);
    assert!(back["total_bytes"].as_u64().unwrap() < 200_000, "{back}");
    bucket.fine(&[&format!("{there}/4"), &slash(&b)]);
    assert_same(&snaps.join("4"), &b.join("4"));
    assert_ne!(shown(&b.join("4"), "Parent UUID"), "-");
    by_hand(&bucket, &snaps);
}

fn change_a_little(live: &Path, number: usize) {
    let text = format!(
        "head -c 20000 /dev/urandom >new{number}; echo {number} >>locked; mkdir -p d{number}/e
         mv plain/third{} plain/third{number} 2>/dev/null || mv plain/third plain/third{number}",
        number - 1
    );
    script(live, &text);
}

/// For people and for scripts.
fn listed(bucket: &Bucket<'_>, there: &str, snaps: &Path) {
    let text = bucket.fine(&[there]).stdout;
    let listing = bucket.json(&["list", there]);
    let rows = listing["snapshots"].as_array().unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row["path"]).collect();
    assert_eq!(names, ["1", "2", "3"]);
    for row in rows {
        let name = row["path"].as_str().unwrap();
        let own = id(&snaps.join(name));
        assert_eq!((&row["id"], &row["state"]), (&own[..].into(), &"ok".into()));
        assert!(
            text.lines()
                .any(|l| l.starts_with(name) && l.contains("  ok  ") && l.contains(&own))
        );
    }
    assert_eq!(listing["notes"], Value::Array(Vec::new()));
}

/// With nothing but requests and `btrfs receive`, in the order in which the commands for it are listed.
fn by_hand(bucket: &Bucket<'_>, snaps: &Path) {
    let c = btrfs("c", 512);
    let there = bucket.url("host/");
    let said = bucket.fine(&["list", "--commands", "--region", "us-east-1", &there]);
    let lines = said.stdout.lines().map(str::trim);
    let commands: Vec<&str> = lines.filter(|l| l.ends_with("| btrfs receive .")).collect();
    let mut keys = bucket.keys("host/");
    keys.retain(|key| key.contains('_'));
    assert_eq!(commands.len(), keys.len());
    for command in commands {
        assert!(command.starts_with("aws --region us-east-1 s3 cp s3://"));
        let url = |key: &&String| command.contains(&format!("/{key} - |"));
        crate::receive::plain(&c, &bucket.get(keys.iter().find(url).unwrap()));
    }
    all_same(snaps, &c, &["1", "2", "3", "4"]);
}

fn send(snapshot: &Path, parent: Option<&Path>) -> Vec<u8> {
    let mut send = Command::new("btrfs");
    send.args(["send", "-q"]);
    if let Some(parent) = parent {
        send.arg("-p").arg(parent);
    }
    let output = send.arg(snapshot).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn deleted_goes_to_the_trash(server: &Server) {
    let a = btrfs("a", 512);
    let bucket = Bucket::new(server);
    let (snaps, there) = (a.join("snaps"), bucket.url("host/"));
    history(&a, 1);
    for number in 2..=5 {
        bucket.fine(&[&slash(&snaps), &there]);
        change(&a.join("live"), number);
        snapshot(&a.join("live"), &snaps.join(number.to_string()));
    }
    bucket.fine(&[&slash(&snaps), &there]);
    let before = bucket.keys("host/");
    let diffs = bucket.diffs("host/");
    let gone: Vec<(String, String)> = ["2", "3", "5"]
        .map(|name| (name.to_owned(), id(&snaps.join(name))))
        .into();
    script(&a, "btrfs -q subvolume delete snaps/{2,3,5}");
    // What 1 and 4 are built on stays.
    let mut needed = BTreeSet::new();
    let mut open = ["1", "4"].map(|name| id(&snaps.join(name))).to_vec();
    while let Some(at) = open.pop() {
        open.extend(diffs.get(&at).into_iter().flatten().cloned());
        needed.insert(at);
    }
    bucket.fine(&[&slash(&snaps), &there]);
    bucket.fine(&["-n", "-d", &slash(&snaps), &there]);
    assert_eq!(bucket.keys("host/"), before, "deleted without -d, or by -n");
    let said = bucket.fine(&["-d", &slash(&snaps), &there]);
    let mut trashed = 0;
    for (name, id) in &gone {
        let keys: Vec<&String> = before
            .iter()
            .filter(|key| {
                key.starts_with(&format!("host/{name}/")) || **key == format!("host/{name}.bs")
            })
            .collect();
        assert!(!keys.is_empty());
        let now = bucket.keys("");
        for key in keys {
            let in_trash = now.contains(&format!("trash/{key}"));
            assert_eq!(now.contains(key), needed.contains(id), "{key}");
            assert_eq!(in_trash, !needed.contains(id), "{key}");
        }
        trashed += usize::from(!needed.contains(id));
    }
    assert!(trashed > 0, "5 at least");
    assert!(said.stdout.contains(&format!("{trashed} deleted")));
    let b = btrfs("b", 512);
    bucket.fine(&[&there, &slash(&b)]);
    all_same(&snaps, &b, &["1", "4"]);
    // Where removed objects go there is no place for a snapshot.
    snapshot(&a.join("live"), &snaps.join("trash"));
    let before = bucket.keys("trash/");
    let said = bucket.run(&["--exclude", "1", &slash(&snaps), &bucket.url("")]);
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("reserved") && bucket.keys("trash/") == before);
    // An empty source is a mistake.
    script(&a, "btrfs -q subvolume delete snaps/*");
    let before = bucket.keys("");
    for more in [&["-d"][..], &["-d", "--allow-empty"]] {
        let from = slash(&snaps);
        let words = [more, &[&from[..], &there]].concat();
        assert_ne!(bucket.run(&words).code, 0);
    }
    assert_eq!(bucket.keys(""), before);
}

/// As ButterSink left it, made with `btrfs send`; with what people put beside it, and a hole.
fn laid_out_by_hand(server: &Server) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let bucket = Bucket::new(server);
    let snaps = a.join("snaps");
    history(&a, 5);
    let at = |n: usize| snaps.join(n.to_string());
    let ids: Vec<String> = (1..=5).map(|n| id(&at(n))).collect();
    let put = |n: usize, from: Option<usize>| {
        let parent = from.map(at);
        let name = from.map_or("None".to_owned(), |from| ids[from - 1].clone());
        let key = format!("pc/home/{n}/{}_{name}", ids[n - 1]);
        bucket.put(&key, &send(&at(n), parent.as_deref()));
        key
    };
    put(1, None);
    put(2, Some(1));
    put(3, Some(2));
    let broken = put(5, Some(4));
    let hints = format!(
        "{}\tNone\t123\n{}\t{}\t456\nnonsense\n",
        ids[1], ids[1], ids[0]
    );
    bucket.put("pc/home/2.bs", hints.as_bytes());
    bucket.put("pc/readme.txt", b"do not delete");
    bucket.put("pc/home/3/notes", b"neither");
    bucket.put(
        &format!("trash/pc/home/0/{}_None", ids[3]),
        b"removed long ago",
    );
    let before = bucket.keys("");

    let listing = bucket.json(&[&bucket.url("pc/")]);
    let rows = listing["snapshots"].as_array().unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row["path"]).collect();
    assert_eq!(names, ["home/1", "home/2", "home/3", "home/5"]);
    assert_eq!(listing["notes"].as_array().unwrap().len(), 1, "{listing}");
    // All that can be restored is, and what cannot is named.
    let said = bucket.run(&[&bucket.url("pc/"), &slash(&b)]);
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("home/5") && said.stderr.contains(&ids[3]));
    all_same(&snaps, &b.join("home"), &["1", "2", "3"]);
    assert!(!b.join("home/5").exists());
    // Writing there leaves all of it alone.
    bucket.fine(&[&slash(&snaps), &bucket.url("pc/")]);
    bucket.fine(&["-d", &slash(&snaps), &bucket.url("pc/")]);
    let after = bucket.keys("");
    assert!(before.iter().all(|key| after.contains(key)), "{after:?}");
    assert!(after.contains(&broken) && after.len() > before.len());
    let c = btrfs("c", 512);
    bucket.fine(&[&bucket.url("pc/"), &slash(&c)]);
    for n in 1..=5 {
        let found = ["home/", ""].map(|dir| c.join(format!("{dir}{n}")));
        let found: Vec<&PathBuf> = found.iter().filter(|path| path.exists()).collect();
        assert_same(&at(n), found[0]);
    }
}

/// Of two streams one cannot be looked at: the commands for the other one are shown.
fn what_cannot_be_told_by_hand_is_one_item() {
    let a = btrfs("a", 256);
    subvolume(&a.join("live"));
    std::fs::create_dir(a.join("snaps")).unwrap();
    for name in ["one", "two"] {
        snapshot(&a.join("live"), &a.join("snaps").join(name));
    }
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let there = bucket.url("y/");
    bucket.fine(&["--whole", &slash(&a.join("snaps")), &there]);
    let proxy = Proxy::before(&server, |seen| {
        let stream = seen.method == "GET" && seen.target.contains("/y/one/");
        stream.then_some(Fault::Answer(403, "x: y"))
    });
    let said = said(&mut command(
        &proxy.endpoint,
        &["list", "--commands", &there],
    ));
    assert_eq!(said.code, 10);
    let shown = said
        .stdout
        .lines()
        .filter(|l| l.ends_with("| btrfs receive ."));
    let shown: Vec<&str> = shown.collect();
    assert!(
        shown.len() == 1 && shown[0].contains("/y/two/"),
        "{shown:?}"
    );
    assert!(said.stderr.contains("/y/one/"), "{}", said.stderr);
}

fn from_bucket_to_bucket() {
    let server = shared("seaweedfs");
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let (first, second) = (Bucket::new(&server), format!("{}-2", server.bucket_name()));
    assert_eq!(server.plain("PUT", &second, "", b"").0, 200);
    let there = format!("s3://{second}/copy/");
    history(&a, 3);
    let snaps = a.join("snaps");
    first.fine(&[&slash(&snaps), &first.url("host/")]);
    first.fine(&[&first.url("host/"), &there]);
    let again = first.fine(&[&first.url("host/"), &there]);
    assert!(again.stdout.contains("nothing sent; 3 already there"));
    first.fine(&[&there, &slash(&b)]);
    all_same(&snaps, &b, &["1", "2", "3"]);
    // Within one bucket, too, and with one snapshot and what it needs.
    first.fine(&[&first.url("host/3"), &first.url("other/")]);
    let c = btrfs("c", 512);
    first.fine(&[&first.url("other/"), &slash(&c)]);
    assert_same(&snaps.join("3"), &c.join("3"));
}

fn from_far_to_bucket() {
    let _sshd = Sshd::start();
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let (a, b) = (btrfs("far", 512), btrfs("b", 512));
    history(&a, 2);
    let through = |from: &str, to: &str| {
        let mut command = bucket.command(&[from, to]);
        let said = said(command.current_dir(here()).env("BUTTERSINK_SSH", "./ssh"));
        assert_eq!(said.code, 0);
    };
    let snaps = far(&a.join("snaps")).into_string().unwrap();
    let back = far(&b).into_string().unwrap();
    through(&snaps, &bucket.url("host/"));
    through(&bucket.url("host/"), &back);
    all_same(&a.join("snaps"), &b, &["1", "2"]);
}

fn chains_stay_short() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let a = btrfs("a", 512);
    let (snaps, there) = (a.join("snaps"), bucket.url("host/"));
    history(&a, 1);
    for number in 2..=7 {
        bucket.fine(&["--max-chain", "2", &slash(&snaps), &there]);
        change(&a.join("live"), number);
        snapshot(&a.join("live"), &snaps.join(number.to_string()));
    }
    let diffs = bucket.diffs("host/");
    assert_eq!(diffs.len(), 6);
    for to in diffs.keys() {
        let (mut at, mut length) = (to, 1);
        while diffs[at][0] != "None" {
            (at, length) = (&diffs[at][0], length + 1);
        }
        assert!(length <= 2, "{to} takes {length} streams");
    }
    assert!(diffs.values().flatten().any(|from| from != "None"));
}

/// A run that has begun, with a debug log.
fn begin(bucket: &Bucket<'_>, snaps: &Path, log: &str, more: &[&str]) -> Child {
    let (from, to, log) = (slash(snaps), bucket.url("host/"), here().join(log));
    let words = ["--part-size", "5", "-l", log.to_str().unwrap(), &from, &to];
    let mut command = bucket.command(&[&words[..], more].concat());
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

/// How many parts a run with `--json` sent and skipped, when it has ended well.
fn counted(child: Child) -> (usize, usize) {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [step, summary] = &lines[lines.len() - 2..] else {
        panic!("two lines at least: {lines:?}")
    };
    assert_eq!(step["parts"], summary["parts"]);
    let count = |name: &str| summary["parts"][name].as_u64().unwrap() as usize;
    (count("sent"), count("skipped"))
}

/// Waits until a run has sent so many parts.
fn wait_for_parts(log: &str, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    let log = here().join(log);
    while !log.exists() || arrived(&log) < count {
        assert!(Instant::now() < end, "no {count} parts");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The next run sends what is missing and no more, and then the object is right.
fn gone_on_with(bucket: &Bucket<'_>, snaps: &Path, there: usize) {
    let (sent, skipped) = counted(begin(bucket, snaps, "last", &["--json"]));
    assert!(skipped >= there, "{skipped} of {there} parts were skipped");
    right(bucket, snaps, sent + skipped);
}

/// Nothing unfinished is left, and the stream is what `btrfs send` makes.
fn right(bucket: &Bucket<'_>, snaps: &Path, count: usize) {
    let stream = send(&snaps.join("large"), None);
    assert_eq!(count, stream.len().div_ceil(5 << 20), "parts");
    assert_eq!(bucket.unfinished().concat(), [0; 0]);
    let keys = bucket.keys("host/large/");
    assert_eq!(keys.len(), 1);
    assert!(bucket.get(&keys[0]) == stream, "the object is another");
}

/// A moment that differs from run to run, up to so many milliseconds.
fn some_time(most: u64) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new();
    let time = Duration::from_millis(random.build_hasher().finish() % most);
    println!("after {time:?}");
    time
}

fn killed_at_any_moment(server: &Server) {
    let bucket = Bucket::new(server);
    let snaps = large(&btrfs("a", 512), 60);
    for round in 0..4 {
        let before = bucket.unfinished();
        // Of one whose id had not come when the run was killed nobody knows that it is ours.
        let used = before.iter().filter(|parts| !parts.is_empty());
        assert!(used.count() <= 1, "a second upload was begun");
        let log = format!("log{round}");
        // So slow that it is not done before: 60 MiB take three seconds.
        let mut child = begin(&bucket, &snaps, &log, &["--bwlimit", "20M"]);
        std::thread::sleep(some_time(800));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!bucket.keys("host/").iter().any(|key| key.contains('_')));
    }
    wait_or_add_parts(&bucket, &snaps);
    let left = bucket.unfinished();
    let listing = bucket.json(&[&bucket.url("host/")]);
    assert_eq!(listing["snapshots"][0]["state"], "partial");
    let note = listing["notes"][0].as_str().unwrap();
    assert!(
        note.contains("unfinished upload") && note.contains("begun"),
        "{note}"
    );
    let most = left.iter().map(Vec::len).max();
    gone_on_with(&bucket, &snaps, most.unwrap_or(0));
    // An unfinished one can be removed instead.
    let (from, to) = (slash(&snaps), bucket.url("other/"));
    let log = here().join("other");
    let words = [
        "--part-size=5",
        "--bwlimit=20M",
        "-l",
        log.to_str().unwrap(),
    ];
    let mut child = bucket
        .command(&[&words[..], &[&from, &to]].concat())
        .spawn()
        .unwrap();
    wait_for_parts("other", 2);
    child.kill().unwrap();
    child.wait().unwrap();
    bucket.fine(&["-n", "-d", &to]);
    assert_eq!(bucket.unfinished().len(), 1, "a dry run removed it");
    // Another machine may be making it: only its age tells.
    let said = bucket.fine(&["-d", &to]);
    assert!(said.stderr.contains("bytes are there"), "{}", said.stderr);
    assert_eq!(bucket.unfinished().len(), 1);
    bucket.fine(&["clean", "--older-than", "0", &to]);
    assert_eq!(bucket.unfinished().len(), 0);
    assert_eq!(bucket.json(&[&to])["snapshots"], Value::Array(Vec::new()));
}

/// If chance never let a part through, one more run that does.
fn wait_or_add_parts(bucket: &Bucket<'_>, snaps: &Path) {
    let mut child = begin(bucket, snaps, "some", &["--bwlimit", "20M"]);
    wait_for_parts("some", 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn an_interrupted_upload_is_gone_on_with() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let snaps = large(&btrfs("a", 512), 60);
    for name in ["INT", "TERM", "HUP"] {
        let child = begin(&bucket, &snaps, name, &["--bwlimit", "20M"]);
        wait_for_parts(name, 2);
        run("kill", [format!("-{name}"), child.id().to_string()]);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains("the next run goes on with it"), "{stderr}");
    }
    let left = bucket.unfinished();
    assert_eq!(left.len(), 1);
    let most = left.iter().map(Vec::len).max();
    gone_on_with(&bucket, &snaps, most.unwrap_or(0));
}

fn the_server_is_killed() {
    let server = own("seaweedfs");
    let bucket = Bucket::new(&server);
    let snaps = large(&btrfs("a", 512), 60);
    let child = begin(&bucket, &snaps, "first", &["--bwlimit", "20M"]);
    wait_for_parts("first", 3);
    server.kill();
    // Whoever has no patience is not kept waiting.
    run("kill", ["-INT", &child.id().to_string()]);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    server.again();
    let there = bucket.unfinished()[0].len();
    assert!(there >= 3, "{there}");
    // Whoever has some needs no second run.
    let child = begin(&bucket, &snaps, "second", &["--json", "--bwlimit", "20M"]);
    wait_for_parts("second", 2);
    server.kill();
    server.again();
    let (sent, skipped) = counted(child);
    assert!(skipped >= there, "{skipped} of {there} parts were skipped");
    right(&bucket, &snaps, sent + skipped);
}

/// A part for each of three threads and one more, whatever the length of the stream; on the way
/// back a range for each, the one that is read, and one that is still hashed.
fn memory_is_bounded() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let snaps = large(&a, 150);
    let part: u64 = 8 << 20;
    let (from, there, to) = (slash(&snaps), bucket.url("host/"), slash(&b));
    let options = ["-qq", "-j", "3", "--part-size", "8"];
    let up = peak(&bucket.command(&[&options[..], &[&from, &there]].concat()));
    assert!(up < 4 * part + (24 << 20), "{up} bytes up");
    let down = peak(&bucket.command(&[&options[..], &[&there, &to]].concat()));
    let range: u64 = 8 << 20;
    assert!(down < 5 * range + (24 << 20), "{down} bytes down");
    assert_same(&snaps.join("large"), &b.join("large"));
}

/// The most memory that a command had, in bytes.
fn peak(command: &Command) -> u64 {
    let wait = "import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)";
    let mut python = Command::new("python3");
    python.args(["-c", wait]).arg(command.get_program());
    python.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let output = output(&mut python);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse::<u64>().unwrap() * 1024
}
