//! Our own way to receive a snapshot, without `btrfs receive`: in quarantine, a directory of root's
//! alone, until all of it is there. How it comes out is `held`'s business.

use super::parent::{Exact, Needs};
use super::part::PartialSnapshot;
use super::way_out::unreceivable;
use crate::btrfs;
use crate::error::{Doing, Error, Kind, Result};
use crate::process::{self, Priority};
use crate::receive::{self, Received, Receiver};
use crate::snapshot::{Uuid, shown};
use crate::store::local::records::quarantine;
use crate::store::local::records::state_dir::StateDir;
use crate::store::local::{Local, LocalOptions};
use crate::stream::Head;
use crate::sys;
use crate::sys::at::open_within;
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
pub(super) fn is_chosen(options: LocalOptions) -> Result<bool> {
    let able = receive::is_possible();
    match options.receive_with {
        Some(ReceiveWith::Btrfs) => Ok(false),
        Some(ReceiveWith::Builtin) if !able => Err(Error::failed(
            "cannot receive with builtin",
            "that needs Linux 5.6 or later, and /proc: use --receive-with btrfs",
        )),
        Some(ReceiveWith::Builtin) | None => Ok(able),
    }
}

/// What to say where `btrfs receive` does it and nobody has asked for that.
pub(crate) fn remark(options: LocalOptions) -> Option<String> {
    let said = "snapshots are received by btrfs receive: to do without needs Linux 5.6 or later, and /proc";
    (options.receive_with.is_none() && !receive::is_possible()).then(|| said.to_owned())
}

/// Whether the program `btrfs` is to receive a stream that only it knows, where nobody chose.
pub(super) fn is_for_btrfs(options: LocalOptions, head: &Head) -> bool {
    options.receive_with.is_none() && !receive::knows(head) && ReceiveWith::Btrfs.is_possible()
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// A snapshot in quarantine. Whoever dropped it removes what a mark names there.
pub(super) struct Quarantined {
    dir: File,
    name: String,
    parent: Option<ReceiveSource>,
    /// By the UUIDs that the stream names them by.
    clones: Vec<(Uuid, ReceiveSource)>,
    receiver: Option<Receiver>,
    doing: String,
}

/// The very subvolume that the plan named, open: the parent or a clone source.
enum ReceiveSource {
    Listed {
        top: File,
        uuid: Uuid,
        generation: u64,
        sealed: bool,
    },
    /// It is in quarantine itself, and its top lacks its own attributes.
    Held { received: Received, uuid: Uuid },
}

impl ReceiveSource {
    fn uuid(&self) -> Uuid {
        match self {
            ReceiveSource::Listed { uuid, .. } | ReceiveSource::Held { uuid, .. } => *uuid,
        }
    }

    fn top(&self) -> BorrowedFd<'_> {
        match self {
            ReceiveSource::Listed { top, .. } => top.as_fd(),
            ReceiveSource::Held { received, .. } => received.top(),
        }
    }

    fn duplicate(&self) -> io::Result<File> {
        self.top().try_clone_to_owned().map(File::from)
    }

    fn is_sealed(&self) -> bool {
        matches!(self, ReceiveSource::Listed { sealed: true, .. })
    }

    /// What is taken of it is what was sent only as long as nobody changes it.
    fn must_be_unaltered(&self) -> io::Result<()> {
        let ReceiveSource::Listed {
            uuid, generation, ..
        } = self
        else {
            return Ok(());
        };
        let now = btrfs::subvolume_of(self.top())?;
        match now.uuid == *uuid && now.ctransid == *generation && now.read_only {
            true => Ok(()),
            false => Err(io::Error::other(
                "what it builds on was renamed or altered since it was looked for: run it again",
            )),
        }
    }
}

