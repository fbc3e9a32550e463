//! A real sshd on loopback with keys and a configuration of its own, and real filesystems on both
//! ends: what works, what is refused, and what happens when something dies.

use crate::contract;
use crate::faults;
use crate::runner::Test;
use crate::stores::{Directories, assert_same, fill, snapshot, subvolume, two_snapshots};
use crate::support::*;
use crate::tests;
use buttersink::process::Priority;
use buttersink::store::local::Manner;
use buttersink::store::{self, Access, Means, Place, Store};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![
    ssh_keeps_the_contract,
    push_pull_list_and_delete,
    from_far_to_far,
    odd_names_travel,
    compressed_data_travels,
    a_forced_command_decides,
    each_mode_is_refused_what_it_must_be,
    nothing_leads_out_of_the_directory,
    ssh_is_killed_in_a_push,
    ssh_is_killed_in_a_pull,
    the_server_is_killed_in_a_push,
    the_server_is_killed_in_a_pull,
    a_far_disk_fills_up,
    a_stopped_peer_is_noticed,
    ctrl_c_leaves_nothing,
    a_far_lock_is_respected,
    common_mistakes_have_a_way_out,
];

/// A server of this test's own. The host is called `far`.
struct Sshd {
    child: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    fn start() -> Sshd {
        need_btrfs();
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"];
        let Some(sshd) = sshd.into_iter().find(|path| Path::new(path).exists()) else {
            skip("needs sshd");
        };
        // Its own package makes this when the service starts.
        fs::create_dir_all("/run/sshd").expect("/run/sshd");
        let port = free_port();
        configure(port);
        let child = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(here().join("sshd_config"))
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd");
        let server = Sshd { child, port };
        wait_for("sshd", || {
            TcpStream::connect(("127.0.0.1", server.port)).is_ok()
        });
        server
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Keys, configurations, a directory of programs for the far side, and `./ssh`, which logs how
/// it was called.
fn configure(port: u16) {
    let dir = here();
    let quoted = |name: &str| format!("\"{}\"", dir.join(name).display());
    for key in ["host", "user"] {
        run(
            "ssh-keygen",
            [
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                dir.join(key).to_str().unwrap(),
            ],
        );
    }
    fs::copy(dir.join("user.pub"), dir.join("authorized_keys")).unwrap();
    let (host, keys, bin) = (quoted("host"), quoted("authorized_keys"), dir.join("bin"));
    let path = format!("\"PATH={}:/usr/sbin:/usr/bin:/sbin:/bin\"", bin.display());
    let text = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel ERROR\n\
         SetEnv {path}\n"
    );
    fs::write(dir.join("sshd_config"), text).unwrap();
    let (key, known) = (quoted("user"), quoted("known"));
    let text = format!(
        "Host far\nHostName 127.0.0.1\nPort {port}\nHost *\nUser root\nIdentityFile {key}\nIdentitiesOnly yes\n\
         UserKnownHostsFile {known}\nStrictHostKeyChecking yes\nBatchMode yes\n"
    );
    fs::write(dir.join("ssh_config"), text).unwrap();
    let key = fs::read_to_string(dir.join("host.pub")).unwrap();
    fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
    fs::create_dir(&bin).unwrap();
    symlink(binary("buttersink"), bin.join("buttersink")).unwrap();
    script("bin/sudo", "exec \"$@\"");
    script(
        "ssh",
        "printf '%s\\n' \"$*\" >>ssh.log\nexec ssh -F ssh_config \"$@\"",
    );
}

fn script(name: &str, text: &str) {
    let path = here().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `ssh://far/DIR/`
fn far(dir: &Path) -> OsString {
    let mut text = OsString::from("ssh://far");
    text.push(dir);
    text.push("/");
    text
}

/// `DIR/`
fn near(dir: &Path) -> OsString {
    dir.join("").into()
}

fn command<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Command {
    let mut command = Command::new(binary("buttersink"));
    command
        .args(args)
        .current_dir(here())
        .env("BUTTERSINK_SSH", "./ssh");
    command
}

/// Runs `buttersink ARGS…` with `./ssh`.
fn buttersink<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    let output = output(&mut command(args));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn fine<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    let said = buttersink(args);
    assert_eq!(said.code, 0);
    said
}

/// The remote commands so far.
fn asked() -> Vec<String> {
    let log = fs::read_to_string(here().join("ssh.log")).unwrap_or_default();
    let words = |line: &str| line.split_once(" far ").expect("a host").1.to_owned();
    log.lines().map(words).collect()
}

fn dirs() -> (PathBuf, PathBuf) {
    (two_snapshots(&btrfs("near", 512), 3), btrfs("far", 512))
}

/// With a snapshot that is far larger than what pipes and ssh hold on the way.
fn large_dirs() -> (PathBuf, PathBuf) {
    (two_snapshots(&btrfs("near", 512), 40), btrfs("far", 512))
}

fn ssh_keeps_the_contract() {
    let _sshd = Sshd::start();
    std::env::set_current_dir(here()).unwrap();
    let open = |dir: &Path, access| -> Box<dyn Store> {
        let place = far(dir).into_vec().split_off("ssh://".len());
        let (priority, compressed) = (Priority::Normal, false);
        let mut ssh = store::ssh::Options::default();
        ssh.command = "./ssh".into();
        let means = Means {
            manner: Manner {
                priority,
                compressed,
            },
            ssh,
        };
        store::open(&Place::Ssh(OsString::from_vec(place)), access, &means).unwrap()
    };
    let mut world = Directories::new(Box::new(open));
    contract::all(&mut world);
    faults::all(&mut world);
}

fn push_pull_list_and_delete() {
    let sshd = Sshd::start();
    let (snaps, root) = dirs();
    let there = root.join("backup");
    fs::create_dir(&there).unwrap();

    let plan = fine([OsStr::new("-n"), &near(&snaps), &far(&there)]);
    assert!(plan.stdout.contains("base") && plan.stdout.contains("next"));
    assert_eq!(
        fs::read_dir(&there).unwrap().count(),
        0,
        "a dry run changes nothing"
    );
    fine([near(&snaps), far(&there)]);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &there.join(name));
    }
    let list = fine([far(&there)]);
    assert!(list.stdout.contains("base") && list.stdout.contains("next"));

    // What is there is not sent again; with a name it is one snapshot; this is one directory.
    fine([near(&snaps), far(&there)]);
    let back = root.join("back");
    fs::create_dir(&back).unwrap();
    let one = there.join("base");
    let url = format!("ssh://root@127.0.0.1:{}{}", sshd.port, one.display());
    let home = btrfs("home", 512);
    fine([url, home.display().to_string()]);
    assert_same(&one, &home.join("base"));
    fine([far(&there), near(&home)]);
    assert_same(&there.join("next"), &home.join("next"));

    subvolume(["delete".as_ref(), snaps.join("base").as_ref()]);
    fine([OsStr::new("-d"), &near(&snaps), &far(&there)]);
    assert!(!there.join("base").exists() && there.join("next").exists());

    let dir = format!("{}/", there.display());
    let words = |mode: char| format!("sudo buttersink --server --mode {mode} {dir}");
    let modes: Vec<String> = "rararrw".chars().map(words).collect();
    let log = fs::read_to_string(here().join("ssh.log")).unwrap();
    let said: Vec<&str> = log
        .lines()
        .map(|line| &line[line.find("sudo").unwrap()..])
        .collect();
    assert_eq!(
        said, modes,
        "one connection a run, with no more rights than it needs"
    );
}

