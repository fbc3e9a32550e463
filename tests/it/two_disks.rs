//! Scheduled backups without a bucket: subvolumes with schedules and policies of their own, and disks that
//! get them when it is their time, are unplugged, and come back.

use crate::runner::Test;
use crate::scheduled::{day, in_order};
use crate::subvolumes::{script, subvolume};
use crate::support::{btrfs, buttersink, here, local_options};
use crate::tests;
use crate::tree::assert_same;
use buttersink::backup::config::Config;
use buttersink::backup::scheduled::{self, FoundIn, ScheduledOrder, Work, note_verified};
use buttersink::backup::state::RunState;
use buttersink::backup::status::{Status, StatusLine};
use buttersink::error::Result;
use buttersink::event::Event;
use buttersink::store::remote::ssh;
use buttersink::store::{BucketOptions, StoreOptions};
use jiff::{ToSpan, Zoned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) const TESTS: &[Test] = tests![
    a_week_of_hours_on_two_disks,
    a_disk_that_is_away_keeps_nobody_waiting,
    snapshots_without_any_destination,
    a_pattern_means_subvolumes,
    namesakes_keep_nobody_from_a_backup,
    what_a_slow_run_made_takes_its_place,
    what_is_pinned_stays_everywhere,
    how_backups_stand,
    who_is_told_how_it_went,
    each_command_says_what_it_did,
    what_cannot_work_is_found_before_a_run,
];

/// Subvolumes `home` and `mail` on one filesystem, and a configuration.
pub(crate) struct Scene {
    pub(crate) from: PathBuf,
    pub(crate) config: PathBuf,
}

impl Scene {
    pub(crate) fn new(text: &str) -> Scene {
        let from = btrfs("from", 512);
        for name in ["home", "mail"] {
            subvolume(&from.join(name));
            script(&from.join(name), "echo 1 >file");
        }
        let config = here().join("config.toml");
        let scene = Scene { from, config };
        scene.configure(text);
        scene
    }

    /// Writes the file; `FROM` in it is the filesystem.
    pub(crate) fn configure(&self, text: &str) {
        let text = text.replace("FROM", self.from.to_str().unwrap());
        let here = here();
        let global = format!(
            "[global]\nstate_path = '{0}/state.json'\nlock_path = '{0}/lock'\n",
            here.display()
        );
        std::fs::write(&self.config, text + &global).unwrap();
    }

    /// A run at a time; what it said was due.
    pub(crate) fn run(&self, now: &Zoned) -> Result<Vec<String>> {
        self.run_only(now, &[])
    }

    fn run_only(&self, now: &Zoned, only: &[&str]) -> Result<Vec<String>> {
        let only = only.iter().map(|name| (*name).to_owned()).collect();
        self.carry_out(
            now,
            &ScheduledOrder {
                only,
                ..self.order()?
            },
        )
    }

    /// A part of a run.
    pub(crate) fn work(&self, now: &Zoned, work: Work) -> Result<Vec<String>> {
        self.carry_out(
            now,
            &ScheduledOrder {
                work,
                ..self.order()?
            },
        )
    }

    pub(crate) fn order(&self) -> Result<ScheduledOrder> {
        Ok(ScheduledOrder {
            config: Config::read(&self.config)?,
            file: self.config.clone(),
            only: Vec::new(),
            once: false,
            dry_run: false,
            work: Work::Backup,
        })
    }

    fn carry_out(&self, now: &Zoned, order: &ScheduledOrder) -> Result<Vec<String>> {
        let mut due = Vec::new();
        let done = scheduled::run(order, &store_options(), now, &mut |event| {
            println!("{event:?}");
            if let Event::Due {
                subvolume, what, ..
            } = event
            {
                let name = subvolume.file_name().unwrap().to_string_lossy();
                due.push(format!("{name}: {what}"));
            }
        });
        done.map(|()| due)
    }

    pub(crate) fn write(&self, name: &str) {
        script(&self.from.join(name), "echo more >>file");
    }
}

pub(crate) fn store_options() -> StoreOptions {
    StoreOptions {
        bwlimit: None,
        local: local_options(),
        ssh: ssh::SshOptions::default(),
        s3: BucketOptions::default(),
    }
}

pub(crate) fn hour(number: i64) -> Zoned {
    day(0).checked_add(number.hours()).unwrap()
}

