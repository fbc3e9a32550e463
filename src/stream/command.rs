//! The commands of a send stream one by one: their numbers, their attributes, and how new ones are
//! written. Knows bytes only.
//!
//! Source of the numbers: the kernel's `fs/btrfs/send.h`.

use super::{
    COMMAND, MAGIC, MAX_BODY, close, command_crc, cut_off, damaged, le16, le32, put, restarted,
};
use crate::error::{Error, Result};
use std::io::Read;

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Verb {
    /// Begins a whole snapshot.
    Subvol = 1,
    /// Begins a snapshot that is made out of another.
    Snapshot = 2,
    /// Makes an empty file.
    Mkfile = 3,
    /// Makes a directory.
    Mkdir = 4,
    /// Makes a device node.
    Mknod = 5,
    /// Makes a named pipe.
    Mkfifo = 6,
    /// Makes a socket.
    Mksock = 7,
    /// Makes a symbolic link.
    Symlink = 8,
    /// Renames, and replaces what has the name.
    Rename = 9,
    /// Gives a file another name.
    Link = 10,
    /// Removes a name.
    Unlink = 11,
    /// Removes an empty directory.
    Rmdir = 12,
    /// Sets an extended attribute.
    SetXattr = 13,
    /// Removes an extended attribute.
    RemoveXattr = 14,
    /// Writes to a file.
    Write = 15,
    /// Shares an extent of another file.
    Clone = 16,
    /// Sets a file's length.
    Truncate = 17,
    /// Sets permissions.
    Chmod = 18,
    /// Sets the owner, which may clear permissions.
    Chown = 19,
    /// Sets times.
    Utimes = 20,
    /// Ends the stream.
    End = 21,
    /// Stands for writes in a stream without data.
    UpdateExtent = 22,
    /// Allocates or punches a hole (protocol 2).
    Fallocate = 23,
    /// Tells flags of an inode (protocol 2).
    Fileattr = 24,
    /// Writes a compressed extent as it is (protocol 2).
    EncodedWrite = 25,
    /// Turns fs-verity on (protocol 3).
    EnableVerity = 26,
}

impl Verb {
    const ALL: [Verb; 26] = [
        Verb::Subvol,
        Verb::Snapshot,
        Verb::Mkfile,
        Verb::Mkdir,
        Verb::Mknod,
        Verb::Mkfifo,
        Verb::Mksock,
        Verb::Symlink,
        Verb::Rename,
        Verb::Link,
        Verb::Unlink,
        Verb::Rmdir,
        Verb::SetXattr,
        Verb::RemoveXattr,
        Verb::Write,
        Verb::Clone,
        Verb::Truncate,
        Verb::Chmod,
        Verb::Chown,
        Verb::Utimes,
        Verb::End,
        Verb::UpdateExtent,
        Verb::Fallocate,
        Verb::Fileattr,
        Verb::EncodedWrite,
        Verb::EnableVerity,
    ];