fn from_far_to_far() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    fine([far(&snaps), far(&root)]);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &root.join(name));
    }
    assert_eq!(asked().len(), 2);
}

fn odd_names_travel() {
    let _sshd = Sshd::start();
    let (near_fs, far_fs) = (btrfs("near", 512), btrfs("far", 512));
    let work = near_fs.join("work");
    subvolume(["create".as_ref(), work.as_ref()]);
    fill(&work, "files", 1);
    let odd: [&[u8]; 5] = [
        b"with space",
        b"it's \"quoted\" \\ $HOME `id`",
        b"new\nline",
        b"\xff\xfe",
        b"%41",
    ];
    let (snaps, there) = (
        near_fs.join(OsStr::from_bytes(odd[1])),
        far_fs.join(OsStr::from_bytes(odd[3])),
    );
    // The directories' names have to pass the far side's shell, those of snapshots the protocol.
    let there = there
        .join(OsStr::from_bytes(odd[2]))
        .join(OsStr::from_bytes(odd[1]));
    fs::create_dir(&snaps).unwrap();
    fs::create_dir_all(&there).unwrap();
    for name in odd {
        snapshot(&work, &snaps.join(OsStr::from_bytes(name)));
    }
    fine([near(&snaps), far(&there)]);
    let back = near_fs.join("back");
    fs::create_dir(&back).unwrap();
    for name in odd {
        assert_same(
            &snaps.join(OsStr::from_bytes(name)),
            &there.join(OsStr::from_bytes(name)),
        );
    }
    let list = fine([far(&there)]).stdout;
    for shown in ["with space", "new\\nline", "\\xff\\xfe", "%41"] {
        assert!(list.contains(shown), "{shown}");
    }
}

