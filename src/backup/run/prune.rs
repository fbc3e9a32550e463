//! What a finished backup lets go of, at a destination and at the source, and the link to the latest.
//! Does not decide what may go: that is retention's business.

use super::{Costed, Dest, Keeps, Run};
use crate::archive::Begun;
use crate::backup::deletion;
use crate::backup::retention::{self, Candidate, Decision, Holds};
use crate::error::{Kind, Result};
use crate::event::Event;
use crate::glob;
use crate::log;
use crate::plan::Plan;
use crate::process;
use crate::snapshot::{Graph, Listing, Snapshot, State, Uuid, shown};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Whether it is what was sent, as far as that is known. Of what only claims to be so, nobody lets go, and nothing else
/// goes for it.
fn counts(snapshot: &Snapshot) -> bool {
    let bad = [
        State::Partial,
        State::Altered,
        State::Uncompared,
        State::Duplicate,
    ];
    snapshot.read_only && !bad.contains(&snapshot.state)
}

/// What builds on what there, and on what a plan brings.
fn graph_with(there: &Listing, plan: Option<&Plan>) -> Graph {
    let mut graph = there.offer.graph();
    let plan = plan.filter(|_| there.offer.keeps_diffs());
    for step in plan.iter().flat_map(|plan| plan.transfers()) {
        graph.add(step.to, step.from);
    }
    graph
}

impl Run<'_, '_> {
    /// Lets a destination forget what it does not keep. A dry run reckons with what is coming.
    pub(super) fn prune(
        &mut self,
        dest: &mut Dest,
        there: &Listing,
        coming: Option<(&Plan, &[&Snapshot])>,
        ours: &[Snapshot],
    ) -> Result<()> {
        let known: HashMap<Uuid, &Snapshot> = ours.iter().map(|s| (s.id(), s)).collect();
        let present = self.own_in(dest, there, ours);
        let coming_too = coming.map_or(&[][..], |(_, snapshots)| snapshots);
        let arrived = present.into_iter().map(|s| (s, s.created));
        let all = arrived.chain(coming_too.iter().map(|s| (*s, None)));
        let candidate = |(s, arrived): (&Snapshot, _)| {
            let original = known.get(&s.id()).copied();
            let original = original.filter(|_| !matches!(dest.keeps, Keeps::Chains(_)));
            self.candidate(s, original.unwrap_or(s), arrived)
        };
        let candidates = without_twins(all.map(candidate).collect());
        let plan = coming.map(|(plan, _)| plan);
        let has: HashSet<Uuid> = candidates.iter().map(|candidate| candidate.id).collect();
        let common = ours.iter().rev().find(|s| has.contains(&s.id()));
        let mut pinned = pin(common, "the newest in common with the source");
        pinned.extend(self.pinned_by_name(&candidates));
        let bonds = Holds {
            pinned,
            graph: graph_with(there, plan),
        };
        let verdicts = match &dest.keeps {
            Keeps::Policy(policy) => retention::judge(candidates, policy, &bonds, self.now),
            Keeps::Chains(chains) => chains.judge(candidates, &bonds, self.now.timestamp()),
        };
        if !self.dry_run && matches!(dest.keeps, Keeps::Chains(_)) {
            self.clean(dest, there)?;
        }
        self.delete(Some(dest), &verdicts, &bonds.graph)
    }

