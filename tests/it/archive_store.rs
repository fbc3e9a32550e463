//! What archives promise beyond the suites: where streams are cut, what lies under which key, in
//! which order it is written, and what becomes of runs that end anywhere.

use crate::bucket_suites::settings;
use crate::contract::put;
use crate::proxy::{Fault, Proxy, every_third};
use crate::runner::Test;
use crate::s3::{MIB, options, same};
use crate::servers::{Server, shared};
use crate::streams::{diff, stream, uuid};
use crate::subvolumes::history;
use crate::support::{btrfs, here, local_options, output};
use crate::tree::assert_same;
use buttersink::error::{Error, Kind, Result};
use buttersink::proof::{Depth, Seen, Verdict};
use buttersink::s3::S3Options;
use buttersink::snapshot::{Diff, Listing, Offer, Size, Snapshot, State};
use buttersink::store::bucket::{ArchiveStore, archive::Settings};
use buttersink::store::local::Local;
use buttersink::store::{Access, Concurrency, Store};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = crate::on_both!["archive_store::";
    cut_to_the_byte,
    another_stream_than_what_was_left,
    what_another_machine_uploads_stays,
    a_corrupt_chunk_is_refused,
    whatever_goes_wrong_on_the_way,
    backups_go_in_order,
];

pub(crate) const OWN: &[Test] = crate::tests![
    written_as_described,
    written_in_order,
    killed_at_every_step,
    a_pointer_that_was_not_written,
    identities_that_nobody_wrote_down,
    a_spool_runs_ahead,
    a_spool_without_room,
    received_by_hand,
];

const FULL: &str = "data__20261121T020000Z__full";
const INC: &str = "data__20261128T020000Z__inc";

fn open(endpoint: &str, settings: Settings) -> ArchiveStore {
    ArchiveStore::open(settings, Access::Write, options(endpoint)).unwrap()
}

/// An archive at the top of a bucket that cuts at 6 MiB, so that a chunk is two parts.
fn simple(endpoint: &str, bucket: &str) -> ArchiveStore {
    open(endpoint, settings(bucket, "/", 6 * MIB))
}

fn get(store: &mut ArchiveStore, diff: &Diff) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from = store.send(diff)?;
    from.read_to_end(&mut bytes)
        .map_err(|error| Error::io("reading", error))?;
    Ok(bytes)
}

fn save(store: &mut ArchiveStore, diff: &Diff, name: &str, bytes: &[u8]) -> Result<u64> {
    put(store, diff, Path::new(name), bytes).map(|receipt| receipt.bytes)
}

fn names(listing: &Listing, state: State) -> Vec<String> {
    let all = listing.snapshots.iter().filter(|s| s.state == state);
    all.map(|s| s.path.to_str().unwrap().to_owned()).collect()
}

fn json(server: &Server, bucket: &str, key: &str) -> Value {
    let (status, body) = server.plain("GET", bucket, key, b"");
    assert_eq!(status, 200, "{key}");
    serde_json::from_slice(&body).unwrap()
}

fn parts(store: &ArchiveStore) -> (u64, u64) {
    let counters = &store.objects().counters();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    (count(&counters.parts_sent), count(&counters.parts_skipped))
}

fn cut_to_the_byte(server: &Server) {
    let bucket = server.bucket();
    let cut = 1_000_003;
    for (n, length) in [200, cut - 1, cut, cut + 1, 3 * cut, 3 * cut + 1]
        .into_iter()
        .enumerate()
    {
        let n = n as u8 + 1;
        let bytes = stream(n, None, length);
        let size = [Size::Exact(length as u64), Size::Estimate(5), Size::Unknown][n as usize % 3];
        let known = Diff {
            size,
            ..diff(n, None, length)
        };
        let mut store = open(&server.endpoint, settings(&bucket, "p/", cut));
        let name = format!("data__2026112{n}T020000Z__full");
        assert_eq!(
            save(&mut store, &known, &name, &bytes).unwrap(),
            length as u64
        );
        let folder = "p/subvol/data/full";
        let manifest = json(
            server,
            &bucket,
            &format!("{folder}/manifest-2026112{n}T020000Z.json"),
        );
        let mut all = Vec::new();
        for (i, chunk) in manifest["chunks"].as_array().unwrap().iter().enumerate() {
            let key = chunk["key"].as_str().unwrap();
            assert_eq!(key, format!("{folder}/chunk-2026112{n}T020000Z-{i}.bin"));
            let (_, body) = server.plain("GET", &bucket, key, b"");
            assert_eq!(chunk["size"], body.len());
            assert!(body.len() == cut || all.len() + body.len() == length);
            all.extend(body);
        }
        same(&all, &bytes);
        assert_eq!(manifest["total_bytes"], length);
        assert_eq!(
            manifest["chunks"].as_array().unwrap().len(),
            length.div_ceil(cut)
        );
        same(&get(&mut store, &known).unwrap(), &bytes);
    }
}

