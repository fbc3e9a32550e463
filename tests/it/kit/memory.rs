//! A store in memory: the smallest thing that keeps the promises, and whose disk can be made to
//! fill up or fail. A snapshot's content is a string of bytes; a later one begins as its parent.

use crate::streams::{command, framed, noise};
use buttersink::error::{Error, Result};
use buttersink::snapshot::{Diff, Listing, Size, Sizes, Snapshot, State, Uuid};
use buttersink::store::{Receipt, Sink, Store};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a store in memory holds, and what goes wrong with it.
#[derive(Default)]
pub(crate) struct Held {
    pub kept: Vec<(Snapshot, Vec<u8>)>,
    /// Receives that were given up or failed.
    pub aborted: usize,
    /// Bytes that a receive may write before its disk is full.
    pub room: Option<u64>,
    /// Bytes that a send may read before its disk fails.
    pub readable: Option<u64>,
}

/// A handle; its clones are the same store.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Held>>);

impl Memory {
    /// Holds `base` and `next`, of so many bytes each.
    pub(crate) fn with_snapshots(bytes: usize) -> Memory {
        let memory = Memory::default();
        let content = noise(1, bytes);
        memory.make("base", 1, &content[..bytes / 2]);
        memory.make("next", 2, &content);
        memory
    }

    /// Makes a snapshot as if it had been taken here.
    pub(crate) fn make(&self, path: &str, number: u8, content: &[u8]) {
        let snapshot = Snapshot {
            path: path.into(),
            uuid: Uuid([number; 16]),
            ctransid: 10 * u64::from(number),
            otransid: 10 * u64::from(number),
            read_only: true,
            ..Snapshot::default()
        };
        self.held().kept.push((snapshot, content.to_vec()));
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let held = self.held();
        let found = held.kept.iter().find(|(s, _)| s.path == path);
        found.expect("a snapshot").1.clone()
    }
}

impl Held {
    fn find(&self, id: Uuid) -> Result<&(Snapshot, Vec<u8>)> {
        let found = self.kept.iter().find(|(s, _)| s.id() == id);
        found.ok_or_else(|| Error::failed("cannot send", format!("there is no snapshot {id}")))
    }

    fn at(&self, path: &Path) -> Option<usize> {
        self.kept.iter().position(|(s, _)| s.path == path)
    }

    fn stream(&self, diff: &Diff) -> Result<Vec<u8>> {
        let (to, content) = self.find(diff.to)?;
        let from = diff.from.map(|id| self.find(id)).transpose()?;
        let known = from.map_or(0, |(_, content)| content.len());
        let parent = from.map(|(s, _)| (s.id(), s.generation()));
        let mut bytes = head(&to.path, to.id(), to.generation(), parent);
        for piece in content[known..].chunks(48 << 10) {
            let write = [(15, b"file".to_vec()), (19, piece.to_vec())];
            bytes.extend(command(15, &write));
        }
        bytes.extend(command(21, &[]));
        Ok(bytes)
    }

    fn free_name(&self, path: &Path) -> Result<()> {
        let name = |part| matches!(part, Component::Normal(_));
        let bytes = path.as_os_str().as_encoded_bytes();
        let parts = bytes.split(|&b| b == b'/').count();
        if !path.components().all(name) || parts != path.components().count() || bytes.contains(&0)
        {
            return Err(Error::refused("cannot receive", "not a name in here"));
        }
        match self.at(path) {
            Some(_) => Err(Error::refused("cannot receive", "the name is taken")),
            None => Ok(()),
        }
    }
}

impl Store for Memory {
    fn list(&mut self) -> Result<Listing> {
        let mut snapshots: Vec<Snapshot> =
            self.held().kept.iter().map(|(s, _)| s.clone()).collect();
        snapshots.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Listing {
            location: "memory".into(),
            snapshots,
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let held = self.held();
        let size = |diff: &Diff| {
            let length = held.stream(diff)?.len() as u64;
            Ok((diff.key(), Size::Exact(length).into()))
        };
        diffs.iter().map(size).collect()
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let bytes = self.held().stream(diff)?;
        match self.held().readable {
            None => Ok(Box::new(io::Cursor::new(bytes))),
            Some(n) => Ok(Box::new(io::Cursor::new(bytes).take(n).chain(Broken))),
        }
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        self.held().free_name(path)?;
        if let Some(from) = diff.from {
            self.held().find(from)?;
        }
        Ok(Box::new(Receiving {
            memory: self,
            path: path.to_owned(),
            diff: diff.clone(),
            bytes: Vec::new(),
            finished: false,
        }))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let mut held = self.held();
        held.free_name(to)?;
        let missing = || Error::failed("cannot copy", "there is no such snapshot");
        let (mut snapshot, content) = held.kept[held.at(from).ok_or_else(missing)?].clone();
        snapshot.path = to.to_owned();
        held.kept.push((snapshot, content));
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let mut held = self.held();
        let missing = || Error::failed("cannot delete", "there is no such snapshot");
        let at = held.at(path).ok_or_else(missing)?;
        held.kept.remove(at);
        Ok(())
    }
}

/// A disk that fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(Error::failed("cannot send base", "the disk is on fire").into())
    }
}

