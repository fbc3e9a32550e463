//! Choosing diffs: from what is at the source and at the destination to a list of steps.
//! Pure arithmetic over listings; reads no file, no clock, no network.

mod arborescence;
mod candidates;
mod clone_sources;
mod copies;
mod deletions;
mod families;
mod reasons;
mod route;
mod targets;

use crate::error::Result;
use crate::snapshot::{Diff, Listing, Mended, Size, Sizes, Snapshot, State, Uuid};
use crate::store::Effort;
use families::Families;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What is asked of a plan.
#[derive(Default)]
pub struct Wish<'a> {
    /// Only this snapshot of the source (a path in its listing); `None` for all.
    pub only: Option<&'a Path>,
    /// Paths that the run leaves alone, on both sides.
    pub excluded: Option<&'a dyn Fn(&Path) -> bool>,
    /// Whether the destination loses what the source does not have, of the subvolumes that it has.
    pub delete: bool,
    /// Nothing builds on anything else, where the source leaves a choice.
    pub whole: bool,
    /// Snapshots that come without clone sources.
    pub uncloned: Option<&'a HashSet<Uuid>>,
    /// Sizes are guessed from the listings, and nothing is measured.
    pub estimate: bool,
    /// What arrives is held against its source: see [`Plan::compare`].
    pub compare: bool,
    /// It is carried out at once: the only snapshot that is to come, in the only way that there is, is not
    /// measured where that would take about as long as sending it. See also [`Plan::or_whole`].
    pub run: bool,
    /// What arrives is made durable each for itself.
    pub one_by_one: bool,
    /// Measure nothing more than what no plan can do without. See [`Plan::unmeasured`].
    pub settled: bool,
    /// For destinations that keep diffs: how long a chain of diffs may get.
    pub max_chain: Option<usize>,
}

impl Wish<'_> {
    /// Whether the run leaves this path alone.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        self.excluded.is_some_and(|excluded| excluded(path))
    }
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The destination has it.
    Keep,
    /// A diff is sent and received.
    Transfer,
    /// The destination copies it itself, from what lies elsewhere on its filesystem.
    Copy,
    /// The destination removes it.
    Delete,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What the step does.
    pub action: Action,
    /// Relative to the destination.
    pub path: PathBuf,
    /// The snapshot that will be there, or is, or was: its effective UUID.
    pub to: Uuid,
    /// The parent of the diff; `None` for a full stream, and where nothing is sent.
    pub from: Option<Uuid>,
    /// The clone sources of the diff: see [`Diff::clones`].
    pub clones: Vec<Uuid>,
    /// Bytes of the stream; 0 where nothing is sent.
    pub size: Size,
    /// What the sender changes in the kernel's stream, as far as measuring found it.
    pub mended: Mended,
    /// What is copied: an absolute path. `None` where nothing is.
    pub original: Option<PathBuf>,
    /// Why this way, for a person.
    pub why: String,
}

impl Step {
    /// A step about a snapshot, by which nothing is sent.
    pub(crate) fn new(action: Action, snapshot: &Snapshot, why: impl Into<String>) -> Step {
        Step {
            action,
            path: snapshot.path.clone(),
            to: snapshot.id(),
            from: None,
            clones: Vec::new(),
            size: Size::Exact(0),
            mended: Mended::default(),
            original: None,
            why: why.into(),
        }
    }

    /// The diff that a transfer carries out.
    pub fn diff(&self) -> Diff {
        Diff {
            to: self.to,
            from: self.from,
            size: self.size,
            clones: self.clones.clone(),
        }
    }
}

/// Something that a person should know before the plan is carried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Obstacle {
    /// Whose path it concerns; empty for the plan as a whole.
    #[serde(serialize_with = "crate::snapshot::path_text::serialize")]
    pub path: PathBuf,
    /// What is in the way.
    pub what: String,
    /// The way out, where there is one that we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Box<str>>,
    /// Whether a wished snapshot will not arrive because of it.
    pub blocks: bool,
}

impl Obstacle {
    /// What keeps a wished snapshot from arriving.
    pub fn blocking(path: &Path, what: impl Into<String>) -> Obstacle {
        Obstacle {
            blocks: true,
            ..Obstacle::note(path, what)
        }
    }

