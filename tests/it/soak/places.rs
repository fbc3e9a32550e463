//! A destination that subvolumes of two machines share, a directory or a bucket: snapshots, deletions,
//! renames, rollbacks, adoption, deleting by absence and strangers at random, and a keeper that was
//! written from the promise and not from the code: of each subvolume the newest that its policy names,
//! and all that is nobody's, are there. `BUTTERSINK_SOAK=SEED,STEPS` is a longer one.

use crate::bucket::{self, Bucket};
use crate::runner::Test;
use crate::servers::{Server, shared};
use crate::sshd::{self, Sshd, far};
use crate::subvolumes::{id, script, subvolume};
use crate::support::{binary, btrfs, output};
use crate::tests;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] =
    tests![a_shared_directory, a_shared_far_directory, a_shared_bucket,];

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

/// Where all that is shared is.
enum Place {
    Near,
    Far,
    /// A server, and a place in a bucket there.
    Bucket(Server, String),
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
    place: Place,
    /// What was written into the snapshots that went into a bucket, by their UUIDs.
    ids: BTreeMap<String, String>,
    subjects: Vec<Subject>,
    /// What is nobody's, by what is in it.
    strangers: Vec<String>,
    written: u64,
}

impl Soak {
    fn new(seed: u64, place: Place) -> Soak {
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
            place,
            ids: BTreeMap::new(),
            subjects: subjects.collect(),
            strangers: Vec::new(),
            written: 0,
        }
    }

    fn step(&mut self) {
        let which = self.random.below(self.subjects.len() as u64) as usize;
        let bucket = matches!(self.place, Place::Bucket(..));
        match self.random.below(10) {
            0 => self.roll_back(which),
            1 if bucket => self.guest(which),
            2 | 3 if bucket => self.back_up(which),
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
        assert_eq!(run(&self.place, subject.machine, &words), Some(0));
        let folder = subject.path.join("snapshot");
        let newest = std::fs::read_link(folder.join(".latest")).unwrap();
        self.ids.insert(id(&folder.join(newest)), text.clone());
        subject.arrived.push(text.clone());
        subject.written.push(text);
    }

    /// The destination, as an argument.
    fn to(&self) -> String {
        match &self.place {
            Place::Far => far(&self.dest).into_string().unwrap(),
            Place::Near => format!("{}/", self.dest.display()),
            Place::Bucket(_, url) => url.clone(),
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
        assert_eq!(run(&self.place, subject.machine, &words), Some(0));
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

    /// A snapshot of a third machine, which has no policy, comes into the bucket.
    fn guest(&mut self, which: usize) {
        self.written += 1;
        let (text, number) = (format!("guest {}", self.written), self.written);
        let machine = self.subjects[which].path.parent().unwrap().to_owned();
        let snapshot = format!("guests{number}/20200101-{number:06}");
        script(
            &machine,
            &format!(
                "btrfs -q subvolume create guest{number}; printf '{text}' >guest{number}/file
                 mkdir guests{number}; btrfs -q subvolume snapshot -r guest{number} {snapshot}"
            ),
        );
        self.ids.insert(id(&machine.join(&snapshot)), text.clone());
        let from = format!("{}/guests{number}/", machine.display());
        let words = ["sync", &from, &self.to()];
        assert_eq!(run(&self.place, "m3", &words), Some(0));
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
        let Place::Bucket(server, url) = &self.place else {
            return texts(&self.dest);
        };
        let words = ["--json", "list", url];
        let said = bucket::said(&mut bucket::command(&server.endpoint, &words));
        let line: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let rows = line["snapshots"].as_array().unwrap().iter();
        let text = |row: &serde_json::Value| {
            let text = self.ids.get(row["id"].as_str()?)?;
            Some((text.clone(), row["path"].as_str()?.to_owned()))
        };
        rows.filter_map(text).collect()
    }

    /// What is in the bucket comes back, each with what was written into it.
    fn fetch(&mut self) {
        let Place::Bucket(..) = &self.place else {
            return;
        };
        let to = format!("{}/", self.dest.display());
        let words = ["sync", &self.to(), &to];
        assert_eq!(run(&self.place, "m4", &words), Some(0));
        self.place = Place::Near;
        self.keep();
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
fn run(place: &Place, machine: &str, words: &[&str]) -> Option<i32> {
    let mut command = match place {
        Place::Far => sshd::command(words),
        Place::Near => Command::new(binary("buttersink")),
        Place::Bucket(server, _) => bucket::command(&server.endpoint, words),
    };
    if matches!(place, Place::Near) {
        command.args(words);
    }
    output(command.env("BUTTERSINK_MACHINE_ID", machine))
        .status
        .code()
}

fn soak(place: Place) {
    let order = std::env::var("BUTTERSINK_SOAK").unwrap_or_else(|_| "11,25".to_owned());
    let (seed, steps) = order.split_once(',').unwrap();
    let mut soak = Soak::new(seed.parse().unwrap(), place);
    for number in 0..steps.parse::<u32>().unwrap() {
        println!("step {number} of seed {seed}");
        soak.step();
    }
    assert!(soak.subjects.iter().any(|subject| subject.gone > 0));
    soak.fetch();
}

fn a_shared_directory() {
    soak(Place::Near);
}

fn a_shared_far_directory() {
    let _sshd = Sshd::start();
    soak(Place::Far);
}

/// In a bucket nothing is renamed, and nobody puts things there but programs of ours.
fn a_shared_bucket() {
    let server = shared("seaweedfs");
    let url = Bucket::new(&server).url("shared/");
    soak(Place::Bucket(server, url));
}
