//! The S3 client and the store on it, against two servers that know nothing of each other.

use crate::contract;
use crate::runner::Test;
use crate::security::states::{SAYING, STRANGE, remove};
use crate::servers::{KEY, SECRET, Server, shared};
use crate::streams::{diff, stream, uuid};
use crate::support::here;
use buttersink::error::{Error, Kind};
use buttersink::s3::{Checksum, Environment, S3Options};
use buttersink::snapshot::{Diff, Offer, Size, State};
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Concurrency, Store};
use ring::digest::{SHA256, digest};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = crate::on_both!["s3::";
    lengths_around_parts,
    checksums,
    refusals,
    a_skewed_clock,
    many_keys_in_pages,
    strange_names,
    resume,
    resume_of_something_else,
    split_over_objects,
    objects_that_end_within_a_leaf,
    laid_out_by_hand,
    copy_and_delete,
    damaged_streams_stay_out,
];

/// Needs no server, or any one.
pub(crate) const OWN: &[Test] = crate::tests![nobody_there, resume_without_its_record];

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint_url: Some(endpoint.to_owned()),
        part_size: Some(5 * MIB as u64),
        silence: Duration::from_secs(10),
        environment: Environment::of(&[
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]),
        ..S3Options::default()
    }
}

pub(crate) fn open(endpoint: &str, bucket: &str) -> DiffStore {
    DiffStore::open(bucket, "host/", Access::Write, options(endpoint)).unwrap()
}

/// Puts a whole stream into a store.
pub(crate) fn put(
    store: &mut DiffStore,
    diff: &Diff,
    path: &str,
    bytes: &[u8],
) -> Result<u64, Error> {
    let mut sink = store.receive(diff, Path::new(path))?;
    for piece in bytes.chunks(100_000) {
        sink.write_all(piece)
            .map_err(|error| Error::io("writing", error))?;
    }
    Ok(sink.finish()?.bytes)
}

/// Gets a whole stream out of a store.
pub(crate) fn get(store: &mut DiffStore, diff: &Diff) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut from = store.send(diff)?;
    from.read_to_end(&mut bytes)
        .map_err(|error| Error::io("reading", error))?;
    Ok(bytes)
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Compared without printing megabytes.
pub(crate) fn same(a: &[u8], b: &[u8]) {
    assert_eq!(a.len(), b.len());
    assert!(a == b, "bytes differ");
}

fn lengths_around_parts(server: &Server) {
    let bucket = server.bucket();
    let part = 5 * MIB;
    let lengths = [
        200,
        part - 1,
        part,
        part + 1,
        2 * part,
        2 * part + 1,
        23 * MIB,
    ];
    for (n, length) in lengths.into_iter().enumerate() {
        let n = n as u8 + 1;
        let bytes = stream(n, None, length);
        let known = diff(n, None, length);
        // The size may be known, guessed or unknown.
        let size = [
            Size::Exact(length as u64),
            Size::Estimate(1000),
            Size::Unknown,
        ][n as usize % 3];
        let mut store = open(&server.endpoint, &bucket);
        let sent = put(
            &mut store,
            &Diff {
                size,
                ..known.clone()
            },
            &format!("a/{n}"),
            &bytes,
        );
        assert_eq!(sent.unwrap(), length as u64);
        // The store knows what it just made, and so does one that begins afresh.
        assert_eq!(contract::size(&mut store, &known).unwrap(), known.size);
        let mut store = open(&server.endpoint, &bucket);
        let listing = store.list().unwrap();
        assert_eq!(listing.notes, Vec::<String>::new());
        assert_eq!(listing.snapshots.len(), n as usize);
        let Offer::Only(diffs) = listing.offer else {
            panic!("diffs only")
        };
        assert!(diffs.contains(&known), "{diffs:?}");
        assert_eq!(contract::size(&mut store, &known).unwrap(), known.size);
        same(&get(&mut store, &known).unwrap(), &bytes);
    }
    // What is there is never written again.
    let mut store = open(&server.endpoint, &bucket);
    let known = diff(1, None, 200);
    let error = store
        .receive(&known, Path::new("a/1"))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    // Without its parent a diff is of no use.
    let orphan = diff(99, Some(98), 300);
    let error = store
        .receive(&orphan, Path::new("a/99"))
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("parent"), "{error}");
    // The keys are the documented ones.
    let key = format!("host/a/1/{}_None", uuid(1));
    let (status, body) = server.plain("GET", &bucket, &key, b"");
    assert_eq!(status, 200);
    same(&body, &stream(1, None, 200));
    let (_, hints) = server.plain("GET", &bucket, "host/a/1.bs", b"");
    let hints = String::from_utf8(hints).unwrap();
    assert!(
        hints.starts_with(&format!("{}\tNone\t200\n", uuid(1))),
        "{hints}"
    );
}

