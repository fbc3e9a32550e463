//! What is remembered of a filesystem: the seals of what was received, and the names of what is being
//! received. Knows files and lines; where they lie is `home`'s business. Judges nothing.

use super::state_dir::{self, Home};
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Origin, Origins, Uuid, path_text, shown};
use crate::sys::{self, secure_open};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SEALS: &str = "seals";
const MARKS: &str = "marks";
/// What earlier releases had in each destination beside their seals.
const OLD_LOCK: &str = "lock";
const OLD_MARK: &str = "unfinished";

/// What was recorded of a received snapshot when it was whole and durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Seal {
    #[serde(rename = "received")]
    pub(super) received_uuid: Uuid,
    pub(super) stransid: u64,
    pub(super) ctransid: u64,
}

/// A line of the seals, as this release writes it. What is not known of a subvolume is left out, and
/// of several lines the last that has a member counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    version: u32,
    uuid: Uuid,
    #[serde(flatten)]
    fact: Fact,
}

/// What a line says of its subvolume.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Fact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seal: Option<Seal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    /// Whether it is still to be compared with its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uncompared: Option<bool>,
    /// Whether another takes its place and its name, and it is to be removed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<bool>,
}

/// The form of [`Line`]; lines of version 1 had four fields and no version.
const VERSION: u32 = 2;

/// As many bytes as a state file may have: the seals of half a million snapshots.
const LONGEST: u64 = 64 << 20;

/// The generation in the seal of a copy that was found to be unlike its source. None has it, so
/// that it is taken for altered, also by those who do not know what this means.
const REJECTED: u64 = 0;

impl Seal {
    /// Whether it says that the copy is unlike its source.
    pub(super) fn rejects(&self) -> bool {
        self.ctransid == REJECTED
    }
}

/// Seals by the UUID of the received subvolume.
pub(super) type Seals = HashMap<Uuid, Seal>;

/// What a filesystem remembers.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) seals: Seals,
    /// What subvolumes are of, by their own UUIDs.
    pub(super) origins: Origins,
    /// Whether subvolumes are still to be compared with their sources.
    uncompared: HashMap<Uuid, bool>,
    /// Subvolumes whose place others take.
    replaced: HashSet<Uuid>,
    /// By the key of a directory, what is being received there, relative to it.
    marks: HashMap<String, Vec<PathBuf>>,
}

impl Recorded {
    /// Whether a subvolume is still to be compared with its source.
    pub(super) fn is_uncompared(&self, uuid: Uuid) -> bool {
        self.uncompared.get(&uuid) == Some(&true)
    }

    /// Whether another takes the place of a subvolume.
    pub(super) fn is_replaced(&self, uuid: Uuid) -> bool {
        self.replaced.contains(&uuid)
    }

