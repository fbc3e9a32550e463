//! Scheduled backups of a configuration, on real filesystems and servers: weeks of them, what is
//! kept, kills at any moment, lost states, failing destinations, hooks.

use crate::backup::within;
use crate::bucket::{Bucket, command, said};
use crate::proxy::{Fault, Proxy, Seen};
use crate::runner::Test;
use crate::s3::options;
use crate::servers::{Server, shared};
use crate::subvolumes::{EVERYTHING, id, script, snapshot, subvolume};
use crate::support::{Said, btrfs, here, local_options};
use crate::tests;
use crate::tree::assert_same;
use buttersink::backup::archive;
use buttersink::backup::config::Config;
use buttersink::backup::names;
use buttersink::backup::schedule::BackupKind;
use buttersink::backup::scheduled::{self, ScheduledOrder, Work};
use buttersink::backup::state::RunState;
use buttersink::error::Result;
use buttersink::event::Event;
use buttersink::plan::Wish;
use buttersink::snapshot::{self, Listing};
use buttersink::store::bucket::ArchiveStore;
use buttersink::store::remote::ssh;
use buttersink::store::{self, Access, Place, Store, StoreOptions};
use buttersink::sync;
use jiff::{ToSpan, Zoned};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

pub(crate) const TESTS: &[Test] = tests![
    weeks_of_backups_on_seaweedfs,
    weeks_of_backups_on_radosgw,
    chains_are_kept_whole,
    killed_at_any_moment,
    the_state_is_a_cache,
    what_the_old_program_left_is_continued,
    a_destination_that_failed_is_owed,
    the_bucket_is_away,
    without_credentials_there_is_no_snapshot,
    a_dry_run_shows_everything_and_does_nothing,
    no_s3_is_a_snapshot_only,
    an_upload_is_finished_though_a_newer_snapshot_is_there,
    what_nobody_goes_on_with_is_said,
    another_subvolume_of_the_name_is_refused,
    what_was_lost_in_the_bucket_is_said_at_once,
    a_configuration_is_checked_with_its_bucket,
    an_archive_that_cannot_be_listed_is_one_item,
    two_runs_in_one_second_have_two_stamps,
    one_backup_is_deleted,
    a_clock_that_was_wrong_for_a_while,
    one_run_at_a_time,
    hooks_stand_around_a_run,
    what_cannot_be_done_is_said,
    a_spool_on_disk,
    the_units_capabilities_suffice,
];

/// Subvolumes `data` and `home`, a directory for their snapshots, and a bucket.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) bucket: String,
    pub(crate) from: PathBuf,
    pub(crate) config: PathBuf,
}

impl Scene {
    pub(crate) fn new(kind: &'static str, more: &str) -> Scene {
        let server = shared(kind);
        let bucket = server.bucket();
        let from = btrfs("from", 512);
        for name in ["data", "home"] {
            subvolume(&from.join(name));
            script(
                &from.join(name),
                "head -c 400000 /dev/urandom >big; mkdir d; echo 1 >d/small",
            );
        }
        let config = here().join("config.toml");
        let scene = Scene {
            server,
            bucket,
            from,
            config,
        };
        scene.configure(more);
        scene
    }

