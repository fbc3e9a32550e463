//! Lists that were written once against the tree as it is now, line by line. Writes nothing.

use super::difference::{Aspect, Change, Difference, What};
use super::hash::{Hashes, hash_files};
use super::list::{HashedTree, List};
use super::walk::{UnreadEntry, walk};
use super::{ChecksumOptions, TreeComparison, WorkCounters};
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::sys::secure_open::Unopened;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Compares lists (with their kinds) to the tree at `dir`.
///
/// # Errors
/// If a list cannot be read or is not what its suffix says, if `dir` cannot be opened, or if a
/// signal asks to stop. What could not be read below `dir` is in [`TreeComparison::errors`], and no
/// difference is claimed there.
pub fn check(
    lists: &[(List, PathBuf)],
    dir: &Path,
    options: &ChecksumOptions,
    progress: &WorkCounters,
) -> Result<TreeComparison> {
    let mut records = Vec::new();
    let mut lists: Vec<_> = lists.iter().collect();
    lists.sort(); // .ls first: it knows of every entry
    for (list, path) in lists {
        records.push(WrittenList::read(*list, path)?);
    }
    let tree = walk(dir, progress)?;
    let hashes = if records.iter().any(|record| record.list == List::Files) {
        hash_files(&tree, options.threads, progress)?
    } else {
        Hashes::default()
    };
    let source = HashedTree {
        tree: &tree,
        hashes: &hashes,
    };
    let mut changes = BTreeMap::new();
    let mut errors = Vec::new();
    for record in &mut records {
        let unread = source.lines(record.list, &mut |line| {
            record.now(line, &mut changes);
            Ok(())
        })?;
        let hidden = || tree.unread.iter().chain(&hashes.unread).chain(&unread);
        let hides = |path: &[u8]| hidden().any(|unread| unread.hides(path));
        record.removed(hides, &mut changes);
        errors.extend(unread.into_iter().map(|unread| unread.error));
    }
    let told = |unread: Vec<UnreadEntry>| unread.into_iter().map(|unread| unread.error);
    errors.extend(told(hashes.unread));
    errors.extend(told(tree.unread));
    Ok(TreeComparison {
        differences: changes.into_iter().map(difference).collect(),
        errors,
        flags: Vec::new(),
    })
}

/// Differences by path.
type Changes = BTreeMap<Vec<u8>, What>;

fn difference((path, what): (Vec<u8>, What)) -> Difference {
    Difference {
        path: OsStr::from_bytes(&path).into(),
        what,
    }
}

/// Bytes that a line has at most: what is no list is not read to its end.
const LONGEST: u64 = 1 << 20;

/// A list that was written before.
struct WrittenList {
    list: List,
    text: Vec<u8>,
    /// Its lines, sorted by what they are about.
    lines: Vec<Range<usize>>,
    /// Which of them the tree still has.
    seen: Vec<bool>,
}

impl WrittenList {
    fn read(list: List, path: &Path) -> Result<WrittenList> {
        let doing = || format!("cannot read {}", shown(path));
        let file = Unopened::anywhere(path).and_then(|found| found.open_file());
        let mut file = BufReader::new(file.doing(doing)?);
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        loop {
            let start = text.len();
            let mut line = file.by_ref().take(LONGEST);
            if line.read_until(b'\n', &mut text).doing(doing)? == 0 {
                break;
            }
            let whole = text[start..].strip_suffix(b"\n");
            if whole.and_then(|line| list.split(line)).is_none() {
                let doing = format!("cannot use {}", shown(path));
                let (number, suffix) = (lines.len() + 1, list.suffix());
                let said = format!("line {number} is not one of a .{suffix} file");
                return Err(Error::damaged(doing, said));
            }
            lines.push(start..text.len() - 1);
        }
        let key = |line: &Range<usize>| list.split(&text[line.clone()]).unwrap_or_default().0;
        lines.sort_by(|a, b| key(a).cmp(key(b)));
        let seen = vec![false; lines.len()];
        Ok(WrittenList {
            list,
            text,
            lines,
            seen,
        })
    }

    fn split(&self, at: usize) -> (&[u8], &[u8]) {
        let line = &self.text[self.lines[at].clone()];
        self.list.split(line).unwrap_or_default() // all were split when they were read
    }

