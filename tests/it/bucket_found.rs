//! What is written to a bucket is found again under the name by which it will be looked for, or the run
//! says that it failed: in memory, with listings that show other keys than were written.

use crate::bucket_suites::settings;
use crate::contract::{bytes, put};
use crate::runner::Test;
use crate::streams::{diff, stream};
use buttersink::error::Result;
use buttersink::objects::memory::Memory;
use buttersink::proof::Depth;
use buttersink::snapshot::{Diff, Size};
use buttersink::store::bucket::{ArchiveStore, DiffStore};
use buttersink::store::{Access, Store};
use std::path::Path;
use std::sync::Arc;

pub(crate) const TESTS: &[Test] = crate::tests![
    prefixes_that_lead_elsewhere_are_refused,
    what_no_listing_shows_has_failed,
    prefixes_that_are_kept_are_used,
    a_stream_longer_than_guessed_goes_on_in_the_next_object,
    copies_that_no_listing_shows_are_none,
];

const PART: usize = 10_000;

fn diffs(memory: &Memory, prefix: &str) -> Result<DiffStore> {
    DiffStore::on(Arc::new(memory.clone()), prefix, Access::Write)
}

fn archive(memory: &Memory, prefix: &str) -> Result<ArchiveStore> {
    let settings = settings("memory", prefix, 3 * PART);
    ArchiveStore::on(Arc::new(memory.clone()), settings, Access::Write)
}

fn send(store: &mut dyn Store, name: &str) -> Result<()> {
    let (diff, stream) = (diff(1, None, 7 * PART), stream(1, None, 7 * PART));
    put(store, &diff, Path::new(name), &stream).map(drop)
}

fn prefixes_that_lead_elsewhere_are_refused() {
    let memory = Memory::new(PART as u64);
    for prefix in ["./x", "a/../b", "..", "a/.", "a/./b/"] {
        let refused = [diffs(&memory, prefix).err(), archive(&memory, prefix).err()];
        for error in refused.map(|error| error.expect(prefix)) {
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains("'.' or '..'"), "{error}");
        }
    }
    assert!(memory.keys().is_empty());
}

/// As of services that take one key for another: nothing says that there is a backup, and no more than
/// the first chunk is sent in vain.
fn what_no_listing_shows_has_failed() {
    let memory = Memory::new(PART as u64);
    memory.show_as(|key| {
        key.trim_start_matches('/')
            .replace("//", "/")
            .replace('\\', "/")
    });
    for prefix in ["/host", "a//b"] {
        let mut store = archive(&memory, prefix).unwrap();
        let error = send(&mut store, "data__20261121T020000Z__full").unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error}");
        assert!(error.to_string().contains("no listing shows it"), "{error}");
        let keys = memory.keys();
        let begun = keys.iter().filter(|key| key.starts_with(prefix));
        assert_eq!(begun.count(), 1, "{keys:?}");
        assert!(keys.iter().all(|key| key.ends_with("-0.bin")), "{keys:?}");
    }
    let mut store = diffs(&memory, "host/").unwrap();
    let error = send(&mut store, "day\\one").unwrap_err();
    assert!(error.to_string().contains("no listing shows it"), "{error}");
    send(&mut store, "two").unwrap();
}

/// Also those that older programs used, and names that mean something in the other layout.
fn prefixes_that_are_kept_are_used() {
    for prefix in [
        "/host",
        "a//b",
        "trash",
        "trash/host",
        "a/subvol/b",
        "x/subvol",
        "",
    ] {
        let memory = Memory::new(PART as u64);
        let name = "data__20261121T020000Z__full";
        send(&mut archive(&memory, prefix).unwrap(), name).unwrap();
        let listing = archive(&memory, prefix).unwrap().list().unwrap();
        let found: Vec<_> = listing.snapshots.iter().map(|s| &*s.path).collect();
        assert_eq!(found, [Path::new(name)], "{prefix}");
    }
}

/// Nobody measures with --estimate, and three parts are all that an object may have.
fn a_stream_longer_than_guessed_goes_on_in_the_next_object() {
    for size in [Size::Estimate(100), Size::Unknown] {
        let memory = Memory::new(PART as u64).with(|limits| limits.max_parts = 3);
        for (to, length, name) in [(1, 20 * PART, "long"), (2, PART / 2, "short")] {
            let guessed = Diff {
                size,
                ..diff(to, None, length)
            };
            let mut store = diffs(&memory, "host/").unwrap();
            let stream = stream(to, None, length);
            put(&mut store, &guessed, Path::new(name), &stream).unwrap();
            let mut again = diffs(&memory, "host/").unwrap();
            assert!(bytes(&mut again, &diff(to, None, length)) == stream);
        }
        let mut store = diffs(&memory, "host/").unwrap();
        let findings = store.inspect(Depth::Download, &mut |_| {}).unwrap();
        let ranks: Vec<_> = findings.iter().map(|f| f.verdict.rank()).collect();
        assert_eq!(ranks, [0, 0], "{findings:?}");
        let keys = memory.keys();
        let part = |end: &str| keys.iter().filter(|key| key.ends_with(end)).count();
        assert_eq!((part("_None.7"), part("_None")), (1, 1), "{keys:?}");
    }
}

/// Nothing goes that could not be fetched back from where it was moved to.
fn copies_that_no_listing_shows_are_none() {
    let memory = Memory::new(PART as u64);
    let mut store = diffs(&memory, "host/").unwrap();
    send(&mut store, "one").unwrap();
    let before = memory.keys();
    memory.show_as(|key| {
        key.replace("trash/", "elsewhere/")
            .replace("/two/", "/elsewhere/")
    });
    let gone = |error: buttersink::error::Error| {
        assert!(error.to_string().contains("no listing shows it"), "{error}");
    };
    gone(store.delete(Path::new("one")).unwrap_err());
    gone(store.copy(Path::new("one"), Path::new("two")).unwrap_err());
    let keys = memory.keys();
    assert!(before.iter().all(|key| keys.contains(key)), "{keys:?}");
    memory.show_as(str::to_owned);
    store.list().unwrap();
    store.delete(Path::new("one")).unwrap();
    assert!(
        memory
            .keys()
            .iter()
            .all(|key| key.starts_with("trash/") || key.contains("/two/"))
    );
}
