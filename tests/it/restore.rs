//! `buttersink restore` between real servers and real filesystems: every point of a chain, frozen
//! chunks, and what becomes of it when something is wrong or somebody kills it.

use crate::bucket::{command, said};
use crate::proxy::{Fault, Proxy, Seen};
use crate::runner::Test;
use crate::scheduled;
use crate::servers::{Server, shared};
use crate::subvolumes::{alter, change, history, id, script, shown};
use crate::support::*;
use crate::tree::assert_same;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        &[$(
            (concat!("restore::", stringify!($name), "_seaweedfs"), || $name(shared("seaweedfs"))),
            (concat!("restore::", stringify!($name), "_radosgw"), || $name(shared("radosgw"))),
        )*]
    };
}

pub(crate) const TESTS: &[Test] = on_both![every_point_comes_back, a_damaged_chunk];

/// On a server with archive classes.
pub(crate) const FROZEN: &[Test] = crate::tests![
    everything_is_thawed_at_once,
    asking_and_going_on_later,
    thawed_copies_run_out,
    a_class_without_the_tier,
    what_never_thaws,
    the_listing_tells,
    what_is_written_today,
];

/// What need not be tried twice.
pub(crate) const OWN: &[Test] = crate::tests![
    what_the_old_program_left,
    what_is_there_is_not_fetched,
    killed_in_the_middle,
    killed_at_any_moment,
    killed_before_it_had_its_name,
    a_broken_chain,
    no_room,
    what_fits_compressed_comes_back,
    where_it_may_not_go,
    through_another_mount,
    compared_with_the_source,
    nothing_happens_in_a_dry_run,
];

const CUT: usize = 100_000;
const FOLDER: &str = "host/subvol/live";

/// A chain of three backups of `from/live` in a bucket, and a filesystem to restore to.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) bucket: String,
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) config: PathBuf,
    /// Keys of chunks in order, with their bytes and classes.
    pub(crate) chunks: Vec<(String, Vec<u8>, &'static str)>,
    pub(crate) manifests: Vec<String>,
}

/// How the bucket is filled.
pub(crate) struct Way {
    /// The classes of the full backup and of the others.
    classes: [&'static str; 2],
    /// Manifests have UUIDs.
    uuids: bool,
}

pub(crate) const PLAIN: Way = Way {
    classes: ["STANDARD", "STANDARD"],
    uuids: true,
};
pub(crate) const COLD: Way = Way {
    classes: ["DEEP_ARCHIVE", "GLACIER"],
    uuids: true,
};

impl Scene {
    pub(crate) fn new(server: Server, way: &Way) -> Scene {
        let bucket = server.bucket();
        let (from, to) = (btrfs("from", 512), btrfs("to", 512));
        history(&from, 3);
        std::fs::create_dir(to.join("received")).unwrap();
        let mut scene = Scene {
            config: here().join("config.toml"),
            server,
            bucket,
            from,
            to,
            chunks: Vec::new(),
            manifests: Vec::new(),
        };
        scene.configure(&scene.to.join("received"));
        (1..=3).for_each(|number| scene.back_up(number, way));
        let last = scene.manifests.last().unwrap();
        let pointer = json!({"manifest_key": last, "kind": "incremental", "created_at": "x"});
        scene.put(
            &format!("{FOLDER}/current.json"),
            pointer.to_string().as_bytes(),
        );
        scene
    }

    fn configure(&self, base: &Path) {
        let text = format!(
            "subvolumes.paths = ['/srv/live']\nrestore.target_base_dir = '{}'\n[s3]\n\
             bucket = '{}'\nregion = 'us-east-1'\nprefix = 'host'\n",
            base.display(),
            self.bucket
        );
        std::fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        assert_eq!(self.server.plain("PUT", &self.bucket, key, body).0, 200);
    }

    pub(crate) fn snapshot(&self, number: usize) -> PathBuf {
        self.from.join(format!("snaps/{number}"))
    }