fn checksums(server: &Server) {
    let bucket = server.bucket();
    for (n, checksum) in [Checksum::Md5, Checksum::Crc32c, Checksum::Sha256]
        .into_iter()
        .enumerate()
    {
        let n = n as u8 + 1;
        let mut options = options(&server.endpoint);
        options.checksum = Some(checksum);
        let mut store = DiffStore::open(&bucket, "", Access::Append, options).unwrap();
        for (m, length) in [(n, 300), (n + 10, 11 * MIB)] {
            let bytes = stream(m, None, length);
            put(&mut store, &diff(m, None, length), &format!("s{m}"), &bytes).unwrap();
            same(&get(&mut store, &diff(m, None, length)).unwrap(), &bytes);
        }
    }
}

fn refusals(server: &Server) {
    let bucket = server.bucket();
    let with = |id: &str, secret: &str, bucket: &str| {
        let mut options = options(&server.endpoint);
        options.environment = Environment::of(&[
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            (
                "AWS_SESSION_TOKEN",
                if id == KEY { "" } else { "hidden-token" },
            ),
        ]);
        let mut store = DiffStore::open(bucket, "p/", Access::Read, options).unwrap();
        assert!(!format!("{store:?}").contains("hidden"));
        store.list().unwrap_err()
    };
    let error = with(KEY, "hidden-secret", &bucket).to_string();
    assert!(
        error.contains("the secret from the environment does not belong"),
        "{error}"
    );
    assert!(
        error.contains(&bucket) && !error.contains("hidden"),
        "{error}"
    );
    let error = with("hidden", "hidden-secret", &bucket).to_string();
    assert!(error.contains("does not know the access key id"), "{error}");
    assert!(!error.contains("hidden"), "{error}");
    let error = with(KEY, SECRET, "no-such-bucket-here").to_string();
    assert!(
        error.contains("NoSuchBucket") && error.contains("no-such-bucket-here"),
        "{error}"
    );
    let mut store = DiffStore::open(&bucket, "", Access::Read, options(&server.endpoint)).unwrap();
    for error in [
        store
            .receive(&diff(1, None, 300), Path::new("x"))
            .map(drop)
            .unwrap_err(),
        store.copy(Path::new("x"), Path::new("y")).unwrap_err(),
        store.delete(Path::new("x")).unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::Refused, "{error}");
    }
    if server.kind == "seaweedfs" {
        let reader = [
            ("AWS_ACCESS_KEY_ID", &format!("{KEY}reader")[..]),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ];
        let mut options = options(&server.endpoint);
        options.environment = Environment::of(&reader);
        let mut store = DiffStore::open(&bucket, "", Access::Append, options).unwrap();
        let error = put(&mut store, &diff(1, None, 300), "x", &stream(1, None, 300)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("need the permission s3:PutObject"),
            "{error}"
        );
    }
}

