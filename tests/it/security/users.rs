//! What a local user can do to root with files and directories of his own.

use super::nobody;
use crate::runner::Test;
use crate::subvolumes::{snapshot, subvolume};
use crate::support::*;
use crate::tests;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    hooks_are_run_only_from_what_only_root_can_write,
    configurations_of_others_say_less,
    unconfined_by_a_configuration_of_roots,
    links_of_users_lead_root_nowhere,
    fifos_and_devices_block_nothing,
    logs_lead_nowhere_else,
    lists_are_ordinary_files,
    snapshot_folders_lead_nowhere,
    locks_of_others_are_refused,
    a_change_is_a_line_whatever_it_is_called,
];

/// A directory of the user's own.
fn theirs(name: &str) -> PathBuf {
    let dir = here().join(name);
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(65534), Some(65534)).unwrap();
    dir
}

fn configuration(more: &str) -> String {
    format!(
        "subvolumes.paths = ['{0}/live']\nglobal.lock_path = '{0}/lock'\nglobal.state_path = '{0}/state'\n\
         [s3]\nbucket = 'b'\nregion = 'us-east-1'\nprefix = 'p'\nendpoint_url = 'http://127.0.0.1:9'\n{more}",
        here().display()
    )
}

/// `buttersink ARGS…`, which must end by itself; with keys for nothing.
fn soon(args: &[&str], more: &[(&str, &Path)]) -> Said {
    let mut command = Command::new("timeout");
    command
        .args(["-s", "KILL", "60"])
        .arg(binary("buttersink"))
        .args(args);
    command
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b");
    command.envs(more.iter().copied());
    crate::bucket::said(&mut command)
}

fn hooks_are_run_only_from_what_only_root_can_write() {
    need_btrfs();
    let (dir, pwned) = (theirs("home"), here().join("pwned"));
    let hooks = format!("[hooks]\nbefore = ['/bin/touch', '{}']\n", pwned.display());
    let good = here().join("good.toml");
    fs::write(&good, configuration("")).unwrap();
    fs::write(dir.join("own.toml"), configuration(&hooks)).unwrap();
    chown(dir.join("own.toml"), Some(65534), None).unwrap();
    // Root's own file, by a link that can be exchanged between one look and the next.
    symlink(&good, dir.join("link.toml")).unwrap();
    fs::write(dir.join("roots.toml"), configuration(&hooks)).unwrap();
    for (name, words) in [
        (
            "own.toml",
            "only root may be able to write a file that has hooks.before",
        ),
        (
            "roots.toml",
            "only root may be able to write a file that has hooks.before",
        ),
        ("link.toml", "not root's alone"),
    ] {
        let path = dir.join(name);
        let said = soon(&["backup", "--config", path.to_str().unwrap()], &[]);
        assert!(said.code != 0 && said.stderr.contains(words), "{name}");
        assert!(!pwned.exists());
    }
    // Links that are root's, as NixOS has them, are followed.
    symlink(&good, here().join("way.toml")).unwrap();
    let way = here().join("way.toml");
    let said = soon(
        &["config", "check", "--offline", way.to_str().unwrap()],
        &[],
    );
    assert!(!said.stderr.contains("link"), "{}", said.stderr);
}

/// Each of the files that root reads, by a link that a user can turn to something else.
fn links_of_users_lead_root_nowhere() {
    need_btrfs();
    let (dir, roots) = (theirs("home"), here().join("roots"));
    fs::create_dir(&roots).unwrap();
    let link = |name: &str, text: &str| {
        fs::write(roots.join(name), text).unwrap();
        symlink(roots.join(name), dir.join(name)).unwrap();
        dir.join(name)
    };
    let keys = "[default]\naws_access_key_id = k\naws_secret_access_key = s\n";
    let bucket = ["list", "s3://b/p/", "--endpoint-url", "https://127.0.0.1:9"];
    for (what, args, variables) in [
        ("configuration", vec!["backup", "--config"], vec![]),
        (
            "configuration",
            vec!["config", "check", "--offline"],
            vec![],
        ),
        ("keys", bucket.to_vec(), vec!["AWS_SHARED_CREDENTIALS_FILE"]),
        ("profiles", bucket.to_vec(), vec!["AWS_CONFIG_FILE"]),
        ("authorities", bucket.to_vec(), vec!["AWS_CA_BUNDLE"]),
    ] {
        let path = link(&format!("{what}{}", args.len()), keys);
        let mut args = args;
        if variables.is_empty() {
            args.push(path.to_str().unwrap());
        }
        let set = variables.iter().map(|name| (*name, &*path));
        let said = soon(&args, &set.collect::<Vec<_>>());
        let refused = said.code != 0 && said.stderr.contains("root's alone");
        assert!(refused, "{what} {args:?}: {} {}", said.code, said.stderr);
    }
}

