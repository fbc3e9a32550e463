//! Values as words: paths, sizes, counts, digits and moments, each shown in one way everywhere.
//! Knows nothing of what they are about, and prints nothing.

pub mod json;

use jiff::SignedDuration;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Shows a path on a terminal or in a log: control characters, backslashes and bytes that are
/// not UTF-8 are escaped, so that no name can forge output.
pub fn shown(path: impl AsRef<Path>) -> String {
    let mut text = String::new();
    for chunk in path.as_ref().as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() || is_invisible(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str("\\x");
            push_hex(&mut text, &[*byte]);
        }
    }
    text
}

/// A text of at most so many bytes and a line: of a longer one both ends. Without zero bytes, which end a variable of
/// the environment.
pub fn shortened(text: &str, most: usize) -> String {
    let text = text.replace('\0', "\\0");
    if text.len() <= most {
        return text;
    }
    let whole = |from: usize| (from..).find(|&at| text.is_char_boundary(at));
    let first = whole(most / 2).unwrap_or_default();
    let last = whole(text.len() - most / 2).unwrap_or_default();
    format!("{}\n[...]\n{}", &text[..first], &text[last..])
}

/// Marks that reorder or hide text.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A number of bytes for people: IEC units, three to four digits.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A number of bytes for people, or a dash where it is not known.
pub fn human_or_dash(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), human)
}

/// A number of bytes with a unit of 1024's powers; without one it is shifted by `bare`. Never 0.
pub fn size(text: impl AsRef<OsStr>, bare: u32) -> Option<u64> {
    let text = text.as_ref().to_str()?;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => bare,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

/// How many there are of something whose plural has an s: `1 part`, `2 parts`.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    numbered(count, one, &format!("{one}s"))
}

/// How many there are of something: `1 loss`, `2 losses`.
pub fn numbered(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// Of several of a kind, which have names, one and how many more there are: `a`, `a and 2 more`.
pub fn counted_with(count: usize, first: &str) -> String {
    match count {
        0 | 1 => first.to_owned(),
        count => format!("{first} and {} more", count - 1),
    }
}

/// The word that a mistyped one comes nearest to, by the letters that differ, of which there may be so many. The
/// case of letters does not matter, and of equally near ones the first is meant.
pub fn nearest<'a>(
    typed: &str,
    known: impl Iterator<Item = &'a str>,
    most: usize,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let measured = known.map(|word| (distance(&typed, &word.to_lowercase()), word));
    let near = measured.filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters have to be changed, left out, put in, or swapped with their neighbour, to make one word of
/// another (the optimal string alignment of Damerau and Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

/// Adds bytes as lower-case hexadecimal digits to the end of a text.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(*byte)]);
    }
}

/// The bytes that hexadecimal digits of either case stand for; `None` if they stand for none.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

/// Seconds since 1970 as a minute in UTC: `2027-01-31 23:59`. `None` beyond the calendar.
pub fn minute(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y-%m-%d %H:%M").to_string())
}

/// A length of time: `3 min`, `2 h 5 min`, `40 days`.
pub fn duration(time: SignedDuration) -> String {
    let time = time.saturating_add(SignedDuration::from_secs(30));
    match (time.as_hours(), time.as_mins() % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) if hours < 48 => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} days", hours / 24),
    }
}

/// How long ago something was, in a few letters: `5 min`, `30 h`, `40 d`, `3 y`.
pub fn age(seconds: i64) -> String {
    match seconds / 60 {
        ..1 => "now".to_owned(),
        minutes @ ..120 => format!("{minutes} min"),
        minutes @ ..2_880 => format!("{} h", minutes / 60),
        minutes @ ..1_051_200 => format!("{} d", minutes / 1440),
        minutes => format!("{} y", minutes / 525_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn names_are_safe_to_show() {
        let hostile = OsStr::from_bytes(b"a\n\x1b[2J\xff\\\xe2\x80\xae");
        assert_eq!(shown(hostile), "a\\n\\u{1b}[2J\\xff\\\\\\u{202e}");
    }

    #[test]
    fn mistyped_words_come_near_others() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("hlep", "help"), 1);
        let near =
            |typed: &str, most| nearest(typed, ["retain", "base_dir", "détail"].into_iter(), most);
        assert_eq!(near("RETIAN", 1), Some("retain"));
        assert_eq!(near("retinaa", 1), None);
        assert_eq!(near("détial", 2), Some("détail"));
    }

    #[test]
    fn long_texts_have_both_ends() {
        assert_eq!(shortened("a\0b", 10), "a\\0b");
        assert_eq!(shortened("0123456789ab", 10), "01234\n[...]\n789ab");
        let long = "\u{fc}".repeat(100_001);
        assert!(shortened(&long, 65_001).len() < 65_020);
    }

    #[test]
    fn sizes_for_people() {
        let shown = [0, 1023, 1024, 1536, 1048575, 1048576, u64::MAX].map(human);
        let words = [
            "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16.0 EiB",
        ];
        assert_eq!(shown, words);
    }

    #[test]
    fn ages_in_a_few_letters() {
        let (hour, day) = (3600, 86_400);
        let shown = [
            -5,
            59,
            60,
            hour,
            2 * hour,
            30 * hour,
            2 * day,
            400 * day,
            800 * day,
        ]
        .map(age);
        let words = [
            "now", "now", "1 min", "60 min", "2 h", "30 h", "2 d", "400 d", "2 y",
        ];
        assert_eq!(shown, words);
    }

    #[test]
    fn one_and_many() {
        assert_eq!(counted(1_u32, "part"), "1 part");
        assert_eq!(counted(0_u32, "part"), "0 parts");
        assert_eq!(numbered(2_u32, "loss", "losses"), "2 losses");
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(hex(&[0, 171, 255]), "00abff");
        assert_eq!(unhex("00aBff"), Some(vec![0, 171, 255]));
        assert_eq!((unhex("a"), unhex("gg")), (None, None));
    }
}