    /// Writes the file, with these lines at the end of `[s3]`.
    fn configure(&self, more: &str) {
        let (from, here) = (self.from.display(), here());
        let text = format!(
            "subvolumes.paths = ['{from}/data', '{from}/home']\n\
             schedule = {{ full_every_days = 28, incremental_every_days = 7 }}\n\
             [global]\nstate_path = '{0}/state/state.json'\nlock_path = '{0}/lock'\nspool_dir = '{0}/spool'\n\
             [snapshots]\nbase_dir = '{from}/snapshots'\nretain = 100\n\
             [s3]\nbucket = '{1}'\nregion = 'us-east-1'\nprefix = 'host 1/'\nendpoint_url = '{2}'\n\
             chunk_size_bytes = 150000\nstorage_class_chunks = 'STANDARD'\n{more}\n",
            here.display(),
            self.bucket,
            self.server.endpoint
        );
        std::fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn order(&self) -> ScheduledOrder {
        ScheduledOrder {
            config: Config::read(&self.config).unwrap(),
            file: self.config.clone(),
            only: Vec::new(),
            once: false,
            dry_run: false,
            work: Work::Backup,
        }
    }

    /// A run at a time; what it said was due.
    pub(crate) fn run(&self, now: &Zoned) -> Result<Vec<String>> {
        self.run_with(now, &store_options(&self.server))
    }

    pub(crate) fn run_with(
        &self,
        now: &Zoned,
        store_options: &StoreOptions,
    ) -> Result<Vec<String>> {
        let mut due = Vec::new();
        let done = scheduled::run(&self.order(), store_options, now, &mut |event| {
            println!("{event:?}");
            if let Event::Due {
                subvolume: path,
                what,
                ..
            } = event
            {
                let name = path.file_name().unwrap().to_string_lossy();
                due.push(format!("{name}: {what}"));
            }
        });
        done.map(|()| due)
    }

    /// Changes the file.
    pub(crate) fn replace(&self, old: &str, new: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(&self.config, text.replace(old, new)).unwrap();
    }

    /// The program, with these options.
    fn backup(&self, options: &[&str]) -> Said {
        let config = self.config.to_str().unwrap();
        let words = [&["backup", "--config", config], options].concat();
        said(&mut command(&self.server.endpoint, &words))
    }

    pub(crate) fn write(&self, words: &str) {
        for name in ["data", "home"] {
            let words = format!("echo {words} >>d/small; head -c 200000 /dev/urandom >d/{words}");
            script(&self.from.join(name), &words);
        }
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.from.join("snapshots")
    }

    /// The names of the snapshots of a subvolume that are here.
    pub(crate) fn names(&self, of: &str) -> Vec<String> {
        in_order(&self.snapshots(), of)
    }

    pub(crate) fn archive(&self, name: &str) -> ArchiveStore {
        let config = self.order().config;
        let settings = archive::settings(&config, &config.archives[0], name);
        let store_options =
            archive::store_options(&config.archives[0], &store_options(&self.server));
        ArchiveStore::open(settings, Access::Read, store_options.s3).unwrap()
    }

    pub(crate) fn listing(&self, name: &str) -> Listing {
        self.archive(name).list().unwrap()
    }

    /// Restores every backup of a subvolume to a filesystem of its own, and compares those whose
    /// originals are still here; how many there are.
    pub(crate) fn restore_all(&self, name: &str, to: &str) -> usize {
        let to = btrfs(to, 512);
        let mut from = self.archive(name);
        let place = Place::Local(to.clone());
        let mut dest = store::open(&place, Access::Append, &store_options(&self.server)).unwrap();
        let (here, there) = (from.list().unwrap(), dest.list().unwrap());
        assert!(from.archive().unwrap().broken.is_empty());
        let wish = Wish::default();
        let quiet = &mut |_: Event| {};
        let plan = sync::make_plan(&mut from, &here, &there, &wish, quiet).unwrap();
        let done = sync::carry_out(&plan, &here, &wish, &mut from, &mut *dest, quiet).unwrap();
        done.verdict().unwrap();
        let restored = in_order(&to, name);
        for copy in &restored {
            let original = self.snapshots().join(copy);
            if original.exists() {
                assert_same(&original, &to.join(copy));
            }
        }
        restored.len()
    }
}

pub(crate) fn in_order(dir: &Path, of: &str) -> Vec<String> {
    let Ok(entries) = dir.read_dir() else {
        return Vec::new();
    };
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let ours = |name: &String| names::scheduled_parts(name).is_some_and(|(o, ..)| o == of);
    names
        .filter(ours)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

pub(crate) fn store_options(server: &Server) -> StoreOptions {
    StoreOptions {
        bwlimit: None,
        local: local_options(),
        ssh: ssh::SshOptions::default(),
        s3: buttersink::s3::S3Options {
            endpoint_url: None,
            ..options(&server.endpoint)
        },
    }
}

pub(crate) fn day(number: i64) -> Zoned {
    let first: Zoned = "2026-02-01T03:00:00[Europe/Berlin]".parse().unwrap();
    first.checked_add(number.days()).unwrap()
}

fn weeks_of_backups_on_seaweedfs() {
    weeks_of_backups("seaweedfs");
}

fn weeks_of_backups_on_radosgw() {
    weeks_of_backups("radosgw");
}

/// Two months, every third day, across the change of the clocks.
fn weeks_of_backups(kind: &'static str) {
    let scene = Scene::new(kind, "");
    let (mut made, mut fulls) = (Vec::new(), 0);
    for number in (0..=60).step_by(3) {
        scene.write(&number.to_string());
        let due = scene.run(&day(number)).unwrap();
        assert_eq!(due.len(), 2, "{due:?}");
        if due[0].contains("nothing is due") {
            continue;
        }
        made.push(number);
        fulls += usize::from(due[0].starts_with("data: full"));
    }
    // Due after seven days, a full one after 28, and seen to on the next day divisible by three.
    assert_eq!(made, [0, 9, 18, 27, 30, 39, 48, 57, 60]);
    assert_eq!(fulls, 3);
    for name in ["data", "home"] {
        let names = scene.names(name);
        assert_eq!(names.len(), made.len());
        assert_eq!(names[0], format!("{name}__20260201T020000Z__full"));
        assert_eq!(names[1], format!("{name}__20260210T020000Z__inc"));
        assert_eq!(scene.restore_all(name, &format!("to-{name}")), made.len());
    }
    let state = RunState::read(&scene.order().config.global.state_path);
    assert_eq!(state.unread, None);
    let last = &state.subvolumes["data"];
    let newest = scene.names("data").pop().unwrap();
    assert_eq!(last.last_snapshot, Some(scene.snapshots().join(newest)));
    assert_eq!(last.last_full_at, Some("20260402T010000Z".into()));
}

/// One full backup in four; two chains stay in the bucket, two snapshots here, and a week on a disk.
fn chains_are_kept_whole() {
    let disk = btrfs("disk", 512);
    let more = format!(
        "retain_full_chains = 2\n[[destination]]\nlocation = '{}/'\nkeep = '7d'",
        disk.display()
    );
    let scene = Scene::new("seaweedfs", &more);
    let text = std::fs::read_to_string(&scene.config).unwrap();
    std::fs::write(&scene.config, text.replace("retain = 100", "retain = 2")).unwrap();
    for week in 0..13 {
        scene.write(&week.to_string());
        scene.run(&day(7 * week)).unwrap();
        for name in ["data", "home"] {
            assert_eq!(scene.names(name).len(), 2.min(week as usize + 1));
            let listing = scene.listing(name);
            let newest = &listing.snapshots.last().unwrap().path;
            assert_eq!(
                newest.to_str(),
                scene.names(name).last().map(String::as_str)
            );
        }
    }
    // Fulls in weeks 0, 4, 8 and 12.
    let listing = scene.listing("data");
    let names: Vec<&str> = listing
        .snapshots
        .iter()
        .map(|s| s.path.to_str().unwrap())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(
        names[0].contains("20260329") && names[0].ends_with("full"),
        "{names:?}"
    );
    assert!(listing.notes.is_empty(), "{:?}", listing.notes);
    assert_eq!(scene.restore_all("data", "to"), 5);
    assert_eq!(in_order(&disk, "data").len(), 7);
    let newest = scene.names("home").pop().unwrap();
    assert_same(&scene.snapshots().join(&newest), &disk.join(&newest));
}

/// Kills the program again and again; what can be restored is right at every moment, and what was
/// sent is not sent again.
fn killed_at_any_moment() {
    let scene = Scene::new("seaweedfs", "part_size_bytes = 5242880");
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let larger = text.replace("chunk_size_bytes = 150000", "chunk_size_bytes = 12000000");
    std::fs::write(&scene.config, larger).unwrap();
    script(
        &scene.from.join("data"),
        "head -c 40000000 /dev/urandom >big",
    );
    let mut kills = 0;
    for delay in 1.. {
        let config = scene.config.to_str().unwrap();
        let words = ["backup", "--config", config, "--subvolume", "data"];
        let mut running = command(&scene.server.endpoint, &words)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 * delay));
        if let Some(status) = running.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        running.kill().unwrap();
        running.wait().unwrap();
        // What the server is still doing for the dead must not come after the next run's look.
        std::thread::sleep(Duration::from_millis(200));
        kills += 1;
        let mut archive = scene.archive("data");
        archive.list().unwrap();
        let archive = archive.archive().unwrap();
        assert!(archive.broken.is_empty(), "{:?}", archive.broken);
    }
    assert!(kills > 2, "{kills} kills");
    let listing = scene.listing("data");
    // What arrived less than a day ago stays: another machine may be sending it.
    let young = |note: &String| note.contains("left by a run that did not end");
    assert!(listing.notes.iter().all(young), "{:?}", listing.notes);
    let whole = |s: &&snapshot::Snapshot| s.state != snapshot::State::Partial;
    let whole = listing.snapshots.iter().filter(whole);
    let backups = whole.count();
    assert_eq!(scene.restore_all("data", "to"), backups);
    // Interrupted uploads were gone on with: there is the first snapshot that got so far.
    assert!(backups < kills, "{backups} backups after {kills} kills");
}

