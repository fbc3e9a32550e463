//! How long it takes to plan many snapshots, and how much memory: everything but the measuring itself,
//! which is made up here. Asserts nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use buttersink::error::{Error, Result};
use buttersink::plan::{self, Wish};
use buttersink::snapshot::{Diff, Listing, Offer, Size, Sizes, Snapshot, Uuid};
use buttersink::store::{Sink, Store};
use buttersink::sync::make_plan;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const COUNTS: [u64; 4] = [100, 1000, 3000, 10_000];
/// Subvolumes that snapshots are made of in turn.
const SUBVOLUMES: u64 = 5;
const WHOLE: u64 = 1 << 30;
const STEP: u64 = 1 << 20;

/// Knows how long streams would be.
#[derive(Default)]
struct MadeUp {
    asked: usize,
}

fn uuid(number: u64) -> Uuid {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Uuid(bytes)
}

fn number(id: Uuid) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().unwrap())
}

fn snapshot(number: u64) -> Snapshot {
    Snapshot {
        path: format!("home.{number:05}").into(),
        uuid: uuid(number),
        parent_uuid: Some(uuid((1 << 40) | (number % SUBVOLUMES))),
        ctransid: 1000 + number,
        otransid: 1000 + number,
        read_only: true,
        tree_bytes: STEP,
        ..Snapshot::default()
    }
}

/// Later steps are the larger, as most things grow: the nearest in time is then the newer one.
fn bytes(diff: &Diff) -> u64 {
    let to = number(diff.to);
    diff.from.map_or(WHOLE, |from| {
        let from = number(from);
        STEP * to.abs_diff(from) + 64 * to.max(from)
    })
}

impl Store for MadeUp {
    fn list(&mut self) -> Result<Listing> {
        Ok(Listing::default())
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        self.asked += diffs.len();
        let measured = |diff: &Diff| match (bytes(diff), diff.size) {
            (bytes, Size::Beyond(enough)) if bytes > enough => diff.size,
            (bytes, _) => Size::Exact(bytes),
        };
        let sizes = diffs.iter().map(|d| (d.key(), measured(d).into()));
        Ok(sizes.collect())
    }

    fn send(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        Err(Error::failed("sending", "not here"))
    }

    fn receive(&mut self, _: &Diff, _: &Path) -> Result<Box<dyn Sink + '_>> {
        Err(Error::failed("receiving", "not here"))
    }

    fn copy(&mut self, _: &Path, _: &Path) -> Result<()> {
        Err(Error::failed("copying", "not here"))
    }

    fn delete(&mut self, _: &Path) -> Result<()> {
        Err(Error::failed("deleting", "not here"))
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = mark.and_then(|mark| mark.trim().strip_suffix(" kB"));
    kib.unwrap().parse::<u64>().unwrap() << 10
}

/// What a destination may have, and be.
const KINDS: [&str; 3] = ["nothing", "the older half", "nothing, keeps diffs"];

fn there(kind: &str, count: u64) -> Listing {
    let half = if kind == KINDS[1] { count / 2 } else { 0 };
    let older = (0..half).map(|number| Snapshot {
        uuid: uuid((1 << 50) | number),
        received_uuid: Some(uuid(number)),
        stransid: 1000 + number,
        parent_uuid: None,
        ..snapshot(number)
    });
    Listing {
        snapshots: older.collect(),
        offer: match kind == KINDS[2] {
            true => Offer::Only(Vec::new()),
            false => Offer::AnyPair,
        },
        ..Listing::default()
    }
}

fn row(kind: &str, count: u64) {
    let mut source = MadeUp::default();
    let here = Listing {
        snapshots: (0..count).map(snapshot).collect(),
        ..Listing::default()
    };
    let there = there(kind, count);
    let wish = Wish {
        max_chain: Some(30),
        ..Wish::default()
    };
    let start = Instant::now();
    let plan = make_plan(&mut source, &here, &there, &wish, &mut |_| {}).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let again = Instant::now();
    plan::plan(&here, &there, &wish, &plan.measured).unwrap();
    let known = again.elapsed().as_secs_f64();
    let sent = plan.transfers().count() + there.snapshots.len();
    assert_eq!(sent as u64, count);
    let (asked, mib) = (source.asked, peak() as f64 / f64::from(1 << 20));
    println!("{count:>10}  {kind:24}{asked:>10}{seconds:>12.3}{known:>12.3}{mib:>10.1}");
    keep(&format!(
        "planning, to a destination that has {kind}\t{count} snapshots\t{seconds:.3} s\t\t\t{mib:.1}"
    ));
}

/// A row of the one table that `make bench` ends with.
fn keep(row: &str) {
    if let Some(figures) = env::var_os("BUTTERSINK_FIGURES") {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(figures)
            .unwrap();
        writeln!(file, "{row}").unwrap();
    }
}

/// Each row is a process of its own: memory that one has had, the next would seem to have.
fn main() {
    let mut words = env::args().skip(1).filter(|word| !word.starts_with('-'));
    if let (Some(kind), Some(count)) = (words.next(), words.next()) {
        return row(&kind, count.parse().unwrap());
    }
    println!(
        "{:>10}  {:24}{:>10}{:>12}{:>12}{:>10}",
        "snapshots", "the destination has", "measured", "all rounds s", "the last s", "peak MiB"
    );
    for kind in KINDS {
        for count in COUNTS {
            let mut child = Command::new(env::current_exe().unwrap());
            let status = child.args([kind, &count.to_string()]).status().unwrap();
            assert!(status.success());
        }
    }
}
