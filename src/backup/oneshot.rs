//! One backup of one subvolume to its destinations: a snapshot if something changed, what is missing
//! to each destination, the link, and then what the counts let go. Tells what happens; prints nothing.

mod prune;

use super::retention::{Policy, Verdict};
use super::source::{self, Source};
use crate::btrfs;
use crate::error::{Error, Kind, Result};
use crate::plan::{Plan, Step, Wish};
use crate::process;
use crate::snapshot::{Listing, Snapshot, State, Uuid, shown};
use crate::store::{self, Access, Means, Place, Store};
use crate::sync;
use jiff::Zoned;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// What is backed up.
    pub subvolume: PathBuf,
    /// Where its snapshots are, relative to it.
    pub folder: PathBuf,
    /// How the names of its snapshots begin.
    pub prefix: OsString,
    /// Where the snapshots go.
    pub destinations: Vec<Place>,
    /// What is kept at the source.
    pub source_keeps: Policy,
    /// What is kept at each destination.
    pub dest_keeps: Policy,
    /// A snapshot is made even if nothing changed.
    pub always: bool,
    /// Destinations on this machine must be on filesystems mounted for them.
    pub require_mount: bool,
    /// Nothing is changed.
    pub dry_run: bool,
    /// Where differences are kept: how long a chain of them may get.
    pub max_chain: usize,
}

