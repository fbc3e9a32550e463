//! An independent look at two trees: what a snapshot carries, read with the plain calls of the
//! system and nothing of the product's. Knows no stream and no store.

use super::hands::{Hands, text};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Extended attributes of an entry, ACLs and capabilities among them, as hexadecimal text.
type Attributes = BTreeMap<String, String>;

/// What there is to know of a name.
#[derive(PartialEq, Eq, Debug)]
struct Entry {
    /// The bits of the mode that say what it is.
    format: u32,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    /// Of files and links; what a directory's size says is how its names are kept.
    size: u64,
    content: [u8; 32],
    device: u64,
    target: PathBuf,
    links: u64,
    /// All names of the same inode, if there are several.
    names: Vec<PathBuf>,
    attributes: Attributes,
}

/// A tree as it was found.
pub(crate) struct Tree {
    top: PathBuf,
    entries: BTreeMap<PathBuf, Entry>,
    /// Places of other subvolumes, which do not travel.
    nested: BTreeSet<PathBuf>,
}

/// One thing that differs: its kind, where, and how.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) kind: String,
    pub(crate) path: PathBuf,
    pub(crate) how: String,
}

impl Tree {
    pub(crate) fn read(top: &Path, hands: &mut Hands) -> Tree {
        let mut tree = Tree {
            top: top.to_owned(),
            entries: BTreeMap::new(),
            nested: BTreeSet::new(),
        };
        let all = hands.call(&json!(["xattrs", text(top)])).expect("xattrs");
        let mut all: BTreeMap<PathBuf, Attributes> =
            serde_json::from_value(all).expect("attributes");
        let mut names: HashMap<u64, Vec<PathBuf>> = HashMap::new();
        tree.walk(Path::new(""), &mut names);
        for (path, entry) in &mut tree.entries {
            entry.attributes = all.remove(path).unwrap_or_default();
        }
        for group in names.into_values().filter(|names| names.len() > 1) {
            for name in &group {
                if let Some(entry) = tree.entries.get_mut(name) {
                    entry.names.clone_from(&group);
                    entry.names.sort();
                }
            }
        }
        tree
    }

    fn walk(&mut self, path: &Path, names: &mut HashMap<u64, Vec<PathBuf>>) {
        let whole = whole(&self.top, path);
        let metadata = whole.symlink_metadata().expect("metadata");
        if metadata.is_dir() {
            let inner = !path.as_os_str().is_empty();
            if inner && matches!(metadata.ino(), 2 | 256) {
                self.nested.insert(path.to_owned());
                return;
            }
            for entry in std::fs::read_dir(&whole).expect("a directory") {
                self.walk(&path.join(entry.expect("an entry").file_name()), names);
            }
        } else {
            let number = names.entry(metadata.ino()).or_default();
            number.push(path.to_owned());
        }
        self.entries
            .insert(path.to_owned(), entry(&whole, &metadata));
    }

    /// Everything in which a copy differs from this.
    pub(crate) fn differences(&self, copy: &Tree) -> Vec<Difference> {
        let all: BTreeSet<&PathBuf> = self.entries.keys().chain(copy.entries.keys()).collect();
        let mut found = Vec::new();
        for path in all {
            let mut say = |kind: &str, how: String| {
                let (kind, path) = (kind.to_owned(), path.clone());
                found.push(Difference { kind, path, how });
            };
            match (self.entries.get(path), copy.entries.get(path)) {
                (Some(ours), Some(theirs)) => self.unlike(path, ours, copy, theirs, &mut say),
                (Some(_), None) => say("missing", String::new()),
                (None, _) if self.nested.contains(path) => {}
                (None, _) if left_over(path) => say("left", String::new()),
                (None, _) => say("extra", String::new()),
            }
        }
        found
    }

    fn unlike(
        &self,
        path: &Path,
        ours: &Entry,
        copy: &Tree,
        theirs: &Entry,
        say: &mut impl FnMut(&str, String),
    ) {
        let top = path.as_os_str().is_empty();
        let time = if top { "time of the top" } else { "time" };
        let mut differ = |kind: &str, differs: bool, how: String| {
            if differs {
                say(kind, how);
            }
        };
        macro_rules! field {
            ($kind:expr, $field:ident) => {{
                let (a, b) = (&ours.$field, &theirs.$field);
                differ($kind, a != b, format!("{a:?} {b:?}"));
            }};
        }
        field!("type", format);
        let (a, b) = (ours.mode, theirs.mode);
        differ("mode", a != b, format!("{a:o} {b:o}"));
        field!("owner", owner);
        field!(time, modified);
        field!("size", size);
        field!("device", device);
        field!("target", target);
        field!("links", links);
        field!("names", names);
        if ours.format == theirs.format && ours.content != theirs.content {
            let how = ranges(&whole(&self.top, path), &whole(&copy.top, path));
            differ("bytes", true, how);
        }
        let names: BTreeSet<&String> = ours
            .attributes
            .keys()
            .chain(theirs.attributes.keys())
            .collect();
        for name in names {
            let (a, b) = (ours.attributes.get(name), theirs.attributes.get(name));
            let how = format!("{:?} {:?}", a.map(|a| brief(a)), b.map(|b| brief(b)));
            differ(&format!("xattr {name}"), a != b, how);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn whole(top: &Path, path: &Path) -> PathBuf {
    match path.as_os_str().is_empty() {
        true => top.to_owned(),
        false => top.join(path),
    }
}

fn entry(path: &Path, metadata: &Metadata) -> Entry {
    let content = match metadata.is_file() {
        true => Sha256::digest(std::fs::read(path).expect("a file")).into(),
        false => [0; 32],
    };
    let dir = metadata.is_dir();
    Entry {
        format: metadata.mode() & 0o170_000,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        size: if dir { 0 } else { metadata.size() },
        content,
        device: metadata.rdev(),
        target: std::fs::read_link(path).unwrap_or_default(),
        links: if dir { 0 } else { metadata.nlink() },
        names: Vec::new(),
        attributes: Attributes::new(),
    }
}

/// Whether it is a name that a stream gives for a while, like `o258-7-0`.
fn left_over(path: &Path) -> bool {
    let first = path.components().next();
    let name = first.and_then(|first| first.as_os_str().to_str());
    let numbers = name.and_then(|name| name.strip_prefix('o'));
    numbers.is_some_and(|numbers| {
        numbers.split('-').count() == 3
            && numbers
                .split('-')
                .all(|n| n.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn brief(value: &str) -> String {
    let start: String = value.chars().take(24).collect();
    format!("{start} ({} bytes)", value.len() / 2)
}

/// Where two files differ, and whether the second has zeros there.
fn ranges(a: &Path, b: &Path) -> String {
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let (a, b) = (read(a), read(b));
    let differs = |at: &usize| a.get(*at) != b.get(*at);
    let mut at = (0..a.len().max(b.len())).filter(differs);
    let Some(first) = at.next() else {
        return String::new();
    };
    let last = at.next_back().unwrap_or(first);
    let zeros = b
        .get(first..=last)
        .is_some_and(|b| b.iter().all(|&byte| byte == 0));
    let what = if zeros { "zeros" } else { "others" };
    format!("bytes {first} to {last} of {} are {what}", a.len())
}
