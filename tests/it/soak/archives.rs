//! Archives of two machines in one bucket, and a directory that both copy to: months of scheduled backups,
//! clocks that are wrong, kills, a broken network, rollbacks, and a machine that was given the other's
//! prefix. The keeper knows what was written into each snapshot, of which chain it is, and how many
//! chains are kept.

use super::{Random, order, texts};
use crate::bucket::{self, Bucket};
use crate::proxy::{Fault, Proxy};
use crate::s3::options;
use crate::scheduled::{day, in_order, store_options};
use crate::servers::{Server, shared};
use crate::subvolumes::{script, subvolume};
use crate::support::{btrfs, here, output};
use buttersink::backup::archive;
use buttersink::backup::config::Config;
use buttersink::backup::scheduled::{self, ScheduledOrder, Work};
use buttersink::s3::S3Options;
use buttersink::snapshot::State;
use buttersink::store::bucket::ArchiveStore;
use buttersink::store::{Access, Store, StoreOptions};
use jiff::{ToSpan, Zoned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How many chains the bucket keeps, and how many snapshots the directory.
const CHAINS: usize = 2;
const COPIES: usize = 3;

/// A backup that the keeper has seen arrive.
#[derive(Clone)]
struct Backup {
    name: String,
    made: Zoned,
    /// The full one of its chain in the bucket.
    root: String,
}

/// A subvolume, its machine, and what of it must be there, as it arrived.
struct Subject {
    machine: &'static str,
    name: &'static str,
    /// Its filesystem.
    home: PathBuf,
    archived: Vec<Backup>,
    copied: Vec<Backup>,
    /// All that has ever arrived in the bucket, and in the directory.
    seen: [Vec<String>; 2],
    /// What was written into each snapshot, and when that was.
    texts: BTreeMap<String, (String, Zoned)>,
}

/// What goes wrong in a run.
#[derive(Clone, Copy, PartialEq)]
enum Luck {
    Good,
    Killed(u64),
    Broken,
}

struct Soak {
    random: Random,
    bucket: String,
    server: Server,
    /// The server, behind a network that breaks now and then.
    proxy: Proxy,
    shared: PathBuf,
    subjects: Vec<Subject>,
    /// In hours from a day that is long gone; no two runs are at the same one.
    today: i64,
    written: u64,
    /// How many backups a policy let go.
    gone: usize,
}

impl Soak {
    fn new(seed: u64) -> Soak {
        let server = shared("seaweedfs");
        let (one, two) = (btrfs("one", 512), btrfs("two", 512));
        let shared = btrfs("dest", 1024).join("shared");
        std::fs::create_dir(&shared).unwrap();
        let all = [
            ("m1", "data", &one),
            ("m1", "home", &one),
            ("m2", "home", &two),
        ];
        let subjects = all.into_iter().map(|(machine, name, home)| {
            subvolume(&home.join(name));
            script(&home.join(name), "head -c 400000 /dev/urandom >big");
            Subject {
                machine,
                name,
                home: home.clone(),
                archived: Vec::new(),
                copied: Vec::new(),
                seen: Default::default(),
                texts: BTreeMap::new(),
            }
        });
        Soak {
            random: Random(seed),
            bucket: server.bucket(),
            proxy: broken(&server, seed),
            server,
            shared,
            subjects: subjects.collect(),
            // The server's own clock stays ahead.
            today: -24 * 2000,
            written: 0,
            gone: 0,
        }
    }

    fn step(&mut self) {
        let which = self.random.below(self.subjects.len() as u64) as usize;
        self.today += 24 * (4 + self.random.below(9) as i64);
        match self.random.below(12) {
            0 => self.subjects[which].roll_back(),
            1 => self.subjects[which].lose_snapshots(),
            2 => self.trespass(),
            3 => self.back_up(which, self.today + 24 * 4000 + 2, Luck::Good),
            4 => self.back_up(which, self.today - 24 * 40 + 1, Luck::Good),
            5 | 6 => {
                let after = 30 + self.random.below(600);
                self.back_up(which, self.today, Luck::Killed(after));
            }
            7 => self.back_up(which, self.today, Luck::Broken),
            _ => self.back_up(which, self.today, Luck::Good),
        }
    }

    /// A run of one subvolume, on a day of its machine's clock.
    fn back_up(&mut self, which: usize, number: i64, luck: Luck) {
        self.written += 1;
        let text = format!("text {}", self.written);
        let subject = &self.subjects[which];
        std::fs::write(subject.home.join(subject.name).join("file"), &text).unwrap();
        let config = self.configured(subject, subject.machine, luck == Luck::Broken);
        let code = run(&config, subject, number, luck);
        assert!(
            luck != Luck::Good || code == Some(0),
            "it ended with {code:?}"
        );
        let subject = &mut self.subjects[which];
        let fresh = subject.read_names(&text, &hour(number));
        let done = fresh.filter(|_| luck == Luck::Good);
        self.keep(which, &hour(number), done.as_deref());
    }

    /// The file of a machine, with this prefix.
    fn configured(&self, subject: &Subject, prefix: &str, through_proxy: bool) -> PathBuf {
        let (machine, home, dir) = (subject.machine, subject.home.display(), here());
        let endpoint = match through_proxy {
            true => &self.proxy.endpoint,
            false => &self.server.endpoint,
        };
        let text = format!(
            "subvolumes.paths = ['{home}/{name}']\n\
             schedule = {{ full_every_days = 28, incremental_every_days = 3 }}\n\
             [global]\nstate_path = '{dir}/{machine}-{name}.json'\nlock_path = '{dir}/{machine}.lock'\n\
             spool_dir = '{dir}/spool'\n\
             [snapshots]\nbase_dir = '{home}/snapshots'\nretain = 2\n\
             [restore]\ntarget_base_dir = '{dir}/back/base'\n\
             [s3]\nbucket = '{bucket}'\nregion = 'us-east-1'\nprefix = '{prefix}/'\n\
             endpoint_url = '{endpoint}'\nchunk_size_bytes = 150000\nstorage_class_chunks = 'STANDARD'\n\
             retain_full_chains = {CHAINS}\n\
             [[destination]]\nlocation = '{shared}/'\nretain = {COPIES}\n",
            name = subject.name,
            dir = dir.display(),
            bucket = self.bucket,
            shared = self.shared.display()
        );
        let file = dir.join(format!("{machine}-{}.toml", subject.name));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The second machine is given the first one's prefix, and has a subvolume of the name. What it
    /// copies to the directory is fine.
    fn trespass(&mut self) {
        let [_, owner, intruder] = &self.subjects[..] else {
            panic!("three subvolumes");
        };
        // From the moment on at which the owner began, whatever became of that.
        let begun = format!("m1/subvol/{}/", owner.name);
        if self.keys(&begun).is_empty() {
            return;
        }
        self.written += 1;
        let text = format!("text {}", self.written);
        std::fs::write(intruder.home.join("home/file"), &text).unwrap();
        let before = self.keys("m1/");
        let config = self.configured(intruder, "m1", false);
        let code = run(&config, intruder, self.today, Luck::Good);
        assert!(matches!(code, Some(1 | 10)), "it ended with {code:?}");
        assert_eq!(before, self.keys("m1/"));
        self.subjects[2].read_names(&text, &hour(self.today));
        for which in [1, 2] {
            self.keep(which, &hour(self.today), None);
        }
    }

    fn bucket(&self) -> Bucket<'_> {
        Bucket {
            server: &self.server,
            name: self.bucket.clone(),
        }
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        self.bucket().keys(prefix)
    }

    /// What each backup is built on, as its manifest has it: the names of the snapshots.
    fn bases(&self, subject: &Subject) -> BTreeMap<String, String> {
        let keys = self.keys(&format!("{}/subvol/{}/", subject.machine, subject.name));
        let manifests = keys.iter().filter(|key| key.contains("/manifest-"));
        let read = |key: &String| -> (String, Value) {
            let manifest = self.bucket().get(key);
            (key.clone(), serde_json::from_slice(&manifest).unwrap())
        };
        let all: BTreeMap<String, Value> = manifests.map(read).collect();
        let name = |manifest: &Value| manifest["snapshot"]["name"].as_str().unwrap().to_owned();
        let base = |manifest: &Value| {
            let base = all.get(manifest["parent_manifest"].as_str()?)?;
            Some((name(manifest), name(base)))
        };
        all.values().filter_map(base).collect()
    }

    /// Lets go of what the policies may, at this time of the machine, and looks for the rest.
    fn keep(&mut self, which: usize, now: &Zoned, done: Option<&str>) {
        let found = [
            self.archived(which),
            in_order(&self.shared, self.subjects[which].name),
        ];
        let bases = self.bases(&self.subjects[which]);
        let subject = &mut self.subjects[which];
        if let Some(done) = done {
            let there = found
                .iter()
                .all(|names| names.iter().any(|name| name == done));
            assert!(there, "{done} did not arrive: {found:?}");
        }
        let before = subject.archived.len() + subject.copied.len();
        let fresh = subject.arrived(&found, &bases);
        subject.let_go(now);
        self.gone += before + fresh - subject.archived.len() - subject.copied.len();
        let must = [&subject.archived, &subject.copied];
        for (must, found) in must.into_iter().zip(&found) {
            for Backup { name, .. } in must {
                assert!(found.contains(name), "{name} is gone: {found:?}");
            }
        }
    }

    /// The sound backups of a subvolume in the bucket.
    fn archived(&self, which: usize) -> Vec<String> {
        let subject = &self.subjects[which];
        let config = Config::read(&self.configured(subject, subject.machine, false)).unwrap();
        let settings = archive::settings(&config, &config.archives[0], subject.name);
        let store_options =
            archive::store_options(&config.archives[0], &store_options(&self.server));
        let mut archive = ArchiveStore::open(settings, Access::Read, store_options.s3).unwrap();
        let sound = archive.list().unwrap().snapshots.into_iter();
        let sound = sound.filter(|snapshot| snapshot.state == State::Ok);
        sound.map(|s| s.path.to_str().unwrap().to_owned()).collect()
    }

    /// What must be there comes back, each with what was written into it.
    fn fetch(&self) {
        let back = btrfs("back", 1024);
        for (number, subject) in self.subjects.iter().enumerate() {
            let config = self.configured(subject, subject.machine, false);
            for Backup { name, .. } in &subject.archived {
                let target = back.join(format!("{number}-{name}"));
                let words = ["restore", "--verify", "none", "--subvolume", subject.name];
                let at = ["--snapshot", name, "--target", target.to_str().unwrap()];
                let words = [&words[..], &at, &["--config", config.to_str().unwrap()]].concat();
                let mut command = bucket::command(&self.server.endpoint, &words);
                output(command.env("BUTTERSINK_MACHINE_ID", subject.machine));
                let text = std::fs::read_to_string(target.join("file")).unwrap();
                assert_eq!(text, subject.texts[name].0);
            }
            let copies = texts(&self.shared);
            for Backup { name, .. } in &subject.copied {
                assert_eq!(copies.get(&subject.texts[name].0), Some(name));
            }
        }
    }
}

impl Subject {
    fn snapshots(&self) -> PathBuf {
        self.home.join("snapshots")
    }

    /// Remembers a snapshot that is here and was not; its name.
    fn read_names(&mut self, text: &str, now: &Zoned) -> Option<String> {
        let names = in_order(&self.snapshots(), self.name).into_iter();
        let mut fresh = names.filter(|name| !self.texts.contains_key(name));
        let name = fresh.next()?;
        assert_eq!(fresh.next(), None);
        self.texts
            .insert(name.clone(), (text.to_owned(), now.clone()));
        Some(name)
    }

    /// Takes in what was found in the bucket and in the directory; how much of that is new.
    fn arrived(&mut self, found: &[Vec<String>; 2], bases: &BTreeMap<String, String>) -> usize {
        let must = [&mut self.archived, &mut self.copied];
        let places = must.into_iter().zip(&mut self.seen).zip(found);
        let mut count = 0;
        for ((must, seen), found) in places {
            for name in found {
                if let Some((_, made)) = self.texts.get(name).filter(|_| !seen.contains(name)) {
                    let mut root = name;
                    while let Some(base) = bases.get(root) {
                        root = base;
                    }
                    seen.push(name.clone());
                    must.push(Backup {
                        name: name.clone(),
                        made: made.clone(),
                        root: root.clone(),
                    });
                    count += 1;
                }
            }
        }
        count
    }

    /// What is from the future holds no place, and stays.
    fn let_go(&mut self, now: &Zoned) {
        let all = self.archived.iter();
        let mut chains: Vec<Backup> = all.filter(|b| b.name == b.root).cloned().collect();
        newest(&mut chains, CHAINS, now, |full| full.made.clone());
        let stays = |b: &Backup| chains.iter().any(|full| full.name == b.root);
        self.archived.retain(stays);
        newest(&mut self.copied, COPIES, now, |copy| copy.made.clone());
    }

    /// The newest snapshot, writable, in the place of the subvolume.
    fn roll_back(&self) {
        let name = self.name;
        script(
            &self.home,
            &format!(
                "newest=; for s in snapshots/{name}__*; do [ ! -d $s ] || newest=$s; done; [ -n \"$newest\" ] || exit 0
                 btrfs -q subvolume delete {name}; btrfs -q subvolume snapshot $newest {name}"
            ),
        );
    }

    /// The snapshots here are deleted by somebody: the next backup begins a chain.
    fn lose_snapshots(&self) {
        let name = self.name;
        let words = format!(
            "for s in snapshots/{name}__*; do [ ! -d $s ] || btrfs -q subvolume delete $s; done"
        );
        script(&self.home, &words);
    }
}

/// Keeps so many of those that are not from the future, and all that are.
fn newest<T>(all: &mut Vec<T>, count: usize, now: &Zoned, made: impl Fn(&T) -> Zoned) {
    let mut past: Vec<Zoned> = all.iter().map(&made).filter(|made| made <= now).collect();
    past.sort();
    let Some(at) = past.len().checked_sub(count) else {
        return;
    };
    all.retain(|one| past.get(at).is_none_or(|oldest| made(one) >= *oldest));
}

fn hour(number: i64) -> Zoned {
    day(0).checked_add(number.hours()).unwrap()
}

/// One request in five goes wrong.
pub(super) fn broken(server: &Server, seed: u64) -> Proxy {
    let mut random = Random(seed);
    let faults = [
        Fault::Reset,
        Fault::Answer(500, ""),
        Fault::HalfAnswer,
        Fault::LoseAnswer,
    ];
    Proxy::before(server, move |_| {
        faults.get(random.below(20) as usize).copied()
    })
}

/// Runs ourselves on that machine at that time; the exit code, unless it was killed.
fn run(config: &Path, subject: &Subject, number: i64, luck: Luck) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg("--scheduled-at")
        .args([config.as_os_str(), number.to_string().as_ref()])
        .env("BUTTERSINK_MACHINE_ID", subject.machine);
    let Luck::Killed(after) = luck else {
        return output(&mut command).status.code();
    };
    let mut running = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(after));
    running.kill().unwrap();
    let code = running.wait().unwrap().code();
    // What the server is still doing for the dead must not come after the next look.
    std::thread::sleep(Duration::from_millis(200));
    code
}

/// The backups of a file, in this process, as if it were another day.
pub(super) fn at(config: &str, number: &str) -> ExitCode {
    let file = PathBuf::from(config);
    let order = ScheduledOrder {
        config: Config::read(&file).unwrap(),
        file,
        only: Vec::new(),
        once: false,
        dry_run: false,
        work: Work::Backup,
    };
    let store_options = StoreOptions {
        s3: S3Options {
            endpoint_url: None,
            retries: 1,
            ..options("")
        },
        ..store_options(&shared("seaweedfs"))
    };
    let now = hour(number.parse().unwrap());
    match scheduled::run(&order, &store_options, &now, &mut |event| {
        println!("{event:#}");
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            error.exit_code().into()
        }
    }
}

pub(super) fn soak() {
    let (seed, steps) = order();
    let mut soak = Soak::new(seed);
    for number in 0..steps {
        println!("step {number} of seed {seed}");
        soak.step();
    }
    assert!(soak.gone > 0, "nothing was let go");
    soak.fetch();
}
