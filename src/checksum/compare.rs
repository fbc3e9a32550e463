//! Two trees side by side: attributes first, then the bytes of what is left, by several threads.
//! Contents are compared as they are, without hashing: that is faster, and certain.

use super::difference::{Aspect, Change, Difference, What};
use super::hash::job;
use super::queue::Queue;
use super::read::Quiet;
use super::walk::{UnreadEntry, WalkedEntry, WalkedTree, walk};
use super::{ChecksumOptions, TreeComparison, WorkCounters, flags, go_on, line, list, read};
use crate::btrfs::STAND_IN;
use crate::error::Result;
use crate::snapshot::shown;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

const BUFFER: usize = 128 << 10;

/// Compares everything below `a` with everything below `b`, but not the two directories
/// themselves, nor directories that something is mounted on (what is below those is compared).
///
/// # Errors
/// If one of the two cannot be opened, or a signal asks to stop. What could not be read below them is in
/// [`TreeComparison::errors`], and no difference is claimed there: without differences, the trees are
/// the same only if there are no errors either.
pub fn compare_trees(
    a: &Path,
    b: &Path,
    options: &ChecksumOptions,
    progress: &WorkCounters,
) -> Result<TreeComparison> {
    let mut pair = BothEntries {
        a: walk(a, progress)?,
        b: walk(b, progress)?,
        options,
        changes: BTreeMap::new(),
        contents: Vec::new(),
        unread: Vec::new(),
        flags: Vec::new(),
    };
    pair.flags(b"", 0, 0);
    pair.entries()?;
    if options.content {
        pair.contents(progress)?;
    }
    let BothEntries {
        a,
        b,
        changes,
        unread,
        mut flags,
        ..
    } = pair;
    flags.sort();
    let unread = a.unread.into_iter().chain(b.unread).chain(unread);
    let mut errors: Vec<_> = unread.map(|unread| unread.error).collect();
    errors.dedup_by(|a, b| a.to_string() == b.to_string());
    Ok(TreeComparison {
        differences: changes
            .into_iter()
            .map(|(path, what)| difference(&path, what))
            .collect(),
        errors,
        flags,
    })
}

fn difference(path: &[u8], what: What) -> Difference {
    Difference {
        path: OsStr::from_bytes(path).into(),
        what,
    }
}

struct BothEntries<'o> {
    a: WalkedTree,
    b: WalkedTree,
    options: &'o ChecksumOptions,
    changes: BTreeMap<Vec<u8>, What>,
    /// Regular files of one path and one size.
    contents: Vec<(u32, u32)>,
    unread: Vec<UnreadEntry>,
    /// Where they differ, and by which letters.
    flags: Vec<(PathBuf, String)>,
}

/// An entry in one tree, the other, or both.
type Sides = (Option<u32>, Option<u32>);

