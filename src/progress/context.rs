//! What a run is about at the moment, which its events do not each say: so that each line for scripts can be
//! read alone. Prints nothing.

use crate::event::Event;
use crate::snapshot::path_text;
use jiff::Timestamp;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What is going on.
#[derive(Debug)]
pub(super) struct Context {
    subvolume: Option<String>,
    pub(super) destination: Option<String>,
    began: Instant,
}

/// An event as scripts get it.
#[derive(Serialize)]
pub(super) struct TimedEvent<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// Seconds since 1970.
    time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subvolume: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
}

impl Context {
    pub(super) fn new() -> Context {
        Context {
            subvolume: None,
            destination: None,
            began: Instant::now(),
        }
    }

    pub(super) fn follow(&mut self, event: &Event) {
        match event {
            Event::Begins { subvolume } => self.subvolume = Some(path_text::encode(subvolume)),
            Event::Planned(planned) => {
                self.began = Instant::now();
                if !planned.destination.is_empty() {
                    self.destination = Some(planned.destination.clone());
                }
            }
            _ => {}
        }
    }

    /// An event with what it does not say itself. `step` is how long its step took.
    pub(super) fn told<'a>(&'a self, event: &'a Event, step: Duration) -> TimedEvent<'a> {
        let milliseconds = |time: Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
        let is_step = matches!(event, Event::Ended(_));
        let ends = matches!(event, Event::Summary(_) | Event::Destination(_));
        let names_it = matches!(
            event,
            Event::Due { .. } | Event::Restoring(_) | Event::Overview(_)
        );
        let subvolume = self.subvolume.as_deref().filter(|_| !names_it);
        let of_one = is_step || matches!(event, Event::Summary(_));
        TimedEvent {
            event,
            time: Timestamp::now().as_second(),
            subvolume,
            destination: self.destination.as_deref().filter(|_| of_one),
            duration_ms: match (is_step, ends) {
                (true, _) => Some(milliseconds(step)),
                (_, true) => Some(milliseconds(self.began.elapsed())),
                _ => None,
            },
        }
    }
}
