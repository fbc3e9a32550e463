//! The engine of backups: a snapshot if one is needed, what is missing to each destination, the
//! link, and then what the policies let go. Tells what happens; prints nothing.

mod forget;
mod look;
mod prune;

use super::retention::{ChainPolicy, Decision, Policy};
use super::source::{self, BackupSource};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::plan::{self, Plan, Step, Wish};
use crate::process;
use crate::snapshot::{Listing, Snapshot, State, Uuid, shown};
use crate::store::Store;
use crate::sync;
use crate::text::counted_with;
use jiff::Zoned;
pub use prune::own_chains;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

/// When a snapshot is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MakeWhen {
    /// If the subvolume changed since the newest.
    IfChanged,
    /// In any case, and why.
    Always(String),
    /// Not at all: the newest is what destinations get.
    No,
}

/// What a destination gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupSelection {
    /// Whatever was made since the newest that it has, over any way.
    Missing,
    /// The newest, over any way.
    Newest,
    /// This one, or the newest if none is named; whole or as the difference from one of those.
    One(Option<Uuid>, HashSet<Uuid>),
}

/// What a destination does not let go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// Snapshots, one by one.
    Policy(Policy),
    /// Whole chains of them.
    Chains(ChainPolicy),
}

impl Keeps {
    /// Whether everything is kept.
    pub fn all(&self) -> bool {
        match self {
            Keeps::Policy(policy) => policy.keeps_all(),
            Keeps::Chains(chains) => chains.keeps_all(),
        }
    }
}

/// Somewhere that snapshots go.
pub struct Dest<'a> {
    /// The name of the destination, for people.
    pub name: String,
    /// Opened, or why it could not be.
    pub store: Result<&'a mut dyn Store>,
    /// What the destination gets.
    pub wants: BackupSelection,
    /// What the destination keeps.
    pub keeps: Keeps,
    /// What things cost there, in words.
    pub costs: Option<Box<Costs<'a>>>,
    /// Whether what arrives is held against its source.
    pub compare: bool,
}

/// Tells what something costs at a destination.
pub type Costs<'a> = dyn Fn(Costed) -> Option<String> + 'a;

/// What can be asked the cost of.
#[derive(Clone, Copy, Debug)]
pub enum Costed<'a> {
    /// Bringing something there, and fetching it back.
    Plan(&'a Plan),
    /// Deleting what is not kept.
    Deletions(&'a [Decision]),
}

impl Dest<'_> {
    fn store(&mut self) -> Result<&mut (dyn Store + '_)> {
        match &mut self.store {
            Ok(store) => Ok(&mut **store),
            Err(error) => Err(error.clone()),
        }
    }

    fn cost(&self, of: Costed) -> Option<String> {
        self.costs.as_ref()?(of)
    }
}

/// One backup of one subvolume.
pub struct Run<'a, 'b> {
    /// The subvolume, and the directory of its snapshots.
    pub source: &'a BackupSource,
    /// Where its snapshots are.
    pub store: &'a mut dyn Store,
    /// The time of the run.
    pub now: &'a Zoned,
    /// Whether a snapshot is made.
    pub make: MakeWhen,
    /// The policy of the source.
    pub keeps: Policy,
    /// Nothing is changed.
    pub dry_run: bool,
    /// Where differences are kept: how long a chain of them may get. `None` where somebody else
    /// decides when a new one begins.
    pub max_chain: Option<usize>,
    /// Nothing is sent as the difference from another.
    pub whole: bool,
    /// What the source keeps in any case, and why.
    pub pinned: Vec<(Uuid, String)>,
    /// Patterns of names that stay wherever they are.
    pub pinned_names: Vec<OsString>,
    /// Whether the source lets anything go, if all destinations of this run got everything.
    pub lets_go: bool,
    /// Remarks made already: each listing repeats them.
    pub said: HashSet<String>,
    /// Who hears what happens.
    pub listener: &'a mut Listener<'b>,
}