fn a_skewed_clock(server: &Server) {
    let bucket = server.bucket();
    let told = |now: fn() -> jiff::Timestamp, skew: &str| {
        let mut options = options(&server.endpoint);
        options.now = now;
        let mut store = DiffStore::open(&bucket, "", Access::Read, options).unwrap();
        let error = store.list().unwrap_err();
        let cause = format!("this machine's clock is {skew} the service's");
        assert!(error.said.contains(&cause), "{error}");
        assert_eq!(error.hint.as_deref(), Some("set it right"));
        assert_eq!(error.exit_code(), 1);
    };
    told(
        || jiff::Timestamp::now() - jiff::SignedDuration::from_hours(30),
        "30 h 0 min behind",
    );
    told(
        || jiff::Timestamp::now() - jiff::SignedDuration::from_mins(20),
        "20 min behind",
    );
    told(
        || jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2),
        "2 h 0 min ahead of",
    );
}

fn many_keys_in_pages(server: &Server) {
    let bucket = server.bucket();
    let keys: Vec<String> = (0..2500u32)
        .map(|n| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            id[15] = 1;
            format!("host/s{n}/{}_None", buttersink::snapshot::Uuid(id))
        })
        .collect();
    std::thread::scope(|scope| {
        for keys in keys.chunks(315) {
            let bucket = &bucket;
            scope.spawn(move || {
                for key in keys {
                    assert_eq!(server.plain("PUT", bucket, key, b"x").0, 200);
                }
            });
        }
    });
    server.plain("PUT", &bucket, "hosts/other", b"outside of the prefix");
    let mut store = open(&server.endpoint, &bucket);
    let listing = store.list().unwrap();
    assert_eq!(listing.snapshots.len(), 2500);
    assert_eq!(listing.notes, Vec::<String>::new());
    assert!(count(&store.objects().counters().requests) < 10);
}

fn strange_names(server: &Server) {
    let bucket = server.bucket();
    let names = [
        "a b",
        "a+b",
        "100%25",
        "ä/日本",
        "a&<b>\"'",
        "q?x=1#y",
        "tab\there",
        "~-_.!*'()",
    ];
    let mut store = open(&server.endpoint, &bucket);
    for (n, name) in names.iter().enumerate() {
        let n = n as u8 + 1;
        put(&mut store, &diff(n, None, 300), name, &stream(n, None, 300)).unwrap();
    }
    let mut store = open(&server.endpoint, &bucket);
    let listing = store.list().unwrap();
    let mut found: Vec<_> = listing
        .snapshots
        .iter()
        .map(|s| s.path.to_str().unwrap())
        .collect();
    found.sort_unstable();
    let mut wanted = names.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    for n in 1..=names.len() as u8 {
        same(
            &get(&mut store, &diff(n, None, 300)).unwrap(),
            &stream(n, None, 300),
        );
    }
    for name in names {
        store.delete(Path::new(name)).unwrap();
    }
    assert_eq!(store.list().unwrap().snapshots.len(), 0);
}

/// At least so many parts were skipped, and all others were sent once. The answer about one more
/// may have been on its way when the first run ended.
fn skipped_and_sent(store: &DiffStore, done: u64, all: u64) {
    let counters = &store.objects().counters();
    let (skipped, sent) = (count(&counters.parts_skipped), count(&counters.parts_sent));
    assert!((done..=done + 1).contains(&skipped), "{skipped} of {done}");
    assert_eq!(skipped + sent, all);
}

/// Begins an upload and lets it go after so many bytes.
fn begin(store: &mut DiffStore, diff: &Diff, path: &str, bytes: &[u8]) {
    let mut sink = store.receive(diff, Path::new(path)).unwrap();
    sink.write_all(bytes).unwrap();
}

