//! The btrfs send stream: its header, commands and checksums, the first command's names, END, and
//! the length that a stream will have. Knows bytes only: not where they come from or go.
//!
//! Source of the format: the kernel's `fs/btrfs/send.h`. A header of 17 bytes (magic, version),
//! then commands: length of the body le32, command le16, CRC-32C le32 over header (with zeros
//! for itself) and body, seed 0, not inverted; then attributes: type le16, length le16, value.

mod changed_paths;
pub mod clone_source;
pub mod command;
pub mod instruction;
mod mend;
mod paths;
pub mod rehearsal;
pub mod stored;
pub mod tree;
mod validator;

use crate::digest::crc32c_append;
use crate::error::{Error, Kind, Result};
use crate::snapshot::Uuid;
pub use changed_paths::{MOST, Touched};
use command::{Attr, Command, CommandWriter, Verb};
pub use mend::{MendedStream, Mender, Trees, mended_size};
use paths::Paths;
use std::io::{self, Read};
pub use validator::Watch;

const MAGIC: &[u8; 13] = b"btrfs-stream\0";
const HEADER: usize = 17;
const COMMAND: usize = 10;
/// No kernel sends longer commands; a longer one is damage, not data.
const MAX_BODY: u32 = 32 << 20;
/// The kernel's limit for a first command, which holds only names and numbers.
const MAX_HEAD: u32 = 64 << 10;

/// How many bytes of a file one WRITE of a version 1 stream carries at most.
const WRITE_BYTES: u64 = 48 << 10;

/// CRC-32C as send streams have it: no inversion before or after. `state` is 0 at the start.
fn crc(state: u32, bytes: &[u8]) -> u32 {
    !crc32c_append(!state, bytes)
}

/// The header and the first command of a stream: which snapshot it makes, and out of which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Version of the protocol.
    pub version: u32,
    /// The name that the snapshot will get, relative to where it is received.
    pub path: Vec<u8>,
    /// UUID that the copy will have as its received UUID.
    pub uuid: Uuid,
    /// Generation that the copy will have as its `stransid`.
    pub ctransid: u64,
    /// UUID and generation of the parent; `None` for a full stream.
    pub parent: Option<(Uuid, u64)>,
}

impl Head {
    /// Reads the head off the front of a stream.
    ///
    /// # Errors
    /// If the stream ends before it, or begins with something else.
    pub fn read(from: &mut (impl Read + ?Sized)) -> Result<Head> {
        let mut bytes = Vec::with_capacity(512);
        loop {
            match Head::parse(&bytes)? {
                Parsed::Whole(head, _) => return Ok(head),
                Parsed::Needs(more) => {
                    let have = bytes.len();
                    bytes.resize(have + more, 0);
                    from.read_exact(&mut bytes[have..])
                        .map_err(|error| match error.kind() {
                            io::ErrorKind::UnexpectedEof => {
                                damaged("it ends before its first command is whole")
                            }
                            _ => Error::io("cannot read the send stream", error),
                        })?;
                }
            }
        }
    }

    /// Looks for the head at the front of `bytes`.
    ///
    /// # Errors
    /// If they cannot be the beginning of a stream.
    pub fn parse(bytes: &[u8]) -> Result<Parsed> {
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(damaged("it does not begin as one"));
        }
        if bytes.len() < HEADER + COMMAND {
            return Ok(Parsed::Needs(HEADER + COMMAND - bytes.len()));
        }
        let command = &bytes[HEADER..];
        let length = le32(command);
        if length > MAX_HEAD {
            return Err(damaged("its first command is too long"));
        }
        let whole = HEADER + COMMAND + length as usize;
        if bytes.len() < whole {
            return Ok(Parsed::Needs(whole - bytes.len()));
        }
        let command = &bytes[HEADER..whole];
        if command_crc(command) != le32(&command[6..]) {
            return Err(damaged("the checksum of its first command is wrong"));
        }
        Ok(Parsed::Whole(
            Head::decode(le32(&bytes[13..]), command)?,
            whole,
        ))
    }

    fn decode(version: u32, command: &[u8]) -> Result<Head> {
        if version == 0 || version > 3 {
            return Err(damaged(&format!(
                "its protocol version is {version}; this program knows 1 to 3"
            )));
        }
        let command = Command::sound(command, version);
        let need = |kind| {
            let value = command.get(kind);
            value.ok_or_else(|| damaged("its first command lacks a field"))
        };
        let uuid = |kind| -> Result<Uuid> {
            need(kind)?
                .try_into()
                .map(Uuid)
                .map_err(|_| damaged("a UUID in it has a wrong length"))
        };
        let number = |kind| -> Result<u64> {
            let bytes = need(kind)?
                .try_into()
                .map_err(|_| damaged("a number in it has a wrong length"))?;
            Ok(u64::from_le_bytes(bytes))
        };
        let parent = match command.verb() {
            Some(Verb::Subvol) => None,
            Some(Verb::Snapshot) => Some((uuid(Attr::CloneUuid)?, number(Attr::CloneCtransid)?)),
            _ => {
                let other = command.number();
                return Err(damaged(&format!(
                    "its first command is number {other}, not SUBVOL or SNAPSHOT"
                )));
            }
        };
        Ok(Head {
            version,
            path: need(Attr::Path)?.to_vec(),
            uuid: uuid(Attr::Uuid)?,
            ctransid: number(Attr::Ctransid)?,
            parent,
        })
    }

    /// The head as bytes: header and first command, with its checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        let ctransid = self.ctransid.to_le_bytes();
        let mut attributes: Vec<(Attr, &[u8])> = vec![
            (Attr::Path, &self.path),
            (Attr::Uuid, &self.uuid.0),
            (Attr::Ctransid, &ctransid),
        ];
        let parent = self.parent.map(|(uuid, at)| (uuid.0, at.to_le_bytes()));
        let verb = match &parent {
            Some((uuid, at)) => {
                attributes.extend([(Attr::CloneUuid, &uuid[..]), (Attr::CloneCtransid, at)]);
                Verb::Snapshot
            }
            None => Verb::Subvol,
        };
        let version = self.version;
        CommandWriter { version }.put(&mut bytes, verb, &attributes);
        bytes
    }
}

