//! The exact length of a mended stream, and what is mended in it, from its metadata-only form.

use super::{Mender, Trees};
use crate::error::Result;
use crate::snapshot::{Measured, Size};
use crate::stream::command::Command;
use crate::stream::instruction::Instruction;
use crate::stream::{COMMAND, Head, WRITE_BYTES};
use std::io::Read;

/// Measures and rehearses the version 1 stream whose metadata-only form (`btrfs send --no-data`)
/// is read here: each UPDATE_EXTENT stands for the WRITEs that the kernel would have sent. As soon
/// as it is more than `enough` bytes no more is read. Without trees the stream is measured as the
/// kernel makes it.
///
/// # Errors
/// [`crate::error::Kind::Unreceivable`] if nobody can receive it; if it is damaged; or if it or a
/// tree cannot be read.
pub fn mended_size(
    metadata: &mut impl Read,
    trees: Option<Trees>,
    enough: Option<u64>,
) -> Result<Measured> {
    let head = Head::read(metadata)?;
    let mut mender = trees.map(|trees| Mender::new(&head, trees)).transpose()?;
    let mut total = head.encode().len() as u64;
    let (mut bytes, mut before) = (Vec::new(), Vec::new());
    let mut file = None;
    loop {
        let command = Command::read(metadata, &mut bytes, head.version, total)?;
        let instruction = Instruction::decode(&command)?;
        before.clear();
        if let Some(mender) = &mut mender {
            let change = follow(&instruction, &mut file, mender)?;
            total = total.saturating_add_signed(change);
        }
        let keep = match &mut mender {
            Some(mender) => mender.pass(&instruction, &mut before)?,
            None => true,
        };
        total += before.len() as u64;
        if keep {
            total += match instruction {
                Instruction::NoData { path, length, .. } => written(path, length),
                _ => command.bytes().len() as u64,
            };
        }
        if instruction == Instruction::End {
            return Ok(Measured {
                size: Size::Exact(total),
                mended: mender.map(|m| m.mended).unwrap_or_default(),
                refused: None,
            });
        }
        if let Some(enough) = enough.filter(|&enough| total > enough) {
            return Ok(Size::Beyond(enough).into());
        }
    }
}

/// A file of the parent whose extents are passing. At its end the kernel sends a TRUNCATE unless the size
/// stays, or the file grew and what was written or cloned last ends where the file does. The zeros of a
/// hole are written in the stream with data only, and those of the hole at the end come too late to count.
struct Extents {
    path: Vec<u8>,
    ino: u64,
    /// How long it is in the parent.
    old: u64,
    /// The end of its last extent that was named.
    last: u64,
    /// The greatest end of them.
    most: u64,
    /// How long the last command makes it, if that is a TRUNCATE.
    cut: Option<u64>,
}

impl Extents {
    fn named(&mut self, end: u64) {
        (self.last, self.most) = (end, self.most.max(end));
        self.cut = None;
    }

    /// How many bytes more the stream with data has: those of a TRUNCATE that is in one of the two only.
    fn difference(&self, mender: &Mender) -> Result<i64> {
        let size = self.cut.unwrap_or(self.old.max(self.most));
        let grew = self.old < size;
        let needed = match self.cut {
            None => grew && self.last != size,
            // The hole at the end came early if space that is reserved beyond it made the kernel look.
            Some(_) if grew && self.last == size => !mender.has_extent_from(self.ino, size)?,
            Some(_) => true,
        };
        let length = (COMMAND + 4 + self.path.len() + 4 + 8) as i64;
        Ok((i64::from(needed) - i64::from(self.cut.is_some())) * length)
    }
}

/// Takes note of an extent; with the first command after those of a file, how many bytes more than its
/// metadata-only form the stream with data has of it.
fn follow(
    instruction: &Instruction,
    file: &mut Option<Extents>,
    mender: &mut Mender,
) -> Result<i64> {
    let path = instruction.path();
    let (end, cut) = match *instruction {
        Instruction::NoData { offset, length, .. } => (offset.saturating_add(length), None),
        Instruction::Clone(_, range) => (range.offset.saturating_add(range.length), None),
        Instruction::Truncate(_, size) => (size, Some(size)),
        _ => return file.take().map_or(Ok(0), |file| file.difference(mender)),
    };
    let mut passed = 0;
    if file.as_ref().is_none_or(|file| file.path != path) {
        passed = file.take().map_or(Ok(0), |file| file.difference(mender))?;
        *file = mender.in_parent(path)?.map(|(ino, old)| Extents {
            path: path.to_vec(),
            ino,
            old,
            last: 0,
            most: 0,
            cut: None,
        });
    }
    match file {
        Some(file) if cut.is_some() => file.cut = cut,
        Some(file) => file.named(end),
        None => {}
    }
    Ok(passed)
}

/// How many bytes of WRITE commands an UPDATE_EXTENT stands for.
fn written(path: &[u8], length: u64) -> u64 {
    // Header, path, offset, and the head of the data.
    let overhead = COMMAND as u64 + 4 + path.len() as u64 + 12 + 4;
    length + length.div_ceil(WRITE_BYTES) * overhead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::command::{Attr, CommandWriter, Verb};
    use crate::stream::tests::head;

    #[test]
    fn sizes_follow_the_kernels_writes() {
        let mut bytes = head(None).encode();
        let begin = bytes.len() as u64;
        let (offset, size) = (0u64.to_le_bytes(), (2 * WRITE_BYTES + 1).to_le_bytes());
        let update = [
            (Attr::Path, &b"dir/file"[..]),
            (Attr::FileOffset, &offset),
            (Attr::Size, &size),
        ];
        let writer = CommandWriter { version: 1 };
        writer.put(&mut bytes, Verb::UpdateExtent, &update);
        writer.put(&mut bytes, Verb::End, &[]);
        let writes = 3 * (10 + 4 + 8 + 12 + 4) + 2 * WRITE_BYTES + 1;
        let expected = begin + writes + 10;
        let size = |enough| mended_size(&mut &bytes[..], None, enough).unwrap().size;
        assert_eq!(size(None), Size::Exact(expected));
        assert_eq!(size(Some(expected)), Size::Exact(expected));
        assert_eq!(size(Some(WRITE_BYTES)), Size::Beyond(WRITE_BYTES));
        // Nothing is read that does not matter.
        let cut = &bytes[..bytes.len() - 5];
        let beyond = mended_size(&mut &cut[..], None, Some(WRITE_BYTES)).unwrap();
        assert_eq!(beyond.size, Size::Beyond(WRITE_BYTES));
        mended_size(&mut &cut[..], None, None).unwrap_err();
    }
}