fn resume(server: &Server) {
    let bucket = server.bucket();
    let length = 43 * MIB;
    let bytes = stream(1, None, length);
    let known = diff(1, None, length);
    let mut store = open(&server.endpoint, &bucket);
    // Dropping stops parts under way, so that one at a time makes the number certain.
    let mut slow = options(&server.endpoint);
    slow.concurrency = Concurrency::of(1);
    let mut first = DiffStore::open(&bucket, "host/", Access::Append, slow).unwrap();
    begin(&mut first, &known, "s", &bytes[..26 * MIB]);
    let done = count(&first.objects().counters().parts_sent);
    assert!(done >= 3, "{done}");
    // It is shown, and is not a snapshot yet.
    let listing = store.list().unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert_eq!(listing.snapshots[0].state, State::Partial);
    assert_eq!(listing.offer, Offer::Only(Vec::new()));
    assert!(
        listing.notes[0].contains("unfinished upload"),
        "{:?}",
        listing.notes
    );
    assert!(store.send(&known).is_err());
    // Going on, nothing that is there is sent again.
    put(&mut store, &known, "s", &bytes).unwrap();
    skipped_and_sent(&store, done, 9);
    same(&get(&mut store, &known).unwrap(), &bytes);
    let listing = open(&server.endpoint, &bucket).list().unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert_eq!(listing.snapshots[0].state, State::Ok);
    assert_eq!(listing.notes, Vec::<String>::new());
}

/// What was remembered of an upload says something else, or is no file: another is begun, and all of it arrives.
fn resume_without_its_record() {
    let server = shared("seaweedfs");
    let (bucket, uploads) = (server.bucket(), here().join("state/uploads"));
    let length = 17 * MIB;
    let (known, bytes) = (diff(1, None, length), stream(1, None, length));
    let records = || -> Vec<PathBuf> {
        let all = std::fs::read_dir(&uploads).unwrap();
        all.map(|record| record.unwrap().path()).collect()
    };
    let damage = |put_there: fn(&Path)| {
        for record in records() {
            remove(&record);
            put_there(&record);
        }
    };
    // Dropping stops parts under way, so that one at a time leaves the first of several for certain.
    let mut slow = options(&server.endpoint);
    slow.concurrency = Concurrency::of(1);
    let begun = |length: usize| {
        let slow = slow.clone();
        let mut store = DiffStore::open(&bucket, "host/", Access::Append, slow).unwrap();
        begin(&mut store, &known, "s", &bytes[..length]);
        count(&store.objects().counters().parts_sent)
    };
    begun(6 * MIB);
    assert_eq!(records().len(), 1);
    begun(6 * MIB);
    assert_eq!(records().len(), 1, "gone on with");
    for (n, (kind, put_there)) in (2..).zip(SAYING.into_iter().chain(STRANGE)) {
        damage(put_there);
        begun(6 * MIB);
        assert_eq!(records().len(), n, "gone on with, {kind}");
    }
    assert!(begun(16 * MIB) > 0);
    damage(SAYING[1].1);
    let mut store = open(&server.endpoint, &bucket);
    put(&mut store, &known, "s", &bytes).unwrap();
    let counters = &store.objects().counters();
    let (sent, skipped) = (count(&counters.parts_sent), count(&counters.parts_skipped));
    assert_eq!((sent, skipped), (4, 0));
    same(&get(&mut store, &known).unwrap(), &bytes);
}