/// What [`Head::parse`] found.
#[derive(Debug)]
pub enum Parsed {
    /// The head, and how many bytes it takes.
    Whole(Head, usize),
    /// Not all there yet: at least so many bytes more.
    Needs(usize),
}

fn put(bytes: &mut Vec<u8>, kind: Attr, value: &[u8]) {
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    bytes.extend_from_slice(value);
}

fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn command_crc(command: &[u8]) -> u32 {
    let sum = crc(0, &command[..6]);
    crc(crc(sum, &[0; 4]), &command[COMMAND..])
}

/// Gives a command whose body stands its header, in the room that was left for it.
fn close(command: &mut [u8], number: u16) {
    let length = (command.len() - COMMAND) as u32;
    command[..4].copy_from_slice(&length.to_le_bytes());
    command[4..6].copy_from_slice(&number.to_le_bytes());
    let sum = command_crc(command);
    command[6..COMMAND].copy_from_slice(&sum.to_le_bytes());
}

/// A second stream begins after so many bytes.
fn restarted(passed: u64) -> Error {
    Error::new(
        Kind::Restarted,
        "the send stream was started afresh in the middle",
        format!("a second one begins at byte {passed}"),
    )
}

/// What cannot have come from a kernel.
pub(crate) fn damaged(what: &str) -> Error {
    Error::damaged("the send stream is damaged", what)
}

/// Checks the commands that follow the head, as they pass by in pieces of any length.
#[derive(Debug, Default)]
pub struct CommandCheck {
    header: [u8; COMMAND],
    have: usize,
    left: u32,
    sum: u32,
    paths: Paths,
    ended: bool,
    passed: u64,
    sound: u64,
}

impl CommandCheck {
    /// A check that begins after a head, which took so many bytes.
    pub fn after(head: &Head, length: usize) -> CommandCheck {
        CommandCheck {
            paths: Paths::new(head.version),
            passed: length as u64,
            sound: length as u64,
            ..CommandCheck::default()
        }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// Damage; paths that lead out of the snapshot; or [`Kind::Restarted`] if a second stream begins.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = if self.have < COMMAND {
                self.take_header(bytes)?
            } else {
                self.take_body(bytes)?
            };
            self.passed += taken as u64;
            bytes = &bytes[taken..];
            if self.have == COMMAND && self.left == 0 {
                self.close_command()?;
            }
        }
        Ok(())
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(COMMAND - self.have);
        self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.header[..self.have] == MAGIC[..self.have] && self.have == COMMAND {
            return Err(self.restarted());
        }
        if self.ended {
            return Err(self.wrong("goes on after its end"));
        }
        if self.have == COMMAND {
            self.left = le32(&self.header);
            if self.left > MAX_BODY {
                return Err(self.wrong("has a command of impossible length"));
            }
            self.sum = crc(crc(0, &self.header[..6]), &[0; 4]);
            let command = le16(&self.header[4..]);
            if matches!(Verb::of(command), Some(Verb::Subvol | Verb::Snapshot)) {
                return Err(self.wrong("makes a second snapshot"));
            }
            self.paths.begin(command);
        }
        Ok(taken)
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(self.left as usize);
        self.sum = crc(self.sum, &bytes[..taken]);
        self.left -= taken as u32;
        match self.paths.feed(&bytes[..taken]) {
            true => Ok(taken),
            false => Err(self.wrong("has a path that leads out of its snapshot")),
        }
    }

    fn close_command(&mut self) -> Result<()> {
        if self.sum != le32(&self.header[6..]) {
            return Err(self.wrong("has a command whose checksum is wrong"));
        }
        self.ended = le16(&self.header[4..]) == Verb::End as u16;
        self.have = 0;
        self.sound = self.passed;
        Ok(())
    }

    /// To be asked when no more bytes will come.
    ///
    /// # Errors
    /// If the stream ended without its END command.
    pub fn complete(&self) -> Result<()> {
        if self.ended {
            Ok(())
        } else {
            Err(self.wrong("ends without its END command"))
        }
    }

    /// Bytes so far, the head included.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// How many of them are whole commands with right checksums.
    pub fn sound(&self) -> u64 {
        self.sound
    }

    fn wrong(&self, what: &str) -> Error {
        Error::damaged(
            "the send stream is damaged",
            format!("it {what}, at byte {}", self.passed),
        )
    }

    fn restarted(&self) -> Error {
        restarted(self.passed)
    }
}

