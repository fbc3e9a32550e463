//! Installing, and what goes with the programs: dependencies against their list, scripts against the
//! shell's grammar.

use crate::documents::{names_in, programs, text};
use crate::runner::Test;
use crate::support::{binary, here, need, output, run, skip};
use crate::tests;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    what_is_installed_goes_again,
    units_and_documents_agree,
    the_version_has_a_commit,
    a_tar_file_is_whole_and_the_same_wherever_it_is_made,
    old_names_take_their_words,
    dependencies_are_the_listed_ones,
    dependencies_accept_our_rust,
    fuzzing_locks_the_same,
    scripts_are_clean,
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `make` with our programs as they are, so that it builds none.
fn make(target: &str, to: &Path, more: &[&str]) {
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
        output(command.args(words).args(more)).status.success(),
        "make {target}"
    );
}

fn what_is_installed_goes_again() {
    need("make");
    let to = here().join("a place");
    make("install", &to, &[]);
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
    has("/usr/lib/tmpfiles.d/buttersink.conf");
    has("/etc/logrotate.d/buttersink");
    has("/usr/share/doc/buttersink/examples/config.toml");
    // What is not ours stays, and keeps its directory.
    std::fs::write(to.join("usr/bin/another"), "").unwrap();
    make("uninstall", &to, &[]);
    let left = run("find", [to.as_os_str(), "-type".as_ref(), "f".as_ref()]);
    assert_eq!(left.lines().count(), 1, "{left}");
    std::fs::remove_file(to.join("usr/bin/another")).unwrap();
    make("uninstall", &to, &[]);
    assert!(!to.exists(), "directories are left");
}

/// Units that documents name are there, and read the files that documents name; what is made at start is
/// where the example says that locks and states are, and root's alone.
fn units_and_documents_agree() {
    let units: Vec<String> = names_in("contrib/systemd")
        .into_iter()
        .filter(|name| !name.ends_with(".tmpfiles"))
        .collect();
    let pages = names_in("man")
        .into_iter()
        .map(|page| format!("man/{page}"));
    let documents: Vec<String> = pages.chain(["README.md".to_owned()]).collect();
    let documents: String = documents.iter().map(|name| text(name)).collect();
    let ends = |c: char| !c.is_alphanumeric() && !"@.-".contains(c);
    let named: BTreeSet<String> = documents
        .split(ends)
        .filter(|word| word.starts_with("buttersink-") && word.contains('@'))
        .map(|word| word.trim_end_matches('.').replace("@home", "@"))
        .map(|word| word.replace("@host", "@"))
        .collect();
    assert!(named.len() >= 2, "{named:?}");
    for name in &named {
        assert!(units.contains(name), "there is no unit {name}: {units:?}");
    }
    for (unit, file) in [
        ("buttersink-config@.service", "/etc/buttersink/%i.toml"),
        ("buttersink-backup@.service", "/etc/buttersink/%i.env"),
    ] {
        let unit = text(&format!("contrib/systemd/{unit}"));
        assert!(unit.contains(file), "{unit}");
        let home = file.replace("%i", "home");
        assert!(documents.contains(&home), "no document has {home}");
    }
    let made = text("contrib/systemd/buttersink.tmpfiles");
    let example = text("contrib/config.example.toml");
    const MADE: [&str; 3] = [
        "/run/buttersink",
        "/var/lib/buttersink",
        "/var/log/buttersink",
    ];
    for dir in MADE {
        assert!(made.contains(&format!("d {dir} 0700 root root -\n")));
    }
    for dir in &MADE[..2] {
        assert!(example.contains(&format!("\"{dir}/")), "{dir}");
    }
    // Whoever names a place of ours names one of these.
    let units: String = units
        .iter()
        .map(|name| text(&format!("contrib/systemd/{name}")))
        .collect();
    let all = [
        documents,
        example,
        units,
        text("contrib/buttersink.logrotate"),
    ]
    .concat();
    let ends = |c: char| !c.is_alphanumeric() && !"/%@._-".contains(c);
    let of_ours = |word: &&str| {
        ["/etc", "/run", "/var"]
            .iter()
            .any(|top| word.starts_with(top))
            && word.contains("/buttersink")
    };
    let places: BTreeSet<&str> = all.split(ends).filter(of_ours).collect();
    assert!(places.len() > 4, "{places:?}");
    for place in places {
        let known = MADE
            .iter()
            .chain(&["/etc/buttersink", "/etc/sudoers.d/buttersink"])
            .any(|dir| Path::new(place).starts_with(dir));
        assert!(known, "{place} is none of the places of files");
    }
}

