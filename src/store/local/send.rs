//! Sending from this machine: the stream that `btrfs send` makes, or this program in its stead, checked
//! and mended as it passes. What is sent is what was listed, or nothing is.

pub mod builtin_send;
pub(super) mod measure;
pub(super) mod metadata;
mod read_ahead;
mod tree;

use super::Local;
use crate::btrfs;
use crate::error::{Cause, Doing, Error, Kind, Result};
use crate::limiter::Limiter;
use crate::log;
use crate::process;
use crate::snapshot::{Diff, Mended, Snapshot, Uuid, shown};
use crate::stream::{self, Checked, Head, MendedStream, Trees};
use read_ahead::ReadAhead;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use tree::SnapshotTree;

impl Local {
    /// The same store, whose streams move at no more bytes in a second than these.
    #[must_use]
    pub fn limited(mut self, bwlimit: Option<u64>) -> Local {
        self.run.limiter = bwlimit.map(Limiter::new);
        self
    }

    /// The command that sends a diff, and its input.
    fn send_command(&self, diff: &Diff, doing: &str) -> Result<(Command, Stdio)> {
        let compressed = self.sends_compressed();
        // The program takes clone sources by their paths only, and chooses a parent among them by itself.
        if process::program("btrfs").is_none() || !diff.clones.is_empty() {
            let number = |id| {
                let root = btrfs::root_id(self.open_listed(id)?.as_fd());
                root.doing(|| doing.to_owned())
            };
            let parent = diff.from.map(number).transpose()?;
            let clones = diff.clones.iter().map(|&id| number(id));
            let clones = clones.collect::<Result<Vec<u64>>>()?;
            let snapshot = self.open_listed(diff.to)?;
            let command = builtin_send::command(parent, &clones, compressed);
            return Ok((command, snapshot.into()));
        }
        let mut command = Command::new("btrfs");
        command.args(["send", "-q"]);
        // Its errors are those of the system, whose words we know in this language.
        command.env("LC_ALL", "C");
        if compressed {
            command.args(["--proto", "2", "--compressed-data"]);
        }
        if let Some(parent) = diff.from {
            command.arg("-p").arg(self.path_of(parent)?);
        }
        command.arg(self.path_of(diff.to)?);
        Ok((command, Stdio::null()))
    }

    /// Whether compressed extents are sent as they are.
    fn sends_compressed(&self) -> bool {
        self.options.compressed && btrfs::highest_send_protocol() >= 2
    }

    fn start_sending(&self, diff: &Diff, doing: &str) -> Result<process::Reader> {
        let (command, input) = self.send_command(diff, doing)?;
        log::line(|| format!("{command:?}"));
        process::Reader::start_on(command, input, self.options.priority, doing)
    }

    /// Begins to send these, and nothing else. Who sends looks at what the stream says that it is of, and finds
    /// out why one could not begin.
    pub(super) fn begin(&mut self, next: &[Diff]) {
        let mut begun = std::mem::take(&mut self.begun);
        for diff in next {
            let child = match begun
                .iter()
                .position(|(other, _)| other.key() == diff.key())
            {
                Some(at) => Ok(begun.swap_remove(at).1),
                None => self
                    .doing(diff)
                    .and_then(|doing| self.start_sending(diff, &doing)),
            };
            self.begun
                .extend(child.ok().map(|child| (diff.clone(), child)));
        }
    }

    pub(super) fn take_begun(&mut self, diff: &Diff) -> Option<process::Reader> {
        let mut begun = self.begun.iter();
        let at = begun.position(|(other, _)| other.key() == diff.key())?;
        Some(self.begun.swap_remove(at).1)
    }

    fn doing(&self, diff: &Diff) -> Result<String> {
        let snapshot = self.find(diff.to)?;
        Ok(format!(
            "cannot send {}",
            shown(self.dir.join(&snapshot.path))
        ))
    }

