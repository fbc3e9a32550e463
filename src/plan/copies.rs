//! What the destination copies itself instead of receiving it: snapshots that lie elsewhere on its
//! filesystem, unaltered. What only claims to be one of them is not copied.

use super::{Action, Planner, Step, conflicting};
use crate::snapshot::{Snapshot, State, Uuid, shown};
use std::collections::HashMap;

impl<'a> Planner<'a> {
    /// Makes steps of what can be copied, on which diffs can build from then on; what is left to be sent.
    pub(super) fn copies(&mut self, targets: Vec<&'a Snapshot>) -> Vec<&'a Snapshot> {
        if self.wish.whole {
            return targets;
        }
        let mut elsewhere: HashMap<Uuid, Vec<&'a Snapshot>> = HashMap::new();
        for snapshot in &self.dest.elsewhere {
            elsewhere.entry(snapshot.id()).or_default().push(snapshot);
        }
        let same = |target: &Snapshot| elsewhere.get(&target.id()).into_iter().flatten();
        targets
            .into_iter()
            .filter(|target| match original(target, same(target).copied()) {
                None => true,
                Some(original) => {
                    self.copy(target, original);
                    false
                }
            })
            .collect()
    }

    fn copy(&mut self, target: &Snapshot, original: &Snapshot) {
        self.parents.insert(target.id());
        let why = format!("from {}, on the same filesystem", shown(&original.path));
        self.plan.steps.push(Step {
            original: Some(original.path.clone()),
            ..Step::new(Action::Copy, target, why)
        });
    }
}

/// The subvolume that would be sent itself, or one that was received and is as its seal says: of those
/// with the same identity.
fn original<'a>(
    target: &Snapshot,
    mut same: impl Iterator<Item = &'a Snapshot>,
) -> Option<&'a Snapshot> {
    let known = |s: &Snapshot| s.state == State::Ok || s.uuid == target.uuid;
    let sound = |s: &&Snapshot| s.may_be_parent() && known(s) && !conflicting(target, s);
    same.find(|s| target.may_be_source() && sound(s))
}
