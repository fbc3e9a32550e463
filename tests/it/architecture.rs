//! The layering test: reads the sources and holds them to the rules of the house. The rules are
//! tried on small made-up sources too, so that we know that they can fail.

use crate::kit::circles::circles;
use crate::runner::Test;
use crate::sources::{Source, paths, without_comments, words};
use crate::tests;
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    the_sources_keep_the_rules,
    no_files_are_in_a_circle,
    circles_are_found,
    a_lower_module_is_refused,
    submodules_count_as_their_parent,
    stores_do_not_import_each_other,
    layouts_do_not_know_each_other,
    kinds_of_store_are_not_named_above,
    unsafe_has_an_address,
    only_some_print,
    kinds_of_stores_are_not_asked_for,
    thinking_does_no_input_or_output,
    files_say_what_they_know,
    files_stay_small,
    functions_stay_short,
    comments_strings_and_tests_do_not_count,
];

/// Modules that write to the terminal, beside the programs.
const PRINT: &[&str] = &["cli", "progress", "report"];

/// Modules that only think: no files, network, processes or clock.
const THINK: &[&str] = &[
    "text",
    "snapshot",
    "attribution",
    "plan",
    "backup::schedule",
    "backup::retention",
    "backup::agenda",
    "backup::draft",
    "backup::btrbk",
    "backup::mounted",
    "backup::room",
];

/// Parts of a store that several stores share.
const SHARED: &[&str] = &["store::wire", "store::file_digests", "store::location"];

/// What a module never names, though the order would let it: layouts do not know each other, nor where
/// objects are; those who keep objects know no snapshots.
const NEVER: &[(&str, &str)] = &[
    ("store::bucket::diffs", "store::bucket::archive"),
    ("store::bucket::archive", "store::bucket::diffs"),
    ("store::bucket::diffs", "s3"),
    ("store::bucket::archive", "s3"),
    ("objects", "snapshot"),
    ("s3", "snapshot"),
    ("s3", "proof"),
];

/// The face of the stores, which names every kind of them.
const FACE: &[&str] = &["store::open", "store::options"];

/// What may be named from above the stores. Of everything else there is a value or a trait in `store`.
const VALUES: &[&str] = &["store::file_digests"];

/// Files above the stores that name a kind of store, a layout or the S3 client nevertheless. There are to
/// be fewer, and never more.
const NAME_KINDS: &[&str] = &[
    // What reads foreign bytes is fuzzed wherever it stands.
    "src/fuzz.rs",
];

/// Lines without tests that a file may have; the first prefix that fits counts. A quarter more is
/// let pass, and nothing above [`LONGEST`].
const BUDGETS: &[(&str, usize)] = &[
    ("src/snapshot.rs", 250),
    ("src/stream", 400),
    ("src/plan", 450),
    ("src/sync", 300),
    ("src/store.rs", 280),
    ("src/store/local", 450),
    ("src/store/bucket", 400),
    ("src/store/", 250),
    ("src/s3", 400),
    ("src/btrfs", 350),
    ("src/process.rs", 200),
    ("src/sys", 250),
    ("src/backup", 350),
    ("src/restore", 350),
    ("src/verify", 350),
    ("src/checksum", 350),
    ("src/progress.rs", 220),
    ("src/report.rs", 200),
    ("src/error.rs", 200),
    ("src/cli/table.rs", 400),
    ("src/cli/tests.rs", 300),
    ("src/cli", 200),
    ("src/bin/", 300),
    ("src/", 350),
];
const LONGEST: usize = 600;

/// Lines that a function may have.
const LONGEST_FUNCTION: usize = 44;

fn the_sources_keep_the_rules() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for dir in ["src", "tests"] {
        read_sources(top, &top.join(dir), &mut sources);
    }
    assert!(sources.iter().any(|s| s.path == "src/lib.rs"));
    let breaches = breaches(&sources);
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

