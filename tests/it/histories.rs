//! Random histories of one subvolume: every ordered pair of its snapshots is sent as parent and
//! child through the library, and every tree that arrives is compared.
//!
//! `cargo test --test it -- --history SEED [STEPS]` makes one and says what was wrong;
//! `make torture` makes new ones for as long as one likes, and makes those small that fail.

mod compare;
pub(crate) mod dice;
mod hands;
mod pairs;
mod shrink;
mod steps;
mod torture;
mod work;

use crate::runner::Test;
use crate::subvolumes::script;
use crate::support::{here, mount_image, need_btrfs, output, receive_with, run};
use crate::tests;
use buttersink::store::ReceiveWith;
use compare::Tree;
use dice::Dice;
use hands::Hands;
use pairs::{Pair, Pairs, Table};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use steps::Plan;
pub(crate) use torture::asked;
use work::Work;

pub(crate) const TESTS: &[Test] = tests![
    all_pairs_arrive_of_files_and_names,
    all_pairs_arrive_of_rights_and_attributes,
    all_pairs_arrive_of_old_numbers_and_links,
    all_pairs_arrive_of_lengths_and_heritage,
    the_kernels_own_streams_make_wrong_trees,
    each_kind_of_step_does_something,
    each_difference_is_seen,
    only_what_is_needed_is_kept,
];

fn all_pairs_arrive_of_files_and_names() {
    all_pairs_arrive(&[2, 7, 10, 57, 76]);
}

fn all_pairs_arrive_of_rights_and_attributes() {
    all_pairs_arrive(&[14, 24, 121, 132]);
}

fn all_pairs_arrive_of_old_numbers_and_links() {
    all_pairs_arrive(&[35, 71, 105, 142]);
}

fn all_pairs_arrive_of_lengths_and_heritage() {
    all_pairs_arrive(&[13, 25, 34, 39]);
}

