//! Configuration files that the program writes: what it prints is understood by itself, and does what it says.

use crate::documents::text;
use crate::runner::Test;
use crate::scheduled::in_order;
use crate::subvolumes::{script, subvolume};
use crate::support::{binary, btrfs, buttersink, here, output, skip};
use crate::tests;
use std::process::Command;

pub(crate) const TESTS: &[Test] =
    tests![a_file_of_btrbk_makes_backups, two_disks_by_what_readme_says,];

/// In a mount namespace of its own: nothing is mounted but a home and a disk, and a disk that is no btrfs.
const FRESH: &str = "\
set -e
device() { findmnt -no SOURCE \"$1\" | sed 's/[[].*//'; }
own=$(device \"$1\") other=$(device \"$2\")
findmnt -rno TARGET -t btrfs | while read -r at; do umount -l \"$at\"; done
mount -t tmpfs none /mnt
mkdir /mnt/disk /mnt/nas
mount -o subvol=home \"$own\" /home
mount \"$other\" /mnt/disk
truncate -s 8M /mnt/image
mkfs.ext4 -q /mnt/image
mount -o loop /mnt/image /mnt/nas
eval \"$3\"
cat \"$DIR/host.toml\"
buttersink config check \"$DIR/host.toml\" >&2
test \"$(ls /mnt/disk | grep -c ^home__)\" = 1
test \"$(ls /home/.snapshots | grep -c ^home__)\" = 1
";

/// What the unit runs.
fn of_the_unit() -> String {
    let unit = text("contrib/systemd/buttersink-config@.service");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let (_, command) = start
        .unwrap()
        .split_once("\"--why=backup of %i\" ")
        .unwrap();
    command.replace("%i", "host")
}

/// The commands of README for a fresh machine, with what its timer starts in the place of that.
fn two_disks_by_what_readme_says() {
    let (own, disk) = (btrfs("own", 256), btrfs("disk", 256));
    let kinds = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if kinds
        .lines()
        .any(|line| line.contains(" - btrfs ") && !line.contains(" /dev/loop"))
    {
        skip("needs a machine with no btrfs of its own");
    }
    subvolume(&own.join("home"));
    script(&own.join("home"), "echo 1 >file");
    let readme = text("README.md");
    let blocks = readme.split("```\n");
    let block = blocks
        .into_iter()
        .find(|block| block.contains("config init >"))
        .unwrap();
    let lines = block.lines().map(|line| line.strip_prefix("# ").unwrap());
    let lines: Vec<String> = lines
        .map(
            |line| match line.starts_with("systemctl enable --now buttersink-config@host.timer") {
                true => of_the_unit(),
                false => line.to_owned(),
            },
        )
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let etc = here().join("etc").display().to_string();
    let lines = lines.join("\n").replace("/etc/buttersink", &etc);
    let programs = binary("buttersink").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", FRESH, "sh"])
        .args([&own, &disk])
        .arg(lines);
    command
        .env("PATH", path)
        .env("DIR", etc)
        .env("BUTTERSINK_RUN_DIR", here().join("run"));
    let done = output(&mut command);
    assert!(done.status.success());
    let file = String::from_utf8(done.stdout).unwrap();
    assert!(file.contains("#location = \"raw:/mnt/nas/\""), "{file}");
    assert!(in_order(&disk, "home").len() == 1);
}

/// Two subvolumes of a pool and a disk, as somebody has them who comes from btrbk.
fn a_file_of_btrbk_makes_backups() {
    let (pool, disk) = (btrfs("pool", 256), btrfs("disk", 256));
    for name in ["home", "mail"] {
        subvolume(&pool.join(name));
        script(&pool.join(name), "echo 1 >file");
    }
    let (theirs, ours) = (here().join("btrbk.conf"), here().join("ours.toml"));
    let text = |more: &str| {
        let (pool, disk) = (pool.display(), disk.display());
        format!(
            "snapshot_dir kept\nsnapshot_preserve_min latest\nlockfile {}/lock\n{more}\
             volume {pool}\n target {disk}\n subvolume *\n",
            here().display()
        )
    };
    std::fs::write(&theirs, text("stream_buffer 256m\n")).unwrap();
    let said = buttersink(["config", "import", theirs.to_str().unwrap()]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    let missed = "line 4: stream_buffer 256m: it reads ahead by itself";
    assert!(
        said.stderr.contains(missed) && said.stdout.contains(missed),
        "{}",
        said.stdout
    );
    std::fs::write(&theirs, text("")).unwrap();
    let said = buttersink(["config", "import", theirs.to_str().unwrap()]);
    assert_eq!((said.code, &*said.stderr), (0, ""));
    let state = format!("state_path = '{}/state'\nlock_path", here().display());
    std::fs::write(&ours, said.stdout.replacen("lock_path", &state, 1)).unwrap();
    for command in ["check", "backup --once"] {
        let config = ours.to_str().unwrap();
        let words = match command {
            "check" => vec!["config", "check", config],
            _ => vec!["backup", "--once", "--config", config],
        };
        let said = buttersink(words);
        assert_eq!(said.code, 0, "{}", said.stderr);
    }
    for name in ["home", "mail"] {
        let counts = [pool.join("kept"), disk.clone()].map(|place| in_order(&place, name).len());
        assert_eq!(counts, [1, 1], "{name}");
    }
    std::fs::write(&theirs, "volume /a\n/b\n").unwrap();
    let said = buttersink(["config", "import", theirs.to_str().unwrap()]);
    assert!(
        said.code == 2 && said.stderr.contains("line 2"),
        "{}",
        said.stderr
    );
    let said = buttersink(["config", "import", "/none"]);
    assert!(
        said.code == 1 && said.stderr.contains("/none"),
        "{}",
        said.stderr
    );
}
