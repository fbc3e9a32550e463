//! Shows whether two trees are the same: files that describe a tree in the form of GNU find and
//! sha256sum, a check of such files against a tree, a comparison of two trees, and of what two machines see
//! in theirs.
//! Knows nothing of snapshots and stores, follows no symlink, changes nothing in a tree.

mod line;
mod walk;

mod flags;
mod queue;
mod read;

mod hash;
mod list;

mod difference;

mod check;
mod compare;
mod wanted;
mod write;

mod report;

mod entry;

mod entry_reader;

pub use check::check;
pub use compare::compare_trees;
pub use difference::{Aspect, Change, Difference, What};
pub use entry::{Entry, Found, SeenEntry};
pub use entry_reader::{EntryReading, PathPages, look};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use list::fuzz as fuzz_lists;
pub use list::{List, ListFile};
pub use report::Report;
pub use wanted::Wanted;
pub use write::{ListTarget, Written, names_of, write_lists};

use crate::error::{Error, Result};
use crate::process;
use crate::sys::interrupted;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

/// How to look at trees.
#[derive(Clone, Debug)]
pub struct ChecksumOptions {
    /// Threads that read and compute.
    pub threads: usize,
    /// Compare the bytes of files ([`compare_trees`]); without it, attributes only.
    pub content: bool,
    /// Compare the bytes of so many files only, spread over the tree ([`compare_trees`]).
    pub sample: Option<usize>,
    /// Compare extended attributes ([`compare_trees`]).
    pub xattrs: bool,
    /// Pass over the empty directories that stand for nested subvolumes inside a btrfs snapshot:
    /// they do not travel with it ([`compare_trees`]).
    pub ignore_stubs: bool,
    /// Look which files and directories have other flags of chattr's ([`TreeComparison::flags`]).
    pub flags: bool,
}

impl Default for ChecksumOptions {
    /// Contents but no extended attributes, by as many threads as there are processors for us.
    fn default() -> Self {
        ChecksumOptions {
            threads: crate::parallel::processors(),
            content: true,
            sample: None,
            xattrs: false,
            ignore_stubs: false,
            flags: false,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct TreeComparison {
    /// By path.
    pub differences: Vec<Difference>,
    /// What could not be read, and so not compared.
    pub errors: Vec<Error>,
    /// By path: which flags of chattr's only one side has, as letters. They travel nowhere, and are no difference.
    pub flags: Vec<(PathBuf, String)>,
}

/// How far the work has come; anybody may look at any time.
#[derive(Debug, Default)]
pub struct WorkCounters {
    /// Entries seen in directories.
    pub entries: AtomicU64,
    /// Files read to their end.
    pub files: AtomicU64,
    /// Files to read.
    pub all_files: AtomicU64,
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Bytes to read.
    pub all_bytes: AtomicU64,
}

/// An error once a signal has asked us to stop.
fn go_on(doing: &str) -> Result<()> {
    match interrupted() {
        true => Err(process::interrupted(doing)),
        false => Ok(()),
    }
}
