//! `buttersink clean`: what runs left, at each kind of location; and archives in `list s3://…` and
//! in `verify s3://…`.

use crate::bucket::{self, Bucket};
use crate::bucket_suites::settings;
use crate::contract;
use crate::proxy::Proxy;
use crate::runner::Test;
use crate::s3::{MIB, open, options};
use crate::servers::shared;
use crate::sshd::{self, Sshd, far};
use crate::streams::{diff, stream};
use crate::subvolumes::{history, script, unfinished};
use crate::support::{btrfs, buttersink, local_options, program};
use crate::tests;
use buttersink::objects::memory::Memory;
use buttersink::objects::{About, Objects};
use buttersink::snapshot::Uuid;
use buttersink::store::bucket::{ArchiveStore, DiffStore, archive::Settings};
use buttersink::store::local::Local;
use buttersink::store::{Access, Store};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const TESTS: &[Test] = tests![
    a_directory_is_cleaned,
    a_far_directory_is_cleaned,
    both_layouts_of_a_bucket_are_cleaned,
    a_bucket_is_listed_once,
    a_moved_archive_is_whole,
    what_may_be_of_a_newer_program_stays,
    what_may_be_built_on_stays,
    what_a_marker_implies_stays,
    the_trash_has_what_was_deleted,
    archives_are_listed,
    archives_are_verified,
    what_is_frozen_is_shown,
];

const FULL: &str = "data__20261121T020000Z__full";
const INC: &str = "data__20261128T020000Z__inc";

fn archive(bucket: &Bucket, prefix: &str) -> ArchiveStore {
    let settings = settings(&bucket.name, prefix, 6 * MIB);
    ArchiveStore::open(settings, Access::Write, options(&bucket.server.endpoint)).unwrap()
}

fn local(dir: &Path) -> Local {
    Local::open(dir, Access::Read, local_options()).unwrap()
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn a_far_directory_is_cleaned() {
    let _sshd = Sshd::start();
    let dir = btrfs("a", 512);
    history(&dir, 1);
    let snaps = dir.join("snaps");
    unfinished(&snaps, "x.part");
    let words = |options: &[&str]| {
        let words = options.iter().map(OsString::from);
        words.chain([far(&snaps)]).collect::<Vec<_>>()
    };
    let said = sshd::buttersink(words(&["clean", "-n"]));
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(snaps.join("x.part").exists());
    let said = sshd::buttersink(words(&["clean"]));
    assert!(
        said.stdout.starts_with("removed: x.part in ssh://"),
        "{}",
        said.stdout
    );
    assert!(!snaps.join("x.part").exists());
    let said = sshd::buttersink(words(&["clean"]));
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, "0 removed, 0 kept\n")
    );
}

