//! Scratch filesystems, commands that show what they said when they fail, and skipping.

use crate::apart;
use buttersink::process::Priority;
use buttersink::store::ReceiveWith;
use buttersink::store::local::LocalOptions;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Cargo's target directory for this build.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a parent")
        .to_owned()
}

/// Where a test's files live: set by the runner, one directory a test. What a test runs has its own
/// within that, since two tests may run the same.
pub(crate) fn scratch_dir(test: &str) -> PathBuf {
    let outer = std::env::var_os(apart::SCRATCH).map(PathBuf::from);
    let outer = outer.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    outer.join(test.replace("::", "."))
}

/// How snapshots are received in this run: the suites pass both ways.
pub(crate) fn receive_with() -> Option<ReceiveWith> {
    let word = std::env::var("BUTTERSINK_RECEIVE_WITH").ok()?;
    Some(word.parse().expect("builtin or btrfs"))
}

/// How local stores work in this run.
pub(crate) fn local_options() -> LocalOptions {
    LocalOptions {
        priority: Priority::Normal,
        compressed: false,
        receive_with: receive_with(),
        unconfined: false,
    }
}

/// Whether something is being received into the filesystem that is mounted here.
pub(crate) fn in_quarantine(mount: &Path) -> bool {
    let all = std::fs::read_dir(mount.join(".buttersink/quarantine"));
    all.is_ok_and(|mut all| all.next().is_some())
}

/// This test's own directory.
pub(crate) fn here() -> PathBuf {
    std::env::var_os(apart::SCRATCH)
        .expect("run by the runner")
        .into()
}

/// Ends this test: it cannot run on this machine.
pub(crate) fn skip(why: &str) -> ! {
    println!("{why}");
    std::process::exit(crate::runner::SKIPPED);
}

/// Stops the servers that tests started, if any.
pub(crate) fn stop_servers() {
    crate::servers::stop_all();
}

/// A path as mountinfo writes it, with its octal escapes undone.
pub(crate) fn unescape_mount(text: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a, b, c, after @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

/// Skips without this program.
pub(crate) fn need(tool: &str) {
    if Command::new(tool).arg("--version").output().is_err() {
        skip(&format!("needs {tool}"));
    }
}

/// Skips unless we are root and have the tools for btrfs on loop devices.
pub(crate) fn need_btrfs() {
    if run("id", ["-u"]) != "0\n" {
        skip("needs root for loop devices and btrfs");
    }
    ["mkfs.btrfs", "btrfs", "losetup"]
        .iter()
        .for_each(|tool| need(tool));
}

/// Makes a btrfs filesystem of `mib` MiB in a file and mounts it at `here()/name`.
pub(crate) fn btrfs(name: &str, mib: u64) -> PathBuf {
    btrfs_with(name, mib, &[], "")
}

/// Likewise with options for mkfs and mount.
pub(crate) fn btrfs_with(name: &str, mib: u64, mkfs: &[&str], mount: &str) -> PathBuf {
    need_btrfs();
    let image = image(name);
    std::fs::File::create(&image)
        .and_then(|f| f.set_len(mib << 20))
        .expect("image");
    let mut words: Vec<&OsStr> = vec!["-q".as_ref()];
    words.extend(mkfs.iter().map(OsStr::new));
    words.push(image.as_ref());
    run("mkfs.btrfs", words);
    mount_image(&image, name, mount)
}

/// Mounts an image at `here()/name`.
pub(crate) fn mount_image(image: &Path, name: &str, options: &str) -> PathBuf {
    let at = here().join(name);
    std::fs::create_dir_all(&at).expect("mount point");
    let options = if options.is_empty() {
        "loop".to_owned()
    } else {
        format!("loop,{options}")
    };
    run(
        "mount",
        [
            OsStr::new("-o"),
            options.as_ref(),
            image.as_ref(),
            at.as_ref(),
        ],
    );
    at
}

/// The image file of the filesystem that [`btrfs`] made under this name.
pub(crate) fn image(name: &str) -> PathBuf {
    here().join(format!("{name}.img"))
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(
    program: impl AsRef<OsStr>,
    args: I,
) -> String {
    let mut command = Command::new(program);
    let output = output(command.args(args));
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command; what it said is printed, so that it shows if the test fails.
pub(crate) fn output(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    println!("$ {command:?}\n{}", output.status);
    for (name, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !text.is_empty() {
            println!("{name}: {}", String::from_utf8_lossy(text).trim_end());
        }
    }
    output
}

/// What a program said, for assertions.
pub(crate) struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs one of the programs under test to its end, whatever that is.
pub(crate) fn program<I: IntoIterator<Item: AsRef<OsStr>>>(name: &str, args: I) -> Said {
    Said::of(&output(Command::new(binary(name)).args(args)))
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `buttersink ARGS…`
pub(crate) fn buttersink<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    program("buttersink", args)
}

/// A program in the place of ssh, for the host `far`: that is this machine, where nobody is asked.
pub(crate) fn far_here() -> PathBuf {
    let far = here().join("far");
    let words = format!(
        "#!/bin/sh\nwhile [ \"$1\" != far ]; do shift; done; shift 2; exec '{}' \"$@\"",
        binary("buttersink").display()
    );
    std::fs::write(&far, words).unwrap();
    run("chmod", ["755".as_ref(), far.as_os_str()]);
    far
}

/// The path of a program under test; `BUTTERSINK_TEST_BIN` names another directory of builds.
pub(crate) fn binary(name: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_buttersink"));
    match std::env::var_os("BUTTERSINK_TEST_BIN") {
        Some(dir) => Path::new(&dir).join(name),
        None => own.with_file_name(name),
    }
}
