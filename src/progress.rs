//! Shows a run while it runs: on a terminal's standard error, as lines now and then elsewhere,
//! as JSON lines for scripts, and in the debug log.

mod verbosity;

use crate::error::{Error, Kind, Result};
use crate::log;
use crate::plan::{Action, Plan, Step};
use crate::report;
use crate::snapshot::shown;
use crate::sync::Event;
use crate::text::human;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
pub use verbosity::Verbosity;

/// How often a terminal's line is drawn, and how often a line is written elsewhere.
const REDRAW: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(60);

/// Watches one run.
#[derive(Debug)]
pub struct Progress {
    verbosity: Verbosity,
    json: bool,
    terminal: bool,
    /// Whether an unfinished line stands on the terminal.
    drawn: bool,
    shown_at: Option<Instant>,
    started: Instant,
    step_started: Instant,
    /// Bytes of all transfers, and of those that have ended.
    total: u64,
    before: u64,
    step_bytes: u64,
    steps: usize,
    step: usize,
    /// Why standard output could not be written, the first time.
    broken: Option<Error>,
}

impl Progress {
    /// For a run that is about to begin.
    pub fn new(verbosity: Verbosity, json: bool) -> Progress {
        let now = Instant::now();
        Progress {
            verbosity,
            json,
            terminal: io::stderr().is_terminal(),
            drawn: false,
            shown_at: None,
            started: now,
            step_started: now,
            total: 0,
            before: 0,
            step_bytes: 0,
            steps: 0,
            step: 0,
            broken: None,
        }
    }

    /// Says what the run will do.
    pub fn begin(&mut self, plan: &Plan) {
        self.wipe();
        (self.total, self.steps) = (plan.total_bytes(), plan.transfers().count());
        self.started = Instant::now();
        log::line(|| format!("plan: {}", report::plan(plan)));
        for obstacle in &plan.obstacles {
            if self.verbosity > Verbosity::Errors || obstacle.blocks {
                self.say(&report::obstacle_line(obstacle));
            }
        }
    }

    /// The same for one of several destinations, the next one.
    pub fn begin_at(&mut self, destination: &str, plan: &Plan) {
        log::line(|| format!("to {destination}"));
        (self.before, self.step, self.step_bytes) = (0, 0, 0);
        self.begin(plan);
    }

    /// So many bytes in so many transfers are to come.
    pub fn expect(&mut self, bytes: u64, steps: usize) {
        (self.total, self.steps) = (bytes, steps);
    }

    /// A remark for a person.
    pub fn note(&mut self, note: &str) {
        log::line(|| format!("note: {note}"));
        if self.verbosity > Verbosity::Errors {
            self.say(&format!("note: {note}"));
        }
    }

