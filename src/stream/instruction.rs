//! What the commands of a send stream ask for, as values. Knows what each kind must have, and what
//! paths may be.

use super::command::{Attr, Command, Verb};
use super::damaged;
use super::tree::{DIRECTORY, REGULAR, SYMLINK, TYPE};
use crate::error::Result;
use crate::snapshot::Uuid;
use crate::sys::dir::Time;

/// What a command asks for. Paths are relative to the top of the tree, which itself is empty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Instruction<'a> {
    /// Makes something that was not there.
    Make {
        /// Where.
        path: &'a [u8],
        /// The inode number that it has at the source; a receiver needs none.
        ino: Option<u64>,
        /// What it is.
        make: Make<'a>,
    },
    /// Gives something another name, and replaces what has that.
    Rename {
        /// The old name.
        from: &'a [u8],
        /// The new one.
        to: &'a [u8],
    },
    /// Gives a file one more name.
    Link {
        /// A name that it has.
        from: &'a [u8],
        /// The new one.
        to: &'a [u8],
    },
    /// Removes a name of what is no directory.
    Unlink(&'a [u8]),
    /// Removes an empty directory.
    Rmdir(&'a [u8]),
    /// Sets an extended attribute.
    SetXattr {
        /// Of what.
        path: &'a [u8],
        /// Its name, with the namespace.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Removes an extended attribute.
    RemoveXattr {
        /// Of what.
        path: &'a [u8],
        /// Its name, with the namespace.
        name: &'a [u8],
    },
    /// Writes to a file.
    Write {
        /// The file.
        path: &'a [u8],
        /// Where in it, in bytes.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// Writes a compressed extent to a file (protocol 2).
    Encoded(&'a [u8], Encoded<'a>),
    /// Lets a file share an extent of another one.
    Clone(&'a [u8], CloneRange<'a>),
    /// Sets the length of a file in bytes.
    Truncate(&'a [u8], u64),
    /// Allocates space or punches a hole (protocol 2).
    Allocate {
        /// The file.
        path: &'a [u8],
        /// As fallocate(2) takes it.
        mode: i32,
        /// Where in it, in bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Sets permissions: the lower twelve bits of a mode.
    Chmod(&'a [u8], u32),
    /// Sets user and group, which may clear permissions.
    Chown(&'a [u8], u32, u32),
    /// Sets the times of the last read and of the last change.
    Times {
        /// Of what.
        path: &'a [u8],
        /// The last read.
        read: Time,
        /// The last change of the content.
        changed: Time,
    },
    /// Tells the flags that `lsattr` shows (protocol 2).
    Flags(&'a [u8]),
    /// Turns fs-verity on (protocol 3).
    Verity(&'a [u8]),
    /// Data is there, and is not sent: a stream without data has this in the place of writes.
    NoData {
        /// The file.
        path: &'a [u8],
        /// Where in it, in bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Ends the stream.
    End,
}

/// The kind of entry that is made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Make<'a> {
    /// An empty file.
    File,
    /// A directory.
    Directory,
    /// A device, pipe or socket: the type bits of its mode, and the device's number.
    Node(u32, u64),
    /// A symbolic link, and where it leads.
    Symlink(&'a [u8]),
}

impl Make<'_> {
    /// The type bits of its mode.
    pub fn kind(self) -> u32 {
        match self {
            Make::File => REGULAR,
            Make::Directory => DIRECTORY,
            Make::Node(kind, _) => kind,
            Make::Symlink(_) => SYMLINK,
        }
    }
}

/// What a file is to share with another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CloneRange<'a> {
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The snapshot that the other one is in, by the name that the stream has for it.
    pub snapshot: Uuid,
    /// The path of the other one there.
    pub source: &'a [u8],
    /// Where in the other one, in bytes.
    pub source_offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// A compressed extent, as send streams and the kernel describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded<'a> {
    /// Where in the file it begins.
    pub offset: u64,
    /// The compressed bytes.
    pub data: &'a [u8],
    /// How many bytes of the file it stands for.
    pub len: u64,
    /// How many bytes it has when it is unpacked.
    pub unencoded_len: u64,
    /// Which of them is the first of the file's.
    pub unencoded_offset: u64,
    /// The kernel's number for how it is compressed.
    pub compression: u32,
}

impl<'a> Instruction<'a> {
    /// What a command asks for.
    ///
    /// # Errors
    /// Damage, if it lacks a field, or a path in it is none.
    pub fn decode(command: &Command<'a>) -> Result<Instruction<'a>> {
        let verb = command
            .verb()
            .ok_or_else(|| damaged("it has a command of an unknown kind"))?;
        let fields = CommandFields::read(command)?;
        match verb {
            Verb::Mkfile
            | Verb::Mkdir
            | Verb::Mknod
            | Verb::Mkfifo
            | Verb::Mksock
            | Verb::Symlink => fields.make(verb),
            Verb::Rename | Verb::Link | Verb::Unlink | Verb::Rmdir => fields.names(verb),
            Verb::SetXattr | Verb::RemoveXattr => fields.xattr(verb),
            Verb::Write
            | Verb::Clone
            | Verb::Truncate
            | Verb::Fallocate
            | Verb::EncodedWrite
            | Verb::UpdateExtent => fields.content(verb),
            Verb::Chmod | Verb::Chown | Verb::Utimes => fields.attributes(verb),
            Verb::End => Ok(Instruction::End),
            Verb::Fileattr => Ok(Instruction::Flags(fields.path(Attr::Path)?)),
            Verb::EnableVerity if command.version() >= 3 => {
                Ok(Instruction::Verity(fields.path(Attr::Path)?))
            }
            Verb::EnableVerity => Err(damaged("it has a command that its protocol does not have")),
            Verb::Subvol | Verb::Snapshot => Err(damaged("it makes a second snapshot")),
        }
    }

    /// What it is about: of a new name the name. The top's path is empty, and so is that of END.
    pub fn path(&self) -> &'a [u8] {
        match *self {
            Instruction::Rename { from: path, .. }
            | Instruction::Link { to: path, .. }
            | Instruction::Make { path, .. }
            | Instruction::Unlink(path)
            | Instruction::Rmdir(path)
            | Instruction::SetXattr { path, .. }
            | Instruction::RemoveXattr { path, .. }
            | Instruction::Write { path, .. }
            | Instruction::Encoded(path, _)
            | Instruction::Clone(path, _)
            | Instruction::Truncate(path, _)
            | Instruction::Allocate { path, .. }
            | Instruction::Chmod(path, _)
            | Instruction::Chown(path, ..)
            | Instruction::Times { path, .. }
            | Instruction::Flags(path)
            | Instruction::Verity(path)
            | Instruction::NoData { path, .. } => path,
            Instruction::End => b"",
        }
    }

    /// What it does to the path, as errors say it: "cannot … a/b".
    pub fn words(&self) -> &'static str {
        match self {
            Instruction::Make { .. } => "make",
            Instruction::Rename { .. } => "rename",
            Instruction::Link { .. } => "link",
            Instruction::Unlink(_) | Instruction::Rmdir(_) => "remove",
            Instruction::SetXattr { .. } => "set an extended attribute of",
            Instruction::RemoveXattr { .. } => "remove an extended attribute of",
            Instruction::Write { .. } | Instruction::Encoded(..) | Instruction::NoData { .. } => {
                "write"
            }
            Instruction::Clone(..) => "clone into",
            Instruction::Truncate(..) => "truncate",
            Instruction::Allocate { .. } => "reserve space in",
            Instruction::Chmod(..) => "set the mode of",
            Instruction::Chown(..) => "set the owner of",
            Instruction::Times { .. } => "set the times of",
            Instruction::Flags(_) => "set the flags of",
            Instruction::Verity(_) => "turn fs-verity on for",
            Instruction::End => "end at",
        }
    }
}

const KINDS: usize = Attr::VeritySignature as usize + 1;

/// The fields of a command, by their numbers.
struct CommandFields<'a>([Option<&'a [u8]>; KINDS]);

impl<'a> CommandFields<'a> {
    fn read(command: &Command<'a>) -> Result<CommandFields<'a>> {
        let mut all = [None; KINDS];
        for field in command.attributes() {
            let (kind, value) = field.ok_or_else(|| damaged("it has a field that is cut off"))?;
            let field = all.get_mut(usize::from(kind));
            *field.ok_or_else(|| damaged("it has an unknown field"))? = Some(value);
        }
        Ok(CommandFields(all))
    }

    fn get(&self, kind: Attr) -> Result<&'a [u8]> {
        self.0[kind as usize].ok_or_else(|| damaged("it has a command that lacks a field"))
    }

    fn array<const N: usize>(&self, kind: Attr) -> Result<[u8; N]> {
        let value = self.get(kind)?.try_into();
        value.map_err(|_| damaged("it has a field of a wrong length"))
    }

    fn u64(&self, kind: Attr) -> Result<u64> {
        self.array(kind).map(u64::from_le_bytes)
    }

    fn u32(&self, kind: Attr) -> Result<u32> {
        self.array(kind).map(u32::from_le_bytes)
    }

    /// A number that takes more room than it needs.
    fn small(&self, kind: Attr) -> Result<u32> {
        let number = self.u64(kind)?.try_into();
        number.map_err(|_| damaged("it has a number that is too large"))
    }

    /// Of names that lead somewhere below the top, or of nothing, which is the top.
    fn path(&self, kind: Attr) -> Result<&'a [u8]> {
        let path = self.get(kind)?;
        let mut names = path.split(|&byte| byte == b'/');
        let odd = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&0);
        match path.is_empty() || !names.any(odd) {
            true => Ok(path),
            false => Err(damaged(
                "it has a path that leads out of its snapshot, or nowhere",
            )),
        }
    }

    /// The same of something that has a name.
    fn name(&self, kind: Attr) -> Result<&'a [u8]> {
        match self.path(kind)? {
            [] => Err(damaged(
                "it makes, moves or removes the top of its snapshot",
            )),
            path => Ok(path),
        }
    }

    fn time(&self, kind: Attr) -> Result<Time> {
        let [a, b, c, d, e, f, g, h, nanoseconds @ ..] = self.array::<12>(kind)?;
        let seconds = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match u32::from_le_bytes(nanoseconds) {
            // Larger ones mean other things to the kernel.
            nanoseconds @ 0..1_000_000_000 => Ok((seconds, nanoseconds)),
            _ => Err(damaged("it has a time that is none")),
        }
    }

    fn make(&self, verb: Verb) -> Result<Instruction<'a>> {
        let make = match verb {
            Verb::Mkfile => Make::File,
            Verb::Mkdir => Make::Directory,
            Verb::Mknod => match self.small(Attr::Mode)? & TYPE {
                device @ (libc::S_IFCHR | libc::S_IFBLK) => {
                    Make::Node(device, self.u64(Attr::Rdev)?)
                }
                _ => return Err(damaged("it makes a device node that is none")),
            },
            Verb::Mkfifo => Make::Node(libc::S_IFIFO, 0),
            Verb::Mksock => Make::Node(libc::S_IFSOCK, 0),
            _ => Make::Symlink(self.get(Attr::PathLink)?),
        };
        let ino = self.0[Attr::Ino as usize];
        Ok(Instruction::Make {
            path: self.name(Attr::Path)?,
            ino: ino.map(|_| self.u64(Attr::Ino)).transpose()?,
            make,
        })
    }

    fn names(&self, verb: Verb) -> Result<Instruction<'a>> {
        let path = self.name(Attr::Path)?;
        Ok(match verb {
            Verb::Rename => Instruction::Rename {
                from: path,
                to: self.name(Attr::PathTo)?,
            },
            Verb::Link => Instruction::Link {
                from: self.name(Attr::PathLink)?,
                to: path,
            },
            Verb::Unlink => Instruction::Unlink(path),
            _ => Instruction::Rmdir(path),
        })
    }

    fn xattr(&self, verb: Verb) -> Result<Instruction<'a>> {
        let (path, name) = (self.path(Attr::Path)?, self.get(Attr::XattrName)?);
        Ok(match verb {
            Verb::SetXattr => Instruction::SetXattr {
                path,
                name,
                value: self.get(Attr::XattrData)?,
            },
            _ => Instruction::RemoveXattr { path, name },
        })
    }

    fn content(&self, verb: Verb) -> Result<Instruction<'a>> {
        let path = self.name(Attr::Path)?;
        Ok(match verb {
            Verb::Write => Instruction::Write {
                path,
                offset: self.u64(Attr::FileOffset)?,
                data: self.get(Attr::Data)?,
            },
            Verb::Clone => Instruction::Clone(path, self.range()?),
            Verb::Truncate => Instruction::Truncate(path, self.u64(Attr::Size)?),
            Verb::Fallocate => Instruction::Allocate {
                path,
                mode: self.u32(Attr::FallocateMode)?.cast_signed(),
                offset: self.u64(Attr::FileOffset)?,
                length: self.u64(Attr::Size)?,
            },
            Verb::UpdateExtent => Instruction::NoData {
                path,
                offset: self.u64(Attr::FileOffset)?,
                length: self.u64(Attr::Size)?,
            },
            _ => Instruction::Encoded(path, self.encoded()?),
        })
    }

    fn range(&self) -> Result<CloneRange<'a>> {
        Ok(CloneRange {
            offset: self.u64(Attr::FileOffset)?,
            snapshot: Uuid(self.array(Attr::CloneUuid)?),
            source: self.name(Attr::ClonePath)?,
            source_offset: self.u64(Attr::CloneOffset)?,
            length: self.u64(Attr::CloneLen)?,
        })
    }

    fn encoded(&self) -> Result<Encoded<'a>> {
        if self.0[Attr::Encryption as usize].is_some() && self.u32(Attr::Encryption)? != 0 {
            return Err(damaged("it has encrypted data"));
        }
        Ok(Encoded {
            offset: self.u64(Attr::FileOffset)?,
            data: self.get(Attr::Data)?,
            len: self.u64(Attr::UnencodedFileLen)?,
            unencoded_len: self.u64(Attr::UnencodedLen)?,
            unencoded_offset: self.u64(Attr::UnencodedOffset)?,
            compression: self.0[Attr::Compression as usize]
                .map_or(Ok(0), |_| self.u32(Attr::Compression))?,
        })
    }

    fn attributes(&self, verb: Verb) -> Result<Instruction<'a>> {
        let path = self.path(Attr::Path)?;
        Ok(match verb {
            Verb::Chmod => Instruction::Chmod(path, self.small(Attr::Mode)? & 0o7777),
            Verb::Chown => Instruction::Chown(path, self.small(Attr::Uid)?, self.small(Attr::Gid)?),
            _ => Instruction::Times {
                path,
                read: self.time(Attr::Atime)?,
                changed: self.time(Attr::Mtime)?,
            },
        })
    }
}