/// Each snapshot that is in both places is the same.
pub(crate) fn assert_copies(from: &Path, to: &Path, name: &str) {
    for copy in in_order(to, name) {
        if from.join(&copy).exists() {
            assert_same(&from.join(&copy), &to.join(&copy));
        }
    }
}

/// `home` each hour, one disk gets them all, and the other the newest of each day at noon.
fn a_week_of_hours_on_two_disks() {
    let (near, far) = (btrfs("near", 512), btrfs("far", 512));
    let scene = Scene::new(&format!(
        "[[subvolume]]\npath = 'FROM/home'\nevery = '1h'\nkeep = '4h'\n\
         [[subvolume]]\npath = 'FROM/mail'\nevery = '1d'\ndestinations = ['far']\n\
         [[destination]]\nname = 'near'\nlocation = '{}/'\nkeep = '6h 2d'\n\
         [[destination]]\nname = 'far'\nlocation = '{}/'\nevery = '1d'\nat = '12:00'\nkeep = '7d'\n",
        near.display(),
        far.display()
    ));
    let folder = scene.from.join(".snapshots");
    for number in 0..66 {
        scene.write("home");
        // Three times in an hour, and nothing but once is anything done.
        for minutes in [5, 25, 45] {
            let now = hour(number).checked_add(minutes.minutes()).unwrap();
            let due = scene.run(&now).unwrap();
            let later = due
                .iter()
                .filter(|due| due.contains("nothing is due"))
                .count();
            assert!(minutes == 5 || later == 2, "{now}: {due:?}");
        }
        let newest = in_order(&folder, "home").pop();
        assert_eq!(in_order(&near, "home").pop(), newest);
    }
    // The first at three, and from then on at noon: on the first day, and on two after it.
    let noon = |name: &str| in_order(&far, name).len();
    assert_eq!((noon("home"), noon("mail")), (3, 3));
    let made: Vec<String> = in_order(&far, "home");
    assert!(made[1].contains("20260202T11"), "{made:?}");
    // Six hours, and one of each of two days before; the source keeps what the far disk has, too.
    assert_eq!(in_order(&near, "home").len(), 7);
    let here = in_order(&folder, "home");
    assert_eq!(here.len(), 5, "{here:?}");
    assert_eq!(Some(&here[0]), made.last());
    assert_copies(&folder, &near, "home");
    assert_copies(&folder, &far, "mail");
    assert!(in_order(&near, "mail").is_empty());
}

/// While one disk is away the other gets everything, and nothing goes at the source.
fn a_disk_that_is_away_keeps_nobody_waiting() {
    let (near, far) = (btrfs("near", 512), btrfs("far", 512));
    let place = far.join("snaps");
    let scene = Scene::new(&format!(
        "schedule.every = '1d'\nsnapshots = {{ retain = 1 }}\n[[subvolume]]\npath = 'FROM/home'\n\
         [[destination]]\nlocation = '{}/'\n[[destination]]\nlocation = '{}/'\nevery = '2d'\n",
        near.display(),
        place.display()
    ));
    let folder = scene.from.join(".snapshots");
    for number in 0..3 {
        scene.write("home");
        let error = scene.run(&day(number)).unwrap_err();
        assert_eq!(error.exit_code(), 10, "{error}");
        assert_eq!(in_order(&near, "home").len(), number as usize + 1);
    }
    assert_eq!(in_order(&folder, "home").len(), 3);
    std::fs::create_dir(&place).unwrap();
    let due = scene.run(&day(2)).unwrap();
    assert!(due[0].contains("the last snapshot for"), "{due:?}");
    assert_eq!(in_order(&place, "home").len(), 1);
    assert_eq!(in_order(&folder, "home").len(), 1);
    // What the slow one has stays at the source while the other goes on.
    let has = in_order(&place, "home");
    scene.write("home");
    scene.run(&day(3)).unwrap();
    assert_eq!(in_order(&place, "home"), has);
    assert_eq!(in_order(&folder, "home")[0], has[0]);
    assert_eq!(in_order(&folder, "home").len(), 2);
    scene.write("home");
    scene.run(&day(4)).unwrap();
    assert_eq!(in_order(&place, "home").len(), 2);
    assert_eq!(in_order(&folder, "home").len(), 1);
    assert_copies(&folder, &place, "home");
}

