//! Directories that keep streams, as runs are told of them: on each filesystem that a suite is for, here and
//! through a server, which is the program itself as a client has it started.

use crate::disks::{Disk, Suite, raw};
use crate::support::*;
use buttersink::error::Result;
use buttersink::store::{
    self, Access, BucketOptions, LocalOptions, Location, SshOptions, Store, StoreOptions,
};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// How a run reaches a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Here,
    /// By `buttersink --server` in a process of its own.
    Server,
}

/// A directory on a filesystem of its own.
pub(crate) struct Target {
    pub(crate) disk: Disk,
    pub(crate) way: Way,
    /// Where the filesystem is mounted.
    pub(crate) top: PathBuf,
    /// The directory, at first empty.
    pub(crate) dir: PathBuf,
}

/// Calls with a new directory on each filesystem of a suite, of so many MiB, for each way to it.
pub(crate) fn each(suite: Suite, mib: u64, test: impl Fn(&Target)) {
    for (disk, way) in pairs(suite) {
        println!("{disk:?}, {way:?}");
        test(&Target::new(disk, way, mib));
    }
}

/// Each filesystem of a suite with each way.
pub(crate) fn pairs(suite: Suite) -> impl Iterator<Item = (Disk, Way)> {
    let both = |disk: &Disk| [(*disk, Way::Here), (*disk, Way::Server)];
    suite.iter().flat_map(both)
}

impl Target {
    pub(crate) fn new(disk: Disk, way: Way, mib: u64) -> Target {
        let name = format!("{disk:?}{way:?}").to_lowercase();
        Target::on(disk, way, disk.make(&name, mib))
    }

    /// On a filesystem that is mounted.
    pub(crate) fn on(disk: Disk, way: Way, top: PathBuf) -> Target {
        let dir = top.join("streams");
        std::fs::create_dir_all(&dir).unwrap();
        Target {
            disk,
            way,
            top,
            dir,
        }
    }

    /// Another directory on the same filesystem, also an empty one.
    pub(crate) fn beside(&self, name: &str) -> Target {
        let (dir, top) = (self.top.join(name), self.top.clone());
        std::fs::create_dir(&dir).unwrap();
        Target { dir, top, ..*self }
    }

    /// What it is called on a command line.
    pub(crate) fn place(&self) -> String {
        match self.way {
            Way::Here => raw(&self.dir),
            Way::Server => format!("raw+ssh://far{}/", self.dir.display()),
        }
    }

    /// The words of a run, with how servers are reached.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let far = far_shell().display().to_string();
        let with = ["--ssh-command", &far, "--remote-sudo="];
        let words = words
            .iter()
            .chain(with.iter().filter(|_| self.way == Way::Server));
        words.map(|&word| word.to_owned()).collect()
    }

    /// `buttersink WORDS…`
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        buttersink(self.words(words))
    }

    /// It is whole, as far as it says that there is something, and nothing is under way.
    #[track_caller]
    pub(crate) fn is_whole(&self) {
        assert_eq!(self.run(&["verify", "--download", &self.place()]).code, 0);
        let names = crate::disks::names_below(&self.dir);
        let under_way = |name: &&String| name.ends_with("/data");
        assert_eq!(names.iter().find(under_way), None);
    }

    /// Opens it; a server has parts of the usual length.
    pub(crate) fn open(&self, access: Access) -> Result<Box<dyn Store>> {
        open(&self.place(), access)
    }
}

/// Opens a place as the program does, with parts that are short where this process writes them.
pub(crate) fn open(place: &str, access: Access) -> Result<Box<dyn Store>> {
    let place = Location::directory(OsStr::new(place)).unwrap().place;
    store::open(&place, access, &store_options(&far_shell()))
}

fn store_options(far: &Path) -> StoreOptions {
    StoreOptions {
        bwlimit: None,
        local: LocalOptions {
            receive_with: None,
            ..local_options()
        },
        ssh: SshOptions {
            command: far.into(),
            sudo: OsString::new(),
            ..SshOptions::default()
        },
        s3: BucketOptions {
            part_size: Some(10_000),
            ..BucketOptions::default()
        },
    }
}

/// What stands for ssh: what it is told to run is run here, by a shell. What it is told is in `here()/told`.
pub(crate) fn far_shell() -> PathBuf {
    let far = here().join("far");
    if far.exists() {
        return far;
    }
    let program = binary("buttersink");
    let text = format!(
        "#!/bin/sh\nwhile [ \"$1\" != far ]; do shift; done; shift\nPATH={}:$PATH\necho \"$*\" >>{}\n\
         exec sh -c \"$*\"\n",
        program.parent().unwrap().display(),
        here().join("told").display()
    );
    std::fs::write(&far, text).unwrap();
    run("chmod", ["+x", far.to_str().unwrap()]);
    far
}
