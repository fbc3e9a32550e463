//! Shell patterns for `--exclude`. Knows bytes and slashes, nothing of files.

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

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', b'*', rest @ ..], _) => (0..=text.len()).any(|i| fits(rest, &text[i..])),
        ([b'*', rest @ ..], _) => {
            let stop = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=stop).any(|i| fits(rest, &text[i..]))
        }
        ([b'?', rest @ ..], [c, tail @ ..]) => *c != b'/' && fits(rest, tail),
        ([b'[', rest @ ..], [c, tail @ ..]) if set(rest, *c).is_some() => {
            set(rest, *c).is_some_and(|(inside, after)| inside && *c != b'/' && fits(after, tail))
        }
        ([b'\\', c, rest @ ..], [d, tail @ ..]) | ([c, rest @ ..], [d, tail @ ..]) => {
            c == d && fits(rest, tail)
        }
        _ => false,
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
}
