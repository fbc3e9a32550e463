//! What stays, from btrbk's words into ours. Judges nothing.

use super::lines::{Entry, Wrong};
use super::sections::Scope;
use crate::backup::draft::DraftSection;

/// A number that is as good as all of them.
const ALL: u64 = 9999;

/// What stays of the snapshots here, or at a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Keeps {
    All,
    Some {
        /// As `keep` has it; only the newest if there is none.
        periods: Option<String>,
        /// As `keep_min` has it.
        least: Option<String>,
        week_starts: String,
        hour: u8,
    },
}

impl Keeps {
    /// Whether hours count, so that there has to be a snapshot in each.
    pub(super) fn by_hours(&self) -> bool {
        matches!(self, Keeps::Some { periods: Some(words), .. } if words.contains('h'))
    }

    /// Adds its keys; `all` is how that section says that everything stays.
    pub(super) fn write(&self, section: &mut DraftSection, all: Option<&str>) {
        let Keeps::Some {
            periods,
            least,
            week_starts,
            hour,
        } = self
        else {
            return all
                .into_iter()
                .for_each(|all| section.text("keep_min", all));
        };
        match periods {
            Some(periods) => {
                section.text("keep", periods);
                section.text("keep_from", "first");
                section.text("week_starts", week_starts);
            }
            None => section.raw("retain", 1),
        }
        if periods.is_some() && *hour > 0 {
            section.raw("keep_hour", hour);
        }
        if let Some(least) = least {
            section.text("keep_min", least);
        }
    }
}

/// What the options say of `snapshot` or `target`.
pub(super) fn keeps(scope: Scope, of: &str) -> Result<Keeps, Wrong> {
    let least = scope.entry(&format!("{of}_preserve_min"));
    let least =
        match least.map(|entry| (entry, entry.value.as_str())) {
            None | Some((_, "all")) => return Ok(Keeps::All),
            Some((_, "latest" | "no")) => None,
            Some((entry, text)) => Some(age(text).ok_or_else(|| {
                entry.wrong("it is all, latest, no, or a number of h, d, w, m or y")
            })?),
        };
    let periods = scope.entry(&format!("{of}_preserve"));
    let periods = periods.filter(|entry| entry.value != "no");
    Ok(Keeps::Some {
        periods: periods.map(policy).transpose()?.flatten(),
        least,
        week_starts: week_starts(scope)?,
        hour: hour(scope)?,
    })
}

fn week_starts(scope: Scope) -> Result<String, Wrong> {
    const DAYS: &str = "monday tuesday wednesday thursday friday saturday sunday";
    let Some(entry) = scope.entry("preserve_day_of_week") else {
        return Ok("sunday".to_owned());
    };
    match DAYS.split(' ').any(|day| day == entry.value) {
        true => Ok(entry.value.clone()),
        false => Err(entry.wrong("it is a day of the week")),
    }
}

fn hour(scope: Scope) -> Result<u8, Wrong> {
    let Some(entry) = scope.entry("preserve_hour_of_day") else {
        return Ok(0);
    };
    let hour = entry.value.parse().ok().filter(|hour| *hour < 24);
    hour.ok_or_else(|| entry.wrong("it is an hour from 0 to 23"))
}

/// A number of hours and so on, as it is written without blanks.
fn counted(word: &str) -> Option<(u64, char)> {
    let unit = word.chars().next_back()?;
    let (number, unit) = (
        &word[..word.len() - unit.len_utf8()],
        unit.to_ascii_lowercase(),
    );
    let number = match number {
        "*" => ALL,
        _ if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok()?,
        _ => return None,
    };
    "hdwmy".contains(unit).then_some((number.min(ALL), unit))
}

/// Months and years are of different lengths; here they are long ones.
fn age(text: &str) -> Option<String> {
    let (number, unit) = counted(text).filter(|_| !text.starts_with('*'))?;
    Some(match unit {
        'm' => format!("{}d", 31 * number),
        'y' => format!("{}d", 366 * number),
        unit => format!("{number}{unit}"),
    })
}

/// `20d 10w *m`; nothing if it counts none.
fn policy(entry: &Entry) -> Result<Option<String>, Wrong> {
    let mut units = String::new();
    let mut words = Vec::new();
    for word in entry.value.split_whitespace() {
        let (number, unit) = counted(word)
            .ok_or_else(|| entry.wrong("it is no, or numbers of h, d, w, m or y: 20d 10w *m"))?;
        if units.contains(unit) {
            return Err(entry.wrong("something is counted twice"));
        }
        units.push(unit);
        words.extend((number > 0).then(|| format!("{number}{unit}")));
    }
    Ok((!words.is_empty()).then(|| words.join(" ")))
}
