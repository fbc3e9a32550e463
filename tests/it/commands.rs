//! The command lines: help and completions, which are kept in files, and that options do what they say.
//!
//! `BUTTERSINK_SNAPSHOTS=write cargo test --test it -- commands::` writes those files anew; then the
//! difference is read and committed.

pub(crate) mod completions;

use crate::documents::text;
use crate::runner::Test;
use crate::subvolumes::unfinished;
use crate::support::{btrfs, buttersink, here, program};
use crate::tests;
use buttersink::cli::{Offer, programs};
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    helps_are_the_ones_that_are_kept,
    commands_read_the_options_that_they_have,
    what_is_excluded_stays,
    what_means_nothing_is_refused,
    mistyped_commands_are_named,
];

/// Compares a file of the project with what it has to be, or writes it.
#[track_caller]
pub(crate) fn is_kept(path: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BUTTERSINK_SNAPSHOTS").is_some_and(|word| word == "write") {
        std::fs::write(file, made).unwrap();
    }
    assert_eq!(
        text(path),
        made,
        "{path} is on the left; BUTTERSINK_SNAPSHOTS=write makes it the right"
    );
}

fn helps_are_the_ones_that_are_kept() {
    for described in programs() {
        let commands = described.offers.iter().map(|offer| offer.command);
        let commands: BTreeSet<&str> = commands.chain([""]).collect();
        for command in commands.into_iter().filter(|name| !name.starts_with('-')) {
            let words = command.split(' ').filter(|word| !word.is_empty());
            let said = program(described.name, words.chain(["--help"]));
            assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{command}");
            let long = said.stdout.lines().find(|line| line.chars().count() > 104);
            assert_eq!(long, None, "{command}");
            let name = format!("{} {command}", described.name);
            let name = name.trim_end().replace(' ', "-");
            is_kept(&format!("tests/it/snapshots/help-{name}.txt"), &said.stdout);
        }
    }
}

/// Options stand under their own names, so that whoever reads one can be found: in the command's file,
/// or in one that it uses.
fn commands_read_the_options_that_they_have() {
    let described = programs().remove(0);
    for offer in described.offers.iter().filter(|o| !o.options.is_empty()) {
        let code = code_of(offer);
        for option in offer.options.iter().filter(|o| o.long != "help") {
            let field = match option.long {
                "latest-only" => "num_snapshots".to_owned(),
                "no-wait-restore" => "wait_restore".to_owned(),
                "quiet" => "verbosity()".to_owned(),
                "logfile" | "transaction-log" => continue, // read for all of them, before a command is chosen
                long => long.replace('-', "_"),
            };
            let read = code.contains(&format!("options.{field}"));
            assert!(read, "{} never reads --{}", offer.command, option.long);
        }
    }
}

/// The sources of a command and of what they share with others.
fn code_of(offer: &Offer) -> String {
    let first = offer.command.trim_start_matches('-').split(' ').next();
    let name = first.unwrap_or_default();
    let mut code =
        text("src/cli/store_options.rs") + &text("src/cli/options.rs").replace("self.", "options.");
    let mut add = |path: &str| code += &text(path);
    add(&format!("src/cli/{name}.rs"));
    if ["backup", "snapshot", "send", "prune"].contains(&offer.command) {
        add("src/cli/scheduled.rs");
    }
    let folder = format!("src/cli/{name}");
    if Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).is_dir() {
        for file in crate::documents::names_in(&folder) {
            add(&format!("{folder}/{file}"));
        }
    }
    code
}

/// What a run left stays as long as a pattern names it, wherever the option stands.
fn what_is_excluded_stays() {
    let a = btrfs("a", 256);
    let (place, left) = (format!("{}/", a.display()), a.join("precious.part"));
    unfinished(&a, "precious.part");
    for words in [
        &["clean", "--exclude", "prec*", &place][..],
        &["clean", &place, "--exclude=*.part"],
        &["--exclude", "prec*", "clean", "-n", &place],
        &["list", "-d", "--exclude", "prec*", &place],
        &["-d", "--exclude", "x", "--exclude", "prec*", &place],
        &["list", &place, "-n", "-d"],
    ] {
        let said = buttersink(words);
        assert!(said.code == 0 && left.is_dir(), "{words:?}");
        let names = said.stdout.contains("precious");
        assert_eq!(names, words.ends_with(&["-d"]), "{words:?}");
    }
    assert_eq!(buttersink(["list", "-d", "--exclude", "x", &place]).code, 0);
    assert!(!left.is_dir());
}

/// Before anything is opened, and whatever the order.
fn what_means_nothing_is_refused() {
    let there = here().join("none/");
    let there = there.to_str().unwrap();
    for option in [
        &["-e"][..],
        &["--compare"],
        &["--whole"],
        &["--resend", "x"],
        &["--part-size", "8"],
        &["--checksum", "md5"],
        &["--sse", "none"],
        &["--storage-class", "STANDARD"],
        &["--max-chain", "3"],
        &["--compressed-data"],
        &["--receive-with", "builtin"],
        &["--bwlimit", "5M"],
        &["--full-speed"],
        &["--yes"],
        &["--offline"],
        &["--drill"],
        &["--keep", "7d"],
        &["--target", "/t"],
        &["--mode", "r"],
    ] {
        for command in ["list", "clean"] {
            for words in [
                [option, &[command, there]].concat(),
                [&[command, there], option].concat(),
            ] {
                let said = buttersink(&words);
                let refusal = format!("'{command}' has no option {}", option[0]);
                assert!(
                    said.code == 2 && said.stderr.contains(&refusal),
                    "{words:?}"
                );
            }
        }
    }
}

fn mistyped_commands_are_named() {
    let said = buttersink(["clan", "/a/"]);
    assert!(said.code == 2 && said.stderr.contains("did you mean 'clean'?"));
    std::fs::create_dir(here().join("clan")).unwrap();
    let words = ["-c", "cd \"$1\" && exec \"$2\" clan", "sh"];
    let mut command = std::process::Command::new("sh");
    command
        .args(words)
        .arg(here())
        .arg(crate::support::binary("buttersink"));
    let said = crate::support::output(&mut command);
    // What is there is a location, and this one is not on btrfs.
    assert!(!String::from_utf8_lossy(&said.stderr).contains("did you mean"));
}