/// Circles that are still to fall. The list only shrinks.
const KNOWN_CIRCLES: &[&[&str]] = &[];

fn no_files_are_in_a_circle() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    read_sources(top, &top.join("src"), &mut sources);
    let circles = circles(&sources);
    let is_in = |circle: &[String], known: &[&str]| circle.iter().all(|m| known.contains(&&**m));
    let known = |circle: &&Vec<String>| KNOWN_CIRCLES.iter().any(|known| is_in(circle, known));
    let new: Vec<String> = circles
        .iter()
        .filter(|c| !known(c))
        .map(|c| c.join(" "))
        .collect();
    assert!(new.is_empty(), "files in a circle:\n{}", new.join("\n"));
    for known in KNOWN_CIRCLES {
        let stands = circles.iter().any(|circle| is_in(circle, known));
        assert!(stands, "this circle has fallen: delete its line: {known:?}");
    }
}

fn circles_are_found() {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(source).collect();
        let circles = circles(&sources).into_iter();
        circles.map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    let one = ("src/a/one.rs", "use super::two::Two;");
    assert_eq!(found(&[one, ("src/a/two.rs", "use crate::b::B;")]), [""; 0]);
    let two = ("src/a/two.rs", "fn f() { super::one::g() }");
    assert_eq!(found(&[one, two]), ["a::one a::two"]);
    let far = [
        one,
        ("src/a/two.rs", "use crate::b::{self, B};"),
        ("src/b.rs", "use crate::a::one::X;"),
    ];
    assert_eq!(found(&far), ["a::one a::two b"]);
    // What a parent only passes on is at home in the child.
    let door = (
        "src/a.rs",
        "mod one; mod two; pub use two::Two; pub(crate) use one::{One, Other as Third};",
    );
    let one = ("src/a/one.rs", "use super::Two; use super::Own;");
    let two = ("src/a/two.rs", "use crate::a::One;");
    assert_eq!(found(&[door, one, two]), ["a::one a::two"]);
    // Those in a folder and the file beside it are one room.
    let two = ("src/a/two.rs", "use super::Own;");
    assert_eq!(
        found(&[("src/a.rs", "use one::One; struct Own;"), one, two]),
        [""; 0]
    );
}

