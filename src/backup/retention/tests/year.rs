//! The worked year of the page about configurations: a snapshot each day, and what is there at the end of each
//! month, as the page has it.

use super::*;

const PAGE: &str = include_str!("../../../../man/buttersink.conf.5");

/// What stays of a snapshot each day of 2026, a line for the last day of each month.
fn year(policy: &Policy) -> String {
    let (mut there, mut lines) = (Vec::new(), String::new());
    let mut day = date(2026, 1, 1);
    while day.year() == 2026 {
        let now = day.at(2, 0, 0, 0).to_zoned(zone()).unwrap();
        let id = Uuid(u128::from(day.day_of_year().unsigned_abs()).to_be_bytes());
        there.push(Candidate {
            path: day.to_string().into(),
            id,
            made: now.timestamp(),
            arrived: None,
            order: 0,
        });
        let decided = judge(there, policy, &Holds::default(), &now);
        let kept = decided.into_iter().filter(|decision| decision.keep);
        there = kept.map(|decision| decision.candidate).collect();
        let next = day.tomorrow().unwrap();
        if next.month() != day.month() {
            lines += &line(&there);
        }
        day = next;
    }
    lines
}

/// The newest first, by months, no longer than a page is wide.
fn line(there: &[Candidate]) -> String {
    let mut days: Vec<Zoned> = there.iter().map(|one| one.made.to_zoned(zone())).collect();
    days.sort();
    let (mut text, mut width, mut month) = (String::new(), 0, 0);
    for day in days.iter().rev() {
        let mut word = day.strftime(" %-d").to_string();
        if day.month() != month {
            let lead = if text.is_empty() { "" } else { ", " };
            word = format!("{lead}{}{word}", day.strftime("%b"));
            month = day.month();
        }
        width += word.len();
        if width > 60 {
            (text, width) = (
                text.trim_end_matches(", ").to_owned() + ",\n   ",
                word.len(),
            );
            word = format!(" {}", word.trim_start_matches([',', ' ']));
        }
        text += &word;
    }
    text + "\n"
}

#[test]
fn the_page_has_the_year_as_it_comes() {
    let made = year(&Policy::parse("7d 4w 12m").unwrap());
    assert_eq!(made.matches("\nDec").count(), 1);
    assert!(
        PAGE.contains(&made),
        "the page has another year than this:\n{made}"
    );
}