fn the_state_is_a_cache() {
    let scene = Scene::new("seaweedfs", "");
    scene.run(&day(0)).unwrap();
    let state = scene.order().config.global.state_path;
    for (number, damage) in [
        (7, None),
        (14, Some("{")),
        (21, Some("{\"subvolumes\": {}}")),
    ] {
        match damage {
            None => std::fs::remove_file(&state).unwrap(),
            Some(text) => std::fs::write(&state, text).unwrap(),
        }
        scene.write(&number.to_string());
        let due = scene.run(&day(number)).unwrap();
        assert!(due[0].starts_with("data: incremental"), "{due:?}");
        let state = RunState::read(&state);
        assert_eq!((state.unread, state.subvolumes.len()), (None, 2));
    }
    // A lie in it changes nothing either.
    let lie = json!({"subvolumes": {"data": {
        "last_snapshot": "/nowhere", "last_manifest": "no/such-20990101T000000Z.json",
        "last_full_at": "20990101T000000Z"}}});
    std::fs::write(&state, lie.to_string()).unwrap();
    let due = scene.run(&day(28)).unwrap();
    assert!(due[0].starts_with("data: full"), "{due:?}");
    assert_eq!(scene.listing("data").snapshots.len(), 5);
}

/// A full backup whose manifest has no UUIDs, as the old program wrote it.
fn what_the_old_program_left_is_continued() {
    let scene = Scene::new("seaweedfs", "");
    scene.run(&day(0)).unwrap();
    let bucket = Bucket {
        server: &scene.server,
        name: scene.bucket.clone(),
    };
    let key = "host 1/subvol/data/full/manifest-20260201T020000Z.json";
    let mut manifest: serde_json::Value = serde_json::from_slice(&bucket.get(key)).unwrap();
    assert!(manifest["snapshot"]["uuid"].is_string());
    manifest["snapshot"]["uuid"] = json!(null);
    bucket.put(key, manifest.to_string().as_bytes());
    scene.write("later");
    let due = scene.run(&day(7)).unwrap();
    assert!(due[0].starts_with("data: incremental"), "{due:?}");
    let key = "host 1/subvol/data/incremental/manifest-20260208T020000Z.json";
    let manifest: serde_json::Value = serde_json::from_slice(&bucket.get(key)).unwrap();
    let first = scene.snapshots().join(&scene.names("data")[0]);
    assert_eq!(manifest["snapshot"]["parent_uuid"], json!(id(&first)));
    assert_eq!(scene.restore_all("data", "to"), 2);
}

fn a_destination_that_failed_is_owed() {
    let disk = btrfs("disk", 512);
    let place = disk.join("snaps");
    let more = format!("[[destination]]\nlocation = '{}/'", place.display());
    let scene = Scene::new("seaweedfs", &more);
    let error = scene.run(&day(0)).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    let error = scene.run(&day(1)).unwrap_err();
    assert_eq!(scene.names("data").len(), 1, "no further snapshot");
    assert_eq!(error.exit_code(), 1, "it is all there was to do: {error}");
    std::fs::create_dir(&place).unwrap();
    let due = scene.run(&day(2)).unwrap();
    assert!(due[0].contains("the last snapshot for"), "{due:?}");
    let name = scene.names("data").pop().unwrap();
    assert_same(&scene.snapshots().join(&name), &place.join(&name));
    let due = scene.run(&day(3)).unwrap();
    assert!(
        due.iter().all(|due| due.contains("nothing is due")),
        "{due:?}"
    );
    assert_eq!(scene.listing("data").snapshots.len(), 1);
}

