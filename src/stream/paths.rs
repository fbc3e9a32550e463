//! The paths in the commands of a stream, looked at as they pass in pieces of any length.
//! `btrfs receive` puts them behind the snapshot's own path and follows them wherever they lead.

use super::command::{Attr, Verb};
use super::le16;

/// The attributes of one command after the other.
#[derive(Debug, Default)]
pub(super) struct Paths {
    version: u32,
    command: u16,
    /// Type and length of an attribute, as far as they have passed, and what is left of its value.
    header: [u8; 4],
    have: usize,
    left: u32,
    path: Vec<u8>,
}

impl Paths {
    /// Of a stream of this version.
    pub(super) fn new(version: u32) -> Paths {
        Paths {
            version,
            ..Paths::default()
        }
    }

    /// A command begins.
    pub(super) fn begin(&mut self, command: u16) {
        self.command = command;
        (self.have, self.left) = (0, 0);
    }

    /// The next bytes of its body; false if one of its paths leads out of the snapshot.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let taken = match self.left {
                0 => self.take_header(bytes),
                _ => self.take_value(bytes),
            };
            bytes = &bytes[taken..];
            if self.have == self.header.len() && self.left == 0 {
                self.have = 0;
                if self.is_path() && leads_out(&self.path) {
                    return false;
                }
            }
        }
        true
    }

    fn take_header(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.header.len() - self.have);
        self.header[self.have..][..taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < 2 {
            return taken;
        }
        // From version 2 on data has no length: it is the rest of the command.
        if self.version >= 2 && le16(&self.header) == Attr::Data as u16 {
            (self.have, self.left) = (2, u32::MAX);
        } else if self.have == self.header.len() {
            self.left = le16(&self.header[2..]).into();
            self.path.clear();
        }
        taken
    }

    fn take_value(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.left as usize);
        self.left -= taken as u32;
        if self.is_path() {
            self.path.extend_from_slice(&bytes[..taken]);
        }
        taken
    }

    fn is_path(&self) -> bool {
        let kind = le16(&self.header);
        let paths = [Attr::Path, Attr::PathTo, Attr::ClonePath];
        // Where a symbolic link leads is its content.
        let links = kind == Attr::PathLink as u16 && self.command != Verb::Symlink as u16;
        links || paths.iter().any(|path| *path as u16 == kind)
    }
}

/// A path with `..`, or with a NUL, which ends it earlier for programs in C.
fn leads_out(path: &[u8]) -> bool {
    path.contains(&0) || path.split(|&byte| byte == b'/').any(|name| name == b"..")
}

#[cfg(test)]
mod tests {
    use super::super::put;
    use super::*;

    /// Whether a command passes, whole and byte by byte, after others that do.
    fn passes(version: u32, command: Verb, body: &[u8]) -> bool {
        let pieces = [1, 3, body.len()];
        let all = pieces.map(|piece| {
            let mut paths = Paths::new(version);
            paths.begin(Verb::Write as u16);
            assert!(paths.feed(&attributes(&[(Attr::Path, b"a")])));
            assert!(paths.feed(&[Attr::Path as u8]));
            paths.begin(command as u16);
            body.chunks(piece).all(|piece| paths.feed(piece))
        });
        assert!(all.iter().all(|one| *one == all[0]));
        all[0]
    }

    fn attributes(all: &[(Attr, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        all.iter()
            .for_each(|(kind, value)| put(&mut body, *kind, value));
        body
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["", "a", "a/b", "a..b", "..a/b..", "a/...", "/a"] {
            let body = attributes(&[(Attr::Ino, b"12345678"), (Attr::Path, path.as_bytes())]);
            assert!(passes(1, Verb::Write, &body), "{path}");
        }
        for path in ["..", "../a", "a/..", "a/../b", "/..", "a\0/.."] {
            for kind in [Attr::Path, Attr::PathTo, Attr::PathLink, Attr::ClonePath] {
                let body = attributes(&[(Attr::Path, b"a"), (kind, path.as_bytes())]);
                assert!(!passes(1, Verb::Link, &body), "{path}");
            }
        }
    }

    #[test]
    fn content_is_no_path() {
        let link = attributes(&[(Attr::Path, b"a"), (Attr::PathLink, b"../b")]);
        assert!(passes(1, Verb::Symlink, &link));
        let inner = attributes(&[(Attr::Path, b"../b")]);
        let data = attributes(&[(Attr::Path, b"a"), (Attr::Data, &inner)]);
        assert!(passes(1, Verb::Write, &data));
        // After data that has a length there can be a path, and after other data there cannot.
        let mut after = attributes(&[(Attr::Data, b"x")]);
        after.extend(&inner);
        assert!(!passes(1, Verb::Write, &after));
        assert!(passes(2, Verb::Write, &after));
    }
}
