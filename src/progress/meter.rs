//! How far a run is: counts steps and bytes, and puts that into a line of any width. Knows no terminal.

use crate::event::Event;
use crate::report::{bar, shortened};
use crate::text::human;
use std::time::{Duration, Instant};

/// Over how long a rate is taken, at least.
const LATELY: Duration = Duration::from_secs(5);

/// Counts.
#[derive(Debug)]
pub(super) struct Meter {
    /// What it is about at the moment.
    pub(super) name: String,
    /// How many steps there are, and which one it is.
    pub(super) steps: usize,
    pub(super) step: usize,
    /// Bytes of all steps, and of those that have ended; of this one so far.
    pub(super) total: u64,
    pub(super) before: u64,
    pub(super) step_bytes: u64,
    pub(super) step_started: Instant,
    /// How many bytes there were at two moments of the past.
    marks: [(Instant, u64); 2],
}

impl Meter {
    pub(super) fn new() -> Meter {
        let now = Instant::now();
        Meter {
            name: String::new(),
            steps: 0,
            step: 0,
            total: 0,
            before: 0,
            step_bytes: 0,
            step_started: now,
            marks: [(now, 0); 2],
        }
    }

    /// Begins anew: so many bytes in so many steps.
    pub(super) fn begin(&mut self, total: u64, steps: usize) {
        *self = Meter {
            total,
            steps,
            ..Meter::new()
        };
    }

    /// A step begins; `counts` says whether it is one of those that are counted.
    pub(super) fn start(&mut self, name: String, counts: bool) {
        self.name = name;
        self.step_bytes = 0;
        self.step_started = Instant::now();
        self.step += usize::from(counts);
    }

    /// A step of so many bytes has ended.
    pub(super) fn end(&mut self, bytes: u64) {
        self.before = self.before.saturating_add(bytes);
        self.step_bytes = 0;
    }

    /// How long a step took that has ended.
    pub(super) fn took(&self, event: &Event) -> Duration {
        let told = match event {
            Event::Ended(ended) => ended.took,
            _ => None,
        };
        told.unwrap_or_else(|| self.step_started.elapsed())
    }

    /// More bytes have moved.
    pub(super) fn add(&mut self, bytes: u64) {
        self.step_bytes = self.step_bytes.saturating_add(bytes);
        self.look_back();
    }

    /// What comes now is looked at, by no steps.
    pub(super) fn look_at(&mut self, name: &str) {
        self.start(name.to_owned(), false);
        (self.step, self.steps) = (0, 0);
    }

    /// Somebody else counts: so many bytes of so many.
    pub(super) fn set(&mut self, bytes: u64, total: u64) {
        (self.before, self.step_bytes, self.total) = (bytes, 0, total);
        self.look_back();
    }

    fn look_back(&mut self) {
        let now = Instant::now();
        if now - self.marks[1].0 > LATELY {
            self.marks = [self.marks[1], (now, self.moved())];
        }
    }

    fn moved(&self) -> u64 {
        // Somebody else may have counted to the end of all numbers.
        self.before.saturating_add(self.step_bytes)
    }

    pub(super) fn status(&self) -> StatusLine<'_> {
        let (since, bytes) = self.marks[0];
        let moved = self.moved().saturating_sub(bytes);
        StatusLine {
            name: &self.name,
            step: (self.steps > 0).then_some((self.step, self.steps)),
            moved: self.moved(),
            total: self.total,
            rate: (moved as f64 / since.elapsed().as_secs_f64().max(0.001)) as u64,
        }
    }
}

/// How far a run is.
#[derive(Debug)]
pub(super) struct StatusLine<'a> {
    pub(super) name: &'a str,
    /// Which step of how many, if there are steps.
    pub(super) step: Option<(usize, usize)>,
    pub(super) moved: u64,
    pub(super) total: u64,
    /// Bytes in a second.
    pub(super) rate: u64,
}

impl StatusLine<'_> {
    /// For a terminal of so many characters: name, step, bar, percent, rate and time left. The last place
    /// stays free, since some terminals begin a new line there.
    pub(super) fn line(&self, width: usize) -> String {
        let figures = self.figures(width >= 72).join("  ");
        let room = width.saturating_sub(figures.chars().count() + 3);
        let name = match room {
            4.. => shortened(self.name, room.min((width / 4).max(12))),
            _ => return figures.chars().take(width.saturating_sub(1)).collect(),
        };
        let room = room.saturating_sub(name.chars().count() + 2).min(40);
        match self.is_measured() && room >= 8 {
            true => {
                let done = bar(self.moved, self.total, room);
                format!("{name}  {done:░<room$}  {figures}")
            }
            false => format!("{name}  {figures}"),
        }
    }

    /// For a log, in words.
    pub(super) fn words(&self) -> String {
        format!("{}: {}", self.name, self.figures(true).join(", "))
    }

    /// Of what nobody measured it is not known how much is left.
    fn is_measured(&self) -> bool {
        self.total > 0 && self.moved <= self.total
    }

    fn figures(&self, all: bool) -> Vec<String> {
        let rate = format!("{}/s", human(self.rate));
        let mut figures = Vec::new();
        figures.extend(self.step.map(|(step, steps)| format!("{step}/{steps}")));
        if !self.is_measured() {
            figures.extend([human(self.moved), rate]);
            return figures;
        }
        let percent = u128::from(self.moved) * 100 / u128::from(self.total);
        let left = clock((self.total - self.moved) / self.rate.max(1));
        figures.extend(match all {
            _ if self.rate == 0 => vec![format!("{percent}%")],
            true => vec![
                format!("{percent}% of {}", human(self.total)),
                rate,
                format!("{left} left"),
            ],
            false => vec![format!("{percent}%"), rate, left],
        });
        figures
    }
}

