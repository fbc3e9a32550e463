//! A rehearsal: applies the commands of a send stream to a model, an overlay of names over the parent
//! snapshot that looks up there only what the stream touches. A command that would fail at every
//! receiver fails here. Changes no stream and knows no store.

mod nodes;

use super::command::{Attr, Command, Time, Verb};
use super::tree::{DIRECTORY, Entry, Files, REGULAR, SYMLINK, TYPE, Tree, join};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Uuid, shown};
use nodes::Node;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

pub(super) use nodes::{CAPABILITY, Mtime, is_inherited};

/// How many nodes and names are kept in mind at most: some 300 MiB.
const LIMIT: usize = 1 << 20;

/// The number of a node.
pub(super) type Id = u32;
/// The top of the tree.
pub(super) const TOP: Id = 0;

/// A tree while a stream is applied to it, and after.
pub struct Model<'p> {
    parent: Option<Rc<dyn Tree + 'p>>,
    /// Of a whole stream: what is finished is looked up here again and need not be remembered.
    finished: Option<Rc<dyn Files + 'p>>,
    nodes: Vec<Node>,
    free: Vec<Id>,
    names: HashMap<(Id, Box<[u8]>), Name>,
    /// Nodes that the parent has, by inode number.
    by_ino: HashMap<u64, Id>,
    /// The snapshot that the stream makes, so that clones of its own files are known as such.
    uuid: Uuid,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy)]
pub(super) struct Name {
    /// `None` if it was removed.
    pub(super) node: Option<Id>,
    /// Whether the parent has no such name there.
    fresh: bool,
}

