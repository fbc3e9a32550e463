//! Makes a history small: leaves out steps for as long as the same fault is there.

use super::History;
use super::pairs::Fault;

/// The steps that are needed for a fault.
pub(super) fn smaller(history: &History, fault: &Fault) -> Vec<usize> {
    let last = fault.pair.1.max(fault.pair.0.unwrap_or(0));
    let steps = history.steps.iter().copied();
    let until = steps.filter(|step| *step <= last).collect();
    fewest(until, |steps| still(history, fault, steps))
}

/// Leaves out steps, many at once and then fewer, for as long as it is still so.
pub(super) fn fewest(mut kept: Vec<usize>, still: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut piece = kept.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(kept.len()));
            match still(&fewer) {
                true => kept = fewer,
                false => at += piece,
            }
        }
        piece /= 2;
    }
    kept
}

fn still(history: &History, fault: &Fault, steps: &[usize]) -> bool {
    let needed = [Some(fault.pair.1), fault.pair.0];
    if !needed.iter().flatten().all(|step| steps.contains(step)) {
        return false;
    }
    let (table, _) = history.only(steps.to_vec()).judged(Some(fault.pair));
    let same = |other: &Fault| other.pair == fault.pair && other.kinds.contains(&fault.kinds[0]);
    table.faults.iter().any(same)
}

/// Steps as they are written: `3,7-9`.
pub(super) fn written(steps: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for step in steps {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *step => *last = *step,
            _ => runs.push((*step, *step)),
        }
    }
    let run = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// Likewise the other way.
pub(super) fn read(text: &str) -> Vec<usize> {
    let number = |text: &str| text.parse::<usize>().expect("a number of a step");
    let run = |run: &str| match run.split_once('-') {
        Some((first, last)) => number(first)..number(last) + 1,
        None => number(run)..number(run) + 1,
    };
    text.split(',').flat_map(run).collect()
}
