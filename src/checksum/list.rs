//! The files that describe a tree: which there are, what their lines are and in which order, and what a
//! line says when it is read again. Opens no file.

use super::hash::Hashes;
use super::line::{self, Escape};
use super::walk::{UnreadEntry, WalkedTree, joined};
use crate::error::Result;
use crate::sys::dir;
use crate::text::hex;
use std::io;

/// One of the files that describe a tree, by its suffix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum List {
    /// `.ls`: type, mode, number of names, owner, group and time of every entry.
    Ls,
    /// `.files`: the SHA-256 of every regular file.
    Files,
    /// `.links`: the target of every symlink.
    Links,
    /// `.xattrs`: every extended attribute.
    Xattrs,
}

/// A file that is written for a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFile {
    /// A list.
    Of(List),
    /// `.sha256sum`: the digests of the two classic lists.
    Sums,
}

impl ListFile {
    /// Each by what follows the tree's name and the dot.
    pub const WORDS: &[(&str, ListFile)] = &[
        ("ls", ListFile::Of(List::Ls)),
        ("files", ListFile::Of(List::Files)),
        ("sha256sum", ListFile::Sums),
        ("links", ListFile::Of(List::Links)),
        ("xattrs", ListFile::Of(List::Xattrs)),
    ];

    /// What follows the tree's name and the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            ListFile::Of(list) => list.suffix(),
            ListFile::Sums => "sha256sum",
        }
    }
}

impl List {
    /// All four, in the order in which a list of lists names them.
    pub const ALL: [List; 4] = [List::Ls, List::Files, List::Links, List::Xattrs];

    /// Whether it is one of the two that there always were.
    pub fn is_classic(self) -> bool {
        matches!(self, List::Ls | List::Files)
    }

    /// What follows the tree's name and the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            List::Ls => "ls",
            List::Files => "files",
            List::Links => "links",
            List::Xattrs => "xattrs",
        }
    }

    /// The plain relative path of a line's key, and the attribute's name if it has one.
    pub(super) fn path_of(self, key: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let escape = match self {
            List::Ls => return (key.to_vec(), None),
            List::Files => Escape::Sums,
            List::Links | List::Xattrs => Escape::Fields,
        };
        let mut parts = key.split(|&b| b == b'\t' && escape == Escape::Fields);
        let path = parts.next().unwrap_or_default();
        let path = escape.undo(path.strip_prefix(b"./").unwrap_or(path));
        (path, parts.next().map(|name| escape.undo(name)))
    }

    /// Splits a line into what it is about and what it says; `None` if it is none of this list.
    pub(super) fn split(self, line: &[u8]) -> Option<(&[u8], &[u8])> {
        match self {
            List::Ls => Some(split_ls(line)),
            List::Files => {
                let hash = line.strip_prefix(b"\\").unwrap_or(line);
                let (hash, rest) = hash.split_at_checked(64)?;
                let path = rest.strip_prefix(b"  ").or(rest.strip_prefix(b" *"))?;
                let hexadecimal = hash.iter().all(u8::is_ascii_hexdigit);
                (hexadecimal && path.starts_with(b"./")).then_some((path, hash))
            }
            List::Links | List::Xattrs => {
                let tab = line.iter().rposition(|&b| b == b'\t')?;
                let key = &line[..tab];
                let tabs = key.iter().filter(|&&b| b == b'\t').count();
                let fits = key.starts_with(b"./") && tabs == usize::from(self == List::Xattrs);
                fits.then_some((key, &line[tab + 1..]))
            }
        }
    }
}

/// The path and the six fields before it. A line that does not look so is the rest of a name with
/// a newline, and stands for itself.
fn split_ls(line: &[u8]) -> (&[u8], &[u8]) {
    let path = line::sort_key(line, 7);
    let fields = &line[..line.len() - path.len()];
    let mode = fields.split(|&b| b == b' ').next().unwrap_or_default();
    match path {
        [b' ', path @ ..] if mode.len() == 10 && b"-dlcbps?".contains(&mode[0]) => (path, fields),
        _ => (line, b""),
    }
}

/// What the lines of a tree are made from.
pub(super) struct HashedTree<'t> {
    pub(super) tree: &'t WalkedTree,
    pub(super) hashes: &'t Hashes,
}

