//! The end of a stream that is mended: what it made is held against the snapshot, and what a command
//! can still put right is put right, the top's times last. Writes to no filesystem.

use super::Mender;
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Fault, shown};
use crate::stream::command::{Attr, Verb};
use crate::stream::rehearsal::{CAPABILITY, Id, Mtime, TOP, is_inherited, times, unreadable};
use crate::stream::tree::{DIRECTORY, TYPE, TreeEntry, join};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What was touched: a node, where it is now, and what should be there.
type TouchedNode = (Id, Vec<u8>, TreeEntry);

impl Mender<'_> {
    /// Appends what has to come before END.
    pub(super) fn finish(&mut self, before: &mut Vec<u8>) -> Result<()> {
        self.remove_leftovers(before)?;
        self.hand_down_again(before)?;
        let mut touched = self.compare()?;
        for (id, path, should) in &touched {
            self.fill_tail(*id, path, should, before)?;
        }
        // Those of directories after what is in them, and the top's after all.
        touched.sort_by(|(_, a, _), (_, b, _)| b.cmp(a));
        for (id, path, should) in &touched {
            self.set_times(*id, path, should, before)?;
        }
        Ok(())
    }

    /// What the snapshot has at a path.
    fn should(&self, path: &[u8]) -> Result<Option<TreeEntry>> {
        self.child.look(path).map_err(unreadable)
    }

    /// A directory that held a subvolume and was deleted with it stays under its temporary name.
    fn remove_leftovers(&mut self, before: &mut Vec<u8>) -> Result<()> {
        let Some(model) = &self.model else {
            return Ok(());
        };
        let in_top = model
            .all_names()
            .filter(|(dir, name, _)| *dir == TOP && is_temporary(name));
        let there = in_top.filter(|(.., value)| value.node.is_some());
        let mut names: Vec<Vec<u8>> = there.map(|(_, name, _)| name.to_vec()).collect();
        names.sort();
        for name in names {
            if self.should(&name)?.is_none() {
                self.note(Fault::LeftDirectory, 1, &name);
                self.remove(&name, before)?;
            }
        }
        Ok(())
    }

    /// Removes what is at a path, and all that is in it.
    fn remove(&mut self, path: &[u8], before: &mut Vec<u8>) -> Result<()> {
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        let Some(id) = model.find(path)? else {
            return Ok(());
        };
        if model.node(id).mode & TYPE != DIRECTORY {
            return self.put(before, Verb::Unlink, &[(Attr::Path, path)]);
        }
        for name in model.list(id)? {
            self.remove(&join(path, &name), before)?;
        }
        self.put(before, Verb::Rmdir, &[(Attr::Path, path)])
    }

    /// The top gets back what it hands down to what is made in it.
    fn hand_down_again(&mut self, before: &mut Vec<u8>) -> Result<()> {
        if !self.withheld {
            return Ok(());
        }
        let has = match &mut self.model {
            Some(model) => model.xattrs(TOP)?.clone(),
            None => std::collections::BTreeMap::new(),
        };
        for (name, value) in self.child.xattrs(b"").map_err(unreadable)? {
            if is_inherited(&name) && has.get(&name) != Some(&value) {
                self.set_xattr(b"", (&name, &value), before)?;
            }
        }
        Ok(())
    }

    /// Holds every name that the stream touched against the snapshot, and what it stands for.
    fn compare(&mut self) -> Result<Vec<TouchedNode>> {
        let mut touched = Vec::new();
        let Some(model) = &self.model else {
            let top = self.should(b"")?.map(|entry| (TOP, Vec::new(), entry));
            return Ok(top.into_iter().collect());
        };
        let mut paths: HashMap<Id, Option<Vec<u8>>> = HashMap::new();
        let mut names = Vec::new();
        for (dir, name, value) in model.all_names() {
            let dir = paths.entry(dir).or_insert_with(|| model.path_of(dir));
            names.extend(dir.as_ref().map(|dir| (join(dir, name), value.node)));
        }
        names.push((Vec::new(), Some(TOP)));
        names.sort();
        let mut seen = HashSet::new();
        for (path, node) in names {
            let should = self.should(&path)?;
            match (node, should) {
                (None, None) => {}
                (None, Some(_)) => return Err(wrong(&path, "is not made")),
                (Some(_), None) => return Err(wrong(&path, "is left there")),
                (Some(id), Some(should)) => {
                    self.must_be(id, &path, &should)?;
                    if self.model.as_ref().is_some_and(|m| m.node(id).touched) && seen.insert(id) {
                        touched.push((id, path, should));
                    }
                }
            }
        }
        for (id, path, should) in &touched {
            self.must_be_like(*id, path, should)?;
        }
        Ok(touched)
    }

    fn must_be(&self, id: Id, path: &[u8], should: &TreeEntry) -> Result<()> {
        match &self.model {
            Some(model) if model.node(id).ino != should.ino => Err(wrong(path, "is another file")),
            _ => Ok(()),
        }
    }

    fn must_be_like(&mut self, id: Id, path: &[u8], should: &TreeEntry) -> Result<()> {
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        match model.wrong(id, should, path, &*self.child)? {
            Some(what) => Err(wrong(path, &format!("gets the wrong {what}"))),
            None => Ok(()),
        }
    }

    /// Bytes behind the end that a file has in the parent, in its last block: the kernel takes them
    /// to be the same if both share the extent, and the receiver has zeros there.
    fn fill_tail(
        &mut self,
        id: Id,
        path: &[u8],
        should: &TreeEntry,
        before: &mut Vec<u8>,
    ) -> Result<()> {
        let lost = self
            .model
            .as_ref()
            .and_then(|m| m.node(id).tail.lost(should.size));
        let Some((from, to)) = lost else {
            return Ok(());
        };
        let length = (to - from) as usize;
        let bytes = self.child.read_at(path, from, length).map_err(unreadable)?;
        if bytes.len() != length {
            return Err(wrong(path, "cannot be read to its end"));
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        self.note(Fault::LostBytes, to - from, path);
        let offset = from.to_le_bytes();
        let attributes = [
            (Attr::Path, path),
            (Attr::FileOffset, &offset),
            (Attr::Data, &bytes),
        ];
        self.put(before, Verb::Write, &attributes)?;
        let xattrs = self.child.xattrs(path).map_err(unreadable)?;
        let Some((name, value)) = xattrs.iter().find(|(name, _)| name == CAPABILITY) else {
            return Ok(());
        };
        self.set_xattr(path, (name, value), before)
    }

    fn set_xattr(
        &mut self,
        path: &[u8],
        (name, value): (&[u8], &[u8]),
        before: &mut Vec<u8>,
    ) -> Result<()> {
        let attributes = [
            (Attr::Path, path),
            (Attr::XattrName, name),
            (Attr::XattrData, value),
        ];
        self.put(before, Verb::SetXattr, &attributes)
    }

    /// Sets times again that have moved since the stream set them.
    fn set_times(
        &mut self,
        id: Id,
        path: &[u8],
        should: &TreeEntry,
        before: &mut Vec<u8>,
    ) -> Result<()> {
        let known = self.model.as_ref().map(|model| model.node(id).mtime);
        if known == Some(Mtime::Set(should.mtime)) {
            return Ok(());
        }
        self.note(Fault::MovedTimes, 1, path);
        let times = times(should);
        let mut attributes = vec![(Attr::Path, path)];
        attributes.extend(times.iter().map(|(attr, time)| (*attr, &time[..])));
        self.put(before, Verb::Utimes, &attributes)
    }
}

/// Whether the kernel gives such names to what has no place yet, or no longer: `o257-7-0`.
fn is_temporary(name: &[u8]) -> bool {
    let Some(numbers) = name.strip_prefix(b"o") else {
        return false;
    };
    let mut parts = 0;
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let all = numbers.split(|&byte| byte == b'-').all(|part| {
        parts += 1;
        digits(part)
    });
    all && parts == 3
}

/// Why what the stream makes is not the snapshot.
fn wrong(path: &[u8], what: &str) -> Error {
    let name = match path {
        [] => "the top".to_owned(),
        _ => shown(Path::new(OsStr::from_bytes(path))),
    };
    Error::new(
        Kind::Unreceivable,
        "this diff of the kernel's makes something else than the snapshot",
        format!("{name} {what}"),
    )
}