/// What a backup came to.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// The newest snapshot.
    pub newest: Snapshot,
    /// The number of destinations.
    pub count: usize,
    /// Those that have everything now.
    pub arrived: Vec<String>,
    /// Those that have not got everything, and why.
    pub failed: Vec<(String, Error)>,
    /// Bytes that were free at places when they were last listed, where that is known.
    pub free: Vec<(String, u64)>,
}

impl RunOutcome {
    /// Why a destination has not got everything, if it has not.
    pub fn why_not(&self, name: &str) -> Option<String> {
        let failed = self.failed.iter().find(|(other, _)| other == name);
        failed.map(|(_, error)| error.to_string())
    }

    /// A destination has not got everything, and the others go on.
    ///
    /// # Errors
    /// If it is because of somebody who wants to stop.
    fn without(&mut self, name: String, error: Error, listener: &mut Listener) -> Result<()> {
        if error.kind == Kind::Interrupted {
            return Err(error);
        }
        if self.count > 1 {
            listener(Event::destination(&name, Err(&error)));
        }
        self.failed.push((name, error));
        Ok(())
    }

    /// What it comes to.
    ///
    /// # Errors
    /// That of the only destination; [`Kind::Partly`] if one of several failed.
    pub fn verdict(mut self, what: &Path) -> Result<()> {
        let failed = self.failed.len();
        let kind = match failed < self.count {
            true => Kind::Partly,
            false => Kind::Failed,
        };
        match self.failed.pop() {
            None => Ok(()),
            Some((_, error)) if self.count == 1 => Err(error),
            Some(_) => {
                let said = format!(
                    "{failed} of {} destinations failed, so nothing is deleted at the source",
                    self.count
                );
                let doing = format!("incomplete backup of {}", shown(what));
                Err(Error::new(kind, doing, said))
            }
        }
    }
}

impl Run<'_, '_> {
    /// Makes the snapshot, sends it everywhere, and tidies up if all went well.
    ///
    /// # Errors
    /// Whatever stops all of it. Destinations that failed are told of in the outcome.
    pub fn go(&mut self, dests: Vec<Dest>) -> Result<RunOutcome> {
        (self.listener)(Event::Begins {
            subvolume: self.source.path.clone(),
        });
        self.remark_on_nested();
        let listing = self.snapshot()?;
        self.send_to_all(dests, &listing)
    }

    fn note(&mut self, text: &str) {
        if self.said.insert(text.to_owned()) {
            (self.listener)(Event::note(text));
        }
    }

    fn remark_on_nested(&mut self) {
        if let Some(first) = self.source.nested.first() {
            let path = shown(&self.source.path);
            let inside = counted_with(self.source.nested.len(), &shown(first));
            self.note(&format!(
                "what is in a subvolume in {path} is not in its snapshots: {inside}"
            ));
        }
    }

    /// Makes a snapshot if one is needed; everything that is at the source then.
    fn snapshot(&mut self) -> Result<Listing> {
        let mut listing = self.listing()?;
        let newest = self.source.ours(&listing).last().copied();
        let why = match &self.make {
            MakeWhen::IfChanged => self.source.needs_snapshot(newest)?,
            MakeWhen::Always(why) => Some(why.clone()),
            MakeWhen::No => return Ok(listing),
        };
        let Some(why) = why else {
            if let Some(newest) = newest {
                (self.listener)(made(&newest.path, None, false));
            }
            return Ok(listing);
        };
        if self.dry_run {
            let imagined = self.source.imagined(self.now);
            (self.listener)(made(&imagined.path, Some(why), false));
            listing.snapshots.push(imagined);
            return Ok(listing);
        }
        process::check("backing up")?;
        let name = self.source.make_snapshot(self.now)?;
        (self.listener)(made(&name, Some(why), true));
        self.listing()
    }