impl Quarantined {
    /// Nothing is made before the stream's head is there.
    pub(super) fn prepare(
        local: &Local,
        needs: &Needs,
        part: &PartialSnapshot,
    ) -> Result<Quarantined> {
        let doing = part.doing();
        let open = |exact: &Exact| open_source(local, exact).doing(|| doing.clone());
        let parent = needs.parent.as_ref().map(open).transpose()?;
        let clones = needs.clones.iter();
        let clones = clones.map(|(id, exact)| Ok((*id, open(exact)?)));
        let clones = clones.collect::<Result<_>>()?;
        if local.options.priority == Priority::Background {
            sys::yield_to_others();
        }
        let no_place = || Error::failed(&doing, "there is no place for what is being received");
        let state = StateDir::of(&local.dir, true)?.ok_or_else(no_place)?;
        Ok(Quarantined {
            dir: quarantine::open(&state).doing(|| doing.clone())?,
            name: part.quarantined()?,
            parent,
            clones,
            receiver: None,
            doing,
        })
    }

    /// The stream begins.
    pub(super) fn begin(&mut self, head: &Head) -> Result<()> {
        let (dir, name) = (self.dir.as_fd(), OsStr::new(&self.name));
        let doing = || self.doing.clone();
        let parent = self.parent.as_ref();
        let made = match parent.map(ReceiveSource::top) {
            None => btrfs::create_subvolume_at(dir, name),
            Some(parent) => btrfs::create_snapshot_at(parent, dir, name),
        };
        made.doing(doing)?;
        let top = open_dir_within(dir, self.name.as_ref())
            .doing(doing)?
            .into();
        let clones = self.clones.iter();
        let clones = clones.map(|(id, clone)| Ok((*id, clone.duplicate()?)));
        let clones = clones.collect::<io::Result<_>>().doing(doing)?;
        self.receiver = Some(match parent {
            Some(ReceiveSource::Held { received, .. }) => {
                Receiver::onto(head, top, received, clones)?
            }
            Some(listed) => {
                let parent = listed.duplicate().doing(doing)?;
                Receiver::new(head, top, Some(parent), clones)?
            }
            None => Receiver::new(head, top, None, clones)?,
        });
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

    /// All has come: the tree, and the parent's UUID here.
    pub(super) fn finish(&mut self) -> Result<(Received, Option<Uuid>)> {
        let receiver = self.receiver.take();
        let receiver =
            receiver.ok_or_else(|| Error::failed(&self.doing, "nothing was received"))?;
        let received = receiver.finish()?;
        let sources = self.parent.iter();
        let sources = sources.chain(self.clones.iter().map(|(_, clone)| clone));
        let mut sources = sources.filter(|source| source.is_sealed());
        let unaltered = sources.try_for_each(ReceiveSource::must_be_unaltered);
        unaltered.doing(|| self.doing.clone())?;
        Ok((received, self.parent.as_ref().map(ReceiveSource::uuid)))
    }

    /// Where it is: the quarantine, and its name there.
    pub(super) fn place(self) -> (File, String) {
        (self.dir, self.name)
    }
}

/// Opens the parent or a clone source; it must be still what was found. One that is not below the directory is
/// reached by the same mount: the kernel makes snapshots of no others.
fn open_source(local: &Local, exact: &Exact) -> io::Result<ReceiveSource> {
    if let Some(held) = local
        .received
        .held
        .iter()
        .find(|held| held.uuid == exact.uuid)
    {
        let (received, uuid) = (held.received.try_clone()?, held.uuid);
        return Ok(ReceiveSource::Held { received, uuid });
    }
    let gone = || io::Error::other("its parent is not on the mount that it is received by");
    let top = match exact.path.strip_prefix(&local.dir) {
        Ok(path) => open_dir_within(local.filesystem.fd(), path)?,
        Err(_) => {
            let (root, at) = btrfs::mount_root(local.filesystem.fd()).ok_or_else(gone)?;
            let path = exact.path.strip_prefix(at).map_err(|_| gone())?;
            open_dir_within(root.as_fd(), path)?
        }
    };
    let source = ReceiveSource::Listed {
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
