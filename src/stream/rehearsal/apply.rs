//! How commands change the model of a rehearsal. Looks nothing up itself, and judges only whether a
//! receiver could do the same.

use super::nodes::{CAPABILITY, Inode, Mtime, is_inherited};
use super::{Id, Model, NameState, TOP, cannot, text, unreadable};
use crate::error::Result;
use crate::stream::damaged;
use crate::stream::instruction::{CloneRange, Instruction, Make};
use crate::stream::tree::{DIRECTORY, REGULAR, TYPE};
use crate::sys::dir::Time;

impl Model<'_> {
    /// Applies one command.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unreceivable`] if no receiver could carry it out; damage; or if the parent cannot be
    /// read.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<()> {
        match *instruction {
            Instruction::Make { path, ino, make } => self.make(path, ino, make),
            Instruction::Rename { from, to } => self.rename(from, to),
            Instruction::Link { from, to } => self.link(from, to),
            Instruction::Unlink(path) => self.unlink(path),
            Instruction::Rmdir(path) => self.rmdir(path),
            Instruction::End => Ok(()),
            _ => {
                let path = instruction.path();
                let id = self.must_find(path, instruction.words())?;
                self.node_mut(id).touched = true;
                self.change(instruction, id, path)
            }
        }
    }

    fn must_find(&mut self, path: &[u8], doing: &str) -> Result<Id> {
        self.find(path)?
            .ok_or_else(|| cannot(doing, path, "there is no such path then"))
    }

    /// The directory of a path that is to be made, and its last name.
    fn place<'a>(&mut self, path: &'a [u8], doing: &str) -> Result<(Id, &'a [u8])> {
        let cut = path.iter().rposition(|&byte| byte == b'/');
        let (dir, name) = match cut {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        let found = self.find(dir)?;
        let found = found.filter(|&id| self.node(id).mode & TYPE == DIRECTORY);
        match found {
            Some(id) if !name.is_empty() => Ok((id, name)),
            _ => Err(cannot(doing, path, "its directory is not there then")),
        }
    }

    fn make(&mut self, path: &[u8], ino: Option<u64>, make: Make) -> Result<()> {
        let doing = "make";
        let (dir, name) = self.place(path, doing)?;
        if self.child(dir, name)?.is_some() {
            return Err(cannot(doing, path, "the name is taken then"));
        }
        let ino = ino.ok_or_else(|| damaged("it makes a file without an inode number"))?;
        let mut node = Inode::made(make.kind(), ino);
        match make {
            Make::Symlink(to) => node.size = to.len() as u64,
            Make::Node(_, device) => node.rdev = device,
            Make::File | Make::Directory => {}
        }
        for (name, value) in self.xattrs(dir)?.iter() {
            if is_inherited(name) {
                node.touched_xattrs = true;
                let xattrs = node.xattrs.get_or_insert_default();
                xattrs.insert(name.clone(), value.clone());
            }
        }
        let id = self.add(node);
        self.enter(dir, name, id);
        Ok(())
    }

    /// Lets a name stand for a node; what it stood for has been removed.
    fn enter(&mut self, dir: Id, name: &[u8], id: Id) {
        let key = (dir, Box::from(name));
        let fresh = self.names.get(&key).is_none_or(|old| old.fresh);
        let node = Some(id);
        self.names.insert(key, NameState { node, fresh });
        let node = self.node_mut(id);
        node.links += 1;
        node.home = Some((dir, name.into()));
        self.moved(dir);
    }

    /// Takes a name away from what it stands for.
    fn leave(&mut self, dir: Id, name: &[u8], id: Id) {
        let key = (dir, Box::from(name));
        match self.names.get_mut(&key) {
            Some(known) if !known.fresh => known.node = None,
            _ => drop(self.names.remove(&key)),
        }
        let node = self.node_mut(id);
        node.links = node.links.saturating_sub(1);
        node.touched = true;
        self.moved(dir);
    }

    /// The names in a directory changed, and with them its times.
    fn moved(&mut self, dir: Id) {
        self.node_mut(dir).mtime = Mtime::Moved;
        self.node_mut(dir).touched = true;
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let doing = "rename";
        let id = self.must_find(from, doing)?;
        let (old_dir, old_name) = self.place(from, doing)?;
        let (dir, name) = self.place(to, doing)?;
        let is_dir = self.node(id).mode & TYPE == DIRECTORY;
        if is_dir && self.is_inside(dir, id) {
            return Err(cannot(
                doing,
                from,
                &format!("{} is inside it then", text(to)),
            ));
        }
        if let Some(other) = self.child(dir, name)? {
            if other == id {
                return Ok(()); // Two names of one file: the kernel does nothing.
            }
            let replaces_dir = self.node(other).mode & TYPE == DIRECTORY;
            if is_dir != replaces_dir || (is_dir && !self.is_empty(other)?) {
                return Err(cannot(
                    doing,
                    from,
                    &format!("{} is in the way then", text(to)),
                ));
            }
            self.leave(dir, name, other);
        }
        self.leave(old_dir, old_name, id);
        self.enter(dir, name, id);
        Ok(())
    }

    /// Whether a directory is this one, or somewhere below it.
    fn is_inside(&self, mut dir: Id, top: Id) -> bool {
        while dir != top {
            match &self.node(dir).home {
                Some((up, _)) if dir != TOP => dir = *up,
                _ => return false,
            }
        }
        true
    }

    fn link(&mut self, to: &[u8], path: &[u8]) -> Result<()> {
        let doing = "link";
        let id = self.must_find(to, doing)?;
        let (dir, name) = self.place(path, doing)?;
        if self.child(dir, name)?.is_some() {
            return Err(cannot(doing, path, "the name is taken then"));
        }
        if self.node(id).mode & TYPE == DIRECTORY {
            return Err(cannot(doing, path, &format!("{} is a directory", text(to))));
        }
        self.enter(dir, name, id);
        self.node_mut(id).touched = true;
        Ok(())
    }

    fn unlink(&mut self, path: &[u8]) -> Result<()> {
        let id = self.must_find(path, "unlink")?;
        let (dir, name) = self.place(path, "unlink")?;
        if self.node(id).mode & TYPE == DIRECTORY {
            return Err(cannot("unlink", path, "it is a directory then"));
        }
        self.leave(dir, name, id);
        Ok(())
    }

    fn rmdir(&mut self, path: &[u8]) -> Result<()> {
        let id = self.must_find(path, "rmdir")?;
        let (dir, name) = self.place(path, "rmdir")?;
        if self.node(id).mode & TYPE != DIRECTORY || !self.is_empty(id)? {
            return Err(cannot("rmdir", path, "it is no empty directory then"));
        }
        self.leave(dir, name, id);
        Ok(())
    }

    /// A command about what is there and keeps its name.
    fn change(&mut self, instruction: &Instruction, id: Id, path: &[u8]) -> Result<()> {
        match *instruction {
            Instruction::Write { offset, data, .. } => {
                self.write(offset, data.len() as u64, id, path)
            }
            Instruction::NoData { offset, length, .. } => self.write(offset, length, id, path),
            Instruction::Encoded(_, extent) => self.write(extent.offset, extent.len, id, path),
            Instruction::Clone(_, range) => {
                self.check_clone(&range, path)?;
                self.write(range.offset, range.length, id, path)
            }
            Instruction::Truncate(_, size) => self.truncate(size, id, path),
            Instruction::Allocate {
                mode,
                offset,
                length,
                ..
            } => {
                let node = self.node_mut(id);
                if mode & libc::FALLOC_FL_KEEP_SIZE == 0 {
                    node.size = node.size.max(offset.saturating_add(length));
                }
                Ok(())
            }
            _ => self.describe(instruction, id, path),
        }
    }

    /// A command about attributes.
    fn describe(&mut self, instruction: &Instruction, id: Id, path: &[u8]) -> Result<()> {
        match *instruction {
            Instruction::Chmod(_, mode) => {
                self.node_mut(id).permit(mode);
                Ok(())
            }
            Instruction::Chown(_, user, group) => {
                let node = self.node_mut(id);
                (node.uid, node.gid) = (user, group);
                node.lose_bits();
                self.lose_capability(id)
            }
            Instruction::Times { changed, .. } => self.set_time(changed, id, path),
            Instruction::SetXattr { name, value, .. } => {
                self.xattrs(id)?.insert(name.to_vec(), value.to_vec());
                self.node_mut(id).xattr_set(name, value);
                Ok(())
            }
            Instruction::RemoveXattr { name, .. } => {
                self.node_mut(id).touched_xattrs = true;
                match self.xattrs(id)?.remove(name) {
                    Some(_) => Ok(()),
                    None => Err(cannot("remove an xattr of", path, "it has none then")),
                }
            }
            // Neither flags nor fs-verity are applied by btrfs receive.
            _ => Ok(()),
        }
    }

    fn must_be_file(&self, id: Id, path: &[u8]) -> Result<()> {
        match self.node(id).mode & TYPE {
            REGULAR => Ok(()),
            _ => Err(cannot("write", path, "it is no regular file then")),
        }
    }

    fn write(&mut self, offset: u64, length: u64, id: Id, path: &[u8]) -> Result<()> {
        self.must_be_file(id, path)?;
        self.at = (self.node(id).ino, offset);
        let node = self.node_mut(id);
        let end = offset.saturating_add(length);
        node.size = node.size.max(end);
        node.tail.written(offset, end);
        node.mtime = Mtime::Moved;
        self.lose_capability(id)
    }

    fn truncate(&mut self, size: u64, id: Id, path: &[u8]) -> Result<()> {
        self.must_be_file(id, path)?;
        let node = self.node_mut(id);
        node.size = size;
        node.tail.cut(size);
        node.mtime = Mtime::Moved;
        self.lose_capability(id)
    }

    /// Whoever writes to a file or gives it away takes its capabilities.
    fn lose_capability(&mut self, id: Id) -> Result<()> {
        if self.node(id).lost_capability {
            return Ok(());
        }
        let lost = self.xattrs(id)?.remove(CAPABILITY).is_some();
        let node = self.node_mut(id);
        node.touched_xattrs |= lost;
        node.lost_capability = true;
        Ok(())
    }

    /// The source of a clone must be there: in the parent or another source as it was, or here as it is now.
    fn check_clone(&mut self, range: &CloneRange, path: &[u8]) -> Result<()> {
        let from = range.source;
        let end = range.source_offset.saturating_add(range.length);
        let size = if range.snapshot == self.uuid {
            self.find(from)?.map(|id| self.node(id).size)
        } else {
            let source = self
                .sources
                .iter()
                .find(|(uuid, _)| *uuid == range.snapshot);
            let stranger = || {
                cannot(
                    "clone to",
                    path,
                    "that is of neither its parent nor a clone source",
                )
            };
            let (_, tree) = source.ok_or_else(stranger)?;
            tree.look(from).map_err(unreadable)?.map(|entry| entry.size)
        };
        match size {
            Some(size) if end <= size => Ok(()),
            Some(_) => Err(cannot(
                "clone to",
                path,
                &format!("{} is shorter then", text(from)),
            )),
            None => Err(cannot(
                "clone to",
                path,
                &format!("there is no {} then", text(from)),
            )),
        }
    }

    fn set_time(&mut self, changed: Time, id: Id, path: &[u8]) -> Result<()> {
        self.node_mut(id).mtime = Mtime::Set(changed);
        let Some(finished) = self.finished.clone() else {
            return Ok(());
        };
        let node = self.node(id);
        if node.mode & TYPE == DIRECTORY || node.links != 1 || node.base.is_some() {
            return Ok(());
        }
        if let Some(entry) = finished.look(path).map_err(unreadable)?
            && self.wrong(id, &entry, path, &*finished)?.is_none()
            && self.node(id).mtime == Mtime::Set(entry.mtime)
        {
            self.forget(id);
        }
        Ok(())
    }
}
