//! How an entry is written as a line, byte for byte as GNU find and sha256sum do it, and how
//! GNU sort orders such lines. Knows no file.

use crate::sys::dir::Stat;
use crate::text::hex;
use std::borrow::Cow;
use std::io::Write;

/// How names are written in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Escape {
    /// As they are: find's output into a file.
    Plain,
    /// As sha256sum does: backslash, newline and carriage return.
    Sums,
    /// Backslash, and control characters in octal: one line an entry, with tabs between fields.
    Fields,
}

impl Escape {
    fn text(self, byte: u8) -> Option<String> {
        match (self, byte) {
            (Escape::Plain, _) => None,
            (_, b'\\') => Some("\\\\".into()),
            (Escape::Sums, b'\n') => Some("\\n".into()),
            (Escape::Sums, b'\r') => Some("\\r".into()),
            (Escape::Fields, 0..b' ' | 0x7f) => Some(format!("\\{byte:03o}")),
            _ => None,
        }
    }

    fn is_needed(self, byte: u8) -> bool {
        match self {
            Escape::Plain => false,
            Escape::Sums => matches!(byte, b'\\' | b'\n' | b'\r'),
            Escape::Fields => matches!(byte, b'\\' | 0..b' ' | 0x7f),
        }
    }

    /// The bytes as the file has them.
    pub(super) fn apply(self, plain: &[u8]) -> Cow<'_, [u8]> {
        if !plain.iter().any(|&b| self.is_needed(b)) {
            return plain.into();
        }
        let mut escaped = Vec::with_capacity(plain.len() + 8);
        for &byte in plain {
            match self.text(byte) {
                Some(text) => escaped.extend_from_slice(text.as_bytes()),
                None => escaped.push(byte),
            }
        }
        escaped.into()
    }

    /// The plain bytes; a backslash that escapes nothing stays.
    pub(super) fn undo(self, escaped: &[u8]) -> Vec<u8> {
        let (mut plain, mut rest) = (Vec::with_capacity(escaped.len()), escaped);
        while let [first, tail @ ..] = rest {
            let (byte, after) = match (self, rest) {
                (Escape::Sums | Escape::Fields, [b'\\', b'\\', after @ ..]) => (b'\\', after),
                (Escape::Sums, [b'\\', b'n', after @ ..]) => (b'\n', after),
                (Escape::Sums, [b'\\', b'r', after @ ..]) => (b'\r', after),
                (
                    Escape::Fields,
                    &[
                        b'\\',
                        a @ b'0'..=b'1',
                        b @ b'0'..=b'7',
                        c @ b'0'..=b'7',
                        ref after @ ..,
                    ],
                ) => ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after),
                _ => (*first, tail),
            };
            plain.push(byte);
            rest = after;
        }
        plain
    }
}

/// The line of `.ls`, without its newline: find's `%M %n %4U %4G %TY-%Tm-%Td %TT %P`, in UTC.
pub(super) fn ls(line: &mut Vec<u8>, stat: &Stat, path: &[u8]) {
    let _ = write!(
        line,
        "{} {} {:>4} {:>4} {} ",
        mode(stat.mode),
        stat.nlink,
        stat.uid,
        stat.gid,
        time(stat.mtime, stat.nsec)
    ); // a Vec takes everything
    line.extend_from_slice(path);
}

/// The line of `.files`, without its newline, as sha256sum writes it for `./path`.
pub(super) fn sum(line: &mut Vec<u8>, hash: &[u8; 32], path: &[u8]) {
    let escaped = Escape::Sums.apply(path);
    if matches!(escaped, Cow::Owned(_)) {
        line.push(b'\\');
    }
    line.extend_from_slice(hex(hash).as_bytes());
    line.extend_from_slice(b"  ");
    line.extend_from_slice(&escaped);
}

/// Type and permissions in ten letters, as `ls -l` has them.
pub(super) fn mode(mode: u16) -> String {
    let kind = match u32::from(mode) & libc::S_IFMT {
        libc::S_IFREG => '-',
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// Date and time in UTC with ten digits of fraction, as find's `%TY-%Tm-%Td %TT`.
///
/// Where the C library's `struct tm` cannot hold the year, find writes the seconds in each place;
/// where only the addition of 1900 overflows, it wraps. So do we.
pub(super) fn time(seconds: i64, nanoseconds: u32) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    if i32::try_from(year - 1900).is_err() {
        return format!("{seconds}-{seconds}-{seconds} {seconds}.{nanoseconds:09}0");
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}.{nanoseconds:09}0",
        year as i32,
        second % 60
    )
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar, for all
/// time. Years are counted from March, so that the leap day is the last.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097; // days in 400 years
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day)
}

/// What `sort --key N` compares of a line first: all from the blanks before field N on.
pub(super) fn sort_key(line: &[u8], field: usize) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut rest = line;
    for _ in 1..field {
        let start = rest.iter().position(|b| !blank(b)).unwrap_or(rest.len());
        let end = rest[start..].iter().position(blank);
        rest = end.map_or(&[], |end| &rest[start + end..]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_time() {
        let at = |seconds| time(seconds, 123_456_789);
        assert_eq!(at(-1), "1969-12-31 23:59:59.1234567890");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00.1234567890");
        assert_eq!(at(253_402_300_800), "10000-01-01 00:00:00.1234567890");
        assert_eq!(at(-62_198_755_200), "-1-01-01 00:00:00.1234567890");
        assert_eq!(at(-40_000_000_000), "702-06-15 00:53:20.1234567890");
        assert_eq!(
            at(67_768_036_191_676_799),
            "-2147481749-12-31 23:59:59.1234567890"
        );
        let second = 67_768_036_191_676_800_i64;
        assert_eq!(
            at(second),
            format!("{second}-{second}-{second} {second}.1234567890")
        );
        assert!(time(i64::MIN, 0).starts_with("-9223372036854775808-"));
    }

    #[test]
    fn modes() {
        assert_eq!(mode(0o107_777), "-rwsrwsrwt");
        assert_eq!(mode(0o047_000), "d--S--S--T");
        assert_eq!(mode(0o120_777), "lrwxrwxrwx");
    }

    #[test]
    fn escapes_go_there_and_back() {
        let all: Vec<u8> = (1..=255).chain(*b"\\n\\012\\").collect();
        for escape in [Escape::Plain, Escape::Sums, Escape::Fields] {
            assert_eq!(escape.undo(&escape.apply(&all)), all, "{escape:?}");
        }
        assert_eq!(&*Escape::Sums.apply(b"a\n\r\\\t"), b"a\\n\\r\\\\\t");
        assert_eq!(&*Escape::Fields.apply(b"a\n\x7f"), b"a\\012\\177");
    }

    #[test]
    fn the_key_of_sort() {
        assert_eq!(sort_key(b"a  b c", 2), b"  b c");
        assert_eq!(sort_key(b" a b", 3), b"");
        assert_eq!(sort_key(b"a b c d e f  g h", 7), b"  g h");
    }
}
