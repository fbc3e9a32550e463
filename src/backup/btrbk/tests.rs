//! What becomes of files of btrbk, by what our own reader makes of it.

use super::*;
use crate::backup::config::{Config, OwnFiles};
use std::path::Path;

const FILE: &str = "\
transaction_log /var/log/btrbk.log
lockfile /run/lock/btrbk.lock   # one at a time
stream_buffer 256m
ssh_identity /etc/btrbk/ssh/id
snapshot_dir btrbk_snapshots
snapshot_preserve_min 2d
snapshot_preserve 14d
target_preserve_min no
target_preserve 20d 10w *m
preserve_hour_of_day 5
backend btrfs-progs
volume /mnt/pool/
  target send-receive \"/mnt/disk/backups\"
  subvolume home
    snapshot_name me
  subvolume vm/*
    snapshot_create onchange
    target ssh://store:2222/backup
      rate_limit 10m
      group away
volume /
  noauto yes
  subvolume .
    target raw /mnt/nas/root
      raw_target_compress zstd
    target raw far:/srv/raw
      ssh_user backup
  subvolume home
    target /mnt/disk/backups
      target_preserve no
volume ssh://other/mnt
  subvolume data
";

const OURS: &str = "
[global]
lock_path = \"/run/lock/btrbk.lock\"

[schedule]
every = \"1d\" # btrbk makes a snapshot whenever it is run: how often, is for you to say

[snapshots]
keep = \"14d\"
keep_from = \"first\"
week_starts = \"sunday\"
keep_hour = 5
keep_min = \"2d\"

[[subvolume]]
path = \"/mnt/pool/home\"
name = \"me\"
snapshots = \"/mnt/pool/btrbk_snapshots\"
destinations = [\"backups\"]

[[subvolume]]
path = \"/mnt/pool/vm/*\"
snapshots = \"/mnt/pool/btrbk_snapshots\"
destinations = [\"backups\", \"store\"]
on_change = true

[[subvolume]]
path = \"/\"
name = \"ROOT\"
snapshots = \"/btrbk_snapshots\"
destinations = [\"root\", \"far\"]
noauto = true

[[subvolume]]
path = \"/home\"
snapshots = \"/btrbk_snapshots\"
destinations = [\"backups\"]
noauto = true

[[destination]]
name = \"backups\"
location = \"/mnt/disk/backups/\"

[[destination]]
name = \"store\"
location = \"ssh://root@store:2222/backup/\"
groups = [\"away\"]
keep = \"20d 10w 9999m\"
keep_from = \"first\"
week_starts = \"sunday\"
keep_hour = 5
ssh_options = [\"IdentityFile=/etc/btrbk/ssh/id\"]
bwlimit_bytes = 10485760

[[destination]]
name = \"root\"
location = \"raw:/mnt/nas/root/\"
keep = \"20d 10w 9999m\"
keep_from = \"first\"
week_starts = \"sunday\"
keep_hour = 5

[[destination]]
name = \"far\"
location = \"raw+ssh://backup@far/srv/raw/\"
keep = \"20d 10w 9999m\"
keep_from = \"first\"
week_starts = \"sunday\"
keep_hour = 5
ssh_options = [\"IdentityFile=/etc/btrbk/ssh/id\"]
";

fn parsed(text: &str) -> Config {
    let places = OwnFiles::of(Path::new("/etc/buttersink/x.toml"));
    Config::parse("x", text, &places).unwrap()
}

#[test]
fn a_file_with_everything() {
    let imported = import("btrbk.conf", FILE).unwrap();
    let text = imported.draft.to_string();
    let (_, ours) = text.split_once("\n\n").unwrap();
    assert_eq!(format!("\n{ours}"), OURS);
    let lines: Vec<usize> = imported.without.iter().map(|one| one.line).collect();
    assert_eq!(lines, [1, 3, 25, 29, 31], "{text}");
    for one in &imported.without {
        assert!(text.contains(&format!("# {one}\n")), "{text}");
    }
    let config = parsed(&text);
    assert_eq!(config.destinations.len(), 4);
    assert_eq!(config.destinations_of(&config.subvolumes[0]), [0]);
}

#[test]
fn what_btrbk_keeps_by_itself_stays() {
    let text = "volume /a\n target /b\n subvolume c\n";
    let config = parsed(&import("x", text).unwrap().draft.to_string());
    assert!(config.subvolumes[0].keeps.keeps_all());
    assert!(config.destinations[0].keeps.keeps_all());
    // Months of an age are not the minutes of ours.
    let text = format!("snapshot_preserve_min 2m\ntarget_preserve_min latest\n{text}");
    let config = parsed(&import("x", &text).unwrap().draft.to_string());
    assert_eq!(config.subvolumes[0].keeps.newest, Some(1));
    let least = config.subvolumes[0].keeps.least.unwrap();
    assert_eq!(least.as_hours(), 62 * 24);
    assert_eq!(config.destinations[0].keeps.newest, Some(1));
}

#[test]
fn no_least_age_in_any_unit_is_none() {
    for none in ["0h", "0d", "0w", "0m", "0y"] {
        let text =
            format!("target_preserve_min {none}\ntarget_preserve 3d\nsubvolume /a\n target /b\n");
        let config = parsed(&import("x", &text).unwrap().draft.to_string());
        let least = config.destinations[0].keeps.least;
        assert!(least.is_none_or(|least| least.is_zero()), "{none}");
    }
}

#[test]
fn what_would_be_told_to_anybody_is_commented_out() {
    let text = "raw_target_encrypt gpg\nsubvolume /a\n target raw /b\n target /c\n  noauto yes\n";
    let imported = import("x", text).unwrap();
    let config = parsed(&imported.draft.to_string());
    assert!(config.destinations.is_empty());
    assert_eq!(config.subvolumes[0].destinations, Some(Vec::new()));
    let lines: Vec<usize> = imported.without.iter().map(|one| one.line).collect();
    assert_eq!(lines, [1, 2, 3, 5]);
}

#[test]
fn a_place_is_left_out_only_where_it_is_doubted() {
    let (doubted, sure) = ("target /b\n  noauto yes\n", "target //b\n");
    for (first, second, named) in [(doubted, sure, [0, 1]), (sure, doubted, [1, 0])] {
        let text = format!("subvolume /a\n {first}subvolume /c\n {second}");
        let config = parsed(&import("x", &text).unwrap().draft.to_string());
        assert_eq!(config.destinations.len(), 1);
        let counts = config.subvolumes.iter().map(|subvolume| {
            let names = subvolume.destinations.as_ref();
            names.map_or(9, Vec::len)
        });
        assert_eq!(counts.collect::<Vec<_>>(), named);
    }
}

#[test]
fn what_btrbk_refuses_is_refused() {
    for (text, line) in [
        ("volume /a\n /b\n", "line 2"),
        ("target zfs /b", "line 1"),
        ("subvolume a/../b", "line 1"),
        (
            "snapshot_preserve_min 2d\nsnapshot_preserve 3x\nsubvolume /a",
            "line 2",
        ),
        (
            "snapshot_preserve_min 2d\nsnapshot_preserve 3d 4d\nsubvolume /a",
            "line 2",
        ),
        (
            "snapshot_preserve_min 2d\npreserve_day_of_week x\nsubvolume /a",
            "line 2",
        ),
        ("lockfile here\n", "line 1"),
    ] {
        let error = import("x", text).unwrap_err();
        assert!(
            error.exit_code() == 2 && error.said.contains(line),
            "{error}"
        );
    }
}
