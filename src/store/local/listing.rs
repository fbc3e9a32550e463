//! What the subvolumes of a filesystem are worth: which are snapshots, which were altered, which
//! are leftovers. Reads seals; changes nothing.

pub(super) mod inspect;

use super::records::marks::Mark;
use super::records::quarantine::Left;
use super::records::seals::Seal;
use super::records::{self, Recorded, Seals, state_dir};
use crate::btrfs::{self, Filesystem, Subvolume, UnreadSubvolume};
use crate::error::{Error, Result};
use crate::machine;
use crate::snapshot::{CameBy, Graph, Origin, Origins, Snapshot, State, Unlisted, Uuid, shown};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// How the names of unfinished snapshots end.
pub(super) const PART: &str = ".part";

/// What [`states`] found out.
#[derive(Debug, Default)]
pub struct States {
    /// By the subvolume's number. Ordinary read-write subvolumes have none.
    pub of: HashMap<u64, State>,
    /// Received ones that are still what their seals say.
    pub sealed: HashSet<Uuid>,
    /// What subvolumes are of, by their own UUIDs, as far as that was recorded.
    pub origins: Origins,
    /// Received ones whose seals say that they are not what was sent.
    pub rejected: HashSet<Uuid>,
    /// What could not be read.
    pub notes: Vec<String>,
    /// Why the seals could not be, if so: nobody knows then what was altered, or is still to be sealed.
    pub unread: Option<Error>,
}

/// The state of every subvolume below `dir`.
pub fn states(dir: &Path, subvolumes: &[Subvolume]) -> States {
    let mut states = States::default();
    let (mut recorded, unfinished) = recorded(dir, subvolumes, &mut states);
    let seals = std::mem::take(&mut recorded.seals);
    states.origins = std::mem::take(&mut recorded.origins);
    let mut copies: HashMap<Uuid, usize> = HashMap::new();
    for uuid in subvolumes.iter().filter_map(|s| s.received_uuid) {
        *copies.entry(uuid).or_default() += 1;
    }
    let lineages = lineages(subvolumes, &seals);
    let unaltered = |s: &Subvolume| lineages.get(&lineage(s)).is_none_or(|l| l.has(s.ctransid));
    let here = subvolumes
        .iter()
        .filter(|s| s.below.as_ref().is_some_and(|p| !p.as_os_str().is_empty()));
    states.of = here
        .clone()
        .filter_map(|s| {
            let mark = s.below.as_ref().and_then(|path| unfinished.get(path));
            if mark.is_some() && s.read_only && recorded.is_replaced(s.uuid) {
                return Some((s.id, State::Partial));
            }
            let known = !s.read_only || states.unread.is_none();
            let marked = known && mark.is_some_and(|mark| mark.can_mean(s.otransid));
            let seal = seals.get(&s.uuid);
            let state = state(s, marked, seal, &copies, unaltered(s))?;
            let uncompared = recorded.is_uncompared(s.uuid);
            Some((s.id, if uncompared { pending(state) } else { state }))
        })
        .collect();
    let rejected = |s: &&Subvolume| seals.get(&s.uuid).is_some_and(Seal::rejects);
    states.rejected = here.clone().filter(rejected).map(|s| s.uuid).collect();
    let sealed = here.filter(|s| s.read_only && seals.get(&s.uuid) == Seal::of(s).as_ref());
    states.sealed = sealed
        .filter(|s| s.received_uuid.is_some())
        .map(|s| s.uuid)
        .collect();
    states
}

/// What was received once, and the read-only snapshots of it. These keep its UUID, even if it was
/// made read-write and changed before.
#[derive(Default)]
struct Lineage {
    /// The generation that was sealed.
    sealed: Option<u64>,
    read_write: bool,
    /// The lowest generation of the read-only ones.
    least: Option<u64>,
}

impl Lineage {
    /// Whether one of this generation is as it was received, as far as anybody can know.
    fn has(&self, ctransid: u64) -> bool {
        match self.sealed {
            Some(sealed) => ctransid == sealed,
            None => !self.read_write && self.least == Some(ctransid),
        }
    }
}

/// What all snapshots of one that was received share with it.
fn lineage(subvolume: &Subvolume) -> (Option<Uuid>, u64) {
    (subvolume.received_uuid, subvolume.rtransid)
}

fn lineages(subvolumes: &[Subvolume], seals: &Seals) -> HashMap<(Option<Uuid>, u64), Lineage> {
    let mut all: HashMap<_, Lineage> = HashMap::new();
    for subvolume in subvolumes.iter().filter(|s| s.received_uuid.is_some()) {
        let found = all.entry(lineage(subvolume)).or_default();
        let seal = seals.get(&subvolume.uuid);
        found.sealed = found.sealed.or(seal.map(|seal| seal.ctransid));
        match subvolume.read_only {
            true => found.least = found.least.into_iter().chain([subvolume.ctransid]).min(),
            false => found.read_write = true,
        }
    }
    all
}

