//! What README.md shows of runs is what runs show: each block is run, and its output compared but for numbers,
//! times and UUIDs. What cannot be run here is named.

use crate::bucket::{self, Bucket};
use crate::documents::text;
use crate::runner::Test;
use crate::servers::shared;
use crate::subvolumes::{script, set_read_only, snapshot, subvolume};
use crate::support::{btrfs, here};
use crate::tests;

pub(crate) const TESTS: &[Test] = tests![
    the_tour_is_as_it_is_shown,
    buckets_are_as_they_are_shown,
    verifying_is_as_it_is_shown,
    each_block_is_run_or_named,
];

/// Blocks that no test runs as they stand, by their first line, and why not.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "$ buttersink backup --latest-only",
        "needs the host `store`; tests of backups run the like",
    ),
    ("# cat /etc/buttersink/home.env", "needs systemd"),
    (
        "# mkdir -p /etc/buttersink\n",
        "a test of config init runs it, and what the timer starts",
    ),
    (
        "$ buttersink backup --config /etc/b.toml",
        "needs a week between two runs",
    ),
    (
        "$ buttersink restore --config /etc/b.toml",
        "needs objects that AWS has frozen",
    ),
    (
        "$ buttersink clean --older-than 3d",
        "needs an upload that is days old",
    ),
    (
        "$ checksumdir photos",
        "needs files that change between its commands",
    ),
];

const RUN: &[&str] = &[
    "$ buttersink -n SRC/snaps/ DST/snaps/",
    "$ buttersink SRC/snaps/ DST/snaps/\nsent monday",
    "$ buttersink DST/snaps/",
    "$ buttersink SRC/snaps/ DST/snaps/\nsent wednesday",
    "$ buttersink -n SRC/snaps/ s3://",
    "$ buttersink verify DST/snaps/\n",
    "$ buttersink verify DST/snaps/ --against",
    "$ buttersink --compare",
];

/// The blocks that show a command.
fn blocks() -> Vec<String> {
    let readme = text("README.md");
    let all = readme.split("```\n").skip(1).step_by(2);
    let shown = all.filter(|block| block.starts_with("$ ") || block.starts_with("# "));
    shown.map(str::to_owned).collect()
}

fn each_block_is_run_or_named() {
    let blocks = blocks();
    let named: Vec<&str> = RUN
        .iter()
        .copied()
        .chain(NOT_RUN.iter().map(|(block, _)| *block))
        .collect();
    for block in &blocks {
        let known = named
            .iter()
            .filter(|named| block.starts_with(**named))
            .count();
        assert_eq!(known, 1, "{block}");
    }
    assert_eq!(blocks.len(), named.len());
}

/// `SRC` with two snapshots in `snaps`, and `DST` with none.
fn scene() {
    for side in ["SRC", "DST"] {
        std::fs::create_dir(btrfs(side, 256).join("snaps")).unwrap();
    }
    subvolume(&here().join("SRC/home"));
    make(
        "monday",
        "head -c 12M /dev/urandom >photos; echo 1 >tool; chmod 755 tool",
    );
    make("tuesday", "head -c 3M /dev/urandom >mail; chmod 4755 tool");
}

/// One more snapshot, after a change.
fn make(name: &str, change: &str) {
    let home = here().join("SRC/home");
    script(&home, change);
    snapshot(&home, &here().join("SRC/snaps").join(name));
}

/// Runs the commands of the block that begins so, each of which shows what stands there.
fn run_block(begins: &str, bucket: Option<&Bucket>) {
    let block = blocks()
        .into_iter()
        .find(|block| block.starts_with(begins))
        .unwrap();
    for shown in block.strip_prefix("$ ").unwrap().split("\n$ ") {
        let (line, shown) = shown.split_once('\n').unwrap();
        let place = bucket.map_or("s3://bucket/".to_owned(), |bucket| bucket.url(""));
        let line = line.replace("s3://bucket/", &place);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let endpoint = bucket.map_or("http://127.0.0.1:1", |bucket| &bucket.server.endpoint);
        let mut command = bucket::command(endpoint, &words);
        let said = bucket::said(command.current_dir(here()).env("AWS_REGION", "us-east-1"));
        assert!(matches!(said.code, 0 | 4), "{line}: {}", said.stderr);
        let here = here().display().to_string();
        let said = said
            .stdout
            .replace(&here, "/mnt")
            .replace(&place, "s3://bucket/");
        assert_eq!(masked(&said), masked(shown), "{line}");
    }
}

/// Numbers, UUIDs and units as signs, and one blank between words.
fn masked(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            line.split_whitespace()
                .map(mask)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn mask(word: &str) -> String {
    let dashes = word.matches('-').count();
    if word.len() == 36 && dashes == 4 {
        return "UUID".to_owned();
    }
    if word == "now" {
        return "# min".to_owned();
    }
    let mut masked = String::new();
    for c in word.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            '.' if masked.ends_with('#') => {}
            _ => masked.push(c),
        }
    }
    for unit in ["KiB", "MiB", "GiB"] {
        masked = masked.replace(unit, "B");
    }
    masked
}

fn the_tour_is_as_it_is_shown() {
    scene();
    for block in &RUN[..3] {
        run_block(block, None);
    }
    make("wednesday", "rm mail");
    run_block(RUN[3], None);
}

fn buckets_are_as_they_are_shown() {
    scene();
    let server = shared("seaweedfs");
    run_block(RUN[4], Some(&Bucket::new(&server)));
}

fn verifying_is_as_it_is_shown() {
    scene();
    run_block(RUN[1], None);
    let copy = here().join("DST/snaps/tuesday");
    set_read_only(&copy, false);
    script(&copy, "chmod 755 tool; sync -f .");
    set_read_only(&copy, true);
    run_block(RUN[5], None);
    run_block(RUN[6], None);
    make("wednesday", "rm mail");
    run_block(RUN[7], None);
}