/// Seconds as minutes or hours, and beyond as days.
fn clock(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        1..=99 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, total: u64) -> StatusLine<'_> {
        StatusLine {
            name,
            step: Some((2, 5)),
            moved: 45 << 20,
            total,
            rate: 3 << 20,
        }
    }

    #[test]
    fn a_line_is_as_wide_as_its_terminal() {
        let all = status("tuesday", 100 << 20);
        assert_eq!(all.line(40), "tuesday  2/5  45%  3.0 MiB/s  0:18");
        let wide =
            "tuesday  ███████████▎░░░░░░░░░░░░░  2/5  45% of 100.0 MiB  3.0 MiB/s  0:18 left";
        assert_eq!(all.line(80), wide);
        for width in 1..=200 {
            let names = [
                "a",
                "20261121-233000",
                "a name that is longer than others are",
            ];
            for name in names {
                let line = status(name, 100 << 20).line(width);
                assert!(line.chars().count() < width.max(2), "{width}: {line}");
            }
        }
        assert!(all.line(160).contains(&"░".repeat(22)));
    }

    #[test]
    fn screens_of_three_widths() {
        let lines = |status: StatusLine| [40, 80, 160].map(|width| status.line(width));
        let narrow = "home…Z__full  2/5  45%  3.0 MiB/s  0:18";
        let usual =
            "home__…020000Z__full  █████▍░░░░░░  2/5  45% of 100.0 MiB  3.0 MiB/s  0:18 left";
        let wide = "home__20261121T020000Z__full  ██████████████████░░░░░░░░░░░░░░░░░░░░░░  2/5  \
                    45% of 100.0 MiB  3.0 MiB/s  0:18 left";
        let transfer = status("home__20261121T020000Z__full", 100 << 20);
        assert_eq!(lines(transfer), [narrow, usual, wide]);
        // Of what is verified or drilled there are no steps.
        let narrow = "tuesday  ███▌░░░░  45%  3.0 MiB/s  0:18";
        let usual =
            "tuesday  █████████████▌░░░░░░░░░░░░░░░░  45% of 100.0 MiB  3.0 MiB/s  0:18 left";
        let wide = "tuesday  ██████████████████░░░░░░░░░░░░░░░░░░░░░░  45% of 100.0 MiB  3.0 MiB/s  \
                    0:18 left";
        let verified = StatusLine {
            step: None,
            ..status("tuesday", 100 << 20)
        };
        assert_eq!(lines(verified), [narrow, usual, wide]);
    }

    #[test]
    fn of_what_nobody_measured_nothing_is_promised() {
        let unknown = status("a", 0);
        assert_eq!(unknown.line(80), "a  2/5  45.0 MiB  3.0 MiB/s");
        assert_eq!(unknown.words(), "a: 2/5, 45.0 MiB, 3.0 MiB/s");
        assert_eq!(status("a", 1 << 20).line(80), unknown.line(80));
    }

    #[test]
    fn a_log_gets_words() {
        let words = "a: 2/5, 45% of 100.0 MiB, 3.0 MiB/s, 0:18 left";
        assert_eq!(status("a", 100 << 20).words(), words);
    }

    #[test]
    fn times_that_are_left() {
        let shown = [0, 61, 3_600, 359_999, 360_000].map(clock);
        assert_eq!(shown, ["0:00", "1:01", "1:00:00", "99:59:59", "4 days"]);
    }

    #[test]
    fn what_is_counted_begins_anew() {
        let mut meter = Meter::new();
        meter.begin(100, 2);
        meter.start("a".to_owned(), true);
        meter.add(30);
        let status = meter.status();
        assert_eq!(
            (status.moved, status.step, status.name),
            (30, Some((1, 2)), "a")
        );
        meter.look_at("b");
        meter.set(70, 90);
        let status = meter.status();
        assert_eq!((status.moved, status.total, status.name), (70, 90, "b"));
        assert_eq!(status.step, None);
        meter.begin(10, 1);
        assert_eq!(meter.status().moved, 0);
    }
}
