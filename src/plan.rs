//! Choosing diffs: from what is at the source and at the destination to a list of steps.
//! Pure arithmetic over listings; reads no file, no clock, no network.

mod arborescence;
mod candidates;

use crate::error::{Error, Result};
use crate::snapshot::{Diff, Listing, Offer, Size, Snapshot, State, Uuid, shown};
use arborescence::Edge;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What is asked of a plan.
#[derive(Default)]
pub struct Wish<'a> {
    /// Only this snapshot of the source (a path in its listing); `None` for all.
    pub only: Option<&'a Path>,
    /// Paths that the run leaves alone, on both sides.
    pub excluded: Option<&'a dyn Fn(&Path) -> bool>,
    /// Whether the destination loses what the source does not have.
    pub delete: bool,
    /// Sizes are guessed from the listings, and nothing is measured.
    pub estimate: bool,
    /// For destinations that keep diffs: how long a chain of diffs may get.
    pub max_chain: Option<usize>,
}

impl Wish<'_> {
    fn excludes(&self, path: &Path) -> bool {
        self.excluded.is_some_and(|excluded| excluded(path))
    }
}

/// What has been measured: sizes of diffs by (to, from).
pub type Sizes = HashMap<(Uuid, Option<Uuid>), Size>;

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The destination has it.
    Keep,
    /// A diff is sent and received.
    Transfer,
    /// The destination copies it itself.
    Copy,
    /// The destination removes it.
    Delete,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Relative to the destination.
    #[serde(serialize_with = "crate::snapshot::path_text::serialize")]
    pub path: PathBuf,
    /// The snapshot that will be there, or is, or was: its effective UUID.
    pub to: Uuid,
    /// The parent of the diff; `None` for a full stream, and where nothing is sent.
    pub from: Option<Uuid>,
    /// Bytes of the stream; 0 where nothing is sent.
    #[serde(flatten, serialize_with = "size_fields")]
    pub size: Size,
    /// Why this way, for a person.
    pub why: String,
}

impl Step {
    /// The diff that a transfer carries out.
    pub fn diff(&self) -> Diff {
        Diff {
            to: self.to,
            from: self.from,
            size: self.size,
        }
    }
}

fn size_fields<S: Serializer>(size: &Size, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("bytes", &size.bytes())?;
    map.serialize_entry("exact", &size.is_exact())?;
    map.end()
}

/// Something that a person should know before the plan is carried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Obstacle {
    /// Whose path it concerns; empty for the plan as a whole.
    #[serde(serialize_with = "crate::snapshot::path_text::serialize")]
    pub path: PathBuf,
    /// What is in the way, and the way out.
    pub what: String,
    /// Whether a wished snapshot will not arrive because of it.
    pub blocks: bool,
}

/// Steps in the order in which they can be carried out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Parents stand before what builds on them; deletions stand last.
    pub steps: Vec<Step>,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
}

impl Plan {
    /// Bytes of all streams, as far as they are known.
    pub fn total_bytes(&self) -> u64 {
        self.transfers().filter_map(|step| step.size.bytes()).sum()
    }

    /// The steps that send something.
    pub fn transfers(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|step| step.action == Action::Transfer)
    }

    /// Chosen diffs whose size nobody knows yet. Measure them and plan again.
    pub fn unmeasured(&self) -> Vec<Diff> {
        self.transfers()
            .filter(|step| step.size == Size::Unknown)
            .map(Step::diff)
            .collect()
    }

    /// Whether some wished snapshot will not arrive.
    pub fn is_blocked(&self) -> bool {
        self.obstacles.iter().any(|obstacle| obstacle.blocks)
    }
}

/// Chooses the cheapest way to bring every wished snapshot of `source` to `dest`.
///
/// # Errors
/// If the wish names a snapshot that the source does not have, or would empty the destination.
pub fn plan(source: &Listing, dest: &Listing, wish: &Wish, sizes: &Sizes) -> Result<Plan> {
    let mut planner = Planner::new(source, dest, wish, sizes);
    let wished = planner.wished()?;
    let targets = planner.targets(&wished);
    planner.route(&targets);
    if wish.delete {
        planner.deletions()?;
    }
    planner.look_at_space();
    Ok(planner.plan)
}