/// What happens, for whoever shows it. Texts are locations.
#[derive(Debug)]
pub enum Event<'a> {
    /// A remark for a person.
    Note(&'a str),
    /// A snapshot was made, or would be, for this reason.
    Snapshot(&'a Path, &'a str),
    /// Nothing changed since this snapshot.
    Unchanged(&'a Path),
    /// What a destination is about to get, or would.
    Plan(&'a str, &'a Plan),
    /// How that goes.
    Sync(sync::Event<'a>),
    /// A destination has everything.
    Arrived(&'a str, &'a sync::Summary),
    /// A destination has not.
    Failed(&'a str, &'a Error),
    /// What stays there and what goes.
    Verdicts(&'a str, &'a [Verdict]),
}

/// Shows what happens.
pub type Watch<'a> = dyn FnMut(Event) + 'a;

struct Dest {
    name: String,
    store: Result<Box<dyn Store>>,
}

struct Run<'a, 'b> {
    order: &'a Order,
    now: &'a Zoned,
    source: Source,
    store: Box<dyn Store>,
    /// Remarks made already: each listing repeats them.
    said: HashSet<String>,
    watch: &'a mut Watch<'b>,
}

/// Makes a backup.
///
/// # Errors
/// [`Kind::Partly`] if a destination failed and others did not, [`Kind::Busy`] if another run is at
/// work; whatever stops all of it.
pub fn run(order: &Order, means: &Means, now: &Zoned, watch: &mut Watch) -> Result<()> {
    let source = Source::open(
        &order.subvolume,
        &order.folder,
        &order.prefix,
        !order.dry_run,
    )?;
    let access = if order.dry_run {
        Access::Read
    } else {
        Access::Write
    };
    let place = match source.folder.is_dir() {
        true => source.folder.clone(),
        // A dry run before the first backup: there are no snapshots to be found.
        false => source.path.clone(),
    };
    let store = store::open(&Place::Local(place), access, means)?;
    let mut run = Run {
        order,
        now,
        source,
        store,
        said: HashSet::new(),
        watch,
    };
    let dests = run.open_destinations(means)?;
    run.remark_on_nested();
    let listing = run.snapshot()?;
    run.send_to_all(dests, &listing)
}

impl Run<'_, '_> {
    fn note(&mut self, text: &str) {
        if self.said.insert(text.to_owned()) {
            (self.watch)(Event::Note(text));
        }
    }

    fn remark_on_nested(&mut self) {
        let names: Vec<String> = self.source.nested.iter().map(shown).collect();
        if !names.is_empty() {
            let path = shown(&self.source.path);
            self.note(&format!(
                "subvolumes in {path} are not in its snapshots; back them up by themselves: {}",
                names.join(", ")
            ));
        }
    }

    /// All at once, so that nothing is done where none of them is there.
    fn open_destinations(&mut self, means: &Means) -> Result<Vec<Dest>> {
        let access = match (self.order.dry_run, self.order.dest_keeps.keeps_all()) {
            (true, _) => Access::Read,
            (_, true) => Access::Append,
            (_, false) => Access::Write,
        };
        let mut dests = Vec::new();
        for place in &self.order.destinations {
            self.check_apart(place)?;
            let mounted = self.check_mount(place);
            let store = mounted.and_then(|()| store::open(place, access, means));
            dests.push(Dest {
                name: place.to_string(),
                store,
            });
        }
        let none = dests.iter().all(|dest| dest.store.is_err());
        match dests.pop_if(|dest| none && dest.store.is_err()) {
            Some(Dest {
                store: Err(error), ..
            }) => {
                dests.iter().for_each(|dest| self.tell_failure(dest));
                Err(error)
            }
            _ => Ok(dests),
        }
    }

    fn tell_failure(&mut self, dest: &Dest) {
        if let Err(error) = &dest.store {
            (self.watch)(Event::Failed(&dest.name, error));
        }
    }

    /// It would wait for our own lock.
    fn check_apart(&self, place: &Place) -> Result<()> {
        let folder = self.source.folder.canonicalize().ok();
        match place {
            Place::Local(path) if folder.is_some() && path.canonicalize().ok() == folder => {
                let said = "it is where the snapshots of the source are";
                Err(Error::usage(format!("cannot back up to {place}"), said))
            }
            _ => Ok(()),
        }
    }

    /// An unplugged disk must not fill the disk that its mount point is on.
    fn check_mount(&self, place: &Place) -> Result<()> {
        let Place::Local(path) = place else {
            return Ok(());
        };
        if !self.order.require_mount {
            return Ok(());
        }
        let at = btrfs::mount_point(path)?;
        let ours = btrfs::mount_point(&self.source.path)?;
        match at {
            Some(at) if at != Path::new("/") && Some(&at) != ours.as_ref() => Ok(()),
            _ => Err(Error::refused(
                format!("cannot back up to {}", shown(path)),
                "no filesystem is mounted for it: is the disk there? (--require-mount)",
            )),
        }
    }

    /// Makes a snapshot if one is needed; everything that is at the source then.
    fn snapshot(&mut self) -> Result<Listing> {
        let mut listing = self.listing()?;
        let newest = self.source.ours(&listing).last().copied();
        let Some(why) = self.source.needs_snapshot(newest, self.order.always)? else {
            if let Some(newest) = newest {
                (self.watch)(Event::Unchanged(&newest.path));
            }
            return Ok(listing);
        };
        if self.order.dry_run {
            let imagined = self.source.imagined(self.now);
            (self.watch)(Event::Snapshot(&imagined.path, &why));
            listing.snapshots.push(imagined);
            return Ok(listing);
        }
        process::check("backing up")?;
        let name = self.source.make_snapshot(self.now)?;
        (self.watch)(Event::Snapshot(&name, &why));
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

    fn send_to_all(&mut self, dests: Vec<Dest>, listing: &Listing) -> Result<()> {
        let ours: Vec<Snapshot> = self.source.ours(listing).into_iter().cloned().collect();
        let Some(newest) = ours.last() else {
            let said = "the snapshot that was just made is not there";
            return Err(Error::failed(
                format!("cannot back up {}", shown(&self.source.path)),
                said,
            ));
        };
        let (count, mut errors) = (dests.len(), Vec::new());
        for mut dest in dests {
            let name = dest.name.clone();
            let done = match &mut dest.store {
                Ok(store) => self.send_to_one(&name, &mut **store, listing, &ours),
                Err(error) => Err(error.clone()),
            };
            match done {
                Ok(()) => {}
                Err(error) if error.kind == Kind::Interrupted => return Err(error),
                Err(error) => {
                    if count > 1 {
                        (self.watch)(Event::Failed(&name, &error));
                    }
                    errors.push(error);
                }
            }
        }
        match errors.pop() {
            Some(error) if count == 1 => Err(error),
            Some(_) => Err(self.incomplete(errors.len() + 1, count)),
            None => self.tidy(&newest.path, newest.id(), &ours),
        }
    }

    fn incomplete(&self, failed: usize, count: usize) -> Error {
        let kind = if failed < count {
            Kind::Partly
        } else {
            Kind::Failed
        };
        let doing = format!("incomplete backup of {}", shown(&self.source.path));
        let said =
            format!("{failed} of {count} destinations failed, so nothing is deleted at the source");
        Error::new(kind, doing, said)
    }

    /// Brings a destination up to date, and lets it forget what its policy does not keep.
    fn send_to_one(
        &mut self,
        name: &str,
        dest: &mut dyn Store,
        here: &Listing,
        ours: &[Snapshot],
    ) -> Result<()> {
        process::check("backing up")?;
        let there = dest.list()?;
        there.notes.iter().for_each(|note| self.note(note));
        let missing = missing(ours, &there);
        let excluded = |path: &Path| !missing.iter().any(|s| s.path == path);
        let wish = Wish {
            excluded: Some(&excluded),
            // What is not there yet cannot be measured.
            estimate: here.snapshots.iter().any(source::is_imagined),
            max_chain: Some(self.order.max_chain),
            ..Wish::default()
        };
        let watch = &mut *self.watch;
        let sync_watch = &mut |event: sync::Event| watch(Event::Sync(event));
        let mut plan = sync::make_plan(&mut *self.store, here, &there, &wish, sync_watch)?;
        if self.order.dry_run {
            let diffs: Vec<_> = plan.transfers().map(Step::diff).collect();
            plan.effort = dest.effort(&diffs);
        }
        (self.watch)(Event::Plan(name, &plan));
        if self.order.dry_run {
            return self.prune(name, dest, &there, &missing, ours);
        }
        let watch = &mut *self.watch;
        let sync_watch = &mut |event: sync::Event| watch(Event::Sync(event));
        let summary = sync::carry_out(&plan, &mut *self.store, dest, sync_watch)?;
        summary.verdict()?;
        (self.watch)(Event::Arrived(name, &summary));
        let there = dest.list()?;
        self.prune(name, dest, &there, &[], ours)
    }
}

/// What a destination should get: the newest, and what was made since the newest that it has. Older
/// ones it may have let go on purpose.
fn missing<'a>(ours: &'a [Snapshot], there: &Listing) -> Vec<&'a Snapshot> {
    let has: HashSet<Uuid> = there
        .snapshots
        .iter()
        .filter(|s| s.state != State::Partial)
        .map(Snapshot::id)
        .collect();
    let common = ours.iter().rposition(|s| has.contains(&s.id()));
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
