//! A year of snapshots under policies: what must hold after every run, whatever happened before.

mod year;

use super::*;
use jiff::ToSpan;
use jiff::civil::date;

fn zone() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn later() -> Zoned {
    "2030-01-01T00:00:00[Europe/Berlin]".parse().unwrap()
}

#[test]
fn the_future_takes_nobodys_place() {
    let now: Zoned = "2026-01-05T12:00:00[Europe/Berlin]".parse().unwrap();
    let policy = Policy {
        newest: Some(2),
        ..Policy::default()
    };
    let mut all = some();
    all.push(candidate(6, "2031-01-01T00:00:00"));
    let verdicts = judge(all, &policy, &Holds::default(), &now);
    let kept = verdicts.iter().filter(|v| v.keep);
    let kept: Vec<u8> = kept.map(|v| v.candidate.id.0[0]).collect();
    // The fifth is from this evening.
    assert_eq!(kept, [5, 6, 4, 3]);
}

fn candidate(number: u8, made: &str) -> Candidate {
    let made: Zoned = format!("{made}[Europe/Berlin]").parse().unwrap();
    Candidate {
        path: number.to_string().into(),
        id: Uuid([number; 16]),
        made: made.timestamp(),
        arrived: None,
        order: 0,
    }
}

#[test]
fn of_one_second_the_last_is_the_newest() {
    let mut all = vec![
        candidate(1, "2026-01-05T18:00:00"),
        candidate(2, "2026-01-05T18:00:00"),
    ];
    (all[0].order, all[1].order) = (8, 7);
    let policy = Policy {
        newest: Some(1),
        ..Policy::default()
    };
    assert_eq!(kept(&all, &policy, &Holds::default()), ["1"]);
}

#[test]
fn what_has_just_arrived_stays_whatever_its_age() {
    let policy = Policy {
        least: Some(age("30d").unwrap()),
        ..Policy::parse("2d").unwrap()
    };
    let since = |days: i64| Some(later().timestamp() - SignedDuration::from_hours(24 * days));
    // Whoever sends can say that something is new, and that something is old.
    let mut all = some();
    for (candidate, days) in all.iter_mut().zip([40, 29, 31, 31, 31]) {
        candidate.arrived = since(days);
    }
    assert_eq!(kept(&all, &policy, &Holds::default()), ["2", "3", "5"]);
    all[0].arrived = None;
    assert_eq!(kept(&all, &policy, &Holds::default()), ["1", "2", "3", "5"]);
    all[0].arrived = since(-9);
    assert_eq!(kept(&all, &policy, &Holds::default()), ["1", "2", "3", "5"]);
}

/// What is kept, oldest first, as names.
fn kept(candidates: &[Candidate], policy: &Policy, bonds: &Holds) -> Vec<String> {
    let mut verdicts = judge(candidates.to_vec(), policy, bonds, &later());
    verdicts.reverse();
    assert!(verdicts.iter().all(|v| !v.why.is_empty()));
    let kept = verdicts.iter().filter(|v| v.keep);
    kept.map(|v| v.candidate.path.to_str().unwrap().to_owned())
        .collect()
}

fn some() -> Vec<Candidate> {
    vec![
        candidate(1, "2025-12-30T12:00:00"),
        candidate(2, "2026-01-01T00:00:00"),
        candidate(3, "2026-01-04T23:59:59"), // Sunday
        candidate(4, "2026-01-05T00:00:00"), // Monday
        candidate(5, "2026-01-05T18:00:00"),
    ]
}

#[test]
fn counts_of_the_newest() {
    let newest = |n| Policy {
        newest: Some(n),
        ..Policy::default()
    };
    assert_eq!(kept(&some(), &newest(2), &Holds::default()), ["4", "5"]);
    assert_eq!(
        kept(&some(), &newest(0), &Holds::default()),
        ["5"],
        "the newest always stays"
    );
    let all = kept(&some(), &Policy::default(), &Holds::default());
    assert_eq!(all, ["1", "2", "3", "4", "5"]);
    assert!(judge(Vec::new(), &newest(1), &Holds::default(), &later()).is_empty());
}

