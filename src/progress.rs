//! Shows a run while it runs: on a terminal's standard error, as lines now and then elsewhere, as JSON
//! lines for scripts, and in the debug log. Decides nothing.

mod context;
mod meter;
mod verbosity;

use crate::error::{Error, Result};
use crate::event::{Event, Watched, Weight};
use crate::log;
use crate::plan::{Action, Plan};
use crate::report::{self, Screen};
use crate::text::{human, shown};
use context::Context;
use meter::Meter;
use serde::Serialize;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
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
    meter: Meter,
    context: Context,
    /// Why standard output could not be written, the first time.
    broken: Option<Error>,
}

/// Whether results go to another program: what that shows on the same terminal must not be glued to a status.
fn is_piped() -> bool {
    let out = io::stdout().as_fd().try_clone_to_owned();
    let kind = out.and_then(|out| File::from(out).metadata());
    kind.is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Tells somebody at a terminal why nothing happens; a status that is drawn there gives way to it.
fn wait_for(why: &str) {
    let _ = write!(io::stderr(), "\r\x1b[Kbuttersink: {why}\n");
}

impl Progress {
    /// For a run that is about to begin.
    pub fn new(verbosity: Verbosity, json: bool) -> Progress {
        let terminal = io::stderr().is_terminal() && !is_piped();
        if terminal && verbosity == Verbosity::Full {
            log::tell(wait_for);
        }
        Progress {
            verbosity,
            json,
            terminal,
            drawn: false,
            shown_at: None,
            meter: Meter::new(),
            context: Context::new(),
            broken: None,
        }
    }

    /// Hears what happens, and shows it.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Moved { bytes } => {
                self.meter.add(*bytes);
                return self.show_status();
            }
            Event::Verifying(Watched { what, bytes, total }) if *total > 0 => {
                if self.meter.name != *what {
                    self.shown_at = None;
                    self.meter.look_at(what);
                }
                self.meter.set(*bytes, *total);
                return self.show_status();
            }
            _ => {}
        }
        let moved = self.meter.step_bytes;
        self.follow(event);
        self.context.follow(event);
        let weight = event.weight();
        if weight != Weight::Passing {
            log::line(|| format!("{event:#}"));
        }
        match weight {
            Weight::Detail => {}
            Weight::Passing => self.draw(&event.to_string()),
            Weight::Stage => {
                self.draw(&event.to_string());
                // The first bytes are shown at once.
                self.shown_at = None;
            }
            Weight::Remark if self.verbosity == Verbosity::Errors => {}
            Weight::Remark => self.say(&event.to_string()),
            Weight::Failure => {
                event.error().into_iter().for_each(|error| self.fail(error));
                self.tell(String::new, event);
            }
            Weight::ForScripts => self.tell(String::new, event),
            Weight::Result => {
                let pace = self.pace(event, moved);
                self.tell(|| format!("{event}{pace}"), event);
            }
        }
    }

    /// Where things go to, where no event says so.
    pub fn goes_to(&mut self, destination: &impl Display) {
        self.context.destination = Some(destination.to_string());
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
                self.meter.begin(plan.bytes, needed.count());
            }
            Event::Started(step) => {
                let counts = step.action == Action::Transfer;
                self.meter.start(shown(&step.path), counts);
                self.shown_at = None;
            }
            Event::Again { .. } => self.meter.step_bytes = 0,
            Event::Instead(instead) => {
                self.meter.total = self.meter.before.saturating_add(instead.plan.total_bytes());
                self.meter.steps = self.meter.step + instead.plan.transfers().count();
            }
            Event::Ended(ended) if ended.error.is_none() => {
                self.meter.end(ended.step.size.bytes().unwrap_or(0));
            }
            _ => {}
        }
    }

    /// A plan is about to be carried out.
    fn begin(&mut self, plan: &Plan) {
        self.wipe();
        self.meter
            .begin(plan.total_bytes(), plan.transfers().count());
        for obstacle in &plan.obstacles {
            if self.verbosity > Verbosity::Errors || obstacle.blocks {
                self.say(&obstacle.to_string());
            }
        }
    }

    /// How fast a transfer went that has ended.
    fn pace(&self, event: &Event, moved: u64) -> String {
        match event {
            Event::Ended(ended) if ended.step.action == Action::Transfer => {
                let took = self.meter.took(event).as_secs_f64();
                let moved = ended.took.and(ended.received_bytes).unwrap_or(moved);
                let rate = (moved as f64 / took.max(0.001)) as u64;
                format!(", {} at {}/s", human(moved), human(rate))
            }
            _ => String::new(),
        }
    }

    fn show_status(&mut self) {
        let every = if self.terminal { REDRAW } else { LINE };
        // A first line elsewhere only after a while: short runs stay silent in cron's mail.
        let started = self.meter.step_started;
        let first = if self.terminal { None } else { Some(started) };
        let last = self.shown_at.or(first);
        if self.verbosity < Verbosity::Full || last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        let status = self.meter.status();
        if self.terminal {
            let width = Screen::errors().width.unwrap_or(80);
            let line = status.line(width);
            self.draw(&line);
        } else {
            let words = status.words();
            self.say(&words);
            self.shown_at = Some(Instant::now());
        }
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

    /// An event, with what scripts need beside it.
    fn tell(&mut self, text: impl FnOnce() -> String, event: &Event) {
        let took = self.meter.took(event);
        match self.json {
            true => {
                let line = report::json(&self.context.told(event, took));
                self.write(line);
            }
            false => self.print(text, event),
        }
    }

    /// A result that cannot be written stops nothing; [`Progress::close`] tells.
    fn print(&mut self, text: impl FnOnce() -> String, value: &impl Serialize) {
        self.write(match (self.json, self.verbosity) {
            (true, _) => report::json(value),
            (false, Verbosity::Errors) => String::new(),
            (false, _) => text(),
        });
    }

    fn write(&mut self, line: String) {
        self.wipe();
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
