//! One backup of one subvolume to the destinations that somebody names: an order into a run. Knows no
//! file of a configuration.

use super::names::{self, Naming};
use super::retention::Policy;
use super::run::{BackupSelection, Dest, Keeps, MakeWhen, Run};
use super::source::BackupSource;
use crate::btrfs::{self, Filesystem};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::snapshot::shown;
use crate::store::{self, Access, Place, Store, StoreOptions};
use jiff::Zoned;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupOrder {
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
    /// Everything is sent whole.
    pub whole: bool,
    /// Destinations on this machine must be on filesystems mounted for them.
    pub require_mount: bool,
    /// Destinations on this machine that are not there are made.
    pub create: bool,
    /// What arrives is held against its source.
    pub compare: bool,
    /// Nothing is changed.
    pub dry_run: bool,
    /// Where differences are kept: how long a chain of them may get.
    pub max_chain: usize,
}

impl BackupOrder {
    /// A snapshot of a subvolume as it usually is, and nothing else.
    pub fn of(subvolume: &OsStr) -> BackupOrder {
        BackupOrder {
            subvolume: subvolume.into(),
            folder: "snapshot".into(),
            prefix: OsString::new(),
            destinations: Vec::new(),
            source_keeps: Policy::default(),
            dest_keeps: Policy::default(),
            always: false,
            whole: false,
            require_mount: false,
            create: false,
            compare: false,
            dry_run: false,
            max_chain: 0,
        }
    }
}

/// Makes a backup.
///
/// # Errors
/// [`crate::error::Kind::Partly`] if a destination failed and others did not,
/// [`crate::error::Kind::Busy`] if another run is at work; whatever stops all of it.
pub fn run(
    order: &BackupOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    names::check_prefix(&order.prefix)?;
    let naming = Naming::OneShot(order.prefix.clone());
    let source = BackupSource::open(&order.subvolume, &order.folder, naming, !order.dry_run)?;
    let mut store = open_source(&source, order.dry_run, store_options)?;
    let store_options = store_options.at(&order.destinations);
    let mut opened = open_destinations(order, &source, &store_options, listener)?;
    let places = order.destinations.iter().zip(&mut opened);
    let dests = places.map(|(place, store)| Dest {
        name: place.to_string(),
        store: as_store(store),
        wants: BackupSelection::Missing,
        keeps: Keeps::Policy(order.dest_keeps.clone()),
        costs: None,
        compare: order.compare,
    });
    let dests = dests.collect();
    let make = match order.always {
        true => MakeWhen::Always("--always".to_owned()),
        false => MakeWhen::IfChanged,
    };
    let mut run = Run {
        source: &source,
        store: &mut *store,
        now,
        make,
        keeps: order.source_keeps.clone(),
        dry_run: order.dry_run,
        max_chain: Some(order.max_chain),
        whole: order.whole,
        pinned: Vec::new(),
        pinned_names: Vec::new(),
        lets_go: !order.destinations.is_empty(),
        said: HashSet::new(),
        listener,
    };
    run.go(dests)?.verdict(&source.path)
}

/// The snapshots of a source.
///
/// # Errors
/// If they cannot be reached, or another run holds the lock.
pub(super) fn open_source(
    source: &BackupSource,
    dry_run: bool,
    store_options: &StoreOptions,
) -> Result<Box<dyn Store>> {
    let access = if dry_run { Access::Read } else { Access::Write };
    let place = match source.folder.is_dir() {
        true => source.folder.clone(),
        // A dry run before the first backup: there are no snapshots to be found.
        false => source.path.clone(),
    };
    store::open(&place.into(), access, store_options)
}

/// What was opened, or a copy of why it was not.
pub(super) fn as_store<'a>(
    opened: &'a mut Result<Box<dyn Store>>,
) -> Result<&'a mut (dyn Store + 'a)> {
    match opened {
        Ok(store) => Ok(&mut **store),
        Err(error) => Err(error.clone()),
    }
}

/// All at once, so that nothing is done where none of them is there.
fn open_destinations(
    order: &BackupOrder,
    source: &BackupSource,
    store_options: &StoreOptions,
    listener: &mut Listener,
) -> Result<Vec<Result<Box<dyn Store>>>> {
    let mut opened = Vec::new();
    for place in &order.destinations {
        check_apart(source, place)?;
        let mounted = match order.require_mount {
            true => check_mount(&source.path, place),
            false => Ok(()),
        };
        let access = access(order.dry_run, order.dest_keeps.keeps_all());
        let made = mounted.and_then(|()| match order.create && !order.dry_run {
            true => place.create(),
            false => Ok(()),
        });
        if let Some(remark) = remark_on_one_disk(source, place) {
            listener(Event::note(remark));
        }
        let store = made.and_then(|()| store::open(place, access, store_options));
        let store = store.map_err(|error| place.way_to_make(error));
        opened.push(store.map_err(not_this_work));
    }
    if opened.iter().any(Result::is_ok) {
        return Ok(opened);
    }
    let mut errors = opened.into_iter().filter_map(Result::err);
    let first = errors.next();
    for (place, error) in order.destinations.iter().skip(1).zip(errors) {
        listener(Event::destination(&place.to_string(), Err(&error)));
    }
    first.map_or(Ok(Vec::new()), Err)
}

/// What is lost together with the original is hardly a backup.
pub(super) fn remark_on_one_disk(source: &BackupSource, place: &Place) -> Option<String> {
    let filesystem = |dir: &Path| Filesystem::open(dir).ok()?.fsid().ok();
    let there = filesystem(place.path()?)?;
    let same = filesystem(&source.path) == Some(there);
    same.then(|| {
        let path = shown(&source.path);
        format!("{place} is on the filesystem of {path} itself: what destroys that takes both")
    })
}

/// Whoever holds the lock of a destination does other work there: this backup was not made by anybody.
pub(super) fn not_this_work(error: Error) -> Error {
    match error.kind {
        Kind::Busy => Error {
            kind: Kind::Failed,
            ..error
        },
        _ => error,
    }
}

/// What a run does to a destination.
pub(super) fn access(dry_run: bool, keeps_all: bool) -> Access {
    match (dry_run, keeps_all) {
        (true, _) => Access::Read,
        (_, true) => Access::Append,
        (_, false) => Access::Write,
    }
}

/// It would wait for our own lock.
pub(super) fn check_apart(source: &BackupSource, place: &Place) -> Result<()> {
    let folder = source.folder.canonicalize().ok();
    match place.directory() {
        Some(path) if folder.is_some() && path.canonicalize().ok() == folder => {
            let said = "it is where the snapshots of the source are";
            Err(Error::usage(format!("cannot back up to {place}"), said))
        }
        _ => Ok(()),
    }
}

/// An unplugged disk must not fill the disk that its mount point is on.
pub(super) fn check_mount(source: &Path, place: &Place) -> Result<()> {
    // What is below the root of streams is made when it is needed.
    let Some(path) = place.nearest() else {
        return Ok(());
    };
    let at = btrfs::mount_point(path)?;
    let ours = btrfs::mount_point(source)?;
    match at {
        Some(at) if at != Path::new("/") && Some(&at) != ours.as_ref() => Ok(()),
        _ => Err(Error::refused(
            format!("cannot back up to {}", shown(path)),
            "no filesystem is mounted for it: is the disk there? (--require-mount)",
        )),
    }
}