    fn back_up(&mut self, number: usize, way: &Way) {
        let kind = if number == 1 { "full" } else { "incremental" };
        let class = way.classes[usize::from(number > 1)];
        let made = format!("2026010{number}T020000Z");
        let mut send = Command::new("btrfs");
        send.args(["send", "--quiet"]);
        if number > 1 {
            send.arg("-p").arg(self.snapshot(number - 1));
        }
        let file = here().join("stream");
        let sent = output(send.arg("-f").arg(&file).arg(self.snapshot(number)));
        assert!(sent.status.success());
        let stream = std::fs::read(file).unwrap();
        let mut chunks = Vec::new();
        for (i, piece) in stream.chunks(CUT).enumerate() {
            let key = format!("{FOLDER}/{kind}/chunk-{made}-{i}.bin");
            match class {
                "STANDARD" => self.put(&key, piece),
                class => self.server.put_class(&self.bucket, &key, class, piece),
            }
            let sum = Sha256::digest(piece);
            let hex =
                |sum: &[u8]| -> String { sum.iter().map(|byte| format!("{byte:02x}")).collect() };
            let (sum, etag) = (hex(&sum), hex(&md5::Md5::digest(piece)));
            chunks.push(json!({"key": key, "size": piece.len(), "sha256": sum, "etag": etag}));
            self.chunks.push((key, piece.to_vec(), class));
        }
        let uuid = |number: usize| {
            let known = way.uuids && number > 0;
            known.then(|| id(&self.snapshot(number)))
        };
        let manifest = json!({
            "version": 1, "subvolume": "live", "kind": kind, "created_at": made,
            "snapshot": {"name": number.to_string(), "path": self.snapshot(number).to_str().unwrap(),
                         "uuid": uuid(number), "parent_uuid": uuid(number - 1)},
            "parent_manifest": self.manifests.last(), "chunks": chunks,
            "total_bytes": stream.len(), "chunk_size": CUT, "s3": {"storage_class": class},
        });
        let key = format!("{FOLDER}/{kind}/manifest-{made}.json");
        self.put(&key, manifest.to_string().as_bytes());
        self.manifests.push(key);
    }

    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.to.join(name)
    }

    pub(crate) fn command(&self, endpoint: &str, target: &Path, options: &[&str]) -> Command {
        let config = self.config.to_str().unwrap();
        let words = [
            "restore",
            "--config",
            config,
            "--subvolume",
            "live",
            "--target",
        ];
        command(
            endpoint,
            &[&words[..], &[target.to_str().unwrap()], options].concat(),
        )
    }

    fn restore(&self, target: &Path, options: &[&str]) -> Said {
        said(&mut self.command(&self.server.endpoint, target, options))
    }

    #[track_caller]
    fn fine(&self, target: &Path, options: &[&str]) -> Said {
        let said = self.restore(target, options);
        assert_eq!(said.code, 0, "{options:?}");
        said
    }

    /// The target is what the snapshot is, and nothing unfinished is about.
    #[track_caller]
    pub(crate) fn same(&self, number: usize, target: &Path) {
        assert_same(&self.snapshot(number), target);
        assert!(left_over(&self.to).is_empty());
    }
}

fn left_over(at: &Path) -> String {
    script(at, "find . -name '*.part' -o -name '*.new'")
}

/// How many backups a run fetched.
fn received(said: &Said) -> usize {
    let lines = said.stdout.lines();
    lines.filter(|line| line.starts_with("sent ")).count()
}

fn every_point_comes_back(server: Server) {
    let scene = Scene::new(server, &PLAIN);
    let second = scene.target("second");
    let said = scene.fine(&second, &["--at", "2026-01-02T02:00:00Z"]);
    assert_eq!(received(&said), 2);
    scene.same(2, &second);
    assert_eq!(shown(&second, "Flags"), "-");
    script(&second, "echo mine >new; sync -f .");
    let kept = scene.to.join("received/2");
    assert_eq!(shown(&kept, "Flags"), "readonly");
    assert_eq!(id(&kept), id(&scene.snapshot(2)));
    // What was received stays a parent, whatever happens in the target.
    let third = scene.target("third");
    assert_eq!(received(&scene.fine(&third, &[])), 1);
    scene.same(3, &third);
    let again = scene.target("again");
    let said = scene.fine(&again, &["--snapshot", "2"]);
    assert_eq!(received(&said), 0);
    scene.same(2, &again);
    let first = scene.target("first");
    let key = scene.manifests[0].clone();
    let said = scene.fine(&first, &["--manifest-key", &key]);
    assert_eq!(received(&said), 0);
    scene.same(1, &first);
    let said = scene.restore(&scene.target("x"), &["--at", "2025-12-31"]);
    assert_eq!(said.code, 1);
    let said = scene.restore(&scene.target("x"), &["--snapshot", "4"]);
    assert!(said.code == 1 && said.stderr.contains("list --config"));
}

