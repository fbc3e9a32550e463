//! Steps that make, move, exchange and remove names: directories turned inside out, names that come
//! back, hard links, files without a name, subvolumes inside the subvolume.

use super::super::dice::Dice;
use super::super::hands::text;
use super::super::work::{Done, Kind, Work, nothing};
use crate::subvolumes::subvolume;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

fn rename(work: &mut Work, from: &Path, to: &Path) -> Done {
    work.say(&format!("{from:?} becomes {to:?}"));
    std::fs::rename(work.at(from), work.at(to))
}

fn make_dir(work: &mut Work, path: &Path) -> Done {
    work.say(&format!("directory {path:?}"));
    std::fs::create_dir(work.at(path))
}

pub(super) fn dir(work: &mut Work, dice: &mut Dice) -> Done {
    let mut path = work.a_free_name(dice, 'd')?;
    make_dir(work, &path)?;
    for _ in 0..dice.below(3) {
        path.push(format!("d{}", dice.below(9)));
        make_dir(work, &path)?;
    }
    Ok(())
}

/// More than the kernel keeps in mind.
pub(super) fn many_dirs(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_free_name(dice, 'm')?;
    let count = dice.within(50, 80);
    make_dir(work, &path)?;
    work.say(&format!("{count} directories in it"));
    for number in 0..count {
        std::fs::create_dir(work.at(&path.join(number.to_string())))?;
    }
    Ok(())
}

/// Anything moves, often onto something else.
pub(super) fn shift(work: &mut Work, dice: &mut Dice) -> Done {
    let from = work.anything(dice)?;
    let to = work.a_name(dice, dice_letter(&from));
    rename(work, &from, &to)
}

fn dice_letter(path: &Path) -> char {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.chars().next()).unwrap_or('f')
}

/// A directory goes into another, new or old.
pub(super) fn nest(work: &mut Work, dice: &mut Dice) -> Done {
    let (from, into) = (work.a_dir(dice)?, work.a_dir(dice)?);
    let name = from.file_name().expect("a name").to_owned();
    rename(work, &from, &into.join(name))
}

/// `a/b` becomes `b/a`, each with what else is in it.
pub(super) fn invert(work: &mut Work, dice: &mut Dice) -> Done {
    let dirs = work.all(Kind::Dir);
    let inner: Vec<_> = dirs
        .into_iter()
        .filter(|dir| dir.components().count() > 1)
        .collect();
    let inner = dice.choose(&inner).ok_or_else(nothing)?.clone();
    let outer = inner.parent().expect("it is inside").to_owned();
    let place = outer.parent().expect("a place").to_owned();
    let (a, b) = (outer.file_name().unwrap(), inner.file_name().unwrap());
    let (aside, now) = (place.join("aside"), place.join(b));
    rename(work, &inner, &aside)?;
    rename(work, &outer, &aside.join(a))?;
    match work.at(&now).symlink_metadata() {
        Ok(_) => Ok(()),
        Err(_) => rename(work, &aside, &now),
    }
}

pub(super) fn exchange(work: &mut Work, dice: &mut Dice) -> Done {
    let one = work.anything(dice)?;
    let other = match dice.percent(50) {
        true => work.a_dir(dice)?,
        false => work.anything(dice)?,
    };
    work.say(&format!("exchange {one:?} and {other:?}"));
    let words = json!(["exchange", text(&work.at(&one)), text(&work.at(&other))]);
    work.hands.call(&words).map(drop)
}

/// A directory goes elsewhere, and something new has its name.
pub(super) fn succeed(work: &mut Work, dice: &mut Dice) -> Done {
    let old = work.a_dir(dice)?;
    let to = work.a_free_name(dice, 'd')?;
    if to.starts_with(&old) {
        return Err(nothing());
    }
    rename(work, &old, &to)?;
    match dice.below(4) {
        0 => std::fs::write(work.at(&old), "a file now"),
        1 => {
            let inside = work.a_file(dice)?;
            rename(work, &inside, &old)
        }
        _ => {
            make_dir(work, &old)?;
            let inside = to.file_name().unwrap().to_owned();
            match dice.percent(50) {
                true => rename(work, &to, &old.join(inside)),
                false => Ok(()),
            }
        }
    }
}

