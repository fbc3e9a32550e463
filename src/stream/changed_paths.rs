//! Which paths a stream touches, as they are called at its end: read from its metadata-only form.
//! Knows names only: what is at them is for others to look at.

use super::Head;
use super::command::{Attr, Command, Verb};
use crate::error::Result;
use std::collections::BTreeMap;
use std::io::Read;

/// More paths than this are not kept: then the whole tree is meant.
pub const MOST: usize = 1_000_000;

/// The paths that a stream touches, relative to its snapshot; the top's own is empty. Names that
/// are gone at its end are among them, since whoever received it must not have them either.
#[derive(Debug, Default)]
pub struct Touched {
    /// Whether something may have been there before the stream came, by path.
    paths: BTreeMap<Vec<u8>, bool>,
}

impl Touched {
    /// Reads a metadata-only stream to its end; `None` if it touches more than `most` paths.
    ///
    /// # Errors
    /// If the stream is damaged or cannot be read.
    pub fn read(metadata: &mut impl Read, most: usize) -> Result<Option<Touched>> {
        let head = Head::read(metadata)?;
        let (mut touched, mut bytes, mut passed) = (Touched::default(), Vec::new(), 0);
        loop {
            let command = Command::read(metadata, &mut bytes, head.version, passed)?;
            if command.verb() == Some(Verb::End) {
                return Ok(Some(touched));
            }
            touched.command(&command)?;
            passed += command.bytes().len() as u64;
            if touched.paths.len() > most {
                return Ok(None);
            }
        }
    }

    /// In the order of their bytes.
    pub fn into_paths(self) -> impl Iterator<Item = Vec<u8>> {
        self.paths.into_keys()
    }

    fn command(&mut self, command: &Command) -> Result<()> {
        let path = command.need(Attr::Path)?;
        match command.verb() {
            Some(Verb::Rename) => self.rename(path, command.need(Attr::PathTo)?),
            Some(Verb::Link) => {
                self.touch(path, true);
                self.touch(command.need(Attr::PathLink)?, true);
            }
            Some(verb) => self.touch(path, !verb.makes()),
            None => self.touch(path, true),
        }
        Ok(())
    }

    fn touch(&mut self, path: &[u8], before: bool) {
        // Looked up first: most commands are about a path that is known.
        if !self.paths.contains_key(path) {
            self.paths.insert(path.to_vec(), before);
        }
    }

    /// What was touched below a directory goes with it. Its old name is free then, as the copy has
    /// to show, unless it was made by this stream and was free before.
    fn rename(&mut self, from: &[u8], to: &[u8]) {
        let made_here = self.paths.get(from) == Some(&false);
        let below = [from, b"/"].concat();
        let moved: Vec<_> = self
            .paths
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .map(|(path, before)| (path.clone(), *before))
            .collect();
        for (path, before) in moved {
            self.paths.remove(&path);
            let path = [to, &path[from.len()..]].concat();
            self.paths.insert(path, before);
        }
        match made_here {
            true => drop(self.paths.remove(from)),
            false => drop(self.paths.insert(from.to_vec(), true)),
        }
        self.paths.insert(to.to_vec(), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::command::CommandWriter;
    use crate::stream::tests::head;

    fn stream(commands: &[(Verb, &str, &str)]) -> Vec<u8> {
        let mut bytes = head(None).encode();
        let writer = CommandWriter { version: 1 };
        for (verb, path, other) in commands {
            let second = match verb {
                Verb::Rename => Attr::PathTo,
                _ => Attr::PathLink,
            };
            let attributes = [(Attr::Path, path.as_bytes()), (second, other.as_bytes())];
            writer.put(&mut bytes, *verb, &attributes);
        }
        writer.put(&mut bytes, Verb::End, &[]);
        bytes
    }

    fn paths(commands: &[(Verb, &str, &str)]) -> Vec<String> {
        let touched = Touched::read(&mut &stream(commands)[..], 100).unwrap();
        let paths = touched.unwrap().into_paths();
        paths.map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn what_is_made_has_its_last_name() {
        let made = paths(&[
            (Verb::Mkdir, "o258-7-0", ""),
            (Verb::Rename, "o258-7-0", "dir"),
            (Verb::Utimes, "", ""),
            (Verb::Mkfile, "o259-7-0", ""),
            (Verb::Rename, "o259-7-0", "dir/file"),
            (Verb::Link, "dir/second", "dir/file"),
            (Verb::Symlink, "link", "dir/file"),
        ]);
        assert_eq!(made, ["", "dir", "dir/file", "dir/second", "link"]);
    }

    #[test]
    fn what_is_below_goes_with_its_directory() {
        let moved = paths(&[
            (Verb::Utimes, "a/x", ""),
            (Verb::Utimes, "a-b", ""),
            (Verb::Unlink, "a/gone", ""),
            (Verb::Rename, "a", "o257-7-0"),
            (Verb::Mkfile, "a", ""),
            (Verb::Rename, "o257-7-0", "b/c"),
        ]);
        assert_eq!(moved, ["a", "a-b", "b/c", "b/c/gone", "b/c/x", "o257-7-0"]);
    }

    #[test]
    fn names_that_are_gone_are_looked_for() {
        let gone = paths(&[
            (Verb::Unlink, "file", ""),
            (Verb::Rename, "old", "new"),
            (Verb::Rmdir, "dir", ""),
            (Verb::Rename, "nested", "o258-7-0"),
        ]);
        assert_eq!(gone, ["dir", "file", "nested", "new", "o258-7-0", "old"]);
    }

    #[test]
    fn memory_is_bounded_and_damage_noticed() {
        let whole = stream(&[(Verb::Utimes, "a", ""), (Verb::Utimes, "b", "")]);
        assert!(Touched::read(&mut &whole[..], 1).unwrap().is_none());
        for length in 0..whole.len() {
            Touched::read(&mut &whole[..length], 9).unwrap_err();
        }
    }
}
