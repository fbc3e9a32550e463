//! How backups stand, for the text collector of Prometheus's node exporter. Knows its format, and decides
//! nothing.

use super::{Status, StatusLine};
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use crate::sys::secure_open::no_file;
use crate::sys::whole_file::write_whole;
use jiff::Timestamp;
use std::fmt::Write;
use std::fs::symlink_metadata;
use std::path::Path;

/// A number that a line may have.
type Number = fn(&StatusLine) -> Option<i64>;

/// What is told of each line: a name, what it means, and the number.
const GAUGES: &[(&str, &str, Number)] = &[
    (
        "newest_timestamp_seconds",
        "When the newest snapshot was made that is there.",
        |line| line.newest.map(Timestamp::as_second),
    ),
    ("max_age_seconds", "How old it may be.", |line| {
        line.max_age_seconds
    }),
    (
        "late",
        "Whether it is older than it may be, or not there.",
        |line| Some(i64::from(line.late)),
    ),
    (
        "next_timestamp_seconds",
        "When something is due there.",
        |line| line.next.map(Timestamp::as_second),
    ),
    ("owed", "Whether it lacks what it was to have.", |line| {
        Some(i64::from(line.owed))
    }),
    (
        "failed",
        "Whether something went wrong the last time.",
        |line| Some(i64::from(line.error.is_some())),
    ),
    (
        "verified_timestamp_seconds",
        "When somebody last looked at it again.",
        |line| line.verified.map(Timestamp::as_second),
    ),
    ("free_bytes", "Bytes that are free there.", |line| {
        line.free_bytes.and_then(|free| i64::try_from(free).ok())
    }),
    (
        "free_bytes_per_day",
        "How many more are free each day, by what runs saw.",
        |line| line.free_bytes_per_day,
    ),
    (
        "full_in_days",
        "Days until nothing is free there, if it goes on so.",
        |line| line.full_in_days.and_then(|days| i64::try_from(days).ok()),
    ),
];

/// Writes the file, all of it or nothing: the collector may read at any moment, as another user.
///
/// # Errors
/// If it cannot be written.
pub fn write(status: &Status, path: &Path) -> Result<()> {
    let doing = || format!("cannot write {}", shown(path));
    // Such as /dev/stdout, in whose place a file would be put.
    if symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let error = Err(no_file()).doing(doing);
        return error.map_err(|error| {
            error.hint("name a file; without --prometheus, the status is printed")
        });
    }
    let mut new = path.as_os_str().to_owned();
    // What does not end in `.prom` the collector leaves alone.
    new.push(".new");
    write_whole(path, new.as_ref(), 0o644, text(status).as_bytes()).doing(doing)
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let config = escaped(&status.file);
    if let Some(at) = status.last_run {
        let name = "buttersink_last_run_timestamp_seconds";
        let what = format!("{name}{{config=\"{config}\"}} {}", at.as_second());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} When the last run was.\n# TYPE {name} gauge\n{what}"
        );
    }
    for (name, help, number) in GAUGES {
        let all = status
            .lines
            .iter()
            .filter_map(|line| Some((line, number(line)?)));
        for (at, (line, number)) in all.enumerate() {
            if at == 0 {
                let _ = writeln!(
                    text,
                    "# HELP buttersink_{name} {help}\n# TYPE buttersink_{name} gauge"
                );
            }
            let (of, to) = (
                escaped(&line.subvolume),
                escaped(line.destination.as_deref().unwrap_or("")),
            );
            let _ = writeln!(
                text,
                "buttersink_{name}{{config=\"{config}\",subvolume=\"{of}\",destination=\"{to}\"}} {number}"
            );
        }
    }
    text
}

/// A value between quotes.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a directory that the collector's user can write to.
    #[test]
    fn what_stands_in_the_way_is_not_written_to() {
        let dir = std::env::temp_dir().join(format!("buttersink-metrics-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, new) = (dir.join("a.prom"), dir.join("a.prom.new"));
        let status = Status {
            file: "f".to_owned(),
            last_run: None,
            lines: Vec::new(),
            unread: None,
        };
        let fifo = std::process::Command::new("mkfifo").arg(&new).status();
        assert!(fifo.unwrap().success());
        write(&status, &path).unwrap();
        std::fs::write(dir.join("other"), "x").unwrap();
        std::fs::hard_link(dir.join("other"), &new).unwrap();
        write(&status, &path).unwrap();
        assert_eq!(std::fs::read(dir.join("other")).unwrap(), b"x");
        std::os::unix::fs::symlink("other", &new).unwrap();
        write(&status, &path).unwrap();
        assert_eq!(std::fs::read(dir.join("other")).unwrap(), b"x");
        for other in ["/dev/null", "/dev/stdout"] {
            let error = write(&status, Path::new(other)).unwrap_err().to_string();
            assert!(error.contains("not an ordinary file"), "{error}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn labels_are_escaped_and_help_comes_once() {
        let line = |subvolume: &str| StatusLine {
            event: "status",
            subvolume: subvolume.to_owned(),
            destination: Some("di\"sk".to_owned()),
            location: "/d/".to_owned(),
            newest: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            age_seconds: Some(1),
            max_age_seconds: None,
            late: true,
            next: None,
            owed: false,
            error: None,
            verified: None,
            verdict: None,
            free_bytes: Some(7),
            free_bytes_per_day: Some(-2),
            full_in_days: Some(3),
            unknown: false,
        };
        let status = Status {
            file: "/etc/a\\b".to_owned(),
            last_run: None,
            lines: vec![line("home"), line("a\nb")],
            unread: None,
        };
        let text = text(&status);
        assert_eq!(text.matches("# TYPE buttersink_late gauge").count(), 1);
        assert!(text.contains(
            "buttersink_late{config=\"/etc/a\\\\b\",subvolume=\"a\\nb\",destination=\"di\\\"sk\"} 1\n"
        ));
        assert!(text.contains("} 1795996800\n"), "{text}");
        assert!(text.contains("buttersink_free_bytes_per_day{") && text.contains("} -2\n"));
        assert!(text.contains("buttersink_full_in_days{") && text.contains("} 3\n"));
        assert!(!text.contains("max_age"), "{text}");
    }
}
