//! A destination that subvolumes of two machines share: snapshots, deletions, renames, rollbacks,
//! adoption, deleting by absence and strangers at random, and a keeper that was written from the promise and not from the
//! code: of each subvolume the newest that its policy names, and all that is nobody's, are there.
//! `BUTTERSINK_SOAK=SEED,STEPS` is a longer one.

use crate::runner::Test;
use crate::sshd::{self, Sshd, far};
use crate::subvolumes::{script, subvolume};
use crate::support::{binary, btrfs, output};
use crate::tests;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![a_shared_directory, a_shared_far_directory];

/// How many each subvolume keeps.
const KEEPS: [usize; 3] = [1, 2, 3];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A subvolume that is backed up.
struct Subject {
    machine: &'static str,
    path: PathBuf,
    keeps: usize,
    /// What was written into its snapshots that arrived, in order.
    arrived: Vec<String>,
    /// How many more there were.
    gone: usize,
    /// All that was ever written into its snapshots.
    written: Vec<String>,
}

struct Soak {
    random: Random,
    dest: PathBuf,
    far: bool,
    subjects: Vec<Subject>,
    /// What is nobody's, by what is in it.
    strangers: Vec<String>,
    written: u64,
}

impl Soak {
    fn new(seed: u64, far: bool) -> Soak {
        let (one, two) = (btrfs("one", 512), btrfs("two", 512));
        let dest = btrfs("dest", 1024).join("shared");
        std::fs::create_dir(&dest).unwrap();
        let places = [
            ("m1", one.join("root")),
            ("m1", one.join("home")),
            ("m2", two.join("home")),
        ];
        let subjects = places
            .into_iter()
            .zip(KEEPS)
            .map(|((machine, path), keeps)| {
                subvolume(&path);
                Subject {
                    machine,
                    path,
                    keeps,
                    arrived: Vec::new(),
                    gone: 0,
                    written: Vec::new(),
                }
            });
        Soak {
            random: Random(seed),
            dest,
            far,
            subjects: subjects.collect(),
            strangers: Vec::new(),
            written: 0,
        }
    }

    fn step(&mut self) {
        let which = self.random.below(self.subjects.len() as u64) as usize;
        match self.random.below(10) {
            0 => self.roll_back(which),
            1 => self.stranger(which),
            2 => self.rename(),
            3 => self.follow(which),
            _ => self.back_up(which),
        }
        self.keep();
    }

    fn back_up(&mut self, which: usize) {
        self.written += 1;
        let text = format!("text {}", self.written);
        let to = self.to();
        let subject = &mut self.subjects[which];
        std::fs::write(subject.path.join("file"), &text).unwrap();
        let keeps = subject.keeps.to_string();
        let latest = ["--latest-only"];
        let more = if self.random.below(2) == 0 {
            &latest[..]
        } else {
            &[]
        };
        let path = subject.path.to_str().unwrap();
        let words = [&["backup", "--num-backups", &keeps][..], more, &[path, &to]].concat();
        // Names have seconds, and those of all are in one directory.
        std::thread::sleep(std::time::Duration::from_millis(1050));
        assert_eq!(run(self.far, subject.machine, &words), Some(0));
        subject.arrived.push(text.clone());
        subject.written.push(text);
    }

    /// The destination, as an argument.
    fn to(&self) -> String {
        match self.far {
            true => far(&self.dest).into_string().unwrap(),
            false => format!("{}/", self.dest.display()),
        }
    }

    /// The oldest at the source goes, and the destination has what the source has, of this subvolume.
    fn follow(&mut self, which: usize) {
        let to = self.to();
        let subject = &mut self.subjects[which];
        let folder = subject.path.join("snapshot");
        if !folder.join(".latest").exists() {
            return;
        }
        let deleted = script(
            &folder,
            "set -- 2*; [ $# -lt 2 ] || { cat $1/file; btrfs -q subvolume delete $1; }",
        );
        let from = format!("{}/", folder.display());
        let words = ["sync", "-d", &from, &to];
        assert_eq!(run(self.far, subject.machine, &words), Some(0));
        let here = texts(&folder);
        let written = subject.written.iter();
        subject.arrived = written
            .filter(|text| here.contains_key(*text))
            .cloned()
            .collect();
        // Also under another name it is of this subvolume.
        let written = &subject.written;
        self.strangers.retain(|text| !written.contains(text));
        let found = self.found();
        subject_has(&self.subjects[which], &found);
        assert!(!found.contains_key(&deleted), "'{deleted}' is there");
    }

