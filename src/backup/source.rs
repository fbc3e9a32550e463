//! The subvolume that is backed up, and the directory of its snapshots: what is there, whether a new
//! one is needed, making it, and the link to the latest. Knows no destination.

use super::names::Naming;
use crate::attribution::{self, Family, LineageNode};
use crate::btrfs::{self, Filesystem, Subvolume};
use crate::error::{Doing, Error, Result};
use crate::log::transactions;
use crate::machine;
use crate::snapshot::{Listing, Origin, Size, Sizes, Snapshot, State, Uuid, shown};
use crate::store::records::{self, STATE};
use crate::sys;
use crate::sys::secure_open::Unopened;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned, tz::TimeZone};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A subvolume, and where its snapshots are.
#[derive(Debug)]
pub struct BackupSource {
    /// The subvolume, without symbolic links.
    pub path: PathBuf,
    /// The directory of its snapshots. A dry run may find none.
    pub folder: PathBuf,
    /// How its snapshots are called.
    pub naming: Naming,
    subvolume: Subvolume,
    /// Other subvolumes in it, relative to it: they are in none of its snapshots.
    pub nested: Vec<PathBuf>,
    /// UUIDs of what else can be written to on this filesystem.
    others: HashSet<Uuid>,
    family: Family,
}

/// A subvolume must be one that changes, and be known by its own UUID.
fn must_make_sense(found: &Subvolume, path: &Path) -> Result<()> {
    let doing = format!("cannot back up {}", shown(path));
    if found.read_only {
        let said = "it is read-only, so there is nothing to snapshot; a snapshot is sent by buttersink SNAPSHOT DEST";
        return Err(Error::usage(doing, said));
    }
    if found.received_uuid.is_some() {
        let said = format!(
            "it was received and then made read-write, so that all its snapshots would pass for what was \
             received: use another in its place, made by btrfs subvolume snapshot {} NEW",
            shown(path)
        );
        return Err(Error::refused(doing, said));
    }
    Ok(())
}

impl BackupSource {
    /// Finds a subvolume and the directory of its snapshots, relative to it or absolute, which is
    /// made if `make` says so.
    ///
    /// # Errors
    /// If one of them is not what it has to be.
    pub fn open(path: &Path, folder: &Path, naming: Naming, make: bool) -> Result<BackupSource> {
        let found = btrfs::subvolume(path)?;
        let path = path
            .canonicalize()
            .doing(|| format!("cannot open {}", shown(path)))?;
        must_make_sense(&found, &path)?;
        let folder = path.join(folder);
        check_folder(&path, &folder)?;
        if matches!(naming, Naming::OneShot(_)) {
            must_have_a_place(&folder)?;
        }
        if make {
            make_folder(&folder)?;
        }
        let all = Filesystem::open(&path)?.subvolumes()?.all;
        let others = all.iter().filter(|s| !s.read_only && s.uuid != found.uuid);
        let inside = all.iter().filter_map(|s| s.below.as_ref());
        let nested = inside.filter(|below| {
            let whole = path.join(below);
            whole != path && !whole.starts_with(&folder)
        });
        Ok(BackupSource {
            family: family(&path, found.uuid, &all)?,
            nested: nested.cloned().collect(),
            others: others.map(|s| s.uuid).collect(),
            subvolume: all.into_iter().find(|s| s.id == found.id).unwrap_or(found),
            naming,
            path,
            folder,
        })
    }

    /// The UUID of the subvolume.
    pub fn uuid(&self) -> Uuid {
        self.subvolume.uuid
    }

    /// What records say that its snapshots are of.
    ///
    /// # Errors
    /// If the filesystem cannot be asked.
    pub fn origin(&self) -> Result<Origin> {
        Ok(Origin {
            machine: self.family.machine.clone(),
            host: machine::name(),
            filesystem: Filesystem::open(&self.path)?.fsid()?,
            subvolume: self.subvolume.uuid,
            ..Origin::default()
        })
    }

