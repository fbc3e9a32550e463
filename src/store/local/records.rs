//! What is remembered of a filesystem: the seals of what was received, and the marks of what is being
//! received, as this release and earlier ones write them. Judges nothing.

pub(super) mod marks;
pub(super) mod quarantine;
pub(super) mod seals;
pub(super) mod state_dir;

use crate::btrfs::Subvolume;
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Origins, Uuid, shown};
use crate::sys;
use crate::text::numbered;
use marks::Mark;
use seals::{Pending, SEALS, Seal, SealLine, parse};
use state_dir::{StateDir, options};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What earlier releases had in each destination beside their seals.
const OLD_LOCK: &str = "lock";
const OLD_MARK: &str = "unfinished";

/// Seals by the UUID of the received subvolume.
pub(super) type Seals = HashMap<Uuid, Seal>;

/// What a filesystem remembers.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) seals: Seals,
    /// What was written before subvolumes got their names, where no seal followed.
    pending: HashMap<Uuid, Pending>,
    /// What subvolumes are of, by their own UUIDs.
    pub(super) origins: Origins,
    /// Bytes of the streams by which subvolumes came.
    bytes: HashMap<Uuid, u64>,
    /// Whether subvolumes are still to be compared with their sources.
    uncompared: HashMap<Uuid, bool>,
    /// Subvolumes whose place others take.
    replaced: HashSet<Uuid>,
    /// By the key of a directory, what is being received there, relative to it.
    marks: HashMap<String, Vec<Mark>>,
    /// Why the seals could not be read, if so.
    unread: Option<Error>,
    /// What else could not be, or is not understood, in words.
    notes: Vec<String>,
}

impl Recorded {
    /// Whether no crash kept a seal from being written, as far as records tell.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Why the seals could not be read, if so.
    pub(super) fn unread(&self) -> Option<&Error> {
        self.unread.as_ref()
    }

    /// All of it, for whoever acts on what is recorded: what could not be read is not nothing.
    fn whole(self) -> Result<Recorded> {
        self.unread.clone().map_or(Ok(self), Err)
    }

    /// What nobody should take for all there is, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let unread = |error: &Error| format!("{error}: altered snapshots are not recognised");
        let unread = self.unread.iter().map(unread);
        unread.chain(self.notes.iter().cloned()).collect()
    }

    /// The seals that a crash kept from being written, of the subvolumes that have their names since.
    pub(super) fn due(&self, subvolumes: &[Subvolume]) -> Vec<(Uuid, Seal)> {
        let due = |subvolume: &Subvolume| {
            let pending = self.pending.get(&subvolume.uuid)?;
            Some((subvolume.uuid, pending.becomes(subvolume)?))
        };
        subvolumes.iter().filter_map(due).collect()
    }

    /// Whether a subvolume is still to be compared with its source.
    pub(super) fn is_uncompared(&self, uuid: Uuid) -> bool {
        self.uncompared.get(&uuid) == Some(&true)
    }

    /// Whether another takes the place of a subvolume.
    pub(super) fn is_replaced(&self, uuid: Uuid) -> bool {
        self.replaced.contains(&uuid)
    }

    /// What is being received in a directory, relative to it.
    pub(super) fn unfinished(&self, dir: &Path) -> Vec<Mark> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let key = state_dir::key(dir).unwrap_or_default();
        self.marks.get(&key).cloned().unwrap_or_default()
    }

    /// Adds what an earlier release left in a directory, if nobody but root can have written it.
    pub(super) fn add_old(&mut self, dir: &Path) {
        if let Err(error) = self.try_to_add_old(dir) {
            self.note(error.to_string());
        }
    }

    fn try_to_add_old(&mut self, dir: &Path) -> Result<()> {
        let new = StateDir::of(dir, false).ok().flatten();
        let old = StateDir::old(dir, new.as_ref()).or(new);
        let Some(old) = old.filter(StateDir::is_readable) else {
            return Ok(());
        };
        let (seals, origins) = (self.seals.clone(), self.origins.clone());
        self.read_seals(&old)?;
        self.seals.extend(seals);
        self.origins.extend(origins);
        if let Some(mark) = marks::read(&old, OLD_MARK)? {
            self.marks
                .entry(state_dir::key(dir)?)
                .or_default()
                .push(mark);
        }
        Ok(())
    }

    /// Lines that are not seals (the last one may be torn by a crash) are passed over; later lines win.
    fn read_seals(&mut self, state: &StateDir) -> Result<()> {
        let text = state.read(SEALS)?.unwrap_or_default();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let strange = lines.iter().filter(|line| seals::is_strange(line)).count();
        if strange > 0 {
            let (lines, place) = (numbered(strange, "line", "lines"), state.shown(SEALS));
            self.note(format!(
                "{place}: {lines} that nobody understands, passed over"
            ));
        }
        for line in lines.into_iter().filter_map(parse) {
            self.learn(line);
        }
        Ok(())
    }

    fn learn(&mut self, line: SealLine) {
        let (uuid, fact) = (line.uuid, line.fact);
        self.pending
            .extend(fact.pending.map(|pending| (uuid, pending)));
        if let Some(seal) = fact.seal {
            self.seals.insert(uuid, seal);
            self.pending.remove(&uuid);
        }
        self.origins
            .extend(fact.origin.map(|origin| (uuid, origin)));
        self.uncompared
            .extend(fact.uncompared.map(|uncompared| (uuid, uncompared)));
        self.bytes.extend(fact.bytes.map(|bytes| (uuid, bytes)));
        let replaced = fact.replaced == Some(true);
        self.replaced.extend(replaced.then_some(uuid));
    }

    fn read_marks(&mut self, state: &StateDir) {
        let (marks, unread) = marks::all(state);
        for (key, mark) in marks {
            self.marks.entry(key).or_default().push(mark);
        }
        self.notes.extend(unread);
    }

    /// Says something once.
    fn note(&mut self, words: String) {
        let known = self
            .unread
            .as_ref()
            .is_some_and(|error| error.to_string() == words);
        if !known && !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }
}

