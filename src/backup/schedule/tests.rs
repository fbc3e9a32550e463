//! The schedule over a simulated year, with both clock changes, gaps, and a clock that was wrong.

use super::*;
use jiff::civil::time;
use jiff::tz::TimeZone;

fn at(text: &str) -> Zoned {
    format!("{text}[Europe/Berlin]").parse().unwrap()
}

fn schedule(full_every: u32, incremental_every: u32, hour: i8, minute: i8) -> Schedule {
    Schedule {
        full_every: Every::days(full_every),
        incremental_every: Every::days(incremental_every),
        run_at: time(hour, minute, 0, 0),
    }
}

fn past(full: &str, last: &str) -> Past<'static> {
    Past {
        last_full: Some(at(full).timestamp()),
        last: Some(at(last).timestamp()),
        broken: None,
    }
}

fn kind(due: &Due) -> Option<BackupKind> {
    match due {
        Due::Now(kind, _) => Some(*kind),
        Due::Later(..) => None,
    }
}

#[test]
fn the_first_is_full() {
    let due = schedule(180, 7, 2, 0).due(&Past::default(), &at("2026-05-05T00:01:00"), false);
    assert_eq!(kind(&due), Some(BackupKind::Full));
}

#[test]
fn due_from_the_time_of_the_due_day_on() {
    let schedule = schedule(180, 7, 2, 0);
    let past = past("2026-05-01T23:00:00", "2026-05-01T23:00:00");
    let ask = |now: &str| schedule.due(&past, &at(now), false);
    assert_eq!(
        ask("2026-05-08T01:59:59"),
        Due::Later(at("2026-05-08T02:00:00"), BackupKind::Incremental)
    );
    assert_eq!(
        kind(&ask("2026-05-08T02:00:00")),
        Some(BackupKind::Incremental)
    );
    assert_eq!(
        kind(&ask("2026-06-30T12:00:00")),
        Some(BackupKind::Incremental)
    );
    assert_eq!(
        kind(&ask("2026-10-28T01:59:59")),
        Some(BackupKind::Incremental)
    );
    assert_eq!(kind(&ask("2026-10-28T02:00:00")), Some(BackupKind::Full));
    let forced = schedule.due(&past, &at("2026-05-02T00:00:00"), true);
    assert_eq!(
        forced,
        Due::Now(BackupKind::Incremental, "it was asked for".to_owned())
    );
}

#[test]
fn a_broken_chain_makes_the_next_one_full_and_says_so() {
    let schedule = schedule(180, 7, 2, 0);
    let past = Past {
        broken: Some("its snapshot is gone"),
        ..past("2026-05-01T03:00:00", "2026-05-01T03:00:00")
    };
    let Due::Now(BackupKind::Full, why) = schedule.due(&past, &at("2026-05-08T02:00:00"), false)
    else {
        panic!("not a full one");
    };
    assert!(why.contains("its snapshot is gone"), "{why}");
    let early = schedule.due(&past, &at("2026-05-07T02:00:00"), false);
    assert_eq!(
        early,
        Due::Later(at("2026-05-08T02:00:00"), BackupKind::Full)
    );
    let forced = schedule.due(&past, &at("2026-05-07T02:00:00"), true);
    assert_eq!(kind(&forced), Some(BackupKind::Full));
}

#[test]
fn a_clock_that_was_ahead_stops_nothing() {
    let schedule = schedule(180, 7, 2, 0);
    let past = past("2026-05-01T03:00:00", "2031-01-01T00:00:00");
    let due = schedule.due(&past, &at("2026-05-03T00:00:00"), false);
    assert_eq!(kind(&due), Some(BackupKind::Incremental));
}

#[test]
fn times_that_do_not_exist_or_come_twice() {
    // In Berlin 02:30 does not exist on 2026-03-29 and comes twice on 2026-10-25.
    let daily = schedule(180, 1, 2, 30);
    let spring = past("2026-03-28T04:00:00", "2026-03-28T04:00:00");
    let Due::Later(next, _) = daily.due(&spring, &at("2026-03-28T05:00:00"), false) else {
        panic!("due at once");
    };
    assert_eq!(next.to_string(), "2026-03-29T03:30:00+02:00[Europe/Berlin]");
    let autumn = past("2026-10-24T04:00:00", "2026-10-24T04:00:00");
    let Due::Later(next, _) = daily.due(&autumn, &at("2026-10-24T05:00:00"), false) else {
        panic!("due at once");
    };
    assert_eq!(next.to_string(), "2026-10-25T02:30:00+02:00[Europe/Berlin]");
}

