//! Restores: a sync the other way. Has a backup and what it builds on chosen, shows what that takes,
//! has it thawed, syncs what is missing, compares, and has a writable snapshot made at last. Knows no
//! bucket.

mod preview;

use crate::archive::{Backup, Thaw, Which};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::plan::{Plan, Step, Wish};
use crate::prices::Prices;
use crate::proof::Verdict;
use crate::snapshot::{Listing, Snapshot, Uuid};
use crate::store::{self, Access, ArchiveSettings, Chain, RestoreTarget, Store, StoreOptions};
use crate::sync;
use crate::text::shown;
use crate::verify;
use preview::{FoundChain, first};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What is compared with the source snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// Everything.
    Full,
    /// All attributes, and the contents of so many files.
    Sample(usize),
    /// Nothing.
    None,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RestoreOrder {
    /// Where the backups are.
    pub archive: ArchiveSettings,
    /// Which of the backups is restored.
    pub which: Which,
    /// What will be the writable snapshot.
    pub target: PathBuf,
    /// Where snapshots are received, if it is on the same filesystem.
    pub base: PathBuf,
    /// What is compared with the source afterwards.
    pub compare: Compare,
    /// How frozen objects are thawed.
    pub thaw: Thaw,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// Restores a backup.
///
/// # Errors
/// [`Kind::Partly`] if objects have to thaw first, [`Kind::Different`] if what was restored is not
/// like its source, [`Kind::Busy`] if another run is at work; whatever else stops it.
pub fn run(
    order: &RestoreOrder,
    store_options: &StoreOptions,
    listener: &mut Listener,
) -> Result<()> {
    let target = RestoreTarget::find(&order.target, &order.base)?;
    let mut archive = store::open_archive(order.archive.clone(), Access::Read, store_options)?;
    if !order.dry_run {
        archive.thaw_records(&order.thaw, &mut |how_far| {
            listener(Event::thawing(how_far));
        })?;
    }
    let (key, notes) = archive.backups()?.choose(&order.which)?;
    notes.iter().for_each(|note| listener(Event::note(note)));
    let mut run = RestoreRun {
        order,
        store_options,
        target,
        chain: archive.chain(&key)?,
        prices: archive.prices(),
        listener,
    };
    let first = run.look()?;
    match order.dry_run {
        true => Ok(()),
        false => {
            run.thaw(first)?;
            run.bring()
        }
    }
}

struct RestoreRun<'a, 'b> {
    order: &'a RestoreOrder,
    store_options: &'a StoreOptions,
    target: RestoreTarget,
    chain: Box<dyn Chain>,
    prices: Prices,
    listener: &'a mut Listener<'b>,
}

/// What is to be brought, from what and to what.
struct PlannedRestore {
    here: Listing,
    there: Listing,
    plan: Plan,
}

impl PlannedRestore {
    /// What is meant: the last of the chain, which is listed last.
    fn wish(here: &Listing) -> Wish<'_> {
        Wish {
            only: here.snapshots.last().map(|last| last.path.as_path()),
            ..Wish::default()
        }
    }
}

impl RestoreRun<'_, '_> {
    /// Says what it will take, and makes sure that it can be; the first link that has to be fetched.
    fn look(&mut self) -> Result<usize> {
        let stored = self.chain.stored()?;
        let links = self.chain.links();
        let mut dest = self.dest(Access::Read)?;
        let PlannedRestore { there, plan, .. } = self.plan(&mut *dest)?;
        let found = FoundChain {
            links: &links,
            stored: &stored,
            there: &there,
            plan: &plan,
            prices: self.prices,
        };
        let preview = found.preview(self.order, &self.target);
        (self.listener)(Event::Restoring(Box::new(preview)));
        found.check_tier(self.order.thaw.tier)?;
        self.target.check_writable()?;
        self.check_space(plan.total_bytes())?;
        self.check_rivals(links.get(found.first()..).unwrap_or_default())?;
        match plan.obstacles.iter().find(|obstacle| obstacle.blocks) {
            Some(obstacle) => Err(Error {
                hint: obstacle.hint.clone(),
                ..Error::refused(self.doing(), obstacle.what.clone())
            }),
            None => Ok(found.first()),
        }
    }

