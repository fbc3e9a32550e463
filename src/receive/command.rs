//! What the commands of a send stream ask for, as values. Knows what each kind must have, and what
//! paths may be.

use crate::btrfs::Encoded;
use crate::error::{Error, Result};
use crate::snapshot::Uuid;
use crate::stream::command::{Attr, Command as Raw, Verb};
use crate::sys::dir::Time;

/// Length le32, kind le16, checksum le32.
const HEADER: usize = 10;
/// No kernel sends longer commands (a compressed extent of 128 KiB, and 16 KiB); a longer one would
/// have to be held in memory.
const MAX: usize = 2 << 20;

/// What a stream asks for. Paths are relative to the top of the tree, which itself is empty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Instruction<'a> {
    Make(&'a [u8], Make<'a>),
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    Link {
        from: &'a [u8],
        to: &'a [u8],
    },
    Unlink(&'a [u8]),
    Rmdir(&'a [u8]),
    SetXattr {
        path: &'a [u8],
        name: &'a [u8],
        value: &'a [u8],
    },
    RemoveXattr {
        path: &'a [u8],
        name: &'a [u8],
    },
    Write {
        path: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    Encoded(&'a [u8], Encoded<'a>),
    Clone(&'a [u8], Range<'a>),
    Truncate(&'a [u8], u64),
    Allocate {
        path: &'a [u8],
        mode: i32,
        offset: u64,
        length: u64,
    },
    Chmod(&'a [u8], u32),
    Chown(&'a [u8], u32, u32),
    Times {
        path: &'a [u8],
        read: Time,
        changed: Time,
    },
    /// Flags as `lsattr` shows them.
    Flags,
    /// Data is there, and is not sent.
    NoData,
    End,
}

/// The kind of entry that is made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Make<'a> {
    File,
    Directory,
    /// Type, and device.
    Node(u32, u64),
    Symlink(&'a [u8]),
}

/// What a file is to share with another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Range<'a> {
    pub(super) offset: u64,
    pub(super) snapshot: Uuid,
    pub(super) source: &'a [u8],
    pub(super) source_offset: u64,
    pub(super) length: u64,
}

/// How many bytes the command takes that `bytes` begin with; if they are not all there, how many
/// more are needed at least.
///
/// # Errors
/// If no kernel would send it.
pub(super) fn length(bytes: &[u8]) -> Result<std::result::Result<usize, usize>> {
    match Raw::length(bytes) {
        None => Ok(Err(HEADER - bytes.len())),
        Some(whole) if whole > MAX => Err(damaged(
            "has a command that is longer than any kernel sends",
        )),
        Some(whole) if bytes.len() < whole => Ok(Err(whole - bytes.len())),
        Some(whole) => Ok(Ok(whole)),
    }
}

impl<'a> Instruction<'a> {
    /// Reads one whole command.
    ///
    /// # Errors
    /// If it lacks a field, or a path in it is none.
    pub(super) fn decode(version: u32, bytes: &'a [u8]) -> Result<Instruction<'a>> {
        let raw = Raw::sound(bytes, version);
        let verb = raw
            .verb()
            .ok_or_else(|| damaged("has a command of an unknown kind"))?;
        let fields = CommandFields::read(&raw)?;
        match verb {
            Verb::Mkfile
            | Verb::Mkdir
            | Verb::Mknod
            | Verb::Mkfifo
            | Verb::Mksock
            | Verb::Symlink => fields.make(verb),
            Verb::Rename | Verb::Link | Verb::Unlink | Verb::Rmdir => fields.names(verb),
            Verb::SetXattr | Verb::RemoveXattr => fields.xattr(verb),
            Verb::Write | Verb::Clone | Verb::Truncate | Verb::Fallocate | Verb::EncodedWrite => {
                fields.content(verb)
            }
            Verb::Chmod | Verb::Chown | Verb::Utimes => fields.attributes(verb),
            Verb::End => Ok(Instruction::End),
            Verb::UpdateExtent => Ok(Instruction::NoData),
            Verb::Fileattr => Ok(Instruction::Flags),
            Verb::Subvol | Verb::Snapshot => Err(damaged("makes a second snapshot")),
            Verb::EnableVerity => Err(damaged("has a command that its protocol does not have")),
        }
    }
}

const KINDS: usize = Attr::Encryption as usize + 1;

/// The fields of a command, by their numbers.
struct CommandFields<'a>([Option<&'a [u8]>; KINDS]);

impl<'a> CommandFields<'a> {
    fn read(raw: &Raw<'a>) -> Result<CommandFields<'a>> {
        let mut all = [None; KINDS];
        for field in raw.attributes() {
            let (kind, value) = field.ok_or_else(|| damaged("has a field that is cut off"))?;
            let field = all.get_mut(usize::from(kind));
            *field.ok_or_else(|| damaged("has an unknown field"))? = Some(value);
        }
        Ok(CommandFields(all))
    }

    fn get(&self, kind: Attr) -> Result<&'a [u8]> {
        self.0[kind as usize].ok_or_else(|| damaged("has a command that lacks a field"))
    }

    fn array<const N: usize>(&self, kind: Attr) -> Result<[u8; N]> {
        let value = self.get(kind)?.try_into();
        value.map_err(|_| damaged("has a field of a wrong length"))
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
        number.map_err(|_| damaged("has a number that is too large"))
    }

    /// Of names that lead somewhere below the top, or of nothing, which is the top.
    fn path(&self, kind: Attr) -> Result<&'a [u8]> {
        let path = self.get(kind)?;
        let mut names = path.split(|&byte| byte == b'/');
        let odd = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&0);
        match path.is_empty() || !names.any(odd) {
            true => Ok(path),
            false => Err(damaged(
                "has a path that leads out of its snapshot, or nowhere",
            )),
        }
    }

    /// The same of something that has a name.
    fn name(&self, kind: Attr) -> Result<&'a [u8]> {
        match self.path(kind)? {
            [] => Err(damaged("makes, moves or removes the top of its snapshot")),
            path => Ok(path),
        }
    }

    fn time(&self, kind: Attr) -> Result<Time> {
        let [a, b, c, d, e, f, g, h, nanoseconds @ ..] = self.array::<12>(kind)?;
        let seconds = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match u32::from_le_bytes(nanoseconds) {
            // Larger ones mean other things to the kernel.
            nanoseconds @ 0..1_000_000_000 => Ok((seconds, nanoseconds)),
            _ => Err(damaged("has a time that is none")),
        }
    }

    fn make(&self, verb: Verb) -> Result<Instruction<'a>> {
        const FORMAT: u32 = libc::S_IFMT;
        let make = match verb {
            Verb::Mkfile => Make::File,
            Verb::Mkdir => Make::Directory,
            Verb::Mknod => match self.small(Attr::Mode)? & FORMAT {
                device @ (libc::S_IFCHR | libc::S_IFBLK) => {
                    Make::Node(device, self.u64(Attr::Rdev)?)
                }
                _ => return Err(damaged("makes a device node that is none")),
            },
            Verb::Mkfifo => Make::Node(libc::S_IFIFO, 0),
            Verb::Mksock => Make::Node(libc::S_IFSOCK, 0),
            _ => Make::Symlink(self.get(Attr::PathLink)?),
        };
        Ok(Instruction::Make(self.name(Attr::Path)?, make))
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
            _ => Instruction::Encoded(path, self.encoded()?),
        })
    }

    fn range(&self) -> Result<Range<'a>> {
        Ok(Range {
            offset: self.u64(Attr::FileOffset)?,
            snapshot: Uuid(self.array(Attr::CloneUuid)?),
            source: self.name(Attr::ClonePath)?,
            source_offset: self.u64(Attr::CloneOffset)?,
            length: self.u64(Attr::CloneLen)?,
        })
    }

    fn encoded(&self) -> Result<Encoded<'a>> {
        if self.0[Attr::Encryption as usize].is_some() && self.u32(Attr::Encryption)? != 0 {
            return Err(damaged("has encrypted data"));
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

/// What cannot have come from a kernel.
pub(super) fn damaged(what: &str) -> Error {
    Error::damaged("the send stream is damaged", format!("it {what}"))
}

#[cfg(any(test, feature = "fuzz"))]
/// Whatever the bytes are, they are a command or an error.
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(Ok(whole)) = length(bytes) {
        for version in 1..=3 {
            let _ = Instruction::decode(version, &bytes[..whole]);
        }
    }
}
