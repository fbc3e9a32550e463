//! **receive** makes a stream into a tree: it applies the commands of a btrfs send stream below one
//! directory, which they cannot leave. Knows nothing of where streams come from, nor of what a
//! received snapshot is to be called. The stream's checksums are for whoever hands it over.
//!
//! Where `btrfs receive` does less than the snapshot deserves, this does it: nothing inherits what
//! its source does not have, a change of the owner does not cost mode bits, an attribute that does
//! not fit beside its old value takes its place, and the top's times are those of the source.

mod apply;
#[cfg(any(test, feature = "fuzz"))]
mod harmless;
mod inherit;
mod top;
mod tree;
mod unpack;

use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use crate::stream::command::Command;
use crate::stream::instruction::{Instruction, Make};
use crate::stream::{Head, damaged};
use crate::sys::at::{open_within, write_at};
use crate::sys::makes_for_root;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use harmless::{fuzz as fuzz_apply, fuzz_commands};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use top::Top;
use tree::OpenTree;

/// The newest protocol whose commands are all known here.
const VERSION: u32 = 2;

/// Length le32, kind le16, checksum le32.
const HEADER: usize = 10;
/// No kernel sends longer commands (a compressed extent of 128 KiB, and 16 KiB); a longer one would
/// have to be held in memory.
const LONGEST: usize = 2 << 20;

/// Whether the kernel can keep paths below a directory: Linux 5.6 or later.
pub fn is_possible() -> bool {
    let root = File::open("/");
    let open = |dir: File| open_within(dir.as_fd(), b"", libc::O_PATH, 0);
    root.and_then(open)
        .is_ok_and(|_| Path::new("/proc/self/fd").exists())
}

/// Whether all that the stream with this head may ask for is known here.
pub fn knows(head: &Head) -> bool {
    head.version <= VERSION
}

fn must_be_known(head: &Head) -> Result<()> {
    if knows(head) {
        return Ok(());
    }
    let version = head.version;
    let said = format!(
        "the stream is of protocol {version}, and only {VERSION} and older ones can be received so: receive it \
         with --receive-with btrfs (a file with fs-verity needs that)"
    );
    Err(Error::failed("cannot receive", said))
}

fn preparing() -> String {
    "cannot prepare the snapshot that is received".to_owned()
}

/// How many bytes the command takes that `bytes` begin with; if they are not all there, how many
/// more are needed at least.
///
/// # Errors
/// If no kernel would send it.
fn length(bytes: &[u8]) -> Result<std::result::Result<usize, usize>> {
    match Command::length(bytes) {
        None => Ok(Err(HEADER - bytes.len())),
        Some(whole) if whole > LONGEST => Err(damaged(
            "it has a command that is longer than any kernel sends",
        )),
        Some(whole) if bytes.len() < whole => Ok(Err(whole - bytes.len())),
        Some(whole) => Ok(Ok(whole)),
    }
}

/// What a whole command asks for, whose checksum was looked at before.
fn decode(version: u32, bytes: &[u8]) -> Result<Instruction<'_>> {
    Instruction::decode(&Command::sound(bytes, version))
}

/// Applies a stream, in pieces of any length, to a subvolume that nobody else works on.
pub struct Receiver {
    version: u32,
    uuid: Uuid,
    /// What files may share extents with: what the subvolume was a snapshot of when we began, and the
    /// other clone sources.
    sources: Vec<(Uuid, OpenTree)>,
    tree: OpenTree,
    top: Top,
    /// The beginning of a command whose end has not come yet.
    rest: Vec<u8>,
    /// A command that makes something is at the front of it, and waits for the next one.
    held: bool,
    /// The file that was written to last, open.
    current: Option<(Vec<u8>, File)>,
    fresh: Option<Fresh>,
    /// It goes with a change of the owner, and old kernels send it before that.
    capability: Option<(Vec<u8>, Vec<u8>)>,
    /// What we make is root's.
    for_root: bool,
    umask: u32,
    notes: Notes,
    ended: bool,
}

/// What was made last, and what is known of it.
struct Fresh {
    path: Vec<u8>,
    /// The permissions that it has; they were made out in advance.
    mode: Option<u32>,
    /// It is root's still.
    roots: bool,
}

