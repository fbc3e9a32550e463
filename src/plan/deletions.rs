//! What the destination loses: what the source does not have, of the subvolumes that it has, and nothing
//! kept needs. What is of others, or of nothing that is known, stays.

use super::{Action, Obstacle, Planner, Step};
use crate::attribution::Family;
use crate::error::{Error, Result};
use crate::snapshot::{Snapshot, State, Uuid, shown};
use std::collections::HashSet;
use std::path::Path;

impl Planner<'_> {
    pub(super) fn deletions(&mut self) -> Result<()> {
        let refuse = |said, way| {
            let doing = format!("cannot delete in {}", self.dest.location);
            Err(Error::refused(doing, said).hint(way))
        };
        let mut all = self.source.snapshots.iter();
        if !all.any(|s| s.state != State::Partial) {
            return refuse(
                "the source has no snapshots, so everything would go",
                "look whether it is mounted",
            );
        }
        if !self.source.unlisted.is_empty() {
            let what = "nothing is deleted, since not all of the source could be listed";
            self.obstacle(Obstacle::note(Path::new(""), what));
            return Ok(());
        }
        if self.source.partial {
            return refuse(
                "not all snapshots of the source could be listed, and the others would go",
                "run it as root there",
            );
        }
        let wanted: HashSet<Uuid> = self.source.snapshots.iter().map(Snapshot::id).collect();
        let ours = Family::all_at(self.source).among(self.dest);
        let goes = |s: &&Snapshot| {
            let deletable = s.read_only && s.state != State::Partial;
            deletable && !wanted.contains(&s.id()) && !self.wish.excludes(&s.path)
        };
        let goes = self.dest.snapshots.iter().filter(goes);
        let (goes, strangers): (Vec<&Snapshot>, Vec<&Snapshot>) =
            goes.partition(|s| ours.contains(&s.id()));
        let stays = strangers.iter().map(|s| s.id());
        let needed = self.needed_links(&wanted.into_iter().chain(stays).collect());
        for snapshot in goes {
            self.deletion(snapshot, &needed);
        }
        self.name_strangers(&strangers);
        Ok(())
    }

    fn deletion(&mut self, snapshot: &Snapshot, needed: &HashSet<Uuid>) {
        if needed.contains(&snapshot.id()) {
            let what = "not at the source, but diffs at the destination build on it: kept";
            return self.obstacle(Obstacle::note(&snapshot.path, what));
        }
        let why = "the source does not have it";
        let step = Step::new(Action::Delete, snapshot, why);
        self.plan.steps.push(step);
    }

    /// What is of no subvolume that the source has: who made it lets it go.
    fn name_strangers(&mut self, strangers: &[&Snapshot]) {
        self.plan.strangers = strangers.len();
        let Some(newest) = strangers.iter().max_by_key(|s| s.created) else {
            return;
        };
        let (of, hint) = match &newest.origin {
            Some(origin) => (format!("of {origin}"), None),
            None => (
                "of nothing that is known".to_owned(),
                Some("buttersink adopt says of what".into()),
            ),
        };
        let what = format!(
            "not of the subvolumes that the source has snapshots of, and so not deleted: {}, the newest of \
             them {}, {of}",
            strangers.len(),
            shown(&newest.path)
        );
        let obstacle = Obstacle::note(Path::new(""), what);
        self.obstacle(Obstacle { hint, ..obstacle });
    }

    /// At a destination that keeps diffs: every snapshot that a kept one is built on.
    fn needed_links(&self, kept: &HashSet<Uuid>) -> HashSet<Uuid> {
        if !self.dest.offer.keeps_diffs() {
            return HashSet::new();
        }
        let stays = |s: &&Snapshot| kept.contains(&s.id()) || self.wish.excludes(&s.path);
        let stays = self.dest.snapshots.iter().filter(stays).map(Snapshot::id);
        let parents = self.plan.transfers().filter_map(|step| step.from);
        self.dest.offer.graph().needed_by(stays.chain(parents))
    }
}