fn snapshots_without_any_destination() {
    let scene = Scene::new(
        "[snapshots]\nkeep = '2d'\n[[subvolume]]\npath = 'FROM/home'\nevery = '1d'\non_change = true\n\
         [[subvolume]]\npath = 'FROM/mail'\nnoauto = true\nsnapshots = 'FROM/kept'\n",
    );
    let folder = scene.from.join(".snapshots");
    for number in 0..4 {
        scene.write("home");
        scene.run(&day(number)).unwrap();
    }
    assert_eq!(in_order(&folder, "home").len(), 2);
    // Nothing changed.
    scene.run(&day(5)).unwrap();
    assert_eq!(in_order(&folder, "home").len(), 2);
    assert!(!scene.from.join("kept").exists());
    scene.run_only(&day(5), &["mail"]).unwrap();
    assert_eq!(in_order(&scene.from.join("kept"), "mail").len(), 1);
}

fn a_pattern_means_subvolumes() {
    let text = "[[subvolume]]\npath = 'FROM/*'\nexclude = ['mail', 'c*']\nevery = '1d'\n";
    let scene = Scene::new(text);
    subvolume(&scene.from.join("cache"));
    std::fs::create_dir(scene.from.join("directory")).unwrap();
    let due = scene.run(&day(0)).unwrap();
    assert_eq!(due, ["home: snapshot now (there is none yet)"]);
    // Snapshots are no subvolumes to be backed up, and one that is named by itself has its own words.
    let more = "[[subvolume]]\npath = 'FROM/home'\nevery = '7d'\n";
    scene.configure(&format!("{text}{more}[[subvolume]]\npath = 'FROM/none*'\n"));
    let error = scene.run(&day(1)).unwrap_err();
    assert!(
        error.to_string().contains("no subvolume that is there"),
        "{error}"
    );
    assert_eq!(in_order(&scene.from.join(".snapshots"), "home").len(), 1);
    // Whoever asks how it stands is told, and by the exit status too.
    let status = || buttersink(["status", "--config", scene.config.to_str().unwrap()]);
    let said = status();
    assert!(
        said.code == 10 && said.stderr.contains("none*"),
        "{}",
        said.stderr
    );
    scene.configure("[[subvolume]]\npath = 'FROM/none*'\n");
    assert_eq!(status().code, 1);
}

/// Whoever can make subvolumes that a pattern means gives them names: of others, and with ends of lines.
fn namesakes_keep_nobody_from_a_backup() {
    let hook = here().join("hook");
    let told = here().join("told");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$BUTTERSINK_SUBVOLUMES\" >{}\n",
        told.display()
    );
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!(
        "schedule.every = '1d'\n[[subvolume]]\npath = 'FROM/mail'\n[[subvolume]]\npath = 'FROM/[hu]*'\n\
         [[subvolume]]\npath = 'FROM/users/*'\n[hooks]\nbefore = ['{}']\n",
        hook.display()
    );
    let scene = Scene::new(&text);
    let users = scene.from.join("users");
    std::fs::create_dir(&users).unwrap();
    for name in ["home", "mail", "good", "x\ngood\nhome"] {
        subvolume(&users.join(name));
    }
    let error = scene.run(&day(0)).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    let folder = scene.from.join(".snapshots");
    let count = |name: &str| in_order(&folder, name).len();
    // What is named by itself is backed up, and of two that only a pattern means nobody knows which is meant.
    assert_eq!(["mail", "home", "good"].map(count), [1, 0, 1]);
    let config = Config::read(&scene.config).unwrap();
    let mut without: Vec<&Path> = config.unmatched.iter().map(|(path, _)| &**path).collect();
    without.sort();
    let all = ["home", "users/home", "users/mail"].map(|name| scene.from.join(name));
    assert_eq!(without, all);
    let told = std::fs::read_to_string(told).unwrap();
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_unstable();
    assert_eq!(told, ["good", "mail", "x\\ngood\\nhome"]);
}

/// Minutes may pass from the beginning of a run to its snapshot, which is not from the future for that.
fn what_a_slow_run_made_takes_its_place() {
    let disk = btrfs("disk", 512);
    let scene = Scene::new(&format!(
        "schedule.every = '1h'\n[snapshots]\nretain = 1\n[[subvolume]]\npath = 'FROM/home'\n\
         [[destination]]\nlocation = '{}/'\nretain = 1\n",
        disk.display()
    ));
    let before = Zoned::now();
    for minutes in [190, 100, 10] {
        scene.write("home");
        scene.run(&(&before - minutes.minutes())).unwrap();
    }
    for place in [&disk, &scene.from.join(".snapshots")] {
        let names = in_order(place, "home");
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

fn what_is_pinned_stays_everywhere() {
    let disk = btrfs("disk", 512);
    let scene = Scene::new(&format!(
        "schedule.every = '1d'\n[snapshots]\nretain = 1\npinned = ['*__20260202T*']\n\
         [[subvolume]]\npath = 'FROM/home'\n[[destination]]\nlocation = '{}/'\nretain = 1\n",
        disk.display()
    ));
    for number in 0..4 {
        scene.write("home");
        scene.run(&day(number)).unwrap();
    }
    for place in [&disk, &scene.from.join(".snapshots")] {
        let names = in_order(place, "home");
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].contains("20260202T"), "{names:?}");
    }
}

