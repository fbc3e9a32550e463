//! What is not finished: a subvolume under a name that is recorded, so that the next run removes it if this
//! one cannot; and how it gets its own name, whole and durable.

use crate::btrfs::{self, Filesystem};
use crate::digest::sha256;
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Origin, Snapshot, State, Uuid, shown};
use crate::store::local::listing::PART;
use crate::store::local::paths::{open_dir, sync};
use crate::store::local::records::seals::{self, Fact, Pending, Seal};
use crate::store::local::records::{marks, quarantine};
use crate::sys::at::rename_at;
use crate::sys::dir::is_there;
use crate::text::hex;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest name that a btrfs directory entry can have, in bytes.
const NAME_MAX: usize = 255;

/// The name under which a snapshot is received: `NAME.part`; a long one is cut, and told apart
/// from others by a digest of the whole.
pub(super) fn part_name(name: &OsStr) -> OsString {
    let mut part = OsString::from(name);
    if name.len() + PART.len() > NAME_MAX {
        let digest = sha256(name.as_bytes());
        let hex = hex(&digest[..8]);
        let keep = NAME_MAX - PART.len() - hex.len() - 1;
        part = OsStr::from_bytes(&name.as_bytes()[..keep]).to_owned();
        part.push(format!("-{hex}"));
    }
    part.push(PART);
    part
}

/// Nothing may be there yet, and the name must be one that the filesystem can have.
pub(crate) fn must_be_free(path: &Path) -> Result<()> {
    let doing = || format!("cannot receive {}", shown(path));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(doing(), error)),
        Ok(_) => Err(Error::refused(
            doing(),
            "there is something of that name already: rename or remove it",
        )),
    }
}

/// What is recorded with a seal.
pub(super) struct SealNote {
    pub(super) origin: Option<Origin>,
    /// It is still to be compared with its source.
    pub(super) uncompared: bool,
    /// Bytes of the stream.
    pub(super) bytes: u64,
}

/// A subvolume under its unfinished name, or in quarantine. Dropped before it is published, it is removed.
pub(super) struct PartialSnapshot {
    store: PathBuf,
    /// Where it will be, relative to the store.
    will_be: PathBuf,
    /// Where it is, relative to the store: what the mark names.
    is: PathBuf,
    /// The transaction in which its name was claimed, if the kernel tells.
    since: Option<u64>,
    published: bool,
}

impl PartialSnapshot {
    /// Makes sure that the unfinished name of what will be at `path` of the store is free, and notes it
    /// down: the next run removes what it finds there.
    pub(super) fn claim(store: &Path, path: &Path) -> Result<PartialSnapshot> {
        let is = path.with_file_name(part_name(path.file_name().unwrap_or_default()));
        must_be_free(&store.join(&is)).map_err(|error| {
            let way = shown(store);
            error.hint(format!("remove leftovers: buttersink clean {way}"))
        })?;
        quarantine::must_be_free(store, &is, || receiving(store, path))?;
        let since = Filesystem::open(store)?.generation()?;
        marks::begin(store, &is, since)?;
        Ok(PartialSnapshot {
            store: store.to_owned(),
            will_be: path.to_owned(),
            is,
            since,
            published: false,
        })
    }

    /// The path at which it is now.
    pub(super) fn path(&self) -> PathBuf {
        self.store.join(&self.is)
    }

    /// Where it will be, relative to the store.
    pub(super) fn will_be(&self) -> &Path {
        &self.will_be
    }

    /// Its name in quarantine.
    pub(super) fn quarantined(&self) -> Result<String> {
        quarantine::name(&self.store, &self.is)
    }

    /// The directory that it is in.
    pub(super) fn dir(&self) -> PathBuf {
        self.store.join(self.is.parent().unwrap_or(Path::new("")))
    }

    /// Its unfinished name.
    pub(super) fn name(&self) -> &OsStr {
        self.is.file_name().unwrap_or_default()
    }

    /// What goes on, for errors.
    pub(super) fn doing(&self) -> String {
        receiving(&self.store, &self.will_be)
    }

    /// The exit status of `btrfs receive` is not proof: the subvolume must be what was sent, made from
    /// the parent that was meant.
    pub(super) fn check(&self, uuid: Uuid, generation: u64, parent: Option<Uuid>) -> Result<()> {
        let wrong = |what: String| Err(Error::damaged(self.doing(), what));
        if self.path().symlink_metadata().is_err() {
            return wrong("btrfs receive ended well and made no subvolume".to_owned());
        }
        let now = btrfs::subvolume(&self.path())?;
        match now.received_uuid {
            _ if !now.read_only => wrong("btrfs receive left it read-write".to_owned()),
            Some(received) if received != uuid => {
                wrong(format!("its received UUID is {received}, not {uuid}"))
            }
            None => wrong("btrfs receive gave it no received UUID".to_owned()),
            _ if now.stransid != generation => wrong(format!(
                "its generation is {}, not {generation}",
                now.stransid
            )),
            _ if now.parent_uuid != parent => {
                Err(another_parent(self.doing(), now.parent_uuid, parent))
            }
            _ => Ok(()),
        }
    }

    /// Makes it durable, and publishes it: see [`publish_all`].
    pub(super) fn publish(self, told: SealNote) -> Result<Snapshot> {
        let (dir, doing) = (open_dir(&self.dir())?, self.doing());
        sync(&dir, || doing.clone())?;
        let mut done = publish_all(vec![(self, told)])?;
        let gone = || Err(Error::failed(doing, "nothing was received"));
        done.pop().unwrap_or_else(gone)
    }

