//! Rehearses a stream that is stored, without the trees that it is about: on what the streams that it
//! builds on have made. Whether it makes the right tree cannot be seen here; whether anybody can receive
//! it can.

use super::command::Command;
use super::instruction::Instruction;
use super::mend::collides;
use super::rehearsal::{self, Model};
use super::tree::Tree;
use super::{Checked, Head, damaged};
use crate::error::{Error, Result};
use std::io::{ErrorKind, Read};
use std::rc::Rc;

/// How much is read at a time, in bytes.
const PIECE: usize = 256 << 10;

/// What became of a rehearsal that found nothing wrong.
pub enum Rehearsed {
    /// The tree that the stream makes.
    Whole(Box<Model<'static>>),
    /// It touches too much to be kept in mind. Its checksums are right.
    TooLarge,
}

/// Reads a stream to its end, checks it, and applies its commands to what its parent's stream made.
/// `change` looks at its head first.
///
/// # Errors
/// [`crate::error::Kind::Unreceivable`] if no receiver could carry out a command; damage; whatever
/// reading says.
pub fn rehearse(
    from: impl Read,
    parent: Option<Rc<dyn Tree>>,
    change: impl FnOnce(&mut Head) -> Result<()>,
) -> Result<Rehearsed> {
    let mut head = None;
    let mut stream = Checked::new(from, |told| {
        change(told)?;
        head = Some(told.clone());
        Ok(())
    })?;
    let head = head.ok_or_else(|| damaged("it has no head"))?;
    let mut left = head.encode().len();
    let mut model = Some(Model::new(&head, parent).map_err(rehearsal::unreadable)?);
    let mut bytes = vec![0; PIECE];
    let mut end = 0;
    loop {
        if end == bytes.len() {
            bytes.resize(bytes.len() * 2, 0);
        }
        let n = match stream.read(&mut bytes[end..]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        };
        end += n;
        let skipped = left.min(end);
        left -= skipped;
        let passed = skipped + apply_all(&mut model, &bytes[skipped..end], head.version)?;
        bytes.copy_within(passed..end, 0);
        end -= passed;
    }
    Ok(model.map_or(Rehearsed::TooLarge, |model| {
        Rehearsed::Whole(Box::new(model))
    }))
}

/// Applies the whole commands at the front of `bytes`; how many bytes they have.
fn apply_all(model: &mut Option<Model>, bytes: &[u8], version: u32) -> Result<usize> {
    let mut passed = 0;
    while let Some(length) = Command::length(&bytes[passed..]) {
        let Some(whole) = bytes.get(passed..passed + length) else {
            break;
        };
        let command = Command::checked(whole, version)
            .ok_or_else(|| damaged("the checksum of a command is wrong"))?;
        if let Some(known) = model {
            apply(known, &Instruction::decode(&command)?)?;
            if known.is_full() {
                *model = None;
            }
        }
        passed += length;
    }
    Ok(passed)
}

/// An extended attribute that grows must have room beside its old value.
fn apply(model: &mut Model, instruction: &Instruction) -> Result<()> {
    if let Instruction::SetXattr { path, name, value } = *instruction
        && let Some(id) = model.find(path)?
        && let Some(old) = model.xattrs(id)?.get(name)
        && collides(name.len(), old.len(), value.len())
    {
        let why = "the new value of an extended attribute does not fit beside the old one";
        return Err(rehearsal::cannot("set an xattr of", path, why));
    }
    model.apply(instruction)
}
