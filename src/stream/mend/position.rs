//! Where a stream is, as its commands tell: in which file, and how far in it. The kernel reads on from there.
//! Reads no file itself.

use crate::stream::instruction::{Instruction, Make};

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
    pub(super) fn pass(&mut self, instruction: &Instruction) {
        let (path, offset) = match *instruction {
            Instruction::Make {
                path,
                make: Make::File,
                ..
            }
            | Instruction::SetXattr { path, .. }
            | Instruction::Rename { to: path, .. } => (path, 0),
            Instruction::Write { path, offset, data } => {
                (path, offset.saturating_add(data.len() as u64))
            }
            Instruction::Encoded(path, extent) => (path, extent.offset.saturating_add(extent.len)),
            Instruction::Clone(path, range) => (path, range.offset.saturating_add(range.length)),
            _ => return self.path.clear(),
        };
        self.offset = offset;
        // In the same memory: there are millions of commands.
        self.path.clear();
        self.path.extend_from_slice(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;
    use crate::stream::instruction::CloneRange;

    #[test]
    fn it_is_where_the_content_goes_on() {
        let path = &b"new"[..];
        let range = CloneRange {
            offset: 4096,
            snapshot: Uuid([1; 16]),
            source: b"other",
            source_offset: 0,
            length: 100,
        };
        let made = Instruction::Make {
            path: b"o1",
            ino: Some(257),
            make: Make::File,
        };
        let renamed = Instruction::Rename {
            from: b"o1",
            to: path,
        };
        let labelled = Instruction::SetXattr {
            path,
            name: b"user.a",
            value: b"",
        };
        let written = Instruction::Write {
            path,
            offset: 4096,
            data: b"12",
        };
        let commands: [(Instruction, &[u8], u64); 6] = [
            (made, b"o1", 0),
            (renamed, path, 0),
            (labelled, path, 0),
            (written, path, 4098),
            (Instruction::Clone(path, range), path, 4196),
            (Instruction::Chmod(path, 0o644), b"", 4196),
        ];
        let mut place = ContentPosition::default();
        for (instruction, path, offset) in commands {
            place.pass(&instruction);
            let at = (&place.path[..], place.offset);
            assert_eq!(at, (path, offset), "{instruction:?}");
        }
    }
}
