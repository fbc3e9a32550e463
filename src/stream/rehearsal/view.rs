//! The model of a rehearsal as a tree, so that one stream can be rehearsed on what another one made.

use super::{Id, Model, NameState, TOP};
use crate::stream::tree::{Tree, TreeEntry, join};
use std::io;

impl Tree for Model<'_> {
    fn look(&self, path: &[u8]) -> io::Result<Option<TreeEntry>> {
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
                    Some(NameState { node: Some(id), .. }) => Reached::Node(*id),
                    Some(NameState { node: None, .. }) => return Ok(None),
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