impl HashedTree<'_> {
    /// Calls `each` with every line of a list, in order, without the newline at its end. Returns
    /// what could not be read on the way.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(super) fn lines(
        &self,
        list: List,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Vec<UnreadEntry>> {
        match list {
            List::Ls => self.ls(each).map(|()| Vec::new()),
            List::Files => self.files(each).map(|()| Vec::new()),
            List::Links => self.links(each),
            List::Xattrs => self.xattrs(each),
        }
    }

    fn ls(&self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut pieces = self.pieces()?.into_iter().peekable();
        let mut line = Vec::new();
        self.tree.in_order(Escape::Plain, |path, index| {
            let node = self.tree.node(index);
            if node.is_mount() || path.contains(&b'\n') {
                return Ok(());
            }
            line.clear();
            line::ls(&mut line, &node.stat, path);
            while let Some(piece) = pieces.next_if(|piece| order(piece) < order(&line)) {
                each(&piece)?;
            }
            each(&line)
        })?;
        pieces.try_for_each(|piece| each(&piece))
    }

    /// The lines of names with newlines, sorted. sort(1) takes each piece for a line, and so the
    /// pieces of a name are not together; that is the format.
    fn pieces(&self) -> Result<Vec<Vec<u8>>> {
        let mut pieces = Vec::new();
        if self.tree.newlines {
            self.tree.in_order(Escape::Plain, |path, index| {
                let node = self.tree.node(index);
                if !node.is_mount() && path.contains(&b'\n') {
                    let mut line = Vec::new();
                    line::ls(&mut line, &node.stat, path);
                    pieces.extend(line.split(|&b| b == b'\n').map(<[u8]>::to_vec));
                }
                Ok(())
            })?;
            pieces.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        }
        Ok(pieces)
    }

    fn files(&self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut line = Vec::new();
        self.tree.in_order(Escape::Sums, |path, index| {
            let node = self.tree.node(index);
            if !node.is_file() {
                return Ok(());
            }
            let Some(sum) = &self.hashes.sums[node.file_number()] else {
                return Ok(()); // told as unread
            };
            line.clear();
            line::sum(&mut line, sum, &joined(b".", path));
            each(&line)
        })
    }

    fn links(&self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Vec<UnreadEntry>> {
        let mut unread = Vec::new();
        self.tree.in_order(Escape::Fields, |path, index| {
            if !self.tree.node(index).is_symlink() {
                return Ok(());
            }
            match target(self.tree, path) {
                Ok(target) => each(&fields(path, &[&Escape::Fields.apply(&target)])),
                Err(error) => {
                    unread.push(self.tree.unread("the target of ", path, error));
                    Ok(())
                }
            }
        })?;
        Ok(unread)
    }

    fn xattrs(&self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Vec<UnreadEntry>> {
        let mut unread = Vec::new();
        self.tree.in_order(Escape::Fields, |path, index| {
            if self.tree.node(index).is_mount() {
                return Ok(());
            }
            match xattrs(self.tree, path) {
                Ok(found) => found.iter().try_for_each(|(name, value)| {
                    let digits = format!("0x{}", hex(value));
                    let name = Escape::Fields.apply(name);
                    each(&fields(path, &[&name, digits.as_bytes()]))
                }),
                Err(error) => {
                    unread.push(self.tree.unread("the attributes of ", path, error));
                    Ok(())
                }
            }
        })?;
        Ok(unread)
    }
}

/// What `sort --key 7` compares: the key, and then the whole line.
fn order(line: &[u8]) -> (&[u8], &[u8]) {
    (line::sort_key(line, 7), line)
}

/// `./path` and further fields that are escaped already, with tabs between.
fn fields(path: &[u8], further: &[&[u8]]) -> Vec<u8> {
    let mut line = Escape::Fields.apply(&joined(b".", path)).into_owned();
    for field in further {
        line.push(b'\t');
        line.extend_from_slice(field);
    }
    line
}

/// Where a symlink points.
///
/// # Errors
/// Those of `readlinkat`.
pub(super) fn target(tree: &WalkedTree, path: &[u8]) -> io::Result<Vec<u8>> {
    let (holder, name) = tree.holder(path)?;
    dir::read_link_at(holder.fd(), name)
}

/// An entry's extended attributes, sorted by name.
///
/// # Errors
/// Those of `llistxattr` and `lgetxattr`.
pub(super) fn xattrs(tree: &WalkedTree, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (holder, name) = tree.holder(path)?;
    dir::xattrs_at(holder.fd(), name)
}

#[cfg(any(test, feature = "fuzz"))]
/// A line of a list is about a path, which is escaped as it was read.
pub(crate) fn fuzz(bytes: &[u8]) {
    for (list, line) in List::ALL
        .into_iter()
        .flat_map(|list| bytes.split(|&b| b == b'\n').map(move |line| (list, line)))
    {
        if let Some((key, said)) = list.split(line) {
            assert!(key.len() + said.len() <= line.len());
            let (path, name) = list.path_of(key);
            assert!(path.len() + name.map_or(0, |name| name.len()) <= key.len());
        }
    }
}
