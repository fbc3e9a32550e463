//! The runner itself: how tests are listed, chosen and counted, and that they heed signals. It runs
//! examples that nobody else gets to see.

use crate::apart;
use crate::runner::Test;
use crate::support::{output, skip};
use crate::tests;
use serde_json::Value;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    tests_are_listed_and_chosen,
    outcomes_are_counted,
    outcomes_are_events,
    what_the_caller_ignores_is_heeded,
];

const EXAMPLES: &str = "BUTTERSINK_TEST_EXAMPLES";

/// One of each outcome, if they are asked for.
pub(crate) fn examples() -> &'static [Test] {
    match std::env::var_os(EXAMPLES) {
        Some(_) => tests![
            passing_example,
            failing_example,
            skipped_example,
            heeding_example
        ],
        None => &[],
    }
}

fn passing_example() {
    println!("nobody needs to read this");
}

fn failing_example() {
    panic!("it fails");
}

fn skipped_example() {
    skip("needs the moon");
}

/// The kernel's list of the signals that this process ignores.
fn heeding_example() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let bit = |signal: i32| 1 << (signal - 1);
    let those = bit(libc::SIGHUP) | bit(libc::SIGINT) | bit(libc::SIGQUIT) | bit(libc::SIGTERM);
    assert_eq!(ignored & those, 0, "{ignored:x}");
}

/// The code of the runner with these words, and what it printed.
fn runner(words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(words)
        .env(EXAMPLES, "1")
        .env_remove("BUTTERSINK_TEST_STRICT");
    said(&mut command)
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = output(command);
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn tests_are_listed_and_chosen() {
    let list = |words: &[&str]| {
        let (code, text) = runner(&[&["--list", "--format", "terse"], words].concat());
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let all = list(&[]);
    assert!(all.lines().count() > 400 && all.lines().all(|line| line.ends_with(": test")));
    assert_eq!(list(&["--ignored"]), "");
    assert_eq!(
        list(&["--exact", "running::passing_example"]),
        "running::passing_example: test\n"
    );
    assert_eq!(list(&["--exact", "passing_example"]), "");
    let some = list(&[
        "passing_ex",
        "failing_ex",
        "skipped_ex",
        "--skip",
        "failing",
    ]);
    assert_eq!(
        some,
        "running::passing_example: test\nrunning::skipped_example: test\n"
    );
    assert_eq!(runner(&["--exactly"]).0, Some(101));
}

fn outcomes_are_counted() {
    let (code, text) = runner(&["running::passing", "running::skipped", "--test-threads=1"]);
    assert_eq!(code, Some(0));
    for words in [
        "running 2 tests\ntest running::passing_example ... ok",
        "test running::skipped_example ... ignored, needs the moon",
        "skipped:\n    running::skipped_example: needs the moon\n",
        "test result: ok. 1 passed; 0 failed; 1 ignored;",
    ] {
        assert!(text.contains(words), "{words}");
    }
    assert!(!text.contains("nobody needs"));
    assert!(
        runner(&["running::passing", "--nocapture"])
            .1
            .contains("nobody needs")
    );
    let (code, text) = runner(&["running::failing"]);
    assert_eq!(code, Some(101));
    assert!(text.contains("test running::failing_example ... FAILED"));
    assert!(text.contains("---- running::failing_example stdout ----"));
    let mut strict = Command::new(std::env::current_exe().unwrap());
    strict
        .arg("running::skipped")
        .env(EXAMPLES, "1")
        .env("BUTTERSINK_TEST_STRICT", "1");
    let (code, text) = said(&mut strict);
    assert_eq!(code, Some(101));
    assert!(text.contains("test result: FAILED. 0 passed; 0 failed; 1 ignored;"));
}

fn outcomes_are_events() {
    let words = [
        "running::failing",
        "-Z",
        "unstable-options",
        "--format=json",
    ];
    let (_, text) = runner(&words);
    let events: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let told = events
        .iter()
        .map(|e| (e["type"].as_str().unwrap(), e["event"].as_str().unwrap()));
    let expected = [
        ("suite", "started"),
        ("test", "started"),
        ("test", "failed"),
        ("suite", "failed"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(events[2]["stdout"].as_str().unwrap().contains("it fails"));
}

/// As `nohup make check &` does.
fn what_the_caller_ignores_is_heeded() {
    let exe = std::env::current_exe().unwrap();
    let script = "trap '' HUP INT QUIT TERM; exec \"$0\" running::heeding_example";
    let mut shell = Command::new("sh");
    let (code, text) = said(
        shell
            .args(["-c", script])
            .arg(exe)
            .env(EXAMPLES, "1")
            .env_remove(apart::SCRATCH),
    );
    assert_eq!(code, Some(0), "{text}");
}