    /// What is being received in a directory, relative to it.
    pub(super) fn unfinished(&self, dir: &Path) -> Vec<PathBuf> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let key = state_dir::key(dir).unwrap_or_default();
        self.marks.get(&key).cloned().unwrap_or_default()
    }

    /// Adds what an earlier release left in a directory, if nobody but root can have written it.
    pub(super) fn add_old(&mut self, dir: &Path) -> Result<()> {
        let new = Home::of(dir, false).ok().flatten();
        let old = Home::old(dir, new.as_ref()).or(new);
        let Some(old) = old.filter(Home::is_readable) else {
            return Ok(());
        };
        let (seals, origins) = (self.seals.clone(), self.origins.clone());
        self.read_seals(&old)?;
        self.seals.extend(seals);
        self.origins.extend(origins);
        if let Some(path) = old_mark(&old)? {
            self.marks
                .entry(state_dir::key(dir)?)
                .or_default()
                .push(path);
        }
        Ok(())
    }

    /// Lines that are not seals (the last one may be torn by a crash) are passed over; later lines win.
    fn read_seals(&mut self, home: &Home) -> Result<()> {
        let text = content(home, SEALS)?.unwrap_or_default();
        for line in text.split_inclusive('\n').filter_map(parse) {
            let (uuid, fact) = (line.uuid, line.fact);
            self.seals.extend(fact.seal.map(|seal| (uuid, seal)));
            self.origins
                .extend(fact.origin.map(|origin| (uuid, origin)));
            self.uncompared
                .extend(fact.uncompared.map(|uncompared| (uuid, uncompared)));
            let replaced = fact.replaced == Some(true);
            self.replaced.extend(replaced.then_some(uuid));
        }
        Ok(())
    }

    fn read_marks(&mut self, home: &Home) -> Result<()> {
        let entries = match std::fs::read_dir(home.path(MARKS)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.doing(|| format!("cannot read {}", home.shown(MARKS)))?,
        };
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let file = format!("{MARKS}/{}", name.to_string_lossy());
            let Some((key, _)) = file[MARKS.len() + 1..].split_once('-') else {
                continue;
            };
            // One that was not written to its end marks nothing: no transfer began.
            if file.ends_with(".new") {
                continue;
            }
            let path = content(home, &file)?.and_then(|text| path_text::decode(&text));
            let path = path.filter(|path| !path.as_os_str().is_empty());
            self.marks.entry(key.to_owned()).or_default().extend(path);
        }
        Ok(())
    }
}

/// What the filesystem of a directory remembers; `None` if we may not read it.
pub(super) fn read(dir: &Path) -> Result<Option<Recorded>> {
    let mut recorded = Recorded::default();
    let Some(home) = Home::of(dir, false)? else {
        return Ok(Some(recorded));
    };
    if !home.is_readable() {
        return Ok(None);
    }
    recorded.read_seals(&home)?;
    recorded.read_marks(&home)?;
    Ok(Some(recorded))
}

/// What the subvolumes of the filesystem of a directory are of, by their own UUIDs, as far as that was
/// recorded.
///
/// # Errors
/// If it cannot be read, other than for lack of permission.
pub fn origins(dir: &Path) -> Result<Origins> {
    Ok(read(dir)?.unwrap_or_default().origins)
}

