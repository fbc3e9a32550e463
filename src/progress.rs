//! Shows a run while it runs: on a terminal's standard error, as lines now and then elsewhere, as JSON
//! lines for scripts, and in the debug log. Decides nothing.

mod verbosity;

use crate::error::{Error, Result};
use crate::event::{Event, Weight};
use crate::log;
use crate::plan::{Action, Plan};
use crate::report;
use crate::text::human;
use serde::Serialize;
use std::fmt::Display;
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

/// Tells somebody at a terminal why nothing happens; a status that is drawn there gives way to it.
fn wait_for(why: &str) {
    let _ = write!(io::stderr(), "\r\x1b[Kbuttersink: {why}\n");
}

impl Progress {
    /// For a run that is about to begin.
    pub fn new(verbosity: Verbosity, json: bool) -> Progress {
        let (now, terminal) = (Instant::now(), io::stderr().is_terminal());
        if terminal && verbosity == Verbosity::Full {
            log::tell(wait_for);
        }
        Progress {
            verbosity,
            json,
            terminal,
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

    /// Hears what happens, and shows it.
    pub fn hear(&mut self, event: &Event) {
        if let Event::Moved { bytes } = event {
            return self.moved(*bytes);
        }
        self.follow(event);
        let weight = event.weight();
        if weight != Weight::Passing {
            log::line(|| format!("{event:#}"));
        }
        match weight {
            Weight::Detail => {}
            Weight::Passing | Weight::Stage => self.draw(&event.to_string()),
            Weight::Remark if self.verbosity == Verbosity::Errors => {}
            Weight::Remark => self.say(&event.to_string()),
            Weight::Failure => {
                event.error().into_iter().for_each(|error| self.fail(error));
                self.print(String::new, event);
            }
            Weight::ForScripts => self.print(String::new, event),
            Weight::Result => {
                let pace = self.pace(event);
                self.print(|| format!("{event}{pace}"), event);
            }
        }
    }

    /// A remark for a person.
    pub fn note(&mut self, words: impl Into<String>) {
        self.hear(&Event::note(words));
    }

    /// Keeps count of how far the run is.
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Planned(planned) if !planned.dry_run => self.begin(&planned.plan),
            Event::Restoring(plan) => {
                let needed = plan.chain.iter().filter(|link| link.needed);
                (self.total, self.steps) = (plan.bytes, needed.count());
            }
            Event::Started(step) => {
                self.step_started = Instant::now();
                self.step_bytes = 0;
                self.step += usize::from(step.action == Action::Transfer);
                self.shown_at = None;
            }
            Event::Again { .. } => self.step_bytes = 0,
            Event::Instead(instead) => {
                self.total = self.before + instead.plan.total_bytes();
                self.steps = self.step + instead.plan.transfers().count();
            }
            Event::Ended(ended) if ended.error.is_none() => {
                self.before += ended.step.size.bytes().unwrap_or(0);
            }
            _ => {}
        }
    }

    /// A plan is about to be carried out.
    fn begin(&mut self, plan: &Plan) {
        self.wipe();
        (self.before, self.step, self.step_bytes) = (0, 0, 0);
        (self.total, self.steps) = (plan.total_bytes(), plan.transfers().count());
        self.started = Instant::now();
        for obstacle in &plan.obstacles {
            if self.verbosity > Verbosity::Errors || obstacle.blocks {
                self.say(&obstacle.to_string());
            }
        }
    }

    /// How fast a transfer went that has ended.
    fn pace(&self, event: &Event) -> String {
        match event {
            Event::Ended(ended) if ended.step.action == Action::Transfer => {
                let took = self.step_started.elapsed().as_secs_f64();
                let rate = (self.step_bytes as f64 / took.max(0.001)) as u64;
                format!(", {} at {}/s", human(self.step_bytes), human(rate))
            }
            _ => String::new(),
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
        // Of what nobody measured it is not known how much is left.
        if moved > self.total {
            let (all, rate) = (human(moved), human(rate as u64));
            return format!("{}/{} {all}, {rate}/s", self.step, self.steps);
        }
        let percent = (moved * 100).checked_div(self.total).unwrap_or(0);
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
    fn draw(&mut self, text: &str) {
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

    /// An error on standard error, its way out on a line of its own.
    pub fn fail(&mut self, error: &Error) {
        for line in error.lines().lines() {
            self.say(line);
        }
    }

    /// A result on standard output: text for people, or a line for scripts; only that is made.
    pub fn result(&mut self, result: &(impl Display + Serialize)) {
        self.print(|| result.to_string(), result);
    }

    /// A result that cannot be written stops nothing; [`Progress::close`] tells.
    fn print(&mut self, text: impl FnOnce() -> String, value: &impl Serialize) {
        self.wipe();
        let line = match (self.json, self.verbosity) {
            (true, _) => report::json(value),
            (false, Verbosity::Errors) => String::new(),
            (false, _) => text(),
        };
        if line.is_empty() {
            return;
        }
        if let Err(error) = report::print(&(line + "\n")) {
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