fn a_damaged_chunk(server: Server) {
    let scene = Scene::new(server, &PLAIN);
    let (key, bytes, _) = &scene.chunks[2];
    let mut wrong = bytes.clone();
    wrong[77] ^= 1;
    scene.put(key, &wrong);
    let target = scene.target("target");
    let said = scene.restore(&target, &[]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains(&scene.manifests[0]) && said.stderr.contains("damaged"));
    assert!(!target.exists() && !scene.to.join("received/1").exists());
    assert_eq!(left_over(&scene.to), "");
    scene.put(key, bytes);
    // A sound stream that is not the recorded one is refused too.
    let last = &scene.chunks[scene.chunks.len() - 1].0;
    let manifest = &scene.manifests[2];
    let (_, good) = scene.server.plain("GET", &scene.bucket, manifest, b"");
    let mut bad: Value = serde_json::from_slice(&good).unwrap();
    bad["chunks"][0]["sha256"] = "00".repeat(32).into();
    scene.put(manifest, bad.to_string().as_bytes());
    let said = scene.restore(&target, &[]);
    assert!(said.code == 1 && said.stderr.contains(last) && said.stderr.contains("SHA-256"));
    assert!(!target.exists() && left_over(&scene.to).is_empty());
    scene.put(manifest, &good);
    assert_eq!(received(&scene.fine(&target, &[])), 1);
    scene.same(3, &target);
}

fn what_the_old_program_left() {
    let way = Way {
        classes: ["STANDARD", "STANDARD"],
        uuids: false,
    };
    let scene = Scene::new(shared("seaweedfs"), &way);
    let first = scene.target("first");
    scene.fine(&first, &["--snapshot", "1"]);
    scene.same(1, &first);
    let third = scene.target("third");
    assert_eq!(received(&scene.fine(&third, &[])), 2, "1 is there");
    scene.same(3, &third);
    // Keys need not look like any that are written today.
    let text = scene
        .server
        .plain("GET", &scene.bucket, &scene.manifests[0], b"")
        .1;
    scene.put("elsewhere/backup.json", &text);
    let other = scene.target("other");
    scene.fine(&other, &["--manifest-key", "elsewhere/backup.json"]);
    scene.same(1, &other);
}

fn what_is_there_is_not_fetched() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    // The snapshots themselves, on the filesystem that they were made on.
    let target = scene.from.join("target");
    let said = scene.fine(&target, &[]);
    assert_eq!(received(&said), 0);
    assert_same(&scene.snapshot(3), &target);
    // Without the last one, only that is fetched, and builds on the one that is there.
    script(&scene.from, "btrfs -q subvolume delete snaps/3 target");
    let said = scene.fine(&target, &[]);
    assert_eq!(received(&said), 1);
    assert_eq!(
        id(&scene.from.join("3")),
        shown(&scene.from.join("3"), "Received UUID")
    );
    // An altered one is none.
    alter(&scene.from.join("snaps/2"));
    script(&scene.from, "btrfs -q subvolume delete 3");
    let said = scene.restore(&scene.from.join("again"), &["-n"]);
    let rows: Vec<&str> = said
        .stdout
        .lines()
        .filter(|l| l.contains("is here: "))
        .collect();
    assert!(rows.len() == 1 && rows[0].contains("/snaps/1"), "{rows:?}");
}

fn killed_in_the_middle() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let target = scene.target("target");
    let mut slow = scene.command(
        &scene.server.endpoint,
        &target,
        &["--bwlimit", "40", "-j", "1"],
    );
    let mut child = slow
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = scene.to.join("received/1.part");
    let end = Instant::now() + Duration::from_secs(60);
    let begun = || part.exists() || in_quarantine(&scene.to);
    while !begun() {
        assert!(Instant::now() < end, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Two at once do not meet.
    let said = scene.restore(&scene.target("other"), &[]);
    assert_eq!(said.code, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(begun() && !target.exists());
    scene.fine(&target, &[]);
    scene.same(3, &target);
}

/// Again and again, each time a little later: the target is whole or not there.
fn killed_at_any_moment() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let target = scene.target("target");
    for round in 1..=20 {
        let options = ["--bwlimit", "400", "-j", "1"];
        let mut command = scene.command(&scene.server.endpoint, &target, &options);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(70 * round));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        if target.exists() {
            assert_same(&scene.snapshot(3), &target);
            break;
        }
        assert_ne!(ended.code(), Some(0));
    }
    let again = scene.target("again");
    scene.fine(&again, &[]);
    scene.same(3, &again);
}

