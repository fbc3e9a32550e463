//! Clone sources: what a large diff takes data of beside its parent. After the parents are chosen, and only
//! where both sides are filesystems: a stream that is kept names one parent. Thinks only.

use super::candidates::WORTHWHILE;
use super::{Action, Planner, Step};
use crate::snapshot::{Diff, Size, Snapshot, Uuid};
use crate::text::{counted_with, shown};
use std::collections::BTreeSet;

/// Clone sources must save one part in so many of a diff's bytes: each costs the sender a walk for each extent.
const WORTH: u64 = 10;

/// By age.
type Ages = BTreeSet<(Option<i64>, u64, Uuid)>;

impl Planner<'_> {
    /// Gives clone sources to the steps that get smaller by them: of each the newest snapshots that both sides
    /// have by then.
    pub(super) fn clone_sources(&mut self) {
        if !self.source.clones || !self.dest.clones || self.wish.whole {
            return;
        }
        let there = self.parents.iter();
        let mut there: Ages = there.filter_map(|id| self.age(*id)).collect();
        for at in 0..self.plan.steps.len() {
            let step = &self.plan.steps[at];
            if step.action != Action::Transfer {
                continue;
            }
            let with = self.with_clone_sources(step, &there);
            there.extend(self.age(step.to));
            self.plan.steps[at] = with.unwrap_or_else(|| step.clone());
        }
    }

    /// What can be a clone source.
    fn age(&self, id: Uuid) -> Option<(Option<i64>, u64, Uuid)> {
        let snapshot = self.by_id.get(&id).filter(|s| s.may_be_parent())?;
        Some((snapshot.created, snapshot.generation(), id))
    }

    /// The step with clone sources; `None` if it is as good without, or they have failed before.
    fn with_clone_sources(&self, step: &Step, there: &Ages) -> Option<Step> {
        let Size::Exact(plain) = step.size else {
            return None;
        };
        let failed = self.wish.uncloned.is_some_and(|all| all.contains(&step.to));
        if plain <= WORTHWHILE || failed {
            return None;
        }
        let newest = there.iter().rev().map(|(.., id)| *id);
        let newest = newest.filter(|id| *id != step.to && Some(*id) != step.from);
        let diff = Diff {
            clones: newest.take(Diff::MOST_CLONES).collect(),
            size: Size::Beyond(plain - plain / WORTH),
            ..step.diff()
        };
        let known = self.sizes.get(&diff.key());
        let size = match known {
            _ if diff.clones.is_empty() => return None,
            None if self.wish.settled => return None,
            None => diff.size,
            Some(measured) => measured.size,
        };
        let is_less = size
            .bytes()
            .is_none_or(|bytes| bytes <= plain - plain / WORTH);
        let beyond = known.is_some() && size.bytes().is_none();
        (is_less && !beyond && self.refusal(&diff).is_none()).then(|| Step {
            size,
            why: format!(
                "{}, with data of {}",
                step.why,
                self.newest_and_more(&diff.clones)
            ),
            clones: diff.clones,
            ..step.clone()
        })
    }

    fn newest_and_more(&self, ids: &[Uuid]) -> String {
        let path = |id| self.by_id.get(id).map(|s: &&Snapshot| shown(&s.path));
        let first = ids.first().and_then(path).unwrap_or_default();
        counted_with(ids.len(), &first)
    }
}