/// While the bucket cannot be reached, a disk gets its backups, and the bucket its own afterwards.
fn the_bucket_is_away() {
    let disk = btrfs("disk", 512);
    let more = format!("[[destination]]\nlocation = '{}/'", disk.display());
    let scene = Scene::new("seaweedfs", &more);
    scene.run(&day(0)).unwrap();
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let away = text.replace(&scene.server.endpoint, "http://127.0.0.1:1");
    std::fs::write(&scene.config, away).unwrap();
    for number in [7, 8] {
        scene.write(&number.to_string());
        let mut store_options = store_options(&scene.server);
        store_options.s3.retries = 1;
        let error = scene.run_with(&day(number), &store_options).unwrap_err();
        assert!(matches!(error.exit_code(), 1 | 10), "{error}");
    }
    assert_eq!(scene.names("data").len(), 2, "one for both days");
    assert_eq!(in_order(&disk, "data").len(), 2);
    std::fs::write(&scene.config, text).unwrap();
    let due = scene.run(&day(9)).unwrap();
    assert!(due[0].contains("of the snapshot that is there"), "{due:?}");
    assert_eq!(scene.names("data").len(), 2);
    assert_eq!(scene.restore_all("data", "to"), 2);
}

fn without_credentials_there_is_no_snapshot() {
    let scene = Scene::new("seaweedfs", "");
    let config = scene.config.to_str().unwrap();
    let words = ["backup", "--config", config];
    let mut none = command(&scene.server.endpoint, &words);
    none.env_remove("AWS_ACCESS_KEY_ID");
    none.env_remove("AWS_SECRET_ACCESS_KEY");
    none.env("AWS_EC2_METADATA_DISABLED", "true");
    let none = said(&mut none);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("AWS_ACCESS_KEY_ID"), "{}", none.stderr);
    let mut wrong = command(&scene.server.endpoint, &words);
    let wrong = said(wrong.env("AWS_SECRET_ACCESS_KEY", "wrong"));
    assert_eq!(wrong.code, 1);
    assert!(scene.names("data").is_empty() && scene.names("home").is_empty());
}

fn a_dry_run_shows_everything_and_does_nothing() {
    let scene = Scene::new("seaweedfs", "retain_full_chains = 1");
    let before = scene.backup(&["--dry-run"]);
    assert_eq!(before.code, 0);
    assert!(!scene.snapshots().exists());
    for words in [
        "full backup now (there is no full backup yet)",
        "would make the snapshot data__",
        "memory: ",
        "storing 1 MiB: ",
        "restoring the chain of 1 MiB: ",
    ] {
        assert!(before.stdout.contains(words), "{words}: {}", before.stdout);
    }
    assert_eq!(scene.listing("data").snapshots.len(), 0);
    let done = scene.backup(&[]);
    assert_eq!(done.code, 0);
    let idle = scene.backup(&[]);
    assert_eq!(idle.code, 0);
    assert_eq!((&*idle.stdout, &*idle.stderr), ("", ""), "cron is silent");
    let idle = scene.backup(&["-n"]);
    assert!(
        idle.stdout
            .contains("nothing is due; incremental backup from")
    );
    let again = scene.backup(&["-n", "--once", "--subvolume", "home", "--json"]);
    assert_eq!(again.code, 0);
    let lines: Vec<serde_json::Value> = again
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert_eq!(events[..4], ["due", "snapshot", "plan", "cost"]);
    assert_eq!(
        lines[2]["steps"][0]["from"],
        json!(id(&scene.snapshots().join(&scene.names("home")[0])))
    );
    assert_eq!(scene.names("home").len(), 1);
}

fn no_s3_is_a_snapshot_only() {
    let scene = Scene::new("seaweedfs", "");
    let mut order = scene.order();
    order.work = Work::Snapshot;
    let none = StoreOptions {
        s3: buttersink::s3::S3Options {
            endpoint_url: Some("http://127.0.0.1:1".to_owned()),
            retries: 1,
            ..options(&scene.server.endpoint)
        },
        ..store_options(&scene.server)
    };
    for number in [0, 1, 7] {
        scheduled::run(&order, &none, &day(number), &mut |_| {}).unwrap();
    }
    let kinds: Vec<String> = scene.names("data");
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(
        kinds[0].ends_with("full") && kinds[1].ends_with("inc"),
        "{kinds:?}"
    );
    assert_eq!(scene.listing("data").snapshots.len(), 0);
    // The bucket has no full backup, so that the next one is.
    let due = scene.run(&day(8)).unwrap();
    assert!(due[0].starts_with("data: full"), "{due:?}");
    assert_eq!(scene.restore_all("data", "to"), 1);
}

/// The days of upload behind it are not thrown away for a snapshot that was made meanwhile.
fn an_upload_is_finished_though_a_newer_snapshot_is_there() {
    let scene = Scene::new("seaweedfs", "");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    let through = |rule: fn(&Seen<'_>) -> Option<Fault>| {
        let proxy = Proxy::before(&scene.server, rule);
        let s3 = buttersink::s3::S3Options {
            endpoint_url: Some(proxy.endpoint.clone()),
            retries: 0,
            ..options(&scene.server.endpoint)
        };
        let store_options = StoreOptions {
            s3,
            ..store_options(&scene.server)
        };
        (proxy, store_options)
    };
    let breaks = |seen: &Seen<'_>| {
        let chunk = seen.method != "GET" && seen.target.contains("-1.bin");
        chunk.then_some(Fault::Reset)
    };
    scene.run_with(&day(0), &through(breaks).1).unwrap_err();
    let mut order = scene.order();
    order.work = Work::Snapshot;
    scene.write("later");
    scheduled::run(&order, &store_options(&scene.server), &day(7), &mut |_| {}).unwrap();
    assert_eq!(scene.names("data").len(), 2);
    let (proxy, counted) = through(|_| None);
    let due = scene.run_with(&day(8), &counted).unwrap();
    let [first, second, last] = &due[..] else {
        panic!("{due:?}");
    };
    let name = &scene.names("data")[0];
    let why = format!("(the transfer of {name} was interrupted)");
    assert!(
        first.starts_with("data: full") && first.ends_with(&why),
        "{first}"
    );
    assert!(
        second.contains("incremental backup of the snapshot that is there"),
        "{second}"
    );
    assert!(last.contains("nothing is due"), "{last}");
    // Each object is written in one request, and the first chunk was there.
    let seen = proxy.seen.lock().unwrap().clone();
    let written = |word: &str| {
        let lines = seen.iter().filter(|line| line.starts_with("PUT "));
        lines.filter(|line| line.contains(word)).count()
    };
    assert_eq!(
        (written("full/chunk-"), written("-0.bin")),
        (2, 1),
        "{seen:#?}"
    );
    assert_eq!(scene.names("data").len(), 2, "no further snapshot");
    let listing = scene.listing("data");
    assert!(listing.notes.is_empty(), "{:?}", listing.notes);
    assert_eq!(scene.restore_all("data", "to"), 2);
}

