//! Histories that somebody asks for on the command line: one by its seed, and the steps of it that
//! are to be taken, or new ones until the time is up, which are made small where they fail.

use super::History;
use super::pairs::{Fault, Table};
use super::shrink;
use crate::apart::alone;
use crate::soak;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the words of the command line ask for, if it is a history.
pub(crate) fn asked() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["--torture"] => Some(torture(true)),
        ["--torture-histories"] => Some(torture(false)),
        ["--history", seed] => Some(shown(seed, &["--history-here", seed])),
        ["--history", seed, steps] => Some(shown(seed, &["--history-here", seed, steps])),
        ["--history-here", seed] => Some(one(&history(seed, None))),
        ["--history-here", seed, steps] => Some(one(&history(seed, Some(steps)))),
        ["--smaller-here", seed, kind] => Some(smaller(&history(seed, None), kind)),
        _ => None,
    }
}

fn history(seed: &str, steps: Option<&str>) -> History {
    let history = History::new(seed.parse().expect("a seed is a number"));
    match steps {
        Some(steps) => history.only(shrink::read(steps)),
        None => history,
    }
}

/// In a process and a scratch directory of its own, as each test is.
fn apart(seed: &str, words: &[&str]) -> (Option<i32>, String) {
    alone(&format!("histories.{seed}"), words)
}

fn shown(seed: &str, words: &[&str]) -> ExitCode {
    let (code, text) = apart(seed, words);
    print!("{text}");
    match code {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn one(history: &History) -> ExitCode {
    let (table, said) = history.judged(None);
    println!("\n{}\n", said.join("\n"));
    show(&table);
    match table.faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn show(table: &Table) {
    for Fault { pair, kinds, words } in &table.faults {
        println!("{}: {}\n{words}", named(*pair), kinds.join(", "));
    }
    for refused in &table.refused {
        println!("refused: {refused}");
    }
    for (kind, pairs) in table.kinds() {
        println!("fault\t{pairs}\t{kind}");
    }
    println!("pairs\t{}\trefused\t{}", table.tried, table.refused.len());
}

fn named((parent, child): super::Pair) -> String {
    match parent {
        Some(parent) => format!("{child} from {parent}"),
        None => format!("{child}, whole"),
    }
}

/// Makes the first fault of a kind small, and prints how to see it again.
fn smaller(history: &History, kind: &str) -> ExitCode {
    let (table, _) = history.judged(None);
    let same = |fault: &&Fault| fault.kinds.iter().any(|k| k == kind);
    let Some(fault) = table.faults.iter().find(same) else {
        return ExitCode::SUCCESS;
    };
    let kinds = vec![kind.to_owned()];
    let steps = shrink::smaller(
        history,
        &Fault {
            kinds,
            ..fault.clone()
        },
    );
    let (table, said) = history.only(steps.clone()).judged(Some(fault.pair));
    let (seed, steps) = (history.seed, shrink::written(&steps));
    println!("\n=== {kind}: {}", named(fault.pair));
    println!("again: cargo test --locked --test it -- --history {seed} {steps}");
    println!("{}", said.join("\n"));
    show(&table);
    ExitCode::FAILURE
}

/// What came of all of them so far.
#[derive(Default)]
struct Total {
    histories: usize,
    pairs: usize,
    refused: usize,
    /// Histories that ended before all their pairs were tried.
    broken: usize,
    kinds: BTreeMap<String, usize>,
}

/// Histories until the time is up; or until half of it is, and then soaks.
fn torture(soaks: bool) -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let read = |text: String| text.parse::<u64>().expect("a number");
    let minutes = number("BUTTERSINK_TORTURE_MINUTES").map_or(10, read);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let first = number("BUTTERSINK_TORTURE_SEED").map_or(now, read);
    println!("histories from seed {first} for {minutes} minutes");
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let half = Duration::from_secs(if soaks { 30 * minutes } else { 0 });
    let told = tortured_until(end - half, first);
    match !soaks || soak::torture(first, end) {
        true => told,
        false => ExitCode::FAILURE,
    }
}

fn tortured_until(end: Instant, first: u64) -> ExitCode {
    let (next, total) = (AtomicU64::new(first), Mutex::new(Total::default()));
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while Instant::now() < end {
                    let seed = next.fetch_add(1, Ordering::Relaxed).to_string();
                    tortured(&seed, &total);
                }
            });
        }
    });
    total.into_inner().expect("no thread died").told()
}

/// One history; kinds of faults that are new are made small.
fn tortured(seed: &str, total: &Mutex<Total>) {
    let (code, text) = apart(seed, &["--history-here", seed]);
    let told = |line: &str| line.starts_with("pairs\t");
    if !text.lines().any(told) {
        println!("{seed}: ended with {code:?}\n{text}");
        total.lock().expect("no thread died").broken += 1;
    }
    let fresh = total.lock().expect("no thread died").take(&text);
    for kind in fresh {
        let (_, text) = apart(seed, &["--smaller-here", seed, &kind]);
        let start = text.find("\n=== ").unwrap_or(0);
        println!("{}", &text[start..]);
    }
}

impl Total {
    /// Takes in the last lines of a history; the kinds of faults that were not seen before.
    fn take(&mut self, text: &str) -> Vec<String> {
        let mut fresh = Vec::new();
        self.histories += 1;
        let number = |text: &str| text.parse().unwrap_or(0);
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["fault", pairs, kind] => {
                    if !self.kinds.contains_key(kind) {
                        fresh.push(kind.to_owned());
                    }
                    *self.kinds.entry(kind.to_owned()).or_default() += number(pairs);
                }
                ["pairs", tried, "refused", refused] => {
                    self.pairs += number(tried);
                    self.refused += number(refused);
                }
                _ => {}
            }
        }
        fresh
    }

    fn told(self) -> ExitCode {
        for (kind, pairs) in &self.kinds {
            println!("{pairs:>6} {kind}");
        }
        let (histories, pairs, refused) = (self.histories, self.pairs, self.refused);
        if self.broken > 0 {
            println!("{:>6} histories came to no end", self.broken);
        }
        println!("{histories} histories, {pairs} pairs, {refused} refused");
        match self.kinds.is_empty() && self.broken == 0 && histories > 0 {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}
