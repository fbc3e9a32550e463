//! The parts of scheduled backups by themselves: snapshots, sending and retention.

use crate::parents::impostor;
use crate::runner::Test;
use crate::scheduled::{day, in_order};

use crate::subvolumes::{script, shown};
use crate::support::{Said, binary, btrfs, buttersink, here, output};
use crate::tests;
use crate::tree::assert_same;
use crate::two_disks::{Scene, assert_copies, hour, store_options};
use buttersink::backup::scheduled::{self, ScheduledOrder, Work};
use buttersink::event::Event;
use jiff::Zoned;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    snapshots_are_made_sent_and_let_go_apart,
    who_claims_to_have_arrived_lets_nothing_go,
    an_archive_gets_what_is_there,
    a_snapshot_of_a_path,
    archives_beside_each_other,
    what_is_there_is_looked_at_again,
    the_state_of_another_file,
    what_cannot_be_opened_or_looked_at_is_one_item,
    an_archive_without_credentials_is_one_item,
];

/// What retention said, and whether anything failed.
fn pruned(scene: &Scene, now: &Zoned, dry_run: bool) -> Vec<String> {
    let order = ScheduledOrder {
        dry_run,
        ..scene.order().unwrap()
    };
    let mut said = Vec::new();
    let done = scheduled::prune(&order, &store_options(), now, &mut |event| {
        if let Event::Retention(_) | Event::Note { .. } = event {
            said.push(event.to_string());
        }
    });
    done.unwrap();
    said
}

fn snapshots_are_made_sent_and_let_go_apart() {
    let disk = btrfs("disk", 512);
    let file = |here: u8, there: u8| {
        format!(
            "schedule.every = '1h'\nsnapshots = {{ retain = {here} }}\n[[subvolume]]\npath = 'FROM/home'\n\
             [[destination]]\nlocation = '{}/'\nretain = {there}\n",
            disk.display()
        )
    };
    let scene = Scene::new(&file(2, 3));
    let error = scene.work(&hour(0), Work::Send).unwrap_err();
    assert!(
        error.lines().contains("buttersink snapshot makes one"),
        "{}",
        error.lines()
    );
    let folder = scene.from.join(".snapshots");
    let count = || {
        (
            in_order(&folder, "home").len(),
            in_order(&disk, "home").len(),
        )
    };
    let make = |hours: std::ops::Range<i64>| {
        for number in hours {
            scene.write("home");
            scene.work(&hour(number), Work::Snapshot).unwrap();
        }
    };
    make(0..4);
    assert_eq!(count(), (4, 0));
    // A new destination gets the newest, and the source need not keep more than its policy says.
    scene.work(&hour(4), Work::Send).unwrap();
    assert_eq!(count(), (2, 1));
    make(4..7);
    assert_eq!(count(), (5, 1));
    // What has not arrived does not go.
    for dry_run in [true, false] {
        let said = pruned(&scene, &hour(7), dry_run).join("\n");
        assert!(said.contains("nothing goes at the source"), "{said}");
        assert_eq!(count(), (5, 1));
    }
    scene.work(&hour(7), Work::Send).unwrap();
    assert_eq!(count(), (2, 3));
    assert_copies(&folder, &disk, "home");
    // Another policy, without making or sending anything.
    scene.configure(&file(1, 1));
    let said = pruned(&scene, &hour(8), true).join("\n");
    assert_eq!(
        (said.matches("delete home").count(), count()),
        (3, (2, 3)),
        "{said}"
    );
    pruned(&scene, &hour(8), false);
    assert_eq!(count(), (1, 1));
    assert_copies(&folder, &disk, "home");
    let config = scene.config.to_str().unwrap();
    let said = buttersink(["prune", "-n", "--config", config]);
    assert!(
        said.code == 0 && said.stdout.contains("keep home"),
        "{}",
        said.stdout
    );
    // One that cannot be asked: the source keeps everything, and so it is said.
    scene.work(&hour(8), Work::Snapshot).unwrap();
    let gone = format!(
        "{}[[destination]]\nlocation = '{}/gone/'\n",
        file(1, 1),
        here().display()
    );
    scene.configure(&gone);
    let said = buttersink(["prune", "--config", config]);
    assert!(
        said.code == 10 && said.stderr.contains("gone"),
        "{} {}",
        said.code,
        said.stderr
    );
    assert_eq!(count(), (2, 1));
}

