//! Objects that are not finished: for each a directory with what it will be, its bytes, and which parts of
//! them have come. What is written down of a part is not proof that it is on the disk: whoever goes on
//! with it reads it again.

use super::files::{Files, join};
use super::meta::{Meta, json};
use crate::digest::TreeHash;
use crate::objects::{Part, Unfinished, UploadedPart};
use crate::sys::page_cache::advise;
use crate::text::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// The directory of them all.
pub(super) const UNFINISHED: &str = ".buttersink-unfinished";
/// What an object will be.
const ABOUT: &str = "about";
/// Its bytes, each part in its place.
const DATA: &str = "data";
/// A line for each part that has come: its number, its bytes and its digest.
const PARTS: &str = "parts";
/// As many bytes of that list are read: the parts of an object of a pebibyte.
const LONGEST: u64 = 64 << 20;
/// Bytes that are read again at a time.
const PIECE: usize = 1 << 20;

/// What is known of an unfinished object.
#[derive(Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) started: Timestamp,
    /// Bytes of a part.
    pub(super) part_size: u64,
    /// What will be written down of the object, without what follows from its bytes.
    pub(super) meta: Meta,
}

/// Where an unfinished object is.
pub(super) fn dir_of(id: &str) -> String {
    join(UNFINISHED, id)
}

/// Where its bytes are.
pub(super) fn data_of(id: &str) -> String {
    join(&dir_of(id), DATA)
}

/// Makes the directory of one.
pub(super) fn begin(files: &Files, id: &str, begun: &Begun) -> io::Result<()> {
    let dir = dir_of(id);
    files.make_dirs(&dir)?;
    files.create(&join(&dir, DATA))?;
    files.create(&join(&dir, PARTS))?;
    files.write_new(&join(&dir, ABOUT), &json(begun))?;
    files.sync_dir(&dir)
}

/// What one was begun as; `None` if it is gone.
pub(super) fn begun(files: &Files, id: &str) -> io::Result<Option<Begun>> {
    let text = files.bytes(&join(&dir_of(id), ABOUT))?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// All objects below a root that are not finished, and why some of them are not known, if so.
pub(super) fn all(files: &Files) -> (Vec<Unfinished>, Option<io::Error>) {
    let (mut all, mut untold) = (Vec::new(), None);
    let names = files.names(UNFINISHED).unwrap_or_else(|error| {
        untold = Some(error);
        Vec::new()
    });
    for (id, _) in names.into_iter().filter(|(_, kind)| *kind == libc::DT_DIR) {
        match begun(files, &id) {
            Ok(None) => {}
            Ok(Some(begun)) => all.push(Unfinished {
                key: begun.meta.key,
                id,
                started: Some(begun.started),
                ..Unfinished::default()
            }),
            Err(error) => untold = Some(error),
        }
    }
    (all, untold)
}

/// The parts that have come, in order; `None` if it is gone.
pub(super) fn parts(files: &Files, id: &str) -> io::Result<Option<Vec<UploadedPart>>> {
    let Some(file) = files.read(&join(&dir_of(id), PARTS))? else {
        return Ok(None);
    };
    let modified = Timestamp::try_from(file.metadata()?.modified()?).ok();
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut parts = BTreeMap::new();
    // What a crash cut off has no end of its line.
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        parts.extend(part(line, modified).map(|part| (part.number, part)));
    }
    Ok(Some(parts.into_values().collect()))
}

fn part(line: &str, modified: Option<Timestamp>) -> Option<UploadedPart> {
    let mut words = line.split_whitespace();
    let part = UploadedPart {
        number: words.next()?.parse().ok().filter(|&number| number > 0)?,
        size: words.next()?.parse().ok()?,
        etag: words.next().filter(|digest| digest.len() == 64)?.to_owned(),
        modified,
        ..UploadedPart::default()
    };
    words.next().is_none().then_some(part)
}

/// What is said of bytes that are a part.
pub(super) fn described(part: &Part) -> UploadedPart {
    let mut tree = TreeHash::default();
    match part.leaves {
        Some(leaves) => tree.add_hashed(leaves.to_vec()),
        None => tree.update(part.bytes),
    }
    UploadedPart {
        number: part.number,
        size: part.bytes.len() as u64,
        etag: hex(&tree.finish()),
        ..UploadedPart::default()
    }
}

/// Whether a part is there, by its bytes.
pub(super) fn has(files: &Files, id: &str, at: u64, bytes: &[u8]) -> io::Result<bool> {
    match files.read(&data_of(id))? {
        Some(file) => holds(&file, at, bytes),
        None => Ok(false),
    }
}

fn holds(file: &File, mut at: u64, bytes: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() < at + bytes.len() as u64 {
        return Ok(false);
    }
    // What is still in memory says nothing of the disk.
    advise(
        file.as_fd(),
        at,
        bytes.len() as u64,
        libc::POSIX_FADV_DONTNEED,
    );
    let mut there = vec![0; PIECE.min(bytes.len())];
    for piece in bytes.chunks(PIECE) {
        let there = &mut there[..piece.len()];
        file.read_exact_at(there, at)?;
        if there != piece {
            return Ok(false);
        }
        at += piece.len() as u64;
    }
    Ok(true)
}

/// Writes a part in its place, and down that it is there.
pub(super) fn write(
    files: &Files,
    id: &str,
    at: u64,
    bytes: &[u8],
    part: &UploadedPart,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let file = files.find(&data_of(id), libc::O_WRONLY)?.ok_or_else(gone)?;
    file.write_all_at(bytes, at)?;
    // It begins to be written to the disk now, so that the end does not wait for all of it.
    advise(
        file.as_fd(),
        at,
        bytes.len() as u64,
        libc::POSIX_FADV_DONTNEED,
    );
    let list = join(&dir_of(id), PARTS);
    let mut list = files
        .find(&list, libc::O_WRONLY | libc::O_APPEND)?
        .ok_or_else(gone)?;
    // It ends the line before too, which a crash may have cut.
    let line = format!("\n{} {} {}\n", part.number, part.size, part.etag);
    list.write_all(line.as_bytes())
}

/// The bytes of one that is whole, on the disk: so many, and no more.
pub(super) fn settle(files: &Files, id: &str, bytes: u64) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let file = files.find(&data_of(id), libc::O_RDWR)?.ok_or_else(gone)?;
    if file.metadata()?.len() > bytes {
        file.set_len(bytes)?;
    }
    file.sync_all()
}
