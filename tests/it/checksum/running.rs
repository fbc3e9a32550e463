//! How a run behaves on the machine: the page cache, the terminal, signals.

use super::*;
use std::process::{Child, Stdio};
use std::time::Instant;

pub(super) const TESTS: &[Test] = tests![
    the_page_cache_stays_as_it_was,
    progress_is_for_terminals,
    a_signal_ends_reading,
    a_signal_ends_writing_without_a_trace,
];

/// Pages of a file that are in the page cache.
fn cached(path: &Path) -> u64 {
    let words = [
        OsStr::new("-b"),
        "-n".as_ref(),
        "-o".as_ref(),
        "PAGES".as_ref(),
        path.as_ref(),
    ];
    run("fincore", words).trim().parse().unwrap()
}

/// A tree with two files of more than two of the windows that the program looks at: one is in the
/// page cache and has to stay there, the other is not and must not come to be.
///
/// Others may empty the cache at any time: the kernel for want of memory, or another test or
/// benchmark on purpose. A third file that nobody reads tells when they did, and the measurement
/// is made again. Even so the kernel may take a few pages of one file and none of another; a
/// mistake of ours would lose a window of 32 MiB at least, so half of that is let pass.
fn the_page_cache_stays_as_it_was() {
    let release = run("uname", ["-r"]);
    let mut numbers = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(5)) {
        skip("this kernel does not tell what is cached");
    }
    const SIZES: [usize; 3] = [70 << 20, 70 << 20, 8 << 20];
    let disk = btrfs_with("disk", 512, &[], "compress=zstd"); // written quickly
    let tree = disk.join("tree");
    fs::create_dir(&tree).unwrap();
    let [warm, cold, third] = ["tree/warm", "tree/cold", "third"].map(|name| disk.join(name));
    let content = vec![1; SIZES[0]];
    for (file, size) in [&warm, &cold, &third].into_iter().zip(SIZES) {
        fs::write(file, &content[..size]).unwrap();
    }
    run("sync", ["-f", tree.to_str().unwrap()]);
    for _ in 0..10 {
        let file = format!("if={}", cold.display());
        run("dd", [&file, "iflag=nocache", "count=0", "status=none"]);
        let before = [&warm, &third].map(|file| {
            fs::read(file).unwrap();
            cached(file)
        });
        let unread = cached(&cold);
        let said = checksumdir([OsStr::new("--stdout"), tree.as_ref()]);
        assert_eq!(said.code, 0);
        let after = [&warm, &cold].map(|file| cached(file));
        let pages = SIZES.map(|size| (size / 4096) as u64);
        if before != [pages[0], pages[2]] || unread > 0 || cached(&third) < pages[2] {
            println!("disturbed: {before:?}, {unread}, {after:?}");
            continue;
        }
        assert!(after[0] > pages[0] - (16 << 20) / 4096, "{after:?}");
        assert_eq!(after[1], 0);
        return;
    }
    skip("others kept emptying the page cache");
}

/// What a command writes to a terminal.
fn on_a_terminal(words: &str) -> Vec<u8> {
    let command = format!("{} {words}", binary("checksumdir").display());
    let mut script = Command::new("script");
    let output = output(script.args(["-qec", &command, "/dev/null"]));
    assert!(output.status.success());
    output.stdout
}

fn progress_is_for_terminals() {
    let tree = here().join("tree");
    fs::create_dir(&tree).unwrap();
    put(&tree, b"file", b"1");
    let write = format!("-o {} {}", here().display(), tree.display());
    let shown = String::from_utf8(on_a_terminal(&write)).unwrap();
    assert!(shown.starts_with("\r\u{1b}[K"), "{shown:?}");
    assert!(shown.contains(" entries"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "wiped at the end: {shown:?}");
    assert_eq!(on_a_terminal(&format!("-q {write}")), b"");
    let words: Vec<&str> = write.split(' ').collect();
    let said = checksumdir(words);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(words: &[&OsStr]) -> Child {
    let mut command = Command::new(binary("checksumdir"));
    let command = command.args(words).stdin(Stdio::null());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    run("kill", ["-s", name, &child.id().to_string()]);
}

/// The end of a program that was told to stop.
fn stopped(child: Child) {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.ends_with(": interrupted\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// One file under thousands of names is read under each of them, which would take minutes.
fn a_signal_ends_reading() {
    let [a, b, out] = ["a", "b", "out"].map(|name| here().join(name));
    for tree in [&a, &b, &out] {
        fs::create_dir(tree).unwrap();
    }
    for tree in [&a, &b] {
        let huge = tree.join("huge");
        fs::write(&huge, vec![7; 64 << 20]).unwrap();
        for number in 0..4000 {
            let dir = tree.join(number.to_string());
            fs::create_dir(&dir).unwrap();
            fs::hard_link(&huge, dir.join("huge")).unwrap();
        }
    }
    let runs: [&[&OsStr]; 2] = [
        &["-o".as_ref(), out.as_ref(), a.as_ref()],
        &["--compare".as_ref(), a.as_ref(), b.as_ref()],
    ];
    for words in runs {
        for name in ["INT", "TERM"] {
            let child = start(words);
            let open = format!("/proc/{}/fd", child.id());
            let is_huge = |entry: fs::DirEntry| {
                fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("huge"))
            };
            until("the huge file is open", || {
                let entries = fs::read_dir(&open).into_iter().flatten().flatten();
                entries.into_iter().any(is_huge)
            });
            signal(&child, name);
            stopped(child);
        }
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

/// The program is halted while a list has been begun and the last has not, and then told to stop.
fn a_signal_ends_writing_without_a_trace() {
    let [tree, out] = ["tree", "out"].map(|name| here().join(name));
    for dir in [&tree, &out] {
        fs::create_dir(dir).unwrap();
    }
    for i in 0..5000 {
        File::create(tree.join(format!("{i:0200}"))).unwrap();
    }
    put(&out, b"tree.ls", b"old");
    let lists = || {
        let names = fs::read_dir(&out).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let begun = |suffix: &str| lists().iter().any(|name| name.ends_with(suffix));
    for _ in 0..50 {
        let mut child = start(&["-o".as_ref(), out.as_ref(), tree.as_ref()]);
        until("a list is begun, or all are there", || {
            begun(".ls.part") || child.try_wait().unwrap().is_some()
        });
        if child.try_wait().unwrap().is_none() {
            signal(&child, "STOP");
            until("halted, or over", || is_halted(&child));
            if begun(".ls.part") && !begun(".sha256sum.part") {
                signal(&child, "INT");
                signal(&child, "CONT");
                stopped(child);
                assert_eq!(lists(), ["tree.ls"]);
                assert_eq!(fs::read(out.join("tree.ls")).unwrap(), b"old");
                return;
            }
            signal(&child, "CONT");
        }
        // Too late: it had written all, so once more.
        assert!(child.wait_with_output().unwrap().status.success());
        for name in lists() {
            fs::remove_file(out.join(name)).unwrap();
        }
        put(&out, b"tree.ls", b"old");
    }
    panic!("never seen at work");
}

/// Whether a process stands still, by a signal or for ever.
fn is_halted(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    state.starts_with(['T', 'Z'])
}
