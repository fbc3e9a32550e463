//! A directory of a btrfs filesystem as a store. Which snapshot is sound is `listing`'s business, how one is
//! received durably is `receive`'s, and what is remembered of them `records`'.

mod file_digests;
mod listing;
mod lock;
mod paths;
mod receive;
mod records;
mod replace;
mod room;
mod scratch;
mod send;
mod ssh_key;
mod target;

pub use listing::{leftovers, state_at, states};
use receive::builtin_receive;
pub use receive::builtin_receive::ReceiveWith;
pub use records::origins;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use records::seals::fuzz as fuzz_seals;
pub use records::state_dir::STATE;
pub use scratch::Scratch;
pub use send::builtin_send;
pub use target::RestoreTarget;

use crate::btrfs::{self, Coverage, Filesystem};
use crate::error::{Doing, Error, Kind, Result};
use crate::limiter::Limiter;
use crate::log::{self, transactions};
use crate::process::{self, Priority};
use crate::proof::{Depth, Finding, Watched};
use crate::snapshot::{
    CameBy, Diff, Listing, Names, Offer, Origin, Origins, Size, Sizes, Snapshot, State, Uuid, shown,
};
use crate::store::file_digests::{Digest, Looking};
use crate::store::{Access, Rejected, Right, Sink, Store};
use crate::sys;
use crate::sys::at::make_dir_at;
use paths::checked_name;
use receive::held::{self, Held};
use receive::{Receiving, leftover, parent, part};
use records::quarantine::Left;
use records::seals::{self, Fact};
use records::{marks, quarantine, state_dir};
use send::{measure, mending, not_as_listed};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a local store does its work.
#[derive(Clone, Copy, Debug)]
pub struct LocalOptions {
    /// Whether `btrfs send` and `btrfs receive` yield to everything else.
    pub priority: Priority,
    /// Protocol 2 with compressed extents as they are, where kernel and tools can.
    pub compressed: bool,
    /// How snapshots are received; `None` for by ourselves, where this machine can.
    pub receive_with: Option<ReceiveWith>,
    /// Whether the program `btrfs` may receive where it cannot be kept to its filesystem.
    pub unconfined: bool,
}

/// A directory of a btrfs filesystem.
#[derive(Debug)]
pub struct Local {
    dir: PathBuf,
    filesystem: Filesystem,
    options: LocalOptions,
    caller: Caller,
    run: RunOptions,
    listed: Listed,
    received: ReceivedHere,
    /// The snapshot whose files are being gone through.
    round: Option<file_digests::Round>,
    /// Streams that are begun, of what will be sent next.
    begun: Vec<(Diff, process::Reader)>,
    /// Held as long as we may write.
    _lock: Option<File>,
}

/// For whom the store works.
#[derive(Debug)]
struct Caller {
    /// Whether it may see nothing outside of the directory, nor be in the way of others there.
    walled: bool,
    /// Whether it may read what is here.
    reads: bool,
    /// The key of a server by which its snapshots come.
    key: Option<CameBy>,
}

/// What the run has said about itself before it sends or receives.
#[derive(Debug, Default)]
struct RunOptions {
    limiter: Option<Limiter>,
    /// Snapshots that are listed wherever they are on the filesystem.
    wanted: Vec<Uuid>,
    /// Snapshots that are going to be brought here.
    sought: Vec<Uuid>,
    /// The origins of what is going to be received.
    coming: Origins,
    /// Whether what is going to be received is compared before it counts.
    compares: bool,
    /// Whether what is received may wait for others, to be published with them.
    holds: bool,
}

/// What the last listing said.
#[derive(Debug, Default)]
struct Listed {
    /// The snapshots, and what was received since.
    known: Vec<Snapshot>,
    /// Those outside of the directory that the run is going to bring here.
    elsewhere: Vec<Snapshot>,
    /// Why the seals could not be read, if so.
    unread: Option<Error>,
    /// What every listing says beside its own notes.
    notes: Vec<String>,
}