/// What is worth a word and is no error.
#[derive(Clone, Copy, Default)]
struct Notes {
    flags: u64,
    gone: u64,
    unpacked: u64,
}

/// WRITEs that follow each other in a file, which go out together.
#[derive(Default)]
struct Writes<'p> {
    offset: u64,
    end: u64,
    pieces: Vec<IoSlice<'p>>,
}

impl Receiver {
    /// Of the stream with this head, into the open top of a subvolume: an empty one, or a snapshot
    /// of the parent, of which the open top is given too. Clone sources are open tops, by the names that the
    /// stream has for them.
    ///
    /// # Errors
    /// If the stream's protocol is newer than what we know, or the top cannot be made root's alone.
    pub fn new(
        head: &Head,
        top: File,
        parent: Option<File>,
        clones: Vec<(Uuid, File)>,
    ) -> Result<Receiver> {
        must_be_known(head)?;
        let attributes = match parent {
            Some(_) => Top::of_snapshot(top.as_fd()),
            None => Top::of_new(top.as_fd()),
        };
        Receiver::with(head, top, (parent, clones), attributes.doing(preparing)?)
    }

    /// A receiver into a snapshot of what was received a moment ago, whose top lacks its own attributes still.
    ///
    /// # Errors
    /// As [`Receiver::new`] says.
    pub fn onto(
        head: &Head,
        top: File,
        parent: &Received,
        clones: Vec<(Uuid, File)>,
    ) -> Result<Receiver> {
        must_be_known(head)?;
        let attributes = parent.attributes.handed_on(parent.top());
        let parent = parent.top.try_clone().doing(preparing)?;
        Receiver::with(
            head,
            top,
            (Some(parent), clones),
            attributes.doing(preparing)?,
        )
    }

    fn with(
        head: &Head,
        top: File,
        (parent, clones): (Option<File>, Vec<(Uuid, File)>),
        attributes: Top,
    ) -> Result<Receiver> {
        let parent = head.parent.map(|(uuid, _)| uuid).zip(parent);
        let sources = parent.into_iter().chain(clones);
        let sources = sources.map(|(uuid, top)| OpenTree::new(top).map(|tree| (uuid, tree)));
        Ok(Receiver {
            version: head.version,
            uuid: head.uuid,
            sources: sources.collect::<io::Result<_>>().doing(preparing)?,
            top: attributes,
            tree: OpenTree::new(top).doing(preparing)?,
            rest: Vec::new(),
            held: false,
            current: None,
            fresh: None,
            capability: None,
            for_root: makes_for_root(),
            umask: umask(),
            notes: Notes::default(),
            ended: false,
        })
    }