/// Whose snapshot is gone, nobody finishes; it is said.
fn what_nobody_goes_on_with_is_said() {
    let scene = Scene::new("seaweedfs", "");
    let bucket = Bucket {
        server: &scene.server,
        name: scene.bucket.clone(),
    };
    bucket.put("host 1/subvol/data/full/chunk-20260101T020000Z-0.bin", b"x");
    let mut notes = Vec::new();
    scheduled::run(
        &scene.order(),
        &store_options(&scene.server),
        &day(0),
        &mut |event| {
            if let Event::Note { words: note } = event {
                notes.push(note.to_owned());
            }
        },
    )
    .unwrap();
    let said = notes
        .iter()
        .find(|note| note.starts_with("nobody goes on with"));
    let said = said.unwrap_or_else(|| panic!("{notes:?}"));
    assert!(
        said.contains("full/chunk-20260101T020000Z in s3://"),
        "{said}"
    );
    assert!(
        said.ends_with("its snapshot is not here any more"),
        "{said}"
    );
}

/// A machine with the configuration of another neither waits for the other's schedule nor deletes its
/// backups.
fn another_subvolume_of_the_name_is_refused() {
    let scene = Scene::new("seaweedfs", "retain_full_chains = 1");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    scene.run(&day(0)).unwrap();
    let fresh = "btrfs -q subvolume delete data snapshots/data__*; btrfs -q subvolume create data; \
                 head -c 400000 /dev/urandom >data/big";
    script(&scene.from, fresh);
    for number in [1, 7] {
        let error = scene.run(&day(number)).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.said.contains("of another subvolume"), "{error}");
        assert!(error.said.contains("--once"), "{error}");
    }
    assert!(scene.names("data").is_empty());
    let mut order = scene.order();
    order.once = true;
    scheduled::run(&order, &store_options(&scene.server), &day(8), &mut |_| {}).unwrap();
    script(&scene.from.join("data"), "echo 2 >small");
    let due = scene.run(&day(15)).unwrap();
    assert!(due[0].starts_with("data: incremental"), "{due:?}");
    let listing = scene.listing("data");
    let names: Vec<_> = listing.snapshots.iter().map(|s| s.path.clone()).collect();
    assert_eq!(names.len(), 3, "the other's is kept: {names:?}");
    // After a rollback it is the same one still, and then its old chains go as they should.
    let back = "btrfs -q subvolume delete data; btrfs -q subvolume snapshot snapshots/data__20260216* data";
    script(&scene.from, back);
    let due = scene.run(&day(22)).unwrap();
    assert!(due[0].starts_with("data: incremental"), "{due:?}");
    let due = scene.run(&day(36)).unwrap();
    assert!(due[0].starts_with("data: full"), "{due:?}");
    let listing = scene.listing("data");
    let names: Vec<_> = listing.snapshots.iter().map(|s| s.path.clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0].to_str(), Some("data__20260201T020000Z__full"));
}

/// A chunk that somebody deleted is told of even when nothing is due.
fn what_was_lost_in_the_bucket_is_said_at_once() {
    let scene = Scene::new("seaweedfs", "");
    scene.run(&day(0)).unwrap();
    scene.write("more");
    scene.run(&day(7)).unwrap();
    let state = scene.order().config.global.state_path;
    std::fs::remove_file(&state).unwrap();
    let key = "host 1/subvol/data/incremental/chunk-20260208T020000Z-0.bin";
    assert_eq!(scene.server.plain("DELETE", &scene.bucket, key, b"").0, 204);
    let mut notes = Vec::new();
    let done = scheduled::run(
        &scene.order(),
        &store_options(&scene.server),
        &day(6),
        &mut |event| {
            if let Event::Note { words: note } = event {
                notes.push(note.to_owned());
            }
        },
    );
    done.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("cannot be restored") && notes[0].ends_with("is missing"));
    // The snapshot cannot be sent again under its name, so that a new one is.
    let due = scene.run(&day(7).checked_add(1.hour()).unwrap()).unwrap();
    assert!(
        due[0].starts_with("data: incremental backup now"),
        "{due:?}"
    );
    assert_eq!(scene.names("data").len(), 3);
    // What is remembered is what the bucket has, from a lost state too.
    let state = RunState::read(&state);
    let last = state.subvolumes["data"].last_full_at.clone();
    assert_eq!(last, Some("20260201T020000Z".into()));
}

/// A full backup and an incremental one, asked for in one second: the second one has the next second.
fn two_runs_in_one_second_have_two_stamps() {
    let scene = Scene::new("seaweedfs", "");
    let order = ScheduledOrder {
        once: true,
        ..scene.order()
    };
    for _ in 0..3 {
        scheduled::run(&order, &store_options(&scene.server), &day(0), &mut |_| {}).unwrap();
    }
    let mut stamps: Vec<String> = scene.names("data");
    assert_eq!(stamps.len(), 3);
    stamps
        .iter_mut()
        .for_each(|name| *name = name.split("__").nth(1).unwrap().to_owned());
    stamps.sort();
    stamps.dedup();
    assert_eq!(stamps.len(), 3);
    assert_eq!(scene.restore_all("data", "to"), 3);
}

