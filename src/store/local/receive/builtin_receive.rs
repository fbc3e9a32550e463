//! Our own way to receive a snapshot, without `btrfs receive`: in quarantine, a directory of root's
//! alone, until all of it is there; then under its unfinished name, and read-only before anybody
//! has had time to change it. Who publishes it is `receive`'s business.

use super::parent::{Exact, Needs};
use super::way_out::unreceivable;
use crate::btrfs;
use crate::error::{Doing, Error, Kind, Result};
use crate::process::{self, Priority};
use crate::receive::{self, Received, Receiver};
use crate::snapshot::{Uuid, shown};
use crate::store::local::records::quarantine;
use crate::store::local::records::state_dir::{self, StateDir};
use crate::store::local::{Local, Manner};
use crate::stream::Head;
use crate::sys;
use crate::sys::at::{open_within, rename_at};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

/// How local stores receive snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiveWith {
    /// By what we know ourselves.
    Builtin,
    /// By the program `btrfs`.
    Btrfs,
}

impl ReceiveWith {
    /// Whether this machine can.
    pub(crate) fn is_possible(self) -> bool {
        match self {
            ReceiveWith::Builtin => receive::is_possible(),
            ReceiveWith::Btrfs => process::program("btrfs").is_some(),
        }
    }
}

impl FromStr for ReceiveWith {
    type Err = Error;

    fn from_str(word: &str) -> Result<ReceiveWith> {
        match word {
            "builtin" => Ok(ReceiveWith::Builtin),
            "btrfs" => Ok(ReceiveWith::Btrfs),
            _ => {
                let said = "snapshots are received with builtin or btrfs";
                Err(Error::usage(format!("cannot use '{}'", shown(word)), said))
            }
        }
    }
}

/// Whether snapshots are received by ourselves: unless something else is wanted, or this machine cannot.
pub(super) fn is_chosen(manner: Manner) -> Result<bool> {
    let able = receive::is_possible();
    match manner.receive_with {
        Some(ReceiveWith::Btrfs) => Ok(false),
        Some(ReceiveWith::Builtin) if !able => Err(Error::failed(
            "cannot receive with builtin",
            "that needs Linux 5.6 or later, and /proc: use --receive-with btrfs",
        )),
        Some(ReceiveWith::Builtin) | None => Ok(able),
    }
}

/// What to say where `btrfs receive` does it and nobody has asked for that.
pub(crate) fn remark(manner: Manner) -> Option<String> {
    let said = "snapshots are received by btrfs receive: to do without needs Linux 5.6 or later, and /proc";
    (manner.receive_with.is_none() && !receive::is_possible()).then(|| said.to_owned())
}

