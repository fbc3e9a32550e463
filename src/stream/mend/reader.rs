//! A stream that is mended as it is read. Commands that stay as they are do not move in memory
//! before they are handed over.

use super::position::ContentPosition;
use super::{Mender, Trees};
use crate::error::Result;
use crate::snapshot::Mended;
use crate::stream::command::Command;
use crate::stream::instruction::Instruction;
use crate::stream::{COMMAND, Head, MAGIC, MAX_BODY, damaged, restarted};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// How many bytes are tried where a stream ended: the kernel reads less than that at a time.
const LOOK: usize = 1 << 20;

/// How much is read at a time, in bytes: as much as a pipe holds, and the longest usual command.
const PIECE: usize = 256 << 10;

/// A mended stream, checked as it is read. `Ok(0)` means that END was seen and that the reader
/// below reported its end.
pub struct MendedStream<'a, R> {
    inner: R,
    mender: Mender<'a>,
    version: u32,
    /// What goes before the next command: the head at first, then what the mender adds.
    added: Vec<u8>,
    given: usize,
    /// What was read: handed over up to `start`, rehearsed up to `passed`, filled up to `end`.
    bytes: Vec<u8>,
    start: usize,
    passed: usize,
    end: usize,
    /// What comes next after what is rehearsed.
    next: NextCommand,
    total: u64,
    position: ContentPosition,
}

/// What is known of the command that stands at `passed`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NextCommand {
    /// Not looked at yet.
    Unknown,
    /// It passes, after what is added.
    Keep(usize),
    /// So does END.
    KeepEnd(usize),
    /// It is left out.
    Drop(usize),
    /// There is none: END has passed.
    Ended,
}

impl<'a, R: Read> MendedStream<'a, R> {
    /// Reads the head of `inner` and lets `change` look at it and alter it.
    ///
    /// # Errors
    /// If the head cannot be read, `change` refuses it, or a tree cannot be read.
    pub fn new(
        mut inner: R,
        trees: Trees<'a>,
        change: impl FnOnce(&mut Head) -> Result<()>,
    ) -> Result<Self> {
        let mut head = Head::read(&mut inner)?;
        let own = Head {
            path: head.path.clone(),
            ..head
        };
        change(&mut head)?;
        Ok(MendedStream {
            inner,
            position: ContentPosition::default(),
            // Clones of its own files name it as the kernel does.
            mender: Mender::new(&own, trees)?,
            version: head.version,
            added: head.encode(),
            given: 0,
            bytes: vec![0; PIECE],
            start: 0,
            passed: 0,
            end: 0,
            next: NextCommand::Unknown,
            total: 0,
        })
    }

    /// The file that the stream ended at, if it cannot be read on from there. What was not read before that one is
    /// not looked at.
    pub fn unreadable(&self) -> Option<PathBuf> {
        let ContentPosition { path, offset } = &self.position;
        let path = Some(path).filter(|path| !path.is_empty())?;
        let error = self.mender.child.read_at(path, *offset, LOOK).err()?;
        (error.raw_os_error() == Some(libc::EIO)).then(|| OsStr::from_bytes(path).into())
    }

    /// What was mended so far.
    pub fn mended(&self) -> &Mended {
        self.mender.mended()
    }

    /// Where the last command about content was: the inode number of the file, and the offset.
    pub fn at(&self) -> Option<(u64, u64)> {
        self.mender.at()
    }

    /// Rehearses what is there, up to the next command that something comes before or that is left
    /// out; false if there is no whole command.
    fn rehearse(&mut self) -> Result<bool> {
        while self.next == NextCommand::Unknown {
            let rest = &self.bytes[self.passed..self.end];
            let Some(length) = Command::length(rest) else {
                return Ok(false);
            };
            self.must_go_on(rest, length)?;
            if rest.len() < length {
                return Ok(false);
            }
            let command = Command::checked(&rest[..length], self.version);
            let command = command.ok_or_else(|| damaged("the checksum of a command is wrong"))?;
            let instruction = Instruction::decode(&command)?;
            self.position.pass(&instruction);
            let ends = instruction == Instruction::End;
            let keep = self.mender.pass(&instruction, &mut self.added)?;
            self.total += length as u64;
            if keep && self.added.is_empty() {
                self.passed += length;
                self.next = if ends {
                    NextCommand::Ended
                } else {
                    NextCommand::Unknown
                };
            } else {
                self.next = match (keep, ends) {
                    (true, true) => NextCommand::KeepEnd(length),
                    (true, false) => NextCommand::Keep(length),
                    (false, _) => NextCommand::Drop(length),
                };
            }
        }
        Ok(true)
    }

    fn must_go_on(&self, header: &[u8], length: usize) -> Result<()> {
        if header[..COMMAND] == MAGIC[..COMMAND] {
            return Err(restarted(self.total));
        }
        match length > COMMAND + MAX_BODY as usize {
            true => Err(damaged("it has a command of impossible length")),
            false => Ok(()),
        }
    }

    /// Reads more; false at the end of what is below.
    fn fill(&mut self) -> io::Result<bool> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.passed -= self.start;
        self.start = 0;
        if self.end == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        let n = self.inner.read(&mut self.bytes[self.end..])?;
        self.end += n;
        Ok(n > 0)
    }

    /// All of it was handed over: the reader below must have nothing more.
    fn close(&mut self) -> io::Result<()> {
        while self.end - self.passed < COMMAND && self.fill()? {}
        match &self.bytes[self.passed..self.end] {
            [] => Ok(()),
            rest if rest.starts_with(&MAGIC[..COMMAND]) => Err(restarted(self.total).into()),
            _ => Err(damaged("it goes on after its end").into()),
        }
    }

    /// Hands over what is ready; 0 if nothing is.
    fn hand_over(&mut self, buf: &mut [u8]) -> usize {
        if self.start < self.passed {
            let n = buf.len().min(self.passed - self.start);
            buf[..n].copy_from_slice(&self.bytes[self.start..self.start + n]);
            self.start += n;
            return n;
        }
        let n = buf.len().min(self.added.len() - self.given);
        buf[..n].copy_from_slice(&self.added[self.given..self.given + n]);
        self.given += n;
        if self.given == self.added.len() {
            self.added.clear();
            self.given = 0;
        }
        n
    }

    /// Goes past the command whose additions have been handed over.
    fn step(&mut self) {
        match self.next {
            NextCommand::Keep(length) | NextCommand::KeepEnd(length) => self.passed += length,
            NextCommand::Drop(length) => {
                self.passed += length;
                self.start += length;
            }
            NextCommand::Unknown | NextCommand::Ended => return,
        }
        self.next = match self.next {
            NextCommand::KeepEnd(_) => NextCommand::Ended,
            _ => NextCommand::Unknown,
        };
    }
}

impl<R: Read> Read for MendedStream<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            let n = self.hand_over(buf);
            if n > 0 {
                return Ok(n);
            }
            self.step();
            if self.start < self.passed {
                continue;
            }
            if self.next == NextCommand::Ended {
                return self.close().map(|()| 0);
            }
            let waits = !self.rehearse()? && self.start == self.passed;
            if waits && !self.fill()? {
                return Err(damaged("it ends without its END command").into());
            }
        }
        Ok(0)
    }
}
