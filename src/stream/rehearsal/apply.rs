//! How commands change the model of a rehearsal. Looks nothing up itself, and judges only whether a
//! receiver could do the same.

use super::nodes::{CAPABILITY, Inode, Mtime, is_inherited};
use super::{Id, Model, NameState, TOP, cannot, text, unreadable};
use crate::error::Result;
use crate::stream::command::{Attr, Command, Verb};
use crate::stream::tree::{DIRECTORY, REGULAR, SYMLINK, TYPE};

impl Model<'_> {
    /// Applies one command.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unreceivable`] if no receiver could carry it out; damage; or if the parent cannot be
    /// read.
    pub fn apply(&mut self, command: &Command) -> Result<()> {
        let path = match command.get(Attr::Path) {
            Some(path) => path,
            None if command.verb() == Some(Verb::End) => return Ok(()),
            None => return Err(command.damaged()),
        };
        match command.verb() {
            Some(
                Verb::Mkfile
                | Verb::Mkdir
                | Verb::Mknod
                | Verb::Mkfifo
                | Verb::Mksock
                | Verb::Symlink,
            ) => self.make(command, path),
            Some(Verb::Rename) => self.rename(path, command.need(Attr::PathTo)?),
            Some(Verb::Link) => self.link(path, command.need(Attr::PathLink)?),
            Some(Verb::Unlink) => self.unlink(path),
            Some(Verb::Rmdir) => self.rmdir(path),
            Some(Verb::End) => Ok(()),
            Some(Verb::Subvol | Verb::Snapshot) | None => Err(command.damaged()),
            Some(verb) => {
                let id = self.must_find(path, verb)?;
                self.change(command, verb, id, path)
            }
        }
    }

    fn must_find(&mut self, path: &[u8], verb: Verb) -> Result<Id> {
        self.find(path)?
            .ok_or_else(|| cannot(&format!("{verb:?}"), path, "there is no such path then"))
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

    fn make(&mut self, command: &Command, path: &[u8]) -> Result<()> {
        let doing = "make";
        let (dir, name) = self.place(path, doing)?;
        if self.child(dir, name)?.is_some() {
            return Err(cannot(doing, path, "the name is taken then"));
        }
        let ino = command.need_number(Attr::Ino)?;
        let mut node = Inode::made(kind_of(command)?, ino);
        match command.verb() {
            Some(Verb::Symlink) => node.size = command.need(Attr::PathLink)?.len() as u64,
            Some(Verb::Mknod) => node.rdev = command.need_number(Attr::Rdev)?,
            _ => {}
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
        let id = self.must_find(from, Verb::Rename)?;
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

    fn link(&mut self, path: &[u8], to: &[u8]) -> Result<()> {
        let doing = "link";
        let id = self.must_find(to, Verb::Link)?;
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
        let id = self.must_find(path, Verb::Unlink)?;
        let (dir, name) = self.place(path, "unlink")?;
        if self.node(id).mode & TYPE == DIRECTORY {
            return Err(cannot("unlink", path, "it is a directory then"));
        }
        self.leave(dir, name, id);
        Ok(())
    }

    fn rmdir(&mut self, path: &[u8]) -> Result<()> {
        let id = self.must_find(path, Verb::Rmdir)?;
        let (dir, name) = self.place(path, "rmdir")?;
        if self.node(id).mode & TYPE != DIRECTORY || !self.is_empty(id)? {
            return Err(cannot("rmdir", path, "it is no empty directory then"));
        }
        self.leave(dir, name, id);
        Ok(())
    }

    /// A command about what is there and keeps its name.
    fn change(&mut self, command: &Command, verb: Verb, id: Id, path: &[u8]) -> Result<()> {
        self.node_mut(id).touched = true;
        match verb {
            Verb::Write => {
                let data = command.need(Attr::Data)?.len() as u64;
                self.write(command.need_number(Attr::FileOffset)?, data, id, path)
            }
            Verb::UpdateExtent => self.write_so_many(command, Attr::Size, id, path),
            Verb::EncodedWrite => self.write_so_many(command, Attr::UnencodedFileLen, id, path),
            Verb::Clone => {
                self.check_clone(command, path)?;
                self.write_so_many(command, Attr::CloneLen, id, path)
            }
            Verb::Truncate => self.truncate(command.need_number(Attr::Size)?, id, path),
            Verb::Fallocate => self.allocate(command, id),
            _ => self.describe(command, verb, id, path),
        }
    }

    /// A write whose length is an attribute.
    fn write_so_many(
        &mut self,
        command: &Command,
        length: Attr,
        id: Id,
        path: &[u8],
    ) -> Result<()> {
        let length = command.need_number(length)?;
        self.write(command.need_number(Attr::FileOffset)?, length, id, path)
    }

    fn allocate(&mut self, command: &Command, id: Id) -> Result<()> {
        const KEEP_SIZE: u64 = 1;
        let offset = command.need_number(Attr::FileOffset)?;
        let end = offset.saturating_add(command.need_number(Attr::Size)?);
        let keeps = command.need_number(Attr::FallocateMode)? & KEEP_SIZE != 0;
        let node = self.node_mut(id);
        node.size = if keeps { node.size } else { node.size.max(end) };
        Ok(())
    }

    /// A command about attributes.
    fn describe(&mut self, command: &Command, verb: Verb, id: Id, path: &[u8]) -> Result<()> {
        match verb {
            Verb::Chmod => {
                self.node_mut(id)
                    .permit(command.need_number(Attr::Mode)? as u32);
                Ok(())
            }
            Verb::Chown => {
                let node = self.node_mut(id);
                node.uid = command.need_number(Attr::Uid)? as u32;
                node.gid = command.need_number(Attr::Gid)? as u32;
                node.lose_bits();
                self.lose_capability(id)
            }
            Verb::Utimes => self.set_time(command, id, path),
            Verb::SetXattr => {
                let name = command.need(Attr::XattrName)?;
                let value = command.need(Attr::XattrData)?;
                self.xattrs(id)?.insert(name.to_vec(), value.to_vec());
                self.node_mut(id).xattr_set(name, value);
                Ok(())
            }
            Verb::RemoveXattr => {
                let name = command.need(Attr::XattrName)?;
                self.node_mut(id).touched_xattrs = true;
                match self.xattrs(id)?.remove(name) {
                    Some(_) => Ok(()),
                    None => Err(cannot("remove an xattr of", path, "it has none then")),
                }
            }
            // Neither is applied by btrfs receive.
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
    fn check_clone(&mut self, command: &Command, path: &[u8]) -> Result<()> {
        let from = command.need(Attr::ClonePath)?;
        let end = command
            .need_number(Attr::CloneOffset)?
            .saturating_add(command.need_number(Attr::CloneLen)?);
        let named = command.need(Attr::CloneUuid)?;
        let size = if named == self.uuid.0 {
            self.find(from)?.map(|id| self.node(id).size)
        } else {
            let source = self.sources.iter().find(|(uuid, _)| uuid.0 == named);
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

    fn set_time(&mut self, command: &Command, id: Id, path: &[u8]) -> Result<()> {
        let time = command.time_of(Attr::Mtime);
        self.node_mut(id).mtime = Mtime::Set(time.ok_or_else(|| command.damaged())?);
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

/// The type of what a command makes.
fn kind_of(command: &Command) -> Result<u32> {
    Ok(match command.verb() {
        Some(Verb::Mkdir) => DIRECTORY,
        Some(Verb::Symlink) => SYMLINK,
        Some(Verb::Mkfifo) => 0o010_000,
        Some(Verb::Mksock) => 0o140_000,
        Some(Verb::Mknod) => command.need_number(Attr::Mode)? as u32 & TYPE,
        _ => REGULAR,
    })
}