/// What `make` says of the sources is what the program says of itself; without git it says so.
fn the_version_has_a_commit() {
    need("make");
    let commit = |more: &[&str]| {
        let mut command = Command::new("make");
        command.current_dir(top()).env_remove("MAKEFLAGS");
        let words = ["-s", "--eval=said:;@echo $(BUTTERSINK_COMMIT)", "said"];
        let said = output(command.args(words).args(more));
        assert!(said.status.success());
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    let inside = top().join(".git").exists();
    assert_eq!(commit(&[]).is_empty(), !inside);
    assert_eq!(commit(&["BUTTERSINK_COMMIT=abc"]), "abc");
    let said = output(Command::new(binary("buttersink")).arg("--version"));
    let said = String::from_utf8(said.stdout).unwrap();
    let line = said.lines().nth(1).unwrap();
    let built = option_env!("BUTTERSINK_COMMIT").filter(|commit| !commit.is_empty());
    let built = built.unwrap_or("not recorded, for it was built without git");
    assert_eq!(line, format!("commit: {built}"));
}

/// Of the same programs; that these are the same wherever they are built is for `make reproducible`.
fn a_tar_file_is_whole_and_the_same_wherever_it_is_made() {
    need("make");
    let made = ["one", "another"].map(|place| {
        let target = here().join(place);
        std::fs::create_dir_all(target.join("static")).unwrap();
        for program in programs() {
            std::fs::write(target.join("static").join(program), "#!/bin/sh\n").unwrap();
        }
        let mut command = Command::new(top().join("contrib/dist.sh"));
        command.env_remove("MAKEFLAGS").env("CARGO", cargo());
        command
            .env("CARGO_TARGET_DIR", &target)
            .env("SOURCE_DATE_EPOCH", "1000000000");
        assert!(output(&mut command).status.success());
        let names = std::fs::read_dir(target.join("dist")).unwrap();
        let mut paths = names.map(|entry| entry.unwrap().path());
        paths
            .find(|path| path.extension().is_some_and(|end| end == "gz"))
            .unwrap()
    });
    let [one, another] = made.each_ref().map(|tar| std::fs::read(tar).unwrap());
    assert!(one == another, "{made:?} differ");
    let listed = run("tar", ["-tzf".as_ref(), made[0].as_os_str()]);
    let has = |end: &str| {
        assert!(
            listed.lines().any(|f| f.ends_with(end)),
            "no {end}: {listed}"
        );
    };
    for name in names_in("man").iter().chain(&programs()) {
        has(&format!("/{name}"));
    }
    for name in names_in("contrib/systemd")
        .iter()
        .filter(|n| n.contains('@'))
    {
        has(&format!("/systemd/system/{name}"));
    }
    for name in [
        "COPYING",
        "CHANGELOG.md",
        "README.md",
        "dependencies.txt",
        "licences.txt",
        "examples/config.toml",
    ] {
        has(&format!("/doc/buttersink/{name}"));
    }
    has("/tmpfiles.d/buttersink.conf");
    has("/logrotate.d/buttersink");
    has("/SHA256SUMS");
}

/// Who called one of the programs that came before types the same.
fn old_names_take_their_words() {
    need("make");
    let to = here().join("to");
    make("install", &to, &["LINKS=yes"]);
    for (name, words, usage) in [
        (
            "btrfs-backup.py",
            &["--help"][..],
            "usage: buttersink backup",
        ),
        (
            "btrfs_to_s3",
            &["backup", "--help"],
            "usage: buttersink backup",
        ),
        (
            "btrfs_to_s3",
            &["restore", "--help"],
            "usage: buttersink restore",
        ),
        ("buttersink.py", &["--help"], "usage: buttersink COMMAND"),
    ] {
        let said = output(Command::new(to.join("usr/bin").join(name)).args(words));
        let text = String::from_utf8(said.stdout).unwrap();
        assert!(
            said.status.success() && text.contains(usage),
            "{name}: {text}"
        );
    }
    // Somebody else's stays.
    let own = to.join("usr/bin/btrfs_to_s3");
    std::fs::remove_file(&own).unwrap();
    std::fs::write(&own, "").unwrap();
    make("uninstall", &to, &[]);
    let left = run(
        "find",
        [to.as_os_str(), "!".as_ref(), "-type".as_ref(), "d".as_ref()],
    );
    assert_eq!(left.trim(), own.to_str().unwrap());
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