fn written_as_described() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let classes = Settings {
        class_chunks: Some("STANDARD_IA".to_owned()),
        class_manifest: Some("ONEZONE_IA".to_owned()),
        ..settings(&bucket, "host 1/", 400)
    };
    let mut store = open(&server.endpoint, classes);
    let (base, next) = (stream(1, None, 500), stream(2, Some(1), 300));
    save(&mut store, &diff(1, None, 500), FULL, &base).unwrap();
    save(&mut store, &diff(2, Some(1), 300), INC, &next).unwrap();
    let read = |key: &str| {
        let (status, body) = server.plain("GET", &bucket, key, b"");
        assert_eq!(status, 200, "{key}");
        String::from_utf8(body).unwrap()
    };
    let sum = |bytes: &[u8]| {
        let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
        sum.as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let etag = |bytes: &[u8]| {
        use md5::{Digest, Md5};
        Md5::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let folder = "host 1/subvol/data/incremental";
    let (manifest, chunk) = (
        format!("{folder}/manifest-20261128T020000Z.json"),
        format!("{folder}/chunk-20261128T020000Z-0.bin"),
    );
    // A tree hash of one leaf is the leaf's SHA-256.
    let sum = sum(&next);
    let expected = format!(
        r#"{{
  "chunk_size": 400,
  "chunks": [
    {{
      "etag": "{}",
      "key": "{chunk}",
      "sha256": "{sum}",
      "size": 300,
      "tree_hash": "{sum}"
    }}
  ],
  "created_at": "20261128T020000Z",
  "kind": "incremental",
  "parent_manifest": "host 1/subvol/data/full/manifest-20261121T020000Z.json",
  "s3": {{
    "storage_class": "STANDARD_IA"
  }},
  "snapshot": {{
    "name": "{INC}",
    "parent_uuid": "{}",
    "path": "/srv/snapshots/snap",
    "uuid": "{}"
  }},
  "subvolume": "data",
  "total_bytes": 300,
  "version": 1
}}"#,
        etag(&next),
        uuid(1),
        uuid(2)
    );
    assert_eq!(read(&manifest), expected);
    let pointer = format!(
        "{{\n  \"created_at\": \"20261128T020000Z\",\n  \"kind\": \"incremental\",\n  \
         \"manifest_key\": \"{manifest}\"\n}}"
    );
    let current = "host 1/subvol/data/current.json";
    assert_eq!(read(current), pointer);
    for (key, class, kind) in [
        (&chunk[..], "STANDARD_IA", "application/octet-stream"),
        (&manifest, "ONEZONE_IA", "application/json"),
        (current, "ONEZONE_IA", "application/json"),
    ] {
        let head = server.headers(&bucket, key);
        assert_eq!(head["x-amz-storage-class"], class, "{key}");
        assert_eq!(head["content-type"], kind, "{key}");
    }
}

