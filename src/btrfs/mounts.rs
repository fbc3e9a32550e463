//! Where filesystems are mounted: `/proc/self/mountinfo`, with its octal escapes undone. All mounts of
//! one btrfs have the same device number there, whatever stat says of their files. Mounts nothing.

use super::Filesystem;
use crate::error::{Doing, Result};
use crate::snapshot::shown;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A place where a btrfs, or a part of it, is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The number of the subvolume; `None` if the kernel did not say.
    pub subvolume: Option<u64>,
    /// What is mounted, from the top of the filesystem; empty for the top itself. It may be a
    /// directory within a subvolume.
    pub root: PathBuf,
    /// The mount point.
    pub at: PathBuf,
    /// The top of it is the top of the subvolume.
    pub whole: bool,
}

/// What is mounted somewhere, of whatever kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The same for all mounts of one filesystem; `0:…` where it is on no disk that the kernel knows.
    pub device: String,
    /// As in `mount -t`.
    pub kind: String,
    /// Neither the mount nor the filesystem is read-only.
    pub writable: bool,
    /// Where, and what of it.
    pub mount: Mount,
}

/// One line of mountinfo.
pub(super) struct MountLine {
    id: u64,
    /// That of the mount that it lies on.
    parent: u64,
    device: String,
    root: PathBuf,
    pub(super) at: PathBuf,
    pub(super) kind: String,
    writable: bool,
    options: OsString,
}

impl Filesystem {
    /// Whether what is written here is compressed, as far as the mount says: then nobody knows how
    /// much of it fits.
    pub fn compresses(&self) -> bool {
        // `compress-force` too; the kernel shows neither where nothing is compressed.
        of_file(self.fd()).is_some_and(|mount| mount.option(b"compress").is_some())
    }

    /// Every place where this filesystem is mounted, as far as this process can see.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn mounts(&self) -> Result<Vec<Mount>> {
        let lines = lines().doing(|| "cannot read /proc/self/mountinfo".to_owned())?;
        let Some(ours) = id_of(self.fd()) else {
            return Ok(Vec::new());
        };
        let Some(device) = lines.iter().find(|line| line.id == ours) else {
            return Ok(Vec::new());
        };
        let same = lines.iter().filter(|line| line.device == device.device);
        Ok(same.map(MountLine::mount).collect())
    }
}

/// The mount that an open file was reached by; `None` if it cannot be seen from here.
pub(super) fn of_file(file: BorrowedFd) -> Option<MountLine> {
    let id = id_of(file)?;
    lines().ok()?.into_iter().find(|line| line.id == id)
}

/// Where the mount that a path lies on is mounted; `None` if it cannot be seen from here.
///
/// # Errors
/// If the path cannot be opened.
pub fn mount_point(path: &Path) -> Result<Option<PathBuf>> {
    let file = File::open(path).doing(|| format!("cannot open {}", shown(path)))?;
    Ok(of_file(file.as_fd()).map(|mount| mount.at))
}

/// Everything that is mounted, as far as this process can see: of what lies over each other, the upper one.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn mounted() -> Result<Vec<Mounted>> {
    let lines = lines().doing(|| "cannot read /proc/self/mountinfo".to_owned())?;
    Ok(seen(&lines))
}

/// Those that a path leads to: at each place on the way, nothing lies on top but what the mount lies on itself.
fn seen(lines: &[MountLine]) -> Vec<Mounted> {
    let tops: HashMap<&Path, u64> = lines.iter().map(|line| (&*line.at, line.id)).collect();
    let parents: HashMap<u64, u64> = lines.iter().map(|line| (line.id, line.parent)).collect();
    let lies_on = |line: &MountLine, other: u64| {
        let chain = std::iter::successors(Some(line.id), |id| parents.get(id).copied());
        // Only in a table that is damaged is there a circle.
        chain.take(lines.len()).any(|id| id == other)
    };
    let is_seen = |line: &&MountLine| {
        let mut tops = line.at.ancestors().filter_map(|at| tops.get(at));
        tops.all(|&top| lies_on(line, top))
    };
    lines
        .iter()
        .filter(is_seen)
        .map(MountLine::mounted)
        .collect()
}

/// Where mounts are that nothing at these paths lies on, nor below which one of theirs lies: what a
/// process that needs no more than those paths can do without.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn mounts_without(paths: &[&Path]) -> Result<Vec<PathBuf>> {
    let lines = lines().doing(|| "cannot read /proc/self/mountinfo".to_owned())?;
    let of_path = |path: &&Path| id_of(std::fs::File::open(path).ok()?.as_fd());
    let needed = paths.iter().filter_map(of_path).collect();
    Ok(unneeded(&lines, needed))
}

