//! A directory, near or far, or a bucket that subvolumes of two machines share: snapshots, deletions,
//! renames, rollbacks, adoption, deleting by absence, kills and strangers at random. The keeper knows
//! what was written into each snapshot, in order, and how many of each subvolume are kept.

use super::{Random, order, texts};
use crate::bucket::{self, Bucket};
use crate::proxy::Proxy;
use crate::servers::{Server, shared};
use crate::sshd::{self, Sshd, far};
use crate::subvolumes::{id, script, subvolume};
use crate::support::{binary, btrfs, output};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How many each subvolume keeps.
const KEEPS: [usize; 3] = [1, 2, 3];

/// Where all that is shared is.
enum Place {
    Near,
    Far,
    /// A server, a place in a bucket there, and a network before it that breaks now and then.
    Bucket(Server, String, Proxy),
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
    /// What was written into those that were killed on the way.
    killed: Vec<String>,
    /// All that was ever written into its snapshots.
    written: Vec<String>,
}

impl Subject {
    fn folder(&self) -> PathBuf {
        self.path.join("snapshot")
    }
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
                    killed: Vec::new(),
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
        match self.random.below(12) {
            0 => self.roll_back(which),
            1 if bucket => self.guest(which),
            2 | 3 if bucket => self.back_up_badly(which),
            4 if bucket => self.back_up(which),
            1 => self.stranger(which),
            2 => self.rename(),
            3 => self.follow(which),
            4 => self.adopt(which),
            5 | 6 => self.die(which),
            _ => self.back_up(which),
        }
        self.keep();
    }

    /// A backup; what those that were killed did not bring comes along, if it is newer than anything
    /// that is there.
    fn back_up(&mut self, which: usize) {
        let (text, words) = self.change(which);
        self.forget_killed(which);
        let subject = &mut self.subjects[which];
        subject.arrived.append(&mut subject.killed);
        let mut code = Some(3);
        // What was killed may be at work still on the far side, and hold the lock.
        for _ in 0..50 {
            code = run(&self.place, subject.machine, &words);
            if code != Some(3) {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(code, Some(0));
        subject.arrived.push(text);
        self.remember(which);
    }

    /// What was killed comes along only if it is here, and something older is here and there.
    fn forget_killed(&mut self, which: usize) {
        let found = self.found();
        let subject = &mut self.subjects[which];
        let here = texts(&subject.folder());
        let common = here.keys().any(|text| found.contains_key(text));
        let killed = &mut subject.killed;
        killed.retain(|text| common && here.contains_key(text));
    }

    /// The same, but that it is killed at some moment.
    fn die(&mut self, which: usize) {
        let (text, words) = self.change(which);
        self.forget_killed(which);
        let after = Duration::from_millis(20 + self.random.below(400));
        let subject = &self.subjects[which];
        let mut command = program(&self.place, subject.machine, &words);
        let mut running = command.stdin(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        running.kill().unwrap();
        running.wait().unwrap();
        // What goes on without it must not come after the next look.
        std::thread::sleep(Duration::from_millis(300));
        self.may_have_arrived(which, text, None);
    }

    /// The same, through a network that breaks.
    fn back_up_badly(&mut self, which: usize) {
        let (text, words) = self.change(which);
        self.forget_killed(which);
        let machine = self.subjects[which].machine;
        let mut command = program(&self.place, machine, &words);
        if let Place::Bucket(_, _, proxy) = &self.place {
            command.env("AWS_ENDPOINT_URL", &proxy.endpoint);
        }
        // Few repetitions, so that some runs fail in the middle.
        let code = output(command.env("AWS_MAX_ATTEMPTS", "2")).status.code();
        self.may_have_arrived(which, text, code);
    }

    /// What became of a run shows in what is there; one that says that it succeeded has.
    fn may_have_arrived(&mut self, which: usize, text: String, code: Option<i32>) {
        self.remember(which);
        let found = self.found();
        let subject = &mut self.subjects[which];
        match found.get(&text) {
            Some(name) if !name.ends_with(".part") => {
                subject.arrived.append(&mut subject.killed);
                subject.arrived.push(text);
            }
            _ => {
                assert_ne!(code, Some(0), "'{text}' did not arrive: {found:?}");
                subject.killed.push(text);
            }
        }
    }

    /// Writes something new into a subvolume; that, and the words that back it up.
    fn change(&mut self, which: usize) -> (String, Vec<String>) {
        self.written += 1;
        let text = format!("text {}", self.written);
        let to = self.to();
        let subject = &mut self.subjects[which];
        std::fs::write(subject.path.join("file"), &text).unwrap();
        subject.written.push(text.clone());
        let (keeps, path) = (subject.keeps.to_string(), subject.path.to_str().unwrap());
        let mut words = vec!["backup", "--num-backups", &keeps];
        if self.random.below(2) == 0 {
            words.push("--latest-only");
        }
        words.extend([path, &to]);
        let words = words.into_iter().map(str::to_owned).collect();
        wait_for_another_second();
        (text, words)
    }

    /// Whose the snapshots at the source are, for a bucket, which does not show what is in them.
    fn remember(&mut self, which: usize) {
        let folder = self.subjects[which].folder();
        for (text, name) in texts(&folder) {
            self.ids.insert(id(&folder.join(name)), text);
        }
    }

    /// What a stranger brought is of a subvolume from now on, and older than all that is: see its name.
    fn adopt(&mut self, which: usize) {
        let found = self.found();
        let sent = |text: &&String| found[*text].starts_with("2020");
        let Some(text) = self.strangers.iter().find(sent).cloned() else {
            return;
        };
        let (to, subject) = (self.to(), &mut self.subjects[which]);
        let path = subject.path.to_str().unwrap();
        let words = ["adopt", "--yes", &to, &found[&text], "--as", path];
        assert_eq!(run(&self.place, subject.machine, &words), Some(0));
        self.strangers.retain(|other| *other != text);
        let older = |other: &String| other.starts_with("strange");
        let at = subject
            .arrived
            .iter()
            .take_while(|other| older(other))
            .count();
        subject.arrived.insert(at, text);
    }

    /// The destination, as an argument.
    fn to(&self) -> String {
        match &self.place {
            Place::Far => far(&self.dest).into_string().unwrap(),
            Place::Near => format!("{}/", self.dest.display()),
            Place::Bucket(_, url, _) => url.clone(),
        }
    }

    /// The oldest at the source goes, and the destination has what the source has, of this subvolume.
    fn follow(&mut self, which: usize) {
        let to = self.to();
        let subject = &mut self.subjects[which];
        let folder = subject.folder();
        if texts(&folder).is_empty() {
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
        subject.killed.clear();
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
        if texts(&subject.folder()).is_empty() {
            return;
        }
        let name = subject.path.file_name().unwrap().to_str().unwrap();
        script(
            subject.path.parent().unwrap(),
            &format!(
                "s=$(cd {name}/snapshot; ls -d 2* | tail -1); btrfs -q subvolume snapshot {name}/snapshot/$s new
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
        let Place::Bucket(server, url, _) = &self.place else {
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

fn subject_has(subject: &Subject, found: &BTreeMap<String, String>) {
    for text in &subject.arrived {
        assert!(found.contains_key(text), "'{text}' is not there: {found:?}");
    }
}

/// Names have seconds, and those of all are in one directory.
fn wait_for_another_second() {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let rest = 1_000_000_000 - now.subsec_nanos();
    std::thread::sleep(std::time::Duration::from_nanos(rest.into()));
}

/// The program on a machine, not started yet.
fn program(place: &Place, machine: &str, words: &[impl AsRef<str>]) -> Command {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let mut command = match place {
        Place::Far => sshd::command(&words),
        Place::Near => plain(&words),
        Place::Bucket(server, ..) => bucket::command(&server.endpoint, &words),
    };
    command.env("BUTTERSINK_MACHINE_ID", machine);
    command
}

fn plain(words: &[&str]) -> Command {
    let mut command = Command::new(binary("buttersink"));
    command.args(words);
    command
}

/// Runs it; its exit code.
fn run(place: &Place, machine: &str, words: &[impl AsRef<str>]) -> Option<i32> {
    output(&mut program(place, machine, words)).status.code()
}

fn soak(place: Place) {
    let (seed, steps) = order();
    let mut soak = Soak::new(seed, place);
    for number in 0..steps {
        println!("step {number} of seed {seed}");
        soak.step();
    }
    assert!(soak.subjects.iter().any(|subject| subject.gone > 0));
    soak.fetch();
}

pub(super) fn near() {
    soak(Place::Near);
}

pub(super) fn in_far() {
    let _sshd = Sshd::start();
    soak(Place::Far);
}

/// In a bucket nothing is renamed, and nobody puts things there but programs of ours.
pub(super) fn in_bucket() {
    let server = shared("seaweedfs");
    let url = Bucket::new(&server).url("shared/");
    let proxy = super::archives::broken(&server, order().0);
    soak(Place::Bucket(server, url, proxy));
}
