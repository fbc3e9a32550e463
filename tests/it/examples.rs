//! The EXAMPLES of the man pages are run, in a root of their own; what cannot be run here is named.

use crate::bucket::Bucket;
use crate::documents::{names_in, text};
use crate::runner::Test;
use crate::servers::{KEY, SECRET, shared};
use crate::subvolumes::{script, snapshot};
use crate::support::{binary, btrfs, here, output};
use crate::tests;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![the_examples_of_the_pages_run];

/// What a line has that no test here can run, and why not.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "ssh://",
        "needs the host `store`; tests of ssh run the like",
    ),
    (
        "--config",
        "needs backups of weeks; tests of scheduled backups run the like",
    ),
    ("20261121-233000", "is called after a second"),
    ("systemctl ", "needs systemd"),
    ("aws ", "needs the program aws"),
    ("security.capability", "needs a file with a capability"),
];

/// Pages that go by what others brought come after these.
const FIRST: &[&str] = &["buttersink.1", "buttersink-verify.1", "buttersink-backup.1"];

/// The commands of a page's EXAMPLES.
fn commands(page: &str) -> Vec<String> {
    let text = text(&format!("man/{page}"));
    let (_, examples) = text.split_once("\n.Sh EXAMPLES\n").unwrap_or_default();
    let examples = examples.split("\n.Sh ").next().unwrap_or_default();
    let examples = examples.replace("\\e\n", "");
    let lines = examples.lines().map(|line| {
        let line = line.strip_prefix(".Dl ").unwrap_or(line);
        let line = line
            .replace("\\(aq", "'")
            .replace("\\(dq", "\"")
            .replace("\\e", "\\");
        line.trim_start_matches(['#', '$', ' ']).to_owned()
    });
    let programs = [
        "buttersink",
        "btrfslist",
        "checksumdir",
        "btrfs",
        "systemctl",
        "aws",
    ];
    let begins = |line: &String| programs.contains(&line.split(' ').next().unwrap_or_default());
    lines.filter(begins).collect()
}

/// A root with two snapshots of `/home`, and what else examples name.
fn scene() {
    let (home, mnt) = (btrfs("home", 256), btrfs("mnt", 256));
    std::fs::create_dir(home.join(".snapshots")).unwrap();
    for name in ["monday", "tuesday"] {
        script(&home, &format!("head -c 1M /dev/urandom >{name}"));
        snapshot(&home, &home.join(".snapshots").join(name));
    }
    script(
        &mnt,
        "mkdir -p backup/home disk/home restored a/home-1 b; echo 1 >a/home-1/file; cp -a a/home-1 b/",
    );
    let others = "mkdir -p tmp etc usr/share/doc/x; echo 1 >etc/file; echo 1 >usr/share/doc/x/file";
    script(&here(), others);
}

fn run_line(line: &str, bucket: &Bucket) {
    let root = here().display().to_string();
    let line = line.replace("s3://bucket/", &bucket.url(""));
    let line = line.replace(" /", &format!(" {root}/"));
    let programs = binary("buttersink").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .env("PATH", path)
        .env("HOME", &root);
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", &bucket.server.endpoint);
    assert!(output(&mut command).status.success(), "{line}");
}

fn the_examples_of_the_pages_run() {
    scene();
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let has_jq = Command::new("jq").arg("--version").output().is_ok();
    let pages = FIRST.iter().map(|page| (*page).to_owned());
    let more = names_in("man")
        .into_iter()
        .filter(|page| !FIRST.contains(&page.as_str()));
    let (mut run, mut left) = (0, Vec::new());
    for page in pages.chain(more) {
        for line in commands(&page) {
            let why = NOT_RUN.iter().find(|(part, _)| line.contains(part));
            if why.is_some() || line.contains("| jq ") && !has_jq {
                left.push(line);
                continue;
            }
            run_line(&line, &bucket);
            run += 1;
        }
    }
    assert!(run > 20, "only {run} were run");
    for (part, _) in NOT_RUN {
        assert!(
            left.iter().any(|line| line.contains(part)),
            "{part} stands nowhere"
        );
    }
}