fn a_directory_is_cleaned() {
    let dir = btrfs("a", 512);
    history(&dir, 1);
    let snaps = dir.join("snaps");
    unfinished(&snaps, "x.part");
    script(
        &snaps,
        "btrfs -q subvolume create other; btrfs -q subvolume create precious.part",
    );
    let place = format!("{}/", snaps.to_str().unwrap());
    let said = buttersink(["clean", "-n", &place]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert!(
        said.stdout.starts_with("removable: x.part in "),
        "{}",
        said.stdout
    );
    assert!(snaps.join("x.part").exists());
    let said = buttersink(["clean", "--older-than", "1h", &place]);
    assert!(said.stdout.starts_with("kept: x.part in ") && said.stdout.contains("younger"));
    assert!(snaps.join("x.part").exists());
    for words in [
        &["clean", "--exclude", "x*"][..],
        &["-d", "--exclude", "x*"],
    ] {
        assert_eq!(buttersink([words, &[&place]].concat()).code, 0);
        assert!(snaps.join("x.part").exists(), "{words:?}");
    }
    let said = buttersink(["clean", "--json", &place]);
    assert_eq!(said.code, 0);
    let found = lines(&said.stdout);
    assert_eq!(
        (&found[0]["path"], &found[0]["result"]),
        (&"x.part".into(), &"removed".into())
    );
    assert_eq!(
        (&found[1]["removed"], &found[1]["kept"]),
        (&1.into(), &0.into())
    );
    assert!(!snaps.join("x.part").exists());
    assert!(snaps.join("other").exists() && snaps.join("1").exists());
    assert_eq!(buttersink(["clean", &place]).stdout, "0 removed, 0 kept\n");
    assert_eq!(buttersink(["-d", &place]).code, 0);
    // No record of ours names it.
    assert!(snaps.join("precious.part").exists());
    assert_eq!(
        program("buttersink", ["clean", "--older-than", "x", &place]).code,
        2
    );
}

/// An unfinished upload of either kind, whole chunks without a manifest, and what is in order.
fn both_layouts_of_a_bucket_are_cleaned() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let mut diffs = open(&server.endpoint, &bucket.name);
    let mut chunks = archive(&bucket, "host/deep");
    let (long, bytes) = (diff(3, None, 20 * MIB), stream(3, None, 20 * MIB));
    for (store, name) in [(&mut diffs as &mut dyn Store, "a"), (&mut chunks, FULL)] {
        let small = stream(1, None, 400);
        contract::put(store, &diff(1, None, 400), Path::new(name), &small).unwrap();
        let mut sink = store
            .receive(&long, Path::new("b__20261201T020000Z__full"))
            .unwrap();
        sink.write_all(&bytes[..17 * MIB + 500_000]).unwrap();
    }
    let kept: Vec<String> = bucket
        .keys("")
        .into_iter()
        .filter(|key| !key.contains("1201T"))
        .collect();
    assert!(bucket.keys("").len() > kept.len() && bucket.unfinished().len() == 2);
    let run = |options: &[&str]| {
        let place = bucket.url("host/");
        let said = bucket.fine(&[&["clean"], options, &[&place]].concat());
        said.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // A day is what another machine has to be done.
    for said in [run(&[]), run(&["--older-than", "2h"])] {
        assert_eq!(said.last().unwrap(), "0 removed, 2 kept");
        assert!(said[0].starts_with("kept: b__") && said[1].starts_with("kept: full/chunk-"));
    }
    let said = run(&["-n", "--older-than", "0"]);
    assert!(
        said[1].contains("host/deep/subvol/data/, ") && said[1].contains(" MiB, "),
        "{}",
        said[1]
    );
    assert_eq!(said.last().unwrap(), "2 to remove, 0 kept");
    assert_eq!(bucket.unfinished().len(), 2);
    assert_eq!(
        run(&["--older-than", "0"]).last().unwrap(),
        "2 removed, 0 kept"
    );
    assert_eq!(bucket.keys(""), kept);
    assert_eq!(bucket.unfinished(), [[0; 0]; 0]);
    assert_eq!(run(&["--older-than", "0"]), ["0 removed, 0 kept"]);
    assert_eq!(
        contract::bytes(&mut archive(&bucket, "host/deep"), &diff(1, None, 400)).len(),
        400
    );
}

/// Manifests of what was moved have the keys of the old place.
fn a_moved_archive_is_whole() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let mut store = archive(&bucket, "host");
    for (to, from, name) in [(1, None, FULL), (2, Some(1), INC)] {
        let bytes = stream(to, from, 400);
        contract::put(&mut store, &diff(to, from, 400), Path::new(name), &bytes).unwrap();
    }
    for key in bucket.keys("host/") {
        bucket.put(&key.replace("host/", "moved/"), &bucket.get(&key));
        server.ask("DELETE", &bucket.name, &key, &[], b"");
    }
    let keys = bucket.keys("");
    let place = bucket.url("moved/");
    let said = bucket.fine(&["clean", "--older-than", "0", &place]);
    assert_eq!(said.stdout, "0 removed, 0 kept\n");
    assert_eq!(bucket.keys(""), keys);
    let said = bucket.fine(&["list", &place]);
    assert!(
        said.stdout.contains("newest") && said.stdout.contains("restorable"),
        "{}",
        said.stdout
    );
    let mut moved = archive(&bucket, "moved");
    moved.list().unwrap();
    for (to, from) in [(1, None), (2, Some(1))] {
        assert_eq!(contract::bytes(&mut moved, &diff(to, from, 400)).len(), 400);
    }
    // Without its chunks the newest is lost; those of the other are nobody's leftovers.
    let chunk = bucket
        .keys("moved/subvol/data/incremental/chunk-")
        .remove(0);
    server.ask("DELETE", &bucket.name, &chunk, &[], b"");
    let said = bucket.fine(&["clean", "--older-than", "0", &place]);
    assert_eq!(said.stdout, "0 removed, 0 kept\n");
}