fn read_sources(top: &Path, dir: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(top, &path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            sources.push(Source {
                path: path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(),
                text: std::fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Every broken rule, as a line that names the file.
fn breaches(sources: &[Source]) -> Vec<String> {
    let order = order(sources);
    let mut found = Vec::new();
    for source in sources {
        let mut say = |what: String| found.push(format!("{}: {what}", source.path));
        every_file(source, &mut say);
        if source.path.starts_with("src/") {
            product_file(source, &mut say);
        }
        if let Some(module) = source.module() {
            layering(&module, (&source.path, &source.code()), &order, &mut say);
        }
    }
    found.dedup();
    found
}

/// The modules in the order of `lib.rs`: each may use those before it. The stores stand behind
/// `store`, each by itself.
fn order(sources: &[Source]) -> Vec<String> {
    let library = sources.iter().find(|s| s.path == "src/lib.rs");
    let code = library.expect("src/lib.rs").code();
    let words = words(&code);
    let mut order: Vec<String> = words
        .windows(3)
        .filter(|w| w[0] == "mod" && w[2] == ";")
        .map(|w| w[1].to_owned())
        .collect();
    let store = order.iter().position(|m| m == "store");
    let at = store.map_or(order.len(), |store| store + 1);
    let stores = sources.iter().filter_map(Source::module);
    order.splice(at..at, stores.filter(|m| m.starts_with("store::")));
    order
}

fn every_file(source: &Source, say: &mut impl FnMut(String)) {
    if !source.text.starts_with("//!") {
        say("opens without a //! that says what it knows".into());
    }
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if name == "mod.rs" {
        say("foo.rs stands beside foo/; there is no mod.rs".into());
    }
    let folders = source.path.trim_end_matches(".rs").split('/');
    if folders
        .into_iter()
        .any(|part| part == "util" || part == "utils")
    {
        say("no module is named util: say what it is".into());
    }
    let named = without_comments(&source.text);
    if words(&named)
        .windows(2)
        .any(|w| w[0] == "mod" && matches!(w[1], "util" | "utils"))
    {
        say("no module is named util: say what it is".into());
    }
}

fn product_file(source: &Source, say: &mut impl FnMut(String)) {
    let (lines, budget) = (source.lines(), budget(&source.path));
    if lines > budget {
        say(format!("{lines} lines without tests; at most {budget}"));
    }
    let code = source.code();
    let module = source.module().unwrap_or_default();
    if !module.contains("::tests") {
        long_functions(&code).into_iter().for_each(&mut *say);
    }
    if root(&module) != "sys" && words(&code).contains(&"unsafe") {
        say("only sys.rs says unsafe".into());
    }
    let prints = source.path.starts_with("src/bin/") || PRINT.contains(&root(&module));
    if !prints {
        for what in printing(&code) {
            say(format!(
                "{what}: only programs, cli, progress and report print"
            ));
        }
    }
    let makes_offers = ["snapshot", "store"].contains(&root(&module)) || module.contains("::tests");
    if !makes_offers && paths(&code).iter().any(|path| path.contains("Offer::")) {
        say("asks which kind of store it is: ask the offer what can be done with it".into());
    }
    let of_a_kind = |path: &String| {
        let kind = path.split_once("Place::").map(|(_, kind)| kind);
        kind.is_some_and(|kind| kind.starts_with(char::is_uppercase))
    };
    if root(&module) != "store" && !module.contains("::tests") && paths(&code).iter().any(of_a_kind)
    {
        say("asks which kind of place it is: ask the place what it has".into());
    }
    if THINK.iter().any(|m| within(&module, m)) {
        for what in acting(&code) {
            say(format!("{what}: this module only thinks"));
        }
    }
}

fn budget(path: &str) -> usize {
    let ceiling = BUDGETS.iter().find(|(prefix, _)| path.starts_with(prefix));
    ceiling.map_or(LONGEST, |(_, lines)| (lines + lines / 4).min(LONGEST))
}

/// The functions of formatted code that are too long: each ends at the first brace that stands where it began.
fn long_functions(code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let length = |at: usize| {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let mut signature = lines[at..].iter().filter(|l| l.ends_with(['{', ';', '}']));
        let has_body = signature.next().is_some_and(|l| l.ends_with('{'));
        let body = lines[at..].iter().take_while(|line| **line != end);
        if has_body { body.count() + 1 } else { 1 }
    };
    let long = |(at, line): (usize, &&str)| {
        let words = words(line);
        let name = words.windows(3).find(|w| w[0] == "fn" && w[1] != "(")?[1];
        let lines = length(at);
        let said = format!("{name} has {lines} lines; at most {LONGEST_FUNCTION}");
        (lines > LONGEST_FUNCTION).then_some(said)
    };
    lines.iter().enumerate().filter_map(long).collect()
}

fn printing(code: &str) -> Vec<String> {
    let macros = words(code);
    let macros = macros.windows(2).filter(|w| {
        w[1] == "!" && matches!(w[0], "print" | "println" | "eprint" | "eprintln" | "dbg")
    });
    let streams = paths(code).into_iter().filter(|p| {
        ["io::stdout", "io::stderr", "io::Stdout", "io::Stderr"]
            .iter()
            .any(|s| within(p, s) || p.contains(&format!("::{s}")))
    });
    macros
        .map(|w| format!("{}!", w[0]))
        .chain(streams)
        .collect()
}

fn acting(code: &str) -> Vec<String> {
    let clocks = words(code);
    let clocks = clocks
        .iter()
        .filter(|w| matches!(**w, "SystemTime" | "Instant"))
        .map(|w| (*w).to_owned());
    let doors = paths(code).into_iter().filter(|p| {
        ["std::fs", "std::net", "std::process", "std::env"]
            .iter()
            .any(|door| within(p, door))
            || p.ends_with("::now")
    });
    clocks.chain(doors).collect()
}

/// Whether the code of a module uses only what stands above it.
fn layering(
    module: &str,
    (path_of, code): (&str, &str),
    order: &[String],
    say: &mut impl FnMut(String),
) {
    let own = room(module, order);
    let place = |room: &str| order.iter().position(|m| m == room);
    let Some(here) = place(own) else {
        return say(format!("lib.rs has no line for module {}", root(module)));
    };
    for path in paths(code) {
        let Some(target) = absolute(module, &path) else {
            continue;
        };
        let parted = |(who, what): &&(&str, &str)| within(module, who) && within(&target, what);
        if let Some((who, what)) = NEVER.iter().find(parted) {
            say(format!("{who} never names {what}"));
        }
        let used = room(&target, order);
        let Some(there) = place(used) else {
            continue;
        };
        let child = used.starts_with(&format!("{own}::"));
        // These stand in no order; what they share stands beside them.
        let stores = own.starts_with("store::") && used.starts_with("store::");
        if names_a_kind(own, used, order) && !NAME_KINDS.contains(&path_of) {
            say(format!(
                "{own} names {used}: a kind of store is no concern of what is above"
            ));
        }
        if stores && own != used && !SHARED.contains(&used) && !FACE.contains(&own) {
            say(format!("{own} uses {used}: stores never import each other"));
        } else if there > here && !child && !stores {
            say(format!(
                "{own} uses {used}, which stands below it in lib.rs"
            ));
        }
    }
}

/// Whether a room above the stores names one of them, or what only they stand on.
fn names_a_kind(own: &str, used: &str, order: &[String]) -> bool {
    let place = |room: &str| order.iter().position(|m| m == room);
    let above = !own.starts_with("store::") && place(own) > place("store");
    let kind = used == "s3" || used.starts_with("store::") && !VALUES.contains(&used);
    above && place("store").is_some() && kind
}

/// The entry of the order that a module or item belongs to.
fn room<'a>(path: &'a str, order: &[String]) -> &'a str {
    let end = path
        .match_indices("::")
        .nth(1)
        .map_or(path.len(), |(i, _)| i);
    let two = &path[..end];
    if order.iter().any(|m| m == two) {
        two
    } else {
        root(path)
    }
}

/// A path as it stands below the crate: `crate::` cut off and `super::` followed.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let mut above: Vec<&str> = module.split("::").collect();
    let mut rest = path;
    while let Some(after) = rest.strip_prefix("super::") {
        above.pop()?;
        rest = after;
    }
    above.push(rest);
    (rest != path).then(|| above.join("::"))
}

fn root(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Whether a path is the module or something in it.
fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The breaches in a small house: `lib.rs` with these modules, and these files.
fn house(modules: &[&str], files: &[(&str, &str)]) -> Vec<String> {
    let lines: String = modules.iter().map(|m| format!("pub mod {m};\n")).collect();
    let library = ("src/lib.rs", format!("//! House.\n{lines}"));
    let files = files.iter().map(|(p, t)| (*p, format!("//! Room.\n{t}")));
    let source = |(path, text): (&str, String)| Source {
        path: path.to_owned(),
        text,
    };
    breaches(
        &std::iter::once(library)
            .chain(files)
            .map(source)
            .collect::<Vec<_>>(),
    )
}

#[track_caller]
fn broken(modules: &[&str], files: &[(&str, &str)], word: &str) {
    let said = house(modules, files);
    assert!(said.len() == 1 && said[0].contains(word), "{said:?}");
}

#[track_caller]
fn kept(modules: &[&str], files: &[(&str, &str)]) {
    assert_eq!(house(modules, files), [""; 0]);
}

fn a_lower_module_is_refused() {
    let order = ["error", "plan", "sync"];
    kept(&order, &[("src/plan.rs", "use crate::error::Error;")]);
    for code in [
        "use crate::sync::go;",
        "use crate::{error::Error, sync};",
        "use crate :: {error::{Error, Kind}, sync::{go, stop}};",
        "fn f() { crate::sync::go() }",
        "use super::sync;",
    ] {
        broken(&order, &[("src/plan.rs", code)], "plan uses sync");
    }
    broken(
        &["error"],
        &[("src/lost.rs", "")],
        "no line for module lost",
    );
}

fn submodules_count_as_their_parent() {
    let order = ["sys", "btrfs", "plan"];
    let up = "use super::Id; use crate::btrfs::abi; use super::super::sys; use crate::sys;";
    kept(
        &order,
        &[
            ("src/btrfs/search.rs", up),
            ("src/btrfs.rs", "use crate::btrfs::search;"),
        ],
    );
    for code in ["use crate::plan;", "use super::super::plan::Step;"] {
        broken(&order, &[("src/btrfs/search.rs", code)], "btrfs uses plan");
    }
}

fn stores_do_not_import_each_other() {
    let order = ["error", "process", "store", "sync"];
    let local = ("src/store/local.rs", "use crate::process; use super::Sink;");
    let wire = ("src/store/wire.rs", "use crate::store::Sink;");
    let remote = (
        "src/store/remote.rs",
        "use super::wire::Frame; use crate::process;",
    );
    let open = (
        "src/store.rs",
        "mod local; use local::Local; use crate::store::local::Local;",
    );
    kept(&order, &[local, wire, remote, open]);
    let other = (
        "src/store/bucket.rs",
        "use crate::store::{Sink, local::Local};",
    );
    broken(&order, &[local, other], "never import each other");
    let opening = ("src/store/open.rs", "use super::local::Local;");
    kept(&order, &[local, opening]);
    let above = ("src/store/bucket.rs", "use crate::sync;");
    broken(&order, &[above], "store::bucket uses sync");
    let early = ("src/process.rs", "use crate::store::local::Local;");
    broken(&order, &[local, early], "process uses store::local");
    broken(
        &order,
        &[("src/store.rs", "use crate::sync;")],
        "store uses sync",
    );
}

fn layouts_do_not_know_each_other() {
    let order = ["objects", "s3", "store"];
    let archive = ("src/store/bucket/archive.rs", "use super::layout::Kept;");
    kept(
        &order,
        &[archive, ("src/s3.rs", "use crate::objects::Part;")],
    );
    for (code, word) in [
        ("use super::archive::Archives;", "archive"),
        ("use crate::store::bucket::archive::index;", "archive"),
        ("use crate::s3::Client;", "s3"),
    ] {
        broken(&order, &[("src/store/bucket/diffs.rs", code)], word);
    }
}

fn kinds_of_store_are_not_named_above() {
    let order = ["s3", "store", "sync"];
    let local = ("src/store/local.rs", "use crate::s3::Client;");
    kept(
        &order,
        &[local, ("src/sync.rs", "use crate::store::{Place, Store};")],
    );
    for (code, word) in [
        ("use crate::store::local::Local;", "names"),
        ("fn f() { crate::s3::go() }", "names"),
        (
            "fn f(p: Place) { matches!(p, Place::Raw(_)) }",
            "kind of place",
        ),
    ] {
        broken(&order, &[local, ("src/sync.rs", code)], word);
    }
}

fn unsafe_has_an_address() {
    let code = "fn f() { unsafe { g() } }";
    kept(
        &["sys"],
        &[("src/sys.rs", code), ("src/sys/signal.rs", code)],
    );
    broken(&["sys", "btrfs"], &[("src/btrfs.rs", code)], "unsafe");
    broken(&[], &[("src/bin/x.rs", code)], "unsafe");
}

fn only_some_print() {
    for code in [
        "fn f() { println!(\"x\") }",
        "fn f() { eprint! (\"x\") }",
        "fn f() { std::io::stdout().flush() }",
        "use std::io::{self, stderr};",
        "fn f() { io::stderr() }",
    ] {
        broken(&["plan"], &[("src/plan.rs", code)], "print");
        kept(&["cli"], &[("src/cli.rs", code), ("src/bin/x.rs", code)]);
    }
    let child = "fn f() { command.stderr(Stdio::piped()); writeln!(w, \"x\") }";
    kept(&["plan"], &[("src/plan.rs", child)]);
}

fn kinds_of_stores_are_not_asked_for() {
    let code = "fn f(offer: &Offer) { matches!(offer, Offer::Only(_)); }";
    let order = ["snapshot", "plan"];
    kept(&order, &[("src/snapshot/graph.rs", code)]);
    broken(&order, &[("src/plan.rs", code)], "which kind of store");
}

fn thinking_does_no_input_or_output() {
    for code in [
        "use std::{fmt, fs};",
        "fn f() { std::process::exit(1) }",
        "use std::net::TcpStream;",
        "use std::time::{Duration, Instant};",
        "fn f() { jiff::Timestamp::now() }",
    ] {
        broken(&["plan"], &[("src/plan.rs", code)], "only thinks");
        broken(
            &["backup"],
            &[("src/backup/retention.rs", code)],
            "only thinks",
        );
        kept(&["backup"], &[("src/backup.rs", code)]);
    }
}

fn files_say_what_they_know() {
    let file = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    let library = file("src/lib.rs", "//! House.\nmod util;\nmod store;");
    let silent = file("tests/it/x.rs", "use std::fs;");
    let old = file("src/store/mod.rs", "//! Room.");
    let said = breaches(&[library, silent, old]).join("\n");
    for word in [
        "src/lib.rs: no module is named util",
        "x.rs: opens without",
        "no mod.rs",
    ] {
        assert!(said.contains(word), "{said}");
    }
}

fn files_stay_small() {
    let long = "fn f() {}\n".repeat(250);
    kept(&["report"], &[("src/report.rs", &long[10..])]);
    broken(&["report"], &[("src/report.rs", &long)], "at most 250");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}{long}{long}}}");
    kept(&["report"], &[("src/report.rs", &tests)]);
    broken(
        &["plan"],
        &[("src/plan.rs", &long.repeat(3))],
        "at most 562",
    );
}