/// What the filesystem of a directory remembers, as far as it can be read; `None` if we may not read it.
pub(super) fn read(dir: &Path) -> Option<Recorded> {
    let mut recorded = Recorded::default();
    match StateDir::of(dir, false) {
        Ok(None) => {}
        Ok(Some(state)) if !state.is_readable() => return None,
        Ok(Some(state)) => {
            recorded.unread = recorded.read_seals(&state).err();
            recorded.read_marks(&state);
        }
        Err(error) => recorded.unread = Some(error),
    }
    Some(recorded)
}

/// What the subvolumes of the filesystem of a directory are of, by their own UUIDs, as far as that was
/// recorded and can be read: what is of nobody known is kept.
pub fn origins(dir: &Path) -> Origins {
    read(dir).unwrap_or_default().origins
}

/// Bytes of the streams by which subvolumes of the filesystem of a directory came, as far as that was
/// recorded.
///
/// # Errors
/// If it cannot be read, also for lack of permission: what nobody can read is not nothing.
pub(super) fn stream_bytes(dir: &Path, of: &[Uuid]) -> Result<u64> {
    let doing = || format!("cannot tell how much came to {}", shown(dir));
    let unread = || Error::refused(doing(), "only root may read what is remembered of it");
    let bytes = read(dir).ok_or_else(unread)?.whole()?.bytes;
    Ok(of.iter().filter_map(|uuid| bytes.get(uuid)).sum())
}

/// What was being received in a directory when the last run ended.
pub(super) fn begun(dir: &Path) -> Vec<PathBuf> {
    let recorded = read(dir).unwrap_or_default();
    let marks = recorded.unfinished(dir).into_iter();
    marks.map(|mark| mark.path).collect()
}

/// Takes over what earlier releases remembered of a directory, once; a word if that cannot be.
///
/// # Errors
/// [`Kind::Busy`] if one of them is at work.
pub(super) fn take_over(dir: &Path) -> Result<()> {
    let new = StateDir::made(dir)?;
    let old = StateDir::old(dir, Some(&new));
    let from = old.as_ref().unwrap_or(&new);
    let lock = options().write(true).open(from.path(OLD_LOCK));
    if let Ok(lock) = &lock
        && !sys::lock(lock).doing(|| format!("cannot lock {}", from.shown(OLD_LOCK)))?
    {
        let said = "an earlier release of buttersink is at work there; nothing was done";
        let doing = format!("cannot lock {}", shown(dir));
        return Err(Error::new(Kind::Busy, doing, said));
    }
    if let Some(mark) = marks::read(from, OLD_MARK)? {
        marks::begin(dir, &mark.path, mark.since)?;
    }
    if let Some(old) = &old {
        move_seals(old, &new)?;
    }
    from.unlink(OLD_MARK)?;
    from.unlink(OLD_LOCK)?;
    if let Some(Err(error)) = old.map(StateDir::remove) {
        log::line(|| error.to_string());
    }
    Ok(())
}

fn move_seals(old: &StateDir, new: &StateDir) -> Result<()> {
    let text = old.read(SEALS)?.unwrap_or_default();
    let known = new.read(SEALS)?.unwrap_or_default();
    let unknown = |line: &&str| parse(line).is_some() && !known.contains(*line);
    let missing: String = text.split_inclusive('\n').filter(unknown).collect();
    if !missing.is_empty() {
        seals::append(new, &missing)?;
    }
    old.unlink(SEALS)
}