    /// The newest snapshot, writable, in the place of the subvolume.
    fn roll_back(&mut self, which: usize) {
        let subject = &self.subjects[which];
        // There may have been no backup since the last one.
        if !subject.path.join("snapshot/.latest").exists() {
            return;
        }
        let name = subject.path.file_name().unwrap().to_str().unwrap();
        script(
            subject.path.parent().unwrap(),
            &format!(
                "s=$(readlink {name}/snapshot/.latest); btrfs -q subvolume snapshot {name}/snapshot/$s new
                 rm -rf new/snapshot; btrfs -q subvolume delete {name}/snapshot/2*; btrfs -q subvolume delete {name}
                 mv new {name}"
            ),
        );
    }

    /// Something that no run of ours made, with a name like theirs.
    fn stranger(&mut self, which: usize) {
        self.written += 1;
        let (text, number) = (format!("strange {}", self.written), self.written);
        let machine = self.subjects[which].path.parent().unwrap().to_owned();
        script(
            &machine,
            &format!(
                "btrfs -q subvolume create strange{number}; printf '{text}' >strange{number}/file
                 btrfs -q subvolume snapshot -r strange{number} 20200101-{number:06}
                 btrfs send -q 20200101-{number:06} | btrfs receive -q {0}
                 btrfs -q subvolume create {0}/mine{number}.part; printf '{text} part' >{0}/mine{number}.part/file",
                self.dest.display()
            ),
        );
        self.strangers.push(format!("{text} part"));
        self.strangers.push(text);
    }

    /// A name that no policy knows any more takes nobody's place, and stays.
    fn rename(&mut self) {
        let names: Vec<String> = self.found().into_values().collect();
        let ours: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with("20") && !name.starts_with("2020"))
            .collect();
        if ours.is_empty() {
            return;
        }
        let name = ours[self.random.below(ours.len() as u64) as usize].clone();
        script(&self.dest, &format!("mv {name} renamed-{name}"));
        let text = std::fs::read_to_string(self.dest.join(format!("renamed-{name}/file"))).unwrap();
        for subject in &mut self.subjects {
            subject.arrived.retain(|other| *other != text);
        }
        self.strangers.push(text);
    }

    fn found(&self) -> BTreeMap<String, String> {
        texts(&self.dest)
    }

    /// What must be there. What a policy may have let go once is asked for no more, though others of
    /// the same subvolume were renamed since.
    fn keep(&mut self) {
        let found = self.found();
        let there =
            |text: &String| assert!(found.contains_key(text), "'{text}' is gone: {found:?}");
        self.strangers.iter().for_each(there);
        for subject in &mut self.subjects {
            let old = subject.arrived.len().saturating_sub(subject.keeps);
            subject.arrived.drain(..old);
            subject.gone += old;
            subject_has(subject, &found);
        }
    }
}

/// What is in the files of a directory, and the names of their snapshots.
fn texts(dir: &Path) -> BTreeMap<String, String> {
    let entries = dir.read_dir().unwrap().map(Result::unwrap);
    let text = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("file")).ok()?;
        Some((text, entry.file_name().into_string().unwrap()))
    };
    entries.filter_map(text).collect()
}

fn subject_has(subject: &Subject, found: &BTreeMap<String, String>) {
    for text in &subject.arrived {
        assert!(found.contains_key(text), "'{text}' is not there: {found:?}");
    }
}

/// Runs it on a machine; its exit code.
fn run(far: bool, machine: &str, words: &[&str]) -> Option<i32> {
    let mut command = match far {
        true => sshd::command(words),
        false => Command::new(binary("buttersink")),
    };
    if !far {
        command.args(words);
    }
    output(command.env("BUTTERSINK_MACHINE_ID", machine))
        .status
        .code()
}

fn soak(far: bool) {
    let order = std::env::var("BUTTERSINK_SOAK").unwrap_or_else(|_| "11,25".to_owned());
    let (seed, steps) = order.split_once(',').unwrap();
    let mut soak = Soak::new(seed.parse().unwrap(), far);
    for number in 0..steps.parse::<u32>().unwrap() {
        println!("step {number} of seed {seed}");
        soak.step();
    }
    assert!(soak.subjects.iter().any(|subject| subject.gone > 0));
}

fn a_shared_directory() {
    soak(false);
}

fn a_shared_far_directory() {
    let _sshd = Sshd::start();
    soak(true);
}
