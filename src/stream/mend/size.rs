//! The exact length of a mended stream, and what is mended in it, from its metadata-only form.

use super::{Mender, Trees};
use crate::error::Result;
use crate::snapshot::{Measured, Size};
use crate::stream::command::{Attr, Command, Verb};
use crate::stream::{COMMAND, Head, MAGIC, MAX_BODY, cut_off, damaged, restarted, written};
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
    let mut grown = None;
    loop {
        read_command(metadata, &mut bytes, total)?;
        let command = Command::checked(&bytes, head.version);
        let command = command.ok_or_else(|| damaged("the checksum of a command is wrong"))?;
        before.clear();
        total += unsaid(&command, &mut grown, mender.as_mut())?;
        let keep = match &mut mender {
            Some(mender) => mender.pass(&command, &mut before)?,
            None => true,
        };
        total += before.len() as u64;
        if keep {
            total += match command.verb() {
                Some(Verb::UpdateExtent) => written(&bytes[COMMAND..])?,
                _ => bytes.len() as u64,
            };
        }
        if command.verb() == Some(Verb::End) {
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

/// A file of the parent, and how far its extents reach.
struct Grown {
    path: Vec<u8>,
    /// How long it is in the parent.
    old: u64,
    /// The end of its last extent that was named.
    last: u64,
    /// The greatest end of them.
    most: u64,
}

impl Grown {
    /// Bytes of the TRUNCATE that only the stream with data has.
    fn truncate(&self) -> u64 {
        match self.old < self.most && self.last != self.most {
            true => (COMMAND + 4 + self.path.len() + 4 + 8) as u64,
            false => 0,
        }
    }
}

/// Bytes of a TRUNCATE that only the stream with data has. The kernel sends one unless what it wrote
/// last ends where the file does; the zeros of a hole count as written only where they are written.
fn unsaid(
    command: &Command,
    grown: &mut Option<Grown>,
    mender: Option<&mut Mender>,
) -> Result<u64> {
    match command.verb() {
        Some(Verb::UpdateExtent | Verb::Clone) => reach(command, grown, mender).map(|()| 0),
        // All extents of a file that is new under an old number come before its attributes.
        Some(Verb::SetXattr | Verb::RemoveXattr) => Ok(0),
        // It is there, and counted.
        Some(Verb::Truncate) => {
            *grown = None;
            Ok(0)
        }
        _ => Ok(grown.take().map_or(0, |file| file.truncate())),
    }
}

/// Takes note of an extent. Of what is new no holes are written.
fn reach(command: &Command, grown: &mut Option<Grown>, mender: Option<&mut Mender>) -> Result<()> {
    let path = command.need(Attr::Path)?;
    let number = |attr| command.number_of(attr).unwrap_or_default();
    let length = match command.verb() {
        Some(Verb::Clone) => Attr::CloneLen,
        _ => Attr::Size,
    };
    let last = number(Attr::FileOffset).saturating_add(number(length));
    if let Some(file) = grown.as_mut().filter(|file| file.path == path) {
        file.last = last;
        file.most = last.max(file.most);
        return Ok(());
    }
    let old = mender.map(|mender| mender.old_size(path)).transpose()?;
    *grown = old.flatten().map(|old| Grown {
        path: path.to_vec(),
        old,
        last,
        most: last,
    });
    Ok(())
}

/// Reads the next command, whole.
fn read_command(from: &mut impl Read, bytes: &mut Vec<u8>, passed: u64) -> Result<()> {
    bytes.resize(COMMAND, 0);
    from.read_exact(bytes).map_err(cut_off)?;
    if bytes[..] == MAGIC[..COMMAND] {
        return Err(restarted(passed));
    }
    let length = Command::length(bytes).unwrap_or_default();
    if length > COMMAND + MAX_BODY as usize {
        return Err(damaged("it has a command of impossible length"));
    }
    bytes.resize(length, 0);
    from.read_exact(&mut bytes[COMMAND..]).map_err(cut_off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;
    use crate::stream::WRITE_BYTES;
    use crate::stream::command::Writer;

    #[test]
    fn sizes_follow_the_kernels_writes() {
        let head = Head {
            version: 1,
            path: b"snap".to_vec(),
            uuid: Uuid([7; 16]),
            ctransid: 42,
            parent: None,
        };
        let mut bytes = head.encode();
        let begin = bytes.len() as u64;
        let (offset, size) = (0u64.to_le_bytes(), (2 * WRITE_BYTES + 1).to_le_bytes());
        let update = [
            (Attr::Path, &b"dir/file"[..]),
            (Attr::FileOffset, &offset),
            (Attr::Size, &size),
        ];
        let writer = Writer { version: 1 };
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
