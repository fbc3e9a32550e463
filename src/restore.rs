//! Restores: a sync the other way. Picks a backup and what it builds on, shows what that takes, thaws
//! what is frozen, receives what is missing, compares, and makes a writable snapshot at last.

mod chain;
mod links;
mod place;
mod plan;
pub mod thawing;

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::plan::{Action, Step};
use crate::process;
use crate::proof::Verdict;
use crate::s3::{Client, S3Options};
use crate::snapshot::{Mended, Size, shown};
use crate::store::bucket::archive::index;
use crate::store::local::{Local, Manner};
use crate::store::{Access, Receipt, Store};
use crate::sync;
use crate::verify;
use chain::Link;
use jiff::Timestamp;
use links::Links;
use place::Place;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thawing::How;

/// Which backup is restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one that the pointer names, or the newest that can be restored.
    Newest,
    /// The one whose manifest has this key.
    Key(String),
    /// The newest that was made then or before.
    At(Timestamp),
    /// That of the snapshot of this name.
    Snapshot(String),
}

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
pub struct Order {
    /// The name of the backups.
    pub subvolume: String,
    /// The bucket that they are in.
    pub bucket: String,
    /// How their keys begin.
    pub prefix: String,
    /// Which of them.
    pub which: Which,
    /// What will be the writable snapshot.
    pub target: PathBuf,
    /// Where snapshots are received, if it is on the same filesystem.
    pub base: PathBuf,
    /// What is compared.
    pub compare: Compare,
    /// How frozen objects are thawed.
    pub thaw: How,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// Restores a backup.
///
/// # Errors
/// [`Kind::Partly`] if objects have to thaw first, [`Kind::Different`] if what was restored is not
/// like its source, [`Kind::Busy`] if another run is at work; whatever else stops it.
pub fn run(
    order: &Order,
    options: S3Options,
    manner: Manner,
    listener: &mut Listener,
) -> Result<()> {
    let place = Place::find(&order.target, &order.base)?;
    let client = Arc::new(Client::new(&order.bucket, options)?);
    let archive = index::read(&client, &order.prefix, &order.subvolume)?;
    let (key, notes) = chain::choose(&archive, &order.which)?;
    notes.iter().for_each(|note| listener(Event::note(note)));
    let all = chain::follow(&client, &archive, &key)?;
    let links = Links { client, all };
    let mut run = Run {
        order,
        place,
        links,
        listener,
    };
    run.look()?;
    if order.dry_run {
        return Ok(());
    }
    run.thaw()?;
    run.bring(manner)
}

struct Run<'a, 'b> {
    order: &'a Order,
    place: Place,
    links: Links,
    listener: &'a mut Listener<'b>,
}

impl Run<'_, '_> {
    /// Says what it will take, and makes sure that there is room.
    fn look(&mut self) -> Result<()> {
        let (plan, cold) = plan::make(self.order, &mut self.links, &self.place)?;
        let bytes = plan.bytes;
        (self.listener)(Event::Restoring(Box::new(plan)));
        plan::check_tier(&cold, self.order.thaw.tier)?;
        self.place.check_writable()?;
        self.check_space(bytes)?;
        self.check_rivals()
    }

    fn check_space(&mut self, needed: u64) -> Result<()> {
        let free = self.place.free()?;
        if needed <= free {
            return Ok(());
        }
        let base = shown(&self.place.base);
        let short = format!("needs {needed} bytes, {free} are free");
        if !self.place.compresses() {
            let said = format!(
                "no space left on device ({short}; mounted with compress=zstd it may hold more)"
            );
            return Err(Error::failed(format!("cannot restore into {base}"), said));
        }
        let so = "whether all of it fits is known only at the end";
        let note = format!("{base} {short}; it is mounted to compress, so that {so}");
        (self.listener)(Event::note(note));
        Ok(())
    }

    /// Better before anything is paid for than at the second snapshot.
    fn check_rivals(&self) -> Result<()> {
        let (first, _) = self.progress()?;
        let end = self.links.all.len().saturating_sub(1).max(first);
        let parents = self.links.all.get(first..end).unwrap_or_default();
        let ids: Vec<_> = parents.iter().filter_map(|link| link.id).collect();
        let Some(rival) = self.place.rival(&ids)? else {
            return Ok(());
        };
        let base = shown(&self.place.base);
        let said = format!(
            "the subvolume {} of that filesystem is a copy of what is needed, but was altered or \
             cannot be seen from there, and btrfs receive could take it for the right one: delete \
             it, or let restore.target_base_dir be where it is seen",
            shown(rival)
        );
        Err(Error::refused(format!("cannot restore into {base}"), said))
    }

    /// The first link that has to be fetched, and where the one before it is.
    fn progress(&self) -> Result<(usize, Option<PathBuf>)> {
        let ids: Vec<_> = self.links.all.iter().map(|link| link.id).collect();
        let mut found = self.place.present(&ids)?;
        let last = found.iter().rposition(Option::is_some);
        Ok(last.map_or((0, None), |at| (at + 1, found[at].take())))
    }

    /// Makes everything readable that is still missing, all at once.
    fn thaw(&mut self) -> Result<()> {
        let (first, _) = self.progress()?;
        self.thaw_links(first, self.links.all.len())?;
        for number in first..self.links.all.len() {
            self.links.identify(number)?;
        }
        Ok(())
    }

