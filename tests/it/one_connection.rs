//! All that a run does on one machine goes through one connection, by the log of a real sshd: unless somebody has
//! arranged it otherwise, and never longer than the run.

use crate::runner::Test;
use crate::sshd::{Sshd, came_in, command, far, processes, script, wait_for};
use crate::subvolumes::subvolume;
use crate::support::{Said, btrfs, here, output, run};
use crate::tests;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    one_connection_does_all_of_a_run,
    whoever_shares_otherwise_is_left_alone,
    a_run_that_is_killed_leaves_no_connection,
    who_held_the_connection_says_why_it_is_gone,
];

/// A subvolume, two directories of one host for its snapshots, and the words of a backup of it.
struct Scene {
    _sshd: Sshd,
    config: PathBuf,
    dests: [PathBuf; 2],
}

impl Scene {
    fn new(more: &str) -> Scene {
        let sshd = Sshd::start();
        // What is called `ssh` is what may be shared.
        fs::create_dir(here().join("path")).unwrap();
        let text = "printf '%s\\n' \"$*\" >>ssh.log\nPATH=${PATH#*:} exec ssh -F ssh_config \"$@\"";
        script("path/ssh", text);
        let (from, to) = (btrfs("from", 256), btrfs("to", 256));
        subvolume(&from.join("data"));
        let dests = ["one", "two"].map(|name| to.join(name));
        let mut text = format!(
            "[global]\nstate_path = '{0}/state'\nlock_path = '{0}/lock'\n[[subvolume]]\npath = '{1}/data'\n\
             always = true\n",
            here().display(),
            from.display()
        );
        for dest in &dests {
            fs::create_dir(dest).unwrap();
            let far = far(dest);
            text += &format!("[[destination]]\nlocation = '{}'\n{more}\n", far.display());
        }
        let config = here().join("config.toml");
        fs::write(&config, text).unwrap();
        Scene {
            _sshd: sshd,
            config,
            dests,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(words);
        let path = std::env::var("PATH").unwrap();
        command
            .arg(&self.config)
            .env_remove("BUTTERSINK_SSH")
            .env("PATH", format!("{}:{path}", here().join("path").display()));
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::of(&output(&mut self.command(words)))
    }

    fn arrived(&self) -> [usize; 2] {
        let shown = |dir: &PathBuf| fs::read_dir(dir).unwrap().count();
        [shown(&self.dests[0]), shown(&self.dests[1])]
    }
}

/// Where the sockets were that runs have made.
fn sockets() -> Vec<PathBuf> {
    let log = fs::read_to_string(here().join("ssh.log")).unwrap();
    let masters = log
        .lines()
        .filter(|line| line.contains("ControlMaster=yes"));
    let path = |line: &str| Some(line.split_once("ControlPath=")?.1.split_once(' ')?.0.into());
    masters.filter_map(path).collect()
}

fn nobody_is_left(socket: &Path) {
    assert_eq!(processes("ssh", socket), [0; 0]);
    assert!(!socket.exists());
}

fn one_connection_does_all_of_a_run() {
    let scene = Scene::new("");
    assert_eq!(scene.run(&["backup", "--config"]).code, 0);
    assert_eq!((came_in(), scene.arrived()), (1, [1, 1]));
    assert_eq!(scene.run(&["config", "check"]).code, 0);
    assert_eq!(came_in(), 2);
    let sockets = sockets();
    assert_eq!(sockets.len(), 2);
    sockets.iter().for_each(|socket| nobody_is_left(socket));
}

fn whoever_shares_otherwise_is_left_alone() {
    let scene = Scene::new("ssh_options = ['ControlMaster=no']");
    assert_eq!(scene.run(&["backup", "--config"]).code, 0);
    assert_eq!((came_in(), scene.arrived()), (2, [1, 1]));
    let text = fs::read_to_string(&scene.config).unwrap();
    fs::write(&scene.config, text.replace("'ControlMaster=no'", "")).unwrap();
    let ssh = fs::read_to_string(here().join("ssh_config")).unwrap();
    let own = format!("ControlPath {}\n{ssh}", here().join("own").display());
    fs::write(here().join("ssh_config"), own).unwrap();
    assert_eq!(scene.run(&["backup", "--config"]).code, 0);
    assert_eq!((came_in(), scene.arrived()), (4, [2, 2]));
    // Where no socket can be had, each connects by itself.
    fs::write(here().join("ssh_config"), ssh).unwrap();
    let long = here().join("a".repeat(100));
    let mut command = scene.command(&["backup", "--config"]);
    let said = Said::of(&output(command.env("BUTTERSINK_RUN_DIR", long)));
    assert_eq!(said.code, 0);
    assert_eq!((came_in(), scene.arrived()), (6, [3, 3]));
    assert_eq!(sockets().len(), 0);
}

/// The far side of this one never greets, so that the run is in the middle for as long as it is let.
fn a_run_that_is_killed_leaves_no_connection() {
    let scene = Scene::new("");
    fs::remove_file(here().join("bin/buttersink")).unwrap();
    script("bin/buttersink", "exec sleep 600");
    let mut command = scene.command(&["backup", "--config"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let log = || fs::read_to_string(here().join("ssh.log")).unwrap_or_default();
    wait_for("the far side", || log().contains("--server"));
    let socket = sockets().remove(0);
    assert!(!processes("ssh", &socket).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the connection to end", || {
        processes("ssh", &socket).is_empty()
    });
    assert!(!socket.exists());
}

/// The far side ends whoever holds the connection, which is all that the others notice.
fn who_held_the_connection_says_why_it_is_gone() {
    let scene = Scene::new("ssh_options = ['ServerAliveInterval=1', 'ServerAliveCountMax=1']");
    fs::remove_file(here().join("bin/buttersink")).unwrap();
    // The process that serves the connection is stopped, and never answers.
    script(
        "bin/buttersink",
        &format!(
            "echo $PPID >>'{}'; kill -STOP $PPID; exec sleep 600",
            here().join("stopped").display()
        ),
    );
    let said = scene.run(&["backup", "--config"]);
    let stopped = fs::read_to_string(here().join("stopped")).unwrap();
    run("kill", ["-CONT"].into_iter().chain(stopped.lines()));
    assert_eq!(said.code, 1);
    let words = said.stderr.matches("not responding").count();
    assert!(
        !said.stderr.contains("exit status") && words >= 2,
        "each in ssh's own words"
    );
}