/// A stream that is checked as it is read, with a changed head. `Ok(0)` means that END was seen
/// and that the reader below reported its end.
#[derive(Debug)]
pub struct Checked<R> {
    inner: R,
    head: Vec<u8>,
    given: usize,
    check: CommandCheck,
}

impl<R: Read> Checked<R> {
    /// Reads the head of `inner` and lets `change` look at it and alter it.
    ///
    /// # Errors
    /// If the head cannot be read, or `change` refuses it.
    pub fn new(mut inner: R, change: impl FnOnce(&mut Head) -> Result<()>) -> Result<Self> {
        let mut head = Head::read(&mut inner)?;
        change(&mut head)?;
        let encoded = head.encode();
        Ok(Checked {
            check: CommandCheck::after(&head, encoded.len()),
            inner,
            head: encoded,
            given: 0,
        })
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.given < self.head.len() {
            let n = buf.len().min(self.head.len() - self.given);
            buf[..n].copy_from_slice(&self.head[self.given..self.given + n]);
            self.given += n;
            return Ok(n);
        }
        let n = self.inner.read(buf)?;
        if n == 0 {
            self.check.complete()?;
        } else {
            self.check.feed(&buf[..n])?;
        }
        Ok(n)
    }
}

fn cut_off(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends without its END command"),
        _ => Error::io("cannot read the send stream", error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(super) fn head(parent: Option<(Uuid, u64)>) -> Head {
        Head {
            version: 1,
            path: b"snap".to_vec(),
            uuid: Uuid([7; 16]),
            ctransid: 42,
            parent,
        }
    }

    /// A command with the checksum that it should have.
    pub(super) fn command(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = [&[0; COMMAND], body].concat();
        close(&mut bytes, kind);
        bytes
    }

    fn stream() -> Vec<u8> {
        let mut bytes = head(None).encode();
        bytes.extend(command(15, &[9; 5000]));
        bytes.extend(command(Verb::End as u16, &[]));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut checked = Checked::new(bytes, |_| Ok(()))?;
        checked
            .read_to_end(&mut all)
            .map_err(|e| Error::io("reading", e))?;
        Ok(all)
    }

    #[test]
    fn end_is_as_the_kernel_writes_it() {
        assert_eq!(
            command(Verb::End as u16, &[]),
            [0, 0, 0, 0, 0x15, 0, 0x50, 0x6c, 0xc9, 0x9d]
        );
    }

    #[test]
    fn heads_survive() {
        for parent in [None, Some((Uuid([3; 16]), 17))] {
            let bytes = head(parent).encode();
            assert_eq!(Head::read(&mut &bytes[..]).unwrap(), head(parent));
        }
    }

    #[test]
    fn whole_streams_pass_unchanged() {
        assert_eq!(read(&stream()).unwrap(), stream());
    }

    #[test]
    fn every_truncation_is_noticed() {
        let whole = stream();
        for length in 0..whole.len() {
            assert_eq!(
                read(&whole[..length]).unwrap_err().kind,
                Kind::Damaged,
                "at {length}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = stream();
        for at in 0..whole.len() * 8 {
            // The version's own bits choose another version; nothing guards them.
            if (13 * 8..17 * 8).contains(&at) {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(read(&bytes).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_second_stream_is_a_restart() {
        let whole = stream();
        let between = head(None).encode().len() + COMMAND + 5000;
        for cut in [between, whole.len()] {
            let bytes = [&whole[..cut], &whole].concat();
            assert_eq!(read(&bytes).unwrap_err().kind, Kind::Restarted, "at {cut}");
        }
        let inside = [&whole[..300], &whole].concat();
        assert_eq!(read(&inside).unwrap_err().kind, Kind::Damaged);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm() {
        let mut seed = 1u64;
        for _ in 0..2000 {
            let mut bytes = stream();
            for _ in 0..8 {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            let _ = read(&bytes);
            let _ = mended_size(&mut &bytes[..], None, None);
        }
    }
}