fn unneeded(lines: &[MountLine], mut needed: Vec<u64>) -> Vec<PathBuf> {
    let mut next = 0;
    while let Some(&id) = needed.get(next) {
        let on = lines
            .iter()
            .find(|line| line.id == id)
            .map(|line| line.parent);
        needed.extend(on.filter(|on| !needed.contains(on)));
        next += 1;
    }
    let (kept, others): (Vec<&MountLine>, Vec<&MountLine>) =
        lines.iter().partition(|line| needed.contains(&line.id));
    // Where one lies over another, the path means the upper one.
    let hidden = |line: &&&MountLine| kept.iter().any(|kept| kept.at == line.at);
    let others = others.iter().filter(|line| !hidden(line)).rev();
    others.map(|line| line.at.clone()).collect()
}

/// The root of the mount that an open file was reached by, held open, and where that is; `None` if it
/// cannot be seen from here, or something else is mounted over it.
pub fn mount_root(file: BorrowedFd) -> Option<(File, PathBuf)> {
    let at = of_file(file)?.at;
    let mut options = File::options();
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let root = options.read(true).custom_flags(flags).open(&at).ok()?;
    (id_of(root.as_fd()) == id_of(file)).then_some((root, at))
}

/// Files in which the kernel swaps; none where it does not tell.
pub fn swap_files() -> Vec<PathBuf> {
    let text = std::fs::read("/proc/swaps").unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    lines.filter_map(swap_file).collect()
}

/// `path kind size used priority`, with blanks between.
fn swap_file(line: &[u8]) -> Option<PathBuf> {
    let mut words = line.split(|&byte| byte == b' ' || byte == b'\t');
    let path = words.next()?;
    let kind = words.find(|word| !word.is_empty())?;
    (kind == b"file").then(|| unescaped(path).into())
}

/// The path of an open directory from the top of its filesystem, as far as the mount tells.
pub(super) fn path_from_top(file: BorrowedFd) -> Option<PathBuf> {
    let mount = of_file(file)?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    let inside = path.strip_prefix(&mount.at).ok()?;
    Some(relative(&mount.root).join(inside))
}

/// The number of the mount that an open file was reached by.
fn id_of(file: BorrowedFd) -> Option<u64> {
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = std::fs::read_to_string(info).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

fn lines() -> std::io::Result<Vec<MountLine>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(MountLine::parse)
        .collect())
}

impl MountLine {
    /// `id parent major:minor root at options [more…] - kind source super-options`
    fn parse(line: &[u8]) -> Option<MountLine> {
        let mut words = line.split(|&byte| byte == b' ');
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let mut number = || text(words.next()?).parse().ok();
        let (id, parent) = (number()?, number()?);
        let device = text(words.next()?);
        let (root, at) = (unescaped(words.next()?), unescaped(words.next()?));
        let own = words.next()?;
        words.find(|&word| word == b"-")?;
        let kind = text(words.next()?);
        let options = unescaped(words.nth(1)?);
        let may_write = |options: &[u8]| options.split(|&byte| byte == b',').next() == Some(b"rw");
        Some(MountLine {
            id,
            parent,
            device,
            root: root.into(),
            at: at.into(),
            kind,
            writable: may_write(own) && may_write(options.as_bytes()),
            options,
        })
    }

    fn mounted(&self) -> Mounted {
        Mounted {
            device: self.device.clone(),
            kind: self.kind.clone(),
            writable: self.writable,
            mount: self.mount(),
        }
    }

    fn mount(&self) -> Mount {
        Mount {
            subvolume: self.option(b"subvolid=").and_then(|value| {
                let digits = value.split(|&byte| byte == b',').next()?;
                std::str::from_utf8(digits).ok()?.parse().ok()
            }),
            // It is the last option, so that commas in it need no thought.
            whole: self.option(b"subvol=") == Some(self.root.as_os_str().as_bytes()),
            root: relative(&self.root),
            at: self.at.clone(),
        }
    }

    /// What follows `,name=` in the options.
    fn option(&self, name: &[u8]) -> Option<&[u8]> {
        let options = self.options.as_bytes();
        let starts = (1..options.len()).filter(|&i| options[i - 1] == b',');
        starts
            .map(|i| &options[i..])
            .find_map(|rest| rest.strip_prefix(name))
    }
}