fn how_backups_stand() {
    let (near, far) = (btrfs("near", 512), here().join("far"));
    let text = format!(
        "schedule.every = '1d'\n[[subvolume]]\npath = 'FROM/home'\nmax_age = '25h'\n\
         [[destination]]\nname = 'near'\nlocation = '{}/'\nmax_age = '2d'\n\
         [[destination]]\nname = 'far'\nlocation = '{}/'\nevery = '1w'\n",
        near.display(),
        far.display()
    );
    let scene = Scene::new(&text);
    let status = |now: &Zoned| {
        let config = Config::read(&scene.config).unwrap();
        let state = RunState::of(&config);
        assert_eq!(state.unread, None);
        Status::of(&scene.config, &config, &state, now)
    };
    let before = status(&day(0));
    assert!(before.lines.iter().all(|line| line.newest.is_none()));
    let late = |status: &Status| {
        status
            .lines
            .iter()
            .map(|line| line.late)
            .collect::<Vec<_>>()
    };
    assert_eq!(late(&before), [true, true, false]);
    scene.run(&day(0)).unwrap_err();
    let after = status(&day(1));
    let [snapshots, near, far] = &after.lines[..] else {
        panic!("{after}");
    };
    assert_eq!(
        (snapshots.age_seconds, near.age_seconds),
        (Some(86400), Some(86400))
    );
    assert!(far.newest.is_none() && far.owed && !near.owed && near.error.is_none());
    let error = far.error.as_ref().unwrap();
    assert!(error.contains("far"), "{error}");
    assert!(
        snapshots.free_bytes.is_some() && near.free_bytes.is_some() && far.free_bytes.is_none()
    );
    // What was free a day before is remembered of where the run was.
    let has_trend = |line: &StatusLine| line.free_bytes_per_day.is_some();
    assert!(has_trend(snapshots) && has_trend(near) && !has_trend(far));
    assert_eq!(late(&after), [false; 3]);
    after.verdict().unwrap();
    assert_eq!(snapshots.next, Some(day(1).timestamp()));
    // Two hours later the snapshots here are late, and two days later what is on the disk is as well.
    assert_eq!(late(&status(&hour(26))), [true, false, false]);
    let error = status(&day(3)).verdict().unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("2 of 3"), "{error}");
    // As the program has it, months later.
    let config = scene.config.to_str().unwrap();
    let metrics = here().join("buttersink.prom");
    let said = buttersink([
        "status",
        "--config",
        config,
        "--prometheus",
        metrics.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(
        said.stdout.contains("LATE, the limit is 2 days"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("lacks the last snapshot"),
        "{}",
        said.stdout
    );
    let metrics = std::fs::read_to_string(metrics).unwrap();
    assert!(
        metrics.contains("subvolume=\"home\",destination=\"near\"} 1\n"),
        "{metrics}"
    );
    let said = buttersink(["status", "--config", config, "--json"]);
    let lines: Vec<serde_json::Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["event"] == "status"));
    assert_eq!(lines[1]["newest"], "2026-02-01T02:00:00Z");
    scene.configure(
        &text
            .replace("max_age = '25h'", "")
            .replace("max_age = '2d'", ""),
    );
    assert_eq!(buttersink(["status", "--config", config]).code, 0);
    an_unread_state_is_told(&scene);
}

/// What cannot be read is not nothing, and nothing but a backup begins anew.
fn an_unread_state_is_told(scene: &Scene) {
    let config = scene.config.to_str().unwrap();
    let state = Config::read(&scene.config).unwrap().global.state_path;
    std::fs::write(&state, "{").unwrap();
    let said = buttersink(["status", "--config", config]);
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("is damaged"), "{}", said.stderr);
    assert_eq!(said.stdout.matches("unknown").count(), 2, "{}", said.stdout);
    let found = FoundIn {
        subvolume: "home".into(),
        archive: "near".into(),
        verdict: "all sound".into(),
    };
    let config = Config::read(&scene.config).unwrap();
    let error = note_verified(&config, vec![found], day(3).timestamp()).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert_eq!(std::fs::read(&state).unwrap(), b"{");
}