/// Of two subvolumes the backups of one cannot be listed: those of the other are verified.
fn an_archive_that_cannot_be_listed_is_one_item() {
    let scene = Scene::new("seaweedfs", "");
    assert_eq!(scene.backup(&[]).code, 0);
    let proxy = Proxy::before(&scene.server, |seen| {
        let listing = seen.target.contains("list-type") && seen.target.contains("subvol%2Fdata");
        listing.then_some(Fault::Answer(403, "x: y"))
    });
    scene.replace(&scene.server.endpoint, &proxy.endpoint);
    let words = ["verify", "--config", scene.config.to_str().unwrap()];
    let said = said(&mut command(&proxy.endpoint, &words));
    assert_eq!(said.code, 10);
    let words = ["1 unverifiable", "1 intact", "subvol/data"];
    assert!(words.iter().all(|words| said.stdout.contains(words)));
}

/// What a run would do, by the bucket and not by what is remembered; and what the bucket does by itself.
fn a_configuration_is_checked_with_its_bucket() {
    let scene = Scene::new("seaweedfs", "");
    let check = |options: &[&str]| {
        let words = [
            &["config", "check"],
            options,
            &[scene.config.to_str().unwrap()],
        ]
        .concat();
        said(command(&scene.server.endpoint, &words).env("AWS_MAX_ATTEMPTS", "2"))
    };
    let said = check(&[]);
    assert_eq!(said.code, 0);
    for words in [
        "data: no backup in s3://",
        "home: full backup now",
        "keeps no versions",
    ] {
        assert!(said.stdout.contains(words), "{words}");
    }
    assert!(said.stdout.contains("written to was not tried"));
    let tried = check(&["--write"]);
    assert_eq!(tried.code, 0);
    assert!(tried.stdout.contains("; it is removed"));
    assert!(!tried.stdout.contains("was not tried"));
    assert_eq!(check(&["--write", "--offline"]).code, 2);
    assert!(!scene.snapshots().exists());
    assert_eq!(scene.backup(&[]).code, 0);
    std::fs::remove_file(scene.order().config.global.state_path).unwrap();
    let rules = b"<LifecycleConfiguration><Rule><ID>old</ID><Status>Enabled</Status>\
        <Filter><Prefix>host 1/subvol/</Prefix></Filter><Expiration><Days>30</Days></Expiration></Rule>\
        <Rule><ID>other</ID><Status>Enabled</Status><Filter><Prefix>elsewhere/</Prefix></Filter>\
        <Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>";
    let query = [("lifecycle", "")];
    let (status, _) = scene.server.ask("PUT", &scene.bucket, "", &query, rules);
    assert_eq!(status, 200);
    let said = check(&[]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains("data/: 1, the newest 2"));
    assert!(
        said.stdout
            .contains("data: nothing is due; incremental backup from")
    );
    assert!(
        said.stdout
            .contains("rule 'old' deletes what begins with host 1/subvol/ after 30 days")
    );
    assert!(!said.stdout.contains("'other'"));
    // Without the bucket it is not all right, unless that is what was asked for.
    let offline = check(&["--offline"]);
    assert_eq!(offline.code, 0);
    assert!(!offline.stdout.contains("s3://"), "the bucket is not asked");
    assert!(
        offline
            .stdout
            .contains("full backup now (there is no full backup yet), as far as is")
    );
    let away = check(&["--endpoint-url", "http://127.0.0.1:1"]);
    assert_eq!(away.code, 1);
    assert!(away.stdout.contains("data: full backup now") && away.stdout.contains("is remembered"));
    assert!(away.stderr.contains("Connection refused"));
    assert_eq!(check(&["--once"]).code, 2);
    script(&scene.from, "btrfs -q subvolume delete home");
    let lacking = check(&[]);
    assert_eq!(lacking.code, 1);
    assert!(lacking.stdout.contains("data: nothing is due"));
    assert!(lacking.stderr.contains("/home"));
}