fn functions_stay_short() {
    let function = |lines| format!("    fn f(\n        x: [u8; 1],\n    ) {{\n{lines}    }}\n");
    let code = |lines: usize| {
        let body = "        g(\"}\", '}'); // }\n".repeat(lines - 4);
        let declared = "trait T {\n    fn a(&self);\n    fn b(&self) {}\n";
        format!("{declared}{}}}\n", function(body))
    };
    kept(&["report"], &[("src/report.rs", &code(44))]);
    broken(
        &["report"],
        &[("src/report.rs", &code(45))],
        "f has 45 lines",
    );
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(99));
    kept(&["report"], &[("src/report.rs", &tests)]);
}

fn comments_strings_and_tests_do_not_count() {
    let code = r##"
        // unsafe { println!("x") } crate::sync
        /* unsafe /* nested */ println!() */
        fn f<'a>(x: &'a str) -> char { g("unsafe \" println!()", r#"unsafe " "#, b'"', '\'') }
        #[cfg(test)]
        use crate::sync;
        #[cfg(test)]
        mod tests { fn f() { unsafe { println!("}") } } }
    "##;
    kept(&["plan", "sync"], &[("src/plan.rs", code)]);
    let after = format!("{code}\nfn late() {{ unsafe {{}} }}");
    broken(&["plan", "sync"], &[("src/plan.rs", &after)], "unsafe");
}
