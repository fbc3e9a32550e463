//! Installing, and what goes with the programs: completions against help, dependencies against
//! their list, scripts against the shell's grammar.

use crate::documents::{help, help_options, names_in, programs, text};
use crate::runner::Test;
use crate::support::{binary, here, output, run, skip};
use crate::tests;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    completions_know_the_options,
    completions_know_the_commands,
    bash_completes,
    zsh_completes,
    fish_completes,
    what_is_installed_goes_again,
    dependencies_are_the_listed_ones,
    dependencies_accept_our_rust,
    fuzzing_locks_the_same,
    scripts_are_clean,
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Skips without this program.
fn need(tool: &str) {
    if Command::new(tool).arg("--version").output().is_err() {
        skip(&format!("needs {tool}"));
    }
}

fn completions_know_the_options() {
    for program in programs() {
        let said = help_options(&help(&program));
        let fish = text(&format!("contrib/completions/{program}.fish"));
        for (name, known) in [
            ("buttersink.bash", bash_options(&program)),
            ("_buttersink", zsh_options(&program)),
            ("the one for fish", fish_options(&fish)),
        ] {
            assert_eq!(
                said, known,
                "{program}: help on the left, {name} on the right"
            );
        }
    }
}

/// The words that may come first, as each shell's file has them and as the usage says.
fn completions_know_the_commands() {
    let help = help("buttersink");
    let (_, usage) = help.split_once("usage:").unwrap();
    let (usage, _) = usage.split_once("options:").unwrap();
    let said = usage.split("buttersink ").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("[options] ").unwrap_or(rest);
        let word: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        (!word.is_empty()).then_some(word)
    });
    let said: BTreeSet<String> = said.collect();
    assert!(said.contains("sync") && said.contains("config"), "{said:?}");
    let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
    let bash = text("contrib/completions/buttersink.bash");
    let (_, bash) = bash.split_once("commands='").unwrap();
    let bash: BTreeSet<String> = words(bash.split('\'').next().unwrap());
    let zsh = text("contrib/completions/_buttersink");
    let zsh = function(&zsh, "_buttersink_place() {").lines();
    let zsh = zsh.filter_map(|line| line.trim().strip_prefix('\'')?.split_once(':'));
    let zsh: BTreeSet<String> = zsh.map(|(name, _)| name.to_owned()).collect();
    let fish = text("contrib/completions/buttersink.fish");
    let fish = fish
        .lines()
        .filter_map(|line| line.split_once("first_arg -a "));
    let fish = fish.filter_map(|(_, rest)| rest.split(' ').next());
    let fish: BTreeSet<String> = fish.map(str::to_owned).collect();
    for (name, known) in [("bash", bash), ("zsh", zsh), ("fish", fish)] {
        assert_eq!(said, known, "usage on the left, {name} on the right");
    }
}

/// The part of a file that is one function.
fn function<'a>(file: &'a str, head: &str) -> &'a str {
    let at = file.find(head).unwrap_or_else(|| panic!("no {head}"));
    let rest = &file[at..];
    &rest[..rest.find("\n}\n").expect("the function's end")]
}

/// The words with dashes that the function for a program offers; those of `case` are patterns.
fn bash_options(program: &str) -> BTreeSet<String> {
    let file = text("contrib/completions/buttersink.bash");
    let function = function(&file, &format!("\n_{program}() {{"));
    let (_, offered) = function.split_once("$word = -*").expect("its options");
    let list = offered.split('\'').nth(1).expect("a list");
    list.split_whitespace().map(str::to_owned).collect()
}

/// `'(…)'{-x,--long}'[…]'` and `'(…)*--long=-[…]:…'`.
fn zsh_options(program: &str) -> BTreeSet<String> {
    let file = text("contrib/completions/_buttersink");
    let function = function(&file, &format!("\n_{program}_program() {{"));
    let lines = function.lines().filter_map(|line| {
        let (spec, _) = line.split_once('[')?;
        spec.rsplit(')').next()
    });
    lines
        .flat_map(|spec| spec.split(['\'', '{', '}', ',', '*', '=']))
        .filter(|word| word.starts_with('-') && *word != "-")
        .map(str::to_owned)
        .collect()
}