/// Anybody who may make a subvolume at the destination can have it claim to be one of ours.
fn who_claims_to_have_arrived_lets_nothing_go() {
    let disk = btrfs("disk", 512);
    let file = |there: u8| {
        format!(
            "schedule.every = '1h'\nsnapshots = {{ retain = 3 }}\n[[subvolume]]\npath = 'FROM/home'\n\
             [[destination]]\nlocation = '{}/'\nretain = {there}\n",
            disk.display()
        )
    };
    let scene = Scene::new(&file(3));
    let folder = scene.from.join(".snapshots");
    let make = |number| {
        scene.write("home");
        scene.work(&hour(number), Work::Snapshot).unwrap();
    };
    for number in 0..3 {
        make(number);
        scene.work(&hour(number), Work::Send).unwrap();
    }
    let [here, there] = [&folder, &disk].map(|dir| in_order(dir, "home"));
    let id = |at: &Path| shown(at, "UUID");
    // The same as one that is not needed for the next difference, as long as that can be.
    let claim = match there[1].strip_suffix("__inc") {
        Some(name) => format!("{name}__full"),
        None => there[1].replace("__full", "__inc"),
    };
    impostor(&disk.join(&claim), &id(&folder.join(&here[1])));
    scene.configure(&file(2));
    pruned(&scene, &hour(3), false);
    let left = in_order(&disk, "home");
    assert!(
        left.contains(&there[1]) && left.contains(&there[2]),
        "{left:?}"
    );
    assert!(
        left.contains(&claim) && !left.contains(&there[0]),
        "{left:?}"
    );
    // What has not arrived does not go for who claims to be it.
    (3..6).for_each(make);
    let here = in_order(&folder, "home");
    impostor(
        &disk.join("theirs"),
        &id(&folder.join(here.last().unwrap())),
    );
    let said = pruned(&scene, &hour(6), false).join("\n");
    assert!(said.contains("has no record of"), "{said}");
    assert_eq!(in_order(&folder, "home"), here);
    let error = scene.work(&hour(7), Work::Send).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    let came = in_order(&disk, "home");
    let between = &here[here.len() - 3..here.len() - 1];
    assert!(came.ends_with(between), "{came:?}");
}

/// How many full and incremental backups an archive of a subvolume has.
fn kinds_in(archive: &Path) -> [usize; 2] {
    ["full", "incremental"].map(|kind| match archive.join(kind).read_dir() {
        Ok(all) => {
            let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let manifest = |name: &String| name.starts_with("manifest") && name.ends_with(".json");
            names.filter(manifest).count()
        }
        Err(_) => 0,
    })
}

fn an_archive_gets_what_is_there() {
    let scene = Scene::new(&format!(
        "schedule = {{ incremental_every_days = 1, full_every_days = 9, every = '1h' }}\n\
         snapshots = {{ retain = 3 }}\n[[subvolume]]\npath = 'FROM/home'\n\
         [s3]\nbucket = 'raw:{}/archive'\nprefix = 'p'\nretain_full_chains = 1\n",
        here().display()
    ));
    let archive = here().join("archive/p/subvol/home");
    std::fs::create_dir_all(here().join("archive")).unwrap();
    // Worth a difference.
    script(
        &scene.from.join("home"),
        "head -c 300000 /dev/urandom >large",
    );
    let kinds = || kinds_in(&archive);
    let folder = scene.from.join(".snapshots");
    for number in 0..60 {
        if number % 6 == 0 {
            scene.write("home");
            scene.work(&hour(number), Work::Snapshot).unwrap();
            scene.work(&hour(number), Work::Send).unwrap();
        }
    }
    assert_eq!(kinds(), [1, 2]);
    // What the next difference builds on stays, whatever came after it.
    let before = in_order(&folder, "home");
    scene.write("home");
    scene.work(&hour(60), Work::Snapshot).unwrap();
    pruned(&scene, &hour(60), false);
    let after = in_order(&folder, "home");
    assert!(
        after.len() < before.len() + 1 && after.len() >= 3,
        "{before:?} {after:?}"
    );
    scene.work(&hour(80), Work::Send).unwrap();
    assert_eq!(kinds(), [1, 3]);
    // A new chain takes the place of the old one, and retention by itself lets that go.
    scene.write("home");
    scene.work(&day(20), Work::Snapshot).unwrap();
    scene.work(&day(20), Work::Send).unwrap();
    assert_eq!(kinds(), [1, 0]);
    let config = scene.config.to_str().unwrap();
    assert_eq!(buttersink(["verify", "--config", config]).code, 0);
}