fn compressed_data_travels() {
    let _sshd = Sshd::start();
    let near_fs = btrfs_with("near", 512, &[], "compress-force=zstd");
    let far_fs = btrfs("far", 512);
    let (work, snaps) = (near_fs.join("work"), near_fs.join("snaps"));
    subvolume(["create".as_ref(), work.as_ref()]);
    fs::create_dir(&snaps).unwrap();
    fs::write(work.join("zeros"), "much the same ".repeat(1 << 20)).unwrap();
    snapshot(&work, &snaps.join("one"));
    fine([
        OsStr::new("--compressed-data"),
        &near(&snaps),
        &far(&far_fs),
    ]);
    assert_same(&snaps.join("one"), &far_fs.join("one"));
    let back = btrfs("back", 512);
    fine([OsStr::new("--compressed-data"), &far(&far_fs), &near(&back)]);
    assert_same(&snaps.join("one"), &back.join("one"));
}

/// From now on a client gets this command, whatever it asks for.
fn force(mode: char, dir: &Path) {
    let key = fs::read_to_string(here().join("user.pub")).unwrap();
    let line = format!(
        "command=\"buttersink --server --mode {mode} '{}'\",restrict {key}",
        dir.display()
    );
    fs::write(here().join("authorized_keys"), line).unwrap();
}

fn a_forced_command_decides() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    let (granted, other) = (root.join("host1"), root.join("host2"));
    fs::create_dir(&granted).unwrap();
    fs::create_dir(&other).unwrap();
    force('a', &granted);
    let said = fine([near(&snaps), far(&other)]);
    assert!(
        said.stderr.contains("host1") && said.stderr.contains("where"),
        "said where it went"
    );
    assert_same(&snaps.join("next"), &granted.join("next"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    // What is asked for is not even looked at.
    let words = [
        OsStr::new("--remote-sudo"),
        "touch".as_ref(),
        "--remote-command".as_ref(),
    ];
    let evil = here().join("evil");
    let url = far(&granted);
    fine([&words[..], &[evil.as_os_str(), &url]].concat());
    assert!(!evil.exists());
}

fn each_mode_is_refused_what_it_must_be() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    for mode in ['r', 'a', 'w'] {
        let there = root.join(mode.to_string());
        fs::create_dir(&there).unwrap();
        force(mode, &there);
        let push = buttersink([near(&snaps), far(&there)]);
        if mode == 'r' {
            assert_eq!(push.code, 1);
            assert!(
                push.stderr
                    .contains("grants mode r, and this run needs mode a")
            );
            assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
            continue;
        }
        assert_eq!(push.code, 0);
        fine([far(&there)]);
        subvolume(["delete".as_ref(), snaps.join("base").as_ref()]);
        let delete = buttersink([OsStr::new("-d"), &near(&snaps), &far(&there)]);
        assert_eq!(delete.code, if mode == 'w' { 0 } else { 1 });
        assert_eq!(there.join("base").exists(), mode == 'a');
        if mode == 'a' {
            assert!(
                delete
                    .stderr
                    .contains("grants mode a, and this run needs mode w")
            );
            // Bring it back, for the next mode to delete.
            fine([OsString::from(there.join("base")), near(&snaps)]);
            subvolume(["delete".as_ref(), there.join("base").as_ref()]);
            subvolume(["delete".as_ref(), there.join("next").as_ref()]);
        }
    }
}