    fn doing(&self) -> String {
        format!("cannot restore into {}", shown(&self.target.base))
    }

    fn dest(&self, access: Access) -> Result<Box<dyn Store>> {
        let links = self.chain.links().into_iter();
        let ids = links.filter_map(|link| link.id).collect();
        self.target.open(access, self.store_options.local, ids)
    }

    /// Copies that were altered are no obstacle here, but rivals.
    fn plan(&mut self, dest: &mut dyn Store) -> Result<PlannedRestore> {
        let (here, mut there) = (self.chain.list()?, dest.list()?);
        there.snapshots.retain(Snapshot::may_be_parent);
        let wish = PlannedRestore::wish(&here);
        let plan = sync::make_plan(&mut *self.chain, &here, &there, &wish, self.listener)?;
        Ok(PlannedRestore { here, there, plan })
    }

    fn check_space(&mut self, needed: u64) -> Result<()> {
        let free = self.target.free()?;
        if needed <= free {
            return Ok(());
        }
        let base = shown(&self.target.base);
        let short = format!("needs {needed} bytes, {free} are free");
        if !self.target.compresses() {
            let said = format!(
                "no space left on device ({short}; mounted with compress=zstd it may hold more)"
            );
            return Err(Error::failed(self.doing(), said));
        }
        let so = "whether all of it fits is known only at the end";
        let note = format!("{base} {short}; it is mounted to compress, so that {so}");
        (self.listener)(Event::note(note));
        Ok(())
    }

    /// Better before anything is paid for than at the second snapshot.
    fn check_rivals(&self, needed: &[Backup]) -> Result<()> {
        let parents = needed.split_last().map_or(&[][..], |(_, parents)| parents);
        let ids: Vec<Uuid> = parents.iter().filter_map(|link| link.id).collect();
        let Some(rival) = self.target.rival(&ids)? else {
            return Ok(());
        };
        let said = format!(
            "the subvolume {} of that filesystem is a copy of what is needed, but was altered or \
             cannot be seen from there, and btrfs receive could take it for the right one: delete \
             it, or let restore.target_base_dir be where it is seen",
            shown(rival)
        );
        Err(Error::refused(self.doing(), said))
    }

    /// Makes everything readable from a link on, all at once.
    fn thaw(&mut self, first: usize) -> Result<()> {
        let listener = &mut *self.listener;
        let tell = &mut |how_far| listener(Event::thawing(how_far));
        self.chain.thaw(first, &self.order.thaw, tell)
    }

    /// Syncs what is missing, compares, and makes the target.
    fn bring(&mut self) -> Result<()> {
        // Held to the end: nobody else works in there.
        let mut dest = self.dest(Access::Append)?;
        let links = self.chain.links();
        let origin = |link: &Backup| Some((link.id?, link.origin.clone()?));
        dest.attribute(links.iter().filter_map(origin).collect());
        let (mut tried, mut fetched) = (HashSet::new(), None);
        let at = loop {
            let planned = self.plan(&mut *dest)?;
            let new = first(&links, &planned.plan);
            fetched = fetched.or(Some(new));
            match self.carry_out(&planned, &mut *dest)? {
                None => break self.arrived(&links, &planned)?,
                Some((step, error)) => self.try_again(&links, &step, error, &mut tried)?,
            }
        };
        self.compare(&links, &at, fetched.unwrap_or_default())?;
        self.target.make(&at)?;
        let target = self.target.target.clone();
        (self.listener)(Event::Restored {
            snapshot: at,
            target,
        });
        Ok(())
    }

