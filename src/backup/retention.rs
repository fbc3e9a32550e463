//! Which snapshots to keep: counts of the newest and of calendar periods, and what must stay
//! whatever the counts say. Pure: snapshots and times come in as values, reasons go out.

mod chains;
mod period;

use crate::error::{Error, Result};
use crate::snapshot::{Graph, Uuid};
pub use chains::{ChainPolicy, own};
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
pub use period::{Calendar, Every, Period};
use std::path::PathBuf;

/// How many snapshots are kept. With nothing in it, all are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// So many of the newest.
    pub newest: Option<usize>,
    /// The newest of each of so many periods that have any, counted from the last one back.
    pub periods: Vec<(Period, usize)>,
    /// Whatever the counts say, what arrived less than so long ago. Alone, it lets nothing go either.
    /// [`FOREVER`] lets nothing go.
    pub least: Option<SignedDuration>,
    /// Where periods begin, and what stands for one.
    pub calendar: Calendar,
}

/// Longer than anything is there.
pub const FOREVER: SignedDuration = SignedDuration::MAX;

/// A snapshot to be judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Relative to its store.
    pub path: PathBuf,
    /// Its effective UUID.
    pub id: Uuid,
    /// When it was made: the original, not this copy.
    pub made: Timestamp,
    /// When this copy arrived, if that is known: nobody who sends it has a say in that.
    pub arrived: Option<Timestamp>,
    /// Of those of one time, which came first: times are seconds, and a name may be of a wrong clock.
    pub order: u64,
}

/// What is to be done with a snapshot, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The snapshot.
    pub candidate: Candidate,
    /// Whether the snapshot stays.
    pub keep: bool,
    /// Why, for a person.
    pub why: String,
}

/// What stays whatever the policy says.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    /// Effective UUIDs, and why.
    pub pinned: Vec<(Uuid, String)>,
    /// What snapshots cannot be restored without, where diffs are kept.
    pub graph: Graph,
}

impl Policy {
    /// `7d 4w 12m 2y`: numbers of hours, days, weeks, months and years, each at most once.
    ///
    /// # Errors
    /// If it is written otherwise, or would keep nothing.
    pub fn parse(text: &str) -> Result<Policy> {
        let wrong = |said: String| {
            let doing = format!("cannot use the policy '{}'", text.escape_default());
            Error::usage(doing, said)
        };
        let mut policy = Policy::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let (period, count) = Period::counted(word).ok_or_else(|| {
                let said = "is not a number of h(ours), d(ays), w(eeks), m(onths) or y(ears), as in '7d 4w 12m'";
                wrong(format!("'{}' {said}", word.escape_default()))
            })?;
            if policy.periods.iter().any(|(p, _)| *p == period) {
                return Err(wrong(format!("{} are counted twice", period.plural())));
            }
            policy.periods.push((period, count));
        }
        policy.periods.sort_unstable();
        if policy.periods.iter().all(|(_, count)| *count == 0) {
            return Err(wrong(
                "it keeps nothing; to keep everything, give no policy".to_owned(),
            ));
        }
        Ok(policy)
    }

    /// Whether everything is kept.
    pub fn keeps_all(&self) -> bool {
        self.newest.is_none() && self.periods.is_empty() || self.least == Some(FOREVER)
    }

    /// Whether it stays because it has not been there for long, or for nobody knows how long.
    fn spares(&self, candidate: &Candidate, now: Timestamp) -> bool {
        let young = |least| {
            let there = candidate.arrived.map(|at| now.duration_since(at));
            there.is_none_or(|there| there < least)
        };
        self.least.is_some_and(young)
    }
}

/// An age with a unit: `90m`, `12h`, `3d`, `2w`; or `0`.
///
/// # Errors
/// If it is written otherwise.
pub fn age(text: &str) -> Result<SignedDuration> {
    let wrong = || {
        let said = "it is a number with a unit: 90m, 12h, 3d, 2w; or 0";
        let doing = format!("cannot use the age '{}'", text.escape_default());
        Error::usage(doing, said)
    };
    if text == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let last = text.char_indices().next_back();
    let (digits, unit) = last.map_or(("", ""), |(at, _)| text.split_at(at));
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let number: Option<i64> = digits.parse().ok().filter(|_| plain);
    let seconds = number.and_then(|number| number.checked_mul(seconds));
    seconds.map(SignedDuration::from_secs).ok_or_else(wrong)
}

/// An age of snapshots, which are an hour apart at least: beside policies, whose `m` is months, minutes that
/// make less than an hour were not meant. None at all is an age, in any unit.
///
/// # Errors
/// If it is no age, or less than an hour.
pub fn snapshot_age(text: &str) -> Result<SignedDuration> {
    let found = age(text)?;
    if found.is_zero() || found >= SignedDuration::from_hours(1) {
        return Ok(found);
    }
    let said = "m is minutes here, and months in policies only, and this is less than an hour: \
                six months are 26w";
    let doing = format!("cannot use the age '{}'", text.escape_default());
    Err(Error::usage(doing, said))
}

