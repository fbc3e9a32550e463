//! The suites that every store passes, on buckets of two real servers, directly and through a pipe.

use crate::contract::{self, World, bytes, find};
use crate::damage;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::s3::{MIB, get, options, put};
use crate::servers::{Server, shared};
use crate::streams::{diff, stream};
use buttersink::snapshot::Offer;
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Store};
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = crate::tests![
    seaweedfs_keeps_the_contract,
    radosgw_keeps_the_contract,
    a_bucket_through_a_pipe_keeps_the_contract,
];

fn seaweedfs_keeps_the_contract() {
    suites(&shared("seaweedfs"), false);
}

fn radosgw_keeps_the_contract() {
    suites(&shared("radosgw"), false);
}

fn a_bucket_through_a_pipe_keeps_the_contract() {
    suites(&shared("seaweedfs"), true);
}

fn suites(server: &Server, through_a_pipe: bool) {
    let mut world = Prefixes {
        endpoint: server.endpoint.clone(),
        bucket: server.bucket(),
        count: 0,
        through_a_pipe,
    };
    // Longer than a part, so that what is given up leaves an upload behind.
    let mut source = world.direct("source/", Access::Write);
    for (to, from, length, name) in [(1, None, 6 * MIB, "base"), (2, Some(1), 300_000, "next")] {
        let stream = stream(to, from, length);
        put(&mut source, &diff(to, from, length), name, &stream).unwrap();
    }
    contract::all(&mut world);
    damage::all(&mut world);
}

/// Prefixes of one bucket as stores.
struct Prefixes {
    endpoint: String,
    bucket: String,
    count: usize,
    through_a_pipe: bool,
}

impl Prefixes {
    fn direct(&self, prefix: &str, access: Access) -> DiffStore {
        DiffStore::open(&self.bucket, prefix, access, options(&self.endpoint)).unwrap()
    }

    fn open(&self, prefix: String, access: Access) -> Box<dyn Store> {
        if !self.through_a_pipe {
            return Box::new(self.direct(&prefix, access));
        }
        let (bucket, endpoint) = (self.bucket.clone(), self.endpoint.clone());
        let make = move || -> Box<dyn Store> {
            Box::new(DiffStore::open(&bucket, &prefix, access, options(&endpoint)).unwrap())
        };
        Box::new(over(make, access, access, pipes).unwrap())
    }

    fn last(&self) -> String {
        format!("dest{}/", self.count)
    }
}

impl World for Prefixes {
    fn source(&mut self) -> Box<dyn Store> {
        self.open("source/".to_owned(), Access::Read)
    }

    fn dest(&mut self) -> Box<dyn Store> {
        self.count += 1;
        self.open(self.last(), Access::Write)
    }

    fn look(&mut self) -> Box<dyn Store> {
        self.open(self.last(), Access::Read)
    }

    /// A bucket keeps streams, so that these are compared.
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
            assert!(get(&mut there, diff).unwrap() == bytes(&mut *source, diff));
        }
    }

    /// Keys say who a snapshot is, and not since which generation.
    fn lists_generations(&self) -> bool {
        false
    }

    /// UTF-8 without line breaks; and one of the servers takes a backslash for a slash.
    fn names(&self) -> Vec<PathBuf> {
        let names = [
            "with space",
            "quote'\"`$HOME",
            "100%41",
            "\u{fc}nic\u{f6}de",
            "a+b",
        ];
        names.map(PathBuf::from).to_vec()
    }
}