/// What was received since the store was opened.
#[derive(Debug, Default)]
struct ReceivedHere {
    /// All of it, by its own UUID.
    arrived: Vec<Uuid>,
    /// What of it has nothing of what was here before.
    brought: Vec<Uuid>,
    /// What is received, and waits for others before it is published.
    held: Vec<Held>,
    /// What was published and nobody was told of.
    published: Vec<Uuid>,
    /// Whether what was being received last did not arrive, so that what it took may not be free yet.
    failed: bool,
    /// Whether what interrupted transfers left was looked for.
    tidied: bool,
}

impl ReceivedHere {
    /// This one came, and maybe with nothing of what was here before.
    fn note(&mut self, uuid: Uuid, brought: bool) {
        self.brought.extend(brought.then_some(uuid));
    }
}

impl Local {
    /// Opens a directory. With more than read access, takes its lock.
    ///
    /// # Errors
    /// If it is not a directory on btrfs, or another run holds the lock.
    pub fn open(dir: &Path, access: Access, options: LocalOptions) -> Result<Local> {
        let filesystem = Filesystem::open(dir)?;
        let dir = dir
            .canonicalize()
            .doing(|| format!("cannot open {}", shown(dir)))?;
        if state_dir::is_inside(&dir) {
            let said = "it is where buttersink keeps what it remembers";
            return Err(Error::refused(format!("cannot open {}", shown(&dir)), said));
        }
        let writes = access.grants(Right::Add);
        let lock = || leftover::lock_and_settle(&dir, &filesystem);
        let lock = writes.then(lock).transpose()?;
        let remark = builtin_receive::remark(options).filter(|_| writes);
        Ok(Local {
            dir,
            filesystem,
            options,
            caller: Caller {
                walled: false,
                reads: access.grants(Right::Read),
                key: None,
            },
            run: RunOptions::default(),
            listed: Listed {
                notes: remark.into_iter().collect(),
                ..Listed::default()
            },
            received: ReceivedHere::default(),
            round: None,
            begun: Vec::new(),
            _lock: lock,
        })
    }

    /// The soundest of the listed snapshots with this effective UUID.
    fn find(&self, id: Uuid) -> Result<&Snapshot> {
        let same = self
            .listed
            .known
            .iter()
            .filter(|s| s.id() == id && s.state != State::Partial);
        same.min_by_key(|s| s.rank()).ok_or_else(|| {
            Error::failed(
                format!("cannot find {id}"),
                format!("no such snapshot in {}", shown(&self.dir)),
            )
        })
    }

    /// Where a listed snapshot is: exactly that one, and not behind something that is mounted there.
    fn path_of(&self, id: Uuid) -> Result<PathBuf> {
        self.open_listed(id)?;
        Ok(self.dir.join(&self.find(id)?.path))
    }

    /// The top of a listed snapshot, open.
    fn open_listed(&self, id: Uuid) -> Result<OwnedFd> {
        let snapshot = self.find(id)?;
        let doing = || format!("cannot open {}", shown(self.dir.join(&snapshot.path)));
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let file = sys::open_beneath(self.filesystem.fd(), &snapshot.path, flags).doing(doing)?;
        match btrfs::subvolume_of(file.as_fd()).doing(doing)?.uuid == snapshot.uuid {
            true => Ok(file),
            false => Err(not_as_listed(snapshot, &doing())),
        }
    }

    /// The same store for somebody who may see nothing outside of it, nor be in the way of others there.
    pub fn walled(mut self) -> Local {
        self.caller.walled = true;
        self
    }

