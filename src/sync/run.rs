//! What is left of a plan while it is carried out, and what has become of the rest: what did not arrive takes
//! with it what builds on it, and what could not come in one way is planned again in another.

use super::another_way::{another_may_do, must_be_about};
use super::batch::Batch;
use super::check_copy;
use super::planning::plan_from;
use super::step::{one_step, orphan};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Instead, Listener, Summary};
use crate::plan::{Action, Plan, Step, Wish};
use crate::snapshot::{Diff, Listing, Measured, Size, Sizes, Uuid};
use crate::store::{Receipt, Store};
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

/// What is left of a plan, and what has become of the rest.
pub(super) struct Run<'a> {
    here: &'a Listing,
    wish: &'a Wish<'a>,
    measured: Sizes,
    pub(super) todo: VecDeque<Step>,
    /// Whether the plan could not bring something from the beginning.
    pub(super) blocked: bool,
    /// What did not arrive, and under which paths it would have.
    pub(super) lost: HashSet<Uuid>,
    lost_paths: HashSet<PathBuf>,
    /// What could not be copied within the destination's filesystem.
    uncopied: HashSet<Uuid>,
    /// What could not be sent with clone sources.
    uncloned: HashSet<Uuid>,
    pub(super) batch: Batch,
    pub(super) summary: Summary,
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &Plan, here: &'a Listing, wish: &'a Wish<'a>) -> Run<'a> {
        let failed = plan.obstacles.iter().filter(|o| o.blocks).count();
        Run {
            here,
            wish,
            measured: plan.measured.clone(),
            todo: plan.steps.iter().cloned().collect(),
            blocked: failed > 0,
            lost: HashSet::new(),
            lost_paths: HashSet::new(),
            uncopied: HashSet::new(),
            uncloned: HashSet::new(),
            batch: Batch::new(plan, wish),
            summary: Summary {
                failed,
                strangers: plan.strangers,
                ..Summary::default()
            },
        }
    }

    /// What was to take data of a snapshot that did not arrive does without.
    pub(super) fn without_lost_clones(&self, mut step: Step) -> Step {
        if step.clones.iter().any(|id| self.lost.contains(id)) {
            step.clones.clear();
            let plain = self.measured.get(&step.diff().key());
            step.size = plain.map_or(Size::Unknown, |plain| plain.size);
        }
        step
    }

    /// What waits is made durable, and told of.
    pub(super) fn publish(&mut self, dest: &mut dyn Store, listener: &mut Listener) -> Result<()> {
        let published = self.batch.publish(dest);
        for done in &published.there {
            self.summary.count(&done.step, &done.receipt);
            done.tell(listener);
        }
        for step in published.again.into_iter().rev() {
            self.todo.push_front(step);
        }
        let Some((error, steps)) = published.failed else {
            return Ok(());
        };
        let mut failed = steps.iter();
        failed.try_for_each(|step| self.failed(step, error.clone(), listener))
    }

    /// Carries a step out, and compares what it brought where that is wished.
    pub(super) fn carry_out(
        &mut self,
        plan: &Plan,
        step: &Step,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<Receipt> {
        dest.hold(self.batch.takes(step));
        source.expect(&self.begin(step));
        let receipt = one_step(step, source, dest, listener)?;
        check_copy::hold(plan, step, source, dest, &mut self.summary, listener)?;
        Ok(receipt)
    }

    /// The stream of a step begins while the destination prepares for it. That of a small one after a small one does
    /// while the last is received.
    fn begin(&self, step: &Step) -> Vec<Diff> {
        let next = self.todo.iter().find(|next| next.action != Action::Keep);
        let next = next.filter(|next| self.batch.takes(step) && self.batch.takes(next));
        let next = next.map(|next| self.without_lost_clones(next.clone()));
        let now = (step.action == Action::Transfer).then(|| step.clone());
        now.into_iter()
            .chain(next)
            .map(|step| step.diff())
            .collect()
    }

    pub(super) fn arrived(&mut self, step: &Step, receipt: Receipt, listener: &mut Listener) {
        self.summary.count(step, &receipt);
        let note = receipt.note.clone();
        listener(Event::ended(step, Ok(receipt)));
        if let Some(note) = note {
            listener(Event::note(note));
        }
    }

    /// What waits does so no longer, since what is there now decides whether there is another way.
    pub(super) fn did_not(
        &mut self,
        step: &Step,
        error: Error,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<()> {
        if !self.batch.is_empty() {
            self.publish(dest, listener)?;
        }
        let may = another_may_do(step, &error);
        match may && self.plan_again(step, &error, source, dest, listener)? {
            true => Ok(()),
            false => self.failed(step, error, listener),
        }
    }

    pub(super) fn failed(
        &mut self,
        step: &Step,
        error: Error,
        listener: &mut Listener,
    ) -> Result<()> {
        listener(Event::ended(step, Err(&error)));
        if error.kind == Kind::Interrupted {
            return Err(error);
        }
        if step.action != Action::Delete {
            self.lost.insert(step.to);
            self.lost_paths.insert(step.path.clone());
        }
        self.summary.failed += 1;
        Ok(())
    }

    /// Plans what is left without a diff that cannot be received; whether the step has another way.
    /// If it has none, the steps that would have built on it have.
    pub(super) fn plan_again(
        &mut self,
        step: &Step,
        error: &Error,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<bool> {
        self.rule_out(step, error);
        let plan = match self.plan_rest(error, source, dest, listener) {
            Ok(plan) => plan,
            Err(stopped) if stopped.kind == Kind::Interrupted => return Err(stopped),
            // The error that we have says more than that the far side is gone.
            Err(_) => return Ok(false),
        };
        let another_way = plan.transfers().any(|other| other.to == step.to);
        if another_way {
            listener(Event::Instead(Box::new(Instead {
                step: step.clone(),
                error: error.clone(),
                plan: plan.clone(),
            })));
        }
        let dropped = self.take(plan);
        for other in dropped.iter().filter(|other| other.to != step.to) {
            self.failed(other, orphan(other), listener)?;
        }
        Ok(another_way)
    }

    /// What was tried is no candidate any more.
    fn rule_out(&mut self, step: &Step, error: &Error) {
        if step.action == Action::Copy {
            self.uncopied.insert(step.to);
            return;
        }
        if !step.clones.is_empty() {
            self.uncloned.insert(step.to);
            return;
        }
        let refused = Measured {
            refused: Some(error.said.trim_start_matches("ERROR: ").to_owned()),
            ..Measured::default()
        };
        self.measured.insert(step.diff().key(), refused);
    }

    /// Goes by another plan from now on; the steps that it has no way for.
    fn take(&mut self, plan: Plan) -> Vec<Step> {
        let blocked = plan.obstacles.iter().filter(|o| o.blocks);
        let blocked: HashSet<PathBuf> = blocked.map(|o| o.path.clone()).collect();
        let old = std::mem::replace(&mut self.todo, plan.steps.into());
        self.todo.retain(|step| step.action != Action::Keep);
        self.measured = plan.measured;
        let sends = |step: &Step| step.action == Action::Transfer;
        old.into_iter()
            .filter(|step| sends(step) && blocked.contains(&step.path))
            .collect()
    }

    /// A plan for what is not there yet and has not failed.
    fn plan_rest(
        &self,
        error: &Error,
        source: &mut dyn Store,
        dest: &mut dyn Store,
        listener: &mut Listener,
    ) -> Result<Plan> {
        let mut there = dest.list()?;
        must_be_about(error, &there)?;
        there.elsewhere.retain(|s| !self.uncopied.contains(&s.id()));
        let excluded = |path: &Path| self.lost_paths.contains(path) || self.wish.excludes(path);
        let wish = Wish {
            excluded: Some(&excluded),
            uncloned: Some(&self.uncloned),
            ..*self.wish
        };
        let known = self.measured.clone();
        plan_from(known, source, self.here, &there, &wish, listener)
    }
}