/// What a healthcheck heard: paths and bodies.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// The address of a healthcheck, and what it hears.
fn healthcheck() -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/key", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = heard.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().to_lowercase().split_once(": ") {
                    Some(("content-length", number)) => length = number.parse().unwrap(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            all.lock()
                .unwrap()
                .push((path, String::from_utf8(body).unwrap()));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";
            connection.write_all(answer).unwrap();
        }
    });
    (address, heard)
}

/// A screen at the end, silence when nothing is due, and a healthcheck and a program that hear of it.
fn who_is_told_how_it_went() {
    let (near, far) = (btrfs("near", 512), here().join("far"));
    let (address, heard) = healthcheck();
    let program = here().join("tell");
    let told = here().join("told");
    let text = format!(
        "#!/bin/sh\nprintf '%s|%s|%s|%s\\n' \"$BUTTERSINK_COMMAND\" \"$BUTTERSINK_STATUS\" \"$BUTTERSINK_MESSAGE\" \"$BUTTERSINK_SUMMARY\" >>{}\n",
        told.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let scene = Scene::new(&format!(
        "schedule.every = '9y'\n[snapshots]\nretain = 2\n[[subvolume]]\npath = 'FROM/home'\n\
         [[destination]]\nlocation = '{}/'\n[[destination]]\nname = 'far'\nlocation = '{}/'\n\
         [notify]\nping = '{address}'\ncommand = ['{}']\n",
        near.display(),
        far.display(),
        program.display()
    ));
    let config = scene.config.to_str().unwrap();
    let paths = || {
        let heard: Vec<_> = heard.lock().unwrap().drain(..).collect();
        heard.into_iter().unzip::<String, String, Vec<_>, Vec<_>>()
    };
    let failed = buttersink(["backup", "--config", config]);
    assert_eq!(failed.code, 10, "{}", failed.stderr);
    let summary = failed.stdout.split("summary of").nth(1).unwrap();
    assert!(
        summary.contains("1 sent") && summary.contains("1 made"),
        "{summary}"
    );
    let last = summary.lines().last().unwrap();
    assert!(last.contains("FAILED") && last.contains("far"), "{summary}");
    let (ways, bodies) = paths();
    assert_eq!(ways, ["/key/start", "/key/fail"]);
    assert!(bodies[1].contains("FAILED"), "{bodies:?}");
    let told_all = std::fs::read_to_string(&told).unwrap();
    assert!(
        told_all.starts_with("backup|10|incomplete backup"),
        "{told_all}"
    );
    assert_eq!(buttersink(["prune", "--config", config]).code, 10);
    assert_eq!(paths().0, ["/key/fail"]);
    let told_again = std::fs::read_to_string(&told).unwrap();
    let told_last = told_again.strip_prefix(&told_all).unwrap();
    assert!(told_last.starts_with("prune|10|"), "{told_last}");
    let told_all = told_again;
    scene.configure(
        &std::fs::read_to_string(&scene.config)
            .unwrap()
            .split("[global]")
            .next()
            .unwrap()
            .replace(
                &format!(
                    "[[destination]]\nname = 'far'\nlocation = '{}/'\n",
                    far.display()
                ),
                "",
            ),
    );
    // Nothing is due, and nothing is said; the healthcheck hears that all is well.
    let idle = buttersink(["backup", "--config", config]);
    assert_eq!((idle.code, &*idle.stdout, &*idle.stderr), (0, "", ""));
    assert_eq!(paths().0, ["/key"]);
    assert_eq!(std::fs::read_to_string(&told).unwrap(), told_all);
    let json = buttersink(["backup", "--config", config, "--json", "--once"]);
    assert_eq!(json.code, 0, "{}", json.stderr);
    let lines = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["lines"][0]["made"]),
        (&"overview".into(), &1.into())
    );
    assert_eq!(lines[0]["due"], true);
    // Anybody might have written it.
    std::fs::set_permissions(&scene.config, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = buttersink(["backup", "--config", config]);
    assert!(
        refused.code == 1 && refused.stderr.contains("only root"),
        "{}",
        refused.stderr
    );
}