/// Received whole, and not yet renamed: the next run removes it, and so it is nothing to stumble over.
fn killed_before_it_had_its_name() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let first = scene.target("first");
    scene.fine(&first, &["--snapshot", "1"]);
    let received_in = scene.to.join("received");
    script(&received_in, "mv 1 1.part; rm ../.buttersink/seals");
    let target = scene.target("target");
    script(
        &received_in,
        "mkdir -m 700 .buttersink; printf 1.part >.buttersink/unfinished",
    );
    assert_eq!(received(&scene.fine(&target, &[])), 3);
    scene.same(3, &target);
}

fn a_broken_chain() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let (key, bytes, _) = scene.chunks.last().unwrap();
    scene.server.plain("DELETE", &scene.bucket, key, b"");
    let target = scene.target("target");
    let said = scene.restore(&target, &["--manifest-key", &scene.manifests[2]]);
    assert!(said.code == 1 && said.stderr.contains("is missing"));
    let said = scene.restore(&target, &["--snapshot", "3"]);
    assert!(said.code == 1 && said.stderr.contains("is missing") && !target.exists());
    // Without a word on which, the newest that can be restored, and it says so.
    let said = scene.fine(&target, &[]);
    assert!(said.stderr.contains(&scene.manifests[2]) && said.stderr.contains("is missing"));
    scene.same(2, &target);
    scene.put(key, bytes);
    scene
        .server
        .plain("DELETE", &scene.bucket, &scene.manifests[1], b"");
    let said = scene.restore(&scene.target("x"), &["--snapshot", "3"]);
    assert!(said.code == 1 && said.stderr.contains(&scene.manifests[1]));
}

fn no_room() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let small = btrfs("small", 128);
    let fill = "head -c 200M /dev/zero >filler 2>&1 || true; sync -f .";
    script(&small, fill);
    let said = scene.restore(&small.join("target"), &[]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("no space left on device (needs "));
    assert!(!small.join("target").exists() && !small.join("1").exists());
}

/// A disk of the same size takes what was compressed, though its stream is larger.
fn what_fits_compressed_comes_back() {
    let scene = scheduled::Scene::new("seaweedfs", "");
    scene.replace("chunk_size_bytes = 150000", "chunk_size_bytes = 50000000");
    let data = scene.from.join("data");
    script(&data, "yes all the same | head -c 150M >much");
    scene.run(&scheduled::day(0)).unwrap();
    let small = btrfs("small", 128);
    let target = small.join("target");
    let restore = || {
        let words = [
            "restore",
            "--config",
            scene.config.to_str().unwrap(),
            "--subvolume",
            "data",
        ];
        let words = [&words[..], &["--target", target.to_str().unwrap()]].concat();
        said(&mut command(&scene.server.endpoint, &words))
    };
    let said = restore();
    assert_eq!(said.code, 1);
    assert!(
        said.stderr
            .contains("mounted with compress=zstd it may hold more")
    );
    script(&small, "mount -o remount,compress=zstd .");
    let said = restore();
    assert_eq!(said.code, 0);
    assert!(
        said.stderr.contains("known only at the end"),
        "{}",
        said.stderr
    );
    assert_same(&data, &target);
}

fn where_it_may_not_go() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let there = scene.target("there");
    std::fs::create_dir(&there).unwrap();
    let said = scene.restore(&there, &[]);
    assert!(said.code == 1 && said.stderr.contains("already"));
    assert!(there.read_dir().unwrap().next().is_none());
    let said = scene.restore(&scene.target("no/such/directory"), &[]);
    assert_eq!(said.code, 1);
    let said = scene.restore(&scene.target("x"), &["--subvolume", "other"]);
    assert!(said.code == 1 && said.stderr.contains("no backups"));
    let mut bare = scene.command(&scene.server.endpoint, &scene.target("x"), &[]);
    bare.env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let said = self::said(bare.env("AWS_EC2_METADATA_DISABLED", "true"));
    assert!(said.code != 0 && said.stderr.contains("credentials"));
    let said = scene.restore(Path::new("/dev/shm/target"), &[]);
    assert!(said.code == 1 && said.stderr.contains("has to be on btrfs"));
    // Said before anything is thawed.
    script(&scene.to, "mount -o remount,ro .");
    let said = scene.restore(&scene.target("x"), &["-n"]);
    assert!(said.code == 1 && said.stderr.contains("read-only"));
    script(&scene.to, "mount -o remount,rw .");
    // A directory for what is received that is on another filesystem is no use.
    scene.configure(&scene.from);
    let target = scene.target("target");
    scene.fine(&target, &["--snapshot", "1"]);
    scene.same(1, &target);
    assert_eq!(id(&scene.to.join("1")), id(&scene.snapshot(1)));
}