/// However many archives there are, and whatever is done.
fn a_bucket_is_listed_once() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let small = stream(1, None, 400);
    let mut stores: Vec<Box<dyn Store>> = vec![Box::new(open(&server.endpoint, &bucket.name))];
    for prefix in ["host", "other"] {
        stores.push(Box::new(archive(&bucket, prefix)));
    }
    for store in &mut stores {
        contract::put(&mut **store, &diff(1, None, 400), Path::new(FULL), &small).unwrap();
    }
    let proxy = Proxy::before(&server, |_| None);
    let place = bucket.url("");
    for (number, words) in [&["list"][..], &["clean"], &["verify"]].iter().enumerate() {
        let words = [words, &[&*place][..]].concat();
        let said = bucket::said(&mut bucket::command(&proxy.endpoint, &words));
        assert_eq!(said.code, 0, "{words:?}");
        let asked = ["list-type=2", "uploads="].map(|word| proxy.count(word));
        assert_eq!(asked, [number + 1; 2], "{words:?}");
    }
    // A place in the middle of an archive shows all of it.
    let said = bucket.fine(&["list", &bucket.url("host/subvol/data/full/")]);
    assert!(
        said.stdout.contains("data: 1 backup in "),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("  newest"), "{}", said.stdout);
}

/// A manifest that is not understood may name any chunk.
fn what_may_be_of_a_newer_program_stays() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let folder = "p/subvol/data/full";
    bucket.put(&format!("{folder}/chunk-20261121T020000Z-0.bin"), b"x");
    bucket.put(
        &format!("{folder}/manifest-20270101T020000Z.json"),
        br#"{"version": 2}"#,
    );
    let place = bucket.url("");
    let said = bucket.fine(&["clean", "--older-than", "0", &place]);
    assert_eq!(said.stdout, "0 removed, 0 kept\n");
    bucket.get(&format!("{folder}/chunk-20261121T020000Z-0.bin"));
    let said = bucket.fine(&["list", &place]);
    assert!(
        said.stdout.contains("a newer program wrote it"),
        "{}",
        said.stdout
    );
}

/// A backup that another may build on stays, and so do its chunks, whoever asks.
fn what_may_be_built_on_stays() {
    let memory = Memory::new(10_000);
    let settings = settings("memory", "/", 25_000);
    let open =
        || ArchiveStore::on(Arc::new(memory.clone()), settings.clone(), Access::Write).unwrap();
    let (mut store, name) = (open(), Path::new("data__20261121T020000Z__full"));
    let bytes = stream(1, None, 60_000);
    contract::put(&mut store, &diff(1, None, bytes.len()), name, &bytes).unwrap();
    let newer = "subvol/data/incremental/manifest-20261122T020000Z.json";
    let about = About::default();
    memory.put(newer, br#"{"version": 2}"#, &about).unwrap();
    let before = memory.inventory("").unwrap().objects.len();
    let mut store = open();
    store.list().unwrap();
    let error = store.delete(name).unwrap_err();
    assert!(error.said.contains("may build on it"), "{error}");
    assert_eq!(memory.inventory("").unwrap().objects.len(), before);
    memory.remove(&[newer.to_owned()]).unwrap();
    store.list().unwrap();
    store.delete(name).unwrap();
}

/// Of a stream in pieces that lost one, the others are all that there is.
fn what_a_marker_implies_stays() {
    let memory = Memory::new(10_000);
    let open = || DiffStore::on(Arc::new(memory.clone()), "p", Access::Write).unwrap();
    let name = format!("{}_None", Uuid([1; 16]));
    let (about, key) = (About::default(), |end: &str| format!("p/one/{name}.{end}"));
    for end in ["1", "3", "all-3-30"] {
        memory.put(&key(end), &[0; 10], &about).unwrap();
    }
    let left = PathBuf::from(format!("one/{name}"));
    let mut store = open();
    let listed = store.list().unwrap().snapshots;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].path, left);
    let error = store.delete(&left).unwrap_err();
    assert!(error.said.contains("says that it is a stream"), "{error}");
    assert_eq!(memory.inventory("").unwrap().objects.len(), 3);
    memory.remove(&[key("all-3-30")]).unwrap();
    store.delete(&left).unwrap();
    assert!(memory.inventory("").unwrap().objects.is_empty());
}

