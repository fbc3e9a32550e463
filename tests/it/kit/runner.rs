//! The runner: one process a test, two at a time, a time limit, and a clean machine afterwards.

use crate::support;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A test: its name, and the function that panics if it fails.
pub(crate) type Test = (&'static str, fn());

/// The names and functions of a module's tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((concat!(module_path!(), "::", stringify!($name)), $name as fn())),*]
    };
}

/// What a test process exits with to say that it could not run here.
pub(crate) const SKIPPED: i32 = 77;
const TIME_LIMIT: Duration = Duration::from_secs(600);

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &words[..]
        && flag == "--only"
    {
        let (_, test) = tests.iter().find(|(n, _)| n == name).expect("no such test");
        test();
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = words.iter().filter(|w| !w.starts_with('-')).collect();
    let chosen: Vec<Test> = tests
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|w| name.contains(w.as_str())))
        .copied()
        .collect();
    report(&run_all(&chosen))
}

fn run_all(tests: &[Test]) -> Vec<(&'static str, Outcome)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let jobs = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(&(name, _)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let outcome = run_one(name);
                    let word = match &outcome {
                        Outcome::Passed => "ok".to_owned(),
                        Outcome::Failed(_) => "FAILED".to_owned(),
                        Outcome::Skipped(why) => format!("skipped: {why}"),
                    };
                    println!(
                        "test {name} ... {word} ({:.1} s)",
                        started.elapsed().as_secs_f64()
                    );
                    done.lock().unwrap().push((name, outcome));
                }
            });
        }
    });
    support::stop_servers();
    done.into_inner().unwrap()
}

fn run_one(name: &str) -> Outcome {
    let (status, text) = alone(name, &["--only", name]);
    match status {
        Some(0) => Outcome::Passed,
        Some(SKIPPED) => Outcome::Skipped(text.lines().last().unwrap_or_default().to_owned()),
        None => Outcome::Failed(format!("{text}\nkilled, or no end within {TIME_LIMIT:?}")),
        Some(_) => Outcome::Failed(text),
    }
}

/// Runs ourselves with these words, in a scratch directory of that name, and cleans up; the exit code
/// and what was printed. There is no code if it was killed, as it is after [`TIME_LIMIT`].
pub(crate) fn alone(name: &str, words: &[&str]) -> (Option<i32>, String) {
    let dir = support::scratch_dir(name);
    clean(&dir);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    let log = dir.join("output");
    let output = std::fs::File::create(&log).expect("output file");
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(words)
        .env("BUTTERSINK_TEST_SCRATCH", &dir)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("output file"))
        .stderr(output)
        .process_group(0)
        .spawn()
        .expect("cannot start a test");
    let end = Instant::now() + TIME_LIMIT;
    let status = loop {
        match child.try_wait().expect("wait") {
            Some(status) => break status.code(),
            None if Instant::now() > end => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let _ = Command::new("kill")
        .args(["-9", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(&log) {
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes);
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    clean(&dir);
    (status, text)
}

fn report(done: &[(&'static str, Outcome)]) -> ExitCode {
    let strict = std::env::var_os("BUTTERSINK_TEST_STRICT").is_some_and(|v| v == "1");
    let (mut passed, mut failed, mut skipped) = (0, 0, Vec::new());
    for (name, outcome) in done {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(text) => {
                failed += 1;
                println!("\n---- {name}\n{text}");
            }
            Outcome::Skipped(why) => skipped.push(format!("{name}: {why}")),
        }
    }
    println!(
        "\n{passed} passed, {failed} failed, {} skipped",
        skipped.len()
    );
    let list = support::target_dir().join("skipped.txt");
    std::fs::write(
        list,
        skipped
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .expect("skipped.txt");
    if failed > 0 || (strict && !skipped.is_empty()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
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
