//! How the room at a place changes, from what runs saw of it. Only counts: it looks at no place, and at no
//! clock.

use crate::archive::Stamp;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const DAY: i64 = 86_400;
/// What is seen again sooner, in seconds, takes the place of what was seen last: a run each hour is to fill no
/// state.
const APART: i64 = DAY * 5 / 6;
/// How often it is remembered.
const MOST: usize = 32;

/// What was free at a place, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomHistory(Vec<RoomSeen>);

/// What was free at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomSeen {
    /// The moment.
    at: Stamp,
    /// Bytes that were free then.
    free: u64,
}

/// How what is free changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomTrend {
    /// Bytes more in a day; less than 0 where it fills.
    pub bytes_per_day: i64,
    /// Days until nothing is free, if it goes on so.
    pub full_in_days: Option<u64>,
}

impl RoomSeen {
    /// Bytes that were free at a moment.
    pub fn new(at: Timestamp, free: u64) -> RoomSeen {
        let at = Stamp::of(at);
        RoomSeen { at, free }
    }

    fn seconds(&self) -> Option<i64> {
        self.at.moment().map(Timestamp::as_second)
    }

    fn seconds_since(&self, earlier: &RoomSeen) -> Option<i64> {
        Some(self.seconds()? - earlier.seconds()?)
    }
}

impl RoomHistory {
    /// Remembers what was seen last.
    pub fn note(&mut self, seen: RoomSeen) {
        let all = &mut self.0;
        if let [.., before, last] = &all[..]
            && last.seconds_since(before).is_none_or(|time| time < APART)
        {
            all.pop();
        }
        all.push(seen);
        all.drain(..all.len().saturating_sub(MOST));
    }

    /// Bytes that were free when it was last seen.
    pub fn newest(&self) -> Option<u64> {
        self.0.last().map(|seen| seen.free)
    }

    /// How it changed from what is remembered first to what is seen now, or was seen last. Less than a day says
    /// nothing.
    pub fn trend(&self, now: Option<&RoomSeen>) -> Option<RoomTrend> {
        let (first, last) = (self.0.first()?, now.or(self.0.last())?);
        let time = last.seconds_since(first).filter(|time| *time >= DAY)?;
        let more = i128::from(last.free) - i128::from(first.free);
        let per_day = more * i128::from(DAY) / i128::from(time);
        let less = u64::try_from(-per_day).ok().filter(|less| *less > 0);
        Some(RoomTrend {
            bytes_per_day: i64::try_from(per_day).ok()?,
            full_in_days: less.map(|less| last.free / less),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(hour: i64, free: u64) -> RoomSeen {
        RoomSeen::new(
            Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap(),
            free,
        )
    }

    fn history(all: &[(i64, u64)]) -> RoomHistory {
        let mut history = RoomHistory::default();
        for (hour, free) in all {
            history.note(seen(*hour, *free));
        }
        history
    }

    #[test]
    fn a_run_each_hour_fills_no_state() {
        let hourly: Vec<(i64, u64)> = (0..24 * 100).map(|hour| (hour, hour as u64)).collect();
        let history = history(&hourly);
        assert_eq!((history.0.len(), history.newest()), (MOST, Some(2399)));
        let gaps = history
            .0
            .windows(2)
            .map(|two| two[1].seconds_since(&two[0]));
        assert!(gaps.take(MOST - 2).all(|gap| gap >= Some(APART)));
    }

    #[test]
    fn what_fills_is_full_some_day() {
        let trend = |all: &[(i64, u64)], now| {
            let trend = history(all).trend(now)?;
            Some((trend.bytes_per_day, trend.full_in_days))
        };
        assert_eq!(trend(&[], None), None);
        assert_eq!(trend(&[(0, 900), (23, 800)], None), None);
        assert_eq!(trend(&[(0, 900), (24, 800)], None), Some((-100, Some(8))));
        let now = seen(48, 500);
        assert_eq!(
            trend(&[(0, 900), (24, 800)], Some(&now)),
            Some((-200, Some(2)))
        );
        assert_eq!(trend(&[(0, 900), (48, 920)], None), Some((10, None)));
        assert_eq!(trend(&[(0, 900), (48, 900)], None), Some((0, None)));
        assert_eq!(trend(&[(0, u64::MAX), (24, 0)], None), None);
        // A clock that was set back.
        assert_eq!(trend(&[(48, 900), (0, 800)], None), None);
    }
}