    /// The subvolume under every name that it had, and which of our snapshots are known to be of it.
    pub fn family(&self, ours: &[Snapshot]) -> Family {
        let certain = |s: &&Snapshot| {
            let origin = s.origin.as_ref();
            origin.is_some_and(|origin| self.family.subjects.contains(&origin.subject()))
        };
        // What is only imagined is of it, too.
        let here = ours.iter().filter(|s| certain(s) || is_imagined(s));
        Family {
            here: here.map(Snapshot::id).collect(),
            ..self.family.clone()
        }
    }

    /// The snapshots in the folder that backups of this subvolume made, oldest first.
    pub fn ours<'a>(&self, listing: &'a Listing) -> Vec<&'a Snapshot> {
        let named = |s: &&Snapshot| self.is_our_name(&s.path);
        // Two subvolumes may share a directory: a snapshot of the other one is not ours.
        let related = |s: &&Snapshot| {
            !s.parent_uuid
                .is_some_and(|uuid| self.others.contains(&uuid))
        };
        let sound = |s: &&Snapshot| {
            s.read_only && !matches!(s.state, State::Partial | State::Altered | State::Uncompared)
        };
        let all = listing.snapshots.iter();
        let mut ours: Vec<&Snapshot> = all.filter(named).filter(related).filter(sound).collect();
        // What was brought back is older than what was made here: its generations may be those of
        // another filesystem.
        ours.sort_by_key(|s| match s.received_uuid {
            Some(_) => (0, s.stransid, &s.path),
            None => (1, s.otransid, &s.path),
        });
        ours
    }

    /// Why a new snapshot is needed; `None` if the newest is as good.
    ///
    /// # Errors
    /// If the subvolume cannot be read.
    pub fn needs_snapshot(&self, newest: Option<&Snapshot>) -> Result<Option<String>> {
        let Some(newest) = newest else {
            return Ok(Some("there is none yet".to_owned()));
        };
        let name = shown(&newest.path);
        let snapshot = self.folder.join(&newest.path);
        // A listing goes past what can be written to and has a parent itself, as this one after a rollback.
        let made_of = match btrfs::subvolume(&snapshot) {
            Ok(now) => now.parent_uuid,
            Err(_) => newest.parent_uuid,
        };
        if newest.received_uuid.is_some() || made_of != Some(self.subvolume.uuid) {
            return Ok(Some(format!(
                "{name} is not one of this subvolume as it is now"
            )));
        }
        let ours = self.own_inodes();
        match btrfs::changed_since(&self.path, &snapshot, |inode| ours.contains(&inode)) {
            Ok(changed) => Ok(changed.then(|| format!("changed since {name}"))),
            // One that is rotten keeps nobody from having today's.
            Err(error) => Ok(Some(format!(
                "nobody can tell what changed since {name}: {error}"
            ))),
        }
    }

    /// Inodes of the folder, of what the filesystem is remembered by, and of what is in them: our own
    /// doing is no change. None of what is not in the subvolume itself, nor of what cannot be read, as
    /// a rotten snapshot.
    fn own_inodes(&self) -> HashSet<u64> {
        let mut inodes = HashSet::new();
        let device = self.path.metadata().ok().map(|top| top.dev());
        let mut open = vec![self.folder.clone(), self.path.join(STATE)];
        let mount = btrfs::mount_point(&self.path).ok().flatten();
        open.extend(mount.map(|at| at.join(STATE)));
        while let Some(path) = open.pop() {
            // The top of a snapshot that the disk no longer gives is none of the subvolume's inodes; what
            // else cannot be read counts as a change, and so at worst there is one snapshot more.
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            if Some(metadata.dev()) != device {
                continue;
            }
            inodes.insert(metadata.ino());
            let inside = path.read_dir().into_iter().flatten();
            open.extend(inside.filter_map(|entry| Some(entry.ok()?.path())));
        }
        inodes
    }

    /// The name of a snapshot made now: that of the next second at which none has it.
    fn free_name(&self, now: &Zoned) -> (OsString, Zoned) {
        let mut at = now.clone();
        loop {
            let mut names = self.naming.names(&at).into_iter();
            let taken = names.any(|name| self.folder.join(name).symlink_metadata().is_ok());
            match at.checked_add(1.second()) {
                Ok(later) if taken => at = later,
                _ => return (self.naming.name(&at), at),
            }
        }
    }

    /// Makes a read-only snapshot, durably; its name.
    ///
    /// # Errors
    /// If the kernel refuses, as it does for swap files in use.
    pub fn make_snapshot(&self, now: &Zoned) -> Result<PathBuf> {
        let (name, _) = self.free_name(now);
        let made = btrfs::create_snapshot(&self.path, &self.folder, &name, true)
            .map_err(|error| self.name_swap_files(error))
            .and_then(|()| sync(&self.folder));
        let place = || {
            format!(
                "{} of {}",
                shown(self.folder.join(&name)),
                shown(&self.path)
            )
        };
        transactions::change("snapshot", place, made)?;
        Ok(name.into())
    }

    /// What a snapshot would look like in a listing, had it been made now.
    pub fn imagined(&self, now: &Zoned) -> Snapshot {
        let (name, at) = self.free_name(now);
        Snapshot {
            path: name.into(),
            uuid: IMAGINED,
            parent_uuid: Uuid::set(self.subvolume.uuid.0),
            ctransid: self.subvolume.generation + 1,
            otransid: self.subvolume.generation + 1,
            created: Some(at.timestamp().as_second()),
            read_only: true,
            tree_bytes: self.subvolume.tree_bytes,
            ..Snapshot::default()
        }
    }

    /// About how long the streams of [`BackupSource::imagined`] are: whole, and from each of our snapshots.
    ///
    /// # Errors
    /// If the subvolume cannot be read.
    pub fn imagined_sizes(&self, ours: &[Snapshot]) -> Result<Sizes> {
        let written = btrfs::written(&self.path)?;
        let from = |s: &Snapshot| (Some(s.id()), written.since(s.otransid));
        let all = ours.iter().filter(|s| !is_imagined(s)).map(from);
        let all = all.chain([(None, written.since(0))]);
        Ok(all
            .map(|(from, bytes)| ((IMAGINED, from, Vec::new()), Size::Estimate(bytes).into()))
            .collect())
    }

    fn name_swap_files(&self, mut error: Error) -> Error {
        let files = btrfs::swap_files();
        let inside = files.iter().filter(|file| file.starts_with(&self.path));
        let names: Vec<String> = inside.map(shown).collect();
        if !names.is_empty() {
            error.said = format!("a swap file in use is in it: {}", names.join(", "));
            return error.hint("swapoff it, or keep it in a subvolume of its own");
        }
        error
    }

    /// When a snapshot was made: as its source recorded it, else by its name, else when this copy was.
    /// A name is in local time, so that it may be wrong by as much as zones differ; one that differs by
    /// more was given by a wrong clock, or tells of an older snapshot that this is a copy of.
    pub fn made(&self, snapshot: &Snapshot, now: &Zoned) -> Timestamp {
        const ZONES: SignedDuration = SignedDuration::from_hours(26);
        let second = |seconds: Option<i64>| Timestamp::from_second(seconds?).ok();
        let name = snapshot.path.as_os_str();
        let named = self.naming.made(name, now.time_zone());
        let recorded = second(snapshot.origin.as_ref().and_then(|origin| origin.made));
        match (named, recorded) {
            (Some(named), Some(made)) if named.duration_since(made).abs() > ZONES => {
                named.min(made)
            }
            // The name is of when a run began, which may have looked at far places for minutes before it made one.
            (Some(named), Some(made)) if made > now.timestamp() && named <= now.timestamp() => {
                named
            }
            (_, Some(made)) => made,
            (Some(named), None) => named,
            (None, None) => second(snapshot.created).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Whether a name at a destination is one that backups with this prefix give.
    pub fn is_our_name(&self, path: &Path) -> bool {
        self.naming.made(path.as_os_str(), &TimeZone::UTC).is_some()
    }

    /// Lets the link name the latest snapshot that arrived everywhere; whether it changed. Not all
    /// kinds of backups have one.
    ///
    /// # Errors
    /// If something else has its name, or the folder cannot be written to.
    pub fn move_link(&self, to: &Path) -> Result<bool> {
        let Some(new) = self.naming.link() else {
            return Ok(false);
        };
        let doing = || format!("cannot replace the link {}", shown(self.folder.join(&new)));
        // It may lie in what belongs to a user, who must not lead us elsewhere meanwhile.
        let found = Unopened::at(&self.folder).doing(doing)?;
        let folder = found.handle();
        let link = folder.join(&new);
        match std::fs::read_link(&link) {
            Ok(there) if there == to => return Ok(false),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(doing),
            _ => {}
        }
        // Nothing that is there is in the way, or in danger.
        let mut other = new.clone();
        other.push(format!("-{:016x}", sys::random().doing(doing)?));
        let other = folder.join(other);
        std::os::unix::fs::symlink(to, &other).doing(doing)?;
        std::fs::rename(&other, &link).doing(doing)?;
        sync(&self.folder)?;
        Ok(true)
    }
}

/// What a subvolume is called in records, and what it descends from.
fn family(path: &Path, subvolume: Uuid, all: &[Subvolume]) -> Result<Family> {
    let nodes: Vec<LineageNode> = all
        .iter()
        .map(|s| LineageNode {
            uuid: s.uuid,
            parent: s.parent_uuid,
            read_only: s.read_only,
        })
        .collect();
    let continued = attribution::continues(subvolume, &nodes);
    let filesystem = Filesystem::open(path)?.fsid()?;
    let recorded = records::origins(path);
    let mut family = Family {
        machine: machine::id().to_owned(),
        taken: attribution::taken(subvolume, &nodes),
        ..Family::default()
    };
    for uuid in &continued {
        let same = all.iter().find(|s| s.uuid == *uuid);
        family.line.extend(
            [*uuid]
                .into_iter()
                .chain(same.and_then(|s| s.received_uuid)),
        );
        let origin = recorded
            .get(uuid)
            .filter(|origin| family.may_continue(origin));
        let own = Origin {
            machine: family.machine.clone(),
            filesystem,
            subvolume: *uuid,
            ..Origin::default()
        };
        family.subjects.extend(
            [own.subject()]
                .into_iter()
                .chain(origin.map(Origin::subject)),
        );
    }
    Ok(family)
}

/// The UUID of no snapshot.
const IMAGINED: Uuid = Uuid([255; 16]);

/// Whether it is from [`BackupSource::imagined`].
pub fn is_imagined(snapshot: &Snapshot) -> bool {
    snapshot.uuid == IMAGINED
}

/// Snapshots are on the filesystem of what they are of, and so must be the directory, or that in
/// which it is to be made.
pub(super) fn check_folder(path: &Path, folder: &Path) -> Result<()> {
    let doing = || {
        let (path, folder) = (shown(path), shown(folder));
        format!("cannot keep snapshots of {path} in {folder}")
    };
    if let Err(error) = Unopened::at(folder)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).doing(doing);
    }
    let mut above = folder.ancestors();
    let there = above.find(|dir| dir.is_dir()).unwrap_or(folder);
    let ours = Filesystem::open(path)?.fsid()?;
    match Filesystem::open(there).and_then(|other| other.fsid()) {
        Ok(other) if other == ours => Ok(()),
        Ok(_) => {
            let said = "that is on another filesystem: choose a directory on the same one";
            Err(Error::refused(doing(), said))
        }
        Err(error) => Err(Error::refused(doing(), error.to_string())),
    }
}

/// Where somebody names the folder, a missing directory above it is a mistake.
fn must_have_a_place(folder: &Path) -> Result<()> {
    match folder.parent().filter(|above| !above.is_dir()) {
        None => Ok(()),
        Some(above) => {
            let said = format!("there is no directory {}: make it first", shown(above));
            Err(Error::failed(
                format!("cannot make {}", shown(folder)),
                said,
            ))
        }
    }
}

/// With all that is above it: a configuration names it for good, and it was looked at before.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).doing(|| format!("cannot make {}", shown(folder)))
}

fn sync(folder: &Path) -> Result<()> {
    let doing = || format!("cannot write {}", shown(folder));
    let folder = Unopened::at(folder).and_then(|found| found.open_directory());
    sys::syncfs(folder.doing(doing)?.as_fd()).doing(doing)
}