/// The newest directory takes an older one in.
pub(super) fn overtake(work: &mut Work, dice: &mut Dice) -> Done {
    let old = work.a_dir(dice)?;
    let new = work.a_free_name(dice, 'd')?;
    make_dir(work, &new)?;
    let name = old.file_name().expect("a name").to_owned();
    rename(work, &old, &new.join(name))
}

/// The directory with the highest number, or any.
fn newest(work: &Work, dice: &mut Dice) -> io::Result<PathBuf> {
    let any = dice.percent(40);
    let number = |path: &PathBuf| work.at(path).metadata().map_or(0, |m| m.ino());
    let full =
        |path: &PathBuf| !any && std::fs::read_dir(work.at(path)).is_ok_and(|d| d.count() > 0);
    let newest = work
        .all(Kind::Dir)
        .into_iter()
        .filter(full)
        .max_by_key(number);
    newest.map_or_else(|| work.a_dir(dice), Ok)
}

/// What is inside a directory moves out, into one that gets a new name, and the directory goes; its
/// number may be given out again.
pub(super) fn dissolve(work: &mut Work, dice: &mut Dice) -> Done {
    let dir = newest(work, dice)?;
    let into = work.a_dir(dice)?;
    let renamed = work.a_free_name(dice, 'd')?;
    if into.starts_with(&dir)
        || dir.starts_with(&into)
        || renamed.starts_with(&into)
        || renamed.starts_with(&dir)
    {
        return Err(nothing());
    }
    rename(work, &into, &renamed)?;
    for entry in std::fs::read_dir(work.at(&dir))? {
        let name = entry?.file_name();
        let _ = rename(work, &dir.join(&name), &renamed.join(&name));
    }
    work.say(&format!("remove {dir:?}"));
    work.remove(&dir)?;
    if dice.percent(60) {
        work.remount();
        let new = work.a_free_name(dice, 'f')?;
        work.say(&format!("new {new:?}"));
        return std::fs::write(work.at(&new), "new");
    }
    Ok(())
}

pub(super) fn remove(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.anything(dice)?;
    work.say(&format!("remove {path:?}"));
    work.remove(&path)
}

pub(super) fn link(work: &mut Work, dice: &mut Dice) -> Done {
    let (old, new) = (work.a_file(dice)?, work.a_name(dice, 'l'));
    work.say(&format!("link {old:?} as {new:?}"));
    std::fs::hard_link(work.at(&old), work.at(&new))
}

/// A directory gets another name, and a link its old one; so may what was inside.
pub(super) fn link_for_dir(work: &mut Work, dice: &mut Dice) -> Done {
    let (dir, file) = (work.a_dir(dice)?, work.a_file(dice)?);
    let to = work.a_free_name(dice, 'd')?;
    if to.starts_with(&dir) || file.starts_with(&dir) {
        return Err(nothing());
    }
    rename(work, &dir, &to)?;
    work.say(&format!("link {file:?} as {dir:?}"));
    std::fs::hard_link(work.at(&file), work.at(&dir))?;
    let dirs = work.all(Kind::Dir);
    let mut inner = dirs
        .iter()
        .filter(|inner| inner.starts_with(&to) && **inner != to);
    match inner.next() {
        Some(inner) if dice.percent(70) => link_changes_places(work, dice, inner, &[file, dir]),
        _ => Ok(()),
    }
}

/// A directory and another name of the same file take each other's.
fn link_changes_places(work: &mut Work, dice: &mut Dice, dir: &Path, not: &[PathBuf; 2]) -> Done {
    let number = |path: &Path| work.at(path).symlink_metadata().map_or(0, |m| m.ino());
    let files = work.all(Kind::File);
    let other_name = |path: &&PathBuf| number(path) == number(&not[1]) && !not.contains(path);
    let names: Vec<_> = files.iter().filter(other_name).collect();
    let link = dice.choose(&names).copied().unwrap_or(&not[0]).clone();
    rename(work, dir, Path::new("aside"))?;
    rename(work, &link, dir)?;
    rename(work, Path::new("aside"), &link)
}

