//! Documents are tested: help against man page, exit codes, cross references, and the commands
//! that README and man pages show.

use crate::runner::Test;
use crate::support::{program, run, skip};
use crate::tests;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    every_program_has_a_page,
    pages_are_read_at_eighty_columns,
    tables_and_pages_name_the_same_options,
    help_and_page_have_the_same_exit_codes,
    synopsis_options_are_described,
    references_lead_somewhere,
    shown_commands_exist,
    services_are_in_the_table,
    the_licence_is_named,
    each_dependency_has_a_reason,
    readers_read,
    a_rescue_goes_by_its_page,
];

/// The text of a file of the project; empty if there is none.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).unwrap_or_default()
}

pub(crate) fn names_in(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

pub(crate) fn programs() -> Vec<String> {
    let names = names_in("src/bin");
    assert!(names.contains("buttersink.rs"));
    names
        .iter()
        .filter_map(|n| n.strip_suffix(".rs"))
        .map(str::to_owned)
        .collect()
}

/// The programs, and commands of theirs that have a page and help of their own: as typed.
fn speakers() -> Vec<String> {
    let mut all = programs();
    for name in names_in("man") {
        let Some(page) = name.strip_suffix(".1") else {
            continue;
        };
        if !all.iter().any(|program| program == page) {
            all.push(page.replacen('-', " ", 1));
        }
    }
    all
}

/// The page of a program or, `buttersink backup`, of a command.
fn page(speaker: &str) -> String {
    text(&format!("man/{}.1", speaker.replace(' ', "-")))
}

fn help(name: &str) -> String {
    let words: Vec<&str> = name.split(' ').chain(["--help"]).collect();
    let said = program(words[0], &words[1..]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.len() > 100, "{name} --help says nothing");
    said.stdout
}

/// Markup that is broken shows: quotes that nobody meant to stand in each other, and macros as words.
fn pages_are_read_at_eighty_columns() {
    if std::process::Command::new("mandoc").output().is_err() {
        skip("needs mandoc");
    }
    for page in names_in("man") {
        let file = format!("man/{page}");
        let words = ["-Tutf8", "-Owidth=80", &file];
        let read = run("mandoc", words.map(std::ffi::OsStr::new));
        let read: String = plain_text(&read);
        for broken in [
            "’’", "‘‘", "‘’", " Ns ", " Ar ", " Li ", " Cm ", " Pa ", " Sq ",
        ] {
            assert!(!read.contains(broken), "{page}: {broken}");
        }
    }
}

/// Without what is struck over.
fn plain_text(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\u{8}' => drop(plain.pop()),
            c => plain.push(c),
        }
    }
    plain
}

fn every_program_has_a_page() {
    assert!(speakers().contains(&"buttersink backup".to_owned()));
    for program in programs() {
        let page = page(&program);
        assert!(page.contains(&format!(".Nm {program}\n")), "{program}.1");
        let said = crate::support::program(&program, ["--version"]);
        let version = env!("CARGO_PKG_VERSION");
        let (first, rest) = said.stdout.split_once('\n').unwrap();
        assert_eq!(first, format!("{program} {version}"));
        let [commit, features] = rest.lines().collect::<Vec<_>>()[..] else {
            panic!("{rest}");
        };
        assert!(commit.starts_with("commit: ") && features.starts_with("features: "));
    }
}

/// A page describes the options of the command that it is about, or of all that have no page.
fn tables_and_pages_name_the_same_options() {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for program in buttersink::cli::programs() {
        for offer in &program.offers {
            // The parts of a backup stand on its page.
            let named = match offer.command {
                "snapshot" | "send" => "buttersink backup".to_owned(),
                command => format!("{} {command}", program.name),
            };
            let speaker = speakers().into_iter().find(|speaker| *speaker == named);
            let own = speaker.is_none().then_some(&program.own);
            let table = tables.entry(speaker.unwrap_or(program.name.to_owned()));
            let table = table.or_default();
            for option in offer.options.iter().chain(own.into_iter().flatten()) {
                table.extend(option.short.map(|letter| format!("-{letter}")));
                table.insert(format!("--{}", option.long));
            }
            table.extend(Some(offer.command.to_owned()).filter(|c| c.starts_with('-')));
        }
    }
    assert!(tables.len() > 4);
    for (speaker, table) in tables {
        let page = page_options(&page(&speaker));
        assert_eq!(
            table, page,
            "{speaker}: table on the left, man page on the right"
        );
    }
}

