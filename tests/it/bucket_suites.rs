//! The suites that every store passes, on both layouts of buckets: in memory, at two real servers,
//! through a spool and through a pipe.

use crate::contract::{self, World, bytes, find, put};
use crate::damage;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::s3::{MIB, options};
use crate::servers::shared;
use crate::streams::{diff, stream};
use crate::support::here;
use buttersink::objects::memory::Memory;
use buttersink::snapshot::Offer;
use buttersink::store::bucket::{ArchiveStore, DiffStore, archive::Settings};
use buttersink::store::{Access, Concurrency, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const TESTS: &[Test] = crate::tests![
    diffs_in_memory,
    diffs_in_memory_through_a_pipe,
    as_many_requests_as_help,
    diffs_at_seaweedfs,
    diffs_at_radosgw,
    diffs_at_seaweedfs_through_a_pipe,
    archives_in_memory,
    archives_in_memory_by_way_of_a_spool,
    archives_in_memory_through_a_pipe,
    archives_at_seaweedfs,
    archives_at_radosgw,
    archives_at_seaweedfs_by_way_of_a_spool,
    archives_at_seaweedfs_through_a_pipe,
];

fn diffs_in_memory() {
    suites(diffs_in(Memory::new(10_000)), 70_000, false);
}

fn diffs_in_memory_through_a_pipe() {
    suites(diffs_in(Memory::new(10_000)), 70_000, true);
}

/// Threads come and go while the stream passes, which is what it was.
fn as_many_requests_as_help() {
    let memory = Memory::new(10_000).with(|limits| limits.concurrency = Concurrency::AUTO);
    let (open, _) = diffs_in(memory);
    let (diff, sent) = (diff(9, None, 5_000_000), stream(9, None, 5_000_000));
    let mut store = open("auto/", Access::Write);
    put(&mut *store, &diff, Path::new("snap"), &sent).unwrap();
    assert_eq!(find(&store.list().unwrap(), "snap").uuid, diff.to);
    assert_eq!(bytes(&mut *store, &diff), sent);
}

fn diffs_at_seaweedfs() {
    suites(diffs_at("seaweedfs"), 6 * MIB, false);
}

fn diffs_at_radosgw() {
    suites(diffs_at("radosgw"), 6 * MIB, false);
}

fn diffs_at_seaweedfs_through_a_pipe() {
    suites(diffs_at("seaweedfs"), 6 * MIB, true);
}

fn archives_in_memory() {
    suites(archives_in(Memory::new(10_000), false), 70_000, false);
}

fn archives_in_memory_by_way_of_a_spool() {
    suites(archives_in(Memory::new(10_000), true), 70_000, false);
}

fn archives_in_memory_through_a_pipe() {
    suites(archives_in(Memory::new(10_000), false), 70_000, true);
}

fn archives_at_seaweedfs() {
    suites(archives_at("seaweedfs", false), 7 * MIB, false);
}

fn archives_at_radosgw() {
    suites(archives_at("radosgw", false), 7 * MIB, false);
}

fn archives_at_seaweedfs_by_way_of_a_spool() {
    suites(archives_at("seaweedfs", true), 7 * MIB, false);
}

fn archives_at_seaweedfs_through_a_pipe() {
    suites(archives_at("seaweedfs", false), 7 * MIB, true);
}

/// Opens what lies below a prefix.
pub(crate) type Open = Arc<dyn Fn(&str, Access) -> Box<dyn Store> + Send + Sync>;

/// How a layout's stores are opened, and the names that it must be able to hold.
pub(crate) type Kind = (Open, &'static [&'static str]);

/// Without line breaks; and one of the servers takes a backslash for a slash.
pub(crate) const OF_KEYS: &[&str] = &[
    "with space",
    "quote'\"`$HOME",
    "100%41",
    "\u{fc}nic\u{f6}de",
    "a+b",
];

pub(crate) const OF_MANIFESTS: &[&str] = &[
    "with space",
    "quote'\"`$HOME\\",
    "line\nbreak",
    "100%41",
    "\u{fc}nic\u{f6}de",
    "day/one__20261121T020000Z__full",
];

fn diffs_in(memory: Memory) -> Kind {
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        let objects = Arc::new(memory.clone());
        Box::new(DiffStore::on(objects, prefix, access).unwrap())
    };
    (Arc::new(open), OF_KEYS)
}

