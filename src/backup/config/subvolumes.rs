//! `[subvolumes]` and `[[subvolume]]`: what is backed up, by what name, and in what way. Finds what a
//! pattern means by looking at directories; opens nothing else.

use super::policy;
use super::reader::ConfigReader;
use crate::backup::retention::Policy;
use crate::backup::schedule::{Cycle, Every};
use crate::btrfs;
use crate::error::{Cause, Doing, Error, Result};
use crate::glob;
use crate::snapshot::shown;
use jiff::SignedDuration;
use jiff::civil::Time;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A subvolume that is backed up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubvolumeConfig {
    /// What its backups are called.
    pub name: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// Where its snapshots are; on its own filesystem if nothing is said.
    pub snapshots: Option<PathBuf>,
    /// How often there is a snapshot; `None` for when a backup needs one.
    pub cycle: Option<Cycle>,
    /// Which snapshots stay on this machine.
    pub keeps: Policy,
    /// How old the newest may be before that is late.
    pub max_age: Option<SignedDuration>,
    /// There is a snapshot only if something changed.
    pub on_change: bool,
    /// There is one in each run.
    pub always: bool,
    /// It is left alone unless it is named.
    pub noauto: bool,
    /// Where its snapshots go, by names and groups of destinations; everywhere if nothing is said.
    pub destinations: Option<Vec<String>>,
    /// Patterns of names that stay wherever they are.
    pub pinned: Vec<OsString>,
}

/// What the sections above say for all of them.
pub(super) struct Usual {
    pub(super) cycle: Option<Cycle>,
    pub(super) run_at: Time,
    pub(super) base_dir: PathBuf,
    /// The file says where snapshots are.
    pub(super) says_where: bool,
    pub(super) keeps: Policy,
    pub(super) pinned: Vec<OsString>,
    pub(super) max_age: Option<SignedDuration>,
}

/// All of them, and the patterns that mean nothing that is there.
pub(super) type MatchedSubvolumes = (Vec<SubvolumeConfig>, Unmatched);

/// What cannot be backed up, and why.
type Unmatched = Vec<(PathBuf, String)>;

impl SubvolumeConfig {
    /// The directory of its snapshots: `.snapshots` at the root of its mount, if the file names none.
    pub fn folder(&self) -> PathBuf {
        let own = || {
            let mount = btrfs::mount_point(&self.path).ok().flatten();
            let mount = mount.unwrap_or_else(|| self.path.clone());
            mount.join(".snapshots")
        };
        self.snapshots.clone().unwrap_or_else(own)
    }
}

/// Reads both kinds of sections. A path in both is an error; what is named by itself is not meant by a
/// pattern.
pub(super) fn read(file: &mut ConfigReader, usual: &Usual) -> Result<MatchedSubvolumes> {
    let mut all = listed(file, usual)?;
    let tables = file.many("subvolume", |file| table(file, usual))?;
    let is_pattern = |table: &&SubvolumeTable| is_pattern(&table.subvolume.path);
    let (patterns, single): (Vec<&SubvolumeTable>, Vec<&SubvolumeTable>) =
        tables.iter().partition(is_pattern);
    all.extend(single.iter().map(|table| table.subvolume.clone()));
    for (at, one) in all.iter().enumerate() {
        if all[..at].iter().any(|other| other.path == one.path) {
            let said = format!("names {}, which is there already", shown(&one.path));
            return Err(file.wrong("subvolume.path", &said));
        }
    }
    must_differ(file, &all)?;
    let (mut found, mut unmatched) = (Vec::new(), Vec::new());
    for table in patterns {
        for path in meant(table, &mut unmatched) {
            if all.iter().chain(&found).all(|other| other.path != path) {
                let name = name(file, "subvolume.path", &path)?;
                found.push(SubvolumeConfig {
                    name,
                    path,
                    ..table.subvolume.clone()
                });
            }
        }
    }
    add_meant(&mut all, found, &mut unmatched);
    Ok((all, unmatched))
}

/// Those of `[subvolumes]`.
fn listed(file: &mut ConfigReader, usual: &Usual) -> Result<Vec<SubvolumeConfig>> {
    const KEY: &str = "subvolumes.paths";
    if !file.has("subvolumes") && !file.has("subvolume") {
        let said = "is missing, and so is every [[subvolume]]: nothing says what is backed up";
        return Err(file.wrong(KEY, said));
    }
    let mut all = Vec::new();
    if file.has("subvolumes") {
        for path in file.paths(KEY)? {
            all.push(SubvolumeConfig {
                name: name(file, KEY, &path)?,
                snapshots: Some(usual.base_dir.clone()),
                cycle: usual.cycle,
                keeps: usual.keeps.clone(),
                pinned: usual.pinned.clone(),
                max_age: usual.max_age,
                ..of(path)
            });
        }
    }
    Ok(all)
}