fn help_and_page_have_the_same_exit_codes() {
    for program in speakers() {
        // The program's own help is a list of commands.
        let speaker = program.replace("buttersink", "buttersink sync");
        let speaker = speaker.replace("sync ", "");
        let (help, page) = (help_codes(&help(&speaker)), page_codes(&page(&program)));
        assert!(help.contains_key("0") && help.contains_key("1"), "{help:?}");
        assert_eq!(
            help, page,
            "{program}: help on the left, man page on the right"
        );
    }
}

fn synopsis_options_are_described() {
    for program in speakers() {
        let page = page(&program);
        let described = page_options(&page);
        for option in flags(section(&page, "SYNOPSIS")) {
            assert!(described.contains(&option), "{program}.1: {option}");
        }
    }
}

fn references_lead_somewhere() {
    let pages = names_in("man");
    let own = |name: &str| pages.iter().any(|p| p.starts_with(&format!("{name}.")));
    for file in &pages {
        for line in text(&format!("man/{file}")).lines() {
            let mut words = line.strip_prefix(".Xr ").unwrap_or_default().split(' ');
            if let (Some(name), Some(section)) = (words.next(), words.next())
                && (own(name) || programs().iter().any(|p| p == name))
            {
                let there = format!("{name}.{section}");
                assert!(pages.contains(&there), "{file}: no {there}");
            }
        }
    }
}

fn shown_commands_exist() {
    let mut shown = commands(&text("README.md"));
    assert!(!shown.is_empty(), "README.md shows no command");
    for file in names_in("man") {
        shown.extend(commands(&text(&format!("man/{file}"))));
    }
    for command in shown {
        let command = command.split(" | ").next().unwrap_or(&command);
        let speakers = speakers().into_iter();
        let spoken = speakers.filter(|name| command.starts_with(&format!("{name} ")));
        let speaker = spoken.max_by_key(String::len).unwrap_or_default();
        let words = command.split_whitespace();
        let described = page_options(&page(&speaker));
        for word in words.filter(|w| w.starts_with('-') && w.len() > 1) {
            let option = word.split('=').next().unwrap_or(word);
            assert!(described.contains(option), "{command}: no {option}");
        }
    }
}

/// What differs between S3 services is declared once, and the page has the same table.
fn services_are_in_the_table() {
    let page = text("man/buttersink-s3.5");
    for service in buttersink::s3::TABLE {
        let row = format!(".It Li {} Ta {} Ta ", service.name, service.max_parts);
        let row = page.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("no row for {}", service.name));
        let cells: Vec<&str> = row.split(" Ta ").collect();
        let sum = ["MD5", "CRC-32C"][usize::from(service.checksums)];
        let style = ["virtual", "path"][usize::from(service.path_style)];
        assert_eq!(cells[2..4], [sum, style], "{}", service.name);
        for (lacks, words) in [
            (!service.if_none_match, "no If-None-Match"),
            (!service.etag_md5, "ETag not MD5"),
            (!service.sse, "no SSE header"),
        ] {
            assert_eq!(cells[4].contains(words), lacks, "{row}");
        }
    }
}

fn the_licence_is_named() {
    assert!(text("Cargo.toml").contains("\nlicense = \"GPL-3.0-or-later\"\n"));
    let copying = text("COPYING");
    assert!(copying.contains("Version 3, 29 June 2007") && copying.len() > 30_000);
    assert!(text("README.md").contains("GPL-3.0-or-later"));
}

fn each_dependency_has_a_reason() {
    let manifest = text("Cargo.toml");
    let lines = manifest.lines().skip_while(|l| *l != "[dependencies]");
    let lines = lines.skip(1).take_while(|l| !l.starts_with('['));
    let readme = text("README.md");
    for line in lines.filter(|l| !l.is_empty() && !l.starts_with('#')) {
        assert!(line.contains(" # "), "Cargo.toml gives no reason: {line}");
        let name = line.split(' ').next().unwrap_or_default();
        let named = readme.lines().filter(|l| l.starts_with("| ")).any(|l| {
            let first = l.split('|').nth(1).unwrap_or_default();
            first.split([',', ' ']).any(|word| word == name)
        });
        assert!(named, "README.md has no row for {name}");
    }
}

/// Options in a man page: the items of its lists.
fn page_options(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter(|l| l.starts_with(".It Fl "))
        .flat_map(flags)
        .collect()
}

