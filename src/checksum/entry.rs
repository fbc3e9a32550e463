//! What is at a path, as a value that can cross a wire, and what differs between two of them.
//! Files are digests here; nothing is opened.

use super::difference::{Aspect, Change, Difference, What};
use super::line;
use crate::snapshot::path_text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What somebody saw at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeenEntry {
    /// Relative to the tree; the top's own is empty.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// What is there.
    pub found: Found,
}

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Nothing, or the empty directory that stands for a nested subvolume: these do not travel.
    Nothing,
    /// It could not be read: why.
    Unread(String),
    /// A file of any type.
    Entry(Box<Entry>),
}

/// Everything that a copy of a file must have in common with it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Type and permissions, as `st_mode`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, in seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Length in bytes; 0 of what is no regular file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Number of names; 0 of a directory.
    pub names: u32,
    /// The device that it stands for, major number in the upper half.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device: u64,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "no_path", with = "path_text")]
    pub target: PathBuf,
    /// The digest of each extended attribute's value, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// Of a regular file the digest of its bytes, of a directory that of the names in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sum: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Entry {
    fn is(&self, kind: u32) -> bool {
        u32::from(self.mode) & libc::S_IFMT == kind
    }

    fn changes(&self, now: &Entry) -> Vec<Change> {
        let (was_mode, now_mode) = (line::mode(self.mode), line::mode(now.mode));
        if was_mode[..1] != now_mode[..1] {
            return vec![Change::new(Aspect::Kind, was_mode, now_mode)];
        }
        let both =
            |aspect, of: &dyn Fn(&Entry) -> String| Change::between(aspect, of(self), of(now));
        let what = match self.is(libc::S_IFDIR) {
            true => Aspect::Entries,
            false => Aspect::Content,
        };
        let device = |entry: &Entry| format!("{}:{}", entry.device >> 32, entry.device as u32);
        let changes = [
            (self.sum != now.sum).then(|| Change::new(what, "", "")),
            both(Aspect::Size, &|entry| entry.size.to_string()),
            both(Aspect::Device, &device),
            both(Aspect::Target, &|entry| {
                crate::snapshot::shown(&entry.target)
            }),
            Change::between(Aspect::Mode, was_mode, now_mode),
            both(Aspect::Owner, &|entry| {
                format!("{}:{}", entry.uid, entry.gid)
            }),
            both(Aspect::Time, &|entry| {
                line::time(entry.mtime.0, entry.mtime.1)
            }),
            both(Aspect::Names, &|entry| entry.names.to_string()),
        ];
        let mut changes: Vec<_> = changes.into_iter().flatten().collect();
        changes.extend(self.xattr_changes(now));
        changes
    }

    fn xattr_changes(&self, now: &Entry) -> Vec<Change> {
        let names = self.xattrs.keys().chain(now.xattrs.keys());
        let mut names: Vec<&String> = names
            .filter(|name| self.xattrs.get(*name) != now.xattrs.get(*name))
            .collect();
        names.sort();
        names.dedup();
        let text = |entry: &Entry, name: &String| match entry.xattrs.contains_key(name) {
            true => name.clone(),
            false => "none".to_owned(),
        };
        let change = |name| Change::new(Aspect::Xattr, text(self, name), text(now, name));
        names.into_iter().map(change).collect()
    }
}

impl SeenEntry {
    /// How a copy differs from this, both seen at one path; `None` if it does not, or if one of the
    /// two could not be read.
    pub fn difference(&self, copy: &Found) -> Option<Difference> {
        let what = match (&self.found, copy) {
            (Found::Unread(_), _) | (_, Found::Unread(_)) | (Found::Nothing, Found::Nothing) => {
                return None;
            }
            (Found::Nothing, Found::Entry(_)) => What::Added,
            (Found::Entry(_), Found::Nothing) => What::Removed,
            (Found::Entry(was), Found::Entry(now)) => match was.changes(now) {
                changes if changes.is_empty() => return None,
                changes => What::Changed(changes),
            },
        };
        Some(Difference {
            path: self.path.clone(),
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Entry {
        Entry {
            mode: 0o100_644,
            names: 1,
            size: 3,
            sum: "x".to_owned(),
            ..Entry::default()
        }
    }

    fn difference(was: Found, now: &Found) -> String {
        let seen = SeenEntry {
            path: "a".into(),
            found: was,
        };
        seen.difference(now)
            .map_or(String::new(), |d| d.to_string())
    }

    #[test]
    fn everything_counts() {
        let entry = |change: fn(&mut Entry)| {
            let mut entry = file();
            change(&mut entry);
            Found::Entry(Box::new(entry))
        };
        let plain = || entry(|_| ());
        assert_eq!(difference(plain(), &plain()), "");
        let xattr = |e: &mut Entry| drop(e.xattrs.insert("user.a".to_owned(), "1".to_owned()));
        for (changed, words) in [
            (entry(|e| e.sum = "y".to_owned()), "content"),
            (entry(|e| e.size = 4), "size 3 -> 4"),
            (entry(|e| e.mode |= 0o4000), "mode -rw-r--r-- -> -rwSr--r--"),
            (entry(|e| e.gid = 7), "owner 0:0 -> 0:7"),
            (entry(|e| e.mtime.1 = 1), "time"),
            (entry(|e| e.names = 2), "names 1 -> 2"),
            (entry(|e| e.device = 1 << 32 | 5), "device 0:0 -> 1:5"),
            (entry(|e| e.target = "t".into()), "target"),
            (entry(xattr), "xattr none -> user.a"),
            (entry(|e| e.mode = 0o040_644), "kind"),
        ] {
            let text = difference(plain(), &changed);
            assert!(text.starts_with(&format!("changed  a: {words}")), "{text}");
        }
        assert_eq!(difference(Found::Nothing, &plain()), "added    a");
        assert_eq!(difference(plain(), &Found::Nothing), "removed  a");
        assert_eq!(difference(Found::Nothing, &Found::Nothing), "");
    }

    #[test]
    fn what_was_seen_survives_json() {
        let mut entry = file();
        entry.target = "a%\n".into();
        let found = [
            Found::Nothing,
            Found::Unread("x".to_owned()),
            Found::Entry(Box::new(entry)),
        ];
        for found in found {
            let path = PathBuf::new();
            let seen = SeenEntry { path, found };
            let text = serde_json::to_string(&seen).unwrap();
            assert_eq!(
                serde_json::from_str::<SeenEntry>(&text).unwrap(),
                seen,
                "{text}"
            );
        }
    }
}