/// What lies in the trash is not taken for a copy of another stream of the same name and length.
fn the_trash_has_what_was_deleted() {
    let memory = Memory::new(10_000);
    let mut store = DiffStore::on(Arc::new(memory.clone()), "p", Access::Write).unwrap();
    let (one, path) = (diff(1, None, 3000), Path::new("one"));
    contract::put(&mut store, &one, path, &stream(1, None, 3000)).unwrap();
    let key = format!("p/one/{}_None", one.to);
    let about = About {
        meta: vec![("created", "long ago".to_owned())],
        ..About::default()
    };
    memory
        .put(&format!("trash/{key}"), &[0; 3000], &about)
        .unwrap();
    store.list().unwrap();
    store.delete(path).unwrap();
    let kept = memory.get(&format!("trash/{key}")).unwrap().unwrap();
    assert_eq!(kept, stream(1, None, 3000));
}

/// Along with what else is in a bucket, and against the snapshots that they are of.
fn archives_are_verified() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let from = btrfs("from", 512);
    history(&from, 2);
    let snaps = format!("{}/", from.join("snaps").to_str().unwrap());
    bucket.fine(&[&snaps, &bucket.url("host/")]);
    let mut source = local(&from.join("snaps"));
    let mut store = archive(&bucket, "host");
    let snapshots = source.list().unwrap().snapshots;
    let mut parent = None;
    for (snapshot, name) in snapshots.iter().zip(["1", "2"]) {
        let diff = contract::diff(snapshot.id(), parent);
        let bytes = contract::bytes(&mut source, &diff);
        contract::put(&mut store, &diff, Path::new(name), &bytes).unwrap();
        parent = Some(snapshot.id());
    }
    let place = bucket.url("host/");
    let depths = [
        (&[][..], "4 intact"),
        (&["--download"], "4 intact"),
        (&["--against", &snaps], "4 intact, 4 regenerated"),
    ];
    for (options, good) in depths {
        let said = bucket.fine(&[&["verify"], options, &[&place]].concat());
        let last = said.stdout.lines().last().unwrap();
        assert_eq!(
            last,
            format!("4 snapshots: {good}, 0 unverifiable, 0 different")
        );
        assert!(
            said.stdout.contains("chain of 2 backups"),
            "{}",
            said.stdout
        );
    }
    let key = bucket.keys("host/subvol/data/incremental/chunk-").remove(0);
    let mut chunk = bucket.get(&key);
    chunk[100] ^= 1;
    bucket.put(&key, &chunk);
    for (options, good) in depths {
        let good = good.replace('4', "3");
        let said = bucket.run(&[&["verify"], options, &[&place]].concat());
        let last = said.stdout.lines().last().unwrap();
        let good = format!("4 snapshots: {good}, 0 unverifiable, 1 different");
        assert_eq!((said.code, last), (4, &*good));
    }
}

