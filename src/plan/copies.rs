//! What the destination copies itself instead of receiving it: snapshots that lie elsewhere on its
//! filesystem, unaltered. What only claims to be one of them is not copied.

use super::{Action, Planner, Step, conflicting};
use crate::snapshot::{Mended, Size, Snapshot, State, shown};

impl<'a> Planner<'a> {
    /// Makes steps of what can be copied, on which diffs can build from then on; what is left to be sent.
    pub(super) fn copies(&mut self, targets: Vec<&'a Snapshot>) -> Vec<&'a Snapshot> {
        if self.wish.whole {
            return targets;
        }
        targets
            .into_iter()
            .filter(|target| match self.original(target) {
                None => true,
                Some(original) => {
                    self.copy(target, original);
                    false
                }
            })
            .collect()
    }

    /// The subvolume that would be sent itself, or one that was received and is as its seal says.
    fn original(&self, target: &Snapshot) -> Option<&'a Snapshot> {
        let known = |s: &Snapshot| s.state == State::Ok || s.uuid == target.uuid;
        let sound = |s: &&Snapshot| s.may_be_parent() && known(s) && !conflicting(target, s);
        let mut all = self.dest.elsewhere.iter().filter(sound);
        all.find(|s| target.may_be_source() && s.id() == target.id())
    }

    fn copy(&mut self, target: &Snapshot, original: &Snapshot) {
        self.parents.insert(target.id());
        self.plan.steps.push(Step {
            action: Action::Copy,
            path: target.path.clone(),
            to: target.id(),
            from: None,
            size: Size::Exact(0),
            mended: Mended::default(),
            original: Some(original.path.clone()),
            why: format!("from {}, on the same filesystem", shown(&original.path)),
        });
    }
}
