//! Filesystems that are not btrfs, for directories that keep streams, and which suites each of them passes.

use crate::support::*;
use std::path::{Path, PathBuf};

/// A kind of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// Renames that replace nothing, and second names; memory only.
    Tmpfs,
    /// With a journal.
    Ext4,
    /// By FUSE: no case, no links, and no rename that replaces nothing.
    Exfat,
}
use Disk::{Exfat, Ext4, Tmpfs};

/// The filesystems that a suite is run on, each of them here and through a server. The one that not every machine
/// has is the last, since without it the rest of a test is skipped.
pub(crate) type Suite = &'static [Disk];

/// What every store promises, and streams that are damaged.
pub(crate) const CONTRACT: Suite = &[Tmpfs, Ext4, Exfat];
/// Full disks, read-only ones, calls that fail, and bytes that changed.
pub(crate) const FAULTS: Suite = &[Tmpfs, Ext4, Exfat];
/// A disk that is pulled: nobody pulls memory.
pub(crate) const PULLED: Suite = &[Ext4, Exfat];
/// Whoever writes dies.
pub(crate) const KILLS: Suite = &[Tmpfs, Ext4, Exfat];
/// What was in memory is gone, and with it all of a tmpfs.
pub(crate) const POWER_CUTS: Suite = &[Ext4, Exfat];
/// A filesystem that answers late: only one by FUSE has a process behind it, which can be stopped.
pub(crate) const LATE: Suite = &[Exfat];

impl Disk {
    /// A filesystem of so many MiB at `here()/name`.
    pub(crate) fn make(self, name: &str, mib: u64) -> PathBuf {
        match self {
            Tmpfs => tmpfs(name, mib),
            Ext4 => ext4(name, mib),
            Exfat => exfat(name, mib),
        }
    }

    /// The same filesystem again, from an image of it as it is on the disk.
    pub(crate) fn mount(self, image: &Path, name: &str) -> PathBuf {
        match self {
            Exfat => mount_exfat(image, name),
            _ => mount_image(image, name, ""),
        }
    }
}

/// A memory filesystem of so many MiB at `here()/name`.
pub(crate) fn tmpfs(name: &str, mib: u64) -> PathBuf {
    let at = here().join(name);
    std::fs::create_dir_all(&at).unwrap();
    let size = format!("size={mib}M");
    let path = at.to_str().unwrap();
    run(
        "mount",
        ["-t", "tmpfs", "-o", &size, "buttersink-test", path],
    );
    at
}

/// An ext4 filesystem, in the image of that name.
pub(crate) fn ext4(name: &str, mib: u64) -> PathBuf {
    run(
        "mkfs.ext4",
        ["-q", "-F", blank(name, mib).to_str().unwrap()],
    );
    mount_image(&image(name), name, "")
}

/// An exFAT filesystem, by FUSE: one that knows no case, no links, and no rename that replaces nothing.
pub(crate) fn exfat(name: &str, mib: u64) -> PathBuf {
    if !Path::new("/dev/fuse").exists() {
        skip("needs FUSE");
    }
    let image = blank(name, mib);
    run("mkfs.exfat", [image.to_str().unwrap()]);
    mount_exfat(&image, name)
}

fn mount_exfat(image: &Path, name: &str) -> PathBuf {
    let at = here().join(name);
    std::fs::create_dir_all(&at).unwrap();
    let device = run("losetup", ["-f", "--show", image.to_str().unwrap()]);
    run("mount.exfat-fuse", [device.trim(), at.to_str().unwrap()]);
    at
}

fn blank(name: &str, mib: u64) -> PathBuf {
    let image = image(name);
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(mib << 20).unwrap();
    image
}

/// A directory of streams on a command line.
pub(crate) fn raw(dir: &Path) -> String {
    format!("raw:{}/", dir.to_str().unwrap())
}

/// All names below a directory, in order.
pub(crate) fn names_below(dir: &Path) -> Vec<String> {
    let text = run(
        "find",
        [dir.to_str().unwrap(), "-mindepth", "1", "-printf", "%P\\n"],
    );
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    names.sort();
    names
}
