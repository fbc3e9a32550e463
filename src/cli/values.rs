//! The values of options: modes, sizes and rates. Words in, values out.

use crate::backup::retention;
use crate::error::{Error, Result};
use crate::snapshot::shown;
use crate::store::{Access, check_part};
use jiff::SignedDuration;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The letter that `--mode` has.
pub(super) fn access(letter: &OsStr) -> Result<Access> {
    match letter.as_bytes() {
        b"r" => Ok(Access::Read),
        b"a" => Ok(Access::Append),
        b"w" => Ok(Access::Write),
        _ => {
            let said = "it is r (read), a (append) or w (write)";
            Err(Error::usage(
                format!("cannot use the mode '{}'", shown(letter)),
                said,
            ))
        }
    }
}

/// Bytes in a second: KiB as a bare number, or with a unit K, M or G.
pub(super) fn rate(text: &OsStr) -> Result<u64> {
    let wrong = || {
        let said = "it is a number of KiB per second, or has a unit: 500, 500K, 10M";
        Error::usage(format!("cannot use the rate '{}'", shown(text)), said)
    };
    bytes(text, 10).ok_or_else(wrong)
}

/// The size of a part: in MiB, or with a unit K, M, G or T; in bytes.
pub(super) fn part_size(text: &OsStr) -> Result<u64> {
    let wrong = || {
        let said = "it is a number of MiB, or has a unit: 64, 64M, 1G";
        Error::usage(format!("cannot use the part size '{}'", shown(text)), said)
    };
    let part = bytes(text, 20).ok_or_else(wrong)?;
    check_part(part).map(|()| part)
}

/// A whole number from 1 up.
pub(super) fn number(option: &str, value: &OsStr) -> Result<usize> {
    let number = text(option, value)?
        .parse()
        .ok()
        .filter(|&number| number > 0);
    number.ok_or_else(|| {
        let doing = format!("cannot use {option} {}", shown(value));
        Error::usage(doing, "it is a whole number from 1 up")
    })
}

/// A length of time: minutes, hours, days or weeks; or 0.
pub(super) fn age(text: &OsStr) -> Result<SignedDuration> {
    retention::age(&text.to_string_lossy())
}

/// A value that goes to a service, and so is UTF-8.
pub(super) fn text(option: &str, value: &OsStr) -> Result<String> {
    let text = value
        .to_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    text.ok_or_else(|| {
        let doing = format!("cannot use {option} '{}'", shown(value));
        Error::usage(doing, "it is a word in UTF-8")
    })
}

/// A number with a unit of 1024's powers; without one it is shifted by `bare`. Never 0.
fn bytes(text: &OsStr, bare: u32) -> Option<u64> {
    let text = text.to_str()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kibibytes() {
        let rate = |text: &str| rate(OsStr::new(text)).ok();
        assert_eq!(rate("500"), Some(500 << 10));
        assert_eq!(rate("10M"), Some(10 << 20));
        assert_eq!(rate("0"), None);
    }

    #[test]
    fn ages_have_a_unit() {
        let age = |text: &str| age(OsStr::new(text)).ok().map(|age| age.as_secs());
        assert_eq!(age("0"), Some(0));
        assert_eq!(age("90m"), Some(5400));
        assert_eq!((age("12h"), age("3d")), (Some(43_200), Some(259_200)));
        assert_eq!(age("2w"), Some(1_209_600));
        for wrong in [
            "",
            "5",
            "d",
            "-1d",
            "1y",
            "1.5h",
            "3 d",
            "d\u{e9}",
            "99999999999999w",
        ] {
            assert_eq!(age(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn part_sizes_are_mebibytes() {
        let size = |text: &str| part_size(OsStr::new(text)).ok();
        assert_eq!(size("64"), Some(64 << 20));
        assert_eq!(size("64M"), Some(64 << 20));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size("5120KiB"), Some(5 << 20));
        for wrong in ["", "0", "x", "-1", "1X", "99999999999T", "4", "1K", "6G"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
