//! Destinations that subvolumes of two machines share, for months, with everything that goes wrong; and
//! keepers of what must be there, which were written from the promises and not from the code: of each
//! subvolume the newest that its policy names, and all that is nobody's. `BUTTERSINK_SOAK=SEED,STEPS`
//! makes longer ones; `make torture` makes new ones.

mod archives;
mod places;

use crate::apart::alone_with;
use crate::runner::{SKIPPED, Test, plain, with_servers};
use crate::tests;
use std::collections::BTreeMap;
use std::fs::FileType;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Where the seed and the number of steps stand.
const ORDER: &str = "BUTTERSINK_SOAK";

pub(crate) const TESTS: &[Test] = tests![
    a_shared_directory,
    a_shared_far_directory,
    a_shared_bucket,
    shared_archives,
];

fn a_shared_directory() {
    places::near();
}

fn a_shared_far_directory() {
    places::in_far();
}

fn a_shared_bucket() {
    places::in_bucket();
}

fn shared_archives() {
    archives::soak();
}

/// A run that a soak starts, as if it were another day.
pub(crate) fn asked() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [word, config, hour] if word == "--scheduled-at" => Some(archives::at(config, hour)),
        _ => None,
    }
}

/// The seed, and how many steps.
fn order() -> (u64, u32) {
    let order = std::env::var(ORDER).unwrap_or_else(|_| "11,25".to_owned());
    let (seed, steps) = order.split_once(',').unwrap();
    (seed.parse().unwrap(), steps.parse().unwrap())
}

/// New ones until the time is up, some at a time; whether all that could run here were as they should
/// be.
pub(crate) fn torture(first: u64, end: Instant) -> bool {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let jobs = std::thread::available_parallelism().map_or(2, NonZero::get);
    with_servers(jobs, || {
        while Instant::now() < end {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (name, _) = TESTS[number % TESTS.len()];
            let seed = first + (number / TESTS.len()) as u64;
            failed.fetch_add(usize::from(!passed(name, seed)), Ordering::Relaxed);
        }
    });
    println!("{next:?} soaks from seed {first}, {failed:?} failed");
    failed.into_inner() == 0
}

fn passed(name: &'static str, seed: u64) -> bool {
    let (name, order) = (plain(name), format!("{seed},50"));
    let (code, text) = alone_with(
        &format!("{name}.{seed}"),
        &["--only", name],
        &[(ORDER, &order)],
    );
    if !matches!(code, Some(0 | SKIPPED)) {
        println!("{text}\nagain: {ORDER}={order} cargo test --locked --test it -- --exact {name}");
        return false;
    }
    true
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What is in the files of a directory, and the names of their snapshots, but for links to them.
fn texts(dir: &Path) -> BTreeMap<String, String> {
    let entries = dir.read_dir().into_iter().flatten().map(Result::unwrap);
    let text = |entry: std::fs::DirEntry| {
        entry.file_type().ok().filter(FileType::is_dir)?;
        let text = std::fs::read_to_string(entry.path().join("file")).ok()?;
        Some((text, entry.file_name().into_string().unwrap()))
    };
    entries.filter_map(text).collect()
}
