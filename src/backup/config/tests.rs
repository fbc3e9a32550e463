//! What the old program's files say, and what is said about files that it would not take.

mod ours;

use super::*;
use crate::store::Sse;

/// The example of the old program's README.
const OLD: &str = r#"
[global]
log_level = "info" # debug|info|warning|error|critical
state_path = "/var/lib/btrfs_to_s3/state.json"
lock_path = "/var/lock/btrfs_to_s3.lock"
spool_dir = "/mnt/ssd/btrfs_to_s3_spool"
spool_size_bytes = 214748364800

[schedule]
full_every_days = 180
incremental_every_days = 7
run_at = "02:00"

[snapshots]
base_dir = "/srv/snapshots"
retain = 2

[subvolumes]
paths = ["/srv/data", "/srv/home"]

[s3]
bucket = "my-backup-bucket"
region = "us-east-1"
prefix = "btrfs/host-01"
chunk_size_bytes = 214748364800
storage_class_chunks = "DEEP_ARCHIVE"
storage_class_manifest = "STANDARD"
concurrency = 4
spool_enabled = false
sse = "AES256"

[restore]
target_base_dir = "/srv/restore"
verify_mode = "full" # full|sample|none
sample_max_files = 1000
wait_for_restore = true
restore_timeout_seconds = 259200
restore_tier = "Standard"
"#;

const LEAST: &str = "
subvolumes.paths = ['/srv/data', '/srv/home']
[s3]
bucket = 'my-backup-bucket'
region = 'us-east-1'
prefix = 'btrfs/host-01'
[global]
state_path = '/var/lib/btrfs_to_s3/state.json'
lock_path = '/var/lock/btrfs_to_s3.lock'
";

fn parse(text: &str) -> Result<Config> {
    let places = OwnFiles {
        state: "/var/lib/buttersink/x.json".into(),
        lock: "/run/buttersink/x.lock".into(),
        old_state: "/home/me/.local/state/btrfs_to_s3/state.json".into(),
    };
    Config::parse("x.toml", text, &places)
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let said = error.to_string();
    assert!(
        said.starts_with("cannot use x.toml: ") && said.contains(words),
        "{said}"
    );
}

/// The least file with a line in place of another, or beside it.
fn with(section: &str, line: &str) -> String {
    let header = format!("[{section}]\n");
    match LEAST.contains(&header) {
        true => LEAST.replace(&header, &format!("{header}{line}\n")),
        false => format!("{LEAST}{header}{line}\n"),
    }
}

#[test]
fn the_old_example_is_the_default() {
    let (mut old, least) = (parse(OLD).unwrap(), parse(LEAST).unwrap());
    // Said, it holds also where services do not take it.
    let sse = |config: &Config| config.archives[0].sse.clone();
    assert_eq!((sse(&old), sse(&least)), (Sse::Aes256, Sse::Usual));
    old.archives[0].sse = Sse::Usual;
    assert_eq!(old.global, least.global);
    assert_eq!(old.schedule, least.schedule);
    assert_eq!(old.snapshots, least.snapshots);
    assert_eq!(old.subvolumes, least.subvolumes);
    assert_eq!(old.archives, least.archives);
    assert_eq!(old.restore, least.restore);
    // What the old program did not know is as it usually is.
    let ours = |key: &str| key.starts_with("restore.receive_");
    assert!(
        old.entries
            .iter()
            .all(|entry| entry.default == ours(entry.key))
    );
    assert_eq!(old.entries.len(), least.entries.len());
    let home = &old.subvolumes[1];
    assert_eq!((&*home.name, &*home.path), ("home", Path::new("/srv/home")));
    assert_eq!(home.folder(), Path::new("/srv/snapshots"));
}

#[test]
fn state_and_lock_have_places_of_their_own() {
    let cut = LEAST.find("[global]").unwrap();
    let global = parse(&LEAST[..cut]).unwrap().global;
    assert_eq!(global.state_path, Path::new("/var/lib/buttersink/x.json"));
    assert_eq!(global.lock_path, Path::new("/run/buttersink/x.lock"));
    let old = Path::new("/home/me/.local/state/btrfs_to_s3/state.json");
    assert_eq!(global.old_state.as_deref(), Some(old));
    // Who says where it is means that.
    assert_eq!(parse(LEAST).unwrap().global.old_state, None);
    // Files of one name in two directories have nothing in common.
    let [one, other] =
        ["/etc/one/home.toml", "/etc/other/home.toml"].map(|p| OwnFiles::of(Path::new(p)));
    assert!(one.lock != other.lock && one.state != other.state);
    let name = one.state.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("home-") && name.ends_with(".json"),
        "{name}"
    );
}