/// Says these frames to a real server in a mode; everything that it answers.
fn raw(mode: &str, dir: &Path, frames: &[(u8, String)]) -> String {
    use std::io::Write;
    let mut child = Command::new(binary("buttersink"))
        .args(["--server", "--mode", mode])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for (kind, body) in frames {
        let length = (body.len() as u32).to_le_bytes();
        input
            .write_all(&[&[*kind][..], &length, body.as_bytes()].concat())
            .unwrap();
    }
    drop(input);
    let said = child.wait_with_output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{said:?}");
    said
}

fn nothing_leads_out_of_the_directory() {
    let (snaps, root) = dirs();
    let (inside, outside) = (root.join("inside"), root.join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, inside.join("way")).unwrap();
    symlink("../outside", inside.join("other")).unwrap();
    subvolume(["create".as_ref(), outside.join("base").as_ref()]);
    fine([near(&snaps), near(&inside)]);
    let hello = (b'H', r#"{"program":"x","protocol":1}"#.to_owned());
    let ask = |text: String| (b'Q', text);
    let diff = r#"{"to":"11111111-1111-1111-1111-111111111111","from":null,"size":"unknown"}"#;
    let absolute = outside.display().to_string();
    let names = [
        "way/base",
        "other/base",
        "way",
        "../outside/base",
        "",
        "..",
        "a/../../x",
        "x%00y",
        ".buttersink",
        &absolute,
    ];
    for name in names {
        let said = raw(
            "w",
            &inside,
            &[
                hello.clone(),
                ask(format!(r#"{{"ask":"delete","path":"{name}"}}"#)),
                ask(format!(r#"{{"ask":"copy","from":"{name}","to":"new"}}"#)),
                ask(format!(r#"{{"ask":"copy","from":"base","to":"{name}"}}"#)),
                ask(format!(
                    r#"{{"ask":"copy","from":"base","to":"{name}/new"}}"#
                )),
                ask(format!(
                    r#"{{"ask":"receive","diff":{diff},"path":"{name}/new"}}"#
                )),
            ],
        );
        assert_eq!(said.matches("hangs_up").count(), 5, "{name}: five refusals");
        assert!(!said.contains("hangs_up\":true"), "{name}");
    }
    let left = fs::read_dir(&outside)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["base"]);
    assert!(!inside.join("new").exists());
}

/// Starts a slow transfer, and returns when it is under way.
fn slow(args: &[&OsStr], begun: impl FnMut() -> bool) -> Child {
    let options = ["--bwlimit", "6M"].map(OsStr::new);
    let mut command = command([&options[..], args].concat());
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the transfer to begin", begun);
    // A moment more, so that it is in the middle.
    std::thread::sleep(Duration::from_millis(300));
    child
}

fn ended(child: Child) -> (i32, String) {
    let said = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    println!("{}: {text}", said.status);
    assert!(
        !text.contains("Broken pipe") && !text.contains("EPIPE"),
        "{text}"
    );
    (said.status.code().unwrap_or(-1), text)
}

/// Processes whose command line has this word and this directory in it.
fn processes(word: &str, dir: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with(word) && line.contains(dir.to_str().unwrap()) {
            found.push(pid);
        }
    }
    found
}

fn signal(name: &str, pids: &[u32]) {
    assert!(!pids.is_empty(), "nobody to signal");
    let words = pids.iter().map(ToString::to_string);
    run("kill", std::iter::once(format!("-{name}")).chain(words));
}

fn servers(dir: &Path) -> Vec<u32> {
    processes("buttersink --server", dir)
}

fn part(dir: &Path) -> bool {
    let names = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    names
        .into_iter()
        .any(|name| name.as_bytes().ends_with(b".part"))
}

fn lost(said: &(i32, String)) {
    assert!(said.0 == 1 || said.0 == 10, "exit {}", said.0);
    let (_, after) = said
        .1
        .split_once("connection to far lost after ")
        .expect("says how far it came");
    let words: Vec<&str> = after.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    assert!(
        words[1] == "of" && words[3].starts_with("bytes") && number(0) < number(2),
        "{after}"
    );
}

fn ssh_is_killed_in_a_push() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    signal("KILL", &processes("ssh -F", &there));
    lost(&ended(child));
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there) && !there.join("base").exists());
    fine([near(&snaps), far(&there)]);
    assert_same(&snaps.join("next"), &there.join("next"));
}

fn ssh_is_killed_in_a_pull() {
    let _sshd = Sshd::start();
    let (snaps, home) = large_dirs();
    let child = slow(&[&far(&snaps), &near(&home)], || part(&home));
    signal("KILL", &processes("ssh -F", &snaps));
    lost(&ended(child));
    assert!(!part(&home) && !home.join("base").exists());
    wait_for("the far side to end", || servers(&snaps).is_empty());
    fine([far(&snaps), near(&home)]);
    assert_same(&snaps.join("next"), &home.join("next"));
}

fn the_server_is_killed_in_a_push() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    signal("KILL", &servers(&there));
    lost(&ended(child));
    assert!(!there.join("base").exists());
    // What it left goes with the next run.
    wait_for("btrfs receive to end", || {
        processes("btrfs receive", &there).is_empty()
    });
    fine([near(&snaps), far(&there)]);
    assert!(!part(&there));
    assert_same(&snaps.join("next"), &there.join("next"));
}

fn the_server_is_killed_in_a_pull() {
    let _sshd = Sshd::start();
    let (snaps, home) = large_dirs();
    let child = slow(&[&far(&snaps), &near(&home)], || part(&home));
    signal("KILL", &servers(&snaps));
    lost(&ended(child));
    assert!(!part(&home) && !home.join("base").exists());
    fine([far(&snaps), near(&home)]);
    assert_same(&snaps.join("next"), &home.join("next"));
}

fn a_far_disk_fills_up() {
    let _sshd = Sshd::start();
    let (near_fs, there) = (btrfs("near", 1024), btrfs("far", 128));
    let (work, snaps) = (near_fs.join("work"), near_fs.join("snaps"));
    subvolume(["create".as_ref(), work.as_ref()]);
    fill(&work, "much", 200);
    fs::create_dir(&snaps).unwrap();
    snapshot(&work, &snaps.join("big"));
    // With an exact size it does not even begin; with a guess the disk decides.
    let exact = buttersink([near(&snaps), far(&there)]);
    assert_eq!(exact.code, 1);
    assert!(
        exact.stderr.contains("are free"),
        "says how much is missing"
    );
    let guess = buttersink([OsStr::new("-e"), &near(&snaps), &far(&there)]);
    assert_eq!(guess.code, 1);
    assert!(
        guess
            .stderr
            .to_lowercase()
            .contains("no space left on device")
    );
    assert!(guess.stderr.contains("far: ") && !guess.stderr.contains("Broken pipe"));
    assert!(!part(&there) && !there.join("big").exists());
}

fn a_stopped_peer_is_noticed() {
    let sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let quick = [
        "--ssh-option",
        "ServerAliveInterval=1",
        "--ssh-option",
        "ServerAliveCountMax=1",
    ];
    let (from, to) = (near(&snaps), far(&there));
    let args = [&quick.map(OsStr::new)[..], &[&from, &to]].concat();
    let child = slow(&args, || part(&there));
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default();
        fields
            .split(' ')
            .nth(1)
            .and_then(|pid| pid.parse::<u32>().ok())
    };
    // The sshd of this connection is the one whose parent is the listening one.
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mine: Vec<u32> = pids
        .filter(|&pid| parent(pid) == Some(sshd.child.id()))
        .collect();
    signal("STOP", &mine);
    let said = ended(child);
    signal("CONT", &mine);
    lost(&said);
    assert!(said.1.contains("not responding"), "in ssh's own words");
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there));
}