    /// Applies the next bytes after the head. Their checksums were looked at, as far as they go.
    ///
    /// # Errors
    /// If a command cannot be carried out, or no kernel sends it. What was received is then of no
    /// use.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !self.rest.is_empty() {
            let taken = self.missing()?.min(bytes.len());
            self.rest.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.missing()? == 0 {
                let mut rest = std::mem::take(&mut self.rest);
                let done = self.run(&rest)?;
                rest.drain(..done);
                self.rest = rest;
            } else if bytes.is_empty() {
                return Ok(());
            }
        }
        let done = self.run(bytes)?;
        self.rest.extend_from_slice(&bytes[done..]);
        Ok(())
    }

    /// How many bytes at least the last command lacks of which something is there.
    fn missing(&self) -> Result<usize> {
        let held = if self.held {
            length(&self.rest)?.unwrap_or(0)
        } else {
            0
        };
        Ok(length(&self.rest[held..])?.err().unwrap_or(0))
    }

    /// Carries out the whole commands at the front, and says how many bytes they take.
    fn run(&mut self, bytes: &[u8]) -> Result<usize> {
        let (mut at, mut writes) = (0, Writes::default());
        self.held = false;
        while let Ok(length) = length(&bytes[at..])? {
            if self.ended {
                return Err(damaged("it goes on after its end"));
            }
            let (command, after) = bytes[at..].split_at(length);
            let instruction = decode(self.version, command)?;
            let Instruction::Make { path, make, .. } = instruction else {
                self.carry_out(&instruction, &mut writes)?;
                at += length;
                continue;
            };
            self.write_out(&mut writes)?;
            let Some(moved) = self.make_as_moved(path, make, after)? else {
                self.held = true;
                break;
            };
            at += length + moved;
        }
        self.write_out(&mut writes)?;
        Ok(at)
    }

    /// The kernel makes everything under a passing name and then moves it. Where the next command
    /// does that, it is made where it belongs. How many bytes of `after` that was; `None` if the next
    /// command is not there yet.
    fn make_as_moved(&mut self, path: &[u8], make: Make, after: &[u8]) -> Result<Option<usize>> {
        let Ok(length) = length(after)? else {
            return Ok(None);
        };
        let (next, later) = after.split_at(length);
        let to = match decode(self.version, next)? {
            Instruction::Rename { from, to } if from == path => to,
            _ => {
                return self
                    .make(path, make, after)
                    .named("make", path)
                    .map(|()| Some(0));
            }
        };
        match self.make(to, make, later) {
            // What has that name is replaced by moving, not by making.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.make(path, make, later).named("make", path)?;
                Ok(Some(0))
            }
            made => made.named("make", to).map(|()| Some(length)),
        }
    }

    /// Writes what was gathered.
    fn write_out(&mut self, writes: &mut Writes) -> Result<()> {
        if writes.pieces.is_empty() {
            return Ok(());
        }
        let Some((path, file)) = &self.current else {
            return Err(Error::failed("cannot write", "no file is open"));
        };
        write_at(file.as_fd(), &mut writes.pieces, writes.offset).named("write", path)?;
        writes.pieces.clear();
        // What follows after another command goes on behind what is written.
        writes.offset = writes.end;
        Ok(())
    }

    /// All has come: the tree, whose top is still root's alone and lacks its own attributes.
    ///
    /// # Errors
    /// If the stream did not end.
    pub fn finish(self) -> Result<Received> {
        if !self.ended || !self.rest.is_empty() {
            return Err(damaged("it ends without its END command"));
        }
        Ok(Received {
            top: self.tree.into_top(),
            attributes: self.top,
            notes: self.notes.words(),
        })
    }
}

/// A tree that is whole but for the attributes of its top.
pub struct Received {
    top: File,
    attributes: Top,
    /// What is worth a word.
    pub notes: Vec<String>,
}

impl Received {
    /// The open top.
    pub fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// The same tree, open once more.
    ///
    /// # Errors
    /// If no more can be opened.
    pub fn try_clone(&self) -> io::Result<Received> {
        Ok(Received {
            top: self.top.try_clone()?,
            attributes: self.attributes.clone(),
            notes: Vec::new(),
        })
    }

    /// Gives the top its own owner, rights and times. From now on others may reach what is in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn settle(&self) -> Result<()> {
        self.attributes
            .settle(self.top())
            .named("set the attributes of", b"")
    }
}

impl Notes {
    fn words(self) -> Vec<String> {
        let mut words = Vec::new();
        if self.flags > 0 {
            words.push(format!(
                "flags of {} files were sent and not set, as btrfs receive does (lsattr shows them)",
                self.flags
            ));
        }
        if self.gone > 0 {
            words.push(format!(
                "{} times of files that are gone were passed over",
                self.gone
            ));
        }
        if self.unpacked > 0 {
            words.push(format!(
                "{} compressed extents were unpacked, since the files there do not take them as they are",
                self.unpacked
            ));
        }
        words
    }
}

/// Adds to an error what was tried with which file, and nothing of what is in it.
trait Named<T> {
    fn named(self, what: &str, path: &[u8]) -> Result<T>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, what: &str, path: &[u8]) -> Result<T> {
        self.doing(|| match path {
            [] => format!("cannot {what} the top of the snapshot"),
            path => format!("cannot {what} {}", text(path)),
        })
    }
}

/// A path as people read it.
fn text(path: &[u8]) -> String {
    shown(OsStr::from_bytes(path))
}

/// The permissions that new files do not get, as far as they can be known without changing them for
/// every thread.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let umask = lines.find_map(|line| line.strip_prefix("Umask:"));
    let umask = umask.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    umask.unwrap_or(0o777)
}
