//! Thawing what is frozen: everything is asked for at once, and then waited for. Knows keys, not
//! what is in them.

use crate::archive::{ArchiveState, Thaw, Thawing};
use crate::error::{Error, Kind, Result};
use crate::objects::{Cold, Objects, ThawOutcome};
use crate::process;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Pauses between two looks: the first, the longest, and how they grow.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);
const GROWTH: f64 = 1.5;
/// How often one looks for a signal.
const NAP: Duration = Duration::from_millis(100);
/// What would freeze again so soon is asked to stay longer.
const SOON: SignedDuration = SignedDuration::from_hours(24);
/// What was thawed once and is frozen again is asked for once more.
const TIMES: u32 = 2;

/// Waits until all keys can be read, having asked for it where need be. All of them are needed.
pub(super) fn thaw(
    objects: &dyn Objects,
    keys: &[&str],
    how: (&Thaw, u32),
    tell: &mut dyn FnMut(Thawing),
) -> Result<()> {
    thaw_all(objects, keys, (how, false), tell)
}

/// The same for keys of several things: one that cannot be thawed is told, and keeps no other from it.
pub(super) fn thaw_each(
    objects: &dyn Objects,
    keys: &[&str],
    how: (&Thaw, u32),
    tell: &mut dyn FnMut(Thawing),
) -> Result<()> {
    thaw_all(objects, keys, (how, true), tell)
}

fn thaw_all(
    objects: &dyn Objects,
    keys: &[&str],
    ((how, days), apart): ((&Thaw, u32), bool),
    tell: &mut dyn FnMut(Thawing),
) -> Result<()> {
    let (started, mut pause) = (Instant::now(), FIRST);
    let mut asking = Asking {
        objects,
        how,
        days,
        asked: HashMap::new(),
        apart,
        refused: HashSet::new(),
    };
    loop {
        let mut cold = match apart {
            true => objects.cold(keys)?,
            false => look(objects, keys)?,
        };
        cold.retain(|key, _| !asking.refused.contains(key));
        let (new, open) = asking.ask(&cold, tell)?;
        if new > 0 {
            tell(Thawing::Asked(new));
        }
        if open == 0 {
            return Ok(());
        }
        let waited = started.elapsed();
        let left = how.timeout.saturating_sub(waited);
        if !how.wait || left.is_zero() {
            return Err(later(how, open, keys.len(), waited));
        }
        tell(Thawing::Waiting(open, keys.len(), waited));
        sleep(pause.min(left))?;
        pause = LONGEST.min(pause.mul_f64(GROWTH));
    }
}

/// How cold everything is; all of it must be there.
pub(super) fn look(objects: &dyn Objects, keys: &[&str]) -> Result<BTreeMap<String, Cold>> {
    let cold = objects.cold(keys)?;
    match keys.iter().find(|key| !cold.contains_key(**key)) {
        Some(key) => {
            let doing = format!("cannot restore {}", objects.url(key));
            Err(Error::damaged(doing, "it is missing"))
        }
        None => Ok(cold),
    }
}

struct Asking<'a> {
    objects: &'a dyn Objects,
    how: &'a Thaw,
    days: u32,
    /// How often this run's wish was granted, by key.
    asked: HashMap<String, u32>,
    /// Whether they are of several things, and the keys that cannot be thawed then.
    apart: bool,
    refused: HashSet<String>,
}

impl Asking<'_> {
    /// Asks for what has to be asked for; how many that were, and how many cannot be read yet.
    fn ask(
        &mut self,
        cold: &BTreeMap<String, Cold>,
        tell: &mut dyn FnMut(Thawing),
    ) -> Result<(usize, usize)> {
        let (mut new, mut open) = (0, 0);
        for (key, cold) in cold {
            process::check("thawing")?;
            open += usize::from(!cold.state.is_readable());
            let first = !self.asked.contains_key(key);
            let wanted = match cold.state {
                ArchiveState::Readable => false,
                ArchiveState::Frozen => true,
                ArchiveState::Thawing => first && self.how.hurry,
                ArchiveState::Thawed(until) => first && until.is_some_and(ends_soon),
            };
            match wanted.then(|| self.ask_for(key, cold)).transpose() {
                Err(error) if self.apart && error.kind != Kind::Interrupted => {
                    tell(Thawing::Refused(error.to_string()));
                    self.refused.insert(key.clone());
                    open -= usize::from(!cold.state.is_readable());
                }
                asked => new += usize::from(asked? == Some(true)),
            }
        }
        Ok((new, open))
    }

    fn ask_for(&mut self, key: &str, cold: &Cold) -> Result<bool> {
        let times = self.asked.entry(key.to_owned()).or_default();
        if *times >= TIMES {
            let doing = format!("cannot thaw {}", self.objects.url(key));
            let said = "it is frozen again and again: does somebody change its storage class?";
            return Err(Error::failed(doing, said));
        }
        let asked = self
            .objects
            .thaw(key, &cold.class, self.how.tier, self.days)?;
        // What goes on already may be asked for as often as one likes.
        *times += u32::from(asked != ThawOutcome::Underway);
        Ok(asked == ThawOutcome::Accepted)
    }
}

fn ends_soon(until: Timestamp) -> bool {
    until.duration_since(Timestamp::now()) < SOON
}

/// Not a failure of anything: the same command goes on.
fn later(how: &Thaw, open: usize, all: usize, waited: Duration) -> Error {
    let tier = how.tier;
    let objects = format!("{open} of {all} objects are frozen");
    let said = match how.wait {
        true => format!(
            "{objects} after {} seconds; their thawing goes on, and the same command goes on from \
             there without asking again (--restore-timeout)",
            waited.as_secs()
        ),
        false => format!(
            "{objects}; their thawing was asked for ({tier}), and the same command goes on from \
             there without asking again"
        ),
    };
    Error::new(Kind::Partly, "nothing is restored yet", said)
}

fn sleep(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        process::check("waiting for thawing")?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(NAP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Tier;

    fn how(timeout: u64) -> Thaw {
        Thaw {
            tier: Tier::Standard,
            hurry: false,
            wait: true,
            timeout: Duration::from_secs(timeout),
        }
    }

    #[test]
    fn later_is_neither_success_nor_failure() {
        let error = later(&how(5), 2, 3, Duration::from_secs(5));
        assert_eq!(error.exit_code(), 10);
        assert!(error.said.contains("2 of 3 objects"), "{error}");
    }
}
