//! Calendar periods and where they begin: hours to years, in local time. Knows no snapshot.

use crate::error::{Error, Result};
use jiff::ToSpan;
use jiff::civil::{DateTime, Weekday};

/// A calendar period, in local time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Period {
    /// It begins with the full hour.
    Hour,
    /// It begins with the hour at which days begin.
    Day,
    /// It begins with the day on which weeks begin.
    Week,
    /// It begins with the first day of a month.
    Month,
    /// It begins with the first of January.
    Year,
}

/// Where periods begin, and which of its snapshots stands for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calendar {
    /// The oldest of a period stands for it, and not the newest.
    pub first: bool,
    /// The day on which weeks begin.
    pub week_starts: Weekday,
    /// The hour at which days begin, and with them weeks, months and years: 0 to 23.
    pub day_starts: i8,
}

impl Default for Calendar {
    fn default() -> Self {
        Calendar {
            first: false,
            week_starts: Weekday::Monday,
            day_starts: 0,
        }
    }
}

impl Calendar {
    /// The beginning of the period that a local time is in.
    pub(super) fn start(&self, period: Period, time: DateTime) -> DateTime {
        if period == Period::Hour {
            return time.date().at(time.hour(), 0, 0, 0);
        }
        let earlier = time.checked_sub(i64::from(self.day_starts).hours());
        let date = earlier.unwrap_or(time).date();
        let date = match period {
            Period::Hour | Period::Day => date,
            Period::Week => {
                let back = date.weekday().since(self.week_starts);
                date.checked_sub(i64::from(back).days()).unwrap_or(date)
            }
            Period::Month => date.first_of_month(),
            Period::Year => date.first_of_year(),
        };
        date.at(0, 0, 0, 0)
    }
}

impl Period {
    /// What several are called.
    pub fn plural(self) -> &'static str {
        match self {
            Period::Hour => "hours",
            Period::Day => "days",
            Period::Week => "weeks",
            Period::Month => "months",
            Period::Year => "years",
        }
    }

    /// `7d`: a number of hours, days, weeks, months or years.
    pub(super) fn counted(word: &str) -> Option<(Period, usize)> {
        let unit = word.chars().next_back()?;
        let period = match unit.to_ascii_lowercase() {
            'h' => Period::Hour,
            'd' => Period::Day,
            'w' => Period::Week,
            'm' => Period::Month,
            'y' => Period::Year,
            _ => return None,
        };
        let count = &word[..word.len() - unit.len_utf8()];
        let digits = count.bytes().all(|byte| byte.is_ascii_digit());
        Some((period, count.parse().ok().filter(|_| digits)?))
    }
}

/// A time from one to the next, in calendar periods: `6h`, `1d`, `2w`, `1m` or `1y`. Of months there are a
/// dozen at most, since more were minutes to whoever wrote them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Every {
    /// The number of periods, at least one.
    pub count: u32,
    /// The kind of period.
    pub period: Period,
}

impl Every {
    /// A time of so many days.
    pub const fn days(count: u32) -> Every {
        let period = Period::Day;
        Every { count, period }
    }

    /// Reads what [`Every`] is written like.
    ///
    /// # Errors
    /// If it is written otherwise, or is no time at all.
    pub fn parse(text: &str) -> Result<Every> {
        let wrong = |said: &str| {
            let doing = format!("cannot use '{}'", text.escape_default());
            Error::usage(doing, said)
        };
        let counted = Period::counted(text.trim()).and_then(|(period, count)| {
            let count = u32::try_from(count.min(1_000_000)).ok()?;
            (count > 0).then_some(Every { count, period })
        });
        let every = counted.ok_or_else(|| {
            wrong(
                "it is a number of h(ours), d(ays), w(eeks), m(onths) or y(ears), as in 6h or 1d, and of \
                 nothing shorter than an hour",
            )
        })?;
        match every.period == Period::Month && every.count > 12 {
            true => Err(wrong(
                "m is months, of which it takes up to 12, and there are no minutes: the shortest is 1h",
            )),
            false => Ok(every),
        }
    }
}