    fn thaw_links(&mut self, first: usize, end: usize) -> Result<()> {
        let links = self.links.all.get(first..end).unwrap_or_default();
        let keys: Vec<&str> = links.iter().flat_map(Link::keys).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let bytes = links.iter().map(|link| link.manifest.total_bytes).sum();
        let how = &self.order.thaw;
        let listener = &mut *self.listener;
        thawing::thaw(&self.links.client, &keys, (how, how.days(bytes)), listener)
    }

    /// Receives what is missing, compares, and makes the target.
    fn bring(&mut self, manner: Manner) -> Result<()> {
        // Held to the end: nobody else works in there.
        let mut dest = Local::open(&self.place.base, Access::Append, manner)?;
        let links = self.links.all.iter();
        let origin = |link: &Link| Some((link.id?, link.manifest.snapshot.origin.clone()?));
        dest.attribute(links.filter_map(origin).collect());
        let (first, mut at) = self.progress()?;
        at.iter().try_for_each(|at| dest.adopt(at))?;
        for number in first..self.links.all.len() {
            process::check("restoring")?;
            self.bring_link(number, &mut dest)?;
            at = Some(self.place.base.join(self.links.all[number].path()));
        }
        let Some(at) = at else {
            let doing = format!("cannot restore {}", shown(&self.order.subvolume));
            return Err(Error::damaged(doing, "its chain is empty"));
        };
        self.compare(&at, first)?;
        self.place.make_target(&at)?;
        let target = self.place.target.clone();
        (self.listener)(Event::Restored {
            snapshot: at,
            target,
        });
        Ok(())
    }

    fn bring_link(&mut self, number: usize, dest: &mut Local) -> Result<()> {
        let Some(step) = self.step(number) else {
            let doing = format!("cannot restore {}", shown(self.links.all[number].path()));
            return Err(Error::damaged(doing, "nothing says which snapshot it is"));
        };
        (self.listener)(Event::Started(step.clone()));
        let mut done = self.transfer(&step, dest);
        if let Err(error) = &done
            && error.kind != Kind::Interrupted
            && self.froze_again(number)?
        {
            (self.listener)(Event::Again(error.clone()));
            self.thaw_links(number, self.links.all.len())?;
            done = self.transfer(&step, dest);
        }
        match done {
            Ok(receipt) => (self.listener)(Event::ended(&step, Ok(receipt))),
            Err(error) if error.kind == Kind::Damaged => {
                let (name, key) = (shown(&step.path), shown(&self.links.all[number].key));
                let doing = format!("cannot restore {name} by {key}");
                return Err(Error::damaged(doing, error.to_string()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn step(&self, number: usize) -> Option<Step> {
        let diff = self.links.diff(number)?;
        let link = &self.links.all[number];
        let why = match number.checked_sub(1) {
            Some(before) => format!("from {}", shown(self.links.all[before].path())),
            None => "whole".to_owned(),
        };
        Some(Step {
            action: Action::Transfer,
            path: link.path(),
            to: diff.to,
            from: diff.from,
            size: Size::Exact(link.manifest.total_bytes),
            mended: Mended::default(),
            why,
        })
    }

    fn transfer(&mut self, step: &Step, dest: &mut Local) -> Result<Receipt> {
        let listener = &mut *self.listener;
        sync::transfer(
            &mut self.links,
            dest,
            &step.diff(),
            &step.path,
            &mut |bytes| listener(Event::Moved { bytes }),
        )
    }

    /// Whether a copy that was thawed ran out, or somebody changed a storage class.
    fn froze_again(&self, number: usize) -> Result<bool> {
        let keys: Vec<&str> = self.links.all[number].keys().collect();
        let cold = self.links.client.cold(&keys)?;
        Ok(cold.values().any(|cold| !cold.state.is_readable()))
    }

    /// Holds what came back against the source snapshot, where that is at hand.
    fn compare(&mut self, at: &Path, first: usize) -> Result<()> {
        let sample = match self.order.compare {
            Compare::None => return Ok(()),
            Compare::Full => None,
            Compare::Sample(files) => Some(files),
        };
        let words = match self.source(at)? {
            Some(source) => compared(at, &source, sample)?,
            None => self.unseen(at, first),
        };
        (self.listener)(Event::Checked { words });
        Ok(())
    }

    /// The snapshot that was backed up, if it is on this machine and is another one than ours.
    fn source(&self, at: &Path) -> Result<Option<PathBuf>> {
        let Some(link) = self.links.all.last() else {
            return Ok(None);
        };
        let path = PathBuf::from(&link.manifest.snapshot.path);
        let Some(id) = link.id.filter(|_| path.is_absolute()) else {
            return Ok(None);
        };
        let other = path.canonicalize().is_ok_and(|path| path != at);
        let there = other && place::original(&path, id)?;
        Ok(there.then_some(path))
    }

    /// What was checked, if there is nothing to compare with.
    fn unseen(&self, at: &Path, first: usize) -> String {
        let name = shown(at);
        let fetched = self.links.all.get(first..).unwrap_or_default();
        let chunks: usize = fetched.iter().map(|link| link.manifest.chunks.len()).sum();
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