/// The numbers of the subvolumes that interrupted transfers left, of all there are: whoever opens the
/// directory to write removes them.
pub fn leftovers(dir: &Path, subvolumes: &[Subvolume]) -> Vec<u64> {
    let states = states(dir, subvolumes);
    let partial = |s: &&Subvolume| states.of.get(&s.id) == Some(&State::Partial);
    let found = subvolumes.iter().filter(partial);
    found.map(|s| s.id).collect()
}

/// A subvolume is unfinished only if a record says so: others may be called like that, and be
/// somebody's only copy.
fn state(
    subvolume: &Subvolume,
    unfinished: bool,
    seal: Option<&Seal>,
    copies: &HashMap<Uuid, usize>,
    unaltered: bool,
) -> Option<State> {
    match (subvolume.read_only, subvolume.received_uuid) {
        (false, _) if unfinished => Some(State::Partial),
        (false, None) => None,
        (false, Some(_)) => Some(State::RwReceived),
        (true, None) if subvolume.ctransid > subvolume.otransid => {
            let found_to_be_the_same = seal == Some(&Seal::of_made(subvolume));
            Some(if found_to_be_the_same {
                State::Ok
            } else {
                State::Altered
            })
        }
        (true, None) => Some(State::Ok),
        // Received whole, and not yet renamed: nobody knows whether it is durable.
        (true, Some(_)) if unfinished && seal.is_none() => Some(State::Partial),
        (true, Some(received_uuid)) => Some(match seal {
            seal if seal.is_some() && seal != Seal::of(subvolume).as_ref() => State::Altered,
            None if !unaltered => State::Altered,
            Some(_) => State::Ok,
            None if copies.get(&received_uuid).is_some_and(|&n| n > 1) => State::Duplicate,
            None => State::Unsealed,
        }),
    }
}

/// The state of what is still to be compared: what is known to be wrong stays so.
fn pending(state: State) -> State {
    match state {
        State::Ok | State::Unsealed | State::Duplicate => State::Uncompared,
        worse => worse,
    }
}

/// What is recorded of the filesystem, and what earlier releases recorded in every destination
/// directory that these subvolumes may have been received into, each between a subvolume and the root
/// of the mount: seals, and what is unfinished below `dir`.
fn recorded(
    dir: &Path,
    subvolumes: &[Subvolume],
    states: &mut States,
) -> (Recorded, HashMap<PathBuf, Mark>) {
    let Some(mut recorded) = records::read(dir) else {
        let what = "only root may read the seals of";
        let name = shown(dir);
        states.notes.push(format!(
            "{what} {name}: altered snapshots are not recognised"
        ));
        let doing = format!("cannot read the seals of {name}");
        states.unread = Some(Error::refused(doing, "only root may"));
        return Default::default();
    };
    let above = state_dir::ancestors(dir).into_iter().map(Path::to_owned);
    let mut dirs: BTreeSet<PathBuf> = above.collect();
    dirs.extend(directories(dir, subvolumes));
    for place in &dirs {
        recorded.add_old(place);
    }
    states.notes.extend(recorded.notes());
    states.unread = recorded.unread().cloned();
    recorded.seals.extend(recorded.due(subvolumes));
    let mut unfinished = HashMap::new();
    for place in &dirs {
        let marks = recorded.unfinished(place).into_iter();
        let below = marks.filter_map(|mark| {
            let path = place.join(&mark.path);
            Some((path.strip_prefix(dir).ok()?.to_owned(), mark))
        });
        unfinished.extend(below);
    }
    (recorded, unfinished)
}

/// The directories below `dir` that these subvolumes lie in, but for those inside of a snapshot: what
/// is there was written by whoever made it.
fn directories(dir: &Path, subvolumes: &[Subvolume]) -> BTreeSet<PathBuf> {
    let closed = subvolumes.iter().filter(|s| s.read_only);
    let closed: HashSet<&Path> = closed.filter_map(|s| s.below.as_deref()).collect();
    let inside = subvolumes
        .iter()
        .filter_map(|s| s.below.as_deref()?.parent());
    let inside = inside.flat_map(Path::ancestors);
    let open = inside.filter(|at| !at.ancestors().any(|above| closed.contains(above)));
    open.map(|below| dir.join(below)).collect()
}

/// A subvolume by its absolute path.
pub(super) fn adopted(path: &Path) -> Result<Snapshot> {
    let subvolume = btrfs::subvolume(path)?;
    let state = state_at(path, subvolume.id)?.unwrap_or(State::Altered);
    Ok(snapshot(&subvolume, path, state))
}

/// The state of the subvolume with this number, by its absolute path; `None` if it has none.
///
/// # Errors
/// If the filesystem cannot be read.
pub fn state_at(path: &Path, id: u64) -> Result<Option<State>> {
    let Some(dir) = path.parent() else {
        return Ok(None);
    };
    let all = Filesystem::open(dir)?.subvolumes()?.all;
    Ok(states(dir, &all).of.get(&id).copied())
}