impl<'p> Model<'p> {
    /// What a stream that makes the snapshot `uuid` begins with: the parent's tree, or nothing.
    ///
    /// # Errors
    /// If the parent's top cannot be read.
    pub fn new(uuid: Uuid, parent: Option<Rc<dyn Tree + 'p>>) -> io::Result<Model<'p>> {
        let top = match &parent {
            None => Node::made(DIRECTORY, 256),
            Some(parent) => {
                let entry = parent.look(b"")?;
                Node::of(&entry.ok_or(io::ErrorKind::NotFound)?, Vec::new())
            }
        };
        let by_ino = HashMap::from([(top.ino, TOP)]);
        Ok(Model {
            parent,
            finished: None,
            nodes: vec![top],
            free: Vec::new(),
            names: HashMap::new(),
            by_ino,
            uuid,
        })
    }

    /// Lets what is finished and right be forgotten, as it can be looked up in the snapshot itself.
    /// For whole streams only.
    pub(super) fn forgetting(mut self, finished: Rc<dyn Files + 'p>) -> Model<'p> {
        self.finished = Some(finished);
        self
    }

    /// Whether it is that of a whole stream.
    pub(super) fn is_whole(&self) -> bool {
        self.parent.is_none()
    }

    /// Whether it has become too large to go on with.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() - self.free.len() + self.names.len() > LIMIT
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// Every name that was looked up or changed, in no order.
    pub(super) fn all_names(&self) -> impl Iterator<Item = (Id, &[u8], Name)> {
        self.names
            .iter()
            .map(|((dir, name), value)| (*dir, &**name, *value))
    }

    /// Where a directory is; `None` if it is gone, or is in one that is.
    pub(super) fn path_of(&self, mut dir: Id) -> Option<Vec<u8>> {
        let mut parts = Vec::new();
        while dir != TOP {
            let node = self.node(dir);
            let (up, name) = node.home.as_ref().filter(|_| node.links > 0)?;
            parts.push(&**name);
            dir = *up;
        }
        parts.reverse();
        Some(parts.join(&b'/'))
    }

    /// What is at a path.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Id>> {
        let mut at = TOP;
        for name in path.split(|&byte| byte == b'/').filter(|n| !n.is_empty()) {
            match self.child(at, name)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// What a name in a directory stands for.
    fn child(&mut self, dir: Id, name: &[u8]) -> Result<Option<Id>> {
        if self.node(dir).mode & TYPE != DIRECTORY {
            return Ok(None);
        }
        // A key without a copy of the name would need another kind of map.
        let key = (dir, Box::from(name));
        if let Some(known) = self.names.get(&key) {
            return Ok(known.node);
        }
        let found = match (&self.node(dir).base, &self.parent) {
            (Some(base), Some(parent)) => {
                let path = join(base, name);
                let entry = parent.look(&path).map_err(unreadable)?;
                entry.map(|entry| self.intern(&entry, path))
            }
            _ => self.finished_child(dir, name)?,
        };
        if let Some(id) = found {
            let node = &mut self.nodes[id as usize];
            node.home.get_or_insert_with(|| (dir, name.into()));
            let node = Some(id);
            self.names.insert(key, Name { node, fresh: false });
        }
        Ok(found)
    }

    /// The node of what the parent has.
    fn intern(&mut self, entry: &Entry, path: Vec<u8>) -> Id {
        if let Some(&id) = self.by_ino.get(&entry.ino) {
            return id;
        }
        let id = self.add(Node::of(entry, path));
        self.by_ino.insert(entry.ino, id);
        id
    }

    /// What was made by this stream, found right, and forgotten. What has several names never is, so
    /// such a name was not given yet.
    fn finished_child(&mut self, dir: Id, name: &[u8]) -> Result<Option<Id>> {
        let Some((finished, dir)) = self.finished.as_ref().zip(self.path_of(dir)) else {
            return Ok(None);
        };
        let entry = finished.look(&join(&dir, name)).map_err(unreadable)?;
        let file = entry.filter(|entry| entry.mode & TYPE != DIRECTORY && entry.links == 1);
        Ok(file.map(|entry| self.add(Node::finished(&entry))))
    }

    fn add(&mut self, node: Node) -> Id {
        match self.free.pop() {
            Some(id) => {
                *self.node_mut(id) = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as Id
            }
        }
    }

    /// Forgets a file that is as it should be.
    fn forget(&mut self, id: Id) {
        if let Some(home) = self.node_mut(id).home.take() {
            self.names.remove(&home);
            *self.node_mut(id) = Node::default();
            self.free.push(id);
        }
    }

    /// Applies one command.
    ///
    /// # Errors
    /// [`Kind::Unreceivable`] if no receiver could carry it out; damage; or if the parent cannot be
    /// read.
    pub fn apply(&mut self, command: &Command) -> Result<()> {
        let path = match command.get(Attr::Path) {
            Some(path) => path,
            None if command.verb() == Some(Verb::End) => return Ok(()),
            None => return Err(damaged(command)),
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
            Some(Verb::Rename) => self.rename(path, needed(command, Attr::PathTo)?),
            Some(Verb::Link) => self.link(path, needed(command, Attr::PathLink)?),
            Some(Verb::Unlink) => self.unlink(path),
            Some(Verb::Rmdir) => self.rmdir(path),
            Some(Verb::End) => Ok(()),
            Some(Verb::Subvol | Verb::Snapshot) | None => Err(damaged(command)),
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
        let ino = number(command, Attr::Ino)?;
        let mut node = Node::made(kind_of(command)?, ino);
        match command.verb() {
            Some(Verb::Symlink) => node.size = needed(command, Attr::PathLink)?.len() as u64,
            Some(Verb::Mknod) => node.rdev = number(command, Attr::Rdev)?,
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
        self.names.insert(key, Name { node, fresh });
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

    fn is_empty(&self, dir: Id) -> Result<bool> {
        Ok(self.list(dir)?.is_empty())
    }

    /// The names that are in a directory now.
    pub(super) fn list(&self, dir: Id) -> Result<Vec<Vec<u8>>> {
        let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        if let (Some(base), Some(parent)) = (&self.node(dir).base, &self.parent) {
            let there = parent.names(base).map_err(unreadable)?;
            names.extend(there.into_iter().map(|name| (name, true)));
        }
        for ((_, name), value) in self.names.iter().filter(|((at, _), _)| *at == dir) {
            names.insert(name.to_vec(), value.node.is_some());
        }
        let left = names.into_iter().filter(|(_, there)| *there);
        Ok(left.map(|(name, _)| name).collect())
    }

    /// The extended attributes of a node.
    pub(super) fn xattrs(&mut self, id: Id) -> Result<&mut BTreeMap<Vec<u8>, Vec<u8>>> {
        let node = &mut self.nodes[id as usize];
        if node.xattrs.is_none() {
            let loaded = match (&node.base, &self.parent) {
                (Some(base), Some(parent)) => parent.xattrs(base).map_err(unreadable)?,
                _ => Vec::new(),
            };
            node.xattrs = Some(loaded.into_iter().collect());
        }
        Ok(node.xattrs.get_or_insert_default())
    }

    /// A command about what is there and keeps its name.
    fn change(&mut self, command: &Command, verb: Verb, id: Id, path: &[u8]) -> Result<()> {
        self.node_mut(id).touched = true;
        match verb {
            Verb::Write => {
                let data = needed(command, Attr::Data)?.len() as u64;
                self.write(number(command, Attr::FileOffset)?, data, id, path)
            }
            Verb::UpdateExtent => self.write(
                number(command, Attr::FileOffset)?,
                number(command, Attr::Size)?,
                id,
                path,
            ),
            Verb::EncodedWrite => self.write(
                number(command, Attr::FileOffset)?,
                number(command, Attr::UnencodedFileLen)?,
                id,
                path,
            ),
            Verb::Clone => {
                self.check_clone(command, path)?;
                let length = number(command, Attr::CloneLen)?;
                self.write(number(command, Attr::FileOffset)?, length, id, path)
            }
            Verb::Truncate => self.truncate(number(command, Attr::Size)?, id, path),
            Verb::Fallocate => {
                const KEEP_SIZE: u64 = 1;
                let end = number(command, Attr::FileOffset)? + number(command, Attr::Size)?;
                let keeps = number(command, Attr::FallocateMode)? & KEEP_SIZE != 0;
                let node = self.node_mut(id);
                node.size = if keeps { node.size } else { node.size.max(end) };
                Ok(())
            }
            Verb::Chmod => {
                self.node_mut(id)
                    .permit(number(command, Attr::Mode)? as u32);
                Ok(())
            }
            Verb::Chown => {
                let node = self.node_mut(id);
                node.uid = number(command, Attr::Uid)? as u32;
                node.gid = number(command, Attr::Gid)? as u32;
                node.lose_bits();
                self.lose_capability(id)
            }
            Verb::Utimes => self.set_time(command, id, path),
            Verb::SetXattr => {
                let name = needed(command, Attr::XattrName)?;
                let value = needed(command, Attr::XattrData)?;
                self.xattrs(id)?.insert(name.to_vec(), value.to_vec());
                self.node_mut(id).xattr_set(name, value);
                Ok(())
            }
            Verb::RemoveXattr => {
                let name = needed(command, Attr::XattrName)?;
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

    /// The source of a clone must be there: in the parent as it was, or here as it is now.
    fn check_clone(&mut self, command: &Command, path: &[u8]) -> Result<()> {
        let from = needed(command, Attr::ClonePath)?;
        let end =
            number(command, Attr::CloneOffset)?.saturating_add(number(command, Attr::CloneLen)?);
        let size = if needed(command, Attr::CloneUuid)? == self.uuid.0 {
            self.find(from)?.map(|id| self.node(id).size)
        } else {
            let parent = self
                .parent
                .as_ref()
                .map(|parent| parent.look(from))
                .transpose();
            let entry = parent.map_err(unreadable)?;
            entry.flatten().map(|entry| entry.size)
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
        self.node_mut(id).mtime = Mtime::Set(time.ok_or_else(|| damaged(command))?);
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

    /// In what a touched node differs from what it should be. Times are another matter.
    pub(super) fn wrong(
        &mut self,
        id: Id,
        should: &Entry,
        path: &[u8],
        child: &(impl Tree + ?Sized),
    ) -> Result<Option<&'static str>> {
        let node = self.node(id);
        if let Some(what) = node.differs(should) {
            return Ok(Some(what));
        }
        if !node.touched_xattrs && node.base.is_some() {
            return Ok(None);
        }
        let should: BTreeMap<_, _> = child
            .xattrs(path)
            .map_err(unreadable)?
            .into_iter()
            .collect();
        let has = self.xattrs(id)?;
        // Security modules show labels that are in no filesystem.
        let counts = |name: &&Vec<u8>| !name.starts_with(b"security.") || *name == CAPABILITY;
        let same = has
            .iter()
            .all(|(name, value)| should.get(name) == Some(value))
            && should
                .keys()
                .filter(counts)
                .all(|name| has.contains_key(name));
        Ok((!same).then_some("extended attributes"))
    }
}

/// So that one stream can be rehearsed on what another one made.
impl Tree for Model<'_> {
    fn look(&self, path: &[u8]) -> io::Result<Option<Entry>> {
        match self.reach(path)? {
            Some(Reached::Node(id)) => Ok(Some(self.node(id).entry())),
            Some(Reached::Base(base)) => self.parent.as_ref().map_or(Ok(None), |p| p.look(&base)),
            None => Ok(None),
        }
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        match self.reach(path)? {
            Some(Reached::Node(id)) => Ok(self.list(id)?),
            Some(Reached::Base(base)) => self
                .parent
                .as_ref()
                .map_or(Ok(Vec::new()), |p| p.names(&base)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn xattrs(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let base = match self.reach(path)? {
            Some(Reached::Node(id)) => match (&self.node(id).xattrs, &self.node(id).base) {
                (Some(xattrs), _) => {
                    return Ok(xattrs.iter().map(|(n, v)| (n.clone(), v.clone())).collect());
                }
                (None, base) => base.clone(),
            },
            Some(Reached::Base(base)) => Some(base),
            None => None,
        };
        match (base, &self.parent) {
            (Some(base), Some(parent)) => parent.xattrs(&base),
            _ => Ok(Vec::new()),
        }
    }
}

/// Where a path leads: to what the stream touched, or past it into the parent.
enum Reached {
    Node(Id),
    Base(Vec<u8>),
}

impl Model<'_> {
    fn reach(&self, path: &[u8]) -> io::Result<Option<Reached>> {
        let mut at = Reached::Node(TOP);
        for name in path.split(|&byte| byte == b'/').filter(|n| !n.is_empty()) {
            at = match at {
                Reached::Base(base) => Reached::Base(join(&base, name)),
                Reached::Node(dir) => match self.names.get(&(dir, Box::from(name))) {
                    Some(Name { node: Some(id), .. }) => Reached::Node(*id),
                    Some(Name { node: None, .. }) => return Ok(None),
                    None => match &self.node(dir).base {
                        Some(base) => Reached::Base(join(base, name)),
                        None => return Ok(None),
                    },
                },
            };
        }
        // Another name of a file that the stream touched.
        if let (Reached::Base(base), Some(parent)) = (&at, &self.parent)
            && let Some(entry) = parent.look(base)?
            && let Some(&id) = self.by_ino.get(&entry.ino)
        {
            at = Reached::Node(id);
        }
        Ok(Some(at))
    }
}

/// The type of what a command makes.
fn kind_of(command: &Command) -> Result<u32> {
    Ok(match command.verb() {
        Some(Verb::Mkdir) => DIRECTORY,
        Some(Verb::Symlink) => SYMLINK,
        Some(Verb::Mkfifo) => 0o010_000,
        Some(Verb::Mksock) => 0o140_000,
        Some(Verb::Mknod) => number(command, Attr::Mode)? as u32 & TYPE,
        _ => REGULAR,
    })
}

pub(super) fn needed<'a>(command: &Command<'a>, attr: Attr) -> Result<&'a [u8]> {
    command.get(attr).ok_or_else(|| damaged(command))
}

fn number(command: &Command, attr: Attr) -> Result<u64> {
    command.number_of(attr).ok_or_else(|| damaged(command))
}

fn damaged(command: &Command) -> Error {
    let number = command.number();
    super::damaged(&format!(
        "a command of number {number} lacks a field or is unknown"
    ))
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::io("cannot look at the snapshots of the stream", error)
}

fn text(path: &[u8]) -> String {
    match path {
        [] => "the top".to_owned(),
        _ => shown(Path::new(OsStr::from_bytes(path))),
    }
}

/// What no receiver can do.
pub(super) fn cannot(what: &str, path: &[u8], why: &str) -> Error {
    let what = what.to_lowercase();
    Error::new(
        Kind::Unreceivable,
        "nobody can receive this diff of the kernel's",
        format!("it says to {what} {}, and {why}", text(path)),
    )
}

/// The times of an entry, for a command that sets them.
pub(super) fn times(entry: &Entry) -> [(Attr, [u8; 12]); 3] {
    let bytes = |(seconds, nanoseconds): Time| {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_le_bytes());
        bytes[8..].copy_from_slice(&nanoseconds.to_le_bytes());
        bytes
    };
    [
        (Attr::Atime, bytes(entry.atime)),
        (Attr::Mtime, bytes(entry.mtime)),
        (Attr::Ctime, bytes(entry.ctime)),
    ]
}
