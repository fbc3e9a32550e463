//! How keys become names of files, on every filesystem alike, and back. Knows text only.

use crate::digest::sha256;
use crate::text::hex;

/// What a name has at most; what is longer is cut.
const LONGEST: usize = 200;
/// Hexadecimal digits of the digest at the end of what was cut.
const DIGITS: usize = 64;
/// What stands before that digest, and in no other name.
const CUT: char = '~';
/// What the name of an empty part is.
const EMPTY: &str = "%";
/// What follows the name of an object in the name of its metadata.
pub(super) const META: &str = ".meta";

/// Where the object with a key is, below the root.
pub(super) fn path(key: &str) -> String {
    let parts: Vec<String> = key.split('/').map(escaped).collect();
    parts.join("/")
}

/// The key of what is at a path below the root; `None` if names on it were cut, or are none of ours.
pub(super) fn key(path: &str) -> Option<String> {
    let parts: Option<Vec<String>> = path.split('/').map(unescaped).collect();
    parts.map(|parts| parts.join("/"))
}

/// Whether all names on a path are such as keys get.
pub(super) fn may_be(path: &str) -> bool {
    path.split('/')
        .all(|name| is_cut(name) || unescaped(name).is_some())
}

/// The name for a part of a key.
fn escaped(part: &str) -> String {
    if part.is_empty() {
        return EMPTY.to_owned();
    }
    let last = part.len() - 1;
    let meta = ends_as_meta(part).then(|| part.len() - META.len());
    let device = is_device(part);
    let mut name = String::new();
    for (at, byte) in part.bytes().enumerate() {
        let special = match byte {
            b'.' => at == 0 || at == last || Some(at) == meta,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => device && at == 0,
            _ => true,
        };
        match special {
            true => name.push_str(&format!("%{byte:02X}")),
            false => name.push(char::from(byte)),
        }
    }
    match name.len() > LONGEST {
        true => cut(&name, part),
        false => name,
    }
}

/// The beginning of a name, without half of an escape at its end, and the digest of the part.
fn cut(name: &str, part: &str) -> String {
    let mut end = LONGEST - DIGITS - CUT.len_utf8();
    end -= match name[..end].rfind('%') {
        Some(at) if at + 3 > end => end - at,
        _ => 0,
    };
    format!("{}{CUT}{}", &name[..end], hex(&sha256(part.as_bytes())))
}

fn is_cut(name: &str) -> bool {
    let digest = name.rsplit_once(CUT).map(|(_, digest)| digest);
    digest.is_some_and(|digest| {
        digest.len() == DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The part that has this name; `None` for what is no name of a part.
fn unescaped(name: &str) -> Option<String> {
    if name == EMPTY {
        return Some(String::new());
    }
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    let part = String::from_utf8(bytes).ok()?;
    // There is one name for each part.
    (escaped(&part) == name).then_some(part)
}

/// What would be taken for metadata, also where the case of letters makes no difference.
fn ends_as_meta(part: &str) -> bool {
    let end = part.len().checked_sub(META.len());
    let end = end.and_then(|at| part.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(META))
}

/// What stands for a device on other systems, with or without an extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    let stem = stem.to_ascii_uppercase();
    match stem.as_bytes() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" => true,
        [b'C', b'O', b'M', digit] | [b'L', b'P', b'T', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(any(test, feature = "fuzz"))]
/// A key is found again by its path, unless names were cut; and no path leads elsewhere.
pub(crate) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = path(&text);
    assert!(may_be(&path), "{path}");
    assert!(path.split('/').all(|name| name.len() <= LONGEST));
    assert!(
        !path
            .split('/')
            .any(|name| name.starts_with('.') || name.is_empty())
    );
    match key(&path) {
        Some(again) => assert_eq!(again, text),
        None => assert!(path.contains(CUT)),
    }
    if let Some(key) = key(&text) {
        assert_eq!(self::path(&key), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (part, name) in [
            ("home", "home"),
            ("2026-01_b.c", "2026-01_b.c"),
            ("with space ", "with%20space%20"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            (".hidden.", "%2Ehidden%2E"),
            ("100%41", "100%2541"),
            ("\u{fc}", "%C3%BC"),
            ("a:b*?\"<>|\\", "a%3Ab%2A%3F%22%3C%3E%7C%5C"),
            ("x.meta", "x%2Emeta"),
            ("x.META", "x%2EMETA"),
            ("NUL", "%4EUL"),
            ("com1.txt", "%63om1.txt"),
            ("com12", "com12"),
            ("", "%"),
            ("line\nbreak", "line%0Abreak"),
            ("a~b", "a%7Eb"),
        ] {
            assert_eq!(escaped(part), name);
            assert_eq!(unescaped(name).as_deref(), Some(part));
        }
        assert_eq!(path("a b/c//d"), "a%20b/c/%/d");
    }

    #[test]
    fn what_is_no_name_of_ours() {
        for name in [
            "a b", "%", "%2", "%zz", "%41", "%c3%bc", "%FF", ".x", "x.", "x.meta", "NUL", "a~b",
        ] {
            let known = unescaped(name);
            assert!(known.is_none() || name == EMPTY, "{name}: {known:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_differ() {
        for filling in ["a", " ", "\u{fc}", "a "] {
            let long = filling.repeat(200);
            let (one, other) = (escaped(&format!("{long}1")), escaped(&format!("{long}2")));
            assert_ne!(one, other);
            assert!(one.len() <= LONGEST && one.len() > LONGEST - 3);
            assert!(is_cut(&one) && unescaped(&one).is_none() && may_be(&one));
            let begin = one.split(CUT).next().unwrap();
            assert!(unescaped(begin).is_some() || filling == "\u{fc}", "{begin}");
        }
    }

    #[test]
    fn any_key() {
        for key in ["", "/", "a/../b", "~", "x/\u{1f98a}.meta", "%41/%"] {
            fuzz(key.as_bytes());
        }
    }
}