/// Whether the program `btrfs` is to receive a stream that only it knows, where nobody chose.
pub(super) fn is_for_btrfs(manner: Manner, head: &Head) -> bool {
    manner.receive_with.is_none() && !receive::knows(head) && ReceiveWith::Btrfs.is_possible()
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// A snapshot in quarantine. Whoever dropped it removes what a mark names there.
pub(super) struct Quarantined {
    dir: File,
    /// There is one at a time for each directory: it has one lock.
    name: String,
    parent: Option<Source>,
    /// By the UUIDs that the stream names them by.
    clones: Vec<(Uuid, Source)>,
    receiver: Option<Receiver>,
    doing: String,
}

/// The very subvolume that the plan named, open: the parent or a clone source.
struct Source {
    top: File,
    uuid: Uuid,
    generation: u64,
    sealed: bool,
}

impl Source {
    /// What is taken of it is what was sent only as long as nobody changes it.
    fn must_be_unaltered(&self) -> io::Result<()> {
        let now = btrfs::subvolume_of(self.top.as_fd())?;
        match now.uuid == self.uuid && now.ctransid == self.generation && now.read_only {
            true => Ok(()),
            false => Err(io::Error::other(
                "what it builds on was renamed or altered since it was looked for: run it again",
            )),
        }
    }
}

impl Quarantined {
    /// Nothing is made before the stream's head is there.
    pub(super) fn prepare(local: &Local, needs: &Needs, doing: String) -> Result<Quarantined> {
        let open = |exact: &Exact| open_source(local, exact).doing(|| doing.clone());
        let parent = needs.parent.as_ref().map(open).transpose()?;
        let clones = needs.clones.iter();
        let clones = clones.map(|(id, exact)| Ok((*id, open(exact)?)));
        let clones = clones.collect::<Result<_>>()?;
        if local.manner.priority == Priority::Background {
            sys::yield_to_others();
        }
        let no_place = || Error::failed(&doing, "there is no place for what is being received");
        let state = StateDir::of(&local.dir, true)?.ok_or_else(no_place)?;
        Ok(Quarantined {
            dir: quarantine::open(&state).doing(|| doing.clone())?,
            name: state_dir::key(&local.dir)?,
            parent,
            clones,
            receiver: None,
            doing,
        })
    }

    /// The stream begins.
    pub(super) fn begin(&mut self, head: &Head) -> Result<()> {
        let (dir, name) = (self.dir.as_fd(), OsStr::new(&self.name));
        let made = match &self.parent {
            None => btrfs::create_subvolume_at(dir, name),
            Some(parent) => btrfs::create_snapshot_at(parent.top.as_fd(), dir, name),
        };
        made.doing(|| self.doing.clone())?;
        let top = open_dir_within(dir, self.name.as_ref());
        let top = top.doing(|| self.doing.clone())?;
        let parent = self.parent.as_ref().map(|parent| parent.top.try_clone());
        let parent = parent.transpose().doing(|| self.doing.clone())?;
        let clones = self.clones.iter();
        let clones = clones.map(|(id, clone)| Ok((*id, clone.top.try_clone()?)));
        let clones = clones.collect::<io::Result<_>>();
        let clones = clones.doing(|| self.doing.clone())?;
        self.receiver = Some(Receiver::new(head, top.into(), parent, clones)?);
        Ok(())
    }

    /// What follows the head.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.receiver {
            Some(receiver) => receiver.feed(bytes).map_err(|error| self.told(error)),
            None => Err(Error::failed(&self.doing, "written to before its head")),
        }
    }

    /// What another diff may do without is why this one cannot be received.
    fn told(&self, error: Error) -> Error {
        let mut error = unreceivable(error);
        if error.kind == Kind::Unreceivable {
            error.said = format!("{}: {}", error.doing, error.said);
            error.doing = self.doing.clone();
        }
        error
    }

    /// All has come: it goes to its directory under its unfinished name, is what it was sent as, and
    /// read-only. What is worth a word.
    pub(super) fn leave(&mut self, head: &Head, dir: &File, part: &OsStr) -> Result<Vec<String>> {
        let receiver = self.receiver.take();
        let received =
            receiver.ok_or_else(|| Error::failed(&self.doing, "nothing was received"))?;
        let received = received.finish()?;
        let doing = || self.doing.clone();
        let sources = self.parent.iter();
        let sources = sources.chain(self.clones.iter().map(|(_, clone)| clone));
        let mut sources = sources.filter(|source| source.sealed);
        sources
            .try_for_each(Source::must_be_unaltered)
            .doing(doing)?;
        self.must_descend(received.top())?;
        sys::syncfs(received.top()).doing(doing)?;
        let since = btrfs::subvolume_of(received.top()).doing(doing)?.generation;
        let (from, name) = (self.dir.as_fd(), self.name.as_bytes());
        rename_at(from, name, dir.as_fd(), part.as_bytes(), false).doing(doing)?;
        self.close(head, &received, since)?;
        Ok(received.notes)
    }

    /// The kernel's own word for what it is a snapshot of.
    fn must_descend(&self, top: BorrowedFd) -> Result<()> {
        let now = btrfs::subvolume_of(top).doing(|| self.doing.clone())?;
        match now.parent_uuid == self.parent.as_ref().map(|parent| parent.uuid) {
            true => Ok(()),
            false => Err(Error::damaged(
                &self.doing,
                "it was made from another parent",
            )),
        }
    }

    /// Between the top's own rights and the flag somebody may have opened a file, and be writing to
    /// it still. That shows by the transaction; afterwards the seal's generation shows it.
    fn close(&self, head: &Head, received: &Received, since: u64) -> Result<()> {
        let (top, doing) = (received.top(), || self.doing.clone());
        btrfs::set_received_of(top, head.uuid, head.ctransid).doing(doing)?;
        received.settle()?;
        btrfs::make_read_only(top).doing(doing)?;
        sys::syncfs(top).doing(doing)?;
        match btrfs::touched_since(top, since).doing(doing)? {
            false => Ok(()),
            true => Err(Error::refused(
                doing(),
                "somebody changed it before it was read-only: run it again",
            )),
        }
    }
}

/// Opens the parent or a clone source; it must be still what was found. One that is not below the directory is
/// reached by the same mount: the kernel makes snapshots of no others.
fn open_source(local: &Local, exact: &Exact) -> io::Result<Source> {
    let gone = || io::Error::other("its parent is not on the mount that it is received by");
    let top = match exact.path.strip_prefix(&local.dir) {
        Ok(path) => open_dir_within(local.filesystem.fd(), path)?,
        Err(_) => {
            let (root, at) = btrfs::mount_root(local.filesystem.fd()).ok_or_else(gone)?;
            let path = exact.path.strip_prefix(at).map_err(|_| gone())?;
            open_dir_within(root.as_fd(), path)?
        }
    };
    let source = Source {
        top: top.into(),
        uuid: exact.uuid,
        generation: exact.generation,
        sealed: exact.sealed,
    };
    source.must_be_unaltered().map(|()| source)
}

fn open_dir_within(dir: BorrowedFd, path: &Path) -> io::Result<OwnedFd> {
    open_within(dir, path.as_os_str().as_bytes(), DIRECTORY, 0)
}
