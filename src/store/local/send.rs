//! Sending from this machine: the stream that `btrfs send` makes, or this program in its stead, checked
//! and mended as it passes. What is sent is what was listed, or nothing is.

pub(super) mod bound;
pub mod builtin_send;
pub(super) mod measure;
pub(super) mod metadata;
mod tree;

use super::Local;
use crate::btrfs;
use crate::error::{Cause, Doing, Error, Kind, Result};
use crate::log;
use crate::process;
use crate::snapshot::{Diff, Mended, Snapshot, Uuid, shown};
use crate::stream::{self, Checked, Head, MendedStream, Trees};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use tree::SnapshotTree;

impl Local {
    /// The command that sends a diff, and its input.
    fn send_command(&self, diff: &Diff, doing: &str) -> Result<(Command, Stdio)> {
        let compressed = self.manner.compressed && btrfs::highest_send_protocol() >= 2;
        if process::program("btrfs").is_none() {
            let parent = diff.from.map(|id| self.open_listed(id)).transpose()?;
            let parent = parent.map(|file| btrfs::root_id(file.as_fd()));
            let parent = parent.transpose().doing(|| doing.to_owned())?;
            let snapshot = self.open_listed(diff.to)?;
            return Ok((builtin_send::command(parent, compressed), snapshot.into()));
        }
        let mut command = Command::new("btrfs");
        command.args(["send", "-q"]);
        if compressed {
            command.args(["--proto", "2", "--compressed-data"]);
        }
        if let Some(parent) = diff.from {
            command.arg("-p").arg(self.path_of(parent)?);
        }
        command.arg(self.path_of(diff.to)?);
        Ok((command, Stdio::null()))
    }

    /// The stream of a diff, mended or as the kernel makes it.
    pub(super) fn stream(&self, diff: &Diff, mend: bool) -> Result<Box<dyn Read + '_>> {
        let snapshot = self.find(diff.to)?;
        let doing = format!("cannot send {}", shown(self.dir.join(&snapshot.path)));
        let parent = diff.from.map(|id| self.find(id)).transpose()?;
        let from = diff.from.map(|id| self.path_of(id)).transpose()?;
        let (command, input) = self.send_command(diff, &doing)?;
        log::line(|| format!("{command:?}"));
        let priority = self.manner.priority;
        let child = process::Reader::start_on(command, input, priority, doing.clone())?;
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
            Ok(())
        };
        let again = |error| restarted(error, &doing);
        if !(mend && mending()) {
            let stream = Checked::new(child, names).map_err(again)?;
            return Ok(Box::new(FromKernel { stream, doing }));
        }
        let trees = trees(&self.path_of(diff.to)?, from.as_deref())?;
        let stream = MendedStream::new(child, trees, names).map_err(again)?;
        Ok(Box::new(FromKernel { stream, doing }))
    }
}

/// The trees that a stream is rehearsed on.
pub(super) fn trees(snapshot: &Path, parent: Option<&Path>) -> Result<Trees<'static>> {
    let parent = parent.map(SnapshotTree::open).transpose()?;
    Ok(Trees {
        child: Rc::new(SnapshotTree::open(snapshot)?),
        parent: parent.map(|parent| Rc::new(parent) as Rc<dyn stream::tree::Tree>),
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
}

/// A stream that may know what was mended in it.
trait MayMend: Read {
    /// What was mended so far.
    fn mended(&self) -> Option<&Mended>;
}

impl MayMend for Checked<process::Reader> {
    fn mended(&self) -> Option<&Mended> {
        None
    }
}

impl MayMend for MendedStream<'_, process::Reader> {
    fn mended(&self) -> Option<&Mended> {
        Some(self.mended()).filter(|mended| !mended.is_empty())
    }
}

impl<R: MayMend> Read for FromKernel<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf);
        if let (Ok(0), false, Some(mended)) = (&read, buf.is_empty(), self.stream.mended()) {
            log::line(|| format!("mended in what was sent: {mended}"));
        }
        read.map_err(|error| match error.downcast::<Error>() {
            Ok(ours) => restarted(ours, &self.doing).into(),
            Err(other) => other,
        })
    }
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