struct Receiving<'a> {
    memory: &'a Memory,
    path: PathBuf,
    diff: Diff,
    bytes: Vec<u8>,
    finished: bool,
}

impl Write for Receiving<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.memory.held().room.unwrap_or(u64::MAX);
        if (self.bytes.len() + bytes.len()) as u64 > room {
            return Err(Error::failed("cannot receive", "No space left on device").into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Receiving<'_> {
    fn finish(mut self: Box<Self>) -> Result<Receipt> {
        let (head, added) = parse(&self.bytes)?;
        let mut held = self.memory.held();
        if head.0 != self.diff.to || head.2.map(|(id, _)| id) != self.diff.from {
            return Err(Error::damaged(
                "cannot receive",
                "it is another snapshot's stream",
            ));
        }
        let mut content = match self.diff.from {
            Some(from) => held.find(from)?.1.clone(),
            None => Vec::new(),
        };
        content.extend(added);
        let fresh = held.kept.len() as u8 + 100;
        let snapshot = Snapshot {
            path: self.path.clone(),
            uuid: Uuid([fresh; 16]),
            received_uuid: Some(head.0),
            stransid: head.1,
            read_only: true,
            state: State::Ok,
            ..Snapshot::default()
        };
        held.kept.push((snapshot, content));
        drop(held);
        self.finished = true;
        Ok(Receipt::of(self.bytes.len() as u64))
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.memory.held().aborted += 1;
        }
    }
}

fn head(path: &Path, id: Uuid, generation: u64, parent: Option<(Uuid, u64)>) -> Vec<u8> {
    let name = path.file_name().unwrap().as_encoded_bytes();
    let mut all = vec![
        (15, name.to_vec()),
        (1, id.0.to_vec()),
        (2, generation.to_le_bytes().to_vec()),
    ];
    if let Some((id, generation)) = parent {
        all.push((20, id.0.to_vec()));
        all.push((21, generation.to_le_bytes().to_vec()));
    }
    let kind = if parent.is_some() { 2 } else { 1 };
    [b"btrfs-stream\0\x01\0\0\0".to_vec(), command(kind, &all)].concat()
}

type Head = (Uuid, u64, Option<(Uuid, u64)>);

/// The snapshot and the data of a whole and undamaged stream.
fn parse(bytes: &[u8]) -> Result<(Head, Vec<u8>)> {
    let bad = |what: &str| Error::damaged("cannot receive", format!("the stream {what}"));
    let mut rest = bytes
        .strip_prefix(b"btrfs-stream\0\x01\0\0\0")
        .ok_or_else(|| bad("is none"))?;
    let (mut head, mut data) = (None, Vec::new());
    loop {
        if rest.len() < 10 {
            return Err(bad("ends early"));
        }
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let kind = u16::from_le_bytes(rest[4..6].try_into().unwrap());
        let body = rest.get(10..10 + length).ok_or_else(|| bad("ends early"))?;
        if framed(kind, body) != rest[..10 + length] {
            return Err(bad("is damaged"));
        }
        rest = &rest[10 + length..];
        let uuid = |at: usize| Uuid(body[at + 4..at + 20].try_into().unwrap());
        let number = |at: usize| u64::from_le_bytes(body[at + 4..at + 12].try_into().unwrap());
        match kind {
            1 | 2 => {
                let name = 4 + usize::from(u16::from_le_bytes([body[2], body[3]]));
                let parent = (kind == 2).then(|| (uuid(name + 32), number(name + 52)));
                head = Some((uuid(name), number(name + 20), parent));
            }
            15 => data.extend_from_slice(&body[4 + 4 + 4..]),
            21 if rest.is_empty() => return Ok((head.ok_or_else(|| bad("has no head"))?, data)),
            _ => return Err(bad("goes on after its end, or starts afresh")),
        }
    }
}
