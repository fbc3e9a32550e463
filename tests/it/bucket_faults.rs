//! What goes wrong with a bucket in memory: any call fails or is not heard of, objects are damaged and lost,
//! uploads are of another version, chunks are frozen. All in the time of a blink.

use crate::bucket_suites::settings;
use crate::contract::{bytes, put, sound};
use crate::runner::Test;
use crate::security::states::{SAYING, STRANGE, remove};
use crate::streams::{diff, stream, uuid};
use crate::support::here;
use buttersink::archive::{ArchiveState, Tier};
use buttersink::objects::memory::{Break, Memory};
use buttersink::objects::{About, Objects, Part};
use buttersink::proof::{Depth, Verdict};
use buttersink::snapshot::{Diff, Snapshot, State};
use buttersink::store::bucket::{ArchiveStore, DiffStore};
use buttersink::store::{Access, Concurrency, Store};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const TESTS: &[Test] = crate::tests![
    any_call_may_fail,
    any_call_may_fail_on_the_way_out,
    damage_is_found_and_told_of,
    one_that_cannot_be_read_keeps_no_other_from_being_looked_at,
    an_upload_goes_on,
    an_upload_that_nobody_here_began_does_not_go_on,
    an_upload_of_another_version_does_not_go_on,
    records_of_uploads_that_cannot_be_read,
    a_young_chunk_that_nobody_owns_stays,
    frozen_chunks,
    forged_manifests_take_no_records_along,
];

const PART: usize = 10_000;
const FULL: &str = "data__20261121T020000Z__full";

/// Opens a layout on objects.
type Open = fn(&Memory) -> Box<dyn Store>;

fn diffs(memory: &Memory) -> Box<dyn Store> {
    Box::new(DiffStore::on(Arc::new(memory.clone()), "host/", Access::Write).unwrap())
}

fn archive(memory: &Memory) -> Box<dyn Store> {
    let settings = settings("memory", "/", 8 * PART);
    Box::new(ArchiveStore::on(Arc::new(memory.clone()), settings, Access::Write).unwrap())
}

const BOTH: [Open; 2] = [diffs, archive];

fn memory() -> Memory {
    Memory::new(PART as u64)
}

/// One call at a time, so that the count of calls says which it is.
fn single(memory: &Memory) -> Memory {
    memory.with(|limits| limits.concurrency = Concurrency::of(1))
}