/// The same filesystem, but `btrfs receive` sees less of it than the target does.
fn through_another_mount() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let other = here().join("other");
    std::fs::create_dir(&other).unwrap();
    let mount = format!(
        "btrfs -q subvolume create part
         mount -o subvol=part \"$(findmnt -no SOURCE --target .)\" '{}'",
        other.display()
    );
    script(&scene.to, &mount);
    scene.configure(&other);
    let first = scene.target("first");
    scene.fine(&first, &["--snapshot", "1"]);
    scene.same(1, &first);
    assert_eq!(id(&other.join("1")), id(&scene.snapshot(1)));
    // Seen from the top, it is there.
    scene.configure(&scene.to.join("received"));
    let second = scene.target("second");
    assert_eq!(received(&scene.fine(&second, &["--snapshot", "2"])), 1);
    // The other way round the second one is out of sight, and in the way.
    scene.configure(&other);
    let third = scene.target("third");
    let said = scene.restore(&third, &[]);
    assert!(said.code == 1 && said.stderr.contains("cannot be seen from there"));
    assert!(received(&said) == 0 && !third.exists());
    scene.configure(&scene.to.join("received"));
    scene.fine(&third, &[]);
    scene.same(3, &third);
}

fn compared_with_the_source() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let said = scene.fine(&scene.target("full"), &[]);
    assert!(said.stdout.contains("byte by byte the same as"));
    let said = scene.fine(&scene.target("sample"), &["--verify", "sample"]);
    assert!(said.stdout.contains("all names and attributes"));
    let said = scene.fine(&scene.target("none"), &["--verify", "none"]);
    assert!(!said.stdout.contains("all names") && !said.stdout.contains("byte by byte"));
    // Without its seal nobody knows that it was altered; a comparison does.
    std::fs::remove_file(scene.to.join(".buttersink/seals")).unwrap();
    alter(&scene.to.join("received/3"));
    let target = scene.target("target");
    let said = scene.restore(&target, &[]);
    assert_eq!(said.code, 4);
    assert!(said.stderr.contains("d/small") && !target.exists());
    // Without the source, what was checked is said and no more.
    script(&scene.from, "btrfs -q subvolume delete snaps/3");
    script(&scene.to, "btrfs -q subvolume delete received/3");
    let said = scene.fine(&target, &[]);
    assert!(
        said.stdout.contains("was not compared with its source") && said.stdout.contains("SHA-256")
    );
}

fn nothing_happens_in_a_dry_run() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let proxy = Proxy::before(&scene.server, |_| None);
    let target = scene.target("target");
    let mut dry = scene.command(&proxy.endpoint, &target, &["-n", "--json"]);
    let said = said(&mut dry);
    assert_eq!(said.code, 0);
    let plan: Value = serde_json::from_str(said.stdout.trim()).unwrap();
    let bytes: usize = scene.chunks.iter().map(|(_, bytes, _)| bytes.len()).sum();
    assert_eq!(plan["bytes"], bytes);
    assert_eq!(plan["frozen"], scene.chunks.len());
    assert_eq!(plan["chain"].as_array().unwrap().len(), 3);
    assert_eq!(plan["manifest_key"], scene.manifests[2]);
    assert_eq!(proxy.count("POST"), 0);
    let seen = script(&scene.to, "find . -mindepth 1");
    assert_eq!(seen, "./received\n");
    // As if it were AWS, the same has a price.
    let mut aws = scene.command(
        &proxy.endpoint,
        &target,
        &["-n", "--s3-quirks", "aws,path-style"],
    );
    let text = self::said(&mut aws).stdout;
    assert!(
        text.contains("to thaw (Standard)") && text.contains("estimate"),
        "{text}"
    );
    assert!(
        text.contains("DEEP_ARCHIVE by Standard: up to 12 hours"),
        "{text}"
    );
}