/// A path from the top of the filesystem, without the slash in front.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

/// A word with its `\ooo` undone.
fn unescaped(word: &[u8]) -> OsString {
    let (mut bytes, mut rest) = (Vec::with_capacity(word.len()), word);
    while let [first, tail @ ..] = rest {
        let digit = |i: usize| rest.get(i).filter(|d| (b'0'..=b'7').contains(d));
        match (first, digit(1), digit(2), digit(3)) {
            (b'\\', Some(a), Some(b), Some(c)) => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = &rest[4..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(any(test, feature = "fuzz"))]
/// Whatever a mount is called, its line is read.
pub(crate) fn fuzz(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Some(line) = MountLine::parse(line) {
            line.mounted();
        }
        swap_file(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"36 24 0:33 /a\\040b/\xff /mnt/x\\134y\\012z rw,relatime shared:1 \
        master:2 - btrfs /dev/sda1 rw,ssd,subvolid=257,subvol=/a\\040b/\xff,c";

    #[test]
    fn a_line_with_everything() {
        let mount = MountLine::parse(LINE).unwrap().mount();
        assert_eq!(mount.subvolume, Some(257));
        assert_eq!(mount.root.as_os_str().as_bytes(), b"a b/\xff");
        assert_eq!(mount.at.as_os_str().as_bytes(), b"/mnt/x\\y\nz");
        assert!(
            !mount.whole,
            "subvol= has a ,c at its end and the root does not"
        );
    }

    #[test]
    fn what_is_needed_keeps_what_it_lies_on() {
        let lines = [
            "1 0 8:1 / / rw - ext4 a rw",
            "2 1 8:2 / /mnt rw - ext4 a rw",
            "3 2 8:3 / /mnt/b rw - btrfs b rw",
            "4 1 8:4 / /media rw - vfat c rw",
            "5 4 8:5 / /media/d rw - vfat d rw",
            "6 3 8:6 / /mnt/b/e rw - vfat e rw",
            "7 1 8:7 / /hidden rw - vfat f rw",
            "8 7 8:8 / /hidden rw - btrfs g rw",
        ];
        let lines = lines.map(|line| MountLine::parse(line.as_bytes()).unwrap());
        let unneeded = |ids| unneeded(&lines, ids);
        let shown = |paths: Vec<PathBuf>| paths.iter().map(|p| p.display().to_string()).collect();
        let others: Vec<String> = shown(unneeded(vec![3, 1]));
        assert_eq!(
            others,
            ["/hidden", "/hidden", "/mnt/b/e", "/media/d", "/media"]
        );
        let others: Vec<String> = shown(unneeded(vec![8]));
        assert_eq!(others, ["/mnt/b/e", "/media/d", "/media", "/mnt/b", "/mnt"]);
    }

    #[test]
    fn what_lies_below_another_is_not_seen() {
        let lines = [
            "1 0 8:1 / / rw,x - ext4 a rw,y",
            "2 1 0:9 / /a rw - tmpfs none rw",
            "4 2 0:35 / /a/b rw - btrfs /dev/c ro,subvolid=5,subvol=/",
            "3 1 0:33 / /a rw - btrfs /dev/b ro,subvolid=5,subvol=/",
            "5 3 0:36 / /a/d rw - ext4 d rw",
        ];
        let lines = lines.map(|line| MountLine::parse(line.as_bytes()).unwrap());
        let seen = seen(&lines);
        let seen: Vec<_> = seen.iter().map(|one| (&*one.kind, one.writable)).collect();
        assert_eq!(seen, [("ext4", true), ("btrfs", false), ("ext4", true)]);
    }

    #[test]
    fn swap_files_are_told_from_partitions() {
        let file = b"/swap\\040file                     file\t\t1048572\t0\t-2";
        assert_eq!(swap_file(file), Some("/swap file".into()));
        assert_eq!(swap_file(b"/dev/sda2      partition\t1\t0\t-3"), None);
        assert_eq!(swap_file(b""), None);
    }

    #[test]
    fn other_filesystems_have_no_subvolumes() {
        let line = MountLine::parse(b"1 0 8:1 / / rw - ext4 /dev/root rw").unwrap();
        assert_eq!(line.kind, "ext4");
        assert_eq!(line.mount().subvolume, None);
        assert!(MountLine::parse(b"1 0 8:1 /").is_none());
        assert_eq!(unescaped(b"a\\9\\04").as_bytes(), b"a\\9\\04");
    }
}
