//! Rows below what they come from, and the lines that lead to them. Knows nothing of what they are.

use std::collections::HashMap;
use std::hash::Hash;

/// The order of things that have a key each and come from another of them, or from none: for each its
/// lines and its place among them. One whose parent is not there stands at the top, and nothing is lost in a
/// circle: what no way from the top leads to stands at the end.
pub fn descent<K: Copy + Eq + Hash>(all: &[(K, Option<K>)]) -> Vec<(String, usize)> {
    let mut places = HashMap::new();
    for (place, (key, _)) in all.iter().enumerate() {
        places.entry(*key).or_insert(place);
    }
    let parent = |place: &usize| all[*place].1.and_then(|key| places.get(&key).copied());
    let mut below = vec![Vec::new(); all.len()];
    for place in 0..all.len() {
        parent(&place)
            .into_iter()
            .for_each(|up| below[up].push(place));
    }
    // What is still to be shown, the next one last: its lines, and those of what is below it.
    let tops = (0..all.len()).rev().filter(|place| parent(place).is_none());
    let mut ahead: Vec<(String, String, usize)> =
        tops.map(|at| (String::new(), String::new(), at)).collect();
    let (mut order, mut seen) = (Vec::with_capacity(all.len()), vec![false; all.len()]);
    while let Some((lead, under, place)) = ahead.pop() {
        seen[place] = true;
        order.push((lead, place));
        for (i, &child) in below[place].iter().rev().enumerate() {
            let (corner, line) = match i {
                0 => ("└─ ", "   "),
                _ => ("├─ ", "│  "),
            };
            ahead.push((format!("{under}{corner}"), format!("{under}{line}"), child));
        }
    }
    let circle = (0..all.len()).filter(|&place| !seen[place]);
    order.extend(circle.map(|place| (String::new(), place)));
    order
}

/// A part of a whole as a bar of so many characters.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    let eighths = (part as u128 * 8 * width as u128)
        .checked_div(whole.into())
        .unwrap_or(0);
    // What is there is seen.
    let eighths = (eighths as usize).min(8 * width).max(usize::from(part > 0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(all: &[(u8, Option<u8>)]) -> Vec<String> {
        let order = descent(all).into_iter();
        order
            .map(|(lead, at)| format!("{lead}{}", all[at].0))
            .collect()
    }

    #[test]
    fn what_comes_from_another_is_below_it() {
        let all = [
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(1)),
            (5, Some(99)),
        ];
        assert_eq!(order(&all), ["1", "├─ 2", "│  └─ 3", "└─ 4", "5"]);
    }

    #[test]
    fn a_circle_loses_nothing() {
        assert_eq!(
            order(&[(1, Some(2)), (2, Some(1)), (3, None)]),
            ["3", "1", "2"]
        );
        assert_eq!(
            order(&[(1, None), (1, None), (2, Some(1))]),
            ["1", "└─ 2", "1"]
        );
    }

    #[test]
    fn bars_are_shares() {
        assert_eq!(bar(0, 100, 4), "");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(50, 100, 4), "██");
        assert_eq!(bar(100, 100, 4), "████");
        assert_eq!(bar(7, 0, 4), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 2), "██");
    }
}
