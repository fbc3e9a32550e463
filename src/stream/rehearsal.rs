//! A rehearsal: applies the commands of a send stream to a model, an overlay of names over the parent
//! snapshot that looks up there only what the stream touches. A command that would fail at every
//! receiver fails here. Changes no stream and knows no store.

mod apply;
mod nodes;
mod view;

use super::Head;
use super::command::Attr;
use super::tree::{DIRECTORY, Files, TYPE, Tree, TreeEntry, join};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys::dir::Time;
use nodes::Inode;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

pub(super) use nodes::{CAPABILITY, Mtime, is_inherited};

/// How many nodes and names are kept in mind at most, two or three for each file that is touched.
const LIMIT: usize = 4 << 20;

/// The number of a node.
pub(super) type Id = u32;
/// The top of the tree.
pub(super) const TOP: Id = 0;

/// A tree while a stream is applied to it, and after.
pub struct Model<'p> {
    parent: Option<Rc<dyn Tree + 'p>>,
    /// Of a whole stream: what is finished is looked up here again and need not be remembered.
    finished: Option<Rc<dyn Files + 'p>>,
    nodes: Vec<Inode>,
    free: Vec<Id>,
    names: HashMap<(Id, Box<[u8]>), NameState>,
    /// Nodes that the parent has, by inode number.
    by_ino: HashMap<u64, Id>,
    /// The snapshot that the stream makes, so that clones of its own files are known as such.
    uuid: Uuid,
    /// What else it may clone from, by the names that its commands have for it: the parent is the first.
    sources: Vec<Source<'p>>,
    /// Where the last command about content was: the inode number and the offset.
    at: (u64, u64),
}

/// A snapshot that files may share extents with, and its name in the stream.
pub type Source<'p> = (Uuid, Rc<dyn Tree + 'p>);

/// What a name in a directory stands for.
#[derive(Clone, Copy)]
pub(super) struct NameState {
    /// `None` if it was removed.
    pub(super) node: Option<Id>,
    /// Whether the parent has no such name there.
    fresh: bool,
}

impl<'p> Model<'p> {
    /// What the stream with this head begins with: the parent's tree, or nothing.
    ///
    /// # Errors
    /// If the parent's top cannot be read.
    pub fn new(head: &Head, parent: Option<Rc<dyn Tree + 'p>>) -> io::Result<Model<'p>> {
        let top = match &parent {
            None => Inode::made(DIRECTORY, 256),
            Some(parent) => {
                let entry = parent.look(b"")?;
                Inode::of(&entry.ok_or(io::ErrorKind::NotFound)?, Vec::new())
            }
        };
        let by_ino = HashMap::from([(top.ino, TOP)]);
        let named = head.parent.map(|(uuid, _)| uuid);
        Ok(Model {
            sources: named.zip(parent.clone()).into_iter().collect(),
            at: (0, 0),
            parent,
            finished: None,
            nodes: vec![top],
            free: Vec::new(),
            names: HashMap::new(),
            by_ino,
            uuid: head.uuid,
        })
    }

    /// Where the last command about content was: the inode number of the file, and the offset.
    pub fn at(&self) -> (u64, u64) {
        self.at
    }

    /// Lets the stream clone from these too.
    pub(super) fn cloning(mut self, sources: Vec<Source<'p>>) -> Model<'p> {
        self.sources.extend(sources);
        self
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

    pub(super) fn node(&self, id: Id) -> &Inode {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Inode {
        &mut self.nodes[id as usize]
    }

    /// Every name that was looked up or changed, in no order.
    pub(super) fn all_names(&self) -> impl Iterator<Item = (Id, &[u8], NameState)> {
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
            self.names.insert(key, NameState { node, fresh: false });
        }
        Ok(found)
    }

    /// The node of what the parent has.
    fn intern(&mut self, entry: &TreeEntry, path: Vec<u8>) -> Id {
        if let Some(&id) = self.by_ino.get(&entry.ino) {
            return id;
        }
        let id = self.add(Inode::of(entry, path));
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
        Ok(file.map(|entry| self.add(Inode::finished(&entry))))
    }

    fn add(&mut self, node: Inode) -> Id {
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
            *self.node_mut(id) = Inode::default();
            self.free.push(id);
        }
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

    /// In what a touched node differs from what it should be. Times are another matter.
    pub(super) fn wrong(
        &mut self,
        id: Id,
        should: &TreeEntry,
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
    Error::new(
        Kind::Unreceivable,
        "nobody can receive this diff of the kernel's",
        format!("it says to {what} {}, and {why}", text(path)),
    )
}

/// The times of an entry, for a command that sets them.
pub(super) fn times(entry: &TreeEntry) -> [(Attr, [u8; 12]); 3] {
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