    /// The directory that will hold `path`, made if need be, without leaving ours. What a server makes is root's
    /// alone: programs and devices that are received there are nobody else's.
    fn parent_of(&self, path: &Path) -> Result<PathBuf> {
        let doing = || format!("cannot receive {}", shown(path));
        let relative = path.parent().unwrap_or(Path::new(""));
        let flags = libc::O_DIRECTORY | libc::O_PATH;
        let mode = if self.caller.walled { 0o700 } else { 0o777 };
        let mut so_far = PathBuf::from(".");
        for part in relative.components() {
            let open = |path: &Path| sys::open_beneath(self.filesystem.fd(), path, flags);
            let above = open(&so_far).doing(doing)?;
            so_far.push(part);
            let mut there = open(&so_far);
            if matches!(&there, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                make_dir_at(above.as_fd(), part.as_os_str().as_bytes(), mode).doing(doing)?;
                there = open(&so_far);
            }
            there.doing(doing)?;
        }
        Ok(self.dir.join(relative))
    }

    /// Removes what lies in quarantine under the unfinished name `path`, if that is what was listed.
    fn delete_quarantined(&mut self, path: &Path) -> Result<bool> {
        let listed = |left: &Left| {
            let uuid = left.subvolume.uuid;
            let same = |s: &Snapshot| s.path == path && s.uuid == uuid;
            self.listed.known.iter().any(same)
        };
        let mut all = quarantine::left(&self.dir)?.into_iter();
        let Some(left) = all.find(|left| left.path == path && listed(left)) else {
            return Ok(false);
        };
        let uuid = left.subvolume.uuid;
        left.remove()?;
        marks::ended(&self.dir, path)?;
        self.listed.known.retain(|s| s.uuid != uuid);
        let doing = || format!("cannot delete {}", shown(self.dir.join(path)));
        sys::syncfs(self.filesystem.fd()).doing(doing)?;
        Ok(true)
    }
}

/// Changes of what is kept, which the transaction log tells of.
impl Local {
    fn shown(&self, path: &Path) -> String {
        shown(self.dir.join(path))
    }

    /// Deletes what was listed under this path.
    fn remove(&mut self, path: &Path) -> Result<()> {
        if path.is_absolute() {
            return self.remove_for_others(path);
        }
        checked_name(path)?;
        if self.delete_quarantined(path)? {
            return Ok(());
        }
        let doing = || format!("cannot delete {}", shown(self.dir.join(path)));
        sys::open_beneath(
            self.filesystem.fd(),
            path,
            libc::O_DIRECTORY | libc::O_NOFOLLOW,
        )
        .doing(doing)?;
        let whole = self.dir.join(path);
        if lock::is_held_above(&whole, &self.dir)? {
            return Err(Error::new(
                Kind::Busy,
                doing(),
                "another run is at work there",
            ));
        }
        let now = btrfs::subvolume(&whole)?;
        let same = |s: &&Snapshot| s.path == path && s.uuid == now.uuid;
        let listed = self.listed.known.iter().find(same);
        if listed.is_none_or(|s| s.read_only && !now.read_only) {
            let said = "it is not the snapshot that was listed under this name: run it again";
            return Err(Error::refused(doing(), said));
        }
        if now.received_uuid.is_some() {
            self.must_know(doing)?;
        }
        btrfs::delete_subvolume(&whole, now.id)
            .map_err(|error| receive::with_way_out(error, &self.dir))?;
        // The seal of nothing does no harm, and a full disk must not stop what makes room on it.
        let forgotten = seals::remove(&self.dir, now.uuid);
        if let Err(error) = forgotten.and_then(|()| marks::ended(&self.dir, path)) {
            log::line(|| error.to_string());
        }
        self.listed.known.retain(|snapshot| snapshot.path != path);
        sys::syncfs(self.filesystem.fd()).doing(doing)
    }

    /// The seals could be read: without them nobody knows which copies were altered, or found to be wrong.
    fn must_know(&self, doing: impl Fn() -> String) -> Result<()> {
        let Some(unread) = &self.listed.unread else {
            return Ok(());
        };
        let said = format!("nobody knows what its copies are: {unread}");
        let way = "make that readable again; if it is lost, move it away: copies count as unsealed then, and \
                   verify --against SOURCE --content says anew what they are";
        Err(Error::refused(doing(), said).hint(way))
    }