    /// Takes a line of the tree as it is now.
    fn now(&mut self, line: &[u8], changes: &mut Changes) {
        let (key, now) = self.list.split(line).unwrap_or((line, b""));
        let start = self.lines.partition_point(|old| {
            self.list
                .split(&self.text[old.clone()])
                .unwrap_or_default()
                .0
                < key
        });
        let same_key = (start..self.lines.len()).take_while(|&at| self.split(at).0 == key);
        let mut free = same_key.filter(|&at| !self.seen[at]);
        let Some(first) = free.next() else {
            return add(self.list, key, What::Added, changes);
        };
        let equal = (self.split(first).1 == now).then_some(first);
        let at = equal
            .or_else(|| free.find(|&at| self.split(at).1 == now))
            .unwrap_or(first);
        let changed = changed(self.list, self.split(at).1, now);
        if !changed.is_empty() {
            add(self.list, key, What::Changed(changed), changes);
        }
        self.seen[at] = true;
    }

    /// What of the list was not seen any more.
    fn removed(&self, hidden: impl Fn(&[u8]) -> bool, changes: &mut Changes) {
        for at in (0..self.lines.len()).filter(|&at| !self.seen[at]) {
            let key = self.split(at).0;
            if !hidden(&self.list.path_of(key).0) {
                add(self.list, key, What::Removed, changes);
            }
        }
    }
}

/// What a line says differently now.
fn changed(list: List, was: &[u8], now: &[u8]) -> Vec<Change> {
    let aspect = match list {
        List::Ls => return changed_ls(was, now),
        List::Files => Aspect::Content,
        List::Links => Aspect::Target,
        List::Xattrs => Aspect::Xattr,
    };
    let text = |bytes: &[u8]| match list {
        List::Links => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let differ = !was.eq_ignore_ascii_case(now) || (list == List::Links && was != now);
    differ
        .then(|| Change::new(aspect, text(was), text(now)))
        .into_iter()
        .collect()
}

/// The six fields before the path: mode, names, user, group, date and time.
fn changed_ls(was: &[u8], now: &[u8]) -> Vec<Change> {
    let fields = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let mut fields = text.split_ascii_whitespace().map(str::to_owned);
        std::array::from_fn::<String, 6, _>(|_| fields.next().unwrap_or_default())
    };
    let [mode, names, user, group, date, time] = fields(was);
    let [new_mode, new_names, new_user, new_group, new_date, new_time] = fields(now);
    if mode.get(..1) != new_mode.get(..1) {
        return vec![Change::new(Aspect::Kind, mode, new_mode)];
    }
    let is_dir = mode.starts_with('d');
    let owner = Change::between(
        Aspect::Owner,
        format!("{user}:{group}"),
        format!("{new_user}:{new_group}"),
    );
    let moved = Change::between(
        Aspect::Time,
        format!("{date} {time}"),
        format!("{new_date} {new_time}"),
    );
    let names = Change::between(Aspect::Names, names, new_names).filter(|_| !is_dir);
    let mode = Change::between(Aspect::Mode, mode, new_mode);
    [mode, owner, moved, names].into_iter().flatten().collect()
}

/// Adds what one list says about a path to what others say.
fn add(list: List, key: &[u8], what: What, changes: &mut Changes) {
    let (path, attribute) = list.path_of(key);
    let what = match attribute {
        None => what,
        Some(name) => {
            let name = shown(OsStr::from_bytes(&name));
            let none = || "none".to_owned();
            What::Changed(vec![match what {
                What::Added => Change::new(Aspect::Xattr, none(), name),
                What::Removed => Change::new(Aspect::Xattr, name, none()),
                What::Changed(_) => Change::new(Aspect::Xattr, name.clone(), name),
            }])
        }
    };
    merge(changes.entry(path), what);
}

fn merge(entry: std::collections::btree_map::Entry<'_, Vec<u8>, What>, what: What) {
    let there = entry.or_insert_with(|| What::Changed(Vec::new()));
    match (there, what) {
        (What::Changed(old), What::Changed(new)) => {
            old.extend(new);
            old.sort_by_key(|change| change.aspect);
        }
        // A file that became a directory is removed for one list and changed for another.
        (What::Changed(old), What::Added | What::Removed) if !old.is_empty() => {}
        (there @ What::Changed(_), what) => *there = what,
        (What::Added | What::Removed, _) => {}
    }
}