impl BothEntries<'_> {
    fn entries(&mut self) -> Result<()> {
        let mut todo = vec![(Some(0), Some(0))];
        while let Some((a, b)) = todo.pop() {
            go_on("cannot compare all attributes")?;
            for sides in self.children(a, b) {
                self.entry(sides);
                let is_dir = |tree: &WalkedTree, side: Option<u32>| {
                    side.filter(|&index| tree.node(index).is_dir())
                };
                let below = (is_dir(&self.a, sides.0), is_dir(&self.b, sides.1));
                if below != (None, None) {
                    todo.push(below);
                }
            }
        }
        Ok(())
    }

    /// The children of a directory in both trees, side by side.
    fn children(&self, a: Option<u32>, b: Option<u32>) -> Vec<Sides> {
        let sorted = |tree: &WalkedTree, side: Option<u32>| {
            let children = side
                .map(|index| tree.sorted_children(index))
                .unwrap_or_default();
            children
                .into_iter()
                .filter(|&i| !self.is_ignored(tree.node(i)))
                .collect::<Vec<_>>()
        };
        let (a, b) = (sorted(&self.a, a), sorted(&self.b, b));
        let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
        std::iter::from_fn(|| {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return None,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(&a), Some(&b)) => self.a.name(a).cmp(self.b.name(b)),
            };
            Some((a.next_if(|_| order.is_le()), b.next_if(|_| order.is_ge())))
        })
        .collect()
    }

    fn is_ignored(&self, node: &WalkedEntry) -> bool {
        self.options.ignore_stubs && node.is_dir() && node.stat.ino == STAND_IN
    }

    fn entry(&mut self, sides: Sides) {
        let (path, what) = match sides {
            (Some(a), Some(b)) => {
                let path = self.a.relative(a);
                let changes = self.changed(&path, a, b);
                (path, What::Changed(changes))
            }
            (Some(a), None) => (self.a.relative(a), What::Removed),
            (None, Some(b)) => (self.b.relative(b), What::Added),
            (None, None) => return,
        };
        let lone_mount = match sides {
            (Some(a), None) => self.a.node(a).is_mount(),
            (None, Some(b)) => self.b.node(b).is_mount(),
            _ => false,
        };
        let hidden = match what {
            What::Added => self.a.unread.iter().any(|unread| unread.hides(&path)),
            What::Removed => self.b.unread.iter().any(|unread| unread.hides(&path)),
            What::Changed(ref changes) => changes.is_empty(),
        };
        if !hidden && !lone_mount {
            self.changes.insert(path, what);
        }
    }

    fn changed(&mut self, path: &[u8], a: u32, b: u32) -> Vec<Change> {
        let (left, right) = (self.a.node(a), self.b.node(b));
        if left.is_mount() || right.is_mount() {
            return Vec::new();
        }
        let mut changes = attributes(left, right);
        if changes.first().is_some_and(|c| c.aspect == Aspect::Kind) {
            return changes;
        }
        if left.is_file() && left.stat.size == right.stat.size {
            self.contents.push((a, b));
        }
        let has_flags = left.is_file() || left.is_dir();
        if left.is_symlink() {
            let (was, now) = (list::target(&self.a, path), list::target(&self.b, path));
            if let Some((was, now)) = self.both("the target of ", path, was, now) {
                let text = |target: Vec<u8>| shown(OsStr::from_bytes(&target));
                changes.extend(Change::between(Aspect::Target, text(was), text(now)));
            }
        }
        if has_flags {
            self.flags(path, a, b);
        }
        if self.options.xattrs {
            let (was, now) = (list::xattrs(&self.a, path), list::xattrs(&self.b, path));
            if let Some((was, now)) = self.both("the attributes of ", path, was, now) {
                changes.extend(xattr_changes(&was, &now));
            }
        }
        changes
    }

    /// Both results, or neither and a note of the errors.
    fn both<T>(
        &mut self,
        what: &str,
        path: &[u8],
        a: io::Result<T>,
        b: io::Result<T>,
    ) -> Option<(T, T)> {
        let a = a.map_err(|e| self.unread.push(self.a.unread(what, path, e)));
        let b = b.map_err(|e| self.unread.push(self.b.unread(what, path, e)));
        Some((a.ok()?, b.ok()?))
    }

    /// Looks at the flags of two files or directories.
    fn flags(&mut self, path: &[u8], a: u32, b: u32) {
        if !self.options.flags {
            return;
        }
        let of = |tree: &WalkedTree, index| {
            let file = tree.open(index, path, read::FLAGS)?;
            flags::of(file.as_fd())
        };
        let (was, now) = (of(&self.a, a), of(&self.b, b));
        if let Some((was, now)) = self.both("the flags of ", path, was, now) {
            let letters = flags::differing(was, now);
            let found = Some((OsStr::from_bytes(path).into(), letters));
            self.flags
                .extend(found.filter(|(_, letters)| !letters.is_empty()));
        }
    }

    /// Leaves as many files as a sample has, evenly spread.
    fn pick(&mut self, files: usize) {
        let all = self.contents.len();
        let mut number = 0;
        self.contents.retain(|_| {
            number += 1;
            number * files / all.max(1) > (number - 1) * files / all.max(1)
        });
    }

    fn contents(&mut self, progress: &WorkCounters) -> Result<()> {
        if let Some(files) = self.options.sample.filter(|&n| n < self.contents.len()) {
            self.pick(files);
        }
        let jobs = self.contents.iter().zip(0..);
        let queue = Queue::new(
            jobs.map(|(&(a, _), number)| job(&self.a, a, number)),
            progress,
        );
        let found = Mutex::new((Vec::new(), Vec::new()));
        let this = &*self;
        queue.share(this.options.threads, |next| {
            let mut buffers = [vec![0; BUFFER], vec![0; BUFFER]];
            while let Some(number) = next() {
                let pair = this.contents[number as usize];
                let path = this.a.relative(pair.0);
                let same = this.same_content(pair, &path, &mut buffers, progress);
                progress.files.fetch_add(1, Relaxed);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                match same {
                    Ok(true) => {}
                    Ok(false) => found.0.push(path),
                    Err(unread) => found.1.push(unread),
                }
            }
        });
        go_on("cannot compare all files")?;
        let (different, unread) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.unread.extend(unread);
        for path in different {
            let what = self
                .changes
                .entry(path)
                .or_insert(What::Changed(Vec::new()));
            if let What::Changed(changes) = what {
                changes.insert(0, Change::new(Aspect::Content, "", ""));
            }
        }
        Ok(())
    }

    fn same_content(
        &self,
        (left, right): (u32, u32),
        path: &[u8],
        [a, b]: &mut [Vec<u8>; 2],
        progress: &WorkCounters,
    ) -> std::result::Result<bool, UnreadEntry> {
        let in_a = |error| self.a.unread("", path, error);
        let in_b = |error| self.b.unread("", path, error);
        let mut left = Quiet::open(&self.a, left).map_err(in_a)?;
        let mut right = Quiet::open(&self.b, right).map_err(in_b)?;
        loop {
            let data = left.data().map_err(in_a)?.min(right.data().map_err(in_b)?);
            progress.bytes.fetch_add(data - left.position(), Relaxed);
            left.skip_to(data);
            right.skip_to(data);
            let a_length = left.fill(a).map_err(in_a)?;
            let b_length = right.fill(b).map_err(in_b)?;
            if a[..a_length] != b[..b_length] {
                return Ok(false);
            }
            if a_length == 0 {
                return Ok(true);
            }
            progress.bytes.fetch_add(a_length as u64, Relaxed);
        }
    }
}