fn written_in_order() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let proxy = Proxy::before(&server, |_| None);
    let mut store = simple(&proxy.endpoint, &bucket);
    let bytes = stream(1, None, 13 * MIB);
    save(&mut store, &diff(1, None, bytes.len()), FULL, &bytes).unwrap();
    let seen = proxy.seen.lock().unwrap();
    let writes: Vec<&String> = seen
        .iter()
        .filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD"))
        .collect();
    let place = |word: &str| {
        let of = |line: &&String| line.contains(word);
        (
            writes.iter().position(of).unwrap(),
            writes.iter().rposition(of).unwrap(),
        )
    };
    let places = ["-0.bin", "-1.bin", "-2.bin", "/manifest-", "current.json"].map(place);
    for pair in places.windows(2) {
        assert!(pair[0].1 < pair[1].0, "{seen:#?}");
    }
    assert_eq!(parts(&store), (5, 0));
    // Six requests for each of the parts' objects, as promised; what is looked at is not written.
    let effort = store.effort(&[diff(1, None, bytes.len())]).unwrap();
    assert_eq!(effort.parts, 5);
    assert!(effort.requests as usize >= writes.len());
}

const CHILD: &str = "BUTTERSINK_TEST_ARCHIVE_CHILD";

/// kill -9 at each request that writes, before and after the server carried it out.
fn killed_at_every_step() {
    let length = 13 * MIB;
    let (known, bytes) = (diff(1, None, length), stream(1, None, length));
    if let Ok(place) = std::env::var(CHILD) {
        let words: Vec<&str> = place.split(' ').collect();
        let mut store = open(words[0], settings(words[1], words[2], 6 * MIB));
        save(&mut store, &known, FULL, &bytes).unwrap();
        return;
    }
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let mut skipped = 0;
    for step in 0..22 {
        let prefix = format!("{step}/");
        let pid = Arc::new(AtomicU32::new(0));
        let child = Arc::clone(&pid);
        // Of an upload whose id nobody heard nobody knows that it is ours.
        let orphaned = Arc::new(AtomicBool::new(false));
        let orphan = Arc::clone(&orphaned);
        let mut writes = 0;
        let proxy = Proxy::before(&server, move |seen| {
            writes += usize::from(matches!(seen.method, "PUT" | "POST"));
            if writes <= step / 2 {
                return None;
            }
            let pid = child.load(Ordering::Relaxed).to_string();
            assert!(
                Command::new("kill")
                    .args(["-9", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            let begins = seen.target.contains("?uploads") && step % 2 == 1;
            orphan.fetch_or(begins, Ordering::Relaxed);
            Some([Fault::Reset, Fault::LoseAnswer][step % 2])
        });
        let mut running = Command::new(std::env::current_exe().unwrap())
            .args(["--only", "archive_store::killed_at_every_step"])
            .env(CHILD, format!("{} {bucket} {prefix}", proxy.endpoint))
            .spawn()
            .unwrap();
        pid.store(running.id(), Ordering::Relaxed);
        assert!(
            !running.wait().unwrap().success(),
            "step {step}: it was not killed"
        );
        proxy.settle();
        let mut store = open(&server.endpoint, settings(&bucket, &prefix, 6 * MIB));
        let listing = store.list().unwrap();
        println!("step {step}: {:?} {:?}", listing.snapshots, listing.notes);
        if names(&listing, State::Ok).is_empty() {
            save(&mut store, &known, FULL, &bytes).unwrap();
            let (sent, there) = parts(&store);
            assert_eq!(sent + there, 5, "step {step}");
            skipped += there;
        }
        let listing = store.list().unwrap();
        assert_eq!(names(&listing, State::Ok), [FULL], "step {step}");
        let left = usize::from(orphaned.load(Ordering::Relaxed));
        assert_eq!(listing.snapshots.len(), 1 + left, "step {step}: leftovers");
        assert_eq!(listing.notes.len(), left, "step {step}");
        same(&get(&mut store, &known).unwrap(), &bytes);
        let pointer = json(
            &server,
            &bucket,
            &format!("{prefix}subvol/data/current.json"),
        );
        let manifest = format!("{prefix}subvol/data/full/manifest-20261121T020000Z.json");
        assert_eq!(pointer["manifest_key"], manifest);
    }
    assert!(skipped > 20, "{skipped} parts were not sent again");
}

/// A chunk that is there and complete is not taken for another.
fn another_stream_than_what_was_left(server: &Server) {
    let bucket = server.bucket();
    let length = 20 * MIB;
    let old = stream(1, None, length);
    let mut store = simple(&server.endpoint, &bucket);
    let known = diff(1, None, length);
    let mut sink = store.receive(&known, Path::new(FULL)).unwrap();
    sink.write_all(&old[..19 * MIB]).unwrap();
    drop(sink);
    assert_eq!(
        names(&store.list().unwrap(), State::Partial),
        ["full/chunk-20261121T020000Z"]
    );
    // Of the same snapshot and length, and yet another: as after a change of the protocol.
    let mut new = stream(1, None, length - 100);
    let end = new.split_off(new.len() - 10);
    new.extend(crate::streams::write(b"f", &[7; 69]));
    new.extend(end);
    assert_eq!(new.len(), length);
    let error = save(&mut store, &known, FULL, &new).unwrap_err();
    assert_eq!(error.kind, Kind::Restarted, "{error}");
    save(&mut store, &known, FULL, &new).unwrap();
    same(&get(&mut store, &known).unwrap(), &new);
    let listing = store.list().unwrap();
    assert_eq!((listing.snapshots.len(), listing.notes.len()), (1, 0));
}

/// Two machines with one prefix: neither replaces nor removes what the other has just uploaded.
fn what_another_machine_uploads_stays(server: &Server) {
    let bucket = server.bucket();
    let length = 20 * MIB;
    let bytes = stream(1, None, length);
    let key = |n: u32| format!("subvol/data/full/chunk-20261121T020000Z-{n}.bin");
    let others = |n: u32| {
        let machine = ("x-amz-meta-machine", "0a");
        server.put_with(&bucket, &key(n), machine, b"another's");
    };
    let is_there =
        |n: u32| server.plain("GET", &bucket, &key(n), b"") == (200, b"another's".to_vec());
    let mut store = simple(&server.endpoint, &bucket);
    let known = diff(1, None, length);
    others(0);
    store.list().unwrap();
    let error = save(&mut store, &known, FULL, &bytes).unwrap_err();
    assert!(error.to_string().contains("another machine"), "{error}");
    assert!(is_there(0));
    server.plain("DELETE", &bucket, &key(0), b"");
    others(99);
    store.list().unwrap();
    save(&mut store, &known, FULL, &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    assert!(is_there(99));
}

fn a_corrupt_chunk_is_refused(server: &Server) {
    let bucket = server.bucket();
    let mut store = simple(&server.endpoint, &bucket);
    let (length, next) = (13 * MIB, stream(2, Some(1), 3000));
    let (known, bytes) = (diff(1, None, length), stream(1, None, length));
    save(&mut store, &known, FULL, &bytes).unwrap();
    save(&mut store, &diff(2, Some(1), 3000), INC, &next).unwrap();
    let verdicts = |store: &mut ArchiveStore, depth| {
        store.list().unwrap();
        let found = store.inspect(depth, &mut |_| {}).unwrap();
        found
            .into_iter()
            .map(|finding| finding.verdict)
            .collect::<Vec<_>>()
    };
    for depth in [Depth::Quick, Depth::Download] {
        for verdict in verdicts(&mut store, depth) {
            assert!(verdict.has(Seen::Intact), "{verdict:?}");
        }
    }
    let compared = store
        .compare(Path::new(FULL), &known, &mut &bytes[..])
        .unwrap()
        .unwrap();
    assert!(compared.has(Seen::Regenerated), "{compared:?}");
    let other = stream(1, None, length - 1);
    let compared = store
        .compare(Path::new(FULL), &known, &mut &other[..])
        .unwrap()
        .unwrap();
    assert!(matches!(compared, Verdict::Different(_)), "{compared:?}");
    let key = "subvol/data/full/chunk-20261121T020000Z-1.bin";
    let mut chunk = bytes[6 * MIB..12 * MIB].to_vec();
    chunk[3 * MIB] ^= 1;
    server.plain("PUT", &bucket, key, &chunk);
    assert_eq!(names(&store.list().unwrap(), State::Ok).len(), 2);
    let mut from = store.send(&known).unwrap();
    let mut read = Vec::new();
    for _ in 0..2 {
        let error = from.read_to_end(&mut read).unwrap_err().to_string();
        assert!(
            error.contains("SHA-256") && error.contains("-1.bin"),
            "{error}"
        );
    }
    assert!(read.len() < 12 * MIB, "the end of it was passed on");
    drop(from);
    // It may have been copied, for what its ETag of parts tells.
    for verdict in verdicts(&mut store, Depth::Quick) {
        assert!(matches!(&verdict, Verdict::Unverifiable(_)), "{verdict:?}");
    }
    for verdict in verdicts(&mut store, Depth::Download) {
        assert!(matches!(&verdict, Verdict::Different(_)), "{verdict:?}");
    }
    server.plain("DELETE", &bucket, key, b"");
    let listing = store.list().unwrap();
    assert_eq!(
        (names(&listing, State::Ok).len(), listing.offer),
        (0, Offer::Only(Vec::new()))
    );
    assert!(
        listing.notes[0].contains("-1.bin is missing"),
        "{:?}",
        listing.notes
    );
    assert!(store.send(&known).is_err());
}

fn whatever_goes_wrong_on_the_way(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, every_third());
    let options = S3Options {
        silence: Duration::from_secs(2),
        ..options(&proxy.endpoint)
    };
    let settings = settings(&bucket, "/", 12 * MIB);
    let mut store = ArchiveStore::open(settings.clone(), Access::Write, options).unwrap();
    let (known, bytes) = (diff(1, None, 33 * MIB), stream(1, None, 33 * MIB));
    save(&mut store, &known, FULL, &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    let mut direct = open(&server.endpoint, settings);
    same(&get(&mut direct, &known).unwrap(), &bytes);
    assert_eq!(direct.list().unwrap().notes, [""; 0]);
}

/// A full backup of this length, and a difference.
fn save_two(store: &mut ArchiveStore, length: usize) {
    let full = stream(1, None, length);
    save(store, &diff(1, None, length), FULL, &full).unwrap();
    let inc = stream(2, Some(1), 300);
    save(store, &diff(2, Some(1), 300), INC, &inc).unwrap();
}

fn backups_go_in_order(server: &Server) {
    let bucket = server.bucket();
    let mut store = open(&server.endpoint, settings(&bucket, "/", 200));
    save_two(&mut store, 500);
    let error = store.delete(Path::new(FULL)).unwrap_err().to_string();
    assert!(error.contains(INC), "{error}");
    store.copy(Path::new(FULL), Path::new("again")).unwrap();
    let current = || json(server, &bucket, "subvol/data/current.json")["manifest_key"].clone();
    assert_eq!(
        current(),
        "subvol/data/incremental/manifest-20261128T020000Z.json"
    );
    store.delete(Path::new(INC)).unwrap();
    // The copy is as old as the original and a second.
    assert_eq!(current(), "subvol/data/full/manifest-20261121T020001Z.json");
    store.delete(Path::new(FULL)).unwrap();
    same(
        &get(&mut store, &diff(1, None, 500)).unwrap(),
        &stream(1, None, 500),
    );
    store.delete(Path::new("again")).unwrap();
    let (_, listed) = server.ask("GET", &bucket, "", &[("list-type", "2")], b"");
    let listed = String::from_utf8(listed).unwrap();
    assert!(!listed.contains("<Key>"), "{listed}");
}

fn a_pointer_that_was_not_written() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let proxy = Proxy::before(&server, |seen| {
        let pointer = seen.method == "PUT" && seen.target.contains("current.json");
        pointer.then_some(Fault::Answer(403, ""))
    });
    let mut store = simple(&proxy.endpoint, &bucket);
    let bytes = stream(1, None, 400);
    let error = save(&mut store, &diff(1, None, 400), FULL, &bytes).unwrap_err();
    assert!(error.to_string().contains("current.json"), "{error}");
    let settings = settings(&bucket, "/", 6 * MIB);
    let mut reader =
        ArchiveStore::open(settings.clone(), Access::Read, options(&server.endpoint)).unwrap();
    let listing = reader.list().unwrap();
    assert_eq!(names(&listing, State::Ok), [FULL]);
    assert!(
        listing.notes[0].contains("current.json"),
        "{:?}",
        listing.notes
    );
    let key = "subvol/data/current.json";
    assert_eq!(server.plain("HEAD", &bucket, key, b"").0, 404);
    let mut writer =
        ArchiveStore::open(settings, Access::Append, options(&server.endpoint)).unwrap();
    assert_eq!(writer.list().unwrap().notes.len(), 1);
    let named = &json(&server, &bucket, key)["manifest_key"];
    assert_eq!(named, "subvol/data/full/manifest-20261121T020000Z.json");
    assert_eq!(reader.list().unwrap().notes, [""; 0]);
    assert!(writer.delete(Path::new(FULL)).is_err());
}

fn identities_that_nobody_wrote_down() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    // The first command does not fit into a chunk.
    let mut store = open(&server.endpoint, settings(&bucket, "/", 50));
    save_two(&mut store, 400);
    let forget = |kind: &str, stamp: &str| {
        let key = format!("subvol/data/{kind}/manifest-{stamp}.json");
        let mut manifest = json(&server, &bucket, &key);
        manifest["snapshot"]["uuid"] = Value::Null;
        manifest["snapshot"]["parent_uuid"] = Value::Null;
        server.plain("PUT", &bucket, &key, manifest.to_string().as_bytes());
    };
    forget("full", "20261121T020000Z");
    let all = Offer::Only(vec![diff(1, None, 400), diff(2, Some(1), 300)]);
    let frozen = |word: &'static str| {
        Proxy::before(&server, move |seen| {
            let chunk = seen.method == "GET" && seen.target.contains(word);
            chunk.then_some(Fault::Frozen)
        })
    };
    // What builds on it knows.
    let cold = frozen("/chunk-");
    assert_eq!(
        open(&cold.endpoint, settings(&bucket, "/", 50))
            .list()
            .unwrap()
            .offer,
        all
    );
    forget("incremental", "20261128T020000Z");
    let listing = store.list().unwrap();
    assert_eq!((&listing.offer, listing.notes), (&all, Vec::new()));
    same(
        &get(&mut store, &diff(2, Some(1), 300)).unwrap(),
        &stream(2, Some(1), 300),
    );
    let cold = frozen("/full/chunk-");
    let mut store = open(&cold.endpoint, settings(&bucket, "/", 50));
    assert_eq!(store.list().unwrap().offer, all);
    let cold = frozen("/chunk-");
    let mut store = open(&cold.endpoint, settings(&bucket, "/", 50));
    let listing = store.list().unwrap();
    assert_eq!(names(&listing, State::Ok), [FULL, INC]);
    let ids: Vec<_> = listing.snapshots.iter().map(Snapshot::id).collect();
    assert!(ids[0] != uuid(1) && ids[1] != uuid(2) && ids[0] != ids[1]);
    assert_eq!(store.list().unwrap().snapshots, listing.snapshots);
    assert!(
        listing.notes[0].contains(&ids[0].to_string()),
        "{:?}",
        listing.notes
    );
    let archive = store.archive().unwrap();
    let known = archive.manifests.keys().map(|key| archive.is_known(key));
    assert_eq!(known.collect::<Vec<_>>(), [false, false]);
    let found = store.inspect(Depth::Download, &mut |_| {}).unwrap();
    for finding in found {
        let Verdict::Unverifiable(words) = finding.verdict else {
            panic!("{finding:?}")
        };
        assert!(words.contains("frozen"), "{words}");
    }
}

fn a_spool_runs_ahead() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let dir = here().join("spool");
    std::fs::create_dir(&dir).unwrap();
    // Nothing gets through, so that all of the stream must wait somewhere else than in memory.
    let proxy = Proxy::before(&server, |seen| {
        let part = seen.method != "GET" && seen.target.contains("/chunk-");
        part.then_some(Fault::Stuck)
    });
    let spooled = |limit: usize| Settings {
        spool: Some((dir.clone(), limit as u64)),
        ..settings(&bucket, "/", 6 * MIB)
    };
    let (known, bytes) = (diff(1, None, 30 * MIB), stream(1, None, 30 * MIB));
    let options_of = |endpoint: &str| S3Options {
        concurrency: Concurrency::of(1),
        ..options(endpoint)
    };
    let open = |settings, endpoint: &str| {
        ArchiveStore::open(settings, Access::Write, options_of(endpoint)).unwrap()
    };
    let mut store = open(spooled(64 * MIB), &proxy.endpoint);
    assert_eq!(store.memory(), 10 * MIB as u64);
    let mut sink = store.receive(&known, Path::new(FULL)).unwrap();
    sink.write_all(&bytes).unwrap();
    let names = || std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(names(), 0, "what a kill would leave");
    // The process would wait for the one that is stuck.
    std::mem::forget(sink);
    // With less room than the stream it is slower, and no less right.
    let mut store = open(spooled(3 * MIB), &server.endpoint);
    store.list().unwrap();
    save(&mut store, &known, FULL, &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    assert_eq!(names(), 0);
}

fn a_spool_without_room() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let dir = here().join("spool");
    let spooled = Settings {
        spool: Some((dir.clone(), 100 * MIB as u64)),
        ..settings(&bucket, "/", 6 * MIB)
    };
    let (known, bytes) = (diff(1, None, 30 * MIB), stream(1, None, 30 * MIB));
    let mut store = open(&server.endpoint, spooled);
    let error = save(&mut store, &known, FULL, &bytes)
        .unwrap_err()
        .to_string();
    assert!(error.contains("No such file"), "{error}");
    std::fs::create_dir(&dir).unwrap();
    crate::support::run(
        "mount",
        [
            "-t",
            "tmpfs",
            "-o",
            "size=4m",
            "tmpfs",
            dir.to_str().unwrap(),
        ],
    );
    let error = save(&mut store, &known, FULL, &bytes)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("No space left") && error.contains("spool_size_bytes"),
        "{error}"
    );
    crate::support::run("umount", [&dir]);
    assert_eq!(names(&store.list().unwrap(), State::Ok), [""; 0]);
}