    /// The snapshots of this subvolume at a destination; those that only have a name like theirs are told of.
    fn own_in<'a>(
        &mut self,
        dest: &Dest,
        there: &'a Listing,
        ours: &[Snapshot],
    ) -> Vec<&'a Snapshot> {
        let own = match &dest.keeps {
            Keeps::Chains(_) => self.own_archive(there, ours),
            Keeps::Policy(_) => self.source.family(ours).among(there),
        };
        let named = there.snapshots.iter();
        let named = named.filter(|s| self.source.is_our_name(&s.path));
        let (present, strangers): (Vec<_>, Vec<_>) = named
            .filter(|s| counts(s))
            .partition(|s| own.contains(&s.id()));
        self.name_strangers(&strangers, &there.location);
        present
    }

    /// What is in an archive of this subvolume: whole chains, since one that others build on is theirs
    /// too.
    fn own_archive(&self, there: &Listing, ours: &[Snapshot]) -> HashSet<Uuid> {
        let family = self.source.family(ours).among(there);
        let chains = own_chains(there, ours, self.source.uuid(), false);
        let graph = there.offer.graph();
        let root = |id| graph.root(id);
        let roots: HashSet<Uuid> = family.iter().map(|id| root(*id)).chain(chains).collect();
        let foreign = there.snapshots.iter().filter(|s| s.origin.is_some());
        let foreign = foreign
            .filter(|s| !family.contains(&s.id()))
            .map(|s| root(s.id()));
        let foreign: HashSet<Uuid> = foreign.collect();
        let all = there.snapshots.iter().map(Snapshot::id);
        all.filter(|id| roots.contains(&root(*id)) && !foreign.contains(&root(*id)))
            .collect()
    }

    /// What has a name like ours and is not known to be: who made it lets it go.
    fn name_strangers(&mut self, strangers: &[&Snapshot], place: &str) {
        if let Some(newest) = strangers.iter().max_by_key(|s| s.created) {
            let (count, path) = (strangers.len(), shown(&newest.path));
            let of = match &newest.origin {
                Some(origin) => format!("of {origin}"),
                None => "of nothing that is known (buttersink adopt says of what)".to_owned(),
            };
            self.note(&format!(
                "not of this subvolume, and so neither counted nor deleted in {place}: {count}, the newest \
                 of them {path}, {of}"
            ));
        }
    }

    /// What a run that ended early left in an archive, in the middle of sending or of deleting: once a
    /// newer backup has arrived, nobody goes on with it.
    fn clean(&mut self, dest: &mut Dest, there: &Listing) -> Result<()> {
        let is_left = |s: &&Snapshot| s.state == State::Partial;
        let whole = there.snapshots.iter().filter(|s| !is_left(s));
        let now = self.now.timestamp().as_second();
        let newest = whole
            .filter_map(|s| s.created)
            .filter(|made| *made <= now)
            .max();
        for left in there.snapshots.iter().filter(is_left) {
            let begun = left.path.to_str().and_then(Begun::parse);
            let made = begun.and_then(|begun| begun.stamp.moment());
            // Another machine may be uploading just now.
            let young = left.created.is_none_or(|latest| now - latest < 24 * 3600);
            if made.is_some_and(|made| Some(made.as_second()) < newest) && !young {
                process::check("deleting what interrupted runs left")?;
                if let Err(error) = dest.store()?.delete(&left.path) {
                    if error.kind == Kind::Interrupted {
                        return Err(error);
                    }
                    self.note(&error.to_string());
                    continue;
                }
                let (path, place) = (shown(&left.path), &dest.name);
                self.note(&format!(
                    "removed {path} in {place}, left by an interrupted run"
                ));
            }
        }
        Ok(())
    }

    /// After everything arrived everywhere: the link, and what the source need not keep.
    pub(super) fn tidy(
        &mut self,
        newest: &Path,
        common: Option<Uuid>,
        ours: &[Snapshot],
    ) -> Result<()> {
        if !self.dry_run && self.source.move_link(newest)? {
            log::line(|| format!("the link names {} now", shown(newest)));
        }
        if self.keeps.keeps_all() {
            return Ok(());
        }
        let here = Listing {
            snapshots: ours.to_vec(),
            ..Listing::default()
        };
        let own = self.source.family(ours).among(&here);
        let (ours, strangers): (Vec<&Snapshot>, Vec<&Snapshot>) =
            ours.iter().partition(|s| own.contains(&s.id()));
        let place = shown(self.source.folder.join(""));
        self.name_strangers(&strangers, &place);
        // It has been here since it was made.
        let since = |candidate: Candidate| Candidate {
            arrived: Some(candidate.made),
            ..candidate
        };
        let candidates = ours.iter().map(|s| since(self.candidate(s, s, None)));
        let candidates: Vec<Candidate> = candidates.collect();
        let why = "the newest in common with every destination";
        let common = common.map(|id| (id, why.to_owned())).into_iter();
        let pinned = common.chain(self.pinned.clone());
        let bonds = Holds {
            pinned: pinned.chain(self.pinned_by_name(&candidates)).collect(),
            ..Holds::default()
        };
        let verdicts = retention::judge(candidates, &self.keeps, &bonds, self.now);
        self.delete(None, &verdicts, &bonds.graph)
    }

    /// What somebody named, so that it stays.
    fn pinned_by_name(&self, candidates: &[Candidate]) -> Vec<(Uuid, String)> {
        let named = |candidate: &&Candidate| glob::any(&self.pinned_names, &candidate.path);
        let named = candidates.iter().filter(named);
        named
            .map(|candidate| (candidate.id, "a pinned name".to_owned()))
            .collect()
    }

    /// It was made no later than it arrived.
    fn candidate(
        &self,
        snapshot: &Snapshot,
        original: &Snapshot,
        arrived: Option<i64>,
    ) -> Candidate {
        let made = self.source.made(original, self.now);
        let arrived = arrived.and_then(|arrived| Timestamp::from_second(arrived).ok());
        Candidate {
            path: snapshot.path.clone(),
            id: snapshot.id(),
            made: arrived.map_or(made, |arrived| made.min(arrived)),
            arrived,
            order: snapshot.otransid,
        }
    }

    /// Deletes what is not kept, at a destination or (`None`) at the source.
    fn delete(
        &mut self,
        mut dest: Option<&mut Dest>,
        verdicts: &[Decision],
        graph: &Graph,
    ) -> Result<()> {
        let source = shown(self.source.folder.join(""));
        let name = dest.as_ref().map_or(&source, |dest| &dest.name).clone();
        (self.listener)(deletion::event(&name, verdicts, self.dry_run));
        let cost = dest.as_ref();
        if let Some(cost) = cost.and_then(|dest| dest.cost(Costed::Deletions(verdicts))) {
            (self.listener)(Event::cost(&name, cost));
        }
        if self.dry_run {
            return Ok(());
        }
        let failed = deletion::delete(verdicts, graph, |path| match &mut dest {
            Some(dest) => dest.store()?.delete(path),
            None => self.store.delete(path),
        })?;
        for error in failed.all() {
            self.note(&error.to_string());
        }
        failed.verdict(&name)
    }
}

fn pin(snapshot: Option<&Snapshot>, why: &str) -> Vec<(Uuid, String)> {
    snapshot
        .map(|s| (s.id(), why.to_owned()))
        .into_iter()
        .collect()
}

/// The roots of the chains in an archive that are of a subvolume, of which these snapshots are here.
/// `unknown` says whether those are of which nothing is known.
pub fn own_chains(
    there: &Listing,
    ours: &[Snapshot],
    subvolume: Uuid,
    unknown: bool,
) -> HashSet<Uuid> {
    let whole = there.snapshots.iter().filter(|s| s.state == State::Ok);
    let backups: Vec<_> = whole.map(|s| (s.id(), s.parent_uuid)).collect();
    let here = ours.iter().map(Snapshot::id).collect();
    retention::own(&backups, &there.offer.graph(), &here, subvolume, unknown)
}

/// Each path once: what is coming may be there already.
fn without_twins(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.path.clone()));
    candidates
}