#[test]
fn counts_of_periods() {
    let expect = |policy: &str, names: &[&str]| {
        let policy = Policy::parse(policy).unwrap();
        assert_eq!(
            kept(&some(), &policy, &Holds::default()),
            names,
            "{policy:?}"
        );
    };
    expect("1d", &["5"]);
    expect("2d", &["3", "5"]);
    expect("9d", &["1", "2", "3", "5"]);
    expect("2w", &["3", "5"]);
    expect("9w", &["3", "5"]);
    expect("2m", &["1", "5"]);
    expect("1y", &["5"]);
    expect("2y", &["1", "5"]);
    expect("3h", &["3", "4", "5"]);
    expect("1d, 1y", &["5"]);
}

#[test]
fn policies_are_written_so() {
    let policy = Policy::parse("12m 7D,4w").unwrap();
    let expected = [(Period::Day, 7), (Period::Week, 4), (Period::Month, 12)];
    assert_eq!(policy.periods, expected);
    for wrong in [
        "", "7", "d", "7x", "-1d", "+1d", "7d 3d", "0d", "0d 0w", "7 d", "1\u{e9}",
    ] {
        let error = Policy::parse(wrong).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong}");
    }
}

#[test]
fn pins_and_parents_stay() {
    let policy = Policy {
        newest: Some(1),
        ..Policy::default()
    };
    let id = |n: u8| Uuid([n; 16]);
    let graph = |pairs: &[(u8, u8)]| {
        let pairs = pairs.iter().map(|(to, from)| (id(*to), Some(id(*from))));
        pairs.collect()
    };
    let bonds = Holds {
        pinned: vec![(id(2), "newest in common with B".to_owned())],
        graph: graph(&[(5, 4), (4, 3), (4, 77), (77, 1)]),
    };
    assert_eq!(kept(&some(), &policy, &bonds), ["1", "2", "3", "4", "5"]);
    let bonds = Holds {
        graph: graph(&[(5, 3), (3, 5)]),
        ..Holds::default()
    };
    assert_eq!(kept(&some(), &policy, &bonds), ["3", "5"]);
}

#[test]
fn the_hour_that_happens_twice_is_one() {
    // Summer time ends on 2026-10-25 at 03:00, which becomes 02:00.
    let zone = zone();
    let first = date(2026, 10, 25).at(2, 30, 0, 0);
    let ambiguous = zone.to_ambiguous_timestamp(first);
    let (earlier, later) = (ambiguous.earlier().unwrap(), ambiguous.later().unwrap());
    assert_ne!(earlier, later);
    let at = |number: u8, made| Candidate {
        made,
        ..candidate(number, "2026-01-01T00:00:00")
    };
    let all = [
        at(1, earlier),
        at(2, later),
        candidate(3, "2026-10-25T03:10:00"),
    ];
    let policy = Policy::parse("3h").unwrap();
    assert_eq!(kept(&all, &policy, &Holds::default()), ["2", "3"]);
}

/// A run every few hours for more than a year, with a gap of weeks, across both clock changes. What
/// earlier runs deleted is gone.
#[test]
fn a_year_of_runs() {
    let (days, weeks, months) = (7, 4, 12);
    let policy = Policy::parse("7d 4w 12m").unwrap();
    let mut now: Zoned = "2026-01-01T00:30:00[Europe/Berlin]".parse().unwrap();
    let end: Zoned = "2027-03-01T00:00:00[Europe/Berlin]".parse().unwrap();
    let (mut there, mut every, mut number): (Vec<Candidate>, Vec<Candidate>, u128) =
        (vec![], vec![], 0);
    while now < end {
        number += 1;
        let new = Candidate {
            path: number.to_string().into(),
            id: Uuid(number.to_be_bytes()),
            made: now.timestamp(),
            arrived: Some(now.timestamp()),
            order: 0,
        };
        there.push(new.clone());
        every.push(new.clone());
        let verdicts = judge(there, &policy, &Holds::default(), &now);
        assert!(verdicts[0].keep && verdicts[0].candidate == new);
        there = verdicts
            .into_iter()
            .filter(|v| v.keep)
            .map(|v| v.candidate)
            .collect();
        assert!(there.len() <= days + weeks + months);
        // The end of every one of these periods is still there, as if nothing had ever been deleted.
        for (period, count) in [
            (Period::Day, days),
            (Period::Week, weeks),
            (Period::Month, months),
        ] {
            let mut all = every.clone();
            all.reverse();
            for at in one_of_each(&all, period, count, (&Calendar::default(), &zone())) {
                assert!(
                    there.contains(&all[at]),
                    "{now}: {period:?} {}",
                    all[at].path.display()
                );
            }
        }
        let pause = if number == 300 {
            24 * 40
        } else {
            5 + (number as i64 % 9)
        };
        now = now.checked_add(pause.hours()).unwrap();
    }
    assert!(number > 900);
    assert!(there.len() > months, "{}", there.len());
}