/// The chunks in order are what `btrfs receive` takes.
fn received_by_hand() {
    let server = shared("seaweedfs");
    let bucket = server.bucket();
    let (from, to) = (btrfs("from", 512), btrfs("to", 512));
    history(&from, 2);
    let mut source = Local::open(&from.join("snaps"), Access::Read, local_options()).unwrap();
    let listing = source.list().unwrap();
    let mut store = open(&server.endpoint, settings(&bucket, "/", 10_000));
    let mut parent = None;
    for (snapshot, name) in listing.snapshots.iter().zip([FULL, INC]) {
        let diff = Diff::new(snapshot.id(), parent, Size::Unknown);
        let mut bytes = Vec::new();
        source.send(&diff).unwrap().read_to_end(&mut bytes).unwrap();
        save(&mut store, &diff, name, &bytes).unwrap();
        parent = Some(snapshot.id());
    }
    let archive = store.archive().unwrap();
    for (key, _) in archive.in_order() {
        let manifest = json(&server, &bucket, key);
        let chunks = manifest["chunks"].as_array().unwrap();
        let mut receive = Command::new("btrfs")
            .args(["receive", "--quiet"])
            .arg(&to)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = receive.stdin.take().unwrap();
        for chunk in chunks {
            let key = chunk["key"].as_str().unwrap();
            pipe.write_all(&server.plain("GET", &bucket, key, b"").1)
                .unwrap();
        }
        drop(pipe);
        assert!(receive.wait().unwrap().success());
        let path = Path::new(manifest["snapshot"]["path"].as_str().unwrap()).to_owned();
        let name = path.file_name().unwrap();
        assert_same(&from.join("snaps").join(name), &to.join(name));
    }
    let listed = output(
        Command::new("btrfs")
            .args(["subvolume", "list", "-R"])
            .arg(&to),
    );
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&parent.unwrap().to_string()), "{listed}");
}
