//! A real sshd on loopback with keys and a configuration of its own, and `buttersink` that uses it.

use crate::stores::two_snapshots;
use crate::support::*;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server of this test's own. The host is called `far`.
pub(crate) struct Sshd {
    pub child: Child,
    pub port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    pub(crate) fn start() -> Sshd {
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
            .stderr(File::create(here().join("sshd.log")).unwrap())
            .spawn()
            .expect("sshd");
        let server = Sshd { child, port };
        wait_for("sshd", || {
            TcpStream::connect(("127.0.0.1", server.port)).is_ok()
        });
        server
    }
}

/// How often somebody has come in, by the server's log.
pub(crate) fn came_in() -> usize {
    let log = fs::read_to_string(here().join("sshd.log")).unwrap();
    log.matches("Accepted publickey for ").count()
}

pub(crate) fn free_port() -> u16 {
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
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel INFO\n\
         SetEnv {path}\n"
    );
    fs::write(dir.join("sshd_config"), text).unwrap();
    let (key, known) = (quoted("user"), quoted("known"));
    let text = format!(
        "Host far\nHostName 127.0.0.1\nPort {port}\nHost *\nUser root\nIdentityFile {key}\nIdentitiesOnly yes\n\
         UserKnownHostsFile {known}\nStrictHostKeyChecking yes\nBatchMode yes\n\
         KexAlgorithms curve25519-sha256\n"
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

pub(crate) fn script(name: &str, text: &str) {
    let path = here().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes whose command line has this word and this directory in it.
pub(crate) fn processes(word: &str, dir: &Path) -> Vec<u32> {
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

/// `ssh://far/DIR/`
pub(crate) fn far(dir: &Path) -> OsString {
    let mut text = OsString::from("ssh://far");
    text.push(dir);
    text.push("/");
    text
}

/// `DIR/`
pub(crate) fn near(dir: &Path) -> OsString {
    dir.join("").into()
}

pub(crate) fn command<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Command {
    let mut command = Command::new(binary("buttersink"));
    command
        .args(args)
        .current_dir(here())
        .env("BUTTERSINK_SSH", "./ssh");
    command
}

/// Runs `buttersink ARGS…` with `./ssh`.
pub(crate) fn buttersink<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    let output = output(&mut command(args));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn fine<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    let said = buttersink(args);
    assert_eq!(said.code, 0);
    said
}

/// The remote commands so far.
pub(crate) fn asked() -> Vec<String> {
    let log = fs::read_to_string(here().join("ssh.log")).unwrap_or_default();
    let words = |line: &str| line.split_once(" far ").expect("a host").1.to_owned();
    log.lines().map(words).collect()
}

pub(crate) fn dirs() -> (PathBuf, PathBuf) {
    (two_snapshots(&btrfs("near", 512), 3), btrfs("far", 512))
}

/// With a snapshot that is far larger than what pipes and ssh hold on the way.
pub(crate) fn large_dirs() -> (PathBuf, PathBuf) {
    (two_snapshots(&btrfs("near", 512), 40), btrfs("far", 512))
}