/// What names programs, or lets foreign streams write anywhere, is root's to say; the rest is anybody's.
fn configurations_of_others_say_less() {
    need_btrfs();
    let dir = theirs("home");
    let far = "[[destination]]\nlocation = 'ssh://h/d/'\n";
    let proxy = format!("{far}ssh_options = ['ProxyCommand=/bin/false']\n");
    for (more, key) in [
        (&*proxy, "destination.ssh_options"),
        ("[notify]\ncommand = ['/bin/false']\n", "notify.command"),
        ("[hooks]\nafter = ['/bin/false']\n", "hooks.after"),
        (
            "[restore]\nreceive_unconfined = true\n",
            "restore.receive_unconfined",
        ),
        ("[restore]\nreceive_unconfined = false\n", ""),
        ("", ""),
    ] {
        let refused = |path: &Path| {
            fs::write(path, configuration(more)).unwrap();
            let path = path.to_str().unwrap();
            let said = soon(&["config", "check", "--offline", path], &[]);
            let words = format!("a file that has {key}\n");
            !key.is_empty() && said.code != 0 && said.stderr.contains(&words)
        };
        assert_eq!(refused(&dir.join("own.toml")), !key.is_empty(), "{key}");
        assert!(!refused(&here().join("roots.toml")), "{key}");
    }
}