fn diffs_at(kind: &'static str) -> Kind {
    let server = shared(kind);
    let (bucket, endpoint) = (server.bucket(), server.endpoint.clone());
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        Box::new(DiffStore::open(&bucket, prefix, access, options(&endpoint)).unwrap())
    };
    (Arc::new(open), OF_KEYS)
}

fn archives_in(memory: Memory, spooled: bool) -> Kind {
    let room = spooled.then(|| (here().to_owned(), 20_000));
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        let settings = Settings {
            spool: room.clone(),
            ..settings("memory", prefix, 25_000)
        };
        Box::new(ArchiveStore::on(Arc::new(memory.clone()), settings, access).unwrap())
    };
    (Arc::new(open), OF_MANIFESTS)
}

fn archives_at(kind: &'static str, spooled: bool) -> Kind {
    let server = shared(kind);
    let (bucket, endpoint) = (server.bucket(), server.endpoint.clone());
    let room = spooled.then(|| (here().to_owned(), 2 * MIB as u64));
    let open = move |prefix: &str, access| -> Box<dyn Store> {
        let settings = Settings {
            spool: room.clone(),
            ..settings(&bucket, prefix, 6 * MIB)
        };
        Box::new(ArchiveStore::open(settings, access, options(&endpoint)).unwrap())
    };
    (Arc::new(open), OF_MANIFESTS)
}

/// What an archive below a prefix is opened with.
pub(crate) fn settings(bucket: &str, prefix: &str, chunk_size: usize) -> Settings {
    Settings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        name: "data".to_owned(),
        origin: "/srv/snapshots".into(),
        chunk_size: chunk_size as u64,
        class_chunks: None,
        class_manifest: None,
        spool: None,
    }
}

pub(crate) fn suites((open, names): Kind, length: usize, through_a_pipe: bool) {
    let mut world = Prefixes {
        open,
        names,
        count: 0,
        through_a_pipe,
    };
    // Longer than a part, so that what is given up leaves an upload behind.
    let mut source = (world.open)("source/", Access::Write);
    for (to, from, length, name) in [(1, None, length, "base"), (2, Some(1), length / 20, "next")] {
        let (diff, stream) = (diff(to, from, length), stream(to, from, length));
        put(&mut *source, &diff, Path::new(name), &stream).unwrap();
    }
    drop(source);
    contract::all(&mut world);
    damage::all(&mut world);
}

/// Prefixes of one bucket as stores.
struct Prefixes {
    open: Open,
    names: &'static [&'static str],
    count: usize,
    through_a_pipe: bool,
}

impl Prefixes {
    fn at(&self, prefix: &str, access: Access) -> Box<dyn Store> {
        if !self.through_a_pipe {
            return (self.open)(prefix, access);
        }
        let (open, prefix) = (Arc::clone(&self.open), prefix.to_owned());
        let make = move || open(&prefix, access);
        Box::new(over(make, access, access, pipes).unwrap())
    }

    fn last(&self) -> String {
        format!("dest{}/", self.count)
    }
}

impl World for Prefixes {
    fn source(&mut self) -> Box<dyn Store> {
        self.at("source/", Access::Read)
    }

    fn dest(&mut self) -> Box<dyn Store> {
        self.count += 1;
        self.at(&self.last(), Access::Write)
    }

    fn look(&mut self) -> Box<dyn Store> {
        self.at(&self.last(), Access::Read)
    }

    /// A bucket keeps streams, so that these are compared.
    fn same(&mut self, name: &str, copy: &Path) {
        let mut there = (self.open)(&self.last(), Access::Read);
        let listing = there.list().unwrap();
        let mut found = listing.snapshots.iter().filter(|s| s.path == copy);
        let (id, mut source) = (found.next().unwrap().id(), self.source());
        assert_eq!(id, find(&source.list().unwrap(), name).id());
        let Offer::Only(diffs) = listing.offer else {
            panic!("diffs only")
        };
        for diff in diffs.iter().filter(|diff| diff.to == id) {
            assert!(bytes(&mut *there, diff) == bytes(&mut *source, diff));
        }
    }

    /// Keys and manifests say who a snapshot is, and not since which generation.
    fn lists_generations(&self) -> bool {
        false
    }

    fn names(&self) -> Vec<PathBuf> {
        self.names.iter().map(PathBuf::from).collect()
    }
}
