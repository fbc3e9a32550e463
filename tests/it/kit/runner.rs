//! The runner: finds the tests that are asked for, runs each in a process of its own, some at a
//! time, and counts what could not run here as skipped.

use super::apart::{TIME_LIMIT, alone};
use super::told::{self, Count, Ended, Outcome};
use super::words::Words;
use crate::support;
use std::fs::File;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A test: its name, and the function that panics if it fails.
pub(crate) type Test = (&'static str, fn());

/// The names and functions of a module's tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((concat!(module_path!(), "::", stringify!($name)), $name as fn())),*]
    };
}

/// What a test process exits with to say that it could not run here.
pub(crate) const SKIPPED: i32 = 77;

/// What Rust's harness exits with when a test failed, or a word is wrong.
const FAILED: u8 = 101;

pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let words = match Words::read(std::env::args_os().skip(1)) {
        Ok(words) => words,
        Err(error) => {
            println!("error: {error}");
            return FAILED.into();
        }
    };
    let tests: Vec<Test> = tests.iter().map(|(n, test)| (plain(n), *test)).collect();
    match &words.only {
        Some(name) => here(&tests, name),
        None => chosen(&tests, &words),
    }
}

/// A name without that of the crate, as Rust's harness has it.
pub(crate) fn plain(name: &'static str) -> &'static str {
    name.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::"))
        .unwrap_or(name)
}

fn here(tests: &[Test], name: &str) -> ExitCode {
    let (_, test) = tests
        .iter()
        .find(|(n, _)| *n == name)
        .expect("no such test");
    test();
    ExitCode::SUCCESS
}

fn chosen(tests: &[Test], words: &Words) -> ExitCode {
    let names = tests.iter().map(|(name, _)| *name);
    let names: Vec<&'static str> = names.filter(|name| words.choose(name)).collect();
    if words.list {
        told::list(words.format, &names);
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    told::begin(words.format, names.len());
    let done = run_all(&names, words);
    let not_chosen = tests.len() - names.len();
    let mut count = Count {
        not_chosen,
        took: begin.elapsed(),
        ..Count::default()
    };
    report(&done, words, &mut count)
}

fn run_all(names: &[&'static str], words: &Words) -> Vec<Ended> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let jobs = || std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    with_servers(words.threads.unwrap_or_else(jobs), || {
        while let Some(&name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            told::started(words.format, name);
            let test = run_one(name);
            told::ended(words.format, &test);
            done.lock().unwrap().push(test);
        }
    });
    done.into_inner().unwrap()
}

/// Does this in so many threads, and stops the servers that were started for it, unless another runner,
/// as nextest starts one for each test, may be using them.
pub(crate) fn with_servers(threads: usize, work: impl Fn() + Sync) {
    let running = running();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&work);
        }
    });
    if running.unlock().is_ok() && running.try_lock().is_ok() {
        support::stop_servers();
    }
}

/// Held by each runner as long as its tests run.
fn running() -> File {
    let path = support::target_dir().join("tmp/runners.lock");
    let file = File::create(path).expect("lock file");
    file.lock_shared().expect("lock");
    file
}

fn run_one(name: &'static str) -> Ended {
    let begin = Instant::now();
    let (code, mut said) = alone(name, &["--only", name]);
    let outcome = match code {
        Some(0) => Outcome::Passed,
        Some(SKIPPED) => Outcome::Skipped(said.lines().last().unwrap_or_default().to_owned()),
        Some(_) => Outcome::Failed,
        None => {
            said += &format!("\nkilled, or no end within {TIME_LIMIT:?}");
            Outcome::Failed
        }
    };
    let took = begin.elapsed();
    Ended {
        name,
        outcome,
        said,
        took,
    }
}

fn report(done: &[Ended], words: &Words, count: &mut Count) -> ExitCode {
    let mut skipped = Vec::new();
    for test in done {
        match &test.outcome {
            Outcome::Passed => count.passed += 1,
            Outcome::Failed => count.failed += 1,
            Outcome::Skipped(why) => skipped.push(format!("{}: {why}", test.name)),
        }
    }
    count.skipped = skipped.len();
    let failed = |test: &&Ended| matches!(test.outcome, Outcome::Failed);
    told::said(
        words.format,
        done.iter().filter(|test| words.shown || failed(test)),
    );
    let strict = std::env::var_os("BUTTERSINK_TEST_STRICT").is_some_and(|v| v == "1");
    // No set-up gives a processor what it lacks.
    let curable = skipped
        .iter()
        .any(|line| !line.contains(": this processor has no "));
    let good = count.failed == 0 && !(strict && curable);
    told::end(words.format, good, &skipped, count);
    let lines: String = skipped.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(support::target_dir().join("skipped.txt"), lines).expect("skipped.txt");
    if good {
        ExitCode::SUCCESS
    } else {
        FAILED.into()
    }
}
