//! Shell patterns for `--exclude`. Knows bytes and slashes, nothing of files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether a pattern matches a relative path. A pattern without a slash is compared with each
/// component; one with a slash with the whole path. `*` and `?` stop at slashes, `**` does not;
/// `[a-z]` and `[!a-z]` are sets, a backslash takes the next byte as it is.
pub fn matches(pattern: &[u8], path: &Path) -> bool {
    let whole = path.as_os_str().as_bytes();
    if pattern.contains(&b'/') {
        let pattern = pattern.strip_prefix(b"/").unwrap_or(pattern);
        return fits(pattern, whole);
    }
    whole.split(|&b| b == b'/').any(|name| fits(pattern, name))
}

/// Whether one of these patterns matches a relative path.
pub fn any(patterns: &[OsString], path: &Path) -> bool {
    let mut patterns = patterns.iter();
    patterns.any(|pattern| matches(pattern.as_bytes(), path))
}

/// In the order of pattern times text: what of the pattern may come next is followed byte by byte, for
/// names are chosen by others.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let parts = parts(pattern);
    let mut at = vec![false; parts.len() + 1];
    at[0] = true;
    skip_stars(&parts, &mut at);
    for &byte in text {
        let mut next = vec![false; at.len()];
        for (i, part) in parts.iter().enumerate().filter(|(i, _)| at[*i]) {
            match part {
                PatternPart::Star | PatternPart::Stars => next[i] |= part.takes(byte),
                one => next[i + 1] |= one.takes(byte),
            }
        }
        skip_stars(&parts, &mut next);
        at = next;
    }
    at[parts.len()]
}

/// A star may stand for nothing.
fn skip_stars(parts: &[PatternPart<'_>], at: &mut [bool]) {
    for (i, part) in parts.iter().enumerate() {
        at[i + 1] |= at[i] && matches!(part, PatternPart::Star | PatternPart::Stars);
    }
}

enum PatternPart<'a> {
    Stars,
    Star,
    Any,
    /// What follows its `[`.
    Set(&'a [u8]),
    Byte(u8),
}

impl PatternPart<'_> {
    fn takes(&self, byte: u8) -> bool {
        match self {
            PatternPart::Stars => true,
            PatternPart::Star | PatternPart::Any => byte != b'/',
            PatternPart::Set(after) => {
                byte != b'/' && set(after, byte).is_some_and(|(inside, _)| inside)
            }
            PatternPart::Byte(one) => *one == byte,
        }
    }
}

fn parts(mut pattern: &[u8]) -> Vec<PatternPart<'_>> {
    let mut parts = Vec::new();
    loop {
        let (part, rest) = match pattern {
            [] => return parts,
            [b'*', b'*', rest @ ..] => (PatternPart::Stars, rest),
            [b'*', rest @ ..] => (PatternPart::Star, rest),
            [b'?', rest @ ..] => (PatternPart::Any, rest),
            [b'[', inside @ ..] => match set(inside, 0) {
                Some((_, rest)) => (PatternPart::Set(inside), rest),
                None => (PatternPart::Byte(b'['), inside),
            },
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (PatternPart::Byte(*byte), rest),
        };
        parts.push(part);
        pattern = rest;
    }
}

/// Whether a set, after its `[`, holds `c`, and what follows the set; `None` if it has no `]`.
fn set(pattern: &[u8], c: u8) -> Option<(bool, &[u8])> {
    let (negated, start) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let (mut inside, mut rest, mut first) = (false, start, true);
    loop {
        match rest {
            [b']', after @ ..] if !first => return Some((inside != negated, after)),
            [low, b'-', high, after @ ..] if *high != b']' => {
                inside |= (*low..=*high).contains(&c);
                rest = after;
            }
            [one, after @ ..] => {
                inside |= *one == c;
                rest = after;
            }
            [] => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases: &[(&str, &str, bool)] = &[
            ("daily*", "daily-1", true),
            ("daily*", "a/daily-1", true),
            ("daily*", "daily/x", true),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("/a/?", "a/b", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[ab", "[ab", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("*.bak", "x.bak2", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), Path::new(path)),
                *expected,
                "{pattern} {path}"
            );
        }
    }

    /// What they mean, without care for time.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', b'*', rest @ ..], _) => (0..=text.len()).any(|i| slowly(rest, &text[i..])),
            ([b'*', rest @ ..], _) => {
                let stop = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
                (0..=stop).any(|i| slowly(rest, &text[i..]))
            }
            ([b'?', rest @ ..], [c, tail @ ..]) => *c != b'/' && slowly(rest, tail),
            ([b'[', rest @ ..], [c, tail @ ..]) if set(rest, *c).is_some() => set(rest, *c)
                .is_some_and(|(inside, after)| inside && *c != b'/' && slowly(after, tail)),
            ([b'\\', c, rest @ ..], [d, tail @ ..]) | ([c, rest @ ..], [d, tail @ ..]) => {
                c == d && slowly(rest, tail)
            }
            _ => false,
        }
    }

    #[test]
    fn short_patterns_mean_what_they_mean() {
        let mut state = 1u64;
        let mut some = |letters: &[u8], most: u64| -> Vec<u8> {
            let mut number = |below: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let length = number(most + 1);
            (0..length)
                .map(|_| letters[number(letters.len() as u64) as usize])
                .collect()
        };
        let mut fitting = 0;
        for _ in 0..200_000 {
            let (pattern, text) = (some(b"ab*?[]-!\\/", 7), some(b"ab/[-", 6));
            let fit = fits(&pattern, &text);
            assert_eq!(fit, slowly(&pattern, &text), "{pattern:?} {text:?}");
            fitting += u32::from(fit);
        }
        assert!(fitting > 1000, "{fitting}");
    }

    /// It would take longer than there is time if it were tried in every way.
    #[test]
    fn patterns_of_many_stars_end() {
        let (pattern, name) = ("*-".repeat(60) + "x", "-".repeat(255));
        assert!(!matches(pattern.as_bytes(), Path::new(&name)));
        assert!(matches(pattern.as_bytes(), Path::new(&(name + "x"))));
    }
}