/// The text of a state file; `None` if there is none.
fn content(home: &Home, name: &str) -> Result<Option<String>> {
    let read = || {
        let mut file = options().read(true).open(home.path(name))?;
        let bytes = secure_open::read_bounded(&mut file, LONGEST)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Err::<String, std::io::Error>(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text
            .map(Some)
            .doing(|| format!("cannot read {}", home.shown(name))),
    }
}

/// What an earlier release was receiving.
fn old_mark(home: &Home) -> Result<Option<PathBuf>> {
    let path = content(home, OLD_MARK)?.and_then(|text| path_text::decode(&text));
    Ok(path.filter(|path| !path.as_os_str().is_empty()))
}

pub(super) fn the_home(dir: &Path) -> Result<Home> {
    let none = || {
        Error::failed(
            format!("cannot open the state of {}", shown(dir)),
            "it is gone",
        )
    };
    Home::of(dir, true)?.ok_or_else(none)
}

fn parse(line: &str) -> Option<Line> {
    let line = line.strip_suffix('\n')?;
    if line.starts_with('{') {
        let line: Line = serde_json::from_str(line).ok()?;
        return (line.version == VERSION).then_some(line);
    }
    let mut fields = line.split(' ');
    let uuid = fields.next()?.parse().ok()?;
    let received_uuid = fields.next()?.parse().ok()?;
    let (stransid, ctransid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let seal = Seal {
        received_uuid,
        stransid,
        ctransid,
    };
    fields.next().is_none().then_some(Line {
        version: 1,
        uuid,
        fact: Fact {
            seal: Some(seal),
            ..Fact::default()
        },
    })
}

/// Records durably what is known of a subvolume.
pub(super) fn add(dir: &Path, uuid: Uuid, fact: Fact) -> Result<()> {
    let home = the_home(dir)?;
    let line = Line {
        version: VERSION,
        uuid,
        fact,
    };
    let text = serde_json::to_string(&line).map_err(|error| {
        Error::failed(
            format!("cannot write {}", home.shown(SEALS)),
            error.to_string(),
        )
    })?;
    append(&home, &format!("{text}\n"))
}

fn append(home: &Home, lines: &str) -> Result<()> {
    let add = || {
        let mut options = options();
        options.read(true).append(true).create(true);
        let mut file = options.open(home.path(SEALS))?;
        // Two runs into two directories have the same seals.
        file.lock()?;
        let torn = ends_torn(&mut file)?;
        file.write_all(
            if torn {
                format!("\n{lines}")
            } else {
                lines.to_owned()
            }
            .as_bytes(),
        )?;
        file.sync_all()
    };
    add().doing(|| format!("cannot write {}", home.shown(SEALS)))
}

/// Records durably that a received snapshot is not what was sent.
pub(super) fn reject(dir: &Path, uuid: Uuid, received_uuid: Uuid, stransid: u64) -> Result<()> {
    let seal = Seal {
        received_uuid,
        stransid,
        ctransid: REJECTED,
    };
    let fact = Fact {
        seal: Some(seal),
        ..Fact::default()
    };
    add(dir, uuid, fact)
}

/// Records durably that a subvolume is still to be compared with its source.
pub(super) fn uncompared(dir: &Path, uuid: Uuid) -> Result<()> {
    let fact = Fact {
        uncompared: Some(true),
        ..Fact::default()
    };
    add(dir, uuid, fact)
}

/// Records durably that another takes the name of a subvolume, which is at `left` then, relative to `dir`,
/// and to be removed.
pub(super) fn replace_by(dir: &Path, uuid: Uuid, left: &Path) -> Result<()> {
    let fact = Fact {
        replaced: Some(true),
        ..Fact::default()
    };
    add(dir, uuid, fact)?;
    begin(dir, left)
}

/// Whether a crash tore the last line.
fn ends_torn(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Forgets the seal of a subvolume that is gone, so that the file does not grow for ever.
pub(super) fn remove(dir: &Path, uuid: Uuid) -> Result<()> {
    let Some(home) = Home::of(dir, false)? else {
        return Ok(());
    };
    let held = match options().read(true).write(true).open(home.path(SEALS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.doing(|| format!("cannot open {}", home.shown(SEALS)))?,
    };
    held.lock()
        .doing(|| format!("cannot lock {}", home.shown(SEALS)))?;
    let text = content(&home, SEALS)?.unwrap_or_default();
    // A line of a later release is not ours to drop.
    let other = |line: &&str| parse(line).is_none_or(|line| line.uuid != uuid);
    let kept: String = text.split_inclusive('\n').filter(other).collect();
    match kept.len() == text.len() {
        true => Ok(()),
        false => replace(&home, SEALS, &kept),
    }
}

/// Records durably that the snapshot at `path` (relative to `dir`) is being received.
pub(super) fn begin(dir: &Path, path: &Path) -> Result<()> {
    let home = the_home(dir)?;
    match DirBuilder::new().mode(0o700).create(home.path(MARKS)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).doing(|| format!("cannot make {}", home.shown(MARKS)));
        }
        _ => {}
    }
    replace(&home, &mark(dir, path)?, &path_text::encode(path))
}

/// The file that names what is being received at `path`, relative to `dir`.
fn mark(dir: &Path, path: &Path) -> Result<String> {
    let name = state_dir::digest(path.as_os_str().as_bytes());
    Ok(format!("{MARKS}/{}-{name}", state_dir::key(dir)?))
}

/// Forgets it again: it has its name, or is gone. What others call so later is theirs.
pub(super) fn ended(dir: &Path, path: &Path) -> Result<()> {
    match Home::of(dir, false)? {
        Some(home) => unlink(&home, &mark(dir, path)?),
        None => Ok(()),
    }
}

fn unlink(home: &Home, name: &str) -> Result<()> {
    match std::fs::remove_file(home.path(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("cannot remove {}", home.shown(name)))
        }
        _ => Ok(()),
    }
}

/// What was being received in a directory when the last run ended.
pub(super) fn begun(dir: &Path) -> Result<Vec<PathBuf>> {
    let recorded = read(dir)?.unwrap_or_default();
    Ok(recorded.unfinished(dir))
}

/// Takes over what earlier releases remembered of a directory, once; a word if that cannot be.
///
/// # Errors
/// [`Kind::Busy`] if one of them is at work.
pub(super) fn take_over(dir: &Path) -> Result<()> {
    let new = the_home(dir)?;
    let old = Home::old(dir, Some(&new));
    let from = old.as_ref().unwrap_or(&new);
    let lock = options().write(true).open(from.path(OLD_LOCK));
    if let Ok(lock) = &lock
        && !sys::lock(lock).doing(|| format!("cannot lock {}", from.shown(OLD_LOCK)))?
    {
        let said = "an earlier release of buttersink is at work there; nothing was done";
        return Err(Error::new(
            Kind::Busy,
            format!("cannot lock {}", shown(dir)),
            said,
        ));
    }
    if let Some(path) = old_mark(from)? {
        begin(dir, &path)?;
    }
    if let Some(old) = &old {
        let text = content(old, SEALS)?.unwrap_or_default();
        let known = content(&new, SEALS)?.unwrap_or_default();
        let seals = text
            .split_inclusive('\n')
            .filter(|line| parse(line).is_some());
        let missing: String = seals.filter(|line| !known.contains(*line)).collect();
        if !missing.is_empty() {
            append(&new, &missing)?;
        }
        unlink(old, SEALS)?;
    }
    unlink(from, OLD_MARK)?;
    unlink(from, OLD_LOCK)?;
    if let Some(Err(error)) = old.map(Home::remove) {
        log::line(|| error.to_string());
    }
    Ok(())
}

/// Gives a state file new content, durably, and all of it or nothing.
fn replace(home: &Home, name: &str, text: &str) -> Result<()> {
    let (path, new) = (home.path(name), home.path(&format!("{name}.new")));
    let replace = || {
        let mut file = options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    replace().doing(|| format!("cannot write {}", home.shown(name)))
}

/// No links are followed, and nothing waits for the other end of a pipe that lies where a file should.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

#[cfg(any(test, feature = "fuzz"))]
/// A line of seals says the same when it is written and read again.
pub(crate) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.split_inclusive('\n').filter_map(parse) {
        let again = serde_json::to_string(&Line {
            version: VERSION,
            ..line.clone()
        });
        let again = again.ok().and_then(|text| parse(&format!("{text}\n")));
        assert!(again.is_some_and(|again| again.fact == line.fact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let good =
            "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 1e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 7 10\n";
        assert!(parse(good).is_some());
        assert!(
            parse(good.trim_end()).is_none(),
            "torn after the last digit, or inside the number"
        );
        assert!(parse(&good.replace(" 10", "")).is_none());
        assert!(parse(&good.replace(" 10", " 10 x")).is_none());
        assert!(parse("\n").is_none());
    }

    #[test]
    fn lines_of_this_release() {
        let line = Line {
            version: VERSION,
            uuid: Uuid([1; 16]),
            fact: Fact {
                origin: Some(Origin::default()),
                uncompared: Some(true),
                ..Fact::default()
            },
        };
        let text = serde_json::to_string(&line).unwrap() + "\n";
        assert_eq!(parse(&text), Some(line));
        assert_eq!(parse(text.trim_end()), None);
        assert_eq!(parse(&text.replace("\"version\":2", "\"version\":3")), None);
    }
}
