//! The suites that every store passes, on archives at two real servers, directly, through a spool
//! and through a pipe.

use crate::contract::{self, World, bytes, find, put};
use crate::damage;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::s3::{MIB, options};
use crate::servers::{Server, shared};
use crate::streams::{diff, stream};
use crate::support::here;
use buttersink::snapshot::Offer;
use buttersink::store::bucket::{ArchiveStore, archive::Settings};
use buttersink::store::{Access, Store};
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = crate::tests![
    seaweedfs_keeps_the_contract,
    radosgw_keeps_the_contract,
    a_spool_keeps_the_contract,
    an_archive_through_a_pipe_keeps_the_contract,
];

fn seaweedfs_keeps_the_contract() {
    suites(&shared("seaweedfs"), false, false);
}

fn radosgw_keeps_the_contract() {
    suites(&shared("radosgw"), false, false);
}

fn a_spool_keeps_the_contract() {
    suites(&shared("seaweedfs"), true, false);
}

fn an_archive_through_a_pipe_keeps_the_contract() {
    suites(&shared("seaweedfs"), false, true);
}

fn suites(server: &Server, spooled: bool, through_a_pipe: bool) {
    let mut world = Archives {
        endpoint: server.endpoint.clone(),
        bucket: server.bucket(),
        count: 0,
        spooled,
        through_a_pipe,
    };
    // Several chunks, some of them in parts.
    let mut source = world.direct("source", Access::Write);
    for (to, from, length, name) in [(1, None, 7 * MIB, "base"), (2, Some(1), 300_000, "next")] {
        let stream = stream(to, from, length);
        put(
            &mut source,
            &diff(to, from, length),
            Path::new(name),
            &stream,
        )
        .unwrap();
    }
    contract::all(&mut world);
    damage::all(&mut world);
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

/// Prefixes of one bucket as archives.
struct Archives {
    endpoint: String,
    bucket: String,
    count: usize,
    spooled: bool,
    through_a_pipe: bool,
}

impl Archives {
    fn settings(&self, prefix: &str) -> Settings {
        let room = self.spooled.then(|| (here().to_owned(), 2 * MIB as u64));
        Settings {
            spool: room,
            ..settings(&self.bucket, prefix, 6 * MIB)
        }
    }

    fn direct(&self, prefix: &str, access: Access) -> ArchiveStore {
        let options = options(&self.endpoint);
        ArchiveStore::open(self.settings(prefix), access, options).unwrap()
    }

    fn open(&self, prefix: &str, access: Access) -> Box<dyn Store> {
        if !self.through_a_pipe {
            return Box::new(self.direct(prefix, access));
        }
        let (settings, endpoint) = (self.settings(prefix), self.endpoint.clone());
        let make = move || -> Box<dyn Store> {
            Box::new(ArchiveStore::open(settings.clone(), access, options(&endpoint)).unwrap())
        };
        Box::new(over(make, access, access, pipes).unwrap())
    }

    fn last(&self) -> String {
        format!("dest{}/", self.count)
    }
}

impl World for Archives {
    fn source(&mut self) -> Box<dyn Store> {
        self.open("source", Access::Read)
    }

    fn dest(&mut self) -> Box<dyn Store> {
        self.count += 1;
        self.open(&self.last(), Access::Write)
    }

    fn look(&mut self) -> Box<dyn Store> {
        self.open(&self.last(), Access::Read)
    }

    /// An archive keeps streams, so that these are compared.
    fn same(&mut self, name: &str, copy: &Path) {
        let mut there = self.direct(&self.last(), Access::Read);
        let listing = there.list().unwrap();
        let mut found = listing.snapshots.iter().filter(|s| s.path == copy);
        let (id, mut source) = (found.next().unwrap().id(), self.source());
        assert_eq!(id, find(&source.list().unwrap(), name).id());
        let Offer::Only(diffs) = listing.offer else {
            panic!("diffs only")
        };
        for diff in diffs.iter().filter(|diff| diff.to == id) {
            assert!(bytes(&mut there, diff) == bytes(&mut *source, diff));
        }
    }

    /// Manifests say who a snapshot is, and not since which generation.
    fn lists_generations(&self) -> bool {
        false
    }

    /// Manifests are UTF-8.
    fn names(&self) -> Vec<PathBuf> {
        let names = [
            "with space",
            "quote'\"`$HOME\\",
            "line\nbreak",
            "100%41",
            "\u{fc}nic\u{f6}de",
            "day/one__20261121T020000Z__full",
        ];
        names.map(PathBuf::from).to_vec()
    }
}