fn unconfined_by_a_configuration_of_roots() {
    let (near, back) = (btrfs("near", 256), btrfs("back", 256));
    subvolume(&near.join("live"));
    fs::create_dir(here().join("bucket")).unwrap();
    let config = here().join("c.toml");
    let path = config.to_str().unwrap();
    let write = |more: &str| {
        let (top, near, back) = (here(), near.display(), back.display());
        let text = format!(
            "subvolumes.paths = ['{near}/live']\nsnapshots.base_dir = '{near}/kept'\n\
             global.lock_path = '{0}/lock'\nglobal.state_path = '{0}/state'\n\
             [s3]\nbucket = 'raw:{0}/bucket'\nprefix = 'p'\n\
             [restore]\ntarget_base_dir = '{back}/from'\nreceive_with = 'btrfs'\n{more}",
            top.display()
        );
        fs::write(&config, text).unwrap();
    };
    write("");
    // What the state is written by way of.
    run("mkfifo", [here().join("state.json.new")]);
    let said = soon(&["backup", "--once", "--config", path], &[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let target = back.join("live");
    let restored = || {
        let mut command = super::without_namespaces();
        command.args(["restore", "--config", path, "--subvolume", "live"]);
        let said = crate::bucket::said(command.arg("--target").arg(&target));
        assert!(said.code == 0 || said.stderr.contains("cannot be confined"));
        said.code == 0
    };
    assert!(!restored() && !target.exists());
    write("receive_unconfined = true\n");
    assert!(restored() && target.exists());
}

/// In the transaction log, of snapshots that a user named.
fn a_change_is_a_line_whatever_it_is_called() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let (live, snaps, log) = (a.join("live"), a.join("snaps"), here().join("log"));
    subvolume(&live);
    fs::create_dir(&snaps).unwrap();
    let forged = "\n2026-11-30T02:00:00.000Z done delete x\r\u{85}\u{2028}\u{1b}[2K";
    let names = [format!("one{forged}"), format!("two{forged}")];
    for name in &names {
        snapshot(&live, &snaps.join(name));
    }
    let (from, to) = (format!("{}/", snaps.display()), format!("{}/", b.display()));
    let log = log.to_str().unwrap();
    let sync = |more: &[&str]| {
        let words = [&["--transaction-log", log, &*from, &*to][..], more].concat();
        assert_eq!(soon(&words, &[]).code, 0);
        let text = fs::read_to_string(log).unwrap();
        assert!(!text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{2028}')));
        let starts = text.lines().map(|line| line.split_once(' ').unwrap().1);
        let kinds = starts.map(|line| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "));
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(sync(&[]), ["done receive"; 2]);
    run(
        "btrfs",
        [
            "-q",
            "subvolume",
            "delete",
            snaps.join(&names[1]).to_str().unwrap(),
        ],
    );
    let all = sync(&["-d"]);
    assert_eq!(all[2..], ["done delete"], "{all:?}");
}

/// Each in the place of a file that is read or locked.
fn fifos_and_devices_block_nothing() {
    need_btrfs();
    let dir = theirs("home");
    let fifo = dir.join("fifo");
    nobody("mkfifo", &[&fifo]);
    let zero = PathBuf::from("/dev/zero");
    let good = here().join("good.toml");
    fs::write(&good, configuration("")).unwrap();
    for file in [&fifo, &zero] {
        let refused = |args: &[&str], more: &[(&str, &Path)]| {
            let said = soon(args, more);
            assert!(matches!(said.code, 1 | 2 | 10), "{}", said.code);
            assert!(said.stderr.contains("ordinary file"), "{args:?} {more:?}");
        };
        let path = file.to_str().unwrap();
        refused(&["backup", "--config", path], &[]);
        refused(&["config", "import", path], &[]);
        for option in ["--logfile", "--transaction-log"] {
            refused(&["list", option, path, "/"], &[]);
        }
        let status = ["status", "--config", good.to_str().unwrap()];
        refused(&[&status[..], &["--prometheus", path]].concat(), &[]);
        let list = ["--endpoint-url", "http://127.0.0.1:9", "s3://b/p/"];
        refused(&list, &[("AWS_CONFIG_FILE", file)]);
        refused(&list, &[("AWS_SHARED_CREDENTIALS_FILE", file)]);
        refused(&list, &[("AWS_CA_BUNDLE", file)]);
        let lock = fs::read_to_string(&good).unwrap();
        let other = here().join("other.toml");
        let lock = lock.replace(&format!("{}/lock", here().display()), path);
        fs::write(&other, lock).unwrap();
        refused(&["backup", "--config", other.to_str().unwrap()], &[]);
    }
}

/// What is written to a log goes where the log is said to be, and standard error is written to whatever it is.
fn logs_lead_nowhere_else() {
    let dir = theirs("home");
    let (link, secret) = (dir.join("log"), here().join("secret"));
    fs::write(&secret, "roots").unwrap();
    symlink(&secret, &link).unwrap();
    for option in ["--logfile", "--transaction-log"] {
        let said = soon(&["list", option, link.to_str().unwrap(), "/"], &[]);
        assert_eq!(said.code, 1);
        assert!(
            said.stderr.contains("is a symbolic link"),
            "{}",
            said.stderr
        );
        let own = here().join("own.log");
        let said = soon(&["list", option, own.to_str().unwrap(), "/nowhere"], &[]);
        assert!(own.exists() && !said.stderr.contains("own.log"));
    }
    assert_eq!(fs::read(&secret).unwrap(), b"roots");
    // As a unit's is.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(binary("buttersink"));
    command.args(["backup", "--debug", "/nowhere/a", "/nowhere/b"]);
    command.stderr(Stdio::from(OwnedFd::from(theirs)));
    let code = command.status().unwrap().code();
    drop(command);
    let said = std::io::read_to_string(ours).unwrap();
    assert!(code == Some(1) && said.contains("/nowhere/a"), "{said}");
    assert!(!said.contains("standard error") && !said.contains("log file"));
}

fn lists_are_ordinary_files() {
    let dir = theirs("home");
    nobody("mkfifo", &[&dir.join("a.ls")]);
    symlink("/dev/zero", dir.join("b.files")).unwrap();
    symlink("/dev/zero", dir.join("c.sha256sum")).unwrap();
    for name in ["a", "b", "c", "d"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    // The lists that a .sha256sum names.
    let digest = "0".repeat(64);
    fs::write(
        dir.join("d.sha256sum"),
        format!("{digest}  d.ls\n{digest}  d.files\n"),
    )
    .unwrap();
    symlink("a.ls", dir.join("d.ls")).unwrap();
    let refused = |name: &str, words: &str| {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60", "prlimit", "--as=900000000"]);
        command.arg(binary("checksumdir")).arg("--check");
        let said = crate::bucket::said(command.arg(dir.join(name)));
        assert_eq!(said.code, 1, "{name}");
        assert!(said.stderr.contains(words), "{name}");
    };
    for name in ["a.ls", "b.files", "c.sha256sum", "d.sha256sum"] {
        refused(name, "ordinary file");
    }
    // Longer than any memory, and nothing in it.
    fs::create_dir(dir.join("e")).unwrap();
    let long = fs::File::create(dir.join("e.files")).unwrap();
    long.set_len(1 << 40).unwrap();
    refused("e.files", "line 1 is not one");
}

/// The folder of snapshots is looked up inside of what the user owns.
fn snapshot_folders_lead_nowhere() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let (home, private) = (a.join("home"), a.join("admin"));
    subvolume(&home);
    chown(&home, Some(65534), Some(65534)).unwrap();
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, PermissionsExt::from_mode(0o700)).unwrap();
    snapshot(&home, &private.join("precious"));
    nobody("ln", &["-s".as_ref(), &private, &home.join("snapshot")]);
    let said = soon(
        &["backup", home.to_str().unwrap(), b.to_str().unwrap()],
        &[],
    );
    assert!(
        said.code != 0 && said.stderr.contains("not root's alone"),
        "{}",
        said.stderr
    );
    let left: Vec<_> = fs::read_dir(&private).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    fs::remove_file(home.join("snapshot")).unwrap();
    let said = soon(
        &["backup", home.to_str().unwrap(), b.to_str().unwrap()],
        &[],
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
}

/// In a directory for all, as `/run/lock` is: he makes the lock first, or opens ours, and holds it.
fn locks_of_others_are_refused() {
    need_btrfs();
    let dir = here().join("run");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o1777)).unwrap();
    let (lock, good) = (dir.join("x.lock"), here().join("good.toml"));
    let text = configuration("").replace(
        &format!("{}/lock", here().display()),
        lock.to_str().unwrap(),
    );
    fs::write(&good, text).unwrap();
    let backup = || soon(&["backup", "--config", good.to_str().unwrap()], &[]);
    nobody("touch", &[&lock]);
    let said = backup();
    assert!(
        said.code == 1 && said.stderr.contains("user 65534 made it"),
        "{}",
        said.stderr
    );
    fs::remove_file(&lock).unwrap();
    // As btrfs_to_s3 made it.
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(backup().stderr.contains("cannot open"));
    assert_eq!(
        fs::metadata(&lock).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Where the configuration does not say, it is where only root can have put it.
    let own_line = format!("global.lock_path = '{}/lock'\n", here().display());
    fs::write(&good, configuration("").replace(&own_line, "")).unwrap();
    let (usual, open) = (theirs("usual"), here().join("open"));
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
    let link = here().join("link");
    symlink(here(), &link).unwrap();
    for place in [&usual, &open, &link] {
        let said = soon(
            &["backup", "--config", good.to_str().unwrap()],
            &[("BUTTERSINK_RUN_DIR", place)],
        );
        let refused =
            said.code == 1 && said.stderr.contains("not a directory that is root's alone");
        assert!(refused, "{}", said.stderr);
        assert_eq!(fs::read_dir(&usual).unwrap().count(), 0);
    }
}