    fn listing(&mut self) -> Result<Listing> {
        if !self.source.folder.is_dir() {
            return Ok(Listing {
                location: shown(self.source.folder.join("")),
                ..Listing::default()
            });
        }
        let listing = self.store.list()?;
        listing.notes.iter().for_each(|note| self.note(note));
        Ok(listing)
    }

    fn send_to_all(&mut self, dests: Vec<Dest>, listing: &Listing) -> Result<RunOutcome> {
        let ours: Vec<Snapshot> = self.source.ours(listing).into_iter().cloned().collect();
        let Some(newest) = ours.last() else {
            let said = "the snapshot that was just made is not there";
            return Err(Error::failed(
                format!("cannot back up {}", shown(&self.source.path)),
                said,
            ));
        };
        let mut outcome = RunOutcome {
            newest: newest.clone(),
            count: dests.len(),
            free: self.room_here(listing),
            ..RunOutcome::default()
        };
        for mut dest in dests {
            match self.send_to_one(&mut dest, listing, &ours) {
                Ok(there) => {
                    let free = there.free.map(|free| (dest.name.clone(), free));
                    outcome.free.extend(free);
                    outcome.arrived.push(dest.name);
                }
                Err(error) => outcome.without(dest.name, error, self.listener)?,
            }
        }
        if outcome.failed.is_empty() && self.lets_go {
            let common = (outcome.count > 0).then(|| newest.id());
            self.tidy(&newest.path, common, &ours)?;
        }
        Ok(outcome)
    }

    /// What is free where the snapshots are made.
    fn room_here(&self, listing: &Listing) -> Vec<(String, u64)> {
        let place = shown(self.source.folder.join(""));
        listing.free.map(|free| (place, free)).into_iter().collect()
    }

    /// What would come to a destination, and go there.
    fn preview(
        &mut self,
        dest: &mut Dest,
        mut plan: Plan,
        missing: &[&Snapshot],
        there: &Listing,
        ours: &[Snapshot],
    ) -> Result<()> {
        let diffs: Vec<_> = plan.transfers().map(Step::diff).collect();
        plan.effort = dest.store()?.effort(&diffs);
        (self.listener)(Event::planned(&dest.name, &plan, true));
        if let Some(estimate) = dest.cost(Costed::Plan(&plan)) {
            (self.listener)(Event::cost(&dest.name, estimate));
        }
        match dest.keeps.all() {
            true => Ok(()),
            false => self.prune(dest, there, Some((&plan, missing)), ours),
        }
    }

    /// Brings a destination up to date, and lets it forget what its policy does not keep. What was last listed
    /// there.
    fn send_to_one(
        &mut self,
        dest: &mut Dest,
        here: &Listing,
        ours: &[Snapshot],
    ) -> Result<Listing> {
        process::check("backing up")?;
        let there = self.settled(dest, here)?;
        let (here, there) = self.look_at_moved(dest, here.clone(), there)?;
        self.record(dest, &there, &here, ours)?;
        let (missing, here) = wanted(&dest.wants, &here, ours, &there);
        let imagined = here.snapshots.iter().any(source::is_imagined);
        let excluded = |path: &Path| !missing.iter().any(|s| s.path == path);
        let wish = Wish {
            excluded: Some(&excluded),
            // What is not there yet cannot be measured.
            estimate: imagined,
            max_chain: self.max_chain,
            whole: self.whole,
            compare: dest.compare,
            run: !self.dry_run,
            ..Wish::default()
        };
        let plan = match imagined {
            true => plan::plan(&here, &there, &wish, &self.source.imagined_sizes(ours)?)?,
            false => sync::make_plan(self.store, &here, &there, &wish, self.listener)?,
        };
        sync::must_compare(&plan, self.store, dest.store()?)?;
        if self.dry_run {
            self.preview(dest, plan, &missing, &there, ours)?;
            return Ok(there);
        }
        (self.listener)(Event::planned(&dest.name, &plan, false));
        let listener = &mut *self.listener;
        let summary = sync::carry_out(&plan, &here, &wish, self.store, dest.store()?, listener)?;
        summary.verdict()?;
        (self.listener)(Event::destination(&dest.name, Ok(summary)));
        if dest.keeps.all() {
            return Ok(there);
        }
        let there = dest.store()?.list()?;
        self.prune(dest, &there, None, ours)?;
        Ok(there)
    }
}