fn asks(seen: &Seen<'_>) -> bool {
    seen.method == "POST" && seen.target.contains("restore=")
}

fn everything_is_thawed_at_once() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let proxy = Proxy::before(&scene.server, |_| None);
    let target = scene.target("target");
    let said = said(&mut scene.command(&proxy.endpoint, &target, &[]));
    assert_eq!(said.code, 0);
    scene.same(3, &target);
    let all = scene.chunks.len();
    assert!(said.stderr.contains(&format!("asked for {all} objects")));
    let seen = proxy.seen.lock().unwrap().clone();
    let posts: Vec<usize> = positions(&seen, "POST");
    assert_eq!(posts.len(), all, "each is asked for once");
    // One after the other, and nothing is looked at in between.
    assert_eq!(posts.last().unwrap() - posts[0], all - 1);
    for (key, ..) in &scene.chunks {
        assert!(
            posts
                .iter()
                .any(|&at| seen[at].contains(key.rsplit('/').next().unwrap()))
        );
    }
    drop(seen);
    // What is here needs no thawing.
    let said = scene.fine(&scene.target("again"), &["--snapshot", "2"]);
    assert_eq!(received(&said), 0);
}

fn positions(seen: &[String], word: &str) -> Vec<usize> {
    let lines = seen.iter().enumerate();
    let found = lines.filter(|(_, line)| line.starts_with(word));
    found.map(|(at, _)| at).collect()
}

fn asking_and_going_on_later() {
    let way = Way {
        uuids: false,
        ..COLD
    };
    let scene = Scene::new(shared("ministack"), &way);
    let proxy = Proxy::before(&scene.server, |_| None);
    let target = scene.target("target");
    let run = |options: &[&str]| said(&mut scene.command(&proxy.endpoint, &target, options));
    let all = scene.chunks.len();
    // On a busy machine all may have thawed before the second run looks: then once more.
    let twice = || {
        scene.freeze();
        let before = proxy.count("POST");
        let said = run(&["--no-wait-restore"]);
        assert_eq!((said.code, proxy.count("POST") - before), (10, all));
        assert!(said.stderr.contains("the same command goes on"));
        // A tier that is asked for now is passed on, and refused with 409.
        let before = proxy.count("POST");
        let said = run(&["-n", "--no-wait-restore"]);
        assert_eq!((said.code, proxy.count("POST")), (0, before));
        let said = run(&["--no-wait-restore", "--restore-tier", "Bulk"]);
        (said.code == 10).then(|| proxy.count("POST") - before)
    };
    let asked = (0..5).find_map(|_| twice()).expect("too busy a machine");
    assert!((1..=all).contains(&asked), "{asked}");
    assert!(!target.exists());
    std::thread::sleep(Duration::from_millis(2500));
    let asked = proxy.count("POST");
    let said = run(&["--no-wait-restore"]);
    assert_eq!((said.code, proxy.count("POST")), (0, asked));
    scene.same(3, &target);
}

fn thawed_copies_run_out() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let (key, bytes, _) = scene.chunks[1].clone();
    let name = key.rsplit('/').next().unwrap().to_owned();
    let (upstream, bucket) = (scene.server.endpoint.clone(), scene.bucket.clone());
    let server = shared("ministack");
    assert_eq!(server.endpoint, upstream);
    // When it is to be fetched it is frozen again, as an object just written is, in another class.
    let (mut froze, mut thawed) = (false, false);
    let proxy = Proxy::before(&scene.server, move |seen| {
        thawed |= asks(seen);
        if thawed && seen.method == "GET" && seen.target.contains(&name) && !froze {
            froze = true;
            server.put_class(&bucket, &key, "GLACIER", &bytes);
        }
        None::<Fault>
    });
    let target = scene.target("target");
    let said =
        said(&mut scene.command(&proxy.endpoint, &target, &["--s3-quirks", "aws,path-style"]));
    assert_eq!(said.code, 0);
    assert_eq!(proxy.count("POST"), scene.chunks.len() + 1);
    scene.same(3, &target);
    // Who does not wait long enough is told how to go on.
    let other = Scene::timeout(&scene);
    assert_eq!(other.code, 10);
    assert!(other.stderr.contains("--restore-timeout") && other.stderr.contains("goes on"));
}

