//! Filesystems that are not btrfs, for directories that keep streams.

use crate::support::*;
use std::path::{Path, PathBuf};

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
