//! Mends the kernel's streams as they pass: each command is rehearsed, and where a command more or
//! less makes the tree right that would else be wrong, it is added or left out. What cannot be
//! mended is an error. buttersink-kernel(7) describes the faults.

mod end;
mod position;
mod reader;
mod size;

use super::Head;
use super::command::{Attr, Command, CommandWriter, Verb};
use super::instruction::Instruction;
use super::rehearsal::{self, Id, Model, Source, TOP, is_inherited};
use super::tree::{Files, Tree};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Fault, Mended};
pub use reader::MendedStream;
pub use size::mended_size;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// The trees that a stream is about.
#[derive(Clone)]
pub struct Trees<'a> {
    /// The snapshot that the stream makes.
    pub child: Rc<dyn Files + 'a>,
    /// The one that it is made out of; `None` for a whole stream.
    pub parent: Option<Rc<dyn Tree + 'a>>,
    /// What else it may take data of.
    pub sources: Vec<Source<'a>>,
}

/// Mends one stream, command by command.
pub struct Mender<'a> {
    child: Rc<dyn Files + 'a>,
    /// `None` when a whole stream has become too large to be rehearsed.
    model: Option<Model<'a>>,
    writer: CommandWriter,
    mended: Mended,
    /// Permissions that a new owner has taken away, and whose they are.
    taken: Option<(Vec<u8>, Id, u32)>,
    /// What the top must not hand down until the end.
    withheld: bool,
}

