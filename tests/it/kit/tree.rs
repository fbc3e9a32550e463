//! Compares two directory trees in everything that a snapshot carries: types, modes, owners, times,
//! link targets, device numbers, hard links, holes, extended attributes and content. All but the top
//! directory's time: `btrfs receive` makes new files there first, and the stream of an incremental
//! does not set it again.

use crate::support::run;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Panics with the first differences, unless both trees are the same.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let found = differences(a, b);
    let first: Vec<&str> = found.iter().take(20).map(String::as_str).collect();
    assert!(
        found.is_empty(),
        "{} differences between {} and {}:\n{}",
        found.len(),
        a.display(),
        b.display(),
        first.join("\n")
    );
}

/// Each difference as a line.
pub(crate) fn differences(a: &Path, b: &Path) -> Vec<String> {
    let (ours, theirs) = (entries(a), entries(b));
    let mut found = Vec::new();
    for path in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let difference = match (ours.get(path), theirs.get(path)) {
            (Some(x), Some(y)) if x != y => Some(format!("{x:?}\n  {y:?}")),
            (Some(x), Some(_)) if x.kind == "file" => unlike(&a.join(path), &b.join(path)),
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some("only in the first".to_owned()),
            (None, _) => Some("only in the second".to_owned()),
        };
        found.extend(difference.map(|what| format!("{path:?}: {what}")));
    }
    let (ours, theirs) = (attributes(a), attributes(b));
    found.extend(ours.symmetric_difference(&theirs).cloned());
    found
}

/// What is known of an entry without opening it.
#[derive(PartialEq, Debug)]
struct Entry {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    /// Of files and symbolic links; a directory's size is not its content.
    size: u64,
    device: u64,
    target: Option<PathBuf>,
    /// The first path with the same inode, if it has several.
    linked: Option<PathBuf>,
    links: u64,
}

fn entries(top: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut paths = BTreeSet::new();
    walk(top, Path::new(""), &mut paths);
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let entry = |path: PathBuf| {
        let (whole, metadata) = (top.join(&path), top.join(&path).symlink_metadata().unwrap());
        let linked = (!metadata.is_dir() && metadata.nlink() > 1).then(|| {
            first
                .entry(metadata.ino())
                .or_insert_with(|| path.clone())
                .clone()
        });
        let top = path.as_os_str().is_empty();
        let entry = Entry {
            linked,
            ..entry(&whole, &metadata)
        };
        let modified = if top { (0, 0) } else { entry.modified };
        let entry = Entry { modified, ..entry };
        (path, entry)
    };
    paths.into_iter().map(entry).collect()
}

fn entry(path: &Path, metadata: &Metadata) -> Entry {
    let kind = kind(metadata);
    let sized = matches!(kind, "file" | "symlink");
    Entry {
        kind,
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        size: if sized { metadata.size() } else { 0 },
        device: metadata.rdev(),
        target: std::fs::read_link(path).ok(),
        linked: None,
        links: if kind == "directory" {
            0
        } else {
            metadata.nlink()
        },
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symlink",
        () if kind.is_block_device() => "block device",
        () if kind.is_char_device() => "character device",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "unknown",
    }
}

fn walk(top: &Path, path: &Path, paths: &mut BTreeSet<PathBuf>) {
    paths.insert(path.to_owned());
    for entry in std::fs::read_dir(top.join(path)).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(top, &path, paths);
        } else {
            paths.insert(path);
        }
    }
}

/// How the second file, a copy, differs from the first in what it holds. Space that was only
/// reserved does not travel, so a copy may take less room, but never more.
fn unlike(a: &Path, b: &Path) -> Option<String> {
    let blocks = |path: &Path| path.symlink_metadata().unwrap().blocks();
    if !same_bytes(a, b) {
        return Some("content".to_owned());
    }
    let (ours, theirs) = (blocks(a), blocks(b));
    (theirs > ours + 8).then(|| format!("holes are filled: {ours} blocks, then {theirs}"))
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let (mut a, mut b) = (File::open(a).unwrap(), File::open(b).unwrap());
    let (mut x, mut y) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let (n, m) = (fill(&mut a, &mut x), fill(&mut b, &mut y));
        if x[..n] != y[..m] {
            return false;
        }
        if n == 0 {
            return true;
        }
    }
}

fn fill(from: &mut File, buffer: &mut [u8]) -> usize {
    let mut have = 0;
    loop {
        match from.read(&mut buffer[have..]).unwrap() {
            0 => return have,
            n => have += n,
        }
    }
}

/// Extended attributes, ACLs and capabilities among them: a text for each entry that has some.
fn attributes(top: &Path) -> BTreeSet<String> {
    let dump = "cd \"$1\" && getfattr -P -h -R -d -m - -e hex .";
    let words: [&OsStr; 4] = ["-c".as_ref(), dump.as_ref(), "sh".as_ref(), top.as_ref()];
    let text = run("sh", words);
    text.split("\n\n")
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let mut lines: Vec<&str> = entry.lines().collect();
            lines[1..].sort_unstable();
            lines.join(" ")
        })
        .collect()
}