/// Leftovers of another stream, another part size, more parts, and several of them.
fn resume_of_something_else(server: &Server) {
    let bucket = server.bucket();
    let long = stream(1, None, 24 * MIB);
    let mut store = open(&server.endpoint, &bucket);
    let unknown = Diff {
        size: Size::Unknown,
        ..diff(1, None, 0)
    };
    begin(&mut store, &unknown, "s", &long);
    // It is not listed again in between, so that a second upload of the same key begins.
    begin(&mut store, &unknown, "s", &long[..17 * MIB]);
    let mut large = options(&server.endpoint);
    large.part_size = Some(6 * MIB as u64);
    let mut other = DiffStore::open(&bucket, "host/", Access::Append, large).unwrap();
    let bytes = stream(1, None, 16 * MIB);
    let known = diff(1, None, 16 * MIB);
    put(&mut other, &known, "s", &bytes).unwrap();
    same(&get(&mut other, &known).unwrap(), &bytes);
    // Parts that changed in the same upload.
    let unknown = Diff {
        size: Size::Unknown,
        ..diff(2, None, 0)
    };
    begin(&mut store, &unknown, "t", &stream(2, None, 12 * MIB));
    let bytes = stream(2, None, 17 * MIB);
    let mut store = open(&server.endpoint, &bucket);
    put(&mut store, &diff(2, None, 17 * MIB), "t", &bytes).unwrap();
    assert_eq!(count(&store.objects().counters().parts_skipped), 0);
    same(&get(&mut store, &diff(2, None, 17 * MIB)).unwrap(), &bytes);
    // What nobody goes on with can be removed.
    begin(
        &mut store,
        &diff(3, None, 12 * MIB),
        "u",
        &stream(3, None, 12 * MIB),
    );
    let mut store = open(&server.endpoint, &bucket);
    let listing = store.list().unwrap();
    let mut partial = listing
        .snapshots
        .iter()
        .filter(|s| s.state == State::Partial);
    let leftover = partial.next().unwrap().path.clone();
    assert!(leftover.to_str().unwrap().starts_with("u/"));
    store.delete(&leftover).unwrap();
    let listing = store.list().unwrap();
    assert!(!listing.snapshots.iter().any(|s| s.path == leftover));
}

fn split_over_objects(server: &Server) {
    let bucket = server.bucket();
    let open = || {
        let mut options = options(&server.endpoint);
        options.quirks = Some("max-parts=2".to_owned());
        options.concurrency = Concurrency::of(1);
        DiffStore::open(&bucket, "host/", Access::Write, options).unwrap()
    };
    let length = 27 * MIB;
    let bytes = stream(1, None, length);
    let known = diff(1, None, length);
    let mut store = open();
    begin(&mut store, &known, "s", &bytes[..22 * MIB]);
    let done = count(&store.objects().counters().parts_sent);
    assert!(done >= 2, "{done}");
    assert_eq!(open().list().unwrap().offer, Offer::Only(Vec::new()));
    let mut store = open();
    put(&mut store, &known, "s", &bytes).unwrap();
    skipped_and_sent(&store, done, 6);
    same(&get(&mut store, &known).unwrap(), &bytes);
    let mut store = open();
    let listing = store.list().unwrap();
    assert_eq!(listing.notes, Vec::<String>::new());
    assert_eq!(listing.offer, Offer::Only(vec![known.clone()]));
    same(&get(&mut store, &known).unwrap(), &bytes);
    store.copy(Path::new("s"), Path::new("t")).unwrap();
    store.delete(Path::new("s")).unwrap();
    let mut store = open();
    assert_eq!(store.list().unwrap().snapshots[0].path, Path::new("t"));
    same(&get(&mut store, &known).unwrap(), &bytes);
    // Without its marker it is a leftover, and can be removed.
    let marker = format!("host/t/{}_None.all-3-{length}", uuid(1));
    assert_eq!(server.plain("DELETE", &bucket, &marker, b"").0, 204);
    let listing = store.list().unwrap();
    assert_eq!(listing.offer, Offer::Only(Vec::new()));
    let leftover = listing.snapshots[0].path.clone();
    store.delete(&leftover).unwrap();
    assert_eq!(store.list().unwrap().snapshots.len(), 0);
}