    /// Shows what happens.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Measuring(n) => {
                log::line(|| format!("measuring {n} diffs"));
                self.draw(&format!("measuring {n} diffs"));
            }
            Event::Started(step) => self.start(step),
            Event::Moved(bytes) => self.moved(*bytes),
            Event::Again(step, error) => {
                log::line(|| format!("{}: {error}; once more", shown(&step.path)));
                self.step_bytes = 0;
                self.say(&format!("note: {error}; trying once more"));
            }
            Event::Instead(step, error, plan) => {
                log::line(|| format!("{error}; plan: {}", report::plan(plan)));
                self.total = self.before + plan.total_bytes();
                self.steps = self.step + plan.transfers().count();
                let way = report::instead(step, plan);
                self.note(&format!("{error}; trying it {way}"));
            }
            Event::Comparing(step, n) => {
                let path = shown(&step.path);
                self.draw(&format!("comparing {path}, {n} entries so far"));
            }
            Event::Unsettled(_, error) => self.note(&error.to_string()),
            Event::Compared(step, outcome) if outcome.everything => {
                self.note(&outcome.praise(&step.path));
            }
            Event::Compared(step, outcome) => log::line(|| outcome.praise(&step.path)),
            Event::Done(step, receipt) => {
                let (path, bytes) = (shown(&step.path), receipt.bytes);
                log::line(|| format!("{} {path}: {bytes} bytes", report::done(step.action)));
                self.before += step.size.bytes().unwrap_or(0);
                let line = self.done_line(step);
                self.result(|| line, || report::json::step(step, Ok(receipt)));
            }
            Event::Failed(step, error) => {
                log::line(|| format!("failed: {error}"));
                let words = error.to_string();
                if error.kind != Kind::Interrupted {
                    self.say(&words); // of an interruption the program's last words tell
                }
                self.result(String::new, || report::json::step(step, Err(words)));
            }
        }
    }

    fn start(&mut self, step: &Step) {
        self.step_started = Instant::now();
        self.step_bytes = 0;
        self.step += usize::from(step.action == Action::Transfer);
        log::line(|| {
            format!(
                "{} {} ({})",
                report::doing(step.action),
                shown(&step.path),
                step.why
            )
        });
        self.shown_at = None;
        self.draw(&format!(
            "{} {}",
            report::doing(step.action),
            shown(&step.path)
        ));
    }

    fn done_line(&self, step: &Step) -> String {
        let took = self.step_started.elapsed().as_secs_f64();
        match step.action {
            Action::Transfer => {
                let rate = (self.step_bytes as f64 / took.max(0.001)) as u64;
                let (path, bytes) = (shown(&step.path), human(self.step_bytes));
                format!("sent {path} ({}), {bytes} at {}/s\n", step.why, human(rate))
            }
            _ => format!("{} {}\n", report::done(step.action), shown(&step.path)),
        }
    }

    fn moved(&mut self, bytes: u64) {
        self.step_bytes += bytes;
        let every = if self.terminal { REDRAW } else { LINE };
        // A first line elsewhere only after a while: short runs stay silent in cron's mail.
        let last = self.shown_at.unwrap_or(if self.terminal {
            self.step_started - REDRAW
        } else {
            self.step_started
        });
        if self.verbosity < Verbosity::Full || last.elapsed() < every {
            return;
        }
        let text = self.status();
        if self.terminal {
            self.draw(&text);
        } else {
            self.say(&text);
            self.shown_at = Some(Instant::now());
        }
    }

    /// `2/5 40% of 1.2 GiB, 210.0 MiB/s, 0:03 left`
    fn status(&self) -> String {
        let moved = self.before + self.step_bytes;
        let rate = moved as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let percent = (moved * 100).checked_div(self.total).unwrap_or(0).min(100);
        let left = (self.total.saturating_sub(moved) as f64 / rate.max(1.0)) as u64;
        format!(
            "{}/{} {}, {percent}% of {}, {}/s, {}:{:02} left",
            self.step,
            self.steps,
            human(self.step_bytes),
            human(self.total),
            human(rate as u64),
            left / 60,
            left % 60
        )
    }

    /// Replaces the terminal's line. What does not fit is cut off: the next line is not wiped.
    pub fn draw(&mut self, text: &str) {
        if !self.terminal || self.verbosity < Verbosity::Full {
            return;
        }
        let _ = write!(io::stderr().lock(), "\r\x1b[K\x1b[?7l{text}\x1b[?7h");
        self.drawn = true;
        self.shown_at = Some(Instant::now());
    }

    fn wipe(&mut self) {
        if self.drawn {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
            self.drawn = false;
        }
    }

    /// A line on standard error.
    pub fn say(&mut self, text: &str) {
        self.wipe();
        let _ = writeln!(io::stderr().lock(), "buttersink: {text}");
    }

    /// A result on standard output: text for people, or a line for scripts; only that is made. A
    /// result that cannot be written stops nothing; [`Progress::close`] tells.
    pub fn result(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> String) {
        self.wipe();
        let printed = match (self.json, self.verbosity) {
            (true, _) => report::print(&json()),
            (false, Verbosity::Errors) => Ok(()),
            (false, _) => report::print(&text()),
        };
        if let Err(error) = printed {
            self.broken.get_or_insert(error);
        }
    }

    /// To be asked when all results are out.
    ///
    /// # Errors
    /// If one of them could not be written.
    pub fn close(&mut self) -> Result<()> {
        self.broken.take().map_or(Ok(()), Err)
    }
}
