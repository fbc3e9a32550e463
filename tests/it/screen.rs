//! What a terminal gets and a pipe does not: a line that shows how far a run is, colours, and tables of its
//! width.

use crate::restore;
use crate::runner::Test;
use crate::servers::{KEY, SECRET, shared};
use crate::subvolumes::{alter, script, snapshot, subvolume};
use crate::support::{binary, btrfs, here, output};
use crate::tests;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    the_status_is_for_terminals,
    a_restore_shows_how_far_it_is,
    nothing_is_glued_to_what_a_pipe_shows,
    tables_fit_their_terminal,
    only_what_needs_attention_is_coloured,
];

/// A filesystem with two snapshots of some megabytes, and an empty one.
fn scene() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    std::fs::create_dir(a.join("snaps")).unwrap();
    subvolume(&a.join("home"));
    for name in ["1", "20261121"] {
        script(
            &a.join("home"),
            &format!("mkdir -p d; echo 1 >d/small; head -c 3M /dev/urandom >{name}"),
        );
        snapshot(&a.join("home"), &a.join("snaps").join(name));
    }
    (a, b)
}

/// What a command writes to a terminal.
fn on_a_terminal(words: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new("script");
    command
        .args(["-qec", words, "/dev/null"])
        .current_dir(here());
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let output = output(command.envs(environment.iter().copied()));
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn program(name: &str) -> String {
    binary(name).display().to_string()
}

/// What was drawn in one line, each over the one before.
fn drawn(text: &str) -> Vec<&str> {
    let lines = text.split("\r\u{1b}[K\u{1b}[?7l").skip(1);
    lines
        .filter_map(|line| line.split("\u{1b}[?7h").next())
        .collect()
}

fn the_status_is_for_terminals() {
    scene();
    let sync = format!("{} a/snaps/ b/", program("buttersink"));
    let text = on_a_terminal(&sync, &[("COLUMNS", "40")]);
    let lines = drawn(&text);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("1  ") && line.contains("  1/2  ")),
        "{text:?}"
    );
    let status = |line: &&&str| line.contains("/2  ");
    assert!(
        lines
            .iter()
            .filter(status)
            .all(|line| line.chars().count() < 40),
        "{text:?}"
    );
    // What is drawn is wiped before anything else is said.
    assert!(text.contains("\r\u{1b}[Ksent 1 (whole)"), "{text:?}");
    let raw = format!(
        "{} -q a/snaps/ raw:b/streams/ --create",
        program("buttersink")
    );
    assert_eq!(drawn(&on_a_terminal(&raw, &[])), [""; 0]);
    let verify = format!("{} verify --download raw:b/streams/", program("buttersink"));
    let text = on_a_terminal(&verify, &[("COLUMNS", "80")]);
    let of_all = |line: &&str| line.contains("  0%") && line.contains('░');
    assert!(drawn(&text).iter().any(of_all), "{text:?}");
}

fn a_restore_shows_how_far_it_is() {
    let scene = restore::Scene::new(shared("seaweedfs"), &restore::PLAIN);
    let (config, target) = (scene.config.display(), scene.to.join("back"));
    let restore = format!(
        "{} restore --endpoint-url {} --config {config} --subvolume live --target {}",
        program("buttersink"),
        scene.server.endpoint,
        target.display()
    );
    let keys = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let text = on_a_terminal(&restore, &[&keys[..], &[("COLUMNS", "80")]].concat());
    let lines = drawn(&text);
    for step in ["1/3", "3/3"] {
        let of_all = |line: &&str| line.contains(&format!("  {step}  ")) && line.contains("% of ");
        assert!(lines.iter().any(of_all), "{step}: {text:?}");
    }
    assert!(target.is_dir());
}

fn nothing_is_glued_to_what_a_pipe_shows() {
    scene();
    let sync = format!("{} a/snaps/ b/ | cat", program("buttersink"));
    let text = on_a_terminal(&sync, &[]);
    assert!(
        text.contains("2 snapshots sent") && !text.contains('\u{1b}'),
        "{text:?}"
    );
}

fn widest(text: &str) -> usize {
    text.lines()
        .map(|line| line.trim_end().chars().count())
        .max()
        .unwrap()
}

fn tables_fit_their_terminal() {
    scene();
    for (columns, words) in [
        ("40", "buttersink list a/snaps/"),
        ("80", "buttersink list a/snaps/"),
        ("80", "btrfslist a"),
        ("80", "btrfslist --sizes --tree a"),
    ] {
        let (name, rest) = words.split_once(' ').unwrap();
        let command = format!("stty cols {columns}; {} {rest}", program(name));
        let text = on_a_terminal(&command, &[]);
        let table = text.lines().skip_while(|line| !line.starts_with("NAME"));
        let table: Vec<&str> = table.take_while(|line| !line.contains(" in /")).collect();
        assert!(table.len() >= 3, "{text}");
        assert!(
            widest(&table.join("\n")) <= columns.parse().unwrap(),
            "{text}"
        );
        assert!(text.contains("20261121  "), "{text}");
    }
    let sizes = on_a_terminal(
        &format!("{} --sizes a", program("btrfslist")),
        &[("COLUMNS", "90")],
    );
    assert!(sizes.contains("██") || sizes.contains("░░"), "{sizes}");
    // A pipe gets everything.
    let piped = output(Command::new(binary("btrfslist")).arg(here().join("a")));
    let piped = String::from_utf8(piped.stdout).unwrap();
    assert!(
        piped.contains("  LEVEL  ") && piped.contains("PARENT-UUID"),
        "{piped}"
    );
}

fn only_what_needs_attention_is_coloured() {
    let (a, _) = scene();
    alter(&a.join("snaps/1"));
    let list = format!("{} list a/snaps/", program("buttersink"));
    let coloured = |environment: &[(&str, &str)]| {
        let text = on_a_terminal(&list, environment);
        assert!(text.contains("altered"), "{text}");
        text.matches("\u{1b}[31m").count()
    };
    assert_eq!(coloured(&[]), 1);
    assert_eq!(coloured(&[("NO_COLOR", "1")]), 0);
    assert_eq!(coloured(&[("TERM", "dumb")]), 0);
    let piped = on_a_terminal(&format!("{list} | cat"), &[]);
    assert!(piped.contains("altered") && !piped.contains('\u{1b}'));
}