fn one_backup_is_deleted() {
    let scene = Scene::new("seaweedfs", "");
    for number in [0, 7, 14] {
        scene.write(&number.to_string());
        scene.run(&day(number)).unwrap();
    }
    let clean = |options: &[&str], backup: &str| {
        let config = scene.config.to_str().unwrap();
        let words = [&["clean", "--config", config, "--backup", backup], options].concat();
        said(&mut command(&scene.server.endpoint, &words))
    };
    let bucket = Bucket {
        server: &scene.server,
        name: scene.bucket.clone(),
    };
    let [full, first, second] =
        ["20260201", "20260208", "20260215"].map(|d| format!("data/{d}T020000Z"));
    let all = bucket.keys("");
    for (built_on, by) in [(&full, "20260208T020000Z"), (&first, "20260215T020000Z")] {
        let refused = clean(&[], built_on);
        assert_eq!(refused.code, 1);
        assert!(
            refused
                .stderr
                .contains(&format!("to be deleted before: {by}")),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(clean(&[], "data/20260101T020000Z").code, 1);
    let dry = clean(&["-n"], &second);
    assert_eq!(dry.code, 0);
    assert!(
        dry.stdout
            .starts_with("removable: 20260215T020000Z  incremental")
    );
    let lock = std::fs::File::create(here().join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(clean(&[], &second).code, 3);
    drop(lock);
    assert_eq!(bucket.keys(""), all);
    let done = clean(&["--json"], &second);
    assert_eq!(done.code, 0);
    let line: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&line["event"], &line["result"]),
        (&json!("backup"), &json!("removed"))
    );
    let gone: Vec<&String> = all
        .iter()
        .filter(|key| key.contains("data/") && key.contains("0215T"))
        .collect();
    let left = bucket.keys("");
    assert_eq!(all.len() - left.len(), gone.len());
    assert!(!gone.is_empty() && gone.iter().all(|key| !left.contains(key)));
    let pointer: serde_json::Value =
        serde_json::from_slice(&bucket.get("host 1/subvol/data/current.json")).unwrap();
    assert_eq!(pointer["created_at"], "20260208T020000Z");
    assert_eq!(scene.restore_all("data", "to"), 2);
    // A manifest that names what is another's, as in a copy of an archive: that stays.
    let theirs = "host 1/subvol/home/full/manifest-20260201T020000Z.json";
    let body = String::from_utf8(bucket.get(theirs)).unwrap();
    bucket.put(
        "host 1/subvol/data/full/manifest-20260301T020000Z.json",
        body.replace("\"created_at\": \"20260201", "\"created_at\": \"20260301")
            .as_bytes(),
    );
    assert_eq!(clean(&[], "data/20260301T020000Z").code, 0);
    assert_eq!(bucket.keys(""), left);
    // Nobody knows what a newer program's builds on.
    bucket.put(
        "host 1/subvol/data/full/manifest-20270101T020000Z.json",
        br#"{"version": 2}"#,
    );
    let refused = clean(&["-n"], &first);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("may build on it"),
        "{}",
        refused.stderr
    );
}

/// A backup of next year neither stops the others nor makes every run make one, and a restore takes
/// what is newest now.
fn a_clock_that_was_wrong_for_a_while() {
    let scene = Scene::new("seaweedfs", "");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    let run = |number: i64| {
        scene.write(&number.to_string());
        scene.run(&day(number)).unwrap().remove(0)
    };
    let century = 36_524;
    assert!(run(century).starts_with("data: full backup now"));
    let named = |number: i64| {
        let mut archive = scene.archive("data");
        let archive = archive.archive().unwrap();
        let name = names::scheduled("data", day(number).timestamp(), BackupKind::Incremental);
        assert_eq!(archive.newest().unwrap().1.snapshot.name, name);
        assert_eq!(archive.current.as_ref(), Some(archive.newest().unwrap().0));
    };
    let due = run(0);
    assert!(
        due.ends_with("incremental backup now (the last backup is dated in the future)"),
        "{due}"
    );
    named(0);
    for number in [1, 2, 6] {
        assert!(run(number).contains("nothing is due"));
    }
    assert!(run(7).ends_with("incremental backup now (the last backup is 7 days old)"));
    named(7);
    assert!(run(8).contains("nothing is due; incremental backup from 2026-02-15"));
    assert_eq!(scene.restore_all("data", "to"), 3);
    // Neither does one that was only made here.
    let mut order = scene.order();
    order.work = Work::Snapshot;
    scene.run(&day(century)).unwrap();
    for number in [14, 15] {
        scheduled::run(
            &order,
            &store_options(&scene.server),
            &day(number),
            &mut |_| {},
        )
        .unwrap();
    }
    assert_eq!(scene.names("data").len(), 5);
}