/// `-s x -l long`.
fn fish_options(file: &str) -> BTreeSet<String> {
    let lines = file.lines().filter(|l| l.starts_with("complete "));
    let mut found = BTreeSet::new();
    for line in lines {
        let words: Vec<&str> = line
            .split(" -d ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        for pair in words.windows(2) {
            match pair[0] {
                "-s" => found.insert(format!("-{}", pair[1])),
                "-l" => found.insert(format!("--{}", pair[1])),
                _ => false,
            };
        }
    }
    found
}

/// A directory to complete in: a directory and a file.
fn some_files() -> PathBuf {
    let dir = here().join("some");
    std::fs::create_dir_all(dir.join("snaps")).unwrap();
    std::fs::write(dir.join("saved.log"), "").unwrap();
    dir
}

/// What bash offers for a line of words, the last of which is being typed.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let script = "source contrib/completions/buttersink.bash; compopt() { :; }
        words=(\"$@\"); cd \"$DIR\"; COMP_WORDS=(\"${words[@]}\"); COMP_CWORD=$((${#words[@]} - 1))
        _\"$1\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["-uc", script, "bash"]).args(words);
    command.current_dir(top()).env("DIR", some_files());
    let said = output(command.env("PATH", our_path()));
    assert!(said.status.success() && said.stderr.is_empty());
    let text = String::from_utf8(said.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The programs under test first.
fn our_path() -> String {
    let ours = binary("buttersink");
    let others = std::env::var("PATH").unwrap();
    format!("{}:{others}", ours.parent().unwrap().display())
}

fn bash_completes() {
    assert_eq!(bash_offers(&["buttersink", "--dry"]), ["--dry-run"]);
    assert_eq!(bash_offers(&["buttersink", "--mode", ""]), ["r", "a", "w"]);
    assert_eq!(bash_offers(&["buttersink", "-l", "sa"]), ["saved.log"]);
    assert_eq!(bash_offers(&["buttersink", "-n", "s"]), ["snaps/"]);
    assert_eq!(bash_offers(&["buttersink", "s"]), ["sync", "snaps/"]);
    assert_eq!(bash_offers(&["buttersink", "backup", "--al"]), ["--always"]);
    assert_eq!(
        bash_offers(&["buttersink", "restore", "--ta"]),
        ["--target"]
    );
    assert_eq!(bash_offers(&["buttersink", "sync", "--al"]), [""]);
    assert_eq!(bash_offers(&["btrfslist", "--s"]), ["--sizes"]);
    assert_eq!(bash_offers(&["checksumdir", "-o", "s"]), ["snaps"]);
}

/// zsh says nothing outside a terminal; that it accepts the file, and has its functions, must do.
fn zsh_completes() {
    need("zsh");
    let script = "autoload -Uz compinit; fpath=($PWD/contrib/completions $fpath)
        compinit -u -D; print -l $_comps[buttersink] $_comps[btrfslist] $_comps[checksumdir]
        zsh -n contrib/completions/_buttersink
        autoload -Uz +X _buttersink; eval \"${functions[_buttersink]%_\\$*}\"
        words=(buttersink backup --al); _describe() { print -l -- ${(M)own:#--al*}; }
        _buttersink_own_options";
    let mut command = Command::new("zsh");
    command.args(["-fc", script]).env("PATH", our_path());
    let said = output(command.current_dir(top()));
    let text = String::from_utf8(said.stdout).unwrap();
    let always = "--always:make a snapshot even if nothing changed\n";
    assert_eq!(text, "_buttersink\n".repeat(3) + always);
    assert!(said.status.success() && said.stderr.is_empty());
}

fn fish_completes() {
    need("fish");
    let offers = |line: &str| {
        let program = line.split(' ').next().unwrap();
        let file = top().join(format!("contrib/completions/{program}.fish"));
        let script = format!("source {}; complete -C '{line}'", file.display());
        let mut command = Command::new("fish");
        command
            .args(["-N", "-c", &script])
            .current_dir(some_files());
        let said = output(command.env("HOME", here()).env("PATH", our_path()));
        assert!(said.status.success() && said.stderr.is_empty());
        let text = String::from_utf8(said.stdout).unwrap();
        let words = text
            .lines()
            .map(|l| l.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(offers("buttersink --dry"), ["--dry-run"]);
    assert_eq!(offers("buttersink --mode "), ["a", "r", "w"]);
    assert_eq!(offers("buttersink -n s"), ["snaps/"]);
    assert_eq!(offers("buttersink ve"), ["verify"]);
    assert_eq!(offers("buttersink backup --al"), ["--always"]);
    assert_eq!(offers("buttersink verify --ag"), ["--against"]);
    assert_eq!(offers("btrfslist --s"), ["--sizes"]);
    assert_eq!(offers("checksumdir --li"), ["--links"]);
}

/// `make` with our programs as they are, so that it builds none.
fn make(target: &str, to: &Path) {
    let from = binary("buttersink").parent().unwrap().display().to_string();
    let mut command = Command::new("make");
    command.current_dir(top()).env_remove("MAKEFLAGS");
    let to = format!("DESTDIR={}", to.display());
    // Old enough not to be made again.
    let words = ["-s", target, &to, "PREFIX=/usr", &format!("FROM={from}")];
    for program in programs() {
        command.args(["-o", &format!("{from}/{program}")]);
    }
    assert!(
        output(command.args(words)).status.success(),
        "make {target}"
    );
}

fn what_is_installed_goes_again() {
    need("make");
    let to = here().join("a place");
    make("install", &to);
    let files = run("find", [to.as_os_str(), "-type".as_ref(), "f".as_ref()]);
    let has = |end: &str| assert!(files.lines().any(|f| f.ends_with(end)), "no {end}: {files}");
    for page in names_in("man") {
        let section = page.rsplit('.').next().unwrap();
        has(&format!("/usr/share/man/man{section}/{page}"));
    }
    for program in programs() {
        has(&format!("/usr/share/bash-completion/completions/{program}"));
        has(&format!(
            "/usr/share/fish/vendor_completions.d/{program}.fish"
        ));
        let said = output(Command::new(to.join("usr/bin").join(&program)).arg("--version"));
        assert!(said.status.success(), "{program} does not run");
    }
    has("/usr/share/zsh/site-functions/_buttersink");
    // What is not ours stays, and keeps its directory.
    std::fs::write(to.join("usr/bin/another"), "").unwrap();
    make("uninstall", &to);
    let left = run("find", [to.as_os_str(), "-type".as_ref(), "f".as_ref()]);
    assert_eq!(left.lines().count(), 1, "{left}");
    std::fs::remove_file(to.join("usr/bin/another")).unwrap();
    make("uninstall", &to);
    assert!(!to.exists(), "directories are left");
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn dependencies_are_the_listed_ones() {
    let mut script = Command::new(top().join("contrib/dependencies.sh"));
    let said = output(script.env("CARGO", cargo()));
    if !said.status.success() && !said.stderr.is_empty() {
        let words = String::from_utf8_lossy(&said.stderr);
        skip(&format!(
            "cargo tree: {}",
            words.lines().last().unwrap_or_default()
        ));
    }
    let listed = text("contrib/dependencies.txt");
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        listed,
        "is a new dependency wanted? then: contrib/dependencies.sh > contrib/dependencies.txt"
    );
    let readme = text("README.md");
    for head in listed.lines().filter_map(|l| l.strip_prefix("# ")) {
        let (what, count) = head.split_once(": ").unwrap();
        let count = count.split(' ').next().unwrap();
        let wanted = match what {
            "In the programs" => format!("{count} crates are in the programs"),
            _ => format!("{count} more are only for building them"),
        };
        let flowing = readme.replace('\n', " ");
        assert!(
            flowing.contains(&wanted),
            "README.md does not say: {wanted}"
        );
    }
}

/// No crate asks for a later Rust than we do. That we ask for none is clippy's to find: its
/// `incompatible_msrv` knows since when std has what.
fn dependencies_accept_our_rust() {
    let ours = env!("CARGO_PKG_RUST_VERSION");
    let lock = text("Cargo.lock");
    assert!(lock.contains("name = \"buttersink\""));
    let args = ["metadata", "--locked", "--offline", "--format-version=1"];
    let target = "--filter-platform=x86_64-unknown-linux-gnu";
    let said = output(
        Command::new(cargo())
            .args(args)
            .arg(target)
            .current_dir(top()),
    );
    if !said.status.success() {
        skip("cargo metadata finds crates of other platforms missing");
    }
    let metadata: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let versions: Vec<(String, &str)> = packages
        .iter()
        .filter_map(|p| Some((p["name"].to_string(), p["rust_version"].as_str()?)))
        .collect();
    assert!(versions.len() > 10);
    let number = |text: &str| {
        let parts: Vec<u32> = text.split('.').map(|n| n.parse().unwrap()).collect();
        (parts[0], parts[1])
    };
    for (name, theirs) in versions {
        assert!(number(theirs) <= number(ours), "{name} needs Rust {theirs}");
    }
    let readme = text("README.md");
    assert!(
        readme.contains(&format!("Rust {ours}")),
        "README.md: Rust {ours}"
    );
}

/// What is fuzzed is what is shipped, and `make fuzz` builds with `--locked`.
fn fuzzing_locks_the_same() {
    let again = "cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml >/dev/null";
    let (ours, fuzzed) = (packages("Cargo.lock"), packages("fuzz/Cargo.lock"));
    let has = |name: &str, version: &str| fuzzed.iter().any(|(n, v, _)| n == name && v == version);
    for (name, version, _) in &ours {
        let other = fuzzed.iter().any(|(n, ..)| n == name) && !has(name, version);
        assert!(!other, "{name} {version}: {again}");
    }
    let manifest = text("Cargo.toml");
    let (_, below) = manifest.split_once("\n[dependencies]\n").unwrap();
    let below = below.split("\n[").next().unwrap();
    let direct = below.lines().filter(|line| !line.starts_with('#'));
    let direct: BTreeSet<_> = direct
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect();
    let locked = fuzzed.iter().find(|(name, ..)| name == "buttersink");
    assert_eq!(locked.unwrap().2, direct, "{again}");
}

/// Name, version and dependencies of what a file locks.
fn packages(path: &str) -> Vec<(String, String, BTreeSet<String>)> {
    let text = text(path);
    let package = |package: &str| {
        let field = |name: &str| {
            let (_, rest) = package.split_once(&format!("{name} = \""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        let lines = package.lines().filter_map(|line| line.strip_prefix(" \""));
        let dependencies = lines.filter_map(|line| line.split(['"', ' ']).next());
        (
            field("name").unwrap(),
            field("version").unwrap(),
            dependencies.map(str::to_owned).collect(),
        )
    };
    text.split("[[package]]\n").skip(1).map(package).collect()
}

fn scripts_are_clean() {
    need("shellcheck");
    let folder = |dir: &str| {
        let files = names_in(dir)
            .into_iter()
            .map(move |name| format!("{dir}/{name}"));
        files.collect::<Vec<_>>()
    };
    let mut scripts: Vec<String> = folder("contrib");
    scripts.extend(folder("tests/servers"));
    scripts.retain(|name| name.ends_with(".sh"));
    scripts.extend([
        ".ci/run".to_owned(),
        "contrib/completions/buttersink.bash".to_owned(),
    ]);
    assert!(scripts.len() > 5);
    let mut command = Command::new("shellcheck");
    command
        .args(["-x", "-P", "SCRIPTDIR"])
        .args(scripts)
        .current_dir(top());
    assert!(output(&mut command).status.success());
}