fn a_snapshot_of_a_path() {
    let scene = Scene::new("subvolumes.paths = ['/none']\n");
    let home = scene.from.join("home");
    let path = home.to_str().unwrap();
    let count = || match home.join("snapshot").read_dir() {
        Ok(all) => all.count(),
        Err(_) => 0,
    };
    assert_eq!((buttersink(["snapshot", "-n", path]).code, count()), (0, 0));
    for expected in [1, 1] {
        assert_eq!(
            (buttersink(["snapshot", path]).code, count()),
            (0, expected)
        );
    }
    assert_eq!(buttersink(["snapshot", "--always", path]).code, 0);
    // No link says that it arrived anywhere.
    assert_eq!(count(), 2);
    assert_eq!(buttersink(["snapshot", "/none/of/that"]).code, 1);
}

/// Two archives and a disk, each by a schedule of its own; one of them is away for a while.
fn archives_beside_each_other() {
    let (disk, here) = (btrfs("disk", 512), here());
    let [near, far] = ["near", "far"].map(|name| here.join(name));
    std::fs::create_dir(&near).unwrap();
    let text = format!(
        "snapshots = {{ retain = 1 }}\nschedule = {{ full_every_days = 6, incremental_every_days = 1 }}\n\
         [[subvolume]]\npath = 'FROM/home'\n[[subvolume]]\npath = 'FROM/mail'\ndestinations = ['near']\n\
         [[destination]]\nkind = 'archive'\nname = 'near'\nlocation = 'raw:{}/'\nretain_full_chains = 1\n\
         [[destination]]\nkind = 'archive'\nname = 'far'\nlocation = 'raw:{}/host/'\nevery = '3d'\n\
         full_every = '9y'\nchunk_size_bytes = 100000\n\
         [[destination]]\nname = 'disk'\nlocation = '{}/'\nretain = 2\n",
        near.display(),
        far.display(),
        disk.display()
    );
    let scene = Scene::new(&text);
    for name in ["home", "mail"] {
        script(&scene.from.join(name), "head -c 300000 /dev/urandom >large");
    }
    let kinds =
        |name: &str| [&near, &far.join("host")].map(|at| kinds_in(&at.join("subvol").join(name)));
    let folder = scene.from.join(".snapshots");
    // The far one is not there yet: what is there gets its backup, and nothing goes here.
    scene.write("home");
    let error = scene.run(&day(0)).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    assert_eq!(
        (kinds("home"), kinds("mail")),
        ([[1, 0], [0, 0]], [[1, 0], [0, 0]])
    );
    assert_eq!(
        (
            in_order(&folder, "home").len(),
            in_order(&disk, "home").len()
        ),
        (1, 1)
    );
    std::fs::create_dir_all(far.join("host")).unwrap();
    for number in 1..=8 {
        for name in ["home", "mail"] {
            scene.write(name);
        }
        let due = scene.run(&day(number)).unwrap();
        let both = due[0].contains("near: ") && due[0].contains("far: ");
        assert_eq!(both, [1, 4, 7].contains(&number), "{due:?}");
    }
    // A new chain began in one of them, and the old one went; the other has differences three days apart.
    assert_eq!(
        (kinds("home"), kinds("mail")),
        ([[1, 2], [1, 2]], [[1, 2], [0, 0]])
    );
    // Of each what the last difference was made from, beside the newest.
    let count = |name| in_order(&folder, name).len();
    assert_eq!((count("home"), count("mail")), (2, 2));
    assert_eq!(in_order(&disk, "home").len(), 2);
    assert_copies(&folder, &disk, "home");
    let config = scene.config.to_str().unwrap();
    let status = buttersink(["status", "--config", config]).stdout;
    for name in ["near", "far", "disk"] {
        assert!(status.contains(name), "{status}");
    }
    let listed = buttersink(["list", "--config", config]).stdout;
    for at in [&near, &far.join("host")] {
        assert!(
            listed.contains(&format!(" in raw:{}/", at.display())),
            "{listed}"
        );
    }
    let listed = |more: &[&str]| {
        let said = buttersink([&["list", "--config", config], more].concat()).stdout;
        let backup = |line: &&str| line.starts_with("home__") || line.starts_with("mail__");
        said.lines().filter(backup).count()
    };
    assert_eq!((listed(&[]), listed(&["--destination", "far"])), (9, 3));
    let verified = buttersink(["verify", "--download", "--config", config]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let status = buttersink(["status", "--config", config]).stdout;
    assert_eq!(status.matches("in order").count(), 3, "{status}");
    // Which one is meant must be said.
    let target = scene.from.join("back");
    let words = [
        "restore",
        "--config",
        config,
        "--subvolume",
        "home",
        "--target",
        target.to_str().unwrap(),
    ];
    let unclear = buttersink(words);
    assert!(
        unclear.code == 2 && unclear.stderr.contains("--destination NAME"),
        "{}",
        unclear.stderr
    );
    let wrong = buttersink([&words[..], &["--destination", "neer"]].concat());
    assert!(
        wrong.code == 2 && wrong.stderr.contains("near, far"),
        "{}",
        wrong.stderr
    );
    let done = buttersink([&words[..], &["--destination", "far"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_same(&folder.join(&in_order(&folder, "home")[0]), &target);
}

/// By schedule, once for all subvolumes of a place; what is wrong is told, remembered, and an error.
fn what_is_there_is_looked_at_again() {
    let (disk, cold) = (btrfs("disk", 512), here().join("cold"));
    std::fs::create_dir(&cold).unwrap();
    let text = format!(
        "schedule = {{ incremental_every_days = 1, every = '1d' }}\n\
         [[subvolume]]\npath = 'FROM/home'\n[[subvolume]]\npath = 'FROM/mail'\n\
         [[destination]]\nlocation = '{}/'\nverify = {{ every = '3d' }}\n\
         [[destination]]\nkind = 'archive'\nname = 'cold'\nlocation = 'raw:{}/'\n\
         verify = {{ every = '1w', sample = '1M' }}\n",
        disk.display(),
        cold.display()
    );
    let scene = Scene::new(&text);
    let looks = |now: &Zoned| {
        let mut said = Vec::new();
        let order = scene.order().unwrap();
        let done = scheduled::run(&order, &store_options(), now, &mut |event| {
            if let Event::Verified(_) | Event::Finding(_) = event {
                said.push(event.to_string());
            }
        });
        (said, done.map_err(|error| error.exit_code()))
    };
    let count = |now: &Zoned| {
        let (said, done) = looks(now);
        assert_eq!(done, Ok(()), "{said:?}");
        said.len()
    };
    // The place once, and the archive of each; then each in its time.
    let counts: Vec<usize> = (0..9).map(|number| count(&day(number))).collect();
    assert_eq!(counts, [3, 0, 0, 1, 0, 0, 1, 2, 0]);
    assert_eq!(count(&day(8)), 0, "whether or not something else is due");
    let config = scene.config.to_str().unwrap();
    let status = || buttersink(["status", "--config", config]).stdout;
    assert_eq!(status().matches("in order").count(), 4, "{}", status());
    // A stream that is not what was stored.
    let full = cold.join("subvol/home/full");
    let chunk = full.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk
        .into_iter()
        .find(|path| path.to_str().unwrap().ends_with(".bin"));
    let chunk = chunk.unwrap();
    let mut bytes = std::fs::read(&chunk).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    let (said, done) = looks(&day(14));
    assert_eq!(done, Err(10), "{said:?}");
    assert!(said.iter().any(|one| one.contains("different")), "{said:?}");
    assert!(status().contains("differ"), "{}", status());
    assert!(status().contains("in order"), "{}", status());
}

/// Two files that would write one state, or wait for one lock, are found out, whichever is looked at.
fn the_state_of_another_file() {
    let scene = Scene::new("schedule.every = '1d'\n[[subvolume]]\npath = 'FROM/home'\n");
    scene.run(&day(0)).unwrap();
    let check = |file: &Path| buttersink(["config", "check", file.to_str().unwrap()]);
    assert_eq!(check(&scene.config).code, 0);
    let other = here().join("other.toml");
    std::fs::copy(&scene.config, &other).unwrap();
    for file in [&scene.config, &other] {
        let said = check(file);
        assert_eq!(said.code, 1);
        for words in [
            "state.json",
            "lock: ",
            "uses it too",
            "a global.lock_path of its own",
        ] {
            assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        }
    }
    // The first one has other places now.
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let text = text.replace("state.json", "mine.json");
    std::fs::write(&scene.config, &text).unwrap();
    let said = check(&other);
    assert!(
        said.code == 1 && !said.stderr.contains("state.json"),
        "{}",
        said.stderr
    );
    std::fs::write(&scene.config, text.replace("/lock", "/my-lock")).unwrap();
    assert_eq!(check(&other).code, 0);
    // In another directory it is found only if it is named.
    let far = here().join("far");
    std::fs::create_dir(&far).unwrap();
    std::fs::copy(&other, far.join("x.toml")).unwrap();
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(far.join("x.toml"), text.replace("state.json", "far.json")).unwrap();
    assert_eq!(check(&other).code, 0);
    let both = [other, far.join("x.toml")];
    let words = ["config", "check"].map(Path::new).into_iter();
    let said = buttersink(words.chain(both.iter().map(PathBuf::as_path)));
    assert!(
        said.code == 1 && said.stderr.contains("2 of 2"),
        "{}",
        said.stderr
    );
    for file in both {
        assert!(
            said.stdout.contains(&format!("# {}\n", file.display())),
            "{}",
            said.stdout
        );
    }
}

/// An archive that is not there, one whose spool cannot be made, a directory that is none, a pattern that
/// nobody can follow: each is named, and the rest goes on, also in what only looks.
fn what_cannot_be_opened_or_looked_at_is_one_item() {
    let (near, here) = (here().join("near"), here());
    std::fs::create_dir(&near).unwrap();
    let archive = |name: &str, more: &str| {
        let place = here.join(name);
        format!(
            "[[destination]]\nkind = 'archive'\nname = '{name}'\nlocation = 'raw:{}/'\n{more}",
            place.display()
        )
    };
    let text = format!(
        "schedule = {{ full_every_days = 6, incremental_every_days = 1 }}\n\
         [[subvolume]]\npath = 'FROM/home'\n[[subvolume]]\npath = 'FROM/mail'\nsnapshots = 'FROM/none'\n\
         [[subvolume]]\npath = 'FROM/*/loop/x*'\n{}{}{}",
        archive("gone", ""),
        archive("spools", "spool_enabled = true\n"),
        archive("near", "")
    );
    let scene = Scene::new(&text);
    let spool = format!("spool_dir = '{}/file/spool'\n", here.display());
    let whole = std::fs::read_to_string(&scene.config).unwrap() + &spool;
    std::fs::write(&scene.config, whole).unwrap();
    script(&here, "echo >file; mkdir spools");
    script(&scene.from, "echo >none; ln -s loop home/loop");
    let config = scene.config.to_str().unwrap();
    let said = buttersink(["backup", "--config", config]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    for words in ["/gone", "/file/spool", "/none", "/home/loop"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let names = in_order(&scene.from.join(".snapshots"), "home");
    assert_eq!(
        (names.len(), kinds_in(&near.join("subvol/home"))),
        (1, [1, 0])
    );
    let listed = buttersink(["list", "--config", config]);
    assert_eq!(listed.code, 10, "{}", listed.stderr);
    assert!(listed.stdout.contains(&names[0]), "{}", listed.stdout);
    let verified = buttersink(["verify", "--config", config]);
    assert_eq!(verified.code, 10, "{}", verified.stderr);
    assert!(verified.stdout.contains("intact"), "{}", verified.stdout);
    let status = buttersink(["status", "--config", config]);
    assert_eq!(status.code, 10, "{}", status.stderr);
    for words in ["near", "unknown", "cannot list"] {
        assert!(status.stdout.contains(words), "{words}: {}", status.stdout);
    }
}

fn an_archive_without_credentials_is_one_item() {
    let disk = btrfs("disk", 256);
    let scene = Scene::new(&format!(
        "[snapshots]\nbase_dir = 'FROM/snaps'\n[subvolumes]\npaths = ['FROM/home', 'FROM/mail']\n\
         [s3]\nbucket = 'nobodys'\nregion = 'us-east-1'\nprefix = 'host'\n\
         [[destination]]\nlocation = '{}/'\n",
        disk.display()
    ));
    let mut command = Command::new(binary("buttersink"));
    command.args(["backup", "--config"]).arg(&scene.config);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command
        .env("HOME", here())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let said = Said::of(&output(&mut command));
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stderr.contains("AWS_ACCESS_KEY_ID"), "{}", said.stderr);
    for name in ["home", "mail"] {
        assert_eq!(in_order(&disk, name).len(), 1, "{name}");
    }
}