/// Those of which nothing could be read, as far as they may be here.
pub(super) fn unlisted(unread: Vec<UnreadSubvolume>) -> Vec<Unlisted> {
    let here = |of: UnreadSubvolume| {
        let (path, why) = (of.below?, of.why);
        Some(Unlisted { path, why })
    };
    unread.into_iter().filter_map(here).collect()
}

/// The snapshots and leftovers among subvolumes, by path, and a word on what is left out.
pub(super) fn snapshots(
    subvolumes: &[Subvolume],
    states: &HashMap<u64, State>,
) -> (Vec<Snapshot>, Vec<String>) {
    let mut inside: HashMap<u64, Vec<&Subvolume>> = HashMap::new();
    for subvolume in subvolumes {
        inside
            .entry(subvolume.parent_id)
            .or_default()
            .push(subvolume);
    }
    // A snapshot descends past read-write subvolumes that were themselves made from another one, such as
    // what is in use after a restore, from the next that is in no doubt.
    let restored = subvolumes.iter().filter(|s| !s.read_only);
    let ancestry: Graph = restored.map(|s| (s.uuid, s.parent_uuid)).collect();
    let (mut snapshots, mut left_out) = (Vec::new(), Vec::new());
    for subvolume in subvolumes {
        let Some(path) = subvolume
            .below
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty() && !state_dir::is_inside(path))
        else {
            continue;
        };
        let Some(&state) = states.get(&subvolume.id) else {
            left_out.push(shown(path));
            continue;
        };
        let nested = inside.get(&subvolume.id).into_iter().flatten();
        let nested = nested
            .filter_map(|s| s.path.strip_prefix(&subvolume.path).ok().map(shown))
            .collect();
        snapshots.push(Snapshot {
            nested,
            parent_uuid: subvolume.parent_uuid.map(|parent| ancestry.root(parent)),
            ..snapshot(subvolume, path, state)
        });
    }
    snapshots.sort_by(|a, b| a.path.cmp(&b.path));
    (snapshots, note(&left_out))
}

/// What is being received where nobody sees it, under its unfinished name.
pub(super) fn quarantined(left: &Left, subvolumes: &[Subvolume]) -> Snapshot {
    // Sizes are known only to who read all of them.
    let listed = subvolumes.iter().find(|s| s.uuid == left.subvolume.uuid);
    snapshot(
        listed.unwrap_or(&left.subvolume),
        &left.path,
        State::Partial,
    )
}

/// What is being received so for another directory, under the path where it is.
pub(super) fn quarantined_at(left: &Left) -> Snapshot {
    snapshot(&left.subvolume, &left.at, State::Partial)
}

/// Fills in what snapshots are of: what was recorded, and what is certain of those made here.
pub(super) fn attribute(
    snapshots: &mut [Snapshot],
    subvolumes: &[Subvolume],
    recorded: &Origins,
    filesystem: Uuid,
) {
    // One made here is of what it comes down to past read-only ones: something that can be written to, or
    // is gone. What was received comes from elsewhere.
    let read_only = || subvolumes.iter().filter(|s| s.read_only);
    let elsewhere = read_only().filter(|s| s.received_uuid.is_some());
    let elsewhere: HashSet<Uuid> = elsewhere.map(|s| s.uuid).collect();
    let parent = |s: &Subvolume| s.parent_uuid.filter(|_| s.received_uuid.is_none());
    let ancestry: Graph = read_only().map(|s| (s.uuid, parent(s))).collect();
    // The kernel is asked for it once, and not for each of thousands.
    let host = machine::name();
    for snapshot in snapshots.iter_mut().filter(|s| s.read_only) {
        let made_here = || {
            Some(Origin {
                machine: machine::id().to_owned(),
                host: host.clone(),
                filesystem,
                subvolume: Some(ancestry.root(snapshot.uuid))
                    .filter(|root| !elsewhere.contains(root))?,
                made: snapshot.created,
                by: CameBy::OwnWay,
            })
        };
        snapshot.origin = recorded.get(&snapshot.uuid).cloned().or_else(made_here);
    }
}

fn note(left_out: &[String]) -> Vec<String> {
    match left_out {
        [] => Vec::new(),
        [name] => vec![format!("{name} is read-write, not a snapshot")],
        [first, .., last] => {
            vec![format!(
                "{} subvolumes are read-write, not snapshots ({first} … {last})",
                left_out.len()
            )]
        }
    }
}

/// A subvolume as a listing has it.
pub(super) fn snapshot(subvolume: &Subvolume, path: &Path, state: State) -> Snapshot {
    Snapshot {
        path: path.to_owned(),
        uuid: subvolume.uuid,
        received_uuid: subvolume.received_uuid,
        ctransid: subvolume.ctransid,
        otransid: subvolume.otransid,
        stransid: subvolume.stransid,
        created: subvolume.created,
        read_only: subvolume.read_only,
        state,
        referenced: subvolume.referenced,
        exclusive: subvolume.exclusive,
        tree_bytes: subvolume.tree_bytes,
        ..Snapshot::default()
    }
}