/// Judges snapshots of one subvolume, the newest first. The newest always stays. What is from the
/// future, for which some clock was wrong, stays as well, and takes nobody's place.
pub fn judge(
    candidates: Vec<Candidate>,
    policy: &Policy,
    bonds: &Holds,
    now: &Zoned,
) -> Vec<Decision> {
    let is_future = |c: &Candidate| from_future(c.made, now.timestamp());
    let (future, past) = candidates.into_iter().partition(is_future);
    let future: Vec<Candidate> = future;
    let waiting = future.into_iter().map(|candidate| Decision {
        candidate,
        keep: true,
        why: "its time has not come yet: a clock was wrong".to_owned(),
    });
    waiting
        .chain(judge_past(past, policy, bonds, now))
        .collect()
}

/// Later than now, and not only by the second that made a name free.
fn from_future(made: Timestamp, now: Timestamp) -> bool {
    made.duration_since(now) > SignedDuration::from_mins(1)
}

fn judge_past(
    mut candidates: Vec<Candidate>,
    policy: &Policy,
    bonds: &Holds,
    now: &Zoned,
) -> Vec<Decision> {
    candidates.sort_by(|a, b| (b.made, b.order, &b.path).cmp(&(a.made, a.order, &a.path)));
    let own = candidates.iter().enumerate();
    let own = own.map(|(at, candidate)| reasons_of(candidate, at, policy, bonds, now.timestamp()));
    let mut reasons: Vec<String> = own.map(|all| all.join(", ")).collect();
    let calendar = (&policy.calendar, now.time_zone());
    for &(period, count) in &policy.periods {
        let which = match policy.calendar.first {
            true => "first",
            false => "newest",
        };
        for at in one_of_each(&candidates, period, count, calendar) {
            let comma = if reasons[at].is_empty() { "" } else { ", " };
            let why = format!("{comma}{which} of one of {count} {}", period.plural());
            reasons[at].push_str(&why);
        }
    }
    keep_parents(&candidates, &mut reasons, &bonds.graph);
    let verdict = |(candidate, why): (Candidate, String)| Decision {
        candidate,
        keep: !why.is_empty(),
        why: match why.is_empty() {
            true => "no rule keeps it".to_owned(),
            false => why,
        },
    };
    candidates.into_iter().zip(reasons).map(verdict).collect()
}

/// Why one is kept, whatever period it is of; `at` counts from the newest.
fn reasons_of(
    candidate: &Candidate,
    at: usize,
    policy: &Policy,
    bonds: &Holds,
    now: Timestamp,
) -> Vec<String> {
    let newest = policy.newest.filter(|&newest| at < newest);
    let rules = [
        (at == 0).then(|| "the newest".to_owned()),
        policy.keeps_all().then(|| "everything is kept".to_owned()),
        newest.map(|newest| format!("one of the newest {newest}")),
        policy
            .spares(candidate, now)
            .then(|| "it has not been there for long enough".to_owned()),
    ];
    let pinned = bonds.pinned.iter().filter(|(id, _)| *id == candidate.id);
    let pinned = pinned.map(|(_, why)| why.clone());
    rules.into_iter().flatten().chain(pinned).collect()
}

/// The places of those that stand for each of the last `count` periods that have any.
fn one_of_each(
    candidates: &[Candidate],
    period: Period,
    count: usize,
    (calendar, zone): (&Calendar, &TimeZone),
) -> Vec<usize> {
    let (mut places, mut last) = (Vec::new(), None);
    for (at, candidate) in candidates.iter().enumerate() {
        let start = calendar.start(period, zone.to_datetime(candidate.made));
        // In the hour that happens twice, local time runs back: that is no new period.
        if last.is_none_or(|last| start < last) {
            if places.len() == count {
                break;
            }
            places.push(at);
            last = Some(start);
        } else if let Some(place) = places.last_mut().filter(|_| calendar.first) {
            *place = at;
        }
    }
    places
}

/// Parents of what is kept are kept, and theirs.
fn keep_parents(candidates: &[Candidate], reasons: &mut [String], graph: &Graph) {
    let all = candidates.iter().zip(reasons.iter());
    let kept = all.filter(|(_, why)| !why.is_empty());
    let needed = graph.needed_by(kept.map(|(candidate, _)| candidate.id));
    for (candidate, why) in candidates.iter().zip(reasons) {
        if why.is_empty() && needed.contains(&candidate.id) {
            why.push_str("a kept one is built on it");
        }
    }
}

#[cfg(test)]
mod tests;