    /// The clone sources of a diff: exactly those that were listed, and unaltered.
    ///
    /// # Errors
    /// [`Kind::Unreceivable`] if one of them is not: there is a way without.
    pub(super) fn clone_sources(&self, diff: &Diff) -> Result<Vec<(Uuid, PathBuf)>> {
        let find = |&id: &Uuid| {
            let listed = self.find(id)?;
            let now = btrfs::subvolume_of(self.open_listed(id)?.as_fd());
            let doing = || format!("cannot take data of {}", shown(&listed.path));
            let now = now.doing(doing)?;
            let same = listed.received_uuid.is_some() || now.ctransid == listed.ctransid;
            match same && now.read_only && listed.may_be_parent() {
                true => Ok((id, self.dir.join(&listed.path))),
                false => Err(not_as_listed(listed, &doing())),
            }
        };
        let found: Result<Vec<_>> = diff.clones.iter().map(find).collect();
        found.map_err(|error| Error {
            kind: Kind::Unreceivable,
            ..error
        })
    }

    /// The stream of a diff, mended or as the kernel makes it.
    pub(super) fn stream(
        &self,
        diff: &Diff,
        mend: bool,
        begun: Option<process::Reader>,
    ) -> Result<Box<dyn Read + '_>> {
        let snapshot = self.find(diff.to)?;
        let doing = self.doing(diff)?;
        let parent = diff.from.map(|id| self.find(id)).transpose()?;
        let from = diff.from.map(|id| self.path_of(id)).transpose()?;
        let clones = self.clone_sources(diff)?;
        let child = begun.map_or_else(|| self.start_sending(diff, &doing), Ok)?;
        let mends = mend && mending();
        // Only who mends a stream knows where it is.
        let ahead = mends.then(|| ReadAhead::start(self, diff)).flatten();
        let names = |head: &mut Head| {
            must_be(snapshot, head.uuid, &doing)?;
            head.uuid = diff.to;
            // Else the kernel's own, which is that of the content: what lay in memory when it was
            // listed may have raised it since.
            if snapshot.received_uuid.is_some() {
                head.ctransid = snapshot.generation();
            }
            if let (Some(parent), Some((uuid, ctransid))) = (parent, head.parent) {
                must_be(parent, uuid, &doing)?;
                unaltered(parent, ctransid, &doing)?;
            }
            head.parent = diff.from.zip(parent.map(Snapshot::generation));
            // The kernel keeps them as they are from now on.
            self.clone_sources(diff).map(drop)
        };
        let again = |error| restarted(error, &doing);
        if !mends {
            let stream = Checked::new(child, names).map_err(again)?;
            return Ok(Box::new(self.kernels(stream, doing, ahead)));
        }
        let trees = trees(&self.path_of(diff.to)?, from.as_deref(), &clones)?;
        let stream = MendedStream::new(child, trees, names).map_err(again)?;
        Ok(Box::new(self.kernels(stream, doing, ahead)))
    }

    fn kernels<R>(&self, stream: R, doing: String, ahead: Option<ReadAhead>) -> FromKernel<R> {
        let dir = self.dir.clone();
        FromKernel {
            stream,
            doing,
            dir,
            ahead,
        }
    }
}

/// The trees that a stream is rehearsed on.
pub(super) fn trees(
    snapshot: &Path,
    parent: Option<&Path>,
    clones: &[(Uuid, PathBuf)],
) -> Result<Trees<'static>> {
    let open = |path: &Path| Ok(Rc::new(SnapshotTree::open(path)?) as Rc<dyn stream::tree::Tree>);
    let sources = clones.iter().map(|(id, path)| Ok((*id, open(path)?)));
    Ok(Trees {
        child: Rc::new(SnapshotTree::open(snapshot)?),
        parent: parent.map(open).transpose()?,
        sources: sources.collect::<Result<_>>()?,
    })
}

/// Tests of what the kernel gets wrong turn mending off.
pub(super) fn mending() -> bool {
    std::env::var_os("BUTTERSINK_TEST_NO_MENDING").is_none()
}

/// A name may have been given to another snapshot since it was listed, as by those who rotate
/// `daily.0` to `daily.1`. The kernel names the two that it really sends.
fn must_be(listed: &Snapshot, uuid: Uuid, doing: &str) -> Result<()> {
    match uuid == listed.uuid || uuid == listed.id() {
        true => Ok(()),
        false => Err(not_as_listed(listed, doing)),
    }
}

