//! Send streams made by hand, right to the last checksum, of any length that is asked for.

use buttersink::snapshot::{Diff, Size, Uuid};

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A UUID that is easy to tell from others.
pub(crate) fn uuid(n: u8) -> Uuid {
    Uuid([n; 16])
}

/// The diff between two of them.
pub(crate) fn diff(to: u8, from: Option<u8>, bytes: usize) -> Diff {
    Diff::new(uuid(to), from.map(uuid), Size::Exact(bytes as u64))
}

/// A stream of exactly so many bytes, at least 200.
pub(crate) fn stream(to: u8, from: Option<u8>, length: usize) -> Vec<u8> {
    let mut stream = b"btrfs-stream\0\x01\0\0\0".to_vec();
    let mut attributes = vec![
        (15, b"snap".to_vec()),
        (1, vec![to; 16]),
        (2, 7u64.to_le_bytes().into()),
    ];
    if let Some(from) = from {
        attributes.push((20, vec![from; 16]));
        attributes.push((21, 7u64.to_le_bytes().into()));
    }
    stream.extend(command(if from.is_some() { 2 } else { 1 }, &attributes));
    let end = command(21, &[]);
    let seed = u64::from(to) << 32 | length as u64;
    while stream.len() + end.len() < length {
        let left = length - stream.len() - end.len();
        // What remains after this one must be enough for another.
        let data = if left <= 48 << 10 {
            left - WRITE
        } else {
            (left - 2 * WRITE).min(48 << 10)
        };
        let at = stream.len() as u64;
        let write = [
            (15, b"f".to_vec()),
            (18, at.to_le_bytes().into()),
            (19, noise(seed + at, data)),
        ];
        stream.extend(command(15, &write));
    }
    stream.extend(end);
    assert_eq!(stream.len(), length);
    stream
}

/// A WRITE of these bytes at the beginning of a file.
pub(crate) fn write(path: &[u8], data: &[u8]) -> Vec<u8> {
    let at = 0u64.to_le_bytes().into();
    command(15, &[(15, path.to_vec()), (18, at), (19, data.to_vec())])
}

/// What a WRITE is longer than its data by: header, path, offset, and the data's own header.
const WRITE: usize = 10 + 5 + 12 + 4;

/// A full stream of these commands, with head and end.
pub(crate) fn of_commands(to: u8, commands: &[Vec<u8>]) -> Vec<u8> {
    let head = [
        (15, b"snap".to_vec()),
        (1, vec![to; 16]),
        (2, 7u64.to_le_bytes().into()),
    ];
    let mut stream = b"btrfs-stream\0\x01\0\0\0".to_vec();
    stream.extend(command(1, &head));
    stream.extend(commands.concat());
    stream.extend(command(21, &[]));
    stream
}

/// A command with these attributes, and its checksum.
pub(crate) fn command(kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_le_bytes());
        body.extend((value.len() as u16).to_le_bytes());
        body.extend(value);
    }
    framed(kind, &body)
}

/// A command with this body.
pub(crate) fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut whole = (body.len() as u32).to_le_bytes().to_vec();
    whole.extend(kind.to_le_bytes());
    whole.extend([0; 4]);
    whole.extend(body);
    let crc = !crc32c::crc32c_append(!0, &whole);
    whole[6..10].copy_from_slice(&crc.to_le_bytes());
    whole
}
