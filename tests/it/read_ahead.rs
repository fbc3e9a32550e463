//! What is read ahead of `btrfs send`: so far and no further, what is sent and nothing else, and none of it
//! stays in memory.

use crate::runner::Test;
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use crate::tests;
use buttersink::btrfs::{self as fs, SendPosition, SendScope};
use buttersink::sys::page_cache;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    no_further_than_the_sender_needs,
    only_what_was_written_since,
    compressed_extents_pass_by,
    a_run_leaves_memory_as_it_was,
];

/// A subvolume with so many files of that many KiB, f000 and so on.
fn files(count: usize, kib: usize) -> (PathBuf, PathBuf) {
    let a = btrfs("a", 512);
    let live = a.join("live");
    subvolume(&live);
    script(
        &live,
        &format!(
            "for i in $(seq -w 0 {}); do head -c {kib}K /dev/urandom >f$i; done",
            count - 1
        ),
    );
    (a, live)
}

fn sorted(snapshot: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(snapshot).unwrap();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn in_memory(path: &Path) -> bool {
    page_cache::cached_pages(File::open(path).unwrap().as_fd(), 0, 0).unwrap() > 0
}

/// Waits for what comes and stays.
fn comes(path: &Path) {
    while !in_memory(path) {
        std::thread::sleep(SOON);
    }
}

const SOON: Duration = Duration::from_millis(5);

/// What reads ahead, on a thread of its own, of a sender that is moved by hand.
struct Reading(Arc<SendPosition>, JoinHandle<()>);

fn start(snapshot: &Path, since: u64, compressed: bool) -> Reading {
    let wanted = SendScope {
        snapshot: File::open(snapshot).unwrap().into(),
        since,
        compressed,
    };
    let position = Arc::new(SendPosition::default());
    let seen = Arc::clone(&position);
    let thread = std::thread::spawn(move || fs::read_ahead(&wanted, &seen).unwrap());
    Reading(position, thread)
}

impl Reading {
    fn end(self) {
        self.0.end();
        self.1.join().unwrap();
    }
}

fn no_further_than_the_sender_needs() {
    let (a, live) = files(24, 2048);
    let one = a.join("one");
    snapshot(&live, &one);
    let files = sorted(&one);
    // Somebody reads this one: it stays.
    std::fs::read(&files[0]).unwrap();
    let ahead = start(&one, 0, false);
    comes(&files[8]);
    assert!(!in_memory(&files[9]), "16 MiB, and the one that was there");
    let ino = std::fs::metadata(&files[5]).unwrap().ino();
    ahead.0.reach((ino, 0));
    comes(&files[12]);
    assert!(!in_memory(&files[4]), "it was sent");
    assert!(!in_memory(&files[14]), "it is too far ahead");
    ahead.end();
    let there: Vec<bool> = files.iter().map(|file| in_memory(file)).collect();
    let first = (0..there.len()).map(|number| number == 0);
    assert_eq!(there, first.collect::<Vec<bool>>(), "memory is as it was");
}

fn only_what_was_written_since() {
    let (a, live) = files(4, 64);
    let (one, two) = (a.join("one"), a.join("two"));
    snapshot(&live, &one);
    script(
        &live,
        "head -c 64K /dev/urandom >f1; cp --reflink=always f0 f2; echo x >>f3",
    );
    snapshot(&live, &two);
    let since = fs::subvolume(&one).unwrap().otransid;
    let ahead = start(&two, since, false);
    let files = sorted(&two);
    comes(&files[1]);
    // It is read last, and its first extent is that of before.
    let f3 = File::open(&files[3]).unwrap();
    let reads = |at| page_cache::cached_pages(f3.as_fd(), at, 4096).unwrap() > 0;
    while !reads(64 << 10) {
        std::thread::sleep(SOON);
    }
    assert!(!in_memory(&files[0]) && !in_memory(&files[2]) && !reads(0));
    ahead.end();
}

fn compressed_extents_pass_by() {
    let a = btrfs("a", 256);
    let live = a.join("live");
    subvolume(&live);
    script(
        &live,
        "btrfs property set . compression zstd; head -c 256K /dev/zero | tr '\\0' x >f0; head -c 64K /dev/urandom >f1",
    );
    let one = a.join("one");
    snapshot(&live, &one);
    let files = sorted(&one);
    let ahead = start(&one, 0, true);
    comes(&files[1]);
    assert!(!in_memory(&files[0]), "it is sent as it is");
    ahead.end();
    let ahead = start(&one, 0, false);
    comes(&files[0]);
    ahead.end();
}

fn a_run_leaves_memory_as_it_was() {
    let (a, live) = files(600, 16);
    let b = btrfs("b", 512);
    let snaps = a.join("snaps");
    std::fs::create_dir(&snaps).unwrap();
    snapshot(&live, &snaps.join("1"));
    script(
        &live,
        "head -c 16K /dev/urandom >f007; head -c 16K /dev/urandom >f500",
    );
    snapshot(&live, &snaps.join("2"));
    std::fs::read(snaps.join("1/f100")).unwrap();
    let said = buttersink(&[
        &format!("{}/", snaps.display()),
        &format!("{}/", b.display()),
    ]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let all = ["1", "2"].map(|name| sorted(&snaps.join(name))).concat();
    let there: Vec<&PathBuf> = all.iter().filter(|file| in_memory(file)).collect();
    assert_eq!(there, [&snaps.join("1/f100")]);
    for name in ["1", "2"] {
        let (ours, theirs) = (snaps.join(name), b.join(name));
        run(
            "diff",
            ["-r".as_ref(), ours.as_os_str(), theirs.as_os_str()],
        );
    }
}