/// Amazon Glacier's: two hashes at a time become one, until one is left.
fn tree_hash(bytes: &[u8]) -> String {
    let mut level: Vec<_> = bytes.chunks(MIB).map(sha256).collect();
    while level.len() > 1 {
        let joined = |pair: &[Vec<u8>]| match pair {
            [left, right] => sha256(&[&left[..], right].concat()),
            _ => pair[0].clone(),
        };
        level = level.chunks(2).map(joined).collect();
    }
    hex(&level[0])
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree hash is of the whole stream, wherever its objects end.
fn objects_that_end_within_a_leaf(server: &Server) {
    let bucket = server.bucket();
    for part in [5 * MIB, 5 * MIB + 512] {
        let prefix = format!("{part}/");
        let open = || {
            let mut options = options(&server.endpoint);
            options.quirks = Some("max-parts=2".to_owned());
            options.part_size = Some(part as u64);
            DiffStore::open(&bucket, &prefix, Access::Write, options).unwrap()
        };
        let length = 12 * MIB;
        let (bytes, known) = (stream(1, None, length), diff(1, None, length));
        put(&mut open(), &known, "s", &bytes).unwrap();
        same(&get(&mut open(), &known).unwrap(), &bytes);
        let marker = format!("{prefix}s/{}_None.all-2-{length}", uuid(1));
        let (_, text) = server.plain("GET", &bucket, &marker, b"");
        let mut record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(record["tree_hash"], tree_hash(&bytes));
        record["tree_hash"] = "0".repeat(64).into();
        let text = record.to_string();
        let put = server.plain("PUT", &bucket, &marker, text.as_bytes());
        assert_eq!(put.0, 200);
        let error = get(&mut open(), &known).unwrap_err();
        assert!(error.to_string().contains("tree hash"), "{error}");
    }
}

/// As ButterSink left it, and as people put things beside it.
fn laid_out_by_hand(server: &Server) {
    let bucket = server.bucket();
    let put = |key: &str, body: &[u8]| assert_eq!(server.plain("PUT", &bucket, key, body).0, 200);
    let (a, b, c, gone) = (uuid(1), uuid(2), uuid(3), uuid(9));
    let bytes = stream(1, None, 4000);
    put(&format!("host/home/1/{a}_None"), &bytes);
    put(&format!("host/home/2/{b}_{a}"), &stream(2, Some(1), 3000));
    put(
        &format!("host/home/3/{c}_{gone}"),
        &stream(3, Some(9), 2000),
    );
    put(
        "host/home/2.bs",
        format!("{b}\tNone\t12345\n{b}\t{a}\t3000\n").as_bytes(),
    );
    put("host/notes.txt", b"a foreign key");
    put("host/home/readme", b"another");
    put(&format!("trash/host/home/0/{gone}_None"), b"removed");
    let mut store = open(&server.endpoint, &bucket);
    let listing = store.list().unwrap();
    let paths: Vec<_> = listing
        .snapshots
        .iter()
        .map(|s| s.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["home/1", "home/2", "home/3"]);
    assert!(
        listing
            .snapshots
            .iter()
            .all(|s| s.created.is_some() && s.read_only)
    );
    assert_eq!(listing.notes.len(), 1, "{:?}", listing.notes);
    assert!(listing.notes[0].contains("2 keys"), "{:?}", listing.notes);
    let wanted = [
        diff(1, None, 4000),
        diff(2, Some(1), 3000),
        diff(3, Some(9), 2000),
    ];
    assert_eq!(listing.offer, Offer::Only(wanted.to_vec()));
    same(&get(&mut store, &wanted[0]).unwrap(), &bytes);
    let hinted = Diff {
        size: Size::Unknown,
        ..diff(2, None, 0)
    };
    // Nothing says that the stream it was measured by was mended.
    assert_eq!(
        contract::size(&mut store, &hinted).unwrap(),
        Size::Estimate(12345)
    );
    assert!(
        store
            .measure(&[Diff {
                size: Size::Unknown,
                ..diff(3, None, 0)
            }])
            .is_err()
    );
    // From the root, too, where the prefix is part of the paths.
    let mut root = DiffStore::open(&bucket, "", Access::Read, options(&server.endpoint)).unwrap();
    let listing = root.list().unwrap();
    assert_eq!(listing.snapshots.len(), 3);
    assert_eq!(listing.snapshots[0].path, Path::new("host/home/1"));
    let trash = DiffStore::open(
        &bucket,
        "trash/host",
        Access::Read,
        options(&server.endpoint),
    );
    assert!(trash.is_err());
}

fn copy_and_delete(server: &Server) {
    let bucket = server.bucket();
    let mut small = options(&server.endpoint);
    small.single_copy = 6 * MIB as u64; // longer ones are copied by parts
    let mut store = DiffStore::open(&bucket, "host/", Access::Write, small).unwrap();
    let full = stream(1, None, 13 * MIB);
    let next = stream(2, Some(1), 5000);
    put(&mut store, &diff(1, None, full.len()), "x/1", &full).unwrap();
    put(&mut store, &diff(2, Some(1), next.len()), "x/2", &next).unwrap();
    store.copy(Path::new("x/1"), Path::new("y/1")).unwrap();
    assert!(store.copy(Path::new("x/2"), Path::new("y/1")).is_err());
    assert!(store.copy(Path::new("x/9"), Path::new("y/9")).is_err());
    store.delete(Path::new("x/1")).unwrap();
    assert!(store.delete(Path::new("x/1")).is_err());
    let mut store = open(&server.endpoint, &bucket);
    let listing = store.list().unwrap();
    let paths: Vec<_> = listing
        .snapshots
        .iter()
        .map(|s| s.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["x/2", "y/1"]);
    same(&get(&mut store, &diff(1, None, full.len())).unwrap(), &full);
    let key = format!("trash/host/x/1/{}_None", uuid(1));
    let (status, trashed) = server.plain("GET", &bucket, &key, b"");
    assert_eq!(status, 200);
    same(&trashed, &full);
    assert_eq!(
        server.plain("GET", &bucket, "trash/host/x/1.bs", b"").0,
        200
    );
    assert_eq!(server.plain("GET", &bucket, "host/x/1.bs", b"").0, 404);
}

fn damaged_streams_stay_out(server: &Server) {
    let bucket = server.bucket();
    let whole = stream(1, None, 7 * MIB);
    let mut flipped = whole.clone();
    flipped[6 * MIB] ^= 1;
    let mut twice = whole.clone();
    twice.extend(&whole);
    for (bytes, word) in [
        (&whole[..whole.len() - 10], "END"),
        (&whole[..20], "first command"),
        (&flipped, "checksum"),
        (&twice, "second one"),
        (&stream(2, None, 300)[..], "makes"),
    ] {
        let mut store = open(&server.endpoint, &bucket);
        let known = Diff {
            size: Size::Unknown,
            ..diff(1, None, 0)
        };
        let error = put(&mut store, &known, "s", bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        let listing = open(&server.endpoint, &bucket).list().unwrap();
        assert_eq!(listing.offer, Offer::Only(Vec::new()));
    }
    // An object that was damaged later is noticed before the end of the stream.
    let mut store = open(&server.endpoint, &bucket);
    put(&mut store, &diff(1, None, whole.len()), "s", &whole).unwrap();
    let key = format!("host/s/{}_None", uuid(1));
    put(
        &mut store,
        &diff(3, None, 9000),
        "small",
        &stream(3, None, 9000),
    )
    .unwrap();
    let mut reader = store.send(&diff(1, None, whole.len())).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    drop(reader);
    server.plain("PUT", &bucket, &key, &flipped);
    let error = get(&mut store, &diff(1, None, whole.len())).unwrap_err();
    assert_eq!(error.kind, Kind::Damaged, "{error}");
}

/// An endpoint that never answered is given up after as many attempts as are allowed.
fn nobody_there() {
    let mut few = options("http://127.0.0.1:9");
    let environment = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_MAX_ATTEMPTS", "3"),
    ];
    few.environment = Environment::of(&environment);
    let mut store = DiffStore::open("bucket", "host/", Access::Write, few).unwrap();
    let error = store.list().unwrap_err().to_string();
    assert!(
        error.contains("refused") && error.contains("127.0.0.1:9"),
        "{error}"
    );
    assert_eq!(count(&store.objects().counters().requests), 3);
    let mut lost = options("http://127.0.0.1:9");
    lost.environment = Environment::of(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    let error = DiffStore::open("bucket", "", Access::Read, lost).unwrap_err();
    assert_eq!(error.exit_code(), 1);
}