/// Each of these showed faults of the kernel's streams. What is refused is so for a reason, and not
/// for good measure: the whole arrives in its place, but it is more to send.
fn all_pairs_arrive(seeds: &[u64]) {
    let (mut tried, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for &seed in seeds {
        let (table, _) = History::new(seed).judged(None);
        tried += table.tried;
        refused.extend(table.refused);
        wrong.extend(table.faults.into_iter().map(|fault| (seed, fault)));
    }
    let again = "cargo test --locked --test it -- --history SEED shows it again";
    assert!(wrong.is_empty(), "{again}: {wrong:#?}");
    assert_eq!(tried, 30 * seeds.len());
    assert!(refused.len() <= tried / 10, "{refused:#?}");
}

/// Seeds whose histories show all that was known when they were chosen.
const PLAIN: &[&str] = &["2", "13", "14", "35", "76"];

/// With nothing mended there is enough to find.
fn the_kernels_own_streams_make_wrong_trees() {
    need_btrfs();
    let mut found = BTreeSet::new();
    for seed in PLAIN {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.args(["--history-here", seed]);
        command.env("BUTTERSINK_RECEIVE_WITH", "btrfs");
        let output = output(command.env("BUTTERSINK_TEST_NO_MENDING", "1"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("fault\t"));
        found.extend(kinds.filter_map(|line| Some(line.split_once('\t')?.1.to_owned())));
        assert!(text.contains("\npairs\t30\t"), "it did not get to its end");
    }
    assert!(found.len() > 3, "{found:?}");
    for kind in ["bytes", "left", "mode"] {
        assert!(found.contains(kind), "{found:?}");
    }
}

fn each_kind_of_step_does_something() {
    need_btrfs();
    let image = fresh("a");
    let mut work = Work::new(&here().join("a"), &image);
    let steps = steps::all();
    let mut done = vec![0; steps.len()];
    for round in 0..8 {
        for (number, step) in steps.iter().enumerate() {
            work.said.push(format!("{number}"));
            let mut dice = Dice::new(round as u64, number);
            done[number] += usize::from(step(&mut work, &mut dice).is_ok());
        }
        work.snapshot(round).expect("a snapshot");
    }
    assert!(done.iter().all(|times| *times > 0), "{done:?}");
}

/// What is done to a copy, and what is seen of it.
const CHANGES: &[(&str, &[&str])] = &[
    ("true", &[]),
    ("touch -d 1999-01-01 d", &["time"]),
    ("touch -d 1999-01-01 .", &["time of the top"]),
    (
        "echo x | dd of=plain bs=1 seek=7 conv=notrunc status=none",
        &["bytes"],
    ),
    ("echo >>holes", &["bytes", "size"]),
    ("chmod u-s suid", &["mode"]),
    ("chown 5 d", &["owner"]),
    ("ln -sfn elsewhere link", &["size", "target"]),
    ("rm device; mknod device c 1 5", &["device"]),
    ("cp -a plain new; mv new hard", &["links", "names"]),
    ("rm plain", &["links", "missing", "names"]),
    (": >extra", &["extra"]),
    ("mkdir o258-7-0", &["left"]),
    ("rm other; mkfifo other", &["type"]),
    ("setfattr -n user.a -v other d", &["xattr user.a"]),
    ("setfacl -d -m u:7:r d", &["xattr system.posix_acl_default"]),
];

fn each_difference_is_seen() {
    need_btrfs();
    fresh("a");
    let (at, mut hands) = (here().join("a"), Hands::new());
    let make = "mkdir d; head -c 9000 /dev/urandom >plain; ln plain hard; truncate -s 1M holes; : >other
        mknod device c 1 3; ln -s nowhere link; echo >suid; chmod 4755 suid; setfattr -n user.a -v b d";
    let times = "touch -h -d 2001-02-03 * .";
    std::fs::create_dir(at.join("original")).expect("a directory");
    script(&at.join("original"), make);
    script(&at.join("original"), times);
    let original = Tree::read(&at.join("original"), &mut hands);
    for (number, (change, kinds)) in CHANGES.iter().enumerate() {
        let copy = at.join(number.to_string());
        script(&at, &format!("cp -a original {number}"));
        script(&copy, change);
        if !change.starts_with("touch") {
            script(&copy, times);
        }
        let found = original.differences(&Tree::read(&copy, &mut hands));
        let seen: BTreeSet<&str> = found.iter().map(|d| d.kind.as_str()).collect();
        assert_eq!(seen, kinds.iter().copied().collect(), "{change}");
    }
}

fn only_what_is_needed_is_kept() {
    let needed = [3, 17, 18, 40];
    let still = |steps: &[usize]| needed.iter().all(|step| steps.contains(step));
    assert_eq!(shrink::fewest((0..90).collect(), still), needed);
    let text = shrink::written(&needed);
    assert_eq!(text, "3,17-18,40");
    assert_eq!(shrink::read(&text), needed);
}

/// Where images lie: in memory, since every pair is synchronised several times.
fn memory() -> PathBuf {
    let at = here().join("memory");
    if !at.exists() {
        std::fs::create_dir_all(&at).expect("a mount point");
        let words = ["-t", "tmpfs", "histories", at.to_str().expect("plain")];
        run("mount", words);
    }
    at
}

/// A fresh filesystem, mounted at `here()/name`; its image.
fn fresh(name: &str) -> PathBuf {
    let image = memory().join(name);
    let _ = std::fs::remove_file(&image);
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(1 << 30).expect("an image");
    run("mkfs.btrfs", ["-q", image.to_str().expect("plain")]);
    mount_image(&image, name, "");
    image
}

/// A history, all of it or these steps of it.
struct History {
    seed: u64,
    plan: Plan,
    steps: Vec<usize>,
}

impl History {
    fn new(seed: u64) -> History {
        let plan = Plan::new(seed);
        let steps = (0..plan.steps).collect();
        History { seed, plan, steps }
    }

    fn only(&self, steps: Vec<usize>) -> History {
        History { steps, ..*self }
    }

    fn compressed(&self) -> bool {
        self.seed.is_multiple_of(3)
    }

    /// How it is received, unless the environment says it for all: half of them by ourselves.
    fn way(&self) -> Option<ReceiveWith> {
        let ours = self.seed % 4 >= 2;
        receive_with().or(ours.then_some(ReceiveWith::Builtin))
    }

    /// Makes it, sends what is asked for, and what was done in words.
    fn judged(&self, pair: Option<Pair>) -> (Table, Vec<String>) {
        need_btrfs();
        let image = fresh("a");
        fresh("b");
        let mut work = Work::new(&here().join("a"), &image);
        self.make(&mut work);
        let pairs = Pairs::new(&mut work, &here().join("b"), self.compressed(), self.way());
        let table = match pair {
            None => pairs.all(),
            Some(pair) => pairs.only(pair),
        };
        let said = std::mem::take(&mut work.said);
        drop(work);
        unmount(&here().join("a"));
        unmount(&here().join("b"));
        (table, said)
    }

    fn make(&self, work: &mut Work) {
        if self.seed.is_multiple_of(2) {
            // In real life numbers of subvolumes are higher than those of inodes in them.
            let words = json!(["use_up", hands::text(&work.fs), 400]);
            work.hands.call(&words).expect("subvolumes");
        }
        for step in &self.steps {
            self.plan.take(work, *step);
        }
        work.open.clear();
        let fs = work.fs.clone();
        work.hands.sync(&fs).expect("a sync");
    }
}

fn unmount(at: &Path) {
    run("umount", [at]);
}