    /// The command of this number, if there is one in protocols 1 to 3.
    pub fn of(number: u16) -> Option<Verb> {
        Verb::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Whether it makes something that was not there.
    pub fn makes(self) -> bool {
        (Verb::Mkfile as u16..=Verb::Symlink as u16).contains(&(self as u16))
    }
}

/// The number of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Attr {
    /// UUID of the snapshot.
    Uuid = 1,
    /// Generation of the snapshot.
    Ctransid = 2,
    /// Inode number at the source.
    Ino = 3,
    /// Length in bytes.
    Size = 4,
    /// Permissions; type as well where a node is made.
    Mode = 5,
    /// Owner.
    Uid = 6,
    /// Group.
    Gid = 7,
    /// Device that a node stands for.
    Rdev = 8,
    /// Time of the last change.
    Ctime = 9,
    /// Time of the last change of the content.
    Mtime = 10,
    /// Time of the last access.
    Atime = 11,
    /// Time of creation (protocol 2).
    Otime = 12,
    /// Name of an extended attribute.
    XattrName = 13,
    /// Its value.
    XattrData = 14,
    /// What the command is about.
    Path = 15,
    /// New name.
    PathTo = 16,
    /// Target of a link.
    PathLink = 17,
    /// Where in the file, in bytes.
    FileOffset = 18,
    /// Content; from protocol 2 on without a length, and last.
    Data = 19,
    /// UUID of the parent, or of a clone's source.
    CloneUuid = 20,
    /// Its generation.
    CloneCtransid = 21,
    /// Path of a clone's source, in its snapshot.
    ClonePath = 22,
    /// Where in the source, in bytes.
    CloneOffset = 23,
    /// How much of it, in bytes.
    CloneLen = 24,
    /// As `fallocate` takes it.
    FallocateMode = 25,
    /// Flags of an inode.
    Fileattr = 26,
    /// Bytes of the file that an encoded extent stands for.
    UnencodedFileLen = 27,
    /// Bytes of the extent when it is decoded.
    UnencodedLen = 28,
    /// Where in them the file's bytes begin.
    UnencodedOffset = 29,
    /// How it is compressed.
    Compression = 30,
    /// How it is encrypted.
    Encryption = 31,
    /// The last of the four that fs-verity has (protocol 3).
    VeritySignature = 35,
}

/// One whole command, header included, as it lies in a stream of some protocol version.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    bytes: &'a [u8],
    version: u32,
}

impl<'a> Command<'a> {
    /// How many bytes the command at the front of `bytes` takes; `None` if its header is not
    /// whole. The length is what the stream claims and may be absurd.
    pub fn length(bytes: &[u8]) -> Option<usize> {
        let header = bytes.get(..COMMAND)?;
        Some(COMMAND + le32(header) as usize)
    }

    /// Reads the next command into `bytes`, after so many that have passed.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or a second stream begins in its place.
    pub fn read(
        from: &mut impl Read,
        bytes: &'a mut Vec<u8>,
        version: u32,
        passed: u64,
    ) -> Result<Command<'a>> {
        bytes.resize(COMMAND, 0);
        from.read_exact(bytes).map_err(cut_off)?;
        if bytes[..] == MAGIC[..COMMAND] {
            return Err(restarted(passed));
        }
        let length = Command::length(bytes).unwrap_or_default();
        if length > COMMAND + MAX_BODY as usize {
            return Err(damaged("it has a command of impossible length"));
        }
        bytes.resize(length, 0);
        from.read_exact(&mut bytes[COMMAND..]).map_err(cut_off)?;
        Command::checked(bytes, version)
            .ok_or_else(|| damaged("the checksum of a command is wrong"))
    }

    /// A command that takes all of `bytes`, which have at least a header; `None` if its checksum
    /// is wrong.
    pub fn checked(bytes: &'a [u8], version: u32) -> Option<Command<'a>> {
        (command_crc(bytes) == le32(&bytes[6..])).then_some(Command { bytes, version })
    }

    /// A command that takes all of `bytes`, which have at least a header, and whose checksum was looked
    /// at before.
    pub fn sound(bytes: &'a [u8], version: u32) -> Command<'a> {
        Command { bytes, version }
    }

    /// The version of the protocol that it is read by.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The command as it is, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it does; `None` if its number is not known.
    pub fn verb(&self) -> Option<Verb> {
        Verb::of(self.number())
    }

    /// The number that it has in the stream.
    pub fn number(&self) -> u16 {
        le16(&self.bytes[4..])
    }

    /// The attributes in their order, by number; `None` in place of one that does not fit.
    pub fn attributes(&self) -> impl Iterator<Item = Option<(u16, &'a [u8])>> {
        let (mut rest, version) = (&self.bytes[COMMAND..], self.version);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let taken = split(rest, version);
            rest = taken.map_or(&[], |(_, _, rest)| rest);
            Some(taken.map(|(kind, value, _)| (kind, value)))
        })
    }

    /// The value of an attribute.
    pub fn get(&self, wanted: Attr) -> Option<&'a [u8]> {
        self.attributes()
            .flatten()
            .find(|(kind, _)| *kind == wanted as u16)
            .map(|(_, value)| value)
    }

    /// The value of an attribute that the command must have.
    ///
    /// # Errors
    /// Damage, if it has none.
    pub fn need(&self, wanted: Attr) -> Result<&'a [u8]> {
        self.get(wanted).ok_or_else(|| self.damaged())
    }

    /// The error of a command that is not as the protocol has it.
    pub fn damaged(&self) -> Error {
        let number = self.number();
        super::damaged(&format!(
            "a command of number {number} lacks a field or is unknown"
        ))
    }
}

