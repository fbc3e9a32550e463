//! Steps that change what files hold: lengths at the ends of blocks, flushes, holes, reserved space,
//! mappings, direct writes, compression, no copy on write, shared extents.

use super::super::dice::{BLOCK, Dice};
use super::super::hands::{hex, text};
use super::super::work::{Done, Work, nothing};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn opened(work: &Work, path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(work.at(path))
}

/// A new file, or new content of an old one: in place or as another file of that name.
pub(super) fn write(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_name(dice, 'f');
    let bytes = length_and_bytes(dice);
    let (another, kept) = (dice.percent(40), dice.percent(50));
    work.say(&format!("{} bytes to {path:?}", bytes.len()));
    if another {
        work.say("another file");
        work.clear(&path)?;
    }
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).truncate(!kept);
    options.open(work.at(&path))?.write_all(&bytes)
}

/// Some are so small that they are kept with the inode.
fn length_and_bytes(dice: &mut Dice) -> Vec<u8> {
    let length = match dice.below(6) {
        0 => dice.below(2049),
        1..4 => dice.length(6),
        _ => dice.length(33),
    };
    dice.bytes(length)
}

/// Some appends, mostly with a flush between them.
pub(super) fn append(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let mut file = opened(work, &path)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
    for _ in 0..dice.within(1, 3) {
        let (end, now) = (dice.length(33), file.metadata()?.len() as usize);
        let length = end.checked_sub(now).unwrap_or(end / 4);
        let flush = dice.percent(70);
        work.say(&format!("append {length} to {path:?}, flush {flush}"));
        file.write_all(&dice.bytes(length))?;
        if flush {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// A log that grew block by block.
pub(super) fn log(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_name(dice, 'f');
    work.clear(&path)?;
    let first = dice.within(1, 4) * BLOCK;
    let second = dice.length(33);
    work.say(&format!("{first} and then {second} bytes to {path:?}"));
    let mut file = File::create(work.at(&path))?;
    for length in [first, second] {
        file.write_all(&dice.bytes(length))?;
        file.sync_all()?;
    }
    Ok(())
}

pub(super) fn truncate(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let file = opened(work, &path)?;
    let (now, wanted) = (file.metadata()?.len(), dice.length(33) as u64);
    // Mostly shorter, often by a little.
    let end = match dice.below(4) {
        0 => wanted,
        1 => now.saturating_sub(dice.pick(&[1, 208, 4095, 4096, 4097, 4304])),
        _ => wanted % (now + 1),
    };
    work.say(&format!("truncate {path:?} from {now} to {end}"));
    file.set_len(end)
}

pub(super) fn overwrite(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let (offset, length) = (dice.length(33), dice.length(4));
    work.say(&format!("{length} bytes to {path:?} at {offset}"));
    let file = opened(work, &path)?;
    file.write_all_at(&dice.bytes(length), offset as u64)?;
    if dice.percent(30) {
        file.sync_all()?;
    }
    Ok(())
}

/// A hole, zeros, space that is reserved, a range cut out or put in.
pub(super) fn allocate(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let (mode, name) = dice.pick(&[
        (0, "reserve"),
        (1, "reserve and keep the length"),
        (3, "punch"),
        (16, "zero"),
        (17, "zero and keep the length"),
    ]);
    let (offset, length) = (dice.length(33), dice.length(8) + 1);
    work.say(&format!("{name} {length} of {path:?} at {offset}"));
    let words = json!(["fallocate", text(&work.at(&path)), mode, offset, length]);
    work.hands.call(&words).map(drop)
}

pub(super) fn map(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let end = work.at(&path).metadata()?.len() as usize;
    if end == 0 {
        return Err(nothing());
    }
    let offset = dice.below(end);
    let length = dice.within(1, (end - offset).min(9000));
    work.say(&format!("map {path:?}, {length} bytes at {offset}"));
    let bytes = hex(&dice.bytes(length));
    let words = json!(["mapped", text(&work.at(&path)), offset, bytes]);
    work.hands.call(&words).map(drop)
}

pub(super) fn direct(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let (offset, length) = (dice.below(33) * BLOCK, dice.within(1, 5) * BLOCK);
    work.say(&format!("{length} direct to {path:?} at {offset}"));
    let bytes = hex(&dice.bytes(length));
    let words = json!(["direct", text(&work.at(&path)), offset, bytes]);
    work.hands.call(&words).map(drop)
}

/// An empty file that is not copied on write, or compressed, gets content.
pub(super) fn flagged(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_name(dice, 'f');
    work.clear(&path)?;
    let (flag, name) = dice.pick(&[(0x0080_0000, "no-COW"), (4, "compressed")]);
    let bytes = length_and_bytes(dice);
    work.say(&format!("{name} {path:?} of {} bytes", bytes.len()));
    let mut file = File::create(work.at(&path))?;
    work.hands
        .call(&json!(["flags", text(&work.at(&path)), flag]))?;
    file.write_all(&bytes)
}

/// A file is brought back in place from a snapshot: its extents keep their age.
pub(super) fn bring_back(work: &mut Work, dice: &mut Dice) -> Done {
    let snapshot = work.an_older_one(dice)?;
    let files = work.all(super::super::work::Kind::File);
    let old: Vec<_> = files
        .into_iter()
        .filter(|path| snapshot.join(path).is_file())
        .collect();
    let path = dice.choose(&old).ok_or_else(nothing)?.clone();
    let from = snapshot.join(&path);
    work.say(&format!("bring back {path:?} from {}", snapshot.display()));
    let to = opened(work, &path)?;
    if dice.percent(50) {
        to.set_len(0)?;
    }
    clone(work, &from, &path, (0, 0, 0))?;
    if dice.percent(50) {
        to.set_len(from.metadata()?.len())?;
    }
    Ok(())
}

/// A range of one file becomes a range of another, or all of it all.
pub(super) fn reflink(work: &mut Work, dice: &mut Dice) -> Done {
    let (from, to) = (work.a_file(dice)?, work.a_file(dice)?);
    let blocks = |dice: &mut Dice, end| dice.below(end) * BLOCK;
    let range = match dice.percent(40) {
        true => (0, 0, 0),
        false => (blocks(dice, 8), blocks(dice, 34), BLOCK + blocks(dice, 5)),
    };
    work.say(&format!("clone {from:?} to {to:?}, {range:?}"));
    let from = work.at(&from);
    clone(work, &from, &to, range)
}

fn clone(work: &mut Work, from: &Path, to: &Path, range: (usize, usize, usize)) -> Done {
    let (source, target) = (text(from), work.at(to));
    let words = json!(["clone", source, text(&target), range.0, range.1, range.2]);
    work.hands.call(&words).map(drop)
}