/// The week that the year ends in, and the leap day.
#[test]
fn weeks_from_sunday_at_the_end_of_a_year() {
    let all = vec![
        candidate(1, "2025-12-27T12:00:00"), // Saturday
        candidate(2, "2025-12-28T00:00:00"),
        candidate(3, "2025-12-31T23:59:59"),
        candidate(4, "2026-01-01T00:00:00"),
        candidate(5, "2026-01-03T23:59:59"),
        candidate(6, "2026-01-04T00:00:00"),
    ];
    let policy = |text: &str, week_starts| Policy {
        calendar: Calendar {
            week_starts,
            ..Calendar::default()
        },
        ..Policy::parse(text).unwrap()
    };
    use jiff::civil::Weekday::{Monday, Sunday};
    let bonds = Holds::default();
    assert_eq!(kept(&all, &policy("3w", Sunday), &bonds), ["1", "5", "6"]);
    assert_eq!(kept(&all, &policy("3w", Monday), &bonds), ["2", "6"]);
    assert_eq!(kept(&all, &policy("2y", Sunday), &bonds), ["3", "6"]);
    let leap = vec![
        candidate(1, "2024-02-28T12:00:00"),
        candidate(2, "2024-02-29T12:00:00"),
        candidate(3, "2024-03-01T12:00:00"),
    ];
    assert_eq!(kept(&leap, &policy("3d", Monday), &bonds), ["1", "2", "3"]);
    assert_eq!(kept(&leap, &policy("2m", Monday), &bonds), ["2", "3"]);
}

#[test]
fn the_first_of_each_and_days_that_begin_late() {
    let all = vec![
        candidate(1, "2026-01-04T23:00:00"),
        candidate(2, "2026-01-05T02:00:00"),
        candidate(3, "2026-01-05T08:00:00"),
        candidate(4, "2026-01-05T20:00:00"),
        candidate(5, "2026-01-06T09:00:00"),
        candidate(6, "2026-01-06T10:00:00"),
    ];
    let calendar = |first, day_starts, week_starts| Calendar {
        first,
        week_starts,
        day_starts,
    };
    let kept_by = |text: &str, calendar| {
        let policy = Policy {
            calendar,
            ..Policy::parse(text).unwrap()
        };
        kept(&all, &policy, &Holds::default()).join(" ")
    };
    use jiff::civil::Weekday::{Monday, Sunday, Tuesday};
    // The newest always stays.
    assert_eq!(kept_by("2d", calendar(false, 0, Monday)), "4 6");
    assert_eq!(kept_by("2d", calendar(true, 0, Monday)), "2 5 6");
    // From five in the morning on it is another day.
    assert_eq!(kept_by("3d", calendar(true, 5, Monday)), "1 3 5 6");
    assert_eq!(kept_by("2w", calendar(false, 0, Monday)), "1 6");
    assert_eq!(kept_by("2w", calendar(false, 0, Sunday)), "6");
    assert_eq!(kept_by("2w", calendar(false, 0, Tuesday)), "4 6");
    assert_eq!(kept_by("2w", calendar(false, 3, Monday)), "2 6");
}
