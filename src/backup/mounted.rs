//! A configuration for a machine, from what is mounted there: what nobody can know is commented out. Mounts come
//! in as values; looks at nothing.

use super::config::ARCHIVE;
use super::draft::{Draft, DraftSection, unused};
use crate::btrfs::Mounted;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where people, and desktops for them, mount other disks.
const OTHERS: &[&str] = &["/mnt", "/media", "/run/media"];
/// What is worth a backup wherever it is a subvolume.
const OWN: &[&str] = &["/home", "/root", "/srv"];
/// What comes and goes, and is made by other programs.
const PASSING: &[&str] = &[
    "/run",
    "/tmp",
    "/proc",
    "/sys",
    "/dev",
    "/snap",
    "/var/lib/docker",
    "/var/lib/containers",
];
/// Kinds of filesystem on no disk of this machine that keep files nevertheless.
const FAR: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "zfs"];
/// Kinds of disks that nobody writes to.
const FIXED: &[&str] = &["btrfs", "squashfs", "iso9660", "udf"];

const HEAD: &[&str] = &[
    "Scheduled backups of this machine, from what is mounted, by buttersink config init; see buttersink.conf(5).",
    "What nobody can know is commented out: take away the # of what is wanted.",
    "As /etc/buttersink/host.toml it is done hourly: systemctl enable --now buttersink-config@host.timer",
];

/// The file. Whether it can be used as it is, [`DraftSection::doubtful`] of its sections tells.
pub fn draft(all: &[Mounted]) -> Draft {
    let mut sections = usual();
    sections.extend(sources(all));
    sections.extend(disks(all));
    sections.extend(streams(all));
    let has = |title| {
        sections
            .iter()
            .any(|one| one.title == title && !one.doubtful)
    };
    let mut head: Vec<String> = HEAD.iter().map(|&line| line.to_owned()).collect();
    if !has(SUBVOLUME) {
        head.push("No subvolume was found that is sure to be wanted: name one.".to_owned());
    }
    if !has(DESTINATION) {
        let so = "No other btrfs is mounted in /mnt, /media or /run/media: snapshots stay on their own disk, \
                  which is no backup.";
        head.push(so.to_owned());
    }
    Draft { head, sections }
}

const SUBVOLUME: &str = "[[subvolume]]";
const DESTINATION: &str = "[[destination]]";

/// How often, and what stays here.
fn usual() -> Vec<DraftSection> {
    let mut schedule = DraftSection::new("[schedule]");
    schedule.text("every", "1h");
    schedule.because("1h, 1d, 1w, 1m, a month");
    let mut snapshots = DraftSection::new("[snapshots]");
    snapshots.text("keep", "24h 7d");
    snapshots.because("the newest of each of so many hours, days, w(eeks), m(onths), y(ears)");
    snapshots.text("max_age", "2h");
    snapshots.perhaps("older is late, for buttersink status");
    vec![schedule, snapshots]
}

fn is_below(path: &Path, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn is_other(path: &Path) -> bool {
    OTHERS
        .iter()
        .any(|place| path.starts_with(place) && path != Path::new(place))
}

/// Worth a backup, as far as its path tells.
fn is_own(path: &Path) -> bool {
    path == Path::new("/") || is_below(path, OWN)
}

/// A text that our file can have; patterns mean something else there.
fn plain(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| !text.contains(['*', '?', '[']))
}

/// Filesystems of which something is worth a backup.
fn own_devices(all: &[Mounted]) -> HashSet<&str> {
    let own = all
        .iter()
        .filter(|one| one.kind == "btrfs" && is_own(&one.mount.at));
    own.map(|one| one.device.as_str()).collect()
}

/// Mounted subvolumes, each once, the shortest path first.
fn sources(all: &[Mounted]) -> Vec<DraftSection> {
    let own = own_devices(all);
    let is_source = |one: &&Mounted| {
        let path = &one.mount.at;
        let hidden = |name: &OsStr| name.as_bytes().starts_with(b".");
        one.kind == "btrfs"
            && one.writable
            && one.mount.whole
            && !is_other(path)
            && !is_below(path, PASSING)
            && !path.iter().any(hidden)
    };
    let mut found: Vec<&Mounted> = all.iter().filter(is_source).collect();
    found.sort_by_key(|one| {
        (
            !is_own(&one.mount.at),
            one.mount.at.iter().count(),
            &one.mount.at,
        )
    });
    let (mut seen, mut names) = (HashSet::new(), HashSet::new());
    found.retain(|one| seen.insert((&one.device, &one.mount.root)));
    let section = |one: &Mounted| {
        let path = plain(&one.mount.at)?;
        let mut section = DraftSection::new(SUBVOLUME);
        section.text("path", path);
        let last = one.mount.at.file_name().and_then(OsStr::to_str);
        let name = unused(&mut names, last.unwrap_or("root"));
        if last != Some(&name) {
            section.text("name", &name);
        }
        section.doubtful = !(own.contains(one.device.as_str()) && is_own(&one.mount.at));
        Some(section)
    };
    found.into_iter().filter_map(section).collect()
}

/// Other btrfs filesystems, each once. Where one is not where disks are mounted, it may be something else.
fn disks(all: &[Mounted]) -> Vec<DraftSection> {
    let own = own_devices(all);
    let is_disk = |one: &&Mounted| {
        let passing = is_below(&one.mount.at, PASSING) && !is_other(&one.mount.at);
        one.kind == "btrfs" && one.writable && !own.contains(one.device.as_str()) && !passing
    };
    let mut found: Vec<&Mounted> = all.iter().filter(is_disk).collect();
    found.sort_by_key(|one| (!is_other(&one.mount.at), one.mount.at.iter().count()));
    let (mut seen, mut names) = (HashSet::new(), HashSet::from([ARCHIVE.to_owned()]));
    found.retain(|one| seen.insert(&one.device));
    let section = |one: &Mounted| {
        let mut section = destination(&mut names, "", &one.mount.at)?;
        section.doubtful = !is_other(&one.mount.at);
        Some(section)
    };
    found.into_iter().filter_map(section).collect()
}