/// Every hour of a year is asked, but for a gap of three weeks; each backup is remembered.
#[test]
fn a_year_of_hours() {
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "UTC",
    ] {
        let zone = TimeZone::get(zone).unwrap();
        let schedule = schedule(60, 1, 2, 0);
        let mut now = jiff::civil::date(2026, 1, 1)
            .at(0, 30, 0, 0)
            .to_zoned(zone.clone())
            .unwrap();
        let end = jiff::civil::date(2027, 1, 1)
            .at(0, 30, 0, 0)
            .to_zoned(zone.clone())
            .unwrap();
        let (mut past, mut fulls, mut days) =
            (Past::default(), 0, std::collections::BTreeSet::new());
        while now < end {
            let away = now.day_of_year() > 200 && now.day_of_year() <= 221;
            if !away {
                match schedule.due(&past, &now, false) {
                    Due::Now(kind, _) => {
                        assert!(days.insert(now.date()), "twice on {}", now.date());
                        // The first, and what was missed, need not wait for the time of the day.
                        let late = days.len() == 1 || now.day_of_year() == 222;
                        assert!(late || now.hour() >= 2, "{now}");
                        fulls += usize::from(kind == BackupKind::Full);
                        past.last = Some(now.timestamp());
                        if kind == BackupKind::Full {
                            past.last_full = past.last;
                        }
                    }
                    Due::Later(next, _) => assert!(next > now, "{next} {now}"),
                }
            }
            now = now.checked_add(1.hour()).unwrap();
        }
        // Each day once, and what was missed in the gap once.
        assert_eq!(days.len(), 365 - 21, "{zone:?}");
        assert_eq!(fulls, 7, "{zone:?}");
    }
}

#[test]
fn from_hours_to_years() {
    let cycle = |text: &str| Cycle {
        every: Every::parse(text).unwrap(),
        at: time(12, 0, 0, 0),
    };
    let next = |every: &str, last: &str, expected: &str| {
        let last = at(last);
        let due = cycle(every).due(Some(last.timestamp()), &last);
        assert_eq!(due, Err(at(expected)), "{every} after {last}");
    };
    next("1h", "2026-05-01T10:03:20", "2026-05-01T11:00:00");
    next("6h", "2026-05-01T10:59:59", "2026-05-01T16:00:00");
    next("1d", "2026-05-01T10:03:20", "2026-05-02T12:00:00");
    next("2w", "2026-05-01T23:00:00", "2026-05-15T12:00:00");
    next("1m", "2026-01-31T13:00:00", "2026-02-28T12:00:00");
    next("1y", "2028-02-29T13:00:00", "2029-02-28T12:00:00");
    // An hour is one also where the clocks change.
    next("1h", "2026-03-29T01:30:00", "2026-03-29T03:00:00");
    let due = |last: Option<&str>, now: &str| {
        let last = last.map(|last| at(last).timestamp());
        cycle("1h").due(last, &at(now)).unwrap()
    };
    assert_eq!(due(None, "2026-05-01T10:00:00"), "there is none yet");
    // A week of missed hours is caught up by one.
    let missed = due(Some("2026-05-01T10:00:00"), "2026-05-08T10:00:00");
    assert_eq!(missed, "the last one is 7 days old");
    let future = due(Some("2031-05-01T10:00:00"), "2026-05-08T10:00:00");
    assert!(future.contains("future"), "{future}");
    for wrong in ["", "1", "d", "0d", "-1d", "1x", "1d 2w", "+1d"] {
        assert!(Every::parse(wrong).is_err(), "{wrong}");
    }
    assert!(Every::parse("12m").is_ok());
    for minutes in ["13m", "15m", "30M", "99999999m"] {
        let error = Every::parse(minutes).unwrap_err().to_string();
        let said = error.contains(minutes) && error.contains("there are no minutes");
        assert!(said, "{error}");
    }
}
