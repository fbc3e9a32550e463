//! The page for people who come from other programs: its commands are run, one after the other.

use crate::documents::text;
use crate::runner::Test;
use crate::subvolumes::{script, snapshot, subvolume};
use crate::support::*;
use crate::tests;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![the_commands_of_the_page_do_what_it_says];

/// As snapper writes it.
fn info(number: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<snapshot>\n  <type>single</type>\n  <num>{number}</num>\n  \
         <date>2026-11-0{number} 02:00:00</date>\n  <description>timeline</description>\n  \
         <cleanup>timeline</cleanup>\n</snapshot>\n"
    )
}

/// A line of the page, of these two filesystems.
fn run_line(line: &str, home: &Path, backup: &Path) -> String {
    let line = line.replace("/mnt/backup", backup.to_str().unwrap());
    let line = line.replace(" /home", &format!(" {}", home.display()));
    let programs = binary("buttersink").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    let output = output(command.args(["-c", &line]).env("PATH", path));
    assert!(output.status.success(), "{line}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn the_commands_of_the_page_do_what_it_says() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let home = a.join("home");
    subvolume(&home);
    // Snapper's layout.
    subvolume(&home.join(".snapshots"));
    for number in ["1", "2"] {
        let at = home.join(".snapshots").join(number);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(home.join("file"), number).unwrap();
        std::fs::write(at.join("info.xml"), info(number)).unwrap();
        snapshot(&home, &at.join("snapshot"));
    }
    std::fs::create_dir(b.join("home")).unwrap();
    let page = text("man/buttersink-moving.7");
    let lines = page.lines().filter_map(|line| line.strip_prefix(".Dl "));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len() > 7, "{lines:?}");
    for line in &lines {
        run_line(line, &home, &b);
        // Backups are called after their second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    for number in ["1", "2"] {
        let copy = b.join("home").join(number).join("snapshot/file");
        assert_eq!(std::fs::read_to_string(copy).unwrap(), number);
    }
    for place in [b.join("home"), home.join(".snapshots")] {
        for number in ["1", "2"] {
            let kept = std::fs::read_to_string(place.join(number).join("info.xml"));
            assert_eq!(kept.unwrap(), info(number));
        }
    }
    what_snapper_lost_comes_back(&home, &b, &lines);
    // By the old name, the words of that program.
    std::os::unix::fs::symlink(binary("buttersink"), here().join("btrfs-backup.py")).unwrap();
    let line = page
        .lines()
        .find(|line| line.starts_with("btrfs-backup.py "))
        .unwrap();
    let said = run_line(&format!("{}/{line}", here().display()), &home, &b);
    assert!(said.contains("home"), "{said}");
    assert!(home.join("snapshot/.latest").exists());
    script(&b, "test $(ls home | grep -c '^20') -gt 1");
}

/// The last two lines of the page bring back a snapshot in snapper's layout, and what snapper knows of it.
fn what_snapper_lost_comes_back(home: &Path, backup: &Path, lines: &[&str]) {
    let lost = home.join(".snapshots/1");
    script(&lost, "btrfs -q subvolume delete snapshot; rm info.xml");
    std::fs::remove_dir(&lost).unwrap();
    for line in &lines[lines.len() - 2..] {
        run_line(line, home, backup);
    }
    assert_eq!(
        std::fs::read_to_string(lost.join("info.xml")).unwrap(),
        info("1")
    );
    assert_eq!(
        std::fs::read_to_string(lost.join("snapshot/file")).unwrap(),
        "1"
    );
}