/// What a `stat` shows of the difference between two entries.
fn attributes(a: &WalkedEntry, b: &WalkedEntry) -> Vec<Change> {
    let (a_mode, b_mode) = (line::mode(a.stat.mode), line::mode(b.stat.mode));
    if a_mode[..1] != b_mode[..1] {
        return vec![Change::new(Aspect::Kind, a_mode, b_mode)];
    }
    let mut changes = vec![
        Change::between(Aspect::Mode, a_mode, b_mode),
        Change::between(
            Aspect::Owner,
            format!("{}:{}", a.stat.uid, a.stat.gid),
            format!("{}:{}", b.stat.uid, b.stat.gid),
        ),
        Change::between(
            Aspect::Time,
            line::time(a.stat.mtime, a.stat.nsec),
            line::time(b.stat.mtime, b.stat.nsec),
        ),
    ];
    if a.is_file() && a.stat.size != b.stat.size {
        let (was, now) = (a.stat.size.to_string(), b.stat.size.to_string());
        changes.insert(0, Some(Change::new(Aspect::Content, "", "")));
        changes.insert(1, Change::between(Aspect::Size, was, now));
    }
    if !a.is_dir() {
        let (was, now) = (a.stat.nlink.to_string(), b.stat.nlink.to_string());
        changes.push(Change::between(Aspect::Names, was, now));
        let device = |node: &WalkedEntry| {
            let device = node.stat.rdev;
            format!("{}:{}", device >> 32, device as u32)
        };
        changes.push(Change::between(Aspect::Device, device(a), device(b)));
    }
    changes.into_iter().flatten().collect()
}

/// Attributes by name and value, as the kernel has them.
type Xattrs = [(Vec<u8>, Vec<u8>)];

fn xattr_changes(was: &Xattrs, now: &Xattrs) -> Vec<Change> {
    let name = |name: &[u8]| shown(OsStr::from_bytes(name));
    let gone = was.iter().filter(|x| !now.contains(x));
    let new = now.iter().filter(|x| !was.contains(x));
    let mut names: Vec<_> = gone.chain(new).map(|(n, _)| name(n)).collect();
    names.sort();
    names.dedup();
    let has = |set: &Xattrs, wanted: &str| set.iter().any(|(n, _)| name(n) == wanted);
    let change = |wanted: String| {
        let (was, now) = (has(was, &wanted), has(now, &wanted));
        let text = |there| {
            if there {
                wanted.clone()
            } else {
                "none".to_owned()
            }
        };
        Change::new(Aspect::Xattr, text(was), text(now))
    };
    names.into_iter().map(change).collect()
}
