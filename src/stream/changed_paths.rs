//! Which paths a stream touches, as they are called at its end: read from its metadata-only form.
//! Knows names only: what is at them is for others to look at.

use super::{
    ATTR_PATH, CMD_END, COMMAND, Check, Head, MAGIC, MAX_BODY, attribute, command_crc, cut_off,
    damaged, le16, le32,
};
use crate::error::Result;
use std::collections::BTreeMap;
use std::io::Read;

const CMD_MKFILE: u16 = 3;
const CMD_SYMLINK: u16 = 8;
const CMD_RENAME: u16 = 9;
const CMD_LINK: u16 = 10;
const ATTR_PATH_TO: u16 = 16;
const ATTR_PATH_LINK: u16 = 17;

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
        let (mut touched, mut header, mut body) = (Touched::default(), [0; COMMAND], Vec::new());
        loop {
            metadata.read_exact(&mut header).map_err(cut_off)?;
            let length = le32(&header);
            if header == MAGIC[..COMMAND] {
                return Err(Check::after(&head, 0).restarted());
            }
            if length > MAX_BODY {
                return Err(damaged("it has a command of impossible length"));
            }
            body.resize(COMMAND + length as usize, 0);
            body[..COMMAND].copy_from_slice(&header);
            metadata.read_exact(&mut body[COMMAND..]).map_err(cut_off)?;
            if command_crc(&body) != le32(&header[6..]) {
                return Err(damaged("the checksum of a command is wrong"));
            }
            let command = le16(&header[4..]);
            if command == CMD_END {
                return Ok(Some(touched));
            }
            touched.command(command, &body[COMMAND..])?;
            if touched.paths.len() > most {
                return Ok(None);
            }
        }
    }

    /// In the order of their bytes.
    pub fn into_paths(self) -> impl Iterator<Item = Vec<u8>> {
        self.paths.into_keys()
    }

    fn command(&mut self, command: u16, body: &[u8]) -> Result<()> {
        let field = |kind| attribute(body, kind).ok_or_else(|| damaged("a command lacks a path"));
        let path = field(ATTR_PATH)?;
        match command {
            CMD_RENAME => self.rename(path, field(ATTR_PATH_TO)?),
            CMD_LINK => {
                self.touch(path, true);
                self.touch(field(ATTR_PATH_LINK)?, true);
            }
            CMD_MKFILE..=CMD_SYMLINK => self.touch(path, false),
            _ => self.touch(path, true),
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
    use super::super::put;
    use super::*;
    use crate::snapshot::Uuid;

    const CMD_MKDIR: u16 = 4;
    const CMD_UNLINK: u16 = 11;
    const CMD_RMDIR: u16 = 12;
    const CMD_UTIMES: u16 = 20;

    fn stream(commands: &[(u16, &str, &str)]) -> Vec<u8> {
        let head = Head {
            version: 1,
            path: b"s".to_vec(),
            uuid: Uuid([1; 16]),
            ctransid: 7,
            parent: None,
        };
        let mut bytes = head.encode();
        let mut add = |kind: u16, body: &[u8]| {
            let start = bytes.len();
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
            let sum = command_crc(&bytes[start..]);
            bytes[start + 6..start + 10].copy_from_slice(&sum.to_le_bytes());
        };
        for (kind, path, other) in commands {
            let mut body = Vec::new();
            put(&mut body, ATTR_PATH, path.as_bytes());
            let second = match *kind {
                CMD_RENAME => ATTR_PATH_TO,
                _ => ATTR_PATH_LINK,
            };
            put(&mut body, second, other.as_bytes());
            add(*kind, &body);
        }
        add(CMD_END, &[]);
        bytes
    }

    fn paths(commands: &[(u16, &str, &str)]) -> Vec<String> {
        let touched = Touched::read(&mut &stream(commands)[..], 100).unwrap();
        let paths = touched.unwrap().into_paths();
        paths.map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn what_is_made_has_its_last_name() {
        let made = paths(&[
            (CMD_MKDIR, "o258-7-0", ""),
            (CMD_RENAME, "o258-7-0", "dir"),
            (CMD_UTIMES, "", ""),
            (CMD_MKFILE, "o259-7-0", ""),
            (CMD_RENAME, "o259-7-0", "dir/file"),
            (CMD_LINK, "dir/second", "dir/file"),
            (CMD_SYMLINK, "link", "dir/file"),
        ]);
        assert_eq!(made, ["", "dir", "dir/file", "dir/second", "link"]);
    }

    #[test]
    fn what_is_below_goes_with_its_directory() {
        let moved = paths(&[
            (CMD_UTIMES, "a/x", ""),
            (CMD_UTIMES, "a-b", ""),
            (CMD_UNLINK, "a/gone", ""),
            (CMD_RENAME, "a", "o257-7-0"),
            (CMD_MKFILE, "a", ""),
            (CMD_RENAME, "o257-7-0", "b/c"),
        ]);
        assert_eq!(moved, ["a", "a-b", "b/c", "b/c/gone", "b/c/x", "o257-7-0"]);
    }

    #[test]
    fn names_that_are_gone_are_looked_for() {
        let gone = paths(&[
            (CMD_UNLINK, "file", ""),
            (CMD_RENAME, "old", "new"),
            (CMD_RMDIR, "dir", ""),
            (CMD_RENAME, "nested", "o258-7-0"),
        ]);
        assert_eq!(gone, ["dir", "file", "nested", "new", "o258-7-0", "old"]);
    }

    #[test]
    fn memory_is_bounded_and_damage_noticed() {
        let whole = stream(&[(CMD_UTIMES, "a", ""), (CMD_UTIMES, "b", "")]);
        assert!(Touched::read(&mut &whole[..], 1).unwrap().is_none());
        for length in 0..whole.len() {
            Touched::read(&mut &whole[..length], 9).unwrap_err();
        }
    }
}