fn one_run_at_a_time() {
    let scene = Scene::new("seaweedfs", "");
    let lock = std::fs::File::create(here().join("lock")).unwrap();
    lock.lock().unwrap();
    let busy = scene.backup(&[]);
    assert_eq!(busy.code, 3);
    assert!(scene.names("data").is_empty());
    drop(lock);
    // Of a lock that says whose it is, it is known for how long it has kept others out.
    let lock = scheduled::lock(&here().join("lock")).unwrap();
    let held_for = |days: u64| {
        let since = SystemTime::now() - Duration::from_secs(days * 86400);
        lock.set_modified(since).unwrap();
        scene.backup(&[])
    };
    assert_eq!((held_for(0).code, held_for(6).code), (3, 3));
    let late = held_for(8);
    let holder = format!("process {} has held it since", std::process::id());
    assert_eq!(late.code, 1);
    assert!(late.stderr.contains(&holder), "{}", late.stderr);
    assert!(scene.names("data").is_empty());
    drop(lock);
    // What the file says of somebody else stays, and tells nothing of a run.
    std::fs::write(here().join("lock"), "mine\n").unwrap();
    let lock = scheduled::lock(&here().join("lock")).unwrap();
    lock.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(scene.backup(&[]).code, 3);
    assert_eq!(std::fs::read(here().join("lock")).unwrap(), b"mine\n");
    drop(lock);
    assert_eq!(scene.backup(&["--subvolume", "data"]).code, 0);
    assert!(scene.names("home").is_empty() && scene.names("data").len() == 1);
    let unknown = scene.backup(&["--subvolume", "date"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("data, home"), "{}", unknown.stderr);
}

fn hooks_stand_around_a_run() {
    let log = here().join("hooks.log");
    let hook = here().join("hook");
    let text = format!(
        "#!/bin/sh\necho \"$BUTTERSINK_HOOK $BUTTERSINK_STATUS $BUTTERSINK_SUBVOLUMES$BUTTERSINK_MESSAGE\" >>{}\n\
         test ! -e {}/fail-$BUTTERSINK_HOOK\n",
        log.display(),
        here().display()
    );
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let hook = hook.display();
    let more = format!("[hooks]\nbefore = ['{hook}']\nafter = ['{hook}', 'x']");
    let scene = Scene::new("seaweedfs", "");
    scene.configure(&more);
    // Anybody might have written it.
    std::fs::set_permissions(&scene.config, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = scene.backup(&[]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("only root"), "{}", refused.stderr);
    std::fs::set_permissions(&scene.config, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(here().join("fail-before"), "").unwrap();
    let failed = scene.backup(&[]);
    assert_eq!(failed.code, 1);
    assert!(scene.names("data").is_empty());
    std::fs::remove_file(here().join("fail-before")).unwrap();
    assert_eq!(scene.backup(&["--dry-run"]).code, 0);
    assert_eq!(scene.backup(&[]).code, 0);
    assert_eq!(scene.backup(&[]).code, 0, "nothing is due");
    std::fs::write(here().join("fail-after"), "").unwrap();
    assert_eq!(scene.backup(&["--once", "--subvolume", "data"]).code, 10);
    let told = std::fs::read_to_string(log).unwrap();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[..2], ["before  data", "home"]);
    assert!(told[2].starts_with("after 1 the hook 'before'"), "{told:?}");
    assert_eq!(
        told[3..],
        [
            "before  data",
            "home",
            "after 0 ",
            "before  data",
            "after 0 "
        ]
    );
}

fn what_cannot_be_done_is_said() {
    let scene = Scene::new("seaweedfs", "");
    let other = btrfs("other", 256);
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let elsewhere = text.replace(
        &format!("{}/snapshots", scene.from.display()),
        &format!("{}/snapshots", other.display()),
    );
    std::fs::write(&scene.config, elsewhere).unwrap();
    let failed = scene.backup(&[]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("another filesystem"),
        "{}",
        failed.stderr
    );
    assert!(!other.join("snapshots").exists());
    assert_eq!(scene.backup(&["--dry-run"]).code, 1);
    let nowhere = text.replace("/snapshots'", "/no/such/snapshots'");
    std::fs::write(&scene.config, nowhere).unwrap();
    assert_eq!(scene.backup(&["--no-s3"]).code, 0);
    assert!(scene.from.join("no/such/snapshots").is_dir());
    // One of two subvolumes is missing; the other has its backup.
    std::fs::write(&scene.config, text.replace("/home'", "/gone'")).unwrap();
    let partly = scene.backup(&[]);
    assert_eq!(partly.code, 10);
    assert!(partly.stderr.contains("/gone"), "{}", partly.stderr);
    assert_eq!(scene.listing("data").snapshots.len(), 1);
    // An altered snapshot is no parent: the next one is whole.
    scene.configure("");
    let name = scene.names("data").pop().unwrap();
    crate::subvolumes::alter(&scene.snapshots().join(name));
    let whole = scene.backup(&["--once", "--subvolume", "data"]);
    assert_eq!(whole.code, 0);
    assert!(
        whole.stdout.contains("the chain cannot be continued"),
        "{}",
        whole.stdout
    );
    // Something of that name that is no subvolume of ours is left alone.
    snapshot(
        &scene.from.join("home"),
        &scene.snapshots().join("data__x__full"),
    );
    assert_eq!(scene.backup(&["--once"]).code, 0);
    assert!(scene.snapshots().join("data__x__full").exists());
    // Where the state cannot be written, all have their backups nevertheless.
    std::fs::write(
        &scene.config,
        text.replace("/state/state.json", "/no/such/dir/x"),
    )
    .unwrap();
    std::fs::write(here().join("no"), "").unwrap();
    let partly = scene.backup(&["--once"]);
    assert_eq!(partly.code, 10);
    assert!(partly.stderr.contains("/no/such/dir"), "{}", partly.stderr);
    assert_eq!(scene.listing("home").snapshots.len(), 2);
}

fn a_spool_on_disk() {
    let scene = Scene::new("seaweedfs", "spool_enabled = true");
    let spool = here().join("spool");
    assert_eq!(scene.backup(&["-n"]).code, 0);
    assert!(!spool.exists());
    std::fs::write(&spool, "").unwrap();
    let taken = scene.backup(&[]);
    assert_eq!(taken.code, 1);
    assert!(taken.stderr.contains("spool_dir"), "{}", taken.stderr);
    assert!(
        scene.names("data").is_empty(),
        "nothing is made that cannot be sent"
    );
    std::fs::remove_file(&spool).unwrap();
    // A link that a user can turn to something else.
    let theirs = here().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    symlink(&theirs, &spool).unwrap();
    chown(here(), Some(65534), None).unwrap();
    let refused = scene.backup(&[]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("root's alone"),
        "{}",
        refused.stderr
    );
    chown(here(), Some(0), None).unwrap();
    std::fs::remove_file(&spool).unwrap();
    assert_eq!(scene.backup(&["--once"]).code, 0);
    assert!(scene.restore_all("data", "to") >= 1);
    assert_eq!(here().join("spool").read_dir().unwrap().count(), 0);
}

/// With no more than the systemd unit leaves it, every kind of file gets into a bucket and onto a disk.
fn the_units_capabilities_suffice() {
    let disk = btrfs("disk", 512);
    let hook = here().join("hook");
    std::fs::write(&hook, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let more = format!(
        "hooks.before = ['{}']\n[[destination]]\nlocation = '{}/'",
        hook.display(),
        disk.display()
    );
    let scene = Scene::new("seaweedfs", "");
    let text = std::fs::read_to_string(&scene.config).unwrap();
    std::fs::write(&scene.config, more.replacen('\n', &format!("\n{text}"), 1)).unwrap();
    script(&scene.from.join("data"), EVERYTHING);
    let config = scene.config.to_str().unwrap();
    let usual = command(&scene.server.endpoint, &["backup", "--config", config]);
    let mut within = within("buttersink-config@.service", Path::new(usual.get_program()));
    within.args(usual.get_args());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    assert_eq!(said(&mut within).code, 0);
    let name = scene.names("data").pop().unwrap();
    assert_same(&scene.snapshots().join(&name), &disk.join(&name));
    assert_eq!(scene.restore_all("data", "to"), 1);
}