    /// What it will be, as it is recorded before it has its name.
    fn pending(&self, told: &SealNote) -> Result<(Uuid, Fact)> {
        let name = self.will_be.file_name().unwrap_or_default();
        let whole = btrfs::subvolume(&self.path())?;
        let fact = Fact {
            pending: Pending::of(&whole, name),
            origin: told.origin.clone(),
            bytes: Some(told.bytes),
            uncompared: told.uncompared.then_some(true),
            ..Fact::default()
        };
        Ok((whole.uuid, fact))
    }

    /// Gives it its name.
    fn rename(&mut self) -> Result<()> {
        let (dir, name) = (
            open_dir(&self.dir())?,
            self.will_be.file_name().unwrap_or_default(),
        );
        let (dir, name) = (dir.as_fd(), name.as_bytes());
        rename_at(dir, self.name().as_bytes(), dir, name, false).doing(|| self.doing())?;
        self.published = true;
        Ok(())
    }

    /// It as it is listed, under its own name.
    fn as_published(&self, told: SealNote) -> Result<(Snapshot, Fact)> {
        let now = btrfs::subvolume(&self.store.join(&self.will_be))?;
        let fact = Fact {
            seal: Seal::of(&now),
            ..Fact::default()
        };
        let state = match told.uncompared {
            true => State::Uncompared,
            false => State::Ok,
        };
        let snapshot = Snapshot {
            path: self.will_be.clone(),
            uuid: now.uuid,
            received_uuid: now.received_uuid,
            parent_uuid: now.parent_uuid,
            ctransid: now.ctransid,
            otransid: now.otransid,
            stransid: now.stransid,
            read_only: true,
            state,
            origin: told.origin,
            ..Snapshot::default()
        };
        Ok((snapshot, fact))
    }
}

/// Gives what is whole and durable its names, makes these durable too, and seals it. What it is of, and that
/// it is still to be compared, is recorded before anybody can see it under its name, and with it what will be
/// its seal, should this run end before. What cannot get its name is removed, and the others get theirs.
///
/// # Errors
/// If records cannot be written, or the names not be made durable. What has its name by then keeps it, and the
/// next run seals it.
pub(super) fn publish_all(
    parts: Vec<(PartialSnapshot, SealNote)>,
) -> Result<Vec<Result<Snapshot>>> {
    let Some((first, _)) = parts.first() else {
        return Ok(Vec::new());
    };
    let (store, dir, doing) = (first.store.clone(), open_dir(&first.dir())?, first.doing());
    let pending = parts.iter().map(|(part, told)| part.pending(told));
    seals::add_all(&store, pending.collect::<Result<Vec<_>>>()?)?;
    let named = parts.into_iter().map(|(mut part, told)| {
        let named = part.rename();
        named.map(|()| (part, told))
    });
    let named: Vec<Result<_>> = named.collect();
    sync(&dir, || doing)?;
    let published = named.into_iter().map(|named| {
        let (part, told) = named?;
        let (snapshot, fact) = part.as_published(told)?;
        Ok((part, snapshot, fact))
    });
    let published: Vec<Result<_>> = published.collect();
    let sealed = published.iter().flatten();
    seals::add_all(&store, sealed.map(|(_, s, fact)| (s.uuid, fact.clone())))?;
    let done = published.into_iter().map(|published| {
        let (part, snapshot, _) = published?;
        marks::ended(&store, &part.is)?;
        Ok(snapshot)
    });
    Ok(done.collect())
}

impl PartialSnapshot {
    /// Removes what is under the unfinished name, if it was made since that was noted down.
    fn remove(&self) -> Result<()> {
        let path = self.path();
        if !is_there(&path).doing(|| self.doing())? {
            return Ok(());
        }
        let now = btrfs::subvolume(&path)?;
        match self.since.is_none_or(|since| now.otransid >= since) {
            true => btrfs::delete_subvolume(&path, now.id),
            false => Err(Error::refused(
                self.doing(),
                format!("{} is older than this transfer: look at it", shown(&path)),
            )),
        }
    }
}

impl Drop for PartialSnapshot {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let path = self.path();
        let removed = self
            .remove()
            .and_then(|()| quarantine::remove(&self.store, &self.is));
        match removed.and_then(|()| marks::ended(&self.store, &self.is)) {
            Ok(()) => log::line(|| format!("removed the unfinished {}", shown(&path))),
            // The next run removes it; a listing shows it until then.
            Err(error) => log::line(|| error.to_string()),
        }
    }
}

/// What goes on in a store, for errors.
fn receiving(store: &Path, path: &Path) -> String {
    format!("cannot receive {}", shown(store.join(path)))
}

fn another_parent(doing: String, found: Option<Uuid>, meant: Option<Uuid>) -> Error {
    let name = |uuid: Option<Uuid>| uuid.map_or("nothing".to_owned(), |uuid| uuid.to_string());
    let said = format!(
        "btrfs receive made it from {}, and not from {}: removed",
        name(found),
        name(meant)
    );
    Error::new(Kind::Unreceivable, doing, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_names_fit() {
        assert_eq!(part_name(OsStr::new("daily")), "daily.part");
        let (long, other) = ("x".repeat(255), "x".repeat(254) + "y");
        assert_eq!(part_name(OsStr::new(&long)).len(), NAME_MAX);
        assert_ne!(part_name(OsStr::new(&long)), part_name(OsStr::new(&other)));
        let fits = "x".repeat(250);
        assert_eq!(
            part_name(OsStr::new(&fits)),
            OsString::from(fits.clone() + ".part")
        );
    }
}