/// Disks of other kinds, which can keep streams.
fn streams(all: &[Mounted]) -> Vec<DraftSection> {
    let keeps_files = |one: &&Mounted| {
        let on_disk = !one.device.starts_with("0:") || FAR.contains(&one.kind.as_str());
        on_disk && one.writable && is_other(&one.mount.at) && !FIXED.contains(&one.kind.as_str())
    };
    let mut names = HashSet::from([ARCHIVE.to_owned()]);
    let section = |one: &Mounted| {
        let mut section = destination(&mut names, "raw:", &one.mount.at)?;
        section.remarks.push(format!(
            "{} keeps no snapshots, but their streams in files: buttersink-raw(5).",
            one.kind
        ));
        section.doubtful = true;
        Some(section)
    };
    all.iter().filter(keeps_files).filter_map(section).collect()
}

fn destination(names: &mut HashSet<String>, kind: &str, at: &Path) -> Option<DraftSection> {
    let path = plain(at)?;
    let mut section = DraftSection::new(DESTINATION);
    let name: PathBuf = at.file_name().unwrap_or(OsStr::new("disk")).into();
    section.text("name", &unused(names, name.to_str()?));
    section.text(
        "location",
        &format!("{kind}{}/", path.trim_end_matches('/')),
    );
    section.raw("require_mount", true);
    section.because("nothing is written while the disk is away");
    section.text("keep", "14d 8w 12m");
    section.text("every", "1d");
    section.perhaps("by default it gets each snapshot");
    section.raw("verify", "{ every = \"30d\" }");
    section.perhaps("hold what is there against its records");
    Some(section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::config::{Config, OwnFiles};
    use crate::btrfs::Mount;

    fn mounted(device: &str, kind: &str, root: &str, at: &str) -> Mounted {
        Mounted {
            device: device.to_owned(),
            kind: kind.to_owned(),
            writable: true,
            mount: Mount {
                subvolume: None,
                root: root.into(),
                at: at.into(),
                whole: true,
            },
        }
    }

    fn parsed(draft: &Draft) -> Config {
        let places = OwnFiles::of(Path::new("/etc/buttersink/x.toml"));
        Config::parse("x", &draft.to_string(), &places).unwrap()
    }

    /// The lines that begin with a key, of sections that are or are not commented out.
    fn lines(draft: &Draft, key: &str) -> Vec<String> {
        let text = draft.to_string();
        let lines = text
            .lines()
            .filter(|line| line.trim_start_matches('#').starts_with(key));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_machine_with_some_disks() {
        let mut all = [
            mounted("0:20", "btrfs", "@", "/"),
            mounted("0:20", "btrfs", "@root", "/root"),
            mounted("0:20", "btrfs", "@home", "/home"),
            mounted("0:20", "btrfs", "@home", "/export/home"),
            mounted("0:20", "btrfs", "@snapshots", "/.snapshots"),
            mounted("0:20", "btrfs", "@log", "/var/log"),
            mounted("0:20", "btrfs", "", "/mnt/pool"),
            mounted("0:21", "btrfs", "", "/data"),
            mounted("0:22", "btrfs", "", "/mnt/s3"),
            mounted("0:23", "btrfs", "", "/run/media/me/stick"),
            mounted("8:1", "ext4", "", "/mnt/old"),
            mounted("8:2", "squashfs", "", "/media/live"),
            mounted("0:30", "nfs4", "", "/mnt/nas"),
            mounted("0:31", "tmpfs", "", "/mnt/memory"),
            mounted("8:3", "vfat", "", "/boot/efi"),
            mounted("0:32", "btrfs", "", "/mnt/read only"),
        ];
        all[15].writable = false;
        let draft = draft(&all);
        let paths = [
            "path = \"/\"",
            "path = \"/home\"",
            "path = \"/root\"",
            "#path = \"/data\"",
            "#path = \"/var/log\"",
        ];
        assert_eq!(lines(&draft, "path"), paths);
        let places = [
            "location = \"/mnt/s3/\"",
            "location = \"/run/media/me/stick/\"",
            "#location = \"/data/\"",
            "#location = \"raw:/mnt/old/\"",
            "#location = \"raw:/mnt/nas/\"",
        ];
        assert_eq!(lines(&draft, "location"), places);
        let config = parsed(&draft);
        let names: Vec<&str> = config
            .subvolumes
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["root", "home", "root-2"]);
        assert!(config.destinations.iter().all(|one| one.require_mount));
        assert_eq!(draft.head.len(), HEAD.len());
    }

    #[test]
    fn everything_that_is_commented_out_is_right_too() {
        let all = [
            mounted("0:21", "btrfs", "", "/data"),
            mounted("8:1", "ext4", "", "/mnt/a \"b\""),
            mounted("8:1", "ext4", "", "/mnt/a*"),
        ];
        let draft = draft(&all);
        assert_eq!(draft.head.len(), HEAD.len() + 2);
        let text = draft.to_string();
        let lines = text.lines().map(|line| match line.starts_with("# ") {
            true => line,
            false => line.trim_start_matches('#'),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let places = OwnFiles::of(Path::new("/etc/buttersink/x.toml"));
        let config = Config::parse("x", &text, &places).unwrap();
        assert_eq!((config.subvolumes.len(), config.destinations.len()), (1, 2));
    }
}