impl<'a> Mender<'a> {
    /// For the stream that begins with this head.
    ///
    /// # Errors
    /// If the parent cannot be read.
    pub fn new(head: &Head, trees: Trees<'a>) -> Result<Mender<'a>> {
        let model = Model::new(head, trees.parent).map_err(rehearsal::unreadable)?;
        let model = model.cloning(trees.sources);
        let model = match model.is_whole() {
            true => model.forgetting(Rc::clone(&trees.child)),
            false => model,
        };
        Ok(Mender {
            child: trees.child,
            model: Some(model),
            writer: CommandWriter {
                version: head.version,
            },
            mended: Mended::default(),
            taken: None,
            withheld: false,
        })
    }

    /// What was mended so far.
    pub fn mended(&self) -> &Mended {
        &self.mended
    }

    /// Where the last command about content was: the inode number of the file, and the offset. `None` if
    /// nothing is rehearsed any longer.
    pub fn at(&self) -> Option<(u64, u64)> {
        self.model.as_ref().map(Model::at)
    }

    /// Rehearses the next command. Appends to `before` what has to come before it; whether the
    /// command itself is to be passed on.
    ///
    /// # Errors
    /// [`Kind::Unreceivable`] if nobody could receive the stream, or what it makes is wrong and
    /// cannot be mended; damage; or if a tree cannot be read.
    pub fn pass(&mut self, instruction: &Instruction, before: &mut Vec<u8>) -> Result<bool> {
        self.give_back(instruction, before)?;
        let mut keep = true;
        match *instruction {
            Instruction::End => return self.finish(before).map(|()| true),
            Instruction::Times { path, .. } => keep = self.has_a_target(path)?,
            Instruction::SetXattr { path, name, value } => {
                self.make_room(path, (name, value), before)?;
            }
            Instruction::Chown(path, ..) => self.keep_permissions(path)?,
            Instruction::Make { .. } => self.withhold(before)?,
            _ => {}
        }
        if keep && let Some(model) = &mut self.model {
            model.apply(instruction)?;
        }
        self.stay_small()?;
        Ok(keep)
    }

    /// The inode number of a file and how long it is in the parent, before the stream changes that;
    /// `None` if it is new.
    fn in_parent(&mut self, path: &[u8]) -> Result<Option<(u64, u64)>> {
        let Some(model) = &mut self.model else {
            return Ok(None);
        };
        let node = model.find(path)?.map(|id| model.node(id));
        let old = node.filter(|node| node.base.is_some());
        Ok(old.map(|node| (node.ino, node.size)))
    }

    /// Whether a file of the snapshot has an extent that begins at an offset or later.
    fn has_extent_from(&self, ino: u64, offset: u64) -> Result<bool> {
        let found = self.child.has_extent_from(ino, offset);
        found.map_err(rehearsal::unreadable)
    }

    /// What is too large to be rehearsed is not sent as a diff. A whole stream has few faults, and
    /// there is nothing to send in its place.
    fn stay_small(&mut self) -> Result<()> {
        match &self.model {
            Some(model) if model.is_full() && model.is_whole() => self.model = None,
            Some(model) if model.is_full() => {
                return Err(Error::new(
                    Kind::Unreceivable,
                    "this diff cannot be rehearsed",
                    "it touches more than a million files",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends a command, and rehearses it.
    fn put(&mut self, to: &mut Vec<u8>, verb: Verb, attributes: &[(Attr, &[u8])]) -> Result<()> {
        let start = to.len();
        self.writer.put(to, verb, attributes);
        if let Some(model) = &mut self.model {
            let command = Command::sound(&to[start..], self.writer.version);
            model.apply(&Instruction::decode(&command)?)?;
        }
        Ok(())
    }

    fn note(&mut self, fault: Fault, count: u64, path: &[u8]) {
        let path = Path::new(OsStr::from_bytes(path));
        self.mended.add(fault, count, path);
    }

    /// Times of what is gone are left out: the kernel looked the directory up by a number that is
    /// used again.
    fn has_a_target(&mut self, path: &[u8]) -> Result<bool> {
        let there = match &mut self.model {
            Some(model) => model.find(path)?.is_some(),
            None => true,
        };
        if !there {
            self.note(Fault::StrayTimes, 1, path);
        }
        Ok(there)
    }

    /// Remembers the permissions that a new owner takes away.
    fn keep_permissions(&mut self, path: &[u8]) -> Result<()> {
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        if let Some(id) = model.find(path)?
            && let Some(before) = model.node(id).permissions()
        {
            self.taken = Some((path.to_vec(), id, before));
        }
        Ok(())
    }

    /// Gives back permissions that a new owner has taken away, unless this command sets them.
    fn give_back(&mut self, instruction: &Instruction, before: &mut Vec<u8>) -> Result<()> {
        let Some((path, id, mode)) = self.taken.take() else {
            return Ok(());
        };
        let sets = matches!(*instruction, Instruction::Chmod(of, _) if of == path);
        let lost = |model: &Model| model.node(id).permissions() != Some(mode);
        if sets || !self.model.as_ref().is_some_and(lost) {
            return Ok(());
        }
        self.note(Fault::LostMode, 1, &path);
        let bits = u64::from(mode).to_le_bytes();
        self.put(
            before,
            Verb::Chmod,
            &[(Attr::Path, &path), (Attr::Mode, &bits)],
        )
    }

    /// An attribute that grows needs room for both values in one leaf of the receiver's tree.
    fn make_room(
        &mut self,
        path: &[u8],
        (name, value): (&[u8], &[u8]),
        before: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        let Some(id) = model.find(path)? else {
            return Ok(()); // Applying it says so.
        };
        let old = model.xattrs(id)?.get(name).map(Vec::len);
        if !old.is_some_and(|old| collides(name.len(), old, value.len())) {
            return Ok(());
        }
        if name.starts_with(b"system.") {
            // Without its ACL for a moment, more people than before could read the file.
            return Err(rehearsal::cannot(
                "set an ACL of",
                path,
                "it does not fit beside the old one",
            ));
        }
        self.note(Fault::LargeXattr, 1, path);
        let attributes = [(Attr::Path, path), (Attr::XattrName, name)];
        self.put(before, Verb::RemoveXattr, &attributes)
    }

    /// Everything is made in the top under a temporary name first. What the top hands down must
    /// not be there then.
    fn withhold(&mut self, before: &mut Vec<u8>) -> Result<()> {
        if std::mem::replace(&mut self.withheld, true) {
            return Ok(());
        }
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        let names: Vec<Vec<u8>> = model.xattrs(TOP)?.keys().cloned().collect();
        for name in names.iter().filter(|name| is_inherited(name)) {
            let attributes = [(Attr::Path, &b""[..]), (Attr::XattrName, name.as_slice())];
            self.put(before, Verb::RemoveXattr, &attributes)?;
            self.note(Fault::Inherited, 1, b"");
        }
        Ok(())
    }
}

/// Whether a value of so many bytes cannot replace the old one in the smallest leaf that is full:
/// 16 KiB less its header, in which the kernel counts each item with its own.
pub(super) fn collides(name: usize, old: usize, new: usize) -> bool {
    const LEAF: usize = (16 << 10) - 101;
    const ITEM: usize = 25 + 30;
    new > old && old + new + 2 * (ITEM + name) > LEAF
}