struct Planner<'a> {
    source: &'a Listing,
    dest: &'a Listing,
    wish: &'a Wish<'a>,
    sizes: &'a Sizes,
    /// What the destination holds and a diff may build on.
    parents: HashSet<Uuid>,
    by_id: HashMap<Uuid, &'a Snapshot>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Listing, dest: &'a Listing, wish: &'a Wish, sizes: &'a Sizes) -> Self {
        let mut parents: HashSet<Uuid> = dest
            .snapshots
            .iter()
            .filter(|s| s.may_be_parent())
            .map(Snapshot::id)
            .collect();
        // Two states of one snapshot: one of the sides was altered, and a diff would go wrong.
        for (ours, theirs) in pairs(source, dest) {
            if conflicting(ours, theirs) || !may_be_source(ours) {
                parents.remove(&ours.id());
            }
        }
        for twin in dest
            .snapshots
            .iter()
            .filter(|s| s.state == State::RwReceived || s.state == State::Duplicate)
        {
            parents.remove(&twin.id());
        }
        let by_id = source.snapshots.iter().map(|s| (s.id(), s)).collect();
        Planner {
            source,
            dest,
            wish,
            sizes,
            parents,
            by_id,
            plan: Plan::default(),
        }
    }

    fn obstacle(&mut self, path: &Path, what: impl Into<String>, blocks: bool) {
        self.plan.obstacles.push(Obstacle {
            path: path.to_owned(),
            what: what.into(),
            blocks,
        });
    }

    fn wished(&self) -> Result<Vec<&'a Snapshot>> {
        let all = self.source.snapshots.iter();
        if let Some(path) = self.wish.only {
            let found = all
                .filter(|s| s.path == path && s.state != State::Partial)
                .next_back();
            return found.map(|s| vec![s]).ok_or_else(|| {
                Error::usage(
                    format!("cannot send {}", shown(path)),
                    format!("there is no such snapshot in {}", self.source.location),
                )
            });
        }
        Ok(all.filter(|s| !self.wish.excludes(&s.path)).collect())
    }

    /// What has to be sent, after what is there and what cannot be sent.
    fn targets(&mut self, wished: &[&'a Snapshot]) -> Vec<&'a Snapshot> {
        let (mut targets, mut seen): (Vec<&Snapshot>, HashMap<Uuid, &Path>) =
            (Vec::new(), HashMap::new());
        for &snapshot in wished {
            if !self.sendable(snapshot) {
                continue;
            }
            if let Some(twin) = seen.get(&snapshot.id()) {
                self.keep(snapshot, format!("same content as {}", shown(twin)));
                continue;
            }
            seen.insert(snapshot.id(), &snapshot.path);
            if !self.present(snapshot) && !self.name_taken(snapshot) {
                targets.push(snapshot);
            }
        }
        targets
    }

    /// Whether a wished snapshot can be a source at all.
    fn sendable(&mut self, snapshot: &Snapshot) -> bool {
        let path = &snapshot.path;
        match snapshot.state {
            State::Partial => {
                self.obstacle(
                    path,
                    "an unfinished transfer lies at the source; it is not sent",
                    false,
                );
                return false;
            }
            State::RwReceived => {
                let what = "it is read-write: 'btrfs subvolume snapshot' it, make a read-only snapshot of that, and send that";
                self.obstacle(path, what, true);
                return false;
            }
            State::Altered if snapshot.received_uuid.is_some() => {
                let what = "it was altered after it was received, so it is no longer what its UUID says: make a \
                            writable snapshot of it, a read-only one of that, and send that";
                self.obstacle(path, what, true);
                return false;
            }
            State::Altered => {
                let what = "it was altered after it was made: sent whole, and never a parent";
                self.obstacle(path, what, false);
            }
            State::Duplicate => {
                let what = "other subvolumes of the source have the same received UUID";
                self.obstacle(path, what, false);
            }
            State::Ok | State::Unsealed => {}
        }
        if !snapshot.nested.is_empty() {
            let names = snapshot.nested.join(", ");
            self.obstacle(
                path,
                format!("subvolumes inside it will not travel: {names}"),
                false,
            );
        }
        true
    }

    /// Whether the destination has it; says so in the plan.
    fn present(&mut self, snapshot: &Snapshot) -> bool {
        let here = |s: &&Snapshot| s.id() == snapshot.id() && s.state != State::Partial;
        let Some(there) = self
            .dest
            .snapshots
            .iter()
            .filter(here)
            .min_by_key(|s| !s.may_be_parent())
        else {
            return false;
        };
        let at = shown(&there.path);
        if conflicting(snapshot, there) {
            let what = format!(
                "the destination has another state of it as {at} (generation {} there, {} here): one of them was \
                 altered; remove that one",
                there.generation(),
                snapshot.generation()
            );
            self.obstacle(&snapshot.path, what, true);
            return true;
        }
        match there.state {
            State::Altered => {
                let what = format!(
                    "the copy at the destination, {at}, was altered: remove it to have it sent again"
                );
                self.obstacle(&snapshot.path, what, true);
                return true;
            }
            State::RwReceived => {
                let what = format!(
                    "the copy at the destination, {at}, is read-write: remove it to have it sent again"
                );
                self.obstacle(&snapshot.path, what, true);
                return true;
            }
            State::Duplicate => {
                let what = format!(
                    "the destination has subvolumes with the same received UUID as {at}: not used as a parent"
                );
                self.obstacle(&snapshot.path, what, false);
            }
            _ => {}
        }
        let why = if there.path == snapshot.path {
            "the destination has it".to_owned()
        } else {
            format!("the destination has it as {at}")
        };
        self.keep(snapshot, why);
        true
    }

    fn keep(&mut self, snapshot: &Snapshot, why: String) {
        let (path, to) = (snapshot.path.clone(), snapshot.id());
        self.plan.steps.push(Step {
            action: Action::Keep,
            path,
            to,
            from: None,
            size: Size::Exact(0),
            why,
        });
    }

    fn name_taken(&mut self, snapshot: &Snapshot) -> bool {
        let other = self
            .dest
            .snapshots
            .iter()
            .find(|s| s.path == snapshot.path && s.state != State::Partial);
        if let Some(other) = other {
            let what = format!(
                "another snapshot has its name at the destination ({}): rename or remove that one",
                other.id()
            );
            self.obstacle(&snapshot.path, what, true);
        }
        other.is_some()
    }

    /// Finds the cheapest way to the targets, and makes steps of it.
    fn route(&mut self, targets: &[&'a Snapshot]) {
        let candidates = candidates::all(self.source, targets, &self.parents);
        let (nodes, lost) = candidates::reachable(&candidates, &self.parents, targets);
        for (snapshot, why) in lost {
            self.obstacle(&snapshot.path, why, true);
        }
        let mut full_only = HashSet::new();
        let chosen = loop {
            let chosen = self.cheapest(&nodes, &candidates, &full_only);
            match self
                .too_long(&nodes, &chosen)
                .filter(|to| full_only.insert(*to))
            {
                Some(_) => {}
                None => break chosen,
            }
        };
        let wished: HashSet<Uuid> = targets.iter().map(|s| s.id()).collect();
        for diff in in_order(&nodes, &chosen, &self.by_id) {
            let path = self
                .by_id
                .get(&diff.to)
                .map(|s| s.path.clone())
                .unwrap_or_default();
            let mut why = self.why(&diff, full_only.contains(&diff.to));
            if !wished.contains(&diff.to) {
                why.push_str("; needed by what follows");
            }
            let Diff { to, from, size } = diff;
            self.plan.steps.push(Step {
                action: Action::Transfer,
                path,
                to,
                from,
                size,
                why,
            });
        }
    }

    /// The minimum-cost arborescence over the candidates.
    fn cheapest(
        &self,
        nodes: &[Uuid],
        candidates: &[Diff],
        full_only: &HashSet<Uuid>,
    ) -> HashMap<Uuid, Diff> {
        let index: HashMap<Uuid, usize> = nodes
            .iter()
            .enumerate()
            .map(|(i, &id)| (id, i + 1))
            .collect();
        let mut edges = Vec::new();
        for (rank, diff) in candidates.iter().enumerate() {
            let Some(&to) = index.get(&diff.to) else {
                continue;
            };
            let forced = full_only.contains(&diff.to)
                && diff.from.is_some()
                && self.has_full(diff.to, candidates);
            let from = match diff.from {
                None => Some(0),
                Some(parent) if self.parents.contains(&parent) => Some(0),
                Some(parent) => index.get(&parent).copied(),
            };
            if let (Some(from), false) = (from, forced) {
                edges.push(Edge {
                    from,
                    to,
                    cost: self.cost(diff),
                    tag: rank,
                });
            }
        }
        let picked = arborescence::minimum(nodes.len() + 1, &edges);
        let sized = |diff: &Diff| Diff {
            size: self.size(diff),
            ..*diff
        };
        picked
            .into_iter()
            .map(|tag| (candidates[tag].to, sized(&candidates[tag])))
            .collect()
    }

    fn has_full(&self, to: Uuid, candidates: &[Diff]) -> bool {
        candidates
            .iter()
            .any(|diff| diff.to == to && diff.from.is_none())
    }

    fn size(&self, diff: &Diff) -> Size {
        match self.sizes.get(&(diff.to, diff.from)) {
            Some(size) => *size,
            None if diff.size == Size::Unknown && self.wish.estimate => self.estimate(diff),
            None => diff.size,
        }
    }

    fn estimate(&self, diff: &Diff) -> Size {
        let find = |id: Uuid| self.by_id.get(&id).copied();
        candidates::estimate(find(diff.to), diff.from.and_then(find), diff)
    }

    /// Bytes of the stream, or the least that they can be; a link in a stored chain costs more.
    fn cost(&self, diff: &Diff) -> u64 {
        let bytes = self
            .size(diff)
            .bytes()
            .unwrap_or_else(|| candidates::at_least(self.by_id.get(&diff.to).copied(), diff));
        let link = self.keeps_diffs() && diff.from.is_some();
        bytes + if link { LINK_PENALTY + bytes / 8 } else { 0 }
    }

    fn keeps_diffs(&self) -> bool {
        matches!(self.dest.offer, Offer::Only(_))
    }

    /// A snapshot whose chain at the destination would get too long, the first on its chain.
    fn too_long(&self, nodes: &[Uuid], chosen: &HashMap<Uuid, Diff>) -> Option<Uuid> {
        let limit = self.wish.max_chain.filter(|_| self.keeps_diffs())?;
        let stored = chain_lengths(&self.dest.offer);
        let mut first: Option<(usize, Uuid)> = None;
        for &node in nodes {
            let (mut length, mut at) = (1, node);
            while let Some(parent) = chosen.get(&at).and_then(|diff| diff.from) {
                length += stored
                    .get(&parent)
                    .copied()
                    .filter(|_| self.parents.contains(&parent))
                    .unwrap_or(1);
                if self.parents.contains(&parent) || length > nodes.len() + limit {
                    break;
                }
                at = parent;
            }
            let is_diff = chosen.get(&node).is_some_and(|diff| diff.from.is_some());
            if length > limit && is_diff && first.is_none_or(|(least, _)| length < least) {
                first = Some((length, node));
            }
        }
        first.map(|(_, node)| node)
    }

    fn why(&self, diff: &Diff, forced: bool) -> String {
        let Some(parent) = diff.from else {
            return match (forced, &self.source.offer) {
                (true, _) => "whole: its chain of diffs would get too long".to_owned(),
                (_, Offer::Only(_)) => "whole, as it is stored".to_owned(),
                (_, Offer::AnyPair) => "whole: no smaller diff from a related snapshot".to_owned(),
            };
        };
        let name = candidates::name(&self.by_id, parent);
        match self.parents.contains(&parent) {
            true => format!("from {name}, which the destination has"),
            false => format!("from {name}, sent before it"),
        }
    }

    fn deletions(&mut self) -> Result<()> {
        if !self
            .source
            .snapshots
            .iter()
            .any(|s| s.state != State::Partial)
        {
            let said = "the source has no snapshots, so everything would go: is it mounted?";
            return Err(Error::refused(
                format!("cannot delete in {}", self.dest.location),
                said,
            ));
        }
        let wanted: HashSet<Uuid> = self.source.snapshots.iter().map(Snapshot::id).collect();
        let needed = self.needed_links(&wanted);
        for snapshot in &self.dest.snapshots {
            let (path, id) = (&snapshot.path, snapshot.id());
            let deletable = snapshot.read_only && snapshot.state != State::Partial;
            if !deletable || wanted.contains(&id) || self.wish.excludes(path) {
                continue;
            }
            if needed.contains(&id) {
                self.obstacle(
                    path,
                    "not at the source, but diffs at the destination build on it: kept",
                    false,
                );
                continue;
            }
            let step = Step {
                action: Action::Delete,
                path: path.clone(),
                to: id,
                from: None,
                size: Size::Exact(0),
                why: "the source does not have it".to_owned(),
            };
            self.plan.steps.push(step);
        }
        Ok(())
    }

    /// At a destination that keeps diffs: every snapshot that a kept one is built on.
    fn needed_links(&self, wanted: &HashSet<Uuid>) -> HashSet<Uuid> {
        let Offer::Only(diffs) = &self.dest.offer else {
            return HashSet::new();
        };
        let parent = |to| {
            diffs
                .iter()
                .filter(move |d| d.to == to)
                .filter_map(|d| d.from)
        };
        let kept = self
            .dest
            .snapshots
            .iter()
            .filter(|s| wanted.contains(&s.id()) || self.wish.excludes(&s.path));
        let mut open: Vec<Uuid> = kept.map(Snapshot::id).collect();
        open.extend(self.plan.transfers().filter_map(|step| step.from));
        let mut needed: HashSet<Uuid> = open.iter().copied().collect();
        while let Some(at) = open.pop() {
            let has_full = diffs.iter().any(|d| d.to == at && d.from.is_none());
            open.extend(parent(at).filter(|from| !has_full && needed.insert(*from)));
        }
        needed
    }

    fn look_at_space(&mut self) {
        let total = self.plan.total_bytes();
        if let Some(free) = self.dest.free.filter(|&free| total > free) {
            let what = format!(
                "too little space: {total} bytes to send, {free} bytes free at the destination"
            );
            self.obstacle(Path::new(""), what, false);
        }
    }
}

/// What a further link in a stored chain costs beside its bytes: a chain is as good as its
/// weakest link, and each is a request to make and an object to keep.
const LINK_PENALTY: u64 = 64 << 10;

/// A sound source, of whole streams and of diffs alike.
fn may_be_source(snapshot: &Snapshot) -> bool {
    snapshot.may_be_parent() || snapshot.state == State::Duplicate
}

/// The same snapshot on both sides.
fn pairs<'a>(
    source: &'a Listing,
    dest: &'a Listing,
) -> impl Iterator<Item = (&'a Snapshot, &'a Snapshot)> {
    let theirs: HashMap<Uuid, &Snapshot> = dest
        .snapshots
        .iter()
        .filter(|s| s.state != State::Partial)
        .map(|s| (s.id(), s))
        .collect();
    source
        .snapshots
        .iter()
        .filter_map(move |ours| Some((ours, *theirs.get(&ours.id())?)))
}

/// One identity, two states. Stores that do not know generations say 0.
fn conflicting(ours: &Snapshot, theirs: &Snapshot) -> bool {
    let (ours, theirs) = (ours.generation(), theirs.generation());
    ours != theirs && ours != 0 && theirs != 0
}

/// How many stored diffs it takes to make each snapshot.
fn chain_lengths(offer: &Offer) -> HashMap<Uuid, usize> {
    let Offer::Only(diffs) = offer else {
        return HashMap::new();
    };
    let mut lengths: HashMap<Uuid, usize> = HashMap::new();
    loop {
        let before = lengths.len();
        for diff in diffs {
            let length = match diff.from {
                None => Some(1),
                Some(from) => lengths.get(&from).map(|n| n + 1),
            };
            if let Some(length) = length {
                let known = lengths.entry(diff.to).or_insert(length);
                *known = length.min(*known);
            }
        }
        if lengths.len() == before {
            return lengths;
        }
    }
}

/// Parents first; otherwise by age.
fn in_order(
    nodes: &[Uuid],
    chosen: &HashMap<Uuid, Diff>,
    by_id: &HashMap<Uuid, &Snapshot>,
) -> Vec<Diff> {
    let mut children: BTreeMap<Option<Uuid>, Vec<Uuid>> = BTreeMap::new();
    for &node in nodes {
        if let Some(diff) = chosen.get(&node) {
            let parent = diff.from.filter(|from| chosen.contains_key(from));
            children.entry(parent).or_default().push(node);
        }
    }
    let age = |id: &Uuid| by_id.get(id).map(|s| (s.generation(), &s.path));
    let mut ordered = Vec::new();
    let mut open = children.remove(&None).unwrap_or_default();
    while let Some(at) = open
        .iter()
        .enumerate()
        .min_by_key(|(_, id)| age(id))
        .map(|(i, _)| i)
    {
        let node = open.swap_remove(at);
        ordered.extend(chosen.get(&node));
        open.extend(children.remove(&Some(node)).unwrap_or_default());
    }
    ordered
}
