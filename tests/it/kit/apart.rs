//! A process of its own for each test, in a scratch directory of its own, with a time limit, and a
//! clean machine afterwards whatever it did.

use crate::support;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Where this process may write, if it is such a one.
pub(crate) const SCRATCH: &str = "BUTTERSINK_TEST_SCRATCH";

/// In the process of a test, signals do what they do in a terminal, whatever those ignore who called
/// us (`nohup`, and a shell's `&`).
pub(crate) fn heed_signals() {
    if std::env::var_os(SCRATCH).is_some() {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            heed(signal);
        }
    }
}

#[allow(unsafe_code)]
fn heed(signal: libc::c_int) {
    // SAFETY: the default disposition has no handler, and so no memory that it could touch.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Runs ourselves with these words, in a scratch directory of that name, and cleans up; the exit code
/// and what was printed. There is no code if it was killed, as it is after [`TIME_LIMIT`].
pub(crate) fn alone(name: &str, words: &[&str]) -> (Option<i32>, String) {
    alone_with(name, words, &[])
}

/// The same, with these in the environment.
pub(crate) fn alone_with(
    name: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let dir = support::scratch_dir(name);
    clean(&dir);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    let log = dir.join("output");
    let mut child = started(words, environment, &dir, &log);
    let code = ended(&mut child);
    let _ = Command::new("kill")
        .args(["-9", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    clean(&dir);
    (code, text)
}

fn started(words: &[&str], environment: &[(&str, &str)], dir: &Path, log: &Path) -> Child {
    let output = std::fs::File::create(log).expect("output file");
    Command::new(std::env::current_exe().expect("own path"))
        .args(words)
        .envs(environment.iter().copied())
        .env(SCRATCH, dir)
        .env("BUTTERSINK_STATE_DIR", dir.join("state"))
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("output file"))
        .stderr(output)
        .process_group(0)
        .spawn()
        .expect("cannot start a test")
}

fn ended(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        match child.try_wait().expect("wait") {
            Some(status) => return status.code(),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Unmounts what is mounted below `dir`, detaches loop devices of its files, removes it.
fn clean(dir: &Path) {
    for mount in mounts_below(dir).into_iter().rev() {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(mount)
            .stderr(Stdio::null())
            .status();
    }
    let Ok(text) = Command::new("losetup")
        .args(["-l", "-n", "-O", "NAME,BACK-FILE"])
        .output()
    else {
        return;
    };
    for line in String::from_utf8_lossy(&text.stdout).lines() {
        if let Some((device, file)) = line.split_once(' ')
            && Path::new(file.trim()).starts_with(dir)
        {
            let _ = Command::new("losetup").args(["-d", device]).status();
        }
    }
    let _ = std::fs::remove_dir_all(dir);
}

/// Read as bytes: a mount point of somebody else need not be UTF-8.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let paths = text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(support::unescape_mount);
    paths.filter(|path| path.starts_with(dir)).collect()
}
