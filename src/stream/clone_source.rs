//! A stream with other names for its parent and its clone sources in its CLONE commands: those that they, and
//! nothing else, have where it is received. Knows bytes as they pass, in pieces of any length; the head, whose
//! names change too, has passed before.

use super::command::{Attr, CommandWriter, Verb};
use super::{COMMAND, close, damaged, le16, le32};
use crate::error::{Error, Result};
use crate::snapshot::Uuid;
use std::ops::Range;

const CLONE: u16 = Verb::Clone as u16;

/// Two paths and some numbers: no CLONE is longer.
const MAX_CLONE: usize = 64 << 10;

/// Takes pieces of a stream.
pub type Pass<'a> = dyn FnMut(Piece) -> Result<()> + 'a;

/// Who is called how.
#[derive(Clone, Debug)]
pub struct Names {
    /// The snapshot that the stream makes: it clones from itself, too.
    pub child: Uuid,
    /// The parent and the clone sources as the stream has them, and as they are to be called.
    pub sources: Vec<(Uuid, Uuid)>,
}

/// What a piece of a stream has become.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Nothing in it clones from another snapshot.
    Bytes(&'a [u8]),
    /// One command that does: from the source with this number.
    From(usize, &'a [u8]),
}

impl Piece<'_> {
    /// The bytes of the piece.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) | Piece::From(_, bytes) => bytes,
        }
    }
}

/// Changes names in what follows the head of a stream.
#[derive(Debug)]
pub struct Renamed {
    names: Names,
    /// The beginning of a command, until it is known what it is; and all of a CLONE.
    held: Vec<u8>,
    /// Bytes of the command under way that pass as they are.
    left: usize,
}

impl Renamed {
    /// Of a stream whose head has passed.
    pub fn after_head(names: Names) -> Renamed {
        Renamed {
            names,
            held: Vec::new(),
            left: 0,
        }
    }

    /// Takes the next bytes, and hands on what they become. What is handed on last may be less:
    /// the rest of it follows with the next bytes.
    ///
    /// # Errors
    /// Those of `pass`; and if the stream clones from what is neither itself nor a source of it.
    pub fn feed(&mut self, bytes: &[u8], pass: &mut Pass) -> Result<()> {
        // What needs no change is handed on in one piece.
        let mut as_is: Range<usize> = 0..0;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let taken = rest.len().min(self.left);
                self.left -= taken;
                at += taken;
                as_is.end = at;
            } else if let Some(length) = self.passes_as_is(rest) {
                self.left = length;
            } else {
                pass_on(&bytes[as_is], pass)?;
                at += self.hold(rest, pass)?;
                as_is = at..at;
            }
        }
        pass_on(&bytes[as_is], pass)
    }

    /// The length of the command that begins here, if its header is whole and it is none of ours.
    fn passes_as_is(&self, bytes: &[u8]) -> Option<usize> {
        let header = bytes.get(..COMMAND).filter(|_| self.held.is_empty())?;
        (le16(&header[4..]) != CLONE).then(|| COMMAND + le32(header) as usize)
    }

    /// Holds what has to be seen as a whole; how many bytes that took.
    fn hold(&mut self, bytes: &[u8], pass: &mut Pass) -> Result<usize> {
        let wanted = match self.held.len() {
            have if have < COMMAND => COMMAND,
            _ => COMMAND + le32(&self.held) as usize,
        };
        let taken = bytes.len().min(wanted - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        if self.held.len() < COMMAND {
            return Ok(taken);
        }
        let length = le32(&self.held) as usize;
        if le16(&self.held[4..]) != CLONE {
            self.left = length;
            pass_on(&std::mem::take(&mut self.held), pass)?;
        } else if length > MAX_CLONE {
            return Err(damaged("it has a CLONE of impossible length"));
        } else if self.held.len() == COMMAND + length {
            let mut command = std::mem::take(&mut self.held);
            match self.names.rename(&mut command)? {
                Some(source) => pass(Piece::From(source, &command))?,
                None => pass(Piece::Bytes(&command))?,
            }
        }
        Ok(taken)
    }
}

impl Names {
    /// Gives the source of a CLONE its new name, and says which that is; `None` for the stream's own.
    fn rename(&self, command: &mut [u8]) -> Result<Option<usize>> {
        let found = value_of(&command[COMMAND..], Attr::CloneUuid as u16);
        let place = found.filter(|place| place.len() == 16);
        let place = place.ok_or_else(|| damaged("a CLONE does not say where from"))?;
        let place = COMMAND + place.start..COMMAND + place.end;
        let mut source = Uuid::default();
        source.0.copy_from_slice(&command[place.clone()]);
        if source == self.child {
            return Ok(None);
        }
        let number = self.sources.iter().position(|(named, _)| *named == source);
        // Whoever sends it may not read what that is.
        let number = number.ok_or_else(|| {
            let said = format!("it takes data from {source}, which is not its parent");
            Error::refused("cannot use the send stream", said)
        })?;
        command[place].copy_from_slice(&self.sources[number].1.0);
        close(command, CLONE);
        Ok(Some(number))
    }
}

