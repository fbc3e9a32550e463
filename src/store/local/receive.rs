//! Receiving one snapshot so that its name appears only when it is whole and durable.

use super::btrfs_receive::Child;
use super::builtin_receive::{self, Quarantined};
use super::listing::PART;
use super::parent::Exact;
use super::state::{self, Fact, Seal};
use super::writeback::Writeback;
use super::{Local, checked_name, open_dir, remove, split, sync};
use crate::btrfs;
use crate::digest::sha256;
use crate::error::{Doing, Error, Kind, Result};
use crate::log;
use crate::snapshot::{Diff, Origin, Snapshot, State, Uuid, shown};
use crate::store::{Receipt, Sink};
use crate::stream::{Check, Head, Parsed};
use crate::sys;
use crate::text::hex;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
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
pub(super) fn must_be_free(path: &Path) -> Result<()> {
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

/// A snapshot on its way in. Dropped before it is finished, what has arrived is removed.
pub(super) struct Receiving<'a> {
    local: &'a mut Local,
    diff: Diff,
    /// Relative to the store.
    path: PathBuf,
    // Before the part: nobody must write to what is removed.
    way: Way,
    part: Part,
    parent: Option<Exact>,
    writeback: Writeback,
    stage: Stage,
}

/// The stream's head decides under which name the rest is received.
enum Stage {
    Head(Vec<u8>),
    Rest { head: Box<Head>, check: Box<Check> },
}

/// Who makes a tree of it.
enum Way {
    Child(Box<Child>),
    Builtin(Box<Quarantined>),
}

impl Way {
    fn begin(&mut self, head: &Head, part: &OsStr) -> Result<()> {
        match self {
            Way::Child(child) => child.begin(head, part),
            Way::Builtin(quarantined) => quarantined.begin(head),
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Way::Child(child) => child.pass(bytes),
            Way::Builtin(quarantined) => quarantined.pass(bytes),
        }
    }
}

impl<'a> Receiving<'a> {
    pub(super) fn start(
        local: &'a mut Local,
        diff: &Diff,
        path: &Path,
        dir: &Path,
        name: &OsStr,
        parent: Option<Exact>,
    ) -> Result<Receiving<'a>> {
        let part = Part::claim(&local.dir, path, dir, name)?;
        let doing = format!("cannot receive {}", shown(dir.join(name)));
        let writeback = Writeback::start(open_dir(dir)?, doing.clone());
        let exact = parent.as_ref();
        let way = if builtin_receive::is_chosen(local.manner)? {
            Way::Builtin(Box::new(Quarantined::prepare(local, exact, doing)?))
        } else {
            let child = Child::start(local, exact, dir, (path, &part.part), doing)?;
            Way::Child(Box::new(child))
        };
        let stage = Stage::Head(Vec::new());
        Ok(Receiving {
            local,
            diff: *diff,
            path: path.to_owned(),
            way,
            part,
            parent,
            writeback,
            stage,
        })
    }

    fn doing(&self) -> String {
        format!(
            "cannot receive {}",
            shown(self.part.dir.join(&self.part.name))
        )
    }

    /// Collects the head, which says what is to be made.
    fn take_head(&mut self, bytes: &[u8]) -> Result<()> {
        let Stage::Head(so_far) = &mut self.stage else {
            return Ok(());
        };
        so_far.extend_from_slice(bytes);
        let (head, length) = match Head::parse(so_far)? {
            Parsed::Needs(_) => return Ok(()),
            Parsed::Whole(head, length) => (head, length),
        };
        let rest = so_far.split_off(length);
        self.expect(&head)?;
        self.way.begin(&head, &self.part.part)?;
        let mut check = Check::after(&head, length);
        check.feed(&rest)?;
        self.way.pass(&rest)?;
        self.stage = Stage::Rest {
            head: Box::new(head),
            check: Box::new(check),
        };
        Ok(())
    }

    /// The stream must be the one that was announced.
    fn expect(&self, head: &Head) -> Result<()> {
        let from = head.parent.map(|(uuid, _)| uuid);
        if (head.uuid, from) == (self.diff.to, self.diff.from) {
            return Ok(());
        }
        let name = |from: Option<Uuid>| from.map_or("nothing".to_owned(), |uuid| uuid.to_string());
        let said = format!(
            "the stream makes {} from {}, not {} from {}",
            head.uuid,
            name(from),
            self.diff.to,
            name(self.diff.from)
        );
        Err(Error::damaged(self.doing(), said))
    }
}

