//! What the destination loses: what the source does not have, and nothing kept needs.

use super::{Action, Planner, Step};
use crate::error::{Error, Result};
use crate::snapshot::{Mended, Offer, Size, Snapshot, State, Uuid};
use std::collections::HashSet;

impl Planner<'_> {
    pub(super) fn deletions(&mut self) -> Result<()> {
        let refuse = |said| {
            let doing = format!("cannot delete in {}", self.dest.location);
            Err(Error::refused(doing, said))
        };
        let mut all = self.source.snapshots.iter();
        if !all.any(|s| s.state != State::Partial) {
            return refuse("the source has no snapshots, so everything would go: is it mounted?");
        }
        if self.source.partial {
            return refuse(
                "not all snapshots of the source could be listed, and the others would go: run it as root there",
            );
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
                mended: Mended::default(),
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
}
