//! The commands of a send stream, from bytes to values. Knows what each kind must have; its
//! checksum was looked at before.

use crate::btrfs::Encoded;
use crate::error::{Error, Result};
use crate::snapshot::Uuid;
use crate::sys::at::Time;

/// Length le32, kind le16, checksum le32.
const HEADER: usize = 10;
/// No kernel sends longer commands (a compressed extent of 128 KiB, and 16 KiB); a longer one would
/// have to be held in memory.
const MAX_BODY: usize = 2 << 20;

/// What a stream asks for. Paths are relative to the top of the tree, which itself is empty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Command<'a> {
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

/// What is made.
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
    let Some(body) = bytes.get(..4).and_then(|b| <[u8; 4]>::try_from(b).ok()) else {
        return Ok(Err(HEADER - bytes.len()));
    };
    let body = u32::from_le_bytes(body) as usize;
    if body > MAX_BODY {
        return Err(damaged(
            "has a command that is longer than any kernel sends",
        ));
    }
    let whole = HEADER + body;
    Ok(if bytes.len() < whole {
        Err(whole - bytes.len())
    } else {
        Ok(whole)
    })
}

impl<'a> Command<'a> {
    /// Reads one whole command.
    ///
    /// # Errors
    /// If it lacks a field, or a path in it is none.
    pub(super) fn decode(version: u32, bytes: &'a [u8]) -> Result<Command<'a>> {
        let kind = bytes.get(4..6).and_then(|b| <[u8; 2]>::try_from(b).ok());
        let kind = kind.map_or(0, u16::from_le_bytes);
        let fields = Fields::read(version, bytes.get(HEADER..).unwrap_or_default())?;
        match kind {
            3..=8 => fields.make(kind),
            9..=12 => fields.names(kind),
            13..=14 => fields.xattr(kind),
            15..=17 | 23 | 25 => fields.content(kind),
            18..=20 => fields.attributes(kind),
            21 => Ok(Command::End),
            22 => Ok(Command::NoData),
            24 => Ok(Command::Flags),
            _ => Err(damaged(&format!(
                "has a command of the unknown kind {kind}"
            ))),
        }
    }
}

const KINDS: usize = 32;
const DATA: usize = 19;

/// The fields of a command, by their numbers.
struct Fields<'a>([Option<&'a [u8]>; KINDS]);

impl<'a> Fields<'a> {
    fn read(version: u32, mut body: &'a [u8]) -> Result<Fields<'a>> {
        let mut all = [None; KINDS];
        while let [a, b, rest @ ..] = body {
            let kind = usize::from(u16::from_le_bytes([*a, *b]));
            // From version 2 on data has no length: it is the rest of the command.
            let (value, after) = match rest {
                _ if version >= 2 && kind == DATA => (Some(rest), &[][..]),
                [c, d, rest @ ..] => {
                    let length = usize::from(u16::from_le_bytes([*c, *d]));
                    (rest.get(..length), rest.get(length..).unwrap_or_default())
                }
                _ => (None, &[][..]),
            };
            let field = all
                .get_mut(kind)
                .ok_or_else(|| damaged("has an unknown field"))?;
            *field = Some(value.ok_or_else(|| damaged("has a field that is cut off"))?);
            body = after;
        }
        match body {
            [] => Ok(Fields(all)),
            _ => Err(damaged("has a field that is cut off")),
        }
    }

    fn get(&self, kind: usize) -> Result<&'a [u8]> {
        self.0[kind].ok_or_else(|| damaged("has a command that lacks a field"))
    }

    fn array<const N: usize>(&self, kind: usize) -> Result<[u8; N]> {
        let value = self.get(kind)?.try_into();
        value.map_err(|_| damaged("has a field of a wrong length"))
    }

    fn u64(&self, kind: usize) -> Result<u64> {
        self.array(kind).map(u64::from_le_bytes)
    }

    fn u32(&self, kind: usize) -> Result<u32> {
        self.array(kind).map(u32::from_le_bytes)
    }

    /// A number that takes more room than it needs.
    fn small(&self, kind: usize) -> Result<u32> {
        let number = self.u64(kind)?.try_into();
        number.map_err(|_| damaged("has a number that is too large"))
    }