/// What the pattern of a table means. If that is nothing, it is among what cannot be backed up.
fn meant(table: &SubvolumeTable, unmatched: &mut Unmatched) -> Vec<PathBuf> {
    let pattern = &table.subvolume.path;
    let before = unmatched.len();
    let found = matching(pattern, &table.exclude, unmatched);
    if found.is_empty() && unmatched.len() == before {
        let why = "no subvolume that is there is meant by it";
        unmatched.push((pattern.clone(), why.to_owned()));
    }
    found
}

/// Adds what patterns mean, but for what has the name of another: whoever can make a subvolume there gives it
/// what name he likes, and by that keeps no other from its backup.
fn add_meant(
    all: &mut Vec<SubvolumeConfig>,
    meant: Vec<SubvolumeConfig>,
    unmatched: &mut Unmatched,
) {
    let mut paths: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for one in all.iter().chain(&meant) {
        let same = paths.entry(one.name.clone()).or_default();
        same.push(one.path.clone());
    }
    let other = |one: &SubvolumeConfig| {
        let mut same = paths.get(&one.name).into_iter().flatten();
        same.find(|other| **other != one.path)
    };
    for one in meant {
        match other(&one) {
            None => all.push(one),
            Some(other) => {
                let (name, other) = (shown(&one.name), shown(other));
                let said = format!(
                    "its backups would be called {name}, as those of {other}: give one a subvolume.name"
                );
                unmatched.push((one.path, said));
            }
        }
    }
}

/// One `[[subvolume]]`.
struct SubvolumeTable {
    subvolume: SubvolumeConfig,
    exclude: Vec<OsString>,
}

fn table(file: &mut ConfigReader, usual: &Usual) -> Result<SubvolumeTable> {
    const KEY: &str = "subvolume.path";
    let path = file.required(KEY)?;
    let path = file.absolute(KEY, path.into())?;
    let own = file.optional("subvolume.name")?;
    let name = match own {
        _ if is_pattern(&path) => String::new(),
        Some(name) if name.contains('/') => {
            return Err(file.wrong("subvolume.name", "must have no slash"));
        }
        Some(name) => name,
        None => name(file, KEY, &path)?,
    };
    let snapshots = match file.has_key("subvolume.snapshots") {
        true => Some(file.path("subvolume.snapshots", PathBuf::new())?),
        false => usual.says_where.then(|| usual.base_dir.clone()),
    };
    let mut pinned = file.texts("subvolume.pinned")?;
    pinned.extend(usual.pinned.iter().cloned());
    let destinations = file.has_key("subvolume.destinations");
    let named = file.words("subvolume.destinations")?;
    Ok(SubvolumeTable {
        exclude: file.texts("subvolume.exclude")?,
        subvolume: SubvolumeConfig {
            name,
            snapshots,
            cycle: cycle(file, ("subvolume.every", "subvolume.at"), usual.run_at)?.or(usual.cycle),
            keeps: policy::SUBVOLUME.read(file, &usual.keeps)?,
            max_age: policy::age(file, "subvolume.max_age")?.or(usual.max_age),
            on_change: file.flag("subvolume.on_change", false)?,
            always: file.flag("subvolume.always", false)?,
            noauto: file.flag("subvolume.noauto", false)?,
            destinations: destinations.then_some(named),
            pinned,
            ..of(path)
        },
    })
}

/// How often something is done, if the file says so.
pub(super) fn cycle(
    file: &mut ConfigReader,
    (key, at): (&'static str, &'static str),
    usual: Time,
) -> Result<Option<Cycle>> {
    let time = file.optional_time(at)?;
    let Some(every) = every(file, key)? else {
        return match time {
            Some(_) => Err(file.wrong(at, &format!("comes with {key}"))),
            None => Ok(None),
        };
    };
    Ok(Some(Cycle {
        every,
        at: time.unwrap_or(usual),
    }))
}

