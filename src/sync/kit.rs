//! A store for tests of what is decided before a stream moves: it lists one snapshot, measures as it is told,
//! and has the same file in every snapshot. It moves no stream.

use crate::checksum::{Found, SeenEntry};
use crate::error::{Error, Result};
use crate::snapshot::{Diff, Listing, Pair, Sizes, Snapshot, Uuid};
use crate::store::file_digests::{Digest, Extent, Looking, Page};
use crate::store::{Sink, Store};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What it does when it is asked.
pub(super) struct Answers {
    /// How it measures.
    pub(super) measures: fn(&[Diff]) -> Result<Sizes>,
    /// Less than its whole streams have.
    pub(super) bound: Option<u64>,
    /// What it was told to begin.
    pub(super) begun: Vec<Pair>,
    /// The snapshot that it cannot seal.
    pub(super) refuses: &'static str,
    /// Those that it has sealed.
    pub(super) sealed: Vec<PathBuf>,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers {
            measures: |_| panic!("nothing is to be measured"),
            bound: None,
            begun: Vec::new(),
            refuses: "",
            sealed: Vec::new(),
        }
    }
}

impl Store for Answers {
    fn list(&mut self) -> Result<Listing> {
        Ok(Listing {
            snapshots: vec![Snapshot {
                path: "s".into(),
                uuid: Uuid([1; 16]),
                read_only: true,
                ..Snapshot::default()
            }],
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        (self.measures)(diffs)
    }

    fn less_than_whole(&mut self, _: &Diff) -> Result<Option<u64>> {
        Ok(self.bound)
    }

    fn expect(&mut self, next: &[Diff]) {
        self.begun = next.iter().map(Diff::pair).collect();
    }

    fn send(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        unreachable!()
    }

    fn receive(&mut self, _: &Diff, _: &Path) -> Result<Box<dyn Sink + '_>> {
        unreachable!()
    }

    fn copy(&mut self, _: &Path, _: &Path) -> Result<()> {
        unreachable!()
    }

    fn delete(&mut self, _: &Path) -> Result<()> {
        unreachable!()
    }

    fn has_files(&mut self) -> Result<()> {
        Ok(())
    }

    fn digest(&mut self, digest: &Digest) -> Result<Looking<'_>> {
        let seen = SeenEntry {
            path: "file".into(),
            found: Found::Entry(Box::default()),
        };
        let seen = match digest.extent {
            Extent::Next => Vec::new(),
            _ => vec![seen],
        };
        let everything = false;
        Ok(Box::new(move || Ok(Page { seen, everything })))
    }

    fn may_seal(&mut self, _: &Path) -> bool {
        true
    }

    fn settle(&mut self, path: &Path) -> Result<()> {
        if path == Path::new(self.refuses) {
            return Err(Error::failed("cannot seal", "as the test wants it"));
        }
        self.sealed.push(path.to_owned());
        Ok(())
    }
}
