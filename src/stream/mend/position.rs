//! Where a stream is, as its commands tell: in which file, and how far in it. The kernel reads on from there.
//! Reads no file itself.

use crate::stream::command::{Attr, Command, Verb};

/// A file whose content may go on with the next command.
#[derive(Debug, Default)]
pub(super) struct ContentPosition {
    /// Empty if the last command was not about a file's content, or what comes before that.
    pub(super) path: Vec<u8>,
    /// Up to where its content has passed, in bytes.
    pub(super) offset: u64,
}

impl ContentPosition {
    /// A command passes.
    pub(super) fn pass(&mut self, command: &Command) {
        let number = |attr| command.number_of(attr).unwrap_or_default();
        let end = |length| number(Attr::FileOffset).saturating_add(length);
        let data = || command.get(Attr::Data).map_or(0, |data| data.len() as u64);
        let (path, offset) = match command.verb() {
            Some(Verb::Mkfile | Verb::SetXattr) => (Attr::Path, 0),
            Some(Verb::Rename) => (Attr::PathTo, 0),
            Some(Verb::Write) => (Attr::Path, end(data())),
            Some(Verb::EncodedWrite) => (Attr::Path, end(number(Attr::UnencodedFileLen))),
            Some(Verb::Clone) => (Attr::Path, end(number(Attr::CloneLen))),
            _ => return self.path.clear(),
        };
        self.offset = offset;
        // In the same memory: there are millions of commands.
        self.path.clear();
        self.path
            .extend_from_slice(command.get(path).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::command::CommandWriter;

    #[test]
    fn it_is_where_the_content_goes_on() {
        let number = |number: u64| number.to_le_bytes();
        let (offset, length) = (number(4096), number(100));
        let path = (Attr::Path, &b"new"[..]);
        type Passed<'a> = (Verb, &'a [(Attr, &'a [u8])], &'a [u8], u64);
        let commands: [Passed; 6] = [
            (Verb::Mkfile, &[(Attr::Path, b"o1")], b"o1", 0),
            (
                Verb::Rename,
                &[(Attr::Path, b"o1"), (Attr::PathTo, b"new")],
                b"new",
                0,
            ),
            (Verb::SetXattr, &[path], b"new", 0),
            (
                Verb::Write,
                &[path, (Attr::FileOffset, &offset), (Attr::Data, b"12")],
                b"new",
                4098,
            ),
            (
                Verb::Clone,
                &[path, (Attr::FileOffset, &offset), (Attr::CloneLen, &length)],
                b"new",
                4196,
            ),
            (Verb::Chmod, &[path], b"", 4196),
        ];
        let mut place = ContentPosition::default();
        for (verb, attributes, path, offset) in commands {
            let mut bytes = Vec::new();
            CommandWriter { version: 1 }.put(&mut bytes, verb, attributes);
            place.pass(&Command::checked(&bytes, 1).unwrap());
            assert_eq!((&place.path[..], place.offset), (path, offset), "{verb:?}");
        }
    }
}