impl Scene {
    /// All chunks as if they had just been written.
    fn freeze(&self) {
        for (key, bytes, class) in &self.chunks {
            self.server.put_class(&self.bucket, key, class, bytes);
        }
    }

    /// A run on a fresh filesystem and with frozen chunks that does not wait long enough.
    fn timeout(&self) -> Said {
        self.freeze();
        let late = btrfs("late", 256);
        let said = self.restore(&late.join("target"), &["--restore-timeout", "1"]);
        assert_eq!(late.read_dir().unwrap().count(), 0);
        said
    }
}

fn a_class_without_the_tier() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let proxy = Proxy::before(&scene.server, |seen| {
        asks(seen).then_some(Fault::Answer(503, ""))
    });
    let expedited = ["--restore-tier", "Expedited"];
    let target = scene.target("target");
    let run = || said(&mut scene.command(&proxy.endpoint, &target, &expedited));
    let said = run();
    assert!(said.code == 2 && said.stderr.contains("DEEP_ARCHIVE has no such tier"));
    assert_eq!(proxy.count("POST"), 0);
}

/// A service that grants everything and does nothing.
fn what_never_thaws() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let proxy = Proxy::before(&scene.server, |seen| {
        asks(seen).then_some(Fault::Answer(202, ""))
    });
    let target = scene.target("target");
    let said = said(&mut scene.command(&proxy.endpoint, &target, &[]));
    assert!(said.code == 1 && said.stderr.contains("frozen again and again"));
    assert_eq!(proxy.count("POST"), 2 * scene.chunks.len());
    // Whoever loses patience before that may stop it at any time.
    let mut command = scene.command(&proxy.endpoint, &target, &[]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("asked for")));
    run("kill", ["-INT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!target.exists());
}

/// One listing is enough where it has the state of objects.
fn the_listing_tells() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let mut text = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
    for (number, (key, bytes, class)) in scene.chunks.iter().enumerate() {
        let status = match number {
            0 => "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>",
            _ => "",
        };
        text += &format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><StorageClass>{class}</StorageClass>{status}</Contents>",
            bytes.len()
        );
    }
    let text: &str = (text + "</ListBucketResult>").leak();
    let proxy = Proxy::before(&scene.server, move |seen| {
        let asked = seen.signed.contains("x-amz-optional-object-attributes");
        asked.then_some(Fault::Body(text))
    });
    let target = scene.target("target");
    let options = ["--no-wait-restore"];
    let said = said(&mut scene.command(&proxy.endpoint, &target, &options));
    assert_eq!(said.code, 10);
    // The first one goes on as it was asked for before.
    assert_eq!(proxy.count("POST"), scene.chunks.len() - 1);
    assert_eq!(proxy.count("HEAD"), 0);
}

/// Backups of the program itself, in the classes that it uses unless told otherwise.
fn what_is_written_today() {
    let server = shared("ministack");
    let bucket = server.bucket();
    let (from, to) = (btrfs("from", 512), btrfs("to", 512));
    history(&from, 1);
    let config = here().join("config.toml");
    let (here, at) = (here(), from.display());
    let text = format!(
        "subvolumes.paths = ['{at}/live']\nsnapshots = {{ base_dir = '{at}/kept', retain = 9 }}\n\
         global = {{ state_path = '{0}/state.json', lock_path = '{0}/lock' }}\n[s3]\n\
         bucket = '{bucket}'\nregion = 'us-east-1'\nprefix = 'host'\nchunk_size_bytes = 100000\n",
        here.display()
    );
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(from.join("kept")).unwrap();
    let config = config.to_str().unwrap();
    let run = |words: &[&str]| {
        let said = said(&mut command(&server.endpoint, words));
        assert_eq!(said.code, 0, "{words:?}");
        said
    };
    for number in 2..5 {
        run(&["backup", "--config", config, "--once"]);
        change(&from.join("live"), number);
    }
    let names = script(&from.join("kept"), "ls -d live__*");
    assert_eq!(names.lines().count(), 3);
    for name in names.lines() {
        let target = to.join(format!("to-{name}"));
        let words = [
            "restore",
            "--config",
            config,
            "--subvolume",
            "live",
            "--snapshot",
            name,
        ];
        let said = run(&[&words[..], &["--target", target.to_str().unwrap()]].concat());
        assert!(said.stderr.contains("asked for") && said.stdout.contains("byte by byte"));
        assert_same(&from.join("kept").join(name), &target);
    }
}