/// A full stream of several parts, and what builds on it.
fn both() -> [(Diff, &'static str, Vec<u8>); 2] {
    let (full, next) = (20 * PART, 2 * PART);
    [
        (diff(1, None, full), FULL, stream(1, None, full)),
        (diff(2, Some(1), next), "next", stream(2, Some(1), next)),
    ]
}

fn fill(store: &mut dyn Store) -> buttersink::error::Result<()> {
    for (diff, name, stream) in both() {
        let there = store.list()?.snapshots;
        let is_there = |s: &Snapshot| s.path == Path::new(name) && s.may_be_parent();
        if !there.iter().any(is_there) {
            put(store, &diff, Path::new(name), &stream)?;
        }
    }
    Ok(())
}

/// Whichever call fails, or is carried out and not heard of: what is there is whole, and the next run
/// makes the rest of it.
fn any_call_may_fail() {
    for open in BOTH {
        let calls = {
            let memory = memory();
            memory.break_if(|_, _, _| None);
            fill(&mut *open(&single(&memory))).unwrap();
            memory.mend()
        };
        assert!(calls > 20, "{calls}");
        for (call, how) in (0..calls).flat_map(|n| [(n, Break::Fails), (n, Break::LosesAnswer)]) {
            let memory = memory();
            memory.break_if(move |_, _, before| (before == call).then_some(how));
            let first = fill(&mut *open(&single(&memory)));
            memory.mend();
            let mut store = open(&memory);
            for path in sound(&mut *store) {
                let mut all = both().into_iter();
                let (diff, _, stream) = all.find(|(_, name, _)| path == Path::new(name)).unwrap();
                assert!(bytes(&mut *store, &diff) == stream, "{call} {how:?}");
            }
            fill(&mut *open(&memory)).unwrap_or_else(|error| {
                panic!("call {call} {how:?}, which ended in {first:?}: {error}")
            });
            let mut store = open(&memory);
            for (diff, _, stream) in both() {
                assert!(bytes(&mut *store, &diff) == stream);
            }
            for finding in store.inspect(Depth::Download, &mut |_| {}).unwrap() {
                let wrong = matches!(finding.verdict, Verdict::Different(_));
                assert!(!wrong, "call {call} {how:?}: {finding:?}");
            }
        }
    }
}

/// Copying and deleting, interrupted anywhere: nothing that is there is half of something, and the same
/// again comes to an end.
fn any_call_may_fail_on_the_way_out() {
    for open in BOTH {
        for call in 0.. {
            let memory = memory();
            fill(&mut *open(&memory)).unwrap();
            memory.break_if(move |_, _, before| (before == call).then_some(Break::LosesAnswer));
            let mut store = open(&memory);
            let copied = store.copy(Path::new(FULL), Path::new("copy"));
            let gone = store.delete(Path::new("next"));
            let calls = memory.mend();
            let mut store = open(&memory);
            let there = sound(&mut *store);
            for path in ["copy", "next"].map(Path::new) {
                if there.iter().any(|other| other == path) {
                    store.delete(path).unwrap();
                }
            }
            let mut store = open(&memory);
            assert_eq!(sound(&mut *store), [Path::new(FULL)], "call {call}");
            let (full, _, stream) = &both()[0];
            assert!(bytes(&mut *store, full) == *stream, "call {call}");
            if calls <= call {
                copied.and(gone).unwrap();
                break;
            }
        }
    }
}

/// Every object that holds bytes of a stream, damaged and lost.
fn damage_is_found_and_told_of() {
    for open in BOTH {
        let keys = {
            let memory = memory();
            fill(&mut *open(&memory)).unwrap();
            memory.keys()
        };
        let is_data = |key: &String| key.ends_with("_None") || key.contains("/full/chunk-");
        let data: Vec<String> = keys.into_iter().filter(is_data).collect();
        assert!(!data.is_empty());
        for key in data {
            let memory = memory();
            fill(&mut *open(&memory)).unwrap();
            let whole = memory.bytes(&key).unwrap();
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            for depth in [Depth::Quick, Depth::Download] {
                for bytes in [&whole[..whole.len() - 1], &[]] {
                    memory.overwrite(&key, bytes);
                    all_different(&mut *open(&memory), depth, &key);
                }
            }
            memory.overwrite(&key, &flipped);
            none_is_good(&mut *open(&memory), &key);
            all_different(&mut *open(&memory), Depth::Download, &key);
            memory.lose(&key);
            all_different(&mut *open(&memory), Depth::Quick, &key);
        }
    }
}

/// One that cannot be read says nothing of the others, and is named.
fn one_that_cannot_be_read_keeps_no_other_from_being_looked_at() {
    for open in BOTH {
        let memory = memory();
        fill(&mut *open(&memory)).unwrap();
        let last = |key: &&String| key.contains("/incremental/chunk-") || key.contains("next/");
        let key = memory.keys().iter().find(last).unwrap().clone();
        for verb in ["read", "look at"] {
            let (key, called) = (key.clone(), Arc::new(AtomicBool::new(false)));
            let seen = Arc::clone(&called);
            let mut store = open(&memory);
            store.list().unwrap();
            memory.break_if(move |did, at, _| {
                let fails = did == verb && at == key;
                seen.fetch_or(fails, Ordering::Relaxed);
                fails.then_some(Break::Fails)
            });
            let findings = store.inspect(Depth::Download, &mut |_| {}).unwrap();
            memory.mend();
            let [one, other] = &findings[..] else {
                panic!("{findings:?}");
            };
            assert!(matches!(one.verdict, Verdict::Good(..)), "{findings:?}");
            let unread = matches!(other.verdict, Verdict::Unverifiable(_));
            assert_eq!(unread, called.load(Ordering::Relaxed), "{findings:?}");
        }
    }
}

/// Of the same length, and with another ETag: that says that it was written anew.
fn none_is_good(store: &mut dyn Store, key: &str) {
    store.list().unwrap();
    let findings = store.inspect(Depth::Quick, &mut |_| {}).unwrap();
    assert!(findings.len() >= 2, "{key}: {findings:?}");
    for finding in findings {
        assert!(finding.verdict.rank() > 0, "{key}: {finding:?}");
    }
}

/// The full one is damaged, and with it what builds on it.
fn all_different(store: &mut dyn Store, depth: Depth, key: &str) {
    store.list().unwrap();
    let findings = store.inspect(depth, &mut |_| {}).unwrap();
    assert!(findings.len() >= 2, "{key}: {findings:?}");
    for finding in findings {
        assert!(
            matches!(finding.verdict, Verdict::Different(_)),
            "{key}: {finding:?}"
        );
    }
}

/// Parts that were sent, and parts that were there.
fn parts(memory: &Memory) -> (u64, u64) {
    let counters = memory.counters();
    (
        counters.parts_sent.load(Ordering::Relaxed),
        counters.parts_skipped.load(Ordering::Relaxed),
    )
}

/// Begins to keep the full one and lets it go after some parts.
fn begin(open: Open, memory: &Memory) {
    let (diff, name, stream) = &both()[0];
    let mut store = open(&single(memory));
    let mut sink = store.receive(diff, Path::new(name)).unwrap();
    sink.write_all(&stream[..stream.len() * 2 / 3]).unwrap();
}

fn an_upload_goes_on() {
    for open in BOTH {
        let memory = memory();
        begin(open, &memory);
        let again = memory.with(|_| {});
        fill(&mut *open(&again)).unwrap();
        let (sent, there) = parts(&again);
        assert!(there >= 2, "{sent} were sent and {there} were there");
        assert_eq!(open(&memory).list().unwrap().notes, [""; 0]);
    }
}

/// Nobody tells what metadata an unfinished upload was begun with, so that equal parts are not enough.
fn an_upload_that_nobody_here_began_does_not_go_on() {
    for (open, key) in BOTH.into_iter().zip([
        "host/data__20261121T020000Z__full/01010101-0101-0101-0101-010101010101_None",
        "subvol/data/full/chunk-20261121T020000Z-0.bin",
    ]) {
        let memory = memory();
        let (_, _, stream) = &both()[0];
        let about = About {
            meta: vec![("protocol", "1".to_owned()), ("old", "yes".to_owned())],
            ..About::default()
        };
        let by_hand = memory.begin(key, PART as u64, &about).unwrap();
        let stop = AtomicBool::new(false);
        for (number, part) in (1..).zip(stream.chunks(PART).take(3)) {
            memory
                .send_part(&by_hand, &Part::new(number, part), None, &stop)
                .unwrap();
        }
        let run = memory.with(|_| {});
        fill(&mut *open(&run)).unwrap();
        assert_eq!(
            parts(&run).1,
            0,
            "parts of another version's were taken over"
        );
        assert_eq!(memory.head(key).unwrap().unwrap().meta("old"), "");
        // It is another's to remove, or its age's.
        let listing = open(&memory).list().unwrap();
        let left = listing
            .snapshots
            .iter()
            .filter(|s| s.state == State::Partial);
        assert_eq!(left.count(), 1);
        assert!(memory.parts(&by_hand).unwrap().is_some());
    }
}

/// In the state of the machine: of an upload that was let go, and the directory of them all. It is begun anew then,
/// and all arrives.
fn records_of_uploads_that_cannot_be_read() {
    let uploads = here().join("state/uploads");
    for (kind, put) in SAYING.into_iter().chain(STRANGE) {
        println!("== {kind}");
        for all in [false, true] {
            remove(&uploads);
            let memory = memory();
            begin(diffs, &memory);
            let records = std::fs::read_dir(&uploads).unwrap();
            let records: Vec<_> = records.map(|record| record.unwrap().path()).collect();
            assert!(!records.is_empty());
            let replaced = if all { vec![uploads.clone()] } else { records };
            for record in replaced {
                remove(&record);
                put(&record);
            }
            let again = memory.with(|_| {});
            fill(&mut *diffs(&again)).unwrap();
            assert_eq!(
                parts(&again).1,
                0,
                "gone on with, though nobody knows what it is"
            );
            let mut store = diffs(&memory);
            let (diff, _, stream) = &both()[0];
            assert!(bytes(&mut *store, diff) == *stream);
        }
    }
    let etc = std::fs::read_to_string("/etc/passwd").unwrap();
    assert!(!etc.contains("part-size"));
    remove(&uploads);
}

/// What this machine began with other metadata is begun anew, and the old one goes when the new is whole.
fn an_upload_of_another_version_does_not_go_on() {
    let memory = memory();
    begin(diffs, &memory);
    let mut store = diffs(&memory);
    let (diff, name, stream) = &both()[0];
    let again = memory.with(|_| {});
    let mut other = diffs(&again);
    let mut sink = other.receive(diff, Path::new(name)).unwrap();
    sink.is_mended();
    sink.write_all(stream).unwrap();
    sink.finish().unwrap();
    drop(other);
    assert_eq!(parts(&again).1, 0);
    assert!(store.mends(diff).unwrap());
    let listing = store.list().unwrap();
    assert_eq!(
        (listing.snapshots.len(), listing.notes.len()),
        (1, 0),
        "{listing:?}"
    );
}

/// A program that does not say who it is may be uploading it: the first chunk of another stream, the same
/// one but for its end, and one that comes later.
fn a_young_chunk_that_nobody_owns_stays() {
    let key = |n: usize| format!("subvol/data/full/chunk-20261121T020000Z-{n}.bin");
    let (_, _, stream) = &both()[0];
    let whole = &stream[..8 * PART];
    let altered = [&whole[..8 * PART - 1], b"!"].concat();
    for (number, bytes, is_refused) in [
        (0, &b"other"[..], true),
        (0, &altered, true),
        (9, b"late", false),
    ] {
        let memory = memory();
        memory.put(&key(number), bytes, &About::default()).unwrap();
        let done = fill(&mut *archive(&memory));
        assert_eq!(done.is_err(), is_refused, "{done:?}");
        if let Err(error) = done {
            assert!(
                error.to_string().contains("nothing says who stored it"),
                "{error}"
            );
        }
        assert_eq!(memory.bytes(&key(number)).unwrap(), bytes);
        if !is_refused {
            continue;
        }
        // What it was part of has ended a day later.
        memory.pass(jiff::SignedDuration::from_hours(25));
        if let Err(error) = fill(&mut *archive(&memory)) {
            assert_eq!(error.kind, buttersink::error::Kind::Restarted, "{error}");
            fill(&mut *archive(&memory)).unwrap();
        }
        assert_ne!(memory.bytes(&key(number)).as_deref(), Some(bytes));
    }
}

/// Whoever may add to a bucket, and not delete in it, names records of others as chunks of a backup that is let go
/// soon: an older one, which nothing builds on.
fn forged_manifests_take_no_records_along() {
    let memory = memory();
    fill(&mut *archive(&memory)).unwrap();
    let keys = memory.keys();
    let honest = keys.iter().find(|key| key.contains("full/manifest-"));
    let honest = honest.unwrap();
    let text = memory.bytes(honest).unwrap();
    let mut forged: Value = serde_json::from_slice(&text).unwrap();
    let sizes = keys.iter().map(|key| memory.bytes(key).unwrap().len());
    let chunks = keys.iter().zip(sizes);
    let chunks = chunks.filter(|(key, _)| !key.contains("/chunk-"));
    let chunks: Vec<Value> = chunks
        .map(|(key, size)| json!({"key": key, "size": size, "sha256": "00"}))
        .collect();
    assert!(chunks.len() > 2, "{keys:?}");
    let total = chunks.iter().map(|chunk| chunk["size"].as_u64().unwrap());
    forged["total_bytes"] = total.sum::<u64>().into();
    forged["chunks"] = chunks.into();
    forged["created_at"] = "20200101T000000Z".into();
    forged["snapshot"]["name"] = "forged".into();
    forged["snapshot"]["uuid"] = uuid(9).to_string().into();
    let key = "subvol/data/full/manifest-20200101T000000Z.json";
    let text = forged.to_string();
    memory.put(key, text.as_bytes(), &About::default()).unwrap();
    let settings = settings("memory", "/", 8 * PART);
    let mut store = ArchiveStore::on(Arc::new(memory.clone()), settings, Access::Write).unwrap();
    store.list().unwrap();
    store.remove(key).unwrap();
    assert_eq!(memory.keys(), keys);
    let mut store = archive(&memory);
    for (diff, _, stream) in both() {
        assert!(bytes(&mut *store, &diff) == stream);
    }
}

fn frozen_chunks() {
    let memory = memory().with(|limits| limits.class = Some("DEEP_ARCHIVE".to_owned()));
    let mut settings = settings("memory", "/", 3 * PART);
    settings.class_chunks = Some("DEEP_ARCHIVE".to_owned());
    let open = || {
        let objects = Arc::new(memory.clone());
        ArchiveStore::on(objects, settings.clone(), Access::Write).unwrap()
    };
    fill(&mut open()).unwrap();
    let states = |store: &mut ArchiveStore| store.states().unwrap().into_values().max();
    assert_eq!(states(&mut open()), Some(ArchiveState::Frozen));
    let verdicts = |store: &mut ArchiveStore| {
        let found = store.inspect(Depth::Download, &mut |_| {}).unwrap();
        found
            .into_iter()
            .map(|finding| finding.verdict)
            .collect::<Vec<_>>()
    };
    for verdict in verdicts(&mut open()) {
        assert!(verdict.words().contains("frozen"), "{verdict:?}");
    }
    for key in memory.keys().iter().filter(|key| key.contains("/chunk-")) {
        memory.thaw(key, "DEEP_ARCHIVE", Tier::Bulk, 1).unwrap();
    }
    assert_eq!(states(&mut open()), Some(ArchiveState::Thawing));
    memory.thaw_all();
    assert_eq!(states(&mut open()), Some(ArchiveState::Thawed(None)));
    for verdict in verdicts(&mut open()) {
        assert_eq!(verdict.rank(), 0, "{verdict:?}");
    }
}