/// Number and value of the first attribute, and what follows it. From version 2 on data has no
/// length: it is the rest of the command.
fn split(body: &[u8], version: u32) -> Option<(u16, &[u8], &[u8])> {
    let (kind, rest) = body.split_first_chunk::<2>()?;
    let kind = u16::from_le_bytes(*kind);
    if version >= 2 && kind == Attr::Data as u16 {
        return Some((kind, rest, &[]));
    }
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((kind, value, rest))
}

/// Writes commands for streams of one protocol version.
#[derive(Clone, Copy, Debug)]
pub struct CommandWriter {
    /// The version of the stream that they are for.
    pub version: u32,
}

impl CommandWriter {
    /// Appends a command to `to`. Data comes last, as the protocol wants it.
    pub fn put(self, to: &mut Vec<u8>, verb: Verb, attributes: &[(Attr, &[u8])]) {
        let start = to.len();
        to.extend_from_slice(&[0; COMMAND]);
        for (kind, value) in attributes {
            if self.version >= 2 && *kind == Attr::Data {
                to.extend_from_slice(&(*kind as u16).to_le_bytes());
                to.extend_from_slice(value);
            } else {
                put(to, *kind, value);
            }
        }
        close(&mut to[start..], verb as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for version in [1, 2] {
            let mut bytes = Vec::new();
            let (offset, data) = (7u64.to_le_bytes(), [5; 70]);
            let attributes: [(Attr, &[u8]); 3] = [
                (Attr::Path, b"a/b"),
                (Attr::FileOffset, &offset),
                (Attr::Data, &data),
            ];
            CommandWriter { version }.put(&mut bytes, Verb::Write, &attributes);
            assert_eq!(Command::length(&bytes), Some(bytes.len()));
            let command = Command::checked(&bytes, version).unwrap();
            assert_eq!(command.verb(), Some(Verb::Write));
            assert_eq!(command.get(Attr::Path), Some(&b"a/b"[..]));
            assert_eq!(command.get(Attr::FileOffset), Some(&offset[..]));
            assert_eq!(command.get(Attr::Data), Some(&data[..]));
            bytes[12] ^= 1;
            assert!(Command::checked(&bytes, version).is_none());
        }
    }

    #[test]
    fn verbs_have_their_numbers() {
        for (at, verb) in Verb::ALL.into_iter().enumerate() {
            assert_eq!(verb as usize, at + 1);
            assert_eq!(Verb::of(verb as u16), Some(verb));
        }
        assert_eq!(Verb::of(0), None);
        assert_eq!(Verb::of(27), None);
    }

    #[test]
    fn attributes_that_do_not_fit_are_seen() {
        let mut bytes = Vec::new();
        CommandWriter { version: 1 }.put(&mut bytes, Verb::Rmdir, &[(Attr::Path, b"abc")]);
        bytes[COMMAND + 2] = 9;
        close(&mut bytes, Verb::Rmdir as u16);
        let command = Command::checked(&bytes, 1).unwrap();
        assert_eq!(command.attributes().collect::<Vec<_>>(), [None]);
        assert_eq!(command.get(Attr::Path), None);
    }
}