/// What follows `Fl` in mdoc, up to the next macro, dashes added.
fn flags(mdoc: &str) -> BTreeSet<String> {
    const OTHERS: &[&str] = &["Ar", "Cm", "Li", "No", "Ns", "Oc", "Oo", "Op", "Pa"];
    let (mut flags, mut inside) = (BTreeSet::new(), false);
    for word in mdoc.lines().flat_map(|line| line.split(' ').chain([""])) {
        let name = word.trim_start_matches('.');
        if name == "Fl" {
            inside = true;
        } else if word.is_empty() || OTHERS.contains(&name) {
            inside = false;
        } else if inside && !matches!(word, "," | "|") {
            flags.insert(format!("-{word}"));
        }
    }
    flags
}

fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let start = page.find(&format!(".Sh {name}\n"));
    let rest = start.map_or("", |at| &page[at + 4..]);
    &rest[..rest.find("\n.Sh ").unwrap_or(rest.len())]
}

/// The table below `Exit status:` in help: a number, a gap, its meaning.
fn help_codes(help: &str) -> BTreeMap<String, String> {
    let lines = help
        .lines()
        .skip_while(|l| !l.to_lowercase().starts_with("exit status"));
    let lines = lines.skip(1).take_while(|l| l.starts_with(' '));
    lines
        .filter_map(|l| l.trim().split_once("  "))
        .map(|(code, what)| (code.to_owned(), plain(what)))
        .collect()
}

/// The same in a man page: `.It 3` and its text on the next line.
fn page_codes(page: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = section(page, "EXIT STATUS").lines().collect();
    let items = lines.windows(2).filter_map(|w| {
        let code = w[0].strip_prefix(".It ")?;
        Some((code.to_owned(), plain(w[1])))
    });
    items.collect()
}

fn plain(text: &str) -> String {
    text.trim().trim_end_matches('.').to_lowercase()
}

/// Commands of ours in examples: lines that begin with the name of a program, after a prompt
/// and `sudo`.
fn commands(document: &str) -> Vec<String> {
    let lines = document.lines().map(|l| {
        let line = l.trim_start_matches(".Dl ").trim_start();
        let line = line.trim_start_matches("$ ").trim_start_matches("# ");
        let line = line.trim_start_matches("sudo ");
        // What stands after a pipe is another program's.
        line.split(" | ").next().unwrap_or_default()
    });
    let programs = programs();
    lines
        .filter(|l| {
            let mut words = l.split(' ');
            let first = words.next().unwrap_or_default();
            programs.iter().any(|p| p == first)
                && words
                    .next()
                    .is_some_and(|w| w.contains(['-', '/']) || matches!(w, "backup" | "verify"))
        })
        .map(str::to_owned)
        .collect()
}

/// The readers above, tried on small documents.
fn readers_read() {
    let set = |words: &[&str]| {
        words
            .iter()
            .map(|w| (*w).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let help = "Usage: x [-n]\n  -n, --dry-run  not -x\n      --size N   y\n\nExit status:\n  0   all done\n  10  some\n\n  7  not\n";
    let page = ".Sh OPTIONS\n.It Fl n , -dry-run\n.It Fl -size Ar N\n.Sh EXIT STATUS\n.Bl -tag\n.It 0\nAll done.\n.It 10\nSome.\n.El\n.Sh BUGS\n.It 7\nno\n";
    assert_eq!(page_options(page), set(&["-n", "--dry-run", "--size"]));
    assert_eq!(page_codes(page), help_codes(help));
    assert_eq!(page_codes(page).len(), 2);
    let synopsis = ".Op Fl n\n.Op Fl l Ar FILE\n.Fl h | -help\nx";
    assert_eq!(flags(synopsis), set(&["-n", "-l", "-h", "--help"]));
    let shown = commands("buttersink is\n$ sudo buttersink -n /a/ /b/\n.Dl buttersink /a/ /b/\n");
    assert_eq!(shown, ["buttersink -n /a/ /b/", "buttersink /a/ /b/"]);
}

/// Whoever has lost his disk types what a test has run.
fn a_rescue_goes_by_its_page() {
    let page = text("man/buttersink-rescue.7").replace("\\e", "\\");
    let run = text("contrib/rescue-init.sh");
    let run: BTreeSet<&str> = run.lines().map(str::trim).collect();
    let blocks = page.split(".Bd -literal -offset indent\n").skip(1);
    let lines: Vec<&str> = blocks
        .flat_map(|b| b.split(".Ed").next().unwrap().lines())
        .collect();
    assert!(lines.len() > 8);
    for line in lines {
        assert!(run.contains(line), "{line}");
    }
}