fn ctrl_c_leaves_nothing() {
    let _sshd = Sshd::start();
    let (snaps, there) = large_dirs();
    let child = slow(&[&near(&snaps), &far(&there)], || part(&there));
    let us = child.id();
    signal("INT", &[&processes("ssh -F", &there)[..], &[us]].concat());
    let (code, text) = ended(child);
    assert_eq!(code, 130, "{text}");
    wait_for("the far side to clean up", || servers(&there).is_empty());
    assert!(!part(&there) && !there.join("base").exists());
}

fn a_far_lock_is_respected() {
    let _sshd = Sshd::start();
    let (snaps, there) = dirs();
    let manner = Manner {
        priority: Priority::Normal,
        compressed: false,
    };
    let held = store::local::Local::open(&there, Access::Append, manner).unwrap();
    let said = buttersink([near(&snaps), far(&there)]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("far: "), "says whose lock it is");
    drop(held);
    fine([near(&snaps), far(&there)]);
}

fn common_mistakes_have_a_way_out() {
    let _sshd = Sshd::start();
    let there = btrfs("far", 256);
    let says = |args: &[&OsStr], code: i32, words: &[&str]| {
        let said = buttersink(args);
        assert_eq!(said.code, code, "{args:?}");
        for word in words {
            assert!(said.stderr.contains(word), "{word}");
        }
    };
    let url = far(&there);
    let missing = ["--remote-command", "no-such-buttersink"].map(OsStr::new);
    says(
        &[missing[0], missing[1], &url],
        1,
        &["not found", "--remote-command"],
    );
    let doas = ["--remote-sudo", "no-such-doas"].map(OsStr::new);
    says(
        &[doas[0], doas[1], &url],
        1,
        &["not found", "--remote-sudo"],
    );
    says(&[&far(&there.join("nothing"))], 1, &["far: ", "nothing"]);
    script(
        "bin/sudo",
        "echo 'sudo: a password is required' >&2; exit 1",
    );
    says(
        &[&url],
        1,
        &["a password is required", "without a password"],
    );
    says(&["--remote-sudo".as_ref(), "".as_ref(), &url], 0, &[]);
    let closed = format!("ssh://root@127.0.0.1:{}/x/", free_port());
    says(&[closed.as_ref()], 1, &["Connection refused"]);
    says(
        &["ssh://-oProxyCommand=touch/x/".as_ref()],
        2,
        &["ssh://[user@]host"],
    );
    says(&["ssh://far".as_ref()], 2, &["it has no directory"]);
    let none = ["--ssh-command", "no-such-ssh"].map(OsStr::new);
    says(
        &[none[0], none[1], &url],
        1,
        &["there is no program 'no-such-ssh'"],
    );

    let _ = fs::remove_file(here().join("bin/buttersink"));
    script("bin/buttersink", "echo Welcome to far; exit 1");
    says(
        &["--remote-sudo".as_ref(), "".as_ref(), &url],
        1,
        &["'Welco'", "login script"],
    );
}
