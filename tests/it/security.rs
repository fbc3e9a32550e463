//! The lines of buttersink-security(7): each has a test of its name, from the attacker's side.

pub(crate) mod buckets;
mod client;
pub(crate) mod servers;
pub(crate) mod silence;
pub(crate) mod states;
pub(crate) mod users;

use crate::runner::Test;
use crate::support::*;
use crate::tests;
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![children_get_no_keys, each_line_has_a_test];

/// A directory of programs that write their environment to `here()/environment` and then do what
/// the shell is told to do.
fn spies(names: &[(&str, &str)]) -> PathBuf {
    let dir = here().join("spies");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, then) in names {
        let path = dir.join(name);
        let log = here().join("environment");
        let script = format!(
            "#!/bin/sh\necho '== {name}' >> {0}; env >> {0}\n{then}\n",
            log.display()
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    dir
}

fn with_keys(args: &[&str], spies: &Path) -> Said {
    let mut path = spies.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new(binary("buttersink"));
    command.args(args).env("PATH", path);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIA")
        .env("AWS_SESSION_TOKEN", "t0k3n");
    crate::bucket::said(command.env("AWS_SECRET_ACCESS_KEY", "s3cr3t"))
}

/// `btrfs` and `ssh`; that of hooks is in `scheduled`.
fn children_get_no_keys() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let v = a.join("v");
    run("btrfs", [Path::new("subvolume"), "create".as_ref(), &v]);
    std::fs::create_dir(a.join("snapshots")).unwrap();
    let one = a.join("snapshots/one");
    run(
        "btrfs",
        [
            "subvolume".as_ref(),
            "snapshot".as_ref(),
            "-r".as_ref(),
            v.as_os_str(),
            one.as_os_str(),
        ],
    );
    let real = run("sh", ["-c", "command -v btrfs"]);
    let spies = spies(&[
        ("btrfs", &format!("exec {} \"$@\"", real.trim())),
        ("ssh", "exit 1"),
    ]);
    let (from, to) = (
        format!("{}/snapshots/", a.display()),
        format!("{}/", b.display()),
    );
    assert_eq!(with_keys(&[&from, &to], &spies).code, 0);
    assert_eq!(with_keys(&["ssh://h/x/"], &spies).code, 1);
    let text = std::fs::read_to_string(here().join("environment")).unwrap();
    assert!(text.contains("== btrfs") && text.contains("== ssh") && text.contains("PATH="));
    for secret in ["AKIA", "s3cr3t", "t0k3n"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Runs a command as a user who is nobody else.
fn nobody(program: &str, args: &[&Path]) {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", program];
    run(
        "setpriv",
        user.iter().map(Path::new).chain(args.iter().copied()),
    );
}

/// `buttersink` where namespaces are refused, as in some containers.
fn without_namespaces() -> Command {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let mut command = Command::new("strace");
    command.args(["--seccomp-bpf", "-f", "-o", "/dev/null", "-e"]);
    command.args(["trace=unshare", "-e", "inject=unshare:error=EPERM"]);
    command.arg(binary("buttersink"));
    command
}

/// Names of tests stand in the page, and are those of tests that are run.
fn each_line_has_a_test() {
    let page = crate::documents::text("man/buttersink-security.7");
    let (held, not_held) = page.split_once(".Sh NOT HELD").unwrap();
    assert!(!not_held.contains(".Pq Li "));
    let (unit, run) = (unit_tests(), integration_tests());
    for line in held.split("\n.It\n") {
        let names = names_in(line);
        assert!(!names.is_empty(), "no test of: {line}");
        for name in names {
            assert!(unit.contains(name) || run.contains(name), "no test {name}");
        }
    }
}

fn names_in(line: &str) -> Vec<&str> {
    let names = line.lines().filter_map(|line| line.strip_prefix(".Pq Li "));
    names.flat_map(|names| names.split(" , ")).collect()
}

/// As the runner itself lists them, without module, and without the server that some are run on.
fn integration_tests() -> HashSet<String> {
    let me = std::env::current_exe().unwrap();
    let listed = run(me.to_str().unwrap(), ["--list", "--format", "terse"]);
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let names = names.map(|name| name.rsplit("::").next().unwrap());
    let servers = ["_seaweedfs", "_radosgw"];
    let bare = |name: &str| {
        let bare = servers.iter().find_map(|server| name.strip_suffix(server));
        bare.unwrap_or(name).to_owned()
    };
    names.map(bare).collect()
}

/// Functions of the library with the attribute.
fn unit_tests() -> HashSet<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let top = top.to_str().unwrap();
    let sources = run("find", [top, "-name", "*.rs", "-exec", "cat", "{}", "+"]);
    let tests = sources.split("#[test]").skip(1);
    let names = tests.filter_map(|after| after.split_once("fn ")?.1.split_once('('));
    names.map(|(name, _)| name.to_owned()).collect()
}