impl Write for Receiving<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stage {
            Stage::Head(_) => self.take_head(bytes)?,
            Stage::Rest { check, .. } => {
                check.feed(bytes)?;
                self.way.pass(bytes)?;
                self.writeback.passed(bytes.len() as u64);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Receiving<'_> {
    fn finish(mut self: Box<Self>) -> Result<Receipt> {
        let Stage::Rest { head, check, .. } = &self.stage else {
            return Err(Error::damaged(
                self.doing(),
                "the stream ended before its first command",
            ));
        };
        check.complete()?;
        let (head, bytes) = (head.clone(), check.passed());
        if let Way::Child(child) = &mut self.way {
            child.finish()?;
        }
        self.writeback.finish()?;
        if let Way::Builtin(quarantined) = &mut self.way {
            let dir = open_dir(&self.part.dir)?;
            let notes = quarantined.leave(&head, &dir, &self.part.part)?;
            self.local.notes.extend(notes);
        }
        let parent = self.parent.as_ref().map(|exact| exact.uuid);
        self.part.check(head.uuid, head.ctransid, parent)?;
        let origin = self.local.coming.get(&self.diff.to).cloned();
        let origin = self.local.signed(origin);
        let compares = self.local.compares;
        let snapshot = self.part.publish(&self.path, origin, compares)?;
        self.local.arrived(snapshot);
        Ok(Receipt::of(bytes))
    }
}

/// A subvolume under its unfinished name. Dropped before it is published, it is removed.
struct Part {
    store: PathBuf,
    /// Relative to the store, and what the mark names.
    mark: PathBuf,
    dir: PathBuf,
    name: OsString,
    part: OsString,
    published: bool,
}

impl Part {
    /// Makes sure that the unfinished name is free, and notes it down: the next run removes what
    /// it finds there.
    fn claim(store: &Path, path: &Path, dir: &Path, name: &OsStr) -> Result<Part> {
        let part = part_name(name);
        must_be_free(&dir.join(&part)).map_err(|mut error| {
            let way = shown(store);
            error.said = format!("{} (buttersink clean {way} removes leftovers)", error.said);
            error
        })?;
        let mark = path.with_file_name(&part);
        state::begin(store, &mark)?;
        Ok(Part {
            store: store.to_owned(),
            mark,
            dir: dir.to_owned(),
            name: name.to_owned(),
            part,
            published: false,
        })
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.part)
    }

    fn doing(&self) -> String {
        format!("cannot receive {}", shown(self.dir.join(&self.name)))
    }

    /// The exit status of `btrfs receive` is not proof: the subvolume must be what was sent, made from
    /// the parent that was meant.
    fn check(&self, uuid: Uuid, generation: u64, parent: Option<Uuid>) -> Result<()> {
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

    /// Makes it durable, gives it its name, makes that durable too, and seals it. That it is still to be
    /// compared is recorded before anybody can see it under its name.
    fn publish(
        &mut self,
        path: &Path,
        origin: Option<Origin>,
        uncompared: bool,
    ) -> Result<Snapshot> {
        let dir = open_dir(&self.dir)?;
        sync(&dir, || self.doing())?;
        if uncompared {
            state::uncompared(&self.store, btrfs::subvolume(&self.path())?.uuid)?;
        }
        sys::rename_noreplace(dir.as_fd(), &self.part, &self.name).doing(|| self.doing())?;
        self.published = true;
        sync(&dir, || self.doing())?;
        let now = btrfs::subvolume(&self.dir.join(&self.name))?;
        let received_uuid = now.received_uuid.unwrap_or(now.uuid);
        let seal = Seal {
            received_uuid,
            stransid: now.stransid,
            ctransid: now.ctransid,
        };
        let fact = Fact {
            seal: Some(seal),
            origin: origin.clone(),
            ..Fact::default()
        };
        state::add(&self.store, now.uuid, fact)?;
        state::ended(&self.store, &self.mark)?;
        Ok(Snapshot {
            path: path.to_owned(),
            uuid: now.uuid,
            received_uuid: now.received_uuid,
            parent_uuid: now.parent_uuid,
            ctransid: now.ctransid,
            otransid: now.otransid,
            stransid: now.stransid,
            read_only: true,
            state: if uncompared {
                State::Uncompared
            } else {
                State::Ok
            },
            origin,
            ..Snapshot::default()
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let path = self.path();
        let removed = match path.symlink_metadata() {
            Ok(_) => remove(&path),
            Err(_) => Ok(()),
        };
        match removed.and_then(|()| state::ended(&self.store, &self.mark)) {
            Ok(()) => log::line(|| format!("removed the unfinished {}", shown(&path))),
            // The next run removes it; a listing shows it until then.
            Err(error) => log::line(|| error.to_string()),
        }
    }
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

/// A second copy with the same identity, made by the filesystem itself.
pub(super) fn copy(local: &mut Local, from: &Path, to: &Path) -> Result<()> {
    checked_name(from)?;
    let name = checked_name(to)?;
    // A symbolic link, which a snapshot may well contain, leads nowhere else.
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    sys::open_beneath(local.filesystem.fd(), from, flags)
        .doing(|| format!("cannot copy {}", shown(from)))?;
    let dir = local.parent_of(to)?;
    let source = local.dir.join(from);
    let original = btrfs::subvolume(&source)?;
    let (id, generation) = match original.received_uuid {
        Some(uuid) => (uuid, original.stransid),
        None => (original.uuid, original.ctransid),
    };
    must_be_free(&dir.join(name))?;
    let mut part = Part::claim(&local.dir, to, &dir, name)?;
    let path = part.path();
    let (part_dir, part_name) = split(&path)?;
    btrfs::create_snapshot(&source, part_dir, part_name, false)?;
    btrfs::set_received(&path, id, generation)?;
    btrfs::set_read_only(&path, true)?;
    part.check(id, generation, Some(original.uuid))?;
    let same = |s: &&Snapshot| s.uuid == original.uuid;
    let known = local.known.iter().find(same);
    let origin = known.and_then(|s| s.origin.clone());
    let uncompared = known.is_some_and(|s| s.state == State::Uncompared);
    let snapshot = part.publish(to, local.signed(origin), uncompared)?;
    local.arrived(snapshot);
    Ok(())
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