/// So many links with long names that they do not fit beside the inode.
pub(super) fn many_links(work: &mut Work, dice: &mut Dice) -> Done {
    let (file, place) = (work.a_file(dice)?, work.a_place(dice));
    let (count, start) = (dice.within(30, 200), dice.below(100));
    work.say(&format!("{count} links of {file:?} in {place:?}"));
    for number in start..start + count {
        let name = place.join(format!("l{number}-{}", "n".repeat(dice.within(20, 200))));
        std::fs::hard_link(work.at(&file), work.at(&name))?;
    }
    Ok(())
}

/// Most names with one beginning go, or move.
pub(super) fn fewer_links(work: &mut Work, dice: &mut Dice) -> Done {
    let files = work.all(Kind::File);
    let long = |path: &&PathBuf| path.as_os_str().len() > 20;
    let links: Vec<_> = files.iter().filter(long).cloned().collect();
    work.say(&format!("some of {} links", links.len()));
    for path in links {
        match dice.below(4) {
            0 => work.remove(&path)?,
            1 => {
                let to = work.a_name(dice, 'l');
                std::fs::rename(work.at(&path), work.at(&to))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A file without a name is held open.
pub(super) fn unlink_open(work: &mut Work, dice: &mut Dice) -> Done {
    let file = if dice.percent(70) {
        let path = work.a_file(dice)?;
        work.say(&format!("{path:?} is open and loses its name"));
        let file = File::open(work.at(&path))?;
        work.remove(&path)?;
        file
    } else {
        let place = work.a_place(dice);
        work.say(&format!("a file without a name in {place:?}"));
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(libc::O_TMPFILE);
        let mut file = options.open(work.at(&place))?;
        file.write_all(&dice.bytes(5000))?;
        file
    };
    work.open.push(file);
    Ok(())
}

pub(super) fn close(work: &mut Work, _: &mut Dice) -> Done {
    work.say(&format!("close {} files", work.open.len()));
    work.open.clear();
    Ok(())
}

fn make_nested(work: &mut Work, path: &Path) {
    work.say(&format!("subvolume {path:?}"));
    subvolume(&work.at(path));
}

/// A subvolume inside, also where a directory was.
pub(super) fn nested(work: &mut Work, dice: &mut Dice) -> Done {
    let path = match work.a_dir(dice) {
        Ok(dir) if dice.percent(25) => {
            work.remove(&dir)?;
            dir
        }
        Ok(dir) if dice.percent(60) => dir.join("n"),
        _ => work.a_name(dice, 'n'),
    };
    match work.at(&path).symlink_metadata() {
        Ok(_) => Err(nothing()),
        Err(_) => {
            make_nested(work, &path);
            Ok(())
        }
    }
}

/// A subvolume inside goes; a directory, a file, another one or nothing takes its place, or all
/// that is around it goes with it.
pub(super) fn nested_goes(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.one(Kind::Nested, dice)?;
    work.say(&format!("remove the subvolume {path:?}"));
    work.remove(&path)?;
    let around = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    match (dice.below(6), around) {
        (0, _) => make_dir(work, &path),
        (1, _) => std::fs::write(work.at(&path), "a file now"),
        (2, _) => {
            make_nested(work, &path);
            Ok(())
        }
        (3..5, Some(dir)) => {
            work.say(&format!("remove {dir:?}"));
            work.remove(dir)
        }
        _ => Ok(()),
    }
}

/// Links, pipes and devices, also where a file or a directory was.
pub(super) fn special(work: &mut Work, dice: &mut Dice) -> Done {
    let path = match work.anything(dice) {
        Ok(path) if dice.percent(20) => path,
        _ => work.a_name(dice, 's'),
    };
    work.clear(&path)?;
    let whole = work.at(&path);
    let kind = dice.below(4);
    work.say(&format!("special {kind} {path:?}"));
    if kind == 0 {
        let target = "t".repeat(dice.pick(&[1, 50, 1500]));
        return std::os::unix::fs::symlink(target, whole);
    }
    let mode = [0, 0o010_644, 0o020_600, 0o060_640][kind];
    let words = json!([
        "make_node",
        text(&whole),
        mode,
        dice.within(1, 9),
        dice.below(300)
    ]);
    work.hands.call(&words).map(drop)
}
