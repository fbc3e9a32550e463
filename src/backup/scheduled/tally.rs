//! What comes and goes in the backup of one subvolume, counted by listening. Changes nothing.

use crate::backup::run::RunOutcome;
use crate::event::{Event, OverviewLine};
use std::time::Instant;

/// What was heard of a subvolume so far.
pub(super) struct Tally {
    subvolume: String,
    folder: String,
    since: Instant,
    lines: Vec<OverviewLine>,
}

impl Tally {
    pub(super) fn new(subvolume: &str, folder: String) -> Tally {
        Tally {
            subvolume: subvolume.to_owned(),
            folder,
            since: Instant::now(),
            lines: Vec::new(),
        }
    }

    fn at(&mut self, location: &str) -> &mut OverviewLine {
        let known = self.lines.iter().position(|line| line.location == location);
        let at = known.unwrap_or(self.lines.len());
        if known.is_none() {
            self.lines.push(OverviewLine {
                subvolume: self.subvolume.clone(),
                location: location.to_owned(),
                ..OverviewLine::default()
            });
        }
        &mut self.lines[at]
    }

    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Made { made: true, .. } => {
                let folder = self.folder.clone();
                self.at(&folder).made += 1;
            }
            Event::Destination(there) => {
                let seconds = self.since.elapsed().as_secs();
                self.since = Instant::now();
                let summary = there.summary.clone().unwrap_or_default();
                let line = self.at(&there.destination);
                line.sent += summary.sent + summary.copied;
                line.bytes += summary.bytes;
                line.seconds += seconds;
            }
            Event::Retention(judged) if !judged.dry_run => {
                let kept = judged.snapshots.iter().filter(|s| s.keep).count();
                let line = self.at(&judged.location);
                line.deleted += judged.snapshots.len() - kept;
                line.kept = kept;
            }
            _ => {}
        }
    }

    /// All of it, with what failed.
    pub(super) fn lines(mut self, outcome: &RunOutcome) -> Vec<OverviewLine> {
        for (place, error) in &outcome.failed {
            self.at(place).error = Some(error.clone());
        }
        self.lines
    }
}