fn pass_on(bytes: &[u8], pass: &mut Pass) -> Result<()> {
    match bytes.is_empty() {
        true => Ok(()),
        false => pass(Piece::Bytes(bytes)),
    }
}

/// Where in a body an attribute's value is.
fn value_of(body: &[u8], wanted: u16) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(head) = body.get(at..at + 4) {
        let value = at + 4..at + 4 + usize::from(le16(&head[2..]));
        body.get(value.clone())?;
        if le16(head) == wanted {
            return Some(value);
        }
        at = value.end;
    }
    None
}

/// The command that takes an extended attribute from the top of a snapshot.
pub fn remove_from_top(xattr: &[u8]) -> Vec<u8> {
    let mut command = Vec::new();
    let attributes = [(Attr::Path, &b""[..]), (Attr::XattrName, xattr)];
    CommandWriter { version: 1 }.put(&mut command, Verb::RemoveXattr, &attributes);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::put;
    use crate::stream::tests::command;
    use crate::stream::{CommandCheck, Head};

    const CHILD: Uuid = Uuid([7; 16]);
    const PARENT: Uuid = Uuid([3; 16]);
    const EXACT: Uuid = Uuid([9; 16]);

    fn clone_from(source: Uuid) -> Vec<u8> {
        let mut body = Vec::new();
        put(&mut body, Attr::FileOffset, &0u64.to_le_bytes());
        put(&mut body, Attr::Path, b"dir/file");
        put(&mut body, Attr::CloneUuid, &source.0);
        put(&mut body, Attr::CloneCtransid, &5u64.to_le_bytes());
        command(CLONE, &body)
    }

    fn stream(parent: Uuid) -> Vec<u8> {
        let write = command(15, &[CLONE as u8; 3000]);
        [
            clone_from(parent),
            write.clone(),
            clone_from(CHILD),
            clone_from(parent),
            write,
            remove_from_top(b"btrfs.compression"),
            command(21, &[]),
        ]
        .concat()
    }

    fn renamed(bytes: &[u8], piece: usize, names: Names) -> Result<Vec<u8>> {
        let (mut renamed, mut out) = (Renamed::after_head(names), Vec::new());
        for piece in bytes.chunks(piece) {
            renamed.feed(piece, &mut |piece| {
                out.extend_from_slice(piece.bytes());
                Ok(())
            })?;
        }
        Ok(out)
    }

    fn names() -> Names {
        Names {
            child: CHILD,
            sources: vec![(Uuid([5; 16]), CHILD), (PARENT, EXACT)],
        }
    }

    #[test]
    fn the_parent_gets_its_exact_name_in_pieces_of_any_length() {
        for piece in (1..200).chain([3000, 1 << 20]) {
            let out = renamed(&stream(PARENT), piece, names()).unwrap();
            assert!(out == stream(EXACT), "{piece}");
        }
    }

    #[test]
    fn what_comes_out_is_sound() {
        let head = Head {
            version: 2,
            path: b"s".to_vec(),
            uuid: CHILD,
            ctransid: 1,
            parent: Some((EXACT, 1)),
        };
        let mut check = CommandCheck::after(&head, 0);
        let out = renamed(&stream(PARENT), 77, names()).unwrap();
        check.feed(&out).unwrap();
        check.complete().unwrap();
    }

    #[test]
    fn nobody_clones_from_a_stranger() {
        let stranger = Uuid([1; 16]);
        let error = renamed(&clone_from(stranger), 64, names()).unwrap_err();
        assert!(error.said.contains(&stranger.to_string()), "{error}");
        let full = Names {
            sources: Vec::new(),
            ..names()
        };
        renamed(&clone_from(PARENT), 64, full.clone()).unwrap_err();
        renamed(&clone_from(CHILD), 64, full).unwrap();
    }

    #[test]
    fn damage_does_no_harm() {
        let huge = [&(1u32 << 30).to_le_bytes()[..], &[16, 0, 0, 0, 0, 0]].concat();
        renamed(&huge, 3, names()).unwrap_err();
        renamed(&command(CLONE, b"x"), 3, names()).unwrap_err();
        let mut short = clone_from(PARENT);
        short.truncate(30);
        assert_eq!(renamed(&short, 7, names()).unwrap(), b"");
    }
}