/// A snapshot that was made, would be, or (no reason) is not needed.
fn made(path: &Path, why: Option<String>, made: bool) -> Event {
    let path = path.to_owned();
    Event::Made { path, made, why }
}

/// What a destination gets of our snapshots, and what of this listing it may be made of.
fn wanted<'a>(
    wants: &BackupSelection,
    here: &'a Listing,
    ours: &'a [Snapshot],
    there: &Listing,
) -> (Vec<&'a Snapshot>, Cow<'a, Listing>) {
    let (named, parents) = match wants {
        BackupSelection::Missing => return (missing(ours, there), Cow::Borrowed(here)),
        BackupSelection::Newest => return (ours.last().into_iter().collect(), Cow::Borrowed(here)),
        BackupSelection::One(named, parents) => (named, parents),
    };
    let meant = |s: &&Snapshot| named.is_none_or(|id| s.id() == id);
    let wanted: Vec<&Snapshot> = ours.iter().rev().find(meant).into_iter().collect();
    let of_use = |s: &&Snapshot| {
        parents.contains(&s.id()) || wanted.iter().any(|wanted| wanted.id() == s.id())
    };
    let listing = Listing {
        snapshots: here.snapshots.iter().filter(of_use).cloned().collect(),
        location: here.location.clone(),
        offer: here.offer.clone(),
        ..Listing::default()
    };
    (wanted, Cow::Owned(listing))
}

/// The place of the newest of ours that is there too, as one that is in order.
fn common(
    ours: &[Snapshot],
    there: &Listing,
    in_order: impl Fn(&Snapshot) -> bool,
) -> Option<usize> {
    let there = there.snapshots.iter().filter(|s| in_order(s));
    let has: HashSet<Uuid> = there.map(Snapshot::id).collect();
    ours.iter().rposition(|s| has.contains(&s.id()))
}

/// What a destination should get: the newest, and what was made since the newest that it has. Older
/// ones it may have let go on purpose. What no record speaks for counts only where nothing else is there: anybody can
/// claim to be the newest.
fn missing<'a>(ours: &'a [Snapshot], there: &Listing) -> Vec<&'a Snapshot> {
    let whole = |s: &Snapshot| !matches!(s.state, State::Partial | State::Uncompared);
    let recorded = |s: &Snapshot| whole(s) && s.state != State::Unsealed;
    let common = common(ours, there, recorded).or_else(|| common(ours, there, whole));
    let from = common.map_or(ours.len().saturating_sub(1), |at| at + 1);
    let from = from.min(ours.len().saturating_sub(1));
    ours[from..].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(n: u8) -> Snapshot {
        Snapshot {
            path: n.to_string().into(),
            uuid: Uuid([n; 16]),
            read_only: true,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_destination_gets_what_is_newer_than_what_it_has() {
        let ours: Vec<Snapshot> = (1..=4).map(snapshot).collect();
        let expect = |has: &[u8], names: &[&str]| {
            let snapshots = has.iter().copied().map(snapshot).collect();
            let there = Listing {
                snapshots,
                ..Listing::default()
            };
            let missing = missing(&ours, &there);
            let missing: Vec<_> = missing.iter().map(|s| s.path.to_str().unwrap()).collect();
            assert_eq!(missing, names, "{has:?}");
        };
        expect(&[], &["4"]);
        expect(&[9], &["4"]);
        expect(&[2], &["3", "4"]);
        expect(&[1, 3], &["4"]);
        expect(&[2, 4], &["4"]);
    }
}