/// No part of a backup is a whole one, unless somebody waits for just that part.
fn each_command_says_what_it_did() {
    let (near, (address, heard)) = (btrfs("near", 512), healthcheck());
    let text = format!(
        "schedule.every = '9y'\n[[subvolume]]\npath = 'FROM/home'\n[[destination]]\nlocation = '{}/'\n\
         [notify]\nping = '{address}'\n",
        near.display()
    );
    let scene = Scene::new(&text);
    let all = || {
        for part in [
            &["snapshot", "--once"][..],
            &["send", "--once"],
            &["prune"],
            &["backup", "--once", "--subvolume", "home"],
            &["send", "--subvolume", "home"],
        ] {
            let config = ["--config", scene.config.to_str().unwrap()];
            let done = buttersink([part, &config].concat());
            assert_eq!(done.code, 0, "{part:?}: {}", done.stderr);
        }
        let heard: Vec<_> = heard.lock().unwrap().drain(..).collect();
        heard.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert_eq!(all(), [""; 0]);
    let own =
        ["snapshot", "send", "prune"].map(|part| format!("ping_{part} = '{address}/{part}'\n"));
    scene.configure(&(text.clone() + &own.concat()));
    let parts = ["snapshot", "send", "prune"];
    let expected = parts.map(|part| [format!("/key/{part}/start"), format!("/key/{part}")]);
    assert_eq!(all(), expected.concat());
    // What they say is no news to who waits for another.
    scene.configure(&(text + &format!("ping_send = '{address}/'\n")));
    let twice = buttersink(["backup", "--config", scene.config.to_str().unwrap()]);
    assert!(
        twice.code == 2 && twice.stderr.contains("waits for backup"),
        "{}",
        twice.stderr
    );
}

fn what_cannot_work_is_found_before_a_run() {
    let near = btrfs("near", 512);
    let text = format!(
        "schedule.every = '1d'\n[[subvolume]]\npath = 'FROM/home'\n\
         [[destination]]\nlocation = '{}/'\nrequire_mount = true\n",
        near.display()
    );
    let scene = Scene::new(&text);
    let config = scene.config.to_str().unwrap();
    let check = || buttersink(["config", "check", config]);
    let right = check();
    assert_eq!((right.code, &*right.stderr), (0, ""));
    // A directory that is not there, one that is no btrfs, one on no filesystem of its own, a host that does
    // not answer, and programs that are none.
    let wrong = format!(
        "{text}[[destination]]\nname = 'gone'\nlocation = '{0}/gone/'\n\
         [[destination]]\nlocation = '{0}/'\n[[destination]]\nlocation = 'ssh://127.0.0.1:1/x/'\n\
         [[destination]]\nlocation = 'FROM/mail/'\nrequire_mount = true\n\
         [notify]\ncommand = ['{0}/no-program']\n[hooks]\nbefore = ['{1}']\n",
        here().display(),
        scene.config.display()
    );
    scene.configure(&wrong);
    let said = check();
    assert_eq!(said.code, 1);
    for words in [
        "/gone",
        "is not on btrfs",
        "127.0.0.1",
        "no filesystem is mounted for it",
        "no-program",
        "chmod +x",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    // The same for scripts.
    let said = buttersink(["config", "check", "--json", config, "/none.toml"]);
    assert_eq!(said.code, 1);
    let all: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let findings = all["findings"].as_array().unwrap();
    let found = |finding: &serde_json::Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
        (
            text("kind"),
            text("key"),
            finding["fails"].as_bool().unwrap(),
        )
    };
    let found: Vec<_> = findings.iter().map(found).collect();
    let expected = [
        ("destination", "destination.location", true),
        ("destination", "destination.location", true),
        ("host", "destination.location", true),
        ("mount", "destination.require_mount", true),
        ("program", "hooks.before", true),
        ("program", "notify.command", true),
        ("file", "-", true),
    ];
    let expected = expected.map(|(kind, key, fails)| (kind.to_owned(), key.to_owned(), fails));
    assert_eq!(found, expected, "{}", said.stdout);
    assert_eq!(findings[6]["file"], "/none.toml");
    assert!(findings.iter().all(|finding| finding.get("hint").is_some()));
    let file = &all["files"][0];
    assert_eq!(
        (&all["version"], &file["file"]),
        (&2.into(), &config.into())
    );
    assert!(
        file["settings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["key"] == "schedule.every")
    );
    assert!(
        file["due"][0]["what"]
            .as_str()
            .unwrap()
            .contains("snapshot now"),
        "{file}"
    );
    assert!(!scene.from.join(".snapshots").exists(), "it only looks");
}
