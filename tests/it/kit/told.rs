//! What the runner tells of tests: as people read it, and as the events that editors read, both in
//! the form of Rust's own harness.

use super::words::Format;
use serde_json::json;
use std::time::Duration;

/// How a test ended.
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It could not run here, and why.
    Skipped(String),
}

/// A test that ended.
pub(crate) struct Ended {
    pub name: &'static str,
    pub outcome: Outcome,
    pub said: String,
    pub took: Duration,
}

/// How many there were.
#[derive(Default)]
pub(crate) struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub not_chosen: usize,
    pub took: Duration,
}

pub(crate) fn list(format: Format, names: &[&str]) {
    for name in names {
        println!("{name}: test");
    }
    if format == Format::Pretty {
        println!("\n{} tests, 0 benchmarks", names.len());
    }
}

pub(crate) fn begin(format: Format, tests: usize) {
    match format {
        Format::Json => println!(
            "{}",
            json!({"type": "suite", "event": "started", "test_count": tests})
        ),
        _ => println!("\nrunning {tests} tests"),
    }
}

pub(crate) fn started(format: Format, name: &str) {
    if format == Format::Json {
        println!(
            "{}",
            json!({"type": "test", "event": "started", "name": name})
        );
    }
}

pub(crate) fn ended(format: Format, test: &Ended) {
    let seconds = test.took.as_secs_f64();
    let name = test.name;
    match (format, &test.outcome) {
        (Format::Json, _) => println!("{}", event(test)),
        (Format::Terse, Outcome::Passed) => {}
        (_, Outcome::Passed) => println!("test {name} ... ok ({seconds:.1} s)"),
        (_, Outcome::Failed) => println!("test {name} ... FAILED ({seconds:.1} s)"),
        (_, Outcome::Skipped(why)) => println!("test {name} ... ignored, {why}"),
    }
}

fn event(test: &Ended) -> serde_json::Value {
    let (word, message) = match &test.outcome {
        Outcome::Passed => ("ok", None),
        Outcome::Failed => ("failed", None),
        Outcome::Skipped(why) => ("ignored", Some(why)),
    };
    let mut event = json!({
        "type": "test", "event": word, "name": test.name,
        "exec_time": test.took.as_secs_f64(), "stdout": test.said,
    });
    if let Some(why) = message {
        event["message"] = json!(why);
    }
    event
}

/// What the tests said whose words somebody wants to read.
pub(crate) fn said<'a>(format: Format, tests: impl Iterator<Item = &'a Ended>) {
    if format != Format::Json {
        for test in tests {
            println!("\n---- {} stdout ----\n{}", test.name, test.said.trim_end());
        }
    }
}

pub(crate) fn end(format: Format, good: bool, skipped: &[String], count: &Count) {
    let (word, seconds) = (
        ["failed", "ok"][usize::from(good)],
        count.took.as_secs_f64(),
    );
    if format == Format::Json {
        let event = json!({
            "type": "suite", "event": word, "passed": count.passed, "failed": count.failed,
            "ignored": count.skipped, "measured": 0, "filtered_out": count.not_chosen,
            "exec_time": seconds,
        });
        return println!("{event}");
    }
    if !skipped.is_empty() {
        println!("\nskipped:\n    {}", skipped.join("\n    "));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {} filtered out; \
         finished in {seconds:.1}s\n",
        ["FAILED", "ok"][usize::from(good)],
        count.passed,
        count.failed,
        count.skipped,
        count.not_chosen,
    );
}