    /// Carries out a plan; the step that failed, if one did, and not those that build on it.
    fn carry_out(
        &mut self,
        planned: &PlannedRestore,
        dest: &mut dyn Store,
    ) -> Result<Option<(Step, Error)>> {
        let PlannedRestore { here, plan, .. } = planned;
        let listener = &mut *self.listener;
        let mut failed: Vec<(Step, Error)> = Vec::new();
        let hear = &mut |event| match event {
            Event::Ended(mut ended) => match ended.error.take() {
                Some(error) => failed.push((ended.step, error)),
                None => listener(Event::Ended(ended)),
            },
            event => listener(event),
        };
        let (source, wish) = (&mut *self.chain, &PlannedRestore::wish(here));
        sync::carry_out(plan, here, wish, source, dest, hear)?;
        let lost: HashSet<Uuid> = failed.iter().map(|(step, _)| step.to).collect();
        let root = |(step, _): &(Step, Error)| step.from.is_none_or(|from| !lost.contains(&from));
        Ok(failed.into_iter().find(root))
    }

    /// What froze again since it was thawed is thawed once more; everything else is an error.
    fn try_again(
        &mut self,
        links: &[Backup],
        step: &Step,
        error: Error,
        tried: &mut HashSet<Uuid>,
    ) -> Result<()> {
        let number = links.iter().position(|link| link.id == Some(step.to));
        let number = number.unwrap_or_default();
        if tried.insert(step.to) && self.chain.is_frozen(number)? {
            let path = step.path.clone();
            (self.listener)(Event::Again { path, error });
            return self.thaw(number);
        }
        match links.get(number).filter(|_| error.kind == Kind::Damaged) {
            Some(link) => {
                let (name, key) = (shown(&step.path), shown(&link.key));
                let doing = format!("cannot restore {name} by {key}");
                Err(Error::damaged(doing, error.to_string()))
            }
            None => Err(error),
        }
    }

    /// Where the last of the chain is now.
    fn arrived(&self, links: &[Backup], planned: &PlannedRestore) -> Result<PathBuf> {
        let Some(last) = links.last() else {
            let doing = format!("cannot restore {}", shown(&self.order.archive.name));
            return Err(Error::damaged(doing, "its chain is empty"));
        };
        let mut there = planned.there.snapshots.iter();
        let known = there.find(|s| Some(s.id()) == last.id);
        let path = known.map_or_else(|| last.received_as(), |s| s.path.clone());
        Ok(self.target.base.join(path))
    }

    /// Holds what came back against the source snapshot, where that is at hand.
    fn compare(&mut self, links: &[Backup], at: &Path, first: usize) -> Result<()> {
        let sample = match self.order.compare {
            Compare::None => return Ok(()),
            Compare::Full => None,
            Compare::Sample(files) => Some(files),
        };
        let words = match source(links, at)? {
            Some(source) => compared(at, source, sample)?,
            None => unseen(links.get(first..).unwrap_or_default(), at),
        };
        (self.listener)(Event::Checked { words });
        Ok(())
    }
}

/// The snapshot that was backed up, if it is on this machine and is another one than ours.
fn source<'a>(links: &'a [Backup], at: &Path) -> Result<Option<&'a Path>> {
    let last = links.last().filter(|link| link.path.is_absolute());
    let Some((link, id)) = last.and_then(|link| Some((link, link.id?))) else {
        return Ok(None);
    };
    let other = link.path.canonicalize().is_ok_and(|path| path != at);
    let there = other && RestoreTarget::is_original(&link.path, id)?;
    Ok(there.then_some(link.path.as_path()))
}

/// What was checked, if there is nothing to compare with.
fn unseen(fetched: &[Backup], at: &Path) -> String {
    let name = shown(at);
    let chunks: usize = fetched.iter().map(|link| link.chunks.len()).sum();
    match chunks {
        0 => format!(
            "{name} was here already, unaltered since; there is no other copy to compare it with"
        ),
        n => format!(
            "{name} was not compared with its source, which is not on this machine; the SHA-256 \
             of each chunk ({n}) and the checksum of every command were right"
        ),
    }
}

fn compared(at: &Path, source: &Path, sample: Option<usize>) -> Result<String> {
    let doing = || format!("verifying {}", shown(at));
    match verify::copies(at, source, sample)? {
        Verdict::Good(_, words) => Ok(format!("{}: {words}", shown(at))),
        Verdict::Unverifiable(words) => Err(Error::failed(doing(), words)),
        Verdict::Different(words) => Err(Error::new(
            Kind::Different,
            doing(),
            format!("{words}; nothing was made at the target (--verify none does without this)"),
        )),
    }
}
