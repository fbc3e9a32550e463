//! The suites on real filesystems, directly and through a pipe.

use crate::contract::{self, World};
use crate::damage;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::subvolumes::{snapshot, subvolume};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use buttersink::store::local::{Local, LocalOptions};
use buttersink::store::{Access, ReceiveWith, Store};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    local_keeps_the_contract,
    local_keeps_the_contract_by_the_program_btrfs,
    local_through_a_pipe_keeps_the_contract
];

/// Opens a directory of snapshots.
type Open = Box<dyn Fn(&Path, Access) -> Box<dyn Store>>;

/// Directories of two filesystems as stores.
pub(crate) struct Directories {
    source: PathBuf,
    dest: PathBuf,
    root: PathBuf,
    count: usize,
    open: Open,
}

impl Directories {
    pub(crate) fn new(open: Open) -> Directories {
        let (source, root) = (btrfs("source", 512), btrfs("dest", 512));
        let source = two_snapshots(&source, 3);
        let dest = root.join("none");
        let count = 0;
        Directories {
            source,
            dest,
            root,
            count,
            open,
        }
    }
}

/// A subvolume on `fs` and its snapshots `base` and `next`, in the directory that is returned;
/// the first has about so many MiB.
pub(crate) fn two_snapshots(fs: &Path, mib: usize) -> PathBuf {
    let (work, snaps) = (fs.join("work"), fs.join("snaps"));
    std::fs::create_dir(&snaps).unwrap();
    subvolume(&work);
    fill(&work, "first", mib);
    snapshot(&work, &snaps.join("base"));
    fill(&work, "second", 2);
    std::fs::remove_file(work.join("first/1")).unwrap();
    std::fs::rename(work.join("first/0"), work.join("moved")).unwrap();
    snapshot(&work, &snaps.join("next"));
    snaps
}

/// Some files in a directory of their own: about so many MiB that cannot be compressed.
pub(crate) fn fill(dir: &Path, name: &str, mib: usize) {
    let dir = dir.join(name);
    std::fs::create_dir(&dir).unwrap();
    let noise = crate::streams::noise(1, mib << 20);
    for (i, piece) in noise.chunks(300_000).enumerate() {
        std::fs::write(dir.join(i.to_string()), piece).unwrap();
    }
    std::fs::write(dir.join("small"), name).unwrap();
    std::os::unix::fs::symlink("small", dir.join("link")).unwrap();
}

pub(crate) fn delete(subvolume: &Path) {
    let words = [
        OsStr::new("subvolume"),
        "delete".as_ref(),
        subvolume.as_ref(),
    ];
    run("btrfs", words);
}

/// Deletes all subvolumes at any depth of a directory, and the directory.
pub(crate) fn clear(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let is_dir = path.symlink_metadata().unwrap().is_dir();
        if is_dir && std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap()) == 256 {
            delete(&path);
        } else if is_dir {
            clear(&path);
        }
    }
    let _ = std::fs::remove_dir_all(dir);
}

impl World for Directories {
    fn source(&mut self) -> Box<dyn Store> {
        (self.open)(&self.source, Access::Read)
    }

    fn dest(&mut self) -> Box<dyn Store> {
        clear(&self.dest);
        self.count += 1;
        self.dest = self.root.join(format!("dest{}", self.count));
        std::fs::create_dir(&self.dest).unwrap();
        (self.open)(&self.dest, Access::Write)
    }

    fn look(&mut self) -> Box<dyn Store> {
        (self.open)(&self.dest, Access::Read)
    }

    fn same(&mut self, name: &str, copy: &Path) {
        assert_same(&self.source.join(name), &self.dest.join(copy));
    }
}

fn local(dir: &Path, access: Access) -> Box<dyn Store> {
    local_by(crate::support::receive_with(), dir, access)
}

fn local_by(receive_with: Option<ReceiveWith>, dir: &Path, access: Access) -> Box<dyn Store> {
    let options = LocalOptions {
        receive_with,
        ..local_options()
    };
    Box::new(Local::open(dir, access, options).unwrap())
}

fn local_keeps_the_contract() {
    let mut world = Directories::new(Box::new(local));
    contract::all(&mut world);
    damage::all(&mut world);
}

fn local_keeps_the_contract_by_the_program_btrfs() {
    let way = Some(ReceiveWith::Btrfs);
    let mut world = Directories::new(Box::new(move |dir, access| local_by(way, dir, access)));
    contract::all(&mut world);
    damage::all(&mut world);
}

fn local_through_a_pipe_keeps_the_contract() {
    let open = |dir: &Path, access| -> Box<dyn Store> {
        let dir = dir.to_owned();
        Box::new(over(move || local(&dir, access), access, access, pipes).unwrap())
    };
    let mut world = Directories::new(Box::new(open));
    contract::all(&mut world);
    damage::all(&mut world);
}