/// On a server that has archive classes.
fn what_is_frozen_is_shown() {
    let server = shared("ministack");
    let bucket = Bucket::new(&server);
    let cold = Settings {
        class_chunks: Some("DEEP_ARCHIVE".to_owned()),
        ..settings(&bucket.name, "/", 300)
    };
    let mut store = ArchiveStore::open(cold, Access::Write, options(&server.endpoint)).unwrap();
    for (to, from, name) in [(1, None, FULL), (2, Some(1), INC)] {
        let bytes = stream(to, from, 500);
        contract::put(&mut store, &diff(to, from, 500), Path::new(name), &bytes).unwrap();
    }
    let listed = || {
        let said = bucket.fine(&["list", &bucket.url("")]);
        let rows = said.stdout.lines().skip(2).take(2);
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    for row in listed() {
        assert!(row.contains("  DEEP_ARCHIVE, frozen  "), "{row}");
    }
    for chunk in bucket.keys("subvol/data/full/chunk-") {
        let body = b"<RestoreRequest><Days>1</Days></RestoreRequest>";
        let (status, _) = server.ask("POST", &bucket.name, &chunk, &[("restore", "")], body);
        assert_eq!(status, 202);
    }
    let rows = listed();
    assert!(
        rows[0].contains(", thaw") && rows[1].contains(", frozen"),
        "{rows:?}"
    );
    let said = bucket.run(&["verify", "--download", &bucket.url("")]);
    assert!(
        said.code == 1 && said.stdout.contains("frozen"),
        "{}",
        said.stdout
    );
}

fn archives_are_listed() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let mut store = archive(&bucket, "host 1/");
    let put = |store: &mut ArchiveStore, to, from, length: usize, name: &str| {
        let bytes = stream(to, from, length);
        contract::put(store, &diff(to, from, length), Path::new(name), &bytes).unwrap();
    };
    put(&mut store, 1, None, 13 * MIB, FULL);
    put(&mut store, 2, Some(1), 2048, INC);
    put(&mut archive(&bucket, "other"), 3, None, 300, FULL);
    let said = bucket.fine(&["list", &bucket.url("")]);
    assert!(!said.stderr.contains("ignoring"), "{}", said.stderr);
    let rows: Vec<&str> = said.stdout.lines().collect();
    let heading = |count, prefix, stored| {
        let place = format!("s3://{}/{prefix}/", bucket.name);
        format!("data: {count} in {place}, {stored} stored")
    };
    assert_eq!(rows[0], heading("2 backups", "host 1", "13.0 MiB"));
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split("  ").map(str::trim);
        cells.filter(|c| !c.is_empty()).map(str::to_owned).collect()
    };
    let row = cells(rows[2]);
    let size = ["13.0 MiB", "whole", "1", "13.0 MiB", "3", "STANDARD"];
    assert_eq!((&*row[0], &*row[1]), (FULL, "2026-11-21 02:00~"));
    assert_eq!(
        (&row[3..9], &*row[9]),
        (&size.map(str::to_owned)[..], "restorable")
    );
    let row = cells(rows[3]);
    let size = ["2.0 KiB", FULL, "2", "13.0 MiB", "1", "STANDARD"];
    assert_eq!((&*row[0], &*row[1]), (INC, "2026-11-28 02:00~"));
    assert_eq!(
        (&row[3..9], &*row[9]),
        (&size.map(str::to_owned)[..], "newest")
    );
    assert!(rows[4].starts_with("~ when its backup began"));
    assert_eq!(rows[5], heading("1 backup", "other", "300 B"));
    let sorted = bucket.fine(&["list", "--sort=stored", "-o", "name", &bucket.url("host 1")]);
    let names: Vec<&str> = sorted.stdout.lines().skip(2).take(2).collect();
    assert_eq!(names, [INC, FULL]);
    let below = bucket.fine(&["list", "--commands", &bucket.url("other")]);
    let command = below.stdout.lines().last().unwrap().trim();
    let key = "other/subvol/data/full/chunk-20261121T020000Z-0.bin";
    let expected = format!("aws s3 cp {} - | btrfs receive .", bucket.url(key));
    assert_eq!(command, expected);
    let said = bucket.fine(&["list", "--json", &bucket.url("host 1/")]);
    let found = lines(&said.stdout);
    assert_eq!(
        (found.len(), &found[0]["snapshots"]),
        (2, &Value::Array(Vec::new()))
    );
    let backup = &found[1]["backups"][1];
    assert_eq!(backup["uuid"], crate::streams::uuid(2).to_string());
    assert_eq!(backup["chain_bytes"], 13 * MIB + 2048);
    assert_eq!(
        (&backup["state"], &backup["thaw"]),
        (&"newest".into(), &Value::Null)
    );
}