    /// Records what a listed snapshot is of.
    fn record_origin(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        checked_name(path)?;
        let now = btrfs::subvolume(&self.dir.join(path))?;
        if !self
            .listed
            .known
            .iter()
            .any(|s| s.path == path && s.uuid == now.uuid)
        {
            let said = "it is not the snapshot that was listed under this name: run it again";
            return Err(Error::refused(
                format!("cannot adopt {}", shown(path)),
                said,
            ));
        }
        let fact = Fact {
            origin: self.signed(Some(origin.clone())),
            ..Fact::default()
        };
        seals::add(&self.dir, now.uuid, fact)
    }
}

impl Store for Local {
    fn expect(&mut self, next: &[Diff]) {
        self.begin(next);
    }

    fn limiter(&self) -> Option<Limiter> {
        self.run.limiter.clone()
    }

    fn list(&mut self) -> Result<Listing> {
        let subvolumes = self.filesystem.subvolumes()?;
        let states = states(&self.dir, &subvolumes.all);
        let (mut snapshots, remarks) = listing::snapshots(&subvolumes.all, &states.of);
        let notes = self.listed.notes.clone();
        let unlisted = listing::unlisted(subvolumes.unread);
        let mut notes = [notes, subvolumes.notes, states.notes, remarks].concat();
        let filesystem = self.filesystem.fsid()?;
        listing::attribute(&mut snapshots, &subvolumes.all, &states.origins, filesystem);
        let left = quarantine::left(&self.dir).unwrap_or_else(|error| {
            notes.push(error.to_string());
            Vec::new()
        });
        let left = left.iter();
        snapshots.extend(left.map(|left| listing::quarantined(left, &subvolumes.all)));
        self.listed.unread = states.unread;
        snapshots.sort_by(|a, b| a.path.cmp(&b.path));
        self.as_seen(&mut snapshots);
        let wanted = target::elsewhere(self, &subvolumes.all, &snapshots, &mut notes);
        snapshots.extend(wanted);
        self.listed.known.clone_from(&snapshots);
        // Without them, streams bring everything.
        self.listed.elsewhere = target::copies(self).unwrap_or_else(|error| {
            notes.push(error.to_string());
            Vec::new()
        });
        let doing = || format!("cannot read {}", shown(&self.dir));
        let free = sys::free_bytes(self.filesystem.fd()).doing(doing)?;
        let used = sys::used_bytes(self.filesystem.fd()).doing(doing)?;
        Ok(Listing {
            location: shown(self.dir.join("")),
            snapshots,
            offer: Offer::AnyPair,
            free: Some(free),
            used: Some(used),
            names: Names::default(),
            partial: subvolumes.coverage == Coverage::Part,
            unlisted,
            clones: true,
            elsewhere: self.listed.elsewhere.clone(),
            notes,
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let path = |id| self.path_of(id);
        let pair = |diff: &Diff| {
            Ok(measure::DiffPaths {
                snapshot: path(diff.to)?,
                parent: diff.from.map(path).transpose()?,
                clones: self.clone_sources(diff)?,
                enough: match diff.size {
                    Size::Beyond(enough) => Some(enough),
                    _ => None,
                },
            })
        };
        let mut sizes = Sizes::new();
        let mut pairs = Vec::new();
        for diff in diffs {
            self.find(diff.to)?;
            diff.from.map(|from| self.find(from)).transpose()?;
            match pair(diff) {
                Ok(pair) => pairs.push((diff.key(), pair)),
                // It was renamed, or is behind something that is mounted there.
                Err(error) => drop(sizes.insert(diff.key(), measure::refused(error))),
            }
        }
        let (names, pairs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        sizes.extend(names.into_iter().zip(measure::all(&pairs)?));
        Ok(sizes)
    }

    fn less_than_whole(&mut self, diff: &Diff) -> Result<Option<u64>> {
        measure::less_than_whole(self, diff)
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let begun = self.take_begun(diff);
        self.stream(diff, true, begun)
    }

    fn mends(&mut self, _diff: &Diff) -> Result<bool> {
        Ok(mending())
    }

    fn send_unmended(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.stream(diff, false, None)
    }

    fn will_compare(&mut self, compare: bool) {
        self.run.compares = compare;
    }

    fn look_for(&mut self, ids: Vec<Uuid>) {
        self.run.sought = ids;
    }

    fn attribute(&mut self, origins: Origins) {
        self.run.coming = origins;
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let name = checked_name(path)?;
        self.must_know(|| format!("cannot receive {}", self.shown(path)))?;
        self.remove_leftovers()?;
        let parent = self.parent_of(path)?;
        part::must_be_free(&parent.join(name))?;
        parent::must_claim_nothing(self, diff.to, path)?;
        let needs = parent::find(self, diff, path)?;
        needs.must_be_comparable(self, path)?;
        self.check_space(diff.size, path)?;
        Ok(Box::new(Receiving::start(self, diff, path, needs)?))
    }

    fn hold(&mut self, hold: bool) {
        self.run.holds = hold;
    }

    fn publish(&mut self) -> Result<Vec<Uuid>> {
        held::publish(self)?;
        Ok(std::mem::take(&mut self.received.published))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let done = receive::copy(self, from, to);
        let place = || format!("{} from {}", self.shown(to), self.shown(from));
        transactions::change("copy", place, done)
    }

    fn quarantined_for_others(&mut self) -> Result<Vec<Snapshot>> {
        Local::quarantined_for_others(self)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let done = self.remove(path);
        transactions::change("delete", || self.shown(path), done)
    }

    fn came_by(&mut self, snapshots: &[Uuid]) -> Result<u64> {
        records::stream_bytes(&self.dir, snapshots)
    }

    fn adopt(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let done = self.record_origin(path, origin);
        let place = || format!("{} as of {origin}", self.shown(path));
        transactions::change("adopt", place, done)
    }

    fn has_files(&mut self) -> Result<()> {
        Ok(())
    }

    fn digest(&mut self, digest: &Digest) -> Result<Looking<'_>> {
        file_digests::look(self, digest)
    }

    fn reject(&mut self, path: &Path) -> Result<Rejected> {
        let done = replace::reject(self, path);
        transactions::change("reject", || self.shown(path), done)
    }

    fn may_seal(&mut self, path: &Path) -> bool {
        replace::may_seal(self, path)
    }

    fn settle(&mut self, path: &Path) -> Result<()> {
        replace::settle(self, path)
    }

    fn exchange(&mut self, new: &Path, old: &Path) -> Result<()> {
        let done = replace::exchange(self, new, old);
        let place = || format!("{} by {}", self.shown(old), self.shown(new));
        transactions::change("replace", place, done)
    }

    fn inspect(&mut self, _depth: Depth, _watch: &mut dyn FnMut(Watched)) -> Result<Vec<Finding>> {
        let subvolumes = self.filesystem.subvolumes()?;
        let states = states(&self.dir, &subvolumes.all);
        let (snapshots, _) = listing::snapshots(&subvolumes.all, &states.of);
        let finding = |s: &Snapshot| {
            let sealed = states.sealed.contains(&s.uuid);
            Finding::of(
                s,
                listing::inspect::verdict(s, sealed, states.rejected.contains(&s.uuid)),
            )
        };
        let unread = listing::unlisted(subvolumes.unread).into_iter();
        let unread = unread.map(Finding::unlisted);
        Ok(snapshots.iter().map(finding).chain(unread).collect())
    }
}