/// The parent at the other side is what was listed. The generation of a received one moves with
/// the first sync after it came, and so tells nothing.
fn unaltered(parent: &Snapshot, ctransid: u64, doing: &str) -> Result<()> {
    match parent.received_uuid.is_some() || ctransid == parent.ctransid {
        true => Ok(()),
        false => Err(not_as_listed(parent, doing)),
    }
}

pub(super) fn not_as_listed(listed: &Snapshot, doing: &str) -> Error {
    let name = shown(&listed.path);
    let said = format!("{name} was renamed, replaced or altered since it was listed: run it again");
    Error::refused(doing, said)
}

/// A stream from `btrfs send` on this machine, where damage can only mean that the kernel
/// started it afresh: a pipe loses nothing.
struct FromKernel<R> {
    stream: R,
    doing: String,
    /// What it is below.
    dir: PathBuf,
    ahead: Option<ReadAhead>,
}

/// A stream that may know what was mended in it, and where it is.
trait MayMend: Read {
    /// The file that the kernel could not read, if that is known.
    fn unreadable(&self) -> Option<PathBuf>;

    /// What was mended so far.
    fn mended(&self) -> Option<&Mended>;

    /// Which content it came to: an inode number and an offset.
    fn at(&self) -> Option<(u64, u64)>;
}

impl MayMend for Checked<process::Reader> {
    fn unreadable(&self) -> Option<PathBuf> {
        None
    }

    fn mended(&self) -> Option<&Mended> {
        None
    }

    fn at(&self) -> Option<(u64, u64)> {
        None
    }
}

impl MayMend for MendedStream<'_, process::Reader> {
    fn unreadable(&self) -> Option<PathBuf> {
        self.unreadable()
    }

    fn mended(&self) -> Option<&Mended> {
        Some(self.mended()).filter(|mended| !mended.is_empty())
    }

    fn at(&self) -> Option<(u64, u64)> {
        self.at()
    }
}

impl<R: MayMend> Read for FromKernel<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf);
        if let (Some(ahead), Some(place)) = (&self.ahead, self.stream.at()) {
            ahead.reached(place);
        }
        if let (Ok(0), false) = (&read, buf.is_empty()) {
            self.ahead.iter().for_each(ReadAhead::ended);
            if let Some(mended) = self.stream.mended() {
                log::line(|| format!("mended in what was sent: {mended}"));
            }
        }
        read.map_err(|error| match error.downcast::<Error>() {
            Ok(ours) => restarted(self.named(ours), &self.doing).into(),
            Err(other) => other,
        })
    }
}

impl<R: MayMend> FromKernel<R> {
    /// The same with the file that is damaged, if a disk gives other bytes than were written, and the way to all of them.
    fn named(&self, error: Error) -> Error {
        if process::outside(&error) != Some(libc::EIO) {
            return error;
        }
        let file = self.stream.unreadable();
        let file = file.map_or(String::new(), |file| {
            format!("; {} in it cannot be read", shown(file))
        });
        let said = error.said + &file;
        Error { said, ..error }.hint(what_is_damaged(&self.dir))
    }
}

/// How somebody finds out what a disk has lost.
fn what_is_damaged(dir: &Path) -> String {
    let dir = shown(dir);
    format!("btrfs scrub start -B {dir} finds all that is damaged, and dmesg names it then")
}

fn restarted(error: Error, doing: &str) -> Error {
    match error.kind {
        Kind::Damaged | Kind::Restarted => {
            let said = format!(
                "the kernel started the stream afresh in the middle, as it does when btrfs send is stopped, frozen or \
                 suspended ({error})"
            );
            Error::new(Kind::Restarted, doing, said)
        }
        // What `btrfs send` cannot make, it may make out of another parent.
        Kind::Failed if !matches!(error.cause, Some(Cause::Signal(_))) => Error {
            kind: Kind::Unreceivable,
            ..error
        },
        _ => error,
    }
}