#[test]
fn what_btrfs_to_s3_took_is_taken() {
    let text = format!(
        "{LEAST}\n[restore]\nrestore_tier = \"bulk\"\nverify_mode = \"SAMPLE\"\n\
         sample_max_files = 20.0\nrestore_timeout_seconds = \"3_600\"\ntarget_base_dir = \"~/back\"\n"
    );
    let restore = parse(&text).unwrap().restore;
    assert_eq!(
        (restore.verify_mode, restore.sample_max_files),
        (VerifyMode::Sample, 20)
    );
    assert_eq!(restore.restore_timeout_seconds, 3600);
    assert!(restore.target_base_dir.is_absolute() && restore.target_base_dir.ends_with("back"));
    let class = |name: &str| {
        let line = format!("storage_class_chunks = \"{name}\"");
        let config = parse(&with("s3", &line)).unwrap();
        config.archives[0].storage_class_chunks.clone().unwrap()
    };
    assert_eq!(class("deep_archive"), "DEEP_ARCHIVE");
    assert_eq!(class("lukewarm"), "lukewarm");
    for wrong in ["2.5", "\"two\"", "-1", "1e30", "true"] {
        refused(
            &with("snapshots", &format!("retain = {wrong}")),
            "snapshots.retain",
        );
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    refused(
        &with("snapshots", "retian = 3"),
        "snapshots.retian is unknown; did you mean snapshots.retain?",
    );
    refused(
        &with("snapshot", "retain = 3"),
        "snapshot is unknown; did you mean snapshots?",
    );
    refused(
        &with("schedule", "retain = 3"),
        "did you mean snapshots.retain?",
    );
    refused(
        &format!("retain = 3\n{LEAST}"),
        "retain is unknown; did you mean snapshots.retain?",
    );
    refused(&with("xyzzyx", "a = 1"), "xyzzyx is unknown");
    refused(&format!("schedule = 3\n{LEAST}"), "schedule is a section");
}

#[test]
fn values_have_types_and_bounds() {
    refused(
        &with("snapshots", "retain = 'three'"),
        "snapshots.retain is \"three\", and must be a whole number of at least 1",
    );
    refused(&with("snapshots", "retain = 0"), "snapshots.retain is 0");
    refused(&with("schedule", "full_every_days = -1"), "is -1");
    refused(&with("schedule", "full_every_days = 1.5"), "is 1.5");
    refused(&with("schedule", "run_at = '24:00'"), "from 00:00 to 23:59");
    refused(&with("schedule", "run_at = '2'"), "from 00:00 to 23:59");
    refused(&with("schedule", "run_at = 02:00:00"), "a text in quotes");
    refused(&with("s3", "spool_enabled = 1"), "must be true or false");
    refused(
        &with("restore", "verify_mode = 'ful'"),
        "did you mean full?",
    );
    refused(
        &with("snapshots", "base_dir = 'snaps'"),
        "must be an absolute path",
    );
    refused(&with("s3", "part_size_bytes = 1000"), "at least 5242880");
    refused(&with("global", "spool_size_bytes = 0"), "at least 1");
    // The old program minded only where it mattered.
    let small = with("global", "spool_size_bytes = 100");
    parse(&small).unwrap();
    refused(
        &small.replace("[s3]", "[s3]\nspool_enabled = true"),
        "one part of an upload",
    );
    let early = parse(&with("schedule", "run_at = '7:05'")).unwrap();
    assert_eq!(early.schedule.run_at, jiff::civil::time(7, 5, 0, 0));
}

#[test]
fn a_prefix_at_which_nothing_is_found_again() {
    for prefix in ["./x", "a/../b", ".."] {
        let text = LEAST.replace("btrfs/host-01", prefix);
        refused(&text, "no part of it may be '.' or '..'");
    }
    parse(&LEAST.replace("btrfs/host-01", "/a//b.c")).unwrap();
}

#[test]
fn what_is_missing_or_twice() {
    for key in ["bucket", "region", "prefix"] {
        let without: Vec<&str> = LEAST
            .lines()
            .filter(|line| !line.starts_with(key))
            .collect();
        refused(&without.join("\n"), &format!("s3.{key} is missing"));
    }
    refused(
        &LEAST.replace("'/srv/data', '/srv/home'", ""),
        "at least one",
    );
    refused("[s3]\nbucket = 'b'", "subvolumes.paths is missing");
    refused(
        &LEAST.replace("/srv/data", "/other/home"),
        "has /other/home and /srv/home, whose backups would both be called home",
    );
    refused(&LEAST.replace("/srv/data", "/"), "has no name");
    refused("[s3\n", "line 1");
    refused(&format!("{LEAST}\n\n= 3"), "line 12");
}

#[test]
fn destinations_beside_the_bucket() {
    let text = format!(
        "{LEAST}
[[destination]]
location = '/mnt/disk/snapshots/'
keep = '7d 4w'
require_mount = true
[[destination]]
location = 'ssh://host/backups/'
retain = 3
compare = true
[hooks]
before = ['/usr/local/bin/dump', '--all']
"
    );
    let config = parse(&text).unwrap();
    let [disk, host] = &config.destinations[..] else {
        panic!("{:?}", config.destinations);
    };
    assert_eq!(disk.place.to_string(), "/mnt/disk/snapshots/");
    assert_eq!(disk.keeps.periods.len(), 2);
    assert_eq!((disk.require_mount, host.require_mount), (true, false));
    assert_eq!((disk.compare, host.compare), (false, true));
    assert_eq!((disk.keeps.newest, host.keeps.newest), (None, Some(3)));
    assert_eq!(config.hooks.before.unwrap()[1], "--all");
    assert_eq!(config.hooks.timeout.as_secs(), 600);
    let with = |line: &str| format!("{LEAST}\n[[destination]]\n{line}\n");
    refused(&with("keep = '1d'"), "destination.location is missing");
    refused(
        &with("location = '/a/'\nkeep_min = '30d'"),
        "destination.keep_min comes with destination.keep",
    );
    refused(
        &with("location = '/a/'\nkeep = '1d'\nkeep_min = '30'"),
        "destination.keep_min is wrong",
    );
    refused(
        &with("location = '/a/'\nkeep = '12m'\nkeep_min = '6m'"),
        "destination.keep_min is wrong: cannot use the age '6m': m is minutes here",
    );
    refused(&with("location = '/a/'\nmax_age = '30m'"), "26w");
    for line in [
        "every = '30m'",
        "kind = 'archive'\nname = 'a'\nfull_every = '30m'",
        "verify = { every = '30m' }",
    ] {
        let line = format!("location = 'raw:/a/'\n{line}");
        refused(&with(&line), "m is months, of which it takes up to 12");
    }
    refused(&with("location = 'disk'"), "must be an absolute path");
    refused(&with("location = 'ftp://x/'"), "known kinds are");
    refused(
        &with("location = '/a/'\nkeep = '1x'"),
        "destination.keep is wrong",
    );
    refused(
        &with("location = 's3://b/p/'\ncompare = true"),
        "nothing to compare with before a restore",
    );
    refused(
        &with("location = '/a/'\nkep = '1d'"),
        "did you mean destination.keep?",
    );
    refused(
        &with("").replace("[[destination]]", "[destination]"),
        "is written [[destination]]",
    );
    refused(
        &format!("{LEAST}\n[hooks]\nbefore = 'dump'"),
        "a list of texts",
    );
    refused(
        &format!("{LEAST}\n[hooks]\nafter = ['dump']"),
        "must be an absolute path",
    );
}

/// Parts wait in a directory that is not there yet, below one that is on the filesystem of `/`.
#[test]
fn what_could_fill_the_disk_of_the_root_is_said() {
    let remark = |enabled: bool, bytes: u64| {
        let dir = "/no-such-directory/of-anybody/spool";
        let text = format!(
            "{LEAST}spool_dir = '{dir}'\nspool_size_bytes = {bytes}\n[schedule]\n[snapshots]\n"
        );
        let text = text.replace("[s3]\n", &format!("[s3]\nspool_enabled = {enabled}\n"));
        crate::backup::archive::spool_remark(&parse(&text).unwrap())
    };
    assert!(
        remark(true, 1 << 62)
            .unwrap()
            .contains("/no-such-directory")
    );
    assert_eq!(remark(false, 1 << 62), None);
    assert_eq!(remark(true, 5 << 20), None);
}