/// From one to the next, if the file says so.
pub(super) fn every(file: &mut ConfigReader, key: &'static str) -> Result<Option<Every>> {
    let text = file.optional(key)?;
    let every = text.map(|text| Every::parse(&text)).transpose();
    every.map_err(|error| file.wrong(key, &format!("is wrong: {error}")))
}

/// One of which nothing is said but where it is.
fn of(path: PathBuf) -> SubvolumeConfig {
    SubvolumeConfig {
        name: String::new(),
        path,
        snapshots: None,
        cycle: None,
        keeps: Policy::default(),
        max_age: None,
        on_change: false,
        always: false,
        noauto: false,
        destinations: None,
        pinned: Vec::new(),
    }
}

/// Backups are called after the last part of the path.
fn name(file: &ConfigReader, key: &str, path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| {
        let said = format!(
            "has {}, which has no name to call its backups by",
            shown(path)
        );
        file.wrong(key, &said)
    })
}

/// No two share a name, or their backups would be one's.
fn must_differ(file: &ConfigReader, all: &[SubvolumeConfig]) -> Result<()> {
    let mut seen: HashMap<&str, &Path> = HashMap::new();
    for one in all {
        if let Some(other) = seen.insert(&one.name, &one.path) {
            let (name, other, path) = (&one.name, shown(other), shown(&one.path));
            let said = format!("has {other} and {path}, whose backups would both be called {name}");
            let said = match file.has("subvolume") {
                true => said + ": give one a subvolume.name",
                false => said,
            };
            return Err(file.wrong("subvolumes.paths", &said));
        }
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b"*?[".contains(byte))
}

/// The writable subvolumes that a pattern means, in the order of their names. Hidden ones it has to name
/// as such. What cannot be looked at keeps none of the others from being meant.
fn matching(pattern: &Path, exclude: &[OsString], unread: &mut Unmatched) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.components() {
        let Component::Normal(part) = part else {
            continue;
        };
        let mut next = Vec::new();
        for dir in found {
            match is_pattern(Path::new(part)) {
                false => next.push(dir.join(part)),
                true => match inside(&dir, part.as_bytes()) {
                    Ok(found) => next.extend(found),
                    Err(error) => unread.push((dir, error.to_string())),
                },
            }
        }
        found = next;
    }
    let excluded = |path: &Path| {
        exclude
            .iter()
            .any(|pattern| is_excluded(pattern.as_bytes(), path))
    };
    found.retain(|path| {
        let mut no = |error: Error| {
            unread.push((path.clone(), error.to_string()));
            false
        };
        !excluded(path) && is_writable(path).unwrap_or_else(&mut no)
    });
    found.sort();
    found
}

/// Whether something is a subvolume that can be written to. What root itself may not enter is somebody's mount.
///
/// # Errors
/// If it is there and cannot be looked at, as on a failing disk.
fn is_writable(path: &Path) -> Result<bool> {
    let not_one = [libc::ENOENT, libc::ENOTDIR, libc::EACCES, libc::EPERM];
    let looked = path.metadata();
    let looked = looked.doing(|| format!("cannot look at {}", shown(path)));
    let found = looked.and_then(|found| match found.is_dir() {
        true => btrfs::subvolume(path).map(|s| !s.read_only),
        false => Ok(false),
    });
    match found {
        Err(error) => match error.cause {
            Some(Cause::Errno(errno)) if !not_one.contains(&errno) => Err(error),
            _ => Ok(false),
        },
        found => found,
    }
}

/// A pattern with a slash is of the whole path, and one without of its last part.
fn is_excluded(pattern: &[u8], path: &Path) -> bool {
    let whole = path.strip_prefix("/").unwrap_or(path);
    match pattern.contains(&b'/') {
        true => glob::matches(pattern.strip_prefix(b"/").unwrap_or(pattern), whole),
        false => path
            .file_name()
            .is_some_and(|name| glob::matches(pattern, Path::new(name))),
    }
}

/// The directories in one that a part of a pattern means.
fn inside(dir: &Path, pattern: &[u8]) -> Result<Vec<PathBuf>> {
    let doing = || format!("cannot look for subvolumes in {}", shown(dir));
    let entries = match dir.read_dir() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.doing(doing)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.doing(doing)?;
        let name = entry.file_name();
        let hidden = name.as_bytes().starts_with(b".") && !pattern.starts_with(b".");
        // A link is no place of its own.
        if !hidden
            && entry.file_type().doing(doing)?.is_dir()
            && glob::matches(pattern, Path::new(&name))
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}