    /// Of names that lead somewhere below the top, or of nothing, which is the top.
    fn path(&self, kind: usize) -> Result<&'a [u8]> {
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
    fn name(&self, kind: usize) -> Result<&'a [u8]> {
        match self.path(kind)? {
            [] => Err(damaged("makes, moves or removes the top of its snapshot")),
            path => Ok(path),
        }
    }

    fn time(&self, kind: usize) -> Result<Time> {
        let [a, b, c, d, e, f, g, h, nanoseconds @ ..] = self.array::<12>(kind)?;
        let seconds = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match u32::from_le_bytes(nanoseconds) {
            // Larger ones mean other things to the kernel.
            nanoseconds @ 0..1_000_000_000 => Ok((seconds, nanoseconds)),
            _ => Err(damaged("has a time that is none")),
        }
    }

    fn make(&self, kind: u16) -> Result<Command<'a>> {
        const FORMAT: u32 = libc::S_IFMT;
        let make = match kind {
            3 => Make::File,
            4 => Make::Directory,
            5 => match self.small(5)? & FORMAT {
                device @ (libc::S_IFCHR | libc::S_IFBLK) => Make::Node(device, self.u64(8)?),
                _ => return Err(damaged("makes a device node that is none")),
            },
            6 => Make::Node(libc::S_IFIFO, 0),
            7 => Make::Node(libc::S_IFSOCK, 0),
            _ => Make::Symlink(self.get(17)?),
        };
        Ok(Command::Make(self.name(15)?, make))
    }

    fn names(&self, kind: u16) -> Result<Command<'a>> {
        let path = self.name(15)?;
        Ok(match kind {
            9 => Command::Rename {
                from: path,
                to: self.name(16)?,
            },
            10 => Command::Link {
                from: self.name(17)?,
                to: path,
            },
            11 => Command::Unlink(path),
            _ => Command::Rmdir(path),
        })
    }

    fn xattr(&self, kind: u16) -> Result<Command<'a>> {
        let (path, name) = (self.path(15)?, self.get(13)?);
        Ok(match kind {
            13 => Command::SetXattr {
                path,
                name,
                value: self.get(14)?,
            },
            _ => Command::RemoveXattr { path, name },
        })
    }

    fn content(&self, kind: u16) -> Result<Command<'a>> {
        let path = self.name(15)?;
        Ok(match kind {
            15 => Command::Write {
                path,
                offset: self.u64(18)?,
                data: self.get(DATA)?,
            },
            16 => Command::Clone(path, self.range()?),
            17 => Command::Truncate(path, self.u64(4)?),
            23 => Command::Allocate {
                path,
                mode: self.u32(25)?.cast_signed(),
                offset: self.u64(18)?,
                length: self.u64(4)?,
            },
            _ => Command::Encoded(path, self.encoded()?),
        })
    }

    fn range(&self) -> Result<Range<'a>> {
        Ok(Range {
            offset: self.u64(18)?,
            snapshot: Uuid(self.array(20)?),
            source: self.name(22)?,
            source_offset: self.u64(23)?,
            length: self.u64(24)?,
        })
    }

    fn encoded(&self) -> Result<Encoded<'a>> {
        if self.0[31].is_some() && self.u32(31)? != 0 {
            return Err(damaged("has encrypted data"));
        }
        Ok(Encoded {
            offset: self.u64(18)?,
            data: self.get(DATA)?,
            len: self.u64(27)?,
            unencoded_len: self.u64(28)?,
            unencoded_offset: self.u64(29)?,
            compression: self.0[30].map_or(Ok(0), |_| self.u32(30))?,
        })
    }

    fn attributes(&self, kind: u16) -> Result<Command<'a>> {
        let path = self.path(15)?;
        Ok(match kind {
            18 => Command::Chmod(path, self.small(5)? & 0o7777),
            19 => Command::Chown(path, self.small(6)?, self.small(7)?),
            _ => Command::Times {
                path,
                read: self.time(11)?,
                changed: self.time(10)?,
            },
        })
    }
}

/// What cannot have come from a kernel.
pub(super) fn damaged(what: &str) -> Error {
    Error::damaged("the send stream is damaged", format!("it {what}"))
}