    /// What is worth knowing, and keeps nothing from arriving.
    pub fn note(path: &Path, what: impl Into<String>) -> Obstacle {
        Obstacle {
            path: path.to_owned(),
            what: what.into(),
            hint: None,
            blocks: false,
        }
    }

    /// The same with a way out.
    #[must_use]
    pub fn hint(self, hint: &str) -> Obstacle {
        let hint = Some(hint.into());
        Obstacle { hint, ..self }
    }
}

/// Steps in the order in which they can be carried out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Parents stand before what builds on them; deletions stand last.
    pub steps: Vec<Step>,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
    /// Snapshots that would be deleted, if they were of a subvolume that the source has snapshots of.
    pub strangers: usize,
    /// What the destination makes of it, where requests are counted.
    pub effort: Option<Effort>,
    /// What is known of the diffs that were measured for it.
    pub measured: Sizes,
    /// What arrives is held against its source before it counts as sent.
    pub compare: bool,
    /// Of a run: the diff by which the only snapshot that is to come may come, where the other way is to send it
    /// whole. It need not be measured if it is certain to be the shorter.
    pub or_whole: Option<Diff>,
}

impl Plan {
    /// Bytes of all streams, as far as they are known.
    pub fn total_bytes(&self) -> u64 {
        // Sizes of what is stored are what others say.
        let sizes = self.transfers().filter_map(|step| step.size.bytes());
        sizes.fold(0, u64::saturating_add)
    }

    /// The steps that send something.
    pub fn transfers(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|step| step.action == Action::Transfer)
    }

    /// The steps that copy something.
    pub fn copies(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action == Action::Copy)
    }

    /// Chosen diffs whose size nobody knows yet. Measure them and plan again. Of those that are
    /// [`Size::Beyond`] something, that is all that the choice depends on.
    pub fn unmeasured(&self) -> Vec<Diff> {
        self.transfers()
            .filter(|step| step.size.bytes().is_none())
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
    let targets = planner.copies(targets);
    planner.unlisted();
    planner.route(&targets);
    planner.clone_sources();
    planner.mended();
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
    /// What the destination has of each, sound or not.
    there: HashMap<Uuid, &'a Snapshot>,
    families: Families<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Listing, dest: &'a Listing, wish: &'a Wish, sizes: &'a Sizes) -> Self {
        let by_id = soundest(&source.snapshots);
        let mut parents: HashSet<Uuid> = dest
            .snapshots
            .iter()
            .filter(|s| s.may_be_parent())
            .map(Snapshot::id)
            .collect();
        // Two states of one snapshot: one of the sides was altered, and a diff would go wrong.
        for (ours, theirs) in pairs(source, dest) {
            let sound = by_id.get(&ours.id()).is_some_and(|s| s.may_be_source());
            if conflicting(ours, theirs) || !sound {
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
        Planner {
            source,
            dest,
            wish,
            sizes,
            parents,
            by_id,
            there: soundest(&dest.snapshots),
            families: Families::new(&source.snapshots, sizes),
            plan: Plan {
                compare: wish.compare,
                ..Plan::default()
            },
        }
    }

    fn obstacle(&mut self, obstacle: Obstacle) {
        self.plan.obstacles.push(obstacle);
    }

    fn look_at_space(&mut self) {
        let total = self.plan.total_bytes();
        if let Some(free) = self.dest.free.filter(|&free| total > free) {
            let what = format!(
                "too little space: {total} bytes to send, {free} bytes free at the destination, not counting what was \
                 deleted just now"
            );
            self.obstacle(Obstacle::note(Path::new(""), what));
        }
    }
}

/// Of twins the first that is sound, by effective UUID; what is unfinished only if there is nothing else.
fn soundest(snapshots: &[Snapshot]) -> HashMap<Uuid, &Snapshot> {
    let rank = |s: &Snapshot| (s.state == State::Partial, s.rank());
    let mut all: HashMap<Uuid, &Snapshot> = HashMap::new();
    for snapshot in snapshots {
        let best = all.entry(snapshot.id()).or_insert(snapshot);
        if rank(snapshot) < rank(best) {
            *best = snapshot;
        }
    }
    all
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

/// One identity, two states.
fn conflicting(ours: &Snapshot, theirs: &Snapshot) -> bool {
    !ours.is_state_of(theirs)
}

#[cfg(test)]
mod tests;
